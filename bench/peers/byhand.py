"""The limits: what Python can do at most when it is written by hand for this one workload.

A log is one row for a thousand events: columns of stamps, keys and values, packed with msgpack and zstd. The
present is two dicts, written back to a table at the end of each transaction. No chain, no causality, no API,
nothing that can be asked why. Catching up sends the rows as they are, and folds them.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import zstandard
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from bench.job import HOST, Figures, Job, size_of
from bench.keys import keys_of, pairs

SOCKET: dict[str, Any] = {"compression": None, "max_size": None, "ping_interval": None}
RUN = 1000
SCHEMA = """
PRAGMA journal_mode=WAL;
PRAGMA synchronous=NORMAL;
CREATE TABLE IF NOT EXISTS run(replica INT, seq INT, count INT, data BLOB, PRIMARY KEY(replica, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS state(key TEXT PRIMARY KEY, value TEXT, stamp INT) WITHOUT ROWID;
"""
KEEP = """
INSERT INTO state VALUES(?, ?, ?)
ON CONFLICT(key) DO UPDATE SET value = excluded.value, stamp = excluded.stamp WHERE excluded.stamp > stamp
"""
_encode = msgspec.msgpack.Encoder().encode
_columns = msgspec.msgpack.Decoder(tuple[list[int], list[str], list[str]]).decode
_run = msgspec.msgpack.Decoder(tuple[int, int, int, bytes]).decode
_clock = msgspec.msgpack.Decoder(dict[int, int]).decode


class Store:
    """A file of runs, and the present of it."""

    def __init__(self, path: str) -> None:
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.executescript(SCHEMA)
        self.stamps: dict[str, int] = {}
        self.present: dict[str, str] = {}
        self._pack = zstandard.ZstdCompressor(level=1).compress
        self._unpack = zstandard.ZstdDecompressor().decompress

    def write(self, sets: list[tuple[str, str]], ids: int, first_id: int, begin: int) -> None:
        """Record events as if `ids` replicas had made them in turns."""
        self.db.execute("BEGIN")
        for at in range(ids):
            own = [(begin + n, key, value) for n, (key, value) in enumerate(sets) if n % ids == at]
            for first in range(0, len(own), RUN):
                part = own[first : first + RUN]
                blob = self._pack(_encode(tuple(zip(*part, strict=True))))
                self.db.execute("INSERT INTO run VALUES(?, ?, ?, ?)", (first_id + at, first, len(part), blob))
        self.db.execute("COMMIT")

    def load(self) -> None:
        """Fold the whole log."""
        for replica, data in self.db.execute("SELECT replica, data FROM run"):
            self.fold(replica, data)

    def load_kept(self) -> None:
        """Read what was folded before."""
        for key, value, stamp in self.db.execute("SELECT key, value, stamp FROM state"):
            self.present[key], self.stamps[key] = value, stamp

    def fold(self, replica: int, data: bytes) -> None:
        stamps, present = self.stamps, self.present
        times, keys, values = _columns(self._unpack(data))
        # the clock of one replica only grows, so within its run the last one wins
        for key, (moment, value) in dict(zip(keys, zip(times, values, strict=True), strict=True)).items():
            stamp = moment << 5 | replica
            if stamp > stamps.get(key, -1):
                stamps[key], present[key] = stamp, value

    def clock(self) -> dict[int, int]:
        return dict(self.db.execute("SELECT replica, max(seq + count) FROM run GROUP BY replica").fetchall())

    def missing(self, clock: dict[int, int]) -> Iterator[bytes]:
        for replica in self.clock():
            rows = self.db.execute(
                "SELECT replica, seq, count, data FROM run WHERE replica = ? AND seq >= ? ORDER BY seq",
                (replica, clock.get(replica, 0)),
            )
            yield from map(_encode, rows)

    def take(self, message: bytes) -> None:
        row = _run(message)
        self.db.execute("INSERT INTO run VALUES(?, ?, ?, ?)", row)
        self.fold(row[0], row[3])

    def keep(self) -> None:
        """Write the present back."""
        self.db.executemany(KEEP, ((key, self.present[key], stamp) for key, stamp in self.stamps.items()))


def prepare(job: Job) -> Figures:
    store = Store(job.name("byhand") + ".db")
    store.write(pairs(job.count), job.ids, 0, 0)
    store.load()
    store.keep()
    store.db.close()
    return {}


def prepare_halves(job: Job) -> Figures:
    for side, first in (("a", 10), ("b", 20)):
        store = Store(f"{job.name('byhand')}-{side}.db")
        store.write(pairs(job.count), 2, 0, 0)
        store.write(pairs(job.other, first), job.ids // 2, first, job.count)
        store.load()
        store.keep()
        store.db.close()
    return {}


def copied(job: Job, side: str = "") -> Store:
    shutil.copyfile(f"{job.name('byhand')}{side}.db", f"{job.folder}/copy.db")
    store = Store(f"{job.folder}/copy.db")
    store.load_kept()
    return store


async def push(link: Any, store: Store, clock: dict[int, int]) -> None:
    for message in store.missing(clock):
        await link.send(message)
    await link.send(b"")


async def pull(link: Any, store: Store) -> float:
    """Take all that comes in one transaction, the present with it; when that was done."""
    store.db.execute("BEGIN")
    async for message in link:
        if not message:
            break
        store.take(message)
    store.keep()
    store.db.execute("COMMIT")
    return time.perf_counter()


async def meet(link: Any, store: Store) -> float:
    """Both say what they hold, and send what the other lacks."""
    await link.send(_encode(store.clock()))
    clock = _clock(await link.recv())
    end, _ = await asyncio.gather(pull(link, store), push(link, store, clock))
    return end


async def serve_store(job: Job, store: Store) -> Figures:
    end = asyncio.get_running_loop().create_future()

    async def answer(link: Any) -> None:
        end.set_result(await meet(link, store))
        await link.wait_closed()

    async with serve(answer, HOST, 0, **SOCKET) as server:
        await job.serve(server.sockets[0].getsockname()[1])
        return {"end": await end}
    raise AssertionError


async def serve_all(job: Job) -> Figures:
    await serve_store(job, copied(job))
    return {}


async def heal_here(job: Job) -> Figures:
    return await serve_store(job, copied(job, "-a"))


async def visit(job: Job, store: Store) -> Figures:
    start = time.perf_counter()
    async with connect(job.url, **SOCKET) as link:
        end = await meet(link, store)
        assert len(store.present) >= keys_of(job.count)
        if job.other:
            await job.linger()
    return {"start": start, "end": end, "ms": (end - start) * 1000}


async def catch_up(job: Job) -> Figures:
    return await visit(job, Store(f"{job.folder}/empty.db"))


async def heal_there(job: Job) -> Figures:
    return await visit(job, copied(job, "-b"))


def present(job: Job) -> Figures:
    """From its whole log, or (option `kept`) as it was written back."""
    start = time.perf_counter()
    store = Store(job.name("byhand") + ".db")
    if job.option == "kept":
        store.load_kept()
    else:
        store.load()
    assert store.present
    return {"ms": (time.perf_counter() - start) * 1000}


def disk(job: Job) -> Figures:
    return {"bytes an event": size_of(job.name("byhand") + ".db") / job.count}
