"""Adopting: the log inside a cut becomes the log of another replica, block by block.

Rule 1. It is what ingesting the same commits would lead to, without decoding or folding them: a block is taken as
        it is, and the last one of a log that goes on beyond the cut is sliced.
Rule 2. What is kept beside a log because a fact says so (who owns a stream, who is retired, which commands were
        carried out) comes along; so do snapshots that lie inside the cut. What is a replica's own business does
        not (its outbox, what it was about to do).
Rule 3. Of an id with several histories all that a commit inside the cut has observed comes along. It is not copied,
        but ingested: which of them is folded follows from those that are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import merge
from typing import NamedTuple

from merge.stamp import Stamp
from merge.version import VersionVector
from replica import snapshot
from replica.arrange import Gap
from replica.block import GENESIS, Head, Slice, names_of
from replica.commit import Commit
from replica.core import Core
from replica.decoded import Decoded
from replica.direct import DirectReplica
from replica.due import OwnerChanged
from replica.errors import DamagedLog
from replica.layout import Layout
from replica.lineage import Lineage
from replica.log import BlockStart, Kept, LogRow, Span
from replica.members import ReplicaRetired
from replica.reading import End, Reader
from replica.run import Run
from replica.stores import StoresJoined

TELLING = {(kind.__name__, kind.schema) for kind in (OwnerChanged, ReplicaRetired, StoresJoined)}
"""Events from which something follows that is kept beside the log."""
SNAPSHOTS = 64
"""Snapshots that are copied at once."""


class Part(NamedTuple):
    """A log, as far as a cut needs it."""

    row: LogRow
    upto: int


class Taken(NamedTuple):
    """A block, or the part of one, on its way from one log to another."""

    start: BlockStart
    piece: Slice
    layout: Layout
    telling: list[tuple[Commit, VersionVector]]
    """The commits in it from which something follows, with their contexts."""


def parts(reader: Reader, cut: VersionVector) -> list[Part]:
    """The logs that a cut needs, each up to where. Reads no block, unless an id has several histories."""
    need: dict[int, int] = {}
    for replica, lineage in reader.lineages.items():
        for segment in lineage.folded:
            upto = min(segment.upto, cut[replica])
            if segment.after < upto:
                need[segment.number] = upto
    rows = {row.number: row for lineage in reader.lineages.values() for row in lineage.rows}
    if any(lineage.forked for lineage in reader.lineages.values()):
        _close(reader, rows, need)
    return [Part(rows[number], upto) for number, upto in sorted(need.items())]


def _close(reader: Reader, rows: dict[int, LogRow], need: dict[int, int]) -> None:
    """Add what the commits in `need` have observed of histories that are not folded."""
    waiting = dict(need)
    while waiting:
        number, upto = waiting.popitem()
        row = rows[number]
        named: dict[tuple[int, int], int] = {}
        if row.parent:
            named[row.replica, row.parent] = row.after
        for (replica, at), seen in end_of(reader, Part(row, upto)).named.items():
            named[replica, at] = max(named.get((replica, at), 0), seen.seq)
        for (_, at), seq in named.items():
            if at and seq > need.get(at, 0):
                need[at] = waiting[at] = seq


def end_of(reader: Reader, part: Part) -> End:
    """The end of a log inside a cut. One block."""
    boundary = reader.boundary_in(part.row, part.upto)
    end = None if boundary is None else reader.end_at(part.row, boundary.head)
    if end is None:
        raise DamagedLog(
            f"the log of {part.row.name} has no commit that ends at {part.upto}, though it was observed"
        )
    return end


def blocks(reader: Reader, part: Part, after: int, size: int) -> list[Taken]:
    """The next blocks of a log after event `after`, about so many bytes of them."""
    found: list[Taken] = []
    while after < part.upto and size > 0:
        found.append(_take(reader, part, after + 1))
        after = found[-1].piece.last
        size -= found[-1].piece.size
    return found


def _take(reader: Reader, part: Part, seq: int) -> Taken:
    start, piece = reader.joined(part.row, seq)
    layout = Layout(part.row.store or reader.store, piece)
    if piece.last > part.upto:
        index = layout.index_after(part.upto)
        assert index, "a cut parts no commit"
        piece = layout.cut(0, index)
    telling = []
    if TELLING & names_of(piece)[1].keys():
        for commit, context in reader.commits(part.row, seq)[0]:
            if commit.last <= part.upto and any((event.type, event.schema) in TELLING for event in commit.events):
                telling.append((commit, context))
    return Taken(start, piece, layout, telling)


def adopt(core: Core, row: LogRow, taken: Taken) -> None:
    """Put a block into the draft of another replica, behind what that has of the log."""
    start, piece, layout, telling = taken
    draft = core.draft
    memory = draft.memory
    lineage = memory.lineages.get(piece.replica)
    if lineage is None:
        row = LogRow(
            core.take_number(), piece.replica, row.name, Head(0, GENESIS), layout.stamp(0), store=row.store
        )
    else:
        row = lineage.rows[0]
    head = Head(piece.last, piece.head)
    if row.head != (piece.after, piece.base):
        raise DamagedLog(
            f"the log of {row.name} has other bytes than were written, between {piece.after} and {piece.last}. "
            "Nothing was forked: `verify` says what is whole; restore the file, or let a peer fill a new one."
        )
    stamp = layout.stamp(piece.commits - 1)
    memory.lineages = memory.lineages.set(piece.replica, Lineage((row.moved_to(head, stamp),)))
    memory.version = memory.version.advance(piece.replica, piece.last)
    memory.stamp = stamp if memory.stamp is None else max(memory.stamp, stamp)
    streams, types = names_of(piece)
    draft.starts.append(start._replace(number=row.number))
    draft.streams += [(stream, row.number, piece.first) for stream in streams]
    for kind, events in types.items():
        draft.types[kind] = draft.types.get(kind, 0) + events
    draft.add_slice(row.number, piece)
    for told in telling:
        draft.news.append(told)
    draft.done += Run(Decoded(piece), tuple, 0, piece.commits).done


def ingest_rest(fork: DirectReplica, pieces: Iterable[Slice]) -> None:
    """Take slices of the logs that cannot be adopted, causes first."""
    for piece in pieces:
        if isinstance(fork.ingest([piece]), Gap):
            raise DamagedLog(
                "a history that was observed is not in the file. Nothing was forked: restore the file."
            )
        fork.flush()


def in_order(reader: Reader, apart: Iterable[Part]) -> list[Slice]:
    """Some logs inside the cut, each from where it begins or parts from another one, by stamp."""
    found: list[tuple[Layout, int, int]] = []
    for _, layout, index in merge(*(_commits(reader, part) for part in apart), key=lambda commit: commit[0]):
        if found and found[-1][0] is layout and found[-1][2] == index:
            found[-1] = layout, found[-1][1], index + 1
        else:
            found.append((layout, index, index + 1))
    return [layout.cut(start, stop) for layout, start, stop in found]


def _commits(reader: Reader, part: Part) -> Iterator[tuple[Stamp, Layout, int]]:
    """The commits of a log inside the cut: their stamps, the blocks they lie in, and where in these."""
    seq = part.row.after
    while seq < part.upto:
        layout = reader.layout(part.row, seq + 1)
        for index, last in enumerate(layout.lasts):
            if seq < last <= part.upto:
                yield layout.stamp(index), layout, index
        seq = layout.lasts[-1]


def snapshots(reader: Reader, cut: VersionVector, before: str | None) -> tuple[list[Kept], str | None]:
    """Snapshots that lie inside a cut, of some keys before `before` (None: the last ones); and where to go on."""
    held = reader.log.kept(Span(snapshot.KIND, "", before), latest=SNAPSHOTS)
    inside = []
    for kept in held:
        try:
            if VersionVector(snapshot.read(kept).version) <= cut:
                inside.append(kept)
        except snapshot.Damaged:
            continue
    return inside, held[0].key if held else None
