"""A run: commits of one log that follow each other, as the columns that they are, and what their author had seen.

Rule 1. A commit as a value of its own, with its context, is made when somebody asks for it. Most of those who take
        commits from elsewhere need a few of them, or a column.
Rule 2. News are commits in an order in which causes come first: own ones as they were recorded, those of a batch
        by their stamps.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from merge.stamp import Stamp
from merge.version import VersionVector
from replica.commit import Commit
from replica.decoded import Decoded
from replica.log import Done

Told = tuple[Commit, VersionVector]
"""A commit, with its context."""

Observations = Sequence[tuple[int, VersionVector]]
"""From which commit on an author had observed what."""


@dataclass(slots=True)
class Run:
    """The commits `start` to before `stop` of a slice."""

    decoded: Decoded
    find_seen: Callable[[], Observations]
    """Finds `seen`: few who read a block need it."""
    start: int
    stop: int
    _seen: Observations | None = field(default=None, repr=False)

    @property
    def seen(self) -> Observations:
        """From which commit on (the first is 0) its author had observed what, beside the log up to there."""
        if self._seen is None:
            self._seen = self.find_seen()
        return self._seen

    @property
    def places(self) -> range:
        """The places of its events in the columns of the slice."""
        return range(self.decoded.place(self.start), self.decoded.place(self.stop))

    def context(self, commit: int) -> VersionVector:
        """What the author of a commit had observed, beside what the slice holds before it."""
        return self.seen[bisect_right(self.seen, commit, key=itemgetter(0)) - 1][1]

    def places_of(self, stream: str) -> Sequence[int]:
        """The places of its events of one stream."""
        found, places = self.decoded.by_stream.get(stream, ()), self.places
        if len(places) == self.decoded.events:
            return found
        return found[bisect_left(found, places.start) : bisect_left(found, places.stop)]

    @property
    def by_stream(self) -> dict[str, Sequence[int]]:
        """The places of its events by their streams; of a run that is a whole slice."""
        assert len(self.places) == self.decoded.events
        return self.decoded.by_stream

    @property
    def stamp(self) -> Stamp:
        """Of its last commit."""
        return self.decoded.stamp(self.stop - 1)

    @property
    def told(self) -> Iterator[Told]:
        """Its commits, with their contexts."""
        replica, upcoming = self.decoded.replica, [*self.seen][::-1]
        _, context = upcoming.pop()
        for index, commit in enumerate(self.decoded.some(self.start, self.stop), self.start):
            while upcoming and upcoming[-1][0] <= index:
                context = upcoming.pop()[1]
            yield commit, context.advance(replica, commit.first - 1)

    @property
    def done(self) -> list[Done]:
        """The commands that its commits carried out, as who has heard of them keeps that."""
        decoded = self.decoded
        if not any(decoded.notes):
            return []
        found = []
        for index in range(self.start, self.stop):
            note, last = decoded.notes[index], decoded.lasts[index]
            if note is not None and note.command is not None:
                first, stream = last - decoded.counts[index] + 1, decoded.named[decoded.place(index)]
                if stream:
                    found.append(Done(note.command, first, last, decoded.stamp(index), stream, b"", note.cause))
        return found


class News:
    """What a draft brings: commits with their contexts, causes first."""

    __slots__ = ("_parts",)

    def __init__(self, told: Iterable[Told] = ()) -> None:
        self._parts: list[Told | list[Run]] = [*told]

    def append(self, told: Told) -> None:
        """One more commit."""
        self._parts.append(told)

    def add(self, runs: list[Run]) -> None:
        """What a batch brings."""
        if runs:
            self._parts.append(runs)

    def __bool__(self) -> bool:
        return bool(self._parts)

    def __iter__(self) -> Iterator[Told]:
        for part in self._parts:
            if isinstance(part, list):
                yield from by_stamp(part)
            else:
                yield part

    @property
    def newest(self) -> int:
        """The greatest wall time (ms) of a stamp; 0 for none."""
        return max((stamp.wall for _, _, _, stamp in self._ends), default=0)

    @property
    def latest(self) -> dict[int, VersionVector]:
        """What the author of the last commit of each log had observed after that."""
        found: dict[int, tuple[int, VersionVector]] = {}
        for replica, last, context, _ in self._ends:
            if replica not in found or last > found[replica][0]:
                found[replica] = last, context
        return {replica: context.advance(replica, last) for replica, (last, context) in found.items()}

    @property
    def _ends(self) -> Iterator[tuple[int, int, VersionVector, Stamp]]:
        """Of each commit, or the last of a run: its replica, its last event, its context, its stamp."""
        for part in self._parts:
            if isinstance(part, list):
                for run in part:
                    decoded = run.decoded
                    yield decoded.replica, decoded.lasts[run.stop - 1], run.seen[-1][1], run.stamp
            else:
                commit, context = part
                yield commit.replica, commit.last, context, commit.stamp


def by_stamp(runs: Iterable[Run]) -> list[Told]:
    """The commits of some runs, in the order of their stamps."""
    return sorted((told for run in runs for told in run.told), key=lambda told: told[0].stamp)


NO_NEWS = News()
"""Nothing new. Whatever is to be added to makes News of its own."""
