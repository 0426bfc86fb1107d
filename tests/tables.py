"""Damage in the tables of a file: it is said when the file is opened or verified, or nothing that is read is other.

    python -m tests.tables --times 20000 --seed 1      the whole run; `--one 1/17` plays one of it again

One value of one row is damaged, the file is opened, verified, and read. Each time exactly one of these happens:

| outcome  | what happened                                                                          |
|----------|----------------------------------------------------------------------------------------|
| said     | opening, verifying or reading raised an AnabranchError, or `verify` names what differs |
| same     | all is well, and what is read is what was there before: heads, versions, presents,     |
|          | and what led to which commit                                                           |
| shorter  | the row of what was written last is nowhere any more, as in an older copy of the file: |
|          | the log is whole up to there (and the mark, or a peer, tells that there was more)      |
| somebody | the file says that it is another replica's, which the mark beside it tells its writer  |
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sqlite3
import sys
import tempfile
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from replica.errors import AnabranchError
from replica.log import Done
from replica.readonly import ReadOnly
from tests.damage import damaged
from tests.judges import Found, Honest
from tests.material import STREAMS, world
from tests.shop import Journal, ShoppingList

LISTED = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"

CARRIED_OUT = """SELECT id FROM command WHERE replica IN (SELECT replica FROM log GROUP BY replica
HAVING count(*) = 1) ORDER BY id"""
"""Of an id with two histories it depends on which of them was heard first what is remembered."""


class Read(NamedTuple):
    """What a file reads."""

    version: dict[int, int]
    heads: frozenset[tuple[int, int, bytes]]
    presents: list[str]
    differences: tuple[str, ...]
    replica: int
    commands: list[Done | None]
    """What those are answered with that are tried again."""


async def read(path: Path, commands: list[str]) -> Read:
    async with ReadOnly.open(path, aggregates=(ShoppingList, Journal)) as file:
        verified = await file.verify()
        presents = [await file.digest(stream) for stream in STREAMS]
        lineages = file._core.memory.lineages
        heads = frozenset((r, *head) for r, lineage in lineages.items() for head in lineage.heads)
        done = await file._backend.run(lambda log: [log.command(command) for command in commands])
        return Read(dict(file.version.seqs), heads, presents, verified.differences, file._core.me, done)


class Cell(NamedTuple):
    """One value in a table."""

    table: str
    column: str
    row: tuple[Any, ...]

    def put(self, db: sqlite3.Connection, value: Any) -> None:
        keys = [name for _, name, *_ in db.execute(f"PRAGMA table_info({self.table})")]
        new = "CAST(? AS TEXT)" if isinstance(self.row[keys.index(self.column)], str) else "?"
        where = " AND ".join(f"{key} IS ?" for key in keys)
        db.execute(f"UPDATE {self.table} SET {self.column} = {new} WHERE {where}", (value, *self.row))
        db.commit()


class Tables:
    """A file, and what becomes of copies of it."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed, self._folder = seed, folder
        self._file = folder / "whole.db"
        made = world(seed, path=str(self._file))
        replica = made.replicas[-1]
        for stream in STREAMS:
            replica.present(stream)
        replica.core.ripe.update(dict.fromkeys(STREAMS))
        replica.snapshot()
        replica.save_members()
        self._honest = Honest.of(made.replicas)
        made.file.execute("PRAGMA journal_mode=DELETE")
        self._cells = [
            Cell(table, column, row)
            for (table,) in made.file.execute(LISTED).fetchall()
            for row in made.file.execute(f"SELECT * FROM {table}").fetchall()
            for (_, column, *_) in made.file.execute(f"PRAGMA table_info({table})").fetchall()
        ]
        self._commands = [key for (key,) in made.file.execute(CARRIED_OUT).fetchall()]
        made.file.close()
        self._columns = sorted({(cell.table, cell.column) for cell in self._cells})
        self._whole = asyncio.run(read(self._file, self._commands))
        assert not self._whole.differences

    def play(self, number: int) -> tuple[str, str]:
        """Where a trial put its damage, and what it led to; Found where it must not be."""
        random = Random((self.seed << 64) + number)
        table, column = random.choice(self._columns)
        cell = random.choice([cell for cell in self._cells if (cell.table, cell.column) == (table, column)])
        path = self._folder / "damaged.db"
        shutil.copy(self._file, path)
        try:
            return f"{table}.{column}", self._judge(random, cell, path)
        except Exception as error:
            raise Found(f"--one {self.seed}/{number}: {table}.{column}: {type(error).__name__}: {error}") from error
        finally:
            for left in self._folder.glob("damaged.db*"):
                left.unlink()

    def _judge(self, random: Random, cell: Cell, path: Path) -> str:
        db = sqlite3.connect(path)
        keys = [name for _, name, *_ in db.execute(f"PRAGMA table_info({cell.table})")]
        try:
            cell.put(db, _other(random, cell.row[keys.index(cell.column)]))
        except sqlite3.IntegrityError:
            return "same"  # SQLite itself would not have it
        finally:
            db.close()
        try:
            found = asyncio.run(read(path, self._commands))
        except AnabranchError:
            return "said"
        if found.differences:
            return "said"
        if found == self._whole:
            return "same"
        if (cell.table, cell.column) == ("identity", "replica") and found._replace(
            replica=0
        ) == self._whole._replace(replica=0):
            return "somebody"
        if cell.table == "fresh" and found.heads < self._honest.heads and found.heads != self._whole.heads:
            return "shorter"
        raise Found(f"{cell} reads {found}, and nothing says so")


def _other(random: Random, value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, int):
        return value ^ 1 << random.randrange(63)
    if isinstance(value, str):
        return damaged(random, value.encode() or b"x", [b"else"])[1]
    return damaged(random, value or b"\0", [b"else"])[1]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tables")
    parser.add_argument("--times", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--one", metavar="SEED/NUMBER", help="play one trial again")
    chosen = parser.parse_args()
    seed, *number = map(int, chosen.one.split("/")) if chosen.one else (chosen.seed,)
    counts = Counter[tuple[str, str]]()
    with tempfile.TemporaryDirectory() as folder:
        tables = Tables(seed, Path(folder))
        for one in number or range(chosen.times):
            counts[tables.play(one)] += 1
    print("| damaged | outcome | times |\n|---|---|---|")
    for (where, outcome), times in sorted(counts.items()):
        print(f"| {where} | {outcome} | {times:,} |")
    print(f"\nseed {seed}: {counts.total():,}; nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
