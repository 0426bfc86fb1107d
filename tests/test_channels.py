"""Every channel that there is passes the suite that every channel must pass; and one that a page makes does."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from sync.gate import Gates, gated
from sync.memory import pair
from sync.testing import ChannelConformance
from sync.websocket import BOUNDS, WebsocketChannel


@asynccontextmanager
async def in_memory():
    here, there = pair()
    try:
        yield here, there
    finally:
        await here.close()


@asynccontextmanager
async def over_websockets():
    """A real socket, bound as `sync.websocket` binds it."""
    accepted = asyncio.get_running_loop().create_future()

    async def accept(connection):
        accepted.set_result(connection)
        await connection.wait_closed()

    async with serve(accept, "127.0.0.1", 0, **BOUNDS) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}", proxy=None, **BOUNDS) as connection:
            yield WebsocketChannel(connection), WebsocketChannel(await accepted)


@asynccontextmanager
async def behind_gates(opened, delay=0.0):
    """Both ends behind gates that are open."""
    async with opened as (here, there):
        gates = Gates(), Gates()
        for both in gates:
            both.outgoing.delay = both.incoming.delay = delay
        async with gated(here, gates[0]) as one, gated(there, gates[1]) as other:
            try:
                yield one, other
            finally:
                await asyncio.gather(one.close(), other.close())


class TestMemoryChannel(ChannelConformance):
    """Two queues of one process."""

    def open(self):
        return in_memory()


class TestWebsocketChannel(ChannelConformance):
    """A websocket over loopback."""

    def open(self):
        return over_websockets()


class TestGatedMemoryChannel(ChannelConformance):
    """Behind gates that let everything through."""

    def open(self):
        return behind_gates(in_memory())


class TestSlowChannel(ChannelConformance):
    """Behind gates that hold everything back for a while."""

    def open(self):
        return behind_gates(in_memory(), delay=0.002)


class TestGatedWebsocketChannel(ChannelConformance):
    """What a link with gates is: `connect(replica, url, gates=gates)`."""

    def open(self):
        return behind_gates(over_websockets())


def on_the_page(name):
    """Something that the program on the page of channels defines."""
    page = (Path(__file__).parent.parent / "docs/channels.md").read_text()
    found = {"__name__": "streams"}
    exec(re.search(r"```python\n(.*?)```", page, re.S)[1], found)
    return found[name]


class TestStreamsOfThePage(on_the_page("TestStreams")):
    """The channel that docs/channels.md makes, which nobody here has written a line for."""
