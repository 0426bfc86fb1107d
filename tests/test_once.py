"""Side effects and feeds through failed writes, ids that change, and code that is older than the log."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from replica import Command, Event, EventRows, Export, Feed, Ordered, Replica, reaction
from replica.backend import MemoryBackend
from replica.export import exporters
from replica.memory import MemoryLog
from replica.retry import Retry
from replica.unread import RUNS, TYPES, add, found
from tests.loop import in_loop, until


class Sold(Event, frozen=True):
    n: int


class Sell(Command, frozen=True):
    n: int
    also: int = 0


class Stock(Ordered):
    stream = "stock"
    events = (Sold,)

    def initial(self) -> int:
        return 0

    def decide(self, command, given):
        return [Sold(command.n)] + [Sold(command.also)] * bool(command.also)

    def evolve(self, state, event, moment):
        return state + 1


def mailing(done, broken=(), **options):
    @reaction(Sold, **{"name": "mail", "first": 0.001, "longest": 0.002, "tries": 3} | options)
    async def mail(entry, replica):
        if entry.event.n in broken:
            raise ConnectionError("away")
        done.append(entry.event.n)

    return mail


def opened(path=":memory:", *reactions, name="alice", aggregates=(Stock,), **options):
    return Replica.open(path, store="s", name=name, aggregates=aggregates, reactions=reactions, **options)


async def at_rest(replica):
    await until(lambda: not replica.status().reactions[0].behind)


# --- reactions ---


class Flaky(MemoryLog):
    """A log of which some writes fail."""

    def __init__(self):
        super().__init__()
        self.fails = 0

    def write(self, transaction):
        if self.fails:
            self.fails -= 1
            raise OSError("the disk is full")
        super().write(transaction)


ACTS = st.lists(st.sampled_from(["sell", "sell", "two", "full", "new id", "reopen", "yield", "break"]), max_size=14)


@settings(max_examples=15)
@given(ACTS)
def test_every_fact_has_its_effect_whatever_cannot_be_written_and_however_often_the_id_changes(acts):
    """Writes that fail between an effect and its cursor, ids given up, reopening: no fact is passed."""

    @in_loop
    async def play():
        flaky, done, broken, sold = Flaky(), [], set(), []
        left = [*acts]
        while left:
            async with opened(":memory:", mailing(done, broken), backend=MemoryBackend(flaky)) as alice:
                core, pump = alice.core, alice._pump
                while left and (act := left.pop()) != "reopen":
                    match act:
                        case "sell" | "two":
                            n = len(sold) + 1
                            also = n + 1 if act == "two" else 0
                            try:
                                await alice.execute("stock/x", Sell(n, also))
                            except Exception:
                                continue
                            sold += [n, also] if also else [n]
                        case "full":
                            flaky.fails = 2
                        case "new id":
                            try:
                                await pump.do(lambda: core.succeed(core.own_log()))
                            except Exception:
                                continue
                        case "break":
                            broken.symmetric_difference_update({len(sold) + 1})
                        case _:
                            await asyncio.sleep(0.002)
                flaky.fails = 0  # opening and closing write too
        flaky.fails = 0
        broken.clear()
        async with opened(":memory:", mailing(done, broken), backend=MemoryBackend(flaky)) as alice:
            await at_rest(alice)
            for one in alice.status().reactions[0].aside:
                if one.parked:
                    await alice.retry("mail", one.dot)
            await until(lambda: not alice.status().reactions[0].aside)
            assert not alice.status().reactions[0].former
        assert {*sold} <= {*done}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("replica.workers.AFTER_FAILURE", 0.001)
        patch.setattr("replica.outbox.AFTER_FAILURE", 0.001)
        play()


@in_loop
async def test_what_could_not_be_written_down_is_not_done_again_for_it(monkeypatch):
    """The effect has happened; the disk is full for a while. It happens once."""
    monkeypatch.setattr("replica.workers.AFTER_FAILURE", 0.01)
    flaky, done = Flaky(), []

    @reaction(Sold)
    async def mail(entry, replica):
        done.append(entry.event.n)
        flaky.fails = 3

    async with opened(":memory:", mail, backend=MemoryBackend(flaky)) as alice:
        await alice.execute("stock/x", Sell(1))
        await at_rest(alice)
    assert done == [1]


@in_loop
async def test_a_copy_reacts_to_nothing_that_the_original_recorded(tmp_path):
    """Neither to what waits, nor to what was set aside; it says so. What it records itself has its effect."""
    done, broken = [], {1, 2}
    async with opened(tmp_path / "a.db", mailing(done, broken, tries=1000, first=60.0)) as alice:
        for n in (1, 2):
            await alice.execute("stock/x", Sell(n))
        await until(lambda: len(alice.status().reactions[0].aside) == 2)
        await alice.doubt()
        shutil.copy(tmp_path / "a.db", tmp_path / "copy.db")
        shutil.copy(tmp_path / "a.db-wal", tmp_path / "copy.db-wal")
    async with opened(tmp_path / "copy.db", mailing(done), name="copy") as copy:
        await copy.execute("stock/x", Sell(3))
        await until(lambda: done)
        await at_rest(copy)
        assert not copy.status().reactions[0].aside
    assert done == [3]


@in_loop
async def test_a_file_that_was_not_closed_well_is_no_copy(tmp_path):
    """Written with durability "normal", not closed: it goes on under a new id, and owes what it had recorded."""
    done, hung = [], asyncio.Event()

    @reaction(Sold, name="mail")
    async def hang(entry, replica):
        await hung.wait()

    async with opened(tmp_path / "a.db", hang, durability="normal") as alice:
        await alice.execute("stock/x", Sell(1))
        old = alice.status().replica
    with sqlite3.connect(tmp_path / "a.db") as db:
        db.execute("UPDATE identity SET clean = 0")
    async with opened(tmp_path / "a.db", mailing(done)) as alice:
        assert alice.status().replica != old
        await until(lambda: done)
        await at_rest(alice)
    assert done == [1]


@in_loop
async def test_work_that_raises_what_is_no_exception_has_failed_like_any_other():
    """A reaction that cancels itself, or a library that panics, ends no worker: it is tried again."""
    done, raises = [], [asyncio.CancelledError(), type("Panic", (BaseException,), {})(), ValueError()]

    @reaction(Sold, first=0.001)
    async def mail(entry, replica):
        if raises:
            raise raises.pop(0)
        done.append(entry.event.n)

    fed, troubles = [], [asyncio.CancelledError()]

    async def deliver(entries):
        if troubles:
            raise troubles.pop()
        fed.extend(entries)

    async with opened(":memory:", mail, feeds=[Feed("f", deliver, first=0.001)]) as alice:
        await alice.execute("stock/x", Sell(1))
        await until(lambda: done == [1] and len(fed) == 1)


# --- what code cannot read ---


def placed(schema):
    """An event before and after its upgrade, and an aggregate that lists it."""
    if schema == 1:

        class Placed(Event, frozen=True):
            mail: str
    else:

        class Placed(Event, frozen=True):
            email: str
            schema = 2
            upcasters = {1: lambda old: {"email": old["mail"]}}

    class Order(Ordered):
        stream = "order"
        events = (Placed, Sold)

        def initial(self):
            return ()

        def evolve(self, state, event, moment):
            return (*state, event)

    return Placed, Order


@in_loop
async def test_a_feed_delivers_what_its_code_has_learnt_and_holds_back_nothing_else(tmp_path):
    """Old code passes what it cannot read, says so once, and counts it; new code delivers it first, once."""
    old, new = placed(1), placed(2)
    got = []

    async def deliver(entries):
        got.extend(entry.stream for entry in entries)

    def shop(kinds):
        feeds = [Feed("all", deliver, categories=["order"]), Feed("sold", deliver, types=[Sold])]
        return opened(tmp_path / "b.db", name="bob", aggregates=[kinds[1]], feeds=feeds)

    async with opened(tmp_path / "a.db", aggregates=[new[1]]) as alice, shop(old) as bob:
        for n in range(3):
            await alice.append(f"order/{n}", *([Sold(n)] if n == 1 else [new[0]("x"), new[0]("y")]))
        await bob.join(alice)
        await until(lambda: not any(feed.behind for feed in bob.status().feeds))
        assert got == ["order/1", "order/1"]
        assert [(one.what, one.events) for one in bob.status().feeds[0].unread] == [("Placed 2", 4)]
    async with shop(old) as bob:
        await until(lambda: not any(feed.behind for feed in bob.status().feeds))
        assert bob.status().feeds[0].unread[0].events == 4
    del got[:]
    for _ in range(2):
        async with shop(new) as bob:
            await until(lambda: not any(feed.unread for feed in bob.status().feeds))
        assert got == ["order/0", "order/0", "order/2", "order/2"]


@in_loop
async def test_a_reaction_makes_up_for_what_older_code_could_not_read(tmp_path):
    """New code recorded it, old code was put back for a while, and passed it."""
    old, new = placed(1), placed(2)
    done = []

    def react(kinds):
        @reaction(kinds[0], Sold, name="mail")
        async def mail(entry, replica):
            done.append(str(entry.dot))

        return mail

    async def hang(entry, replica):
        await asyncio.Event().wait()

    hanging = reaction(new[0], name="mail")(hang)
    async with opened(tmp_path / "a.db", hanging, aggregates=[new[1]]) as alice:
        await alice.append("order/1", new[0]("x"), Sold(1), new[0]("y"))
    async with opened(tmp_path / "a.db", react(old), aggregates=[old[1]]) as alice:
        await alice.append("order/1", Sold(2))
        await at_rest(alice)
        assert alice.status().reactions[0].unread[0].events == 2
        assert done == ["alice:3", "alice:5"]
    async with opened(tmp_path / "a.db", react(new), aggregates=[new[1]]) as alice:
        await until(lambda: not alice.status().reactions[0].unread)
    assert done == ["alice:3", "alice:5", "alice:2", "alice:4"]


def test_what_is_set_aside_is_bounded_whatever_is_heard():
    """A stranger sends a thousand types, and every second event of one: runs and types are put together."""
    here = found(())
    for seq in range(1, 4 * RUNS, 2):
        add(here, 1, seq, type("Made", (), {"type": "A", "schema": 1}))
    assert len(here["A", 1, 1].runs) == RUNS
    assert here["A", 1, 1].events == 2 * RUNS
    for number in range(2 * TYPES):
        add(here, 1, 4 * RUNS + number, type("Made", (), {"type": f"{number}", "schema": 1}))
    assert len(here) == TYPES + 1
    assert sum(one.events for one in here.values()) == 2 * RUNS + 2 * TYPES


# --- feeds ---


@in_loop
async def test_a_feed_may_begin_now_and_be_given_the_replica(tmp_path):
    """Not with the log's beginning, once it is new; after that it goes on where it was."""
    got = []

    async def deliver(entries, replica):
        got.extend((entry.event.n, replica.name) for entry in entries)

    async def plain(entries, times=1):
        got.extend(entry.event.n * times for entry in entries)

    feeds = [Feed("new", deliver, start="now")]
    async with opened(tmp_path / "a.db") as alice:
        await alice.execute("stock/x", Sell(1))
    async with opened(tmp_path / "a.db", feeds=feeds):
        pass
    async with opened(tmp_path / "a.db") as alice:
        await alice.execute("stock/x", Sell(2))
    async with opened(tmp_path / "a.db", feeds=feeds) as alice:
        await alice.execute("stock/x", Sell(3))
        await until(lambda: len(got) == 2)
    assert got == [(2, "alice"), (3, "alice")]
    async with opened(tmp_path / "a.db", feeds=[Feed("plain", plain)]) as alice:
        await until(lambda: got[2:] == [1, 2, 3])
    with pytest.raises(ValueError, match='"beginning" or "now"'):
        async with opened(feeds=[Feed("x", deliver, start="later")]):
            pass


@in_loop
async def test_a_person_has_a_feed_go_on_where_it_is_stuck(tmp_path, caplog):
    """One event poisons the receiver: it is found among many, named once in the log, tried at once, or dropped."""
    got, broken = [], {4, 5}

    async def deliver(entries):
        if broken & {entry.event.n for entry in entries}:
            raise ValueError("cannot take it")
        got.extend(entry.event.n for entry in entries)

    def feed():
        return Feed("out", deliver, first=0.001, longest=0.005)

    async with opened(tmp_path / "a.db") as alice:
        await asyncio.gather(*(alice.execute("stock/x", Sell(n, n + 1)) for n in range(1, 9, 2)))
    async with opened(tmp_path / "a.db", feeds=[feed()]) as alice:
        await until(lambda: alice.status().feeds[0].failures > 2 and got == [1, 2, 3])
        (status,) = alice.status().feeds
        assert 'retry("out", "alice:5")' in caplog.text
        with pytest.raises(ValueError, match="nothing of 'out' is parked or stuck at alice:6"):
            await alice.drop("out", "alice:6")
        await alice.drop("out", status.dot)
        await until(lambda: str(alice.status().feeds[0].dot) == "alice:6")
    async with opened(tmp_path / "a.db", feeds=[feed()]) as alice:
        await until(lambda: str(alice.status().feeds[0].dot) == "alice:6")
        broken.clear()
        await alice.retry("out", "alice:6")
        await until(lambda: not alice.status().feeds[0].behind)
    assert got == [1, 2, 3, 5, 6, 7, 8]


@in_loop
async def test_the_two_verbs_take_what_is_parked_by_its_name_alone():
    """Nothing may be called like the commands that are due; what is not parked is a ValueError."""
    with pytest.raises(TypeError, match='not "due"'):
        mailing([], name="due")
    with pytest.raises(TypeError, match='not "due"'):
        async with opened(feeds=[Feed("due", opened)]):
            pass
    with pytest.raises(TypeError, match='not "due"'):
        exporters(None, None, None, [Export("due", None, [])])
    async with opened() as alice:
        for verb in (alice.retry, alice.drop):
            with pytest.raises(ValueError, match="no command 'x' is parked here"):
                await verb("due", "x")
            with pytest.raises(ValueError, match="nothing of 'mail'"):
                await verb("mail", "alice:3")


@in_loop
async def test_a_table_of_events_that_nobody_lists_is_an_error_and_not_a_table_with_holes():
    """Opened without the aggregate its rows would be missing for good, and the table be "live"."""

    class Sales(EventRows):
        table = "sales"
        columns = {"sold": int}
        events = (Sold,)

        def rows(self, entry):
            yield (entry.event.n,)

    with pytest.raises(TypeError, match="makes rows of Sold, which no aggregate of this replica lists"):
        async with opened(aggregates=[], projections=[Sales]):
            pass
    with pytest.raises(TypeError, match="makes rows of Sold"):
        async with opened(aggregates=[], exports=[Export("out", None, [Sales])]):
            pass


@in_loop
async def test_a_policy_gives_up_after_so_many_failures_and_waits_first_where_there_were_some():
    """`tries` counts those from before; None never gives up."""
    heard, slept = [], []

    async def failed(words):
        heard.append(words)

    async def sleep(seconds):
        slept.append(seconds)

    async def attempt():
        if len(heard) < 5:
            raise ValueError(len(heard))

    assert not await Retry(3, 1.0, 9.0).persist(attempt, failed, sleep=sleep)
    assert (heard, len(slept)) == (["ValueError: 0", "ValueError: 1", "ValueError: 2"], 2)
    assert not await Retry(3, 1.0, 9.0).persist(attempt, failed, failures=2, sleep=sleep)
    assert (len(heard), len(slept)) == (4, 3)
    assert await Retry(None, 1.0, 9.0).persist(attempt, failed, sleep=sleep)
    assert (len(heard), len(slept)) == (5, 4)
