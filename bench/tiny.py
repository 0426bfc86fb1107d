"""A tiny difference: two replicas that hold the same 10,000 events (200,000 with --full), but for 10.

Time from connecting (the websocket handshake included) until both hold the same, and the bytes of that whole
conversation in both directions as TCP carries them, handshake and close included. The bytes are counted in a
second exchange of 10 other events, through a relay, which is not timed. Anabranch is durable on both sides;
pycrdt-websocket and loro hold documents in memory. The last row is what a websocket costs that says one word each
way. All in one process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from tempfile import TemporaryDirectory
from typing import Any

from bench import peers
from bench.basket import HOST, fill, opened, together
from bench.table import Figures, Measure, Run, compare
from sync import connect, serve

DIFFERENCE = 10
Link = Callable[[int], AbstractAsyncContextManager[Any]]


async def main(run: Run) -> None:
    for count in [run.size(10_000, 1_000)] + [200_000] * run.full:
        with TemporaryDirectory() as folder:
            async with opened(folder, "a") as a, opened(folder, "b") as b, serve(a, HOST, 0) as server:
                await fill(a, count)

                @asynccontextmanager
                async def link(port: int) -> AsyncIterator[None]:
                    async with connect(b, f"ws://{HOST}:{port}"):
                        await together(a, b)
                        yield

                async def anabranch() -> Figures:
                    return await meet(lambda: fill(a, DIFFERENCE), link, server.port)

                async with link(server.port):
                    pass
                contenders: dict[str, Measure] = {
                    "anabranch, durable": anabranch,
                    "pycrdt-websocket, memory": Pycrdt(count),
                    "loro, memory": Loro(count),
                    "websocket, a word each way": bare,
                }
                await compare(f"{count:,} events and {DIFFERENCE} of difference", contenders, run.times)


async def meet(change: Callable[[], Awaitable[None]], link: Link, port: int) -> Figures:
    """Change one side and connect: once for the time, once for the bytes."""
    await change()
    start = time.perf_counter()
    async with link(port):
        seconds = time.perf_counter() - start
    await change()
    async with relay(port) as counted, link(counted.port):
        pass
    return {"ms": seconds * 1000, "bytes": counted.bytes}


class Documents:
    """Two documents of a peer; one is served."""

    def __init__(self, count: int) -> None:
        self.count = self.used = count
        self.a: Any = None

    def fresh(self) -> range:
        """Ten numbers that were not used yet."""
        self.used += DIFFERENCE
        return range(self.used - DIFFERENCE, self.used)


class Pycrdt(Documents):
    """pycrdt, by pycrdt-websocket."""

    async def __call__(self) -> Figures:
        if self.a is None:
            self.a, self.b = peers.pycrdt_doc(self.count), peers.pycrdt_doc()
            self.b.apply_update(self.a.get_update())
        items = peers.pycrdt_map(self.a)

        async def change() -> None:
            for number in self.fresh():
                items[peers.item(number)] = number

        async with peers.pycrdt_room(self.a) as port:
            figures = await meet(change, lambda port: peers.pycrdt_link(self.b, port), port)
        assert self.a.get_state() == self.b.get_state()
        return figures


class Loro(Documents):
    """loro."""

    async def __call__(self) -> Figures:
        if self.a is None:
            self.a = peers.loro_doc(self.count)
            self.b = self.a.fork()

        async def change() -> None:
            peers.loro_set(self.a, self.fresh())

        async with peers.loro_room(self.a) as port:
            figures = await meet(change, lambda port: peers.loro_link(self.b, port), port)
        assert self.a.oplog_vv == self.b.oplog_vv
        return figures


async def bare() -> Figures:
    async def echo(link: Any) -> None:
        async for word in link:
            await link.send(word)

    @asynccontextmanager
    async def link(port: int) -> AsyncIterator[None]:
        async with peers.dial(port) as socket:
            await socket.send(b"word")
            await socket.recv()
            yield

    async with peers.listen(echo) as port:
        return await meet(lambda: asyncio.sleep(0), link, port)


class Relay:
    """A TCP relay to a port of this machine that counts what it passes on."""

    port = 0
    bytes = 0

    def __init__(self, target: int) -> None:
        self.target = target

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(HOST, self.target)
        await asyncio.gather(self.pass_on(reader, back), self.pass_on(there, writer))

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            self.bytes += len(data)
            writer.write(data)
        writer.close()


@asynccontextmanager
async def relay(target: int) -> AsyncIterator[Relay]:
    counted = Relay(target)
    async with await asyncio.start_server(counted.accept, HOST, 0) as server:
        counted.port = server.sockets[0].getsockname()[1]
        yield counted
