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


@dataclass(frozen=True, slots=True)
class Unfolded:
    """Events that are kept and forwarded, and are in no present.

    "unknown type": code that knows the type folds them; `what` is type and schema, such as `ItemAdded 2`.
    "second history" is an alarm: two histories were written under one id, of which everybody folds the same one;
    `what` is the name of the replica. An event may be both, and is then counted under each.
    """

    why: Literal["unknown type", "second history"]
    what: str
    events: int


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
