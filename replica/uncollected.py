"""Work that makes many objects and no cycles, and during which the garbage collector need not look.

Reading and folding make a dozen objects an event, which reference counts let go or a present keeps. The collector,
which is called for every so many new objects and goes through old ones with them, took more than half of the time
of a fold of a thousand events (CPython 3.11, a present of a thousand items). So it waits until a fold or a read is
done. Whoever has turned it off finds it off.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def uncollected(work: Callable[P, T]) -> Callable[P, T]:
    """The same work, after which the collector goes on."""

    @wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        if not gc.isenabled():
            return work(*args, **kwargs)
        gc.disable()
        try:
            return work(*args, **kwargs)
        finally:
            gc.enable()

    return run
