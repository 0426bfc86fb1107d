"""Measuring: contenders take turns, so that a busy moment of the machine meets all of them alike."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec

from bench.job import Figures
from bench.node import install
from bench.process import Failed, alone, pair
from bench.table import Contender, Found, Table

NEEDS = {"loro": "loro", "pycrdt": "pycrdt", "pycrdt_store": "pycrdt.store", "eventsourcing": "eventsourcing"}
"""The packages of the extra `bench`, by how the modules begin that need them."""

Say = Callable[[str], None]


class Bench:
    """One run: where its files are, and how often each contender is measured.

    `at_once` contenders are measured at the same time: one, unless figures mean nothing.
    """

    def __init__(self, prepared: str, times: int, say: Say, at_once: int = 1) -> None:
        self.prepared, self.times, self.say, self.at_once = prepared, times, say, at_once
        self._making = asyncio.Lock()
        self._made: dict[str, float] = {}
        self._node: str | None = None

    async def measure(self, table: Table) -> dict[str, Found]:
        """All contenders of a table, in turns."""
        self.say(f"  {table.title}")
        found: dict[str, Found] = {}
        for contender in table.contenders:
            found[contender.name] = Found(absent=self._lacks(contender))
        for turn in range(self.times):
            waiting = [c for c in table.contenders if turn < c.times]
            while waiting:
                some, waiting = waiting[: self.at_once], waiting[self.at_once :]
                measured = await asyncio.gather(
                    *(self._turn(contender, found[contender.name]) for contender in some)
                )
                found |= dict(zip((contender.name for contender in some), measured, strict=True))
        for contender in table.contenders:
            one = found[contender.name]
            events = contender.job.other * 2 or contender.job.count
            for figures in one.figures if one.wire else ():
                figures |= {"wire B": one.wire, "wire B an event": one.wire / events}
        return found

    async def _turn(self, contender: Contender, found: Found) -> Found:
        """Measure one contender once more."""
        if found.absent or found.failed:
            return found
        try:
            async with self._making:
                await self._prepare(contender)
            found.figures.append(await self._once(contender))
            if contender.counted and not found.wire:
                found = replace(found, wire=(await self._once(contender, counted=True))["wire"])
        except Failed as failure:
            self.say(f"    {contender.name} FAILED: {failure}")
            found = replace(found, failed=str(failure))
        return found

    async def _prepare(self, contender: Contender) -> None:
        job = replace(contender.job, prepared=self.prepared, option="")
        key = f"{contender.prepare} {job.words()}"
        if contender.prepare and key not in self._made:
            start = time.perf_counter()
            await alone(contender.prepare, job)
            self._made[key] = time.perf_counter() - start
            if self._made[key] > 5:
                self.say(f"    (made the files of {contender.name} in {self._made[key]:.0f} s)")

    async def _once(self, contender: Contender, counted: bool = False) -> Figures:
        job = replace(contender.job, prepared=self.prepared)
        if len(contender.calls) == 1:
            return await alone(contender.calls[0], job)
        server, client = contender.calls
        return contender.finish(*await pair(server, client, job, counted))

    def _lacks(self, contender: Contender) -> str:
        """What a contender needs and does not find."""
        target = contender.calls[0]
        if ".mjs" in target:
            if self._node is None:
                self._node = install(self.say)
            return self._node
        module = target.partition(":")[0].rpartition(".")[2]
        for system, package in NEEDS.items():
            if module.startswith(system) and find_spec(package) is None:
                return f"the package {package} is not installed"
        return ""
