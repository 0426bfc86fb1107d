"""Durable append, synchronous=FULL everywhere: one writer that awaits each event, and 256 at a time.

Anabranch records an event that is given (`append`), or decides on a command (`execute`): the present is there,
the event is made, hashed, folded and durable. By hand is aiosqlite with a row an event and nothing else; for 256
writers a group commit written by hand. eventsourcing saves an event of an aggregate that stays in memory, pycrdt-
store an update of a document; neither has group commit, so 256 writers take turns. No network, and no reading
back.
"""

from __future__ import annotations

from dataclasses import replace

from bench.job import Job
from bench.table import LIMIT, OURS, PEER, Contender, Row, Size, Standing, Table


def tables(size: Size) -> list[Table]:
    single = Row(
        "durable append, one writer, FULL, events/s",
        "events/s",
        "0.8 of raw aiosqlite, ahead of both peers",
        lambda found: _share(found) >= 0.8 and found.ahead("eventsourcing", "pycrdt-store"),
        less=False,
    )
    many = Row(
        "durable append, 256 writers, FULL, events/s",
        "events/s",
        "100,000",
        lambda found: (found.ours or 0) >= 100_000,
        less=False,
    )
    one = _table("One writer", Job(count=size(2_000, 100), other=1), size, single)
    return [one, _table("256 writers", Job(count=size(50_000, 1_000), other=256), size, many)]


def _share(found: Standing) -> float:
    limit = found.best(LIMIT)
    return (found.ours or 0) / limit[1] if limit else 0.0


def _table(title: str, job: Job, size: Size, row: Row) -> Table:
    few = replace(job, count=min(job.count, size(2_000, 100)))
    fewer = replace(job, count=min(job.count, size(500, 50)))
    contenders = (
        Contender("anabranch append", OURS, ("bench.peers.anabranch_append:append",), job),
        Contender(
            "anabranch execute", OURS, ("bench.peers.anabranch_append:append",), replace(job, option="execute")
        ),
        Contender("eventsourcing", PEER, ("bench.peers.eventsourcing:append",), few),
        Contender("pycrdt-store", PEER, ("bench.peers.pycrdt_store:append",), fewer),
        Contender("by hand", LIMIT, ("bench.peers.byhand_append:append",), job),
    )
    return Table(f"{title}, {job.count:,} events", ("events/s", "p50 ms", "MB"), contenders, (row,), less=False)
