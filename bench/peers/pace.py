"""Events that are made on a schedule, or as fast as may be; and when the other side has seen them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from bench.job import Figures

RATE = 200
PATIENCE = 120

Send = Callable[[int], Awaitable[object] | None]


async def paced(send: Send, count: int, option: str) -> Figures:
    """Make `count` events: RATE a second, whether or not the earlier ones have arrived, or (option `max`) without
    pause.

    Returns when each was made.
    """
    sent, tasks = [0.0] * count, set[asyncio.Task[None]]()

    async def once(number: int) -> None:
        sent[number] = time.perf_counter()
        waiting = send(number)
        if waiting is not None:
            await waiting

    start = time.perf_counter()
    if option == "max":
        numbers = iter(range(count))

        async def write() -> None:
            for number in numbers:
                await once(number)
                if number % 10 == 0:
                    await asyncio.sleep(0)

        await asyncio.gather(*(write() for _ in range(256)))
    else:
        for number in range(count):
            await asyncio.sleep(start + number / RATE - time.perf_counter())
            task = asyncio.create_task(once(number))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)
    return {"sent": sent}


async def all_seen(seen: Mapping[int, float], count: int) -> dict[str, list[float]]:
    """Wait until every number was seen; when each was."""
    async with asyncio.timeout(PATIENCE):
        while len(seen) < count:
            await asyncio.sleep(0.005)
    return {"seen": [seen[number] for number in range(count)]}
