"""Where a replica keeps its log: a SQLite file on its own thread, or memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

from replica.log import Log
from replica.memory import MemoryLog

T = TypeVar("T")


class Backend(Protocol):
    """A log that is called without blocking the loop."""

    async def run(self, call: Callable[[Log], T]) -> T:
        """Call something with the log, where that may block."""

    async def connect(self) -> None:
        """Open it."""

    async def reconnect(self) -> None:
        """Close it and open it again; calls that come meanwhile wait."""

    async def disconnect(self) -> None:
        """Close it."""


class MemoryBackend:
    """A log in memory, called in place."""

    def __init__(self, log: MemoryLog | None = None) -> None:
        self.log = MemoryLog() if log is None else log

    async def run(self, call: Callable[[Log], T]) -> T:
        return call(self.log)

    async def connect(self) -> None:
        """Nothing to open."""

    async def reconnect(self) -> None:
        """Nothing to open again."""

    async def disconnect(self) -> None:
        """Nothing to close."""


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing: over a log in memory whatever is read is there."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("something was waited for")


@asynccontextmanager
async def connected(backend: Backend) -> AsyncIterator[Backend]:
    """The backend, open; closed at the end whatever happens."""
    await backend.connect()
    try:
        yield backend
    finally:
        await backend.disconnect()
