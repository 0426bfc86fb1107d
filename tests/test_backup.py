"""Backups: made beside whoever writes, whole, checked; put in place under a new id, and over nothing."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
from contextlib import closing

import pytest

from replica import DamagedLog, FileExists, FileInUse, ReadOnly, StoreError, backup, restore_backup
from sync.cli import main
from tests.loop import in_loop
from tests.shop import HOME, ShoppingList
from tests.test_mark import append, opened


async def items(path):
    async with ReadOnly.open(path, aggregates=[ShoppingList]) as past:
        return set((await past.present(HOME)).items)


@in_loop
async def test_a_backup_is_made_beside_a_writer_and_is_whole(tmp_path):
    """It holds what was acknowledged when it began; one file, for its owner alone; and nobody waited for it."""
    async with opened(tmp_path / "a.db") as alice:
        await append(alice, *map(str, range(50)))

        async def write() -> None:
            for number in range(50, 80):
                await append(alice, str(number))

        writing = asyncio.create_task(write())
        made = await alice.backup(tmp_path / "copy.db")
        await writing
    assert {str(number) for number in range(50)} <= await items(tmp_path / "copy.db")
    assert made.events == 1 + len(await items(tmp_path / "copy.db"))
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith("a.db")} == {"copy.db"}


@in_loop
async def test_a_backup_that_is_put_in_place_goes_on_under_a_new_id(tmp_path):
    """What lay there is kept, with what was in it; the log of the backup stays as history."""
    path = tmp_path / "a.db"
    async with opened(path) as alice:
        (first,) = await append(alice, "one")
        await alice.backup(tmp_path / "copy.db")
        (second,) = await append(alice, "two")
    with pytest.raises(FileExists, match="is there already"):
        await restore_backup(tmp_path / "copy.db", path)
    assert await items(path) == {"one", "two"}
    made = await restore_backup(tmp_path / "copy.db", path, replace=True)
    assert made.kept
    assert await items(made.kept) == {"one", "two"}
    async with opened(path) as alice:
        (third,) = await append(alice, "three")
        assert set((await alice.present(HOME)).items) == {"one", "three"}
        assert third[0] != first[0] == second[0]
        assert alice.status().succeeds == first[0]
    await restore_backup(tmp_path / "copy.db", tmp_path / "new.db")
    async with opened(tmp_path / "new.db") as alice:
        assert alice.core.me not in (first[0], third[0])


@in_loop
async def test_what_cannot_be_backed_up_or_put_in_place_changes_nothing(tmp_path):
    """A file that is there, one that is open, a damaged one, one that is none, memory."""
    path = tmp_path / "a.db"
    async with opened(path) as alice:
        await append(alice, "one")
        await alice.backup(tmp_path / "copy.db")
        with pytest.raises(FileExists):
            await alice.backup(tmp_path / "copy.db")
        with pytest.raises(FileExists):
            await alice.backup(path)
        with pytest.raises(FileInUse):
            await restore_backup(tmp_path / "copy.db", path, replace=True)
        await append(alice, "two")
    with pytest.raises(StoreError):
        await backup(tmp_path / "none.db", tmp_path / "other.db")
    with pytest.raises(StoreError):
        async with opened(":memory:") as bob:
            await bob.backup(tmp_path / "other.db")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as file:
        file.execute("UPDATE fresh SET slice = zeroblob(length(slice))")
        file.commit()
    with pytest.raises(DamagedLog):
        await restore_backup(tmp_path / "copy.db", path, replace=True)
    with pytest.raises(DamagedLog):
        await backup(tmp_path / "copy.db", tmp_path / "other.db")
    assert await items(path) == {"one", "two"}
    assert not list(tmp_path.glob("*.part*"))
    assert not (tmp_path / "other.db").exists()


@in_loop
async def test_a_backup_of_a_file_that_was_not_closed_has_all_of_it(tmp_path):
    """What SQLite had not moved into the file yet comes along, and is kept with what is replaced."""
    path = tmp_path / "a.db"
    async with opened(path) as alice:
        await append(alice, "one")
        for end in ("", "-wal"):
            (tmp_path / f"dead.db{end}").write_bytes((tmp_path / f"a.db{end}").read_bytes())
            (tmp_path / f"left.db{end}").write_bytes((tmp_path / f"a.db{end}").read_bytes())
    await backup(tmp_path / "dead.db", tmp_path / "copy.db")
    assert await items(tmp_path / "copy.db") == {"one"}
    made = await restore_backup(tmp_path / "copy.db", tmp_path / "left.db", replace=True)
    assert await items(made.kept or "") == {"one"}


def test_the_command_line_makes_backups_and_puts_them_in_place(tmp_path, capsys):
    """With the exit codes of all commands, and JSON where it is asked for."""

    async def write() -> None:
        async with opened(tmp_path / "a.db") as alice:
            await append(alice, "one")

    asyncio.run(write())
    path, copy = str(tmp_path / "a.db"), str(tmp_path / "copy.db")
    assert main(["backup", path, copy]) == 0
    assert main(["backup", path, copy]) == 5
    assert main(["restore", copy, path]) == 5
    assert main(["restore", copy, path, "--replace", "--json"]) == 0
    assert '"kept":"' in capsys.readouterr().out
    assert os.path.exists(path)
