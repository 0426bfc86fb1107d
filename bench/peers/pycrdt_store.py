"""pycrdt-store: a row for each update of a document, in SQLite's default durability (FULL, a rollback journal).

It has no group commit: many writers take turns.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

from pycrdt import Doc, Map
from pycrdt.store import SQLiteYStore

from bench.job import Figures, Job, size_of
from bench.keys import pairs
from bench.peers.spread import spread


def store(path: str) -> AbstractAsyncContextManager[Any]:
    class Store(SQLiteYStore):
        db_path = path

    return Store("doc")


async def append(job: Job) -> Figures:
    return await write(f"{job.folder}/updates.db", job)


async def write(path: str, job: Job) -> Figures:
    doc: Any = Doc()
    items, sets = doc.get("items", type=Map), pairs(job.count)
    updates: list[bytes] = []
    subscription = doc.observe(lambda event: updates.append(event.update))
    async with store(path) as opened:

        async def put(number: int) -> None:
            key, value = sets[number]
            items[key] = value
            await opened.write(updates.pop())

        figures = await spread(max(1, job.other), job.count, put)
    doc.unobserve(subscription)
    return figures


async def prepare(job: Job) -> Figures:
    return await write(job.name("pycrdt-store") + ".db", job)


def disk(job: Job) -> Figures:
    return {"bytes an event": size_of(job.name("pycrdt-store") + ".db") / job.count}
