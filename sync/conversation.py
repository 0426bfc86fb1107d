"""One session over one channel: the tasks that pump the sans-I/O `Session`.

- The reader takes a frame, and takes no other before what it asks for is durable: a peer that sends faster
  than this disk writes waits, and so does one that sends without reading.
- The writer sends what the session has to say, and reads from the log what the peer lacks, in that order: a
  peer that reads slowly makes its own session wait, and nothing is piled up for it.
- Presents are compared in a task of their own, one step after the other; what comes meanwhile is left, and comes
  again.
- The ticker says every 2 s where this replica stands, and ends a conversation that never began. It counts the time
  that it has waited itself, so that nobody is ended for a stall of this process.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from functools import partial

from merge.version import printable
from replica.arrange import Gap
from replica.comparing import Mend, Steps
from replica.core import Settled
from replica.errors import AnabranchError, Closed
from replica.ingest import Ingested
from replica.outgoing import collect
from replica.replica import Replica
from sync import standing
from sync.channel import Channel, ChannelClosed
from sync.comparing import Comparing, Reply
from sync.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from sync.gate import Gates, gated
from sync.link import Link
from sync.protocol import Become, Close, Compare, Doubt, Effect, Fetch, Ingest, Learn, Send, Session

log = logging.getLogger("anabranch.sync")

NONCE = secrets.token_bytes(8)
"""Tells this process from a copy of its replica in another one."""
TICK = 2.0
HANDSHAKE = 5.0
"""Seconds that a peer has to say who it is."""
IN_TURN = 12
"""So many times as long it may then take to say what it holds: many may have come back to it at once."""
FAREWELL = 1.0
"""Seconds that the last words may take."""
OUTBOX = 64
"""Frames that may wait to be sent before no more are read: a session has at most a window of batches, and a
few short messages, under way."""


class Conversation:
    """One side of a session. Use `converse`."""

    def __init__(self, replica: Replica, channel: Channel, handshake: float) -> None:
        self._replica, self._channel, self._handshake = replica, channel, handshake
        core = replica.core
        hello = standing.hello(core, NONCE, replica.now())
        self.session = Session(hello, core.frontier)
        self._comparing = Comparing(core, self.session, replica.now())
        self._comparison: asyncio.Task[None] | None = None
        self.error: ProtocolError | None = None
        self._outbox: deque[bytes | Fetch] = deque()
        self._wake = asyncio.Event()
        self._room = asyncio.Event()

    async def run(self) -> None:
        """Talk until the session or the channel ends. `error` then says why, if there was a fault."""
        stop = self._replica.listen(self._hear)
        self._say(self.session.start())
        reader, writer = asyncio.create_task(self._read()), asyncio.create_task(self._write())
        ticker = asyncio.create_task(self._tick())
        tasks = (reader, writer, ticker)
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                self._end(task)
        finally:
            stop()
            self._say(self.session.close())
            reader.cancel()
            ticker.cancel()
            ended: list[asyncio.Task[None]] = [*tasks]
            if self._comparison is not None:
                self._comparison.cancel()
                ended.append(self._comparison)
            try:
                await asyncio.wait((writer,), timeout=FAREWELL)
            finally:  # whoever cancels this does not wait for the last words, and leaves nothing running
                writer.cancel()
                await asyncio.gather(*ended, return_exceptions=True)
                await self._channel.close()

    def _end(self, task: asyncio.Task[None]) -> None:
        """Why did a task end? A closed channel or replica ends the conversation; anything else is our fault."""
        try:
            task.result()
        except ChannelClosed as closed:
            self.error = self.error or closed.error
        except Closed as closed:
            self._say(self.session.close(LocalProtocolError("closed", str(closed))))
        except Exception as error:
            log.exception("%s: a session ended by an error of its own", self._replica.name)
            self._say(self.session.close(LocalProtocolError("internal", f"{type(error).__name__}: {error}")))

    async def _read(self) -> None:
        while not self.session.closed:
            await self._carry_out(self.session.receive(await self._channel.receive()))
            while len(self._outbox) > OUTBOX:
                self._room.clear()
                await self._room.wait()

    async def _write(self) -> None:
        while True:
            while not self._outbox:
                if self.session.closed:
                    return
                self._wake.clear()
                await self._wake.wait()
            item = self._outbox.popleft()
            if isinstance(item, Fetch):
                wants, horizon, budget = item
                found = await self._replica.read(partial(collect, wants=wants, horizon=horizon, budget=budget))
                self._say(self.session.fetched(found.slices, more=found.more, beyond=found.beyond))
            else:
                await self._channel.send(item)
            if len(self._outbox) <= OUTBOX:
                self._room.set()

    async def _tick(self) -> None:
        waited, pause = 0.0, min(TICK, self._handshake)
        while not self.session.closed:
            await asyncio.sleep(pause)
            waited += pause  # however long it was: a stall of this process is no silence of the peer
            patience = self._handshake * (1 if self.session.peer is None else IN_TURN)
            if waited >= patience and self.session.theirs is None:
                text = f"the peer did not say within {patience:g} s what it holds"
                self._say(self.session.close(RemoteProtocolError("silent", text)))
            elif len(self._outbox) <= OUTBOX:
                core = self._replica.core
                self._say(self.session.tick(standing.horizon(core, self._replica.now()), core.members.known))
            pause = TICK

    def _hear(self, settled: Settled) -> None:
        """Something has become durable here."""
        joined = standing.joined(self._replica.core)
        if joined != self.session.hello.joined:
            self._say(self.session.grew(joined))
        self._comparing.changed(settled.changed)
        if settled.slices:
            newest = settled.brought.newest
            self._say(self.session.published(settled.slices, self._replica.core.frontier, newest))

    def resume(self) -> None:
        """The link was interrupted and is back."""
        self._say(self.session.resume())

    def _compare(self, effect: Compare) -> None:
        """Take a step of comparing presents, if none is under way."""
        if self._comparison is None or self._comparison.done():
            message = effect.message
            now = self._replica.now()
            steps = self._comparing.tick(now) if message is None else self._comparing.receive(message)
            if steps is not None:
                self._comparison = asyncio.create_task(self._take(steps), name=f"presents of {self._replica.name}")

    async def _take(self, steps: Steps[Reply]) -> None:
        """All steps of a comparison. Whatever becomes of it, the conversation goes on."""
        try:
            found = await self._carry_through(steps)
            await self._replica.keep_alarms()
            self._say(self.session.compared(found))
        except Closed:
            return
        except Exception:
            log.exception("%s: presents could not be compared; all else goes on", self._replica.name)

    async def _carry_through(self, steps: Steps[Reply]) -> Reply:
        answer, failed = None, None
        while True:
            try:
                asked = steps.send(answer) if failed is None else steps.throw(failed)
            except StopIteration as done:
                found: Reply = done.value
                return found
            answer, failed = None, None
            if isinstance(asked, Mend):
                await self._replica.mend(asked.stream)
            elif asked is not None:
                try:
                    answer = await self._replica.read(lambda reader, asked=asked: asked.call(reader.log))  # type: ignore[misc]
                except AnabranchError as error:
                    failed = error
            await asyncio.sleep(0)

    async def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Ingest):
                self._say(self.session.ingested(effect.number, await self._ingest(effect)))
            elif isinstance(effect, Learn):
                self._replica.learn(effect.rows)
            elif isinstance(effect, Become):
                await self._replica.adopt_stores(effect.stores)
            elif isinstance(effect, Doubt):
                if self._replica.core.me == self.session.hello.replica:
                    log.warning("%s: %s", self._replica.name, printable(effect.why))
                    await self._replica.doubt()
            else:
                self._say([effect])

    async def _ingest(self, effect: Ingest) -> Ingested | Gap | Exception:
        try:
            return await self._replica.ingest(effect.slices, effect.horizon)
        except Closed:
            raise
        except Exception as error:
            if not isinstance(error, AnabranchError):
                log.exception("%s: a batch could not be ingested", self._replica.name)
            return error

    def _say(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self._outbox.append(effect.frame)
            elif isinstance(effect, Fetch):
                self._outbox.append(effect)
            elif isinstance(effect, Close):
                self.error = self.error or effect.error
            elif isinstance(effect, Compare):
                self._compare(effect)
            else:
                raise AssertionError(
                    f"{type(effect).__name__} comes from a frame, and is carried out by the reader"
                )
        self._wake.set()


async def converse(
    replica: Replica, channel: Channel, link: Link, gates: Gates | None = None, handshake: float = HANDSHAKE
) -> None:
    """Hold one session over `channel`; `link` shows how it goes, and keeps the fault that ended it."""
    async with gated(channel, gates) as behind:
        conversation = Conversation(replica, behind, handshake)
        link.session = conversation.session
        link.sessions += 1
        stop = gates.on_heal(conversation.resume) if gates is not None else None
        try:
            await conversation.run()
        finally:
            if stop is not None:
                stop()
            link.error = conversation.error
