"""The steward: what a replica does of its own accord, one step at a time, between the steps of others.

It builds what must be built (`replica.build`), takes snapshots (`replica.snapshot`), and carries out what is
due (`replica.due`): the commands whose owner this replica is, when their time has come, all that are ready in
one transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from replica.backend import Backend
from replica.build import Build, unbuilt
from replica.core import Core, Settled
from replica.direct import reader_of
from replica.owed import carry_out, ready, unpark, unsaid
from replica.pump import Pump
from replica.snapshot import span

AT_ONCE = 256
"""Commands that are carried out together."""
LOOK = 1.0
"""Seconds after which it looks at the clock again while something is due later: clocks are set, machines sleep."""


class Steward:
    """Runs beside the pump of a replica."""

    def __init__(self, core: Core, pump: Pump, backend: Backend, clock: Callable[[], int]) -> None:
        self._core, self._pump, self._backend, self._clock = core, pump, backend, clock
        self._wake = asyncio.Event()
        self._promises = self._standings = None
        self._learnt = 0

    async def run(self) -> None:
        """Work until the replica is closed, or this is cancelled."""
        for key in unsaid(self._core):
            await self._pump.do(lambda key=key: unpark(self._core, key))  # type: ignore[misc]
        with self._pump.hearing(self._hear, self._wake):
            while not self._pump.closed:
                self._wake.clear()
                pause = await self._work()
                try:
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
                except TimeoutError:
                    continue

    def _hear(self, settled: Settled) -> None:
        memory = self._core.memory
        if self._core.ripe or self._core.members.changes != self._learnt:
            self._learnt = self._core.members.changes
            self._wake.set()
        if memory.promises is not self._promises or memory.standings is not self._standings or settled.refolded:
            self._promises, self._standings = memory.promises, memory.standings  # type: ignore[assignment]
            self._wake.set()

    async def _work(self) -> float | None:
        """Do what there is to do; then say in how many seconds to look again, if that is known."""
        for build in unbuilt(self._core):
            await self._build(build)
        while self._core.ripe:
            await self._snapshot(next(iter(self._core.ripe)))
        while True:
            now = self._clock()
            keys, later = ready(self._core, now)
            if not keys:
                return None if later is None else min(max(later - now, 1) / 1000, LOOK)
            await asyncio.gather(*(self._carry_out(key, now) for key in keys[:AT_ONCE]))

    async def _snapshot(self, stream: str) -> None:
        held = await self._backend.run(lambda log: log.kept(span(stream)))
        await self._pump.do(lambda: self._core.snapshot(stream, held))

    async def _build(self, build: Build) -> None:
        core = self._core
        done = False
        while not done:
            portion = await self._backend.run(lambda log: build.read(reader_of(core, log)))
            done = await self._pump.do(lambda portion=portion: build.put(portion))  # type: ignore[misc]

    async def _carry_out(self, key: str, now: int) -> None:
        await self._pump.do(lambda: carry_out(self._core, key, now))
