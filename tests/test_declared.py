"""Slips in what a class declares are told when the class is made; readings compare as what they read."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Callable, Hashable
from typing import Any, Literal, NamedTuple, NewType

import msgspec
import pytest

from merge import AWSet, Flag, LWWRegister, MVRegister, ORMap, PNCounter, Product, RWSet, StateNotGiven, Text
from merge.kernel import Happening
from merge.lattice import Lattice
from merge.stamp import Stamp
from merge.tree import EMPTY
from merge.version import NOTHING, Dot
from tests.lattices import PLACE

Sku = NewType("Sku", str)


class Photo(msgspec.Struct, frozen=True):
    name: str


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Point(NamedTuple):
    x: int


def declare(field: Any, name: str = "field", base: type = Product) -> Any:
    """A product with one attribute."""
    return type(base)("Declared", (base,), {name: field})


def reading(lattice: Lattice, *operations: Callable[[Any], Any]) -> Any:
    """What is read after some operations, one after the other."""
    state, seen = EMPTY, NOTHING
    for seq, operation in enumerate(operations, 1):
        effect = operation(lattice.bind(None, PLACE))
        state, seen = state.happen(Happening(Dot(1, seq), Stamp(seq, 0, 1), seen, effect)), seen.advance(1, seq)
    return lattice.bind(state.at(*PLACE), PLACE)


@pytest.mark.parametrize("kind", [AWSet, AWSet[str], ORMap, ORMap[str, Flag], Flag, LWWRegister[int], Text])
def test_a_lattice_that_is_not_called_is_refused(kind: Any) -> None:
    """`items = AWSet[str]` declares nothing: effects would find no operations, and no reading."""
    with pytest.raises(TypeError, match="was not called"):
        declare(kind)
    with pytest.raises(TypeError, match="was not called"):
        type(Product)("Declared", (Product,), {"__annotations__": {"field": kind}})
    with pytest.raises(TypeError, match="declared over a lattice"):
        ORMap[str, Any](kind)


def test_a_product_that_is_written_inside_another_class_is_no_field() -> None:
    """It is a class, to be called where the field is declared."""

    class Board(Product):
        class Card(Product):
            title = LWWRegister[str]()

        cards = ORMap[str, Card](Card())

    assert [*Board.fields] == ["cards"]


def test_one_lattice_is_one_field() -> None:
    """Two names for one lattice would be two fields that write to one place."""
    with pytest.raises(TypeError, match="two fields are two lattices"):

        class Twice(Product):
            tags = labels = AWSet[str]()

    shared = AWSet[str]()

    class First(Product):
        tags = shared

    with pytest.raises(TypeError, match="two fields are two lattices"):
        declare(shared, "labels")
    assert First().bind(EMPTY, ()).tags.add("x")[0].path == ("tags", "x")


@pytest.mark.parametrize("name", ["clear", "place", "rule", "state", "bind", "_path", "_name"])
def test_a_field_that_would_hide_what_a_product_has_is_refused(name: str) -> None:
    """One of the two would be hidden, and what reads the other goes wrong later."""
    with pytest.raises(TypeError, match=f"hide `{name}`"):
        declare(LWWRegister[str](), name)


def test_a_field_may_take_the_place_of_the_same_field_of_a_base_class() -> None:
    """A subclass may have another lattice under a name."""

    class Base(Product):
        title = LWWRegister[str]()

    class Own(Base):
        title = MVRegister[str]()

    assert type(Own.fields["title"]) is MVRegister


def test_a_lattice_is_not_assigned_to() -> None:
    """`self.title = event.title` in an effect would replace the lattice, and do nothing to the state."""
    card = declare(LWWRegister[str](), "title")().bind(None, ())
    with pytest.raises(TypeError, match="not assigned to"):
        card.title = "x"


@pytest.mark.parametrize(
    "kind",
    [
        Photo, Colour, Level, Point, float, bool, None, list[str], set[str], dict[str, int], frozenset[str],
        datetime.date, str | None, tuple[str, float], Literal["a", True], NewType("Price", float),
    ],
)  # fmt: skip
def test_what_cannot_be_an_element_is_refused_where_it_is_declared(kind: Any) -> None:
    """Else the class is made, the replica opens, and the first fact of a user is refused."""
    for field in (
        AWSet[kind](), RWSet[kind](), ORMap[kind, Flag](Flag()), ORMap[str, AWSet[kind]](AWSet[kind]()),
    ):  # fmt: skip
        with pytest.raises(TypeError, match="an element of a set or a key of a map"):
            declare(field)


@pytest.mark.parametrize(
    "kind",
    [str, int, bytes, tuple, tuple[str, ...], tuple[str, tuple[int, bytes]], Literal["a", 1], Sku, str | int, Any,
     Hashable, object, "Later"],
)  # fmt: skip
def test_what_can_be_an_element_is_declared(kind: Any) -> None:
    """Where the brackets say too little, the first element says it."""
    assert declare(AWSet[kind]()).fields
    assert declare(ORMap[kind, PNCounter](PNCounter())).fields


# --- readings ---


ON = reading(Flag(), lambda flag: flag.enable())
TWO = reading(PNCounter(), lambda counter: counter.add(2))
TITLE = reading(LWWRegister[str](), lambda register: register.write("x"))
OFF = reading(LWWRegister[bool](), lambda register: register.write(False))
BOTH = reading(MVRegister[str](), lambda register: register.write("x"))
NOTE = reading(Text(), lambda text: text.apply(reading(Text()).insert(0, "milk", 1)))
CARDS = reading(ORMap[str, LWWRegister[str]](LWWRegister[str]()), lambda cards: cards["k"].write("x"))


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (ON == True, True), (True == ON, True), (ON != False, True), (f"{ON}", "True"),  # noqa: E712, SIM300
        (TWO == 2, True), (TWO == 2.0, True), (TWO in (1, 2), True), (TWO in {2}, True), ({2: "x"}[TWO], "x"),
        (1 < TWO < 3, True), (TWO >= 2, True), (TWO <= TWO, True), (TWO > 2, False), (max(TWO, 1), 2),
        (f"{TWO:03d}", "002"), (f"{TWO}", "2"), (sorted([3, TWO, 1]), [1, 2, 3]),
        (TITLE == "x", True), (TITLE in ["x"], True), (TITLE in {"x"}, True), (f"<{TITLE:>3}>", "<  x>"),
        (TITLE != "y", True), (bool(OFF), False), (OFF == False, True),  # noqa: E712
        (bool(reading(LWWRegister())), False), (reading(LWWRegister()) == None, True),  # noqa: E711
        (BOTH == ["x"], True), ([*BOTH], ["x"]), (BOTH == ("x",), True), ("x" in BOTH, True), (BOTH[0], "x"),
        (len(BOTH), 1), (BOTH == [], False),
        (NOTE == "milk", True), ("il" in NOTE, True), ("ml" in NOTE, False), ([*NOTE], [*"milk"]),
        (CARDS == {"k": "x"}, True), (CARDS["k"] == "x", True), (dict(CARDS.items()), {"k": "x"}),
    ],
)  # fmt: skip
def test_readings_compare_as_what_they_read(read: Any, expected: Any) -> None:
    """Whatever a reader of the README's table would write, from either side, in a list, a set or an f-string."""
    assert read == expected


@pytest.mark.parametrize(
    ("lattice", "other"),
    [(AWSet(), ["x"]), (RWSet(), "x"), (MVRegister(), "x"), (MVRegister(), {"x"}), (ORMap(Flag()), ["x"]),
     (Text(), b"x"), (Text(), None)],
)  # fmt: skip
def test_a_comparison_that_could_never_be_true_is_an_error(lattice: Lattice, other: Any) -> None:
    """A set never equals a list: False would be a wrong answer to what was asked."""
    with pytest.raises(TypeError, match="is compared with what it reads as"):
        assert reading(lattice) == other
    with pytest.raises(TypeError, match="is compared with what it reads as"):
        assert other != reading(lattice)


@pytest.mark.parametrize("read", [lambda x: x == 2, hash, str, lambda x: f"{x}", lambda x: x < 2])
def test_a_comparison_in_an_effect_is_refused(read: Callable[[Any], Any]) -> None:
    """An effect is made from the event alone; what it compared would differ from replica to replica."""
    with pytest.raises(StateNotGiven):
        read(PNCounter().bind(None, PLACE))
