"""Going back in a stream of 100,000 events of one writer, and forking its file.

The time to the present of the stream in a past; the slider is 100 pasts one after the other, evenly spread over
the last tenth. Anabranch reads its blocks and snapshots from a file, each time as if it were the first that is
asked for; loro has its history in memory, and checks out the same number of its operations. A fork of Anabranch
is a file that is durable, and "opened" is until its present has been read; loro's `fork_at` makes a document in
memory.
"""

from __future__ import annotations

from bench.job import Job
from bench.table import OURS, PEER, Contender, Size, Table

NEAR = tuple(f"{near:,} after a snapshot, ms" for near in (100, 1_000, 10_000))


def tables(size: Size) -> list[Table]:
    job = Job(count=size(100_000, 4_000), ids=1)

    def both(function: str) -> tuple[Contender, ...]:
        made = []
        for name, kind in (("anabranch", OURS), ("loro", PEER)):
            target = f"bench.peers.{name}_past"
            made.append(Contender(name, kind, (f"{target}:{function}",), job, f"{target}:prepare", times=3))
        return tuple(made)

    forks = ("fork now, ms", "fork now, opened, ms", "fork half, ms", "fork half, opened, ms", "MB")
    return [
        Table("A past", ("half, ms", "a tenth, ms", "slider, ms", *NEAR, "snapshots", "MB"), both("past")),
        Table("A fork", forks, both("fork")),
    ]
