"""pycrdt-websocket: updates on their way from one client through the server to another, as people use it.

The two clients are in one process, and the server in another. Nothing is stored.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from pycrdt import Doc

from bench.job import Figures, Job
from bench.keys import number, pairs
from bench.peers.pace import all_seen, paced
from bench.peers.pycrdt import items, joined, room


async def hub(job: Job) -> Figures:
    async with room(Doc()) as port:
        await job.serve(port)
    return {}


async def through_hub(job: Job) -> Figures:
    a: Any = Doc()
    b: Any = Doc()
    sets, seen = pairs(job.count), dict[int, float]()
    ours, theirs = items(a), items(b)

    def see(event: Any) -> None:
        moment = time.perf_counter()
        for change in event.keys.values():
            seen.setdefault(number(change["newValue"]), moment)

    def send(at: int) -> None:
        ours[sets[at][0]] = sets[at][1]

    subscription = theirs.observe(see)
    async with joined(a, job.url), joined(b, job.url):
        await asyncio.sleep(0.2)
        figures = await paced(send, job.count, job.option)
        figures |= await all_seen(seen, job.count)
    theirs.unobserve(subscription)
    return figures
