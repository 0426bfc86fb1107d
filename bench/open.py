"""Opening a file of 10,000 and of 1,000,000 events: four large streams, and a small one spread over the whole log.

Time until the replica is open and has said its status, and then until the first present of the small stream (10
events, each in another part of the log). "Cold" rows first ask the system to drop the file from its cache, where
it can. Python and its modules are loaded already. Closing, and what is sealed in the background, is not timed.
The rows to compare are those of the two sizes: opening should cost the same.
"""

from __future__ import annotations

import os
import time
from functools import partial
from tempfile import TemporaryDirectory

from bench.basket import ItemAdded, fill, opened
from bench.table import Figures, Measure, Run, compare

SMALL = "basket/small"


async def main(run: Run) -> None:
    contenders: dict[str, Measure] = {}
    with TemporaryDirectory() as folder:
        for count in (run.size(10_000, 2_000), run.size(1_000_000, 20_000)):
            name = f"of-{count}"
            await build(folder, name, count)
            size = os.path.getsize(f"{folder}/{name}.db") / 1e6
            for cold in (False, True):
                title = f"{count:,} events ({size:.1f} MB), {'cold' if cold else 'warm'}"
                contenders[title] = partial(measure, folder, name, cold)
        await compare("Opening, and the first present of a small stream", contenders, run.times)


async def build(folder: str, name: str, count: int) -> None:
    """Ten rounds of a tenth of the events; each ends with one event of the small stream."""
    async with opened(folder, name, "normal") as replica:
        for _ in range(10):
            for stream in range(4):
                await fill(replica, count // 40, f"basket/large-{stream}", commit=1000)
            await replica.append(SMALL, ItemAdded("small"))
    async with opened(folder, name) as replica:
        assert replica.status().events >= count // 40 * 40


async def measure(folder: str, name: str, cold: bool) -> Figures:
    if cold:
        forget(f"{folder}/{name}.db")
    start = time.perf_counter()
    async with opened(folder, name) as replica:
        assert replica.status().events
        ready = time.perf_counter()
        present = await replica.present(SMALL)
        read = time.perf_counter()
        assert len(present.items) == 1
        return {"ms to open": (ready - start) * 1000, "ms to present": (read - ready) * 1000}
    raise AssertionError


def forget(path: str) -> None:
    """Ask the system to drop a file from its cache."""
    if hasattr(os, "posix_fadvise"):
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
