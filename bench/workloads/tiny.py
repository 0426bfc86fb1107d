"""A tiny difference: two logs of 100,000 and of 1,000,000 events that are equal but for the last 10.

Both ends in one process (neither works while the other does): the median of 20 rounds on the same pair, each with
ten new events. Over a loopback websocket, from dialling until the other side has them: Anabranch durably, pycrdt-
websocket and loro in memory. The bytes are all that TCP carries in a round, handshake and close included. Below
it the same without a socket: by hand is version vectors over rows in SQLite, durable; automerge is left out (136
ms and 129 KB when its peers meet anew).
"""

from __future__ import annotations

from dataclasses import replace

from bench.job import Job
from bench.table import BESIDE, LIMIT, OURS, PEER, Contender, Row, Size, Standing, Table


def tables(size: Size) -> list[Table]:
    short, long = Job(count=size(100_000, 1_000)), Job(count=size(1_000_000, 5_000))

    def one(name: str, kind: str, module: str, job: Job, option: str = "") -> Contender:
        prepare = f"bench.peers.{module}:prepare" if module != "byhand" else ""
        target = f"bench.peers.{module}_tiny:tiny"
        times = 100 if module == "anabranch" or job is short else 3  # their documents take long to load
        return Contender(
            f"{name}, {job.count:,}", kind, (target,), replace(job, option=option), prepare, times=times
        )

    ours, before = f"anabranch, {long.count:,}", f"anabranch, {short.count:,}"

    def level(found: Standing) -> bool:
        return found.of(ours) <= 1.25 * found.of(before)

    peers = [f"{name}, {long.count:,}" for name in ("loro", "pycrdt-websocket")]
    rows = (
        Row(
            "logs of 1,000,000 that differ by 10 events, ms",
            "ms",
            "the same as at 100,000 (within a quarter)",
            level,
            among=(ours, before, *peers),
        ),
        Row(
            "the same, bytes with handshake and close",
            "wire B",
            "1,500",
            lambda found: found.of(ours) <= 1500,
            among=(ours, before, *peers),
        ),
    )
    by_socket = tuple(
        one(name, kind, module, job)
        for job in (short, long)
        for name, kind, module in (
            ("anabranch", OURS, "anabranch"),
            ("loro", PEER, "loro"),
            ("pycrdt-websocket", PEER, "pycrdt"),
        )
    )
    word = Contender("a websocket, a word each way", BESIDE, ("bench.peers.byhand_tiny:word",), Job())
    by_hand = tuple(
        one(name, kind, module, job, "memory")
        for job in (short, long)
        for name, kind, module in (
            ("anabranch, durable", OURS, "anabranch"),
            ("loro", PEER, "loro"),
            ("pycrdt", PEER, "pycrdt"),
            ("by hand, durable", LIMIT, "byhand"),
        )
    )
    figures = ("ms", "wire B", "MB")
    return [
        Table("Over a websocket", figures, (*by_socket, word), rows),
        Table("Without a socket", figures, by_hand),
    ]
