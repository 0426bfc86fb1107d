"""History: the events of a stream as the log has them, whether this code knows their types or not.

Rule 1. In the order of stamps, which puts causes first and is the same on every replica.
Rule 2. Streamed: a portion at a time is read from the log, whatever the length of the stream.
Rule 3. Each event says which earlier events (in this order) of the stream its author had not seen: those are
        concurrent with it. So of two concurrent events the second one names the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from merge.stamp import Stamp
from merge.version import Dot, ReplicaId, VersionVector
from replica.commit import Commit, Note, Recorded
from replica.event import Event

if TYPE_CHECKING:
    from replica.core import Core


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
    concurrent: Mapping[ReplicaId, range]
    """Replica -> the seqs among which lie the earlier events of the stream that its author had not seen."""
    note: Note | None = None

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
        shown = self.fields
        if isinstance(shown, dict):
            shown = ", ".join(f"{name}={value!r}" for name, value in shown.items())
        return f"{self.dot} {self.type}({shown})"


def records(
    core: Core, stream: str, commits: Iterable[tuple[Commit, VersionVector]], earlier: VersionVector
) -> Iterator[Record]:
    """The events of a stream in some commits, in their order; `earlier` are those of the stream before them."""
    for commit, context in commits:
        unseen = context.advance(commit.replica, commit.first - 1).missing(earlier)
        concurrent = {core.label(replica): seqs for replica, seqs in unseen.items()}
        for seq, recorded in enumerate(commit.events, commit.first):
            if recorded.stream == stream:
                dot, event = Dot(core.label(commit.replica), seq), _read(core, recorded)
                yield Record(
                    stream, dot, commit.stamp, core.labelled(context), recorded.type, recorded.schema,
                    recorded.payload, event, concurrent, commit.note,
                )  # fmt: skip
                earlier = earlier.advance(*dot)


def _read(core: Core, recorded: Recorded) -> Event | None:
    try:
        return core.types.decode(recorded.type, recorded.schema, recorded.payload)
    except Exception:
        return None
