"""Folding by column: what a later event of the same author does again is left out, and all else is folded as ever.

Rule 1. An event whose effect is plain (see `replica.plain`) does nothing to a state that a later event of its log
        which forgets the same path would not do. That one has seen the event, and all that the event had seen: so
        what it said is forgotten, and what it forgot is forgotten once more. Of the events of one log that forget
        one path the last alone is folded.
Rule 2. Which is the last is found by column: payloads are decoded in one call, and a dict of a column of keys holds
        the last of each. So logs are gone through from their ends.
Rule 3. The same holds between logs: of the events that are left at a path one is folded unless a later one of them
        had seen it. So what is folded there are the concurrent ones.
Rule 4. What is left is folded as it would be anyway, in the order of stamps. Events whose effect is not plain are
        all left, each with what `effect` makes of it.
Rule 5. Whatever raises on the way is for the path that takes one event after the other: that says which event it
        was. Only what raises nothing is a fold here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from merge.effect import Path, Verb
from merge.growing import Growing
from merge.stamp import Stamp
from merge.tree import Tree
from merge.version import Dot, Seen, VersionVector
from replica.aggregate import Aggregate
from replica.aside import EventSetAside, set_aside_by
from replica.decider import Decider, FoldFailed, Happened
from replica.event import Event, EventTypes
from replica.introduction import OWN_TYPES
from replica.place import START, StreamPlace
from replica.plain import Plain, plain_effect
from replica.reading import MANY
from replica.uncollected import uncollected

if TYPE_CHECKING:
    from replica.decoded import Decoded
    from replica.reading import Place, Reader
    from replica.run import Run

PORTION = 4096
"""Events that are folded at once where that is done in portions: some ten milliseconds."""
_KEYS = {str, bytes, int}
"""Where these are equal they are the same key. (True equals 1, and is none.)"""


class _Left(NamedTuple):
    """An event that may have to be folded. Of one whose effect is plain: how; else what it does."""

    order: tuple[int, int, int, int]
    """Wall, counter, replica, seq: by these they are sorted."""
    run: Run
    commit: int
    event: Event
    plain: Plain | None
    deeds: Sequence[tuple[Verb, Path, Any]] = ()

    @property
    def context(self) -> VersionVector:
        """What its author had observed, beside earlier events of its own."""
        return self.run.context(self.commit)

    def done(self) -> Sequence[tuple[Verb, Path, Any]]:
        """What it does."""
        if self.plain is None:
            return self.deeds
        keys = [getattr(self.event, field) for field in self.plain.fields]
        return self.plain.deeds_of(self.event, self.plain.path_of(keys))


def _left(
    run: Run, place: int, event: Event, plain: Plain | None, deeds: Sequence[tuple[Verb, Path, Any]] = ()
) -> _Left:
    decoded, commit = run.decoded, run.decoded.commit_at(place)
    order = decoded.walls[commit], decoded.counters[commit], decoded.replica, decoded.after + 1 + place
    return _Left(order, run, commit, event, plain, deeds)


class _Column(NamedTuple):
    """Events of one type, at some places of a run, and the key of each."""

    plain: Plain
    places: Sequence[int]
    events: Sequence[Event]
    keys: list[Any]

    def last(self, covered: set[Any]) -> dict[Any, int]:
        """The last of them for each key that is not covered."""
        if covered.issuperset(self.keys):
            return {}
        fresh = {*self.keys} - covered
        last = dict(zip(self.keys, range(len(self.keys)), strict=True))
        return {key: last[key] for key in fresh}


class Bulk:
    """A fold of many events of one stream, which come run by run: those of a log from its end."""

    def __init__(self, aggregate: Decider, types: EventTypes, stream: str) -> None:
        assert isinstance(aggregate, Aggregate)
        self._aggregate, self._types, self._stream = aggregate, types, stream
        self._covered: dict[tuple[int, tuple[Any, ...]], set[Any]] = {}
        """The keys of each kind of path that later events of a log forget."""
        self._rivals: dict[tuple[Any, ...], defaultdict[Any, list[_Left]]] = {}
        """By kind of path and key: the last event of each log that forgets it."""
        self._others: list[_Left] = []
        """Events whose effect is not plain."""
        self._stands: dict[int, int] = {}
        """The last event of the stream in each log."""
        self.unknown: set[tuple[str, int]] = set()
        """Types, with their schemas, that the aggregate does not know."""
        self.aside: set[Dot] = set()
        """Events that were set aside: left out where they raise."""
        self.held = 0
        """Events of the stream."""
        self.events = 0
        """Those of them that are folded: their type is known."""

    @uncollected
    def take(self, run: Run) -> None:
        """One more run, which lies before those of its log that were taken. What this raises ends the bulk."""
        decoded = run.decoded
        picked = run.places_of(self._stream)
        if not picked:
            return
        self.held += len(picked)
        self._stands.setdefault(decoded.replica, decoded.after + 1 + picked[-1])
        columns: dict[tuple[Any, ...], list[_Column]] = {}
        for (name, schema), places in _by_kind(decoded, picked):
            kind = self._types.kind_of(name, schema)
            if kind is EventSetAside:
                self._set_aside(run, places)
            if name in OWN_TYPES:
                continue
            if kind is None:
                self.unknown.add((name, schema))
                continue
            events = self._types.decode_all(name, schema, len(places), decoded.joined(places))
            if kind not in self._aggregate.events:
                self.unknown.add((name, schema))
                continue
            self.events += len(events)
            plain = plain_effect(type(self._aggregate), kind)
            keys = None if plain is None else _keys(plain, events)
            if plain is None or keys is None:
                for place, event in zip(places, events, strict=True):
                    self._others.append(_left(run, place, event, None, self._aggregate.effect_of(event)))
            else:
                columns.setdefault(plain.place, []).append(_Column(plain, places, events, keys))
        for path, some in columns.items():
            rivals = self._rivals.setdefault(path, defaultdict(list))
            covered = self._covered.setdefault((decoded.replica, path), set())
            for key, column, at in _uncovered(some, covered):
                rivals[key].append(_left(run, column.places[at], column.events[at], column.plain))

    def _set_aside(self, run: Run, places: Sequence[int]) -> None:
        decoded = run.decoded
        for place in places:
            index, seq = decoded.commit_at(place), decoded.after + place
            (commit,) = decoded.some(index, index + 1)
            event = commit.events[seq + 1 - commit.first]
            found = set_aside_by(event, run.context(index).advance(decoded.replica, seq))
            if found is not None:
                self.aside.add(found)

    def stands_after(self, stands: StreamPlace) -> StreamPlace:
        """A place in the stream after all that was taken."""
        return stands.advance_all(self._stands)

    @property
    def left(self) -> list[_Left]:
        """What is to be folded, in the order of stamps."""
        found = [*self._others]
        for keys in self._rivals.values():
            for rivals in keys.values():
                found += rivals if len(rivals) == 1 else _concurrent(rivals)
        return sorted(found)

    def fold(self, tree: Tree) -> Tree:
        """The state after all that was taken; FoldFailed names the event that raised."""
        return self._fold(tree, self.left)

    def states(self, tree: Tree) -> Iterator[Tree]:
        """The same in portions: the state after each, the last one after all."""
        left = self.left
        for at in range(0, len(left) or 1, PORTION):
            tree = self._fold(tree, left[at : at + PORTION])
            yield tree

    @uncollected
    def _fold(self, tree: Tree, some: Sequence[_Left]) -> Tree:
        growing = Growing(tree)
        for left in some:
            wall, counter, replica, seq = left.order
            dot, stamp, seen = (
                Dot(replica, seq),
                Stamp(wall, counter, replica),
                Seen(left.context, replica, seq - 1),
            )
            before = growing.finish() if dot in self.aside else None
            try:
                growing = growing if before is None else Growing(before)
                growing.act(dot, stamp, seen, left.done())
            except Exception as error:
                if before is not None:
                    growing = Growing(before)
                    continue
                raise FoldFailed(Happened(stamp, dot, seen.version, left.event), error) from error
        return growing.finish()


@uncollected
def in_bulk(
    reader: Reader, streams: Mapping[str, Decider], types: EventTypes, after: StreamPlace = START
) -> dict[str, Bulk]:
    """Some streams beyond `after`, each in bulk, without those that are for the other path.

    A block with events of many streams is read once, and remembered for the next stream unless there are too many.
    """
    bulks = {stream: Bulk(aggregate, types, stream) for stream, aggregate in streams.items()}
    places: dict[Place, list[str]] = {}
    for stream in streams:
        here = reader.places(stream, after)
        if here is None:
            return {}
        for place in here:
            places.setdefault(place, []).append(stream)
    for place, names in sorted(places.items(), key=lambda item: (item[0].row.number, item[0].first), reverse=True):
        run = reader.run(place, hold=len(places) <= MANY)
        for stream in names:
            try:
                if stream in bulks:
                    bulks[stream].take(run)
            except Exception:
                del bulks[stream]  # the other path raises it again, and knows which event it was
    return bulks


def _by_kind(decoded: Decoded, picked: Sequence[int]) -> Iterable[tuple[tuple[str, int], Sequence[int]]]:
    """The indices of some events by their type and schema."""
    if len(decoded.types) == 1:
        return [(decoded.types[0], picked)]
    found: dict[tuple[str, int], list[int]] = {}
    for at in picked:
        found.setdefault(decoded.kinds[at], []).append(at)
    return found.items()


def _keys(plain: Plain, events: Sequence[Event]) -> list[Any] | None:
    """The key of each event: what its fields are as parts of the path. None where they are not all keys."""
    columns = [list(map(attrgetter(name), events)) for name in plain.fields]
    if not all(_KEYS.issuperset(map(type, column)) for column in columns):
        return None
    if len(columns) == 1:
        return columns[0]
    return list(zip(*columns, strict=True)) if columns else [()] * len(events)


def _uncovered(columns: list[_Column], covered: set[Any]) -> Iterator[tuple[Any, _Column, int]]:
    """The last event for each key that no later run forgets; which covers the key from here on."""
    each = [(column, column.last(covered)) for column in columns]
    newest: dict[Any, int] = {}
    for column, last in each:
        for key, at in last.items():
            newest[key] = max(column.places[at], newest.get(key, -1))
    covered.update(newest)
    for column, last in each:
        for key, at in last.items():
            if column.places[at] == newest[key]:
                yield key, column, at


def _concurrent(rivals: list[_Left]) -> list[_Left]:
    """Those that no later one had seen; each forgets the same path, and there is one of each log."""
    rivals.sort(reverse=True)
    kept = [rivals[0]]
    contexts = [rivals[0].context.seqs]
    for left in rivals[1:]:
        _, _, replica, seq = left.order
        if all(seq > seqs.get(replica, 0) for seqs in contexts):
            kept.append(left)
            contexts.append(left.context.seqs)
    return kept
