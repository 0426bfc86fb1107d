"""The log in a SQLite file, and the one thread that touches it.

| table    | a row is                                                                          |
|----------|-----------------------------------------------------------------------------------|
| identity | who writes here: store, replica, name, nonces of the latest openings                |
| log      | one log: whose, and its head when its latest block began                            |
| block    | one block: the head before it, what its log had observed by then, and, sealed, its columns |
| fresh    | one slice of a block that is not sealed yet: what one transaction added to one log, the stamp |
|          | it ends with, and how many events of which types that transaction brought              |
| stream   | a block that holds events of a stream                                             |
| command  | a command with an id that was carried out, and the commit that it led to: here (no stream, but |
|          | what the id was used for), or elsewhere (the stream of its first event)                |
| type     | how many events of a type there are, without those that fresh slices count            |
| kept     | what stands beside the log: caches of it, and what concerns this replica alone         |
| due      | (a view) the commands that are due, see `replica.due`                                |

The tables of projections stand beside these (see `replica.projection`).

Replica ids are 16 hexadecimal digits, so that any SQLite tool shows the names that people see elsewhere.

Rule 1. One connection writes and checkpoints. A transaction is one hop to its thread, never a statement.
Rule 2. WAL. `synchronous=FULL` for transactions with own commits (their acknowledgement survives power loss)
        unless the replica was opened with `durability="normal"`; NORMAL for what peers hold too.
Rule 3. A full block is sealed: its slices are joined, compressed and stored in its row in one transaction. A
        block that arrives whole is stored as it came (see `replica.packed`).
Rule 4. A commit within a block is one row in one table, and nothing else: a transaction costs the pages that it
        touches. So the head of a log is that of its last fresh slice, if it has one.
Rule 5. What SQLite or the system says no with is an error of ours when it leaves the thread (`error_of`).
Rule 6. The write-ahead log becomes small again: a reader that holds a checkpoint up makes it grow, and the first
        COMMIT after it has gone cuts it to LARGEST.
Rule 7. The thread is a daemon: a program whose loop was stopped ends. What was acknowledged is durable by then.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar
from urllib.parse import quote
from weakref import WeakSet

import aiosqlite
import msgspec
import zstandard

from merge.stamp import Stamp
from replica import tables
from replica.block import Head, Slice
from replica.commit import Observed
from replica.errors import DamagedLog, StoreError, Unavailable, WrongFormat
from replica.files import OpenFile, begin, system_error, told
from replica.layout import join
from replica.log import (
    Block,
    BlockStart,
    CommitInDoubt,
    Contents,
    Done,
    Identity,
    Kept,
    LogRow,
    Span,
    TableFailed,
    Transaction,
)
from replica.packed import MAX_UNPACKED, bytes_of, unpack_held

FORMAT = 1
LARGEST = 8 << 20
"""Bytes that the write-ahead log keeps when it is begun anew: twice what a checkpoint moves."""
PATIENCE = 5.0
"""Seconds that SQLite waits for another program's lock."""
OLDER = 0
"""Files of this format lack packed slices and some tables; they become files of format 1 when they are opened."""
APPLICATION_ID = 0x416E6162
"""`Anab`: what `file` and SQLite see at the head of the file."""

_SCHEMA = """
CREATE TABLE identity(one INTEGER PRIMARY KEY CHECK (one = 1), format INTEGER NOT NULL, store TEXT NOT NULL,
    replica TEXT NOT NULL, name TEXT NOT NULL, openings BLOB NOT NULL, clean INTEGER NOT NULL,
    succeeds TEXT NOT NULL);
CREATE TABLE log(number INTEGER PRIMARY KEY, replica TEXT NOT NULL, name TEXT NOT NULL, seq INTEGER NOT NULL,
    head BLOB NOT NULL, wall INTEGER NOT NULL, counter INTEGER NOT NULL, parent INTEGER NOT NULL,
    after INTEGER NOT NULL, first_hash BLOB NOT NULL, rival_hash BLOB NOT NULL, store TEXT NOT NULL DEFAULT '');
CREATE TABLE block(number INTEGER NOT NULL, first INTEGER NOT NULL, parent BLOB NOT NULL, stamp BLOB NOT NULL,
    named BLOB NOT NULL, sealed BLOB);
CREATE UNIQUE INDEX block_by_first ON block(number, first);
CREATE INDEX block_unsealed ON block(number, first) WHERE sealed IS NULL;
CREATE TABLE fresh(number INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, slice BLOB NOT NULL,
    wall INTEGER NOT NULL, counter INTEGER NOT NULL, types BLOB, PRIMARY KEY (number, first, last)) WITHOUT ROWID;
CREATE TABLE stream(stream TEXT NOT NULL, number INTEGER NOT NULL, first INTEGER NOT NULL,
    PRIMARY KEY (stream, number, first)) WITHOUT ROWID;
CREATE TABLE command(id TEXT NOT NULL, stream TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    wall INTEGER NOT NULL, counter INTEGER NOT NULL, replica TEXT NOT NULL, intent BLOB NOT NULL,
    PRIMARY KEY (id, stream)) WITHOUT ROWID;
CREATE TABLE type(name TEXT NOT NULL, schema INTEGER NOT NULL, events INTEGER NOT NULL,
    PRIMARY KEY (name, schema)) WITHOUT ROWID;
"""
_COMMANDS = next(part for part in _SCHEMA.split(";") if "TABLE command(" in part)
_WITH_STREAMS = f"""
BEGIN; {_COMMANDS.replace("TABLE command(", "TABLE command__new(")};
INSERT INTO command__new SELECT id, '', first, last, wall, counter, replica, x'' FROM command;
DROP TABLE command; ALTER TABLE command__new RENAME TO command; COMMIT;
"""
"""Files of before did not keep what an id was used for."""
_BESIDE = """
CREATE TABLE IF NOT EXISTS kept(kind TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (kind, key));
CREATE VIEW IF NOT EXISTS due AS SELECT json_extract(plain, '$.stream') AS stream,
    json_extract(plain, '$.kind') AS command, json_extract(plain, '$.to') AS addressed_to,
    json_extract(plain, '$.done') AS done, json_extract(plain, '$.parked') AS parked, key AS command_id
    FROM (SELECT key, CAST(value AS TEXT) AS plain FROM kept WHERE kind = 'due');
"""

_SPAN = "WHERE kind = ?1 AND key >= ?2 AND (?3 IS NULL OR key < ?3)"

_pack = msgspec.msgpack.Encoder().encode
_unpack_named = msgspec.msgpack.Decoder(tuple[tuple[int, int, bytes], ...]).decode
_unpack_stamp = msgspec.msgpack.Decoder(tuple[int, int, int] | None).decode
_unpack_types = msgspec.msgpack.Decoder(list[tuple[str, int, int]]).decode
_unpack_openings = msgspec.msgpack.Decoder(tuple[bytes, ...]).decode

T = TypeVar("T")


def _hex(replica: int) -> str:
    return f"{replica:016x}"


def _bits(text: str) -> int:
    """The replica id of 16 hexadecimal digits; ValueError where these are none."""
    if len(text) != 16:
        raise ValueError(f"{text!r} is no replica id")
    return int.from_bytes(bytes.fromhex(text), "big")


class SqliteLog:
    """The port of `replica.log` over one SQLite connection. Blocks; lives on one thread."""

    _find_command = "SELECT first, last, wall, counter, replica, intent FROM command WHERE id = ?1 AND stream = ?2"
    checkpoint = 1000
    """Pages in the write-ahead log after which a COMMIT moves them into the file: 4 MB, SQLite's own number."""

    def __init__(self, connection: sqlite3.Connection, *, full: bool = True) -> None:
        self._db = connection
        self._full = full
        self._level = ""
        self.committed: Callable[[Transaction], None] = lambda _: None
        """Called when a transaction has been committed, before anybody hears of it."""
        try:
            self._prepare()
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            if isinstance(error, sqlite3.Error) and _code(error) in _ENVIRONMENT:
                raise
            raise StoreError(
                f"this file cannot be opened as a store ({error}). Nothing was changed: is it another file, or "
                "damaged? Restore it from a copy, or begin a new one and let the peers fill it."
            ) from error

    def _prepare(self) -> None:
        db = self._db
        version = db.execute("PRAGMA application_id").fetchone()[0]
        empty = not db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        if not empty and version != APPLICATION_ID:
            raise StoreError("this is a SQLite file of another program; it was left as it is")
        (mode,) = db.execute("PRAGMA journal_mode=WAL").fetchone()
        if mode not in ("wal", "memory"):
            raise StoreError(
                "this file lies where SQLite can keep no write-ahead log (a network file system has no shared "
                "memory). Nothing was changed: keep it on a local disk, and let replicas meet over the network."
            )
        db.execute(f"PRAGMA wal_autocheckpoint={self.checkpoint}")
        db.execute(f"PRAGMA journal_size_limit={LARGEST}")
        db.execute("PRAGMA legacy_alter_table=ON")  # a table is switched under the views that people have made
        if empty:
            db.executescript(
                f"BEGIN; PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={FORMAT}; {_SCHEMA} COMMIT;"
            )
        found = db.execute("PRAGMA user_version").fetchone()[0]
        if found not in (FORMAT, OLDER):
            raise _wrong_format(found)
        db.executescript(_BESIDE)
        if not _has(db, "command", "stream"):
            db.executescript(_WITH_STREAMS)
        if found == OLDER:
            if not _has(db, "log", "store"):
                db.execute("ALTER TABLE log ADD COLUMN store TEXT NOT NULL DEFAULT ''")
            db.execute(f"UPDATE identity SET format = {FORMAT}")
            db.execute(f"PRAGMA user_version={FORMAT}")

    def contents(self) -> Contents:
        with _decoding():
            return self._contents()

    def _contents(self) -> Contents:
        db = self._db
        found = db.execute("SELECT store, replica, name, openings, clean, succeeds FROM identity").fetchone()
        identity = None
        if found is not None:
            store, replica, name, openings, clean, succeeds = found
            nonces = _unpack_openings(openings)
            identity = Identity(store, _bits(replica), name, nonces, bool(clean), _bits(succeeds))
        ends = {}
        types = {(name, schema): n for name, schema, n in db.execute("SELECT name, schema, events FROM type")}
        for number, piece, wall, counter, counted in db.execute(
            "SELECT number, slice, wall, counter, types FROM fresh ORDER BY number, first, last"
        ):
            ends[number] = piece, wall, counter
            _add_types(types, counted)
        logs = []
        for number, replica, name, seq, head, wall, counter, parent, after, mine, rival, of in db.execute(
            "SELECT number, replica, name, seq, head, wall, counter, parent, after, first_hash, rival_hash, store "
            "FROM log ORDER BY number"
        ):
            bits = _bits(replica)
            if number in ends:
                last = unpack_held(ends[number][0])
                if last.last > seq:
                    seq, head, (_, wall, counter) = last.last, last.head, ends[number]
            stamp = Stamp(wall, counter, bits)
            logs.append(LogRow(number, bits, name, Head(seq, head), stamp, parent, after, mine, rival, of))
        whose = {row.number: row.replica for row in logs}
        for row in logs:
            apart = whose.get(row.parent) == row.replica and 0 <= row.after < row.head.seq
            if not (apart and row.parent < row.number if row.parent else row.after == 0):
                raise ValueError(f"log {row.number} does not part from log {row.parent} at {row.after}")
        return Contents(identity, logs, types, self._made())

    def _made(self) -> dict[str, tuple[str, ...]]:
        """The tables with their columns, the indexes and the views that are there."""
        made: dict[str, tuple[str, ...]] = {
            name: () for (name,) in self._db.execute("SELECT name FROM sqlite_master")
        }
        for name, column in self._db.execute(
            "SELECT one.name, info.name || iif(info.pk, ' key', '') "
            "FROM (SELECT name FROM sqlite_master WHERE type = 'table') AS one, "
            "pragma_table_info(one.name) AS info ORDER BY one.name, info.cid"
        ):
            made[name] = (*made[name], column)
        return made

    def write(self, transaction: Transaction) -> None:
        self._synchronous("FULL" if self._full and transaction.own else "NORMAL")
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            self._write(transaction)
        except BaseException:
            self._rollback()
            raise
        try:
            self._commit()
        except sqlite3.Error as error:
            raise CommitInDoubt(str(error)) from error
        self.committed(transaction)

    def _commit(self) -> None:
        self._db.execute("COMMIT")

    def _rollback(self) -> None:
        """Undo what was not committed. SQLite has done so itself where there was no room."""
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise CommitInDoubt(str(error)) from error

    def _write(self, transaction: Transaction) -> None:
        db = self._db
        for start in transaction.starts:
            db.execute(
                "INSERT INTO block VALUES (?, ?, ?, ?, ?, NULL)",
                (start.number, start.first, start.parent, _pack(start.stamp), _pack(start.named)),
            )
        rows = {row.number: row for row in transaction.logs}
        moved = {start.number for start in transaction.starts}
        counted: bytes | None = _pack([(*kind, n) for kind, n in transaction.types.items()])
        fresh: set[int] = set()
        for number, piece in transaction.slices:
            if piece.is_full and piece.size <= MAX_UNPACKED:
                self._store_sealed(number, piece)
            else:
                stamp = rows[number].stamp
                values = number, piece.first, piece.last, bytes_of(piece), stamp.wall, stamp.counter, counted
                db.execute("INSERT INTO fresh VALUES (?, ?, ?, ?, ?, ?, ?)", values)
                fresh.add(number)
                counted = None
        for number, row in rows.items():
            if number in moved or number not in fresh:
                db.execute(
                    "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                    "seq = excluded.seq, head = excluded.head, wall = excluded.wall, counter = excluded.counter",
                    (number, _hex(row.replica), row.name, *row.head, row.stamp.wall, row.stamp.counter,
                     row.parent, row.after, row.first_hash, row.rival_hash, row.store),
                )  # fmt: skip
        if transaction.streams:
            db.executemany("INSERT OR IGNORE INTO stream VALUES (?, ?, ?)", transaction.streams)
        if counted is not None:
            self._count(transaction.types)
        for command, first, last, stamp, stream, intent, _ in transaction.commands:
            done = command, stream, first, last, stamp.wall, stamp.counter, _hex(stamp.replica), intent
            how = "IGNORE" if stream else "REPLACE"
            db.execute(f"INSERT OR {how} INTO command VALUES (?, ?, ?, ?, ?, ?, ?, ?)", done)
        self._write_tables(transaction)
        if transaction.forget:
            db.executemany(f"DELETE FROM kept {_SPAN}", transaction.forget)
        if transaction.keep:
            db.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", transaction.keep)
        identity = transaction.identity
        if identity is not None:
            db.execute(
                "INSERT OR REPLACE INTO identity VALUES (1, ?, ?, ?, ?, ?, ?, ?)",
                (FORMAT, identity.store, _hex(identity.replica), identity.name, _pack(identity.openings),
                 identity.clean, _hex(identity.succeeds)),
            )  # fmt: skip

    def _write_tables(self, transaction: Transaction) -> None:
        """The tables of projections. What goes wrong here is blamed on the table."""
        db = self._db
        at = ""
        try:
            for table in transaction.begin:
                at = table.name
                for statement in tables.make(table, tables.SQLITE):
                    db.execute(statement)
            before, after = transaction.rows_by_switch
            for at, key, rows in before:
                self._put_rows(at, key, rows)
            for at, table in transaction.switch:
                for statement in tables.switch(at, table):
                    db.execute(statement)
            for at, key, rows in after:
                self._put_rows(at, key, rows)
        except sqlite3.Error as error:
            if _code(error) in _ENVIRONMENT:
                raise
            raise TableFailed(at, str(error)) from error

    def _put_rows(self, table: str, key: tuple[str | int, ...], rows: list[tuple[Any, ...]]) -> None:
        self._db.execute(tables.clear(table, key, "?"), key)
        if rows:
            self._db.executemany(tables.insert(table, len(key) + len(rows[0]), "?"), [(*key, *row) for row in rows])

    def _count(self, types: dict[tuple[str, int], int]) -> None:
        self._db.executemany(
            "INSERT INTO type VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET events = events + excluded.events",
            [(*kind, events) for kind, events in types.items()],
        )

    def _synchronous(self, level: str) -> None:
        if level != self._level:
            self._db.execute(f"PRAGMA synchronous={level}")
            self._level = level

    def _store_sealed(self, number: int, piece: Slice) -> None:
        self._db.execute(
            "UPDATE block SET sealed = ? WHERE number = ? AND first = ?",
            (bytes_of(piece), number, piece.first),
        )

    def block(self, number: int, seq: int) -> Block | None:
        with _decoding():
            return self._block(number, seq)

    def _block(self, number: int, seq: int) -> Block | None:
        row = self._db.execute(
            "SELECT first, parent, stamp, named, sealed FROM block WHERE number = ? AND first <= ? "
            "ORDER BY first DESC LIMIT 1",
            (number, seq),
        ).fetchone()
        if row is None:
            return None
        first, parent, stamp, named, sealed = row
        if sealed is not None:
            slices = [unpack_held(sealed)]
        else:
            fresh = self._db.execute(
                "SELECT slice FROM fresh WHERE number = ? AND first = ? ORDER BY last", (number, first)
            )
            slices = [unpack_held(data) for (data,) in fresh]
        if not slices or slices[-1].last < seq:
            return None
        when = _unpack_stamp(stamp)
        observed = tuple(Observed(*item) for item in _unpack_named(named))
        return Block(BlockStart(number, first, parent, Stamp(*when) if when else None, observed), slices)

    def blocks_of(self, stream: str) -> list[tuple[int, int]]:
        with _decoding():
            found = self._db.execute(
                "SELECT number, first FROM stream WHERE stream = ? ORDER BY number, first", (stream,)
            )
            return found.fetchall()

    def command(self, command: str, stream: str = "") -> Done | None:
        with _decoding():
            row = self._db.execute(self._find_command, (command, stream)).fetchone()
            if row is None:
                return None
            first, last, wall, counter, replica, intent = row
            return Done(command, first, last, Stamp(wall, counter, _bits(replica)), stream, intent)

    def rows(self, table: str, stream: str | None = None) -> list[tuple[Any, ...]]:
        db = self._db
        with _decoding():
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone():
                return []
            columns = db.execute("SELECT * FROM pragma_table_info(?)", (table,))
            keys = [name for _, name, *_, key in columns if key]
            some, given = ("", ()) if stream is None else ("WHERE stream = ?", (stream,))
            query = f"SELECT * FROM {tables.quoted(table)} {some} ORDER BY {', '.join(keys)}"
            return db.execute(query, given).fetchall()

    def streams(self, category: str, after: str, most: int) -> list[str]:
        first, last = (f"{category}/", f"{category}0") if category else ("", None)
        with _decoding():
            found = self._db.execute(
                "SELECT DISTINCT stream FROM stream WHERE stream > ?1 AND (?2 IS NULL OR stream < ?2) "
                "ORDER BY stream LIMIT ?3",
                (max(after, first), last, most),
            )
            return [stream for (stream,) in found]

    def kept(self, span: Span, latest: int | None = None) -> list[Kept]:
        most = -1 if latest is None else latest
        query = f"SELECT kind, key, value FROM kept {_SPAN} ORDER BY key DESC LIMIT ?4"
        with _decoding():
            return [Kept(*row) for row in self._db.execute(query, (*span, most))][::-1]

    def unsealed(self, after: tuple[int, int] = (0, 0)) -> list[tuple[int, int]]:
        with _decoding():
            found = self._db.execute(
                "SELECT number, first FROM block WHERE sealed IS NULL AND (number, first) > (?, ?) AND EXISTS ("
                "SELECT 1 FROM block AS later WHERE later.number = block.number AND later.first > block.first) "
                "ORDER BY number, first LIMIT 16",
                after,
            )
            return found.fetchall()

    def seal(self, number: int, first: int) -> None:
        block = self.block(number, first)
        if block is None:
            return
        piece = join(block.slices)
        if piece.size > MAX_UNPACKED:
            raise StoreError(f"a block of {piece.size} bytes stays in its parts; at most {MAX_UNPACKED} are one")
        self._synchronous("NORMAL")
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._store_sealed(number, piece)
            types: dict[tuple[str, int], int] = {}
            for (counted,) in self._db.execute(
                "SELECT types FROM fresh WHERE number = ? AND first = ?", (number, first)
            ):
                _add_types(types, counted)
            self._count(types)
            self._db.execute("DELETE FROM fresh WHERE number = ? AND first = ?", (number, first))
            self._db.execute("COMMIT")
        except BaseException:
            self._rollback()
            raise

    def copy_to(self, path: str) -> None:
        """Copy all of it, as it is now, into a SQLite file that stands for itself."""
        target = sqlite3.connect(path, isolation_level=None)
        try:
            self._db.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")
        finally:
            target.close()

    def close(self) -> None:
        """The connection belongs to its thread, which closes it."""


@contextmanager
def _decoding() -> Iterator[None]:
    """What is no longer what was written raises DamagedLog, whatever it is now."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) != sqlite3.SQLITE_ERROR:
            raise  # no room, in use: not damage
        raise _damage(error) from error
    except (zstandard.ZstdError, msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise _damage(error) from error


_ENVIRONMENT = {
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOLFS, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_INTERRUPT,
}  # fmt: skip
"""What says nothing of the bytes in the file: locks, room, rights, the disk."""


def _code(error: sqlite3.Error) -> int:
    """The primary code of an error of SQLite; 0 where it has none."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def error_of(path: str, error: sqlite3.Error) -> StoreError:
    """An error of SQLite about a file, as one of ours."""
    code = _code(error)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Unavailable(
            f"{path} is locked by another program ({error}), for over {PATIENCE:g} s. What was acknowledged is in "
            "it: let that program end its transaction, and try again."
        )
    if code == sqlite3.SQLITE_FULL:
        return Unavailable(f"there is no room for {path} ({error}). What was acknowledged is in it: make room.")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return StoreError(f"{path} may not be written ({error}). What was acknowledged is in it.")
    if code == sqlite3.SQLITE_CANTOPEN:
        return Unavailable(
            f"{path} cannot be opened now ({error}): rights, or too many open files. Nothing in it was changed."
        )
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOLFS):
        return Unavailable(
            f"the disk or file system under {path} failed ({error}). What was acknowledged is in it. A network "
            "file system cannot hold a store: keep it on a local disk."
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or type(error) is sqlite3.DatabaseError:
        return DamagedLog(
            f"{path} is damaged: {error}. Nothing was changed. What peers hold is whole: begin a new file and "
            "let them fill it, or restore this one from a copy."
        )
    return StoreError(f"{path} could not be read or written ({error}). What was acknowledged is in it.")


def _damage(error: Exception) -> DamagedLog:
    return DamagedLog(
        f"what is in the file is not what was written ({error}). Nothing was changed: restore the file from a "
        "copy, or begin a new one and let the peers fill it."
    )


def _wrong_format(found: int) -> WrongFormat:
    return WrongFormat(
        f"this file has format {found}, and this version of Anabranch reads {FORMAT}. Nothing was changed: open it "
        "with the version that wrote it, and let peers fill a new one."
    )


def _has(db: sqlite3.Connection, table: str, column: str) -> bool:
    """A table has a column. (Files of before lack some.)"""
    return any(name == column for _, name, *_ in db.execute("SELECT * FROM pragma_table_info(?)", (table,)))


def _add_types(types: dict[tuple[str, int], int], counted: bytes | None) -> None:
    """Add what a fresh slice counts to the events of each type."""
    for name, schema, events in _unpack_types(counted) if counted else ():
        types[name, schema] = types.get((name, schema), 0) + events


class _Result:
    """What a call on the SQLite thread returned, in the shape of a cursor with one row."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def fetchall(self) -> list[Any]:
        return [self._value]


class _Connection(sqlite3.Connection):
    """A connection that can be handed a function where it takes SQL.

    aiosqlite offers one hop a statement. Its public `execute_fetchall` calls `execute` and `fetchall` in one
    hop, and the class of the connection is the caller's to choose: so this one lets `execute` run a whole
    transaction there.
    """

    def execute(self, sql: Any, parameters: Any = (), /) -> Any:
        return _Result(sql(self)) if callable(sql) else super().execute(sql, parameters)


_open: WeakSet[SqliteThread] = WeakSet()
_inherited: list[aiosqlite.Connection] = []


def _forked() -> None:
    """Connections of the process that this one was forked from: never used, and, as SQLite asks, never closed."""
    _inherited.extend(thread._db for thread in _open if thread._db is not None)


os.register_at_fork(after_in_child=_forked)


class SqliteThread:
    """A log on the thread of an aiosqlite connection."""

    log_type = SqliteLog

    def __init__(self, path: str, *, full: bool = True) -> None:
        self.path, self.full = path, full
        self.committed: Callable[[Transaction], None] = lambda _: None
        """Called on the thread when a transaction has been committed, and the file is where it was."""
        self._db: aiosqlite.Connection | None = None
        self._file: OpenFile | None = None
        self._reopened: asyncio.Future[None] | None = None
        """While the file is closed and opened again."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[SqliteThread]:
        """Open the file, and close it at the end whatever happens."""
        await self.connect()
        try:
            yield self
        finally:
            await self.disconnect()

    async def connect(self) -> None:
        begin(self.path)
        await self._connect(self.path)

    async def _connect(self, address: str, *, uri: bool = False) -> None:
        with told(self.path):
            file = OpenFile(self.path)
        try:
            db = aiosqlite.connect(address, factory=_Connection, isolation_level=None, uri=uri, timeout=PATIENCE)
            db._thread.daemon = True
            try:
                self._db = await db
            except sqlite3.Error as error:
                raise error_of(self.path, error) from error
            _open.add(self)
            self._log: SqliteLog = await self._run(lambda db: self.log_type(db, full=self.full))
        except BaseException:
            file.end()
            await self.disconnect()
            raise
        self._file = file
        self._log.committed = self._committed

    def _committed(self, transaction: Transaction) -> None:
        assert self._file is not None
        self._file.check()
        self.committed(transaction)

    async def reconnect(self) -> None:
        """Close and open the file, which must be where it was; calls that come meanwhile wait for it."""
        self._reopened = reopened = asyncio.get_running_loop().create_future()
        file = self._file
        try:
            await self.disconnect()
            if file is not None and not file.is_same():
                file.check()
            await self.connect()
        finally:
            self._reopened = None
            reopened.set_result(None)

    async def disconnect(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.end()
        db, self._db = self._db, None
        if db is not None:
            try:
                await db.close()
            except sqlite3.Error as error:
                raise error_of(self.path, error) from error

    async def run(self, call: Callable[[SqliteLog], T]) -> T:
        """Call something with the log, on its thread, in one hop."""
        if self._reopened is not None:
            await self._reopened
        return await self._run(lambda _: call(self._log))

    async def _run(self, call: Callable[[sqlite3.Connection], T]) -> T:
        if self._db is None:
            raise StoreError(f"{self.path} is not open; nothing was read or written")
        execute: Any = self._db.execute_fetchall
        try:
            rows: list[T] = await execute(call)
        except sqlite3.Error as error:
            raise error_of(self.path, error) from error
        except OSError as error:
            raise system_error(self.path, error) from error
        return rows[0]


class _LogToRead(SqliteLog):
    """The same over a connection that may only read."""

    def _prepare(self) -> None:
        db = self._db
        db.execute("PRAGMA query_only=ON")
        if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise StoreError("this is no file of Anabranch; it was left as it is")
        found = db.execute("PRAGMA user_version").fetchone()[0]
        if found == OLDER:
            raise WrongFormat("this file is from before, and was not opened for writing since: do that once")
        if found != FORMAT:
            raise _wrong_format(found)
        if not _has(db, "command", "stream"):  # it was not opened for writing since
            self._find_command = self._find_command.replace("intent", "x''").replace("stream = ?2", "?2 = ''")


class SqliteReader(SqliteThread):
    """A log to be read, beside whoever writes to it.

    Who may write there takes part in SQLite's locks. Who may not (a read-only disk, another person's folder) reads
    a file that was closed as it lies, and one that is open through the memory which its writer shares.
    """

    log_type = _LogToRead
    _as_it_was: tuple[int, ...] | None = None
    """Of a file that is read as it lies, without locks: what tells that somebody writes to it all the same."""

    async def connect(self) -> None:
        folder = os.path.dirname(self.path)
        mode = "mode=rw"  # with "ro" SQLite leaves files behind beside this one
        if not (os.access(self.path, os.W_OK) and os.access(folder, os.W_OK)):
            mode = "mode=ro"
            if not _size(f"{self.path}-wal"):
                mode, self._as_it_was = "immutable=1", self._look()
        try:
            await self._connect(f"file:{quote(os.fsencode(self.path))}?{mode}", uri=True)
        except StoreError as error:
            if mode != "mode=ro" or isinstance(error, WrongFormat | DamagedLog):
                raise
            raise StoreError(
                f"{self.path} was not closed, and what its last writer left beside it cannot be read by one who "
                "may not write there. Nothing was changed: copy the file with its -wal into a folder of your own, "
                "or let its owner run `anabranch backup`."
            ) from error

    def _look(self) -> tuple[int, ...]:
        with told(self.path):
            found = os.stat(self.path)
        return found.st_ino, found.st_size, found.st_mtime_ns, _size(f"{self.path}-wal")

    async def run(self, call: Callable[[SqliteLog], T]) -> T:
        """Call something with the log, on its thread, in one hop and at one moment of the file."""

        def look(db: sqlite3.Connection) -> T:
            db.execute("BEGIN")
            try:
                return call(self._log)
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")

        try:
            found = await self._run(look)
        except DamagedLog:
            self._unchanged()
            raise
        self._unchanged()
        return found

    def _unchanged(self) -> None:
        if self._as_it_was is not None and self._look() != self._as_it_was:
            raise Unavailable(
                f"{self.path} is being written to while it is read. Nothing was changed: open it again."
            )


def _size(path: str) -> int:
    """Bytes of a file; 0 where there is none."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
