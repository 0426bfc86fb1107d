"""Ingest: commits from elsewhere become part of the log; all of a batch, or none of it.

Rule 1. Idempotent: a commit once or a thousand times, in any order, gives the same log.
Rule 2. A batch and the log together are causally closed: every head that a context names is held, or comes
        in the same batch. (Logs may depend on each other in a circle, so they cannot come one by one.)
Rule 3. Checked before it is believed: the chain, the boundaries, that stamps rise along a log and exceed
        those of all that was observed, that contexts only grow, that a log begins with its introduction,
        that no stamp lies beyond the horizon that was promised. What breaks a rule raises InvalidBatch, and
        nothing of the batch is taken.
Rule 4. What is merely not there yet is a Gap, and nobody's fault. The first head that is not there answers a batch:
        so a few are looked for first, and the others when these were found.
Rule 5. Folded in the order of stamps, which is the same on every replica.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import lt
from typing import TYPE_CHECKING, Any, NamedTuple

from merge.stamp import Stamp
from merge.version import Dot, VersionVector
from replica.arrange import Gap, Parting, Placed, continues
from replica.aside import KIND as SET_ASIDE
from replica.aside import set_aside_in
from replica.block import Head, Slice, Tail, observed_of
from replica.commit import Observed
from replica.decoded import Decoded
from replica.derive import needs
from replica.errors import InvalidBatch
from replica.folding import fold, too_late
from replica.introduction import check_introduction, read_introduction
from replica.lineage import Lineage
from replica.log import BlockStart, LogRow
from replica.missing import Missing
from replica.reading import Boundary, End
from replica.run import Run, by_stamp
from replica.snapshot import limits_of, span
from replica.uncollected import uncollected

if TYPE_CHECKING:
    from replica.core import Core


FEW = 64
"""Heads that are looked for in the log before it is known that a batch names any that are there."""

Named = tuple[int, int, bytes]
"""What a context names, as it is decoded: equal to the Observed of the same parts."""


class Ingested(NamedTuple):
    """What a batch brought: how many events are new here, and the ids of which a second history turned up."""

    events: int
    forked: tuple[int, ...] = ()


@dataclass(slots=True)
class _Arriving:
    """The slices of a batch for one log, and what they hold."""

    number: int | None
    """The log that they go on from; None until it has a number, where it is new here."""
    parting: Parting | None
    replica: int
    end: End
    """The end that the slices go on from; after `check`, with the stamp and context of the last commit."""
    tail: Tail
    """The tail after them."""
    row: LogRow | None = None
    """The log as it will be."""
    pieces: list[tuple[Slice, Decoded]] = field(default_factory=list)
    hashes: dict[int, bytes] = field(default_factory=dict)
    """The heads at the boundaries that matter: slice ends, and what contexts name."""
    starts: list[BlockStart] = field(default_factory=list)
    streams: list[tuple[str, int]] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    """After `check`: what the slices hold, with what their author had seen."""

    @property
    def stamp(self) -> Stamp:
        """Of the last commit."""
        return self.pieces[-1][1].stamp(-1)

    @property
    def boundaries(self) -> list[Boundary]:
        """What stands at the boundaries that matter."""
        assert self.number is not None
        found, seqs = [], sorted(self.hashes)
        for piece, decoded in self.pieces:
            for seq in seqs[bisect_right(seqs, piece.after) : bisect_right(seqs, piece.last)]:
                stamp = decoded.stamp(bisect_left(decoded.lasts, seq))
                found.append(Boundary(self.number, Head(seq, self.hashes[seq]), stamp))
        return found


@uncollected
def ingest(
    core: Core, pieces: Sequence[Slice], horizon: int | None, placed: list[Placed] | Gap | None
) -> Ingested | Gap:
    """The step `Core.ingest`. Raises Missing before it has changed anything."""
    if placed is None:
        placed = _arrange(core, pieces)
    if isinstance(placed, Gap):
        return placed
    if not placed:
        return Ingested(0)
    batch = _Batch(core, horizon)
    batch.read(placed)
    gap = batch.check()
    if gap is not None:
        return gap
    absent = needs(core, batch.streams)
    if absent:
        raise Missing(streams=absent)
    batch.rewind()
    aside = batch.freed()
    if aside:
        raise Missing(streams=tuple(aside), aside=aside)
    return batch.take()


def _arrange(core: Core, pieces: Sequence[Slice]) -> list[Placed]:
    """Place slices that go on from a head, or begin a log; Missing(arrange) where it is not so simple."""
    lineages = core.now.lineages
    placed: list[Placed] = []
    ends: dict[tuple[int, int, bytes], Placed] = {}
    for piece in pieces:
        before = ends.get((piece.replica, piece.after, piece.base))
        row = None if before else continues(lineages.get(piece.replica), piece)
        if before is not None:
            here = before._replace(piece=piece)
        elif row is not None:
            here = Placed(piece, row.number)
        elif piece.replica not in lineages and piece.after == 0:
            here = Placed(piece)
        else:
            raise Missing(arrange=list(pieces))
        placed.append(here)
        ends[piece.replica, piece.last, piece.head] = here
    return placed


class _Batch:
    """One batch on its way in. Nothing of the core changes before `take`."""

    def __init__(self, core: Core, horizon: int | None) -> None:
        self.core = core
        self.memory = core.now
        self.horizon = horizon
        self.arriving: dict[tuple[int, int | None, int], _Arriving] = {}
        self.lineages = core.now.lineages
        """As they will be after this batch: contexts are read against these."""
        self.next_number = core.next_number
        self.late: Sequence[str] = ()
        """Streams whose presents cannot take what arrives."""

    # --- reading ---

    def read(self, placed: list[Placed]) -> None:
        """Decode all slices, and compute the heads that matter."""
        absent = {item.number for item in placed if item.number and item.number not in self.memory.ends}
        if absent:
            raise Missing(ends=tuple(sorted(absent)))
        named = _named(item.piece for item in placed)
        for item in placed:
            here = self._arriving(item)
            tail = here.tail
            decoded = tail.read(item.piece)
            wanted = named.get(item.piece.replica, set())
            if item.piece.after == 0:
                (first,) = decoded.some(0, 1)
                stores = self.memory.stores if item.parting is None else {tail.store}
                check_introduction(first)
                tail.store = here.end.tail.store = read_introduction(first, stores).store
            if item.parting is not None and not here.pieces:
                wanted = {*wanted, decoded.lasts[0]}
            here.pieces.append((item.piece, decoded))
            here.streams += [(name, tail.first) for name in decoded.streams[len(tail.streams) :]]
            here.hashes |= tail.accept(item.piece, decoded, frozenset(wanted))
        self._number()

    def _arriving(self, item: Placed) -> _Arriving:
        replica, parting = item.piece.replica, item.parting
        key = replica, item.number, id(parting)
        here = self.arriving.get(key)
        if here is None:
            if item.number is not None:
                end = self.memory.ends[item.number]
            elif parting is not None:
                end = parting.end
            else:
                end = End(Tail(self.core.store, replica))
            here = self.arriving[key] = _Arriving(item.number, parting, replica, end, end.tail.copy())
        return here

    def _number(self) -> None:
        """Number the logs that are new, and see all lineages as they will be after this batch."""
        for here in self.arriving.values():
            lineage = self.lineages.get(here.replica, Lineage(()))
            if here.number is None:
                here.number, self.next_number = self.next_number, self.next_number + 1
                row = self._new_row(here, here.number)
            else:
                row = next(row for row in lineage.rows if row.number == here.number)
            here.row = row.moved_to(here.tail.head, here.stamp)
            self.lineages = self.lineages.set(here.replica, lineage.with_row(here.row))

    # --- checking ---

    def check(self) -> Gap | None:
        boundaries: dict[Named, Boundary] = {
            boundary.named(here.replica): boundary
            for here in self.arriving.values()
            for boundary in here.boundaries
        }
        missing: list[Observed] = []
        for here in self.arriving.values():
            end = here.end
            for piece, decoded in here.pieces:
                if piece.after == piece.first - 1:
                    named = tuple(sorted(end.named.values()))
                    here.starts.append(BlockStart(0, piece.first, piece.base, end.stamp, named))
                _check_stamps(end.stamp, decoded, self.horizon)
                found_or_gap = self._check_contexts(end, decoded, boundaries, missing)
                if isinstance(found_or_gap, Gap):
                    return found_or_gap
                end, seen = found_or_gap
                here.runs.append(Run(decoded, seen.copy, 0, piece.commits))
            here.end = end
        if missing:
            raise Missing(boundaries=tuple(missing))
        return None

    def _check_contexts(
        self, end: End, decoded: Decoded, arriving: Mapping[Named, Boundary], missing: list[Observed]
    ) -> tuple[End, list[tuple[int, VersionVector]]] | Gap:
        """The end after a slice, and what its author had seen from which commit on. `missing` is added to."""
        context, named = end.context, end.named
        recent: Any = self.memory.recent
        seen = [(0, context)]
        for index in decoded.observing:
            news: dict[int, int] = {}
            for observed in decoded.observed[index] or ():
                found = arriving.get(observed) or recent.get(observed)
                if found is None:
                    if not self._held(Observed(*observed)):
                        return Gap(observed[0], observed[1], foreign=False)
                    missing.append(Observed(*observed))
                    if len(missing) == FEW and not self.core.found_all:
                        raise Missing(boundaries=tuple(missing))
                    continue
                replica, seq, _ = observed
                key = replica, found.number
                self._check_observed(decoded, index, seq, found, named.get(key))
                news[replica] = self.lineages[replica].effective(found.number, seq)
                named = named.set(key, Observed(*observed))
            context = context.advance_all(news)
            seen.append((index, context))
        last = decoded.lasts[-1]
        return End(end.tail, decoded.stamp(-1), context.advance(decoded.replica, last), named), seen

    def _held(self, observed: Observed) -> bool:
        """A log here reaches that far, and it has not been looked for in vain."""
        lineage = self.memory.lineages.get(observed.replica)
        if lineage is None or observed in self.core.sought:
            return False
        return any(row.head.seq >= observed.seq for row in lineage.rows)

    def _check_observed(
        self, decoded: Decoded, index: int, seq: int, found: Boundary, before: Observed | None
    ) -> None:
        """What a commit says that it observed, up to event `seq`, can have been observed by it."""
        if found.stamp.replica == decoded.replica:
            raise InvalidBatch(f"{_where(decoded, index)} says that it observed its own log")
        if before is not None and seq <= before.seq:
            raise InvalidBatch(f"{_where(decoded, index)} observed less than the commit before it")
        if found.stamp >= decoded.stamp(index):
            raise InvalidBatch(f"{_where(decoded, index)} has a stamp before one that it had observed")

    @property
    def streams(self) -> Iterator[str]:
        """The streams that change."""
        return (stream for here in self.arriving.values() for run in here.runs for stream in run.by_stream)

    @property
    def news(self) -> list[Run]:
        """What is folded."""
        return [
            run
            for here in self.arriving.values()
            if self.lineages[here.replica].tip.number == here.number
            for run in here.runs
        ]

    def freed(self) -> dict[str, frozenset[Dot]]:
        """The streams that are stopped by an event which what arrives sets aside, with all that it does there."""
        poison = self.memory.poison
        if not poison or not any(SET_ASIDE in run.decoded.kinds for run in self.news):
            return {}
        found: dict[str, set[Dot]] = {}
        for stream, dot in set_aside_in(by_stamp(self.news)):
            found.setdefault(stream, set()).add(dot)
        return {
            stream: frozenset(dots)
            for stream, dots in found.items()
            if stream in poison
            and poison[stream].dot in dots
            and self.core.read_without.get(stream) != frozenset(dots)
        }

    def rewind(self) -> None:
        """Which folds have to go back before what they know, to take what arrives.

        They are let go of, and read again when somebody asks. Missing where something follows from such a present.
        """
        news = self.news
        late = too_late(self.core, news)
        needed = [stream for stream in late if self.core.derives(stream)]
        if needed:
            raise Missing(streams=tuple(needed), limits=limits_of(by_stamp(news), needed))
        self.late = late

    # --- taking ---

    def take(self) -> Ingested:
        core, draft = self.core, self.core.draft
        memory = draft.memory
        own = core.own_log()
        forked = [here.replica for here in self.arriving.values() if here.parting is not None]
        core.next_number = self.next_number
        memory.lineages = self.lineages
        news = self.news
        for here in self.arriving.values():
            draft.commits.add(here.runs)
            self._take_log(here)
        newest = max(here.stamp for here in self.arriving.values())
        stamp = newest if memory.stamp is None else max(memory.stamp, newest)
        draft.news.add(news)
        for done in sorted((done for run in news for done in run.done), key=lambda done: done.stamp):
            core.heard_of(done)
        if forked:
            core.refold(stamp)
        else:
            if memory.stamp is not None:
                self._outdate(news, memory.stamp)
            for stream in self.late:
                draft.forget_present(stream)
            fold(core, news)
            for stream in {stream for run in news for stream in run.by_stream if stream in memory.unknown}:
                memory.unknown = memory.unknown.delete(stream)
            draft.changed.update((stream, None) for run in news for stream in run.by_stream)
            memory.stamp = stamp
        if any(here.replica == core.me for here in self.arriving.values()):
            core.succeed(own)
        return Ingested(
            sum(p.last - p.after for here in self.arriving.values() for p, _ in here.pieces), tuple(forked)
        )

    def _outdate(self, news: list[Run], newest: Stamp) -> None:
        """Snapshots that hold later events of a stream than those that arrive are let go."""
        first: dict[str, Stamp] = {}
        for run in news:
            decoded = run.decoded
            for stream, places in run.by_stream.items() if decoded.stamp(0) <= newest else ():
                stamp = decoded.stamp(decoded.commit_at(places[0]))
                if stamp <= newest:
                    first[stream] = min(stamp, first.get(stream, stamp))
        for stream, stamp in first.items():
            self.core.draft.let_go(span(stream, stamp))

    def _take_log(self, here: _Arriving) -> None:
        """Put one log's commits into the draft."""
        core, draft = self.core, self.core.draft
        number, head = here.number, here.tail.head
        assert number is not None
        if here.parting is not None and here.parting.prefix:
            self._take_prefix(here, number)
        for start in here.starts:
            draft.starts.append(start._replace(number=number))
        draft.streams += [(stream, number, first) for stream, first in here.streams]
        for piece, decoded in here.pieces:
            draft.add_slice(number, piece)
            draft.count(decoded.kinds)
        draft.remember((here.replica, boundary) for boundary in here.boundaries)
        memory = draft.memory
        memory.ends = memory.ends.set(number, here.end.with_tail(here.tail))
        if self.lineages[here.replica].tip.number != number:
            return
        memory.version = memory.version.advance(here.replica, head.seq)
        if here.replica != core.me:
            memory.unseen = memory.unseen.set(here.replica, head.named(here.replica))

    def _new_row(self, here: _Arriving, number: int) -> LogRow:
        (commit,) = here.pieces[0][1].some(0, 1)
        parting = here.parting
        if parting is None:
            introduced = read_introduction(commit, self.memory.stores)
            store = "" if introduced.store == self.core.store else introduced.store
            return LogRow(number, here.replica, introduced.name, Head(0, b""), commit.stamp, store=store)
        return LogRow(
            number,
            here.replica,
            parting.parent.name,
            Head(0, b""),
            commit.stamp,
            parting.parent.number,
            here.pieces[0][0].after,
            here.hashes[commit.last],
            parting.rival_hash,
            parting.parent.store,
        )

    def _take_prefix(self, here: _Arriving, number: int) -> None:
        """A log that parts within a block keeps the beginning of that block too, so that it can be read alone."""
        draft, parting = self.core.draft, here.parting
        assert parting is not None
        block = parting.start
        draft.starts.append(block._replace(number=number))
        for piece in parting.prefix:
            draft.add_slice(number, piece)
        draft.streams += [(stream, number, block.first) for stream in parting.end.tail.streams]


def _named(pieces: Iterable[Slice]) -> dict[int, set[int]]:
    """By replica the seqs that the contexts in some slices name."""
    named: dict[int, set[int]] = {}
    for piece in pieces:
        for observed in filter(None, observed_of(piece)):
            for replica, seq, _ in observed:
                named.setdefault(replica, set()).add(seq)
    return named


def _check_stamps(before: Stamp | None, decoded: Decoded, horizon: int | None) -> None:
    """Stamps rise along a log, and stay below the horizon that was promised."""
    walls = decoded.walls
    begins = before is None or before < decoded.stamp(0)
    if not (begins and all(map(lt, walls, walls[1:]))):
        stamps = [*zip(walls, decoded.counters, strict=True)]
        falls = [at for at, (one, other) in enumerate(pairwise(stamps), 1) if one >= other]
        if falls or not begins:
            at = falls[0] if begins else 0
            raise InvalidBatch(f"{_where(decoded, at)} has a stamp that is not after the one before it")
    if horizon is not None and max(walls) > horizon:
        at = next(at for at, wall in enumerate(walls) if wall > horizon)
        raise InvalidBatch(f"{_where(decoded, at)} has a stamp beyond the horizon that was announced")


def _where(decoded: Decoded, index: int) -> str:
    """One commit of a slice, in words."""
    return f"the commit {decoded.replica:016x}:{decoded.lasts[index] - decoded.counts[index] + 1}"
