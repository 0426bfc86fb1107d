"""One hub and many subscribers: pycrdt-websocket, y-websocket, and the library's `broadcast`.

The client writes messages that were made before, as fast as the hub takes them. Hubs for yjs send a writer its own
updates back, so it reads them too.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
from websockets.asyncio.client import connect

from bench.job import Figures, Job
from bench.keys import pairs
from bench.peers.byhand import SOCKET
from bench.peers.sinks import Look, Subscribers

UPDATE = b"\x00\x02"
"""How a message of y-websocket begins that brings an update."""


def updates(job: Job) -> list[bytes]:
    """One message of y-websocket for each set."""
    from pycrdt import Doc, Map, create_update_message

    doc: Any = Doc()
    items, found = doc.get("items", type=Map), list[bytes]()
    subscription = doc.observe(lambda event: found.append(create_update_message(event.update)))
    for key, value in pairs(job.count):
        items[key] = value
    doc.unobserve(subscription)
    return found


async def yjs(job: Job) -> Figures:
    return await fan_out(job, updates(job), lambda payload: (int(payload.startswith(UPDATE)), b""))


async def plain(job: Job) -> Figures:
    return await fan_out(job, [msgspec.msgpack.encode(pair) for pair in pairs(job.count)], lambda payload: (1, b""))


async def fan_out(job: Job, messages: list[bytes], look: Look) -> Figures:
    """`other` subscribers, and one writer."""
    subscribers = Subscribers(job.other * job.count)
    await subscribers.join(job.port, job.other, lambda number: look, lambda number: [])
    async with connect(job.url, **SOCKET) as link:

        async def drain() -> None:
            async for _ in link:
                pass

        draining = asyncio.create_task(drain())
        start = time.perf_counter()
        for number, message in enumerate(messages):
            await link.send(message)
            if number % 20 == 0:
                await asyncio.sleep(0)
        await subscribers.all_reached()
        seconds = time.perf_counter() - start
        draining.cancel()
    return {"deliveries/s": job.other * job.count / seconds, "events/s": job.count / seconds}
