"""Anabranch: events on their way, decided and durable (FULL) at their origin, durable and folded where they
arrive.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from bench import keys
from bench.job import HOST, Figures, Job
from bench.keys import HOME, KeySet, SetKey, opened
from bench.peers.pace import all_seen, paced
from replica import Replica
from sync import connect, serve

WARM = 20
"""Events before those that are measured."""


def noticed(replica: Replica, seen: dict[int, float]) -> Callable[[], None]:
    """Note when events are durable and folded here, by the number in their value."""

    def hear(settled: Any) -> None:
        moment = time.perf_counter()
        for commit in settled.commits:
            for event in commit.events:
                if event.type == KeySet.__name__:
                    at = event.payload.index(b'{"n":') + 5
                    seen.setdefault(int(event.payload[at : at + 8]), moment)

    return replica.listen(hear)


async def read_here(job: Job) -> Figures:
    """The side where events arrive."""
    seen: dict[int, float] = {}
    async with opened(f"{job.folder}/here.db", "here") as replica, serve(replica, HOST, 0) as server:
        stop = noticed(replica, seen)
        await job.serve(server.port)
        figures = await all_seen(seen, job.count + WARM)
        stop()
        return {"seen": figures["seen"][WARM:]}
    raise AssertionError


async def write_there(job: Job) -> Figures:
    """The side where they are made."""
    async with opened(f"{job.folder}/there.db", "there") as replica, connect(replica, job.url):
        figures = await write(replica, job)
        await job.linger()
        return figures
    raise AssertionError


async def write(replica: Replica, job: Job) -> Figures:
    sets = keys.pairs(job.count + WARM)

    def send(number: int) -> Awaitable[object]:
        return replica.execute(HOME, SetKey(*sets[number]))

    for number in range(WARM):
        await send(number)
    await asyncio.sleep(0.2)
    return await paced(lambda number: send(number + WARM), job.count, job.option)


async def hub(job: Job) -> Figures:
    """A replica between the two."""
    async with opened(f"{job.folder}/hub.db", "hub") as replica, serve(replica, HOST, 0) as server:
        await replica.append(HOME, KeySet(*keys.pairs(1)[0]))
        await job.serve(server.port)
    return {}


async def through_hub(job: Job) -> Figures:
    """A writer and a reader in one process, each with a link to the hub."""
    seen: dict[int, float] = {}
    async with (
        opened(f"{job.folder}/a.db", "a") as a,
        opened(f"{job.folder}/b.db", "b") as b,
        connect(a, job.url),
        connect(b, job.url),
    ):
        stop = noticed(b, seen)
        figures = await write(a, job)
        figures |= {"seen": (await all_seen(seen, job.count + WARM))["seen"][WARM:]}
        stop()
        return figures
    raise AssertionError
