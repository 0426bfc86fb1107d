"""pycrdt, with pycrdt-websocket between two processes: a document with one map, one update for each set of a key.

It keeps no history: of what was overwritten only the fact that it was is left. What arrives is put into SQLite as
one merged update, so that it is durable at both ends as the others are.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pycrdt import Doc, Map, Provider
from pycrdt.websocket import WebsocketServer, YRoom
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from bench.job import HOST, Figures, Job, size_of
from bench.keys import TURN, keys_of, pairs
from bench.peers.byhand import SOCKET

MAP = "items"


class Channel:
    """A websocket, as pycrdt's Provider and WebsocketServer like it."""

    path = "doc"

    def __init__(self, link: Any) -> None:
        self._link = link

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self.recv()
        except ConnectionClosed:
            raise StopAsyncIteration from None

    async def send(self, message: bytes) -> None:
        try:
            await self._link.send(message)
        except ConnectionClosed:
            return  # a room does not expect that a client has left

    async def recv(self) -> bytes:
        message: bytes = await self._link.recv()
        return message


def items(doc: Any) -> Any:
    return doc.get(MAP, type=Map)


def write(update: bytes | None, sets: list[tuple[str, str]], first_id: int, ids: int) -> Any:
    """A document after one update a set, made in turns by some clients. (A document has one client, so each turn is
    another one's, which begins with all that there was.)"""
    docs: list[Any] = [Doc(client_id=first_id + n) for n in range(ids)]
    last: Any = None
    for at in range(0, max(1, len(sets)), TURN):
        doc = docs[at // TURN % ids]
        if last is None and update is not None:
            doc.apply_update(update)
        elif last is not None and last is not doc:
            doc.apply_update(last.get_update(doc.get_state()))
        mapping = items(doc)
        for key, value in sets[at : at + TURN]:
            mapping[key] = value
        last = doc
    return last


def prepare(job: Job) -> Figures:
    Path(job.name("pycrdt") + ".update").write_bytes(write(None, pairs(job.count), 1, job.ids).get_update())
    return {}


def prepare_halves(job: Job) -> Figures:
    base = write(None, pairs(job.count), 1, 2).get_update()
    for side, first in (("a", 10), ("b", 20)):
        doc = write(base, pairs(job.other, first), first, job.ids // 2)
        mapping = items(doc)
        mapping[f"last of {side}"] = side
        Path(f"{job.name('pycrdt')}-{side}.update").write_bytes(doc.get_update())
    return {}


def prepared(job: Job, side: str = "") -> Any:
    doc: Any = Doc()
    doc.apply_update(Path(f"{job.name('pycrdt')}{side}.update").read_bytes())
    return doc


def keep(doc: Any, path: str) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=NORMAL")
    db.execute("CREATE TABLE updates(id INTEGER PRIMARY KEY, data BLOB)")
    db.execute("INSERT INTO updates(data) VALUES(?)", (doc.get_update(),))


@asynccontextmanager
async def room(doc: Any) -> AsyncIterator[int]:
    """Serve a document by pycrdt-websocket; yields the port."""
    async with WebsocketServer(auto_clean_rooms=False) as rooms:
        rooms.rooms[Channel.path] = shared = YRoom(ydoc=doc)
        await rooms.start_room(shared)
        async with serve(lambda link: rooms.serve(Channel(link)), HOST, 0, **SOCKET) as server:
            yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def joined(doc: Any, url: str) -> AsyncIterator[None]:
    """Hold a connection to a room, from when the document has all that the room had."""
    async with connect(url, **SOCKET) as link, Provider(doc, Channel(link)) as provider:
        await provider.synced.wait()
        yield


async def serve_all(job: Job) -> Figures:
    async with room(prepared(job)) as port:
        await job.serve(port)
    return {}


async def heal_here(job: Job) -> Figures:
    doc, loop = prepared(job, "-a"), asyncio.get_running_loop()
    mapping, end = items(doc), loop.create_future()

    def hear(event: Any) -> None:
        if "last of b" in event.keys:
            loop.call_soon(done)

    def done() -> None:
        keep(doc, f"{job.folder}/here.db")
        mapping.to_py()
        end.set_result(time.perf_counter())

    subscription = mapping.observe(hear)
    async with room(doc) as port:
        await job.serve(port)
        await end
    mapping.unobserve(subscription)
    return {"end": end.result()}


async def visit(job: Job, doc: Any) -> Figures:
    start = time.perf_counter()
    async with joined(doc, job.url):
        keep(doc, f"{job.folder}/there.db")
        items(doc).to_py()
        end = time.perf_counter()
        assert job.other or len(items(doc)) == keys_of(job.count)
        if job.other:
            await job.linger()
    return {"start": start, "end": end, "ms": (end - start) * 1000}


async def catch_up(job: Job) -> Figures:
    doc: Any = Doc()
    items(doc)
    return await visit(job, doc)


async def heal_there(job: Job) -> Figures:
    return await visit(job, prepared(job, "-b"))


def present(job: Job) -> Figures:
    """From one merged update to the whole map."""
    start = time.perf_counter()
    doc = prepared(job)
    assert items(doc).to_py()
    return {"ms": (time.perf_counter() - start) * 1000}


def disk(job: Job) -> Figures:
    return {"bytes an event": size_of(job.name("pycrdt") + ".update") / job.count}
