"""Live latency: 200 events a second for 5 s, each from the call that makes it until the other side has seen it.

Anabranch: from the call of `execute` on one replica until `listen` tells of the event on the other: decided,
durable (FULL), sent, checked, durable there too (NORMAL), folded. Events are sent on schedule, whether or not the
earlier ones have arrived. Beside it, over the same kind of loopback websocket and in one process as well: a bare
`websockets` echo of 100 bytes (there, and there and back), the same by hand with a row in SQLite (aiosqlite) on
both sides before it counts, and pycrdt-websocket (a set in the served document until the other one's observer is
called), which stores nothing: from the served document to a client, and, as people use it, from one client
through the server to another. Replicas of Anabranch need no server between them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

import aiosqlite

from bench import peers
from bench.basket import HOME, HOST, PATIENCE, AddItem, item, opened, together
from bench.table import Figures, Run, compare, quantile
from sync import connect, serve

RATE = 200
MESSAGE = bytes(100)


async def main(run: Run) -> None:
    count = run.size(5 * RATE, RATE // 2)
    contenders = {
        "anabranch, FULL": partial(anabranch, count, "full"),
        "anabranch, NORMAL": partial(anabranch, count, "normal"),
        "anabranch, memory": partial(anabranch, count, "memory"),
        "websockets, there": partial(echo, count, False),
        "websockets, there and back": partial(echo, count, True),
        "websockets and SQLite by hand, FULL": partial(by_hand, count),
        "pycrdt-websocket, to its server": partial(pycrdt, count),
        "pycrdt-websocket, to another client": partial(pycrdt_clients, count),
    }
    await compare(f"{RATE} events a second, {count:,} events", contenders, run.times)


async def paced(count: int, send: Callable[[int], Awaitable[Any]], seen: list[float]) -> Figures:
    """Call `send` RATE times a second until `count` are seen; `seen` is filled, in order, by whoever sees them."""
    sent = [0.0] * count

    async def once(number: int) -> None:
        sent[number] = time.perf_counter()
        await send(number)

    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        start = time.perf_counter()
        for number in range(count):
            await asyncio.sleep(start + number / RATE - time.perf_counter())
            tasks.create_task(once(number))
        while len(seen) < count:
            await asyncio.sleep(0.01)
    took = [(arrived - left) * 1000 for left, arrived in zip(sent, seen, strict=True)]
    return {"p50 ms": quantile(took, 0.5), "p99 ms": quantile(took, 0.99), "max ms": max(took)}


async def anabranch(count: int, durability: str) -> Figures:
    seen: list[float] = []
    with TemporaryDirectory() as folder:
        async with (
            opened(folder, "a", durability) as a,
            opened(folder, "b", durability) as b,
            serve(a, HOST, 0) as server,
            connect(b, f"ws://{HOST}:{server.port}"),
        ):
            for replica in (a, b):
                await replica.execute(HOME, AddItem("first"))
            await together(a, b)
            b.listen(lambda settled: seen.extend(time.perf_counter() for c in settled.commits for _ in c.events))
            return await paced(count, lambda number: a.execute(HOME, AddItem(item(number))), seen)
    raise AssertionError


async def echo(count: int, back: bool) -> Figures:
    seen: list[float] = []

    async def answer(link: Any) -> None:
        async for message in link:
            if not back:
                seen.append(time.perf_counter())
            await link.send(message)

    async def read(link: Any) -> None:
        async for _ in link:
            if back:
                seen.append(time.perf_counter())

    async with asyncio.TaskGroup() as tasks, peers.listen(answer) as port, peers.dial(port) as link:
        tasks.create_task(read(link))
        return await paced(count, lambda _: link.send(MESSAGE), seen)
    raise AssertionError


async def by_hand(count: int) -> Figures:
    seen: list[float] = []
    with TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            files = []
            for name in ("a", "b"):
                db = aiosqlite.connect(f"{folder}/{name}.db", isolation_level=None)
                files.append(await stack.enter_async_context(db))
                await db.execute("PRAGMA journal_mode=WAL")
                await db.execute(f"PRAGMA synchronous={'FULL' if name == 'a' else 'NORMAL'}")
                await db.execute("CREATE TABLE event(seq INTEGER PRIMARY KEY, payload BLOB)")

            async def take(link: Any) -> None:
                async for message in link:
                    await files[1].execute("INSERT INTO event VALUES (NULL, ?)", (message,))
                    seen.append(time.perf_counter())

            link = await stack.enter_async_context(peers.dial(await stack.enter_async_context(peers.listen(take))))

            async def send(_: int) -> None:
                await files[0].execute("INSERT INTO event VALUES (NULL, ?)", (MESSAGE,))
                await link.send(MESSAGE)

            return await paced(count, send, seen)
    raise AssertionError


async def pycrdt(count: int) -> Figures:
    there, here = peers.pycrdt_doc(), peers.pycrdt_doc()
    async with peers.pycrdt_room(there) as port, peers.pycrdt_link(here, port):
        return await pycrdt_paced(count, there, here)
    raise AssertionError


async def pycrdt_clients(count: int) -> Figures:
    one, other = peers.pycrdt_doc(), peers.pycrdt_doc()
    async with (
        peers.pycrdt_room(peers.pycrdt_doc()) as port,
        peers.pycrdt_link(one, port),
        peers.pycrdt_link(other, port),
    ):
        return await pycrdt_paced(count, one, other)
    raise AssertionError


async def pycrdt_paced(count: int, there: Any, here: Any) -> Figures:
    """Sets in one document until the other's observer is called."""
    seen: list[float] = []
    items, observed = peers.pycrdt_map(there), peers.pycrdt_map(here)
    subscription = observed.observe(lambda event: seen.extend(time.perf_counter() for _ in event.keys))

    async def send(number: int) -> None:
        items[item(number)] = number

    try:
        return await paced(count, send, seen)
    finally:
        observed.unobserve(subscription)
