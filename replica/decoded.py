"""A slice, read: its columns, and the commits that they are.

Rule. Columns are checked when they are read (`Tail.read`), and nobody changes them. Most readers need a few columns
of a slice, or a few of its events: a commit as a value of its own is made when somebody asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate, compress

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
    _observing: list[int] | None = field(default=None, compare=False, repr=False)
    _commits: list[Commit] | None = field(default=None, compare=False, repr=False)

    @property
    def lasts(self) -> list[int]:
        """The last seq of each commit."""
        if self._lasts is None:
            self._lasts = list(accumulate(self.counts, initial=self.after))[1:]
        return self._lasts

    def stamp(self, index: int) -> Stamp:
        """Of one of its commits."""
        return Stamp(self.walls[index], self.counters[index], self.replica)

    @property
    def observing(self) -> list[int]:
        """Which of its commits name what they newly observed."""
        if self._observing is None:
            self._observing = list(compress(range(len(self.observed)), self.observed))
        return self._observing

    @property
    def commits(self) -> list[Commit]:
        """Its commits, as values."""
        if self._commits is None:
            self._commits = self._made(0, len(self.counts))
        return self._commits

    def some(self, start: int, stop: int) -> list[Commit]:
        """The commits `start` to before `stop`: no others are made for that."""
        whole = self._commits is not None or stop - start == len(self.counts)
        return self.commits[start:stop] if whole else self._made(start, stop)

    def _made(self, begin: int, end: int) -> list[Commit]:
        replica, commits = self.replica, list[Commit]()
        if begin == end:
            return commits
        first = (self.lasts[begin - 1] if begin else self.after) + 1
        start, stop = first - 1 - self.after, self.lasts[end - 1] - self.after
        events = zip(self.named[start:stop], self.kinds[start:stop], self.payloads[start:stop], strict=True)
        recorded = [Recorded(stream, kind, schema, bytes(payload)) for stream, (kind, schema), payload in events]
        at = 0
        for index in range(begin, end):
            count, observed = self.counts[index], self.observed[index]
            commits.append(
                Commit(
                    replica,
                    first + at,
                    self.stamp(index),
                    tuple(Observed(*item) for item in observed) if observed else (),
                    self.notes[index],
                    tuple(recorded[at : at + count]),
                )
            )
            at += count
        return commits
