"""Watching: every event once, causes first, from any version on, however slow the reader is."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from random import Random

import pytest

from merge.version import VersionVector
from replica import Entry, Event, Replica
from replica.follow import WAITING
from sync import linked
from tests.loop import in_loop, until
from tests.shop import (
    HOME,
    JOURNAL,
    AddItem,
    AddTwice,
    Count,
    Counted,
    ItemAdded,
    Journal,
    Noted,
    ShoppingList,
    TakeNote,
)

NOTHING = VersionVector()


def opened(path=":memory:", name="alice", **options):
    return Replica.open(path, store="shop", name=name, aggregates=[ShoppingList, Journal], **options)


class Unlisted(Event):
    """An event that no aggregate lists."""


async def take(entries, count) -> list[Entry]:
    async with aclosing(entries):
        return [await anext(entries) for _ in range(count)]


@in_loop
async def test_an_entry_says_all_that_the_log_says_of_an_event():
    """Stream, dot, time, event, what it answers to, and under which ids."""
    async with opened() as alice:
        first = await alice.execute(HOME, AddItem("milk"))
        await alice.execute(HOME, AddItem("eggs"), command_id="c 1", correlation="breakfast", cause=first.dots[0])
        milk, eggs = await take(alice.watch(HOME, after=NOTHING), 2)
        assert (milk.stream, milk.event, str(milk.dot)) == (HOME, ItemAdded("milk"), "alice:2")
        assert (milk.cause, milk.command, milk.correlation) == (None, None, None)
        assert (eggs.cause, eggs.command, eggs.correlation) == (milk.dot, "c 1", "breakfast")
        assert milk.dot in eggs.context
        assert (str(eggs.cause), str(eggs.context)) == ("alice:2", "alice:2"), (
            "as the log names the event everywhere"
        )
        assert str((await take(alice.history(HOME), 2))[1].cause) == "alice:2"
        assert 0 <= (eggs.time - milk.time).total_seconds() < 60


@in_loop
async def test_what_is_watched_is_chosen_by_stream_category_and_type():
    """Alone or together; what nobody could ever see is refused in words."""
    async with opened() as alice:
        await alice.execute(HOME, AddItem("milk"))
        await alice.execute(JOURNAL, TakeNote("rain"))
        await alice.execute("list/work", AddItem("paper"))
        await alice.execute("list/work", Count(1))

        async def seen(count, *streams, **wanted):
            return [
                type(one.event).__name__
                for one in await take(alice.watch(*streams, after=NOTHING, **wanted), count)
            ]

        assert await seen(2, "list/work") == ["ItemAdded", "Counted"]
        assert await seen(3, categories=["list"]) == ["ItemAdded", "ItemAdded", "Counted"]
        assert await seen(2, types=[Noted, Counted]) == ["Noted", "Counted"]
        assert await seen(1, "list/work", types=[Counted]) == ["Counted"]
        for wrong in ({"categories": ["lists"]}, {"types": [Unlisted]}):
            with pytest.raises(ValueError, match="nothing would come"):
                alice.watch(**wrong)


@in_loop
async def test_without_a_version_watching_begins_when_it_is_asked_for():
    """Not when the first entry is taken; and what was before is not seen."""
    async with opened() as alice:
        await alice.execute(HOME, AddItem("before"))
        entries = alice.watch(HOME)
        await alice.execute(HOME, AddItem("after"))
        assert [one.event.item for one in await take(entries, 1)] == ["after"]


@pytest.mark.parametrize("seed", range(3))
def test_no_gap_and_nothing_twice_while_two_replicas_write(seed, tmp_path):
    """A watcher that begins somewhere in the past, pauses at random, and sees what a peer sends as well."""

    @in_loop
    async def run():
        random = Random(seed)
        async with opened(tmp_path / "a.db") as alice, opened(name="bob") as bob, linked(alice, bob):
            for number in range(random.randrange(300)):
                await alice.execute(HOME, AddItem(f"{number}"))
            after = alice.version if random.random() < 0.5 else NOTHING
            missed = sum(dot.seq - 1 for dot in after)

            async def write(replica, count):
                for number in range(count):
                    await replica.execute(HOME, AddTwice(f"{number}"))
                    if random.random() < 0.1:
                        await asyncio.sleep(0.001)

            total = sum(dot.seq - 1 for dot in alice.version) - missed + 2 * 2 * 150
            writing = asyncio.gather(write(alice, 150), write(bob, 150))
            dots, seen = [], after
            async with aclosing(alice.watch(after=after)) as entries:
                async for entry in entries:
                    assert entry.dot not in seen
                    assert entry.context <= alice.version
                    dots.append(entry.dot)
                    if random.random() < 0.02:
                        await asyncio.sleep(0.01)
                    if len(dots) == total:
                        break
            await writing
            assert len(set(dots)) == total
            for replica in (alice, bob):
                own = [dot.seq for dot in dots if int(dot.replica) == int(replica.status().replica)]
                assert own == sorted(own)

    run()


@in_loop
async def test_a_slow_reader_holds_little_in_memory_and_misses_nothing(tmp_path):
    """While it sleeps more happens than may wait; it reads on from the log."""
    async with opened(tmp_path / "a.db") as alice:
        entries = alice.watch(HOME)
        await alice.execute(HOME, AddItem("first"))
        assert (await anext(entries)).event.item == "first"
        for number in range(8):
            await alice.append(HOME, *(ItemAdded(f"{number}/{n}") for n in range(WAITING // 4)))
        (follower,) = [hear.__self__ for hear in alice._pump._listeners if hasattr(hear, "__self__")][-1:]
        assert follower._events <= WAITING
        assert not follower._waiting
        found = await take(entries, 2 * WAITING)
        assert [one.dot.seq for one in found] == list(range(3, 3 + 2 * WAITING))


@in_loop
async def test_watchers_end_with_the_replica_and_leave_nothing_behind():
    """A loop over entries ends when it is closed; one that is left early listens no more."""
    async with opened() as alice:
        await alice.execute(HOME, AddItem("milk"))
        listeners = len(alice._pump._listeners)
        await take(alice.watch(HOME, after=NOTHING), 1)
        assert len(alice._pump._listeners) == listeners
        seen = []

        async def watch():
            async for entry in alice.watch(HOME):
                seen.append(entry.event.item)

        watching = asyncio.create_task(watch())
        await asyncio.sleep(0)
        await alice.execute(HOME, AddItem("eggs"))
        await until(lambda: seen)
    await watching
    assert seen == ["eggs"]
