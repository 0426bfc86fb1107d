"""Hypothesis strategies: events of an aggregate's types, and scenarios of replicas that write them.

Values come from small pools on purpose: what never meets never conflicts. A field of a type that is not known here
is made by Hypothesis itself (`st.from_type`), for which a strategy can be registered.
"""

from __future__ import annotations

import types
import typing
from typing import Any

import hypothesis.strategies as st
import msgspec

from replica.decider import Decider
from replica.event import Command, Event
from replica.scenario import Scenario
from replica.step import Hear, Write

_POOLS: dict[Any, st.SearchStrategy[Any]] = {
    str: st.sampled_from(["a", "b", "c", ""]),
    int: st.integers(-2, 9),
    float: st.sampled_from([0.0, 0.5, -1.0, 2.0]),
    bool: st.booleans(),
    bytes: st.sampled_from([b"", b"a", b"b"]),
    type(None): st.none(),
}
NAMES = "abcdefghijklmnopqrstuvwxyz"
WALLS = st.integers(1, 40)
"""Clocks of replicas (ms): they differ, stand still and go back, as clocks do."""


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a type, from a small pool."""
    if kind in _POOLS:
        return _POOLS[kind]
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return values_of(inside[0])
    if origin in (typing.Union, types.UnionType):
        return st.one_of([values_of(one) for one in inside])
    if origin is tuple and inside and inside[-1] is not ...:
        return st.tuples(*map(values_of, inside))
    if origin in (list, tuple, set, frozenset) and inside:
        return st.lists(values_of(inside[0]), max_size=3, unique=origin in (set, frozenset)).map(origin)
    if origin is dict:
        return st.dictionaries(*map(values_of, inside), max_size=3)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return structs(kind)
    return st.from_type(kind)


def structs(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Instances of a msgspec Struct: an event, a command, or what is in one."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return st.builds(kind, **{name: values_of(hints[name]) for name in kind.__struct_fields__})


def events_of(kind: type[Decider]) -> st.SearchStrategy[Event]:
    """Events of all types that an aggregate folds."""
    return st.one_of([structs(event) for event in kind.events])


@st.composite
def scenarios(
    draw: st.DrawFn,
    what: st.SearchStrategy[Event] | st.SearchStrategy[Command],
    replicas: int = 3,
    steps: int = 8,
) -> Scenario:
    """So many steps, at most, of some replicas, which write events (or decide on commands) and hear of others."""
    names = tuple(NAMES[:replicas])
    ids = st.sampled_from(names)
    found: list[Write | Hear] = []
    for _ in range(draw(st.integers(1, steps))):
        if draw(st.integers(0, 2)):
            one: Any = draw(what)
            found.append(Write.of(draw(ids), one, wall=draw(WALLS)))
        else:
            replica, other = draw(ids), draw(ids)
            if replica != other:
                found.append(Hear(replica, other))
    seeds = draw(st.integers(0, 99)), draw(st.integers(0, 99))
    return Scenario(names, tuple(found), seeds, links=())
