"""Reactions and feeds: at least once, after the fact is durable, and never when it is only read again."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from replica import Feed, Replica, reaction
from sync import linked
from tests.loop import in_loop, until
from tests.shop import HOME, AddItem, AddTwice, Count, Counted, ItemAdded, ShoppingList, direct

ROOT = Path(__file__).parent.parent


class Effects:
    """What has happened outside, and whether it works just now."""

    def __init__(self):
        self.done, self.broken = [], set()

    def reaction(self, name="mail", tries=3, types=(ItemAdded,)):
        @reaction(*types, name=name, tries=tries, first=0.005, longest=0.02)
        async def react(entry, replica):
            item = getattr(entry.event, "item", "")
            if item in self.broken:
                raise ConnectionError(f"no post for {item}")
            self.done.append((name, str(entry.dot), item))

        return react


def opened(path, *reactions, name="alice", **options):
    return Replica.open(path, store="shop", name=name, aggregates=[ShoppingList], reactions=reactions, **options)


@in_loop
async def test_a_reaction_follows_each_fact_of_this_replica_once_and_in_order(tmp_path):
    """Not those that a peer recorded, not those from before it existed, not what is read again."""
    effects = Effects()
    async with opened(tmp_path / "a.db") as alice:
        await alice.execute(HOME, AddItem("before"))
    async with opened(tmp_path / "a.db", effects.reaction()) as alice, opened(":memory:", name="bob") as bob:
        await bob.execute(HOME, AddItem("of bob"))
        async with linked(alice, bob):
            await alice.wait_for(bob.version)
        await alice.execute(HOME, AddTwice("egg"))
        await alice.execute(HOME, Count(1))
        await alice.execute(HOME, AddItem("milk"))
        await until(lambda: len(effects.done) == 3)
    async with opened(tmp_path / "a.db", effects.reaction()) as alice:
        await alice.present(HOME)
        await alice.digest(HOME)
        await asyncio.sleep(0.05)
        assert alice.status().reactions[0].behind <= 1
    assert effects.done == [("mail", "alice:3", "egg"), ("mail", "alice:4", "egg'"), ("mail", "alice:6", "milk")]


@in_loop
async def test_what_was_recorded_while_a_reaction_was_not_listed_is_made_up_for(tmp_path):
    """Its cursor stays beside the log."""
    effects = Effects()
    async with opened(tmp_path / "a.db", effects.reaction()) as alice:
        await alice.execute(HOME, AddItem("milk"))
        await until(lambda: effects.done)
    async with opened(tmp_path / "a.db") as alice:
        await alice.execute(HOME, AddItem("eggs"))
        assert not alice.status().reactions[0].listed
    async with opened(tmp_path / "a.db", effects.reaction()):
        await until(lambda: len(effects.done) == 2)
    assert [item for _, _, item in effects.done] == ["milk", "eggs"]


@in_loop
async def test_one_that_fails_is_set_aside_tried_again_and_parked(tmp_path):
    """The next one goes on; status says what failed and why; a person has it retried or drops it."""
    effects = Effects()
    effects.broken = {"milk", "tea"}
    async with opened(tmp_path / "a.db", effects.reaction()) as alice:
        for item in ("milk", "eggs", "tea"):
            await alice.execute(HOME, AddItem(item))
        await until(lambda: [one.parked for one in alice.status().reactions[0].aside] == [True, True])
        assert [item for _, _, item in effects.done] == ["eggs"]
        milk, tea = alice.status().reactions[0].aside
        assert (str(milk.dot), milk.stream, milk.type, milk.failures) == ("alice:2", HOME, "ItemAdded", 3)
        assert milk.error == "ConnectionError: no post for milk"
        with pytest.raises(ValueError, match="nothing of 'mail' is parked or stuck at alice:3"):
            await alice.retry("mail", "alice:3")
    async with opened(tmp_path / "a.db", effects.reaction()) as alice:
        await asyncio.sleep(0.05)
        assert len(effects.done) == 1
        effects.broken = set()
        await alice.retry("mail", str(milk.dot))
        await alice.drop("mail", str(tea.dot))
        await until(lambda: not alice.status().reactions[0].aside)
    assert [item for _, _, item in effects.done] == ["eggs", "milk"]
    async with opened(tmp_path / "a.db", effects.reaction()) as alice:
        await asyncio.sleep(0.05)
        assert alice.status().reactions[0].aside == ()
    assert len(effects.done) == 2


@in_loop
async def test_what_was_set_aside_is_tried_again_after_reopening(tmp_path):
    """It was not parked yet; it succeeds later, once."""
    effects = Effects()
    effects.broken = {"milk"}
    async with opened(tmp_path / "a.db", effects.reaction(tries=1000)) as alice:
        await alice.execute(HOME, AddItem("milk"))
        await until(lambda: alice.status().reactions[0].aside)
    effects.broken = set()
    async with opened(tmp_path / "a.db", effects.reaction(tries=1000)) as alice:
        await until(lambda: not alice.status().reactions[0].aside)
    assert effects.done == [("mail", "alice:2", "milk")]


@in_loop
async def test_a_failing_reaction_holds_up_neither_others_nor_commands(tmp_path):
    """Two reactions to one type; one of them never works."""
    effects = Effects()

    @reaction(ItemAdded, name="never", tries=2, first=0.001)
    async def never(entry, replica):
        raise RuntimeError("no")

    @reaction(ItemAdded, name="still trying", tries=1000, first=60)
    async def trying(entry, replica):
        raise RuntimeError("not yet")

    async with opened(tmp_path / "a.db", never, trying, effects.reaction()) as alice:
        for number in range(100):
            await alice.execute(HOME, AddItem(f"{number}"))
        await until(lambda: len(effects.done) == 100)
        await until(lambda: sum(one.parked for one in alice.status().reactions[0].aside) == 100)


@in_loop
async def test_a_reaction_can_lead_to_a_command_once(tmp_path):
    """With the dot in its id, so that running twice is deciding once; its cause is the event."""

    @reaction(ItemAdded)
    async def count(entry, replica):
        for _ in range(2):
            await replica.execute(HOME, Count(1), command_id=f"count {entry.dot}", cause=entry.dot)

    async with opened(tmp_path / "a.db", count) as alice:
        await alice.execute(HOME, AddTwice("egg"))
        async for _ in alice.changes(HOME):
            if (await alice.present(HOME)).count.value == 2:
                break
        assert str(alice.version) == "alice:5"


@in_loop
async def test_a_reaction_that_hangs_does_not_keep_the_replica_open(tmp_path):
    """Closing cancels it; it counts as not run, and runs when the replica is opened again."""
    begun = []

    @reaction(ItemAdded, name="mail")
    async def hang(entry, replica):
        begun.append(entry)
        await asyncio.sleep(3600)

    async with opened(tmp_path / "a.db", hang) as alice:
        await alice.execute(HOME, AddItem("milk"))
        await until(lambda: begun)
    effects = Effects()
    async with opened(tmp_path / "a.db", effects.reaction()) as alice:
        await until(lambda: effects.done)
        assert alice.status().reactions[0].aside == ()


@in_loop
async def test_what_was_reacted_to_within_a_commit_is_not_reacted_to_again(tmp_path):
    """Closed between the two events of one commit: after opening only the second one is left."""
    effects, second = Effects(), []

    @reaction(ItemAdded, name="mail")
    async def slow(entry, replica):
        if entry.event.item == "egg'":
            second.append(entry)
            await asyncio.sleep(3600)
        effects.done.append(entry.event.item)

    async with opened(tmp_path / "a.db", slow) as alice:
        await alice.execute(HOME, AddTwice("egg"))
        await until(lambda: second)
    async with opened(tmp_path / "a.db", effects.reaction()):
        await until(lambda: len(effects.done) > 1)
        await asyncio.sleep(0.05)
    assert effects.done == ["egg", ("mail", "alice:3", "egg'")]


@in_loop
async def test_reactions_are_checked_when_the_replica_is_opened():
    """Two of one name; a type that no aggregate lists; no type at all."""
    effects = Effects()
    with pytest.raises(TypeError, match="two reactions have one name"):
        async with opened(":memory:", effects.reaction(), effects.reaction()):
            pass
    with pytest.raises(ValueError, match="nothing would come"):
        async with Replica.open(store="shop", name="a", aggregates=[], reactions=[effects.reaction()]):
            pass
    with pytest.raises(TypeError, match="at least one type"):
        reaction()
    with pytest.raises(TypeError, match="async def"):
        reaction(ItemAdded)(lambda entry, replica: None)
    with pytest.raises(TypeError, match="async def"):
        async with opened(":memory:", feeds=[Feed("x", print)]):
            pass


@in_loop
async def test_a_feed_hands_over_all_events_of_all_replicas_in_order_and_goes_on_where_it_was(tmp_path):
    """From the beginning of the log, through failures, closing and opening; each at least once, here just once."""
    got, broken = [], [True]

    async def deliver(entries):
        if broken and len(got) >= 3:
            raise ConnectionError("no line")
        got.extend(entries)

    def feed():
        return Feed("warehouse", deliver, types=[ItemAdded], first=0.005, longest=0.02)

    lost = direct("bob")
    lost.execute(HOME, AddItem("of bob"), 1)
    lost.flush()
    async with opened(tmp_path / "a.db", feeds=[feed()]) as alice:
        await alice.ingest(list(lost.all_slices()))
        for number in range(5):
            await alice.execute(HOME, AddItem(f"{number}"))
            await until(lambda: alice.status().feeds[0].behind == 0 or alice.status().feeds[0].failures)
        await until(lambda: alice.status().feeds[0].failures > 2)
        (status,) = alice.status().feeds
        assert status.error == "ConnectionError: no line"
        assert status.dot == got[-1].dot._replace(seq=got[-1].dot.seq + 1)
    broken.clear()
    async with opened(tmp_path / "a.db", feeds=[feed()]) as alice:
        await until(lambda: alice.status().feeds[0].behind == 0)
        await alice.execute(HOME, Count(1))
        await alice.execute(HOME, AddItem("last"))
        await until(lambda: alice.status().feeds[0].behind == 0)
    assert [one.event.item for one in got] == ["of bob", "0", "1", "2", "3", "4", "last"]
    assert all(isinstance(one.event, ItemAdded) for one in got)
    assert Counted not in {type(one.event) for one in got}


ROUNDS = 10


def test_killed_at_any_moment_each_fact_has_its_effect_and_is_fed(tmp_path):
    """Ten times; then every event has its line at least once, and by its dot exactly once."""
    seed = time.time_ns()
    random = Random(seed)
    path, effects, fed = tmp_path / "a.db", tmp_path / "effects", tmp_path / "fed"
    command = [sys.executable, "-m", "tests.reacting", path, effects, fed]
    for _ in range(ROUNDS):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        process.stdout.readline()
        time.sleep(random.random() * 0.15)
        process.kill()
        process.wait()
        process.stdout.close()
    done = subprocess.run([*command, "finish"], cwd=ROOT, timeout=60, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    dots = done.stdout.split()
    assert len(dots) > ROUNDS
    for file in (effects, fed):
        lines = file.read_text().split()
        assert set(lines) == set(dots), f"{file.name}, seed {seed}"
        assert len(lines) < len(dots) + ROUNDS * 300
