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

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from merge.effect import Path, Verb
from merge.growing import Growing
from merge.stamp import Stamp
from merge.tree import Tree
from merge.version import NOTHING, Dot, Seen, VersionVector
from replica.aggregate import Aggregate
from replica.decider import Decider, FoldFailed, Happened
from replica.event import Event, EventTypes
from replica.plain import Plain, plain_effect
from replica.uncollected import uncollected

if TYPE_CHECKING:
    from replica.decoded import Decoded
    from replica.reading import Place, Reader
    from replica.run import Run

_KEYS = {str, bytes, int}
"""Where these are equal they are the same key. (True equals 1, and is none.)"""


class _Left(NamedTuple):
    """An event that is to be folded. Of one whose effect is plain: how, and for which key; else what it does."""

    event: Event
    plain: Plain | None
    key: Any
    deeds: Sequence[tuple[Verb, Path, Any]] = ()

    def done(self) -> Sequence[tuple[Verb, Path, Any]]:
        """What it does."""
        if self.plain is None:
            return self.deeds
        keys = (self.key,) if len(self.plain.fields) == 1 else self.key
        return self.plain.deeds_of(self.event, self.plain.path_of(keys))


class _Candidate(NamedTuple):
    """The same, with where it stands."""

    stamp: Stamp
    seq: int
    seen: Seen
    left: _Left


class _Column(NamedTuple):
    """Events of one type, at some indices of a run, and the last of them for each key."""

    plain: Plain
    indices: Sequence[int]
    events: Sequence[Event]
    last: dict[Any, int]


class Bulk:
    """A fold of many events of one stream, which come run by run: those of a log from its end."""

    def __init__(self, aggregate: Decider, types: EventTypes, stream: str) -> None:
        assert isinstance(aggregate, Aggregate)
        self._aggregate, self._types, self._stream = aggregate, types, stream
        self._covered: dict[tuple[int, tuple[Any, ...]], set[Any]] = {}
        """The keys of each kind of path that later events of a log forget."""
        self._left: list[_Candidate] = []
        self._stands: dict[int, int] = {}
        """The last event of the stream in each log."""
        self.held = 0
        """Events of the stream."""
        self.events = 0
        """Those of them that are folded: their type is known."""

    @uncollected
    def take(self, run: Run) -> None:
        """One more run, which lies before those of its log that were taken. What this raises ends the bulk."""
        decoded = run.decoded
        picked = run.by_stream.get(self._stream)
        if not picked:
            return
        self.held += len(picked)
        self._stands.setdefault(decoded.replica, decoded.after + 1 + picked[-1])
        left: list[tuple[int, _Left]] = []
        columns: dict[tuple[Any, ...], list[_Column]] = {}
        for (name, schema), indices in _by_kind(decoded, picked):
            kind = self._types.kind_of(name, schema)
            if kind is None:
                continue
            whole = len(indices) == len(decoded.payloads)
            payloads = decoded.payloads if whole else [decoded.payloads[at] for at in indices]
            events = self._types.decode_all(name, schema, payloads, run.payload if whole else None)
            if kind not in self._aggregate.events:
                continue
            self.events += len(events)
            plain = plain_effect(type(self._aggregate), kind)
            keys = None if plain is None else _keys(plain, events)
            if plain is None or keys is None:
                left += zip(
                    indices, [_Left(e, None, None, self._aggregate.effect_of(e)) for e in events], strict=True
                )
            else:
                last = dict(zip(keys, range(len(events)), strict=False))
                columns.setdefault(plain.place, []).append(_Column(plain, indices, events, last))
        for place, some in columns.items():
            left += _uncovered(some, self._covered.setdefault((decoded.replica, place), set()))
        self._keep(run, left)

    def _keep(self, run: Run, left: list[tuple[int, _Left]]) -> None:
        """Keep what is left of a run, with all that its author had seen."""
        decoded = run.decoded
        replica, after, walls, counters = decoded.replica, decoded.after, decoded.walls, decoded.counters
        upcoming = [*run.seen][::-1]
        _, context = upcoming.pop()
        commit = 0
        for index, event in sorted(left, key=itemgetter(0)):
            seq = after + 1 + index
            commit = bisect_left(decoded.lasts, seq, commit)
            while upcoming and upcoming[-1][0] <= commit:
                context = upcoming.pop()[1]
            stamp = Stamp(walls[commit], counters[commit], replica)
            self._left.append(_Candidate(stamp, seq, Seen(context, replica, seq - 1), event))

    def stands_after(self, stands: VersionVector) -> VersionVector:
        """A version of the stream's own events after all that was taken."""
        return stands | VersionVector(self._stands)

    @uncollected
    def fold(self, tree: Tree) -> Tree:
        """The state after all that was taken; FoldFailed names the event that raised."""
        growing = Growing(tree)
        for stamp, seq, seen, left in sorted(_concurrent(self._left), key=itemgetter(0, 1)):
            dot = Dot(stamp.replica, seq)
            try:
                growing.act(dot, stamp, seen, left.done())
            except Exception as error:
                raise FoldFailed(Happened(stamp, dot, seen.version, left.event), error) from error
        return growing.finish()


@uncollected
def in_bulk(
    reader: Reader, streams: Mapping[str, Decider], types: EventTypes, after: VersionVector = NOTHING
) -> dict[str, Bulk]:
    """Some streams beyond `after`, each in bulk, without those that are for the other path.

    A block with events of many streams is read once.
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
        run = reader.run(place)
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


def _keys(plain: Plain, events: Sequence[Event]) -> Iterable[Any] | None:
    """The key of each event: what its fields are as parts of the path. None where they are not all keys."""
    columns = [[getattr(event, name) for event in events] for name in plain.fields]
    if not all(_KEYS.issuperset(map(type, column)) for column in columns):
        return None
    if len(columns) == 1:
        return columns[0]
    return zip(*columns, strict=True) if columns else repeat((), len(events))


def _uncovered(columns: list[_Column], covered: set[Any]) -> Iterator[tuple[int, _Left]]:
    """The last event for each key that no later run forgets; which covers the key from here on."""
    newest: dict[Any, int] = {}
    for _, indices, _, last in columns:
        for key in last.keys() - covered:
            newest[key] = max(indices[last[key]], newest.get(key, -1))
    covered.update(newest)
    for plain, indices, events, last in columns:
        for key, index in newest.items():
            at = last.get(key)
            if at is not None and indices[at] == index:
                yield index, _Left(events[at], plain, key)


def _concurrent(candidates: Iterable[_Candidate]) -> Iterator[_Candidate]:
    """Without those whose path a later one forgets that had seen them."""
    places: dict[tuple[Any, ...], dict[Any, list[_Candidate]]] = {}
    for candidate in candidates:
        plain = candidate.left.plain
        if plain is None:
            yield candidate
        else:
            places.setdefault(plain.place, {}).setdefault(candidate.left.key, []).append(candidate)
    for keys in places.values():
        for rivals in keys.values():
            kept: list[_Candidate] = []
            for one in sorted(rivals, key=itemgetter(0, 1), reverse=True) if len(rivals) > 1 else rivals:
                dot = one.stamp.replica, one.seq
                if not any(dot in later.seen for later in kept):
                    kept.append(one)
            yield from kept
