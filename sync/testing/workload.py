"""What simulated replicas do: an aggregate with every kind of lattice in it (with rows and without), one folded in
order, one that owes.

Beside each stands what it must read, as plain Python over all facts at once: said, and not forgotten by a fact that
had seen it. It shares no code with the fold, so that what is equal everywhere and wrong is found too.

The code comes in two releases (`BEFORE`, `NOW`): the older one does not know some types of events, and no diary.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import Any, ClassVar, NamedTuple

from merge.counter import PNCounter
from merge.maps import ORMap
from merge.register import LWWRegister, MVRegister
from merge.sets import AWSet, RWSet
from merge.stamp import Stamp
from merge.version import Dot, VersionVector
from replica.aggregate import Aggregate
from replica.decider import Addressed, Decider, Given
from replica.due import Due
from replica.event import Command, Event
from replica.ordered import Moment, Ordered
from replica.projection import EventRows, Projection, StreamRows


class Added(Event, frozen=True):
    item: str


class Removed(Event, frozen=True):
    item: str


class Vetoed(Event, frozen=True):
    item: str


class Allowed(Event, frozen=True):
    item: str


class Named(Event, frozen=True):
    name: str


class Noted(Event, frozen=True):
    key: str
    note: str


class Struck(Event, frozen=True):
    key: str


class Counted(Event, frozen=True):
    by: int


class Board(Aggregate):
    """A bit of everything."""

    stream = "board"
    events: ClassVar[Any] = (Added, Removed, Vetoed, Allowed, Named, Noted, Struck, Counted)

    items = AWSet[str]()
    allowed = RWSet[str]()
    name = LWWRegister[str]()
    notes = ORMap[str, MVRegister[str]](MVRegister[str]())
    count = PNCounter()

    def effect(self, event: Any) -> Any:
        match event:
            case Added(item):
                return self.items.add(item)
            case Removed(item):
                return self.items.remove(item)
            case Vetoed(item):
                return self.allowed.remove(item)
            case Allowed(item):
                return self.allowed.add(item)
            case Named(name):
                return self.name.write(name)
            case Noted(key, note):
                return self.notes[key].write(note)
            case Struck(key):
                return self.notes.remove(key)
            case Counted(by):
                return self.count.add(by)


class BoardBefore(Board):
    """What a board was when less was written on it."""

    stream = "board"
    events: ClassVar[Any] = (Added, Removed, Named, Noted, Struck)


class Shelf(Board):
    """A board from which no rows follow: what a batch brings may wait until it is read."""

    stream = "shelf"


class ShelfBefore(BoardBefore):
    """What a shelf was."""

    stream = "shelf"


class Written(Event, frozen=True):
    line: str


class Diary(Ordered):
    """Lines in the order of their stamps, each with how many earlier ones its author had not seen."""

    stream = "diary"
    events = (Written,)

    def initial(self) -> tuple[tuple[str, int], ...]:
        return ()

    def evolve(self, state: Any, event: Any, moment: Moment) -> Any:
        return (*state, (event.line, len(moment.concurrent())))


class Asked(Event, frozen=True):
    what: str


class Answered(Event, frozen=True):
    what: str


class Ask(Command, frozen=True):
    what: str


class Answer(Command, frozen=True):
    what: str


class Desk(Ordered):
    """Questions, each of which is owed one answer: who asked, and how many answers there are."""

    stream = "desk"
    events = (Asked, Answered)

    def initial(self) -> dict[str, tuple[tuple[int, int], int]]:
        return {}

    def decide(self, command: Any, given: Given) -> list[Event | Addressed]:
        """An answer tells a board of it, in the same commit: before the desk, and after it."""
        if isinstance(command, Ask):
            return [Asked(command.what)]
        told = Addressed("board/1", Added("answered"))
        return [told, Answered(command.what), told]

    def evolve(self, state: Any, event: Any, moment: Moment) -> Any:
        cause, answers = state.get(event.what, ((int(moment.dot.replica), moment.dot.seq), 0))
        return {**state, event.what: (cause, answers + isinstance(event, Answered))}

    def due(self) -> list[Due]:
        return [Due(Answer(what), cause) for what, (cause, answers) in self.state.items() if not answers]


class Items(StreamRows):
    """What stands on a board, as a table."""

    table = "items"
    columns = {"item": str}
    of = Board

    def rows(self, present: Any) -> list[tuple[str]]:
        return [(item,) for item in sorted(present.items)]


class ItemsBefore(Items):
    """The same table, from a board as it was."""

    table = "items"
    columns = {"item": str}
    of = BoardBefore


class Lines(EventRows):
    """What is written in diaries, as a table: a row an event."""

    table = "lines"
    columns = {"line": str}
    events = (Written,)

    def rows(self, entry: Any) -> list[tuple[str]]:
        return [(entry.event.line,)]


class Release(NamedTuple):
    """Code that a replica runs."""

    aggregates: tuple[type[Decider], ...]
    projections: tuple[type[Projection], ...]

    @property
    def knows(self) -> dict[str, tuple[type[Event], ...]]:
        """The events of each category that it folds."""
        return {kind.stream: kind.events for kind in self.aggregates}


BEFORE = Release((BoardBefore, ShelfBefore, Desk), (ItemsBefore,))
NOW = Release((Board, Shelf, Diary, Desk), (Items, Lines))
STREAMS = ("board/1", "board/2", "diary/1", "desk/1", "shelf/1")
*DRAWN, SHELF = STREAMS
"""Clients choose among these; the shelf takes turns with a board (`in_turn`)."""
BOARDS = STREAMS[:2]
KEYS = ("x", "y", "z")
LARGE = 131_100
"""Characters of a large note: two of them fill a block."""


def in_turn(stream: str, number: int) -> str:
    """The stream for a client that has chosen one, before or after it has written so many times."""
    return SHELF if stream == "board/2" and number % 2 else stream


def facts(random: Random, number: int, release: Release, large: float) -> tuple[str, tuple[Event, ...]]:
    """What a replica records next, and where: one fact, seldom several; and how often a large one."""
    stream = in_turn(random.choice(BOARDS if release is BEFORE else STREAMS[:3]), number)
    many = 1 if random.random() < 0.8 else random.randint(2, 4)
    if stream == "diary/1":
        return stream, tuple([Written(f"{number}.{line}") for line in range(many)])
    if random.random() < large:
        return stream, (Noted(random.choice(KEYS), f"{number} {'.' * LARGE}"),)
    return stream, tuple([_fact(random, number, release.knows["board"]) for _ in range(many)])


def _fact(random: Random, number: int, kinds: tuple[type[Event], ...]) -> Event:
    key = random.choice(KEYS)
    kind = random.choice(kinds)
    match kind.__name__:
        case "Named":
            return Named(f"{key}{number}")
        case "Noted":
            return Noted(key, f"{number}")
        case "Counted":
            return Counted(random.randint(-3, 3))
        case _:
            made: Any = kind
            item: Event = made(key)
            return item


class Fact(NamedTuple):
    """One event as the log has it: what anybody can compute a present from."""

    dot: Dot
    stamp: Stamp
    context: VersionVector
    event: Any

    def had_seen(self, other: Fact) -> bool:
        return other.dot in self.context


def board(facts: Sequence[Fact]) -> dict[str, Any]:
    """What a board reads, by definition."""

    def kept(says: type | tuple[type, ...], forgets: tuple[type, ...], key: str | None = None) -> list[Fact]:
        """Said, and not forgotten by a fact (at the same key, if there are keys) that had seen it."""
        return [
            one
            for one in facts
            if isinstance(one.event, says)
            and not any(
                isinstance(other.event, forgets)
                and other.had_seen(one)
                and (key is None or getattr(other.event, key) == getattr(one.event, key))
                for other in facts
            )
        ]

    named = kept(Named, (Named,))
    vetoes = {one.event.item for one in kept(Vetoed, (Vetoed, Allowed), "item")}
    notes: dict[str, list[Fact]] = {}
    for one in kept(Noted, (Noted, Struck), "key"):
        notes.setdefault(one.event.key, []).append(one)
    latest = max(named, key=lambda one: (one.stamp, one.dot.seq), default=None)
    return {
        "items": {one.event.item for one in kept(Added, (Added, Removed), "item")},
        "allowed": {one.event.item for one in kept(Allowed, (Allowed, Vetoed), "item")} - vetoes,
        "name": None if latest is None else latest.event.name,
        "notes": {key: sorted(one.event.note for one in said) for key, said in notes.items()},
        "count": sum(one.event.by for one in facts if isinstance(one.event, Counted)),
    }


def diary(facts: Iterable[Fact]) -> tuple[tuple[str, int], ...]:
    """What a diary reads, by definition."""
    ordered = in_order(facts)
    return tuple(
        (one.event.line, sum(not one.had_seen(other) for other in ordered[:at])) for at, one in enumerate(ordered)
    )


def desk(facts: Iterable[Fact]) -> dict[str, tuple[Dot, int]]:
    """What a desk reads, by definition."""
    found: dict[str, list[Fact]] = {}
    for one in in_order(facts):
        found.setdefault(one.event.what, []).append(one)
    return {
        what: (about[0].dot, sum(isinstance(one.event, Answered) for one in about)) for what, about in found.items()
    }


def in_order(facts: Iterable[Fact]) -> list[Fact]:
    return sorted(facts, key=lambda one: (one.stamp, one.dot.seq))


def by_definition(stream: str, facts: Sequence[Fact]) -> Any:
    """What a stream must read."""
    match stream.split("/")[0]:
        case "board" | "shelf":
            return board(facts)
        case "diary":
            return diary(facts)
        case _:
            return desk(facts)


def reading(present: Any) -> Any:
    """A present in the words of `by_definition`."""
    if not isinstance(present, Board):
        return present.state
    return {
        "items": set(present.items),
        "allowed": set(present.allowed),
        "name": present.name.value,
        "notes": {key: sorted(present.notes[key].value) for key in present.notes},
        "count": present.count.value,
    }
