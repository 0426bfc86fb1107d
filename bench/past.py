"""Going back in a stream of 100,000 events (1,000,000 with --full) of one writer, and forking its file.

"ms" is the time to the present of the stream in a past, or (the slider) of 100 pasts one after the other, evenly
spread over the last tenth. A cut is so many events after the newest snapshot that lies before it. Anabranch reads
its blocks and snapshots from a file that has been read before, without what earlier views of it had folded; loro
has its history in memory, and checks out the same number of its operations.

A fork of Anabranch is a file that is durable; "and opened" is until the present of the stream is there in the new
replica. loro's `fork_at` makes a document in memory. The last row copies the bytes of the file, and nothing else.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import peers
from bench.basket import HOME, Basket, fill, opened
from bench.table import Figures, Measure, Run, compare
from merge.version import VersionVector
from replica import Replica
from replica.snapshot import read, span

SLIDER = 100


async def main(run: Run) -> None:
    count = run.size(1_000_000 if run.full else 100_000, 20_000)
    near = [run.size(n, n // 10) for n in (100, 1_000, 10_000)]
    with TemporaryDirectory() as folder:
        async with opened(folder, "long") as replica:
            await fill(replica, count, commit=100)
            while replica.core.ripe:
                await asyncio.sleep(0.01)
            await replica.present(HOME)
            await replica._backend.run(lambda log: log._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
            me = int(replica.core.me)
            kept = await replica._backend.run(lambda log: log.kept(span(HOME)))
            marks = sorted(read(one).stands[me] for one in kept)
            document = Document(count)
            cuts: dict[str, int] = {}
            for distance in near:
                ends = [*marks[1:], count]
                starts = [mark for mark, end in zip(marks, ends, strict=True) if mark + distance + 100 < end]
                if starts:
                    cuts[f"{distance:,} events after a snapshot"] = starts[-1] + distance
            cuts |= {"half of the stream": count // 2, "a tenth of it": count // 10}
            measures: dict[str, Measure] = {}
            for name, seq in cuts.items():
                seq = (seq - 1) // 100 * 100 + 1
                measures[f"anabranch, {name}"] = partial(go, replica, [seq])
                measures[f"loro, {name}"] = partial(document.go, [seq])
            steps = [(count - count // 10 + at * (count // 10) // SLIDER) // 100 * 100 + 1 for at in range(SLIDER)]
            measures[f"anabranch, slider of {SLIDER}"] = partial(go, replica, steps)
            measures[f"loro, slider of {SLIDER}"] = partial(document.go, steps)
            await compare(f"A past of a stream of {count:,} events ({len(marks)} snapshots)", measures, run.times)
            forks: dict[str, Measure] = {
                "anabranch, now": partial(fork, replica, folder, "now"),
                "loro, now": partial(document.fork, count),
                "anabranch, half": partial(fork, replica, folder, VersionVector({me: count // 2 // 100 * 100 + 1})),
                "loro, half": partial(document.fork, count // 2),
                "the file, copied": partial(copy, folder),
            }
            await compare(f"A fork of {count:,} events", forks, run.times)


async def go(replica: Replica, seqs: list[int]) -> Figures:
    replica._folds.clear()
    start = time.perf_counter()
    for seq in seqs:
        view = await replica.at((int(replica.core.me), seq))
        present: Basket = await view.present(HOME)
        assert len(present.items) > 0
    return {"ms": (time.perf_counter() - start) * 1000}


_names = itertools.count()


async def fork(replica: Replica, folder: str, at: Any) -> Figures:
    path = Path(f"{folder}/fork{next(_names)}.db")
    start = time.perf_counter()
    await replica.fork(path, at)
    forked = time.perf_counter()
    async with opened(folder, path.stem) as other:
        await other.present(HOME)
        done = time.perf_counter()
    figures = {
        "ms": (forked - start) * 1000,
        "ms, and opened": (done - start) * 1000,
        "MB": path.stat().st_size / 1e6,
    }
    path.unlink()
    return figures


class Document:
    """The same history in loro."""

    def __init__(self, count: int) -> None:
        self._count, self._doc = count, None

    def _made(self) -> Any:
        if self._doc is None:
            self._doc = peers.loro_doc(self._count)
        return self._doc

    def _frontiers(self, seq: int) -> Any:
        import loro

        return loro.Frontiers.from_id(loro.ID(self._made().peer_id, min(seq, self._count) - 1))

    async def go(self, seqs: list[int]) -> Figures:
        doc = self._made()
        frontiers = [self._frontiers(seq) for seq in seqs]
        start = time.perf_counter()
        for one in frontiers:
            doc.checkout(one)
            assert len(doc.get_map(peers.MAP)) > 0
        seconds = time.perf_counter() - start
        doc.checkout_to_latest()
        return {"ms": seconds * 1000}

    async def fork(self, seq: int) -> Figures:
        doc, frontiers = self._made(), self._frontiers(seq)
        start = time.perf_counter()
        other = doc.fork_at(frontiers)
        forked = time.perf_counter()
        assert len(other.get_map(peers.MAP)) > 0
        return {"ms": (forked - start) * 1000, "ms, and opened": (time.perf_counter() - start) * 1000}


async def copy(folder: str) -> Figures:
    start = time.perf_counter()
    shutil.copyfile(f"{folder}/long.db", f"{folder}/copy.db")
    return {"ms": (time.perf_counter() - start) * 1000, "MB": Path(f"{folder}/copy.db").stat().st_size / 1e6}
