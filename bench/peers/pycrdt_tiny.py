"""pycrdt: two documents that differ by ten updates; a state there, the update back."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.job import HOST, Figures, Job
from bench.peers.pycrdt import items, joined, prepared, room
from bench.peers.rounds import Sets, linked_rounds, rounds


async def tiny(job: Job) -> Figures:
    """By pycrdt-websocket, or (option `memory`) handed over as bytes; nothing is stored."""
    a, b = prepared(job), prepared(job)
    mapping = items(a)

    async def change(sets: Sets) -> None:
        for key, value in sets:
            mapping[key] = value

    @asynccontextmanager
    async def link(port: int) -> AsyncIterator[None]:
        async with joined(b, f"ws://{HOST}:{port}/doc"):
            yield

    async def meet() -> tuple[float, float]:
        start = time.perf_counter()
        seen = b.get_state()
        news = a.get_update(seen)
        b.apply_update(news)
        return time.perf_counter() - start, len(seen) + len(news)

    if job.option == "memory":
        figures = await rounds(change, meet)
    else:
        async with room(a) as port:
            figures = await linked_rounds(change, link, port)
    assert a.get_state() == b.get_state()
    return figures
