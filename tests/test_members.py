"""Certainty: what every live member is known to have observed, and what follows from that."""

from __future__ import annotations

from random import Random

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings

from merge.version import VersionVector
from replica import Due, Refused, Replica
from replica.arrange import Gap
from replica.commit import Recorded
from replica.direct import DirectReplica
from replica.introduction import stream_of
from replica.recording import introduce, record
from sync import connect, linked, serve
from sync.errors import RemoteProtocolError
from sync.message import Digest, Known, decode, encode
from sync.protocol import Learn, Send
from sync.testing.network import NOW, Network
from tests.loop import in_loop, until
from tests.shop import HOME, JOURNAL, AddItem, ItemAdded, Journal, ShoppingList, TakeNote, direct
from tests.test_due import Ask, Questions

LINE = ["ab", "bc", "cd"]


def network(names="abcd", links=LINE):
    made = Network(names, links, direct)
    for name in names:
        made.nodes[name].replica.execute(HOME, AddItem(name), NOW)
    made.settle()
    return made


def meet(here, there):
    here.flush()
    there.flush()
    assert not isinstance(there.ingest(list(here.all_slices())), Gap)
    there.flush()


def everywhere(made):
    return [node.replica.core.stable for node in made.nodes.values()]


def test_what_all_have_observed_is_settled_everywhere_through_relays():
    """In a line of four, after some ticks without anything new: the whole past, on each of them."""
    made = network()
    versions = {node.replica.core.memory.version for node in made.nodes.values()}
    assert len(versions) == 1
    assert set(everywhere(made)) == versions
    assert made.faults() == []


def test_what_a_member_has_observed_counts_when_all_that_it_had_written_is_here():
    """Else what it wrote before, under an earlier stamp, would still come before what was settled."""
    alice, bob = direct("alice"), direct("bob")
    bob.execute(JOURNAL, TakeNote("first"), 100)
    meet(bob, alice)
    alice.execute(JOURNAL, TakeNote("late"), 1000)
    bob.execute(JOURNAL, TakeNote("early"), 500)
    meet(alice, bob)
    alice.core.members.learn_rows(bob.core.members.known.rows)
    assert [line for line, _ in alice.settled(JOURNAL).state] == ["first"]
    meet(bob, alice)
    assert [line for line, _ in alice.settled(JOURNAL).state] == ["first", "early", "late"]


def test_a_lone_replica_is_certain_of_all_that_it_knows():
    """There is nobody to wait for."""
    alice = direct("alice")
    alice.execute(HOME, AddItem("milk"), 1)
    alice.flush()
    assert alice.core.stable == alice.core.memory.version


def test_a_member_that_is_cut_off_holds_it_back_until_it_is_retired():
    """What it had observed stays settled; the rest is tentative; retiring it is a fact that all hear of."""
    made = network("abc", ["ab", "bc"])
    a, c = made.nodes["a"].replica, made.nodes["c"].replica
    settled = a.core.stable
    made.cut("bc")
    made.links.remove("bc")
    a.execute(HOME, AddItem("more"), NOW + 5)
    made.settle()
    assert a.core.stable == settled < a.core.memory.version
    assert made.nodes["b"].replica.core.stable == settled
    behind = {str(one.replica): one.behind for one in a.core.members.status()}
    assert behind == {"a": 0, "b": 0, "c": 1}
    a.core.retire(c.core.me, NOW + 6)
    a.flush()
    made.settle()
    for name in "ab":
        replica = made.nodes[name].replica
        assert replica.core.stable == replica.core.memory.version
        assert [one.retired for one in replica.core.members.status() if str(one.replica) == "c"] == [True]
        again = DirectReplica(replica.log, "shop", name, (ShoppingList, Journal), random=Random(1))
        assert again.core.memory.retired == {c.core.me}
    with pytest.raises(Refused, match="retired already"):
        a.core.retire(c.core.me, NOW + 7)
    with pytest.raises(Refused, match="has introduced itself here"):
        a.core.retire(5, NOW + 7)


def test_who_is_back_and_writes_is_waited_for_again_whoever_retired_it():
    """Else a word of a stranger would let what is settled pass over all that a member ever decides."""
    made = network("abc", ["ab", "bc"])
    a, c = made.nodes["a"].replica, made.nodes["c"].replica
    made.cut("bc")
    a.retire(c.core.me, NOW + 6)
    a.execute(HOME, AddItem("more"), NOW + 7)
    a.flush()
    made.run()
    assert a.core.memory.retired == {c.core.me}
    made.heal("bc")
    made.settle()
    everybody = [node.replica.core for node in made.nodes.values()]
    assert all(core.memory.retired == {c.core.me} for core in everybody), "who only listens is not waited for"
    c.execute(HOME, AddItem("back"), NOW + 8)
    c.flush()
    made.settle()
    assert all(core.memory.retired == frozenset() for core in everybody)
    assert all(core.stable == core.memory.version for core in everybody)
    made.cut("bc")
    a.execute(HOME, AddItem("later"), NOW + 9)
    a.flush()
    made.run()
    assert not a.core.memory.version <= a.core.stable
    again = DirectReplica(a.log, "shop", "a", (ShoppingList, Journal), random=Random(1))
    assert again.core.memory.retired == frozenset()
    a.retire(c.core.me, NOW + 10)
    a.flush()
    assert a.core.memory.retired == {c.core.me}


@pytest.mark.parametrize("first", ["the retirement", "what it wrote"])
def test_a_retirement_counts_against_what_its_author_knew_in_whatever_order_it_is_heard(first):
    """What the member wrote meanwhile, unheard, is what it is waited for."""
    alice, bob, carol = direct("alice"), direct("bob"), direct("carol")
    for replica in (alice, bob, carol):
        replica.execute(HOME, AddItem(replica.core.identity.name), 1)
    meet(bob, alice)
    meet(carol, alice)
    bob.execute(HOME, AddItem("unheard"), 2)
    alice.retire(bob.core.me, 3)
    for replica in (alice, bob) if first == "the retirement" else (bob, alice):
        meet(replica, carol)
    meet(bob, carol)
    assert carol.core.memory.retired == frozenset()
    meet(bob, alice)
    assert alice.core.memory.retired == frozenset()


def test_in_a_file_from_before_who_was_retired_stays_so_until_it_writes():
    """It says who was retired, and not how much was known of that log then: as much as the file holds."""
    alice, bob = direct("alice"), direct("bob")
    for replica in (alice, bob):
        replica.execute(HOME, AddItem("x"), 1)
    meet(bob, alice)
    alice.core.draft.keep("retired", f"{bob.core.me:016x}", b"")
    alice.flush()
    again = DirectReplica(alice.log, "shop", "alice", (ShoppingList, Journal), random=Random(1))
    assert again.core.memory.retired == {bob.core.me}
    bob.execute(HOME, AddItem("back"), 2)
    meet(bob, again)
    assert again.core.memory.retired == frozenset()


@pytest.mark.parametrize("kept", [False, True], ids=["said", "in the file"])
def test_a_false_word_about_what_a_member_wrote_stops_nothing(kept):
    """It says of c that it had written 2^64-1 events. What was kept of such a word by older code is let go of."""
    made = network("abc", ["ab", "bc"])
    a, c = made.nodes["a"].replica.core, made.nodes["c"].replica.core
    before = a.members.known
    for high in (c.memory.version[c.me] + 1, (1 << 64) - 1):
        if kept:
            a.draft.keep("member", f"{c.me:016x}", msgspec.msgpack.encode({c.me: high, a.me: 1}))
            made.nodes["a"].replica.flush()
        else:
            assert not a.members.learn_rows([(c.me, [(c.me, high), (a.me, 1)])])
    assert a.members.known == before, "it is not passed on"
    if kept:
        a = DirectReplica(made.nodes["a"].replica.log, "shop", "a", (ShoppingList, Journal), random=Random(1)).core
        assert c.me not in a.members.observed
        return
    for number, name in enumerate("abc"):
        made.nodes[name].replica.execute(HOME, AddItem("more"), NOW + 10 + number)
        made.nodes[name].replica.flush()
    made.settle()
    assert all(core == a.memory.version for core in everywhere(made))


def test_the_last_live_member_cannot_be_retired():
    """Somebody must be left to know."""
    alice = direct("alice")
    alice.execute(HOME, AddItem("milk"), 1)
    with pytest.raises(Refused, match="the last live member"):
        alice.core.retire(alice.core.me, 2)


def test_nonsense_in_a_retirement_retires_nobody():
    """Bytes that are no such fact, or one in another replica's stream: carried, and not believed."""
    alice, bob = direct("alice"), direct("bob")
    alice.execute(HOME, AddItem("milk"), 1)
    bob.execute(HOME, AddItem("eggs"), 1)
    meet(bob, alice)
    good = msgspec.msgpack.encode({"replica": bob.core.me})
    for at, (stream, payload) in enumerate(((stream_of(bob.core.me), b"\x80"), (stream_of(alice.core.me), good))):
        core = alice.core
        alice._step(lambda: introduce(core, 1))
        record(
            core, (Recorded(stream, "ReplicaRetired", 1, payload),), core.now.stamp._replace(wall=100 + at), None
        )
        alice.flush()
    assert alice.core.memory.retired == frozenset()
    meet(alice, bob)
    assert bob.core.memory.retired == frozenset()


KINDS = ["write", "note", "send", "send", "tell", "crash", "save"]
STEPS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 2), st.integers(0, 2)), max_size=50)


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_nobody_takes_for_settled_what_a_member_has_not_observed_and_it_never_shrinks(steps):
    """Checked after each step, against what every replica really holds; newcomers are there from the beginning."""
    names = ("alice", "bob", "carol")
    replicas = [direct(name) for name in names]
    for replica in replicas:
        replica.execute(HOME, AddItem("x"), 1)
    for here in replicas:
        for there in replicas:
            if here is not there:
                meet(here, there)
    durable = [VersionVector()] * 3
    for wall, (step, one, other) in enumerate(steps):
        replica = replicas[one]
        before = replica.core.stable
        if step == "write":
            replica.execute(HOME, AddItem(f"{wall}"), 1000 + wall)
            replica.flush()
        elif step == "note":
            replica.execute(JOURNAL, TakeNote(f"{wall}"), 1000 - wall)
            replica.flush()
        elif step == "send" and one != other:
            meet(replica, replicas[other])
        elif step == "tell":
            replicas[other].core.members.learn_rows(replica.core.members.known.rows)
        elif step == "save":
            replica.save_members()
            durable[one] = replica.core.stable
        elif step == "crash":
            replicas[one] = direct(names[one], log=replica.log)
            before = durable[one]
        assert before <= replicas[one].core.stable
        for each in replicas:
            stable = each.core.stable
            assert all(stable <= there.core.memory.version for there in replicas)
            settled = each.settled(JOURNAL).state
            lines = [line for line, _ in each.present(JOURNAL).state]
            assert [line for line, _ in settled] == [line for line in lines if line in {one for one, _ in settled}]


def test_what_is_settled_does_not_change_when_a_late_past_arrives():
    """An ordered stream: the tentative present is rewound, the settled one only grows at its end."""
    alice, bob = direct("alice"), direct("bob")
    for replica in (alice, bob):
        replica.execute(JOURNAL, TakeNote(f"{replica.core.identity.name} 1"), 100)
    meet(alice, bob)
    meet(bob, alice)
    for here, there in ((alice, bob), (bob, alice), (alice, bob)):
        there.core.members.learn_rows(here.core.members.known.rows)
    settled = alice.settled(JOURNAL).state
    assert len(settled) == 2
    alice.execute(JOURNAL, TakeNote("alice 2"), 300)
    bob.execute(JOURNAL, TakeNote("bob 2"), 200)
    alice.flush()
    before = alice.present(JOURNAL).state
    meet(bob, alice)
    assert alice.present(JOURNAL).state[: len(before)] != before
    assert alice.settled(JOURNAL).state[:2] == settled


def test_a_version_of_which_a_part_is_unknown_is_not_heard_of():
    """A part of a version is no past, since what it names may have observed the rest."""
    alice, bob, carol = direct("alice"), direct("bob"), direct("carol")
    bob.execute(JOURNAL, TakeNote("first"), 100)
    meet(bob, alice)
    carol.execute(JOURNAL, TakeNote("carol"), 200)
    meet(carol, bob)
    bob.execute(JOURNAL, TakeNote("second"), 300)
    bob.flush()
    me = bob.core.me
    before = alice.core.members.observed[me]
    alice.core.members.learn(me, bob.core.memory.version)
    assert alice.core.members.observed[me] == before
    meet(bob, alice)
    alice.core.members.learn(me, bob.core.memory.version)
    assert alice.core.members.observed[me] == bob.core.memory.version


def test_what_is_settled_waits_for_what_is_here_and_stamped_before_it():
    """Found by seed 302319: what was settled later came before what had been settled first."""
    alice, bob, carol = direct("alice"), direct("bob"), direct("carol")
    for replica in (alice, bob, carol):
        replica.execute(JOURNAL, TakeNote(replica.core.identity.name), 100)
    for here, there in ((bob, alice), (carol, alice), (alice, bob), (alice, carol)):
        meet(here, there)
    bob.execute(JOURNAL, TakeNote("early"), 200)
    alice.execute(JOURNAL, TakeNote("late"), 300)
    meet(alice, bob)
    meet(alice, carol)
    meet(bob, alice)
    for replica in (bob, carol):
        alice.core.members.learn_rows(replica.core.members.known.rows)
    alice.core.members.learn_rows([row for row in alice.core.members.known.rows if row[0] == alice.core.me])
    assert alice.core.stable[alice.core.me] == alice.core.memory.version[alice.core.me]
    first = alice.settled(JOURNAL).state
    assert [line for line, _ in first] == ["alice", "bob", "carol"]
    meet(alice, carol)
    alice.core.members.learn_rows(carol.core.members.known.rows)
    assert [line for line, _ in alice.settled(JOURNAL).state][3:] == ["early", "late"]
    assert alice.settled(JOURNAL).state[:3] == first


class Patient(Questions):
    """Answers only what every member has heard asked."""

    def due(self):
        for due in super().due():
            yield Due(due.command, due.cause, settled=True)


def test_what_is_due_may_wait_until_its_cause_is_settled():
    """A policy of the aggregate: no answer before everybody is known to have heard the question."""
    alice, bob = (direct(name, aggregates=(Patient, ShoppingList)) for name in ("alice", "bob"))
    for replica in (alice, bob):
        replica.execute(HOME, AddItem("x"), 1)
    meet(bob, alice)
    meet(alice, bob)
    alice.execute("questions/all", Ask("why"), 2)
    assert alice.carry_out(3) == 0
    meet(alice, bob)
    assert alice.carry_out(4) == 0
    alice.core.members.learn_rows(bob.core.members.known.rows)
    assert alice.carry_out(5) == 1


def test_at_rest_nothing_is_said_of_members():
    """A tick then costs one short frame, however many members there are."""
    made = network()
    made.tick()
    frames = [decode(frame) for node in made.nodes.values() for wire in node.outgoing.values() for frame in wire]
    assert frames
    assert {type(frame) for frame in frames} == {Digest}
    assert len({frame.known for frame in frames}) == 1


@pytest.mark.parametrize(
    "frame",
    [
        Known([(1, [(n, 1) for n in range(40_000)])]),
        encode(Known([(1, [(1, 3)])])).replace(b"\x03", b"\x43"),
        [6, [[1, [[-1, 5]]]], b""],
        [6, [["x", []]], b""],
        [6, 5],
    ],
)
def test_nonsense_about_members_ends_the_session_and_changes_nothing(frame):
    """One typed error on both sides; what was known stays as it was."""
    made = network("ab", ["ab"])
    replica = made.nodes["a"].replica
    before = dict(replica.core.members.observed), replica.core.stable
    session = made.nodes["a"].sessions["ab"]
    if not isinstance(frame, bytes):
        frame = encode(frame) if isinstance(frame, Known) else msgspec.msgpack.encode(frame)
    effects = session.receive(frame)
    assert not any(isinstance(effect, Learn) for effect in effects)
    assert session.closed
    assert isinstance(effects[-1].error, RemoteProtocolError)
    assert isinstance(effects[0], Send)
    assert (dict(replica.core.members.observed), replica.core.stable) == before


@in_loop
async def test_waiting_until_it_is_settled_over_websockets(tmp_path):
    """Two replicas, real sockets; it stays settled after opening again, before anybody has said a word."""

    def opened(name):
        return Replica.open(tmp_path / f"{name}.db", store="shop", name=name, aggregates=[ShoppingList, Journal])

    async with opened("alice") as alice, opened("bob") as bob, serve(alice) as server:
        await bob.execute(HOME, AddItem("eggs"))
        async with connect(bob, server.url):
            await alice.execute(HOME, AddItem("milk"))
            await bob.wait_for(alice.version)
            await alice.wait_for(bob.version)
            await alice.wait_stable(alice.version)
            home = await alice.present(HOME, settled=True)
            assert set(home.items) >= {"milk"}
        settled = alice.stable
        await alice.append(HOME, ItemAdded("tea"))
        assert alice.stable == settled < alice.version
        assert "tea" not in (await alice.present(HOME, settled=True)).items
        assert {str(one.replica): one.behind for one in alice.members()} == {"alice": 0, "bob": 1}
    async with opened("alice") as alice:
        assert alice.stable == settled
        with pytest.raises(Refused, match="names 0 replicas"):
            await alice.retire("nobody")
        await alice.retire("bob")
        await until(lambda: alice.stable == alice.version)


@in_loop
async def test_a_member_that_nobody_has_heard_of_since_opening_is_not_taken_for_informed():
    """What it is known to have observed is what its commits say, and no more."""
    async with (
        Replica.open(store="shop", name="alice", aggregates=[ShoppingList]) as alice,
        Replica.open(store="shop", name="bob", aggregates=[ShoppingList]) as bob,
    ):
        await bob.execute(HOME, AddItem("eggs"))
        await alice.execute(HOME, AddItem("milk"))
        await alice.ingest(await bob.read(lambda reader: [*reader.everything()]))
        assert str(alice.stable) == "bob:2"
        async with linked(alice, bob):
            await alice.wait_stable(alice.version)
