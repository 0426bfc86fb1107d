"""Where a replica keeps its log: a SQLite file on its own thread, or memory.

Rule. What was opened in one event loop is called from that one alone: its futures are answered there, and its
state is changed there without locks. Any other loop, thread or forked process hears so at once (WrongLoop), and how
to ask.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

from replica.errors import WrongLoop
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


class OneLoop:
    """A backend, for the event loop that opened it."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._loop, self._process = asyncio.get_running_loop(), os.getpid()

    def check(self) -> None:
        """Raises WrongLoop where this is called from any other loop, or none."""
        try:
            here: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is self._loop:
            return
        if self.forked:
            raise WrongLoop(
                "nothing was done: this process was forked from the one in which the replica is open, and cannot "
                "use it. Ask that process, or open a file of your own and connect the two."
            )
        raise WrongLoop(
            "nothing was done: the replica is open in another event loop, and answers there alone. From another "
            "thread: `asyncio.run_coroutine_threadsafe(replica.append(...), loop).result()`, with the loop in "
            "which it was opened."
        )

    @property
    def path(self) -> str | None:
        """The file of the log; None where it has none."""
        found: str | None = getattr(self._backend, "path", None)
        return found

    @property
    def forked(self) -> bool:
        """This is a forked copy: the thread of the log is not in this process."""
        return os.getpid() != self._process

    async def run(self, call: Callable[[Log], T]) -> T:
        self.check()
        return await self._backend.run(call)

    async def connect(self) -> None:
        self.check()
        await self._backend.connect()

    async def reconnect(self) -> None:
        self.check()
        await self._backend.reconnect()

    async def disconnect(self) -> None:
        if not self.forked:
            self.check()
            await self._backend.disconnect()


@asynccontextmanager
async def connected(backend: Backend) -> AsyncIterator[OneLoop]:
    """The backend, open, for this loop; closed at the end whatever happens."""
    await backend.connect()
    opened = OneLoop(backend)
    try:
        yield opened
    finally:
        await opened.disconnect()
