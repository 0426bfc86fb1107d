"""Scenarios: what some replicas write and hear, step by step, as plain data that can be kept and played again.

A scenario is JSON (version 1):

    {"version": 1, "replicas": 2, "seeds": [7], "steps": [
        {"do": "write", "replica": 0, "wall": 1000, "events": [{"type": "ItemAdded", "fields": {"item": "milk"}}]},
        {"do": "hear", "replica": 1, "other": 0}]}

`wall` is the clock (ms) of the replica at that step; `hear` gives a replica all that another one holds; `seeds`
choose the orders in which newcomers hear of it all at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec

from merge.version import NOTHING, VersionVector
from replica.arrange import Gap
from replica.block import Slice
from replica.commit import Commit
from replica.decider import Decider
from replica.direct import DirectReplica
from replica.errors import InvalidEvent, Refused
from replica.event import Command, Event
from replica.log import Identity, Log
from replica.memory import MemoryLog

STORE = "scenario"
NAMES = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Write:
    """A replica records events as one decision, or decides on a command."""

    replica: int
    wall: int
    what: tuple[Event, ...] | Command


@dataclass(frozen=True, slots=True)
class Hear:
    """A replica is given all that another one holds."""

    replica: int
    other: int


@dataclass(frozen=True, slots=True)
class Scenario:
    """Steps of some replicas, and seeds for the orders in which others hear of them."""

    replicas: int
    steps: tuple[Write | Hear, ...]
    seeds: tuple[int, ...] = ()

    def to_json(self) -> str:
        """The scenario as a file has it."""
        steps: list[dict[str, Any]] = []
        for step in self.steps:
            match step:
                case Hear(replica, other):
                    steps.append({"do": "hear", "replica": replica, "other": other})
                case Write(replica, wall, Command() as command):
                    said = {"command": _plain(command)}
                    steps.append({"do": "write", "replica": replica, "wall": wall, **said})
                case Write(replica, wall, events):
                    listed = [_plain(event) for event in events]  # type: ignore[union-attr]
                    steps.append({"do": "write", "replica": replica, "wall": wall, "events": listed})
        whole = {"version": 1, "replicas": self.replicas, "seeds": self.seeds, "steps": steps}
        return msgspec.json.encode(whole).decode()

    @classmethod
    def from_json(cls, text: str, kinds: Mapping[str, type[Event] | type[Command]]) -> Scenario:
        """The scenario that `to_json` wrote; `kinds` are the events and commands in it, by name."""
        data = msgspec.json.decode(text)
        if data.get("version") != 1:
            raise ValueError(f"a scenario of version {data.get('version')!r}, and this reads 1")
        steps: list[Write | Hear] = []
        for step in data["steps"]:
            if step["do"] == "hear":
                steps.append(Hear(step["replica"], step["other"]))
                continue
            found = [_typed(one, kinds) for one in step.get("events", [step.get("command")])]
            what: Any = tuple(found) if "events" in step else found[0]
            steps.append(Write(step["replica"], step["wall"], what))
        return cls(data["replicas"], tuple(steps), tuple(data["seeds"]))


def _plain(one: Event | Command) -> dict[str, Any]:
    return {"type": type(one).__name__, "fields": msgspec.to_builtins(one, str_keys=True)}


def _typed(data: Any, kinds: Mapping[str, type[Event] | type[Command]]) -> Any:
    if data["type"] not in kinds:
        raise ValueError(f"the scenario has a {data['type']}, and there is no such event or command")
    return msgspec.convert(data["fields"], kinds[data["type"]], strict=False, str_keys=True)


def newcomer(kind: type[Decider], name: str, log: Log | None = None, knows: bool = True) -> DirectReplica:
    """A replica with an id that follows from its name; one that does not know the aggregate keeps and forwards."""
    identity = Identity(STORE, Random(name).getrandbits(64), name, ())
    aggregates = (kind,) if knows else ()
    return DirectReplica(log or MemoryLog(), STORE, name, aggregates, random=Random(name), identity=identity)


class Played:
    """What has come of a scenario: the replicas, and all commits that they have recorded."""

    def __init__(self, kind: type[Decider], scenario: Scenario) -> None:
        self.kind, self.stream = kind, f"{kind.stream}/1"
        self.refused = 0
        """Writes that were refused, and left no trace."""
        self.replicas = [newcomer(kind, NAMES[number]) for number in range(scenario.replicas)]
        for step in scenario.steps:
            self._step(step)
        self.hub = newcomer(kind, "hub")
        for replica in self.replicas:
            hear(self.hub, list(replica.all_slices()))
        version = self.hub.core.memory.version
        self.commits: list[tuple[Commit, VersionVector]] = self.hub.reader().beyond(NOTHING, version, 1 << 62)
        """All of them with their contexts, in the order of their stamps."""
        self.slices = {(piece.replica, piece.after + 1): piece for piece in self._single()}

    def _step(self, step: Write | Hear) -> None:
        replica = self.replicas[step.replica]
        if isinstance(step, Hear):
            hear(replica, list(self.replicas[step.other].all_slices()))
            return
        try:
            if isinstance(step.what, Command):
                replica.execute(self.stream, step.what, step.wall)
            else:
                replica.append(self.stream, step.what, step.wall)
        except (Refused, InvalidEvent):
            self.refused += 1
        replica.flush()

    def _single(self) -> Iterator[Slice]:
        """All commits, each as a slice of its own."""
        reader = self.hub.reader()
        for lineage in reader.lineages.values():
            for row in lineage.rows:
                seq = 0
                while seq < row.head.seq:
                    layout = reader.layout(row, seq + 1)
                    yield from (layout.cut(index, index + 1) for index in range(len(layout.lasts)))
                    seq = layout.lasts[-1]

    def order(self, seed: int) -> list[Commit]:
        """The commits in some order in which causes come first."""
        random, left, seen = Random(seed), [*self.commits], NOTHING
        found: list[Commit] = []
        while left:
            ready = [
                item for item in left
                if item[1] <= seen and item[0].first == seen[item[0].replica] + 1
            ]  # fmt: skip
            item = random.choice(ready)
            left.remove(item)
            found.append(item[0])
            seen = seen.advance(item[0].replica, item[0].last)
        return found

    def piece(self, commit: Commit) -> Slice:
        return self.slices[commit.replica, commit.first]


def hear(replica: DirectReplica, pieces: list[Slice]) -> None:
    """Give a replica commits; they must be causally closed with what it holds."""
    replica.flush()
    if pieces:
        found = replica.ingest(pieces)
        assert not isinstance(found, Gap), found
        replica.flush()
