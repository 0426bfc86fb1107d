"""Lineages: the histories that were written under one replica id. There should be one.

A dot is never used twice, as long as nobody continues a copied file where its mark cannot tell (a virtual
machine that was cloned while it ran). Where it happens all the same:

Rule 1. All histories are kept and forwarded. Each is a log of its own that parts from another one at `after`.
Rule 2. All replicas fold the same one: at each parting the branch whose first commit has the smaller hash,
        never the one that arrived earlier. So the choice is a function of the set of commits.
Rule 3. A context that names an event on a branch that is not folded has seen, of what is folded, what lies
        below the parting.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from replica.block import Head
from replica.log import LogRow


class Segment(NamedTuple):
    """The part of one log that is folded: its events after `after`, up to `upto`."""

    number: int
    after: int
    upto: int


class Lineage(NamedTuple):
    """The logs of one replica id, in the order in which they were first seen here."""

    rows: tuple[LogRow, ...]

    @property
    def forked(self) -> bool:
        return len(self.rows) > 1

    def with_row(self, row: LogRow) -> Lineage:
        """This lineage with a log added, or moved on."""
        if not self.rows or (not self.forked and self.rows[0].number == row.number):
            return Lineage((row,))
        rows = {old.number: old for old in self.rows}
        rows[row.number] = row
        return Lineage(tuple(rows[number] for number in sorted(rows)))

    @property
    def folded(self) -> list[Segment]:
        """The history that is folded, from its first event on."""
        row, after = self.rows[0], 0
        segments: list[Segment] = []
        if not self.forked:
            return [Segment(row.number, 0, row.head.seq)]
        while True:
            children = sorted(
                (child for child in self.rows if child.parent == row.number and child.after >= after),
                key=lambda child: (child.after, child.first_hash),
            )
            winner = next((child for child in children if child.first_hash < child.rival_hash), None)
            if winner is None:
                return [*segments, Segment(row.number, after, row.head.seq)]
            segments.append(Segment(row.number, after, winner.after))
            row, after = winner, winner.after

    @property
    def apart(self) -> list[Segment]:
        """The histories that are not folded: of each log what lies beyond what is."""
        folded = {segment.number: segment.upto for segment in self.folded}
        ends = [(row, folded.get(row.number, row.after)) for row in self.rows]
        return [Segment(row.number, after, row.head.seq) for row, after in ends if after < row.head.seq]

    @property
    def unfolded(self) -> int:
        """How many events are not in the folded history: each log holds those after its parting."""
        return sum(row.head.seq - row.after for row in self.rows) - self.tip.head.seq

    @property
    def tip(self) -> LogRow:
        """The log in which the folded history ends."""
        if not self.forked:
            return self.rows[0]
        number = self.folded[-1].number
        return next(row for row in self.rows if row.number == number)

    @property
    def heads(self) -> list[Head]:
        return [row.head for row in self.rows]

    def effective(self, number: int, seq: int) -> int:
        """How much of the folded history lies below event `seq` of log `number`."""
        if not self.forked:
            return seq
        parts = {segment.number: segment for segment in self.folded}
        rows = {row.number: row for row in self.rows}
        while number not in parts:
            seq, number = min(seq, rows[number].after), rows[number].parent
        return min(seq, parts[number].upto)

    def shared(self, number: int, other: int) -> int:
        """How much of log `number` is a part of the history that ends in log `other`; 0 for none."""
        rows = {row.number: row for row in self.rows}
        seq = rows[other].head.seq
        while other != number:
            seq, other = min(seq, rows[other].after), rows[other].parent
            if not other:
                return 0
        return seq


def lineages_of(rows: Iterable[LogRow]) -> dict[int, Lineage]:
    """The logs of a file by replica."""
    found: dict[int, Lineage] = {}
    for row in rows:
        found[row.replica] = found.get(row.replica, Lineage(())).with_row(row)
    return found
