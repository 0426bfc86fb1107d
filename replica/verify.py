"""Verifying: the log against its own hashes, and what was derived from it against what it says.

Rule 1. The chain of each log, and what stands beside it, is checked block by block (`replica.chain`).
Rule 2. Presents in memory, snapshots and tables are caches. Each stream is folded from its beginning, without any
        of them, and what differs is named, by types and order (`replica.identical`). What is compared is of one
        moment, that of one look into the file.
Rule 3. Memory and work are bounded. Streams whose blocks lie together are folded together (`replica.refold`), as
        many as MOST of their blocks, rows and snapshots, a portion of the log at a time. (Of a table with rows per
        event all rows are held.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from immutables import Map

from merge.stamp import Stamp
from merge.version import Dot, VersionVector
from replica.aside import KIND as SET_ASIDE
from replica.aside import set_aside_in
from replica.backend import Backend
from replica.chain import beginning, check_block, check_parting
from replica.commit import Commit
from replica.core import Core
from replica.entry import entries
from replica.errors import DamagedLog, InvalidBatch
from replica.fork import Progress
from replica.lineage import Lineage
from replica.log import Log, LogRow, Span
from replica.place import StreamPlace
from replica.projection import EventRows, StreamRows
from replica.reading import Reader
from replica.refold import Reached, Refold, Refolded, Rung
from replica.snapshot import KIND as SNAPSHOT
from replica.snapshot import Damaged, read, span

T = TypeVar("T")
STREAMS = 256
"""Names of streams that are read at once."""
TOGETHER = 8192
"""Streams that are folded together, at most: fewer than a replica keeps in memory."""
MOST = 1 << 16
"""Blocks, rows and snapshots of streams that are folded together."""
EVENTS = 1 << 17
"""Their events: of more half of them are put off, unless it is one stream."""
PORTION = 2048
"""Events that are read from the log, and folded, at once."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What was verified, and what differs from the log, in words. Nothing differs in a file that is well."""

    blocks: int
    """Blocks of the log whose hashes were computed again."""
    streams: int
    snapshots: int
    tables: tuple[str, ...]
    differences: tuple[str, ...]

    def __bool__(self) -> bool:
        return not self.differences


class Look(NamedTuple):
    """What one look into the file finds of some streams."""

    version: VersionVector
    walk: Iterator[tuple[Commit, VersionVector]]
    """The commits with their events, up to that version."""
    rungs: dict[str, list[Rung]]
    """The streams, as many as are folded together, with their snapshots."""
    rows: dict[tuple[str, str], list[tuple[Any, ...]]]
    """By stream and table."""
    damaged: list[str]
    aside: set[tuple[str, Dot]]
    """Events that were set aside, with their streams."""


class Verifier:
    """Goes through a replica."""

    def __init__(self, core: Core, backend: Backend) -> None:
        self._core, self._backend = core, backend
        self._differences: list[str] = []
        self._snapshots = self._blocks = 0

    async def run(self, streams: Iterable[str], progress: Progress | None = None) -> Verified:
        """Verify some streams; or the log, all of them, and every table."""
        named = list(streams)
        if not named:
            await self._chain(progress)
            if self._differences:
                return Verified(self._blocks, 0, 0, (), tuple(self._differences))
        waiting = named or await self._all()
        count = len(waiting)
        while waiting:
            taken = await self._streams(waiting[:TOGETHER])
            waiting = [*taken, *waiting[TOGETHER:]]
        tables = self._tables("")
        for projection in () if named else self._core.derived.by_event:
            if projection.table in tables:
                await self._events(projection)
        return Verified(self._blocks, count, self._snapshots, tuple(tables), tuple(self._differences))

    async def _chain(self, progress: Progress | None) -> None:
        """Compute the heads of all logs again. A block a hop: the writer goes on in between."""
        lineages, counted = self._core.memory.lineages, dict(self._core.memory.types)
        types = Counter[tuple[str, int]]()
        rows = [row for lineage in lineages.values() for row in lineage.rows]
        total, done = sum(row.head.seq - row.after for row in rows), 0
        for row in rows:
            end = beginning(self._core.store, row)
            label, seq = self._core.label(row.replica), row.after
            if row.parent and not await self._look(lambda reader, row=row: _parts(reader, row)):  # type: ignore[misc]
                self._differences.append(f"the row of a second history of {label} is damaged: where it parts")
                continue
            while seq < row.head.seq:
                try:
                    checked = await self._look(
                        lambda reader, row=row, seq=seq, end=end: check_block(reader, row, seq + 1, end)  # type: ignore[misc]
                    )
                except (DamagedLog, InvalidBatch) as error:
                    self._differences.append(f"the log of {label} is damaged after {label}:{seq}: {error}")
                    break
                for what in checked.differences:
                    self._differences.append(f"beside the block after {label}:{seq} is not what it says: {what}")
                end = checked.end
                types += checked.types
                self._blocks += 1
                done += end.tail.seq - seq
                seq = end.tail.seq
                if progress is not None:
                    progress(done, total)
        if not self._differences and types != counted:
            self._differences.append("how many events of which types there are is not what the log holds")

    async def _look(self, ask: Callable[[Reader], T]) -> T:
        """Ask something of the log as it is known here."""
        core = self._core
        return await self._backend.run(lambda log: ask(Reader(log, core.store, core.memory.lineages)))

    async def _all(self) -> list[str]:
        """The names of all streams that are folded; those whose first blocks lie together follow each other."""
        found: list[tuple[tuple[int, int], str]] = []
        for category in sorted(self._core.aggregates):
            after = ""

            def page(log: Log, category: str = category) -> list[tuple[tuple[int, int], str]]:
                names = log.streams(category, after, STREAMS)  # noqa: B023 (called at once)
                return [(min(log.blocks_of(name), default=(0, 0)), name) for name in names]

            while some := await self._backend.run(page):
                found += some
                after = some[-1][1]
        return [name for _, name in sorted(found)]

    def _tables(self, category: str) -> list[str]:
        """The tables that are live; of one category of streams, or all."""
        return [
            table
            for table, projection in self._core.derived.projections.items()
            if self._core.memory.standings[table].live
            and (not category or (isinstance(projection, StreamRows) and projection.of.stream == category))
        ]

    async def _streams(self, names: list[str], *, whole: bool = False) -> list[str]:
        """Verify some streams together; those that are left are for another time."""
        core = self._core
        found = await self._backend.run(lambda log: self._look_at(log, names))
        self._differences += found.damaged
        memory = core.memory
        presents: Map[str, Any] = memory.presents if memory.version == found.version else Map()
        refold, left = Refold(core, found.rungs, whole=whole, aside=found.aside), names[len(found.rungs) :]
        while commits := await self._backend.run(lambda _: _portion(found.walk)):
            await self._compare(refold.take(commits))
            left += refold.put_off(EVENTS)
        await self._compare(refold.finish())
        again = [stream for stream, one in refold.streams.items() if one.again]
        for stream, one in refold.streams.items():
            if not one.again:
                self._judge(stream, one, presents.get(stream), found.rows)
        for stream in again:
            await self._streams([stream], whole=True)
        return left

    def _look_at(self, log: Log, names: list[str]) -> Look:
        """What there is to compare of the first of these streams: as many as weigh no more than MOST."""
        core = self._core
        reader, version = _reader(log, core.store)
        rungs: dict[str, list[Rung]] = {}
        rows: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
        damaged: list[str] = []
        weight = 0
        for stream in dict.fromkeys(names):
            if weight > MOST:
                break
            aggregate = core.aggregate_of(stream)
            rungs[stream] = []
            for kept in log.kept(span(stream)):
                try:
                    held = read(kept)
                except Damaged as error:
                    damaged.append(f"{stream}: {error}")
                    continue
                known = all(version[replica] >= seq for replica, seq in held.version.items())
                if known and held.fingerprint == aggregate.fingerprint():
                    place = StreamPlace(held.stands)
                    rungs[stream].append(Rung(Stamp(*held.stamp), place, held.events, kept.key))
            for table in self._tables(aggregate.stream):
                rows[stream, table] = log.rows(table, stream)
                weight += len(rows[stream, table])
            weight += 1 + len(rungs[stream]) + len(log.blocks_of(stream))
        aside = {*set_aside_in(reader.walk(rungs.keys(), version))} if SET_ASIDE in core.memory.types else set()
        return Look(version, reader.walk(rungs.keys(), version), rungs, rows, damaged, aside)

    async def _compare(self, reached: list[Reached]) -> None:
        """Compare snapshots with what the log comes to at their places."""
        for stream, rung, fold, stands in reached:
            kept = await self._backend.run(lambda log, key=rung.key: log.kept(Span.one(SNAPSHOT, key)))  # type: ignore[misc]
            if not kept:  # it was let go of since
                continue
            self._snapshots += 1
            aggregate, differs = self._core.aggregate_of(stream), None
            if stands != rung.stands:
                differs = f"it holds other events, those of {rung.stands.named(self._core.label)}"
            else:
                try:
                    differs = aggregate.unlike(aggregate.thaw(read(kept[0]).fold, rung.stamp, stands), fold)
                except Exception as error:
                    differs = f"it cannot be read ({error})"
            if differs is not None:
                self._differences.append(
                    f"{stream}: the snapshot of {rung.events} events differs from the fold of its log: {differs}"
                )

    def _judge(
        self, stream: str, one: Refolded, live: Any, held: dict[tuple[str, str], list[tuple[Any, ...]]]
    ) -> None:
        """Compare the present in memory, and the rows of a stream, with what its log comes to."""
        core = self._core
        if one.error is not None:
            if stream not in core.memory.poison and live is not None:
                self._differences.append(
                    f"{stream} has a present, and folding it from the log raises {one.error!r}"
                )
            return
        differs = None if live is None else one.aggregate.unlike(live, one.fold)
        if differs is not None:
            self._differences.append(f"{stream}: the present in memory differs from the fold of its log: {differs}")
        tables = [table for table in self._tables(one.aggregate.stream) if (stream, table) in held]
        if not tables:
            return
        present = one.aggregate.present_of(one.fold, stream, one.stands.named(core.label))
        for table in tables:
            rows = core.derived.projections[table].checked_rows(present)
            if [(stream, *row) for row in rows] != held[stream, table]:
                self._differences.append(
                    f"{stream}: the rows in {table} differ from those that follow from its log"
                )

    async def _events(self, projection: EventRows) -> None:
        core, table = self._core, projection.table

        def look(log: Log) -> tuple[set[tuple[Any, ...]], Iterator[tuple[Commit, VersionVector]]]:
            reader, version = _reader(log, core.store)
            return {*log.rows(table)}, reader.walk(None, version)

        rows, walk = await self._backend.run(look)
        missing: set[tuple[Any, ...]] = set()
        while commits := await self._backend.run(lambda _: _portion(walk)):
            for commit, context in commits:
                for entry in entries(core, commit, context):
                    key = entry.stream, f"{int(entry.dot.replica):016x}", entry.dot.seq
                    if type(entry.event) in projection.events:
                        for row in projection.checked_rows(entry):
                            if (*key, *row) in rows:
                                rows.discard((*key, *row))
                            elif len(missing) < MOST:
                                missing.add((*key, *row))
        for row in sorted(missing | rows, key=repr)[:1]:
            where = "is missing in" if row in missing else "does not belong in"
            self._differences.append(f"{row[0]}: the row of {row[1]}:{row[2]} {where} {table}")


def _portion(walk: Iterator[tuple[Commit, VersionVector]]) -> list[tuple[Commit, VersionVector]]:
    """The next commits of a walk, about PORTION events."""
    found, events = [], 0
    for commit, context in walk:
        found.append((commit, context))
        events += len(commit.events)
        if events >= PORTION:
            break
    return found


def _parts(reader: Reader, row: LogRow) -> bool:
    """A second history parts where its row says; it does not where the blocks there are damaged."""
    try:
        return check_parting(reader, row, reader.lineages[row.replica])
    except DamagedLog:
        return False


def _reader(log: Log, store: str) -> tuple[Reader, VersionVector]:
    """A reader of all that is in the file now, and its version."""
    lineages: dict[int, Lineage] = {}
    for row in log.contents().logs:
        lineages[row.replica] = lineages.get(row.replica, Lineage(())).with_row(row)
    version = VersionVector({replica: lineage.tip.head.seq for replica, lineage in lineages.items()})
    return Reader(log, store, lineages), version
