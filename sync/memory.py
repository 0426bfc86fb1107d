"""Channels in memory: two replicas of one process meet without a network.

For tests, notebooks and simulations. With gates (`sync.gate`) such a channel also loses, delays, doubles and
reorders what it carries.

    async with linked(alice, bob) as link:
        ...
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from replica.replica import Replica
from sync.conversation import converse
from sync.gate import Gates
from sync.link import Link
from sync.pipe import Pipe

CAPACITY = 16
"""Frames on the way in one direction, as many as a websocket buffers."""


class MemoryChannel:
    """One end of a pair of channels."""

    def __init__(self, incoming: Pipe[bytes], outgoing: Pipe[bytes]) -> None:
        self._incoming, self._outgoing = incoming, outgoing

    async def send(self, frame: bytes) -> None:
        await self._outgoing.put(frame)

    async def receive(self) -> bytes:
        return await self._incoming.get()

    async def close(self) -> None:
        await self._incoming.close()
        await self._outgoing.close()


def pair(capacity: int = CAPACITY) -> tuple[MemoryChannel, MemoryChannel]:
    """Two ends: what the one sends the other receives."""
    there: Pipe[bytes] = Pipe(capacity)
    back: Pipe[bytes] = Pipe(capacity)
    return MemoryChannel(back, there), MemoryChannel(there, back)


@asynccontextmanager
async def linked(one: Replica, other: Replica, gates: Gates | None = None) -> AsyncIterator[Link]:
    """Two replicas that talk for as long as this lasts; the link and the gates are those of `one`."""
    one.check_loop()
    other.check_loop()
    here, there = pair()
    link = Link(f"memory:{other.name}")
    tasks = [
        asyncio.create_task(converse(one, here, link, gates)),
        asyncio.create_task(converse(other, there, Link(f"memory:{one.name}"))),
    ]
    try:
        yield link
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
