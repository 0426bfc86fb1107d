"""A slice, read: its columns, and the commits that they are.

Rule 1. A column is decoded when somebody asks for it, and nobody changes it. Most readers need a few columns of a
        slice, or a few of its events: a commit as a value of its own is made when somebody asks for it, too.
Rule 2. What a peer has sent is read whole before any of it is believed (`Tail.read`). A block that is held was read
        so once, and has the hash that it had then (`replica.reading`): of that, what nobody needs is not decoded.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import accumulate, compress
from typing import TYPE_CHECKING

from msgspec import Raw

from merge.stamp import Stamp
from replica import columns
from replica.commit import Commit, Note, Observed, Recorded

if TYPE_CHECKING:
    from replica.block import Slice


class Decoded:
    """The columns of a slice.

    `wall`, `streams` and `types` are what its block has before it: the wall time of the last commit, and the names
    that were given, in their order.
    """

    def __init__(
        self, piece: Slice, wall: int = 0, streams: Iterable[str] = (), types: Iterable[tuple[str, int]] = ()
    ) -> None:
        self.piece = piece
        self.replica, self.after = piece.replica, piece.after
        """Whose it is, and the seq before its first event."""
        self.events = piece.last - piece.after
        self._before = wall, streams, types

    def read_all(self) -> None:
        """Decode every column. Raises msgspec.DecodeError, or InvalidBatch where a name breaks a rule."""
        _ = self.counts, self.walls, self.counters, self.observed, self.notes, self.named, self.kinds, self.payloads

    @cached_property
    def counts(self) -> list[int]:
        """How many events each commit has."""
        return columns.counts(self.piece)

    @cached_property
    def walls(self) -> list[int]:
        """Wall time of each commit, whole."""
        return list(accumulate(columns.walls(self.piece), initial=self._before[0]))[1:]

    @cached_property
    def counters(self) -> list[int]:
        return columns.counters(self.piece)

    @cached_property
    def observed(self) -> list[list[tuple[int, int, bytes]] | None]:
        """The heads that each commit names."""
        return columns.observed(self.piece)

    @cached_property
    def notes(self) -> list[Note | None]:
        return columns.notes(self.piece)

    @cached_property
    def payloads(self) -> list[Raw]:
        return columns.payloads(self.piece)

    @cached_property
    def _streams(self) -> tuple[list[str], list[str]]:
        return columns.named(self.piece, [*self._before[1]], columns.streams(self.piece))

    @cached_property
    def _types(self) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
        return columns.named(self.piece, [*self._before[2]], columns.types(self.piece))

    @property
    def named(self) -> list[str]:
        """The stream of each event."""
        return self._streams[0]

    @property
    def streams(self) -> list[str]:
        """The names that the block has given, in their order."""
        return self._streams[1]

    @cached_property
    def by_stream(self) -> dict[str, Sequence[int]]:
        """The places of its events by their streams."""
        if len(self.streams) == 1:
            return {self.streams[0]: range(self.events)}
        found: defaultdict[str, list[int]] = defaultdict(list)
        for at, name in enumerate(self.named):
            found[name].append(at)
        return {**found}

    @property
    def kinds(self) -> list[tuple[str, int]]:
        """The type of each event, and its schema version."""
        return self._types[0]

    @property
    def types(self) -> list[tuple[str, int]]:
        """Those that the block has given names, in their order."""
        return self._types[1]

    @cached_property
    def lasts(self) -> list[int]:
        """The last seq of each commit."""
        return list(accumulate(self.counts, initial=self.after))[1:]

    @cached_property
    def observing(self) -> list[int]:
        """Which of its commits name what they newly observed."""
        return list(compress(range(len(self.observed)), self.observed))

    def place(self, commit: int) -> int:
        """How many events lie before one of its commits."""
        if commit in (0, self.piece.commits):
            return self.events if commit else 0
        return self.lasts[commit - 1] - self.after

    def commit_at(self, place: int) -> int:
        """The commit that an event lies in."""
        if self.piece.commits == self.events:
            return place
        return bisect_left(self.lasts, self.after + 1 + place)

    def stamp(self, index: int) -> Stamp:
        """Of one of its commits."""
        return Stamp(self.walls[index], self.counters[index], self.replica)

    def joined(self, places: Sequence[int]) -> bytes:
        """The payloads of some events, one after the other."""
        if len(places) == self.events:
            return self.piece.columns[columns.PAYLOAD]
        return b"".join([self.payloads[at] for at in places])

    @cached_property
    def commits(self) -> list[Commit]:
        """Its commits, as values."""
        return self._made(0, self.piece.commits)

    def forget_commits(self) -> None:
        """Let these go: they take several times the room of the columns."""
        self.__dict__.pop("commits", None)

    def some(self, start: int, stop: int) -> list[Commit]:
        """The commits `start` to before `stop`: no others are made for that."""
        whole = "commits" in self.__dict__ or stop - start == self.piece.commits
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
