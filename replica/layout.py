"""Cutting blocks: where the commits of a block lie, and slices between any two of them.

Reads no name and no payload: what a peer lacks is cut from a block without decoding it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, repeat
from typing import Any

from merge.stamp import Stamp
from replica import columns
from replica.block import Slice, between, boundaries, digests_of, head_of


class Layout:
    """Where the commits of a block lie: their last seqs and stamps, and how to cut it between any two.

    Made from a slice that begins its block. Reads no name and no payload.
    """

    def __init__(self, store: str, piece: Slice) -> None:
        self._store, self.piece = store, piece
        self._counts = counts = columns.counts(piece)
        self.lasts = list(accumulate(counts, initial=piece.after))[1:]
        stamps = accumulate(columns.walls(piece)), columns.counters(piece), repeat(piece.replica)
        self.stamps: list[tuple[int, int, int]] = list(zip(*stamps, strict=False))
        """Plain: a value of its own for each would cost more than all else here. See `stamp`."""
        self._edges: list[Sequence[int]] | None = None
        self._hashes = {0: piece.base, piece.commits: piece.head}

    def stamp(self, index: int) -> Stamp:
        """Of one commit."""
        return Stamp._make(self.stamps[index])

    def index_after(self, seq: int) -> int | None:
        """How many commits end at `seq` or before; None where `seq` is not a boundary of this block."""
        if seq == self.piece.after:
            return 0
        index = bisect_left(self.lasts, seq)
        return index + 1 if index < len(self.lasts) and self.lasts[index] == seq else None

    @property
    def edges(self) -> list[Sequence[int]]:
        if self._edges is None:
            self._edges = boundaries(self.piece, self._counts)
        return self._edges

    def hash_at(self, index: int) -> bytes:
        """The head after the first `index` commits."""
        if index not in self._hashes:
            piece = self.piece
            digests = digests_of(between(piece, self.edges, 0, index))
            self._hashes[index] = head_of(self._store, piece.replica, piece.first, piece.base, digests)
        return self._hashes[index]

    def size(self, start: int, stop: int) -> int:
        """Bytes of the columns of the commits start .. stop-1."""
        if (start, stop) == (0, self.piece.commits):
            return self.piece.size
        return sum(edge[stop] - edge[start] for edge in self.edges)

    def cut(self, start: int, stop: int) -> Slice:
        """The commits start .. stop-1 as a slice of their own."""
        piece = self.piece
        if (start, stop) == (0, piece.commits):
            return piece
        held: Any = between(piece, self.edges, start, stop)
        after = self.lasts[start - 1] if start else piece.after
        base, head = self.hash_at(start), self.hash_at(stop)
        return Slice(piece.replica, piece.first, after, self.lasts[stop - 1], stop - start, base, head, held)


def cut(piece: Slice, start: int, stop: int, base: bytes, head: bytes) -> Slice:
    """The commits start .. stop-1 of a slice, as a slice of their own between the given heads."""
    counts = columns.counts(piece)
    held: Any = between(piece, boundaries(piece, counts), start, stop)
    after = piece.after + sum(counts[:start])
    last = after + sum(counts[start:stop])
    return Slice(piece.replica, piece.first, after, last, stop - start, base, head, held)


def join(pieces: list[Slice]) -> Slice:
    """Slices of one block that follow each other, as one."""
    if len(pieces) == 1:
        return pieces[0]
    held: Any = tuple(b"".join(parts) for parts in zip(*(piece.columns for piece in pieces), strict=True))
    start, end = pieces[0], pieces[-1]
    commits = sum(piece.commits for piece in pieces)
    return Slice(start.replica, start.first, start.after, end.last, commits, start.base, end.head, held)
