"""Healing: two replicas that share 10,000 events and have 50,000 each that the other has not seen meet again.

Two processes and a loopback websocket. From connecting until both have everything: durable, folded, and read. Both
clocks are the one of the machine; the later of the two counts. All else is as in catching up.
"""

from __future__ import annotations

from bench.job import Figures, Job
from bench.table import LIMIT, OURS, PEER, Contender, Row, Size, Table


def healed(served: Figures, found: Figures) -> Figures:
    """The time until the later of the two was done."""
    figures = {**found, "MB of the server": served["MB"]}
    figures["ms"] = (max(served["end"], found["end"]) - found["start"]) * 1000
    return figures


def tables(size: Size) -> list[Table]:
    job = Job(count=size(10_000, 500), other=size(50_000, 1_000))

    def here(name: str, kind: str, module: str) -> Contender:
        target = f"bench.peers.{module}"
        calls = f"{target}:heal_here", f"{target}:heal_there"
        return Contender(name, kind, calls, job, f"{target}:prepare_halves", healed, counted=True)

    def in_node(name: str, mode: str, times: int = 100) -> Contender:
        calls = f"meet.mjs {mode}-heal-here", f"meet.mjs {mode}-heal-there"
        prepare = f"meet.mjs {mode}-prepare-halves"
        return Contender(name, PEER, calls, job, prepare, healed, counted=True, times=times)

    contenders = (
        here("anabranch", OURS, "anabranch"),
        here("loro", PEER, "loro"),
        here("pycrdt-websocket", PEER, "pycrdt"),
        in_node("y-websocket", "yjs"),
        in_node("automerge-repo", "automerge", times=1),
        here("by hand", LIMIT, "byhand"),
    )
    row = Row(
        "heal of 50,000 + 50,000 events",
        "ms",
        "ahead of loro; then ahead of pycrdt-websocket",
        lambda found: found.ahead("loro", "pycrdt-websocket"),
    )
    title = f"{job.other:,} + {job.other:,} events that the other side has not seen"
    return [Table(title, ("ms", "wire B an event", "MB", "MB of the server"), contenders, (row,))]
