"""What a peer lacks, read from the log: commits of all logs in the order of their stamps, in bounded batches.

Rule. Stamps rise along a log and exceed all that was observed, so all missing commits up to a stamp are, with
what the peer has, causally closed; whatever a batch leaves out comes later in that order.

Where a peer is not known to hold where two histories of one id have parted, they go in batches of their own: it
finds the parting by comparing the second with the first.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from merge.stamp import Stamp
from replica.block import GENESIS, Head, Slice
from replica.layout import Layout
from replica.log import LogRow
from replica.packed import pack
from replica.reading import Reader

MAX_SLICES = 4096
"""Slices in a batch: each is looked up by its receiver, and an honest batch has about one a log."""

EVENT = 16
"""Bytes that an event counts as, at least, since a batch takes time for both: a MiB is at most 65,536 events."""


def weight(size: int, events: int) -> int:
    """What so many bytes of columns with so many events count as."""
    return max(size, EVENT * events)


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
    """A place in a log: the next commit to send, and what of its block is to be sent already."""

    def __init__(self, reader: Reader, row: LogRow, base: Head | None) -> None:
        self._reader, self.row, self.base = reader, row, base
        self._open(row.after if base is None else base.seq)

    def _open(self, seq: int) -> None:
        self.layout: Layout = self._reader.layout(self.row, seq + 1)
        index = self.layout.index_after(seq)
        assert index is not None
        self.start = self.index = index

    @property
    def seq(self) -> int:
        return self.layout.lasts[self.index - 1] if self.index else self.layout.piece.after

    @property
    def ended(self) -> bool:
        """No commit of the log is left."""
        return self.seq == self.row.head.seq

    @property
    def stamp(self) -> Stamp:
        """Of the next commit."""
        return self.layout.stamp(self.index)

    @property
    def goes_on(self) -> bool:
        """The log has another block."""
        return self.layout.lasts[-1] < self.row.head.seq

    def weight(self, stop: int) -> int:
        """What the commits of the block count as that are to be sent before `stop`."""
        lasts, start = self.layout.lasts, self.start
        if stop <= start:
            return 0
        first = lasts[start - 1] if start else self.layout.piece.after
        return weight(self.layout.size(start, stop), lasts[stop - 1] - first)

    def before(self, limit: Stamp) -> int:
        """How many commits of the block are stamped before a limit, or have been passed."""
        return bisect_left(self.layout.stamps, limit, lo=self.index)

    def taken(self) -> Iterator[Slice]:
        """What of the block has been passed; then go on in the next one."""
        if self.index > self.start:
            yield pack(self.layout.cut(self.start, self.index))
            self.start = self.index
        if self.index == len(self.layout.lasts) and self.goes_on:
            self._open(self.seq)


class _Room(NamedTuple):
    """How much more a batch can hold: bytes of columns, and slices."""

    size: int
    slices: int

    def holds(self, cursors: list[_Cursor], limit: Stamp) -> bool:
        """Is there room for all commits that are stamped before a limit?"""
        stops = [cursor.before(limit) for cursor in cursors]
        slices = sum(stop > cursor.start for cursor, stop in zip(cursors, stops, strict=True))
        return slices <= self.slices and self.size >= sum(
            cursor.weight(stop) for cursor, stop in zip(cursors, stops, strict=True)
        )

    def limit(self, cursors: list[_Cursor], high: Stamp) -> Stamp:
        """The greatest limit below `high` for which there is room."""
        low = min(cursor.stamp for cursor in cursors)
        walls = range(low.wall, high.wall + 1)
        wall = walls[bisect_left(walls, True, key=lambda wall: not self.holds(cursors, Stamp(wall, 0, 0))) - 1]
        within: list[tuple[int, int, int]] = []
        for cursor in cursors:
            start, stop = cursor.before(Stamp(wall, 0, 0)), cursor.before(min(high, Stamp(wall + 1, 0, 0)))
            within += cursor.layout.stamps[start:stop]
        limits = [Stamp(wall, 0, 0), *map(_behind, sorted(within))]
        return limits[bisect_left(limits, True, key=lambda limit: not self.holds(cursors, limit)) - 1]


def collect(reader: Reader, wants: Sequence[Want], horizon: int, budget: int) -> Collected:
    """The commits that are wanted, in the order of stamps, up to wall time `horizon` and about `budget` bytes.

    Reads one block of each wanted log, and further ones as they are needed. At least one commit, if there is any.
    """
    cursors = _cursors(reader, wants)
    limit = Stamp(horizon + 1, 0, 0)
    end = min([limit, *_second_histories(cursors)])
    found: list[Slice] = []
    full = False
    while not full and (under_way := [cursor for cursor in cursors if not cursor.ended and cursor.stamp < end]):
        high = min([end, *[_behind(c.layout.stamp(-1)) for c in under_way if c.goes_on]])
        begun = [cursor for cursor in cursors if cursor.index > cursor.start and cursor.stamp >= end]
        room = _Room(
            budget - sum(weight(piece.size, piece.last - piece.after) for piece in found), MAX_SLICES - len(found)
        )
        full = not room.holds(under_way + begun, high)
        if full:
            high = room.limit(under_way + begun, high)
        for cursor in under_way:
            cursor.index = cursor.before(high)
            if cursor.index == len(cursor.layout.lasts):
                found += cursor.taken()
    first = min(cursors, key=lambda cursor: limit if cursor.ended else cursor.stamp, default=None)
    if first is not None and not (found or any(cursor.index > cursor.start for cursor in cursors)):
        first.index += not first.ended and first.stamp < limit
    for cursor in cursors:
        found += cursor.taken()
    waiting = [cursor for cursor in cursors if not cursor.ended]
    beyond = sum(cursor.row.head.seq - cursor.seq for cursor in waiting if cursor.stamp >= limit)
    return Collected(found, any(cursor.stamp < limit for cursor in waiting), beyond)


def _behind(stamp: tuple[int, int, int]) -> Stamp:
    """The least limit that a stamp is before."""
    wall, counter, replica = stamp
    return Stamp(wall, counter, replica + 1)


def _second_histories(cursors: list[_Cursor]) -> Iterator[Stamp]:
    """Where second histories begin that must not be in a batch with the first ones: those that the peer cannot tell
    apart (see above)."""
    apart = _apart(cursors)
    for replica in apart:
        yield sorted(cursor.stamp for cursor in cursors if cursor.row.replica == replica)[1]


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
