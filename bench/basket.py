"""The store that is measured: a set of at most 1,000 items, and one small event (20 bytes of payload)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from merge import AWSet
from replica import Aggregate, Command, Event, Replica

HOST = "127.0.0.1"
HOME = "basket/home"
KEYS = 1000
PATIENCE = 300
"""Seconds after which a measurement has failed."""


class ItemAdded(Event):
    item: str


class AddItem(Command):
    item: str


class Basket(Aggregate):
    """What is in a basket."""

    stream = "basket"
    events = (ItemAdded,)

    items = AWSet[str]()

    def decide(self, command: Command, given: Any) -> Any:
        match command:
            case AddItem(item):
                return ItemAdded(item)
        raise NotImplementedError(command)

    def effect(self, event: Any) -> Any:
        return self.items.add(event.item)


def item(number: int) -> str:
    """One of 1,000 items, 13 characters long."""
    return f"item-{number % KEYS:08d}"


@asynccontextmanager
async def opened(folder: str, name: str, durability: str = "full") -> AsyncIterator[Replica]:
    """A replica over a file in `folder`; with durability "memory" over none."""
    path, level = (":memory:", "full") if durability == "memory" else (f"{folder}/{name}.db", durability)
    async with Replica.open(path, store="bench", name=name, aggregates=[Basket], durability=level) as replica:
        yield replica


async def fill(replica: Replica, count: int, stream: str = HOME, commit: int = 1) -> None:
    """Record `count` events, `commit` of them a commit, about a thousand under way at a time."""
    parts = [range(at, min(at + commit, count)) for at in range(0, count, commit)]
    width = max(1, 1000 // commit)
    for at in range(0, len(parts), width):
        await asyncio.gather(
            *(replica.append(stream, *(ItemAdded(item(n)) for n in part)) for part in parts[at : at + width])
        )


async def together(one: Replica, other: Replica) -> None:
    """Wait until two replicas hold the same version, durably."""
    moved = asyncio.Event()
    stops = [replica.listen(lambda _: moved.set()) for replica in (one, other)]
    try:
        async with asyncio.timeout(PATIENCE):
            while one.version != other.version:
                moved.clear()
                await moved.wait()
    finally:
        for stop in stops:
            stop()
