"""Ingest: commits from elsewhere become part of the log; all of a batch, or none of it.

Rule 1. Idempotent: a commit once or a thousand times, in any order, gives the same log.
Rule 2. A batch and the log together are causally closed: every head that a context names is held, or comes
        in the same batch. (Logs may depend on each other in a circle, so they cannot come one by one.)
Rule 3. Checked before it is believed: the chain, the boundaries, that stamps rise along a log and exceed
        those of all that was observed, that contexts only grow, that a log begins with its introduction,
        that no stamp lies beyond the horizon that was promised. What breaks a rule raises InvalidBatch, and
        nothing of the batch is taken.
Rule 4. What is merely not there yet is a Gap, and nobody's fault.
Rule 5. Folded in the order of stamps, which is the same on every replica.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from merge.stamp import Stamp
from merge.version import VersionVector
from replica.arrange import Gap, Parting, Placed, continues
from replica.block import Head, Slice, Tail
from replica.commit import Commit, Observed
from replica.decoded import Decoded
from replica.derive import needs
from replica.errors import InvalidBatch
from replica.folding import fold
from replica.introduction import read_introduction
from replica.lineage import Lineage
from replica.log import BlockStart, Done, LogRow
from replica.missing import Missing
from replica.reading import Boundary, End
from replica.snapshot import limits_of, span

if TYPE_CHECKING:
    from replica.core import Core


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
    commits: list[Commit] = field(default_factory=list)
    """What the slices hold."""
    contexts: list[VersionVector] = field(default_factory=list)

    def hashes_at(self, wanted: frozenset[int]) -> dict[int, bytes]:
        """The heads at boundaries within the slices: computed once more, since few contexts name any."""
        hashes: dict[int, bytes] = {}
        tail = self.end.tail.copy()
        for piece, decoded in self.pieces:
            hashes |= tail.accept(piece, decoded, wanted)
        return hashes


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

    # --- reading ---

    def read(self, placed: list[Placed]) -> None:
        """Decode all slices, and compute the heads that matter."""
        absent = {item.number for item in placed if item.number and item.number not in self.memory.ends}
        if absent:
            raise Missing(ends=tuple(sorted(absent)))
        for item in placed:
            here = self._arriving(item)
            tail = here.tail
            decoded = tail.read(item.piece)
            if item.piece.after == 0:
                stores = self.memory.stores if item.parting is None else {tail.store}
                tail.store = here.end.tail.store = read_introduction(decoded.commits[0], stores).store
            here.pieces.append((item.piece, decoded))
            here.commits += decoded.commits
            here.streams += [(name, tail.first) for name in decoded.streams[len(tail.streams) :]]
            here.hashes |= tail.accept(item.piece, decoded)
        named: dict[int, set[int]] = {}
        for here in self.arriving.values():
            for commit in here.commits:
                for observed in commit.observed:
                    named.setdefault(observed.replica, set()).add(observed.seq)
        for here in self.arriving.values():
            wanted = named.get(here.replica)
            if wanted and not wanted.isdisjoint({commit.last for commit in here.commits} - here.hashes.keys()):
                here.hashes |= here.hashes_at(frozenset(wanted))
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
            here.row = row.moved_to(here.tail.head, here.commits[-1].stamp)
            self.lineages = self.lineages.set(here.replica, lineage.with_row(here.row))

    # --- checking ---

    def check(self) -> Gap | None:
        boundaries: dict[Observed, Boundary] = {}
        for here in self.arriving.values():
            assert here.number is not None
            for commit in here.commits:
                if commit.last in here.hashes:
                    found = Boundary(here.number, Head(commit.last, here.hashes[commit.last]), commit.stamp)
                    boundaries[found.named(here.replica)] = found
        missing: list[Observed] = []
        for here in self.arriving.values():
            gap = self._check_log(here, boundaries, missing)
            if gap is not None:
                return gap
        if missing:
            raise Missing(boundaries=tuple(missing))
        return None

    def _check_log(
        self,
        here: _Arriving,
        arriving: dict[Observed, Boundary],
        missing: list[Observed],
    ) -> Gap | None:
        end = here.end
        for piece, decoded in here.pieces:
            if piece.after == piece.first - 1:
                here.starts.append(
                    BlockStart(0, piece.first, piece.base, end.stamp, tuple(sorted(end.named.values())))
                )
            for commit in decoded.commits:
                if end.stamp is not None and commit.stamp <= end.stamp:
                    raise InvalidBatch(f"{_where(commit)} has a stamp that is not after the one before it")
                if self.horizon is not None and commit.stamp.wall > self.horizon:
                    raise InvalidBatch(f"{_where(commit)} has a stamp beyond the horizon that was announced")
                context, numbers = end.context, []
                for observed in commit.observed:
                    found = arriving.get(observed) or self.memory.recent.get(observed)
                    if found is None:
                        if not self._held(observed):
                            return Gap(observed.replica, observed.seq, foreign=False)
                        missing.append(observed)
                        continue
                    context = self._observe(commit, context, end, observed, found)
                    numbers.append(found.number)
                here.contexts.append(context)
                if not missing:
                    end = end.after(commit, context, numbers)
        here.end = end
        return None

    def _held(self, observed: Observed) -> bool:
        """A log here reaches that far, and it has not been looked for in vain."""
        lineage = self.memory.lineages.get(observed.replica)
        if lineage is None or observed in self.core.sought:
            return False
        return any(row.head.seq >= observed.seq for row in lineage.rows)

    def _observe(
        self, commit: Commit, context: VersionVector, end: End, observed: Observed, found: Boundary
    ) -> VersionVector:
        if observed.replica == commit.replica:
            raise InvalidBatch(f"{_where(commit)} says that it observed its own log")
        before = end.named.get((observed.replica, found.number))
        if before is not None and observed.seq <= before.seq:
            raise InvalidBatch(f"{_where(commit)} observed less than the commit before it")
        if found.stamp >= commit.stamp:
            raise InvalidBatch(f"{_where(commit)} has a stamp before one that it had observed")
        lineage = self.lineages[observed.replica]
        return context.advance(observed.replica, lineage.effective(found.number, observed.seq))

    @property
    def streams(self) -> Iterator[str]:
        """The streams that change."""
        return (e.stream for here in self.arriving.values() for commit in here.commits for e in commit.events)

    @property
    def news(self) -> list[tuple[Commit, VersionVector]]:
        """The commits that are folded, with their contexts."""
        return [
            item
            for here in self.arriving.values()
            if self.lineages[here.replica].tip.number == here.number
            for item in zip(here.commits, here.contexts, strict=True)
        ]

    def rewind(self) -> None:
        """Missing where a fold has to go back before what it knows, to take what arrives."""
        core, presents = self.core, self.memory.presents
        late: dict[str, None] = {}
        for commit, context in self.news:
            for event in commit.events:
                fold = presents.get(event.stream)
                if fold is not None and not core.aggregate_of(event.stream).takes(fold, commit.stamp, context):
                    late[event.stream] = None
        if late:
            raise Missing(streams=tuple(late), limits=limits_of(self.news, late))

    # --- taking ---

    def take(self) -> Ingested:
        core, draft = self.core, self.core.draft
        memory = draft.memory
        forked = [here.replica for here in self.arriving.values() if here.parting is not None]
        core.next_number = self.next_number
        memory.lineages = self.lineages
        news: list[tuple[Commit, VersionVector]] = []
        for here in self.arriving.values():
            commits = here.commits
            draft.commits += commits
            if self._take_log(here, commits):
                news += zip(commits, here.contexts, strict=True)
        newest = max(commit.stamp for here in self.arriving.values() for commit in here.commits)
        stamp = newest if memory.stamp is None else max(memory.stamp, newest)
        news.sort(key=lambda item: item[0].stamp)
        draft.news += news
        for commit, _ in news:
            if commit.note is not None and commit.note.command is not None:
                core.heard_of(Done(commit.note.command, commit.first, commit.last, commit.stamp))
        if forked:
            core.refold(stamp)
        else:
            if news and memory.stamp is not None and news[0][0].stamp <= memory.stamp:
                self._outdate(news, memory.stamp)
            fold(core, news)
            draft.changed.update((event.stream, None) for commit, _ in news for event in commit.events)
            memory.stamp = stamp
        if any(here.replica == core.me for here in self.arriving.values()):
            core.succeed()
        return Ingested(sum(len(c.events) for here in self.arriving.values() for c in here.commits), tuple(forked))

    def _outdate(self, news: list[tuple[Commit, VersionVector]], newest: Stamp) -> None:
        """Snapshots that hold later events of a stream than those that arrive are let go."""
        first: dict[str, Stamp] = {}
        for commit, _ in news:
            if commit.stamp > newest:
                break
            for event in commit.events:
                first.setdefault(event.stream, commit.stamp)
        for stream, stamp in first.items():
            self.core.draft.let_go(span(stream, stamp))

    def _take_log(self, here: _Arriving, commits: list[Commit]) -> bool:
        """Put one log's commits into the draft. Is it the one that is folded?"""
        core, draft = self.core, self.core.draft
        number, head = here.number, here.tail.head
        assert number is not None
        if here.parting is not None and here.parting.prefix:
            self._take_prefix(here, number)
        for start in here.starts:
            draft.starts.append(start._replace(number=number))
        draft.streams += [(stream, number, first) for stream, first in here.streams]
        for piece, _ in here.pieces:
            draft.add_slice(number, piece)
        draft.count(event for commit in commits for event in commit.events)
        draft.touched.add(number)
        stamps = {commit.last: commit.stamp for commit in commits}
        draft.remember(
            (here.replica, Boundary(number, Head(seq, found), stamps[seq])) for seq, found in here.hashes.items()
        )
        memory = draft.memory
        memory.ends = memory.ends.set(number, here.end.with_tail(here.tail))
        if self.lineages[here.replica].tip.number != number:
            return False
        memory.version = memory.version.advance(here.replica, head.seq)
        if here.replica != core.me:
            memory.unseen = memory.unseen.set(here.replica, head.named(here.replica))
        return True

    def _new_row(self, here: _Arriving, number: int) -> LogRow:
        commit = here.commits[0]
        parting = here.parting
        if parting is None:
            introduced = read_introduction(commit, self.memory.stores)
            store = "" if introduced.store == self.core.store else introduced.store
            return LogRow(number, here.replica, introduced.name, Head(0, b""), commit.stamp, store=store)
        first_hash = here.hashes_at(frozenset({commit.last}))[commit.last]
        return LogRow(
            number,
            here.replica,
            parting.parent.name,
            Head(0, b""),
            commit.stamp,
            parting.parent.number,
            here.pieces[0][0].after,
            first_hash,
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


def _where(commit: Commit) -> str:
    return f"the commit {commit.replica:016x}:{commit.first}"
