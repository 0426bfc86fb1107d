"""The limits: version vectors over rows in SQLite, durable and handed over as bytes; and a websocket that says a
word.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from bench.job import Figures, Job
from bench.keys import pairs
from bench.peers.rounds import Sets, answering, dial, linked_rounds, rounds

_encode = msgspec.msgpack.Encoder().encode
_clock = msgspec.msgpack.Decoder(dict[int, int]).decode
_rows = msgspec.msgpack.Decoder(list[tuple[int, int, str, str]]).decode
SCHEMA = """
PRAGMA journal_mode=WAL;
PRAGMA synchronous=NORMAL;
CREATE TABLE event(replica INT, seq INT, key TEXT, value TEXT, PRIMARY KEY(replica, seq)) WITHOUT ROWID;
CREATE TABLE clock(replica INTEGER PRIMARY KEY, next INT);
"""


def put(db: sqlite3.Connection, rows: list[tuple[int, int, str, str]]) -> None:
    db.execute("BEGIN")
    db.executemany("INSERT INTO event VALUES(?, ?, ?, ?)", rows)
    nexts = {row[0]: row[1] + 1 for row in rows}
    db.executemany("INSERT OR REPLACE INTO clock VALUES(?, ?)", nexts.items())
    db.execute("COMMIT")


async def tiny(job: Job) -> Figures:
    files = []
    rows = [(n % job.ids, n // job.ids, *pair) for n, pair in enumerate(pairs(job.count))]
    for name in "ab":
        db = sqlite3.connect(f"{job.folder}/{name}.db", isolation_level=None)
        db.executescript(SCHEMA)
        put(db, rows)
        files.append(db)
    a, b = files
    at = rows[-1][1] + 1

    async def change(sets: Sets) -> None:
        nonlocal at
        put(a, [(0, at + n, *pair) for n, pair in enumerate(sets)])
        at += len(sets)

    async def meet() -> tuple[float, float]:
        start = time.perf_counter()
        asked = _encode(dict(b.execute("SELECT replica, next FROM clock")))
        seen, found = _clock(asked), []
        for replica, next_ in a.execute("SELECT replica, next FROM clock").fetchall():
            if seen.get(replica, 0) < next_:
                query = "SELECT * FROM event WHERE replica = ? AND seq >= ? ORDER BY seq"
                found += a.execute(query, (replica, seen.get(replica, 0))).fetchall()
        news = _encode(found)
        put(b, _rows(news))
        return time.perf_counter() - start, len(asked) + len(news)

    return await rounds(change, meet)


async def word(job: Job) -> Figures:
    """What a websocket costs that says one word each way."""

    async def echo(link: Any) -> None:
        async for said in link:
            await link.send(said)

    async def nothing(sets: Sets) -> None:
        return None

    @asynccontextmanager
    async def link(port: int) -> AsyncIterator[None]:
        async with dial(port) as socket:
            await socket.send(b"word")
            await socket.recv()
            yield

    async with answering(echo) as port:
        return await linked_rounds(nothing, link, port)
    raise AssertionError
