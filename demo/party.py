"""What the replicas of the demo share: a party that is planned from several places at once."""

from __future__ import annotations

from typing import Any

from merge import AWSet, LWWRegister, PNCounter, Text
from replica import Aggregate, Command, Event, Given, Refused


class PartyNamed(Event, frozen=True):
    name: str


class ItemAdded(Event, frozen=True):
    item: str


class ItemRemoved(Event, frozen=True):
    item: str


class MoneyAdded(Event, frozen=True):
    amount: int


class NoteEdited(Event, frozen=True):
    update: bytes


class NameParty(Command, frozen=True):
    name: str


class AddItem(Command, frozen=True):
    item: str


class RemoveItem(Command, frozen=True):
    item: str


class AddMoney(Command, frozen=True):
    amount: int


class WriteNote(Command, frozen=True):
    """Add to the end of the note."""

    text: str


class EditNote(Command, frozen=True):
    """Put `insert` in the place of `delete` code points of the note, from `at` on."""

    at: int
    delete: int
    insert: str


class Party(Aggregate):
    """A name, a shopping list, a purse, and a note that everybody writes in."""

    stream = "party"
    events = (PartyNamed, ItemAdded, ItemRemoved, MoneyAdded, NoteEdited)

    name = LWWRegister[str]()
    items = AWSet[str]()
    purse = PNCounter()
    note = Text()

    def decide(self, command: Command, given: Given) -> Event | None:
        match command:
            case NameParty(name):
                return PartyNamed(name)
            case AddItem(item):
                return ItemAdded(item)
            case RemoveItem(item) if item not in self.items:
                raise Refused(f"there is no {item} on the list")
            case RemoveItem(item):
                return ItemRemoved(item)
            case AddMoney(amount):
                return MoneyAdded(amount)
            case WriteNote(text):
                return NoteEdited(self.note.insert(len(self.note), text, given.replica))
            case EditNote(at, delete, _) if not 0 <= at <= at + delete <= len(self.note):
                raise Refused(f"the note has {len(self.note)} characters, and none at {at} to {at + delete}")
            case EditNote(at, delete, insert):
                update = self.note.edit([(at, at + delete, insert)], given.replica)
                return NoteEdited(update) if update is not None else None
        raise Refused(f"a party knows nothing of {type(command).__name__}")

    def effect(self, event: Any) -> Any:
        match event:
            case PartyNamed(name):
                return self.name.write(name)
            case ItemAdded(item):
                return self.items.add(item)
            case ItemRemoved(item):
                return self.items.remove(item)
            case MoneyAdded(amount):
                return self.purse.add(amount)
            case NoteEdited(update):
                return self.note.apply(update)


COMMANDS = {kind.__name__: kind for kind in (NameParty, AddItem, RemoveItem, AddMoney, WriteNote, EditNote)}
STREAM = "party/summer"
