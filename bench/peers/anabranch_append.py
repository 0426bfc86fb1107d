"""Anabranch: recording events. Each is decided or given, hashed, folded and durable before the next is made."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from bench import keys
from bench.job import Figures, Job
from bench.keys import HOME, KeySet, SetKey, opened
from bench.peers.anabranch import copied
from bench.peers.spread import spread


async def append(job: Job) -> Figures:
    """`other` writers record `count` events; the option is how: `append` or `execute`."""
    pairs = keys.pairs(job.count)
    async with opened(f"{job.folder}/log.db", "writer") as replica:
        await replica.append(HOME, KeySet(*pairs[0]))

        def given(number: int) -> Awaitable[Any]:
            return replica.append(HOME, KeySet(*pairs[number]))

        def decided(number: int) -> Awaitable[Any]:
            return replica.execute(HOME, SetKey(*pairs[number]))

        return await spread(job.other, job.count, decided if job.option == "execute" else given)
    raise AssertionError


GROWN = 10_000


async def append_after(job: Job) -> Figures:
    """256 writers record 10,000 events in a file that holds `count` already; of several streams a tenth as many."""
    count = min(GROWN if job.streams == 1 else GROWN // 10, job.count)
    streams, pairs = keys.streams_of(job.streams), keys.pairs(GROWN, seed=3)
    async with opened(copied(job), "writer") as replica:
        await replica.append(streams[0], KeySet(*pairs[0]))

        def put(number: int) -> Awaitable[Any]:
            return replica.append(streams[number % len(streams)], KeySet(*pairs[number]))

        return await spread(256, count, put)
    raise AssertionError
