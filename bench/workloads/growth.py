"""How cost grows: the same work at 10,000, 100,000 and 1,000,000 events, of 3 to 1,000 replica ids, in 1 to
100,000 streams. What does not grow in a table is 100,000 events, 10 replica ids, 1 stream.

Catching up into an empty durable replica (ms, folded); the present in a process that has just begun, with what
was folded before and by a full fold (ms); recording with 256 writers after so many events (us an event); a
difference of ten events between logs of that size, over a websocket (ms). Of several streams a hundred are read,
one after the other. Each cell is as in the workloads of the same name, at most three times; of
1,000 ids and of several streams once.
"""

from __future__ import annotations

from dataclasses import replace

from bench.job import Job
from bench.table import OURS, Contender, Size, Table

MEASURES = {
    "catch-up, ms": ("ms", "serve_all", "catch_up"),
    "present with snapshot, ms": ("ms", "", "present"),
    "present by full fold, ms": ("ms", "", "present fold"),
    "append, 256 writers, us an event": ("us an event", "", "append_after"),
    "10 events of difference, ms": ("ms", "", "tiny"),
}
MODULES = {"append_after": "anabranch_append", "tiny": "anabranch_tiny"}


def tables(size: Size) -> list[Table]:
    usual = size(100_000, 2_000)
    axes = {
        "events": [Job(count=count) for count in ((500, usual) if size.quick else (10_000, usual, 1_000_000))],
        "replica ids": [Job(count=usual, ids=ids) for ids in ((20,) if size.quick else (3, 10, 100, 1_000))],
        "streams": [Job(count=usual, streams=n) for n in ((20,) if size.quick else (1, 1_000, 100_000))],
    }
    return [_table(axis, line, jobs) for axis, jobs in axes.items() for line in MEASURES]


def _table(axis: str, line: str, jobs: list[Job]) -> Table:
    figure, server, client = MEASURES[line]
    function, _, option = client.partition(" ")
    target = f"bench.peers.{MODULES.get(function, 'anabranch')}:{function}"
    calls = (f"bench.peers.anabranch:{server}", target) if server else (target,)
    contenders = []
    for job in jobs:
        at = {"events": job.count, "replica ids": job.ids, "streams": job.streams}[axis]
        told = replace(job, option=option)
        times = 1 if job.ids > 100 or job.streams > 1 else 3  # what takes long is measured once
        contenders.append(
            Contender(f"{at:,}", OURS, calls, told, "bench.peers.anabranch:prepare", times=times, at=at)
        )
    return Table(f"{line}, by {axis}", (figure,), tuple(contenders), axis=axis, line=line)
