"""Values as bytes that are the same everywhere, for keys and elements of every kind; and fields that have none."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Hashable
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from merge import LWWRegister
from merge.version import Dot
from replica import Aggregate, Command, Event, InvalidEvent, Ordered
from replica.canonical import encode
from replica.commit import Note
from replica.direct import DirectReplica
from replica.event import EventTypes
from replica.memory import MemoryLog

keys = st.recursive(
    st.text(max_size=2) | st.integers(-3, 3) | st.binary(max_size=2) | st.none() | st.floats(allow_nan=False),
    lambda below: st.tuples(below, below) | st.frozensets(below, max_size=2),
    max_leaves=3,
)
values = st.recursive(
    keys, lambda below: st.lists(below, max_size=3) | st.dictionaries(keys, below, max_size=4), max_leaves=6
)
as_given = msgspec.msgpack.Encoder().encode


def shuffled(value: Any, random: Random) -> Any:
    """The same value, put together in another order."""
    if isinstance(value, dict):
        items = [(shuffled(key, random), shuffled(below, random)) for key, below in value.items()]
        random.shuffle(items)
        return dict(items)
    if isinstance(value, frozenset):
        return frozenset(random.sample([shuffled(one, random) for one in value], len(value)))
    if isinstance(value, list | tuple):
        return type(value)([shuffled(one, random) for one in value])
    return value


@given(values, st.randoms(use_true_random=False))
def test_equal_values_have_one_form(value: Any, random: Random) -> None:
    """However a dict or a set was put together; and it is a form of that value, as any msgpack reader reads it."""
    try:
        data = encode(value)
    except ValueError:
        reject()  # two keys such as () and frozenset() have one form
    assert encode(shuffled(value, random)) == data
    assert len(data) == len(as_given(value))


@given(st.dictionaries(st.text(), st.integers(0, 9) | st.frozensets(st.integers(0, 9))))
def test_what_could_be_sorted_before_has_the_bytes_that_it_had(value: Any) -> None:
    """Bytes that were recorded do not change."""
    assert encode(value) == msgspec.msgpack.Encoder(order="deterministic").encode(value)


class Colour(enum.Enum):
    RED = 1


def test_two_keys_with_one_form_are_refused() -> None:
    """They would be one when they are read: a fact would lose what it says."""
    with pytest.raises(ValueError, match="have one form"):
        encode({Colour.RED: "a", 1: "b"})


class Seat(msgspec.Struct, frozen=True):
    row: int


@dataclasses.dataclass
class Person:
    name: str


class Seated(Event):
    seats: dict[int, str] = {}
    grid: dict[tuple[int, int], dict[bytes, int]] = {}
    by_seat: dict[Seat, str] = {}
    colours: dict[Colour, int] = {}
    several: set[int | str] = set()
    taken: frozenset[Seat] = frozenset()
    who: Person | None = None
    dot: Dot | None = None
    anything: Any = None
    key: Hashable = None


class Sit(Command):
    seats: dict[int, str]


class Room(Aggregate):
    stream = "room"
    events = (Seated,)
    seats = LWWRegister[Any]()

    def decide(self, command, given):
        return Seated(command.seats)

    def effect(self, event):
        return self.seats.write(event.seats)


class Plan(Ordered):
    stream = "plan"
    events = (Seated,)

    def initial(self):
        return {}

    def evolve(self, state, event, moment):
        return {**state, **event.seats, "grid": event.grid}


def direct(name: str) -> DirectReplica:
    return DirectReplica(MemoryLog(), "s", name, [Room, Plan], random=Random(name))


FULL = Seated(
    {2: "ben", 1: "ann"}, {(1, 2): {b"x": 1}}, {Seat(2): "a", Seat(1): "b"}, {Colour.RED: 2}, {"a", 1},
    frozenset({Seat(2), Seat(1)}), Person("ann"), Dot(1, 2), {1: {2: 3}, (1,): None}, "x",
)  # fmt: skip


def test_a_dict_with_keys_of_any_kind_is_recorded_folded_and_compared() -> None:
    """In events, commands, states and digests, on the replica that records it and on those that hear of it."""
    alice, bob = direct("alice"), direct("bob")
    for stream in ("room/1", "plan/1"):
        alice.append(stream, [FULL], 1)
    alice.execute("room/1", Sit({3: "cid", 1: "ann"}), 2, Note("17", None, None))
    alice.execute("room/1", Sit({1: "ann", 3: "cid"}), 3, Note("17", None, None))  # the same one
    alice.flush()
    bob.ingest([*alice.all_slices()])
    bob.flush()
    for one in (alice, bob):
        assert one.present("room/1").seats == {3: "cid", 1: "ann"}
        assert one.present("plan/1").state == {1: "ann", 2: "ben", "grid": {(1, 2): {b"x": 1}}}
    for stream in ("room/1", "plan/1"):
        assert alice.digest(stream) == bob.digest(stream)


class Photo:
    """An object that msgpack has no form for."""


@pytest.mark.parametrize(
    "kind", [Photo, list[Photo], dict[str, Photo], Photo | None, tuple[int, Photo], complex, set[complex]]
)
def test_a_field_without_a_form_is_told_when_a_replica_opens(kind: Any) -> None:
    """Else the first fact of a user is refused."""
    taken = type(Event)("Taken", (Event,), {"__annotations__": {"photo": kind}, "__module__": __name__})
    with pytest.raises(TypeError, match=r"Taken.*(which msgpack has no form for|cannot be read back)"):
        EventTypes([taken])


@pytest.mark.parametrize("name", ["schema", "upcasters", "former_names"])
def test_a_field_that_hides_what_an_event_class_has_is_told(name: str) -> None:
    """What is recorded as the schema of an event would be what somebody wrote into it."""
    with pytest.raises(TypeError, match=f"cannot have a field `{name}`"):
        EventTypes([type(Event)("Taken", (Event,), {"__annotations__": {name: str}, "__module__": __name__})])


def test_an_upcaster_is_a_plain_function() -> None:
    """It is called while a log is read."""

    async def later(plain: Any) -> Any:
        return plain

    with pytest.raises(TypeError, match="plain function"):
        EventTypes([type(Event)("Taken", (Event,), {"schema": 2, "upcasters": {1: later}, "__module__": __name__})])


def test_keys_with_one_form_are_not_recorded() -> None:
    """An error of ours, and nothing is lost."""
    alice = direct("alice")
    with pytest.raises(InvalidEvent, match="have one form"):
        alice.append("room/1", [Seated(anything={Colour.RED: 1, 1: 2})], 1)
