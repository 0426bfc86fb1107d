"""The causal graph of a log, drawn in lines of text: one lane a replica, time flowing down.

    ●         alice:1    a commit stands on the lane of its replica
    ├──●      bob:1      its author had newly observed what is above on the lane that leads to it
    ├─────●   carol:1    a lane that is passed over has no mark (bob's, here)
    │  ●  │   bob:2      nothing new was observed: the lanes go on apart
    ●──┼──┤   alice:2    they meet: both lanes lead here

Rule 1. Commits come in the order of their stamps, so causes stand above what they led to.
Rule 2. No lane leads to a commit whose author knew of it through another one that does.
Rule 3. What is not to be seen is said in words: that an author had observed a lane up to some event only, and not
        the last one above; or the end of a lane that is drawn no more.
Rule 4. A lane begins with the first commit of its replica, and ends when nothing more comes of it and whoever goes
        on has observed its end; then its place is free for another.
Rule 5. Pure text, of a width that depends on the lanes alone; in ASCII where the terminal has no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from merge.version import NOTHING, Dot, VersionVector
from replica.history import Record

GAP = 3
"""Columns from one lane to the next."""


class Signs(NamedTuple):
    """What a graph is drawn with."""

    commit: str
    lane: str
    line: str
    crossing: str
    right: str
    """A lane that leads to a commit on its right;"""
    left: str
    """or on its left."""


class Drawn(NamedTuple):
    """A line of the graph: its lanes, and the events that had been observed where the lanes do not show it."""

    lanes: str
    seen: tuple[Dot, ...]


LINES = Signs("●", "│", "─", "┼", "├", "┤")
ASCII = Signs("*", "|", "-", "+", "+", "+")


class Graph:
    """Draws one decision after the other."""

    def __init__(self, last: Mapping[int, int], signs: Signs = LINES) -> None:
        """`last` is the last seq of each replica that is to be drawn."""
        self._last, self._signs = last, signs
        self._lanes: list[int | None] = []
        """Whose each lane is."""
        self._seen: dict[int, VersionVector] = {}
        """What the latest commit of each replica had observed."""
        self._drawn: dict[int, int] = {}
        """The last seq of each replica that was drawn."""
        self._ended: set[int] = set()
        """Replicas of which nothing more comes, and whose lanes are still drawn."""

    @staticmethod
    def width(lanes: int) -> int:
        """Columns that so many lanes take."""
        return max(GAP * (lanes - 1) + 1, 0)

    def draw(self, decision: tuple[Record, ...]) -> Iterator[Drawn]:
        """The lines of a commit, one for each of its events."""
        first = decision[0]
        replica, context = int(first.dot.replica), first.context
        at = self._lane(replica)
        lanes, seen = self._news(replica, context)
        yield Drawn(self._line(at, lanes), tuple(seen))
        for _ in decision[1:]:
            yield Drawn(self._line(None, []), ())
        self._seen[replica], self._drawn[replica] = context, decision[-1].dot.seq
        if self._drawn[replica] >= self._last.get(replica, 0):
            self._ended.add(replica)
        for one in [one for one in self._ended if self._is_seen(one)]:
            self._ended.remove(one)
            self._lanes[self._lanes.index(one)] = None

    def _news(self, replica: int, context: VersionVector) -> tuple[list[int], list[Dot]]:
        """The lanes that lead to a commit, and what of that has to be said in words."""
        before = self._seen.get(replica, NOTHING)
        news = {
            one: seq
            for one, seq in context.seqs.items()
            if int(one) != replica and seq > before[one] and self._drawn.get(one)
        }
        lanes, seen = [], []
        for one, seq in sorted(news.items()):
            if any(self._implies(other, news[other], one, seq) for other in news if other != one):
                continue
            if one in self._lanes:
                lanes.append(self._lanes.index(one))
            if one not in self._lanes or seq < self._drawn[one]:
                seen.append(Dot(one, seq))
        return lanes, seen

    def _implies(self, other: int, at: int, one: int, seq: int) -> bool:
        """Had the latest commit of another replica, if it was observed, observed that event of this one?"""
        return at >= self._drawn[other] and self._seen[other][one] >= seq

    def _lane(self, replica: int) -> int:
        if replica in self._lanes:
            return self._lanes.index(replica)
        self._drawn.setdefault(replica, 0)
        if None in self._lanes:
            lane = self._lanes.index(None)
            self._lanes[lane] = replica
        else:
            lane = len(self._lanes)
            self._lanes.append(replica)
        return lane

    def _is_seen(self, replica: int) -> bool:
        """Has everybody who goes on observed the end of a lane?"""
        end = self._last.get(replica, 0)
        going_on = [one for one, drawn in self._drawn.items() if drawn and drawn < self._last.get(one, 0)]
        return bool(going_on) and all(self._seen[one][replica] >= end for one in going_on)

    def _line(self, at: int | None, news: list[int]) -> str:
        signs = self._signs
        ends = [*news] if at is None else [*news, at]
        low, high = min(ends, default=0), max(ends, default=0)
        drawn = []
        for lane, one in enumerate(self._lanes):
            inside = bool(news) and low < lane < high
            if lane == at:
                sign = signs.commit
            elif lane in news:
                outer = signs.right if lane < (at or 0) else signs.left
                sign = signs.crossing if inside else outer
            elif one is None or not self._drawn.get(one, 0):
                sign = signs.line if inside else " "
            else:
                sign = signs.line if inside else signs.lane
            joined = bool(news) and low <= lane < high
            drawn.append(sign + (signs.line if joined else " ") * (GAP - 1))
        return "".join(drawn).rstrip()
