"""The draft: what a replica will be once its next transaction is durable.

Rule. A memory is a record of immutable values, so a draft is a copy of the record and costs what it changes.
It becomes the replica's memory after COMMIT; dropped, it leaves no trace. (The one value that does change is the
tail of the own log, which grows as commits become bytes: with a draft that is dropped all open ends are, and are
read again.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
from immutables import Map

from merge.stamp import Stamp
from merge.version import NOTHING, Dot, VersionVector
from replica.backlog import NO_BACKLOG, Backlog
from replica.block import Slice
from replica.commit import Commit, Observed, Recorded
from replica.due import Owned, Promise
from replica.event import Event
from replica.layout import join
from replica.lineage import Lineage
from replica.log import BlockStart, Done, Identity, Kept, Rows, Span, Table, Transaction
from replica.place import StreamPlace
from replica.projection import Standing
from replica.reading import Boundary, End
from replica.run import News

Fact = tuple[Commit, VersionVector, int, Recorded]
"""An event of Anabranch's own: its commit, the context of that, its seq, and itself."""

RECENT = 4096
"""How many boundaries are remembered for contexts to name; others are read from the log."""


class Poison(NamedTuple):
    """What stops a stream."""

    why: str
    dot: Dot


@dataclass(slots=True)
class Memory:
    """What a replica knows. Everything in it can be computed again from the log.

    Only a draft assigns to its fields; their values never change.
    """

    version: VersionVector = NOTHING
    stamp: Stamp | None = None
    """The greatest stamp observed."""
    lineages: Map[int, Lineage] = Map()
    ends: Map[int, End] = Map()
    """The open ends that are loaded, by log number. A missing one is read from the log when needed."""
    recent: Map[Observed, Boundary] = Map()
    """Boundaries that contexts may name soon, by that name."""
    unseen: Map[int, Observed] = Map()
    """Heads observed since the last own commit."""
    presents: Map[str, Any] = Map()
    """States by stream, of those that are loaded."""
    stands: Map[str, StreamPlace] = Map()
    """Of the streams that are loaded: how far they are folded."""
    backlog: Backlog = NO_BACKLOG
    """What presents wait for that are to be folded when somebody asks."""
    commands: Map[tuple[str, str], Done | None] = Map()
    """Commands by id and stream (none: here), of those that were asked for: what they led to; None where nothing
    is known of them."""
    unknown: Map[str, tuple[tuple[str, int], ...]] = Map()
    """By stream, of those that were asked about: the types in it that this code does not know."""
    poison: Map[str, Poison] = Map()
    """Streams that cannot be folded, and why."""
    types: Map[tuple[str, int], int] = Map()
    """How many events of each type the log holds."""
    identity: Identity | None = None
    retirements: Map[int, int] = Map()
    """Replicas that somebody has retired, each with how much of its log was known to whoever did."""
    stores: frozenset[str] = frozenset()
    """The stores whose logs are held: this replica's, and those that have become one with it."""
    standings: Map[str, Standing] = Map()
    """How projections stand."""
    promises: Map[str, Promise] = Map()
    """What is due, by command id."""
    owed: Map[str, Map[str, None]] = Map()
    """The ids of what is due in a stream."""
    owners: Map[str, Owned] = Map()
    """Streams that have another owner than the fact says."""
    held: Map[tuple[str, str], Any] = Map()
    """What workers hold beside the log (where reactions and feeds have come to, what they have set aside), by kind
    and key: it changes with the draft."""

    @property
    def retired(self) -> frozenset[int]:
        """Replicas that take part no more: that were retired, and have written nothing since."""
        return frozenset([who for who, seq in self.retirements.items() if self.version[who] <= seq])

    def copy(self) -> Memory:
        return Memory(
            self.version, self.stamp, self.lineages, self.ends, self.recent, self.unseen, self.presents,
            self.stands, self.backlog, self.commands, self.unknown, self.poison, self.types, self.identity,
            self.retirements, self.stores, self.standings, self.promises, self.owed, self.owners, self.held,
        )  # fmt: skip


_json = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Draft:
    """A memory that is not durable yet (this draft's own copy), and the transaction that will make it so."""

    memory: Memory
    own: list[tuple[Commit, VersionVector]] = field(default_factory=list)
    """Own commits that are not bytes yet, with their contexts (see `replica.recording`)."""
    runs: list[tuple[int, list[Slice]]] = field(default_factory=list)
    """Slices by log number; those of one block that follow each other in one list, to be stored as one."""
    starts: list[BlockStart] = field(default_factory=list)
    streams: list[tuple[str, int, int]] = field(default_factory=list)
    types: dict[tuple[str, int], int] = field(default_factory=dict)
    commits: News = field(default_factory=News)
    """What is new, folded or not."""
    news: News = field(default_factory=News)
    """What of it is folded."""
    refolded: bool = False
    """A second history turned up: what was folded is folded again from the log."""
    stale: set[str] = field(default_factory=set)
    """Categories with a present that was let go of though something follows from it: that is built again."""
    changed: dict[str, None] = field(default_factory=dict)
    """Streams that have new events."""
    done: list[Done] = field(default_factory=list)
    """Commands with an id that were carried out."""
    identity_changed: bool = False
    facts: list[Fact] = field(default_factory=list)
    """Events of Anabranch's own that are told again, since what followed from them was lost."""
    forget: list[Span] = field(default_factory=list)
    kept: dict[tuple[str, str], bytes] = field(default_factory=dict)
    """What is to stand beside the log, by kind and key."""
    begin: dict[str, Table] = field(default_factory=dict)
    rows: dict[tuple[str, tuple[str | int, ...]], list[tuple[Any, ...]]] = field(default_factory=dict)
    """What is to stand in the tables of projections, by table and key."""
    switch: dict[str, Table] = field(default_factory=dict)

    def told(self, kind: type[Event]) -> Iterator[tuple[Commit, int, Recorded]]:
        """The events of one of Anabranch's own types that are new, or told again, with their commits and seqs.

        Folded or not: which history of an id is folded may change, and what follows from a fact must not depend on
        when it was heard. (What is adopted is not listed among the commits.)
        """
        return ((commit, seq, event) for commit, _, seq, event in self.told_with(kind))

    def told_with(self, kind: type[Event]) -> Iterator[Fact]:
        """The same, each with the context of its commit."""
        named = kind.__name__, kind.schema
        yield from (one for one in self.facts if (one[3].type, one[3].schema) == named)
        for commit, context in (self.commits or self.news) if named in self.types else ():
            for seq, event in enumerate(commit.events, commit.first):
                if (event.type, event.schema) == named:
                    yield commit, context, seq, event

    def count(self, kinds: Sequence[tuple[str, int]]) -> None:
        """Count events by their types."""
        types, first = self.types, kinds[0]
        same = kinds.count(first)
        found = {first: same} if same == len(kinds) else Counter(kinds)
        for kind, events in found.items():
            types[kind] = types.get(kind, 0) + events

    def remember(self, found: Iterable[tuple[int, Boundary]]) -> None:
        """Keep boundaries for contexts to name; start afresh rather than grow without bound."""
        recent: Map[Observed, Boundary] = Map() if len(self.memory.recent) > RECENT else self.memory.recent
        for replica, boundary in found:
            recent = recent.set(boundary.named(replica), boundary)
        self.memory.recent = recent

    def forget_present(self, stream: str) -> None:
        """Let go of a present: it is read from the log when it is needed."""
        memory = self.memory
        if stream in memory.presents:
            memory.presents, memory.stands = memory.presents.delete(stream), memory.stands.delete(stream)
        if stream in memory.backlog.presents:
            memory.backlog = memory.backlog.without(stream)

    def settled(self) -> Memory:
        """The memory that this draft becomes."""
        memory = self.memory
        for kind, events in self.types.items():
            memory.types = memory.types.set(kind, memory.types.get(kind, 0) + events)
        return memory

    def keep(self, kind: str, key: str, value: bytes) -> None:
        """Let `value` stand beside the log under a key."""
        self.kept[kind, key] = value

    def let_go(self, span: Span) -> None:
        """Let nothing stand there any more."""
        for kind, key in [*self.kept]:
            if kind == span.kind and key in span:
                del self.kept[kind, key]
        self.forget.append(span)

    def hold(self, kind: str, key: str, value: msgspec.Struct) -> None:
        """Let a value of a worker stand beside the log under a key, in JSON, and in memory with it."""
        self.keep(kind, key, _json(value))
        self.memory.held = self.memory.held.set((kind, key), value)

    def release(self, kind: str, key: str) -> None:
        """Let it stand there no more."""
        self.let_go(Span.one(kind, key))
        if (kind, key) in self.memory.held:
            self.memory.held = self.memory.held.delete((kind, key))

    def forget_rows(self, table: str) -> None:
        """Let nothing be written to a table after all."""
        self.rows = {key: rows for key, rows in self.rows.items() if key[0] != table}
        self.begin.pop(table, None)
        self.switch.pop(table, None)

    def add_slice(self, number: int, piece: Slice) -> None:
        if self.runs:
            last_number, run = self.runs[-1]
            if (last_number, run[-1].first, run[-1].last) == (number, piece.first, piece.after):
                run.append(piece)
                return
        self.runs.append((number, [piece]))

    def transaction(self) -> Transaction:
        slices = [(number, join(run)) for number, run in self.runs]
        numbers = {number for number, _ in slices}
        replicas = {piece.replica for _, piece in slices}
        rows = [row for replica in replicas for row in self.memory.lineages[replica].rows if row.number in numbers]
        identity = self.memory.identity if self.identity_changed else None
        assert self.memory.identity is not None
        own = self.identity_changed or self.memory.identity.replica in replicas
        keep = tuple([Kept(*key, value) for key, value in self.kept.items()])
        return Transaction(
            rows, self.starts, slices, self.streams, self.types, identity, own, tuple(self.done),
            tuple(self.forget), keep, tuple(self.begin.values()),
            tuple([Rows(table, key, rows) for (table, key), rows in self.rows.items()]), tuple(self.switch.items()),
        )  # fmt: skip

    @property
    def dirty(self) -> bool:
        """It holds more than what was loaded."""
        return bool(self.runs or self.identity_changed or self.kept or self.forget or self.rows)
