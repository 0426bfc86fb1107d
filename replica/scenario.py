"""Scenarios: what some replicas do and go through, step by step, as plain data that can be kept and played again.

A scenario is a file of JSON (version 2), one step a line. It is played in one process (`sync.testing.play`), with
real processes (`python -m demo play FILE`), and is what `assert_converges` prints:

    {"version": 2,
     "title": "Two lists",
     "app": ["demo.party:Party"],
     "replicas": ["alice", "bob"],
     "steps": [
      {"do": "cut", "between": [["alice"], ["bob"]]},
      {"do": "write", "replica": "alice", "stream": "party/1", "command": {"AddItem": {"item": "milk"}}},
      {"do": "heal"},
      {"do": "expect", "stream": "party/1", "equals": ["milk"], "at": "/items"}
     ]}

Rule 1. What comes of it follows from the file alone. An id follows from a name; the clocks stand still but for the
        steps: a write comes `step` ms after the one before, `wait` and `clock` do what they say.
Rule 2. What is written travels at once over links that are whole (up in both directions, neither slow nor lossy),
        and what is due is done: both have come to rest before the next step begins.
Rule 3. What makes no sense is refused before anything is played, with the number of its step.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Annotated, Any, Self

import msgspec

from replica.event import Command, Event
from replica.step import (
    Add,
    AnyStep,
    Crash,
    ExpectConverged,
    ExpectDifferent,
    ExpectRefused,
    Fork,
    Restart,
    Retire,
    Said,
    Write,
    sides_of,
)
from replica.words import shown

VERSION = 2
STORE = "scenario"
"""The store that replicas of a scenario belong to."""
EPOCH = 1_767_225_600_000
"""2026-01-01 in wall ms: where clocks begin unless said."""
_NAME = re.compile(r"\w[\w-]{0,31}")
_STEP = re.compile(r"\$\.steps\[(\d+)\]")
_WHERE = re.compile(r" - at `\$(?:\.steps\[\d+\])?\.?(.*)`$")


class ScenarioError(ValueError):
    """A scenario that cannot be played. Nothing was."""


class Clocks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the clocks begin (wall ms), and by how much they go on before each write."""

    start: Annotated[int, msgspec.Meta(ge=0)] = EPOCH
    step: Annotated[int, msgspec.Meta(ge=0)] = 1000


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Replicas, their links, and what happens."""

    replicas: tuple[str, ...]
    steps: tuple[AnyStep, ...] = ()
    seeds: tuple[int, ...] = ()
    """For the orders in which `assert_converges` lets newcomers hear of it all."""
    title: str = ""
    text: str = ""
    """What it shows, for a person."""
    rule: str = ""
    """What it teaches, for a person: told at the end, beside what came of it."""
    app: tuple[str, ...] = ()
    """The aggregates that it is about: `demo.party:Party`, or a module. The players may be given others."""
    links: tuple[tuple[str, str], ...] | None = None
    """Who is linked to whom; all to all unless said."""
    clock: Clocks = Clocks()

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """All links, from whom dials to whom answers."""
        if self.links is not None:
            return self.links
        return tuple((one, other) for at, one in enumerate(self.replicas) for other in self.replicas[at + 1 :])

    # --- as a file ---

    def to_json(self) -> str:
        """The scenario as a file has it."""
        head: dict[str, Any] = {"version": VERSION, **msgspec.to_builtins(self)}
        order = ["version", "title", "text", "rule", "app", "replicas", "links", "clock", "seeds"]
        lines = [f'"{key}": {_line(head[key])}' for key in order if key in head]
        steps = ",\n".join(f"  {_line(msgspec.to_builtins(step))}" for step in self.steps)
        return "{" + ",\n ".join([*lines, f'"steps": [\n{steps}\n ]' if steps else '"steps": []']) + "}\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The scenario that a file has. ScenarioError where it has none."""
        try:
            found = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ScenarioError(f"this is no JSON ({error}), so it is no scenario") from error
        version = found.pop("version", None) if isinstance(found, dict) else None
        if version != VERSION:
            raise ScenarioError(f"a scenario of version {shown(version)}, and this reads version {VERSION}")
        try:
            scenario = msgspec.convert(found, cls)
        except msgspec.ValidationError as error:
            raise ScenarioError(_in_words(found, str(error))) from error
        scenario.check()
        return scenario

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """The scenario in a file. ScenarioError, which names the file, where there is none."""
        try:
            return cls.from_json(Path(path).read_bytes())
        except OSError as error:
            raise ScenarioError(f"{path} cannot be read: {error.strerror}") from error
        except ScenarioError as error:
            raise ScenarioError(f"{path}: {error}") from error

    # --- does it make sense? ---

    def check(self) -> None:
        """ScenarioError for the first thing in it that makes no sense."""
        for name in self.replicas:
            if not _NAME.fullmatch(name):
                raise ScenarioError(f"{shown(name)} cannot name a replica: use up to 32 letters and digits")
        if not self.replicas or len(set(self.replicas)) < len(self.replicas):
            raise ScenarioError("`replicas` needs at least one name, and each once")
        pairs = [frozenset(pair) for pair in self.links or ()]
        for pair in pairs:
            if len(pair) < 2 or not pair <= set(self.replicas) or pairs.count(pair) > 1:
                raise ScenarioError(f"`links` has {shown(sorted(pair))}: a link needs two of `replicas`, and once")
        there = dict.fromkeys(self.replicas, True)
        before: AnyStep | None = None
        for number, step in enumerate(self.steps, 1):
            why = _senseless(step, there, before)
            if why:
                raise ScenarioError(f"step {number} ({step.do}): {why}")
            before = step

    def kind_check(self, kinds: Mapping[str, type[Event | Command]]) -> None:
        """ScenarioError for the first write that is none of these events and commands."""
        for number, step in enumerate(self.steps, 1):
            if not isinstance(step, Write):
                continue
            for one in step.all_said:
                try:
                    kind = type(typed(one, kinds))
                except ScenarioError as error:
                    raise ScenarioError(f"step {number} ({step.do}): {error}") from error
                if issubclass(kind, Command) is not (step.command is not None):
                    which = "a command" if issubclass(kind, Command) else "an event"
                    raise ScenarioError(f"step {number} ({step.do}): {kind.__name__} is {which}: say it as one")


def chance_of(name: str, starts: int = 1) -> Random:
    """The chance of a replica that begins for the nth time; its id is what comes out of it first of all."""
    return Random(name if starts == 1 else f"{name}/{starts}")


def typed(one: Said, kinds: Mapping[str, type[Event | Command]]) -> Any:
    """An event or command, from plain data. ScenarioError where there is none of that name, or other fields."""
    ((name, fields),) = one.items()
    if name not in kinds:
        raise ScenarioError(
            f"there is no event or command {name} (there are: {', '.join(sorted(kinds)) or 'none'})"
        )
    try:
        return msgspec.convert(fields, kinds[name], str_keys=True)
    except msgspec.ValidationError as error:
        try:
            if "Infinity" in repr(fields):  # which JSON has no number for
                return msgspec.convert(fields, kinds[name], str_keys=True, strict=False)
        except msgspec.ValidationError:
            pass
        raise ScenarioError(f"{name}: {error}") from error


def _line(plain: Any) -> str:
    """JSON on one line, with the spaces that people like."""
    return msgspec.json.format(msgspec.json.encode(_finite(plain)), indent=0).decode()


def _finite(plain: Any) -> Any:
    """Plain data with words for the numbers that JSON has not."""
    if isinstance(plain, float) and not math.isfinite(plain):
        return "Infinity" if plain > 0 else "-Infinity"
    if isinstance(plain, dict):
        return {key: _finite(value) for key, value in plain.items()}
    return [_finite(value) for value in plain] if isinstance(plain, list | tuple) else plain


def _in_words(found: Any, error: str) -> str:
    """What does not fit the format, and in which step."""
    step, where = _STEP.search(error), _WHERE.search(error)
    what = _WHERE.sub(f" (at {where[1]})" if where and where[1] else "", error)
    if step is None:
        return f"{what}; docs/scenarios.md has the format"
    at = int(step[1])
    data = found["steps"][at]
    do = f" ({data['do']})" if isinstance(data, dict) and isinstance(data.get("do"), str) else ""
    return f"step {at + 1}{do}: {what}; docs/scenarios.md has the steps and their fields"


def _senseless(step: AnyStep, there: dict[str, bool], before: AnyStep | None) -> str:
    """Why a step makes no sense where it stands; `there`, who is there and up, is as it is after the step then."""
    for name in (*step.names, *(name for side in sides_of(step) for name in side)):
        if name not in there:
            return f"there is no replica {shown(name)} here (there are: {', '.join(there)})"
    for name in step.names:
        if not there[name]:
            return f"{name} was killed: restart it before"
    match step:
        case Write():
            if (step.command is None) == (not step.events) or any(len(one) != 1 for one in step.all_said):
                return 'a write needs one `command` {"Type": {fields}}, or a list of such `events`'
        case Crash(replica):
            there[replica] = False
        case Restart(replica):
            if there.get(replica) is not False:
                return f"{replica} is not down"
            there[replica] = True
        case Retire(_, member) if member not in there:
            return f"there is no replica {shown(member)} here (there are: {', '.join(there)})"
        case Add(name) | Fork(_, name):
            if len(set(step.links or ())) < len(step.links or ()):
                return "`links` names somebody twice"
            if name in there or not _NAME.fullmatch(name):
                return f"{shown(name)} is taken, or no name: use up to 32 letters and digits"
            there[name] = True
        case ExpectConverged(among) | ExpectDifferent(among) if among is not None and not among:
            return "nobody is named: name some, or leave `replicas` out for all"
        case ExpectRefused() if not isinstance(before, Write):
            return "there is no write before it"
    return ""
