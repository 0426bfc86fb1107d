"""Projections: rows that always say what the log says, whatever arrives in whichever order."""

from __future__ import annotations

import copy
import sqlite3
from random import Random

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from replica import Entry, Event, EventRows, Ordered, ProjectionStopped, Replica, StreamRows
from replica.arrange import Gap
from replica.direct import DirectReplica
from replica.log import Span
from replica.memory import MemoryLog
from replica.rows import KIND
from sync import linked
from tests.loop import in_loop, until
from tests.shop import (
    HOME,
    JOURNAL,
    AddItem,
    AddTwice,
    Count,
    Counted,
    ItemAdded,
    Journal,
    Noted,
    RemoveItem,
    ShoppingList,
    TakeNote,
)  # fmt: skip


class Added(EventRows):
    """Every addition there ever was."""

    table = "added"
    columns = {"item": str, "at": int}
    events = (ItemAdded,)
    indexes = (("item",),)
    views = {"additions": 'SELECT item, count(*) AS times FROM "added" GROUP BY item'}

    def rows(self, entry: Entry):
        yield entry.event.item, entry.stamp.wall


class Items(StreamRows):
    """What is on each list now."""

    table = "items"
    columns = {"item": str}
    of = ShoppingList
    views = {"wanted": 'SELECT item, count(*) AS lists FROM "items" GROUP BY item'}

    def rows(self, present: ShoppingList):
        return ((item,) for item in sorted(present.items))


class Lines(StreamRows):
    """The lines of each journal in their order, and how many others each had not seen."""

    table = "lines"
    columns = {"line": str, "unseen": int}
    of = Journal

    def rows(self, present: Journal):
        return present.state


ALL = (Added, Items, Lines)


def direct(name, log=None, projections=ALL, seed=0, aggregates=(ShoppingList, Journal)):
    replica = DirectReplica(
        log or MemoryLog(), "shop", name, aggregates, random=Random(f"{name}/{seed}"), projections=projections
    )
    replica.build()
    return replica


def tables(replica):
    return {table: replica.log.rows(table) for table in ("added", "items", "lines")}


def rebuilt(replica):
    """The tables as they are made from the log alone."""
    log = copy.deepcopy(replica.log)
    log._tables.clear()
    log._kept.clear()
    return tables(direct("other", log=log))


KINDS = ["add", "remove", "note", "twice", "meet", "reopen"]
STEPS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 2), st.integers(0, 2)), max_size=25)


@settings(max_examples=50, deadline=None)
@given(STEPS)
def test_whatever_arrives_when_the_tables_are_what_the_log_alone_makes_of_them(steps):
    """Three replicas write, meet in any order, and are reopened; their tables are then a rebuild's, and alike."""
    replicas = [direct(name) for name in ("alice", "bob", "carol")]

    def meet(here, there):
        replicas[here].flush()
        replicas[there].flush()
        assert not isinstance(replicas[there].ingest(list(replicas[here].all_slices())), Gap)
        replicas[there].flush()

    for wall, (step, one, other) in enumerate(steps):
        replica, item = replicas[one], ["milk", "eggs", "bread"][other]
        if step == "add":
            replica.execute(f"list/{other}", AddItem(item), 1000 + wall)
        elif step == "twice":
            replica.execute("list/1", AddTwice(item), 1000 + wall)
        elif step == "remove" and item in replica.present(f"list/{other}").items:
            replica.execute(f"list/{other}", RemoveItem(item), 1000 + wall)
        elif step == "note":
            replica.execute(JOURNAL, TakeNote(f"{wall}"), 1000 - wall)
        elif step == "meet" and one != other:
            meet(one, other)
        elif step == "reopen":
            replica.flush()
            replicas[one] = direct("abc"[one], log=replica.log)
    for replica in replicas:
        replica.flush()
        assert tables(replica) == rebuilt(replica)
    for here in range(3):
        for there in range(3):
            if here != there:
                meet(here, there)
    meet(1, 0)
    assert tables(replicas[0]) == tables(replicas[1]) == tables(replicas[2])


def test_a_stream_that_was_not_loaded_has_its_rows_changed_too():
    """After reopening nothing is loaded; what a peer sends changes rows all the same."""
    alice, bob = direct("alice"), direct("bob")
    alice.execute(HOME, AddItem("milk"), 1)
    alice.flush()
    bob.ingest(list(alice.all_slices()))
    bob.flush()
    bob = direct("bob", log=bob.log)
    alice.execute(HOME, AddItem("eggs"), 2)
    alice.flush()
    bob.ingest(list(alice.all_slices()))
    bob.flush()
    assert bob.log.rows("items") == [(HOME, 0, "eggs"), (HOME, 1, "milk")]


def test_what_a_large_batch_brings_has_its_rows():
    """A present from which rows follow does not wait until somebody reads it."""
    alice, bob = direct("alice"), direct("bob")
    bob.core.bulk = 1
    bob.present(HOME)
    for item in ("milk", "eggs"):
        alice.execute(HOME, AddItem(item), 1)
    alice.flush()
    bob.ingest(list(alice.all_slices()))
    bob.flush()
    assert bob.log.rows("items") == alice.log.rows("items") == [(HOME, 0, "eggs"), (HOME, 1, "milk")]


class More(Items):
    """The same table with another column."""

    columns = {"item": str, "length": int}

    def rows(self, present):
        return ((item, len(item)) for item in sorted(present.items))


@pytest.mark.parametrize("change", ["columns", "left out", "new"])
def test_a_projection_that_changed_or_was_left_out_or_is_new_is_built_from_the_log(change):
    """Beside the old table, which stays as it is until the new one takes its place."""
    replica = direct("alice", projections=() if change == "new" else (Items,))
    replica.execute(HOME, AddItem("milk"), 1)
    replica.flush()
    if change == "left out":
        replica = direct("alice", log=replica.log, projections=())
        replica.execute(HOME, AddItem("eggs"), 2)
        replica.flush()
        assert replica.log.rows("items") == [(HOME, 0, "milk")]
    wanted = More if change == "columns" else Items
    replica = DirectReplica(
        replica.log, "shop", "alice", (ShoppingList, Journal), random=Random(1), projections=(wanted,)
    )
    assert replica.core.memory.standings["items"].state == "building"
    replica.execute(HOME, AddItem("tea"), 3)
    replica.flush()
    replica.build()
    assert replica.core.memory.standings["items"].state == "live"
    items = sorted(replica.present(HOME).items)
    found = [row[2:] for row in replica.log.rows("items")]
    assert found == [(item, len(item)) if change == "columns" else (item,) for item in items]


def test_a_second_history_has_every_table_built_again():
    """What was folded is folded no more; the rows are those of the history that all fold."""
    copies = []
    for side in range(2):
        replica = direct("alice", seed=1)
        for item in ("milk", "eggs"):
            replica.execute(HOME, AddItem(item + str(side)), side * 10 + 1)
        replica.flush()
        copies.append(replica)
    carol = direct("carol")
    for replica in copies:
        carol.ingest(list(replica.all_slices()))
        carol.flush()
    carol.build()
    assert carol.core.memory.lineages[copies[0].core.me].forked
    assert tables(carol) == rebuilt(carol)
    assert len(carol.log.rows("added")) == 2


class Picky(Items):
    """Raises at bread."""

    table = "picky"
    views = {}

    def rows(self, present):
        if "bread" in present.items:
            raise RuntimeError("no bread here")
        return super().rows(present)


@in_loop
async def test_a_projection_that_raises_stops_alone_and_says_where(tmp_path):
    """The command is carried out, other tables go on, status names stream and event; mended, it is built again."""
    path = tmp_path / "a.db"
    async with Replica.open(
        path, store="shop", name="alice", aggregates=[ShoppingList], projections=[Picky, Items]
    ) as alice:
        for item in ("milk", "bread", "eggs"):
            await alice.execute(HOME, AddItem(item))
        assert [row[2] for row in await alice.rows("items")] == ["bread", "eggs", "milk"]
        assert [row[2] for row in await alice.rows("picky")] == ["milk"]
        stopped = {one.table: one for one in alice.status().projections}["picky"]
        assert (stopped.state, stopped.stream, stopped.dot) == ("stopped", HOME, "alice:3")
        assert "RuntimeError: no bread here" in stopped.why
        with pytest.raises(ProjectionStopped, match="picky stopped at list/home alice:3"):
            await alice.built()
        with pytest.raises(ProjectionStopped):
            await alice.rebuild("picky")
        await alice.execute(HOME, RemoveItem("bread"))
        await alice.rebuild("picky")
        assert [row[2] for row in await alice.rows("picky")] == ["eggs", "milk"]


@pytest.mark.parametrize("bad", [("a", "b"), (1,), ("\ud800",), (1 << 70,), ()])
def test_rows_that_do_not_fit_stop_their_projection(bad):
    """Too many values, the wrong type, what SQLite cannot hold: never an error of the command."""

    class Bad(Items):
        def rows(self, present):
            return [bad]

    replica = direct("alice", projections=(Bad, Added))
    replica.execute(HOME, AddItem("milk"), 1)
    replica.flush()
    assert replica.core.memory.standings["items"].state == "stopped"
    assert len(replica.log.rows("added")) == 1


@in_loop
async def test_a_table_that_was_dropped_by_somebody_stops_its_projection_and_is_built_again(tmp_path):
    """Commands go on being carried out; opening again brings the table back, with views and indexes."""
    path = tmp_path / "a.db"

    def opened():
        return Replica.open(path, store="shop", name="alice", aggregates=[ShoppingList], projections=[Added, Items])

    async with opened() as alice:
        await alice.execute(HOME, AddItem("milk"))
        with sqlite3.connect(path) as db:
            db.execute("DROP TABLE added")
        await alice.execute(HOME, AddItem("eggs"))
        assert {one.table: one.state for one in alice.status().projections} == {"added": "stopped", "items": "live"}
        assert len(await alice.rows("items")) == 2
    async with opened() as alice:
        await alice.built()
        assert len(await alice.rows("added")) == 2
        await alice.rebuild("items")
        await alice.rebuild("added")
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT * FROM additions ORDER BY item").fetchall() == [("eggs", 1), ("milk", 1)]
        assert db.execute("SELECT * FROM wanted ORDER BY item").fetchall() == [("eggs", 1), ("milk", 1)]
        assert db.execute("SELECT 1 FROM sqlite_master WHERE name = 'added_by_item'").fetchone()


@pytest.mark.parametrize(
    "change",
    [
        "DROP TABLE added",
        "DROP TABLE items",
        "DROP TABLE lines",
        "ALTER TABLE added RENAME TO elsewhere",
        "ALTER TABLE items RENAME COLUMN item TO thing",
        "ALTER TABLE items ADD COLUMN more",
        "ALTER TABLE added DROP COLUMN at",
        "DROP INDEX added_by_item",
        "DROP VIEW wanted",
        "DROP TABLE items; CREATE TABLE items(stream, n, item)",
        "DROP TABLE added; DROP TABLE items; DROP TABLE lines; DROP VIEW wanted; DROP VIEW additions",
    ],
)
@in_loop
async def test_a_table_that_was_changed_while_the_replica_was_closed_is_built_again(tmp_path, change):
    """It is never live and without the rows of the past. What stood in its columns, or beside it, comes back."""
    path = tmp_path / "a.db"

    def opened():
        return Replica.open(path, store="shop", name="alice", aggregates=[ShoppingList, Journal], projections=ALL)

    async with opened() as alice:
        for item in ("milk", "eggs", "tea"):
            await alice.execute(HOME, AddItem(item))
        await alice.execute(JOURNAL, TakeNote("a line"))
        before = [await alice.rows(one.table) for one in ALL]
    with sqlite3.connect(path) as db:
        db.executescript(change)
    db.close()
    async with opened() as alice:
        await alice.built()
        assert [await alice.rows(one.table) for one in ALL] == before
        assert await alice.verify()
    with sqlite3.connect(path) as db:
        names = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
        assert names >= {"additions", "wanted", "added_by_item"}
    db.close()


@in_loop
async def test_the_tables_are_read_by_other_programs_while_the_replica_runs(tmp_path):
    """Rows are there when the command returns, under the documented columns."""
    path = tmp_path / "a.db"
    async with Replica.open(
        path, store="shop", name="alice", aggregates=[ShoppingList, Journal], projections=ALL
    ) as alice:
        await alice.execute(HOME, AddItem("milk"))
        await alice.execute(JOURNAL, TakeNote("rain"))
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
            assert db.execute("SELECT stream, n, item FROM items").fetchall() == [(HOME, 0, "milk")]
            found = db.execute("SELECT stream, replica, seq, n, item FROM added").fetchall()
            assert found == [(HOME, f"{int(alice.status().replica):016x}", 2, 0, "milk")]
            assert db.execute("SELECT line, unseen FROM lines").fetchall() == [("rain", 0)]


@in_loop
async def test_a_projection_is_built_while_others_write(tmp_path):
    """Thousands of events and dozens of streams are in the log; writers and a peer go on meanwhile."""
    path = tmp_path / "a.db"
    async with Replica.open(path, store="shop", name="alice", aggregates=[ShoppingList]) as alice:
        for number in range(150):
            await alice.append(f"list/{number}", *(ItemAdded(f"{n}") for n in range(20)))
    async with (
        Replica.open(
            path, store="shop", name="alice", aggregates=[ShoppingList], projections=[Added, Items]
        ) as alice,
        Replica.open(store="shop", name="bob", aggregates=[ShoppingList]) as bob,
        linked(alice, bob),
    ):
        assert {one.state for one in alice.status().projections} == {"building"}
        for number in range(40):
            await alice.execute(f"list/{number}", AddItem("late"))
            await bob.execute(f"list/{number}", AddItem("from bob"))
        await alice.built()
        await alice.wait_for(bob.version)
        assert len(await alice.rows("added")) == 150 * 20 + 80
        assert len(await alice.rows("items")) == 150 * 20 + 80


class Broken(Event, frozen=True):
    pass


class Fragile(Ordered):
    """Folds no Broken."""

    stream = "fragile"
    events = (Noted, Broken)

    def initial(self):
        return 0

    def evolve(self, state, event, moment):
        if isinstance(event, Broken):
            raise ValueError("broken")
        return state + 1


class Tough(Fragile):
    """The same before it was careful."""

    def evolve(self, state, event, moment):
        return state + 1


def test_a_poisoned_stream_has_no_rows_as_in_a_rebuild():
    """It has no present; the rows of its other streams stay."""

    class Sizes(StreamRows):
        table = "items"
        columns = {"size": int}
        of = Fragile

        def rows(self, present):
            yield (present.state,)

    def opened(name, aggregate):
        projection = type("Sizes", (Sizes,), {"of": aggregate})
        return DirectReplica(
            MemoryLog(), "shop", name, (aggregate,), random=Random(name), projections=(projection,)
        )

    alice, bob = opened("alice", Tough), opened("bob", Fragile)
    for stream, event in (("fragile/a", Noted("x")), ("fragile/b", Noted("y")), ("fragile/a", Broken())):
        alice.append(stream, [event], 1)
        alice.flush()
        bob.ingest(list(alice.all_slices()))
        bob.flush()
    assert alice.log.rows("items") == [("fragile/a", 0, 2), ("fragile/b", 0, 1)]
    assert bob.log.rows("items") == [("fragile/b", 0, 1)]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"table": "log"}, "none of identity, log"),
        ({"table": "Items"}, "lower-case"),
        ({"columns": {}}, "needs `columns"),
        ({"columns": {"n": int}}, "stream, n are taken"),
        ({"columns": {"x": list}}, "a column holds str, int"),
        ({"of": None}, "needs `of"),
    ],
)
def test_a_projection_that_is_declared_wrongly_is_refused_in_words(body, words):
    """When its class is made, before any file is opened."""
    with pytest.raises(TypeError, match=words):
        type("Wrong", (StreamRows,), {"table": "wrong", "columns": {"x": int}, "of": ShoppingList, **body})


def test_projections_that_cannot_be_kept_together_are_refused():
    """Two for one table, or one of an aggregate that is not there."""
    with pytest.raises(TypeError, match="two projections fill the table 'items'"):
        direct("alice", projections=(Items, More))
    with pytest.raises(TypeError, match="not among the aggregates"):
        direct("alice", projections=(Lines,), aggregates=(ShoppingList,))


def test_events_that_lead_to_no_rows_cost_no_rows():
    """A counter moves; the table of additions does not."""
    replica = direct("alice")
    replica.execute(HOME, Count(3), 1)
    replica.flush()
    assert replica.log.rows("added") == []
    assert Counted not in Added.events
    assert [kept.key for kept in replica.log.kept(Span(KIND))] == ["added", "items", "lines"]


@in_loop
async def test_rows_of_a_table_that_no_projection_fills_are_refused():
    """The names of those that are there are said."""
    async with Replica.open(store="shop", name="alice", aggregates=[ShoppingList], projections=[Items]) as alice:
        with pytest.raises(ValueError, match="there are: items"):
            await alice.rows("added")
        await alice.execute(HOME, AddItem("milk"))
        await until(lambda: alice.status().projections[0].state == "live")
        assert await alice.rows("items") == [(HOME, 0, "milk")]
