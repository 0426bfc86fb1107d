"""Anabranch: events that arrive late in an ordered stream, which is rewound to a snapshot and folded again."""

from __future__ import annotations

import asyncio
import time
from random import Random
from typing import Any

from bench.job import Figures, Job
from replica import Event, Ordered, Replica
from replica.block import Slice
from replica.clock import wall_clock
from replica.direct import DirectReplica
from replica.memory import MemoryLog
from replica.reading import Reader

STREAM = "meter/1"
COMMIT = 10
DISTANCES = (10, 1_000, 5_000)


class MeterRead(Event, frozen=True):
    litres: int


class Meter(Ordered):
    """The latest reading and the sum."""

    stream = "meter"
    events = (MeterRead,)

    def initial(self) -> tuple[int, int]:
        return 0, 0

    def evolve(self, state: tuple[int, int], event: MeterRead, moment: object) -> tuple[int, int]:
        return event.litres, state[1] + event.litres


def opened(job: Job) -> Any:
    path = f"{job.folder}/meter.db"
    return Replica.open(path, store="water", name="cellar", aggregates=[Meter], durability="normal")


async def late(job: Job) -> Figures:
    """A stream of `count` events; then, for each distance, one that was written so many events before the end."""
    found: dict[int, list[Slice]] = {}
    distances = [distance for distance in DISTANCES if distance < job.count]
    async with opened(job) as replica:
        for at in range(0, job.count, COMMIT):
            for distance in distances:
                if at == (job.count - distance) // COMMIT * COMMIT:
                    found[distance] = written_by_a_peer(await replica.read(everything), distance)
                    await asyncio.sleep(0.005)
            await replica.append(STREAM, *(MeterRead(n) for n in range(COMMIT)))
        while replica.core.ripe:
            await asyncio.sleep(0.01)
    figures: Figures = {}
    async with opened(job) as replica:
        start = time.perf_counter()
        await replica.present(STREAM)
        figures["opened, ms"] = (time.perf_counter() - start) * 1000
        for distance in distances:
            start = time.perf_counter()
            await replica.ingest(found[distance])
            await replica.present(STREAM)
            figures[f"late by {distance:,}, ms"] = (time.perf_counter() - start) * 1000
    return figures


def everything(reader: Reader) -> list[Slice]:
    """All that a log holds."""
    rows = [row for lineage in reader.lineages.values() for row in lineage.rows]
    return [piece for row in rows for piece in reader.whole(row)]


def written_by_a_peer(seen: list[Slice], number: int) -> list[Slice]:
    """The log of a peer that had seen so much, and wrote one event."""
    peer = DirectReplica(MemoryLog(), "water", f"peer {number}", [Meter], random=Random(number))
    peer.ingest(seen)
    peer.append(STREAM, [MeterRead(1)], wall_clock())
    peer.flush()
    return list(peer.reader().whole(peer.core.memory.lineages[peer.core.me].tip))
