"""loro: a document with one map, one commit for each set of a key; its bytes in SQLite where it is to be durable.

loro has no server: one frame says a version vector, and one answers with the updates that it lacks. Ten peers write
in turns, as everywhere, and hear of each other at the end of each turn.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Any

import loro
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from bench.job import HOST, Figures, Job, size_of
from bench.keys import TURN, keys_of, pairs
from bench.peers.byhand import SOCKET

MAP = "items"


def write(doc: Any, sets: list[tuple[str, str]], first_id: int, ids: int) -> None:
    """One commit a set, in turns of some peers."""
    items = doc.get_map(MAP)
    for at in range(0, len(sets), TURN):
        doc.peer_id = first_id + at // TURN % ids
        for key, value in sets[at : at + TURN]:
            items.insert(key, value)
            doc.commit()


def updates(doc: Any, seen: bytes | None = None) -> bytes:
    """The updates that somebody who has seen so much lacks."""
    version = loro.VersionVector() if seen is None else loro.VersionVector.decode(seen)
    found: bytes = doc.export(loro.ExportMode.Updates(version))
    return found


def loaded(*parts: bytes) -> Any:
    doc = loro.LoroDoc()
    for part in parts:
        doc.import_(part)
    return doc


def read(doc: Any) -> int:
    return len(doc.get_map(MAP).get_value())


def prepare(job: Job) -> Figures:
    doc = loro.LoroDoc()
    write(doc, pairs(job.count), 1, job.ids)
    Path(job.name("loro") + ".updates").write_bytes(updates(doc))
    Path(job.name("loro") + ".snapshot").write_bytes(doc.export(loro.ExportMode.Snapshot()))
    return {}


def prepare_halves(job: Job) -> Figures:
    base = loro.LoroDoc()
    write(base, pairs(job.count), 1, 2)
    for side, first in (("a", 10), ("b", 20)):
        doc = loaded(updates(base))
        write(doc, pairs(job.other, first), first, job.ids // 2)
        Path(f"{job.name('loro')}-{side}.updates").write_bytes(updates(doc))
    return {}


def prepared(job: Job, side: str = "") -> Any:
    doc = loaded(Path(f"{job.name('loro')}{side}.updates").read_bytes())
    read(doc)
    return doc


def file(path: str) -> sqlite3.Connection:
    """A file that keeps what is imported, as durable as what Anabranch takes from a peer."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=NORMAL")
    db.execute("CREATE TABLE updates(id INTEGER PRIMARY KEY, data BLOB)")
    return db


def take(doc: Any, db: sqlite3.Connection, news: bytes) -> float:
    doc.import_(news)
    db.execute("INSERT INTO updates(data) VALUES(?)", (news,))
    read(doc)
    return time.perf_counter()


async def serve_doc(job: Job, doc: Any) -> Figures:
    end, db = asyncio.get_running_loop().create_future(), file(f"{job.folder}/here.db")

    async def answer(link: Any) -> None:
        seen = await link.recv()
        await link.send(doc.oplog_vv.encode())
        await link.send(updates(doc, seen))
        async for news in link:
            end.set_result(take(doc, db, news))

    async with serve(answer, HOST, 0, **SOCKET) as server:
        await job.serve(server.sockets[0].getsockname()[1])
        return {"end": await end if job.other else 0.0}
    raise AssertionError


async def serve_all(job: Job) -> Figures:
    await serve_doc(job, prepared(job))
    return {}


async def heal_here(job: Job) -> Figures:
    return await serve_doc(job, prepared(job, "-a"))


async def visit(job: Job, doc: Any, both: bool) -> Figures:
    db = file(f"{job.folder}/there.db")
    start = time.perf_counter()
    link: Any
    async with connect(job.url, **SOCKET) as link:
        await link.send(doc.oplog_vv.encode())
        seen = await link.recv()
        if both:
            await link.send(updates(doc, seen))
        end = take(doc, db, await link.recv())
        assert both or read(doc) == keys_of(job.count)
        if both:
            await job.linger()
    return {"start": start, "end": end, "ms": (end - start) * 1000}


async def catch_up(job: Job) -> Figures:
    return await visit(job, loro.LoroDoc(), False)


async def heal_there(job: Job) -> Figures:
    return await visit(job, prepared(job, "-b"), True)


def present(job: Job) -> Figures:
    """From a file to the whole map; the option says which file."""
    path = f"{job.name('loro')}.{job.option}"
    start = time.perf_counter()
    doc = loaded(Path(path).read_bytes())
    assert read(doc)
    return {"ms": (time.perf_counter() - start) * 1000}


def disk(job: Job) -> Figures:
    return {"bytes an event": size_of(f"{job.name('loro')}.{job.option}") / job.count}
