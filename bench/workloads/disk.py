"""Bytes on disk: the files of 1,000,000 events, closed and sealed (5,000 of pycrdt-store and eventsourcing).

The whole file, with its indices and snapshots. loro: its snapshot, and its updates. pycrdt: one merged update,
which has no history. pycrdt-store and eventsourcing: a row an event. Nothing here is timed, and nothing varies.
"""

from __future__ import annotations

from dataclasses import replace

from bench.job import Job
from bench.table import BESIDE, LIMIT, OURS, PEER, Contender, Row, Size, Table

FIGURE = "bytes an event"


def tables(size: Size) -> list[Table]:
    job = Job(count=size(1_000_000, 5_000))

    def one(name: str, kind: str, module: str, option: str = "", where: Job = job) -> Contender:
        target = f"bench.peers.{module}"
        there = replace(where, option=option)
        return Contender(name, kind, (f"{target}:disk",), there, f"{target}:prepare", times=1)

    many = Job(count=size(100_000, 2_000), streams=size(1_000, 20))
    few = Job(count=size(5_000, 500))
    contenders = (
        one("anabranch", OURS, "anabranch"),
        one("anabranch, 100,000 events in 1,000 streams", BESIDE, "anabranch", "", many),
        one("loro, snapshot", PEER, "loro", "snapshot"),
        one("loro, updates", PEER, "loro", "updates"),
        one("pycrdt, merged update (no history)", BESIDE, "pycrdt"),
        one("pycrdt-store", PEER, "pycrdt_store", "", few),
        one("eventsourcing", PEER, "eventsourcing", "", few),
        one("by hand", LIMIT, "byhand"),
    )
    row = Row("disk, sealed, B an event", FIGURE, "25 B", lambda found: (found.ours or 99) <= 25)
    return [Table("Bytes an event on disk", (FIGURE,), contenders, (row,))]
