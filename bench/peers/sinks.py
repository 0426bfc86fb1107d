"""Subscribers that cost next to nothing, so that the hub is what is measured: websocket clients of a few lines.

A sink takes the frames that a hub sends it, answers pings, and has a function look at each payload: how many events
were in it, and what to say to it, if anything. Whoever subscribes in earnest does more with what it gets.
"""

from __future__ import annotations

import asyncio
import base64
import os
import struct
from collections.abc import Callable

from bench.job import HOST

PATIENCE = 150
Look = Callable[[bytes], tuple[int, bytes]]
"""Of a payload: how many events it brought, and the payload of an answer (empty: none)."""


class Sink(asyncio.Protocol):
    """One subscriber."""

    def __init__(self, port: int, look: Look, counted: Callable[[int], None]) -> None:
        self._port, self._look, self._counted = port, look, counted
        self._buffer, self.open = b"", asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        lines = (
            "GET /doc HTTP/1.1",
            f"Host: {HOST}:{self._port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            "Sec-WebSocket-Version: 13",
        )
        transport.write("\r\n".join((*lines, "", "")).encode())

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        if not self.open.done():
            _, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self._buffer = _
                return
            self.open.set_result(None)
        at, events = 0, 0
        while (bounds := frame(data, at)) is not None:
            kind, begin, at = bounds
            if kind == 2:
                count, answer = self._look(data[begin:at])
                events += count
                if answer:
                    self.send(answer)
            elif kind == 9:
                self.send(data[begin:at], 10)
        self._buffer = data[at:]
        if events:
            self._counted(events)

    def send(self, payload: bytes, kind: int = 2) -> None:
        """A frame as clients send it: masked, with zeros."""
        size = len(payload)
        head = bytes((128 | kind,)) + (
            bytes((128 | size,))
            if size < 126
            else struct.pack("!BH" if size < 1 << 16 else "!BQ", 254 + (size >= 1 << 16), size)
        )
        self._transport.write(head + bytes(4) + payload)

    def close(self) -> None:
        self._transport.close()


def frame(data: bytes, at: int) -> tuple[int, int, int] | None:
    """The kind of the frame that begins at `at`, and where its payload begins and ends; None where it is not
    whole.
    """
    if len(data) - at < 2:
        return None
    size, head = data[at + 1] & 127, 2
    if size == 126:
        head = 4
    elif size == 127:
        head = 10
    if len(data) - at < head:
        return None
    if head > 2:
        size = int.from_bytes(data[at + 2 : at + head], "big")
    end = at + head + size
    return (data[at] & 15, at + head, end) if end <= len(data) else None


class Subscribers:
    """Some sinks of one hub, and what has reached them."""

    def __init__(self, total: int) -> None:
        self.got, self._total, self._done = 0, total, asyncio.Event()
        self.sinks: list[Sink] = []

    async def join(
        self, port: int, count: int, look: Callable[[int], Look], first: Callable[[int], list[bytes]]
    ) -> None:
        """Connect `count` sinks; each says `first` and has its own `look`."""
        loop = asyncio.get_running_loop()
        for number in range(count):
            _, sink = await loop.create_connection(lambda n=number: Sink(port, look(n), self._count), HOST, port)  # type: ignore[misc]
            await sink.open
            for payload in first(number):
                sink.send(payload)
            self.sinks.append(sink)
        await asyncio.sleep(0.5)
        self.got = 0

    def _count(self, events: int) -> None:
        self.got += events
        if self.got >= self._total:
            self._done.set()

    async def all_reached(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self._done.wait()
        assert self.got == self._total, "something was delivered twice"
        for sink in self.sinks:
            sink.close()
