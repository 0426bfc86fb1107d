"""Late events and snapshots of one ordered stream, in a file.

The stream has 10,000 or 100,000 events; a peer that had seen all of it up to 10, 1,000 or 5,000 events before
the end wrote one more event then, and only now is heard. "ms to take" is the time until that is ingested,
durable and folded. The cost should follow what comes after the event, and not the length of the log. "ms to
read" is the time to the present after opening the file again, with its snapshots and without them.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time
from functools import partial
from random import Random
from tempfile import TemporaryDirectory

from bench.table import Figures, Run, compare
from replica import Event, Ordered, Replica
from replica.block import Slice
from replica.direct import DirectReplica
from replica.memory import MemoryLog
from replica.reading import Reader

STREAM = "meter/1"
COMMIT = 10


class Read(Event, frozen=True):
    litres: int


class Meter(Ordered):
    """The latest reading and the sum."""

    stream = "meter"
    events = (Read,)

    def initial(self) -> tuple[int, int]:
        return 0, 0

    def evolve(self, state: tuple[int, int], event: Read, moment: object) -> tuple[int, int]:
        return event.litres, state[1] + event.litres


async def main(run: Run) -> None:
    sizes = run.size(10_000, 2_000), run.size(100_000, 4_000)
    distances = run.size(10, 10), run.size(1_000, 100), run.size(5_000, 500)
    with TemporaryDirectory() as folder:
        takers, readers = {}, {}
        for size in sizes:
            for distance in distances:
                path = f"{folder}/{size}-{distance}.db"
                late = await build(path, size, distance, run.times)
                takers[f"{size:,} events, late by {distance:,}"] = partial(take, path, late)
            shutil.copy(path, f"{path}.without")
            readers[f"{size:,} events, with snapshots"] = partial(read, path)
            readers[f"{size:,} events, without"] = partial(read, f"{path}.without", forget=True)
        await compare("An event that arrives late", takers, run.times)
        await compare("The present after opening", readers, run.times)


async def build(path: str, size: int, distance: int, peers: int) -> list[list[Slice]]:
    """A file with a long stream; and what some peers wrote when they had seen all but the end of it."""
    late = []
    async with Replica.open(path, store="water", name="cellar", aggregates=[Meter], durability="normal") as replica:
        for at in range(0, size, COMMIT):
            if at == size - distance // COMMIT * COMMIT:
                seen = await replica.read(everything)
                for number in range(peers):
                    peer = DirectReplica(MemoryLog(), "water", f"peer {number}", [Meter], random=Random(number))
                    peer.ingest(seen)
                    peer.append(STREAM, [Read(1)], replica.now())
                    peer.flush()
                    row = peer.core.memory.lineages[peer.core.me].tip
                    late.append(list(peer.reader().whole(row)))
                await asyncio.sleep(0.005)
            await replica.append(STREAM, *(Read(n) for n in range(COMMIT)))
        while replica.core.ripe:
            await asyncio.sleep(0.01)
    return late


def everything(reader: Reader) -> list[Slice]:
    """All that a log holds."""
    rows = [row for lineage in reader.lineages.values() for row in lineage.rows]
    return [piece for row in rows for piece in reader.whole(row)]


async def take(path: str, late: list[list[Slice]]) -> Figures:
    async with Replica.open(path, store="water", name="cellar", aggregates=[Meter], durability="normal") as replica:
        await replica.present(STREAM)
        pieces = late.pop()
        start = time.perf_counter()
        await replica.ingest(pieces)
        await replica.present(STREAM)
        return {"ms to take": (time.perf_counter() - start) * 1000}
    raise AssertionError


async def read(path: str, forget: bool = False) -> Figures:
    if forget:
        with sqlite3.connect(path) as db:
            db.execute("DELETE FROM kept WHERE kind = 'snapshot'")
    async with Replica.open(path, store="water", name="cellar", aggregates=[Meter], durability="normal") as replica:
        start = time.perf_counter()
        await replica.present(STREAM)
        took = (time.perf_counter() - start) * 1000
        return {"ms to read": took}
    raise AssertionError
