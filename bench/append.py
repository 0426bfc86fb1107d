"""Durable append of small events (20 bytes of payload), one writer that awaits each, and 256 at a time.

Anabranch writes to 16 streams of 1,000 items through `Replica.execute` (the present is read, the command decided,
the event folded, hashed and made durable) and through `Replica.append` (the same without a decision). Beside it:
raw aiosqlite, WAL, a row per event and nothing else: one INSERT in its own transaction for one writer; for 256 a
group commit written by hand (waiting rows in one transaction). `eventsourcing` saves events of 16 aggregates that
stay in memory; it and pycrdt-store have no setting for durability: SQLite's default, FULL, WAL for the first and
a rollback journal for the second. Neither has group commit: 256 writers take turns. No network, no reading back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import cache, partial
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import aiosqlite
import msgspec

from bench.basket import AddItem, ItemAdded, item, opened
from bench.table import Figures, Measure, Run, compare

STREAMS = [f"basket/{number}" for number in range(16)]
Put = Callable[[int], Awaitable[Any]]
_encode = msgspec.msgpack.Encoder().encode


async def main(run: Run) -> None:
    single, many, slow = run.size(2_000, 50), run.size(50_000, 1_000), run.size(2_000, 100)
    for durability in ("full", "normal"):
        for writers, count in ((1, single), (256, many)):
            contenders: dict[str, Measure] = {
                "anabranch execute": partial(anabranch, durability, writers, count, "execute"),
                "anabranch append": partial(anabranch, durability, writers, count, "append"),
                "aiosqlite by hand": partial(by_hand, durability, writers, count),
            }
            if durability == "full":
                contenders["eventsourcing"] = partial(eventsourcing, writers, slow)
                contenders["pycrdt-store"] = partial(pycrdt_store, writers, min(slow, 500))
            title = f"{writers} writer{'s'[: writers > 1]}, synchronous={durability.upper()}, {count:,} events"
            await compare(title, contenders, run.times)
        title = f"1 writer, synchronous={durability.upper()}, {single:,} events in each, event by event in turns"
        print(f"\n{title}\n")
        for _ in range(run.times):
            print(await in_turns(durability, single))


async def in_turns(durability: str, count: int) -> str:
    """One event here, one there: what disturbs the one disturbs the other."""
    ours, theirs = [], []
    with TemporaryDirectory() as folder:
        async with (
            opened(folder, "a", durability) as replica,
            aiosqlite.connect(f"{folder}/raw.db", isolation_level=None) as db,
        ):
            await prepare(db, durability)
            for stream in STREAMS:
                await replica.append(stream, ItemAdded("first"))
            for number in range(count):
                start = time.perf_counter()
                await replica.execute(STREAMS[number % 16], AddItem(item(number // 16)))
                middle = time.perf_counter()
                await db.execute(INSERT, row(number))
                ours.append(middle - start)
                theirs.append(time.perf_counter() - middle)
    one, other = median(ours) * 1000, median(theirs) * 1000
    return f"anabranch execute {one:.2f} ms, aiosqlite by hand {other:.2f} ms: x{one / other:.2f} (medians)"


async def prepare(db: aiosqlite.Connection, durability: str) -> None:
    await db.execute("PRAGMA journal_mode=WAL")
    await db.execute(f"PRAGMA synchronous={durability}")
    await db.execute("CREATE TABLE event(seq INTEGER PRIMARY KEY, stream TEXT, type TEXT, payload BLOB)")


async def spread(writers: int, count: int, put: Put) -> Figures:
    """Have `writers` tasks put `count` events, each one event after the other."""

    async def write(first: int) -> None:
        for number in range(first, count, writers):
            await put(number)

    start = time.perf_counter()
    await asyncio.gather(*(write(writer) for writer in range(writers)))
    return {"events/s": count / (time.perf_counter() - start)}


async def anabranch(durability: str, writers: int, count: int, way: str) -> Figures:
    with TemporaryDirectory() as folder:
        async with opened(folder, "a", durability) as replica:
            for stream in STREAMS:
                await replica.append(stream, ItemAdded("first"))

            def execute(number: int) -> Awaitable[Any]:
                return replica.execute(STREAMS[number % 16], AddItem(item(number // 16)))

            def append(number: int) -> Awaitable[Any]:
                return replica.append(STREAMS[number % 16], ItemAdded(item(number // 16)))

            return await spread(writers, count, execute if way == "execute" else append)


async def by_hand(durability: str, writers: int, count: int) -> Figures:
    with TemporaryDirectory() as folder:
        level = None if writers == 1 else "DEFERRED"
        async with aiosqlite.connect(f"{folder}/raw.db", isolation_level=level) as db:
            await prepare(db, durability)
            if writers == 1:
                return await spread(1, count, lambda number: db.execute(INSERT, row(number)))
            async with asyncio.TaskGroup() as tasks:
                group = GroupCommit(db)
                committing = tasks.create_task(group.run())
                figures = await spread(writers, count, group.put)
                committing.cancel()
            return figures
    raise AssertionError


INSERT = "INSERT INTO event VALUES (NULL, ?, ?, ?)"


def row(number: int) -> tuple[str, str, bytes]:
    return STREAMS[number % 16], "ItemAdded", _encode(ItemAdded(item(number // 16)))


class GroupCommit:
    """What waits while a transaction is under way goes into the next one."""

    def __init__(self, db: aiosqlite.Connection) -> None:
        self.db, self.waiting, self.wake = db, list[tuple[Any, asyncio.Future[None]]](), asyncio.Event()

    async def put(self, number: int) -> None:
        done = asyncio.get_running_loop().create_future()
        self.waiting.append((row(number), done))
        self.wake.set()
        await done

    async def run(self) -> None:
        while await self.wake.wait():
            self.wake.clear()
            taken, self.waiting = self.waiting, []
            await self.db.executemany(INSERT, [values for values, _ in taken])
            await self.db.commit()
            for _, done in taken:
                done.set_result(None)


@cache
def _basket() -> Any:
    """The aggregate of `eventsourcing`, which wants it to be made once."""
    from eventsourcing.domain import Aggregate, event

    class Basket(Aggregate):
        @event("Opened")
        def __init__(self) -> None:
            self.items: set[str] = set()

        @event("ItemAdded")
        def add(self, item: str) -> None:
            self.items.add(item)

    return Basket


async def eventsourcing(writers: int, count: int) -> Figures:
    from eventsourcing.application import Application

    with TemporaryDirectory() as folder:
        settings = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": f"{folder}/es.db"}
        application: Any = Application(env=settings)
        baskets = [_basket()() for _ in STREAMS]
        application.save(*baskets)

        async def put(number: int) -> None:
            basket = baskets[number % 16]
            basket.add(item(number // 16))
            application.save(basket)

        try:
            return await spread(writers, count, put)
        finally:
            application.close()


async def pycrdt_store(writers: int, count: int) -> Figures:
    from pycrdt import Doc, Map
    from pycrdt.store import SQLiteYStore

    with TemporaryDirectory() as folder:

        class Store(SQLiteYStore):
            db_path = f"{folder}/y.db"

        doc: Any = Doc()
        items = doc.get("items", type=Map)
        updates: list[bytes] = []
        subscription = doc.observe(lambda event: updates.append(event.update))
        async with Store("doc") as store:

            async def put(number: int) -> None:
                items[item(number)] = number
                await store.write(updates.pop())

            figures = await spread(writers, count, put)
        doc.unobserve(subscription)
        return figures
