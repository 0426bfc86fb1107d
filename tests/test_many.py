"""Stores with many ids: a commit names no more heads than a reader takes, and everybody takes what it names."""

from __future__ import annotations

import pytest

from merge.stamp import Stamp
from replica.arrange import Gap
from replica.block import Tail
from replica.commit import Commit
from replica.direct import DirectReplica
from replica.introduction import ReplicaIntroduced, introduction
from tests.shop import HOME, AddItem, direct

MOST = 4
"""In place of 16,384."""


@pytest.fixture(autouse=True)
def few_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader takes a few heads, so that a few ids are many."""
    for module in ("recording", "block"):
        monkeypatch.setattr(f"replica.{module}.MAX_OBSERVED", MOST)


def crowd(count, first=1000):
    """The introductions of so many members; each has observed the one before it."""
    slices, before = [], ()
    for number in range(count):
        replica = first + (number * 7919) % 1000
        tail = Tail("shop", replica)
        intro = introduction(ReplicaIntroduced("shop", f"m{number}", replica))
        slices.append(tail.append(Commit(replica, 1, Stamp(10 + number, 0, replica), before, None, (intro,))))
        before = (tail.head.named(replica),)
    return slices


def meet(here, there):
    here.flush()
    assert not isinstance(there.ingest(list(here.all_slices())), Gap)
    there.flush()


@pytest.mark.parametrize("count", [1, MOST, MOST + 1, 3 * MOST, 3 * MOST + 1])
@pytest.mark.parametrize("begun", [False, True], ids=["newcomer", "member"])
@pytest.mark.parametrize("how", ["execute", "retire", "join"])
def test_what_is_written_among_many_ids_is_taken_by_the_others(count, begun, how):
    """Its own commit names some of them, and those before it the others; all are durable together, or none."""
    alice, bob = direct("alice"), direct("bob")
    if begun:
        alice.execute(HOME, AddItem("first"), 1)
        alice.flush()
    for replica in (alice, bob):
        replica.ingest(crowd(count) + crowd(1, 5000))
        replica.flush()
    settled = []
    alice.listeners.append(settled.append)
    match how:
        case "execute":
            alice.execute(HOME, AddItem("milk"), 1000)
        case "retire":
            alice.retire(5000, 1000)
        case "join":
            alice._step(lambda: alice.core.become_one(["garden"], 1000))
    assert settled == []
    alice.flush()
    assert len(settled) == 1
    meet(alice, bob)
    assert bob.core.memory.version == alice.core.memory.version
    me = alice.core.me
    *before, last = [(commit, context) for commit, context in settled[0].brought if commit.replica == me]
    assert all(len(commit.observed) <= MOST for commit, _ in [*before, last])
    own = [commit.events[0].type for commit, _ in before]
    assert own.count("HeadsObserved") == max(0, -(-(count + 1) // MOST) - 1 - (not begun))
    assert last[1].advance(me, last[0].last) == alice.core.memory.version
    read = {
        commit.last: context for commit, context in bob.reader().commits(bob.core.memory.lineages[me].tip, 1)[0]
    }
    assert all(read[commit.last] == context for commit, context in [*before, last]), "as those who read it count"
    again = DirectReplica(alice.log, "shop", "alice", alice_aggregates(alice), random=alice.core.random)
    again.execute(HOME, AddItem("after"), 2000)
    meet(again, bob)
    assert bob.core.memory.version == again.core.memory.version


def alice_aggregates(replica):
    return [type(aggregate) for aggregate in replica.core.aggregates.values()]


def test_a_copy_among_many_ids_goes_on_under_a_new_one():
    """The introduction of the new id names some of them; a commit after it the others."""
    alice, bob = direct("alice"), direct("bob")
    alice.execute(HOME, AddItem("first"), 1)
    meet(alice, bob)
    alice.ingest(crowd(3 * MOST))
    alice.flush()
    bob.ingest(crowd(3 * MOST))
    alice.doubt()
    alice.execute(HOME, AddItem("milk"), 1000)
    meet(alice, bob)
    assert bob.core.memory.version == alice.core.memory.version
    assert set(bob.present(HOME).items) == {"first", "milk"}
    assert not [kind for kind in bob.core.memory.types if kind[0] == "HeadsObserved" and kind in bob.core.types]
