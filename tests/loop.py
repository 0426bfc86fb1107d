"""Tests that need an event loop: `@in_loop` runs an async test in one of its own, with an end in sight."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any

LONGEST = 120.0
"""Seconds after which a test that waits is a test that hangs."""


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """The async test as a plain one."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), LONGEST))

    return run


async def until(holds: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until something holds; AssertionError if it does not in time."""
    end = asyncio.get_running_loop().time() + seconds
    while not holds():
        assert asyncio.get_running_loop().time() < end, f"not within {seconds:g} s"
        await asyncio.sleep(0.005)
