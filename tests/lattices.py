"""Every lattice, once: its operations, and what a user who works alone expects of them.

A new lattice inherits all laws of `tests/test_laws.py` by one line in `CASES`. An operation has two halves:
`make` is what the lattice does, `then` is what the same words do to a plain set, dict, int or str. Where
nobody works at the same time, the lattice must read like the plain value.

The first operations of a case are its core: they are what all histories of four events are made of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from merge import AWSet, Effect, Flag, GCounter, LWWRegister, MVRegister, ORMap, PNCounter, Product, RWSet, Text
from merge.lattice import Lattice
from merge.tree import Tree

PLACE = ("here",)
"""Where the lattices of the cases stand: a field of an aggregate."""


class Op(NamedTuple):
    """One operation: `make(lattice, replica)` is its effect, `then(plain)` is what a user expects of it."""

    name: str
    make: Callable[[Any, int], Effect]
    then: Callable[[Any], Any]


class Case(NamedTuple):
    """A lattice, what it reads before anything happens, and its operations."""

    name: str
    lattice: Lattice
    nothing: Any
    ops: tuple[Op, ...]
    core: int = 2
    """How many of the operations go into all histories of four events."""
    reads: bool = False
    """Its operations are made from the state at their context, as `decide` does (text)."""

    def effect(self, op: Op, state: Tree, replica: int) -> Effect:
        """What an event does that `replica` records in `state`."""
        return op.make(self.lattice.bind(state.at(*PLACE) if self.reads else None, PLACE), replica)

    def bound(self, state: Tree) -> Lattice:
        """The lattice, to be read."""
        return self.lattice.bind(state.at(*PLACE), PLACE)

    def reading(self, state: Tree) -> Any:
        """What the user reads."""
        return self.bound(state).value


# --- operations, by the words that users have for them ---


def add(x: Any) -> Op:
    return Op(f"add {x!r}", lambda s, who: s.add(x), lambda v: v | {x})


def remove(x: Any) -> Op:
    return Op(f"remove {x!r}", lambda s, who: s.remove(x), lambda v: v - {x})


def clear(nothing: Any) -> Op:
    return Op("clear", lambda s, who: s.clear(), lambda v: nothing)


def plus(n: int) -> Op:
    return Op(f"add {n}", lambda c, who: c.add(n), lambda v: v + n)


def minus(n: int) -> Op:
    return Op(f"subtract {n}", lambda c, who: c.subtract(n), lambda v: v - n)


def write(x: Any) -> Op:
    return Op(f"write {x!r}", lambda r, who: r.write(x), lambda v: x)


def write_among(x: Any) -> Op:
    return Op(f"write {x!r}", lambda r, who: r.write(x), lambda v: [x])


ENABLE = Op("enable", lambda f, who: f.enable(), lambda v: True)
DISABLE = Op("disable", lambda f, who: f.disable(), lambda v: False)


def drop(key: Any) -> Op:
    return Op(f"remove {key!r}", lambda m, who: m.remove(key), lambda v: {k: x for k, x in v.items() if k != key})


NEVER = object()


def at(key: Any, op: Op, nothing: Any, gone: Any = NEVER) -> Op:
    """`op` on the entry of a map. An entry that comes to read `gone` has nothing in it, and is not there."""

    def then(v: dict[Any, Any]) -> dict[Any, Any]:
        return {k: x for k, x in (v | {key: op.then(v.get(key, nothing))}).items() if k != key or x != gone}

    return Op(f"at {key!r} {op.name}", lambda m, who: op.make(m[key], who), then)


def of(field: str, op: Op) -> Op:
    """`op` on a field of a product."""
    return Op(
        f"{field}: {op.name}",
        lambda p, who: op.make(getattr(p, field), who),
        lambda v: v | {field: op.then(v[field])},
    )


def insert(start: int, text: str) -> Op:
    return Op(
        f"insert {text!r} at {start}",
        lambda t, who: t.apply(t.insert(min(start, len(t)), text, who)),
        lambda v: v[:start] + text + v[start:],
    )


def cut(start: int, stop: int) -> Op:
    """Delete from start to stop; where there is nothing to delete, write `+` at the end."""
    return Op(
        f"delete {start}:{stop}",
        lambda t, who: t.apply(
            t.delete(start, min(stop, len(t)), who) if len(t) > start else t.insert(len(t), "+", who)
        ),
        lambda v: v[:start] + v[stop:] if len(v) > start else v + "+",
    )


class Card(Product):
    title = LWWRegister[str]()
    tags = AWSet[str]()
    votes = PNCounter()
    done = Flag()


class Room(Product):
    """A product that has a product, a map and a set in which removing wins."""

    card = Card()
    carts = ORMap[str, AWSet[str]](AWSet())
    banned = RWSet[str]()


NO_CARD = {"title": None, "tags": set(), "votes": 0, "done": False}
NO_ROOM = {"card": NO_CARD, "carts": {}, "banned": set()}

# --- the list: one entry a lattice ---

# fmt: off
CASES = (
    Case("GCounter", GCounter(), 0, (plus(1), plus(2), plus(0))),
    Case("PNCounter", PNCounter(), 0, (plus(2), minus(1), minus(2))),
    Case("LWWRegister", LWWRegister(), None, (write("x"), clear(None), write("y"))),
    Case("MVRegister", MVRegister(), [], (write_among("x"), clear([]), write_among("y"))),
    Case("Flag", Flag(), False, (ENABLE, DISABLE)),
    Case("AWSet", AWSet(), set(), (add("a"), remove("a"), clear(set()), add("b")), core=3),
    Case("AWSet of all kinds", AWSet(), set(), (add(1), remove(1), add(b"1"), add(("1", (1,))))),
    Case("RWSet", RWSet(), set(), (add("a"), remove("a"), add("b"), remove("b"))),
    Case("ORMap of AWSet", ORMap(AWSet()), {},
         (at("k", add("a"), set(), set()), drop("k"), at("k", remove("a"), set(), set()), clear({}),
          at("l", add("a"), set(), set())), core=3),
    Case("ORMap of RWSet", ORMap(RWSet()), {},
         (at("k", add("a"), set()), drop("k"), at("k", remove("a"), set()), clear({}))),
    Case("ORMap of PNCounter", ORMap(PNCounter()), {},
         (at("k", plus(2), 0), drop("k"), at("k", minus(1), 0), clear({}))),
    Case("ORMap of LWWRegister", ORMap(LWWRegister()), {},
         (at("k", write("x"), None, None), drop("k"), at("k", write("y"), None, None),
          at("k", clear(None), None, None))),
    Case("ORMap of Flag", ORMap(Flag()), {},
         (at(7, ENABLE, False, False), drop(7), at(7, DISABLE, False, False), at(8, ENABLE, False, False))),
    Case("ORMap of ORMap of AWSet", ORMap(ORMap(AWSet())), {},
         (at("k", at("l", add("a"), set(), set()), {}, {}), drop("k"), at("k", drop("l"), {}, {}),
          at("k", at("m", add("b"), set(), set()), {}, {}), at("k", clear({}), {}, {}))),
    Case("ORMap of Product", ORMap(Card()), {},
         (at("k", of("title", write("x")), NO_CARD, NO_CARD), drop("k"),
          at("k", of("tags", add("a")), NO_CARD, NO_CARD), at("k", of("done", ENABLE), NO_CARD, NO_CARD),
          at("k", clear(NO_CARD), NO_CARD, NO_CARD))),
    Case("Product", Room(), NO_ROOM,
         (of("card", of("votes", plus(1))), of("carts", at("k", add("a"), set(), set())), of("carts", drop("k")),
          of("banned", remove("b")), of("banned", add("b")))),
    Case("Text", Text(), "", (insert(0, "a"), cut(0, 1), insert(1, "bç")), reads=True),
)
# fmt: on
