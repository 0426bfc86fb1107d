"""pycrdt and loro, in memory and on a websocket: a document with one map, and one update for each set of a key.

The sockets are bare `websockets` without compression, as ours are. pycrdt-websocket serves pycrdt; loro has no
server, so here one frame asks (a version vector) and one answers (the updates that it lacks).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from bench.basket import HOST, item

MAP = "items"
SOCKET: dict[str, Any] = {"compression": None, "max_size": None, "ping_interval": None}


def dial(port: int) -> Any:
    """A bare websocket to a port."""
    return connect(f"ws://{HOST}:{port}/doc", **SOCKET)


@asynccontextmanager
async def listen(answer: Any) -> AsyncIterator[int]:
    """Have `answer` take every websocket that is dialled; yields the port."""
    async with serve(answer, HOST, 0, **SOCKET) as server:
        yield server.sockets[0].getsockname()[1]


class Channel:
    """A websocket as pycrdt's Provider and WebsocketServer like it."""

    path = "doc"

    def __init__(self, link: Any) -> None:
        self._link = link

    def __aiter__(self) -> Any:
        return self._link.__aiter__()

    async def recv(self) -> Any:
        return await self._link.recv()

    async def send(self, message: bytes) -> None:
        with suppress(ConnectionClosed):  # a room does not expect that a client has left
            await self._link.send(message)


def pycrdt_doc(count: int = 0) -> Any:
    """A document of `count` updates."""
    from pycrdt import Doc, Map

    doc: Any = Doc()
    items = doc.get(MAP, type=Map)
    for number in range(count):
        items[item(number)] = number
    return doc


def pycrdt_map(doc: Any) -> Any:
    from pycrdt import Map

    return doc.get(MAP, type=Map)


@asynccontextmanager
async def pycrdt_room(doc: Any) -> AsyncIterator[int]:
    """Serve a document; yields the port."""
    from pycrdt.websocket import WebsocketServer, YRoom

    async with WebsocketServer(auto_clean_rooms=False) as rooms:
        rooms.rooms[Channel.path] = room = YRoom(ydoc=doc)
        await rooms.start_room(room)
        async with listen(lambda link: rooms.serve(Channel(link))) as port:
            yield port


@asynccontextmanager
async def pycrdt_link(doc: Any, port: int) -> AsyncIterator[None]:
    """Hold a connection to a room, from when the document has all that the room had."""
    from pycrdt import Provider

    async with dial(port) as link, Provider(doc, Channel(link)) as provider:
        await provider.synced.wait()
        yield


def loro_doc(count: int = 0) -> Any:
    """A document of `count` commits."""
    import loro

    doc = loro.LoroDoc()
    loro_set(doc, range(count))
    return doc


def loro_set(doc: Any, numbers: range) -> None:
    """One commit a number. A set to the value that is there already would be none."""
    items = doc.get_map(MAP)
    for number in numbers:
        items.insert(item(number), number)
        doc.commit()


def loro_updates(doc: Any, version: bytes) -> bytes:
    """The updates that somebody at that version lacks."""
    import loro

    updates: bytes = doc.export(loro.ExportMode.Updates(loro.VersionVector.decode(version)))
    return updates


@asynccontextmanager
async def loro_room(doc: Any) -> AsyncIterator[int]:
    """Answer each version with the updates that it lacks; yields the port."""

    async def answer(link: Any) -> None:
        async for version in link:
            await link.send(loro_updates(doc, version))

    async with listen(answer) as port:
        yield port


@asynccontextmanager
async def loro_link(doc: Any, port: int) -> AsyncIterator[None]:
    """Hold a connection, from when the document has all that the other one had."""
    async with dial(port) as link:
        await link.send(doc.oplog_vv.encode())
        doc.import_(await link.recv())
        yield
