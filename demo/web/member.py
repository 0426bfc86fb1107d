"""One replica of the page, in a process of its own. It does what it is asked, and tells what it holds.

Rule 1. It tells of each event that it holds, once, causes first; and how it stands. Both in lines without an id:

    {"tell": "events", "events": [Event, ...]}        (see `demo.web.contract`, with stamps in place of times)
    {"tell": "standing", "version": {...}, "digest": "...", "presents": {...}, "events": 7, "bytes": 40960, ...}

Rule 2. It tells when something has changed, and takes for it a third of its time at most: what happens faster is
        told together.
Rule 3. It ends with its input, and so with its parent.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from demo.member import Member, opened, options
from demo.web.panes import panes, part, shown
from demo.worker import Answer, Clock, say, serve_requests
from merge import NOTHING
from replica import AnabranchError, Explanation, Record, Replica
from replica.data import to_json
from replica.decider import Decider
from sync import Gates, Node, connect

PAUSE = 0.05
"""Seconds between two tellings, at least."""
IDLE = 1.0
"""Seconds after which it looks whether something has changed that is no event: a timer, an alarm."""
EXACT = 2**53 - 1
"""The largest integer that a browser reads as it is."""
PORTION = 500
"""Events in a line."""


class Reporter:
    """Tells what a replica holds."""

    def __init__(self, replica: Replica, path: str, aggregates: Sequence[type[Decider]]) -> None:
        self._replica, self._path = replica, Path(path)
        self._categories = {kind.stream for kind in aggregates}
        self._version = NOTHING
        """What has been told."""
        self._stale: set[str] = set()
        """Streams that have changed since their present was read."""
        self._digests: dict[str, str] = {}
        self._parts: dict[str, dict[str, Any]] = {}
        self._said: Answer = {}
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Tell until this is cancelled."""
        hearing = asyncio.create_task(self._hear())
        loop = asyncio.get_running_loop()
        try:
            await asyncio.sleep(0)  # it hears from now on
            for category in self._categories:
                self._stale |= {one async for one in self._replica.streams(category)}
            while not hearing.done():
                begun = loop.time()
                self._wake.clear()
                await self._events()
                await self._standing()
                await asyncio.sleep(max(PAUSE, 2 * (loop.time() - begun)))
                with suppress(TimeoutError):
                    async with asyncio.timeout(IDLE):
                        await self._wake.wait()
            await hearing
        finally:
            hearing.cancel()

    async def _hear(self) -> None:
        async for change in self._replica.changes():
            self._stale.update(one for one in change.streams if one.partition("/")[0] in self._categories)
            self._wake.set()

    async def _events(self) -> None:
        upto, events = self._replica.version, []
        if upto == self._version:
            return
        async for decision in self._replica.commits(after=self._version, upto=upto):
            events += [event_told(record) for record in decision]
            if len(events) >= PORTION:
                say({"tell": "events", "events": events})
                events = []
        say({"tell": "events", "events": events})
        self._version = upto

    async def _standing(self) -> None:
        await self._read()
        replica = self._replica
        status = replica.status()
        standing = {
            "version": plain(self._version), "events": status.events, "bytes": self._bytes(),
            "digest": digest(self._digests), "presents": panes(self._parts),
            "due": sum(one.state == "next" for one in status.due),
            "alarms": [
                {"peer": str(one.peer), "stream": one.stream, "what": one.what,
                 "event": f"{one.event} {one.type}" if one.event else ""}
                for one in status.divergences
            ],
        }  # fmt: skip
        if standing["presents"] == self._said.get("presents"):
            changed = {name: value for name, value in standing.items() if name != "presents"}
        else:
            changed = standing
        if standing != self._said:
            self._said = standing
            say({"tell": "standing", **changed})

    async def _read(self) -> None:
        """The presents of the streams that have changed, and their digests."""
        stale, self._stale = self._stale, set()
        for stream in stale:
            try:
                self._digests[stream] = await self._replica.digest(stream)
                found = part(await self._replica.present(stream))
            except AnabranchError as error:
                self._digests[stream], found = str(error), None
            if found is not None:
                self._parts[stream] = found

    def _bytes(self) -> int:
        """The size of what it has on disk."""
        files = [self._path.with_name(self._path.name + end) for end in ("", "-wal")]
        return sum(file.stat().st_size for file in files if file.exists())


class PageMember(Member):
    """What the page asks for, beyond what a scenario does."""

    def __init__(self, node: Node, clock: Clock, aggregates: Sequence[type[Decider]]) -> None:
        super().__init__(node, clock, aggregates)
        self._dialled: dict[str, AsyncExitStack] = {}
        self._doing |= {"explain": self.explain, "at": self.at, "restore": self.restore}

    async def dial(self, peer: str, url: str, *, up: bool) -> Answer:
        """Keep a link to a peer. One to the same peer is let go: a peer that is back is dialled at once."""
        await self._dialled.pop(peer, AsyncExitStack()).aclose()
        self._gates[peer], self._dialled[peer] = gates, stack = Gates(), AsyncExitStack()
        if not up:
            gates.cut()
        await stack.enter_async_context(connect(self._node.replica, url, gates=gates))
        return {}

    async def hang_up(self) -> None:
        """Let all links go."""
        await asyncio.gather(*(stack.aclose() for stack in self._dialled.values()))

    async def hear(self, path: str, now: int | None) -> Answer:
        """Take in all that the file of another replica holds; how many events were new."""
        self._clock.now = now
        joined = await self._node.replica.join(path)
        return {"events": joined.events}

    async def explain(self, stream: str, path: str) -> Answer:
        """Why a value reads as it does."""
        return explained(await self._node.replica.explain(stream, path))

    async def restore(self, dot: str) -> Answer:
        """Record again what has lost."""
        committed = await self._node.replica.restore(dot)
        return {"dots": [str(one) for one in committed.dots]}

    async def at(self, cut: str) -> Answer:
        """What a pane showed at a cut."""
        replica = self._node.replica
        view = await replica.at(cut or NOTHING)
        streams = [one for kind in self._aggregates async for one in replica.streams(kind.stream)]
        found = {stream: part(await view.present(stream)) for stream in shown(streams)}
        there = {
            stream: one
            for stream, one in found.items()
            if one is not None and one.get("stage") != "none"  # an order that had not been given
        }
        return {"version": plain(view.version), "presents": panes(there)}


def event_told(record: Record) -> Answer:
    """One event, for the page."""
    return {
        "replica": str(record.dot.replica), "seq": record.dot.seq, "stream": record.stream, "event": record.type,
        "payload": as_json(exact(record.fields)), "stamp": [*map(int, record.stamp)],
        "context": {name: seq for name, seq in plain(record.context).items() if name != str(record.dot.replica)},
        "cause": cause_of(record),
    }  # fmt: skip


def explained(found: Explanation) -> Answer:
    """An explanation, for the page."""
    acts = {
        kind: [
            {
                "dot": str(act.record.dot), "author": str(act.record.author), "time": act.record.stamp.wall,
                "did": act.did, "unseen": [str(dot) for dot in act.unseen],
            }
            for act in getattr(found, kind)
        ]
        for kind in ("read", "lost", "earlier")
    }  # fmt: skip
    return {
        "stream": found.stream, "path": "/".join(map(str, found.path)), "value": as_json(found.value),
        "rule": found.rule, "kind": found.kind, **acts,
        "shares": [
            {"author": str(one.author), "value": as_json(one.value), "dot": str(one.dot)} for one in found.shares
        ],
        "parts": [explained(one) for one in found.parts],
    }  # fmt: skip


def cause_of(record: Record) -> str | None:
    """The event that it answers to, by name."""
    if record.cause is None:
        return None
    names = {int(dot.replica): str(dot.replica) for dot in record.context.advance(*record.dot)}
    return f"{names.get(int(record.cause.replica), record.cause.replica)}:{record.cause.seq}"


def exact(value: Any) -> Any:
    """Plain values, with integers that a browser would round as text."""
    if isinstance(value, dict):
        return {key: exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [exact(item) for item in value]
    return str(value) if isinstance(value, int) and abs(value) > EXACT else value


def as_json(value: Any) -> msgspec.Raw:
    return msgspec.Raw(to_json(value).encode())


def plain(version: Any) -> dict[str, int]:
    return {str(dot.replica): dot.seq for dot in version}


def digest(digests: dict[str, str]) -> str:
    """One name for all presents."""
    return blake2b(msgspec.json.encode(sorted(digests.items())), digest_size=8).hexdigest()


async def work(given: argparse.Namespace) -> None:
    async with opened(given) as (node, clock, aggregates):
        member = PageMember(node, clock, aggregates)
        try:
            async with asyncio.TaskGroup() as group:
                telling = group.create_task(Reporter(node.replica, given.path, aggregates).run())
                await serve_requests(node, member)
                telling.cancel()
        finally:
            await member.hang_up()


def main() -> None:
    try:
        asyncio.run(work(options()))
    except* BrokenPipeError:  # nobody listens any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
