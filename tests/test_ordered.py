"""Ordered aggregates: whatever the order of arrival, the state is the fold of the sorted log."""

from __future__ import annotations

from random import Random

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from merge.stamp import Stamp
from merge.version import NOTHING, Dot, VersionVector
from replica.arrange import Gap
from replica.decider import FoldFailed, Happened
from replica.errors import InvalidEvent, PoisonEvent, Refused
from replica.event import Command, Event
from replica.ordered import RECENT, STRIDE, Ordered
from replica.place import START, StreamPlace
from replica.replica import Replica
from tests.loop import in_loop
from tests.shop import JOURNAL, Journal, Noted, TakeNote, direct

ALICE, BOB, CAROL = 1, 2, 3


def history(choices: list[tuple[int, bool]]) -> list[Happened]:
    """Events of three replicas, each with all that its own had seen, or with everything so far."""
    happened: list[Happened] = []
    seen = {ALICE: NOTHING, BOB: NOTHING, CAROL: NOTHING}
    everything = NOTHING
    for wall, (replica, meets) in enumerate(choices):
        context = seen[replica] | everything if meets else seen[replica]
        dot = Dot(replica, context[replica] + 1)
        happened.append(Happened(Stamp(wall, 0, replica), dot, context, Noted(f"{wall}")))
        seen[replica] = context.advance(*dot)
        everything = everything | seen[replica]
    return happened


def naive(happened: list[Happened]) -> tuple[tuple[str, int], ...]:
    """The oracle: sort, and look at everything before."""
    ordered = sorted(happened, key=lambda one: one.order)
    return tuple(
        (one.event.line, sum(earlier.dot not in one.context for earlier in ordered[:at]))
        for at, one in enumerate(ordered)
    )


CHOICES = st.lists(st.tuples(st.sampled_from([ALICE, BOB, CAROL]), st.booleans()), min_size=1, max_size=3 * STRIDE)


@settings(max_examples=60)
@given(CHOICES, st.randoms(use_true_random=False), st.integers(1, 40))
def test_any_order_of_arrival_gives_the_fold_of_the_sorted_log(choices, random, size):
    """In batches that are each in order, as ingest hands them over, and in any order among themselves."""
    happened = history(choices)
    arriving = list(happened)
    random.shuffle(arriving)
    journal = Journal()
    fold = journal.empty()
    while arriving:
        batch, arriving = arriving[:size], arriving[size:]
        fold = journal.observe_all(fold, sorted(batch, key=lambda one: one.order))
    assert fold.state == naive(happened)
    assert list(fold.events) == sorted(happened, key=lambda one: one.order)


@pytest.mark.parametrize("seed", range(80))
def test_what_is_concurrent_is_the_same_whatever_is_held(seed):
    """Trimmed now and then, or taken from a snapshot: what the fold cannot take it does not take, and asks for the
    log; what it takes, and folds again for that, has seen all that is not held.
    """
    random = Random(seed)
    size, every = random.randint(1, 4), random.randint(1, 6)
    happened = history([(random.choice([ALICE, BOB, CAROL]), random.random() < 0.8) for _ in range(50)])
    late = {one.dot: at + (random.randrange(12) if random.random() < 0.3 else 0) for at, one in enumerate(happened)}
    arriving = sorted(happened, key=lambda one: late[one.dot])
    journal = Journal()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("replica.ordered.STRIDE", 2)
        patch.setattr("replica.ordered.RECENT", 4)
        fold, held = journal.empty(), list[Happened]()
        for at in range(0, len(arriving), size):
            news = sorted(arriving[at : at + size], key=lambda one: one.order)
            held = sorted([*held, *news], key=lambda one: one.order)
            if all(journal.takes(fold, one.stamp, one.context) for one in news):
                fold = journal.observe_all(fold, news)
            else:
                fold = journal.observe_all(journal.empty(), held)
            assert fold.state == naive(held)
            if at // size % every == every - 1:
                fold = journal.trim(fold)
                if random.random() < 0.1:
                    place = START.advance_all({one.dot.replica: one.dot.seq for one in held})
                    fold = journal.thaw(journal.freeze(fold), held[-1].stamp, place)


@pytest.mark.parametrize("seed", range(4))
def test_the_same_over_many_stretches(seed):
    """Five hundred events, so that states are kept along the way, and what was not seen lies far back."""
    random = Random(seed)
    happened = history([(random.choice([ALICE, BOB, CAROL]), random.random() < 0.02) for _ in range(8 * STRIDE)])
    journal = Journal()
    fold = journal.empty()
    for replica in random.sample([ALICE, BOB, CAROL], 3):
        fold = journal.observe_all(fold, [one for one in happened if one.dot.replica == replica])
    assert fold.state == naive(happened)


def test_a_late_past_replays_what_comes_after_it_and_not_the_log():
    """Counted in calls of `evolve`: at most the events after it, and one stretch; once for a whole batch."""
    calls = 0

    class Counting(Journal):
        def initial(self):
            return 0

        def evolve(self, state, event, moment):
            nonlocal calls
            calls += 1
            return state + 1

    journal, happened = Counting(), history([(ALICE, False)] * 5000)
    late = [happened.pop(4901), happened.pop(4900)][::-1]
    fold = journal.observe_all(journal.empty(), happened)
    for news, most in (
        (late, 98 + 2 + STRIDE),
        ([Happened(Stamp(9999, 0, BOB), Dot(BOB, 1), NOTHING, Noted(""))], 1),
    ):
        calls = 0
        fold = journal.observe_all(fold, news)
        assert calls <= most
    assert fold.state == 5001


def test_a_moment_tells_the_earlier_events_that_were_not_seen():
    """The set, not a boolean: two replicas apart, and a third that has seen one of them."""
    told = {}

    class Telling(Journal):
        def evolve(self, state, event, moment):
            told[event.line] = [one.event.line for one in moment.concurrent()]
            return state

    events = [
        Happened(Stamp(1, 0, ALICE), Dot(ALICE, 1), NOTHING, Noted("a")),
        Happened(Stamp(2, 0, BOB), Dot(BOB, 1), NOTHING, Noted("b")),
        Happened(Stamp(3, 0, CAROL), Dot(CAROL, 1), VersionVector({ALICE: 1}), Noted("c")),
    ]
    Telling().observe_all(Telling().empty(), events)
    assert told == {"a": [], "b": ["a"], "c": ["b"]}


class Sold(Event, frozen=True):
    to: str


class Sell(Command, frozen=True):
    to: str


class Stock(Ordered):
    """One piece, sold once: the first sale in stamp order gets it, whoever hears of whom first."""

    stream = "stock"
    events = (Sold,)

    def initial(self):
        return None

    def decide(self, command, given):
        if self.state is not None:
            raise Refused(f"it was sold to {self.state}")
        return Sold(command.to)

    def evolve(self, state, event, moment):
        if event.to == "nobody":
            raise ValueError("nobody buys nothing")
        return state or event.to


def test_the_last_piece_goes_to_the_first_sale_in_stamp_order():
    """Two sell it while apart; the earlier stamp arrives late, and wins on both sides."""
    alice, bob = (direct(name, aggregates=(Stock,)) for name in ("alice", "bob"))
    alice.execute("stock/lamp", Sell("ann"), 2000)
    bob.execute("stock/lamp", Sell("ben"), 1000)
    for replica in (alice, bob):
        replica.flush()
    assert alice.present("stock/lamp").state == "ann"
    for here, there in ((alice, bob), (bob, alice)):
        assert not isinstance(here.ingest(list(there.all_slices())), Gap)
        here.flush()
    assert alice.present("stock/lamp").state == bob.present("stock/lamp").state == "ben"
    assert alice.digest("stock/lamp") == bob.digest("stock/lamp")
    with pytest.raises(Refused, match="sold to ben"):
        alice.execute("stock/lamp", Sell("cas"), 3000)


def test_an_evolve_that_raises_refuses_at_its_origin_and_poisons_elsewhere():
    """The origin records nothing; where the event comes from others its stream stops, and names the event."""
    alice = direct("alice", aggregates=(Stock,))
    with pytest.raises(InvalidEvent, match="nobody buys nothing"):
        alice.execute("stock/lamp", Sell("nobody"), 1)
    late = Happened(Stamp(1, 0, BOB), Dot(BOB, 1), NOTHING, Sold("nobody"))
    with pytest.raises(FoldFailed) as failed:
        Stock().observe(Stock().empty(), late)
    assert failed.value.happened is late


class Careless(Stock):
    """The same, before somebody thought of nobody."""

    def evolve(self, state, event, moment):
        return state or event.to


def test_a_poisoned_stream_is_read_again_when_its_aggregate_is_mended():
    """What one version could not fold the next one can: the log has it."""
    alice, bob = direct("alice", aggregates=(Careless,)), direct("bob", aggregates=(Stock,))
    assert bob.present("stock/lamp").state is None
    alice.execute("stock/lamp", Sell("nobody"), 1)
    alice.flush()
    bob.ingest(list(alice.all_slices()))
    bob.flush()
    with pytest.raises(PoisonEvent, match=r"stock/lamp.*Sold.*nobody buys nothing"):
        bob.present("stock/lamp")
    mended = direct("bob", log=bob.log, aggregates=(Careless,))
    assert mended.present("stock/lamp").state == "nobody"


@in_loop
async def test_an_ordered_aggregate_is_used_like_any_other(tmp_path):
    """Execute, read, close, open, read."""
    for turn in range(2):
        async with Replica.open(tmp_path / "a.db", store="shop", name="alice", aggregates=[Journal]) as alice:
            await alice.execute(JOURNAL, TakeNote(f"day {turn}"))
            journal = await alice.present(JOURNAL)
            assert journal.state == tuple((f"day {n}", 0) for n in range(turn + 1))
            assert str(journal.version) == f"alice:{turn + 2}"
            assert len(await alice.digest(JOURNAL)) == 32


def test_what_lies_behind_a_trail_is_never_forgotten_by_trimming_it():
    """Who has not seen what a snapshot holds, or what was trimmed, is not taken by the fold."""
    journal, bobs = Journal(), VersionVector({BOB: 5})
    fold = journal.thaw(journal.freeze(journal.empty()), Stamp(1, 0, BOB), StreamPlace.holding(bobs))
    seen = bobs
    for seq in range(1, 4 * RECENT):
        fold = journal.observe(fold, Happened(Stamp(seq + 1, 0, ALICE), Dot(ALICE, seq), seen, Noted("")))
        seen = seen.advance(ALICE, seq)
    trimmed = journal.trim(fold)
    assert len(list(trimmed.events)) < 2 * RECENT
    assert trimmed.base.stands.seq(BOB) == 5
    assert trimmed.base.stands.seq(ALICE) == 4 * RECENT - 1 - len(list(trimmed.events))
    late = Stamp(4 * RECENT + 1, 0, CAROL)
    assert journal.takes(trimmed, late, seen)
    assert not journal.takes(trimmed, late, VersionVector({ALICE: 4 * RECENT}))
    assert not journal.takes(trimmed, late, bobs)
