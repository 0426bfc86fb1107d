"""Projections in other databases: their rows and their checkpoint change together, and say what the log says."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

import pytest

from replica import POSTGRES, Database, Export, Replica
from sync import linked
from tests import postgres
from tests.loop import in_loop, until
from tests.shop import HOME, JOURNAL, AddItem, Journal, RemoveItem, ShoppingList, TakeNote, direct
from tests.test_projections import Added, Items, Lines, More, Picky

psycopg = pytest.importorskip("psycopg")


class Sqlite:
    """A file of its own."""

    def __init__(self, path):
        self.path = path

    def target(self):
        return Database(lambda: sqlite3.connect(self.path))

    def rows(self, query):
        with sqlite3.connect(self.path) as db:
            return db.execute(query).fetchall()


class Postgres:
    """A real server."""

    def __init__(self, dsn):
        self.dsn = dsn

    def target(self):
        return Database(lambda: psycopg.connect(self.dsn), POSTGRES)

    def rows(self, query):
        with psycopg.connect(self.dsn) as db:
            return db.execute(query).fetchall()


@pytest.fixture(scope="module")
def dsn():
    if postgres.binaries() is None:
        pytest.skip("no PostgreSQL server is installed here (Debian: postgresql); SQLite is tested all the same")
    with tempfile.TemporaryDirectory(prefix="anabranch-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with postgres.server(Path(folder) / "pg") as found:
            yield found


@pytest.fixture(params=["sqlite", "postgres"])
def database(request, tmp_path):
    if request.param == "sqlite":
        return Sqlite(tmp_path / "reports.db")
    found = Postgres(request.getfixturevalue("dsn"))
    with psycopg.connect(found.dsn) as db:
        db.execute("DROP SCHEMA public CASCADE")
        db.execute("CREATE SCHEMA public")
    return found


def opened(path, *exports, name="alice", **options):
    return Replica.open(
        path, store="shop", name=name, aggregates=[ShoppingList, Journal], exports=exports, **options
    )


def export(database, *projections):
    return Export("reports", database.target(), projections, first=0.01, longest=0.05)


async def caught_up(replica):
    await until(lambda: all((one.state, one.behind) == ("live", 0) for one in replica.status().exports))


def test_a_target_has_the_rows_of_the_log_and_goes_on_where_it_was(database, tmp_path):
    """Own events and those of peers; a rewind; closing and opening; the same rows as in the file of the replica."""

    @in_loop
    async def run():
        path, projections = tmp_path / "a.db", (Added, Items, Lines)
        for turn in range(3):
            async with (
                opened(path, export(database, *projections), projections=projections) as alice,
                opened(tmp_path / "b.db", name="bob") as bob,
            ):
                await alice.execute(HOME, AddItem(f"milk {turn}"))
                await bob.execute(JOURNAL, TakeNote(f"early {turn}"))
                await alice.execute(JOURNAL, TakeNote(f"late {turn}"))
                async with linked(alice, bob):
                    await bob.wait_for(alice.version)
                    await alice.wait_for(bob.version)
                if turn == 2:
                    await alice.execute(HOME, RemoveItem("milk 0"))
                await caught_up(alice)
                for table in ("added", "items", "lines"):
                    keys = "stream, replica, seq, n" if table == "added" else "stream, n"
                    there = database.rows(f"SELECT * FROM {table} ORDER BY {keys}")
                    assert there == await alice.rows(table)
        assert [item for item, _ in sorted(database.rows("SELECT item, lists FROM wanted"))] == ["milk 1", "milk 2"]

    run()


def test_a_table_that_was_dropped_in_its_target_is_built_again(database, tmp_path):
    """Its checkpoint is there, and says nothing of a table that is not: it is never live and empty."""

    @in_loop
    async def run():
        async with opened(tmp_path / "a.db", export(database, Added, Items)) as alice:
            await alice.execute(HOME, AddItem("milk"))
            await caught_up(alice)
        if isinstance(database, Sqlite):
            with sqlite3.connect(database.path) as db:
                db.execute("DROP TABLE items")
        else:
            with psycopg.connect(database.dsn) as db:
                db.execute("DROP TABLE items CASCADE")
        async with opened(tmp_path / "a.db", export(database, Added, Items)) as alice:
            await caught_up(alice)
            assert [item for (item,) in database.rows("SELECT item FROM items")] == ["milk"]
            assert database.rows("SELECT item, lists FROM wanted") == [("milk", 1)]

    run()


def test_a_projection_that_changed_is_built_again_in_its_target(database, tmp_path):
    """Beside the old table; what the old one said is there until then."""

    @in_loop
    async def run():
        async with opened(tmp_path / "a.db", export(database, Items)) as alice:
            await alice.execute(HOME, AddItem("milk"))
            await caught_up(alice)
        assert database.rows("SELECT stream, n, item FROM items") == [(HOME, 0, "milk")]
        async with opened(tmp_path / "a.db", export(database, More)) as alice:
            await alice.execute(HOME, AddItem("tea"))
            await caught_up(alice)
        assert database.rows("SELECT item, length FROM items ORDER BY n") == [("milk", 4), ("tea", 3)]

    run()


@in_loop
async def test_a_target_that_is_away_is_tried_again_and_holds_up_nothing(tmp_path):
    """Commands go on, status says why, and what was missed is there once it is back."""
    broken = [True]

    def dial():
        if broken:
            raise ConnectionError("no route")
        return sqlite3.connect(tmp_path / "reports.db")

    away = Export("reports", Database(dial), [Items], first=0.005, longest=0.01)
    async with opened(tmp_path / "a.db", away) as alice:
        await alice.execute(HOME, AddItem("milk"))
        await until(lambda: alice.status().exports[0].failures > 2)
        assert "no route" in alice.status().exports[0].why
        broken.clear()
        await caught_up(alice)
        assert alice.status().exports[0].failures == 0
    assert Sqlite(tmp_path / "reports.db").rows("SELECT item FROM items") == [("milk",)]


@in_loop
async def test_a_projection_that_raises_stops_in_its_target_alone(tmp_path):
    """The other one there goes on; it is tried again when the replica is opened."""
    database = Sqlite(tmp_path / "reports.db")
    async with opened(tmp_path / "a.db", export(database, Picky, Items)) as alice:
        await alice.execute(HOME, AddItem("bread"))
        await until(lambda: [one.state for one in alice.status().exports] == ["stopped", "live"])
        assert "no bread here" in alice.status().exports[0].why
        await alice.execute(HOME, RemoveItem("bread"))
        await alice.execute(HOME, AddItem("milk"))
        await until(lambda: alice.status().exports[1].behind == 0)
    async with opened(tmp_path / "a.db", export(database, Picky, Items)) as alice:
        await caught_up(alice)
    assert database.rows("SELECT item FROM picky") == database.rows("SELECT item FROM items") == [("milk",)]


@in_loop
async def test_a_table_that_cannot_be_written_stops_its_projection(tmp_path):
    """Somebody has put something else there: it is said, and not tried for ever."""
    database = Sqlite(tmp_path / "reports.db")
    async with opened(tmp_path / "a.db", export(database, Items)) as alice:
        await alice.execute(HOME, AddItem("milk"))
        await caught_up(alice)
        with sqlite3.connect(database.path) as db:
            db.execute("CREATE TRIGGER no BEFORE INSERT ON items BEGIN SELECT RAISE(ABORT, 'mine'); END")
        await alice.execute(HOME, AddItem("tea"))
        await until(lambda: alice.status().exports[0].state == "stopped")
        assert "mine" in alice.status().exports[0].why


@pytest.mark.parametrize("longer", [0, 1])
@pytest.mark.parametrize("first", [0, 1])
def test_a_second_history_has_a_target_built_again(first, longer, tmp_path):
    """Whichever came first, the rows are those that follow from the history that is folded now."""
    in_loop(second_history)(first, longer, tmp_path)


async def second_history(first, longer, tmp_path):
    copies = []
    for side in range(2):
        replica = direct("alice", seed=1)
        for item in ("milk", "eggs", "tea", "bread")[: 4 if side == longer else 2]:
            replica.execute(HOME, AddItem(f"{item} {side}"), 10 * side + 1)
        replica.flush()
        copies.append(replica)
    database = Sqlite(tmp_path / "reports.db")
    async with opened(
        tmp_path / "c.db", export(database, Items, Added), name="carol", projections=(Items, Added)
    ) as carol:
        for replica in (copies[first], copies[1 - first]):
            await carol.ingest(list(replica.all_slices()))
            await until(lambda: all(one.behind == 0 for one in carol.status().exports))
        await carol.execute(HOME, AddItem("own"))
        await caught_up(carol)
        await carol.built()
        assert database.rows("SELECT * FROM items ORDER BY n") == await carol.rows("items")
        assert sorted(database.rows("SELECT * FROM added")) == await carol.rows("added")
