"""The director: leads a scenario over a stage, step by step, and says what held.

It knows no replica and no network: only who is there and up, how the links are, what the clocks say, and what was
expected. So what is played in one process and what is played with real processes differ in their stage alone.

Rule 1. After each step what can travel over whole links has travelled, and what is due is done; a `settle` waits
        for links that are slow or lossy too. Where that does not come, the step has failed.
Rule 2. An expectation that is not met is noted, and the scenario goes on: what comes after it may explain it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from replica.app import kinds_of, load
from replica.decider import Decider
from replica.scenario import Scenario, ScenarioError
from replica.step import (
    Add,
    AnyStep,
    Clock,
    Crash,
    Cut,
    Disturb,
    Expectation,
    ExpectConverged,
    ExpectDifferent,
    ExpectOwed,
    ExpectReading,
    ExpectRefused,
    Fork,
    Heal,
    Hear,
    Restart,
    Retire,
    Settle,
    Sides,
    Wait,
    Write,
)
from replica.words import shown
from sync.testing.stage import WHOLE, Stage, View, Way, Ways, Wrote

SHUT = Way(open=False)


class Happened(msgspec.Struct, frozen=True):
    """A step that was played, and what came of it."""

    number: int
    do: str
    step: str
    """The step in words."""
    came: str
    """What came of it, in words; nothing where that goes without saying."""
    held: bool = True
    """False: an expectation that was not met, or replicas that do not come to hold the same."""


class Report(msgspec.Struct, frozen=True):
    """How a scenario went. Two that were played from one file can be compared as they are."""

    title: str
    steps: tuple[Happened, ...]
    replicas: dict[str, View]
    """Those who are up at the end."""

    @property
    def failed(self) -> tuple[Happened, ...]:
        """The steps that did not hold."""
        return tuple(one for one in self.steps if not one.held)

    @property
    def held(self) -> bool:
        """All that was expected is so."""
        return not self.failed

    @property
    def converged(self) -> bool:
        """All who are up hold the same, and read the same."""
        return _differs(self.replicas, deep=True) is None


Told = Callable[[AnyStep, Happened], None]


def silent(step: AnyStep, happened: Happened) -> None:
    """Nobody is told of a step."""


class Director:
    """Leads one scenario over one stage. ScenarioError where it makes no sense for this app."""

    def __init__(self, scenario: Scenario, aggregates: Sequence[type[Decider]], tell: Told = silent) -> None:
        scenario.check()
        scenario.kind_check(kinds_of(aggregates))
        self.scenario, self._aggregates, self._tell = scenario, aggregates, tell
        self._streams = {number: self._stream(number, step) for number, step in enumerate(scenario.steps, 1)}
        self._now = scenario.clock.start
        self._offsets: dict[str, int] = {}
        self._up: dict[str, None] = {}
        self._links: dict[tuple[str, str], Ways] = {}
        self._wrote = Wrote()
        self._steps: list[Happened] = []

    def _stream(self, number: int, step: AnyStep) -> str:
        """The stream that a step is about; ScenarioError where no aggregate folds it."""
        if not isinstance(step, Write | ExpectReading):
            return ""
        known = {kind.stream: kind for kind in self._aggregates}
        stream = step.stream
        if not stream and len(known) == 1:
            stream = f"{next(iter(known))}/1"
        if stream.partition("/")[0] not in known:
            names = ", ".join(f'"{name}/..."' for name in sorted(known)) or "none"
            raise ScenarioError(
                f"step {number} ({step.do}): no aggregate folds the stream {shown(stream)} (there are: {names})"
            )
        return stream

    def _clock(self, name: str) -> int:
        return max(0, self._now + self._offsets.get(name, 0))

    async def run(self, stage: Stage) -> Report:
        """Play it to the end."""
        await self.begin(stage)
        while self.coming is not None:
            await self.go(stage)
        return await self.report(stage)

    # --- step by step: `begin`, then `go` while a step is coming, then `report` ---

    async def begin(self, stage: Stage) -> None:
        """The replicas begin, and are linked."""
        await self._begin(stage, *self.scenario.replicas)
        for here, there in self.scenario.pairs:
            await self._link(stage, here, there)
        await self._rest(stage)

    @property
    def coming(self) -> AnyStep | None:
        """The step that `go` plays; None after the last one."""
        played = len(self._steps)
        return self.scenario.steps[played] if played < len(self.scenario.steps) else None

    async def go(self, stage: Stage) -> Happened:
        """Play the step that is coming."""
        number = len(self._steps) + 1
        step = self.scenario.steps[number - 1]
        if isinstance(step, Expectation):
            found, held = await self._expect(stage, number, step)
            came = "" if held else found
        else:
            came = await self._play(stage, number, step)
            apart = await self._rest(stage, bad=isinstance(step, Settle))
            came, held = "; ".join(filter(None, [came, apart])), not apart
        happened = Happened(number, step.do, str(step), came, held)
        self._steps.append(happened)
        self._tell(step, happened)
        return happened

    async def report(self, stage: Stage) -> Report:
        """How it has gone so far."""
        return Report(self.scenario.title, tuple(self._steps), await self.look(stage, deep=True))

    async def look(self, stage: Stage, deep: bool = False) -> dict[str, View]:
        """What those who are up hold now."""
        return await stage.look({name: self._clock(name) for name in self._up}, deep)

    @property
    def links(self) -> Mapping[tuple[str, str], Ways]:
        """How each link is, from whom dials to whom answers."""
        return {**self._links}

    async def _play(self, stage: Stage, number: int, step: AnyStep) -> str:
        """Do a step; what came of it, in words, where that does not go without saying."""
        match step:
            case Write(name):
                self._now += self.scenario.clock.step
                wall = self._clock(name) if step.wall is None else step.wall
                self._wrote = await stage.write(name, self._streams[number], step, wall)
                return _came(self._wrote)
            case Hear(name, other):
                await stage.hear(name, other, self._clock(name))
            case Retire(name, member):
                refused = await stage.retire(name, member, self._clock(name))
                return "" if refused is None else f"refused: {refused}"
            case Add(name, links):
                others = [*self._up] if links is None else links
                await self._begin(stage, name)
                for other in others:
                    await self._link(stage, name, other)
            case Fork(name, new, at, links):
                why = await stage.fork(name, new, at)
                if why is not None:
                    raise ScenarioError(f"step {number} ({step.do}): {why}")
                await self._begin(stage, new)
                for other in links:
                    await self._link(stage, new, other)
            case Crash(name):
                del self._up[name]
                await stage.end(name)
            case Restart(name):
                await self._begin(stage, name)
            case Wait(ms):
                self._now += ms
                await stage.wait(ms)
            case Clock(name, by):
                self._offsets[name] = self._offsets.get(name, 0) + by
            case Cut() | Disturb() | Heal():
                await self._shape(stage, step)
        return ""

    # --- replicas and links ---

    async def _begin(self, stage: Stage, *names: str) -> None:
        await stage.begin({name: self._clock(name) for name in names})
        self._up |= dict.fromkeys(names)

    async def _link(self, stage: Stage, here: str, there: str) -> None:
        self._links[here, there] = WHOLE
        await stage.link(here, there, WHOLE)

    async def _shape(self, stage: Stage, step: Cut | Disturb | Heal) -> None:
        for (here, there), ways in [*self._links.items()]:
            crosses = True if step.between is None else _crosses(step.between, here, there)
            if crosses is not None:
                self._links[here, there] = after = _changed(ways, step, crosses)
                await stage.shape(here, there, after)

    def _groups(self, bad: bool) -> list[list[str]]:
        """Who is linked to whom, over others too; `bad`: over links that are slow or lossy as well."""
        group = {name: {name} for name in self._up}
        for (here, there), ways in self._links.items():
            if here in group and there in group and (ways.whole or (bad and ways.open)):
                together = group[here] | group[there]
                group |= dict.fromkeys(together, together)
        found: dict[str, list[str]] = {}
        for name in self._up:
            found.setdefault(min(group[name]), []).append(name)
        return [*found.values()]

    async def _rest(self, stage: Stage, bad: bool = False) -> str:
        """Wait until all who are linked hold the same, and have done what is due; or say why that does not come."""
        groups = self._groups(bad)
        why = ""
        for _ in range(stage.patience):
            views = await self.look(stage)
            why = _restless(groups, views)
            if not why:
                return ""
            await stage.go_on()
        return why

    # --- what must hold ---

    async def _expect(self, stage: Stage, number: int, step: Expectation) -> tuple[str, bool]:
        """What was found in place of what is expected, in words; and whether it is as expected."""
        if isinstance(step, ExpectRefused):
            refused = self._wrote.refused
            words = "it was recorded" if refused is None else f"refused: {refused}"
            return words, refused is not None and step.because in refused
        views = await self.look(stage, deep=True)
        match step:
            case ExpectReading(_, equals, at, name):
                stream = self._streams[number]
                names = [*views] if name is None else [name]
                found = {one: pointed(views[one].readings.get(stream), at) for one in names}
                wrong = {one: value for one, value in found.items() if value != equals}
                return "; ".join(f"{one} reads {shown(value)}" for one, value in wrong.items()), bool(
                    found
                ) and not wrong
            case ExpectConverged(among) | ExpectDifferent(among):
                some = {name: view for name, view in views.items() if among is None or name in among}
                wanted = isinstance(step, ExpectConverged)
                apart = _differs(some, deep=True) if wanted else _reads_differently(some)
                return apart or "all read the same", bool(some) and (apart is None) is wanted
            case ExpectOwed(name, commands):
                owed = views[name].owed
                return f"due: {', '.join(owed) or 'nothing'}", owed == sorted(commands)


def _came(wrote: Wrote) -> str:
    return " ".join(wrote.dots) if wrote.refused is None else f"refused: {wrote.refused}"


def _crosses(between: Sides, here: str, there: str) -> bool | None:
    """Does a link run between two groups? True: it is dialled from the first, False: from the second."""
    left, right = between
    if here in left and there in right:
        return True
    return False if here in right and there in left else None


def _changed(ways: Ways, step: Cut | Disturb | Heal, forwards: bool) -> Ways:
    """A link after a step; `forwards`: who dials it is in the first group."""
    match step:
        case Heal():
            return WHOLE
        case Disturb(_, delay, loss, duplicate, reorder):
            bad = Way(True, delay, loss, duplicate, reorder)
            there, back = [msgspec.structs.replace(bad, open=way.open) for way in (ways.there, ways.back)]
            return Ways(there, back)
        case Cut(one_way=False):
            return Ways(SHUT, SHUT)
        case _:
            return Ways(SHUT, ways.back) if forwards else Ways(ways.there, SHUT)


def _restless(groups: Iterable[Sequence[str]], views: dict[str, View]) -> str:
    """Why some have not come to rest: they are linked and differ, or have something to do."""
    for group in groups:
        apart = _differs({name: views[name] for name in group}, deep=False)
        if apart:
            return f"{', '.join(group)} are linked, and do not come to hold the same: {apart}"
        for name in group:
            if views[name].ready:
                return f"{name} does not carry out what is due: {', '.join(views[name].owed)}"
    return ""


def _differs(views: dict[str, View], deep: bool) -> str | None:
    """The first thing in which some replicas differ: what they hold, or (`deep`) what they read."""
    if not views:
        return None
    (first, one), *others = views.items()
    for name, view in others:
        if view.version != one.version:
            return f"{first} is at {_version(one)}, {name} at {_version(view)}"
    return _reads_differently(views) if deep else None


def _reads_differently(views: dict[str, View]) -> str | None:
    """The first stream of which some replicas have different presents."""
    if not views:
        return None
    (first, one), *others = views.items()
    for name, view in others:
        for stream in sorted(one.digests.keys() | view.digests.keys()):
            if one.digests.get(stream) != view.digests.get(stream):
                mine, theirs = one.readings.get(stream), view.readings.get(stream)
                return f"{stream} reads {shown(mine)} at {first}, and {shown(theirs)} at {name}"
    return None


def _version(view: View) -> str:
    return " ".join(f"{name}:{seq}" for name, seq in sorted(view.version.items())) or "nothing"


class _Nowhere:
    """Where a pointer leads that leads nowhere: it equals nothing, null neither."""

    def __repr__(self) -> str:
        return "nothing there"


def pointed(value: Any, pointer: str) -> Any:
    """What a JSON pointer (RFC 6901) leads to."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(key, _Nowhere())
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return _Nowhere()
    return value


def app_of(scenario: Scenario, given: Sequence[type[Decider]] = ()) -> list[type[Decider]]:
    """The aggregates that a scenario is about: those that are given, or those that it names."""
    if given:
        return [*given]
    if not scenario.app:
        raise ScenarioError('the scenario names no `app`, as in `"app": ["demo.party:Party"]`, and none was given')
    return load(scenario.app)[0]
