"""Status: one frozen value that says how a replica is."""

from __future__ import annotations

from dataclasses import dataclass

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
    unknown: dict[str, int]
    """Events of types that this code does not know, kept and forwarded: `name schema` -> how many."""
    poisoned: dict[str, str]
    """Streams that cannot be folded, and why."""
    forked: tuple[str, ...]
    """Alarm: ids under which two histories were written. Both are kept; everybody folds the same one."""
    succeeds: ReplicaId | None
    """The id that this replica went on from, if its file was a copy or older than its mark."""
    durability: str
    projections: tuple[ProjectionStatus, ...]
    due: tuple[DueStatus, ...]
