"""Aggregates that do not converge, each by one usual mistake; and some that do."""

from __future__ import annotations

import time
from typing import Any

from merge import AWSet, LWWRegister, MVRegister, ORMap, PNCounter
from merge.effect import absorb
from merge.lattice import Lattice
from replica import Aggregate, Event, Ordered


class Put(Event, frozen=True):
    item: str


class Taken(Event, frozen=True):
    item: str


class Moved(Event, frozen=True):
    step: int


class Tagged(Event, frozen=True):
    tags: frozenset[str]


class Named(Event, frozen=True):
    who: str
    name: str | None


class Good(Aggregate):
    """Nothing is wrong with it."""

    stream = "good"
    events = (Put, Taken, Moved, Named)
    items = AWSet[str]()
    steps = PNCounter()
    names = ORMap[str](MVRegister())

    def effect(self, event: Any) -> Any:
        match event:
            case Put(item):
                return self.items.add(item)
            case Taken(item):
                return self.items.remove(item)
            case Moved(step):
                return self.steps.add(step)
            case Named(who, None):
                return self.names.remove(who)
            case Named(who, name):
                return self.names[who].write(name)


class GoodOrder(Ordered):
    """Nothing is wrong with it either: a fold in the order of stamps may do what it likes."""

    stream = "order"
    events = (Put, Moved)

    def initial(self) -> tuple[str, ...]:
        return ()

    def evolve(self, state: Any, event: Any, moment: Any) -> Any:
        if isinstance(event, Moved):
            return state[event.step % (len(state) or 1) :]
        return (*state, f"{event.item}{len(moment.concurrent())}")


class Arrival(Aggregate):
    """A handler that does not commute: it counts the events that it was called for, whichever came first."""

    stream = "arrival"
    events = (Put,)
    first = LWWRegister[int]()
    _calls = 0

    def effect(self, event: Any) -> Any:
        type(self)._calls += 1
        return self.first.write(type(self)._calls)


class _Latest:
    """A value whose join is none: who comes last wins."""

    def __init__(self, item: str = "") -> None:
        self.item = item

    def __or__(self, other: _Latest) -> _Latest:
        return other

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Latest) and self.item == other.item

    __hash__ = None  # type: ignore[assignment]


class Overwriting(Lattice):
    """A lattice of somebody's own, that is none."""

    rule = "whoever comes last"

    def put(self, item: str) -> Any:
        return absorb(self._path, _Latest(item))

    @property
    def value(self) -> str:
        held = self._state.absorbed
        return held.item if held else ""


class NoJoin(Aggregate):
    """A field whose join is not commutative."""

    stream = "nojoin"
    events = (Put,)
    last = Overwriting()

    def effect(self, event: Any) -> Any:
        return self.last.put(event.item)

    def canonical(self, state: Any) -> Any:
        return self.bind(state, ()).last.value


class Clocked(Aggregate):
    """A handler that reads the wall clock."""

    stream = "clocked"
    events = (Put,)
    when = LWWRegister[int]()

    def effect(self, event: Any) -> Any:
        return self.when.write(int(time.time()) // 3600)


class Unordered(Aggregate):
    """A handler that takes the first of a set of strings."""

    stream = "unordered"
    events = (Tagged,)
    tag = LWWRegister[str]()

    def effect(self, event: Any) -> Any:
        return self.tag.write(next(iter(event.tags), ""))


class Insertion(Ordered):
    """A fold that goes through a set of strings."""

    stream = "insertion"
    events = (Put,)

    def initial(self) -> tuple[str, ...]:
        return ()

    def evolve(self, state: Any, event: Any, moment: Any) -> Any:
        return tuple({*state, event.item})


class InPlace(Ordered):
    """A fold that changes the state it is given."""

    stream = "inplace"
    events = (Put,)

    def initial(self) -> list[str]:
        return []

    def evolve(self, state: Any, event: Any, moment: Any) -> Any:
        state.append(event.item)
        return state
