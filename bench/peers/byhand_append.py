"""The limit of recording: raw aiosqlite, WAL, a row an event, and nothing else.

One writer: one INSERT in its own transaction. More: a group commit written by hand (what waits while a
transaction is under way goes into the next one).
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiosqlite
import msgspec

from bench.job import Figures, Job
from bench.keys import pairs
from bench.peers.spread import spread

INSERT = "INSERT INTO event VALUES (NULL, ?, ?)"
_encode = msgspec.msgpack.Encoder().encode


async def append(job: Job) -> Figures:
    rows = [("keys/home", _encode(pair)) for pair in pairs(job.count)]
    level = None if job.other == 1 else "DEFERRED"
    async with aiosqlite.connect(f"{job.folder}/raw.db", isolation_level=level) as db:
        await db.execute("PRAGMA journal_mode=WAL")
        await db.execute("PRAGMA synchronous=FULL")
        await db.execute("CREATE TABLE event(seq INTEGER PRIMARY KEY, stream TEXT, payload BLOB)")
        await db.commit()
        if job.other == 1:
            return await spread(1, job.count, lambda number: db.execute(INSERT, rows[number]))
        group = GroupCommit(db)
        committing = asyncio.create_task(group.run())
        figures = await spread(job.other, job.count, lambda number: group.put(rows[number]))
        committing.cancel()
        return figures
    raise AssertionError


class GroupCommit:
    """Rows of many writers, in as few transactions as there are."""

    def __init__(self, db: aiosqlite.Connection) -> None:
        self._db, self._wake = db, asyncio.Event()
        self._waiting: list[tuple[Any, asyncio.Future[None]]] = []

    async def put(self, row: Any) -> None:
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((row, done))
        self._wake.set()
        await done

    async def run(self) -> None:
        while await self._wake.wait():
            self._wake.clear()
            taken, self._waiting = self._waiting, []
            await self._db.executemany(INSERT, [row for row, _ in taken])
            await self._db.commit()
            for _, done in taken:
                done.set_result(None)
