"""Gates: how a link is made to fail on purpose, for demos and tests.

A link has two gates, one a direction. A gate that is shut loses what comes to it, as a cut cable does; the
connection below may live on. An open one may lose, delay, double or reorder. Opening both again makes the
session compare at once.

    gates = Gates()
    async with connect(alice, url, gates=gates) as link:
        gates.cut()                     # both directions
        gates.outgoing.open = False     # one of them
        gates.heal()
        gates.outgoing.delay = 0.05     # seconds
        gates.incoming.loss = 0.1       # a frame in ten
        gates.close()                   # end the connection; the link dials again
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from random import Random

from sync.channel import Channel, ChannelClosed
from sync.pipe import Pipe

CAPACITY = 64
"""Frames that a delay may hold back before the sender waits."""
LINGER = 1.0
"""Seconds that what was sent may take to go out when the channel is closed."""


class Gate:
    """One direction of a link. Probabilities are from 0 to 1; `delay` is in seconds."""

    def __init__(self, random: Random | None = None) -> None:
        self.delay = self.loss = self.duplicate = self.reorder = 0.0
        self.random = random or Random()
        self._open = True
        self._held: list[bytes] = []
        self._opened: list[Callable[[], None]] = []

    @property
    def open(self) -> bool:
        """Anything comes through at all."""
        return self._open

    @open.setter
    def open(self, open: bool) -> None:
        self._open = open
        if open:
            for call in self._opened:
                call()

    def on_open(self, call: Callable[[], None]) -> None:
        """Call back whenever the gate is opened."""
        self._opened.append(call)

    def admit(self, frame: bytes) -> list[bytes]:
        """What comes out when `frame` goes in: usually itself."""
        if not self._open or (self.loss and self.random.random() < self.loss):
            return []
        frames = [frame]
        if self.duplicate and self.random.random() < self.duplicate:
            frames.append(frame)
        if self.reorder and not self._held and self.random.random() < self.reorder:
            self._held = frames
            return []
        frames += self._held
        self._held = []
        return frames

    def forget(self) -> None:
        """What was held back belonged to a connection that is gone."""
        self._held = []


class Gates:
    """The two gates of a link, and what can be done to both at once."""

    def __init__(self, outgoing: Gate | None = None, incoming: Gate | None = None) -> None:
        self.outgoing, self.incoming = outgoing or Gate(), incoming or Gate()
        self._healed: list[Callable[[], None]] = []
        self._closers: list[Callable[[], None]] = []
        for gate in (self.outgoing, self.incoming):
            gate.on_open(self._one_opened)

    @property
    def open(self) -> bool:
        return self.outgoing.open and self.incoming.open

    def cut(self) -> None:
        """Shut both gates."""
        self.outgoing.open = self.incoming.open = False

    def heal(self) -> None:
        """Open both gates; what is connected over them compares at once."""
        self.outgoing.open = self.incoming.open = True

    def _one_opened(self) -> None:
        if self.open:
            for call in tuple(self._healed):
                call()

    def close(self) -> None:
        """End the connection that is up, if one is."""
        for call in tuple(self._closers):
            call()

    def on_heal(self, call: Callable[[], None]) -> Callable[[], None]:
        """Call back when both gates are open again; returns how to stop that."""
        self._healed.append(call)
        return lambda: self._healed.remove(call)

    def on_close(self, call: Callable[[], None]) -> Callable[[], None]:
        """Call back at `close`; returns how to stop that."""
        self._closers.append(call)
        return lambda: self._closers.remove(call)

    async def healed(self) -> None:
        """Wait until both gates are open."""
        if self.open:
            return
        opened = asyncio.Event()
        stop = self.on_heal(opened.set)
        try:
            await opened.wait()
        finally:
            stop()


class GatedChannel:
    """A channel behind two gates. Made by `gated`, which runs its two pumps."""

    def __init__(self, inner: Channel, gates: Gates) -> None:
        self._inner, self._gates = inner, gates
        self._out: Pipe[tuple[float, bytes]] = Pipe(CAPACITY)
        self._in: Pipe[tuple[float, bytes]] = Pipe(CAPACITY)
        self._gone = asyncio.Event()
        """All that was sent has gone out, or never will."""

    async def send(self, frame: bytes) -> None:
        await self._admit(self._gates.outgoing, self._out, frame)

    async def receive(self) -> bytes:
        return await self._due(self._in)

    async def close(self) -> None:
        """End the channel below when what was sent has gone out: last words are words too."""
        await self._out.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                await self._gone.wait()
        await self._inner.close()
        await self._in.close()

    @staticmethod
    async def _admit(gate: Gate, pipe: Pipe[tuple[float, bytes]], frame: bytes) -> None:
        for admitted in gate.admit(frame):
            await pipe.put((asyncio.get_running_loop().time() + gate.delay, admitted))

    @staticmethod
    async def _due(pipe: Pipe[tuple[float, bytes]]) -> bytes:
        due, frame = await pipe.get()
        wait = due - asyncio.get_running_loop().time()
        if wait > 0:
            await asyncio.sleep(wait)
        return frame

    async def pump_out(self) -> None:
        try:
            while True:
                await self._inner.send(await self._due(self._out))
        except ChannelClosed as closed:
            await self._out.close(closed)
        finally:
            self._gone.set()

    async def pump_in(self) -> None:
        try:
            while True:
                await self._admit(self._gates.incoming, self._in, await self._inner.receive())
        except ChannelClosed as closed:
            await self._in.close(closed)
            await self._out.close(closed)


@asynccontextmanager
async def gated(channel: Channel, gates: Gates | None) -> AsyncIterator[Channel]:
    """The channel behind gates; itself where there are none."""
    if gates is None:
        yield channel
        return
    gates.outgoing.forget()
    gates.incoming.forget()
    behind = GatedChannel(channel, gates)
    closing: set[asyncio.Task[None]] = set()
    stop = gates.on_close(lambda: closing.add(asyncio.create_task(channel.close())))
    pumps = [asyncio.create_task(behind.pump_out()), asyncio.create_task(behind.pump_in())]
    try:
        yield behind
    finally:
        stop()
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, *closing, return_exceptions=True)
