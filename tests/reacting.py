"""A process that adds items as fast as it can, and reacts to each by a line in a file; until it is killed."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import aclosing

from merge.version import VersionVector
from replica import Feed, Replica, reaction
from tests.shop import HOME, AddItem, AddTwice, ItemAdded, ShoppingList


async def run(path: str, effects: str, fed: str, finish: bool) -> None:
    def note(file: str, *lines: object) -> None:
        with open(file, "a") as out:
            out.write("".join(f"{line}\n" for line in lines))

    @reaction(ItemAdded)
    async def line(entry, replica):
        note(effects, entry.dot)

    async def deliver(entries):
        note(fed, *(entry.dot for entry in entries))

    async with Replica.open(
        path, store="shop", name="victim", aggregates=[ShoppingList], reactions=[line],
        feeds=[Feed("fed", deliver, types=[ItemAdded])],
    ) as replica:  # fmt: skip
        if not finish:
            for number in range(5000):
                await replica.execute(HOME, AddTwice(f"{number}") if number % 3 else AddItem(f"{number}"))
                print(number, flush=True)
        while replica.status().reactions[0].behind or replica.status().feeds[0].behind:
            await asyncio.sleep(0.01)
        async with aclosing(replica.watch(types=[ItemAdded], after=VersionVector())) as entries:
            async for entry in entries:
                print(entry.dot)
                if entry.dot.seq == replica.version[entry.dot.replica]:
                    break
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:4], finish=len(sys.argv) > 4))
