"""A scenario of writes and of hearing of each other, played for `assert_converges`: what has come of it.

(Scenarios themselves are `replica.scenario`; those with links, crashes and the rest are played by `sync.testing`.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random

from merge.version import NOTHING, VersionVector
from replica.app import kinds_of
from replica.arrange import Gap
from replica.block import Slice
from replica.commit import Commit
from replica.decider import Decider
from replica.direct import DirectReplica
from replica.errors import ChangedInPlace, InvalidEvent, Refused
from replica.event import Command, Event
from replica.log import Identity, Log
from replica.memory import MemoryLog
from replica.scenario import STORE, Scenario, ScenarioError, chance_of, typed
from replica.step import AnyStep, Hear, Write


def newcomer(kind: type[Decider], name: str, log: Log | None = None, knows: bool = True) -> DirectReplica:
    """A replica with an id that follows from its name; one that does not know the aggregate keeps and forwards."""
    random = chance_of(name)
    identity = Identity(STORE, random.getrandbits(64), name, ())
    aggregates = (kind,) if knows else ()
    return DirectReplica(log or MemoryLog(), STORE, name, aggregates, random=random, identity=identity)


class Played:
    """What has come of a scenario: the replicas, and all commits that they have recorded.

    ScenarioError where other things happen in it than writes to one stream and hearing.
    """

    def __init__(self, kind: type[Decider], scenario: Scenario, *more: type[Event | Command]) -> None:
        self.kind, self.stream = kind, _stream(kind, scenario)
        self.refused = 0
        """Writes that were refused, and left no trace."""
        kinds, now = kinds_of((kind,), *more), scenario.clock.start
        scenario.kind_check(kinds)
        there = {name: newcomer(kind, name) for name in scenario.replicas}
        for step in scenario.steps:
            now += scenario.clock.step if isinstance(step, Write) else 0
            self._step(there, step, kinds, now)
        self.replicas = [*there.values()]
        self.hub = newcomer(kind, "hub")
        for replica in self.replicas:
            hear(self.hub, list(replica.all_slices()))
        version = self.hub.core.memory.version
        self.commits: list[tuple[Commit, VersionVector]] = self.hub.reader().beyond(NOTHING, version, 1 << 62)
        """All of them with their contexts, in the order of their stamps."""
        self.slices = {(piece.replica, piece.after + 1): piece for piece in self._single()}

    def _step(
        self, there: dict[str, DirectReplica], step: AnyStep, kinds: Mapping[str, type[Event | Command]], now: int
    ) -> None:
        if isinstance(step, Hear):
            hear(there[step.replica], list(there[step.other].all_slices()))
            return
        assert isinstance(step, Write)
        replica, what = there[step.replica], [typed(one, kinds) for one in step.all_said]
        wall = now if step.wall is None else step.wall
        try:
            if step.command is not None:
                replica.execute(self.stream, what[0], wall)
            else:
                replica.append(self.stream, what, wall)
        except ChangedInPlace:  # no replica could record it, and nothing would be checked
            raise
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


def _stream(kind: type[Decider], scenario: Scenario) -> str:
    """The one stream that a scenario writes to."""
    streams = set()
    for number, step in enumerate(scenario.steps, 1):
        if not isinstance(step, Write | Hear):
            raise ScenarioError(
                f"step {number} ({step.do}): `replay` knows `write` and `hear`; play the whole of it with "
                "`sync.testing.play`"
            )
        if isinstance(step, Write):
            streams.add(step.stream or f"{kind.stream}/1")
    if len(streams) > 1 or not all(stream.partition("/")[0] == kind.stream for stream in streams):
        raise ScenarioError(f"`replay` is about one stream of {kind.__name__}, and this has {sorted(streams)}")
    return streams.pop() if streams else f"{kind.stream}/1"


def hear(replica: DirectReplica, pieces: list[Slice]) -> None:
    """Give a replica commits; they must be causally closed with what it holds."""
    replica.flush()
    if pieces:
        found = replica.ingest(pieces)
        assert not isinstance(found, Gap), found
        replica.flush()
