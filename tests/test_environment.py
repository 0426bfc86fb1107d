"""What the system does to a replica: files that go, full disks, processes that fork, loops that are stopped.

Copies and backups are in `test_durable`, SIGKILL in `test_killed`, power cuts in `test_power`.
"""

from __future__ import annotations

import asyncio
import errno
import inspect
import multiprocessing
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import warnings
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from merge.version import VersionVector
from replica import (
    AnabranchError,
    Closed,
    FileGone,
    FileInUse,
    ReadOnly,
    Replica,
    StoreError,
    Unavailable,
    WrongLoop,
)
from replica import sqlite as door
from sync import linked, serve
from tests.loop import in_loop
from tests.shop import HOME, AddItem, ItemAdded, ShoppingList

ROOT = Path(__file__).parent.parent


def opened(path: Any = ":memory:", name: str = "alice", **options: Any) -> Any:
    options.setdefault("aggregates", [ShoppingList])
    return Replica.open(path, store="shop", name=name, **options)


async def items(path: Any) -> set[str]:
    async with ReadOnly.open(path, aggregates=[ShoppingList]) as past:
        return set((await past.present(HOME)).items)


# --- what SQLite or the system says no with ---

KINDS = ("SQLITE_BUSY", "SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_ERROR")
ERRNOS = (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EMFILE, errno.EIO, errno.ENOLCK)


async def all_calls(folder: Path) -> list[BaseException]:
    """A day in the life of a replica; what each call of it raised."""
    raised: list[BaseException] = []

    async def tried(call: Any) -> Any:
        try:
            return await call
        except BaseException as error:
            raised.append(error)

    async def listed(call: Any) -> Any:
        return [one async for one in call]

    async def live() -> None:
        async with opened(folder / "a.db") as alice:
            await tried(alice.execute(HOME, AddItem("milk"), command_id="milk"))
            await tried(alice.append(HOME, ItemAdded("eggs")))
            await tried(alice.present("list/other"))
            await tried(alice.diff(HOME, "alice:1"))
            await tried(alice.explain(HOME))
            await tried(listed(alice.history(HOME)))
            await tried(listed(alice.commits()))
            await tried(listed(alice.streams()))
            await tried(alice.verify())
            await tried(alice.fork(folder / "fork.db"))
            await tried(alice.join(folder / "fork.db"))

    await tried(live())
    await tried(items(folder / "a.db"))
    return raised


async def _with_nth(monkeypatch: Any, folder: Path, owner: Any, name: str, at: int, error: Exception) -> list[Any]:
    """The same, where the call number `at` of a function of the system raises."""
    real, calls = getattr(owner, name), 0

    def failing(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            raise error
        return real(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, failing)
        raised = await all_calls(folder)
    for one in raised:
        assert isinstance(one, AnabranchError), f"call {at} of {name} raised {error!r}, and a user got {one!r}"
    if calls < at:
        return []
    async with opened(folder / "a.db") as alice:
        assert set((await alice.present(HOME)).items) <= {"milk", "eggs"}
        await alice.append(HOME, ItemAdded("more"))
    return [calls]


def test_whatever_sqlite_says_no_with_is_an_error_of_ours(tmp_path, monkeypatch):
    """Else whoever catches our errors gets one of SQLite, whose type says nothing of what to do."""
    told, at, reached = [], 1, True
    while reached:
        kind = KINDS[len(told) % len(KINDS)]
        error = sqlite3.OperationalError(f"injected {kind}")
        error.sqlite_errorcode = getattr(sqlite3, kind)
        (folder := tmp_path / f"{at}").mkdir()
        reached = asyncio.run(_with_nth(monkeypatch, folder, door._Connection, "execute", at, error))
        told += reached
        at += 29
    assert len(told) > 7, "most statements were reached"


@pytest.mark.parametrize(("module", "name"), [(os, "stat"), (os, "open"), (os, "fsync"), (os, "link")])
def test_whatever_the_system_says_no_with_is_an_error_of_ours(tmp_path, monkeypatch, module, name):
    """No room, no rights, too many files, a disk that fails: at each call that asks the system for something."""
    at, reached = 1, True
    while reached and at < 60:
        number = ERRNOS[at % len(ERRNOS)]
        (folder := tmp_path / f"{at}").mkdir()
        error = OSError(number, os.strerror(number), str(folder))
        reached = asyncio.run(_with_nth(monkeypatch, folder, module, name, at, error))
        at += 1 if at < 6 else 5


@in_loop
async def test_a_lock_of_another_program_is_told_and_passes(tmp_path, monkeypatch):
    """Appending, and leaving, raise that it passes; what was acknowledged is there, under the same id."""
    monkeypatch.setattr(door, "PATIENCE", 0.05)
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as other:
        with pytest.raises(Unavailable, match="locked by another program"):
            async with opened(tmp_path / "a.db") as alice:
                await alice.append(HOME, ItemAdded("milk"))
                other.execute("BEGIN IMMEDIATE")
                with pytest.raises(Unavailable, match="nothing was recorded"):
                    await alice.append(HOME, ItemAdded("eggs"))
        other.execute("ROLLBACK")
    async with opened(tmp_path / "a.db") as alice:
        assert set((await alice.present(HOME)).items) == {"milk"}
        assert alice.status().succeeds is None


@in_loop
async def test_a_file_system_without_locks_is_refused_in_words(tmp_path, monkeypatch):
    """A network mount that knows none is not taken for another process that has the file."""

    def no_locks(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("replica.mark.fcntl.flock", no_locks)
    with pytest.raises(StoreError, match="knows no locks") as refused:
        async with opened(tmp_path / "a.db"):
            pass
    assert not isinstance(refused.value, FileInUse)


@in_loop
async def test_the_write_ahead_log_becomes_small_again(tmp_path, monkeypatch):
    """Somebody who reads for long makes it grow; when he has gone it does not stay as large as it was."""
    monkeypatch.setattr(door, "LARGEST", 100_000)
    monkeypatch.setattr(door.SqliteLog, "checkpoint", 20)
    wal = tmp_path / "a.db-wal"
    async with opened(tmp_path / "a.db", durability="normal") as alice:
        await alice.append(HOME, ItemAdded("x"))
        with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as other:
            other.execute("BEGIN")
            other.execute("SELECT count(*) FROM log").fetchall()
            while wal.stat().st_size < 500_000:
                await alice.append(HOME, ItemAdded(os.urandom(10_000).hex()))
        for number in range(4):
            await alice.append(HOME, ItemAdded(f"{number}"))
        assert wal.stat().st_size <= 200_000


# --- files ---


@in_loop
async def test_files_that_are_made_are_their_owners_alone(tmp_path):
    """Whatever the umask: the file, what SQLite keeps beside it, the mark, a fork."""
    before = os.umask(0o022)
    try:
        async with opened(tmp_path / "a.db") as alice:
            await alice.append(HOME, ItemAdded("milk"))
            await alice.fork(tmp_path / "fork.db")
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert {"a.db", "a.db-wal", "a.db-shm", "a.db.mark", "fork.db"} <= set(modes)
    assert set(modes.values()) == {0o600}


@in_loop
async def test_the_mode_of_a_file_that_is_there_is_left_as_it_is(tmp_path):
    """Its owner lets a group read it: that is his to say."""
    async with opened(tmp_path / "a.db"):
        pass
    (tmp_path / "a.db").chmod(0o640)
    async with opened(tmp_path / "a.db") as alice:
        await alice.append(HOME, ItemAdded("milk"))
        assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("a.db*")} == {0o640, 0o600}
    assert stat.S_IMODE((tmp_path / "a.db").stat().st_mode) == 0o640


def _folder(at: Path) -> Any:
    at.mkdir()
    return at


def _pipe(at: Path) -> Any:
    os.mkfifo(at)
    return at


def _loop(at: Path) -> Any:
    at.symlink_to(at)
    return at


def _below_a_file(at: Path) -> Any:
    at.write_bytes(b"")
    return at / "a.db"


PATHS = {
    "a folder": _folder, "a pipe": _pipe, "a loop of links": _loop, "below a file": _below_a_file,
    "nothing": lambda at: "", "a zero": lambda at: f"{at}\0", "a long name": lambda at: at.with_name("n" * 300),
    "a long path": lambda at: at / "/".join(["n" * 200] * 30), "no folder": lambda at: at / "none" / "a.db",
    "a number": lambda at: 7, "None": lambda at: None, "a device": lambda at: "/dev/null",
}  # fmt: skip


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
@in_loop
async def test_a_path_at_which_no_store_can_lie_is_refused_in_words(tmp_path, path):
    """To write to, to read, to fork into: an error that names what is wrong, and nothing is made."""
    found = path(tmp_path / "x")
    before = sorted(tmp_path.rglob("*"))
    async with opened() as alice:
        for use in (opened(found), ReadOnly.open(found)):
            with pytest.raises((StoreError, ValueError, TypeError)):
                async with use:
                    pass
        with pytest.raises((AnabranchError, ValueError, TypeError)):
            await alice.fork(found)
    assert sorted(tmp_path.rglob("*")) == before


@in_loop
async def test_a_path_may_be_written_in_any_way(tmp_path, monkeypatch):
    """Bytes, names that are no UTF-8, what a URI would take for itself, a path from a folder that was left."""
    monkeypatch.chdir(tmp_path)
    odd = os.fsdecode(b"\xff%23?#.db")
    for number, path in enumerate((os.fsencode(tmp_path / "b.db"), odd, "r.db", Path("p.db"))):
        async with opened(path) as alice:
            monkeypatch.chdir("/")
            await alice.append(HOME, ItemAdded(f"{number}"))
        monkeypatch.chdir(tmp_path)
        assert await items(path) == {f"{number}"}


@in_loop
async def test_a_file_with_two_names_is_not_written_to(tmp_path):
    """Each name would have a write-ahead log of its own, and what is read by the one is half of the other."""
    async with opened(tmp_path / "a.db") as alice:
        await alice.append(HOME, ItemAdded("milk"))
        os.link(tmp_path / "a.db", tmp_path / "b.db")
        with pytest.raises(StoreError, match="second name"):
            async with opened(tmp_path / "b.db"):
                pass
        await alice.append(HOME, ItemAdded("eggs"))
    assert await items(tmp_path / "b.db") == {"milk", "eggs"}, "a closed one may be read by any name"


def remove(path: Path) -> None:
    path.unlink()


def move(path: Path) -> None:
    path.rename(path.with_name(f"{path.name}.old"))


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


@pytest.mark.parametrize("change", [remove, move, replace])
@pytest.mark.parametrize("name", ["a.db", "a.db-wal", "a.db-shm", "a.db.mark"])
@in_loop
async def test_what_is_acknowledged_lies_in_a_file_whatever_is_taken_away(tmp_path, name, change):
    """A file, or what belongs to it, goes while it is open: nobody is told of a success that is nowhere."""
    acknowledged, path = set(), tmp_path / "a.db"
    told = None
    try:
        async with opened(path) as alice:
            await alice.append(HOME, ItemAdded("before"))
            change(tmp_path / name)
            for number in range(3):
                try:
                    await alice.append(HOME, ItemAdded(f"{number}"))
                    acknowledged.add(f"{number}")
                except AnabranchError as error:
                    told = error
            if name == "a.db":
                await alice.fork(tmp_path / "saved.db")
    except AnabranchError as error:
        told = error
    if name in ("a.db", "a.db.mark"):
        assert isinstance(told, Closed), "who leaves is told, too"
        assert isinstance(told.__cause__, FileGone)
        assert not acknowledged
        assert "before" in await items(tmp_path / ("saved.db" if name == "a.db" else "a.db"))
    else:
        assert acknowledged == {"0", "1", "2"} or told is not None
        assert {"before", *acknowledged} <= await items(path)


# --- who may not write ---


def as_nobody(call: Any) -> str:
    """What a coroutine leads to in a process that may not write to what is not its own."""
    told, gone = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        words = "no answer"
        try:
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            said: list[str] = []

            def run() -> None:
                try:
                    said.append(f"{asyncio.run(call())}")
                except BaseException as error:
                    said.append(f"{type(error).__name__}: {error}")

            thread = threading.Thread(target=run)  # this one may be inside a loop
            thread.start()
            thread.join(20)
            words = said[0]
        finally:
            os.write(gone, words.encode())
            os._exit(0)
    os.close(gone)
    with os.fdopen(told, "rb") as pipe:
        words = pipe.read().decode()
    os.waitpid(child, 0)
    return words


@pytest.fixture
def shared(tmp_path_factory):
    """A folder into which anybody can look, and nobody else write."""
    folder = tmp_path_factory.mktemp("shared")
    for one in (folder, *folder.parents[:3]):
        if str(one).startswith("/tmp/"):
            one.chmod(one.stat().st_mode | 0o055)
    return folder


def readable(folder: Path, mode: int = 0o555) -> None:
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(mode)


def test_a_closed_file_is_read_where_one_may_not_write(shared):
    """A backup, a read-only disk, another person's folder; and nothing is left beside it."""
    asyncio.run(_write(shared / "a.db", "milk"))
    readable(shared)
    names = {path.name for path in shared.iterdir()}
    assert as_nobody(lambda: items(shared / "a.db")) == "{'milk'}"
    assert {path.name for path in shared.iterdir()} == names
    shared.chmod(0o755)


async def _write(path: Path, *texts: str) -> None:
    async with opened(path) as alice:
        for text in texts:
            await alice.append(HOME, ItemAdded(text))


@in_loop
async def test_a_file_that_is_open_is_read_where_one_may_not_write(shared):
    """Beside its writer, whose shared memory tells what is whole."""
    async with opened(shared / "a.db") as alice:
        await alice.append(HOME, ItemAdded("milk"))
        readable(shared)
        assert "FileInUse" not in as_nobody(lambda: items(shared / "a.db"))
        shared.chmod(0o755)


def test_a_file_that_was_not_closed_is_told_where_one_may_not_write(shared):
    """What its last writer had left cannot be put in order by one who may not write: it says how to read it."""
    child = multiprocessing.get_context("fork").Process(target=_die, args=(shared / "a.db",))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    child.join()
    (shared / "a.db-shm").unlink()
    readable(shared)
    said = as_nobody(lambda: items(shared / "a.db"))
    assert "StoreError" in said
    assert "copy the file with its -wal" in said
    shared.chmod(0o755)


def _die(path: Path) -> None:
    async def main() -> None:
        async with opened(path) as alice:
            await alice.append(HOME, ItemAdded("milk"))
            os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(main())


# --- processes ---

PROGRAM = """
import asyncio, sys
from replica import Replica
from tests.shop import HOME, ItemAdded, ShoppingList

async def main(loop):
    async with Replica.open(sys.argv[1], store="shop", name="alice", aggregates=[ShoppingList]) as alice:
        await alice.append(HOME, ItemAdded("milk"))
        {end}
        await asyncio.sleep(3600)

loop = asyncio.new_event_loop()
task = loop.create_task(main(loop))
try:
    loop.run_forever()
finally:
    {then}
    print("the end", flush=True)
"""
ENDS = {
    "stopped": ("loop.stop()", "pass"),
    "closed": ("loop.stop()", "loop.close()"),
    "an exit": ("loop.call_soon(sys.exit)", "loop.close()"),
}


@pytest.mark.parametrize(("end", "then"), ENDS.values(), ids=ENDS.keys())
def test_a_program_ends_whatever_ended_its_loop(tmp_path, end, then):
    """Its replica was not left: no thread keeps the process alive, and what was acknowledged is there."""
    program = PROGRAM.format(end=end, then=then)
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "a.db"], cwd=ROOT, timeout=30, capture_output=True, text=True
    )
    assert done.stdout == "the end\n", done.stderr
    assert asyncio.run(items(tmp_path / "a.db")) == {"milk"}


def in_fork(call: Any) -> str:
    """What a call leads to in a forked process."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            os.write(writing, str(call()).encode())
        except BaseException as error:
            os.write(writing, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    return said


@in_loop
async def test_a_forked_process_does_not_use_the_replica(tmp_path):
    """Its thread is not there, its locks are not: each use is an error, and the parent does not notice."""
    path = tmp_path / "a.db"

    def own_loop(call: Any) -> Any:
        found: list[Any] = []

        def run() -> None:
            try:
                asyncio.run(call())
                found.append("nothing was raised")
            except BaseException as error:
                found.append(f"{type(error).__name__}: {error}")

        thread = threading.Thread(target=run)
        thread.start()
        thread.join(20)
        return found[0]

    async with opened(path) as alice:
        await alice.append(HOME, ItemAdded("milk"))
        said = in_fork(lambda: own_loop(lambda: alice.append(HOME, ItemAdded("from the child"))))
        assert said.startswith("WrongLoop")
        assert "was forked from" in said
        said = in_fork(lambda: own_loop(lambda: _write(path, "from the child")))
        assert said.startswith("StoreError")
        assert "was open when this process was forked" in said
        assert in_fork(lambda: own_loop(lambda: items(path))).startswith("StoreError")
        assert in_fork(lambda: own_loop(lambda: _write(tmp_path / "b.db", "its own"))) == "nothing was raised"
        await alice.append(HOME, ItemAdded("eggs"))
    assert await items(path) == {"milk", "eggs"}


@in_loop
async def test_a_forked_process_keeps_no_lock(tmp_path):
    """A worker that was forked lives on: the file opens again once the replica was left, and after a SIGKILL."""
    gone, stay = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        async with opened(tmp_path / "a.db"):
            child = os.fork()
            if child == 0:
                os.close(stay)
                os.read(gone, 1)
                os._exit(0)
        await _write(tmp_path / "a.db", "milk")
        reading, writing = os.pipe()
        parent = os.fork()
        if parent == 0:
            thread = threading.Thread(
                target=lambda: asyncio.run(_fork_and_wait(tmp_path / "b.db", gone, stay, writing))
            )
            thread.start()
            thread.join(20)
            os._exit(1)
    os.close(writing)
    assert os.read(reading, 1) == b"x"
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)  # noqa: ASYNC222
    await _write(tmp_path / "b.db", "milk")
    os.close(stay)
    os.close(reading)
    os.close(gone)
    os.waitpid(child, 0)  # noqa: ASYNC222


async def _fork_and_wait(path: Path, gone: int, stay: int, writing: int) -> None:
    async with opened(path):
        if os.fork() == 0:
            os.write(writing, b"x")
            os.close(stay)
            os.read(gone, 1)
            os._exit(0)
        await asyncio.sleep(20)


# --- loops ---


_NOTHING = ("open", "read", "retry", "drop", "keep_alarms")
"""What is no call of a user's, or does nothing where nothing is parked or new."""


def _argument(name: str) -> Any:
    found = {
        "stream": HOME, "command": AddItem("milk"), "command_id": "id", "table": "t", "dot": "alice:1",
        "where": "now", "a": "alice:1", "member": "alice", "version": VersionVector(), "path": "fork.db",
        "pieces": [], "stores": [], "call": lambda reader: None, "other": None,
    }  # fmt: skip
    return found.get(name, HOME)


@in_loop
async def test_every_call_from_another_loop_is_an_error_at_once(tmp_path, monkeypatch):
    """Nobody waits for ever for an answer in a loop that is asleep; nothing is recorded; the way is named."""
    monkeypatch.setattr(Replica, "_projection", lambda *_: None)
    async with opened(tmp_path / "a.db") as alice, opened(name="bob") as bob:
        await alice.append(HOME, ItemAdded("milk"))
        version = alice.version
        async with ReadOnly.open(tmp_path / "a.db", aggregates=[ShoppingList]) as past:
            calls: dict[str, Any] = {}
            for one in (alice, past):
                for name, method in inspect.getmembers(type(one), inspect.isroutine):
                    kinds = inspect.iscoroutinefunction(method), inspect.isasyncgenfunction(method), name == "watch"
                    if name.startswith("_") or not any(kinds) or name in _NOTHING:
                        continue
                    wanted = [
                        _argument(parameter.name)
                        for parameter in [*inspect.signature(method).parameters.values()][1:]
                        if parameter.default is parameter.empty
                        and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
                    ]
                    if name == "join":
                        wanted = [bob]
                    if name == "append":
                        wanted = [HOME, ItemAdded("eggs")]
                    calls[f"{type(one).__name__}.{name}"] = (getattr(one, name), wanted)
            calls |= {"linked": (linked, [alice, bob]), "serve": (serve, [alice])}
            said: dict[str, Any] = {}

            async def use(call: Any, wanted: list[Any]) -> Any:
                made = call(*wanted)
                if hasattr(made, "__aenter__"):
                    async with made:
                        return None
                if hasattr(made, "__anext__"):
                    return await anext(made)
                return await made

            def elsewhere() -> None:
                for name, (call, wanted) in calls.items():
                    try:
                        said[name] = asyncio.run(asyncio.wait_for(use(call, wanted), 5))
                    except BaseException as error:
                        said[name] = error

            thread = threading.Thread(target=elsewhere)
            thread.start()
            await asyncio.to_thread(thread.join)
        assert len(said) > 35
        assert {name: answer for name, answer in said.items() if not isinstance(answer, WrongLoop)} == {}
        assert "run_coroutine_threadsafe" in str(said["Replica.append"])
        assert alice.version == version
        loop = asyncio.get_running_loop()
        answer = await asyncio.to_thread(
            lambda: asyncio.run_coroutine_threadsafe(alice.append(HOME, ItemAdded("eggs")), loop).result(5)
        )
        assert answer.dots
