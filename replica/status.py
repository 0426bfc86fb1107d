"""Status: one frozen value that says how a replica is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from merge.version import Dot, ReplicaId, VersionVector


@dataclass(frozen=True, slots=True)
class ProjectionStatus:
    """How one projection stands."""

    table: str
    """The table; or `due/<category>`, for what is due."""
    state: str
    """live, building or stopped."""
    stream: str = ""
    """Where it stopped: the stream,"""
    dot: str = ""
    """the event (or the latest ones of the stream),"""
    why: str = ""
    """and what was raised."""


@dataclass(frozen=True, slots=True)
class DueStatus:
    """A command that is due."""

    command_id: str
    stream: str
    """The stream that owes it."""
    command: str
    to: str
    """The stream that decides on it."""
    cause: Dot
    owner: ReplicaId
    """The replica that carries it out."""
    state: str
    """next (this replica will), pending (its owner will), done (the present does not say so yet), or parked."""
    at: int | None
    """Not before this wall time (ms)."""
    why: str | None
    """Why it was parked."""
    settled: bool
    """Not before its cause is settled."""


@dataclass(frozen=True, slots=True)
class AsideStatus:
    """An event whose reaction has failed."""

    dot: Dot
    stream: str
    type: str
    failures: int
    error: str
    parked: bool
    """It is not tried any more, until `retry` or `drop`."""


@dataclass(frozen=True, slots=True)
class FormerStatus:
    """What is left to react to of what a replica recorded under an id that it gave up."""

    replica: ReplicaId
    behind: int


@dataclass(frozen=True, slots=True)
class ReactionStatus:
    """How one reaction stands."""

    name: str
    listed: bool
    """This code has it; another one did that left what is set aside."""
    behind: int
    """Own events that it has still to look at, under former ids too."""
    aside: tuple[AsideStatus, ...]
    former: tuple[FormerStatus, ...] = ()
    """How many of them this replica recorded under each id that it gave up."""
    unread: tuple[Unfolded, ...] = ()
    """Own events that this code cannot read: they wait for code that can."""
    why: str = ""
    """Why it does not run, where it cannot."""


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """How one feed stands."""

    name: str
    behind: int
    """Events that it has still to look at."""
    failures: int
    """How often the delivery failed that is tried now."""
    dot: Dot | None
    """The first event of that delivery,"""
    error: str | None
    """and why it failed; or why the feed does not run."""
    unread: tuple[Unfolded, ...] = ()
    """Events that this code cannot read: they wait for code that can, and hold back nothing."""


@dataclass(frozen=True, slots=True)
class ExportStatus:
    """How a projection stands in a target."""

    export: str
    table: str
    state: str
    """live, building or stopped."""
    behind: int
    """Events that it has still to look at."""
    failures: int
    """How often the target could not be written in a row,"""
    why: str | None
    """and why; or why the projection stopped."""


@dataclass(frozen=True, slots=True)
class Member:
    """A replica that takes part, or did."""

    replica: ReplicaId
    behind: int
    """Events held here that it is not known to have observed: what `stable` waits for."""
    retired: bool
    """Nobody waits for it."""


@dataclass(frozen=True, slots=True)
class Unfolded:
    """Events that are kept and forwarded, and are in no present.

    "unknown type": code that knows the type folds them; `what` is type and schema, such as `ItemAdded 2`.
    "set aside": so many times an event was set aside that cannot be folded (see `replica.aside`).
    "second history" is an alarm: two histories were written under one id, of which everybody folds the same one;
    `what` is the name of the replica. An event may be both, and is then counted under each.
    "waiting edit": a text in the stream `what` (of those that were folded since this was opened) does not show an
    edit that builds on one which has not come.
    """

    why: Literal["unknown type", "second history", "set aside", "waiting edit"]
    what: str
    events: int


@dataclass(frozen=True, slots=True)
class Divergence:
    """An alarm: this replica and a peer hold the same events of a stream, and read them differently."""

    stream: str
    peer: ReplicaId
    since: int
    """Wall time (ms) at which it was found."""
    event: Dot | None
    """The first event after which they differ. None where a present was not the fold of its own log, or where the
    event could not be found."""
    type: str
    here: str
    """The digest of what is read here after that event (or of the present),"""
    there: str
    """and there."""
    fault: str
    """`here` or `peer`, where it is known."""
    what: str
    """What happened, what it means for the data, and what to do."""

    def __str__(self) -> str:
        return self.what


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Streams whose presents are not compared with those of some peer."""

    why: str
    """`other code` (`what` is their category: the two sides fold them by different code), `no digest` (the same:
    their states hold what has no plain form, as an absorbed value without `digest`), or `poisoned`."""
    what: str
    streams: int


@dataclass(frozen=True, slots=True)
class Status:
    """What a replica holds, and what about it needs attention."""

    store: str
    replica: ReplicaId
    name: str
    version: VersionVector
    events: int
    """Events in the log, of all replicas."""
    replicas: int
    loaded: tuple[str, ...]
    """Streams whose present is in memory."""
    unfolded: tuple[Unfolded, ...]
    """What is kept and forwarded here, and is in no present; an alarm where it is a second history."""
    poisoned: dict[str, str]
    """Streams that cannot be folded, and why."""
    succeeds: ReplicaId | None
    """The id that this replica went on from, if its file was a copy or older than its mark."""
    durability: str
    projections: tuple[ProjectionStatus, ...]
    due: tuple[DueStatus, ...]
    reactions: tuple[ReactionStatus, ...]
    feeds: tuple[FeedStatus, ...]
    exports: tuple[ExportStatus, ...]
    stable: VersionVector
    """What every live member is known to have observed."""
    divergences: tuple[Divergence, ...]
    """Alarms: streams that a peer reads differently."""
    unlisted: int
    """Divergences that were seen while there were so many alarms that no more are kept."""
    compared: int
    """How often a present was compared with that of a peer, and was the same."""
    left_out: tuple[LeftOut, ...]
    """What is not compared, and why."""
    mended: int
    """Presents that were not the fold of their log, and were read again from it."""
