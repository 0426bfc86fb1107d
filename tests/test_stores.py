"""Stores that become one: no common root, an explicit word, and everybody who hears of it holds both."""

from __future__ import annotations

import sqlite3
from random import Random

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings

from replica import Refused, Replica, WrongStore
from replica.commit import Recorded
from replica.direct import DirectReplica
from replica.errors import InvalidBatch
from replica.introduction import stream_of
from replica.memory import MemoryLog
from replica.readonly import ReadOnly
from replica.recording import introduce, record
from sync import connect, linked, serve
from sync.message import Hello, decode
from sync.testing.network import Network
from tests.histories import STREAMS
from tests.loop import in_loop, until
from tests.shop import HOME, JOURNAL, AddItem, GiveTitle, Journal, RemoveItem, ShoppingList, TakeNote

AGGREGATES = [ShoppingList, Journal]


def direct(store, name, log=None):
    return DirectReplica(log or MemoryLog(), store, name, AGGREGATES, random=Random(f"{store}/{name}"))


def opened(path, store, name):
    return Replica.open(path, store=store, name=name, aggregates=AGGREGATES)


class Stores(Network):
    """A network in which not all replicas are of one store at first."""

    def __init__(self, stores, links):
        super().__init__("".join(stores), links, lambda name, _, log: direct(stores[name], name, log))

    def agree(self, names):
        nodes = [self.nodes[name].replica for name in names]
        first = nodes[0]
        for other in nodes[1:]:
            assert other.heads == first.heads
            assert [other.digest(stream) for stream in STREAMS] == [first.digest(stream) for stream in STREAMS]


WRITES = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(["milk", "eggs", "-milk", "note"])), max_size=12
)


def write(network, writes):
    for name, word in writes:
        replica, now = network.nodes[name].replica, network.clocks[name]
        network.clocks[name] += 3
        if word == "note":
            replica.execute(JOURNAL, TakeNote(word), now)
        elif word[0] != "-":
            replica.execute(HOME, AddItem(word), now)
        elif "milk" in replica.present(HOME).items:
            replica.execute(HOME, RemoveItem("milk"), now)
        replica.flush()


@settings(max_examples=40, deadline=None)
@given(WRITES, WRITES, st.sampled_from(["early", "late"]), st.sampled_from(["bc", "ad", "bd"]))
def test_two_stores_become_one_for_everybody(before, after, when, bridge):
    """a and b are of the shop, c and d of the garden; b joins the garden, and any link between the two will do."""
    network = Stores({"a": "shop", "b": "shop", "c": "garden", "d": "garden"}, ["ab", "cd", bridge])
    if when == "early":
        network.heal("ab")
        network.run()
    write(network, before)
    network.heal("ab")
    network.heal("cd")
    network.run()
    b = network.nodes["b"].replica
    b.core.become_one(["garden"], network.clocks["b"])
    b.flush()
    network.run()
    assert b.core.memory.stores == {"shop", "garden"}
    write(network, after)
    network.settle()
    assert network.faults() == []
    network.agree("abcd")
    for node in network.nodes.values():
        again = direct(node.replica.core.store, "again", node.replica.log)
        assert again.core.memory.stores == {"shop", "garden"}
        assert again.heads == node.replica.heads
        assert list(again.all_slices()) == list(node.replica.all_slices())


@settings(max_examples=60, deadline=None)
@given(WRITES, st.lists(st.sampled_from(["", "", "lose", "double", "tick"]), max_size=80))
def test_frames_that_are_lost_or_doubled_end_nothing_while_stores_become_one(writes, fates):
    """Over links that were up before the word was said: nobody sends what the other would have to refuse."""
    network = Stores({"a": "shop", "b": "shop", "c": "garden", "d": "garden"}, ["ab", "cd", "bc"])
    write(network, writes)
    network.heal("ab")
    network.heal("cd")
    network.run()
    network.nodes["b"].replica.core.become_one(["garden"], network.clocks["b"])
    network.nodes["b"].replica.flush()
    network.heal("bc")
    for fate in fates:
        waiting = [(link, name) for link in sorted(network.up) for name in link if network.wire(link, name)]
        for link, name in waiting:
            if fate == "lose":
                network.wire(link, name).popleft()
            else:
                network.deliver(link, name, keep=fate == "double")
        if fate == "tick":
            network.tick()
    network.settle()
    assert network.faults() == []
    network.agree("abcd")


def test_stores_that_nobody_has_joined_stay_apart():
    """Neither takes the other's logs, from a peer or in a batch; the error names both."""
    network = Stores({"a": "shop", "c": "garden"}, ["ac"])
    write(network, [("a", "milk"), ("c", "eggs")])
    network.settle(ticks=1)
    assert "the peer holds the store 'garden', and this is 'shop'" in " ".join(map(str, network.faults()))
    a, c = network.nodes["a"].replica, network.nodes["c"].replica
    with pytest.raises(InvalidBatch, match="the log of c belongs to the store 'garden', not to 'shop'"):
        a.ingest(list(c.all_slices()))


def test_replicas_of_one_store_that_have_joined_different_ones_hold_all_of_them():
    """Else one word about stores, said to some of a store and not to others, would part them for good."""
    network = Stores({"a": "shop", "b": "shop"}, ["ab"])
    a, b = network.nodes["a"].replica, network.nodes["b"].replica
    for replica, store in ((a, "garden"), (b, "pond")):
        replica.core.become_one([store], 1000)
        replica.flush()
    network.settle()
    assert network.faults() == []
    assert a.core.memory.stores == b.core.memory.stores == {"shop", "garden", "pond"}
    network.agree("ab")


def test_two_whose_own_stores_neither_of_them_has_joined_do_not_talk():
    """{shop, pond} and {garden, pond}: that somebody has joined the pond does not make one of shop and garden."""
    network = Stores({"a": "shop", "c": "garden"}, ["ac"])
    for name in "ac":
        network.nodes[name].replica.core.become_one(["pond"], 1000)
        network.nodes[name].replica.flush()
    network.settle(ticks=1)
    assert "the peer holds the store 'garden' and 'pond'" in " ".join(map(str, network.faults()))


@pytest.mark.parametrize("count", [70, 1024, 2500])
def test_however_many_stores_have_become_one_replicas_talk_on(count):
    """No Hello can be outgrown: it names as many as fit, and others follow. At rest none of them is said again."""
    network = Stores({"a": "shop", "b": "shop", "c": "shop"}, ["ab", "bc"])
    a = network.nodes["a"].replica
    network.heal("ab")
    network.run()
    names = [f"a store of whom nobody here has heard {number}" for number in range(count)]
    for at in range(0, count, 64):
        a.core.become_one(names[at : at + 64], 1000 + at)
        a.flush()
    network.run()
    write(network, [("a", "milk"), ("b", "eggs"), ("c", "note")])
    network.settle()
    assert network.faults() == []
    network.agree("abc")
    assert network.nodes["c"].replica.core.memory.stores == {"shop", *names}
    network.tick()
    said = [decode(frame) for node in network.nodes.values() for wire in node.outgoing.values() for frame in wire]
    assert not [message for message in said if isinstance(message, Hello)]


def test_a_word_about_more_stores_than_one_may_join_is_not_heard():
    """Nor one with a name that no Hello has room for. All judge alike; the rest of its log is taken."""
    shop = direct("shop", "a")
    for number, stores in enumerate(([f"store {n}" for n in range(65)], ["n" * 257])):
        payload = msgspec.msgpack.encode({"stores": stores})
        with pytest.raises(Refused, match="at most 64 stores are joined at once, with names of at most 256"):
            shop.core.become_one(stores, 1000)
        shop._step(lambda: introduce(shop.core, 1000))
        word = Recorded(stream_of(shop.core.me), "StoresJoined", 1, payload)
        record(shop.core, (word,), shop.core.now.stamp._replace(wall=2000 + number), None)
        shop.flush()
    other = direct("shop", "b")
    other.ingest(list(shop.all_slices()))
    other.flush()
    assert other.core.memory.version == shop.core.memory.version
    assert shop.core.memory.stores == other.core.memory.stores == {"shop"}


def test_nothing_that_was_said_of_stores_is_dropped():
    """One word joins a few; there may be any number of words, and what others have said is held, all of it."""
    shop = direct("shop", "a")
    shop.core.become_one([f"store {number}" for number in range(64)], 1000)
    shop.flush()
    other = direct("shop", "b")
    other.core.become_one(["another"], 1000)
    other.flush()
    shop.ingest(list(other.all_slices()))
    shop.flush()
    assert len(shop.core.memory.stores) == 66


@in_loop
async def test_stores_are_joined_from_files_by_an_explicit_word(tmp_path):
    """Refused without it; with it a fact, a present of both, the same on all sides, through closing and opening."""
    async with opened(tmp_path / "alice.db", "shop", "alice") as alice:
        await alice.execute(HOME, AddItem("milk"))
        await alice.execute(HOME, GiveTitle("Shop"))
        async with opened(tmp_path / "rose.db", "garden", "rose") as rose:
            for number in range(30):
                await rose.execute(HOME, AddItem(f"spade {number % 3}"))
            await rose.execute(HOME, GiveTitle("Garden"))
        with pytest.raises(WrongStore, match="`become_one=True` makes one of the two"):
            await alice.join(tmp_path / "rose.db")
        assert len(alice.version) == 1
        joined = await alice.join(tmp_path / "rose.db", become_one=True)
        assert (joined.stores, joined.events, joined.met) == (("garden",), 32, (HOME,))
        assert "one store from now on with garden" in str(joined)
        assert [one.path for one in joined.conflicts] == [("title",)]
        assert (await alice.present(HOME)).items == {"milk", "spade 0", "spade 1", "spade 2"}
        assert (await alice.join(tmp_path / "rose.db")).events == 0
        assert await alice.verify()
        await alice.fork(tmp_path / "fork.db")
    async with opened(tmp_path / "alice.db", "shop", "alice") as alice:
        await alice.execute(HOME, AddItem("tea"))
        async with opened(tmp_path / "rose.db", "garden", "rose") as rose:
            await rose.join(alice)  # the word was said: no second one is needed
            await rose.execute(HOME, AddItem("soil"))
            await alice.join(rose)
            for stream in STREAMS:
                assert await rose.digest(stream) == await alice.digest(stream)
        async with opened(tmp_path / "fork.db", "shop", "fork") as fork:
            assert fork.core.memory.stores == {"shop", "garden"}
            assert await fork.verify()
            await fork.join(alice)
            assert await fork.digest(HOME) == await alice.digest(HOME)
    async with ReadOnly.open(tmp_path / "alice.db", aggregates=AGGREGATES) as past:
        assert past.store == "shop"
        assert await past.verify()
        told = [record.type async for decision in past.commits() for record in decision]
        assert told.count("StoresJoined") == 1


@in_loop
async def test_a_live_peer_hears_that_stores_were_joined(tmp_path):
    """Over an open link, and over a new one between the two sides, with websockets."""
    async with (
        opened(tmp_path / "alice.db", "shop", "alice") as alice,
        opened(tmp_path / "bob.db", "shop", "bob") as bob,
        opened(tmp_path / "rose.db", "garden", "rose") as rose,
        serve(rose) as server,
    ):
        await alice.execute(HOME, AddItem("milk"))
        await rose.execute(HOME, AddItem("spade"))
        async with linked(alice, bob):
            await bob.wait_for(alice.version)
            await alice.join(rose, become_one=True)
            await until(lambda: bob.version == alice.version)
            assert (await bob.present(HOME)).items == {"milk", "spade"}
        async with connect(bob, server.url):
            await until(lambda: rose.version == bob.version)
            await rose.execute(HOME, AddItem("soil"))
            await until(lambda: rose.version == bob.version)
        assert await rose.digest(HOME) == await bob.digest(HOME)


@in_loop
async def test_a_file_from_before_there_were_stores_can_be_opened(tmp_path):
    """Its logs are of its own store."""
    async with opened(tmp_path / "alice.db", "shop", "alice") as alice:
        await alice.execute(HOME, AddItem("milk"))
        before = alice.version
    with sqlite3.connect(tmp_path / "alice.db") as db:
        db.execute("ALTER TABLE log DROP COLUMN store")
        db.execute("PRAGMA user_version=0")
    db.close()
    async with opened(tmp_path / "alice.db", "shop", "alice") as alice:
        assert alice.version == before
        assert (await alice.present(HOME)).items == {"milk"}
        assert await alice.verify()
