"""What a terminal can show, and how it interrupts."""

from __future__ import annotations

import asyncio
import codecs
import io
import shutil
import signal
import sys
import time
from types import TracebackType

from merge.version import printable

EVERY = 0.1
"""Seconds between two pictures of a bar."""
WIDTH = 30


PLAIN = str.maketrans("●│─┼├┤✓✗━╌╍▶◀…", "*|-+++vx=~~><.")
"""What stands for signs that a terminal has not."""


def _plainly(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = error.object[error.start : error.end].translate(PLAIN)
    return "".join(c if c.isascii() else ascii(c)[1:-1] for c in found), error.end


codecs.register_error("anabranch.plainly", _plainly)


def show_all() -> None:
    """From here on print what a terminal or a pipe cannot show in other signs, or as escapes, and never fail on it.

    Any locale will do: the C one of a container, a Windows code page, what PYTHONIOENCODING says.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="anabranch.plainly")


def in_utf8() -> None:
    """Write what is for other programs as UTF-8, in any locale."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")


def writes(signs: str) -> bool:
    """Can standard output show these?"""
    try:
        signs.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def tell(words: object, *, flush: bool = False) -> None:
    """Write lines to standard output, without signs that do something to a terminal: others wrote parts of them."""
    print("\n".join(map(printable, str(words).split("\n"))), flush=flush)


def columns() -> int | None:
    """Columns of a line, where standard output is a terminal; None where lines may be of any length."""
    return shutil.get_terminal_size().columns if sys.stdout and sys.stdout.isatty() else None


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
        if not (sys.stderr and sys.stderr.isatty()) or time.monotonic() < self._next:
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
