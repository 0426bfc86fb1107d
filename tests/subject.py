"""What the programs of `tests.differential` are about: aggregates, projections, a reaction and a feed, in releases.

A board has every lattice of README's table; a shelf is a board from which no rows follow. A journal is folded in
order, into a dict whose order counts, with what its authors had not seen. A desk owes an answer to each question.

Release 0 is older: it does not know some types, and calls one of them otherwise. Release 2 is release 1 but for a
constant that a fold uses. `tests.reference.Code` says the same of each release in plain values.
"""

from __future__ import annotations

from enum import Enum
from functools import cache
from typing import Any, NamedTuple

from merge import AWSet, Flag, GCounter, LWWRegister, MVRegister, ORMap, PNCounter, Product, RWSet, Text
from replica import Addressed, Aggregate, Command, Due, Event, EventRows, Ordered, StreamRows
from tests.reference import Code


class Mood(Enum):
    GOOD = "good"
    BAD = "bad"


class Added(Event):
    item: str


class Removed(Event):
    item: str


class Swapped(Event):
    old: str
    new: str


class Emptied(Event):
    pass


class Allowed(Event):
    item: str


class Vetoed(Event):
    item: str


class Titled(Event):
    title: str


class Untitled(Event):
    pass


class Tagged(Event):  # as release 0 calls it
    text: str


class Labelled(Event):
    schema = 2
    former_names = ("Tagged",)
    upcasters = {1: lambda old: {"label": old["text"]}}

    label: str
    loud: bool = False


class Felt(Event):
    mood: Mood


class Raised(Event):
    pass


class Lowered(Event):
    pass


class Counted(Event):
    by: int


class Visited(Event):
    by: int


class Carded(Event):
    a: str
    by: int


class Typed(Event):
    update: bytes


class RowTagged(Event):
    key: str
    tag: str


class RowUntagged(Event):
    key: str
    tag: str


class RowBarred(Event):
    key: str
    tag: str


class RowUnbarred(Event):
    key: str
    tag: str


class RowNamed(Event):
    key: str
    name: str


class RowDone(Event):
    key: str


class RowUndone(Event):
    key: str


class RowVoted(Event):
    key: str
    by: int


class RowNoted(Event):
    key: str
    slot: int
    note: str


class RowUnnoted(Event):
    key: str
    slot: int


class RowCleared(Event):
    key: str


class TableCleared(Event):
    pass


class Noted(Event):
    line: str
    n: int


class Struck(Event):
    line: str


class Asked(Event):
    what: str


class Answered(Event):
    what: str


BOTH = (
    Added, Removed, Swapped, Emptied, Titled, Untitled, Felt, Counted, Visited, Typed, RowTagged, RowUntagged,
    RowBarred, RowUnbarred, RowNamed, RowVoted, RowCleared,
)  # fmt: skip
LATER = (Allowed, Vetoed, Raised, Lowered, Carded, RowDone, RowUndone, RowNoted, RowUnnoted, TableCleared)
LINES, QUESTIONS = (Noted, Struck), (Asked, Answered)


class Record(Command):
    """Facts for some streams; and where `text` is given, something typed at a place in the text of this one."""

    facts: tuple[tuple[str, Event], ...]
    text: str = ""
    at: int = 0
    cut: int = 0


class Ask(Command):
    what: str


class Answer(Command):
    what: str


def recorded(present: Any, command: Any, given: Any) -> list[Any]:
    """What any aggregate here decides on a `Record`."""
    facts: list[Any] = [
        event if stream == present.address else Addressed(stream, event) for stream, event in command.facts
    ]
    if command.text:
        size = len(present.body)
        start = command.at % (size + 1)
        stop = min(start + command.cut, size)
        facts.append(Typed(present.body.replace(start, stop, command.text, given.replica)))
    return facts


class Row(Product):
    tags = AWSet[str]()
    barred = RWSet[str]()
    name = LWWRegister[str]()
    names = MVRegister[str]()
    done = Flag()
    votes = PNCounter()
    seen = GCounter()
    slots = ORMap[int, AWSet[str]](AWSet[str]())


class Card(Product):
    a = LWWRegister[str]()
    b = PNCounter()


class Everything(Aggregate, base=True):
    """A field of each lattice, and what the facts do to it."""

    items = AWSet[str]()
    allowed = RWSet[str]()
    title = LWWRegister[str]()
    labels = MVRegister[str]()
    mood = LWWRegister[Mood]()
    urgent = Flag()
    total = PNCounter()
    visits = GCounter()
    card = Card()
    table = ORMap[str, Row](Row())
    body = Text()

    def decide(self, command: Any, given: Any) -> Any:
        return recorded(self, command, given)

    def effect(self, event: Any) -> Any:
        match event:
            case Added(item):
                return self.items.add(item)
            case Removed(item):
                return self.items.remove(item)
            case Swapped(old, new):
                return self.items.remove(old) + self.items.add(new)
            case Emptied():
                return self.items.clear()
            case Allowed(item):
                return self.allowed.add(item)
            case Vetoed(item):
                return self.allowed.remove(item)
            case Titled(title):
                return self.title.write(title)
            case Untitled():
                return self.title.clear()
            case Tagged(text):
                return self.labels.write(text)
            case Labelled(label, loud):
                return self.labels.write(label + "!" if loud else label)
            case Felt(mood):
                return self.mood.write(mood)
            case Raised():
                return self.urgent.enable()
            case Lowered():
                return self.urgent.disable()
            case Counted(by):
                return self.total.add(by)
            case Visited(by):
                return self.visits.add(by)
            case Carded(a, by):
                return self.card.a.write(a) + self.card.b.add(by)
            case Typed(update):
                return self.body.apply(update)
            case RowTagged(key, tag):
                return self.table[key].tags.add(tag)
            case RowUntagged(key, tag):
                return self.table[key].tags.remove(tag)
            case RowBarred(key, tag):
                return self.table[key].barred.remove(tag)
            case RowUnbarred(key, tag):
                return self.table[key].barred.add(tag)
            case RowNamed(key, name):
                return self.table[key].name.write(name) + self.table[key].names.write(name)
            case RowDone(key):
                return self.table[key].done.enable()
            case RowUndone(key):
                return self.table[key].done.disable()
            case RowVoted(key, by):
                return self.table[key].votes.add(by) + self.table[key].seen.add(1)
            case RowNoted(key, slot, note):
                return self.table[key].slots[slot].add(note)
            case RowUnnoted(key, slot):
                return self.table[key].slots.remove(slot)
            case RowCleared(key):
                return self.table.remove(key)
            case TableCleared():
                return self.table.clear()


class Release(NamedTuple):
    """Code that a replica runs."""

    aggregates: tuple[Any, ...]
    projections: tuple[Any, ...]
    kinds: tuple[type[Event], ...]
    """The types of facts about boards that it records."""
    code: Code


@cache
def release(number: int) -> Release:
    """The code of a release. (Classes are made once, as a module of that release would.)"""
    about = (*BOTH, Tagged) if number == 0 else (*BOTH, *LATER, Labelled)
    constant = 10 if number == 2 else 1

    class Board(Everything):
        stream = "board"
        events = about

    class Shelf(Everything):
        stream = "shelf"
        events = about

    class Journal(Ordered):
        stream = "journal"
        events = LINES
        FACTOR = constant

        def initial(self) -> dict[str, tuple[int, ...]]:
            return {}

        def decide(self, command: Any, given: Any) -> Any:
            return recorded(self, command, given)

        def evolve(self, state: Any, event: Any, moment: Any) -> Any:
            if isinstance(event, Struck):
                return {line: what for line, what in state.items() if line != event.line}
            missed = [(int(one.dot.replica), one.dot.seq) for one in moment.concurrent()]
            told = tuple(number for dot in missed[:1] + missed[-1:] for number in dot)
            return {**state, event.line: (event.n * self.FACTOR, len(missed), *told)}

    class Desk(Ordered):
        stream = "desk"
        events = QUESTIONS

        def initial(self) -> dict[str, tuple[tuple[int, int], int]]:
            return {}

        def decide(self, command: Any, given: Any) -> Any:
            if isinstance(command, Ask):
                return Asked(command.what)
            return [Answered(command.what), Addressed("board/a", Counted(1))]

        def evolve(self, state: Any, event: Any, moment: Any) -> Any:
            asked, answers = state.get(event.what, ((int(moment.dot.replica), moment.dot.seq), 0))
            return {**state, event.what: (asked, answers + isinstance(event, Answered))}

        def due(self) -> Any:
            return [Due(Answer(what), asked) for what, (asked, answers) in self.state.items() if not answers]

    class Items(StreamRows):
        table = "items"
        columns = {"item": str, "title": str}
        of = Board

        def rows(self, present: Any) -> Any:
            return [(item, present.title.value) for item in sorted(present.items)]

    class Lines(StreamRows):
        table = "lines"
        columns = {"line": str, "said": int, "missed": int}
        of = Journal

        def rows(self, present: Any) -> Any:
            return [(line, what[0], what[1]) for line, what in present.state.items()]

    class Notes(EventRows):
        table = "notes"
        columns = {"line": str}
        events = (Noted,)

        def rows(self, entry: Any) -> Any:
            return [(entry.event.line,)]

    return Release((Board, Shelf, Journal, Desk), (Items, Lines, Notes), about, code_of(number, about, constant))


def code_of(number: int, about: tuple[type[Event], ...], factor: int) -> Code:
    """What the reference knows of a release."""
    plain = {(kind.__name__, 1) for kind in (*about, *LINES, *QUESTIONS) if kind is not Labelled}
    if number == 0:
        return Code(frozenset(plain), factor, {("Tagged", 1): lambda old: {"label": old["text"]}})
    old = {(name, 1): lambda old: {"label": old["text"]} for name in ("Tagged", "Labelled")}
    names = {(name, schema) for name in ("Tagged", "Labelled") for schema in (1, 2)}
    return Code(frozenset(plain | names), factor, old)
