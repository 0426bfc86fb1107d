"""A lesson on the page: a scenario file, played step by step on a network of its own.

Rule. What is played, and what must hold, is the director's (`sync.testing.Director`), as in the terminal. What is
seen of it is what the replicas tell, as ever.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from demo.lessons import LESSONS, Lesson, lesson
from demo.web.contract import Came, LessonReport, Offered, Told
from demo.web.network import Impossible, Network
from replica.scenario import Scenario
from sync.testing import Director, app_of

OFFERED = [Offered(one.name, one.title, one.teaches, len(one.steps)) for one in LESSONS]


def chosen(name: str, scenario: str) -> Lesson:
    """The lesson of that name, or of the text of a scenario file. ScenarioError where it makes no sense."""
    if scenario:
        read = Scenario.from_json(scenario)
        return Lesson("", read.title or "your scenario", read)
    if name not in {one.name for one in LESSONS}:
        raise Impossible(f"there is no lesson {name!r}")
    return lesson(name)


class Playing:
    """A lesson, and the network that it is played on."""

    def __init__(self, lesson: Lesson, folder: Path, changed: Callable[[], None], pipe: int) -> None:
        scenario = lesson.scenario
        self._lesson = lesson
        self._director = Director(scenario, app_of(scenario, []))
        self._came: list[Came] = []
        self.network = Network(folder, scenario.app, changed, pipe)

    async def begin(self) -> None:
        await self._director.begin(self.network)

    async def next(self) -> None:
        """Play the step that comes."""
        if self._director.coming is None:
            raise Impossible("that was the last step")
        happened = await self._director.go(self.network)
        self._came.append(Came(happened.number, happened.held, happened.came))

    def report(self) -> LessonReport:
        one = self._lesson
        return LessonReport(
            one.name, one.title, one.teaches, one.rule, len(self._came),
            [Told(step.say, str(step)) for step in one.steps], [*self._came], self._director.coming is None,
            all(came.held for came in self._came),
        )  # fmt: skip
