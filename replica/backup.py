"""Backups: the file of a replica as it is at one moment, in a file of its own; and how one is put in place.

Rule 1. A backup is one file that is whole: it is made beside whoever writes, and holds what was durable when that
        began.
Rule 2. It has no mark, so it is nobody's: a replica that is opened on it goes on under a new id.
Rule 3. It appears when it has been checked and lies on the disk, where nothing lay, readable for its owner alone.
Rule 4. What is put in place is checked before, and never over a file that is open. What lay there is kept, under a
        name that ends in `.replaced`; its mark is not.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from merge.version import VersionVector
from replica.errors import DamagedLog, FileExists, StoreError
from replica.files import MEMORY, begin, file_at, sync, told
from replica.mark import locked
from replica.readonly import ReadOnly
from replica.sqlite import SqliteReader
from replica.words import counted


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was made, or put in place: where it is, and what it holds."""

    path: str
    version: VersionVector
    events: int
    kept: str | None = None
    """Where the file lies now that was in its place."""

    def __str__(self) -> str:
        kept = f"; what was there is {self.kept}" if self.kept else ""
        return f"{self.path} holds {self.version or 'nothing'} ({counted(self.events, 'event')}){kept}"


async def backup(path: str | os.PathLike[str], to: str | os.PathLike[str]) -> Backup:
    """A copy of the file at `path` as it is now, at `to`, where nothing may lie. Others may write meanwhile.

    Raises FileExists; DamagedLog where the file is not what was written; StoreError where it cannot be made.
    """
    source, place = _file(path), Path(_file(to))
    _free(place, "a backup never takes the place of a file. Nothing was changed: name another one.")
    async with _copied(source, place) as made:
        with told(place):
            try:
                os.link(made.path, place)  # which fails where something has come to lie there
            except OSError:
                _free(place, "a backup never takes the place of a file. Nothing was changed: name another one.")
                Path(made.path).rename(place)  # there are no links on that file system
            sync(place.parent)
    return Backup(os.fspath(to), made.version, made.events)


async def restore_backup(
    backup: str | os.PathLike[str], path: str | os.PathLike[str], *, replace: bool = False
) -> Backup:
    """Put a backup in place at `path`: a replica that is opened there goes on under a new id, from what it holds.

    A file that lies there is kept under another name, and only with `replace`. Raises FileExists, FileInUse where
    it is open for writing, DamagedLog where the backup is not what was written, StoreError.
    """
    source, place = _file(backup), Path(_file(path))
    with locked(str(place)) as mark:
        if not replace:
            _free(place, "nothing was changed: say that it is to be replaced (it is kept under another name).")
        async with _copied(source, place) as made:
            with told(place):
                mark.forget()
                kept = _move_away(place)
                Path(made.path).rename(place)
                sync(place.parent)
    return Backup(os.fspath(path), made.version, made.events, kept)


@asynccontextmanager
async def _copied(source: str, place: Path) -> AsyncIterator[Backup]:
    """A copy beside a place, checked and on the disk; it is gone at the end unless it was moved."""
    part = str(place.with_name(f"{place.name}.part"))
    _remove(part)
    try:
        begin(part)
        async with SqliteReader(source).opened() as reader:
            await reader.run(lambda log: log.copy_to(part))
        async with ReadOnly.open(part) as past:
            found = await past.verify()
            if not found:
                raise DamagedLog(f"{source} is damaged: {'; '.join(found.differences)}. Nothing was changed.")
            made = Backup(part, past.version, sum(past.core.memory.types.values()))
        with told(part):
            sync(part)
        yield made
    finally:
        _remove(part)


def _file(path: str | os.PathLike[str]) -> str:
    found = file_at(path)
    if found == MEMORY:
        raise StoreError("what lies in memory alone has no file to be backed up or restored: fork it into one.")
    return found


def _free(place: Path, then: str) -> None:
    with told(place):
        if place.exists():
            raise FileExists(f"{place} is there already, and {then}")


def _move_away(place: Path) -> str | None:
    """Give a file, and what SQLite had not moved into it, a name at which nothing lies."""
    if not place.exists():
        return None
    number, kept = 1, place.with_name(f"{place.name}.replaced")
    while kept.exists():
        number += 1
        kept = place.with_name(f"{place.name}.replaced{number}")
    wal = Path(f"{place}-wal")
    if wal.exists():
        wal.rename(f"{kept}-wal")
    Path(f"{place}-shm").unlink(missing_ok=True)
    place.rename(kept)
    return str(kept)


def _remove(part: str) -> None:
    with told(part):
        for end in ("", "-wal", "-shm", "-journal"):
            Path(f"{part}{end}").unlink(missing_ok=True)
