"""Two logs that differ by ten events, round after round: the same pair meets, and differs again."""

from __future__ import annotations

import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from bench.job import HOST, Figures
from bench.keys import pairs
from bench.peers.byhand import SOCKET
from bench.relay import relay

ROUNDS = 20
DIFFERENCE = 10

Sets = list[tuple[str, str]]
Link = Callable[[int], AbstractAsyncContextManager[None]]


async def rounds(
    change: Callable[[Sets], Awaitable[object]], meet: Callable[[], Awaitable[tuple[float, float]]]
) -> Figures:
    """The median of the rounds; `meet` returns how long it took (s), and bytes."""
    took, size = [], []
    for number in range(ROUNDS):
        await change(pairs(DIFFERENCE, 100 + number))
        seconds, count = await meet()
        took.append(seconds * 1000)
        size.append(count)
    return {"ms": statistics.median(took), "wire B": statistics.median(size)}


async def linked_rounds(change: Callable[[Sets], Awaitable[object]], link: Link, port: int) -> Figures:
    """The same over a websocket: `link` is held from when both are equal. The last round is not timed: its bytes
    are counted."""

    async def meet() -> tuple[float, float]:
        start = time.perf_counter()
        async with link(port):
            return time.perf_counter() - start, 0
        raise AssertionError

    figures = await rounds(change, meet)
    await change(pairs(DIFFERENCE, 99))
    async with relay(port) as counted, link(counted.port):
        pass
    return {**figures, "wire B": counted.bytes}


def dial(port: int) -> Any:
    return connect(f"ws://{HOST}:{port}/doc", **SOCKET)


@asynccontextmanager
async def answering(answer: Callable[[Any], Awaitable[None]]) -> AsyncIterator[int]:
    """Have `answer` take each websocket that is dialled; yields the port."""
    async with serve(answer, HOST, 0, **SOCKET) as server:
        yield server.sockets[0].getsockname()[1]
