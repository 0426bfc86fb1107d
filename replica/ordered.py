"""Ordered aggregates: any deterministic function of the events, in the order of their stamps.

    decide(self, command, given) -> facts                intent: may look at `self.state`, may refuse
    evolve(self, state, event, moment) -> state          fact: the state after it

Stamps order events the same way on every replica, and never an effect before its cause. So the present is the
fold of all events in that order, whatever the order of their arrival: replicas that hold the same events have
the same state, for any `evolve` that is a function of its arguments.

Rule 1. What arrives in order is folded as it comes.
Rule 2. A past that arrives late rewinds to the last state that was kept before it, and replays from there. Its
        cost grows with the events after it, not with the log.
Rule 3. States are values: `evolve` returns another one, and does not change the one it was given. A state that is
        kept (one in STRIDE, and the last) cannot be changed: a dict, a list or a set in it refuses that, with an
        error at the line that tries (see `merge.immutable`). Then the event is not recorded, or the stream stopped.
        Between two kept states only `evolve` has them, so that changing them would do no harm. Of what else could
        be changed, such as a Struct that is not frozen, `evolve` and readers get copies, which costs time. Under
        `python -X dev` each call is proven to have left its argument as it was.
Rule 4. `moment.concurrent()` is the earlier events of the stream that this one had not seen. (Later ones may be
        concurrent too; they will ask about this one when their turn comes.) It is the same whatever is held: where
        a fold does not hold all earlier events, no event is folded, or folded again, that has not seen the others.

When two people act at once, both facts are there, one after the other in stamp order; what `evolve` makes of the
second is the rule of the domain, and the same everywhere.

Source: Baquero, Almeida, Shoker 2017 (a totally ordered log as the pure operation-based extreme);
Kleppmann et al. 2022 (moving in trees: undo, do, redo).
"""

from __future__ import annotations

import heapq
import sys
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from functools import cache
from typing import Any, NamedTuple, Self, get_args, get_type_hints

import msgspec

from merge.immutable import Changeable, immutable
from merge.stamp import Stamp
from merge.version import VersionVector
from replica.canonical import ordered
from replica.decider import Decider, FoldFailed, Happened
from replica.errors import exception
from replica.identical import unlike
from replica.place import START, StreamPlace
from replica.uncollected import uncollected

PROVE = sys.flags.dev_mode
"""Each `evolve` is proven to leave its state as it was, at the cost of a copy each (`python -X dev`)."""
STRIDE = 64
"""Events between two states that are kept: what a late event replays in vain, at most."""


RECENT = 1024
"""Events that stay in memory where a snapshot stands behind them: more than arrive late while links are up."""


class Stretch(NamedTuple):
    """Up to STRIDE events that follow each other in the order, the state before them, and all that came before."""

    before: Any
    events: tuple[Happened, ...]
    earlier: StreamPlace
    """The events of the stream before these."""

    @property
    def order(self) -> tuple[Stamp, int]:
        return self.events[0].order


class Base(NamedTuple):
    """What lies before the events that a trail holds: up to which stamp, and which events of the stream."""

    stamp: Stamp
    stands: StreamPlace
    fixed: int = 0
    """How many of the first stretches are never gone back into: the last of these holds an event that has not seen
    all that lies before, and could not be folded again."""


class Trail(NamedTuple):
    """The fold of a stream: its events in their order, states along the way, and the state after them.

    All of its events, or those after a base: then it takes what comes after that, and has seen all of it.
    """

    stretches: tuple[Stretch, ...]
    state: Any
    base: Base | None = None
    copied: bool = False
    """Something in the states could be changed: they are handed out as copies."""

    @property
    def events(self) -> Iterator[Happened]:
        """All of them, in their order."""
        return (happened for stretch in self.stretches for happened in stretch.events)


class Moment:
    """When and where an event happened, for `evolve`."""

    __slots__ = ("_earlier", "_full", "_last", "context", "dot", "stamp")

    def __init__(self, happened: Happened, stretches: list[Stretch]) -> None:
        self.dot, self.stamp, self.context = happened.dot, happened.stamp, happened.context
        self._earlier, self._full, self._last = stretches, len(stretches) - 1, stretches[-1]

    def concurrent(self) -> list[Happened]:
        """The earlier events of this stream that this one had not seen, in their order."""
        found: list[Happened] = []
        context = self.context
        for at in range(self._full, -1, -1):
            stretch = self._last if at == self._full else self._earlier[at]
            found += [one for one in reversed(stretch.events) if one.dot not in context and one.dot != self.dot]
            if stretch.earlier.inside(context):
                break
        return found[::-1]


class Ordered(Decider, base=True):
    """Base of ordered aggregates: declare `stream`, `events`, `decide`, `initial` and `evolve`."""

    @abstractmethod
    def initial(self) -> Any:
        """The state before any event: an immutable value."""

    @abstractmethod
    def evolve(self, state: Any, event: Any, moment: Moment) -> Any:
        """The state after `event`. A function of its arguments alone, which it does not change."""

    def empty(self) -> Trail:
        state, copied = _kept(self.initial())
        return Trail((), state, None, copied)

    def observe(self, fold: Trail, happened: Happened) -> Trail:
        return self._replay(fold, [happened])

    def observe_all(self, fold: Trail, happened: Sequence[Happened]) -> Trail:
        """A late past rewinds once, however many events it brings."""
        return self._replay(fold, happened) if happened else fold

    def _replay(self, fold: Trail, news: Sequence[Happened]) -> Trail:
        """Go back to where the first of the news belongs, and on from there with all of them."""
        stretches, state, events, copied = list(fold.stretches), fold.state, list(news), fold.copied
        if stretches and news[0].order < stretches[-1].events[-1].order:
            at = max(bisect_right(stretches, news[0].order, key=lambda stretch: stretch.order) - 1, 0)
            redone = (happened for stretch in stretches[at:] for happened in stretch.events)
            events = list(heapq.merge(redone, news, key=lambda happened: happened.order))
            state = stretches[at].before
            del stretches[at:]
        state, evolve = deepcopy(state) if copied else state, self._proven if PROVE else self.evolve
        for happened in events:
            try:
                if not stretches or len(stretches[-1].events) >= STRIDE:
                    before, changes = _kept(state)
                    copied = copied or changes
                    stretches.append(Stretch(before, (happened,), _after(stretches, fold.base)))
                    state = deepcopy(before) if copied else before
                else:
                    last = stretches[-1]
                    stretches[-1] = Stretch(last.before, (*last.events, happened), last.earlier)
                state = self._after(state, happened, Moment(happened, stretches), evolve)
            except BaseException as raised:
                raise FoldFailed(happened, exception(raised)) from raised
        try:
            state, changes = _kept(state)
        except Exception as error:
            raise FoldFailed(events[-1], error) from error
        return Trail(tuple(stretches), state, fold.base, copied or changes)

    def _after(
        self, state: Any, happened: Happened, moment: Moment, evolve: Callable[[Any, Any, Moment], Any]
    ) -> Any:
        """The state after an event; the same where it was set aside, and raises."""
        try:
            result = evolve(deepcopy(state) if happened.aside else state, happened.event, moment)
            if result is None and state is not None and not _may_be_none(type(self)):
                raise TypeError("`evolve` returned None, and not a state: does it forget its `return`?")
        except BaseException as raised:
            if not happened.aside:
                raise
            exception(raised)
            return state
        return result

    def _proven(self, state: Any, event: Any, moment: Moment) -> Any:
        """What `evolve` makes of a state. TypeError where it has changed its argument."""
        before = deepcopy(state)
        result = self.evolve(state, event, moment)
        if before != state:
            raise TypeError(f"`evolve` changed the state that it was given, from {before!r} to {state!r}")
        return result

    # --- snapshots ---

    def freeze(self, fold: Trail) -> bytes:
        return _encode(self.codec().pack(fold.state))

    @uncollected
    def thaw(self, data: bytes, stamp: Stamp, stands: StreamPlace) -> Trail:
        state, copied = _kept(self.codec().unpack(_decode(data)))
        return Trail((), state, Base(stamp, stands), copied)

    def unlike(self, one: Trail, other: Trail) -> str | None:
        return unlike(one.state, other.state, "state")

    def serves(self, stamp: Stamp, stands: StreamPlace, later: Stamp, context: VersionVector) -> bool:
        return stamp < later and stands.inside(context)

    def takes(self, fold: Trail, later: Stamp, context: VersionVector) -> bool:
        base, stretches = fold.base, fold.stretches
        if base is None:
            return True
        if not self.serves(base.stamp, base.stands, later, context):
            return False
        # It is folded after what is fixed: at the end, or in a stretch behind that.
        last = stretches[-1].events[-1].stamp if stretches else base.stamp
        return (
            not base.fixed
            or last < later
            or (len(stretches) > base.fixed and stretches[base.fixed].order[0] < later)
        )

    def rewinds(self, fold: Trail, first: Callable[[], Stamp | None]) -> int:
        last = fold.stretches[-1].order if fold.stretches else None
        late = None if last is None else first()
        if late is None or last is None or late >= last[0]:
            return 0
        at = bisect_right(fold.stretches, (late, 0), key=lambda stretch: stretch.order)
        return (len(fold.stretches) - max(at - 1, 0)) * STRIDE

    def trim(self, fold: Trail) -> Trail:
        """The fold with the latest RECENT to 2 * RECENT events alone."""
        drop = len(fold.stretches) - RECENT // STRIDE
        if drop < RECENT // STRIDE:
            return fold
        kept, earlier = fold.stretches[drop:], fold.stretches[drop].earlier
        base = Base(fold.stretches[drop - 1].events[-1].stamp, earlier, _fixed(kept, earlier))
        return Trail(kept, fold.state, base, fold.copied)

    def present_of(self, fold: Trail, address: str, version: VersionVector) -> Self:
        present = object.__new__(type(self))
        state = deepcopy(fold.state) if fold.copied else fold.state
        present.__dict__.update(state=state, address=address, version=version, _address=address, _version=version)
        return present

    def canonical(self, state: Any) -> Any:
        try:
            return msgspec.to_builtins(state, order="deterministic", str_keys=False)
        except TypeError:
            return msgspec.to_builtins(ordered(state), str_keys=False)

    def plain(self) -> Any:
        return msgspec.to_builtins(self.state, str_keys=False)

    @property
    def value(self) -> Any:
        """The state."""
        return self.state

    def __str__(self) -> str:
        return f"{self._address or type(self).__name__} {self.state!r}"


def _after(stretches: list[Stretch], base: Base | None) -> StreamPlace:
    """All events up to the end of some stretches."""
    if not stretches:
        return START if base is None else base.stands
    last = {happened.dot.replica: happened.dot.seq for happened in stretches[-1].events}
    return stretches[-1].earlier.advance_all(last)


def _fixed(stretches: Sequence[Stretch], earlier: StreamPlace) -> int:
    """How many stretches there are up to the last with an event that has not seen all `earlier` ones."""
    fixed, seen = 0, set[int]()
    for at, stretch in enumerate(stretches, 1):
        for happened in stretch.events:
            author = happened.dot.replica
            if author not in seen:  # what its author has seen once, it has seen in all later events
                if earlier.inside(happened.context):
                    seen.add(author)
                else:
                    fixed = at
    return fixed


def _kept(state: Any) -> tuple[Any, bool]:
    """A state as it is kept; and whether it could be changed all the same."""
    try:
        return immutable(state), False
    except Changeable:
        return state, True


@cache
def _may_be_none(kind: type[Ordered]) -> bool:
    """Does `initial` say that None is a state?"""
    try:
        return type(None) in get_args(get_type_hints(kind.initial).get("return"))
    except Exception:
        return False


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
