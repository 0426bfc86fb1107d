"""loro: two documents that differ by ten commits; a version vector there, the updates back."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bench.job import Figures, Job
from bench.peers.loro import MAP, prepared, updates
from bench.peers.rounds import Sets, answering, dial, linked_rounds, rounds


async def tiny(job: Job) -> Figures:
    """Over a websocket, or (option `memory`) handed over as bytes; nothing is stored."""
    a, b = prepared(job), prepared(job)
    items = a.get_map(MAP)

    async def change(sets: Sets) -> None:
        for key, value in sets:
            items.insert(key, value)
            a.commit()

    async def answer(link: Any) -> None:
        async for seen in link:
            await link.send(updates(a, seen))

    @asynccontextmanager
    async def link(port: int) -> AsyncIterator[None]:
        async with dial(port) as socket:
            await socket.send(b.oplog_vv.encode())
            b.import_(await socket.recv())
            yield

    async def meet() -> tuple[float, float]:
        start = time.perf_counter()
        seen = b.oplog_vv.encode()
        news = updates(a, seen)
        b.import_(news)
        return time.perf_counter() - start, len(seen) + len(news)

    if job.option == "memory":
        figures = await rounds(change, meet)
    else:
        async with answering(answer) as port:
            figures = await linked_rounds(change, link, port)
    assert a.oplog_vv == b.oplog_vv
    return figures
