"""The store that the tests use: every lattice at work, under one aggregate a category."""

from __future__ import annotations

from random import Random
from typing import Any

from merge import AWSet, LWWRegister, PNCounter, Text
from replica.aggregate import Aggregate
from replica.decider import Given
from replica.direct import DirectReplica
from replica.errors import Refused
from replica.event import Command, Event
from replica.log import Log
from replica.memory import MemoryLog
from replica.ordered import Moment, Ordered


class ItemAdded(Event, frozen=True):
    item: str


class ItemRemoved(Event, frozen=True):
    item: str


class TitleGiven(Event, frozen=True):
    title: str


class Counted(Event, frozen=True):
    amount: int


class NoteEdited(Event, frozen=True):
    update: bytes


class AddItem(Command, frozen=True):
    item: str


class RemoveItem(Command, frozen=True):
    item: str


class GiveTitle(Command, frozen=True):
    title: str


class Count(Command, frozen=True):
    amount: int = 1


class Write(Command, frozen=True):
    text: str
    at: int = 0


class AddTwice(Command, frozen=True):
    """One decision that leads to two events."""

    item: str


class ShoppingList(Aggregate):
    """A list with a title, a counter and a note."""

    stream = "list"
    events = (ItemAdded, ItemRemoved, TitleGiven, Counted, NoteEdited)

    items = AWSet[str]()
    title = LWWRegister[str]()
    count = PNCounter()
    note = Text()

    def decide(self, command: Command, given: Given) -> Any:
        match command:
            case AddItem(item) if not item:
                raise Refused("an item needs a name")
            case AddItem(item):
                return ItemAdded(item)
            case RemoveItem(item):
                if item not in self.items:
                    raise Refused(f"there is no {item} to remove")
                return ItemRemoved(item)
            case GiveTitle(title):
                return TitleGiven(title)
            case Count(amount):
                return Counted(amount)
            case Write(text, at):
                return NoteEdited(self.note.insert(min(at, len(self.note)), text, given.replica))
            case AddTwice(item):
                return [ItemAdded(item), ItemAdded(item + "'")]
        raise NotImplementedError(command)

    def effect(self, event: Any) -> Any:
        match event:
            case ItemAdded(item):
                return self.items.add(item)
            case ItemRemoved(item):
                return self.items.remove(item)
            case TitleGiven(title):
                return self.title.write(title)
            case Counted(amount):
                return self.count.add(amount)
            case NoteEdited(update):
                return self.note.apply(update)
        return None


class Noted(Event, frozen=True):
    line: str


class TakeNote(Command, frozen=True):
    line: str


class Journal(Ordered):
    """Lines in the order of their stamps, each with how many earlier ones its author had not seen."""

    stream = "journal"
    events = (Noted,)

    def initial(self) -> tuple[tuple[str, int], ...]:
        return ()

    def decide(self, command: Command, given: Given) -> Any:
        match command:
            case TakeNote(line):
                return Noted(line)
        raise Refused(f"a journal knows nothing of {command}")

    def evolve(self, state: tuple[tuple[str, int], ...], event: Any, moment: Moment) -> Any:
        return (*state, (event.line, len(moment.concurrent())))


HOME = "list/home"
JOURNAL = "journal/day"


def direct(
    name: str, seed: int = 0, log: Log | None = None, aggregates: Any = (ShoppingList, Journal)
) -> DirectReplica:
    """A replica stepped by hand, whose ids come from its name and a seed."""
    return DirectReplica(log or MemoryLog(), "shop", name, aggregates, random=Random(f"{name}/{seed}"))
