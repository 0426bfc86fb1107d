"""Exports: keeps projections in a target, one follower each. The rules stand in `replica.target`."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from functools import partial

import msgspec
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_exponential_jitter

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
from replica.rows import histories
from replica.status import ExportStatus
from replica.target import Change, Export, Refusal

log = logging.getLogger("anabranch.replica")


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
        self._stopped = False
        if isinstance(self._projection, StreamRows):
            if type(core.aggregates.get(self._projection.of.stream)) is not self._projection.of:
                raise TypeError(
                    f"{kind.__name__} is of {self._projection.of.__name__}, which this replica does not list"
                )

    @property
    def _table(self) -> str:
        return self._projection.table + BUILDING * self._building

    async def run(self) -> None:
        """Follow the log until the replica is closed, this is cancelled, or the projection stops."""
        try:
            while True:
                await self._take_up()
                if await self._follow():
                    return
        except Refusal as error:
            self._stop(str(error))
        except _RowsFailed as error:
            self._stop(str(error))

    def _stop(self, why: str) -> None:
        self._stopped, self._why = True, why
        log.error("the projection %s in %s stopped: %s", self._projection.table, self._export.name, why)

    async def _take_up(self) -> None:
        """Go on from the checkpoint, or begin to build."""
        found: dict[str, str] = {}
        async for attempt in self._trying():
            with attempt:
                found = await self._export.target.checkpoints()
        self._failures, self._why = 0, None
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
                    if type(entry.event) in projection.events:
                        rows = self._made(entry, f"{entry.stream} {entry.dot}")
                        key = entry.stream, f"{int(entry.dot.replica):016x}", entry.dot.seq
                        found.append(Rows(self._table, key, rows))
        elif isinstance(projection, StreamRows):
            prefix = f"{projection.of.stream}/"
            streams = dict.fromkeys(
                e.stream for commit, _ in commits for e in commit.events if e.stream.startswith(prefix)
            )
            for stream in streams:
                present = await self._pump.do(partial(_present, self._core, stream))
                rows = [] if present is None else self._made(present, stream)
                found.append(Rows(self._table, (stream,), rows))
        return tuple(found)

    def _made(self, source: object, where: str) -> list[tuple[object, ...]]:
        try:
            return self._projection.checked_rows(source)
        except Exception as error:
            raise _RowsFailed(f"{where}: {type(error).__name__}: {error}") from error

    async def _switch_if_built(self) -> None:
        if self._building and self._core.memory.version <= self._position:
            switch = ((self._table, self._projection.described()),)
            checkpoint = self._checkpoint(self._position, building=False)
            await self._write(Change(switch=switch, checkpoints=checkpoint))
            self._building = False

    async def _write(self, change: Change) -> None:
        async for attempt in self._trying():
            with attempt:
                await self._export.target.write(change)
        self._failures, self._why = 0, None

    def _trying(self) -> AsyncRetrying:
        def failed(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome is not None else None
            self._failures, self._why = self._failures + 1, f"{type(error).__name__}: {error}"
            log.warning("%s cannot be written, and is tried again: %s", self._export.name, self._why)

        first, longest = self._export.first, self._export.longest
        return AsyncRetrying(
            wait=wait_exponential_jitter(multiplier=first, max=longest, jitter=first),
            retry=retry_if_exception(_may_pass),
            before_sleep=failed,
            reraise=True,
        )

    def _checkpoint(self, position: VersionVector, *, building: bool) -> dict[str, str]:
        version = {int(replica): seq for replica, seq in position.seqs.items()}
        held = Checkpoint(self._projection.fingerprint(), histories(self._core), building, version)
        return {self._projection.table: _encode(held).decode()}

    def status(self) -> ExportStatus:
        """How the projection stands in its target."""
        seqs = self._core.memory.version.seqs
        behind = sum(max(seq - self._position[replica], 0) for replica, seq in seqs.items())
        state = "stopped" if self._stopped else "building" if self._building else "live"
        return ExportStatus(self._export.name, self._projection.table, state, behind, self._failures, self._why)


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, Exception) and not isinstance(error, Refusal)


class _RowsFailed(Exception):
    """`rows` raised, or made rows that do not fit."""


def _present(core: Core, stream: str) -> object:
    """The present of a stream; None where it has none. A step of the core."""
    try:
        core.state(stream)
    except AnabranchError:
        return None
    return present_of(core, stream)


def exporters(core: Core, pump: Pump, backend: Backend, exports: Iterable[Export]) -> list[Exporter]:
    """An exporter for each projection of each export."""
    return [Exporter(core, pump, backend, export, kind) for export in exports for kind in export.projections]
