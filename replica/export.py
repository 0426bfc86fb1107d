"""Exports: keeps projections in a target, one follower each. The rules stand in `replica.target`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from functools import partial
from typing import TypeVar

import msgspec

from merge.version import NOTHING, VersionVector
from replica.backend import Backend
from replica.core import Core
from replica.derive import present_of
from replica.entry import entries
from replica.errors import AnabranchError
from replica.follow import Commits, Follower
from replica.log import Rows
from replica.projection import BUILDING, EventRows, Projection, StreamRows
from replica.pump import Pump
from replica.retry import Retry, check_named
from replica.rows import check_listed, histories
from replica.status import ExportStatus
from replica.target import Change, Export, Refusal

log = logging.getLogger("anabranch.replica")
T = TypeVar("T")


class Checkpoint(msgspec.Struct, frozen=True):
    """How far a projection has come in its target."""

    fingerprint: str
    histories: int
    building: bool
    version: dict[int, int]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Checkpoint).decode


class Exporter:
    """Keeps one projection in one target."""

    def __init__(self, core: Core, pump: Pump, backend: Backend, export: Export, kind: type[Projection]) -> None:
        self._core, self._pump, self._backend, self._export = core, pump, backend, export
        self._projection = kind()
        self._position = NOTHING
        self._building = True
        """Until its checkpoint has been read, it is taken for one that is being built."""
        self._failures = 0
        self._why: str | None = None
        self._stuck: str | None = None
        """Where it has stopped: at an event, a stream; or its table, where the target refuses."""
        self._again = asyncio.Event()
        self._dropped: set[str] = set()
        """Events and streams whose rows are left out."""
        if isinstance(self._projection, EventRows):
            check_listed(self._projection, core.aggregates.values())
        elif isinstance(self._projection, StreamRows):
            if type(core.aggregates.get(self._projection.of.stream)) is not self._projection.of:
                raise TypeError(
                    f"{kind.__name__} is of {self._projection.of.__name__}, which this replica does not list"
                )

    @property
    def _table(self) -> str:
        return self._projection.table + BUILDING * self._building

    async def run(self) -> None:
        """Follow the log until the replica is closed, or this is cancelled."""
        while True:
            try:
                await self._take_up()
                if await self._follow():
                    return
            except Refusal as error:
                await self._stop(self._projection.table, str(error))
            except _RowsFailed as failed:
                await self._stop(failed.where, str(failed))

    async def _stop(self, where: str, why: str) -> None:
        """Wait until a person has it go on."""
        self._stuck, self._why = where, why
        self._again.clear()
        name = self._export.name
        log.error(
            "the projection %s in %s stopped: %s. The log and all else go on. When that is mended, "
            '`await replica.retry("%s", "%s")` has it go on; `drop` goes on without these rows.',
            self._projection.table, name, why.rstrip("."), name, where,
        )  # fmt: skip
        await self._again.wait()
        self._stuck, self._why = None, None

    async def _take_up(self) -> None:
        """Go on from the checkpoint, or begin to build."""
        found = await self._insist(self._export.target.checkpoints)
        known = found.get(self._projection.table)
        checkpoint = _decode(known) if known is not None else None
        if (
            checkpoint is not None
            and not checkpoint.building
            and not self._projection.reached().unknown
            and (checkpoint.fingerprint, checkpoint.histories)
            == (self._projection.fingerprint(), histories(self._core))
        ):
            self._building, self._position = False, VersionVector(checkpoint.version)
            return
        self._building, self._position = True, NOTHING
        table = self._projection.described(self._table)
        await self._write(Change(begin=(table,), checkpoints=self._checkpoint(NOTHING, building=True)))
        await self._switch_if_built()

    async def _follow(self) -> bool:
        """Write what comes. False where all must be built again."""
        began = histories(self._core)
        follower = Follower(self._core, self._pump, self._backend, self._position)
        batches: AsyncGenerator[tuple[Commits, VersionVector], None] = follower.batches()
        async with aclosing(batches):
            async for commits, position in batches:
                if histories(self._core) != began:
                    return False
                rows = await self._rows(commits)
                checkpoint = self._checkpoint(position, building=self._building)
                await self._write(Change(rows=rows, checkpoints=checkpoint))
                self._position = position
                await self._switch_if_built()
        return True

    async def _rows(self, commits: Commits) -> tuple[Rows, ...]:
        projection, found = self._projection, []
        if isinstance(projection, EventRows):
            for commit, context in commits:
                for entry in entries(self._core, commit, context):
                    if type(entry.event) in projection.events and str(entry.dot) not in self._dropped:
                        rows = self._made(entry, str(entry.dot), f"{entry.stream} {entry.dot}")
                        key = entry.stream, f"{int(entry.dot.replica):016x}", entry.dot.seq
                        found.append(Rows(self._table, key, rows))
        elif isinstance(projection, StreamRows):
            prefix = f"{projection.of.stream}/"
            streams = dict.fromkeys(
                e.stream for commit, _ in commits for e in commit.events if e.stream.startswith(prefix)
            )
            for stream in streams if not self._dropped else [one for one in streams if one not in self._dropped]:
                present = await self._pump.do(partial(_present, self._core, stream))
                rows = [] if present is None else self._made(present, stream, stream)
                found.append(Rows(self._table, (stream,), rows))
        return tuple(found)

    def _made(self, source: object, where: str, named: str) -> list[tuple[object, ...]]:
        try:
            return self._projection.checked_rows(source)
        except Exception as error:
            raise _RowsFailed(where, f"{named}: {type(error).__name__}: {error}") from error

    async def _switch_if_built(self) -> None:
        if self._building and self._core.memory.version <= self._position:
            switch = ((self._table, self._projection.described()),)
            checkpoint = self._checkpoint(self._position, building=False)
            await self._write(Change(switch=switch, checkpoints=checkpoint))
            self._building = False

    async def _write(self, change: Change) -> None:
        await self._insist(lambda: self._export.target.write(change))

    async def _insist(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call the target until it answers; Refusal where it will not."""
        answers: list[T] = []

        async def attempt() -> None:
            answers.append(await call())

        async def failed(words: str) -> None:
            self._failures, self._why = self._failures + 1, words
            log.warning("%s cannot be written, and is tried again: %s", self._export.name, words)

        await Retry(None, self._export.first, self._export.longest).persist(attempt, failed, unless=Refusal)
        self._failures, self._why = 0, None
        return answers[-1]

    def _checkpoint(self, position: VersionVector, *, building: bool) -> dict[str, str]:
        version = {int(replica): seq for replica, seq in position.seqs.items()}
        held = Checkpoint(self._projection.fingerprint(), histories(self._core), building, version)
        return {self._projection.table: _encode(held).decode()}

    # --- people (see `replica.retry`) ---

    def holds(self, name: str, where: str) -> bool:
        """It has stopped there."""
        return name in (self._export.name, self._projection.table) and self._stuck == where

    async def retry(self, name: str, where: str) -> None:
        """Go on."""
        self._again.set()

    async def drop(self, name: str, where: str) -> None:
        """Go on without the rows of that event, or with those that the stream has there now."""
        if where == self._projection.table:
            raise ValueError(f"{self._export.name} refuses a whole change of {where}: mend that, and `retry`")
        self._dropped.add(where)
        self._again.set()

    def status(self) -> ExportStatus:
        """How the projection stands in its target."""
        seqs = self._core.memory.version.seqs
        behind = sum(max(seq - self._position[replica], 0) for replica, seq in seqs.items())
        state = "stopped" if self._stuck is not None else "building" if self._building else "live"
        return ExportStatus(self._export.name, self._projection.table, state, behind, self._failures, self._why)


class _RowsFailed(Exception):
    """`rows` raised, or made rows that do not fit."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(why)
        self.where = where


def _present(core: Core, stream: str) -> object:
    """The present of a stream; None where it has none. A step of the core."""
    try:
        core.state(stream)
    except AnabranchError:
        return None
    return present_of(core, stream)


def exporters(core: Core, pump: Pump, backend: Backend, exports: Iterable[Export]) -> list[Exporter]:
    """An exporter for each projection of each export."""
    exports = [*exports]
    for export in exports:
        check_named("an export", export.name)
    return [Exporter(core, pump, backend, export, kind) for export in exports for kind in export.projections]
