"""Targets: databases elsewhere that projections are kept in, with a checkpoint of their own there.

    Export("reports", Database(lambda: psycopg.connect("dbname=reports"), POSTGRES), [Items])

Rule 1. A target changes in transactions of its own: rows, and the version that they have been folded at,
        together. So they are never ahead of, nor behind, what their checkpoint says, whatever crashes.
Rule 2. It follows the log, after it: reading it may be a moment old. It holds up nothing, and where it cannot
        be reached it is tried again for as long as it takes; status shows it.
Rule 3. The tables are those that the same projections have in the file of the replica, and are built again
        beside the ones in use for the same reasons. `anabranch_projection` has the checkpoints.

`Target` is the port: anything that can do these three things in one transaction each. `Database` is it for every
driver of the Python DB-API (PEP 249).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

from replica import tables
from replica.log import Rows, Table
from replica.projection import Projection

T = TypeVar("T")
CHECKPOINTS = "anabranch_projection"


class Change(NamedTuple):
    """What changes in a target at once."""

    begin: tuple[Table, ...] = ()
    rows: tuple[Rows, ...] = ()
    switch: tuple[tuple[str, Table], ...] = ()
    checkpoints: Mapping[str, str] = {}
    """What to remember of projections, by table: JSON."""


class Target(Protocol):
    """Where projections are kept."""

    async def checkpoints(self) -> dict[str, str]:
        """What is remembered of each projection, by table; nothing at first."""

    async def write(self, change: Change) -> None:
        """Begin tables, replace rows, switch tables, remember checkpoints: all of it, durably, or none of it."""

    async def close(self) -> None:
        """Give it back. It is opened again when it is used."""


class Refusal(Exception):
    """A target cannot take a change as it is, and would not later either."""


@dataclass(frozen=True, slots=True)
class Export:
    """Projections that are kept in a target."""

    name: str
    target: Target
    projections: Sequence[type[Projection]]
    first: float = 0.5
    """Seconds before a target that failed is tried again for the first time, about; twice that the next time."""
    longest: float = 60.0


class Dialect(NamedTuple):
    """What differs between databases."""

    mark: str
    """What stands for a value in a statement."""
    types: Mapping[type, str]
    begin: str = ""
    """What begins a transaction, where the driver does not do so before every statement."""


SQLITE = Dialect("?", tables.SQLITE, "BEGIN IMMEDIATE")
POSTGRES = Dialect("%s", {str: "TEXT", int: "BIGINT", float: "DOUBLE PRECISION", bool: "BOOLEAN", bytes: "BYTEA"})
PASSING = ("OperationalError", "InterfaceError", "InternalError", "OSError")
"""Exceptions of PEP 249 (and the system) that may pass: a server that is away, a lock, a full disk."""


class Database:
    """A target behind a DB-API driver; its connection lives on a thread of its own."""

    def __init__(self, connect: Callable[[], Any], dialect: Dialect = SQLITE) -> None:
        self._connect, self._dialect = connect, dialect
        self._connection: Any = None
        self._thread: ThreadPoolExecutor | None = None

    async def checkpoints(self) -> dict[str, str]:
        return await self._run(self._checkpoints)

    async def write(self, change: Change) -> None:
        await self._run(lambda cursor: self._write(cursor, change))

    async def close(self) -> None:
        if self._thread is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
            self._thread.shutdown()
            self._thread = None

    async def _run(self, call: Callable[[Any], T]) -> T:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "target")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transaction, call)

    def _transaction(self, call: Callable[[Any], T]) -> T:
        """Call something in one transaction; a connection on which it failed is not used again."""
        try:
            if self._connection is None:
                self._connection = self._connect()
            cursor = self._connection.cursor()
            if self._dialect.begin:
                cursor.execute(self._dialect.begin)
            cursor.execute(
                f"CREATE TABLE IF NOT EXISTS {CHECKPOINTS} (name TEXT PRIMARY KEY, checkpoint TEXT NOT NULL)"
            )
            result = call(cursor)
            self._connection.commit()
        except Exception as error:
            self._disconnect()
            names = {kind.__name__ for kind in type(error).__mro__}
            if names & {*PASSING}:
                raise
            raise Refusal(f"{type(error).__name__}: {error}") from error
        return result

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except Exception:  # it is gone already
                return

    def _checkpoints(self, cursor: Any) -> dict[str, str]:
        cursor.execute(f"SELECT name, checkpoint FROM {CHECKPOINTS}")
        return {name: checkpoint for name, checkpoint in cursor.fetchall() if self._is_there(cursor, name)}

    def _is_there(self, cursor: Any, table: str) -> bool:
        """Nobody has dropped a table: else what is said of it says nothing."""
        cursor.execute("SAVEPOINT look")
        try:
            cursor.execute(f"SELECT 1 FROM {tables.quoted(table)} WHERE 1 = 0")
        except Exception:
            cursor.execute("ROLLBACK TO SAVEPOINT look")
            return False
        return True

    def _write(self, cursor: Any, change: Change) -> None:
        mark, types, _ = self._dialect
        for table in change.begin:
            for statement in tables.make(table, types):
                cursor.execute(statement)
        for name, key, rows in change.rows:
            cursor.execute(tables.clear(name, key, mark), key)
            if rows:
                cursor.executemany(
                    tables.insert(name, len(key) + len(rows[0]), mark), [(*key, *row) for row in rows]
                )
        for name, table in change.switch:
            for statement in tables.switch(name, table):
                cursor.execute(statement)
        for name, checkpoint in change.checkpoints.items():
            cursor.execute(f"DELETE FROM {CHECKPOINTS} WHERE name = {mark}", (name,))
            cursor.execute(f"INSERT INTO {CHECKPOINTS} VALUES ({mark}, {mark})", (name, checkpoint))
