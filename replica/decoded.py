"""A slice, read: its columns, and the commits that they are.

Rule. Columns are checked when they are read (`Tail.read`), and nobody changes them. Most readers need a few columns
of a slice, or a few of its events: a commit as a value of its own is made when somebody asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate

from msgspec import Raw

from merge.stamp import Stamp
from replica.commit import Commit, Note, Observed, Recorded


@dataclass(slots=True)
class Decoded:
    """The columns of a slice, and the tables and totals that its block has after it."""

    replica: int
    after: int
    """The seq before its first event."""
    counts: list[int]
    walls: list[int]
    """Wall time of each commit, whole."""
    counters: list[int]
    observed: list[list[tuple[int, int, bytes]] | None]
    notes: list[Note | None]
    named: list[str]
    """The stream of each event."""
    kinds: list[tuple[str, int]]
    """The type of each event, and its schema version."""
    payloads: list[Raw]
    streams: list[str]
    """The names that the block has given, in their order."""
    types: list[tuple[str, int]]
    events: int
    payload: int
    _lasts: list[int] | None = field(default=None, compare=False, repr=False)
    _commits: list[Commit] | None = field(default=None, compare=False, repr=False)

    @property
    def lasts(self) -> list[int]:
        """The last seq of each commit."""
        if self._lasts is None:
            self._lasts = list(accumulate(self.counts, initial=self.after))[1:]
        return self._lasts

    @property
    def commits(self) -> list[Commit]:
        """Its commits, as values."""
        if self._commits is None:
            self._commits = self._made()
        return self._commits

    def _made(self) -> list[Commit]:
        replica, start, commits = self.replica, 0, []
        recorded = [
            Recorded(stream, kind, schema, bytes(payload))
            for stream, (kind, schema), payload in zip(self.named, self.kinds, self.payloads, strict=True)
        ]
        columns = zip(self.counts, self.walls, self.counters, self.observed, self.notes, strict=True)
        for count, wall, counter, observed, note in columns:
            commits.append(
                Commit(
                    replica,
                    self.after + 1 + start,
                    Stamp(wall, counter, replica),
                    tuple(Observed(*item) for item in observed) if observed else (),
                    note,
                    tuple(recorded[start : start + count]),
                )
            )
            start += count
        return commits
