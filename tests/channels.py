"""Channels that each break the contract by one usual mistake, for the suite to find."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from typing import Any

from sync.channel import ChannelClosed
from sync.errors import LocalProtocolError
from sync.memory import CAPACITY, MemoryChannel
from sync.message import MAX_FRAME
from sync.pipe import Pipe


class Broken(MemoryChannel):
    """One end of a pair, both of which make the mistake."""

    def __init__(self, incoming: Pipe[bytes], outgoing: Pipe[bytes]) -> None:
        super().__init__(incoming, outgoing)
        self.sent = 0
        self.held: bytes | None = None
        self.closed = False

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls) -> Any:
        there, back = Pipe[bytes](CAPACITY), Pipe[bytes](CAPACITY)
        here, other = cls(back, there), cls(there, back)
        try:
            yield here, other
        finally:
            for pipe in (there, back):
                await pipe.close()


class Loses(Broken):
    """One frame in seven does not arrive."""

    async def send(self, frame: bytes) -> None:
        self.sent += 1
        if self.sent % 7:
            await super().send(frame)


class Doubles(Broken):
    """The fifth frame arrives twice."""

    async def send(self, frame: bytes) -> None:
        self.sent += 1
        await super().send(frame)
        if self.sent == 5:
            await super().send(frame)


class Swaps(Broken):
    """Every second frame overtakes the one before it."""

    async def send(self, frame: bytes) -> None:
        if self.held is None:
            self.held = frame
        else:
            held, self.held = self.held, None
            await super().send(frame)
            await super().send(held)


class Changes(Broken):
    """Text, it thinks: what is none is replaced."""

    async def send(self, frame: bytes) -> None:
        await super().send(frame.decode(errors="replace").encode())


class TakesNothingForTheEnd(Broken):
    """An empty frame looks like the end of a stream."""

    async def receive(self) -> bytes:
        frame = await super().receive()
        if not frame:
            raise ChannelClosed("nothing came")
        return frame


class CutsIntoLines(Broken):
    """What is sent as one frame arrives as several."""

    async def send(self, frame: bytes) -> None:
        for line in frame.splitlines(keepends=True) or [frame]:
            await super().send(line)


class MixesSenders(Broken):
    """A frame goes out in two halves, and another task may send between them."""

    async def send(self, frame: bytes) -> None:
        await super().send(frame[: len(frame) // 2])
        await asyncio.sleep(0)
        await super().send(frame[len(frame) // 2 :])

    async def receive(self) -> bytes:
        return await super().receive() + await super().receive()


class HasNoBound(Broken):
    """Whatever is sent is kept until it is read."""

    async def send(self, frame: bytes) -> None:
        self._outgoing._capacity += 1
        await super().send(frame)


class Shared(Broken):
    """All channels are one."""

    _pipes: tuple[Pipe[bytes], Pipe[bytes]] | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls) -> Any:
        if cls._pipes is None:
            cls._pipes = Pipe[bytes](CAPACITY), Pipe[bytes](CAPACITY)
        there, back = cls._pipes
        yield cls(back, there), cls(there, back)
        cls._pipes = None


class SwallowsTheLast(Broken):
    """What is still on its way when it is closed does not arrive."""

    async def close(self) -> None:
        self._outgoing._items.clear()
        await super().close()


class CallsTheEndAFault(Broken):
    """Somebody has left: that is no error."""

    async def receive(self) -> bytes:
        try:
            return await super().receive()
        except ChannelClosed as closed:
            raise ChannelClosed("", LocalProtocolError("end", "it has ended")) from closed


class SendsAfterTheEnd(Broken):
    """Whoever sends does not hear that nobody receives."""

    async def send(self, frame: bytes) -> None:
        with contextlib.suppress(ChannelClosed):
            await super().send(frame)


class ClosesOneWay(Broken):
    """Who waits here for a frame, or there to send one, waits for ever."""

    async def close(self) -> None:
        await self._outgoing.close()


class ClosesOnce(Broken):
    """Closing again raises."""

    async def close(self) -> None:
        if self.closed:
            raise OSError("it is closed")
        self.closed = True
        await super().close()


class BlamesItself(Broken):
    """A frame that is too large is refused, as if this side had sent it."""

    async def receive(self) -> bytes:
        frame = await super().receive()
        if len(frame) > MAX_FRAME:
            raise ChannelClosed("", LocalProtocolError("too-large", "a frame over the limit"))
        return frame


class LeavesATask(Broken):
    """It goes on waiting for something after its end."""

    def __init__(self, incoming: Pipe[bytes], outgoing: Pipe[bytes]) -> None:
        super().__init__(incoming, outgoing)
        self.task = asyncio.create_task(asyncio.sleep(60))


class LeavesAFile(Broken):
    """It does not close what it has opened."""

    left: list[int] = []

    def __init__(self, incoming: Pipe[bytes], outgoing: Pipe[bytes]) -> None:
        super().__init__(incoming, outgoing)
        self.left += os.pipe()


class LeavesAThread(Broken):
    """It does not end what it has begun."""

    enough = threading.Event()

    def __init__(self, incoming: Pipe[bytes], outgoing: Pipe[bytes]) -> None:
        super().__init__(incoming, outgoing)
        threading.Thread(target=self.enough.wait, args=(20,)).start()
