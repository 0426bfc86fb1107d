"""History: the events of a stream as the log has them, whether this code knows their types or not.

Rule 1. In the order of stamps, which puts causes first and is the same on every replica.
Rule 2. Streamed: a portion at a time is read from the log, whatever the length of the stream.
Rule 3. Each event says which earlier events (in this order) of the stream its author had not seen: those are
        concurrent with it. So of two concurrent events the second one names the first.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from merge.stamp import Stamp
from merge.version import Dot, ReplicaId, VersionVector
from replica.commit import Commit, Note
from replica.event import Event
from replica.words import shown

if TYPE_CHECKING:
    from replica.core import Core


SHORT = 16
"""Bytes that are shown to people one by one; of more only the number."""


class Run(NamedTuple):
    """Events of one replica: some of a list of seqs, which only ever grows."""

    replica: ReplicaId
    seqs: list[int]
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Record:
    """One event of a stream, and all that the log says of it."""

    stream: str
    dot: Dot
    stamp: Stamp
    context: VersionVector
    """What its author had observed, without the earlier events of its commit."""
    type: str
    schema: int
    payload: bytes
    event: Event | None
    """The event; None where this code does not know its type, or cannot read it."""
    unseen: tuple[Run, ...]
    note: Note | None = None
    folded: bool = True
    """False where it lies in a second history of its replica id, which is in no present (see `replica.lineage`)."""

    @property
    def concurrent(self) -> tuple[Dot, ...]:
        """The earlier events (in this order, of those that were read) that its author had not seen."""
        return tuple([Dot(run.replica, seq) for run in self.unseen for seq in run.seqs[run.start : run.stop]])

    @property
    def time(self) -> datetime:
        """When it was recorded, by the clock of its author."""
        return datetime.fromtimestamp(self.stamp.wall / 1000, UTC)

    @property
    def author(self) -> ReplicaId:
        replica = self.dot.replica
        return replica if isinstance(replica, ReplicaId) else ReplicaId(replica)

    @property
    def fields(self) -> Any:
        """What the event says, as plain values."""
        try:
            return msgspec.msgpack.decode(self.payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self.payload

    @property
    def cause(self) -> Dot | None:
        """The event that it answers to."""
        return Dot(*self.note.cause) if self.note and self.note.cause else None

    @property
    def command(self) -> str | None:
        return self.note.command if self.note else None

    @property
    def correlation(self) -> str | None:
        return self.note.correlation if self.note else None

    def __str__(self) -> str:
        said = self.fields
        if isinstance(said, dict):
            said = ", ".join(f"{name}={_short(value)}" for name, value in said.items())
        return f"{self.dot} {self.type}({said})"


def _short(value: Any) -> str:
    return f"<{len(value)} bytes>" if isinstance(value, bytes) and len(value) > SHORT else shown(value)


def records(
    core: Core, stream: str, commits: Iterable[tuple[Commit, VersionVector]], earlier: dict[int, list[int]]
) -> Iterator[Record]:
    """The events of a stream in some commits, in their order; `earlier` is those before them, and grows."""
    for commit, context in commits:
        unseen = tuple(
            Run(core.label(replica), seqs, bisect_right(seqs, context[replica]), len(seqs))
            for replica, seqs in earlier.items()
            if replica != commit.replica and seqs[-1] > context[replica]
        )
        for seq, recorded in enumerate(commit.events, commit.first):
            if recorded.stream == stream:
                yield _record(core, commit, core.labelled(context), seq, unseen)
                earlier.setdefault(commit.replica, []).append(seq)


def decision(core: Core, commit: Commit, context: VersionVector, *, folded: bool = True) -> tuple[Record, ...]:
    """The events of a commit, of whatever streams. They do not say what is concurrent with them."""
    labelled = core.labelled(context)
    seqs = range(commit.first, commit.last + 1)
    return tuple([_record(core, commit, labelled, seq, (), folded) for seq in seqs])


def _record(
    core: Core, commit: Commit, context: VersionVector, seq: int, unseen: tuple[Run, ...], folded: bool = True
) -> Record:
    recorded = commit.events[seq - commit.first]
    try:
        event: Event | None = core.types.decode(recorded.type, recorded.schema, recorded.payload)
    except Exception:  # it stays what it is: a type that this code does not know, or cannot read
        event = None
    return Record(
        recorded.stream, Dot(core.label(commit.replica), seq), commit.stamp, context, recorded.type,
        recorded.schema, recorded.payload, event, unseen, core.noted(commit.note), folded,
    )  # fmt: skip
