"""Forks: a second past of a store, which begins at a cut, in a file of its own.

Rule 1. A fork is a replica like any other: it has an id, a name and a future of its own, an outbox that is empty,
        and owns nothing. Whoever has the past of both joins them again (see `replica.join`).
Rule 2. Its file holds the log inside the cut (see `replica.adopt`). Presents and tables follow when it is opened.
Rule 3. The file appears when it is whole, and never in place of another one. Until then it stands beside its
        place, under a name that ends in `.part`, which a crash leaves behind and the next fork begins anew.
Rule 4. What is forked goes on meanwhile: its log is read in portions.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import TypeVar

from merge.version import VersionVector
from replica.adopt import Part, Taken, adopt, blocks, end_of, in_order, ingest_rest, parts, snapshots
from replica.backend import Backend, connected
from replica.core import Core
from replica.direct import DirectReplica, reader_of
from replica.errors import FileExists, StoreError
from replica.files import MEMORY, file_at, sync, told
from replica.introduction import check_label
from replica.log import Identity, Kept, Log
from replica.mark import locked
from replica.reading import Reader
from replica.sqlite import SqliteThread
from replica.words import counted

T = TypeVar("T")
PORTION = 1 << 20
"""Bytes of columns that are read, and written, at once."""

Progress = Callable[[int, int], None]
"""Called with how many events of how many are done."""


@dataclass(frozen=True, slots=True)
class Forked:
    """A fork that was made: where it is, and the past with which it begins."""

    path: str
    name: str
    version: VersionVector
    events: int

    def __str__(self) -> str:
        return f"{self.path} begins at {self.version or 'nothing'} ({counted(self.events, 'event')})"


async def fork(
    core: Core,
    backend: Backend,
    cut: VersionVector,
    path: str | os.PathLike[str],
    name: str | None,
    random: Random,
    progress: Progress | None,
) -> Forked:
    """Make a fork of what lies inside a cut. FileExists, FileInUse, StoreError where it cannot be."""
    if file_at(path) == MEMORY:
        raise StoreError("a fork is a file, and :memory: names none. Nothing was forked.")
    place = Path(file_at(path))
    name = name or place.stem
    check_label("name", name)
    part = place.with_name(place.name + ".part")
    async with AsyncExitStack() as stack:
        stack.enter_context(told(place))
        _free(place)
        mark = stack.enter_context(locked(str(place)))
        stack.callback(_unmark, place)
        _free(place)
        _remove(part)
        stack.callback(_remove, part)
        target = SqliteThread(str(part), full=False)
        identity = Identity(core.store, random.getrandbits(64), name, (secrets.token_bytes(8),))
        async with connected(target):
            events = await copy(core, backend, target, cut, identity, random, progress)
        part.rename(place)
        mark.write(identity)
        sync(place.parent)
    return Forked(os.fspath(path), name, cut, events)


async def copy(
    core: Core,
    source: Backend,
    target: Backend,
    cut: VersionVector,
    identity: Identity,
    random: Random,
    progress: Progress | None = None,
) -> int:
    """Put what lies inside a cut of one log into an empty one, which is `identity`'s; how many events that are."""
    return await _Copy(core, source, target, cut, progress).run(identity, random)


class _Copy:
    """What lies inside a cut of one log, on its way into an empty one."""

    def __init__(
        self, core: Core, source: Backend, target: Backend, cut: VersionVector, progress: Progress | None
    ) -> None:
        self._core, self._source, self._target, self._cut, self._progress = core, source, target, cut, progress

    async def run(self, identity: Identity, random: Random) -> int:
        """Copy all of it; how many events that are."""
        found = await self._read(lambda reader: parts(reader, self._cut))
        total = sum(part.upto - part.row.after for part in found)
        fork = await self._target.run(
            lambda log: DirectReplica(log, identity.store, identity.name, (), random=random, identity=identity)
        )
        apart = [part for part in found if self._core.memory.lineages[part.row.replica].forked]
        done = 0
        for part in found:
            if part not in apart:
                async for events in self._log(fork, part):
                    done += events
                    if self._progress is not None:
                        self._progress(done, total)
        fork.core.adopt_stores({part.row.store or self._core.store for part in found})
        if apart:
            rest = await self._read(lambda reader: in_order(reader, apart))
            await self._target.run(lambda _: ingest_rest(fork, rest))
        else:
            await self._snapshots(fork)
        ends = await self._read(lambda reader: [(part.row.replica, end_of(reader, part).context) for part in found])
        await self._target.run(lambda _: fork.learn(ends))
        return total

    async def _log(self, fork: DirectReplica, part: Part) -> AsyncGenerator[int, None]:
        """Copy a log; how many events each portion had."""
        after = 0
        while after < part.upto:
            taken = await self._read(partial(blocks, part=part, after=after, size=PORTION))
            await self._target.run(partial(_write, fork, part, taken))
            before, after = after, taken[-1].piece.last
            yield after - before

    async def _snapshots(self, fork: DirectReplica) -> None:
        before: str | None = None
        while True:
            inside, before = await self._read(partial(snapshots, cut=self._cut, before=before))
            if before is None:
                return
            await self._target.run(partial(_keep, fork, inside))

    async def _read(self, call: Callable[[Reader], T]) -> T:
        return await self._source.run(lambda log: call(reader_of(self._core, log)))


def _write(fork: DirectReplica, part: Part, taken: list[Taken], _: Log) -> None:
    for block in taken:
        adopt(fork.core, part.row, block)
    fork.flush()


def _keep(fork: DirectReplica, inside: list[Kept], _: Log) -> None:
    for kept in inside:
        fork.core.draft.keep(*kept)
    fork.flush()


def _free(place: Path) -> None:
    if place.exists():
        raise FileExists(
            f"{place} is there already, and a fork is a file of its own. Nothing was changed: name another one."
        )


def _unmark(place: Path) -> None:
    """Leave no mark beside a file that did not come to be."""
    if not place.exists():
        for end in (".mark", ".reached"):
            place.with_name(place.name + end).unlink(missing_ok=True)


def _remove(part: Path) -> None:
    """Remove a file that did not become whole, and what SQLite keeps beside it."""
    for end in ("", "-wal", "-shm"):
        part.with_name(part.name + end).unlink(missing_ok=True)
