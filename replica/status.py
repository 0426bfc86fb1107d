"""Status: one frozen value that says how a replica is."""

from __future__ import annotations

from dataclasses import dataclass

from merge.version import ReplicaId, VersionVector


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
