"""Folding many streams from the log at once, in portions: what verifying compares all else with.

Rule 1. Commits come in the order of their stamps, each once, whatever the number of streams. So a block is read
        once for all streams that are folded together.
Rule 2. What is held of a stream is its fold, trimmed as behind a snapshot, and no events. Where a later event has
        not seen what was let go, that stream is folded `again`, whole.
Rule 3. A snapshot at a stamp is the fold of all events up to there. So it is compared on the way, when its place
        is reached.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from merge.stamp import Stamp
from merge.version import Dot, VersionVector
from replica.commit import Commit
from replica.decider import Decider, FoldFailed, Happened
from replica.folding import as_happened
from replica.place import START, StreamPlace
from replica.uncollected import uncollected

if TYPE_CHECKING:
    from replica.core import Core


class Rung(NamedTuple):
    """A snapshot that stands beside the log."""

    stamp: Stamp
    stands: StreamPlace
    events: int
    key: str


class Reached(NamedTuple):
    """The place of a snapshot, and what the log comes to there."""

    stream: str
    rung: Rung
    fold: Any
    stands: StreamPlace


class Refolded:
    """One stream, as far as it has been folded."""

    def __init__(self, aggregate: Decider, rungs: Iterable[Rung]) -> None:
        self.aggregate, self.fold, self.stands = aggregate, aggregate.empty(), START
        self.rungs = deque(sorted(rungs))
        self.news: list[Happened] = []
        self.events = 0
        self.error: Exception | None = None
        """What folding it has raised."""
        self.again = False
        """It has to be folded whole."""

    def catch_up(self) -> None:
        """Fold what has come."""
        news, self.news = self.news, []
        if news and self.error is None:
            try:
                self.fold = self.aggregate.observe_all(self.fold, news)
            except Exception as error:
                self.error = error.why if isinstance(error, FoldFailed) else error


class Refold:
    """Some streams that are folded together; each by the name of its snapshots."""

    def __init__(
        self,
        core: Core,
        rungs: Mapping[str, Iterable[Rung]],
        *,
        whole: bool = False,
        aside: Container[tuple[str, Dot]] = (),
    ) -> None:
        self._core, self._whole, self._aside = core, whole, aside
        self.streams = {stream: Refolded(core.aggregate_of(stream), held) for stream, held in rungs.items()}
        self._reached: list[Reached] = []

    @property
    def events(self) -> int:
        """How many of their events were folded."""
        return sum(one.events for one in self.streams.values())

    @uncollected
    def take(self, commits: Iterable[tuple[Commit, VersionVector]]) -> list[Reached]:
        """Further commits, which follow in the order of stamps: the snapshots whose places were reached."""
        touched: dict[str, Refolded] = {}
        for commit, context in commits:
            for seq, event in enumerate(commit.events, commit.first):
                one = self.streams.get(event.stream)
                if one is not None and not one.again:
                    touched[event.stream] = one
                    self._take(event.stream, one, commit, seq, context)
        for one in touched.values():
            one.catch_up()
            if not self._whole:
                one.fold = one.aggregate.trim(one.fold)
        return self._said()

    def _take(self, stream: str, one: Refolded, commit: Commit, seq: int, context: VersionVector) -> None:
        while one.rungs and one.rungs[0].stamp < commit.stamp:
            self._reach(stream, one)
        one.stands = one.stands.advance(commit.replica, seq)
        one.events += 1
        if not one.aggregate.takes(one.fold, commit.stamp, context):
            one.again = True
        if one.error is None:
            event, dot = commit.events[seq - commit.first], Dot(commit.replica, seq)
            aside = (stream, dot) in self._aside
            try:
                happened = as_happened(self._core, one.aggregate, commit, dot, event, context)
            except Exception as error:
                if not aside:
                    one.catch_up()
                    one.error = one.error or error
            else:
                one.news += [] if happened is None else [happened._replace(aside=True) if aside else happened]

    def _reach(self, stream: str, one: Refolded) -> None:
        one.catch_up()
        rung = one.rungs.popleft()
        if one.error is None and not one.again:
            self._reached.append(Reached(stream, rung, one.fold, one.stands))

    def _said(self) -> list[Reached]:
        reached, self._reached = self._reached, []
        return reached

    def finish(self) -> list[Reached]:
        """All has come: the snapshots at the end."""
        for stream, one in self.streams.items():
            one.catch_up()
            while one.rungs:
                self._reach(stream, one)
        return self._said()

    def put_off(self, most: int) -> list[str]:
        """Let go of as many streams as have too many events beside the others: they come another time."""
        later: list[str] = []
        while len(self.streams) > 1 and self.events > most:
            gone = [*self.streams][len(self.streams) // 2 :]
            later += gone
            for stream in gone:
                del self.streams[stream]
        return later
