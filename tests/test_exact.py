"""What is kept to save work comes back as it was: of the same types, in the same order."""

from __future__ import annotations

import copy
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, Flag, IntEnum
from fractions import Fraction
from typing import Any, NamedTuple
from uuid import UUID

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import example, given, settings
from immutables import Map

from merge import AWSet, LWWRegister, MVRegister, ORMap, PNCounter, RWSet
from merge.effect import absorb
from merge.immutable import copied
from merge.lattice import Lattice
from replica import Aggregate, Event, Ordered
from replica.exact import Codec, NotKept
from replica.identical import identical, unlike
from replica.log import Span
from tests.histories import direct


class Colour(Enum):
    RED = "red"
    BLUE = ("blue", 2)


class Word(str, Enum):  # noqa: UP042 (as many write it)
    YES = "yes"


class Level(IntEnum):
    LOW = 1


class Right(Flag):
    READ = 1
    WRITE = 2


class Size(msgspec.Struct, frozen=True):
    width: Any
    height: Any = 0


class Named(msgspec.Struct, kw_only=True):
    name: Any


@dataclass(frozen=True)
class Place:
    x: Any
    more: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Narrow:
    x: Any


class Point(NamedTuple):
    x: Any
    y: Any = 0


class Label(str):
    pass


class Tagged(dict):
    pass


class Plain:
    def __init__(self, inside: Any) -> None:
        self.inside = inside


MAKERS = {
    "list": list,
    "tuple": tuple,
    "set": lambda parts: {*filter(_is_key, parts)},
    "frozenset": lambda parts: frozenset(filter(_is_key, parts)),
    "dict": lambda parts: _pairs(parts),
    "ordered": lambda parts: OrderedDict(_pairs(parts)),
    "default": lambda parts: defaultdict(list, _pairs(parts)),
    "tagged": lambda parts: Tagged(_pairs(parts)),
    "counter": lambda parts: Counter(map(str, parts)),
    "deque": lambda parts: deque(parts, 9),
    "map": lambda parts: Map(_pairs(parts)),
    "colour": lambda parts: [*Colour][len(parts) % 2],
    "word": lambda parts: Word.YES,
    "level": lambda parts: Level.LOW,
    "right": lambda parts: Right.READ | Right.WRITE,
    "size": lambda parts: Size(parts),
    "named": lambda parts: Named(name=parts),
    "place": lambda parts: Place(tuple(parts), parts),
    "narrow": lambda parts: Narrow(parts),
    "point": lambda parts: Point(parts),
    "label": lambda parts: Label(parts),
    "plain": lambda parts: Plain(parts),
    "bytearray": lambda parts: bytearray(len(parts)),
    "large": lambda parts: -(10**30) - len(parts),
    "zero": lambda parts: -0.0,
    "nothing": lambda parts: float("nan"),
    "complex": lambda parts: complex(len(parts), -0.0),
    "range": lambda parts: range(len(parts)),
    "time": lambda parts: datetime(2026, 1, 1, len(parts) % 24, tzinfo=UTC),
    "day": lambda parts: date(2026, 1, 1 + len(parts) % 28),
    "while": lambda parts: timedelta(len(parts)),
    "decimal": lambda parts: Decimal("1.50"),
    "fraction": lambda parts: Fraction(1, 1 + len(parts)),
    "uuid": lambda parts: UUID(int=len(parts)),
    "type": lambda parts: Size,
}


def _is_key(value: Any) -> bool:
    return type(value) in (str, int, bytes, bool, type(None))


def _pairs(parts: list[Any]) -> dict[Any, Any]:
    """The last key first, and keys of several types."""
    return {(part if _is_key(part) else at): part for at, part in reversed([*enumerate(parts)])}


def build(recipe: Any) -> Any:
    """The value that a recipe, which an event can carry, leads to."""
    if not isinstance(recipe, list):
        return recipe
    kind, *parts = recipe
    return MAKERS[kind]([build(part) for part in parts])


LEAVES = st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats(allow_nan=False) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=3
) | st.binary(max_size=3)  # fmt: skip
RECIPES = st.recursive(
    LEAVES,
    lambda below: st.builds(
        lambda kind, parts: [kind, *parts], st.sampled_from([*MAKERS]), st.lists(below, max_size=3)
    ),
    max_leaves=8,
)


class Told(Event):
    key: str
    recipe: Any


class Held(Ordered):
    """Holds whatever it is told, the latest key last."""

    stream = "held"
    events = (Told,)

    def initial(self):
        return {}

    def evolve(self, state, event, moment):
        return {**{key: value for key, value in state.items() if key != event.key}, event.key: build(event.recipe)}


class Largest:
    """A join-semilattice of a user's own."""

    def __init__(self, value: Any = "") -> None:
        self.value = value

    def __or__(self, other: Largest) -> Largest:
        return max(self, other, key=lambda one: one.value)

    def freeze(self) -> bytes:
        return self.value.encode()

    @classmethod
    def thaw(cls, data: bytes) -> Largest:
        return cls(data.decode())

    def digest(self) -> str:
        return self.value


class Greatest(Lattice):
    rule = "the greatest is read"

    def write(self, value):
        return absorb(self._path, Largest(value))

    @property
    def value(self):
        return None if self.state.absorbed is None else self.state.absorbed.value


class Shelf(Aggregate):
    """The same in all lattices that hold values."""

    stream = "shelf"
    events = (Told,)
    last = LWWRegister()
    all = MVRegister()
    by_key = ORMap(ORMap(LWWRegister()))
    keys = AWSet()
    out = RWSet()
    count = PNCounter()
    top = Greatest()

    def effect(self, event):
        yield self.last.write(build(event.recipe))
        yield self.all.write((build(event.recipe), event.key))
        yield self.by_key[event.key][("a", 1)].write({event.key: build(event.recipe)})
        yield self.keys.add((event.key, b"x"))
        yield self.out.add(event.key)
        yield self.count.add(1)
        yield self.top.write(event.key)


KINDS = (Held, Shelf)
STREAMS = ("held/1", "shelf/1")


def states(replica: Any) -> list[Any]:
    return [replica.present(stream).state for stream in STREAMS]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("zay"), RECIPES), min_size=1, max_size=7))
@example([(key, ["dict", "z", ["word"], 1, ["colour"]]) for key in "zay"])
@example([(key, [kind, 1, ["tuple", ["zero"]]]) for kind, key in zip(MAKERS, "zayx" * 9, strict=False)])
def test_what_is_read_from_a_snapshot_is_what_the_log_leads_to(told):
    """By types and order: whatever the state holds, and wherever in it. Equal is not enough for code that looks."""
    replica = direct("alice", every=3, aggregates=KINDS)
    for number, (key, recipe) in enumerate(told):
        for stream in STREAMS:
            replica.append(stream, [Told(key, recipe)], number + 1)
        replica.snapshot()
    assert replica.core.complaints.take() == []
    for stream in STREAMS if len(told) > 2 else ():
        assert replica.log.kept(Span("snapshot", f"{len(stream)}\n{stream}\n", "~"))
    log = copy.copy(replica.log)
    log._kept = {}
    afresh, reopened = direct("x", log, aggregates=KINDS), direct("y", replica.log, aggregates=KINDS)
    for other in (reopened, replica):
        for aggregate, stream in zip(KINDS, STREAMS, strict=True):
            afresh.present(stream), other.present(stream)
            folds = [one.core.memory.presents[stream] for one in (afresh, other)]
            assert aggregate().unlike(*folds) is None
    assert identical(*(one.present("held/1").state for one in (afresh, reopened)))
    assert [one.present("shelf/1").top.value for one in (afresh, reopened)] == [max(key for key, _ in told)] * 2


@settings(max_examples=100, deadline=None)
@given(RECIPES)
def test_a_value_that_is_taken_apart_is_put_together_again(recipe):
    """Through msgpack, which knows neither tuples nor enums, and to the same bytes again."""
    codec, value = Codec(Held.reached().types), build(recipe)
    plain = msgspec.msgpack.decode(msgspec.msgpack.encode(codec.pack(value)))
    assert unlike(value, codec.unpack(plain)) is None
    assert unlike(value, build(recipe)) is None
    assert unlike(value, copied(value)) is None


@pytest.mark.parametrize(
    ("one", "other", "where"),
    [
        ((1,), [1], "(1,) (tuple)"),
        ({"a": True}, {"a": 1}, "['a']: True (bool)"),
        ([0.0], [-0.0], "[0]: 0.0"),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, "its keys, in their order"),
        (Word.YES, "yes", "Word"),
        (Level.LOW, 1, "Level"),
        ({"a": [Size({"x": 1})]}, {"a": [Size({"x": 1.0})]}, "['a'][0].width['x']"),
        (Label("x"), "x", "(Label)"),
        (OrderedDict(a=1), {"a": 1}, "(OrderedDict)"),
        (frozenset([1]), frozenset([True]), "[1]"),
        (frozenset([1]), {1}, "(frozenset)"),
        (Map(a=(1,)), Map(a=[1]), "['a']"),
        (Place(1, [2]), Place(1, (2,)), "['more']"),
        (Plain([1]), Plain([1, 2]), "['inside']"),
        (defaultdict(list), defaultdict(dict), "list"),
        (bytearray(b"x"), b"x", "(bytearray)"),
        (Point(1), (1, 0), "(Point)"),
        ((n for n in ()), (n for n in ()), "generator"),
    ],
)  # fmt: skip
def test_what_equals_is_not_yet_the_same_and_where_it_differs_is_said(one, other, where):
    """Code that looks at types or order would go on otherwise from the other one."""
    found = unlike(one, other)
    assert found is not None
    assert where in found
    assert not identical(one, other)
    assert identical(one, one)


def test_what_nobody_names_is_refused_with_its_path():
    """A class that the code of the aggregate does not reach is not found again by the next process."""
    hidden = type("Hidden", (), {})()
    codec = Codec(Held.reached().types)
    for value, path in (
        ({"a": [1, (hidden,)]}, "['a'][1][0]: "),
        (Size(1, hidden), ".height: "),
        (Place({"b": hidden}), "['b']: "),
        ([iter([1])], "[0]: "),
        ([lambda: 1], "[0]: "),
    ):
        with pytest.raises(NotKept) as refused:
            codec.pack(value)
        assert path in str(refused.value)


class Bare:
    """A join-semilattice that says nothing of itself."""

    def __init__(self, value: str = "") -> None:
        self.value = value

    def __or__(self, other: Bare) -> Bare:
        return Bare(max(self.value, other.value))


class Barely(Greatest):
    def write(self, value):
        return absorb(self._path, Bare(value))


class Bared(Aggregate):
    stream = "bared"
    events = (Told,)
    inside = ORMap(LWWRegister())
    top = Barely()

    def effect(self, event):
        yield self.top.write(event.key)
        yield self.inside[event.key].write(build(event.recipe))


def test_what_is_absorbed_and_says_nothing_of_itself_is_folded_from_the_log():
    """And the complaint says which place it is, and what is missing."""
    replica = direct("alice", every=3, aggregates=(Bared,))
    for number in range(10):
        replica.append("bared/1", [Told(str(number), None)], number + 1)
        replica.snapshot()
    assert not replica.log.kept(Span("snapshot"))
    (complaint,) = replica.core.complaints.take()
    assert "top" in complaint.words
    assert "freeze" in complaint.words
    assert direct("x", replica.log, aggregates=(Bared,)).present("bared/1").top.value == "9"
