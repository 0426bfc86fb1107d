"""Commands: carried out once under an id, refused where more has happened than was expected, read after written."""

from __future__ import annotations

import asyncio

import pytest

from replica import (
    Addressed,
    Closed,
    Command,
    Event,
    InvalidEvent,
    Ordered,
    Outdated,
    Refused,
    Replica,
    UnknownStream,
)
from sync import linked
from tests.loop import in_loop, until
from tests.shop import HOME, AddItem, AddTwice, Count, ItemAdded, ShoppingList


def opened(path=":memory:", name="alice"):
    return Replica.open(path, store="shop", name=name, aggregates=[ShoppingList])


@in_loop
async def test_a_command_id_is_carried_out_once_through_retries_and_reopening(tmp_path):
    """The same dots each time, and one commit in the log."""
    async with opened(tmp_path / "a.db") as alice:
        first = await alice.execute(HOME, AddTwice("egg"), command_id="order 17")
        again = await alice.execute(HOME, AddTwice("egg"), command_id="order 17")
        assert first == again
        assert [str(dot) for dot in first.dots] == ["alice:2", "alice:3"]
    async with opened(tmp_path / "a.db") as alice:
        assert await alice.execute(HOME, AddTwice("egg"), command_id="order 17") == first
        assert str(alice.version) == "alice:3"


@in_loop
async def test_retries_that_overtake_each_other_are_one_command(tmp_path):
    """Twenty at once, under five ids: five additions."""
    async with opened(tmp_path / "a.db") as alice:
        answers = await asyncio.gather(*(alice.execute(HOME, Count(1), command_id=f"{n % 5}") for n in range(20)))
        assert (await alice.present(HOME)).count.value == 5
        assert len({answer.dots for answer in answers}) == 5


@in_loop
async def test_a_refused_command_may_be_tried_again_under_its_id(tmp_path):
    """Nothing was carried out, so nothing is remembered."""
    async with opened(tmp_path / "a.db") as alice:
        with pytest.raises(Refused):
            await alice.execute(HOME, AddItem(""), command_id="x")
        await alice.execute(HOME, AddItem("milk"), command_id="x")
        assert set((await alice.present(HOME)).items) == {"milk"}


@in_loop
async def test_a_command_id_at_another_replica_is_a_second_decision():
    """It has not heard of it; both are in the log, each with the id."""
    async with opened(name="alice") as alice, opened(name="bob") as bob:
        for replica in (alice, bob):
            await replica.execute(HOME, Count(1), command_id="pay")
        async with linked(alice, bob):
            home = await alice.present(HOME, after=bob.version)
            assert home.count.value == 2


@in_loop
async def test_a_command_may_expect_that_nothing_newer_is_in_its_stream():
    """What others wrote there, here or elsewhere, refuses it in words; other streams do not matter."""
    async with opened(name="alice") as alice, opened(name="bob") as bob:
        await alice.execute(HOME, AddItem("milk"))
        seen = (await alice.present(HOME)).version
        await alice.execute("list/work", AddItem("paper"))
        await alice.execute(HOME, AddItem("eggs"), expect=seen)
        with pytest.raises(Outdated, match="alice:4"):
            await alice.execute(HOME, AddItem("bread"), expect=seen)
        seen = (await alice.present(HOME)).version
        async with linked(alice, bob):
            await bob.execute(HOME, AddItem("jam"))
            await alice.wait_for(bob.version)
            with pytest.raises(Outdated, match="bob:2"):
                await alice.execute(HOME, AddItem("bread"), expect=seen)
            await alice.execute(HOME, AddItem("bread"), expect=(await alice.present(HOME)).version)
    assert issubclass(Outdated, Refused)


@in_loop
async def test_what_is_expected_outlives_the_process(tmp_path):
    """The version of a stream is read from its log, not remembered."""
    async with opened(tmp_path / "a.db") as alice:
        await alice.execute(HOME, AddItem("milk"))
        seen = (await alice.present(HOME)).version
        await alice.execute(HOME, AddItem("eggs"))
    async with opened(tmp_path / "a.db") as alice:
        with pytest.raises(Outdated):
            await alice.execute(HOME, AddItem("bread"), expect=seen)


@in_loop
async def test_a_present_after_a_version_waits_for_it():
    """What was written at one replica is read at the other; a replica that closes first says so."""
    async with opened(name="alice") as alice, opened(name="bob") as bob:
        await alice.execute(HOME, AddItem("milk"))
        reading = asyncio.create_task(bob.present(HOME, after=alice.version))
        await asyncio.sleep(0.02)
        assert not reading.done()
        async with linked(alice, bob):
            assert "milk" in (await reading).items
        never = asyncio.create_task(bob.present(HOME, after=alice.version.advance(alice.status().replica, 99)))
        await until(lambda: not never.done())
    with pytest.raises(Closed):
        await never


class Told(Event, frozen=True):
    what: str


class Tell(Command, frozen=True):
    what: str
    also: str


class Diary(Ordered):
    """Lines; telling one diary may tell another as well."""

    stream = "diary"
    events = (Told,)

    def initial(self):
        return ()

    def decide(self, command, given):
        return [Told(command.what), Addressed(command.also, Told(command.what)), Told("done")]

    def evolve(self, state, event, moment):
        return (*state, (event.what, moment.dot.seq))


@in_loop
async def test_one_decision_can_put_facts_into_several_streams():
    """One commit, whose facts arrive together; each stream folds its own."""
    async with (
        Replica.open(store="shop", name="alice", aggregates=[Diary]) as alice,
        Replica.open(store="shop", name="bob", aggregates=[Diary]) as bob,
    ):
        committed = await alice.execute("diary/ann", Tell("rain", "diary/ben"))
        async with linked(alice, bob):
            await bob.wait_for(alice.version)
        for replica in (alice, bob):
            assert (await replica.present("diary/ann")).state == (("rain", 2), ("done", 4))
            assert (await replica.present("diary/ben")).state == (("rain", 3),)
        assert len(committed.dots) == 3


@in_loop
async def test_a_fact_for_a_stream_that_cannot_take_it_refuses_the_whole_decision():
    """No aggregate folds the stream, or its aggregate does not list the event: nothing is recorded."""
    async with Replica.open(store="shop", name="alice", aggregates=[Diary, ShoppingList]) as alice:
        with pytest.raises(UnknownStream, match="post/ben"):
            await alice.execute("diary/ann", Tell("rain", "post/ben"))
        with pytest.raises(InvalidEvent, match="ShoppingList, which folds list/home, does not list it"):
            await alice.execute("diary/ann", Tell("rain", HOME))
        with pytest.raises(InvalidEvent, match="Diary, which folds diary/ann, does not list it"):
            await alice.append("diary/ann", ItemAdded("milk"))
        assert str(alice.version) == ""


class Denied(Event, frozen=True):
    fact: tuple[int, int]


class Register(Ordered):
    stream = "register"
    events = (Told, Denied)

    def initial(self):
        return ()

    def evolve(self, state, event, moment):
        return (*state, event)


@in_loop
async def test_an_event_can_name_another_by_its_dot():
    """As it was returned, with the label of its replica, which is not recorded."""
    async with Replica.open(store="shop", name="alice", aggregates=[Register]) as alice:
        (dot,) = (await alice.append("register/1", Told("rain"))).dots
        await alice.append("register/1", Denied(dot), cause=dot)
        assert (await alice.present("register/1")).state[1] == Denied((int(dot.replica), 2))
