"""The ledger: what was recorded in a schedule, as its authors knew it. The oracles believe it, and no log.

Rule 1. A commit is entered when it is durable at its author, with the version that the author had then; what had
        become durable when its process crashed is entered when that begins again, as its log has it.
Rule 2. A dot names one commit for ever. Two commits under one dot are a fault, but under an id that is in use twice
        (a file was copied or set back, and no mark could tell).
Rule 3. What was acknowledged is everywhere in the end, but for what a backup has taken back.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import NamedTuple

from merge.version import NOTHING, Dot, VersionVector
from replica.commit import PREFIX, Commit
from replica.core import Core, Settled
from replica.direct import DirectReplica
from replica.event import EventTypes
from sync.testing.workload import NOW, STREAMS, Fact

TYPES = EventTypes([event for kind in NOW.aggregates for event in kind.events])


class Found(AssertionError):
    """Something that must hold does not."""

    def __init__(self, oracle: str, what: str) -> None:
        super().__init__(f"{oracle}: {what}")
        self.oracle = oracle


class Acknowledged(NamedTuple):
    """What was acknowledged: the log of a replica up to there, and the first bytes of its head."""

    replica: int
    seq: int
    prefix: bytes

    @classmethod
    def latest(cls, core: Core) -> Acknowledged:
        """All that a replica has written, as it is durable now."""
        head = core.memory.lineages[core.me].tip.head
        return cls(core.me, head.seq, head.hash[:PREFIX])


class Entry(NamedTuple):
    """A commit, what its author had observed, and the facts in it by stream."""

    commit: Commit
    context: VersionVector
    facts: dict[str, list[Fact]]


class Ledger:
    """All commits of a schedule."""

    def __init__(self) -> None:
        self.entries: dict[int, dict[int, Entry]] = {}
        """By replica and first seq."""
        self.acknowledged: list[Acknowledged] = []
        self.taken_back: set[Acknowledged] = set()
        """What a backup has undone at the replica that had acknowledged it, or heard of it."""
        self.observed: dict[int, VersionVector] = {}
        """What was ever durable at each replica, by its id."""
        self.undone = False
        """A backup has taken the place of a file."""
        self.twins: set[int] = set()
        """Ids that may be in use twice."""
        self._named: dict[tuple[int, int], bytes] = {}

    def without_twins(self, version: VersionVector) -> VersionVector:
        """A version without the ids of which a number may name two events."""
        return VersionVector({replica: seq for replica, seq in version.seqs.items() if replica not in self.twins})

    # --- entering ---

    def listen(self, replica: DirectReplica) -> None:
        """Enter what becomes durable at a replica, if that has recorded it."""

        def hear(settled: Settled) -> None:
            self._observe(replica)
            for commit, context in settled.news:
                if commit.replica == replica.core.me:
                    self.enter(commit, context)

        self.catch_up(replica)
        self._observe(replica)
        replica.listeners.append(hear)

    def _observe(self, replica: DirectReplica) -> None:
        me = replica.core.me
        self.observed[me] = self.observed.get(me, NOTHING) | replica.core.memory.version

    def catch_up(self, replica: DirectReplica) -> None:
        """Enter the own commits of a replica that were not entered yet."""
        core, me = replica.core, replica.core.me
        known = self._known(me)
        upto = core.memory.version[me]
        if known < upto and me not in self.twins:
            position = NOTHING.advance(me, known)
            for commit, context in replica.reader().beyond(position, core.memory.version, 1 << 62, only=me):
                self.enter(commit, context)

    def _known(self, replica: int) -> int:
        entries = self.entries.get(replica)
        return entries[max(entries)].commit.last if entries else 0

    def enter(self, commit: Commit, context: VersionVector) -> None:
        facts: dict[str, list[Fact]] = {}
        for seq, recorded in enumerate(commit.events, commit.first):
            if recorded.stream in STREAMS:
                event = TYPES.decode(recorded.type, recorded.schema, recorded.payload)
                dot = Dot(commit.replica, seq)
                fact = Fact(dot, commit.stamp, context.advance(commit.replica, seq - 1), event)
                facts.setdefault(recorded.stream, []).append(fact)
        self.entries.setdefault(commit.replica, {})[commit.first] = Entry(commit, context, facts)

    def acknowledge(self, replica: DirectReplica) -> None:
        """What this replica has recorded is acknowledged, up to its head."""
        latest = Acknowledged.latest(replica.core)
        me, seq, prefix = latest
        if self._named.setdefault((me, seq), prefix) != prefix and me not in self.twins:
            raise Found("identity", f"{Dot(replica.core.label(me), seq)} names two commits")
        self.acknowledged.append(latest)

    # --- backups ---

    def held(self, replica: DirectReplica) -> set[Acknowledged]:
        """What was acknowledged, and a replica holds."""
        reader = replica.reader()
        return {promise for promise in self.acknowledged if reader.boundary(*promise) is not None}

    def set_back(self, before: set[Acknowledged], replica: DirectReplica) -> None:
        """A replica held `before`, and then a backup took the place of its file."""
        self.undone = True
        self.taken_back |= before - self.held(replica)

    def forget_lost(self, replicas: list[DirectReplica]) -> None:
        """Of what a backup has undone, nobody is owed what is nowhere any more."""
        if not self.taken_back:
            return
        readers = [replica.reader() for replica in replicas]
        lost = {
            promise for promise in self.taken_back
            if all(reader.boundary(*promise) is None for reader in readers)
        }  # fmt: skip
        self.taken_back -= lost
        self.acknowledged = [promise for promise in self.acknowledged if promise not in lost]

    # --- reading ---

    def observed_by_all(self, members: tuple[int, ...]) -> VersionVector:
        """What each of some replicas had once."""
        return reduce(VersionVector.__and__, [self.observed[member] for member in members])

    def is_final(self, stable: VersionVector, version: VersionVector, members: tuple[int, ...]) -> bool:
        """What members recorded before they had observed `stable` lies in `version`: nothing comes before it."""
        return all(
            stable <= entry.context or entry.commit.last <= version[member]
            for member in members
            for entry in self.entries.get(member, {}).values()
        )

    def held_in(self, version: VersionVector) -> Iterator[Entry]:
        """The commits inside a version."""
        for replica, seq in version.seqs.items():
            for first, entry in self.entries.get(replica, {}).items():
                if first <= seq:
                    yield entry

    def facts_of(self, replica: DirectReplica, stream: str, version: VersionVector) -> list[Fact]:
        """The facts of a stream inside a version that a replica holds.

        As its log has them, where an id is in use twice: a number may name two there.
        """
        if self.twins:
            return [fact for fact in read_facts(replica, stream) if fact.dot in version]
        return self.facts(stream, version)

    def facts(self, stream: str, version: VersionVector) -> list[Fact]:
        """The facts of a stream inside a version."""
        return [fact for entry in self.held_in(version) for fact in entry.facts.get(stream, ())]


def read_facts(replica: DirectReplica, stream: str) -> list[Fact]:
    """The facts of a stream as a log has them."""
    found = []
    for commit, context in replica.reader().stream(stream):
        for seq, recorded in enumerate(commit.events, commit.first):
            event = TYPES.decode(recorded.type, recorded.schema, recorded.payload)
            if recorded.stream == stream and event is not None:
                found.append(
                    Fact(Dot(commit.replica, seq), commit.stamp, context.advance(commit.replica, seq - 1), event)
                )
    return found
