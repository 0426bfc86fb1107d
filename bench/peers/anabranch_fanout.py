"""Anabranch: a durable hub, one replica that writes, and subscribers that speak its protocol and keep nothing.

A subscriber says Hello and Have as a replica does, acknowledges each batch, and counts the events. Subscribers
get equal frames, so what one frame means is worked out once for all of them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench import keys
from bench.job import HOST, Figures, Job
from bench.keys import HOME, STORE, KeySet, opened
from bench.peers.sinks import Look, Subscribers
from replica import Replica
from sync import connect, serve
from sync.message import FORMAT, Ack, Batch, Have, Hello, Message, decode, encode

FAR = 1 << 50
"""A horizon (wall ms) that nothing lies beyond."""
FIRST = 2
"""Events of the writer before those that are counted: its introduction, and one to begin with."""


class Speaker:
    """What subscribers understand. One for all: their frames are the same."""

    def __init__(self, writer: int) -> None:
        self._writer, self._seen = writer, dict[bytes, tuple[int, bytes]]()

    def hello(self, number: int) -> list[bytes]:
        hello = Hello(FORMAT, STORE, 1000 + number, f"subscriber {number}", b"bench", FAR)
        return [encode(hello)]

    def look(self, number: int) -> Look:
        return self._look

    def _look(self, frame: bytes) -> tuple[int, bytes]:
        found = self._seen.get(frame)
        if found is None:
            found = self._seen[frame] = self._understand(decode(frame))
        return found

    def _understand(self, message: Message) -> tuple[int, bytes]:
        if isinstance(message, Have):
            return 0, encode(Have(1, message.heads, reply=False))
        if isinstance(message, Batch):
            events = 0
            for piece in message.slices:
                if piece.replica == self._writer:
                    events += max(0, piece.last - max(piece.after, FIRST))
            return events, encode(Ack(message.number, bytes(16), FAR))
        return 0, b""


async def hub(job: Job) -> Figures:
    async with opened(f"{job.folder}/hub.db", "hub") as replica, serve(replica, HOST, 0) as server:
        await replica.append(HOME, KeySet(*keys.pairs(1)[0]))
        await job.serve(server.port)
    return {}


@asynccontextmanager
async def writer(job: Job) -> AsyncIterator[Replica]:
    """A replica in memory that has its link to the hub, and has said that it is there."""
    async with opened(":memory:", "writer") as replica, connect(replica, job.url) as link:
        await replica.append(HOME, KeySet(*keys.pairs(1)[0]))
        while not link.status().in_sync:
            await asyncio.sleep(0.01)
        yield replica


async def fan_out(job: Job) -> Figures:
    """`other` subscribers; the option is how many events the writer has under way."""
    sets = [KeySet(*pair) for pair in keys.pairs(job.count)]
    async with writer(job) as replica:
        speaker = Speaker(int(replica.core.me))
        subscribers = Subscribers(job.other * job.count)
        await subscribers.join(job.port, job.other, speaker.look, speaker.hello)
        numbers = iter(range(job.count))

        async def write() -> None:
            for number in numbers:
                await replica.append(HOME, sets[number])

        start = time.perf_counter()
        await asyncio.gather(*(write() for _ in range(int(job.option))))
        await subscribers.all_reached()
        seconds = time.perf_counter() - start
        return {"deliveries/s": job.other * job.count / seconds, "events/s": job.count / seconds}
    raise AssertionError
