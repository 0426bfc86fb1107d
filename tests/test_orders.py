"""The order story: a process manager ends its orders, and what was sold twice is repaired once."""

from __future__ import annotations

from itertools import permutations
from random import Random

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from demo.shop import AGGREGATES, THINK, CreateOrder, ReceiveStock
from replica.arrange import Gap
from replica.direct import DirectReplica
from replica.memory import MemoryLog


def direct(name, log=None):
    replica = DirectReplica(log or MemoryLog(), "shop", name, AGGREGATES, random=Random(name))
    replica.build()
    return replica


def meet(here, there):
    here.flush()
    there.flush()
    assert not isinstance(there.ingest(list(here.all_slices())), Gap)
    there.flush()


def work(replica, now):
    """Carry out what is due, and let the time pass that a payment takes."""
    for later in (0, THINK, THINK + 1):
        replica.carry_out(now + later)


def facts(replica, kind):
    """(order, who recorded it) of each event of a kind in the streams of orders, whoever holds it."""
    found = []
    for stream in replica.log.streams("order", "", 1000):
        for commit, _ in replica.reader().stream(stream):
            for event in commit.events:
                if event.type == kind and event.stream == stream:
                    found.append((stream.partition("/")[2], commit.replica))
    return sorted(found)


def outcome(replica, order):
    state = replica.present(f"order/{order}").state
    return state.stage, state.reason


def test_an_order_goes_from_step_to_step_and_fails_with_its_reason():
    """Completed; declined by the bank; out of stock: each by facts alone."""
    alice = direct("alice")
    alice.execute("stock/lamp", ReceiveStock(2), 1)
    for number, customer in enumerate(("ann", "ann", "ben", "cas"), 1):
        alice.execute(f"order/o{number}", CreateOrder("lamp", 60, customer), 1000 * number)
        work(alice, 1000 * number)
    assert outcome(alice, "o1") == ("completed", "")
    assert outcome(alice, "o2") == ("failed", "the bank declined 60 for ann, who has 40 left")
    assert outcome(alice, "o3") == ("completed", "")
    assert outcome(alice, "o4") == ("failed", "no lamp is in stock")
    assert len(alice.present("stock/lamp").state.reservations) == 2
    assert alice.present("payment/ann").state == 60
    assert not alice.core.memory.promises


def test_every_step_of_an_order_carries_its_correlation_id_and_its_cause():
    """So that everything that belongs to an order can be found, and why it happened."""
    from replica.commit import Note

    alice = direct("alice")
    news = []
    alice.listeners.append(lambda settled: news.extend(settled.commits))
    alice.execute("stock/lamp", ReceiveStock(1), 1)
    alice.flush()
    news.clear()
    alice.execute("order/o1", CreateOrder("lamp", 10, "ann"), 2, Note(correlation="o1"))
    work(alice, 3)
    assert [commit.note.correlation for commit in news] == ["o1"] * 5
    assert [commit.note.cause for commit in news[1:]] == [
        (alice.core.me, commit.first + len(commit.events) - 1) for commit in news[:-1]
    ]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_of_three_sales_of_one_piece_one_completes_and_two_fail_by_their_own_replicas(order):
    """The third sale has the earliest stamp; in whatever order they meet, there is no third OrderFailed."""
    replicas = [direct(name) for name in ("alice", "bob", "carol")]
    replicas[0].execute("stock/lamp", ReceiveStock(1), 1)
    for other in replicas[1:]:
        meet(replicas[0], other)
    for number, replica in enumerate(replicas):
        when = 1000 * (3 - number)
        replica.execute(f"order/o{number}", CreateOrder("lamp", 10, f"c{number}"), when)
        work(replica, when)
        assert outcome(replica, f"o{number}") == ("completed", "")
    first, second, third = order
    ways = [(first, second), (second, first), (third, first), (third, second), (first, third), (second, third)]
    for here, there in ways:
        meet(replicas[here], replicas[there])
        work(replicas[there], 10_000)
    for _ in range(3):
        for here in replicas:
            for there in replicas:
                if here is not there:
                    meet(here, there)
            work(here, 20_000)
    for replica in replicas:
        assert sum(outcome(replica, f"o{number}")[0] == "completed" for number in range(3)) == 1
        assert outcome(replica, "o2") == ("completed", "")
        assert facts(replica, "OrderFailed") == sorted((f"o{n}", replicas[n].core.me) for n in range(2))
        assert not replica.core.memory.promises
        assert len(replica.present("stock/lamp").state.reservations) == 1
        assert [replica.present(f"payment/c{n}").state for n in range(3)] == [0, 0, 10]
    assert len({replica.digest("stock/lamp") for replica in replicas}) == 1


KINDS = ["order", "meet", "work", "crash"]
STEPS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 2), st.integers(0, 2)), max_size=40)


@settings(max_examples=40, deadline=None)
@given(STEPS, st.integers(0, 3))
def test_whoever_crashes_or_is_cut_off_every_order_ends_once_and_nothing_is_sold_twice(steps, pieces):
    """Each order is completed or failed, no more are completed than there were pieces, nobody owes anything."""
    replicas = [direct(name) for name in ("alice", "bob", "carol")]
    replicas[0].execute("stock/lamp", ReceiveStock(pieces), 1)
    for other in replicas[1:]:
        meet(replicas[0], other)
    orders = []
    for wall, (step, one, other) in enumerate(steps):
        replica, now = replicas[one], 1000 + 100 * wall
        if step == "order":
            orders.append(f"{wall}")
            replica.execute(f"order/{wall}", CreateOrder("lamp", 40, f"customer {other}"), now)
            replica.flush()
        elif step == "meet" and one != other:
            meet(replica, replicas[other])
        elif step == "work":
            replica.carry_out(now)
        elif step == "crash":
            replicas[one] = direct(("alice", "bob", "carol")[one], replica.log)
    for turn in range(4):
        for here in replicas:
            for there in replicas:
                if here is not there:
                    meet(here, there)
        for replica in replicas:
            work(replica, 1_000_000 + turn)
    for here in replicas:
        for there in replicas:
            if here is not there:
                meet(here, there)
    for replica in replicas:
        outcomes = [outcome(replica, order)[0] for order in orders]
        assert set(outcomes) <= {"completed", "failed"}
        assert outcomes.count("completed") <= pieces
        stock = replica.present("stock/lamp").state
        assert len(stock.reservations) == outcomes.count("completed")
        failed = facts(replica, "OrderFailed")
        assert len(failed) == len(set(failed)) == outcomes.count("failed")
        assert not replica.core.memory.promises
