"""Anabranch: going back in a stream, and forking a file. The cuts are so many events after a snapshot, or a
share.
"""

from __future__ import annotations

import time
from pathlib import Path

from bench import keys
from bench.job import Figures, Job, size_of
from bench.keys import HOME, opened, sets
from bench.peers.anabranch import copied, rest
from merge.version import VersionVector
from replica import Replica
from replica.snapshot import read, span

SLIDER = 100
COMMIT = 100


async def prepare(job: Job) -> Figures:
    """One writer, a hundred events a commit."""
    path, events = job.name("anabranch") + ".db", sets(job.count)
    async with opened(path, "long", "normal") as replica:
        for at in range(0, len(events), COMMIT):
            await replica.append(HOME, *events[at : at + COMMIT])
        await rest(replica, job)
    return {"bytes": size_of(path)}


async def snapshots(replica: Replica, writer: int) -> list[int]:
    """Where the snapshots of the stream stand in the log of its writer."""
    kept = await replica._backend.run(lambda log: log.kept(span(HOME)))
    return sorted(read(one).stands[writer] for one in kept)


async def past(job: Job) -> Figures:
    """The time to presents of the past, each as if it were the first that is asked for."""
    async with opened(copied(job), "long") as replica:
        writer = int(next(iter(replica.version)).replica)
        marks = await snapshots(replica, writer)

        async def go(*seqs: int) -> float:
            replica._folds.clear()
            start = time.perf_counter()
            for seq in seqs:
                view = await replica.at((writer, (seq - 1) // COMMIT * COMMIT + 1))
                assert len((await view.present(HOME)).items) > 0
            return (time.perf_counter() - start) * 1000

        figures: Figures = {"snapshots": len(marks)}
        for near in (100, 1_000, 10_000):
            ends = [*marks[1:], job.count]
            starts = [mark for mark, end in zip(marks, ends, strict=True) if mark + near + COMMIT < end]
            if starts:
                figures[f"{near:,} after a snapshot, ms"] = await go(starts[-1] + near)
        figures["half, ms"] = await go(job.count // 2)
        figures["a tenth, ms"] = await go(job.count // 10)
        last = job.count // 10
        figures["slider, ms"] = await go(*(job.count - last + at * last // SLIDER for at in range(SLIDER)))
        return figures
    raise AssertionError


async def fork(job: Job) -> Figures:
    """A file that begins in the past, and its present."""
    figures: Figures = {}
    async with opened(copied(job), "long") as replica:
        writer = int(next(iter(replica.version)).replica)
        half = VersionVector({writer: job.count // 2 // COMMIT * COMMIT + 1})
        for name, at in (("now", "now"), ("half", half)):
            path = Path(f"{job.folder}/{name}.db")
            start = time.perf_counter()
            await replica.fork(path, at)
            figures[f"fork {name}, ms"] = (time.perf_counter() - start) * 1000
            async with opened(str(path), name) as other:
                assert keys.values(await other.present(HOME))
                figures[f"fork {name}, opened, ms"] = (time.perf_counter() - start) * 1000
    return figures
