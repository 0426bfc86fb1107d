"""Anabranch: two durable replicas that differ by ten events meet over a websocket, or (option `memory`) without
one.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench import keys
from bench.job import HOST, Figures, Job
from bench.keys import KeySet, opened
from bench.peers.anabranch import copied
from bench.peers.rounds import Sets, linked_rounds, rounds
from sync import connect, linked, serve


async def tiny(job: Job) -> Figures:
    streams = keys.streams_of(job.streams)
    async with (
        opened(copied(job), "a") as a,
        opened(copied(job), "b") as b,
        serve(a, HOST, 0) as server,
    ):
        async with connect(b, server.url):
            await b.wait_for(a.version)
            await a.wait_for(b.version)

        async def change(sets: Sets) -> None:
            await keys.fill(a, [KeySet(*pair) for pair in sets], streams)

        @asynccontextmanager
        async def link(port: int) -> AsyncIterator[None]:
            async with connect(b, f"ws://{HOST}:{port}"):
                await b.wait_for(a.version)
                yield

        async def meet() -> tuple[float, float]:
            start = time.perf_counter()
            async with linked(a, b):
                await b.wait_for(a.version)
                return time.perf_counter() - start, 0
            raise AssertionError

        if job.option == "memory":
            return {"ms": (await rounds(change, meet))["ms"]}
        return await linked_rounds(change, link, server.port)
    raise AssertionError
