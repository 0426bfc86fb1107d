"""What one process of a contender is told, and what it answers: `python -m bench.job module:function '{...}'`.

A process prints one line of JSON when it is done: its figures, to which its peak memory is added (VmHWM, which
begins anew with each process). A server prints a line before that, with its port and what its client must know;
it goes on until its standard input ends, and so does a client that its server still needs. Times that are
compared between processes are those of the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import resource
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

Figures = dict[str, Any]
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Job:
    """How much to do, and where."""

    count: int = 0
    ids: int = 10
    streams: int = 1
    option: str = ""
    """Which of several ways."""
    other: int = 0
    """A second number: subscribers, writers, events of the other side."""
    folder: str = ""
    """Empty, for this process alone."""
    prepared: str = ""
    """What was made once for all repetitions. Not to be changed: copy it."""
    port: int = 0
    ready: Mapping[str, Any] = field(default_factory=dict)
    """What the server has said."""

    @property
    def url(self) -> str:
        return f"ws://{HOST}:{self.port}/doc"

    def words(self) -> str:
        """As it is given to a process."""
        return json.dumps(asdict(self))

    def name(self, system: str) -> str:
        """The path, without its ending, of what is prepared for jobs of this size."""
        parts = [system, self.count, self.ids, self.streams, self.other]
        return f"{self.prepared}/{'-'.join(map(str, parts))}"

    async def serve(self, port: int, **facts: Any) -> None:
        """Say that this server may be used, and return when it is told to end."""
        await self._stay({"port": port, **facts})

    async def linger(self) -> None:
        """Say that this client has measured, and stay until the server has too."""
        await self._stay({"lingers": True})

    async def _stay(self, figures: Figures) -> None:
        say(figures)
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()

        def read() -> None:
            if not os.read(sys.stdin.fileno(), 1):
                loop.remove_reader(sys.stdin.fileno())
                ended.set()

        loop.add_reader(sys.stdin.fileno(), read)
        await ended.wait()


def say(figures: Figures) -> None:
    print(json.dumps(figures), flush=True)


def peak_memory() -> float:
    """MB that this process has held at most."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def size_of(path: str) -> int:
    """Bytes of a file, or of all files of a folder; with what SQLite keeps beside a file."""
    where = Path(path)
    if where.is_dir():
        return sum(file.stat().st_size for file in where.rglob("*") if file.is_file())
    return sum(file.stat().st_size for end in ("", "-wal") if (file := Path(path + end)).exists())


def main() -> None:
    target, words = sys.argv[1:]
    module, _, function = target.partition(":")
    call: Callable[[Job], Any] = getattr(import_module(module), function)
    found = call(Job(**json.loads(words)))
    figures: Figures = asyncio.run(found) if inspect.iscoroutine(found) else found
    say({**figures, "MB": peak_memory()})


if __name__ == "__main__":
    main()
