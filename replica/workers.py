"""Workers: what runs beside the pump for as long as a replica is open.

Rule. A worker that fails is reported and begins again after a while: the log knows where it was. It never ends the
replica, and closing the replica waits for it only so long.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from replica.errors import Closed, StoreError

if TYPE_CHECKING:
    from replica.pump import Pump

log = logging.getLogger("anabranch.replica")

AFTER_FAILURE = 1.0
"""Seconds before a worker that failed begins again."""
FAREWELL = 5.0
"""Seconds that a worker may take to end."""


async def durable(pump: Pump, step: Callable[[], None]) -> None:
    """Play a step on the draft until it is durable: what it writes down has been done, and need not be done again.

    It may be played several times. Raises Closed.
    """
    while True:
        try:
            await pump.do(step)
            return
        except StoreError as error:
            log.error(
                "%s: what a worker has done is written down again in %g s: %s", pump.name, AFTER_FAILURE, error
            )
            await asyncio.sleep(AFTER_FAILURE)


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
