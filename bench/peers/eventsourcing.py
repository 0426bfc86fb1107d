"""eventsourcing: an application over SQLite, one aggregate a key, which stays in memory (its best case).

It has no setting for durability: SQLite's default, FULL, with WAL. It has no group commit: many writers take turns.
"""

from __future__ import annotations

from typing import Any

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

from bench.job import Figures, Job, size_of
from bench.keys import KEYS, pairs
from bench.peers.spread import spread


class Cell(Aggregate):
    """One key."""

    @event("Opened")
    def __init__(self, key: str) -> None:
        self.key, self.value = key, ""

    @event("Set")
    def put(self, value: str) -> None:
        self.value = value


def application(path: str) -> Any:
    return Application(env={"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": path})


async def append(job: Job) -> Figures:
    app, sets = application(f"{job.folder}/events.db"), pairs(job.count)
    cells = {key: Cell(key) for key in KEYS}
    app.save(*cells.values())

    async def put(number: int) -> None:
        key, value = sets[number]
        cells[key].put(value)
        app.save(cells[key])

    try:
        return await spread(job.other, job.count, put)
    finally:
        app.close()


def prepare(job: Job) -> Figures:
    """A file of `count` events, besides one for each of the aggregates."""
    app = application(job.name("eventsourcing") + ".db")
    cells = {key: Cell(key) for key in KEYS}
    for key, value in pairs(job.count):
        cells[key].put(value)
    app.save(*cells.values())
    app.close()
    return {}


def disk(job: Job) -> Figures:
    return {"bytes an event": size_of(job.name("eventsourcing") + ".db") / (job.count + len(KEYS))}
