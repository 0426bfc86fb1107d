"""A network of replica processes: what is done to it, and what it is known to be.

Rule 1. What is known of a replica is what its process has told: of one that is down, the last that it told.
Rule 2. A fork is apart while all its links are down: it is a second past, and nobody is behind for it.
Rule 3. A process that ends by itself is down, like one that was killed here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from demo.playing import Processes
from demo.process import Process
from demo.web.contract import Alarm, Event, Link, ReplicaReport, Verdict, Version
from demo.web.ledger import Ledger
from replica.step import Write
from sync.testing import Ways, Wrote
from sync.testing.stage import WHOLE, Way

NAMES = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi")
MOST = len(NAMES)
"""Replicas that there may be at once: each is a process, with links to all others."""
SHUT = Way(open=False)
SLOW, LOSSY = Way(delay=800), Way(loss=0.3)
STATES = {
    "up": WHOLE, "down": Ways(SHUT, SHUT), "a-to-b": Ways(Way(), SHUT), "b-to-a": Ways(SHUT, Way()),
    "slow": Ways(SLOW, SLOW), "lossy": Ways(LOSSY, LOSSY),
}  # fmt: skip
MIRRORED = {"a-to-b": "b-to-a", "b-to-a": "a-to-b"}


class Impossible(Exception):
    """What was asked for cannot be done. Nothing was."""


class Heard(msgspec.Struct, frozen=True):
    """An alarm, as a replica tells of it."""

    peer: str
    stream: str
    event: str
    what: str


class Standing(msgspec.Struct, frozen=True):
    """How a replica stands, as it tells."""

    version: Version = {}
    events: int = 0
    bytes: int = 0
    digest: str = ""
    due: int = 0
    alarms: list[Heard] = []
    presents: dict[str, Any] = {}


class Network(Processes):
    """Replica processes and their links; `changed` is called when there is news."""

    def __init__(self, folder: Path, app: Sequence[str], changed: Callable[[], None], pipe: int) -> None:
        super().__init__(folder, app)
        self._pipe = pipe
        self.ledger = Ledger()
        self.fault: int | None = None
        self.forks: dict[str, str] = {}
        self._standings: dict[str, Standing] = {}
        self._changed = changed
        self._watching: set[asyncio.Task[None]] = set()

    # --- what its processes tell ---

    def _process(self, name: str) -> Process:
        self.ledger.begins(name)
        self._standings[name] = Standing()
        path = Path(self._path(name))
        return Process(name, path, module="demo.web.member", hear=self._hear, inherits=[self._pipe])

    def _hear(self, name: str, told: dict[str, Any]) -> None:
        if told.pop("tell") == "events":
            self.ledger.tells(name, msgspec.convert(told["events"], list[Event]), now())
        else:  # it follows events at once: both are one news
            before = self._standings[name].presents
            self._standings[name] = msgspec.convert({"presents": before, **told}, Standing)
            self._changed()

    async def _start(self, name: str, now: int | None) -> None:
        await super()._start(name, now)
        watching = asyncio.create_task(self._watch(self._processes[name]))
        self._watching.add(watching)
        watching.add_done_callback(self._watching.discard)
        self._changed()

    async def _watch(self, process: Process) -> None:
        await process.ended()
        self._failed()

    def _failed(self) -> None:
        self.fault = now()
        self._changed()

    # --- what is done to it: as a stage of scenarios ---

    async def begin(self, clocks: Mapping[str, int | None]) -> None:
        """Some begin, or begin again; who keeps a link to one of them dials anew."""
        await super().begin(clocks)
        for (here, there), ways in self._links.items():
            if there in clocks and here not in clocks and self.runs(here):
                await self.link(here, there, ways)

    async def shape(self, here: str, there: str, ways: Ways) -> None:
        await super().shape(here, there, ways)
        if ways != WHOLE:
            self.fault = now()
        self._changed()

    async def fork(self, name: str, new: str, at: str) -> str | None:
        refused = await super().fork(name, new, at)
        if refused is None:
            self.forks[new] = name
        return refused

    async def stop(self) -> None:
        """End all processes."""
        await super().stop()
        await asyncio.gather(*self._watching)

    # --- and by hand ---

    async def grow(self, *names: str, ways: Ways = WHOLE) -> None:
        """More replicas, each linked to all who are there."""
        before = self.names
        await self.begin(dict.fromkeys(names))
        for at, name in enumerate(names):
            for other in (*before, *names[:at]):
                self._links[other, name] = ways
                if self.runs(other):
                    await self.link(other, name, ways)

    async def set_links(self, chosen: Callable[[str, str], bool], state: str) -> None:
        """Make the links that are chosen all alike."""
        ways = STATES[state]
        await asyncio.gather(*(self.shape(*pair, ways) for pair in [*self._links] if chosen(*pair)))

    async def set_link(self, a: str, b: str, state: str) -> None:
        if state not in STATES:
            raise Impossible(f"a link is {', '.join(STATES)}, and never {state!r}")
        if (a, b) not in self._links:
            a, b, state = b, a, MIRRORED.get(state, state)
        if (a, b) not in self._links:
            raise Impossible(f"there is no link between {a} and {b}")
        await self.shape(a, b, STATES[state])

    async def split(self) -> None:
        """Cut it into two halves, whole within."""
        here = set(self.names[: len(self.names) // 2])
        await self.set_links(lambda a, b: (a in here) != (b in here), "down")

    async def kill(self, name: str) -> None:
        self.up(name)
        await self.end(name)

    async def restart(self, name: str) -> None:
        self.known(name)
        if self.runs(name):
            raise Impossible(f"{name} is up")
        await self.begin({name: None})

    async def add(self) -> str:
        name = next((one for one in NAMES if one not in self._processes), None)
        if name is None or len(self._processes) >= MOST:
            raise Impossible(f"there are {len(self._processes)} replicas already, and there is room for no more")
        await self.grow(name)
        return name

    async def fork_at(self, name: str, index: int) -> str:
        """A second past begins at a place of the time of a replica."""
        self.up(name)
        if len(self._processes) >= MOST:
            raise Impossible(f"there are {MOST} replicas already, and there is room for no more")
        past, _, _ = self.ledger.past(name, index)
        if not past:
            raise Impossible("a fork begins with something: there is no event there")
        new = next(one for at in range(2, MOST + 2) if (one := f"{name}-{at}") not in self._processes)
        refused = await self.fork(name, new, words(past))
        if refused is not None:
            raise Impossible(refused)
        await self.grow(new, ways=STATES["down"])
        return new

    async def join(self, name: str, into: str) -> int:
        """One takes in what another one holds; how many events were new."""
        self.known(name)
        self.up(into)
        answer = await self._processes[into].ask("hear", path=self._path(name), now=None)
        events: int = answer["events"]
        return events

    async def write_now(self, name: str, stream: str, command: str, fields: dict[str, Any]) -> list[str]:
        """A replica decides on a command; the dots of what it recorded."""
        self.up(name)
        wrote: Wrote = await self.write(name, stream, Write(name, {command: fields}, stream=stream), None)
        if wrote.refused is not None:
            raise Impossible(wrote.refused)
        return wrote.dots

    async def ask(self, name: str, do: str, **fields: Any) -> dict[str, Any]:
        """What a replica answers."""
        self.up(name)
        return await self._processes[name].ask(do, **fields)

    # --- what is known of it ---

    @property
    def names(self) -> list[str]:
        return [*self._processes]

    def runs(self, name: str) -> bool:
        return name in self._processes and self._processes[name].running

    def known(self, name: str) -> None:
        if name not in self._processes:
            raise Impossible(f"there is no replica {name!r} (there are: {', '.join(self.names)})")

    def up(self, name: str) -> None:
        self.known(name)
        if not self.runs(name):
            raise Impossible(f"{name} is down: restart it first")

    def links(self) -> list[Link]:
        return [Link(*pair, state_of(ways)) for pair, ways in self._links.items()]

    def _others(self, name: str) -> list[str]:
        """Those by whom it is seen whether a replica is behind or ahead."""
        linked = {one for pair, ways in self._links.items() if state_of(ways) != "down" for one in pair}
        return [one for one in self.names if one != name and (one not in self.forks or one in linked)]

    def replicas(self) -> list[ReplicaReport]:
        return [self._replica(name) for name in self.names]

    def _replica(self, name: str) -> ReplicaReport:
        process, standing, others = self._processes[name], self._standings[name], self._others(name)
        ledger = self.ledger
        return ReplicaReport(
            name, self.runs(name), process.pid if process.started else 0, process.port,
            {**ledger.versions[name]}, ledger.lacks(name, others), ledger.leads(name, others), standing.events,
            standing.bytes, standing.digest, standing.due, self.forks.get(name), ledger.unshared(name, others),
            standing.presents,
        )  # fmt: skip

    def verdict(self) -> Verdict:
        up = [name for name in self.names if self.runs(name)]
        apart = self.ledger.apart(up)
        standings = [self._standings[name] for name in up]
        told = all(
            one.digest and one.version == self.ledger.versions[name]
            for name, one in zip(up, standings, strict=True)
        )
        digests = {one.digest for one in standings}
        alarms = [
            Alarm(name, one.peer, one.stream, one.event, one.what)
            for name, standing in zip(up, standings, strict=True)
            for one in standing.alarms
        ]
        same = len(digests) == 1 and not apart and told
        return Verdict(same and not alarms, digests.pop() if same else None, self.fault, apart, alarms)


def state_of(ways: Ways) -> str:
    """A link in one word."""
    if not ways.there.open and not ways.back.open:
        return "down"
    if not ways.open:
        return "a-to-b" if ways.there.open else "b-to-a"
    if any(way.loss or way.duplicate or way.reorder for way in (ways.there, ways.back)):
        return "lossy"
    return "slow" if ways.there.delay or ways.back.delay else "up"


def words(version: Version) -> str:
    return " ".join(f"{name}:{seq}" for name, seq in version.items())


def now() -> int:
    return time.time_ns() // 1_000_000
