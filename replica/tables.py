"""The tables of projections as SQL, in the part of the language that SQLite and PostgreSQL share.

Names are checked where a projection is declared (`replica.projection`), and quoted here all the same.
"""

from __future__ import annotations

from collections.abc import Mapping

from replica.log import Table

SQLITE = {str: "TEXT", int: "INTEGER", float: "REAL", bool: "INTEGER", bytes: "BLOB"}


def make(table: Table, types: Mapping[type, str]) -> list[str]:
    """Statements that make a table, empty, in place of any of that name."""
    keys = [f"{quoted(name)} {types[kind]} NOT NULL" for name, kind in table.keys]
    columns = [f"{quoted(name)} {types[kind]}" for name, kind in table.columns]
    primary = ", ".join(quoted(name) for name, _ in table.keys)
    return [
        f"DROP TABLE IF EXISTS {quoted(table.name)}",
        f"CREATE TABLE {quoted(table.name)} ({', '.join([*keys, *columns])}, PRIMARY KEY ({primary}))",
    ]


def switch(name: str, table: Table) -> list[str]:
    """Statements that give the table `name` the place, the indexes and the views of `table`."""
    drop = [f"DROP VIEW IF EXISTS {quoted(view)}" for view, _ in table.views]
    drop += [f"DROP INDEX IF EXISTS {quoted(table.index_name(columns))}" for columns in table.indexes]
    move = [
        f"DROP TABLE IF EXISTS {quoted(table.name)}",
        f"ALTER TABLE {quoted(name)} RENAME TO {quoted(table.name)}",
    ]
    indexes = [
        f"CREATE INDEX {quoted(table.index_name(columns))} ON {quoted(table.name)} "
        f"({', '.join(quoted(column) for column in columns)})"
        for columns in table.indexes
    ]
    return [*drop, *move, *indexes, *(f"CREATE VIEW {quoted(view)} AS {select}" for view, select in table.views)]


def clear(table: str, key: tuple[str | int, ...], mark: str) -> str:
    """The statement that deletes what stands under a key; `mark` stands for a value."""
    names = ("stream",) if len(key) == 1 else ("stream", "replica", "seq")
    return f"DELETE FROM {quoted(table)} WHERE {' AND '.join(f'{quoted(name)} = {mark}' for name in names)}"


def insert(table: str, width: int, mark: str) -> str:
    """The statement that inserts one row of so many values, key first."""
    return f"INSERT INTO {quoted(table)} VALUES ({', '.join([mark] * width)})"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
