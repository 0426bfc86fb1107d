"""What a replica says of itself at one moment: its Hello, its horizon (see `replica.meeting`)."""

from __future__ import annotations

from replica.core import Core
from replica.meeting import accepted_until
from sync.message import FORMAT, Hello


def horizon(core: Core, now: int) -> int:
    """The greatest wall time (ms) of a stamp that is accepted at `now`."""
    return accepted_until(core.memory.stamp, now)


def joined(core: Core) -> list[str]:
    """The other stores that have become one with this."""
    return sorted(core.memory.stores - {core.store})


def hello(core: Core, nonce: bytes, now: int) -> Hello:
    return Hello(FORMAT, core.store, core.me, core.identity.name, nonce, horizon(core, now), joined(core))
