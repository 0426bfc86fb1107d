"""Feeds: the events of a replica for the outside, named, in batches, at least once.

    Feed("warehouse", deliver, categories=["order"])        deliver: async (list[Entry]) -> None

Rule 1. A feed hands over all folded events that it selects, of all replicas, from the beginning of the log on;
        causes come before effects. So any other service can follow what happens here.
Rule 2. Its position is kept beside the log, after a batch has been delivered: a crash between the two has the
        batch delivered again. The dot of an event is the key by which the receiver knows it.
Rule 3. A delivery that fails is tried again, later each time, for as long as it takes: the order is kept, and
        nothing is left out. Status shows it. It holds up this feed alone.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from inspect import iscoroutinefunction

import msgspec
from tenacity import AsyncRetrying, RetryCallState, wait_exponential_jitter

from merge.version import VersionVector
from replica.backend import Backend
from replica.core import Core
from replica.entry import Entry, Selection, entries
from replica.event import Event
from replica.follow import Follower
from replica.log import Span
from replica.pump import Pump
from replica.status import FeedStatus

log = logging.getLogger("anabranch.replica")

KIND = "feed"
"""The kind under which positions are kept beside the log."""
STRIDE = 64
"""Portions without anything that a feed wants before its position is written down all the same."""


@dataclass(frozen=True, slots=True)
class Feed:
    """A named consumer of events outside."""

    name: str
    deliver: Callable[[list[Entry]], Awaitable[None]]
    streams: Sequence[str] = ()
    categories: Sequence[str] = ()
    types: Sequence[type[Event]] = ()
    first: float = 0.5
    """Seconds before a failed delivery is tried again for the first time, about; twice that the next time."""
    longest: float = 60.0


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[int, int]).decode


class FeedRunner:
    """Runs one feed."""

    def __init__(self, core: Core, pump: Pump, backend: Backend, feed: Feed) -> None:
        self._core, self._pump, self._backend, self._feed = core, pump, backend, feed
        if not iscoroutinefunction(feed.deliver):
            raise TypeError(f"the feed {feed.name} delivers by an `async def`, and {feed.deliver!r} is none")
        self._selection = Selection.of(core, feed.streams, feed.categories, feed.types)
        self._position = VersionVector()
        self._failures = 0
        self._error: str | None = None
        self._stuck: Entry | None = None

    async def run(self) -> None:
        """Deliver until the replica is closed, or this is cancelled."""
        kept = await self._backend.run(lambda log: log.kept(Span.one(KIND, self._feed.name)))
        self._position = VersionVector(_decode(kept[0].value)) if kept else VersionVector()
        follower = Follower(self._core, self._pump, self._backend, self._position)
        idle = 0
        async with aclosing(follower.batches()) as batches:
            async for commits, position in batches:
                wanted = [e for item in commits for e in entries(self._core, *item, self._selection)]
                if wanted:
                    await self._deliver(wanted)
                idle = 0 if wanted else idle + 1
                if wanted or idle >= STRIDE:
                    await self._pump.do(lambda position=position: self._move(position))  # type: ignore[misc]
                    idle = 0

    async def _deliver(self, wanted: list[Entry]) -> None:
        wait = wait_exponential_jitter(multiplier=self._feed.first, max=self._feed.longest, jitter=self._feed.first)

        def failed(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome is not None else None
            self._failures, self._error, self._stuck = (
                self._failures + 1,
                f"{type(error).__name__}: {error}",
                wanted[0],
            )
            log.warning(
                "the feed %s could not deliver %d events from %s on: %s",
                self._feed.name, len(wanted), wanted[0].dot, self._error,
            )  # fmt: skip

        async for attempt in AsyncRetrying(wait=wait, before_sleep=failed):
            with attempt:
                await self._feed.deliver(wanted)
        self._failures, self._error, self._stuck = 0, None, None

    def _move(self, position: VersionVector) -> None:
        self._position = position
        plain = {int(replica): seq for replica, seq in position.seqs.items()}
        self._core.draft.keep(KIND, self._feed.name, _encode(plain))

    def status(self) -> FeedStatus:
        """How the feed stands."""
        behind = sum(
            max(seq - self._position[replica], 0) for replica, seq in self._core.memory.version.seqs.items()
        )
        at = None if self._stuck is None else self._stuck.dot
        return FeedStatus(self._feed.name, behind, self._failures, at, self._error)


def runners(core: Core, pump: Pump, backend: Backend, feeds: Iterable[Feed]) -> list[FeedRunner]:
    """The runners of some feeds; TypeError where two have one name."""
    named = {feed.name: feed for feed in feeds}
    made = [FeedRunner(core, pump, backend, feed) for feed in feeds]
    if len(named) < len(made):
        raise TypeError("two feeds have one name")
    return made
