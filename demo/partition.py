"""The story of a partition: replicas write together, part, write on, lose one to SIGKILL, meet, and agree.

Everything is real: each replica is a process with a file and a port of its own; the network is cut by gates on
its links, and the process is killed by the operating system. What is told is what the replicas answer.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.process import Process, WorkerFailed
from demo.telling import Teller

NAMES = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi")
LONGEST = 10.0
"""Seconds that the heal may take before the verdict is DIVERGED."""
BURST = 40
"""Writes that the victim is in the middle of when it is killed."""
BETWEEN = 0.002
"""Seconds between the first of them, about what one takes to become durable; the last are asked for at once."""
EPOCH = 1_767_225_600_000
"""2026-01-01 in wall ms: where the clock of a seeded story begins."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the story ended."""

    converged: bool
    digest: str | None
    replicas: list[dict[str, Any]]
    heal_seconds: float
    events: int
    alarms: list[dict[str, Any]]
    """What replicas say that others read differently, of the same events."""


class Story:
    """The replicas, and what happens to them."""

    def __init__(self, processes: list[Process], teller: Teller, seed: int | None, *, broken: bool) -> None:
        self.all, self.tell, self._seed, self._broken = processes, teller, seed, broken
        half = (len(processes) + 1) // 2
        self.left, self.right = processes[:half], processes[half:]
        self._seconds = 0

    # --- steps ---

    async def write(self, process: Process, command: str, **fields: Any) -> None:
        """One write, awaited: it is durable when this returns."""
        self._seconds += 1
        now = None if self._seed is None else EPOCH + self._seconds * 1000
        answer = await process.ask("execute", command=command, fields=fields, now=now)
        self.tell.wrote(process.name, answer["dots"][0], command, fields)

    async def connect(self) -> None:
        """A full mesh: of each pair the one dials the other."""
        for index, process in enumerate(self.all):
            for peer in self.all[index + 1 :]:
                await process.ask("dial", peer=peer.name, url=peer.url, up=True)

    async def cut(self) -> None:
        for here, there in ((self.left, self.right), (self.right, self.left)):
            for process in here:
                await process.ask("cut", peers=[peer.name for peer in there])

    async def look(self) -> list[dict[str, Any]]:
        """What each replica holds now."""
        found = await asyncio.gather(*(process.ask("look") for process in self.all))
        return [{"name": process.name, **view} for process, view in zip(self.all, found, strict=True)]

    async def agree(self, group: list[Process]) -> None:
        """Wait until a group holds the same; WorkerFailed if it does not."""
        if not await self.agreed(group):
            raise WorkerFailed(f"{', '.join(p.name for p in group)} are linked, and did not agree in {LONGEST:g} s")

    async def agreed(self, group: list[Process]) -> bool:
        """Wait until a group holds the same; False if that takes too long. (Broken: the same events, at least.)"""
        same = ("version",) if self._broken else ("version", "digest")
        return await self._seen(
            group, lambda views: all(view[key] == views[0][key] for view in views for key in same)
        )

    async def alarmed(self) -> bool:
        """Wait until everybody has noticed that others read differently; False if that takes too long."""
        return await self._seen(self.all, lambda views: all(view["alarms"] for view in views))

    async def _seen(self, group: list[Process], holds: Callable[[list[dict[str, Any]]], bool]) -> bool:
        begun = time.monotonic()
        while time.monotonic() - begun < LONGEST:
            if holds([view for view in await self.look() if any(view["name"] == p.name for p in group)]):
                return True
            await asyncio.sleep(0.02)
        return False

    async def show(self, heading: str) -> None:
        self.tell.views(heading, await self.look())

    # --- chapters ---

    async def together(self) -> None:
        self.tell.chapter(
            "Together", f"{len(self.all)} replicas, each a process with its own file and port, all linked."
        )
        first, last = self.all[0], self.all[-1]
        await self.write(first, "NameParty", name="Summer party")
        await self.write(first, "AddItem", item="bread")
        await self.agree(self.all)
        await self.write(last, "AddItem", item="olives")
        await self.write(last, "WriteNote", text="Bring chairs.")
        for process in self.all:
            await self.write(process, "AddMoney", amount=10)
        await self.agree(self.all)
        await self.show("They hold the same:")

    async def apart(self) -> None:
        sides = " | ".join(", ".join(p.name for p in side) for side in (self.left, self.right))
        self.tell.chapter("The network is cut", sides)
        await self.cut()
        here, there = self.left[0], self.right[-1]
        await self.write(here, "NameParty", name="Garden party")
        await self.write(there, "NameParty", name="Pool party")
        await self.write(here, "RemoveItem", item="bread")
        await self.write(there, "AddItem", item="bread")
        await self.write(here, "AddMoney", amount=-7)
        await self.write(there, "AddMoney", amount=5)
        await self.write(here, "WriteNote", text=" Garden gate is open.")
        await self.write(there, "WriteNote", text=" Bring towels.")

    async def killed(self) -> None:
        victim = self.right[-1]
        self.tell.chapter(f"{victim.name} is killed", f"SIGKILL to process {victim.pid}, in the middle of writing.")
        before = (await victim.ask("look"))["present"]["purse"]
        acknowledged = await self._burst(victim)
        await victim.ended()
        await victim.start()
        after = (await victim.ask("look"))["present"]["purse"]
        self.tell.line(
            f"{victim.name} is back as process {victim.pid}: of {BURST} writes {acknowledged} were acknowledged, "
            f"and {after - before} are in its file."
        )
        if after - before < acknowledged:
            raise WorkerFailed(f"{victim.name} lost {acknowledged - (after - before)} acknowledged writes")
        await self.agree(self.left)
        await self.show("Each side has gone its own way:")

    async def _burst(self, victim: Process) -> int:
        """Add money many times, and kill while it is being written; with a seed, when it is written."""
        self._seconds += 1
        now = None if self._seed is None else EPOCH + self._seconds * 1000
        writes = []
        for number in range(BURST):
            asked = victim.ask("execute", command="AddMoney", fields={"amount": 1}, now=now)
            writes.append(asyncio.create_task(asked))
            if self._seed is not None:
                await writes[-1]
            elif number < BURST // 2:
                await asyncio.sleep(BETWEEN)
        await asyncio.sleep(BETWEEN)
        victim.kill()
        await asyncio.gather(*writes, return_exceptions=True)
        return sum(write.exception() is None for write in writes)

    async def healed(self) -> Verdict:
        self.tell.chapter("The network heals", "Every link compares, and sends what the other has not seen.")
        begun = time.monotonic()
        await asyncio.gather(*(process.ask("heal") for process in self.all))
        converged = await self.agreed(self.all) and not self._broken
        seconds = time.monotonic() - begun
        if self._broken:
            await self.alarmed()
        views = await self.look()
        alarms = [{"replica": view["name"], **alarm} for view in views for alarm in view.pop("alarms")]
        self.tell.views("After the heal:", views)
        if converged:
            self.tell.why(views[0]["present"])
        events = max(view.pop("events") for view in views)
        digest = views[0]["digest"] if converged else None
        return Verdict(converged, digest, views, round(seconds, 3), events, alarms)


async def partition(replicas: int, seed: int | None, teller: Teller, *, broken: bool = False) -> Verdict:
    """Play the story with that many replicas, and say how it ended; `broken`: it cannot end well."""
    options = ("--broken",) if broken else ()
    with tempfile.TemporaryDirectory(prefix="anabranch-") as folder:
        processes = [Process(name, Path(folder) / f"{name}.db", seed, options=options) for name in NAMES[:replicas]]
        started: list[Process] = []
        try:
            for process in processes:
                started.append(process)
                await process.start()
            story = Story(processes, teller, seed, broken=broken)
            await story.connect()
            await story.together()
            await story.apart()
            await story.killed()
            verdict = await story.healed()
        finally:
            await asyncio.gather(*(process.stop() for process in started))
        teller.verdict(verdict.converged, verdict.digest, verdict.heal_seconds, verdict.replicas, verdict.alarms)
        return verdict
