"""Entries: events as the log tells of them to those who do not fold them (projections, watchers, reactions, feeds).

Rule. An entry says what the log says, and nothing that depends on who reads it or when. Events of types that this
code does not know, and Anabranch's own (streams `replica/...`), are not told.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from merge.stamp import Stamp
from merge.version import Dot, VersionVector
from replica.commit import Commit, Note
from replica.event import Event
from replica.introduction import CATEGORY

if TYPE_CHECKING:
    from replica.core import Core


class Entry(NamedTuple):
    """One event, and all that its commit says of it."""

    stream: str
    dot: Dot
    """Its name, `alice:3`: unique for ever, and so the key that makes a side effect idempotent."""
    stamp: Stamp
    context: VersionVector
    """What its author had observed when it was decided, without the earlier events of the same commit."""
    event: Event
    note: Note | None = None

    @property
    def time(self) -> datetime:
        """When it was recorded, by the clock of its author."""
        return datetime.fromtimestamp(self.stamp.wall / 1000, UTC)

    @property
    def correlation(self) -> str | None:
        return self.note.correlation if self.note else None

    @property
    def command(self) -> str | None:
        """The id of the command that led to it."""
        return self.note.command if self.note else None

    @property
    def cause(self) -> Dot | None:
        """The event that it answers to."""
        return Dot(*self.note.cause) if self.note and self.note.cause else None


def entries(core: Core, commit: Commit, context: VersionVector) -> Iterator[Entry]:
    """The events of a commit that this code knows. Raises what decoding a poison event raises."""
    for seq, event in enumerate(commit.events, commit.first):
        if event.stream.startswith(f"{CATEGORY}/"):
            continue
        decoded = core.types.decode(event.type, event.schema, event.payload)
        if decoded is not None:
            dot = Dot(core.label(commit.replica), seq)
            yield Entry(event.stream, dot, commit.stamp, context, decoded, commit.note)
