"""loro: checking out earlier versions of a document in memory, and forking it there."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import loro

from bench.job import Figures, Job
from bench.keys import pairs
from bench.peers.anabranch_past import SLIDER
from bench.peers.loro import MAP, loaded, read, updates

PEER = 1


def prepare(job: Job) -> Figures:
    """One peer, one commit a set."""
    doc: Any = loaded()
    doc.peer_id = PEER
    items = doc.get_map(MAP)
    for key, value in pairs(job.count):
        items.insert(key, value)
        doc.commit()
    Path(job.name("loro") + ".updates").write_bytes(updates(doc))
    return {}


def frontiers(count: int) -> Any:
    """Where the document stood after so many operations of its only peer."""
    return loro.Frontiers.from_id(loro.ID(PEER, count - 1))


def past(job: Job) -> Figures:
    doc = loaded(Path(job.name("loro") + ".updates").read_bytes())

    def go(*counts: int) -> float:
        cuts = [frontiers(count) for count in counts]
        start = time.perf_counter()
        for cut in cuts:
            doc.checkout(cut)
            assert read(doc)
        seconds = time.perf_counter() - start
        doc.checkout_to_latest()
        return seconds * 1000

    figures: Figures = {"half, ms": go(job.count // 2), "a tenth, ms": go(job.count // 10)}
    last = job.count // 10
    figures["slider, ms"] = go(*(job.count - last + at * last // SLIDER for at in range(SLIDER)))
    return figures


def fork(job: Job) -> Figures:
    doc = loaded(Path(job.name("loro") + ".updates").read_bytes())
    figures: Figures = {}
    for name, count in (("now", job.count), ("half", job.count // 2)):
        cut = frontiers(count)
        start = time.perf_counter()
        other = doc.fork_at(cut)
        figures[f"fork {name}, ms"] = (time.perf_counter() - start) * 1000
        assert read(other)
        figures[f"fork {name}, opened, ms"] = (time.perf_counter() - start) * 1000
    return figures
