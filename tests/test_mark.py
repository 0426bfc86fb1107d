"""What lies beside a file tells whether it was set back: backups of every kind, kills, and what looks like one.

Copies and old files over which a mark lies are in `test_durable`, power cuts in `test_power`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import time
import warnings
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from replica import Replica
from tests.loop import in_loop
from tests.shop import HOME, ItemAdded, ShoppingList

BELONGS = ("", ".mark", ".reached")


def opened(path: Any, **options: Any) -> Any:
    return Replica.open(path, store="shop", name="alice", aggregates=[ShoppingList], **options)


async def append(replica: Any, *texts: str) -> list[tuple[int, int]]:
    return [tuple(map(int, (await replica.append(HOME, ItemAdded(text))).dots[0])) for text in texts]


def online(path: Path, to: Path) -> None:
    """SQLite's own backup, beside the running replica."""
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)


def killed(path: Path, work: Any, **options: Any) -> None:
    """Let a process open the file, do some work, and be killed."""

    async def live() -> None:
        async with opened(path, **options) as alice:
            await work(alice)
            os.kill(os.getpid(), signal.SIGKILL)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            asyncio.run(live())
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL


def put_back(path: Path, ends: tuple[str, ...], copy: Any) -> None:
    for end in ("-wal", "-shm"):
        Path(f"{path}{end}").unlink(missing_ok=True)
    for end in ends:
        copy(f"{path}.backup{end}", f"{path}{end}")


async def goes_on(path: Path) -> tuple[int, bool]:
    """Under which id it writes now, and whether that is a new one; all that it had is there."""
    async with opened(path) as alice:
        await append(alice, "again")
        assert {"again", "one"} <= set((await alice.present(HOME)).items)
        return int(alice.core.me), alice.status().succeeds is not None


COPIES = {"cp": shutil.copyfile, "cp -a": shutil.copy2, "mv": os.replace}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES.keys())
@pytest.mark.parametrize("ends", [("",), ("", ".mark"), BELONGS], ids=["file", "and mark", "all"])
def test_a_backup_of_last_week_goes_on_under_a_new_id(tmp_path, ends, copy):
    """Alone, with its mark, or with all that belongs to it, and whatever it was copied with."""
    path = tmp_path / "a.db"

    async def work(*texts: str) -> int:
        async with opened(path) as alice:
            await append(alice, *texts)
            return int(alice.core.me)

    me = asyncio.run(work("one"))
    for end in BELONGS:
        shutil.copy2(f"{path}{end}", f"{path}.backup{end}")
    time.sleep(0.02)
    assert asyncio.run(work("two")) == me
    put_back(path, ends, copy)
    assert asyncio.run(goes_on(path))[1]


@pytest.mark.parametrize("ends", [("",), BELONGS], ids=["file", "all"])
def test_an_online_backup_that_is_put_back_after_a_kill_goes_on_under_a_new_id(tmp_path, ends):
    """It was made in the life that went on after it, so its openings are the latest; its log is shorter."""
    path = tmp_path / "a.db"
    dots = tmp_path / "dots"

    async def work(alice: Any) -> None:
        await append(alice, "one")
        online(path, tmp_path / "a.db.backup")
        for end in BELONGS[1:]:
            shutil.copy2(f"{path}{end}", f"{path}.backup{end}")
        dots.write_bytes(msgspec.json.encode(await append(alice, "two")))

    killed(path, work)
    put_back(path, ends, shutil.copyfile)
    me, new = asyncio.run(goes_on(path))
    assert new
    assert me != msgspec.json.decode(dots.read_bytes())[0][0]


def test_who_was_killed_goes_on_under_its_id(tmp_path):
    """However often, and whatever it was at: a new id each time would be a false alarm each time."""
    path = tmp_path / "a.db"

    async def none(alice: Any) -> None:
        return

    async def some(alice: Any) -> None:
        await append(alice, "one", "two")

    for work in (some, none, some, none, none, some):
        killed(path, work)
    assert not asyncio.run(goes_on(path))[1]


def test_a_file_that_is_opened_and_left_goes_on_under_its_id(tmp_path):
    """And so does one that was read, copied and looked at by SQLite's tools meanwhile."""

    async def main() -> None:
        for _ in range(3):
            async with opened(tmp_path / "a.db") as alice:
                await append(alice, "one")
            shutil.copyfile(tmp_path / "a.db", tmp_path / "copy.db")
            shutil.copyfile(tmp_path / "a.db.mark", tmp_path / "copy.db.mark")
            with closing(sqlite3.connect(tmp_path / "a.db")) as tool:
                tool.execute("SELECT count(*) FROM log").fetchall()
        assert not (await goes_on(tmp_path / "a.db"))[1]

    asyncio.run(main())


def test_a_mark_whose_rights_were_changed_is_a_false_alarm_that_costs_an_id(tmp_path):
    """It looks like one that was put back. The log stays as history, and the next opening is no alarm again."""

    async def main() -> None:
        async with opened(tmp_path / "a.db") as alice:
            await append(alice, "one")
        await asyncio.sleep(0.02)
        (tmp_path / "a.db.mark").chmod(0o640)
        assert (await goes_on(tmp_path / "a.db"))[1]
        async with opened(tmp_path / "a.db") as alice:
            me = alice.core.me
        async with opened(tmp_path / "a.db") as alice:
            assert alice.core.me == me

    asyncio.run(main())


@in_loop
async def test_a_mark_of_before_is_taken_at_its_word(tmp_path):
    """Files that an earlier version left have nothing beside their mark: they go on under their ids."""
    async with opened(tmp_path / "a.db") as alice:
        await append(alice, "one")
    (tmp_path / "a.db.reached").unlink()
    plain = msgspec.json.decode((tmp_path / "a.db.mark").read_bytes())
    del plain["reached"]
    (tmp_path / "a.db.mark").write_bytes(msgspec.json.encode(plain))
    assert not (await goes_on(tmp_path / "a.db"))[1]
    (tmp_path / "a.db.reached").unlink()
    assert (await goes_on(tmp_path / "a.db"))[1], "one of now has it"


@in_loop
async def test_what_is_noted_is_the_own_log_alone(tmp_path):
    """What peers write moves it not, and neither does a new id of this replica take the numbers of the old one."""
    async with opened(tmp_path / "a.db") as alice:
        await append(alice, "one", "two")
        await alice.doubt()
        await append(alice, "three")
        assert alice.status().succeeds is not None
        me = alice.core.me
    async with opened(tmp_path / "a.db") as alice:
        assert alice.core.me == me
