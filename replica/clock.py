"""Wall time: the one door by which it comes in.

Rule. A clock gives whole milliseconds since 1970, as an int. Everything else is refused here, before it stands in a
stamp: a stamp is for ever, and what cannot be stored in one makes a log that nobody can read.
"""

from __future__ import annotations

import operator
import time
from collections.abc import Callable

from merge.stamp import YEAR_10000
from replica.errors import reraise


def wall_clock() -> int:
    """Wall time in ms since 1970."""
    return time.time_ns() // 1_000_000


def checked(clock: Callable[[], int]) -> Callable[[], int]:
    """A clock whose every reading is a whole number of ms that a stamp can hold.

    A reading raises TypeError where `clock` gives no int, ValueError where the number cannot be in ms. A time
    before 1970 counts as 1970: machines without a battery begin there.
    """

    def read() -> int:
        try:
            given = clock()
        except BaseException as raised:
            reraise(raised)
        try:
            now = operator.index(given)
        except TypeError:
            raise TypeError(
                f"the clock of this replica gave {given!r}, and it must give whole milliseconds since 1970 as an "
                "int, as `time.time_ns() // 1_000_000` does. Nothing was recorded."
            ) from None
        if now >= YEAR_10000:
            raise ValueError(
                f"the clock of this replica gave {now}, which in milliseconds is after the year 9999: does it "
                "count microseconds or nanoseconds? Nothing was recorded."
            )
        return max(now, 0)

    return read
