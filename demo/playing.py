"""A scenario, played with real processes and told as it goes.

Each replica is a process with a file and a port of its own, links are websockets behind gates, and who is killed is
killed by the operating system. What must come of it is what comes of it in one process (`sync.testing.play`): one
director leads both.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from demo.process import Process
from demo.telling import Teller
from replica.app import load
from replica.scenario import Scenario
from replica.step import AnyStep, Expectation, Write
from sync.testing import Director, Happened, Report, View, Ways, Wrote, app_of, play

LONGEST = 20.0
"""Seconds that replicas may take to come to rest."""
PAUSE = 0.02
"""Seconds between two looks at them."""
NAP = 2000
"""ms that a wait of a scenario takes at most; the clocks go on by all of it."""


class Told(msgspec.Struct, frozen=True):
    """An event, as a replica tells of it."""

    stamp: tuple[int, int, int]
    dot: str
    stream: str
    said: str
    """Type and fields, as Python would show them."""


class Processes:
    """All replicas of a scenario, each in a process of its own."""

    patience = round(LONGEST / PAUSE)

    def __init__(self, folder: Path, app: Sequence[str]) -> None:
        self.folder, self._app = folder, [word for spec in app for word in ("--app", spec)]
        self._processes: dict[str, Process] = {}
        self._starts: dict[str, int] = {}
        self._links: dict[tuple[str, str], Ways] = {}

    def _path(self, name: str) -> str:
        return str(self.folder / f"{name}.db")

    def _process(self, name: str) -> Process:
        return Process(name, Path(self._path(name)), module="demo.member")

    async def begin(self, clocks: Mapping[str, int | None]) -> None:
        await asyncio.gather(*(self._start(name, now) for name, now in clocks.items()))
        for (here, there), ways in self._links.items():
            if here in clocks:
                await self.link(here, there, ways)

    async def _start(self, name: str, now: int | None) -> None:
        process = self._processes.get(name)
        if process is None:
            process = self._processes[name] = self._process(name)
        self._starts[name] = self._starts.get(name, 0) + 1
        clock = [] if now is None else ["--now", str(now), "--start", str(self._starts[name])]
        process.options = [*clock, *self._app]
        await process.start()

    async def end(self, name: str) -> None:
        self._processes[name].kill()
        await self._processes[name].ended()

    async def link(self, here: str, there: str, ways: Ways) -> None:
        process, peer = self._processes[here], self._processes[there]
        await process.ask("dial", peer=there, url=peer.url, up=False)
        await self.shape(here, there, ways)

    async def shape(self, here: str, there: str, ways: Ways) -> None:
        self._links[here, there] = ways
        if self._processes[here].running:
            await self._processes[here].ask("shape", peer=there, ways=msgspec.to_builtins(ways))

    async def write(self, name: str, stream: str, write: Write, now: int | None) -> Wrote:
        answer = await self._processes[name].ask(
            "write", stream=stream, command=write.command, events=write.events, now=now
        )
        return msgspec.convert(answer, Wrote)

    async def hear(self, name: str, other: str, now: int) -> None:
        await self._processes[name].ask("hear", path=self._path(other), now=now)

    async def fork(self, name: str, new: str, at: str) -> str | None:
        answer = await self._processes[name].ask("fork", path=self._path(new), name=new, at=at)
        refused: str | None = answer["refused"]
        return refused

    async def retire(self, name: str, member: str, now: int) -> str | None:
        answer = await self._processes[name].ask("retire", member=member, now=now)
        refused: str | None = answer["refused"]
        return refused

    async def look(self, clocks: Mapping[str, int], deep: bool) -> dict[str, View]:
        asked = [self._processes[name].ask("look", now=now, deep=deep) for name, now in clocks.items()]
        return dict(zip(clocks, msgspec.convert(await asyncio.gather(*asked), list[View]), strict=True))

    async def news(self, name: str) -> list[Told]:
        """The events that a replica holds and has not told of yet; all of them where it has begun again."""
        answer = await self._processes[name].ask("news")
        return msgspec.convert(answer["events"], list[Told])

    async def go_on(self) -> None:
        await asyncio.sleep(PAUSE)

    async def wait(self, ms: int) -> None:
        await asyncio.sleep(min(ms, NAP) / 1000)

    async def stop(self) -> None:
        """End all of them."""
        await asyncio.gather(*(process.stop() for process in self._processes.values() if process.started))


@asynccontextmanager
async def network(app: Sequence[str]) -> AsyncIterator[Processes]:
    """Room for replicas that fold these aggregates: their processes, and their files, are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="anabranch-") as folder:
        stage = Processes(Path(folder), app)
        try:
            yield stage
        finally:
            await stage.stop()


async def with_processes(scenario: Scenario, app: Sequence[str], teller: Teller) -> Report:
    """Play a scenario with real processes. ScenarioError, before any begins, where it makes no sense."""
    director = Director(scenario, app_of(scenario, load(app)[0]), Telling(teller))
    async with network(app or scenario.app) as stage:
        return await director.run(stage)


def in_process(scenario: Scenario, app: Sequence[str], teller: Teller) -> Report:
    """The same in this process, where nothing takes time."""
    return play(scenario, *load(app)[0], tell=Telling(teller))


class Telling:
    """Tells each step as it is played: what was to be said, the step, and what came of it."""

    def __init__(self, teller: Teller) -> None:
        self._teller = teller

    def __call__(self, step: AnyStep, happened: Happened) -> None:
        if step.say:
            self._teller.line()
            self._teller.line(step.say, "bold")
        mark = "✗" if not happened.held else "✓" if isinstance(step, Expectation) else " "
        came = f"   {happened.came}" if happened.came else ""
        self._teller.line(f"{happened.number:>3} {mark} {happened.step}{came}", "" if happened.held else "bold red")


def tell_end(report: Report, rule: str, teller: Teller) -> None:
    """What is read at the end, what it teaches, and whether everything held."""
    teller.line()
    for name, view in [*report.replicas.items()][: 1 if report.converged else None]:
        version = " ".join(f"{one}:{seq}" for one, seq in sorted(view.version.items()))
        teller.line(f"{'All' if report.converged else name} at {version}")
        for stream, reading in view.readings.items():
            teller.line(f"    {stream}  {msgspec.json.encode(reading).decode()}")
    teller.line()
    if rule:
        teller.line(rule)
        teller.line()
    together = "CONVERGED" if report.converged else "APART"
    if report.held:
        teller.line(f"{together}  all {len(report.steps)} steps went as they should", "bold green")
    else:
        numbers = ", ".join(str(one.number) for one in report.failed)
        teller.line(f"{together}  and not as it should: step {numbers} of {len(report.steps)}", "bold red")
