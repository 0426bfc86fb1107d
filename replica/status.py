"""Status: one frozen value that says how a replica is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from merge.version import ReplicaId, VersionVector


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
