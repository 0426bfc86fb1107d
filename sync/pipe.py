"""A bounded queue between two tasks that can be closed: `put` waits for room, `get` for an item."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

from sync.channel import ChannelClosed

T = TypeVar("T")


class Pipe(Generic[T]):
    """Items in order. After `close` what is in it can still be taken, and nothing more put in."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[T] = deque()
        self._changed = asyncio.Condition()
        self._closed: ChannelClosed | None = None

    async def put(self, item: T) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or len(self._items) < self._capacity)
            if self._closed is not None:
                raise self._closed
            self._items.append(item)
            self._changed.notify_all()

    async def get(self) -> T:
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or self._items)
            if not self._items:
                assert self._closed is not None
                raise self._closed
            self._changed.notify_all()
            return self._items.popleft()

    async def close(self, why: ChannelClosed | None = None) -> None:
        async with self._changed:
            self._closed = self._closed or why or ChannelClosed()
            self._changed.notify_all()
