"""Questions to a log, answered from whole blocks: boundaries, open ends, slices, streams.

Answers are of one moment, that of the rows in hand. The log may be a transaction ahead of them (durable, and
not announced yet): what lies beyond the head of a row is not there for its reader.

Each costs a bounded number of blocks, and nothing here writes. The functions block; the replica calls them
on the thread of its log, one hop for all that it needs at once.

A block is always replayed from its first event: stamps are differences, names are numbered by first use, and
the head of a boundary is a digest of all that comes before it in the block.

A block is hashed before it is believed: what a disk has changed since it was written is DamagedLog, and is neither
folded nor sent. (That is a digest of its bytes, about 1 ms a MiB.)
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict, deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from heapq import merge
from typing import NamedTuple

import msgspec
from immutables import Map

from merge.stamp import Stamp
from merge.version import NOTHING, VersionVector
from replica import columns
from replica.block import BLOCK_EVENTS, GENESIS, Head, Slice, Tail, head_of_block
from replica.commit import MAX_EVENTS, Commit, Observed
from replica.decoded import Decoded
from replica.errors import DamagedLog
from replica.layout import Layout, cut, join
from replica.lineage import Lineage, Segment
from replica.log import Block, BlockStart, Log, LogRow
from replica.place import START, StreamPlace
from replica.run import Run
from replica.uncollected import uncollected

HELD = 12 << 20
"""Bytes of columns of the blocks that are remembered, and what was decoded of them: up to four times as much."""
MANY = 128
"""Blocks, of which it is not worth while to remember those that are gone through once: others would go for them."""
COMMITS = 8
"""Blocks of which commits that were made are remembered, too: up to 1 MiB each."""
LAYOUTS = 4
"""Blocks of a log of which it is remembered how they lie: a batch ends within one of each log."""
LAID_OUT = 65_536
"""Commits in all blocks of which that is remembered: some 15 MiB."""


class Boundary(NamedTuple):
    """What stands at a commit boundary: in which log, the head, and the stamp of the commit that ends there."""

    number: int
    head: Head
    stamp: Stamp

    def named(self, replica: int) -> Observed:
        """This boundary as a context names it."""
        return self.head.named(replica)


class End(NamedTuple):
    """The open end of a log: what is needed to go on from it.

    `named` is what its commits said they had observed, the latest of each log, by (replica, number of the log);
    `context` is the version that comes to (see `replica.lineage` for where the two differ).
    """

    tail: Tail
    stamp: Stamp | None = None
    context: VersionVector = NOTHING
    named: Map[tuple[int, int], Observed] = Map()

    def with_tail(self, tail: Tail) -> End:
        return End(tail, self.stamp, self.context, self.named)

    def after(self, commit: Commit, seen: VersionVector, numbers: Iterable[int]) -> End:
        """The end after `commit`, of which `seen` is the context; what it names lies in the logs `numbers`."""
        named = self.named
        for observed, number in zip(commit.observed, numbers, strict=True):
            named = named.set((observed.replica, number), observed)
        return End(self.tail, commit.stamp, seen.advance(commit.replica, commit.last), named)


class Opened(NamedTuple):
    """A block, read: the end before it, all of it that is held as one slice, and what that holds."""

    before: End
    piece: Slice
    decoded: Decoded

    def hash_at(self, seq: int) -> bytes | None:
        """The head at `seq`; None where no commit of this block ends there."""
        if seq not in self.decoded.lasts:
            return None
        return self.before.tail.copy().accept(self.piece, self.decoded, frozenset({seq}))[seq]

    def upto(self, seq: int) -> list[Commit]:
        return [commit for commit in self.decoded.commits if commit.last <= seq]


class Place(NamedTuple):
    """A block with events of a stream: in which log, where it begins, and from where to where it is asked for."""

    row: LogRow
    first: int
    after: int
    upto: int


class Blocks:
    """Blocks that were read lately. A full one never changes, and serves whatever reader of the log comes next."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[int, int], Opened] = OrderedDict()
        """By the number of the log and where the block begins, in the order in which they were read."""
        self._firsts: dict[int, list[int]] = {}
        """By the number of the log where these begin, in their order."""
        self._latest: deque[Opened] = deque()
        self._size = 0
        self._layouts: dict[int, deque[tuple[LogRow, Layout]]] = {}
        self._commits = 0
        """In all of these."""

    def find(self, row: LogRow, seq: int) -> Opened | None:
        """The block of a log in which event `seq` lies, if it is held."""
        firsts = self._firsts.get(row.number, [])
        at = bisect_right(firsts, seq)
        if not at:
            return None
        opened = self._held[row.number, firsts[at - 1]]
        if not seq <= opened.piece.last <= row.head.seq:
            return None
        self._used(opened)
        return opened

    def add(self, row: LogRow, opened: Opened) -> None:
        """Hold one more, and let go of those that have been held longest where they are too many."""
        key = row.number, opened.piece.first
        if not opened.piece.is_full:
            return
        self._held[key] = opened
        insort(self._firsts.setdefault(row.number, []), opened.piece.first)
        self._used(opened)
        self._size += opened.piece.size
        while self._size > HELD:
            (number, first), oldest = self._held.popitem(last=False)
            self._firsts[number].remove(first)
            self._size -= oldest.piece.size

    def _used(self, opened: Opened) -> None:
        """Of those that are used now the commits may stay as well."""
        if not any(one is opened for one in self._latest):
            self._latest.append(opened)
        if len(self._latest) > COMMITS:
            self._latest.popleft().decoded.forget_commits()

    def layout(self, row: LogRow, seq: int) -> Layout | None:
        """How that block lies, if it is held."""
        for held, layout in self._layouts.get(row.number, ()):
            if layout.piece.after < seq <= layout.piece.last <= row.head.seq:
                if held == row or layout.piece.is_full:
                    return layout
        return None

    def add_layout(self, row: LogRow, layout: Layout) -> None:
        """Hold one more, and let go of those of the logs that have been held longest where they are too many."""
        here = self._layouts.setdefault(row.number, deque())
        here.append((row, layout))
        self._commits += len(layout.lasts)
        if len(here) > LAYOUTS:
            self._commits -= len(here.popleft()[1].lasts)
        while self._commits > LAID_OUT and len(self._layouts) > 1:
            oldest = self._layouts.pop(next(iter(self._layouts)))
            self._commits -= sum(len(held.lasts) for _, held in oldest)


def _believed(store: str, row: LogRow, block: Block) -> Slice | None:
    """A block of a log as one slice, up to the head of its row; None where it is not what was written.

    It has the head and the counts that it claims, stands where it should, and ends in the head of its log, or full.
    """
    piece, start = join(block.slices), block.start
    at = piece.replica, piece.first, piece.after, piece.base
    events = piece.last - piece.after
    if at != (row.replica, start.first, start.first - 1, start.parent) or head_of_block(store, piece) != piece.head:
        return None
    try:
        if not piece.commits <= events <= BLOCK_EVENTS + MAX_EVENTS or sum(columns.counts(piece)) != events:
            return None
    except msgspec.DecodeError:
        return None
    if piece.last < row.head.seq:
        return piece if piece.is_full else None
    if piece.last > row.head.seq:
        layout = Layout(store, piece)
        index = layout.index_after(row.head.seq)
        if not index:
            return None
        piece = layout.cut(0, index)
    return piece if piece.head == row.head.hash else None


class Reader:
    """A log, with what is known of its lineages at one moment."""

    def __init__(self, log: Log, store: str, lineages: Mapping[int, Lineage], blocks: Blocks | None = None) -> None:
        self.log, self.store, self.lineages = log, store, lineages
        self._blocks = Blocks() if blocks is None else blocks

    def context_of(self, before: VersionVector, observed: Iterable[Observed]) -> tuple[VersionVector, list[int]]:
        """A version after `observed` was observed too, and the numbers of the logs that that names."""
        numbers = []
        for named in observed:
            lineage = self.lineages.get(named.replica)
            if lineage is None:
                number, seq = 0, named.seq
            elif not lineage.forked:
                number, seq = lineage.rows[0].number, named.seq
            else:
                at = self.boundary(*named)
                number, seq = (0, 0) if at is None else (at.number, lineage.effective(at.number, named.seq))
            numbers.append(number)
            before = before.advance(named.replica, seq)
        return before, numbers

    def joined(self, row: LogRow, seq: int) -> tuple[BlockStart, Slice]:
        """The block of a log in which event `seq` lies, as one slice; DamagedLog where the file has it not.

        A row may be older than the file, for who reads on while others write: it is read as far as that row goes,
        also where the block was filled and sealed since.
        """
        block = self.log.block(row.number, seq)
        if block is None:
            raise DamagedLog(
                f"event {seq} of log {row.number} is not in the file, though its index says so. Other logs are "
                "whole: restore the file from a copy, or begin a new one and let the peers fill it."
            )
        piece = _believed(row.store or self.store, row, block)
        if piece is None:
            raise DamagedLog(
                f"the log of {row.name or f'{row.replica:016x}'} has other bytes than were written, in the block "
                f"that begins at {block.start.first}. Every other block is whole: restore the file from a copy, or "
                "begin a new one and let the peers fill it."
            )
        return block.start, piece

    def open(self, row: LogRow, seq: int, *, hold: bool = True) -> Opened:
        """The block of a log in which event `seq` lies; whether it is to be remembered."""
        held = self._blocks.find(row, seq)
        if held is not None:
            return held
        start, piece = self.joined(row, seq)
        tail = Tail(row.store or self.store, row.replica, Head(start.first - 1, start.parent))
        context, numbers = self.context_of(NOTHING.advance(row.replica, start.first - 1), start.named)
        named: Map[tuple[int, int], Observed] = Map(
            {(o.replica, number): o for o, number in zip(start.named, numbers, strict=True)}
        )
        opened = Opened(End(tail, start.stamp, context, named), piece, Decoded(piece))
        if hold:
            self._blocks.add(row, opened)
        return opened

    def end_of(self, opened: Opened, seq: int) -> End:
        """The end after the commits of a block up to `seq`."""
        commits = opened.upto(seq)
        end = opened.before.with_tail(opened.before.tail.copy())
        piece = opened.piece
        if seq < piece.last:
            head = opened.hash_at(seq)
            assert head is not None
            piece = cut(piece, 0, len(commits), piece.base, head)
        decoded = opened.decoded if piece is opened.piece else end.tail.read(piece)
        end.tail.accept(piece, decoded)
        for commit in commits:
            end = end.after(commit, *self.context_of(end.context, commit.observed))
        return end

    def end(self, row: LogRow) -> End:
        """The open end of a log. One block."""
        return self.end_of(self.open(row, row.head.seq), row.head.seq)

    def boundary(self, replica: int, seq: int, prefix: bytes) -> Boundary | None:
        """The boundary at `seq` whose head begins with `prefix`, in any log of that replica. A block a log."""
        lineage = self.lineages.get(replica)
        for row in lineage.rows if lineage else ():
            if row.after < seq <= row.head.seq:
                found = self.boundary_in(row, seq)
                if found is not None and found.head.hash.startswith(prefix):
                    return found
        return None

    def boundary_in(self, row: LogRow, seq: int) -> Boundary | None:
        """The boundary at `seq` of one log; None where no commit ends there. One block."""
        layout = self.layout(row, seq)
        index = layout.index_after(seq)
        if not index:
            return None
        return Boundary(row.number, Head(seq, layout.hash_at(index)), layout.stamp(index - 1))

    def end_at(self, row: LogRow, head: Head) -> End | None:
        """The end that a log had at `head`; None where it never had that head. One block."""
        if head.seq == 0:
            return End(Tail(row.store or self.store, row.replica)) if head.hash == GENESIS else None
        opened = self.open(row, max(head.seq, row.after + 1))
        if head.seq == opened.piece.after:
            return opened.before if head.hash == opened.piece.base else None
        last = head.seq == opened.piece.last
        found = opened.piece.head if last else opened.hash_at(head.seq)
        return self.end_of(opened, head.seq) if found == head.hash else None

    def layout(self, row: LogRow, seq: int) -> Layout:
        """How the commits of the block with event `seq` lie, without reading names or payloads."""
        layout = self._blocks.layout(row, seq)
        if layout is None:
            layout = Layout(row.store or self.store, self.joined(row, seq)[1])
            self._blocks.add_layout(row, layout)
        return layout

    def whole(self, row: LogRow) -> Iterator[Slice]:
        """A log from where it begins: its first event, or where it parts from another log."""
        seq = 0
        if row.after:
            layout = self.layout(row, row.after + 1)
            index = layout.index_after(row.after)
            if index is None:
                raise DamagedLog(f"a second history of {row.name} parts at {row.after}, where no commit ends")
            yield layout.cut(index, layout.piece.commits)
            seq = layout.piece.last
        while seq < row.head.seq:
            piece = self.joined(row, seq + 1)[1]
            yield piece
            seq = piece.last

    def everything(self) -> Iterator[Slice]:
        """All that is held, log by log."""
        for lineage in self.lineages.values():
            for row in lineage.rows:
                yield from self.whole(row)

    def _later(self, blocks: list[tuple[int, int]], after: StreamPlace) -> list[tuple[int, int]]:
        """Those of some blocks that may hold what `after` does not: of a log that has one history, the last block
        that begins in it and those behind that."""
        if not isinstance(after, StreamPlace):
            raise TypeError(f"a place in a stream is needed here, and not a {type(after).__name__}")
        replicas = {
            row.number: row.replica for line in self.lineages.values() if not line.forked for row in line.rows
        }
        begun: dict[int, int] = {}
        for number, first in blocks:
            if number in replicas and first <= after.seq(replicas[number]):
                begun[number] = max(begun.get(number, 0), first)
        return [(number, first) for number, first in blocks if first >= begun.get(number, 0)]

    def commits(self, row: LogRow, seq: int) -> tuple[list[tuple[Commit, VersionVector]], int]:
        """The commits of the block in which event `seq` lies, with their contexts; and its last seq."""
        opened = self.open(row, seq)
        return [*self.run_of(opened, opened.piece.after, opened.piece.last).told], opened.piece.last

    def commits_of(self, number: int, after: int, upto: int, events: int) -> list[tuple[Commit, VersionVector]]:
        """The commits of one log, folded or not, that hold an event after `after` and up to `upto`; about so many
        events of them, with their contexts."""
        row = next(row for lineage in self.lineages.values() for row in lineage.rows if row.number == number)
        found: list[tuple[Commit, VersionVector]] = []
        while after < upto and events > 0:
            opened = self.open(row, after + 1)
            lasts = [opened.piece.after, *opened.decoded.lasts]
            begin = lasts[bisect_right(lasts, max(after, opened.piece.after)) - 1]
            run = [*self.run_of(opened, begin, lasts[bisect_left(lasts, min(upto, opened.piece.last))]).told]
            found += run
            events -= sum(len(commit.events) for commit, _ in run)
            after = opened.piece.last
        return found

    def run_of(self, opened: Opened, after: int, upto: int) -> Run:
        """The commits of a block that begin after event `after` and end by `upto`, with what their author had seen.

        A commit is held whole or not at all: the one in which `after` lies is not among them.
        That is found when it is asked for, and reads the log where an id has several histories, and only there.
        """

        def seen() -> list[tuple[int, VersionVector]]:
            decoded, context = opened.decoded, opened.before.context
            found = [(0, context)]
            for index in decoded.observing:
                context, _ = self.context_of(context, map(Observed._make, decoded.observed[index] or ()))
                found.append((index, context))
            return found

        piece, decoded = opened.piece, opened.decoded
        start = 0 if after <= piece.after else min(bisect_left(decoded.lasts, after) + 1, piece.commits)
        stop = piece.commits if upto >= piece.last else bisect_right(decoded.lasts, upto)
        return Run(decoded, seen, start, max(start, stop))

    @uncollected
    def beyond(
        self, position: VersionVector, upto: VersionVector, events: int, only: int | None = None
    ) -> list[tuple[Commit, VersionVector]]:
        """Folded commits that are in `upto` and not in `position`, about so many events of them, with contexts.

        In the order of their stamps, so that causes come first. A block a log, and those that are gone through.
        """
        logs = [
            self._beyond(lineage, position, upto)
            for replica, lineage in self.lineages.items()
            if only is None or only == replica
        ]
        found, size = [], 0
        for commit, context in merge(*logs, key=lambda item: item[0].stamp):
            found.append((commit, context))
            size += len(commit.events)
            if size >= events:
                break
        return found

    def commit(self, replica: int, seq: int) -> tuple[Commit, VersionVector] | None:
        """The folded commit with event `seq` of a replica, and its context; None where there is none."""
        lineage = self.lineages.get(replica, Lineage(()))
        rows = {row.number: row for row in lineage.rows}
        for segment in lineage.folded if lineage.rows else ():
            if segment.after < seq <= segment.upto:
                opened = self.open(rows[segment.number], seq)
                index = bisect_left(opened.decoded.lasts, seq)
                last = opened.decoded.lasts[index]
                return next(self.run_of(opened, last - opened.decoded.counts[index], last).told)
        return None

    def _beyond(
        self, lineage: Lineage, position: VersionVector, upto: VersionVector
    ) -> Iterator[tuple[Commit, VersionVector]]:
        """The same of one log."""
        rows = {row.number: row for row in lineage.rows}
        replica = lineage.rows[0].replica
        for segment in lineage.folded:
            seq, last = max(segment.after, position[replica]), min(segment.upto, upto[replica])
            while seq < last:
                opened = self.open(rows[segment.number], seq + 1)
                yield from self.run_of(opened, seq, last).told
                seq = opened.piece.last

    def apart(self, row: LogRow, after: int, upto: int) -> list[tuple[Commit, VersionVector]]:
        """Commits of one log that nobody folds (see `replica.lineage`), with contexts: those of the next block."""
        return [*self.run_of(self.open(row, after + 1, hold=False), after, upto).told]

    @uncollected
    def stream_beyond(
        self, stream: str, place: StreamPlace, upto: VersionVector, events: int
    ) -> list[tuple[Commit, VersionVector]]:
        """The same of one stream, from a place in it on: the next commits that hold events of it, about so many."""
        firsts: dict[int, list[int]] = {}
        for number, first in self._later(self.log.blocks_of(stream), place):
            firsts.setdefault(number, []).append(first)
        logs = [
            self._some_of(row, segment, sorted(firsts[row.number]), (stream,), place, upto, hold=True)
            for lineage in self.lineages.values()
            for segment in lineage.folded
            for row in lineage.rows
            if row.number == segment.number and row.number in firsts
        ]
        found, size = [], 0
        for commit, context in merge(*logs, key=lambda item: item[0].stamp):
            found.append((commit, context))
            size += sum(event.stream == stream for event in commit.events)
            if size >= events:
                break
        return found

    def walk(self, streams: Collection[str] | None, upto: VersionVector) -> Iterator[tuple[Commit, VersionVector]]:
        """The folded commits in `upto`, or those of them with events of some streams, in the order of their stamps.

        Each block is read once, when its turn comes, and not remembered. It may be gone on with at another moment:
        what is in `upto` never changes.
        """
        rows = {row.number: row for lineage in self.lineages.values() for row in lineage.rows}
        logs = []
        if streams is None:
            logs = [self._beyond(lineage, NOTHING, upto) for lineage in self.lineages.values()]
        else:
            firsts: dict[int, set[int]] = {}
            for stream in streams:
                for number, first in self.log.blocks_of(stream):
                    firsts.setdefault(number, set()).add(first)
            logs = [
                self._some_of(
                    rows[segment.number], segment, sorted(firsts[segment.number]), streams, START, upto, hold=False
                )
                for lineage in self.lineages.values()
                for segment in lineage.folded
                if segment.number in firsts
            ]
        return merge(*logs, key=lambda item: item[0].stamp)

    def _some_of(
        self,
        row: LogRow,
        segment: Segment,
        firsts: list[int],
        streams: Collection[str],
        place: StreamPlace,
        upto: VersionVector,
        *,
        hold: bool,
    ) -> Iterator[tuple[Commit, VersionVector]]:
        """The same of the folded part of one log, whose blocks at `firsts` hold events of some streams."""
        after, last = max(segment.after, place.seq(row.replica)), min(segment.upto, upto[row.replica])
        for first in firsts:
            if first > last:
                break
            opened = self.open(row, max(first, segment.after + 1), hold=hold)
            for commit, context in self.run_of(opened, after, last).told:
                if any(event.stream in streams for event in commit.events):
                    yield commit, context

    def places(self, stream: str, after: StreamPlace, upto: VersionVector | None = None) -> list[Place] | None:
        """The blocks with events of a stream that may lie beyond `after` and in `upto`, log by log, in their order.

        None where an id has several histories: what a context names has to be looked for then, commit by commit.
        """
        if any(lineage.forked for lineage in self.lineages.values()):
            return None
        rows = {row.number: row for lineage in self.lineages.values() for row in lineage.rows}
        found = []
        for number, first in sorted(self._later(self.log.blocks_of(stream), after)):
            row = rows.get(number)
            last = 0 if row is None else row.head.seq if upto is None else min(upto[row.replica], row.head.seq)
            if row is not None and first <= last:
                found.append(Place(row, first, after.seq(row.replica), last))
        return found

    def run(self, place: Place, *, hold: bool = True) -> Run:
        """The commits at a place; whether the block is to be remembered."""
        return self.run_of(self.open(place.row, place.first, hold=hold), place.after, place.upto)

    def last_before(self, replica: int, limit: Stamp) -> int:
        """The last event of a replica that is stamped before `limit`; 0 for none. About log2 of its blocks."""
        lineage = self.lineages[replica]
        rows = {row.number: row for row in lineage.rows}
        for segment in reversed(lineage.folded):
            low, high = segment.after, segment.upto
            while low < high:
                layout = self.layout(rows[segment.number], (low + high) // 2 + 1)
                index = bisect_left(layout.stamps, limit)
                stop = layout.lasts[index - 1] if index else layout.piece.after
                if 0 < index < len(layout.lasts):
                    low = high = min(stop, segment.upto)
                elif index:
                    low = stop
                else:
                    high = max(stop, segment.after)
            if low > segment.after:
                return min(low, segment.upto)
        return 0

    def stream(self, stream: str) -> list[tuple[Commit, VersionVector]]:
        """The commits that hold events of a stream, with their contexts, in the order of their stamps."""
        return self.streams((stream,))[stream]

    @uncollected
    def streams(
        self, names: Iterable[str], after: StreamPlace = START
    ) -> dict[str, list[tuple[Commit, VersionVector]]]:
        """The same for several streams, without what `after` holds; a block with events of many is read once."""
        found: dict[str, list[tuple[Commit, VersionVector]]] = {name: [] for name in names}
        blocks = dict.fromkeys(block for name in found for block in self._later(self.log.blocks_of(name), after))
        rows = {row.number: row for lineage in self.lineages.values() for row in lineage.rows}
        folded = {segment.number: segment for lineage in self.lineages.values() for segment in lineage.folded}
        for number, first in blocks:
            segment = folded.get(number)
            if segment is None or first > rows[number].head.seq:
                continue
            opened = self.open(rows[number], max(first, segment.after + 1))
            begin = max(segment.after, after.seq(rows[number].replica))
            for commit, context in self.run_of(opened, begin, segment.upto).told:
                for name in {event.stream for event in commit.events} & found.keys():
                    found[name].append((commit, context))
        for commits in found.values():
            commits.sort(key=lambda item: item[0].stamp)
        return found
