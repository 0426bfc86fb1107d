"""A stage in this process: replicas stepped by hand, links that are lists of frames, and no clock.

Everything that is played is the product's own: the core, the fold, the protocol, the gates. What is kept of a
replica that ends is its log in memory. A wait of a scenario passes in no time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from replica.adopt import in_order, ingest_rest, parts
from replica.app import kinds_of
from replica.backend import at_once
from replica.cut import cut_at
from replica.decider import Decider
from replica.direct import DirectReplica
from replica.errors import AnabranchError, NotObserved, Refused
from replica.log import Identity
from replica.meeting import accepted_until, all_heads, compare
from replica.memory import MemoryLog
from replica.outgoing import collect
from replica.owed import status
from replica.scenario import STORE, Scenario, chance_of, typed
from replica.step import Write
from sync.direct import DirectNode
from sync.gate import Gate, Gates
from sync.testing.director import Director, Report, Told, app_of, silent
from sync.testing.stage import View, Ways, Wrote, reading, refusal

T = TypeVar("T")
TICK = 2000
"""ms between two times at which a conversation says where it stands."""
BATCH = 1 << 30
"""Bytes that are heard at once: more than a scenario writes."""
FRAMES = 10_000
"""Frames after which conversations that do not come to rest never will."""


@dataclass
class _Disk:
    """What is there of a replica when its process is gone."""

    log: MemoryLog
    identity: Identity
    starts: int = 0


@dataclass
class _Link:
    """A link, with the frames that are on their way: when they arrive, to whom."""

    here: str
    there: str
    gates: Gates
    wire: deque[tuple[int, str, bytes]] = field(default_factory=deque)

    @property
    def name(self) -> str:
        return f"{self.here}-{self.there}"

    def gate(self, sender: str) -> Gate:
        return self.gates.outgoing if sender == self.here else self.gates.incoming

    def other(self, name: str) -> str:
        return self.there if name == self.here else self.here


class Alone:
    """All replicas of a scenario, in one thread."""

    patience = 200

    def __init__(self, aggregates: Sequence[type[Decider]]) -> None:
        self._aggregates, self._kinds = aggregates, kinds_of(aggregates)
        self._disks: dict[str, _Disk] = {}
        self._nodes: dict[str, DirectNode] = {}
        self._links: list[_Link] = []
        self._clocks: dict[str, int] = {}
        self._elapsed = 0

    # --- replicas ---

    async def begin(self, clocks: Mapping[str, int]) -> None:
        self._clocks |= clocks
        for name in clocks:
            self._begin(name)

    def _begin(self, name: str) -> None:
        disk = self._disks.get(name)
        starts = 1 if disk is None else disk.starts + 1
        random = chance_of(name, starts)
        if disk is None:
            disk = self._disks[name] = _Disk(MemoryLog(), Identity(STORE, random.getrandbits(64), name, ()))
        disk.starts = starts
        replica = DirectReplica(disk.log, STORE, name, self._aggregates, random=random, identity=disk.identity)
        self._nodes[name] = DirectNode(replica, f"{name}/{starts}".encode())
        replica.build()
        for link in self._links:
            if name in (link.here, link.there):
                self._connect(link)

    async def end(self, name: str) -> None:
        del self._nodes[name]
        for link in self._links:
            if name in (link.here, link.there):
                other = self._nodes.get(link.other(name))
                if other is not None:
                    other.disconnect(link.name)

    async def write(self, name: str, stream: str, write: Write, now: int) -> Wrote:
        replica = self._nodes[name].replica
        self._clocks[name] = now
        what = [typed(one, self._kinds) for one in write.all_said]
        try:
            if write.command is not None:
                committed = replica.execute(stream, what[0], now)
            else:
                committed = replica.append(stream, what, now)
        except Exception as error:
            return refusal(error)
        finally:
            replica.flush()
        return Wrote([str(dot) for dot in committed.dots])

    async def hear(self, name: str, other: str, now: int) -> None:
        here, there = self._nodes[name].replica, self._nodes[other].replica
        mine, theirs = here.core.memory, there.core.memory
        horizon = accepted_until(mine.stamp, now)
        wants = compare(all_heads(theirs.lineages), all_heads(mine.lineages))
        here.ingest(collect(there.reader(), wants, horizon, BATCH).slices, horizon)
        here.flush()

    async def fork(self, name: str, new: str, at: str) -> str | None:
        source = self._nodes[name].replica
        reader = source.reader()
        try:
            cut = cut_at(source.core, reader, at)
        except (NotObserved, ValueError) as error:
            return str(error)
        identity = Identity(STORE, source.core.random.getrandbits(64), new, ())
        log = MemoryLog()
        fork = DirectReplica(log, STORE, new, (), random=Random(new), identity=identity)
        ingest_rest(fork, in_order(reader, parts(reader, cut)))
        self._disks[new] = _Disk(log, identity)
        return None

    async def retire(self, name: str, member: str, now: int) -> str | None:
        replica = self._nodes[name].replica
        try:
            replica.retire(self._disks[member].identity.replica, now)
        except Refused as refused:
            return str(refused)
        finally:
            replica.flush()
        return None

    async def look(self, clocks: Mapping[str, int], deep: bool) -> dict[str, View]:
        self._clocks |= clocks
        self._frames()
        return {name: self._view(name, deep) for name in clocks}

    def _view(self, name: str, deep: bool) -> View:
        replica = self._nodes[name].replica
        core = replica.core
        read: dict[str, tuple[str, Any]] = {}
        for stream in self._streams(replica) if deep else ():
            try:
                read[stream] = replica.digest(stream), reading(replica.present(stream))
            except AnabranchError as error:
                read[stream] = str(error), str(error)
        version, stable = core.labelled(core.memory.version), core.labelled(core.stable)
        return View.of(version, stable, status(core), self._clocks[name], read)

    def _streams(self, replica: DirectReplica) -> list[str]:
        found: list[str] = []
        for kind in self._aggregates:
            after = ""
            while some := replica.log.streams(kind.stream, after, 256):
                found += some
                after = some[-1]
        return found

    # --- links ---

    async def link(self, here: str, there: str, ways: Ways) -> None:
        gates = Gates(Gate(Random(f"{here}-{there}")), Gate(Random(f"{there}-{here}")))
        link = _Link(here, there, gates)
        ways.shape(gates)
        self._links.append(link)
        self._connect(link)
        gates.on_heal(lambda: self._healed(link))

    async def shape(self, here: str, there: str, ways: Ways) -> None:
        for link in self._links:
            if (link.here, link.there) == (here, there):
                ways.shape(link.gates)

    def _connect(self, link: _Link) -> None:
        """A new conversation over a link, if both are up and can hear each other."""
        ends = [self._nodes.get(name) for name in (link.here, link.there)]
        if link.gates.open and all(ends):
            link.wire.clear()
            link.gates.outgoing.forget()
            link.gates.incoming.forget()
            for name in (link.here, link.there):
                self._nodes[name].connect(link.name, self._clocks[name])

    def _healed(self, link: _Link) -> None:
        here = self._nodes.get(link.here)
        if here is not None and link.name in here.sessions and link.name not in here.ended:
            here.resume(link.name)
        else:
            self._connect(link)

    # --- what happens of itself ---

    async def go_on(self) -> None:
        before = self._frames()
        for name, node in self._nodes.items():
            before += node.replica.carry_out(self._clocks[name])
        if not before + self._frames():
            await self.wait(TICK)
            for name, node in self._nodes.items():
                node.tick(self._clocks[name])
            for link in self._links:
                if any(link.name in node.ended for node in self._nodes.values()):
                    self._connect(link)

    async def wait(self, ms: int) -> None:
        end = self._elapsed + ms
        self._frames()
        while due := [when for link in self._links for when, _, _ in link.wire if when <= end]:
            self._elapsed = min(due)
            self._frames()
        self._elapsed = end

    def _frames(self) -> int:
        """Carry frames until none is due; how many have arrived."""
        arrived = 0
        while self._send() + (came := self._arrive()):
            arrived += came
            if arrived > FRAMES:
                raise AssertionError("the conversations do not come to rest")
        return arrived

    def _send(self) -> int:
        """Put what nodes have to say through the gates of their links."""
        sent = 0
        for link in self._links:
            for name in (link.here, link.there):
                waiting = self._nodes[name].outgoing.get(link.name) if name in self._nodes else None
                while waiting:
                    gate = link.gate(name)
                    due = self._elapsed + round(gate.delay * 1000)
                    link.wire += [(due, link.other(name), frame) for frame in gate.admit(waiting.popleft())]
                    sent += 1
        return sent

    def _arrive(self) -> int:
        """Hand over what is due."""
        arrived = 0
        for link in self._links:
            due = [one for one in link.wire if one[0] <= self._elapsed]
            link.wire = deque(one for one in link.wire if one[0] > self._elapsed)
            for _, name, frame in due:
                if name in self._nodes:
                    self._nodes[name].receive(link.name, frame)
            arrived += len(due)
        return arrived


def play(scenario: Scenario | str | Path, *aggregates: type[Decider], tell: Told = silent) -> Report:
    """Play a scenario, its text or its file, in this process; the aggregates are those that it names unless given.

    ScenarioError where it makes no sense; what was expected and is not so is in the report.
    """
    if not isinstance(scenario, Scenario):
        scenario = Scenario.read(scenario) if isinstance(scenario, Path) else Scenario.from_json(scenario)
    kinds = app_of(scenario, aggregates)
    return at_once(Director(scenario, kinds, tell).run(Alone(kinds)))
