"""One replica of a scenario, in a process of its own: any app's, named by the modules of its aggregates.

What it is told to do is what `demo.playing` asks for, a request a line (see `demo.worker`). Its clock stands where
the last request has set it, and its id and chance follow from its name, so that what comes of it can be compared.
Where no clock is given it has the wall clock, and chance is chance.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from demo.worker import Answer, Clock, Worker, serve_requests
from merge.version import VersionVector
from replica import AnabranchError, NotObserved, Refused
from replica.app import kinds_of, load
from replica.decider import Decider
from replica.introduction import CATEGORY
from replica.scenario import STORE, chance_of, typed
from sync import Node
from sync.testing import View, Ways, Wrote, reading, refusal


class Member(Worker):
    """What the requests do to one node."""

    def __init__(self, node: Node, clock: Clock, aggregates: Sequence[type[Decider]]) -> None:
        super().__init__(node)
        self._clock, self._aggregates, self._kinds = clock, aggregates, kinds_of(aggregates)
        self._told = VersionVector()
        self._doing |= {
            "shape": self.shape, "write": self.write, "hear": self.hear, "fork": self.fork,
            "retire": self.retire, "look": self.look, "news": self.news,
        }  # fmt: skip

    async def shape(self, peer: str, ways: Answer) -> Answer:
        """Make the link to a peer as good or bad as `ways` says."""
        msgspec.convert(ways, Ways).shape(self._gates[peer])
        return {}

    async def write(self, stream: str, command: Answer | None, events: list[Answer], now: int | None) -> Answer:
        """Decide on a command, or record events."""
        self._clock.now = now
        replica = self._node.replica
        try:
            if command is not None:
                committed = await replica.execute(stream, typed(command, self._kinds))
            else:
                committed = await replica.append(stream, *[typed(one, self._kinds) for one in events])
        except Exception as error:
            return _plain(refusal(error))
        return _plain(Wrote([str(dot) for dot in committed.dots]))

    async def hear(self, path: str, now: int) -> Answer:
        """Take in all that the file of another replica holds."""
        self._clock.now = now
        await self._node.replica.join(path)
        return {}

    async def fork(self, path: str, name: str, at: str) -> Answer:
        """Begin a second past in a file of its own; or say why there is no such cut."""
        try:
            await self._node.replica.fork(path, at, name=name)
        except (NotObserved, ValueError) as error:
            return {"refused": str(error)}
        return {"refused": None}

    async def retire(self, member: str, now: int) -> Answer:
        """Record that a member takes part no more; or say why that is refused."""
        self._clock.now = now
        try:
            await self._node.replica.retire(member)
        except Refused as refused:
            return {"refused": str(refused)}
        return {"refused": None}

    async def look(self, now: int, deep: bool) -> Answer:
        """What is held here; the clock stands at `now`."""
        self._clock.now = now
        replica = self._node.replica
        read: dict[str, tuple[str, Any]] = {}
        categories = [kind.stream for kind in self._aggregates] if deep else []
        for stream in [one for category in categories async for one in replica.streams(category)]:
            try:
                read[stream] = await replica.digest(stream), reading(await replica.present(stream))
            except AnabranchError as error:
                read[stream] = str(error), str(error)
        return _plain(View.of(replica.version, replica.stable, replica.status().due, now, read))

    async def news(self) -> Answer:
        """The events that have come in since this was asked for last, from wherever; without introductions."""
        replica = self._node.replica
        after, self._told = self._told, replica.version
        records = [one async for decision in replica.commits(after=after, upto=self._told) for one in decision]
        told = [one for one in records if not one.stream.startswith(f"{CATEGORY}/")]
        return {
            "events": [
                {"dot": str(one.dot), "stamp": one.stamp, "stream": one.stream, "said": str(one).split(" ", 1)[1]}
                for one in told
            ]
        }


def _plain(value: Any) -> Answer:
    plain: Answer = msgspec.to_builtins(value)
    return plain


@asynccontextmanager
async def opened(given: argparse.Namespace) -> AsyncIterator[tuple[Node, Clock, list[type[Decider]]]]:
    """The node that the command line describes, its clock, and what it folds."""
    clock, (aggregates, _) = Clock(), load(given.app)
    clock.now = given.now
    random = None if given.now is None else chance_of(given.name, given.start)
    async with Node.open(
        given.path, store=STORE, name=given.name, aggregates=aggregates, port=given.port, clock=clock, random=random
    ) as node:
        yield node, clock, aggregates


async def work(given: argparse.Namespace) -> None:
    async with opened(given) as (node, clock, aggregates):
        await serve_requests(node, Member(node, clock, aggregates))


def options() -> argparse.Namespace:
    """What the parent says of this process on the command line."""
    parser = argparse.ArgumentParser(description="One replica of a scenario.")
    parser.add_argument("path")
    parser.add_argument("name")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--app", action="append", required=True, help="the aggregates: module, or module:Class")
    parser.add_argument("--now", type=int, help="where the clock stands (ms); it runs unless said")
    parser.add_argument("--start", type=int, default=1, help="how often it has been started, with this")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(work(options()))
