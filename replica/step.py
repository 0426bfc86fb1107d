"""The steps of a scenario: what is done to replicas and their links, and what must hold.

Each is plain data, and one object of JSON whose `do` says which: `{"do": "crash", "replica": "bob"}`. All of them
may have `say`: words for a person who watches. The table of docs/scenarios.md explains each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Self

import msgspec

from replica.canonical import bare
from replica.event import Command, Event
from replica.words import shown

Said = dict[str, Any]
"""One event or command: its type, and its fields: `{"AddItem": {"item": "milk"}}`."""
Sides = tuple[tuple[str, ...], tuple[str, ...]]
"""Two groups of replicas: all links that run between them."""
Chance = Annotated[float, msgspec.Meta(ge=0, le=1)]
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=1 << 47)]


class Step(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="do", forbid_unknown_fields=True, omit_defaults=True
):
    """Base of steps."""

    say: str = ""

    @property
    def do(self) -> str:
        return str(self.__struct_config__.tag)

    @property
    def names(self) -> tuple[str, ...]:
        """The replicas that must be there for this."""
        return ()


def said(one: Event | Command) -> Said:
    """An event or a command as plain data."""
    return {type(one).__name__: msgspec.to_builtins(one, enc_hook=bare)}


def told(one: Said) -> str:
    """What was said, as Python would show it: `AddItem(item='milk')`."""
    ((name, fields),) = one.items()
    if not isinstance(fields, dict):
        return f"{name}({', '.join(map(shown, fields))})"
    return f"{name}({', '.join(f'{field}={shown(value)}' for field, value in fields.items())})"


def _sides(between: Sides) -> str:
    return " | ".join(", ".join(side) for side in between)


# --- what replicas do ---


class Write(Step, frozen=True, tag="write"):
    """A replica decides on a command, or records events as one decision."""

    replica: str
    command: Said | None = None
    events: tuple[Said, ...] = ()
    stream: str = ""
    """Where the app is one aggregate: its stream `.../1`, unless said."""
    wall: int | None = None
    """The clock (ms) of the replica at this step, in place of the scenario's."""

    @classmethod
    def of(cls, replica: str, *what: Event | Command, stream: str = "", wall: int | None = None) -> Self:
        """A command, or events, as they are in Python."""
        if len(what) == 1 and isinstance(what[0], Command):
            return cls(replica, said(what[0]), (), stream, wall)
        return cls(replica, None, tuple([said(one) for one in what]), stream, wall)

    @property
    def all_said(self) -> tuple[Said, ...]:
        return self.events if self.command is None else (self.command,)

    @property
    def names(self) -> tuple[str, ...]:
        return (self.replica,)

    def __str__(self) -> str:
        where = f" in {self.stream}" if self.stream else ""
        return f"{self.replica}: {', '.join(map(told, self.all_said))}{where}"


class Hear(Step, frozen=True, tag="hear"):
    """A replica takes in all that another one holds, as `Replica.join` does; no link is needed."""

    replica: str
    other: str

    @property
    def names(self) -> tuple[str, ...]:
        return self.replica, self.other

    def __str__(self) -> str:
        return f"{self.replica} takes in all that {self.other} holds"


class Retire(Step, frozen=True, tag="retire"):
    """A replica records that another one takes part no more."""

    replica: str
    member: str

    @property
    def names(self) -> tuple[str, ...]:
        return (self.replica,)

    def __str__(self) -> str:
        return f"{self.replica} retires {self.member}"


class Add(Step, frozen=True, tag="add"):
    """A newcomer, linked to all who are up unless `links` says to whom."""

    name: str
    links: tuple[str, ...] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return self.links or ()

    def __str__(self) -> str:
        return f"{self.name} joins in"


class Fork(Step, frozen=True, tag="fork"):
    """A second past begins at a cut of a replica (`alice:3`, `alice:3^`, `now`), under a name of its own."""

    replica: str
    name: str
    at: str = "now"
    links: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (self.replica, *self.links)

    def __str__(self) -> str:
        return f"{self.name} begins a second past at {self.at} of {self.replica}"


class Crash(Step, frozen=True, tag="crash"):
    """The process of a replica ends at once, without a word; what was under way to it is lost."""

    replica: str

    @property
    def names(self) -> tuple[str, ...]:
        return (self.replica,)

    def __str__(self) -> str:
        return f"{self.replica} is killed"


class Restart(Step, frozen=True, tag="restart"):
    """It begins again over what it had made durable."""

    replica: str

    def __str__(self) -> str:
        return f"{self.replica} begins again"


# --- what happens to links and clocks ---


class Cut(Step, frozen=True, tag="cut"):
    """Nothing passes between two groups; with `one_way` nothing passes from the first to the second."""

    between: Sides
    one_way: bool = False

    def __str__(self) -> str:
        how = ", from the left to the right" if self.one_way else ""
        return f"the network is cut: {_sides(self.between)}{how}"


class Disturb(Step, frozen=True, tag="disturb"):
    """Links between two groups are slow (`delay`, ms), or lose, double and reorder frames with some probability."""

    between: Sides
    delay: Milliseconds = 0
    loss: Chance = 0.0
    duplicate: Chance = 0.0
    reorder: Chance = 0.0

    def __str__(self) -> str:
        how = [f"{self.delay} ms late"] if self.delay else []
        how += [f"{name} {value:g}" for name in ("loss", "duplicate", "reorder") if (value := getattr(self, name))]
        return f"links get worse: {_sides(self.between)} ({', '.join(how) or 'not at all'})"


class Heal(Step, frozen=True, tag="heal"):
    """Links between two groups are whole again, or all links."""

    between: Sides | None = None

    def __str__(self) -> str:
        return "the network heals" + (f": {_sides(self.between)}" if self.between else "")


class Wait(Step, frozen=True, tag="wait"):
    """Time passes, on all clocks."""

    ms: Milliseconds

    def __str__(self) -> str:
        return f"{self.ms} ms pass"


class Clock(Step, frozen=True, tag="clock"):
    """The clock of a replica is set, by so many ms."""

    replica: str
    by: int

    @property
    def names(self) -> tuple[str, ...]:
        return (self.replica,)

    def __str__(self) -> str:
        return f"the clock of {self.replica} is set by {self.by:+d} ms"


class Settle(Step, frozen=True, tag="settle"):
    """Wait until all who are linked, by bad links too, hold the same, and have done what is due."""

    def __str__(self) -> str:
        return "all who are linked hear of everything"


# --- what must hold ---


class ExpectReading(Step, frozen=True, tag="expect"):
    """A present reads so: all of it, or what a JSON pointer (`/items/0`) leads to; at one replica, or at all."""

    stream: str
    equals: Any
    at: str = ""
    replica: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return () if self.replica is None else (self.replica,)

    def __str__(self) -> str:
        return f"{self.stream}{self.at} of {self.replica or 'all'} is {shown(self.equals)}"


class _Among(Step, frozen=True):
    replicas: tuple[str, ...] | None = None
    """All who are up, unless said."""

    @property
    def names(self) -> tuple[str, ...]:
        return self.replicas or ()

    @property
    def who(self) -> str:
        return ", ".join(self.replicas) if self.replicas else "all"


class ExpectConverged(_Among, frozen=True, tag="expect converged"):
    """Some replicas hold the same, and read the same."""

    def __str__(self) -> str:
        return f"{self.who} have converged"


class ExpectDifferent(_Among, frozen=True, tag="expect different"):
    """Some replicas do not all read the same."""

    def __str__(self) -> str:
        return f"{self.who} read differently"


class ExpectRefused(Step, frozen=True, tag="expect refused"):
    """The write before was refused, with `because` in its reason."""

    because: str = ""

    def __str__(self) -> str:
        return "that was refused" + (f" ({self.because})" if self.because else "")


class ExpectOwed(Step, frozen=True, tag="expect owed"):
    """The commands that are due, as a replica sees it, whoever carries them out: their types, sorted."""

    replica: str
    commands: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return (self.replica,)

    def __str__(self) -> str:
        return f"due, as {self.replica} sees it: {', '.join(self.commands) or 'nothing'}"


AnyStep = (
    Write | Hear | Retire | Add | Fork | Crash | Restart | Cut | Disturb | Heal | Wait | Clock | Settle
    | ExpectReading | ExpectConverged | ExpectDifferent | ExpectRefused | ExpectOwed
)  # fmt: skip
Expectation = ExpectReading | ExpectConverged | ExpectDifferent | ExpectRefused | ExpectOwed


def sides_of(step: AnyStep) -> Sequence[Sequence[str]]:
    """The groups that a step is about, if it is about some."""
    return getattr(step, "between", None) or ()
