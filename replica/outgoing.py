"""What a peer lacks, read from the log: commits of all logs in the order of their stamps, in bounded batches.

Rule. Stamps rise along a log and exceed all that was observed, so all missing commits up to a stamp are, with
what the peer has, causally closed; whatever a batch leaves out comes later in that order.

Where a peer is not known to hold where two histories of one id have parted, they go in batches of their own: it
finds the parting by comparing the second with the first.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from heapq import heapify, heappop, heapreplace
from typing import NamedTuple

from merge.stamp import Stamp
from replica.block import GENESIS, Head, Slice
from replica.layout import Layout
from replica.log import LogRow
from replica.reading import Reader

MAX_SLICES = 4096
"""Slices in a batch: each is looked up by its receiver, and an honest batch has about one a log."""


class Want(NamedTuple):
    """A log that a peer lacks the end of, and the heads from which it may have to be continued."""

    replica: int
    head: Head
    bases: tuple[Head, ...]


class Collected(NamedTuple):
    """A batch; whether the budget ended it; and how many events wait beyond the horizon."""

    slices: list[Slice]
    more: bool
    beyond: int


class _Cursor:
    """A place in a log: the next commit to send."""

    def __init__(self, reader: Reader, row: LogRow, base: Head | None) -> None:
        self._reader, self.row, self.base = reader, row, base
        self.seq = row.after if base is None else base.seq
        self._open()

    def _open(self) -> None:
        self.layout: Layout = self._reader.layout(self.row, self.seq + 1)
        index = self.layout.index_after(self.seq)
        assert index is not None
        self.index = index

    @property
    def stamp(self) -> Stamp:
        return self.layout.stamps[self.index]

    def advance(self, stop: int) -> bool:
        """Move behind the first `stop` commits of the block; False at the end of the log."""
        self.index, self.seq = stop, self.layout.lasts[stop - 1]
        if self.seq == self.row.head.seq:
            return False
        if stop == len(self.layout.lasts):
            self._open()
        return True


def collect(reader: Reader, wants: Sequence[Want], horizon: int, budget: int) -> Collected:
    """The commits that are wanted, in the order of stamps, up to wall time `horizon` and about `budget` bytes.

    Reads one block of each wanted log, and further ones as they are needed.
    """
    heap = [(c.stamp, n, c) for n, c in enumerate(_cursors(reader, wants))]
    heapify(heap)
    limit = Stamp(horizon + 1, 0, 0)
    parts: list[tuple[Layout, int, int]] = []
    last: dict[int, int] = {}
    apart = _apart([c for _, _, c in heap])
    taken: dict[int, int] = {}
    """Of the replicas whose histories go apart, the one that this batch has."""
    size = 0
    more = False
    while heap and heap[0][0] < limit and not more and len(parts) < MAX_SLICES:
        _, n, cursor = heap[0]
        rival = min((entry[0] for entry in heap[1:3]), default=limit)
        layout, start = cursor.layout, cursor.index
        stop = max(bisect_left(layout.stamps, min(rival, limit), lo=start), start + 1)  # clones may share stamps
        room = budget - size
        if cursor.row.replica in apart and taken.setdefault(cursor.row.replica, n) != n:
            more = True
            break
        if layout.size(start, stop) > room:
            more = True
            stop = bisect_right(range(start, stop), room, key=lambda end: layout.size(start, end + 1)) + start
            if stop == start and parts:
                break
            stop = max(stop, start + 1)
        size += layout.size(start, stop)
        at = last.get(n)
        if at is not None and parts[at][0] is layout:
            parts[at] = layout, parts[at][1], stop
        else:
            last[n] = len(parts)
            parts.append((layout, start, stop))
        if cursor.advance(stop):
            heapreplace(heap, (cursor.stamp, n, cursor))
        else:
            heappop(heap)
    beyond = sum(c.row.head.seq - c.seq for stamp, _, c in heap if stamp >= limit)
    more = more or len(parts) >= MAX_SLICES
    return Collected([layout.cut(start, stop) for layout, start, stop in parts], more and bool(heap), beyond)


def _cursors(reader: Reader, wants: Sequence[Want]) -> list[_Cursor]:
    cursors = []
    for want in wants:
        rows = reader.lineages[want.replica].rows if want.replica in reader.lineages else ()
        row = next((row for row in rows if row.head == want.head), None)
        if row is None:  # it has moved on since
            row = next((row for row in rows if row.head.seq > want.head.seq), None)
        if row is None:
            continue
        base = next((base for base in want.bases if _passed(reader, row, base)), None)
        if base is None or base.seq < row.head.seq:
            cursors.append(_Cursor(reader, row, base))
    return cursors


def _apart(cursors: list[_Cursor]) -> set[int]:
    """The replicas of which several histories begin where the peer is not known to tell them apart."""
    begun: dict[int, list[Head | None]] = {}
    for cursor in cursors:
        begun.setdefault(cursor.row.replica, []).append(cursor.base)
    return {r for r, bases in begun.items() if len(bases) > 1 and (None in bases or len(set(bases)) < len(bases))}


def _passed(reader: Reader, row: LogRow, head: Head) -> bool:
    """The log, or one that it parts from, has been at that head."""
    if head.seq == 0:
        return head.hash == GENESIS and not row.parent
    if head.seq < row.after or head.seq > row.head.seq:
        return False
    if head.seq == row.head.seq:
        return head == row.head
    layout = reader.layout(row, head.seq + 1)
    index = layout.index_after(head.seq)
    return index is not None and layout.hash_at(index) == head.hash
