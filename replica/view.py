"""Views: a replica as it was at a cut, read only, beside the live one.

Rule 1. A view is folded from the log inside its cut, and from nothing else. It changes nothing, nothing reacts
        to it, and any number of them may stand beside each other.
Rule 2. A fold may begin at any kept state that lies inside the cut: the live present, a snapshot, or a state
        that an earlier view came to (so a slider that moves on costs what lies between). Which of them was
        there never changes the result.
Rule 3. What is long is read in portions, and the event loop goes on between them.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NamedTuple

from merge.stamp import Stamp
from merge.version import NOTHING, Dot, VersionVector
from replica import snapshot
from replica.aside import KIND as SET_ASIDE
from replica.aside import set_aside_in
from replica.bulk import Bulk
from replica.commit import check_name
from replica.decider import FoldFailed
from replica.difference import Changed, apply, difference
from replica.digest import digest
from replica.direct import reader_of
from replica.errors import PoisonEvent
from replica.explain import Explainer, Explanation
from replica.folding import fold_apart, stands_after
from replica.history import Record, records
from replica.place import START, StreamPlace
from replica.plain import folds_by_column
from replica.snapshot import Damaged, Loaded

if TYPE_CHECKING:
    from replica.backend import Backend
    from replica.core import Core
    from replica.reading import Place, Reader
    from replica.run import Run

PORTION = 2048
"""Events that are read from the log, and folded, at once."""
RUNS = 8
"""Blocks that are read, and folded by column, at once: some milliseconds."""
EXPLAINED = 32
"""Events that are explained at once: of an ordered aggregate each is compared with the state before it."""
RECENT = 32
"""Folds of views that are kept, of whatever streams."""


class Fold(NamedTuple):
    """The fold of a stream, and how far that is folded in it."""

    fold: Any
    stands: StreamPlace


class Folds:
    """The folds that views came to lately."""

    def __init__(self) -> None:
        self._recent: OrderedDict[tuple[str, StreamPlace], Fold] = OrderedDict()
        self.epoch = 0
        """How often a second history turned up, after which other events are folded than before."""

    def add(self, stream: str, fold: Fold) -> None:
        self._recent[stream, fold.stands] = fold
        self._recent.move_to_end((stream, fold.stands))
        if len(self._recent) > RECENT:
            self._recent.popitem(last=False)

    def of(self, stream: str) -> list[Fold]:
        return [fold for (name, _), fold in self._recent.items() if name == stream]

    def clear(self) -> None:
        self.epoch += 1
        self._recent.clear()


class View:
    """A replica as it was at `version`."""

    def __init__(self, core: Core, backend: Backend, folds: Folds, version: VersionVector) -> None:
        self._core, self._backend, self._folds, self._cut = core, backend, folds, version

    @property
    def version(self) -> VersionVector:
        """The cut: paste it into `at` to come back here."""
        return self._core.labelled(self._cut)

    def __repr__(self) -> str:
        return f"View({str(self.version)!r})"

    async def present(self, stream: str) -> Any:
        """The present of a stream as it was: its aggregate, to be read."""
        check_name(stream)
        core = self._core
        aggregate = core.aggregate_of(stream)
        fold = await self._fold(stream)
        return aggregate.present_of(fold, stream, self.version)

    async def digest(self, stream: str) -> str:
        """A name for the present of a stream, equal wherever presents are."""
        present = await self.present(stream)
        return digest(present.canonical(present.state))

    def history(self, stream: str, after: VersionVector = NOTHING) -> AsyncGenerator[Record, None]:
        """The events of a stream inside this cut and beyond `after`, in the order of their stamps."""
        return read_history(self._core, self._backend, stream, after, self._cut)

    async def diff(self, stream: str, other: View) -> Difference:
        """From this present of a stream to another one; and the events that one has and the other has not."""
        before, after = await self.present(stream), await other.present(stream)
        gained = [record async for record in other.history(stream, self._cut)]
        lost = [record async for record in self.history(stream, other._cut)]
        changes = difference(before.plain(), after.plain())
        return Difference(stream, self.version, other.version, changes, tuple(gained), tuple(lost))

    async def explain(self, stream: str, path: str | tuple[Any, ...] = ()) -> Explanation:
        """Why the present of a stream reads as it does, at a place or below it; NoSuchPlace if none."""
        present = await self.present(stream)
        return (await self._explainer(stream, path)).explain(present)

    async def conflicts(self, stream: str) -> list[Explanation]:
        """The places of a stream where acts met that had not seen each other, and that nobody has settled since.

        An ordered aggregate has none: see the `concurrent` of the events in its history.
        """
        present = await self.present(stream)
        return (await self._explainer(stream, ())).conflicts(present)

    async def _explainer(self, stream: str, path: str | tuple[Any, ...]) -> Explainer:
        explainer, taken = (
            Explainer(self._core.aggregate_of(stream), stream, path, await self._set_aside(stream)),
            0,
        )
        async for record in self.history(stream):
            explainer.take(record)
            taken += 1
            if not taken % EXPLAINED:
                await asyncio.sleep(0)
        return explainer

    async def _fold(self, stream: str) -> Any:
        while True:
            epoch, found = self._folds.epoch, None
            async with aclosing(self._bases(stream)) as bases:
                async for base in bases:
                    found = await self._fold_on(stream, base)
                    if found is not None:
                        break
            assert found is not None, "the empty fold takes whatever comes"
            if epoch == self._folds.epoch:
                self._folds.add(stream, found)
                return found.fold

    async def _bases(self, stream: str) -> AsyncGenerator[Fold, None]:
        """Folds to begin with, the nearest first; the empty one last."""
        core, cut, memory = self._core, self._cut, self._core.memory
        aggregate = core.aggregate_of(stream)
        near = self._folds.of(stream)
        if stream in memory.presents:
            near.append(Fold(memory.presents[stream], memory.stands[stream]))
        near = [fold for fold in near if fold.stands.inside(cut)]
        near.sort(key=lambda fold: fold.stands.size, reverse=True)
        if near and StreamPlace.holding(cut).size - near[0].stands.size <= PORTION:  # no snapshot is worth reading
            yield near.pop(0)
        held = await self._backend.run(lambda log: log.kept(snapshot.span(stream)))
        for kept in reversed(held):
            try:
                one = snapshot.read(kept)
                stands = StreamPlace(one.stands)
                while near and near[0].stands.size >= stands.size:
                    yield near.pop(0)
                if one.fingerprint == aggregate.fingerprint() and stands.inside(cut):
                    yield Fold(aggregate.thaw(one.fold, Stamp(*one.stamp), stands), stands)
            except Damaged as damaged:
                core.complaints.say("snapshot", stream, f"{stream}: {damaged}")
            except Exception as error:
                words = f"{stream}: a snapshot cannot be read ({error}); the log has what it held"
                core.complaints.say("snapshot", stream, words)
        for fold in near:
            yield fold
        yield Fold(aggregate.empty(), START)

    async def _fold_on(self, stream: str, base: Fold) -> Fold | None:
        """The fold inside the cut, from one that lies inside; None where that cannot take what comes."""
        core, cut = self._core, self._cut
        aggregate = core.aggregate_of(stream)
        if folds_by_column(aggregate):
            found = await self._fold_by_column(stream, base)
            if found is not None:
                return found
        (fold, stands), aside = base, None
        while True:
            commits = await _read(core, self._backend, stream, stands, cut)
            if not all(aggregate.takes(fold, commit.stamp, context) for commit, context in commits):
                return None
            try:
                fold = fold_apart(core, stream, Loaded(fold, stands, 0, commits), aside or frozenset())
            except Exception as error:
                if aside is None:
                    aside = await self._set_aside(stream)
                    continue
                why = f"{stream} has no present at {self.version}: "
                if isinstance(error, FoldFailed):
                    why += f"folding {core.dot(error.happened.dot)} raised {error.why!r}"
                else:
                    why += f"reading it raised {error!r}"
                raise PoisonEvent(
                    f"{why}. The log is whole: mend the code, set the event aside, or go to an earlier past."
                ) from error
            stands, events = stands_after(stands, stream, commits)
            if events < PORTION:
                return Fold(fold, stands)
            await asyncio.sleep(0)

    async def _set_aside(self, stream: str) -> frozenset[Dot]:
        """The events of a stream that are set aside inside the cut."""
        found, position, events = set[Dot](), START, PORTION
        while events >= PORTION and SET_ASIDE in self._core.memory.types:
            commits = await _read(self._core, self._backend, stream, position, self._cut)
            found |= {dot for where, dot in set_aside_in(commits) if where == stream}
            position, events = stands_after(position, stream, commits)
        return frozenset(found)

    async def _fold_by_column(self, stream: str, base: Fold) -> Fold | None:
        """The same by column; None where that does not come to a fold."""
        core, cut = self._core, self._cut
        bulk = Bulk(core.aggregate_of(stream), core.types, stream)
        places: list[Place] | None = None

        def read(log: Any) -> list[Run]:
            nonlocal places
            reader: Reader = reader_of(core, log)
            if places is None:
                places = reader.places(stream, base.stands, cut)
            return [reader.run(places.pop()) for _ in range(min(RUNS, len(places)))] if places else []

        while places is None or places:
            runs = await self._backend.run(read)
            if places is None:
                return None
            try:
                for run in runs:
                    bulk.take(run)
            except Exception:
                return None  # the other path raises it again, and knows which event it was
            await asyncio.sleep(0)
        try:
            return Fold(bulk.fold(base.fold), bulk.stands_after(base.stands))
        except Exception:
            return None


class Difference(NamedTuple):
    """What differs between two presents of a stream, and the events between their cuts."""

    stream: str
    a: VersionVector
    b: VersionVector
    changes: tuple[Changed, ...]
    gained: tuple[Record, ...]
    """The events that b has and a has not."""
    lost: tuple[Record, ...]
    """The events that a has and b has not: none, where b comes after a."""

    def apply(self, value: Any) -> Any:
        """What is plain at a, made what is plain at b."""
        return apply(value, self.changes)

    def __str__(self) -> str:
        lines = [f"{self.stream}: {self.a or 'nothing'} -> {self.b or 'nothing'}"]
        lines += [str(change) for change in self.changes] or ["no difference"]
        lines += [f"  {record}" for record in self.gained]
        lines += [f"  not in the second: {record}" for record in self.lost]
        return "\n".join(lines)


async def read_history(
    core: Core,
    backend: Backend,
    stream: str,
    after: VersionVector,
    upto: VersionVector,
    types: Iterable[str] = (),
    replicas: Iterable[int] = (),
) -> AsyncGenerator[Record, None]:
    """The events of a stream beyond `after` and inside `upto`; of some types or replicas, if any are named."""
    check_name(stream)
    types, replicas = frozenset(types), frozenset(map(int, replicas))
    place = StreamPlace.holding(after)
    earlier: dict[int, list[int]] = {}
    events = PORTION
    while events >= PORTION:
        commits = await _read(core, backend, stream, place, upto)
        for record in records(core, stream, commits, earlier):
            if (not types or record.type in types) and (not replicas or int(record.dot.replica) in replicas):
                yield record
        place, events = stands_after(place, stream, commits)


async def _read(core: Core, backend: Backend, stream: str, place: StreamPlace, upto: VersionVector) -> Any:
    def read(log: Any) -> Any:
        reader: Reader = reader_of(core, log)
        return reader.stream_beyond(stream, place, upto, PORTION)

    return await backend.run(read)
