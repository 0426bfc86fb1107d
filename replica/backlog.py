"""What has arrived for presents, and is folded when somebody asks for them.

Rule 1. Of many events of one author that do the same the last alone is folded (see `replica.bulk`): the more are
        folded at once, the less work it is. So what large batches bring for a present waits until that is read.
Rule 2. What comes late to an ordered stream has much of it folded again, once for all that waits: it waits, too.
Rule 3. A present that waits is not among the others. Whoever wants it goes the way of one that is not in memory,
        and finds it here (`replica.folding.catch_up`).
Rule 4. It is for presents from which no rows and no promises follow.
Rule 5. What is held for this is bounded in bytes, BACKLOG. Beyond that all presents that wait are let go of, which
        is no work: nobody has asked for them since, and the log has what they were.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from immutables import Map

from replica.place import StreamPlace
from replica.run import Run

BACKLOG = 32 << 20
"""Bytes that are held for this, as they count here."""
PER_EVENT = 256
"""Bytes that count for an event beside those of its columns: what is decoded of it."""


class Waiting(NamedTuple):
    """A present, and what waits for it."""

    state: Any
    stands: StreamPlace
    runs: Held = None


class _Held(NamedTuple):
    """A run, and those that came before it."""

    run: Run
    before: Held


Held = _Held | None


class Backlog(NamedTuple):
    """The presents that wait, each with the runs that came for it."""

    presents: Map[str, Waiting] = Map()
    size: int = 0
    """Bytes of what has come since something waits, read since or not."""

    def put_off(self, stream: str, state: Any, stands: StreamPlace) -> Backlog:
        """A present waits for what comes next."""
        return self._replace(presents=self.presents.set(stream, Waiting(state, stands)))

    def more(self, news: list[Run]) -> Backlog:
        """What has come."""
        presents, size = self.presents, self.size
        for run in news:
            here = [stream for stream in run.by_stream if stream in presents]
            for stream in here:
                waiting = presents[stream]
                presents = presents.set(stream, waiting._replace(runs=_Held(run, waiting.runs)))
            size += size_of(run) if here else 0
        return Backlog(presents, size)

    def runs_for(self, stream: str) -> Iterator[Run]:
        """What waits for a present, the newest first."""
        held = self.presents[stream].runs
        while held is not None:
            yield held.run
            held = held.before

    def without(self, stream: str) -> Backlog:
        """A present waits no more."""
        presents = self.presents.delete(stream)
        return self._replace(presents=presents) if presents else NO_BACKLOG


def size_of(run: Run) -> int:
    """Bytes that are held with a run: of the slice that it is a part of."""
    decoded = run.decoded
    return sum(map(len, decoded.piece.columns)) + PER_EVENT * decoded.events


NO_BACKLOG = Backlog()
