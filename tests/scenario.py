"""One scenario with a clock of its own: two replicas that wrote without seeing each other, and a third one."""

from __future__ import annotations

from random import Random

from replica import Replica
from sync import linked
from tests.loop import until
from tests.shop import (
    HOME,
    JOURNAL,
    AddItem,
    AddTwice,
    Count,
    GiveTitle,
    Journal,
    RemoveItem,
    ShoppingList,
    TakeNote,
    Write,
)


class Clock:
    """Stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 1_767_225_600_000

    def __call__(self) -> int:
        return self.now


async def parted(alice, bob, clock=None):
    """Two replicas that have met, and then wrote the same places without seeing each other."""

    async def execute(replica, command):
        if clock is not None:
            clock.now += 1000
        await replica.execute(HOME, command)

    await execute(alice, AddItem("milk"))
    await execute(alice, GiveTitle("Food"))
    await execute(alice, Write("hello"))
    async with linked(alice, bob):
        await bob.wait_for(alice.version)
    await execute(alice, GiveTitle("Thursday"))
    await execute(bob, GiveTitle("Friday"))
    await execute(bob, RemoveItem("milk"))
    await execute(alice, AddItem("milk"))
    await execute(bob, Count(3))
    await execute(alice, Count(2))
    await execute(bob, Write(" world", 5))
    async with linked(alice, bob):
        await until(lambda: alice.version == bob.version)


def opened(path, name, clock):
    """A replica of the shop with an id that follows from its name."""
    return Replica.open(
        path, store="shop", name=name, aggregates=[ShoppingList, Journal], clock=clock, random=Random(name)
    )


async def files(folder):
    """The scenario as files: alice and bob have met, carol has what they had then, and has written on."""
    clock = Clock()
    async with opened(folder / "alice.db", "alice", clock) as alice:
        async with opened(folder / "bob.db", "bob", clock) as bob:
            await parted(alice, bob, clock)
        async with opened(folder / "carol.db", "carol", clock) as carol:
            await carol.join(alice)
            clock.now += 1000
            await carol.execute(HOME, AddTwice("tea"))
            await alice.execute(HOME, GiveTitle("Sunday"))
            clock.now += 1000
            await carol.execute(HOME, GiveTitle("Monday"), command_id="rename", correlation="plan")
            await alice.join(carol)
            clock.now += 1000
            await alice.execute(JOURNAL, TakeNote("all have met"))
