"""Three releases of one shop, which record the same facts in other words.

| fact                | FIRST                   | SECOND                    | THIRD                          |
|---------------------|-------------------------|---------------------------|--------------------------------|
| an item was added   | `ItemAdded 1` item      | `ItemAdded 2` name        | `ItemPut 3` name, amount       |
| an item was removed | `ItemRemoved 1` item    | the same                  | the same                       |
| it was weighed      | `Weighed 1` [kilos]     | `Weighed 2` [grams]       | `Weighed 3` [scale, grams]     |
| an item was starred |                         |                           | `ItemStarred 1` item           |
| a line was noted    | `Noted 1` line          | `Noted 2` text, tags      | the same                       |

A release is what one installation of the code knows: its aggregates. Each decides on the same commands, and none of
them on what it sees: an old release may know too little.
"""

from __future__ import annotations

from typing import Any

from merge import AWSet, PNCounter
from replica.aggregate import Aggregate
from replica.decider import Decider
from replica.errors import Refused
from replica.event import Command, Event
from replica.ordered import Ordered


class Add(Command, frozen=True):
    item: str


class Remove(Command, frozen=True):
    item: str


class Weigh(Command, frozen=True):
    kilos: int


class Star(Command, frozen=True):
    item: str


class Note(Command, frozen=True):
    line: str


Release = tuple[type[Decider], ...]


def first() -> Release:
    class ItemAdded(Event, frozen=True):
        item: str

    class ItemRemoved(Event, frozen=True):
        item: str

    class Weighed(Event, frozen=True, array_like=True):
        kilos: int

    class ShoppingList(Aggregate):
        stream = "list"
        events = (ItemAdded, ItemRemoved, Weighed)
        items = AWSet[str]()
        kilos = PNCounter()

        def decide(self, command: Command, given: Any) -> Any:
            match command:
                case Add(item):
                    return ItemAdded(item)
                case Remove(item):
                    return ItemRemoved(item)
                case Weigh(kilos):
                    return Weighed(kilos)
            raise Refused("not in this release")

        def effect(self, event: Any) -> Any:
            match event:
                case ItemAdded(item):
                    return self.items.add(item)
                case ItemRemoved(item):
                    return self.items.remove(item)
                case Weighed(kilos):
                    return self.kilos.add(kilos)

    class Noted(Event, frozen=True):
        line: str

    class Journal(Ordered):
        stream = "journal"
        events = (Noted,)

        def initial(self) -> Any:
            return ()

        def decide(self, command: Any, given: Any) -> Any:
            return Noted(command.line)

        def evolve(self, state: Any, event: Any, moment: Any) -> Any:
            return (*state, event.line)

    return ShoppingList, Journal


def noted_with_tags(plain: dict[str, Any]) -> dict[str, Any]:
    return {"text": plain["line"], "tags": []}


def second() -> Release:
    class ItemAdded(Event, frozen=True):
        schema = 2
        upcasters = {1: lambda plain: {"name": plain["item"]}}
        name: str

    class ItemRemoved(Event, frozen=True):
        item: str

    class Weighed(Event, frozen=True, array_like=True):
        schema = 2
        upcasters = {1: lambda plain: [plain[0] * 1000]}
        grams: int

    class ShoppingList(Aggregate):
        stream = "list"
        events = (ItemAdded, ItemRemoved, Weighed)
        items = AWSet[str]()
        grams = PNCounter()

        def decide(self, command: Command, given: Any) -> Any:
            match command:
                case Add(item):
                    return ItemAdded(item)
                case Remove(item):
                    return ItemRemoved(item)
                case Weigh(kilos):
                    return Weighed(kilos * 1000)
            raise Refused("not in this release")

        def effect(self, event: Any) -> Any:
            match event:
                case ItemAdded(name):
                    return self.items.add(name)
                case ItemRemoved(item):
                    return self.items.remove(item)
                case Weighed(grams):
                    return self.grams.add(grams)

    return ShoppingList, journal_with_tags()


def journal_with_tags() -> type[Ordered]:
    class Noted(Event, frozen=True):
        schema = 2
        upcasters = {1: noted_with_tags}
        text: str
        tags: frozenset[str]

    class Journal(Ordered):
        stream = "journal"
        events = (Noted,)

        def initial(self) -> Any:
            return ()

        def decide(self, command: Any, given: Any) -> Any:
            return Noted(command.line, frozenset({"new", "2nd"}))

        def evolve(self, state: Any, event: Any, moment: Any) -> Any:
            return (*state, (event.text, sorted(event.tags)))

    return Journal


def third() -> Release:
    class ItemPut(Event, frozen=True):
        schema = 3
        upcasters = {
            1: lambda plain: {"name": plain["item"]},
            2: lambda plain: {**plain, "amount": 1},
        }
        former_names = ("ItemAdded",)
        name: str
        amount: int

    class ItemRemoved(Event, frozen=True):
        item: str

    class ItemStarred(Event, frozen=True):
        item: str

    class Weighed(Event, frozen=True, array_like=True):
        schema = 3
        upcasters = {1: lambda plain: [plain[0] * 1000], 2: lambda plain: ["shop", *plain]}
        scale: str
        grams: int

    class ShoppingList(Aggregate):
        stream = "list"
        events = (ItemPut, ItemRemoved, ItemStarred, Weighed)
        items = AWSet[str]()
        stars = AWSet[str]()
        added = PNCounter()
        grams = PNCounter()

        def decide(self, command: Command, given: Any) -> Any:
            match command:
                case Add(item):
                    return ItemPut(item, 2)
                case Remove(item):
                    return ItemRemoved(item)
                case Star(item):
                    return ItemStarred(item)
                case Weigh(kilos):
                    return Weighed("kitchen", kilos * 1000)
            raise Refused("not in this release")

        def effect(self, event: Any) -> Any:
            match event:
                case ItemPut(name, amount):
                    return [self.items.add(name), self.added.add(amount)]
                case ItemRemoved(item):
                    return [self.items.remove(item), self.stars.remove(item)]
                case ItemStarred(item):
                    return self.stars.add(item)
                case Weighed(_, grams):
                    return self.grams.add(grams)

    return ShoppingList, journal_with_tags()


NONE: Release = ()
"""A relay, with no aggregates at all."""
FIRST, SECOND, THIRD = first(), second(), third()


def event_types(release: Release) -> dict[str, type[Event]]:
    """The event classes of a release, by name."""
    return {kind.__name__: kind for aggregate in release for kind in aggregate.events}
