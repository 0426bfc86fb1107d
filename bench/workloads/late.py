"""Late events in an ordered stream of 10,000 and of 100,000 events, in a file.

A peer that had seen all of the stream but the last 10, 1,000 or 5,000 events wrote one more, and only now is
heard: the time until that is ingested, durable and folded. The cost should follow what comes after the event, not
the length of the log. "Opened" is the time to the present after opening the file.
"""

from __future__ import annotations

from bench.job import Job
from bench.table import OURS, Contender, Size, Table


def tables(size: Size) -> list[Table]:
    contenders = tuple(
        Contender(f"{count:,} events", OURS, ("bench.peers.anabranch_late:late",), Job(count=count), times=3)
        for count in (size(10_000, 1_000), size(100_000, 2_000))
    )
    figures = ("late by 10, ms", "late by 1,000, ms", "late by 5,000, ms", "opened, ms", "MB")
    return [Table("An event that arrives late", figures, contenders)]
