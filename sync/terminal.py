"""What a terminal can show, and how it interrupts."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import time
from types import TracebackType

from merge.version import printable

EVERY = 0.1
"""Seconds between two pictures of a bar."""
WIDTH = 30


def writes(signs: str) -> bool:
    """Can standard output show these?"""
    try:
        signs.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def tell(words: object, *, flush: bool = False) -> None:
    """Write lines to standard output, without signs that do something to a terminal: others wrote parts of them."""
    print("\n".join(map(printable, str(words).split("\n"))), flush=flush)


def columns() -> int | None:
    """Columns of a line, where standard output is a terminal; None where lines may be of any length."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


class Bar:
    """How far a long work has come: `copying [#####-----] 1,024 of 2,048`, where standard error is a terminal.

    Call it with how much of how much is done.
    """

    def __init__(self, work: str) -> None:
        self._work, self._shown = work, False
        self._next = time.monotonic() + EVERY

    def __enter__(self) -> Bar:
        return self

    def __call__(self, done: int, total: int) -> None:
        if not sys.stderr.isatty() or time.monotonic() < self._next:
            return
        full = WIDTH * done // max(total, 1)
        bar = "#" * full + "-" * (WIDTH - full)
        sys.stderr.write(f"\r{self._work} [{bar}] {done:,} of {total:,}\x1b[K")
        sys.stderr.flush()
        self._shown, self._next = True, time.monotonic() + EVERY

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def interrupted() -> asyncio.Event:
    """Set when the process is asked to end."""
    stop = asyncio.Event()
    for one in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(one, stop.set)
    return stop
