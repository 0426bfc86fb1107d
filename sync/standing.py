"""What a replica says of itself at one moment: its Hello, its heads, its horizon.

The horizon is how far in the future stamps are accepted: a day beyond the own clock, so that one wrong clock
cannot carry everybody's stamps away with it. A clock that stands before the newest stamp in the log is behind
itself; the stamp takes its place, so that a slow clock keeps nobody's events out. (The price: a member who means
harm can lead stamps on, a day at a time.)
"""

from __future__ import annotations

from replica.core import Core
from sync.message import FORMAT, Heads, Hello

HORIZON = 24 * 60 * 60 * 1000
"""ms: more than time zones set wrongly, less than anybody takes for now."""


def heads(core: Core) -> Heads:
    """The heads of all logs that are durable here."""
    return {replica: tuple(lineage.heads) for replica, lineage in core.memory.lineages.items()}


def horizon(core: Core, now: int) -> int:
    """The greatest wall time (ms) of a stamp that is accepted at `now`."""
    stamp = core.memory.stamp
    return max(now, 0 if stamp is None else stamp.wall) + HORIZON


def hello(core: Core, nonce: bytes, now: int) -> Hello:
    return Hello(FORMAT, core.store, core.me, core.identity.name, nonce, horizon(core, now))
