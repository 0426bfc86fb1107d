"""What the replicas have reported of events, and what versions say of each other.

Rule 1. Each process tells of all events that it holds, causes first. The first to tell of an event makes it known;
        that its author had observed its context follows from the event itself.
Rule 2. What came about is kept in one list in which it stands behind its causes: an event behind the deliveries
        that its author had seen, a delivery behind its events.
Rule 3. A process that begins again tells all again; what is known is known.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence

from demo.web.contract import Apart, Delivered, Event, Version
from demo.web.panes import place

Place = tuple[tuple[int, int, int], str, int]
"""The stamp of an event, its replica, and its seq: what all replicas order events by."""


class Ledger:
    """The events of a network, and who holds which."""

    def __init__(self) -> None:
        self.logs: dict[str, list[Event]] = {}
        self.versions: dict[str, Version] = {}
        self.moments: list[Event | Delivered] = []
        """What came about, in an order in which it may have."""
        self._order: list[Place] = []
        self._marks: dict[tuple[str, str], tuple[int, int, set[str]]] = {}

    def begins(self, name: str) -> None:
        """A replica is there, and has told of nothing yet."""
        self.versions.setdefault(name, {})

    def tells(self, name: str, events: Sequence[Event], time: int) -> None:
        """A replica tells of events that it holds."""
        last: Version = {}
        for event in events:
            self._add(event, time)
            last[event.replica] = event.seq
        for author, seq in last.items():
            self._deliver(name, author, seq, time)

    def _add(self, event: Event, time: int) -> None:
        log = self.logs.setdefault(event.replica, [])
        if event.seq <= len(log):
            return
        assert event.seq == len(log) + 1, (
            f"{event.replica}:{event.seq} was told of before the event that it follows"
        )
        for other, seq in event.context.items():
            self._deliver(event.replica, other, seq, time)
        log.append(event)
        self.moments.append(event)
        insort(self._order, (event.stamp, event.replica, event.seq))
        self.versions.setdefault(event.replica, {})[event.replica] = event.seq

    def _deliver(self, to: str, author: str, seq: int, time: int) -> None:
        version = self.versions.setdefault(to, {})
        first = version.get(author, 0) + 1
        if seq >= first:
            version[author] = seq
            self.moments.append(Delivered(to, author, first, seq, time))

    # --- what versions say of each other ---

    def lacks(self, name: str, others: Iterable[str]) -> int:
        """Events that some of the others hold, and this one does not."""
        held = [self.versions[other] for other in others]
        return sum(
            max(0, max((one.get(log, 0) for one in held), default=0) - self.versions[name].get(log, 0))
            for log in self.logs
        )

    def leads(self, name: str, others: Iterable[str]) -> int:
        """Events that this one holds, and some of the others do not."""
        return sum(upto - after for _, after, upto in self._beyond(name, others))

    def _beyond(self, name: str, others: Iterable[str]) -> list[tuple[str, int, int]]:
        """Of each log, what this one holds beyond what all of the others do: after which seq, and up to which."""
        held = [self.versions[other] for other in others]
        found = []
        for log, seq in self.versions[name].items():
            least = min((one.get(log, 0) for one in held), default=seq)
            if least < seq:
                found.append((log, least, seq))
        return found

    def unshared(self, name: str, others: Iterable[str]) -> list[str]:
        """Where on its pane something shows that some of the others do not hold."""
        return sorted({one for span in self._beyond(name, others) for one in self._places(name, *span)})

    def _places(self, name: str, log: str, after: int, upto: int) -> set[str]:
        """The places of some events of a log; where they were asked for before, only what is new is looked at."""
        began, ended, places = self._marks.get((name, log), (0, 0, set()))
        if began != after or ended > upto:
            ended, places = after, set()
        for event in self.logs[log][ended:upto]:
            found = place(event.stream, event.event, event.payload)
            if found is not None:
                places.add(found)
        self._marks[name, log] = after, upto, places
        return places

    def apart(self, names: Sequence[str]) -> list[Apart]:
        """Each two of some replicas that do not hold the same."""
        found = []
        for at, a in enumerate(names):
            for b in names[at + 1 :]:
                only_a, only_b = self.lacks(b, [a]), self.lacks(a, [b])
                if only_a or only_b:
                    found.append(Apart(a, b, only_a, only_b))
        return found

    # --- the past ---

    def past(self, name: str, index: int) -> tuple[Version, int, int]:
        """The version of the first `index` events that a replica holds, how many it has, and how many there are.

        They come in the order of stamps, and the last decision is whole.
        """
        version = self.versions[name]
        held = [one for one in self._order if one[2] <= version.get(one[1], 0)]
        index = max(0, min(index, len(held)))
        while 0 < index < len(held) and held[index][0] == held[index - 1][0]:
            index += 1
        past: Version = {}
        for _, log, seq in held[:index]:
            past[log] = seq
        return past, index, len(held)
