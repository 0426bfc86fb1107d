"""Verifying: the log against its own hashes, and what was derived from it against what it says.

Rule 1. The chain of each log, and what stands beside it, is checked block by block (`replica.chain`).
Rule 2. Presents in memory, snapshots and tables are caches. Each stream is folded from its beginning, without any
        of them, and what differs is named. What is compared is of one moment, that of one look into the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from merge.version import NOTHING, VersionVector
from replica.backend import Backend
from replica.chain import beginning, check_block, check_parting
from replica.core import Core
from replica.digest import digest
from replica.entry import entries
from replica.errors import DamagedLog, InvalidBatch
from replica.folding import fold_apart, stands_after
from replica.fork import Progress
from replica.lineage import Lineage
from replica.log import Log, LogRow
from replica.place import START
from replica.projection import EventRows, StreamRows
from replica.reading import Reader
from replica.snapshot import Damaged, Loaded, Snapshot, read, span, upon

T = TypeVar("T")
STREAMS = 256
"""Names of streams that are read at once."""


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
    """What one look into the file finds of a stream."""

    version: VersionVector
    commits: Loaded
    snapshots: list[tuple[Snapshot, Loaded]]
    rows: dict[str, list[tuple[Any, ...]]]
    damaged: list[str]


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
        count = 0
        for stream in named or [stream async for stream in self._all()]:
            await self._stream(stream)
            count += 1
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

    async def _all(self) -> Any:
        for category in sorted(self._core.aggregates):
            after = ""
            while found := await self._backend.run(lambda log, c=category, a=after: log.streams(c, a, STREAMS)):  # type: ignore[misc]
                for stream in found:
                    yield stream
                after = found[-1]

    def _tables(self, category: str) -> list[str]:
        """The tables that are live; of one category of streams, or all."""
        return [
            table
            for table, projection in self._core.derived.projections.items()
            if self._core.memory.standings[table].live
            and (not category or (isinstance(projection, StreamRows) and projection.of.stream == category))
        ]

    async def _stream(self, stream: str) -> None:
        core = self._core
        aggregate = core.aggregate_of(stream)
        tables = self._tables(aggregate.stream)

        def look(log: Log) -> Look:
            reader, version = _reader(log, core.store)
            serving, damaged = [], []
            for kept in log.kept(span(stream)):
                try:
                    held = read(kept)
                    loaded = upon(reader, stream, aggregate, core.types, held)
                except Damaged as error:
                    damaged.append(f"{stream}: {error}")
                else:
                    if loaded is not None and held.fingerprint == aggregate.fingerprint():
                        serving.append((held, loaded))
            rows = {table: [row for row in log.rows(table) if row[0] == stream] for table in tables}
            return Look(version, Loaded(None, START, 0, reader.stream(stream)), serving, rows, damaged)

        found = await self._backend.run(look)
        self._differences += found.damaged
        live = core.memory.presents.get(stream) if core.memory.version == found.version else None
        try:
            fold = fold_apart(core, stream, found.commits)
        except Exception as error:
            if stream not in core.memory.poison and live is not None:
                self._differences.append(f"{stream} has a present, and folding it from the log raises {error!r}")
            return
        wanted = self._digest(stream, fold)
        if live is not None and self._digest(stream, live) != wanted:
            self._differences.append(f"{stream}: the present in memory differs from the fold of its log")
        for snapshot, loaded in found.snapshots:
            self._snapshots += 1
            try:
                same = self._digest(stream, fold_apart(core, stream, loaded)) == wanted
            except Exception:
                same = False
            if not same:
                self._differences.append(
                    f"{stream}: the snapshot of {snapshot.events} events differs from the fold of its log"
                )
        stands, _ = stands_after(START, stream, found.commits.commits)
        present = aggregate.present_of(fold, stream, stands.named(core.label))
        for table in tables:
            rows = core.derived.projections[table].checked_rows(present)
            if [(stream, *row) for row in rows] != found.rows[table]:
                self._differences.append(
                    f"{stream}: the rows in {table} differ from those that follow from its log"
                )

    def _digest(self, stream: str, fold: Any) -> str:
        present = self._core.aggregate_of(stream).present_of(fold, stream, NOTHING)
        return digest(present.canonical(present.state))

    async def _events(self, projection: EventRows) -> None:
        core, table = self._core, projection.table

        def look(log: Log) -> tuple[list[tuple[Any, ...]], Sequence[Any]]:
            reader, version = _reader(log, core.store)
            return log.rows(table), reader.beyond(NOTHING, version, 1 << 62)

        rows, commits = await self._backend.run(look)
        wanted = {
            (entry.stream, f"{int(entry.dot.replica):016x}", entry.dot.seq, *row)
            for commit, context in commits
            for entry in entries(core, commit, context)
            if type(entry.event) in projection.events
            for row in projection.checked_rows(entry)
        }
        for row in sorted(wanted.symmetric_difference(rows), key=repr)[:1]:
            where = "is missing in" if row in wanted else "does not belong in"
            self._differences.append(f"{row[0]}: the row of {row[1]}:{row[2]} {where} {table}")


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
