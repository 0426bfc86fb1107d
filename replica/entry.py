"""Entries: events as the log tells of them to those who do not fold them (projections, watchers, reactions, feeds).

Rule. An entry says what the log says, and nothing that depends on who reads it or when. Not told are events of
types that this code does not know, Anabranch's own, and those that it cannot read (they have poisoned their
stream, which status shows).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from merge.stamp import Stamp
from merge.version import Dot, VersionVector
from replica.commit import Commit, Note, Recorded
from replica.event import Event
from replica.introduction import CATEGORY, OWN_TYPES
from replica.slips import classes, names

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
    event: Any
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


class Selection(NamedTuple):
    """Which entries somebody wants: of these streams or categories, and of these types. Empty is all."""

    streams: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    types: frozenset[type[Event]] = frozenset()

    @classmethod
    def of(
        cls, core: Core, streams: Iterable[str], categories: Iterable[str], types: Iterable[type[Event]]
    ) -> Selection:
        """A selection that makes sense here; ValueError where it names what this replica does not know."""
        kinds = classes(types, Event, "types")
        made = cls(
            frozenset(names(streams, "streams")), frozenset(names(categories, "categories")), frozenset(kinds)
        )
        for category in (*(stream.split("/", 1)[0] for stream in made.streams), *made.categories):
            if category not in core.aggregates:
                known = ", ".join(sorted(core.aggregates)) or "none"
                raise ValueError(f"no aggregate here folds {category!r} (there are: {known}): nothing would come")
        for kind in made.types:
            if not any(kind in aggregate.events for aggregate in core.aggregates.values()):
                raise ValueError(f"no aggregate here lists {kind.__name__} in its `events`: nothing would come")
        return made

    def picks_stream(self, stream: str) -> bool:
        if not self.streams and not self.categories:
            return True
        return stream in self.streams or stream.split("/", 1)[0] in self.categories

    def picks(self, event: Event) -> bool:
        return not self.types or type(event) in self.types


ALL = Selection()


def entries(
    core: Core,
    commit: Commit,
    context: VersionVector,
    selection: Selection = ALL,
    missed: Callable[[int, Recorded], None] | None = None,
) -> Iterator[Entry]:
    """The events of a commit that are told, and wanted; `missed` hears of those that this code cannot read."""
    for seq, event in enumerate(commit.events, commit.first):
        if event.stream.startswith(f"{CATEGORY}/") or not selection.picks_stream(event.stream):
            continue
        try:
            decoded = core.types.decode(event.type, event.schema, event.payload)
        except Exception:
            decoded = None
        if decoded is None:
            if missed is not None and event.type not in OWN_TYPES:
                missed(seq, event)
        elif type(decoded).__name__ not in OWN_TYPES and selection.picks(decoded):
            dot = core.dot((commit.replica, seq))
            yield Entry(event.stream, dot, commit.stamp, core.named(context), decoded, core.noted(commit.note))
