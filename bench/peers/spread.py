"""Events that are put by one task, or by many, each one event after the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from bench.job import Figures


async def spread(writers: int, count: int, put: Callable[[int], Awaitable[Any]]) -> Figures:
    """Have `writers` tasks put `count` events; how many a second, and how long one took."""
    took: list[float] = []

    async def write(first: int) -> None:
        for number in range(first, count, writers):
            begun = time.perf_counter()
            await put(number)
            took.append(time.perf_counter() - begun)

    start = time.perf_counter()
    await asyncio.gather(*(write(writer) for writer in range(writers)))
    seconds = time.perf_counter() - start
    return {
        "events/s": count / seconds,
        "us an event": seconds / count * 1e6,
        "p50 ms": sorted(took)[len(took) // 2] * 1000,
    }
