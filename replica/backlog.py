"""What has arrived for presents, and is folded when somebody asks for them.

Rule 1. Of many events of one author that do the same the last alone is folded (see `replica.bulk`): the more are
        folded at once, the less work it is. So what large batches bring for a present waits until that is read, or
        until BACKLOG events wait.
Rule 2. A present that waits is not among the others. Whoever wants it goes the way of one that is not in memory,
        and finds it here (`replica.folding.catch_up`).
Rule 3. It is for presents that fold by column, and from which no rows and no promises follow.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from immutables import Map

from replica.place import StreamPlace
from replica.run import Run

BACKLOG = 131_072
"""Events in the slices that are held for this: some 40 MiB."""


class Waiting(NamedTuple):
    """A present before what waits for it."""

    state: Any
    stands: StreamPlace
    since: int
    """How many runs were held when it began to wait: they are in it."""


class Backlog(NamedTuple):
    """Runs in the order in which they came, and the presents for which some of them wait."""

    runs: tuple[Run, ...] = ()
    events: int = 0
    presents: Map[str, Waiting] = Map()

    def put_off(self, stream: str, state: Any, stands: StreamPlace) -> Backlog:
        """A present waits for what comes next."""
        return self._replace(presents=self.presents.set(stream, Waiting(state, stands, len(self.runs))))

    def more(self, news: list[Run]) -> Backlog:
        """What has come."""
        events = sum(run.decoded.events for run in news)
        return self._replace(runs=(*self.runs, *news), events=self.events + events)

    def runs_for(self, stream: str) -> list[Run]:
        """What waits for a present."""
        return [run for run in self.runs[self.presents[stream].since :] if run.places_of(stream)]

    def without(self, stream: str) -> Backlog:
        """A present waits no more."""
        presents = self.presents.delete(stream)
        return self._replace(presents=presents) if presents else NO_BACKLOG


NO_BACKLOG = Backlog()
