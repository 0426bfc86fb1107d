"""Where slices from elsewhere belong: after what is held, within it, beside it, or after a gap.

Rule 1. A slice that continues the head of a log is taken as it is. This is the usual case and asks no log.
Rule 2. What is held already is cut off, commit by commit, by comparing heads: equal heads are equal pasts.
Rule 3. Where a slice stands on a head that is held but is followed there by another commit, the same id was
        used to write two histories: what comes after the parting becomes a log of its own (see
        `replica.lineage`). It parts from the log in which that head lies, and not from a third one that parts
        there too: so that, whatever came first, all branches of one parting are siblings.
Rule 4. A slice that stands on a seq that is not held is a gap: nobody's fault, answered with one's version.
        A slice that stands on another hash at a seq that is held needs its history from the beginning.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

from replica.block import Head, Slice, Tail
from replica.commit import Commit
from replica.layout import cut
from replica.lineage import Lineage
from replica.log import BlockStart, LogRow
from replica.reading import End, Reader


class Parting(NamedTuple):
    """A history that parts from a log at `end`, in a block that begins at `start` with the slices of `prefix`."""

    parent: LogRow
    end: End
    start: BlockStart
    prefix: list[Slice]
    rival_hash: bytes


class Placed(NamedTuple):
    """A slice and the log it continues: a number, a parting that makes a new one, or None for a new id."""

    piece: Slice
    number: int | None = None
    parting: Parting | None = None


class Gap(NamedTuple):
    """A slice stands on what is not held: the replica, and the seq it stands on."""

    replica: int
    after: int
    foreign: bool
    """The seq is held, with another hash: an unknown history, needed from its beginning."""


def continues(lineage: Lineage | None, piece: Slice) -> LogRow | None:
    """The log whose head the slice stands on, if there is one."""
    for row in lineage.rows if lineage else ():
        if row.head == (piece.after, piece.base):
            return row
    return None


def arrange(reader: Reader, pieces: list[Slice]) -> list[Placed] | Gap:
    """Place the slices of a batch; those of one replica in the order of their seqs."""
    placed: list[Placed] = []
    ends: dict[tuple[int, Head], Placed] = {}
    for piece in _news(reader, pieces):
        if (piece.replica, Head(piece.last, piece.head)) in ends:
            continue
        before = ends.get((piece.replica, Head(piece.after, piece.base)))
        found = [before._replace(piece=piece)] if before is not None else _place(reader, piece)
        if isinstance(found, Gap):
            return found
        for item in found:
            placed.append(item)
            ends[piece.replica, Head(piece.last, piece.head)] = item
    return placed


def _news(reader: Reader, pieces: list[Slice]) -> list[Slice]:
    """Without the slices before one whose last head is held: what a held head stands on is held too."""
    news: list[Slice] = []
    held: dict[tuple[int, int, bytes], None] = {}
    for piece in reversed(pieces):
        if (piece.replica, piece.last, piece.head) in held or reader.boundary(
            piece.replica, piece.last, piece.head
        ):
            held[piece.replica, piece.after, piece.base] = None
        else:
            news.append(piece)
    return news[::-1]


def _place(reader: Reader, piece: Slice) -> list[Placed] | Gap:
    lineage = reader.lineages.get(piece.replica)
    if lineage is None:
        return [Placed(piece)] if piece.after == 0 else Gap(piece.replica, piece.after, False)
    row = continues(lineage, piece)
    if row is not None:
        return [Placed(piece, row.number)]
    head = Head(piece.after, piece.base)
    parting: Placed | None = None
    for row in lineage.rows:
        if not row.after <= head.seq <= row.head.seq:
            continue
        end = reader.end_at(row, head)
        if end is None:
            continue
        rest, rival = _beyond(reader, row, end, piece)
        if rest is None:
            return []
        if rival is None:
            return [Placed(rest, row.number)]
        if rest.after != piece.after:
            return _place(reader, rest)
        if head.seq > row.after or not row.parent:
            parting = Placed(rest, None, _part(reader, row, end, rest, rival))
    if parting is not None:
        return [parting]
    held = max(row.head.seq for row in lineage.rows)
    return Gap(piece.replica, piece.after, foreign=piece.after <= held)


def _beyond(reader: Reader, row: LogRow, end: End, piece: Slice) -> tuple[Slice | None, bytes | None]:
    """What of a slice that stands on `end` the log does not hold, and the rival head where it parts.

    (None, None): all is held. (rest, None): the rest goes on from the log's head. (rest, hash): it parts.
    """
    tail: Tail = end.tail.copy()
    decoded = tail.read(piece)
    theirs = tail.accept(piece, decoded, frozenset(commit.last for commit in decoded.commits))

    def parted(commit: Commit) -> bool:
        if commit.last > row.head.seq:
            return True
        mine = reader.boundary_in(row, commit.last)
        return mine is None or mine.head.hash != theirs[commit.last]

    index = 0 if parted(decoded.commits[0]) else len(decoded.commits)
    if index and parted(decoded.commits[-1]):
        index = bisect_left(decoded.commits, True, key=parted)
    if index == len(decoded.commits):
        return None, None
    first = decoded.commits[index].first
    base = theirs[first - 1] if index else piece.base
    rest = cut(piece, index, piece.commits, base, piece.head)
    return rest, None if first > row.head.seq else _rival(reader, row, first)


def _rival(reader: Reader, row: LogRow, first: int) -> bytes:
    """The head of a log after its commit that begins at `first`."""
    opened = reader.open(row, first)
    commit = next(commit for commit in opened.decoded.commits if commit.first == first)
    found = opened.hash_at(commit.last)
    assert found is not None
    return found


def _part(reader: Reader, row: LogRow, end: End, rest: Slice, rival: bytes) -> Parting:
    block = reader.log.block(row.number, rest.first)
    assert block is not None
    opened = reader.open(row, rest.first)
    inside = len(opened.upto(rest.after))
    prefix = [cut(opened.piece, 0, inside, opened.piece.base, rest.base)] if inside else []
    return Parting(row, end, block.start, prefix, rival)
