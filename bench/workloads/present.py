"""The present of a stream of 1,000,000 events, in a process that has just begun.

From opening the file until all 1,000 values have been read. Python and its modules are loaded already, and the
file is in the cache of the system. "Full fold" is by code of another version than that which folded the stream
before, so that no snapshot serves: the whole log is read. loro opens its snapshot, or its updates; pycrdt one
merged update; by hand is the table of the present, or all columns of the log.
"""

from __future__ import annotations

from dataclasses import replace

from bench.job import Job
from bench.table import BESIDE, LIMIT, OURS, PEER, Contender, Row, Size, Table


def tables(size: Size) -> list[Table]:
    job = Job(count=size(1_000_000, 5_000))

    def one(name: str, kind: str, module: str, option: str = "", where: Job = job) -> Contender:
        target = f"bench.peers.{module}"
        return Contender(name, kind, (f"{target}:present",), replace(where, option=option), f"{target}:prepare")

    some = Job(count=size(100_000, 2_000))
    many = Job(count=size(100_000, 2_000), streams=size(1_000, 20))
    contenders = (
        one("anabranch, with snapshot", OURS, "anabranch"),
        one("anabranch, full fold", OURS, "anabranch", "fold"),
        one("anabranch, 100,000 events, full fold", BESIDE, "anabranch", "fold", some),
        Contender(
            "anabranch, 100,000 events, event by event",
            BESIDE,
            ("bench.peers.anabranch:present_apart",),
            some,
            "bench.peers.anabranch:prepare",
        ),
        one("anabranch, 100 of 1,000 streams, with snapshots", BESIDE, "anabranch", "", many),
        one("anabranch, 100 of 1,000 streams, full fold", BESIDE, "anabranch", "fold", many),
        one("loro, snapshot", PEER, "loro", "snapshot"),
        one("loro, updates", PEER, "loro", "updates"),
        one("pycrdt, merged update", PEER, "pycrdt"),
        one("by hand, table of the present", LIMIT, "byhand", "kept"),
        one("by hand, full fold", LIMIT, "byhand"),
    )
    kept = Row(
        "present of 1,000,000 events, fresh process, with snapshot",
        "ms",
        "10 ms",
        lambda found: (found.ours or 99) <= 10,
        among=("anabranch, with snapshot", "loro, snapshot", "by hand, table of the present"),
    )
    full = Row(
        "the same, full fold",
        "ms",
        "ahead of loro's updates",
        lambda found: found.ahead("loro, updates"),
        among=("anabranch, full fold", "loro, updates", "pycrdt, merged update", "by hand, full fold"),
    )
    return [Table(f"The present after {job.count:,} events", ("ms", "ms to open", "MB"), contenders, (kept, full))]
