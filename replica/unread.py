"""What a reaction or a feed has passed and its code could not read: set aside by name, and handed over when it can.

Rule 1. A cursor moves past what was understood. An event whose type or schema this code does not know, or whose
        bytes do not fit, is set aside: under its type, its schema and its log, with the seqs. It holds back nothing
        else.
Rule 2. It is kept in one value with the cursor, so that neither is ever ahead of the other.
Rule 3. When the replica is opened with code that knows the type, what is set aside comes first, in the order of its
        stamps; what that code still cannot read stays.
Rule 4. It is bounded, whatever is heard: of a type and a log RUNS runs of seqs, of a consumer TYPES types. Beyond
        that what lies between is set aside too, and may be handed over twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from replica.status import Unfolded

if TYPE_CHECKING:
    from replica.commit import Recorded
    from replica.core import Core

RUNS = 64
TYPES = 256


class Unread(msgspec.Struct, frozen=True):
    """Events of one type in one log that could not be read."""

    type: str
    """Nothing where there are so many types that they are put together."""
    schema: int
    log: int
    """The number of a log, or the id of a replica: whose seqs these are is for the consumer to say."""
    runs: tuple[tuple[int, int], ...]
    """First and last seqs."""
    events: int

    def has(self, event: Recorded) -> bool:
        """An event in one of its runs is set aside here."""
        return not self.type or (event.type, event.schema) == (self.type, self.schema)

    def can_be_read(self, core: Core) -> bool:
        """This code may read it."""
        return not self.type or (self.type, self.schema) in core.types


Found = dict[tuple[str, int, int], Unread]
"""What is set aside, by type, schema and log."""


def found(unread: Iterable[Unread]) -> Found:
    """What is set aside, to be added to."""
    return {(one.type, one.schema, one.log): one for one in unread}


def add(here: Found, log: int, seq: int, event: Recorded) -> None:
    """One more event is set aside; later ones of a log come later."""
    key = event.type, event.schema, log
    if key not in here and len(here) >= TYPES:
        key = "", 0, log
    known = here.get(key, Unread(*key, (), 0))
    runs = known.runs
    if runs and (runs[-1][1] == seq - 1 or len(runs) >= RUNS):
        runs = (*runs[:-1], (runs[-1][0], seq))
    else:
        runs = (*runs, (seq, seq))
    here[key] = Unread(*key, runs, known.events + 1)


def status(unread: Iterable[Unread]) -> tuple[Unfolded, ...]:
    """What is set aside, as people read it."""
    events: Counter[str] = Counter()
    for one in unread:
        events[f"{one.type} {one.schema}" if one.type else "of several types"] += one.events
    return tuple([Unfolded("unknown type", what, many) for what, many in sorted(events.items())])


def complain(core: Core, name: str, event: Recorded) -> None:
    """Say once that a consumer has passed what this code cannot read."""
    core.complaints.say(
        "unread", f"{name} {event.type} {event.schema}",
        f"{name} cannot be given {event.type} (schema {event.schema}), as in {event.stream}: this code cannot read "
        "it. Nothing is lost, and nothing waits for it: it is set aside, and comes when code is opened that can.",
    )  # fmt: skip
