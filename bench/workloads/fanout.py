"""Fan-out: one writer, one hub, 50 and 200 subscribers; deliveries a second until all have everything.

The hub is a process of its own. Subscribers are a few lines that take frames and do nothing with them, so that
the hub is what is measured. Anabranch's hub checks, folds and stores each event before it passes it on, and hears
of each batch that it has arrived; its writer is a replica that awaits each event, so that each goes alone (below
it with 256 under way, which share batches). The others pass messages on that were made before: pycrdt-websocket
and y-websocket merge them into a document, by hand is the library's `broadcast`. Nothing of theirs is stored.
"""

from __future__ import annotations

from dataclasses import replace

from bench.job import Job
from bench.table import BESIDE, LIMIT, OURS, PEER, Contender, Row, Size, Table


def tables(size: Size) -> list[Table]:
    return [_table(size, size(subscribers, subscribers // 10)) for subscribers in (50, 200)]


def _table(size: Size, subscribers: int) -> Table:
    job = Job(count=size(1_000, 50), other=subscribers, option="1")

    def one(name: str, kind: str, server: str, client: str, job: Job = job) -> Contender:
        return Contender(name, kind, (server, client), job)

    ours, theirs = "bench.peers.anabranch_fanout", "bench.peers.fanout"
    contenders = (
        one("anabranch", OURS, f"{ours}:hub", f"{ours}:fan_out"),
        one("anabranch, 256 under way", BESIDE, f"{ours}:hub", f"{ours}:fan_out", replace(job, option="256")),
        one("pycrdt-websocket", PEER, "bench.peers.pycrdt_live:hub", f"{theirs}:yjs"),
        one("y-websocket", PEER, "live.mjs hub", f"{theirs}:yjs"),
        one("by hand, broadcast", LIMIT, "bench.peers.byhand_live:hub", f"{theirs}:plain"),
    )
    row = Row(
        f"fan-out to {subscribers} subscribers, deliveries/s",
        "deliveries/s",
        "ahead of y-websocket",
        lambda found: found.ahead("y-websocket"),
        less=False,
    )
    columns = ("deliveries/s", "events/s", "MB of the server")
    return Table(f"{job.count:,} events to {subscribers} subscribers", columns, contenders, (row,), less=False)
