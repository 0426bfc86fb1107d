"""A house with every lattice in it, plain and not: what the fold by column is held to the naive fold with.

`FACTS` lists facts of each type as its author records them: as the class here says, as older code said it, and as
newer code or strange code would.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from merge import NO_EFFECT, AWSet, Flag, GCounter, LWWRegister, MVRegister, ORMap, PNCounter, Product, RWSet
from replica import Aggregate, Event

HOUSE, GARDEN = "house/home", "house/garden"


class Named(Event):
    name: str


class Guessed(Event):
    guess: Any


class Tagged(Event):
    tag: str


class Untagged(Event):
    tag: str


class TagsCleared(Event):
    pass


class Allowed(Event):
    who: int


class Banned(Event):
    who: int


class Counted(Event):
    amount: int


class Lit(Event):
    pass


class Darkened(Event):
    pass


class Put(Event):
    """Its value was a number in schema 1."""

    schema: ClassVar[int] = 2
    upcasters: ClassVar[Any] = {1: lambda plain: plain | {"value": str(plain["value"])}}

    key: str
    value: str


class Dropped(Event):
    key: str


class AllDropped(Event):
    pass


class PutInto(Event, array_like=True):
    room: str
    shelf: int
    thing: bytes


class ShelfCleared(Event):
    room: str
    shelf: int


class Carded(Event):
    card: str
    title: str


class Voted(Event):
    card: str


class CardDone(Event):
    card: str


class CardCleared(Event):
    card: str


class PutAndTagged(Event):
    """It does two things, and so covers no path."""

    key: str
    tag: str


class PutUnlessLong(Event):
    """It looks at its value."""

    key: str
    value: str


class Card(Product):
    title = LWWRegister[str]()
    votes = PNCounter()
    done = Flag()


class Hall(Product):
    card = Card()
    guess = MVRegister[Any]()


class House(Aggregate):
    """Every lattice, alone, in a map and in a product."""

    stream = "house"
    events = (
        Named, Guessed, Tagged, Untagged, TagsCleared, Allowed, Banned, Counted, Lit, Darkened, Put, Dropped,
        AllDropped, PutInto, ShelfCleared, Carded, Voted, CardDone, CardCleared, PutAndTagged, PutUnlessLong,
    )  # fmt: skip

    name = LWWRegister[str]()
    tags = AWSet[str]()
    rights = RWSet[int]()
    count = PNCounter()
    steps = GCounter()
    hall = Hall()
    things = ORMap[str, LWWRegister[str]](LWWRegister())
    rooms = ORMap[str, ORMap[int, AWSet[bytes]]](ORMap(AWSet()))
    cards = ORMap[str, Card](Card())

    def effect(self, event: Any) -> Any:
        match event:
            case Named(name):
                return self.name.write(name)
            case Guessed(guess):
                return self.hall.guess.write(guess)
            case Tagged(tag):
                return self.tags.add(tag)
            case Untagged(tag):
                return self.tags.remove(tag)
            case TagsCleared():
                return self.tags.clear()
            case Allowed(who):
                return self.rights.add(who)
            case Banned(who):
                return self.rights.remove(who)
            case Counted(amount):
                return [self.count.add(amount), self.steps.add(1)]
            case Lit():
                return self.hall.card.done.enable()
            case Darkened():
                return self.hall.card.done.disable()
            case Put(key=key, value=value):
                return self.things[key].write(value)
            case Dropped(key):
                return self.things.remove(key)
            case AllDropped():
                return self.things.clear()
            case PutInto(room, shelf, thing):
                return self.rooms[room][shelf].add(thing)
            case ShelfCleared():
                return self.rooms[event.room].remove(event.shelf)
            case Carded(card, title):
                return self.cards[card].title.write(title)
            case Voted(card):
                return self.cards[card].votes.add(2)
            case CardDone(card):
                return self.cards[card].done.enable()
            case CardCleared(card):
                return self.cards[card].clear()
            case PutAndTagged(key, tag):
                return self.things[key].write(tag), self.tags.add(tag)
            case PutUnlessLong(key, value) if len(value) < 2:
                return self.things[key].write(value)
        return NO_EFFECT


def fact(event: Event, schema: int | None = None, **changed: Any) -> tuple[str, int, bytes]:
    """Type, schema and payload of an event; of older code where a schema is given."""
    kind = type(event)
    plain = msgspec.to_builtins(event, builtin_types=(bytes,))
    payload = msgspec.msgpack.encode(plain | changed if changed else plain)
    return kind.__name__, kind.schema if schema is None else schema, payload


THINGS = (
    fact(Put("k", "v")), fact(Put("k", "w")), fact(Put("l", "v")), fact(Put("k", ""), 1, value=7),
    fact(Dropped("k")), fact(AllDropped()), fact(PutAndTagged("k", "a")), fact(PutUnlessLong("k", "x")),
)  # fmt: skip
"""Those that meet at one key."""

FACTS = (
    *THINGS,
    fact(Named("home")), fact(Named("hut")), fact(Guessed(1)), fact(Guessed([2, {"x": None}])), fact(Guessed(None)),
    fact(Tagged("a")), fact(Tagged("b")), fact(Untagged("a")), fact(TagsCleared()),
    fact(Allowed(1)), fact(Allowed(-7)), fact(Banned(1)), fact(Counted(3)), fact(Counted(-1)),
    fact(Lit()), fact(Darkened()), fact(PutUnlessLong("k", "xyz")),
    fact(PutInto("r", 1, b"t")), fact(PutInto("r", 1, b"u")), fact(PutInto("r", 2, b"t")),
    fact(ShelfCleared("r", 1)),
    fact(Carded("c", "x")), fact(Carded("c", "y")), fact(Voted("c")), fact(CardDone("c")), fact(CardCleared("c")),
    ("Put", 3, msgspec.msgpack.encode({"key": "k", "newer": True})),
    ("Unheard", 1, b"\xc0"),
    ("OwnerChanged", 1, msgspec.msgpack.encode({"owner": 5})),
)  # fmt: skip
