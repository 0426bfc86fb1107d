"""What a user's code gets to read cannot change what is kept: not by a reader, not by a decision, not by a fold."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from collections import deque
from contextlib import suppress
from random import Random
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merge import LWWRegister, MVRegister, ORMap
from merge.immutable import Changeable, copied, immutable
from replica import (
    Aggregate,
    ChangedInPlace,
    Command,
    Event,
    EventRows,
    InvalidEvent,
    Ordered,
    Replica,
    StreamRows,
    ordered,
)
from replica.direct import DirectReplica
from replica.memory import MemoryLog
from tests.loop import in_loop

plain = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.text(max_size=2),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(st.integers(0, 3) | st.text(max_size=1), below, max_size=3)
        | st.sets(st.integers(0, 3))
        | st.tuples(below, below)
    ),
    max_leaves=8,
)


class Point(NamedTuple):
    at: Any


class Frozen(msgspec.Struct, frozen=True):
    at: Any


@dataclasses.dataclass(frozen=True)
class Data:
    at: Any


class Loose(msgspec.Struct):
    at: Any


def containers(value: Any) -> list[Any]:
    """All dicts, lists and sets in a value."""
    below = (
        list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, list | tuple) else []
    )
    below += [value.at] if isinstance(value, Frozen | Data) else []
    return [value] * isinstance(value, dict | list | set) + [one for part in below for one in containers(part)]


CHANGES = [
    lambda x: x.__setitem__(0, 1), lambda x: x.__delitem__(0), lambda x: x.clear(), lambda x: x.pop(),
    lambda x: x.update({1: 2}), lambda x: x.setdefault(7), lambda x: x.popitem(), lambda x: x.append(1),
    lambda x: x.extend([1]), lambda x: x.insert(0, 1), lambda x: x.remove(1), lambda x: x.sort(),
    lambda x: x.reverse(), lambda x: x.add(1), lambda x: x.discard(1), lambda x: x.__ior__(x),
    lambda x: x.__iadd__(x), lambda x: x.__imul__(2), lambda x: x.__iand__(x), lambda x: x.__isub__(x),
    lambda x: x.__ixor__(x), lambda x: x.difference_update(x), lambda x: x.intersection_update(x),
]  # fmt: skip


@given(plain, st.sampled_from([lambda x: x, Point, Frozen, Data]))
def test_an_immutable_value_is_what_it_was_and_nothing_in_it_can_be_changed(value: Any, wrap: Any) -> None:
    """Equal from both sides, encoded and shown alike; every way to change it raises, and copies are plain again."""
    value = wrap(value)
    before = copy.deepcopy(value)
    made = immutable(value)
    assert made == value and value == made  # noqa: PT018
    assert repr(made) == repr(value)
    if isinstance(value, dict | list | tuple) and not isinstance(value, Point):
        assert msgspec.msgpack.encode(made) == msgspec.msgpack.encode(value)
    for one in containers(made):
        for change in CHANGES:
            with pytest.raises((TypeError, AttributeError)):
                change(one)
    assert made == before
    for again in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert again == before
        assert all(type(one) in (dict, list, set) for one in containers(again))
    assert immutable(made) == made


def test_every_method_that_changes_a_container_is_refused() -> None:
    """A method that a later Python adds, or that was forgotten here, would change what is kept."""
    for kind in (dict, list, set):
        looking = set(dir(type("Frozen", (frozenset if kind is set else tuple if kind is list else object,), {})))
        looking |= {"get", "keys", "values", "items", "copy", "fromkeys", "__reversed__", "__or__", "__ror__"}
        changing = {name for name in dir(kind) if name not in looking}
        changing -= {"__contains__", "__getitem__", "__iter__", "__len__", "__class_getitem__"}
        refused = immutable(kind())
        for name in changing:
            assert getattr(type(refused), name).__name__ == "_refuse", (kind, name)


@pytest.mark.parametrize(
    "value", [Loose(1), deque([1]), [Loose(1)], {"x": deque()}, Frozen(Loose(1)), bytearray(b"x")]
)
def test_what_can_be_changed_all_the_same_is_handed_out_as_a_copy(value: Any) -> None:
    """It is Changeable, and whoever gets it has one of its own."""
    with pytest.raises(Changeable):
        immutable(value)
    given_out = copied(value)
    assert given_out == value and given_out is not value  # noqa: PT018


# --- in a replica ---


class Put(Event):
    key: str
    tags: list[str] = []


class PutIt(Command):
    key: str


class Box(msgspec.Struct):
    """A state that is not frozen."""

    items: dict[str, list[str]] = {}


def pure(state: Any, event: Put) -> Any:
    return {**state, event.key: [*state.get(event.key, ()), *event.tags]}


def at_the_top(state: Any, event: Put) -> Any:
    state[event.key] = [*state.get(event.key, ()), *event.tags]
    return state


def below_a_copy(state: Any, event: Put) -> Any:
    state = dict(state)
    state.setdefault(event.key, []).extend(event.tags)
    return state


def in_an_object(state: Any, event: Put) -> Any:
    state = state or Box()
    state.items[event.key] = [*state.items.get(event.key, ()), *event.tags]
    return state


def nothing(state: Any, event: Put) -> Any:
    at_the_top(dict(state), event)


def kept_in_the_event(state: Any, event: Put) -> Any:
    event.tags.append("more")
    return state


def stock(evolve: Any, initial: Any = dict) -> type[Ordered]:
    class Stock(Ordered):
        stream = "stock"
        events = (Put,)

        def decide(self, command, given):
            return Put(command.key, ["x"])

    Stock.initial = lambda self: initial()  # type: ignore[method-assign]
    Stock.evolve = lambda self, state, event, moment: evolve(state, event)  # type: ignore[method-assign]
    Stock.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]
    return Stock


def direct(name: str, *aggregates: type) -> DirectReplica:
    return DirectReplica(MemoryLog(), "s", name, aggregates, random=Random(name))


@pytest.mark.parametrize("evolve", [at_the_top, below_a_copy, nothing, kept_in_the_event])
def test_a_fold_that_changes_its_state_in_place_is_told_at_its_first_slip(evolve: Any) -> None:
    """The event that it would have changed a kept state with is not recorded, and the state is what it was."""
    alice = direct("alice", stock(evolve))
    for keys in ("a", "ba", "ab"):
        for key in keys:
            if evolve is below_a_copy and key not in alice.present("stock/1").state:
                alice.append("stock/1", [Put(key, ["x"])], 1)  # nothing that is kept was changed
            else:
                with pytest.raises(InvalidEvent, match=r"TypeError|Unchangeable"):
                    alice.append("stock/1", [Put(key, ["x"])], 1)
    alice.flush()
    assert alice.present("stock/1").state == ({"a": ["x"], "b": ["x"]} if evolve is below_a_copy else {})


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["alice", "bob"]), st.booleans()), max_size=12))
def test_a_fold_that_changes_an_object_in_place_comes_to_what_a_pure_one_comes_to(moves: Any) -> None:
    """It is given copies, so that no kept state changes, and late events are folded into what was there."""
    replicas = {name: direct(name, stock(in_an_object, Box)) for name in ("alice", "bob")}
    reference = {name: direct(name, stock(pure)) for name in ("alice", "bob")}
    for now, (key, who, meet) in enumerate(moves):
        for one in (replicas, reference):
            one[who].append("stock/1", [Put(key, [str(now)])], now)
            one[who].flush()
            one[who].present("stock/1").state
            if meet:
                for a, b in (("alice", "bob"), ("bob", "alice")):
                    one[b].ingest([*one[a].all_slices()])
                    one[b].flush()
        for name in ("alice", "bob"):
            assert replicas[name].present("stock/1").state.items == reference[name].present("stock/1").state


def test_what_readers_and_decisions_change_is_refused_or_their_own() -> None:
    """A web handler that writes into a present changes nothing that the next reader sees."""
    folds = [(stock(pure), lambda state: state), (stock(in_an_object, Box), lambda state: state.items)]
    for kind, read in folds:
        alice = direct("alice", kind)
        alice.append("stock/1", [Put("a", ["x"])], 1)
        with suppress(TypeError):
            read(alice.present("stock/1").state)["a"] = []
        with pytest.raises(TypeError, match="read only"):
            alice.present("stock/1").state = {}
        alice.execute("stock/1", PutIt("b"), 2)
        assert read(alice.present("stock/1").state) == {"a": ["x"], "b": ["x"]}


def test_a_fold_that_changes_its_argument_by_ways_of_c_is_told_in_development_mode(monkeypatch: Any) -> None:
    """`list.append` asks no subclass. With `python -X dev` each call of `evolve` is proven."""

    def sneaky(state: Any, event: Put) -> Any:
        list.append(state, event.key)
        return [*state]

    monkeypatch.setattr(ordered, "PROVE", True)
    with pytest.raises(InvalidEvent, match="changed the state that it was given"):
        direct("alice", stock(sneaky, list)).append("stock/1", [Put("a")], 1)


def test_a_fold_that_changes_its_state_in_place_is_told_by_an_error_of_its_own() -> None:
    """Whoever looks for errors of ours finds it, and so does whoever looks for a TypeError."""

    def in_place(state: Any, event: Put) -> Any:
        state[event.key] = event.tags
        return state

    alice = direct("alice", stock(in_place))
    for error in (ChangedInPlace, InvalidEvent, TypeError):
        with pytest.raises(error, match="cannot be changed in place"):
            alice.append("stock/1", [Put("a")], 1)


class Seats(Aggregate):
    stream = "seats"
    events = (Put,)
    last = LWWRegister[Any]()
    all = MVRegister[Any]()
    each = ORMap[str, LWWRegister[Any]](LWWRegister[Any]())

    def effect(self, event):
        made = {event.key: [*event.tags]}
        return [self.last.write(event.tags), self.all.write(made), self.each[event.key].write(made)]


class ByEvent(EventRows):
    table, columns, events = "by_event", {"key": str}, (Put,)

    def rows(self, entry):
        entry.event.tags.append("more")
        return [(entry.event.key,)]


class ByStream(StreamRows):
    table, columns, of = "by_stream", {"key": str}, Seats

    def rows(self, present):
        present.last = "x"
        return []


def test_what_lies_in_events_registers_and_maps_cannot_be_changed() -> None:
    """Whoever gets an event or a reading: rows, watchers, reactions, feeds, readers."""

    @in_loop
    async def check() -> None:
        async with Replica.open(
            store="s", name="alice", aggregates=[Seats], projections=[ByEvent, ByStream]
        ) as alice:
            watching = alice.watch()
            await alice.append("seats/1", Put("a", ["x"]))
            entry = await anext(aiter(alice.watch(after=type(alice.version)())))
            record = await anext(aiter(alice.history("seats/1")))
            seats = await alice.present("seats/1")
            for change in (
                lambda: entry.event.tags.append("y"), lambda: record.event.tags.clear(),
                lambda: seats.last.value.append("y"), lambda: seats.all[0].clear(), lambda: seats.all[0]["a"].pop(),
                lambda: seats.each["a"].value.update(a=1), lambda: setattr(seats, "last", 1),
            ):  # fmt: skip
                with pytest.raises(TypeError):
                    change()
            record.fields["tags"].append("y")  # its own
            expected = {"last": ["x"], "all": [{"a": ["x"]}], "each": {"a": {"a": ["x"]}}}
            assert (await alice.present("seats/1")).value == expected
            assert {one.table: one.state for one in alice.status().projections} == dict.fromkeys(
                ("by_event", "by_stream"), "stopped"
            )
            await watching.aclose()
            assert json.dumps(seats.value)

    check()
