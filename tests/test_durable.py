"""What is acknowledged is there: through failing commits, copies, backups, and a second process.

SIGKILL is in `test_killed`, power cuts are in `test_power`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from merge.version import Dot
from replica import (
    Closed,
    FileInUse,
    InvalidEvent,
    PoisonEvent,
    Refused,
    Replica,
    StoreError,
    Unfolded,
    WrongFormat,
    WrongStore,
)
from replica.core import Core
from replica.direct import load
from replica.errors import DamagedLog
from replica.readonly import ReadOnly
from replica.sqlite import SqliteLog, SqliteThread
from sync import Node, linked
from sync.cli import main
from tests.loop import in_loop, until
from tests.shop import HOME, AddItem, Count, GiveTitle, ItemAdded, RemoveItem, ShoppingList

ROOT = Path(__file__).parent.parent


def opened(path, name="alice", **options):
    options.setdefault("aggregates", [ShoppingList])
    return Replica.open(path, store="shop", name=name, **options)


async def items_by_dot(replica: Replica) -> dict[Dot, str]:
    """Every item that was ever added, by the dot of its event, read from the log."""
    core: Core = replica.core

    def read(reader):
        return {
            Dot(commit.replica, commit.first + index): event
            for commit, _ in reader.stream(HOME)
            for index, event in enumerate(commit.events)
        }

    events = await replica.read(read)
    return {dot: core.types.decode(e.type, e.schema, e.payload).item for dot, e in events.items()}


# --- the end of a process ---


def test_a_program_that_forgets_nothing_ends_by_itself(tmp_path):
    """With an error inside the block, no thread keeps the process alive, and the error is what comes out."""
    program = (
        "import asyncio\n"
        "from tests.test_durable import opened\n"
        "async def main():\n"
        f"    async with opened({str(tmp_path / 'a.db')!r}):\n"
        "        raise SystemExit(7)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=30, capture_output=True)
    assert (done.returncode, done.stderr) == (7, b"")


@in_loop
async def test_a_file_knows_its_store_and_name(tmp_path):
    """A tool opens it again without saying both; what is said must be right; what is new needs both."""
    path = tmp_path / "a.db"
    for missing in ({}, {"store": "shop"}, {"name": "alice"}):
        for where in (path, ":memory:"):
            with pytest.raises(ValueError, match=r"`store=`, `name=`"):
                async with Replica.open(where, aggregates=[ShoppingList], **missing):
                    pass
    assert not list(tmp_path.iterdir())
    async with opened(path) as alice:
        replica = alice.core.me
        await alice.execute(HOME, AddItem("milk"))
    for said in ({}, {"store": "shop"}, {"name": "alice"}):
        async with Replica.open(path, aggregates=[ShoppingList], **said) as alice:
            assert (alice.store, alice.name, alice.core.me) == ("shop", "alice", replica)
            assert (await alice.present(HOME)).items == {"milk"}
    with pytest.raises(WrongStore):
        async with Replica.open(path, store="bank", aggregates=[ShoppingList]):
            pass
    shutil.copy(path, tmp_path / "copy.db")
    async with Node.open(tmp_path / "copy.db", aggregates=[ShoppingList]) as node:
        assert (node.replica.store, node.replica.name) == ("shop", "alice")
        assert node.replica.core.me != replica


# --- a commit that fails ---


class FailingLog(SqliteLog):
    """A log whose COMMIT fails once it is told to: before it took effect, or after."""

    fail: str | None = None
    transactions = 0

    def _commit(self) -> None:
        FailingLog.transactions += 1
        fail, FailingLog.fail = FailingLog.fail, None
        if fail != "before":
            super()._commit()
        if fail:
            raise sqlite3.OperationalError("disk I/O error")


class FailingThread(SqliteThread):
    log_type = FailingLog


@pytest.mark.parametrize("when", ["before", "after"])
@in_loop
async def test_each_of_fifty_callers_is_told_what_the_file_holds_when_commit_fails(tmp_path, when):
    """COMMIT raises, with or without having taken effect: the file is read, and it answers everybody."""
    path = str(tmp_path / "a.db")
    async with opened(path, backend=FailingThread(path)) as alice:
        await alice.execute(HOME, AddItem("before"))
        FailingLog.fail = when
        answers = await asyncio.gather(
            *(alice.execute(HOME, AddItem(f"{n}")) for n in range(50)), return_exceptions=True
        )
        recorded = {n for n, answer in enumerate(answers) if not isinstance(answer, Exception)}
        assert len(recorded) == (50 if when == "after" else 0)
        for answer in answers:
            assert when == "after" or (isinstance(answer, StoreError) and "nothing was recorded" in str(answer))
        await alice.execute(HOME, AddItem("after"))
        present = set((await alice.present(HOME)).items)
    async with opened(path, backend=SqliteThread(path)) as alice:
        held = set((await items_by_dot(alice)).values())
        assert held == {"before", "after", *map(str, recorded)} == present


@in_loop
async def test_callers_that_come_together_share_a_transaction(tmp_path):
    """Group commit: what waits while a transaction is under way goes into the next one."""
    path = str(tmp_path / "a.db")
    async with opened(path, backend=FailingThread(path)) as alice:
        await alice.execute(HOME, AddItem("first"))
        FailingLog.transactions = 0
        await asyncio.gather(*(alice.execute(HOME, Count(1)) for _ in range(500)))
        assert FailingLog.transactions <= 3
        assert (await alice.present(HOME)).count.value == 500


@in_loop
async def test_an_error_before_commit_is_heard_by_those_it_concerns(tmp_path):
    """A refused command between two others: they are recorded, it is refused, and leaves no trace."""
    async with opened(tmp_path / "a.db") as alice:
        answers = await asyncio.gather(
            alice.execute(HOME, AddItem("milk")),
            alice.execute(HOME, AddItem("")),
            alice.execute(HOME, AddItem("eggs")),
            return_exceptions=True,
        )
        assert isinstance(answers[1], Refused)
        assert set((await alice.present(HOME)).items) == {"milk", "eggs"}
        assert str(alice.version) == "alice:3"


@in_loop
async def test_cancelling_a_caller_does_not_cancel_its_command(tmp_path):
    """The intent was given; whether somebody still waits for the answer changes nothing."""
    async with opened(tmp_path / "a.db") as alice:
        await alice.execute(HOME, AddItem("first"))
        caller = asyncio.create_task(alice.execute(HOME, AddItem("milk")))
        await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        await until(lambda: str(alice.version) == "alice:3")
        assert "milk" in (await alice.present(HOME)).items


@in_loop
async def test_a_closed_replica_says_so(tmp_path):
    """Whoever holds on to it gets one clear error."""
    async with opened(tmp_path / "a.db") as alice:
        pass
    with pytest.raises(Closed, match="nothing was recorded"):
        await alice.execute(HOME, AddItem("milk"))


@in_loop
async def test_nobody_waits_for_ever_on_a_replica_that_closes(tmp_path):
    """Who waits for a version is told so; who watches comes to an end."""
    async with opened(tmp_path / "a.db") as alice:
        await alice.execute(HOME, AddItem("milk"))
        beyond = alice.version.advance(alice.status().replica, 99)
        waiting = asyncio.create_task(alice.wait_for(beyond))
        watching = asyncio.create_task(anext(alice.changes()))
        await asyncio.sleep(0)
    with pytest.raises(Closed, match="before it had observed"):
        await waiting
    with pytest.raises(StopAsyncIteration):
        await watching
    with pytest.raises(Closed):
        await alice.wait_for(beyond)


class Astray(ShoppingList):
    """An aggregate whose decisions raise what Python itself uses."""

    def decide(self, command, given):
        if command.item == "next":
            return next(iter(()))
        return super().decide(command, given)


@in_loop
async def test_a_decision_that_raises_harms_only_its_caller(tmp_path):
    """Even StopIteration, which no future can carry; the commands beside it are recorded."""
    async with opened(tmp_path / "a.db", aggregates=[Astray]) as alice:
        answers = await asyncio.gather(
            *(alice.execute(HOME, AddItem(item)) for item in ("milk", "next", "eggs")), return_exceptions=True
        )
        assert isinstance(answers[1], RuntimeError)
        assert set((await alice.present(HOME)).items) == {"milk", "eggs"}


@in_loop
async def test_a_listener_that_raises_harms_nobody(tmp_path, caplog):
    """It is logged; the caller is answered, and the other listeners are told."""
    async with opened(tmp_path / "a.db") as alice:
        told = []
        alice.listen(lambda settled: 1 / 0)
        alice.listen(told.append)
        await alice.execute(HOME, AddItem("milk"))
        assert len(told) == 1
        assert "a listener raised" in caplog.text


class UnsealableLog(SqliteLog):
    """A log whose blocks cannot be sealed: the disk is full."""

    def seal(self, number, first):
        raise sqlite3.OperationalError("database or disk is full")


class UnsealableThread(SqliteThread):
    log_type = UnsealableLog


@in_loop
async def test_a_block_that_cannot_be_sealed_stays_in_its_parts(tmp_path, caplog):
    """Slower, and nothing is lost; the replica goes on."""
    path = str(tmp_path / "a.db")
    async with opened(path, backend=UnsealableThread(path)) as alice:
        for _ in range(3):
            await alice.append(HOME, *[ItemAdded("x")] * 1000)
        await until(lambda: "stays in its parts" in caplog.text)
        await alice.execute(HOME, Count(1))
    async with opened(path, backend=SqliteThread(path)) as alice:
        assert (await alice.present(HOME)).count.value == 1


@in_loop
async def test_what_many_callers_miss_is_read_at_once(tmp_path, monkeypatch):
    """Forty streams and forty command ids, in a few hops; one stream that cannot be read harms nobody else."""
    names = [f"list/{number}" for number in range(40)]
    async with opened(tmp_path / "a.db") as alice:
        for name in names:
            await alice.execute(name, AddItem("milk"), command_id=f"milk {name}")
    asked: list[int] = []

    def counted(reader, missing, *rest):
        asked.append(len(missing.streams) + len(missing.commands))
        if "list/7" in missing.streams:
            raise DamagedLog("a hole")
        return load(reader, missing, *rest)

    monkeypatch.setattr("replica.pump.load", counted)
    async with opened(tmp_path / "a.db") as alice:
        version = alice.version
        again = [alice.execute(name, AddItem("milk"), command_id=f"milk {name}") for name in names]
        assert len({done.dots for done in await asyncio.gather(*again)}) == 40
        assert alice.version == version
        assert asked == [80]  # what is known of each id: here, and in its stream
        found = await asyncio.gather(
            *[alice.execute(name, AddItem("tea")) for name in (*names, None, 7)], return_exceptions=True
        )
        failed = [index for index, one in enumerate(found) if isinstance(one, BaseException)]
        assert failed == [7, 40, 41]
        assert isinstance(found[7], DamagedLog)
        for name in set(names) - {"list/7"}:
            assert (await alice.present(name)).items == {"milk", "tea"}


@in_loop
async def test_blocks_are_sealed_though_somebody_always_waits(tmp_path, monkeypatch):
    """Else a file under load would have ever more parts, all of which are read when it is opened."""
    monkeypatch.setattr("replica.pump.STEPS", 4)
    monkeypatch.setattr("replica.pump.PARTS", 5)
    for module in ("block", "memory", "reading"):
        monkeypatch.setattr(f"replica.{module}.BLOCK_EVENTS", 8)
    parts: list[int] = []
    query = "SELECT count(*) FROM block WHERE sealed IS NULL"
    with closing(sqlite3.connect(tmp_path / "a.db")) as beside:
        async with opened(tmp_path / "a.db") as alice:

            async def write(count: int) -> None:
                for number in range(count):
                    await alice.append(HOME, ItemAdded(f"{number}"))
                    parts.append(beside.execute(query).fetchone()[0])

            writers = [asyncio.create_task(write(30)) for _ in range(20)]
            await asyncio.sleep(0)
            waits = [alice._pump._steps]
            alice.listen(lambda _: waits.append(alice._pump._steps.copy()))
            await asyncio.gather(*writers)
        assert 5 < max(parts) <= 10
        assert sum(map(bool, waits)) > len(waits) / 2


@in_loop
async def test_blocks_that_cannot_be_sealed_leave_the_others_to_be(tmp_path, monkeypatch, caplog):
    """More than are looked for at once, and in front of them; each is tried once, and said once."""
    monkeypatch.setattr("replica.sqlite.MAX_UNPACKED", 200_000)
    path = tmp_path / "a.db"
    large = 18
    async with opened(path) as alice:
        for _ in range(2 * large):
            await alice.append(HOME, ItemAdded("x" * 140_000))
        for _ in range(3):
            await alice.append(HOME, *[ItemAdded("x")] * 1000)
        await until(lambda: not alice._pump._unsealed)
    assert sum("stays in its parts" in record.message for record in caplog.records) == large
    with sqlite3.connect(path) as file:
        sealed = file.execute("SELECT sealed IS NOT NULL FROM block ORDER BY first").fetchall()
    file.close()
    assert sum(map(sum, sealed)) == len(sealed) - large - 1 > 0, "all but those, and the one that is not full"


@pytest.mark.parametrize(
    "note",
    [
        {"command_id": 17},
        {"correlation": "x" * 513},
        {"correlation": "\ud800"},
        {"cause": ("a", 1)},
        {"cause": (2**70, 1)},
    ],
    ids=str,
)
@in_loop
async def test_a_note_that_others_could_not_read_is_refused(tmp_path, note):
    """Before anything is recorded; the log and the stream go on as if nothing had been asked."""
    async with opened(tmp_path / "a.db") as alice:
        with pytest.raises(InvalidEvent, match="nothing was recorded"):
            await alice.execute("list/new", AddItem("bad"), **note)
        cause = (await alice.execute("list/new", AddItem("good"))).dots[0]
        await alice.execute("list/new", AddItem("more"), cause=cause, command_id="c", correlation="é")
    async with opened(tmp_path / "a.db") as alice:
        assert set((await alice.present("list/new")).items) == {"good", "more"}


@in_loop
async def test_a_stream_that_cannot_have_its_name_is_refused(tmp_path):
    """Half a surrogate pair, no name, a long one: an error for the caller, and no more."""
    async with opened(tmp_path / "a.db") as alice:
        for name in ("list/\ud800", "", "list/" + "x" * 300):
            with pytest.raises(InvalidEvent):
                await alice.present(name)
        await alice.execute(HOME, AddItem("milk"))


# --- who writes to a file ---


@in_loop
async def test_a_file_has_one_writing_process(tmp_path):
    """The second gets an error that names the first, and changes nothing."""
    async with opened(tmp_path / "a.db") as alice:
        with pytest.raises(FileInUse, match=f"process {os.getpid()}"):
            async with opened(tmp_path / "a.db"):
                pass
        await alice.execute(HOME, AddItem("milk"))


@in_loop
async def test_a_file_opened_again_goes_on_under_its_id(tmp_path):
    """The mark vouches for it: same id, next seq."""
    for turn in range(5):
        async with opened(tmp_path / "a.db") as alice:
            await alice.execute(HOME, AddItem(f"{turn}"))
            assert alice.status().succeeds is None
            assert str(alice.version) == f"alice:{turn + 2}"


def copy_without_mark(folder: Path) -> Path:
    shutil.copy(folder / "a.db", folder / "b.db")
    return folder / "b.db"


def copy_with_mark(folder: Path) -> Path:
    shutil.copy(folder / "a.db.mark", folder / "b.db.mark")
    return copy_without_mark(folder)


def lose_the_mark(folder: Path) -> Path:
    (folder / "a.db.mark").unlink()
    return folder / "a.db"


@pytest.mark.parametrize("happens", [copy_without_mark, copy_with_mark, lose_the_mark])
@in_loop
async def test_a_copied_file_takes_a_new_id_before_it_writes(tmp_path, happens):
    """Its old log stays as history, and the new one names the one that it succeeds."""
    async with opened(tmp_path / "a.db") as alice:
        await alice.execute(HOME, AddItem("milk"))
        old = alice.status().replica
    async with opened(happens(tmp_path), "copy") as copy:
        await copy.execute(HOME, AddItem("eggs"))
        status = copy.status()
        assert status.replica != old
        assert status.succeeds == old
        assert status.version[old] == 2
        assert set((await copy.present(HOME)).items) == {"milk", "eggs"}
        if happens is not lose_the_mark:
            async with opened(tmp_path / "a.db") as alice, linked(alice, copy):
                await alice.execute(HOME, AddItem("bread"))
                await until(lambda: alice.version == copy.version)
                assert alice.status().replica == old
                assert alice.status().unfolded == copy.status().unfolded == ()
                assert await alice.digest(HOME) == await copy.digest(HOME)


@in_loop
async def test_a_restored_backup_takes_a_new_id_before_it_writes(tmp_path):
    """Put back in its place, even over the same inode: the mark beside it knows of a later opening."""
    path = tmp_path / "a.db"
    async with opened(path) as alice:
        await alice.execute(HOME, AddItem("milk"))
        old = alice.status().replica
    backup = path.read_bytes()
    async with opened(path) as alice:
        await alice.execute(HOME, AddItem("lost"))
    path.write_bytes(backup)
    async with opened(path) as alice:
        await alice.execute(HOME, AddItem("eggs"))
        assert alice.status().replica != old
        assert alice.status().succeeds == old


@in_loop
async def test_where_the_mark_cannot_tell_the_first_meeting_does(tmp_path, caplog, monkeypatch, capsys):
    """A whole disk set back: both histories are kept, all fold the same one; status and log have an alarm, once."""
    monkeypatch.setattr("replica.mark.changed", lambda _: 0)  # a disk that is set back has its old times
    path = tmp_path / "a.db"
    files = [path, tmp_path / "a.db.mark", tmp_path / "a.db.reached"]
    async with opened(path) as alice:
        await alice.execute(HOME, AddItem("milk"))
        old = alice.status().replica
    disk = [file.read_bytes() for file in files]
    async with opened(tmp_path / "b.db", "bob") as bob:
        async with opened(path) as alice, linked(alice, bob):
            await alice.execute(HOME, AddItem("left"))
            await until(lambda: alice.version == bob.version)
        for file, content in zip(files, disk, strict=True):
            file.write_bytes(content)
        async with opened(path) as alice:
            await alice.execute(HOME, AddItem("right"))
            assert alice.status().replica == old, "nothing here can tell yet"
            async with linked(alice, bob):
                await until(lambda: alice.status().unfolded and bob.status().unfolded)
                assert bob.status().unfolded == (Unfolded("second history", "alice", 1),)
                assert [record.args[0] for record in caplog.records if record.levelname == "ERROR"] in (
                    ["alice", "bob"], ["bob", "alice"],
                )  # fmt: skip
                assert "two histories were written under one id" in caplog.text
                (alarm,) = alice.status().unfolded
                assert alarm.what == f"alice~{old >> 48:04x}", "two go by that name there"
                assert alice.status().replica != old
                await alice.execute(HOME, AddItem("again"))
                await bob.execute(HOME, AddItem("also"))
                await until(lambda: alice.version == bob.version)
                assert await alice.digest(HOME) == await bob.digest(HOME)
                items = set((await bob.present(HOME)).items)
                assert {"milk", "again", "also"} < items
                assert ("left" in items) != ("right" in items)
                assert set((await items_by_dot(alice)).values()) == items
                assert len(await alice.read(lambda reader: reader.log.contents().logs)) >= 4
                for one in (alice, bob):
                    (apart,) = [decision async for decision in one.second_histories()]
                    assert [record.folded for record in apart] == [False]
                    assert {apart[0].event.item} == {"left", "right"} - items
    for words in (["log"], ["log", "--json"], ["export", "--format", "jsonl"], ["status"], ["status", "--json"]):
        for file in ("a.db", "b.db"):
            assert await asyncio.to_thread(main, [words[0], str(tmp_path / file), *words[1:]]) == 0
            said = capsys.readouterr().out
            if words[0] == "status":
                assert "second history" in said
            else:
                assert "left" in said
                assert "right" in said
                assert said.count("second history") + said.count('"second_history":true') == 1


@in_loop
async def test_normal_durability_without_a_clean_close_takes_a_new_id(tmp_path):
    """After power loss its tail would be in doubt: a file that was not closed is not continued."""
    path = tmp_path / "a.db"
    async with opened(path, durability="normal") as alice:
        await alice.execute(HOME, AddItem("milk"))
        old = alice.status().replica
        for suffix in ("", "-wal", ".mark", ".reached"):
            shutil.copy(f"{path}{suffix}", f"{path}{suffix}.then")
    async with opened(path, durability="normal") as alice:
        assert alice.status().replica == old, "closed in good order"
    for suffix in ("", "-wal", ".mark", ".reached"):
        Path(f"{path}{suffix}").write_bytes(Path(f"{path}{suffix}.then").read_bytes())
    async with opened(path, durability="normal") as alice:
        await alice.execute(HOME, AddItem("eggs"))
        assert alice.status().replica != old
        assert "milk" in (await alice.present(HOME)).items


@in_loop
async def test_a_hot_copy_put_back_after_a_clean_close_takes_a_new_id(tmp_path):
    """It knows the opening that it was made in, and not the closing after it."""
    path = tmp_path / "a.db"
    async with opened(path) as alice:
        await alice.execute(HOME, AddItem("milk"))
        old = alice.status().replica
        with sqlite3.connect(path) as source, sqlite3.connect(tmp_path / "copy.db") as copy:
            source.backup(copy)
        source.close()
        copy.close()
        await alice.execute(HOME, AddItem("lost"))
    path.write_bytes((tmp_path / "copy.db").read_bytes())
    async with opened(path) as alice:
        await alice.execute(HOME, AddItem("eggs"))
        assert alice.status().replica != old
        assert alice.status().succeeds == old


@in_loop
async def test_a_file_by_another_name_is_the_same_file(tmp_path):
    """A symbolic link does not let a second writer in."""
    (tmp_path / "link.db").symlink_to(tmp_path / "a.db")
    async with opened(tmp_path / "a.db"):
        with pytest.raises(FileInUse):
            async with opened(tmp_path / "link.db"):
                pass


# --- files that are not ours ---


@in_loop
async def test_a_file_of_another_store_is_left_as_it_is(tmp_path):
    """One clear error; not a byte is changed."""
    async with opened(tmp_path / "a.db") as alice:
        await alice.execute(HOME, AddItem("milk"))
    before = (tmp_path / "a.db").read_bytes()
    with pytest.raises(WrongStore, match="left as it is"):
        async with Replica.open(tmp_path / "a.db", store="bank", name="alice", aggregates=[ShoppingList]):
            pass
    assert (tmp_path / "a.db").read_bytes() == before


def other_program(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE mine(x)")
    db.close()


def other_format(path: Path) -> None:
    asyncio.run(_make(path))
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    db.close()


async def _make(path: Path) -> None:
    async with opened(path):
        pass


def no_database(path: Path) -> None:
    path.write_bytes(b"this is a shopping list, and no database\n" * 100)


@pytest.mark.parametrize(
    ("make", "error"), [(other_program, StoreError), (other_format, WrongFormat), (no_database, StoreError)]
)
def test_a_file_that_is_none_of_ours_is_refused_in_words(tmp_path, make, error):
    """Another program's database, another format, no database at all."""
    path = tmp_path / "a.db"
    make(path)
    with pytest.raises(error):
        asyncio.run(_make(path))


# --- presents ---


@in_loop
async def test_watch_tells_every_change_and_piles_up_nothing(tmp_path):
    """A watcher that is slow hears of many changes at once, and misses none."""
    async with opened(tmp_path / "a.db") as alice:
        heard = []

        async def watch():
            async for change in alice.changes("list/home"):
                heard.append(change)
                await asyncio.sleep(0.05)

        watching = asyncio.create_task(watch())
        await asyncio.sleep(0)
        for _ in range(50):
            last = await alice.execute(HOME, Count(1))
            await alice.execute("list/work", Count(1))
        await until(lambda: heard and last.dots[-1] in heard[-1].version)
        assert len(heard) < 50
        assert {stream for change in heard for stream in change.streams} == {"list/home"}
    await asyncio.wait_for(watching, 5)


@in_loop
async def test_presents_are_loaded_on_demand_and_never_change_in_the_hand(tmp_path):
    """Opening folds nothing; a present that was read stays what it was."""
    async with opened(tmp_path / "a.db") as alice:
        await alice.execute(HOME, AddItem("milk"))
        await alice.execute("list/work", AddItem("paper"))
        await alice.execute(HOME, GiveTitle("Home"))
    async with opened(tmp_path / "a.db") as alice:
        assert alice.status().loaded == ()
        home = await alice.present(HOME)
        assert alice.status().loaded == (HOME,)
        await alice.execute(HOME, RemoveItem("milk"))
        assert set(home.items) == {"milk"}
        assert str(home.version) == "alice:4"
        assert set((await alice.present(HOME)).items) == set()


class Touchy(ShoppingList):
    """An aggregate with a bug: one item makes it raise."""

    def effect(self, event):
        if getattr(event, "item", "") == "poison":
            raise RuntimeError("cannot fold this")
        return super().effect(event)


@in_loop
async def test_a_poison_event_stops_its_stream_and_nothing_else(tmp_path):
    """The log and sync go on, other streams are read, and the error names stream, event and cause."""
    async with opened(tmp_path / "a.db") as alice, opened(tmp_path / "b.db", "bob", aggregates=[Touchy]) as bob:
        await bob.present(HOME)
        async with linked(alice, bob):
            await alice.execute(HOME, AddItem("poison"))
            await alice.execute("list/work", AddItem("paper"))
            await until(lambda: alice.version == bob.version)
            with pytest.raises(PoisonEvent, match=r"list/home.*ItemAdded.*cannot fold this"):
                await bob.present(HOME)
            assert set((await bob.present("list/work")).items) == {"paper"}
            assert list(bob.status().poisoned) == [HOME]
            await bob.execute("list/work", AddItem("ink"))
            await until(lambda: alice.version == bob.version)


@in_loop
async def test_events_of_unknown_types_are_counted(tmp_path):
    """A replica without the aggregate keeps them, forwards them, and says how many there are."""
    async with opened(tmp_path / "a.db") as alice, opened(tmp_path / "r.db", "relay", aggregates=[]) as relay:
        async with linked(alice, relay):
            await alice.execute(HOME, AddItem("milk"))
            await alice.execute(HOME, Count(1))
            await until(lambda: alice.version == relay.version)
        assert relay.status().unfolded == (
            Unfolded("unknown type", "Counted 1", 1),
            Unfolded("unknown type", "ItemAdded 1", 1),
        )
    async with opened(tmp_path / "r.db", "relay") as learned:
        assert set((await learned.present(HOME)).items) == {"milk"}
        assert learned.status().unfolded == ()


@in_loop
async def test_a_file_of_format_0_is_opened_and_becomes_one_of_format_1(tmp_path):
    """It did not have all tables at first, nor packed slices; who may only read leaves it as it is, and says so."""
    async with Replica.open(tmp_path / "a.db", store="shop", name="alice", aggregates=[ShoppingList]) as alice:
        await alice.execute(HOME, AddItem("milk"))
    with sqlite3.connect(tmp_path / "a.db") as db:
        db.execute("DROP VIEW due")
        db.execute("DROP TABLE kept")
        db.execute("ALTER TABLE log DROP COLUMN store")
        db.execute("UPDATE identity SET format = 0")
        db.execute("PRAGMA user_version=0")
    with pytest.raises(WrongFormat, match="open"):
        async with ReadOnly.open(tmp_path / "a.db", aggregates=[ShoppingList]):
            pass
    async with Replica.open(tmp_path / "a.db", store="shop", name="alice", aggregates=[ShoppingList]) as alice:
        assert set((await alice.present(HOME)).items) == {"milk"}
        assert str(alice.version) == "alice:2"
    with sqlite3.connect(tmp_path / "a.db") as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
