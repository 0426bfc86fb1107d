"""The limits of a link: bare websockets, and the same with a row in SQLite at both ends before an event counts."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from typing import Any

import msgspec
from websockets.asyncio.client import connect
from websockets.asyncio.server import broadcast, serve

from bench.job import HOST, Figures, Job
from bench.keys import pairs
from bench.peers.byhand import SOCKET
from bench.peers.pace import all_seen, paced

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int, str, str]).decode
INSERT = "INSERT INTO event VALUES(?, ?, ?)"


def file(path: str, synchronous: str) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute(f"PRAGMA synchronous={synchronous}")
    db.execute("CREATE TABLE event(seq INTEGER PRIMARY KEY, key TEXT, value TEXT)")
    return db


async def read_here(job: Job) -> Figures:
    """Where events arrive: counted when they are in the file and in the present."""
    db, present, seen = file(f"{job.folder}/here.db", "NORMAL"), dict[str, str](), dict[int, float]()

    async def answer(link: Any) -> None:
        async for message in link:
            event = _decode(message)
            db.execute(INSERT, event)
            present[event[1]] = event[2]
            seen[event[0]] = time.perf_counter()

    async with serve(answer, HOST, 0, **SOCKET) as server:
        await job.serve(server.sockets[0].getsockname()[1])
        return await all_seen(seen, job.count)
    raise AssertionError


async def write_there(job: Job) -> Figures:
    """Where events are made: in the file, with FULL, before they are sent (as many as wait in one transaction)."""
    db, sets = file(f"{job.folder}/there.db", "FULL"), pairs(job.count)
    waiting: list[tuple[int, str, str]] = []
    wake = asyncio.Event()
    async with connect(job.url, **SOCKET) as link:

        async def commit() -> None:
            while await wake.wait():
                wake.clear()
                taken = waiting[:]
                waiting.clear()
                db.execute("BEGIN")
                db.executemany(INSERT, taken)
                db.execute("COMMIT")
                for event in taken:
                    await link.send(_encode(event))

        def send(number: int) -> None:
            waiting.append((number, *sets[number]))
            wake.set()

        committing = asyncio.create_task(commit())
        await asyncio.sleep(0.2)
        figures = await paced(send, job.count, job.option)
        await job.linger()
        committing.cancel()
        return figures
    raise AssertionError


async def hub(job: Job) -> Figures:
    """What comes from one goes to all others, with the library's `broadcast`."""
    links: set[Any] = set()

    async def answer(link: Any) -> None:
        links.add(link)
        try:
            async for message in link:
                broadcast(links - {link}, message)
        finally:
            links.discard(link)

    async with serve(answer, HOST, 0, **SOCKET) as server:
        await job.serve(server.sockets[0].getsockname()[1])
    return {}


async def through_hub(job: Job) -> Figures:
    """A writer and a reader with nothing but a socket each."""
    sets, seen = pairs(job.count), dict[int, float]()
    async with connect(job.url, **SOCKET) as a, connect(job.url, **SOCKET) as b:

        async def read(link: Any) -> None:
            async for message in link:
                seen[_decode(message)[0]] = time.perf_counter()

        reading = asyncio.create_task(read(b))
        await asyncio.sleep(0.2)
        figures = await paced(lambda at: a.send(_encode((at, *sets[at]))), job.count, job.option)
        figures |= await all_seen(seen, job.count)
        reading.cancel()
        return figures
    raise AssertionError
