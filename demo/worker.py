"""One replica in a process of its own, told what to do in JSON lines: a request a line in, an answer a line out.

    {"id": 1, "do": "execute", "command": "AddItem", "fields": {"item": "milk"}, "now": null}
    {"id": 1, "answer": {"dots": ["alice:2"]}}            or {"id": 1, "error": "..."}

Requests are carried out at once, so answers may overtake each other; a line without an id tells of something that
happened. The process ends with its input.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import msgspec

from demo.careless import CarelessParty
from demo.party import COMMANDS, STREAM, Party
from demo.process import LINE
from replica import AnabranchError
from sync import Gates, Node

Answer = dict[str, Any]


class Worker:
    """What the requests do to one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._gates: dict[str, Gates] = {}
        self._doing: dict[str, Callable[..., Awaitable[Answer]]] = {
            "dial": self.dial,
            "cut": self.cut,
            "heal": self.heal,
        }

    async def answer(self, request: Answer) -> Answer:
        number, do = request.pop("id"), request.pop("do")
        try:
            return {"id": number, "answer": await self._doing[do](**request)}
        except AnabranchError as error:
            return {"id": number, "error": str(error)}
        except Exception as error:
            return {"id": number, "error": f"{type(error).__name__}: {error}"}

    async def dial(self, peer: str, url: str, *, up: bool) -> Answer:
        """Keep a link to a peer; one that is not up waits for `heal`."""
        self._gates[peer] = gates = Gates()
        if not up:
            gates.cut()
        await self._node.dial(url, gates)
        return {}

    async def cut(self, peers: list[str]) -> Answer:
        for peer in peers:
            if peer in self._gates:
                self._gates[peer].cut()
        return {}

    async def heal(self) -> Answer:
        for gates in self._gates.values():
            gates.heal()
        return {}


class Planner(Worker):
    """A replica that plans a party."""

    def __init__(self, node: Node, clock: Clock) -> None:
        super().__init__(node)
        self._clock = clock
        self._doing |= {"execute": self.execute, "look": self.look}

    async def execute(self, command: str, fields: Answer, now: int | None) -> Answer:
        self._clock.now = now
        committed = await self._node.replica.execute(STREAM, COMMANDS[command](**fields))
        return {"dots": [str(dot) for dot in committed.dots]}

    async def look(self) -> Answer:
        """The version, the present and its digest; and what is read differently elsewhere."""
        replica = self._node.replica
        present = await replica.present(STREAM)
        return {
            "version": {str(dot.replica): dot.seq for dot in replica.version},
            "present": {**present.value, "items": sorted(present.items)},
            "digest": await replica.digest(STREAM),
            "events": replica.status().events,
            "alarms": [
                {
                    "stream": one.stream,
                    "event": f"{one.event} {one.type}" if one.event else "",
                    "peer": str(one.peer),
                    "what": one.what,
                }
                for one in replica.status().divergences
            ],
        }


class Clock:
    """The wall clock, or the time that the last request gave."""

    now: int | None = None

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 if self.now is None else self.now


async def lines() -> asyncio.StreamReader:
    """Standard input, line by line."""
    reader = asyncio.StreamReader(LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def say(answer: Answer) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


async def work(path: str, name: str, port: int, seed: int | None, *, broken: bool) -> None:
    clock = Clock()
    random = None if seed is None else Random(f"{seed}/{name}")
    async with Node.open(
        path,
        store="party",
        name=name,
        aggregates=[CarelessParty if broken else Party],
        port=port,
        clock=clock,
        random=random,
    ) as node:
        await serve_requests(node, Planner(node, clock))


async def serve_requests(node: Node, worker: Worker) -> None:
    """Say that this process listens, and answer requests until there are no more."""
    assert node.server is not None
    say({"id": 0, "answer": {"port": node.server.port}})
    requests = await lines()
    doing: set[asyncio.Task[None]] = set()

    async def do(line: bytes) -> None:
        say(await worker.answer(msgspec.json.decode(line)))

    while line := await requests.readline():
        task = asyncio.create_task(do(line))
        doing.add(task)
        task.add_done_callback(doing.discard)


def options() -> argparse.Namespace:
    """What the parent says of this process on the command line."""
    parser = argparse.ArgumentParser(description="One replica of the demo.")
    parser.add_argument("path")
    parser.add_argument("name")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--broken", action="store_true")
    return parser.parse_args()


def main() -> None:
    given = options()
    asyncio.run(work(given.path, given.name, given.port, given.seed, broken=given.broken))


if __name__ == "__main__":
    main()
