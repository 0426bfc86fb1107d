"""Retries: what is done with work in the world outside that fails (reactions, feeds, exports).

Rule 1. One policy: it is tried again, later each time, until it succeeds or has failed `tries` times (None: for as
        long as it takes).
Rule 2. What has failed that often is parked. A person is told once, and has two verbs: `replica.retry(what, key)`
        tries it again, `replica.drop(what, key)` leaves it alone. They are the same for a reaction (its name, and
        the dot of the event), a feed or an export (its name, and where it is stuck), and a command that is due
        ("due", and its id).
Rule 3. Whatever a user's code raises is a failure of that work. Only what ends the task or the process from outside
        is none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    RetryError,
    retry_if_exception,
    stop_after_attempt,
    stop_never,
    wait_exponential_jitter,
)

DUE = "due"
"""What commands that are due are called by the verbs, and so no reaction, feed or export."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often, and when, work that fails is tried again."""

    tries: int | None
    first: float
    """Seconds before it is tried again for the first time, about; twice that the next time."""
    longest: float
    """Seconds between two tries, at most."""

    async def persist(
        self,
        attempt: Callable[[], Awaitable[object]],
        failed: Callable[[str], Awaitable[None]],
        *,
        failures: int = 0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        unless: type[BaseException] | tuple[type[BaseException], ...] = (),
    ) -> bool:
        """Attempt something until it succeeds; False where it has failed too often.

        `failed` hears of each failure, in words. It begins to wait where it has failed so many times (`failures`)
        before. What is one of `unless` is raised.
        """

        async def note(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome is not None else None
            if error is not None and not isinstance(error, _Later):
                await failed(f"{type(error).__name__}: {error}")

        left = 0 if self.tries is None else max(self.tries - failures, 1) + bool(failures)
        trials = AsyncRetrying(
            stop=stop_after_attempt(left) if left else stop_never,
            wait=wait_exponential_jitter(multiplier=self.first, max=self.longest, jitter=self.first),
            retry=retry_if_exception(lambda error: is_failure(error) and not isinstance(error, unless)),
            before_sleep=note,
            sleep=sleep,
        )
        try:
            async for trial in trials:
                with trial:
                    if failures and trial.retry_state.attempt_number == 1:
                        raise _Later
                    await attempt()
        except RetryError as given_up:
            error = given_up.last_attempt.exception()
            await failed(f"{type(error).__name__}: {error}")
            return False
        return True


def is_failure(error: BaseException) -> bool:
    """It is a failure of the work, and not the end of its task or of the process."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or not task.cancelling()  # raised by the work itself: nobody has cancelled it
    return not isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit)


def check_named(what: str, name: object) -> None:
    """TypeError where work cannot have that name."""
    if not isinstance(name, str) or not name or "\n" in name or name == DUE:
        raise TypeError(f'{what} needs a name (not "{DUE}", and on one line), and {name!r} is none')


class _Later(Exception):
    """Not yet: it has failed before."""
