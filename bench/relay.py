"""A relay to a port of this machine that counts the bytes that it passes on, in both directions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from bench.job import HOST


class Relay:
    """Where it listens, and what has passed: all that TCP carries, handshake and close included."""

    def __init__(self, target: int) -> None:
        self.target, self.port, self.bytes = target, 0, 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(HOST, self.target)
        except ConnectionError:  # the server has ended, and its client dials again
            writer.close()
            return
        await asyncio.gather(self._pass_on(reader, back), self._pass_on(there, writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                self.bytes += len(data)
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def relay(target: int) -> AsyncIterator[Relay]:
    """A relay to `target`, for as long as this lasts."""
    counted = Relay(target)
    async with await asyncio.start_server(counted.accept, HOST, 0) as server:
        counted.port = server.sockets[0].getsockname()[1]
        yield counted
