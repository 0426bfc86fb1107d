"""Shapes: all causal histories of a few events, up to names; and clocks that are consistent with them.

Three events of up to three replicas have 12 shapes, four have 58: few enough to try all operations in all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import permutations
from typing import Any, NamedTuple

from merge.stamp import Stamp
from merge.version import NOTHING, Dot, VersionVector

REPLICAS = (40, 7, 23, 11)
"""Their bits are not in the order in which they appear, so that no tie is broken by luck."""


class Shape:
    """The causal shape of a history: for each event its replica, and the earlier events that it had seen.

    Sets of events are bit masks. Events are listed causes first.
    """

    def __init__(self, events: Sequence[tuple[int, int]]) -> None:
        self.events = tuple(events)
        self.size = len(self.events)
        self.everything = (1 << self.size) - 1
        self.seen = [seen for _, seen in self.events]
        self.replicas = [REPLICAS[r] for r, _ in self.events]
        self.dots: list[Dot] = []
        for replica in self.replicas:
            self.dots.append(Dot(replica, 1 + sum(dot.replica == replica for dot in self.dots)))
        self.contexts = [self.version(seen) for seen in self.seen]

    def version(self, events: int) -> VersionVector:
        version = NOTHING
        for i in members(events):
            version = version.advance(*self.dots[i])
        return version

    def close(self, events: int) -> int:
        """The events and all that they had seen."""
        for i in members(events):
            events |= self.seen[i]
        return events

    def closed(self) -> list[int]:
        """All causally closed sets, smaller ones first."""
        return [events for events in range(1 << self.size) if self.close(events) == events]

    def continues(self, i: int) -> int | None:
        """The event before `i` in its log, if nothing else was heard between the two."""
        before = [j for j in range(i) if self.replicas[j] == self.replicas[i]]
        return before[-1] if before and self.seen[i] == self.seen[before[-1]] | 1 << before[-1] else None

    def __repr__(self) -> str:
        return f"Shape({list(self.events)})"


def members(events: int) -> Iterator[int]:
    return (i for i in range(events.bit_length()) if events >> i & 1)


@cache
def shapes(size: int, replicas: int = 3) -> tuple[Shape, ...]:
    """All causal shapes of `size` events: one of each set that differ by names of replicas or by the order in
    which concurrent events are listed."""
    found: dict[Any, Shape] = {}

    def grow(events: list[tuple[int, int]]) -> None:
        shape = Shape(events)
        if shape.size == size:
            found.setdefault(min(named(shape, names) for names in permutations(range(replicas))), shape)
            return
        used = max((r for r, _ in events), default=-1) + 1
        for replica in range(min(replicas, used + 1)):
            own = shape.close(sum(1 << i for i, (r, _) in enumerate(events) if r == replica))
            for seen in shape.closed():
                if seen & own == own:
                    grow([*events, (replica, seen)])

    def named(shape: Shape, names: Sequence[int]) -> Any:
        dots = [(names[r], dot.seq) for (r, _), dot in zip(shape.events, shape.dots, strict=True)]
        pasts = [tuple(sorted(dots[j] for j in members(seen))) for seen in shape.seen]
        return tuple(sorted(zip(dots, pasts, strict=True)))

    grow([])
    return tuple(found.values())


# --- clocks: when it happened. All are consistent with causality ---


def one_after_another(shape: Shape) -> list[Stamp]:
    """Every event at its own wall time."""
    return [Stamp(1000 + i, 0, replica) for i, replica in enumerate(shape.replicas)]


def at_the_same_time(shape: Shape) -> list[Stamp]:
    """One wall time for all: concurrent events differ by counter or replica only."""
    depths: list[int] = []
    for seen in shape.seen:
        depths.append(1 + max((depths[j] for j in members(seen)), default=-1))
    return [Stamp(1000, depth, replica) for depth, replica in zip(depths, shape.replicas, strict=True)]


def in_commits(shape: Shape) -> list[Stamp]:
    """Events of one replica with nothing heard between them are one commit, with one stamp."""
    stamps: list[Stamp] = []
    for i, stamp in enumerate(one_after_another(shape)):
        before = shape.continues(i)
        stamps.append(stamp if before is None else stamps[before])
    return stamps


CLOCKS = (one_after_another, at_the_same_time, in_commits)


# --- growing them ---


class Plan(NamedTuple):
    """How the histories of a shape grow, and what is checked when all have happened."""

    steps: list[list[tuple[int, list[tuple[int, int]]]]]
    """For each event the closed sets that it completes, each with the ways to get there: (before, last)."""
    meetings: list[tuple[int, int]]
    """The pairs of closed sets whose union is everything."""


@cache
def plan(shape: Shape) -> Plan:
    closed, full = shape.closed(), shape.everything
    steps: list[list[tuple[int, list[tuple[int, int]]]]] = [[] for _ in range(shape.size)]
    for s in closed[1:]:
        ways = [(s & ~(1 << i), i) for i in members(s) if s & ~(1 << i) in closed]
        steps[s.bit_length() - 1].append((s, ways))
    return Plan(steps, [(s, t) for s in closed for t in closed if s | t == full])
