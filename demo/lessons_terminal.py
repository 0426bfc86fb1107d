"""The lessons in a terminal: a picture after each step, and keys; plain lines where there is no terminal.

Replicas are real processes, begun anew for each lesson, and none outlives it, however the lesson ends: by its last
step, by a key, an interrupt, or because the terminal was closed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import tty
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import msgspec
from rich.console import Console
from rich.live import Live
from rich.text import Text

from demo.lessons import LESSONS, Lesson, Moment, Player
from demo.lessons_view import menu, picture, presents, starting, step_line, verdict
from demo.playing import Processes, Told, network
from replica.data import to_json
from sync.testing import Report

PACE = 0.8
"""Seconds between two steps that run by themselves: time to see what has changed."""
LOOK = 0.3
"""Seconds between two looks at the replicas while nobody presses a key: what is on slow links arrives meanwhile."""
NEXT, RUN, MENU, QUIT = frozenset(" n\r\n"), "r", "m", frozenset("q\x03\x04")
INTERRUPTED = 130
"""What a shell says of who was interrupted."""
Result = TypeVar("Result")
KEPT = 100
"""Events that can be seen: more than a screen has lines."""


# --- lines, where there is no terminal ---


async def told(lesson: Lesson, console: Console | None) -> Report:
    """Play a lesson to its end without waiting for anybody; each step is told in lines, or none is."""

    def line(words: Text | str = "", style: str = "", *, wrap: bool = True) -> None:
        if console is None:
            return
        text = Text(words, style) if isinstance(words, str) else words
        for one in text.wrap(console, console.width) if wrap else [text]:
            one.rstrip()
            console.print(one, soft_wrap=True)

    line()
    line(f"{lesson.key}  {lesson.title}" if lesson.key else lesson.title, "bold underline")
    line(lesson.teaches)
    async with network(lesson.scenario.app) as stage:
        player = Player(lesson.scenario, stage)
        moment = await player.begin()
        read: list[str] = []
        while not moment.over:
            moment = await player.step()
            line()
            if moment.step is not None and moment.step.say:
                line(moment.step.say, "bold")
            line(step_line(moment), wrap=False)
            before, read = read, presents(lesson, moment)
            for one in read if read != before else ():
                line(f"        {one}", wrap=False)
        report = await player.report()
    line()
    line(verdict(lesson, report))
    return report


async def all_told(lessons: Sequence[Lesson], console: Console | None) -> list[Report]:
    """One after the other."""
    return [await told(lesson, console) for lesson in lessons]


# --- pictures and keys ---


class Left(Exception):
    """Somebody wants to go elsewhere: to a lesson, or (None) to the menu."""

    def __init__(self, lesson: Lesson | None) -> None:
        self.lesson = lesson


class Screen:
    """A terminal that shows lessons, and whose keys lead through them."""

    def __init__(self, live: Live, keys: asyncio.Queue[str]) -> None:
        self._live, self._keys = live, keys
        self._done: dict[str, bool] = {}

    @property
    def held(self) -> bool:
        """All that was played to its end went as it should."""
        return all(self._done.values())

    @property
    def _width(self) -> int:
        return self._live.console.width

    def _show(self, what: Any) -> None:
        self._live.update(what, refresh=True)

    async def _key(self, seconds: float) -> str:
        """The next key, or nothing where none comes in time. Left for those that lead elsewhere."""
        try:
            async with asyncio.timeout(seconds):
                key = await self._keys.get()
        except TimeoutError:
            return ""
        if key == MENU:
            raise Left(None)
        for one in LESSONS:
            if key == one.key:
                raise Left(one)
        return key

    async def go(self, first: Lesson | None) -> NoReturn:
        """The menu and the lessons, until somebody quits."""
        lesson = first
        while True:
            try:
                lesson = await self._choose() if lesson is None else await self._lesson(lesson)
            except Left as left:
                lesson = left.lesson

    async def _choose(self) -> Lesson:
        while True:
            self._show(menu(self._done, self._width, self._live.console.height))
            if await self._key(LOOK) in NEXT:
                return next((one for one in LESSONS if one.name not in self._done), LESSONS[0])

    async def _lesson(self, lesson: Lesson) -> Lesson | None:
        """One lesson; the one that comes next, or None for the menu."""
        self._show(starting(lesson, self._width))
        async with network(lesson.scenario.app) as stage:
            player, events = Player(lesson.scenario, stage), Events(stage)
            await self._played(lesson, player, events, await player.begin())
        later = [one for one in LESSONS if one.key > lesson.key]
        return later[0] if lesson.key and later else None

    async def _played(self, lesson: Lesson, player: Player, events: Events, moment: Moment) -> None:
        before, report, running = None, None, False
        while True:
            if moment.over and report is None:
                report = await player.report()
                self._done[lesson.name] = report.held
            newest = await events.of(moment)
            self._show(picture(lesson, moment, before, newest, report, self._width, running=running))
            key = await self._key(PACE if running and report is None else LOOK)
            if report is not None:
                if key in NEXT:
                    return
                moment = await player.look()
            elif key == RUN or (running and key in NEXT):
                running = not running
            elif running or key in NEXT:
                before, moment = moment, await player.step()
            else:
                moment = await player.look()


class Events:
    """The events that the replicas of a network have told of, in the order in which they are folded."""

    def __init__(self, stage: Processes) -> None:
        self._stage = stage
        self._told: dict[str, Told] = {}

    async def of(self, moment: Moment) -> list[Told]:
        """The last of them."""
        for one in moment.replicas:
            if one.up:
                self._told |= {told.dot: told for told in await self._stage.news(one.name)}
        return sorted(self._told.values(), key=lambda told: (told.stamp, int(told.dot.rpartition(":")[2])))[-KEPT:]


@contextmanager
def pressed(stop: asyncio.Task[Any]) -> Iterator[asyncio.Queue[str]]:
    """The keys of the terminal, one by one, as they are pressed; those that quit cancel a task."""
    loop, keys, terminal = asyncio.get_running_loop(), asyncio.Queue[str](), sys.stdin.fileno()
    settings = termios.tcgetattr(terminal)

    def read() -> None:
        try:
            more = os.read(terminal, 1024).decode(errors="replace")
        except OSError:
            more = ""
        if not more or not QUIT.isdisjoint(more):  # nothing: the terminal is gone
            loop.remove_reader(terminal)
            stop.cancel()
        for key in more:
            keys.put_nowait(key)

    tty.setcbreak(terminal)
    mode = termios.tcgetattr(terminal)
    mode[tty.LFLAG] &= ~termios.ISIG
    termios.tcsetattr(terminal, termios.TCSANOW, mode)
    loop.add_reader(terminal, read)
    try:
        yield keys
    finally:
        loop.remove_reader(terminal)
        termios.tcsetattr(terminal, termios.TCSADRAIN, settings)


async def shown(first: Lesson | None, console: Console) -> bool:
    """Lessons in a terminal, until somebody quits; False where one that was played did not go as it should."""
    with pressed(_me()) as keys, Live(console=console, screen=True, auto_refresh=False) as live:
        screen = Screen(live, keys)
        try:
            await screen.go(first)
        except asyncio.CancelledError:
            return screen.held


def _me() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


async def _led(work: Coroutine[Any, Any, Result]) -> Result:
    """Do it, and end it in good order where the terminal is closed or somebody terminates this process."""
    for closing in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(closing, _me().cancel)
    return await work


def lead(lessons: Sequence[Lesson], *, as_json: bool) -> int:
    """Show or tell lessons: 0 where all went as they should, 1 where something did not."""
    console = Console()
    try:
        if not as_json and console.is_terminal and not console.is_dumb_terminal and sys.stdin.isatty():
            return 0 if asyncio.run(_led(shown(lessons[0] if len(lessons) == 1 else None, console))) else 1
        reports = asyncio.run(_led(all_told(lessons, None if as_json else console)))
    except asyncio.CancelledError:
        return INTERRUPTED
    held = all(report.held for report in reports)
    if as_json:
        plain = [
            {"lesson": lesson.name, "rule": lesson.rule, "held": report.held, "converged": report.converged}
            | msgspec.to_builtins(report)
            for lesson, report in zip(lessons, reports, strict=True)
        ]
        whole = {"held": held, "converged": all(report.converged for report in reports), "lessons": plain}
        print(to_json(whole))
    return 0 if held else 1
