"""A process that writes as fast as it can, and says what was acknowledged; until somebody kills it."""

from __future__ import annotations

import asyncio
import sys

from replica import Replica
from tests.shop import HOME, AddItem, AddTwice, ShoppingList

WRITERS = 8


async def write(path: str, mark: str) -> None:
    async with Replica.open(path, store="shop", name="victim", aggregates=[ShoppingList]) as replica:

        async def one(writer: int) -> None:
            for turn in range(100_000):
                item = f"{mark}/{writer}/{turn}"
                command = AddTwice(item) if turn % 3 == 0 else AddItem(item)
                committed = await replica.execute(HOME, command)
                print(committed.dots[0].seq, int(committed.dots[0].replica), item, flush=True)

        await asyncio.gather(*(one(writer) for writer in range(WRITERS)))


if __name__ == "__main__":
    asyncio.run(write(sys.argv[1], sys.argv[2]))
