"""The log: what a backend stores, and the few questions it answers.

Rule 1. A log is a run of blocks; a block is stored as slices (one a transaction, until it is sealed) or as one
        sealed slice. Sealing changes no event and no head.
Rule 2. `write` is all or nothing, and durable when it returns.
Rule 3. A backend understands no column. Where a boundary lies, what a stream holds, what a peer is missing is
        computed in `replica.reading`, from whole blocks, for every backend.
Rule 4. Each question costs a bounded number of blocks, whatever the length of the log.
Rule 5. What is kept beside the log (`Kept`) changes in the transactions of the log, and means nothing to a
        backend.

Logs are numbered locally, in the order in which they were first seen. A replica id has one log, and a
further one for each history that was written under the same id elsewhere (see `replica.lineage`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from merge.stamp import Stamp
from replica.block import Head, Slice
from replica.commit import Observed
from replica.errors import StoreError


class LogRow(NamedTuple):
    """One log as it stands: its number, whose it is, where it begins, and how far it goes.

    A log that parts from another one has the other's number as `parent`, and `after` is the last seq that
    they share; `first_hash` is the head after its own first commit, `rival_hash` the head after the commit
    that the parent has at the same place.
    """

    number: int
    replica: int
    name: str
    head: Head
    stamp: Stamp
    parent: int = 0
    after: int = 0
    first_hash: bytes = b""
    rival_hash: bytes = b""
    store: str = ""
    """The store that it is of; nothing for that of the replica which holds it."""

    def moved_to(self, head: Head, stamp: Stamp) -> LogRow:
        """This log after further commits."""
        return LogRow(
            self.number,
            self.replica,
            self.name,
            head,
            stamp,
            self.parent,
            self.after,
            self.first_hash,
            self.rival_hash,
            self.store,
        )


class BlockStart(NamedTuple):
    """Where a block begins: the head before it, and what its log had observed by then (local, derived)."""

    number: int
    first: int
    parent: bytes
    stamp: Stamp | None
    named: tuple[Observed, ...]


class Block(NamedTuple):
    """A block, or the part of it that is held: contiguous slices from its first event on."""

    start: BlockStart
    slices: list[Slice]


class Identity(NamedTuple):
    """Who writes here: the store, the replica, and the nonces of the latest openings (newest last)."""

    store: str
    replica: int
    name: str
    openings: tuple[bytes, ...]
    clean: bool = True
    """The last close was clean, or every commit was written with synchronous=FULL."""
    succeeds: int = 0
    """The id that this one goes on from; 0 for none."""


class Done(NamedTuple):
    """A command that was carried out: its id, and the commit that it led to."""

    command: str
    first: int
    last: int
    stamp: Stamp
    """Of the commit; its replica is the one that recorded it."""
    stream: str = ""
    """Carried out elsewhere: the stream of the first event. Nothing where it was carried out here."""
    intent: bytes = b""
    """Carried out here: what the id was used for (see `replica.intent`)."""
    cause: tuple[int, int] | None = None
    """The event that its commit says it answers to. Not kept."""


class Kept(NamedTuple):
    """Something small that stands beside the log under a key: a cache of it, or this replica's own business."""

    kind: str
    key: str
    value: bytes


class Span(NamedTuple):
    """Keys of one kind from `low` on and before `high` (None: to the end), in the order of their code points."""

    kind: str
    low: str = ""
    high: str | None = None

    @classmethod
    def one(cls, kind: str, key: str) -> Span:
        """One key alone."""
        return cls(kind, key, key + "\0")

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.low <= key and (self.high is None or key < self.high)


class Table(NamedTuple):
    """A table of a projection: columns that say whose a row is, columns that it fills, indexes, views over it."""

    name: str
    keys: tuple[tuple[str, type], ...]
    columns: tuple[tuple[str, type], ...]
    indexes: tuple[tuple[str, ...], ...] = ()
    views: tuple[tuple[str, str], ...] = ()

    @property
    def made_of(self) -> dict[str, tuple[str, ...]]:
        """What is there when it is made, as in `Contents.tables`: the table, its indexes, its views."""
        beside = [*map(self.index_name, self.indexes), *(view for view, _ in self.views)]
        columns = [f"{name} key" for name, _ in self.keys] + [name for name, _ in self.columns]
        return {self.name: tuple(columns), **dict.fromkeys(beside, ())}

    def index_name(self, columns: tuple[str, ...]) -> str:
        """The name of an index over some of its columns."""
        return "_".join([self.name, "by", *columns])


class Rows(NamedTuple):
    """What stands in a table under one key (a stream, or a stream and a dot) from now on, instead of what did."""

    table: str
    key: tuple[str | int, ...]
    rows: list[tuple[Any, ...]]


class Transaction(NamedTuple):
    """What becomes durable at once."""

    logs: list[LogRow]
    starts: list[BlockStart]
    slices: list[tuple[int, Slice]]
    streams: list[tuple[str, int, int]]
    """(stream, log number, first seq of the block): the block holds events of the stream."""
    types: dict[tuple[str, int], int]
    """(type, schema) -> how many events more."""
    identity: Identity | None = None
    own: bool = True
    """It holds own commits, which are acknowledged; others can be fetched again."""
    commands: tuple[Done, ...] = ()
    """Commands with an id that commits in it carried out. One that was carried out here takes the place of what is
    known of its id (and no stream); of one that was heard of, the first stays."""
    forget: tuple[Span, ...] = ()
    """Keys that are let go, before any are kept."""
    keep: tuple[Kept, ...] = ()
    """What stands under each key from now on."""
    begin: tuple[Table, ...] = ()
    """Tables that are made, empty, in place of any of that name."""
    rows: tuple[Rows, ...] = ()
    switch: tuple[tuple[str, Table], ...] = ()
    """Tables, by name, that take the place and the name of others; with their indexes and views."""

    @property
    def rows_by_switch(self) -> tuple[list[Rows], list[Rows]]:
        """The rows for tables that are about to be switched, and all others, which come after that."""
        switched = {name for name, _ in self.switch}
        before = [rows for rows in self.rows if rows.table in switched]
        return before, [rows for rows in self.rows if rows.table not in switched]


class CommitInDoubt(StoreError):
    """COMMIT itself failed: what was to be written is there, or it is not. Open the log again and look."""


class TableFailed(Exception):
    """The table of a projection could not be written, for a reason of its own. Nothing was written."""

    def __init__(self, table: str, why: str) -> None:
        super().__init__(table, why)
        self.table, self.why = table, why


class Contents(NamedTuple):
    """What opening a log tells; its size grows with the number of replicas, not with their history."""

    identity: Identity | None
    logs: list[LogRow]
    types: dict[tuple[str, int], int]
    tables: Mapping[str, tuple[str, ...]]
    """The tables, indexes and views that are there; of tables the columns, in their order, with "key" behind
    those of the key."""


class Log(Protocol):
    """What a backend offers. Its calls block; the replica makes them where that does no harm."""

    def contents(self) -> Contents:
        """What is stored, without reading a block."""

    def write(self, transaction: Transaction) -> None:
        """Make all of it durable, or none of it and raise.

        CommitInDoubt where it may be the one or the other; TableFailed where a table of a projection is to blame.
        """

    def block(self, number: int, seq: int) -> Block | None:
        """The block of that log in which event `seq` lies; None where the log does not reach so far."""

    def blocks_of(self, stream: str) -> list[tuple[int, int]]:
        """(log number, first seq) of each block that holds events of the stream."""

    def command(self, command: str, stream: str = "") -> Done | None:
        """What was carried out here under an id; or, in a stream, elsewhere: what was heard of first."""

    def kept(self, span: Span, latest: int | None = None) -> list[Kept]:
        """What is kept under the keys of a span, in their order; or under so many of the latest keys."""

    def rows(self, table: str, stream: str | None = None) -> list[tuple[Any, ...]]:
        """All that stands in a table of a projection, or what does of one stream, in the order of its keys; nothing
        if there is no such table."""

    def streams(self, category: str, after: str, most: int) -> list[str]:
        """The next streams of a category (or of all: "") after `after`, in the order of their code points."""

    def unsealed(self, after: tuple[int, int] = (0, 0)) -> list[tuple[int, int]]:
        """(log number, first seq) of full blocks that are still stored as several slices: the next ones behind
        `after`, in their order."""

    def seal(self, number: int, first: int) -> None:
        """Store a full block as one slice. Changes no event and no head; a crash leaves the one or the other."""

    def close(self) -> None:
        """Give the file back. Nothing may be called after it."""
