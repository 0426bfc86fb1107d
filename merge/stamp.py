"""Hybrid logical time: close to the wall clock, never against causality, totally ordered.

Rule 1. A stamp is (wall ms, counter, replica). Stamps are compared in that order, so no two replicas ever
        disagree on which of two stamps is the greater, and no two commits have equal stamps.
Rule 2. A new stamp is greater than every stamp observed. The wall part follows the clock while the clock
        runs ahead of what was observed; otherwise it stays, and the counter rises.
Rule 3. Time is an argument. Nothing here reads a clock.

What a user gets: sorting by stamp never puts an effect before its cause, and where two events are
concurrent the order is close to the one a watch on the wall would give.

Source: Kulkarni et al. 2014, "Logical Physical Clocks".
"""

from __future__ import annotations

from typing import NamedTuple

from merge.version import name_of

WALL_LIMIT = 1 << 48
"""Wall time is below 2^48 ms (the year 10889), so that a stamp always fits where it is stored."""

LAST_WALL = WALL_LIMIT - (1 << 16)
"""No clock goes further, so that a stamp after the last one still fits."""

YEAR_10000 = 253_402_300_800_000
"""Wall ms at which `datetime` ends. A clock that is there counts something else: microseconds, nanoseconds."""

COUNTER_LIMIT = 1 << 32


class Stamp(NamedTuple):
    """Hybrid logical time: wall milliseconds since 1970, counter, and the replica that gave it."""

    wall: int
    counter: int
    replica: int

    def __str__(self) -> str:
        return f"{self.wall}.{self.counter}@{name_of(self.replica)}"


def next_stamp(now: int, observed: Stamp | None, replica: int) -> Stamp:
    """A stamp for `replica` at wall time `now` (whole ms), greater than the greatest stamp observed.

    TypeError where `now` is no int: a stamp that is no whole number cannot be stored, and lasts for ever.
    """
    if type(now) is not int:
        raise TypeError(f"wall time is whole milliseconds since 1970, an int, and not {now!r}")
    wall = min(max(now, 0), LAST_WALL - 1)
    if observed is None or wall > observed.wall:
        return Stamp(wall, 0, replica)
    if observed.counter + 1 < COUNTER_LIMIT:
        return Stamp(observed.wall, observed.counter + 1, replica)
    return Stamp(observed.wall + 1, 0, replica)
