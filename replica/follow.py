"""Following a log: all that lies beyond a version, first from the log and then as it becomes durable.

Rule 1. No gap, nothing twice, causes first: commits come in the order of their stamps from the log, and then in
        the order in which they became durable here.
Rule 2. Bounded: what a slow follower has not taken is let go beyond WAITING events, and read from the log when
        its turn comes. So nobody is ever too slow.
Rule 3. Where a second history turns up, what comes next is folded from then on; what had been handed over
        before is not taken back. (Status shows the alarm; projections are built again.)
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator

from merge.version import VersionVector
from replica.backend import Backend
from replica.commit import Commit
from replica.core import Core, Settled
from replica.direct import reader_of
from replica.pump import Pump

WAITING = 1024
"""Events that may wait in memory."""
PORTION = 1024
"""Events that are read from the log at once: about a block."""

Commits = list[tuple[Commit, VersionVector]]


class Follower:
    """What lies beyond `position`, of all replicas; or of this one alone, while it goes by the id `own`."""

    def __init__(
        self, core: Core, pump: Pump, backend: Backend, position: VersionVector, *, own: int | None = None
    ) -> None:
        self._core, self._pump, self._backend, self._own = core, pump, backend, own
        self._position = position
        self._waiting: deque[tuple[Commit, VersionVector]] = deque()
        self._events = 0
        self._behind = True
        """What comes next must be read from the log."""
        self._wake = asyncio.Event()

    async def batches(self) -> AsyncGenerator[tuple[Commits, VersionVector], None]:
        """Portions, each with the version that has been handed over with it; until the replica is closed."""
        with self._pump.hearing(self._hear, self._wake):
            while not self._given_up:
                if self._behind and not self._pump.closed:
                    self._behind, self._events = False, 0
                    self._waiting.clear()
                    upto = self._core.memory.version
                    while (found := await self._read(upto)) and not self._given_up:
                        yield self._advance(found), self._position
                elif self._waiting:
                    found = [*self._waiting]
                    self._waiting.clear()
                    self._events = 0
                    news = self._advance(found)
                    if news:
                        yield news, self._position
                elif self._pump.closed:
                    return
                else:
                    self._wake.clear()
                    await self._wake.wait()

    def _advance(self, found: Commits) -> Commits:
        """What of it is new; the position moves on."""
        news = [item for item in found if item[0].last > self._position[item[0].replica]]
        for commit, _ in news:
            self._position = self._position.advance(commit.replica, commit.last)
        return news

    @property
    def _given_up(self) -> bool:
        """The replica goes by another id."""
        identity = self._core.memory.identity
        return self._own is not None and identity is not None and identity.replica != self._own

    async def _read(self, upto: VersionVector) -> Commits:
        core, position = self._core, self._position
        only = self._own
        return await self._backend.run(lambda log: reader_of(core, log).beyond(position, upto, PORTION, only))

    def _hear(self, settled: Settled) -> None:
        for commit, context in () if self._behind else settled.news:
            if self._own in (None, commit.replica):
                self._waiting.append((commit, context))
                self._events += len(commit.events)
        if self._events > WAITING:
            self._waiting.clear()
            self._events, self._behind = 0, True
        if self._waiting or self._behind or self._given_up:
            self._wake.set()
