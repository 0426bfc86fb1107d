"""Workers: what runs beside the pump for as long as a replica is open.

Rule. A worker that fails is reported and begins again after a while: the log knows where it was. It never ends the
replica, and closing the replica waits for it only so long.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from replica.errors import Closed

log = logging.getLogger("anabranch.replica")

AFTER_FAILURE = 1.0
"""Seconds before a worker that failed begins again."""
FAREWELL = 5.0
"""Seconds that a worker may take to end."""


@asynccontextmanager
async def working(name: str, *workers: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Let workers work for as long as this lasts."""
    tasks = [asyncio.create_task(_work(name, worker)) for worker in workers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=FAREWELL)
            if late:
                log.error(
                    "%s: %d of its workers did not end within %g s of being asked to", name, len(late), FAREWELL
                )


async def _work(name: str, worker: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await worker()
            return
        except Closed:
            return
        except Exception:
            log.exception("%s: a worker failed, and begins again in %g s", name, AFTER_FAILURE)
            await asyncio.sleep(AFTER_FAILURE)
