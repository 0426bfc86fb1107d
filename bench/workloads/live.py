"""Live events: 200 a second, and as many as may be, from the call that makes one until the other side has seen
it.

Anabranch: decided and durable (FULL) at the writer, sent, checked, durable (NORMAL) and folded at the reader,
each in a process of its own, with one link between them; replicas need no server. Beside it with a third replica
between the two, durable there too. pycrdt-websocket and y-websocket: from one client through the server to
another, nothing stored. By hand: a row in SQLite at the writer (FULL) and at the reader, and a websocket. Last,
two bare websockets and a `broadcast`. At 200 a second events are made on schedule, whether or not the earlier
ones have arrived; without pause 256 are under way at a time.
"""

from __future__ import annotations

from bench.job import Figures, Job
from bench.table import BESIDE, LIMIT, OURS, PEER, Contender, Row, Size, Table


def latency(served: Figures, found: Figures) -> Figures:
    """From when events were made and seen: quantiles, and how many a second."""
    sent, seen = found["sent"], found.get("seen") or served["seen"]
    took = sorted((arrived - left) * 1000 for left, arrived in zip(sent, seen, strict=True) if arrived)
    if len(took) < len(sent):
        return {"lost": len(sent) - len(took)}
    return {
        "p50 ms": took[len(took) // 2],
        "p99 ms": took[len(took) * 99 // 100],
        "max ms": took[-1],
        "events/s": len(took) / (max(seen) - min(sent)),
        "MB": found["MB"],
        "MB of the server": served["MB"],
    }


def tables(size: Size) -> list[Table]:
    slow = Job(count=size(600, 100))
    fast = Job(count=size(10_000, 500), option="max")
    peer = "pycrdt-websocket"
    rows = (
        Row(
            "live event at 200/s, durable at its origin, p50 ms",
            "p50 ms",
            f"ahead of {peer}",
            lambda f: f.ahead(peer),
        ),
        Row("the same, p99 ms", "p99 ms", "3 ms", lambda found: (found.ours or 99) < 3),
    )
    most = Row(
        "sustained live events, one link, events/s",
        "events/s",
        "12,000, durable",
        lambda found: (found.ours or 0) >= 12_000,
        less=False,
    )
    memory = ("MB", "MB of the server")
    return [
        Table(
            f"200 events a second, {slow.count:,} events", ("p50 ms", "p99 ms", "max ms", *memory), _all(slow), rows
        ),
        Table(
            f"{fast.count:,} events without pause", ("events/s", "p50 ms", *memory), _all(fast), (most,), less=False
        ),
    ]


def _all(job: Job) -> tuple[Contender, ...]:
    def one(name: str, kind: str, server: str, client: str) -> Contender:
        return Contender(name, kind, (server, client), job, finish=latency)

    ours, theirs, hand = (f"bench.peers.{name}_live" for name in ("anabranch", "pycrdt", "byhand"))
    return (
        one("anabranch, one link", OURS, f"{ours}:read_here", f"{ours}:write_there"),
        one("anabranch, through a hub", BESIDE, f"{ours}:hub", f"{ours}:through_hub"),
        one("pycrdt-websocket", PEER, f"{theirs}:hub", f"{theirs}:through_hub"),
        one("y-websocket", PEER, "live.mjs hub", "live.mjs through"),
        one("by hand, durable, one link", LIMIT, f"{hand}:read_here", f"{hand}:write_there"),
        one("bare websockets, through a hub", BESIDE, f"{hand}:hub", f"{hand}:through_hub"),
    )
