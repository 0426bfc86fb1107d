"""Catching up: 100,000 events into an empty durable replica, over a loopback websocket between two processes.

From connecting until all is durable at the client and its present is folded and read. Both have read their
presents before, as programs that show them have; the client's was empty. Anabranch and loro bring all that
happened; pycrdt and yjs what is left of it (1,000 keys) and the fact that the rest was overwritten. What pycrdt
and loro bring is put into an SQLite file in one row, what the node peers bring into a file with fsync. By hand is
columns of 1,000 events: no chain, no causality, no API. In 1,000 streams, the presents of a hundred are read.
Bytes are counted in a run of its own, through a relay.
"""

from __future__ import annotations

from bench.job import Job
from bench.table import BESIDE, LIMIT, OURS, PEER, Contender, Row, Size, Table

FIGURES = ("ms", "ms to durable", "wire B an event", "MB", "MB of the server")


def met(name: str, kind: str, module: str, job: Job, times: int = 100) -> Contender:
    """A contender that catches up."""
    calls = f"bench.peers.{module}:serve_all", f"bench.peers.{module}:catch_up"
    return Contender(name, kind, calls, job, f"bench.peers.{module}:prepare", counted=True, times=times)


def in_node(name: str, kind: str, mode: str, job: Job, times: int = 100) -> Contender:
    calls = f"meet.mjs {mode}-serve", f"meet.mjs {mode}-catch-up"
    return Contender(name, kind, calls, job, f"meet.mjs {mode}-prepare", counted=True, times=times)


def tables(size: Size) -> list[Table]:
    job = Job(count=size(100_000, 2_000))
    many = Job(count=job.count, streams=size(1_000, 20))
    contenders = (
        met("anabranch", OURS, "anabranch", job),
        met("anabranch, 1,000 streams", BESIDE, "anabranch", many),
        met("loro", PEER, "loro", job),
        met("pycrdt-websocket", PEER, "pycrdt", job),
        in_node("y-websocket", PEER, "yjs", job),
        in_node("automerge-repo", PEER, "automerge", job, times=2),
        met("by hand", LIMIT, "byhand", job),
    )
    time = Row(
        "catch-up of 100,000 events, durable and folded",
        "ms",
        "ahead of loro; then ahead of pycrdt-websocket",
        lambda found: found.ahead("loro", "pycrdt-websocket"),
    )
    wire = Row(
        "wire, catch-up, B an event (peers that keep history)",
        "wire B an event",
        "20 B",
        lambda found: (found.ours or 99) <= 20,
        among=("anabranch", "loro", "automerge-repo", "by hand"),
    )
    return [Table(f"{job.count:,} events into an empty replica", FIGURES, contenders, (time, wire))]
