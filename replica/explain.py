"""Explanations: why a present reads as it does, from the events that made it so.

Rule 1. An explanation is made from the log alone, by the rules of `merge.why`; its value is the present's.
Rule 2. What is read, what has lost, and what was replaced are events: with their author, their time, and what
        their author had not seen. Only what was concurrent can lose, and losing deletes nothing.
Rule 3. An ordered aggregate has no places and no losers: its explanation is the events at which the value
        became another one, with the earlier events that their authors had not seen.

A path is field names, keys and elements: ("title",), ("items", "milk"), or in words `items/milk`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from merge.counter import PNCounter
from merge.effect import Path, Verb
from merge.flag import Flag
from merge.kernel import Happening
from merge.lattice import Lattice
from merge.register import MVRegister
from merge.sets import OUT, AWSet, RWSet
from merge.text import Text, authors, waiting
from merge.tree import EMPTY
from merge.version import Dot, ReplicaId, VersionVector
from merge.why import Front, Fronts, Touch
from replica.aggregate import Aggregate
from replica.cut import shown_time
from replica.decider import Decider, Happened
from replica.difference import ABSENT, difference
from replica.errors import NoSuchPlace
from replica.history import Record
from replica.words import order, shown

EARLIER = 16
"""Replaced acts that are told: the latest ones."""


@dataclass(frozen=True, slots=True)
class Act:
    """What one event did at a place."""

    record: Record
    did: str
    """In words: `wrote 'Friday'`, `added`, `removed`."""
    value: Any
    unseen: tuple[Dot, ...]
    """Of the other acts that are told beside it, those that its author had not seen."""

    def __str__(self) -> str:
        when = f"{self.record.dot}  {shown_time(self.record.stamp)}  {self.did}"
        return when + (f", not having seen {' '.join(map(str, self.unseen))}" if self.unseen else "")


@dataclass(frozen=True, slots=True)
class Share:
    """What one author gave to a value that has several: an amount, a run of text."""

    author: ReplicaId
    value: Any
    dot: Dot
    """The event; of several, the latest."""

    def __str__(self) -> str:
        return f"{shown(self.value)} by {self.dot}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one place reads as it does."""

    stream: str
    path: tuple[Any, ...]
    value: Any
    kind: str
    """The lattice that stands there; `Ordered` where the aggregate is one."""
    rule: str
    read: tuple[Act, ...]
    """The acts that are read, in the order of their stamps."""
    lost: tuple[Act, ...] = ()
    """Acts that nobody has replaced, and that are not read. `restore` brings one back."""
    earlier: tuple[Act, ...] = ()
    """The latest acts that were seen and replaced."""
    shares: tuple[Share, ...] = ()
    """Who gave what to a counter or a text."""
    waiting: tuple[Act, ...] = ()
    """Edits that are not in a text, because one that they build on has not come."""
    parts: tuple[Explanation, ...] = ()
    """The places below, where the path leads to several."""

    def __str__(self) -> str:
        return "\n".join(self._lines(""))

    def _lines(self, indent: str) -> Iterator[str]:
        place = "/".join(map(str, self.path))
        yield f"{indent}{self.stream}  {place + ' = ' if place else ''}{shown(self.value)}"
        yield f"{indent}  rule     {self.rule}"
        for act in self.read:
            yield f"{indent}  read     {act}"
        for act in self.lost:
            yield f"{indent}  lost     {act}"
        for act in self.waiting:
            yield f"{indent}  waiting  {act}"
        for act in self.earlier:
            yield f"{indent}  earlier  {act}"
        for share in self.shares:
            yield f"{indent}  share    {share}"
        for part in self.parts:
            yield from part._lines(indent + "  ")


class Explainer:
    """Takes the events of a stream in their order; explains the places of the present after them."""

    def __init__(
        self, aggregate: Decider, stream: str, path: str | tuple[Any, ...], aside: frozenset[Dot] = frozenset()
    ) -> None:
        self._aggregate, self._stream, self._aside = aggregate, stream, aside
        self._path = tuple(part for part in path.split("/") if part) if isinstance(path, str) else path
        self._shown = isinstance(path, str)
        self._earlier: dict[Path, deque[Act]] = {}
        self._fronts = Fronts(aggregate) if isinstance(aggregate, Aggregate) else None
        self._fold = aggregate.empty()
        self._changes: deque[Act] = deque(maxlen=EARLIER + 1)
        self._last: Any = ABSENT

    def take(self, record: Record) -> None:
        """One more event. Raises what folding it raises, unless it was set aside."""
        try:
            self._take(record)
        except Exception:
            if record.dot not in self._aside:
                raise

    def _take(self, record: Record) -> None:
        aggregate = self._aggregate
        if record.event is None or type(record.event) not in aggregate.events:
            return
        dot = Dot(int(record.dot.replica), record.dot.seq)
        context = record.context.advance(*dot._replace(seq=dot.seq - 1))
        if self._fronts is None:
            happened = Happened(record.stamp, dot, context, record.event)
            self._fold = aggregate.observe(self._fold, happened)
            self._compare(record)
            return
        assert isinstance(aggregate, Aggregate)
        happening = Happening(dot, record.stamp, context, aggregate.effect_of(record.event))
        for place, replaced in self._fronts.take(happening, record):
            if self._wanted(place):
                told = self._earlier.setdefault(place, deque(maxlen=EARLIER))
                lattice = self._fronts.places[place].lattice
                told.extend(self._act(touch, lattice, ()) for touch in replaced)

    def _wanted(self, place: Path) -> bool:
        head = place[: len(self._path)]
        return (tuple(map(str, head)) if self._shown else head) == self._path

    def explain(self, present: Decider) -> Explanation:
        """Why the present reads as it does at the path. NoSuchPlace where there is no such place."""
        if self._fronts is None:
            changes = [*self._changes]
            value = _reading(present.plain(), self._path)
            rule = "events are folded in the order of their stamps, whoever had seen what"
            earlier = tuple(changes[:-1])
            return Explanation(self._stream, self._path, value, "Ordered", rule, tuple(changes[-1:]), (), earlier)
        parts = [
            self._explain(place, front, present)
            for place, front in sorted(self._fronts.places.items(), key=lambda item: _order(item[0]))
            if self._wanted(place)
        ]
        if len(parts) == 1 and len(parts[0].path) == len(self._path):
            return parts[0]
        lattice = self._container()
        try:
            plain = _reading(present.plain(), self._path)
        except NoSuchPlace:
            if not parts:
                raise
            plain = lattice.bind(EMPTY, self._path)._reading  # it was there, and was removed
        return Explanation(
            self._stream, self._path, plain, type(lattice).__name__, lattice.rule, (), parts=tuple(parts)
        )

    def conflicts(self, present: Decider) -> list[Explanation]:
        """The places where acts met that had not seen each other, and that nobody has settled since."""
        found = []
        for place, front in self._fronts.places.items() if self._fronts else ():
            said = {repr(touch.said) for touch in front.touches}
            if isinstance(front.lattice, Text) or len(said) < 2:
                continue
            if front.lost or (isinstance(front.lattice, MVRegister) and len(front.chosen) > 1):
                found.append(self._explain(place, front, present))
        return sorted(found, key=lambda one: _order(one.path))

    def _container(self) -> Lattice:
        """The lattice that the path leads to; NoSuchPlace where it leads nowhere."""
        here: Any = self._aggregate
        for part in self._path:
            fields: Mapping[str, Any] = getattr(here, "_fields", {})
            if part in fields:
                here = fields[part]
            elif hasattr(here, "_values"):
                here = here._values
            elif not isinstance(here, AWSet | RWSet):
                known = ", ".join(fields) or "nothing below"
                raise NoSuchPlace(
                    f"{type(self._aggregate).__name__} has no {'/'.join(map(str, self._path))} (there is: {known})"
                )
        assert isinstance(here, Lattice)
        return here

    def _explain(self, place: Path, front: Front, present: Decider) -> Explanation:
        lattice = front.lattice
        chosen, lost = front.chosen, front.lost
        value = _value(lattice, present, place)
        read: tuple[Act, ...] = ()
        if not isinstance(lattice, PNCounter | Text):
            read = tuple(self._act(touch, lattice, lost) for touch in chosen)
        return Explanation(
            self._stream, place, value, type(lattice).__name__, lattice.rule, read,
            tuple(self._act(touch, lattice, chosen) for touch in lost),
            tuple(self._earlier.get(place, ())),
            tuple(self._shares(front)),
            tuple(self._waiting(front)),
        )  # fmt: skip

    def _waiting(self, front: Front) -> Iterator[Act]:
        if isinstance(front.lattice, Text):
            edits = [(part.told, b"".join(part.value.updates())) for part in front.shares]
            for record in waiting(edits):
                yield Act(record, "typed, and waits for an earlier edit that is missing", None, ())

    def _shares(self, front: Front) -> Iterator[Share]:
        if isinstance(front.lattice, Text):
            edits = [(part.told, b"".join(part.value.updates())) for part in front.shares]
            for record, run in authors(edits):
                yield Share(record.author, run, record.dot)
        elif isinstance(front.lattice, PNCounter):
            amounts: list[tuple[Record, int]] = [(part.told, part.value) for part in front.shares]
            amounts += [(touch.told, touch.value) for touch in front.touches if touch.said]
            totals: dict[int, tuple[int, Record]] = {}
            for record, amount in amounts:
                author = int(record.author)
                totals[author] = totals.get(author, (0, record))[0] + amount, record
            for total, record in totals.values():
                yield Share(record.author, total, record.dot)

    def _act(self, touch: Touch, lattice: Lattice, others: list[Touch] | tuple[Touch, ...]) -> Act:
        record: Record = touch.told
        unseen = [
            other.told.dot
            for other in others
            if not touch.saw(other) and other.happening.dot != touch.happening.dot
        ]
        return Act(record, _did(touch, lattice), touch.value, tuple(unseen))

    def _compare(self, record: Record) -> None:
        """Ordered: did the value at the path become another one?"""
        plain = self._aggregate.present_of(self._fold, self._stream, VersionVector()).plain()
        try:
            value = _reading(plain, self._path)
        except NoSuchPlace:
            value = ABSENT
        if value is not ABSENT and difference(self._last, value):
            self._changes.append(Act(record, f"{record.type} made it {shown(value)}", value, record.concurrent))
        self._last = value


def _did(touch: Touch, lattice: Lattice) -> str:
    if isinstance(lattice, AWSet | RWSet):
        removed = not touch.said or any(path[-1:] == (OUT,) for path, _ in touch.said)
        return "removed" if removed else "added"
    if isinstance(lattice, Flag):
        return "enabled" if touch.said else "disabled"
    if not touch.said:
        return "cleared"
    return f"added {shown(touch.value)}" if isinstance(lattice, PNCounter) else f"wrote {shown(touch.value)}"


def _value(lattice: Lattice, present: Decider, place: Path) -> Any:
    """What the present reads at a place."""
    element = isinstance(lattice, AWSet | RWSet)
    assert isinstance(present, Aggregate)
    bound = lattice.bind(present.state.at(*(place[:-1] if element else place)), place)
    return place[-1] in bound if element else bound._reading  # type: ignore[operator]


def _reading(value: Any, path: tuple[Any, ...]) -> Any:
    """What stands in a plain value at a path; NoSuchPlace where nothing does."""
    for part in path:
        if isinstance(value, Mapping):
            keys = [key for key in value if key == part or str(key) == str(part)]
            if not keys:
                raise NoSuchPlace(f"there is no {'/'.join(map(str, path))}")
            value = value[keys[0]]
        elif isinstance(value, list | tuple) and str(part).isdigit() and int(part) < len(value):
            value = value[int(part)]
        elif isinstance(value, set | frozenset):
            value = any(element == part or str(element) == str(part) for element in value)
        else:
            raise NoSuchPlace(f"there is no {'/'.join(map(str, path))}")
    return value


def _order(place: Path) -> list[tuple[str, Any]]:
    return [order(part) for part in place]


def repeatable(aggregate: Aggregate, event: Any) -> bool:
    """Would recording an event again say no more than it says once? Not so for what adds up."""
    for deed in aggregate.effect_of(event):
        if deed.verb in (Verb.TALLY, Verb.ABSORB):
            return False
        found = aggregate.place(deed.path)
        if deed.verb is Verb.SAY and found is not None and isinstance(found[1], PNCounter):
            return False
    return True
