"""The lessons: six scenarios, what each teaches, and a player that goes through one step by step.

Rule 1. A lesson is a scenario file (docs/scenarios.md) and nothing else: what is said, done, expected and taught
        stands there. So any such file can be a lesson.
Rule 2. A moment shows what replicas have said of themselves, and nothing that was worked out in their place; of one
        that was killed, the last that it said.
Rule 3. There is no step back: a fact is never retracted.

    player = Player(lesson("concurrent-rename").scenario, stage)
    moment = await player.begin()
    while not moment.over:
        moment = await player.step()
    report = await player.report()

The stage (`sync.testing.Stage`) is the network that it is played on: `demo.playing.Processes` has real processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from replica.decider import Decider
from replica.scenario import Scenario
from replica.step import AnyStep, ExpectReading
from sync.testing import Director, Happened, Report, Stage, View, Ways, app_of

SCENARIOS = Path(__file__).parent / "scenarios"
"""Those that come with the demo."""
NAMES = (
    "offline-edits", "concurrent-rename", "delete-against-edit", "split-brain-counter", "crash-during-sync",
    "last-piece",
)  # fmt: skip
"""In the order in which they explain each other."""


def scenario_called(name: str) -> Path:
    """The file of a scenario: a path, or the name of one that comes with the demo."""
    path = Path(name)
    ours = SCENARIOS / f"{name}.json"
    return ours if not path.exists() and ours.is_file() else path


@dataclass(frozen=True, slots=True)
class Lesson:
    """A scenario that teaches something."""

    key: str
    """What chooses it on a keyboard, `1` to `6`; empty for a file of one's own."""
    name: str
    scenario: Scenario

    @property
    def title(self) -> str:
        return self.scenario.title or self.name

    @property
    def teaches(self) -> str:
        """What it shows, in a sentence or two."""
        return self.scenario.text

    @property
    def rule(self) -> str:
        """What is to be remembered of it: told with the verdict."""
        return self.scenario.rule

    @property
    def steps(self) -> tuple[AnyStep, ...]:
        """What happens; `say` of each is what is told of it."""
        return self.scenario.steps


LESSONS = tuple(
    Lesson(str(number), name, Scenario.read(SCENARIOS / f"{name}.json")) for number, name in enumerate(NAMES, 1)
)


def lesson(name: str) -> Lesson:
    """The lesson of a name, a key or a file. ScenarioError where there is none."""
    for one in LESSONS:
        if name in (one.name, one.key):
            return one
    return Lesson("", Path(name).stem, Scenario.read(name))


class Standing(msgspec.Struct, frozen=True):
    """One replica at one moment."""

    name: str
    up: bool
    view: View
    """What it said last."""
    behind: int
    """Events that somebody holds, and this one does not."""
    ahead: int
    """Events that it holds, and somebody does not."""


class Line(msgspec.Struct, frozen=True):
    """One link at one moment, from who dials to who answers."""

    here: str
    there: str
    ways: Ways


class Moment(msgspec.Struct, frozen=True):
    """How everything stands after a step."""

    number: int
    """Steps that were played; 0 before the first."""
    total: int
    step: AnyStep | None
    """The last one that was played,"""
    happened: Happened | None
    """what came of it,"""
    coming: AnyStep | None
    """and the one that comes next."""
    replicas: tuple[Standing, ...]
    links: tuple[Line, ...]

    @property
    def over(self) -> bool:
        return self.coming is None


class Player:
    """Plays one scenario over one network, a step at a time. ScenarioError where it makes no sense."""

    def __init__(self, scenario: Scenario, stage: Stage, aggregates: Sequence[type[Decider]] = ()) -> None:
        self.scenario, self._stage = scenario, stage
        self._director = Director(scenario, app_of(scenario, aggregates))
        self._views: dict[str, View] = {}
        self._played: tuple[AnyStep, Happened] | None = None

    async def begin(self) -> Moment:
        """The replicas begin, and are linked; nothing has been played."""
        await self._director.begin(self._stage)
        return await self.look()

    async def step(self) -> Moment:
        """Play the step that is coming. What was expected and is not so is told by the moment: `happened.held`."""
        step = self._director.coming
        assert step is not None, "there is no step after the last one"
        self._played = step, await self._director.go(self._stage)
        return await self.look()

    async def look(self) -> Moment:
        """How everything stands now: what is on slow links arrives between two steps."""
        now = await self._director.look(self._stage, deep=True)
        self._views |= now
        step, happened = self._played or (None, None)
        return Moment(
            happened.number if happened else 0, len(self.scenario.steps), step, happened, self._director.coming,
            standings(self._views, now), tuple([Line(*pair, ways) for pair, ways in self._director.links.items()]),
        )  # fmt: skip

    async def report(self) -> Report:
        """How it has gone so far: what did not hold, and what all who are up hold."""
        return await self._director.report(self._stage)


def standings(views: Mapping[str, View], up: Mapping[str, View]) -> tuple[Standing, ...]:
    """How far each is behind and ahead, by what all have said last."""
    writers = {writer for view in views.values() for writer in view.version}
    seqs = {writer: [view.version.get(writer, 0) for view in views.values()] for writer in writers}
    found = []
    for name, view in views.items():
        behind = sum(max(held) - view.version.get(writer, 0) for writer, held in seqs.items())
        ahead = sum(view.version.get(writer, 0) - min(held) for writer, held in seqs.items())
        found.append(Standing(name, name in up, view, behind, ahead))
    return tuple(found)


def places(scenario: Scenario) -> tuple[tuple[str, str], ...]:
    """What a scenario is about: stream and JSON pointer of each present that it expects to read so."""
    return tuple(dict.fromkeys((one.stream, one.at) for one in scenario.steps if isinstance(one, ExpectReading)))
