"""What simulated replicas do: an aggregate with every kind of lattice in it, and one that is folded in order.

Beside each stands what it must read, as plain Python over all facts at once: said, and not forgotten by a fact that
had seen it. It shares no code with the fold, so that what is equal everywhere and wrong is found too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import Any, NamedTuple

from merge.counter import PNCounter
from merge.maps import ORMap
from merge.register import LWWRegister, MVRegister
from merge.sets import AWSet, RWSet
from merge.stamp import Stamp
from merge.version import Dot, VersionVector
from replica.aggregate import Aggregate
from replica.event import Event
from replica.ordered import Moment, Ordered
from replica.projection import StreamRows


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
    events = (Added, Removed, Vetoed, Allowed, Named, Noted, Struck, Counted)

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


class Items(StreamRows):
    """What stands on a board, as a table."""

    table = "items"
    columns = {"item": str}
    of = Board

    def rows(self, present: Any) -> list[tuple[str]]:
        return [(item,) for item in sorted(present.items)]


AGGREGATES = (Board, Diary)
PROJECTIONS = (Items,)
STREAMS = ("board/1", "board/2", "diary/1")
KEYS = ("x", "y", "z")


def facts(random: Random, number: int) -> tuple[str, tuple[Event, ...]]:
    """What a replica records next, and where: one fact, seldom several."""
    stream = random.choice(STREAMS)
    many = 1 if random.random() < 0.8 else random.randint(2, 4)
    if stream == "diary/1":
        return stream, tuple([Written(f"{number}.{line}") for line in range(many)])
    return stream, tuple([_fact(random, number) for _ in range(many)])


def _fact(random: Random, number: int) -> Event:
    key = random.choice(KEYS)
    kind = random.choice(Board.events)
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
    ordered = sorted(facts, key=lambda one: (one.stamp, one.dot.seq))
    return tuple(
        (one.event.line, sum(not one.had_seen(other) for other in ordered[:at])) for at, one in enumerate(ordered)
    )


def reading(present: Any) -> Any:
    """A present in the words of `board` and `diary`."""
    if isinstance(present, Diary):
        return tuple(present.state)
    assert isinstance(present, Board)
    return {
        "items": set(present.items),
        "allowed": set(present.allowed),
        "name": present.name.value,
        "notes": {key: sorted(present.notes[key].value) for key in present.notes},
        "count": present.count.value,
    }
