"""Bounds: what a difference of ten events costs does not depend on how long the logs are."""

from __future__ import annotations

import copy
from typing import Any

from merge.stamp import Stamp
from replica.block import Slice, Tail
from replica.commit import Commit, Recorded
from replica.introduction import ReplicaIntroduced, introduction
from replica.layout import join
from replica.log import BlockStart, Identity, LogRow, Transaction
from replica.memory import MemoryLog
from sync.direct import DirectNode
from sync.testing.network import NOW, Network
from tests.shop import HOME, ItemAdded, direct

AUTHOR = 99


class CountingLog(MemoryLog):
    """A log in memory that counts the blocks it is asked for."""

    reads = 0

    def block(self, number: int, seq: int) -> Any:
        self.reads += 1
        return super().block(number, seq)


def long_log(events: int) -> CountingLog:
    """A log of so many events, written by one author; made of bytes, since deciding takes longer."""
    log, tail = CountingLog(), Tail("shop", AUTHOR)
    blocks: dict[int, list[Slice]] = {}
    starts: list[BlockStart] = []
    stamp = Stamp(0, 0, AUTHOR)
    recorded = introduction(ReplicaIntroduced("shop", "author", AUTHOR))
    added = Recorded(HOME, "ItemAdded", 1, b"\x81\xa4item\xa1x")
    while tail.seq < events:
        size = min(1000 if events - tail.seq > 3000 else 7, events - tail.seq)
        if tail.seq + 1 == tail.first:
            starts.append(BlockStart(1, tail.first, tail.hash, stamp if tail.seq else None, ()))
        commit = (recorded,) if tail.seq == 0 else (added,) * size
        stamp = Stamp(stamp.wall + 1, 0, AUTHOR)
        piece = tail.append(Commit(AUTHOR, tail.seq + 1, stamp, (), None, commit))
        blocks.setdefault(piece.first, []).append(piece)
    row = LogRow(1, AUTHOR, "author", tail.head, stamp)
    slices = [(1, join(block)) for block in blocks.values()]
    streams = [(HOME, 1, first) for first in blocks]
    log.write(Transaction([row], starts, slices, streams, {}, Identity("shop", AUTHOR, "author", ())))
    return log


def cost_of_ten(events: int) -> tuple[int, int]:
    """Bytes said and blocks read until a log of `events` and one that lacks its last ten are the same."""
    log = long_log(events)
    behind = CountingLog()
    vars(behind).update((name, copy.copy(value)) for name, value in vars(log).items())
    behind._slices = {key: list(slices) for key, slices in log._slices.items()}
    behind._identity = Identity("shop", 5, "behind", ())
    ahead = direct("author", log=log)
    for n in range(10):
        ahead.append("list/other", [ItemAdded(f"{n}")], NOW + n)
    ahead.flush()
    network = Network("ab", ["ab"], direct)
    network.nodes = {"a": DirectNode(ahead, b"a"), "b": DirectNode(direct("behind", log=behind), b"b")}
    log.reads = behind.reads = 0
    network.heal("ab")
    said = 0
    while waiting := [name for name in "ab" if network.wire("ab", name)]:
        said += len(network.wire("ab", waiting[0])[0])
        network.deliver("ab", waiting[0])
    assert network.nodes["b"].replica.heads == ahead.heads
    return said, log.reads + behind.reads


def test_ten_events_cost_the_same_in_a_log_of_ten_thousand_and_of_a_million():
    """The same bytes said and the same number of blocks read, on both sides together."""
    short, long = cost_of_ten(10_000), cost_of_ten(1_000_000)
    assert short[1] == long[1] <= 8
    assert abs(short[0] - long[0]) <= 64, "seqs and stamps take a few bytes more, events none"
    assert short[0] < 8_000


def test_opening_reads_no_block_however_long_the_log():
    """What opening tells grows with the number of replicas; the first own commit reads the open end, one block."""
    for events in (10_000, 200_000):
        log = long_log(events)
        log.reads = 0
        replica = direct("author", log=log)
        assert replica.core.memory.version[AUTHOR] == events
        assert log.reads == 0
        replica.append("list/other", [ItemAdded("x")], NOW)
        replica.flush()
        assert log.reads <= 2
