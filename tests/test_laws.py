"""The law, for every lattice: for causally closed sets S and T, fold(S) | fold(T) == fold(S u T).

The state is compared with an order-free model ("said, and not forgotten by an event that had seen it"), which
is computed from the set of events at once, since replicas that merely agree could all have lost the same data.
Readings are compared with the plain set, dict, int or str of a user who works alone. Three usual wrong designs
are kept here, and the same checks must catch them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import pycrdt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merge import (
    NOTHING,
    AWSet,
    Dot,
    Flag,
    GCounter,
    InvalidKey,
    LWWRegister,
    MVRegister,
    ORMap,
    Past,
    PNCounter,
    Product,
    ReplicaId,
    RWSet,
    Stamp,
    StateNotGiven,
    Text,
    VersionVector,
    fold,
    meet,
    merge,
)
from merge.effect import INT_HIGH, INT_LOW, Deed, Effect, Verb, check_key, forget, say, tally
from merge.flat import Entries, Flat
from merge.growing import Growing
from merge.kernel import Happening, Said
from merge.lattice import Lattice
from merge.stamp import next_stamp
from merge.text import TextState
from merge.tree import EMPTY, Tree
from replica.digest import canonical, digest
from replica.testing.shapes import CLOCKS, REPLICAS, Shape, members, one_after_another, plan, shapes
from tests.lattices import CASES, PLACE, Card, Case

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


# --- the model without an order ---


def covers(path: tuple[Any, ...], place: tuple[Any, ...]) -> bool:
    return place[: len(path)] == path


def order_free(shape: Shape, events: Sequence[Happening], chosen: int = -1) -> Flat:
    """What the chosen events have said and none of them that had seen it has forgotten."""
    some = [i for i in range(len(events)) if chosen >> i & 1]
    forgotten = [(shape.seen[i], deed.path) for i in some for deed in events[i].effect if deed.verb is Verb.FORGET]
    entries: Entries = {}
    for i in some:
        dot, stamp, _, effect = events[i]
        for verb, path, value in effect:
            if verb is Verb.FORGET:
                continue
            if not any(seen >> i & 1 and path[: len(below)] == below for seen, below in forgotten):
                entries[dot, path] = verb, Said(dot, stamp, value)
    return Flat(entries)


def check_never_forgotten(state: Tree, events: Sequence[Happening]) -> None:
    """Totals are the sums of all tallies; a text is what a Yjs document shows that hears all updates at once."""
    sums: dict[Any, int] = {}
    docs: dict[Any, Any] = {}
    for event in events:
        for verb, path, value in event.effect:
            if verb is Verb.TALLY:
                sums[path, event.dot.replica] = sums.get((path, event.dot.replica), 0) + value
            elif verb is Verb.ABSORB:
                docs.setdefault(path, pycrdt.Doc()).apply_update(value.to_bytes())
    if sums or docs:
        nodes = dict(state.walk())
        words = {path: str(doc.get("text", type=pycrdt.Text)) for path, doc in docs.items()}
        assert {(p, r): total.value for p, node in nodes.items() for r, total in node.tallies.items()} == sums
        assert {p: str(node.absorbed) for p, node in nodes.items() if node.absorbed is not None} == words


def check_at_once(whole: Tree, events: Sequence[Happening]) -> None:
    """Folded in two portions, parted anywhere, the same events come to the same tree."""
    for parted in range(len(events) + 1):
        state = EMPTY
        for portion in (events[:parted], events[parted:]):
            growing = Growing(state)
            for event in portion:
                growing.happen(event)
            state = growing.finish()
        assert state == whole, f"in two portions, parted at {parted}: {events}"


# --- designs: ways to represent and fold a state, which must all mean the same ---


class Design(NamedTuple):
    """A representation to hold to the laws: how it starts, what of it is compared, what it should mean."""

    empty: Any
    view: Callable[[Case, Any], Any]
    meant: Callable[[Case, Flat], Any]
    contexts: Callable[[Shape], list[VersionVector]] = lambda shape: shape.contexts
    tree: Callable[[Any], Tree] = lambda state: state


TREE = Design(EMPTY, lambda case, tree: tree, lambda case, model: Tree.of(model))
FLAT = Design(Flat(), lambda case, flat: flat.entries, lambda case, model: model.entries, tree=Tree.of)
RIGHT = (TREE, FLAT)


def by_reading(empty: Flat, contexts: Callable[[Shape], list[VersionVector]] | None = None) -> Design:
    """A design of which only what the user reads is compared."""
    return Design(
        empty,
        lambda case, flat: case.reading(Tree.of(flat)),
        lambda case, model: case.reading(Tree.of(model)),
        contexts or (lambda shape: shape.contexts),
        Tree.of,
    )


# --- the law over all histories of one shape ---


def all_histories(
    case: Case, shape: Shape, clock: Callable[[Shape], list[Stamp]], designs: Sequence[Design], ops: Sequence[Any]
) -> int:
    """Check the laws over every choice of operations; return the number of histories.

    For each closed set all states are kept that some legal order leads to (one, if the law holds). Every closed
    set of a history is a history of fewer events, which has its own turn: so only what makes up the whole is
    checked, and over all sizes this is every legal order and every pair of closed sets.
    """
    steps, meetings = plan(shape)
    stamps, full = clock(shape), shape.everything
    contexts = [design.contexts(shape) for design in designs]
    events: list[list[Happening]] = [[] for _ in designs]
    known: list[dict[int, list[Past[Any]]]] = [{0: [Past(design.empty)]} for design in designs]
    version = shape.version(full)

    def grow(i: int) -> int:
        if i == shape.size:
            check()
            return 1
        count = 0
        for op in ops:
            origin = designs[0].tree(known[0][shape.seen[i]][0].state)
            effect = case.effect(op, origin, shape.replicas[i])
            for happened, context, reached in zip(events, contexts, known, strict=True):
                happened[i:] = [Happening(shape.dots[i], stamps[i], context[i], effect)]
                for s, ways in steps[i]:
                    states: list[Past[Any]] = []
                    for before, last in ways:
                        for past in reached[before]:
                            past = past.observe(happened[last])
                            if past not in states:
                                states.append(past)
                    reached[s] = states
            count += grow(i + 1)
        return count

    def check() -> None:
        model = order_free(shape, events[0])
        for design, happened, reached in zip(designs, events, known, strict=True):
            meant = design.meant(case, model)
            for whole in reached[full]:
                assert design.view(case, whole.state) == meant, f"not the model: {case.name} {shape} {happened}"
                assert all(whole.observe(event) is whole for event in happened)
            for s, t in meetings:
                for one in reached[s]:
                    for other in reached[t]:
                        met = one | other
                        assert design.view(case, met.state) == meant, f"{s} | {t}: {case.name} {shape} {happened}"
                        assert met.version == version
        whole = designs[0].tree(known[0][full][0].state)
        check_never_forgotten(whole, events[0])
        if designs[0] is TREE:
            check_at_once(whole, events[0])

    return grow(0)


# --- exhaustive ---


@each_case
def test_the_law_holds_over_all_histories_of_up_to_three_events(case: Case) -> None:
    """Every choice of operations on all 1 + 3 + 12 shapes, by the tree and the flat map; clocks take turns."""
    count = 0
    for size in (1, 2, 3):
        for number, shape in enumerate(shapes(size)):
            for clock in CLOCKS if size < 3 else (CLOCKS[number % 3],):
                count += all_histories(case, shape, clock, RIGHT, case.ops)
    k = len(case.ops)
    assert count == 3 * (k + 3 * k**2) + 12 * k**3


@each_case
def test_the_law_holds_over_all_histories_of_four_events(case: Case) -> None:
    """Every choice of the case's core operations on all 58 shapes of 4 events and 3 replicas, by the tree."""
    count = 0
    for number, shape in enumerate(shapes(4)):
        count += all_histories(case, shape, CLOCKS[number % 3], (TREE,), case.ops[: case.core])
    assert count == 58 * case.core**4


def test_the_shapes_of_few_events_are_counted_right() -> None:
    """Up to names and listing: 1, 3, 12, 58; one replica alone has one shape of any size."""
    assert [len(shapes(size)) for size in (1, 2, 3, 4)] == [1, 3, 12, 58]
    assert [len(shapes(size, 1)) for size in (1, 2, 3, 4)] == [1, 1, 1, 1]


@each_case
def test_digests_are_equal_just_where_states_are(case: Case) -> None:
    """Over all histories of two events: one digest for one state, two digests for two."""
    for shape in shapes(2):
        stamps = one_after_another(shape)
        by_digest: dict[str, Tree] = {}
        for first in case.ops:
            for second in case.ops:
                past = Past(EMPTY)
                known = {0: past}
                for i, op in enumerate((first, second)):
                    effect = case.effect(op, known[shape.seen[i]].state, shape.replicas[i])
                    event = Happening(shape.dots[i], stamps[i], shape.contexts[i], effect)
                    past = past.observe(event)
                    known[1 << i] = known[0].observe(event) if not shape.seen[i] else past
                name = digest(canonical(past.state))
                assert by_digest.setdefault(name, past.state) == past.state
        states = list(by_digest.values())
        assert not any(one == other for i, one in enumerate(states) for other in states[:i])


# --- beyond: random histories ---


@dataclass(frozen=True)
class History:
    """Events, their shape, and some ways to look at them."""

    shape: Shape
    events: list[Happening]
    sets: tuple[int, int, int]
    order: list[int]


def happenings(case: Case, shape: Shape, ops: Sequence[Any], stamps: Sequence[Stamp]) -> list[Happening]:
    """One event for each operation, made at its origin from the state at its context."""
    events: list[Happening] = []
    for i, op in enumerate(ops):
        state = EMPTY
        if case.reads:
            state = fold(Past(EMPTY), (events[j] for j in members(shape.seen[i]))).state
        effect = case.effect(op, state, shape.replicas[i])
        events.append(Happening(shape.dots[i], stamps[i], shape.contexts[i], effect))
    return events


@st.composite
def histories(draw: Any, case: Case, size: int = 12) -> History:
    moves = draw(
        st.lists(
            st.tuples(
                st.integers(0, 3),
                st.lists(st.integers(0, size - 1), max_size=2),
                st.sampled_from(case.ops),
            ),
            min_size=1,
            max_size=size,
        )
    )
    listed: list[tuple[int, int]] = []
    for replica, heard, _ in moves:
        seen = 0
        for j, (writer, past) in enumerate(listed):
            if writer == replica or j in heard:
                seen |= past | 1 << j
        listed.append((replica, seen))
    shape = Shape(listed)
    clock = draw(st.sampled_from(CLOCKS))
    events = happenings(case, shape, [op for _, _, op in moves], clock(shape))
    some = st.integers(0, shape.everything).map(shape.close)
    waiting, order, had = list(draw(st.permutations(range(shape.size)))), [], 0
    while waiting:
        i = next(i for i in waiting if shape.seen[i] & ~had == 0)
        waiting.remove(i)
        order.append(i)
        had |= 1 << i
    return History(shape, events, draw(st.tuples(some, some, some)), order)


@each_case
def test_the_law_holds_for_random_histories_of_four_replicas(case: Case) -> None:
    """Up to 12 events: any order with duplicates, any two closed sets, and the model; tree and flat map alike."""

    @settings(max_examples=25)
    @given(histories(case))
    def check(history: History) -> None:
        shape, events, order = history.shape, history.events, history.order
        again = [events[i] for k, j in enumerate(order) for i in (j, order[k // 2])]
        for design in RIGHT:

            def view(past: Past[Any]) -> Any:
                return design.view(case, past.state)

            def known(chosen: int) -> Past[Any]:
                past = fold(Past(design.empty), (events[i] for i in members(chosen)))
                assert past.version == shape.version(chosen)
                assert view(past) == design.meant(case, order_free(shape, events, chosen))
                return past

            whole = known(shape.everything)
            assert view(fold(Past(design.empty), again)) == view(whole)
            check_never_forgotten(design.tree(whole.state), events)
            s, t, _ = history.sets
            assert view(known(s) | known(t)) == view(known(s | t))
            a, b, c = map(known, history.sets)
            assert view(merge(a, b)) == view(merge(b, a))
            assert view(merge(merge(a, b), c)) == view(merge(a, merge(b, c))) == view(meet(a, (b, c, b)))
            assert view(merge(a, a)) == view(a)

    check()


@each_case
def test_whoever_writes_with_nobody_else_writing_reads_what_a_plain_value_would_be(case: Case) -> None:
    """A history in which every event has seen all before it reads like the plain set, dict, int or str.

    So does the lattice itself, from either side: a comparison that is False in silence would be a wrong answer.
    """

    @settings(max_examples=25)
    @given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(case.ops)), max_size=12))
    def check(moves: list[tuple[int, Any]]) -> None:
        past, plain, stamp = Past(EMPTY), case.nothing, None
        assert case.reading(EMPTY) == plain
        for r, op in moves:
            replica = REPLICAS[r]
            stamp = next_stamp(1000, stamp, replica)
            effect = case.effect(op, past.state, replica)
            past = past.observe(Happening(Dot(replica, past.version[replica] + 1), stamp, past.version, effect))
            plain = op.then(plain)
            assert case.reading(past.state) == plain
            here = case.bound(past.state)
            assert (here == plain, plain == here, here != plain) == (True, True, False)
            assert here == case.bound(past.state)
            assert bool(here) == bool(plain)
            if not isinstance(plain, dict | set):  # which have no order
                assert f"{here}" == str(plain)

    check()


def through_the_wire(effect: Effect) -> Effect:
    """The same effect after its paths and values were msgpack."""

    def frozen(value: Any) -> Any:
        return tuple(map(frozen, value)) if isinstance(value, list) else value

    deeds = []
    for verb, path, value in effect:
        plain = value.to_bytes() if isinstance(value, TextState) else value
        path, back = frozen(msgspec.msgpack.decode(msgspec.msgpack.encode((path, plain))))
        deeds.append(Deed(verb, path, TextState.of(back) if isinstance(value, TextState) else back))
    return Effect(deeds)


@each_case
def test_what_has_gone_over_the_wire_folds_to_the_same_state_and_digest(case: Case) -> None:
    """Paths and values survive msgpack; the digest depends neither on that nor on the order of arrival."""

    @settings(max_examples=20)
    @given(histories(case, size=8))
    def check(history: History) -> None:
        here = fold(Past(EMPTY), history.events)
        sent = [event._replace(effect=through_the_wire(event.effect)) for event in history.events]
        there = fold(Past(EMPTY), (sent[i] for i in history.order))
        assert there == here
        assert digest(canonical(there.state)) == digest(canonical(here.state))
        assert digest(msgspec.msgpack.decode(msgspec.msgpack.encode(canonical(here.state)))) == digest(
            canonical(there.state)
        )

    check()


# --- wrong designs, which the same checks must catch ---


class ReadsTheReceiver(Flat):
    """Wrong: what is said at a place replaces all that the receiver holds there, seen by the writer or not."""

    def happen(self, event: Happening) -> Flat:
        said = {path for verb, path, _ in event.effect if verb is Verb.SAY}
        mine = Flat({key: entry for key, entry in self.entries.items() if key[1] not in said})
        return ReadsTheReceiver(mine.happen(event).entries)

    def join(self, mine: VersionVector, other: Flat, theirs: VersionVector) -> Flat:
        return ReadsTheReceiver(super().join(mine, other, theirs).entries)


class KeepsTheGreatest(Flat):
    """Wrong: of several writes at one place only that with the greatest stamp is kept."""

    def _greatest(self, flat: Flat) -> Flat:
        best: dict[Any, Any] = {}
        for key, entry in flat.entries.items():
            if key[1] not in best or entry[1].order > best[key[1]][1][1].order:
                best[key[1]] = key, entry
        return KeepsTheGreatest(dict(best.values()))

    def happen(self, event: Happening) -> Flat:
        return self._greatest(Flat(self.entries).happen(event))

    def join(self, mine: VersionVector, other: Flat, theirs: VersionVector) -> Flat:
        return self._greatest(Flat(self.entries).join(mine, other, theirs))


class KeepsTotals(Flat):
    """Wrong: a running total per replica, under that replica's newest dot, where an entry can be removed."""

    def _newest(self, flat: Flat) -> Flat:
        best: dict[Any, Any] = {}
        for (dot, path), entry in flat.entries.items():
            place = path, dot.replica
            if place not in best or dot.seq > best[place][0][0].seq:
                best[place] = (dot, path), entry
        return KeepsTotals(dict(best.values()))

    def happen(self, event: Happening) -> Flat:
        held = {(path, dot.replica): entry[1].value for (dot, path), entry in self.entries.items()}
        effect = Effect(
            deed._replace(value=deed.value + held.get((deed.path, event.dot.replica), 0))
            if deed.verb is Verb.SAY
            else deed
            for deed in event.effect
        )
        return self._newest(Flat(self.entries).happen(event._replace(effect=effect)))

    def join(self, mine: VersionVector, other: Flat, theirs: VersionVector) -> Flat:
        return self._newest(Flat(self.entries).join(mine, other, theirs))


def context_of_the_commit(shape: Shape) -> list[VersionVector]:
    """Wrong: all events of a commit have the context of its first."""
    contexts = list(shape.contexts)
    for i in range(shape.size):
        before = shape.continues(i)
        if before is not None:
            contexts[i] = contexts[before]
    return contexts


def case_of(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


WRONG = {
    "an add that reads the receiver's state": ("AWSet", by_reading(ReadsTheReceiver())),
    "a last writer that wins by forgetting, in a map": ("ORMap of LWWRegister", by_reading(KeepsTheGreatest())),
    "a total per replica, in a map": ("ORMap of PNCounter", by_reading(KeepsTotals())),
    "one context for all events of a commit": ("AWSet", by_reading(Flat(), context_of_the_commit)),
}


def law_by_reading(name: str, design: Design, sizes: Sequence[int] = (1, 2, 3)) -> None:
    case = case_of(name)
    for size in sizes:
        for shape in shapes(size):
            for clock in CLOCKS:
                all_histories(case, shape, clock, (design,), case.ops[: case.core])


@pytest.mark.parametrize("wrong", WRONG)
def test_the_usual_wrong_designs_fail_the_law_with_three_events(wrong: str) -> None:
    """The same checker that passes the right design raises for the wrong one, by its readings alone."""
    name, design = WRONG[wrong]
    law_by_reading(name, by_reading(Flat()))
    with pytest.raises(AssertionError):
        law_by_reading(name, design, sizes=(3,))


@pytest.mark.parametrize("wrong", list(WRONG)[1:3])
def test_two_events_would_not_have_found_what_goes_wrong_in_maps(wrong: str) -> None:
    """Why the histories have three events and more: with two, these wrong designs read right."""
    name, design = WRONG[wrong]
    law_by_reading(name, design, sizes=(1, 2))


# --- the promises, in words ---


class Writer:
    """Somebody with a replica of one lattice."""

    def __init__(self, lattice: Lattice, replica: int) -> None:
        self.lattice, self.replica = lattice, replica
        self.past: Past[Tree] = Past(EMPTY)
        self.stamp: Stamp | None = None

    def does(self, *makes: Callable[[Any], Effect], now: int = 1000) -> None:
        """Record one event for each effect, as one commit."""
        self.stamp = next_stamp(now, self.stamp, self.replica)
        for make in makes:
            dot = Dot(self.replica, self.past.version[self.replica] + 1)
            effect = make(self.lattice.bind(None, PLACE))
            self.past = self.past.observe(Happening(dot, self.stamp, self.past.version, effect))

    def hears(self, *others: Writer) -> None:
        for other in others:
            self.past = merge(self.past, other.past)
            self.stamp = max(filter(None, (self.stamp, other.stamp)), default=None)

    @property
    def present(self) -> Any:
        return self.lattice.bind(self.past.state.at(*PLACE), PLACE)


def three(lattice: Lattice) -> tuple[Writer, Writer, Writer]:
    return tuple(Writer(lattice, replica) for replica in REPLICAS[:3])  # type: ignore[return-value]


def together(*writers: Writer) -> Any:
    """What all read after all have heard all."""
    for writer in writers:
        writer.hears(*writers)
    readings = [writer.present.value for writer in writers]
    assert all(reading == readings[0] for reading in readings)
    return readings[0]


def test_awset_an_add_wins_over_a_removal_that_had_not_heard_of_it() -> None:
    """Bob removes the milk that he knew of; Alice's second milk stays."""
    alice, bob, _ = three(AWSet())
    alice.does(lambda s: s.add("milk"))
    bob.hears(alice)
    alice.does(lambda s: s.add("milk"))
    bob.does(lambda s: s.remove("milk"))
    assert bob.present.value == set()
    assert together(alice, bob) == {"milk"}


def test_awset_clear_takes_away_only_what_was_seen() -> None:
    """An element added meanwhile is in after the clear."""
    alice, bob, _ = three(AWSet())
    alice.does(lambda s: s.add("milk"))
    bob.hears(alice)
    bob.does(lambda s: s.add("eggs"))
    alice.does(lambda s: s.clear())
    assert together(alice, bob) == {"eggs"}


def test_awset_what_was_removed_does_not_come_back_from_somebody_who_still_has_it() -> None:
    """No tombstone is kept, and yet Carol's old copy does not revive the milk."""
    alice, bob, carol = three(AWSet())
    alice.does(lambda s: s.add("milk"))
    bob.hears(alice)
    carol.hears(alice)
    bob.does(lambda s: s.remove("milk"))
    assert together(alice, bob, carol) == set()
    assert not carol.past.state


def test_rwset_a_removal_wins_over_an_add_that_had_not_heard_of_it() -> None:
    """Bob revokes a right while Alice grants it again: it stays revoked, until somebody who knows grants it."""
    alice, bob, carol = three(RWSet())
    alice.does(lambda s: s.add("admin"))
    bob.hears(alice)
    alice.does(lambda s: s.add("admin"), now=9000)
    bob.does(lambda s: s.remove("admin"))
    assert together(alice, bob, carol) == set()
    carol.does(lambda s: s.add("admin"))
    assert together(alice, bob, carol) == {"admin"}


def test_rwset_an_add_counts_only_if_it_had_seen_every_removal() -> None:
    """Two revoke at once; a grant that heard of one of them is not enough."""
    alice, bob, carol = three(RWSet())
    alice.does(lambda s: s.remove("admin"))
    bob.does(lambda s: s.remove("admin"))
    carol.hears(alice)
    carol.does(lambda s: s.add("admin"))
    assert carol.present.value == {"admin"}
    assert together(alice, bob, carol) == set()


@pytest.mark.parametrize("lattice", [PNCounter(), ORMap(PNCounter())], ids=["at the root", "in a map"])
def test_counter_additions_at_once_all_count_once(lattice: Lattice) -> None:
    """Two, three, minus one: four, however often they meet."""

    def place(value: Any) -> Any:
        return value["k"] if isinstance(lattice, ORMap) else value

    alice, bob, carol = three(lattice)
    alice.does(lambda c: place(c).add(2))
    bob.does(lambda c: place(c).add(3))
    carol.does(lambda c: place(c).subtract())
    together(alice, bob)
    together(bob, carol)
    assert place(together(alice, bob, carol)) == 4


def test_lww_the_write_with_the_greatest_stamp_is_read_and_the_other_is_kept() -> None:
    """Bob's clock is ahead, so his title is read; `written` shows both until somebody writes again."""
    alice, bob, carol = three(LWWRegister())
    bob.does(lambda r: r.write("bob's"), now=2000)
    alice.does(lambda r: r.write("alice's"), now=1000)
    assert together(alice, bob, carol) == "bob's"
    assert [said.value for said in alice.present.written] == ["alice's", "bob's"]
    carol.does(lambda r: r.write("carol's"), now=0)
    assert together(alice, bob, carol) == "carol's"
    assert len(alice.present.written) == 1


def test_lww_of_two_writes_at_the_same_millisecond_everybody_picks_the_same() -> None:
    """The replica's bits break the tie."""
    alice, bob, _ = three(LWWRegister())
    alice.does(lambda r: r.write("alice's"))
    bob.does(lambda r: r.write("bob's"))
    assert together(alice, bob) == "alice's"


def test_lww_a_write_survives_a_clear_that_had_not_heard_of_it() -> None:
    """Clearing forgets what was seen, whatever the clocks say."""
    alice, bob, _ = three(LWWRegister())
    alice.does(lambda r: r.write("old"))
    bob.hears(alice)
    alice.does(lambda r: r.write("new"), now=1001)
    bob.does(lambda r: r.clear(), now=9000)
    assert together(alice, bob) == "new"


def test_mvregister_values_written_at_once_are_siblings_until_somebody_has_seen_them() -> None:
    """Both are read, in the order of their stamps; a writer who knows both replaces both."""
    alice, bob, carol = three(MVRegister())
    alice.does(lambda r: r.write("tea"), now=1001)
    bob.does(lambda r: r.write("coffee"), now=1000)
    assert together(alice, bob, carol) == ["coffee", "tea"]
    carol.does(lambda r: r.write("water"))
    assert together(alice, bob, carol) == ["water"]


def test_flag_enabling_wins_over_a_disabling_that_had_not_heard_of_it() -> None:
    """On, since only the enabling that Bob had seen is taken back."""
    alice, bob, _ = three(Flag())
    alice.does(lambda f: f.enable())
    bob.hears(alice)
    alice.does(lambda f: f.enable())
    bob.does(lambda f: f.disable(), now=9000)
    assert together(alice, bob) is True


def test_ormap_removing_an_entry_keeps_what_was_written_there_unseen() -> None:
    """Reset-remove: Ann's cart is emptied of the milk that Bob saw; the eggs put in meanwhile stay."""
    alice, bob, _ = three(ORMap(AWSet()))
    alice.does(lambda m: m["ann"].add("milk"))
    bob.hears(alice)
    alice.does(lambda m: m["ann"].add("eggs"))
    bob.does(lambda m: m.remove("ann"))
    assert bob.present.value == {}
    assert together(alice, bob) == {"ann": {"eggs"}}


def test_ormap_a_counter_that_was_removed_starts_from_what_the_remover_had_not_seen() -> None:
    """Of two and three, Bob removed the two: three is left, and the two never come back."""
    alice, bob, carol = three(ORMap(PNCounter()))
    alice.does(lambda m: m["k"].add(2))
    bob.hears(alice)
    alice.does(lambda m: m["k"].add(3))
    carol.hears(alice)
    bob.does(lambda m: m.remove("k"))
    assert together(alice, bob, carol) == {"k": 3}


def test_ormap_a_register_that_was_removed_can_come_back_with_an_older_stamp() -> None:
    """The removed write's stamp is not remembered: Carol's unseen older write is what is left."""
    alice, bob, carol = three(ORMap(LWWRegister()))
    alice.does(lambda m: m["k"].write("late"), now=9000)
    carol.does(lambda m: m["k"].write("early"), now=1)
    bob.hears(alice)
    bob.does(lambda m: m.remove("k"))
    assert together(alice, bob, carol) == {"k": "early"}


def test_ormap_in_ormap_removing_above_forgets_what_was_seen_below() -> None:
    """The outer removal reaches through the inner map, and only to what was seen."""
    alice, bob, _ = three(ORMap(ORMap(AWSet())))
    alice.does(lambda m: m["shop"]["ann"].add("milk"), lambda m: m["shop"]["ben"].add("tea"))
    bob.hears(alice)
    alice.does(lambda m: m["shop"]["ben"].add("rice"))
    bob.does(lambda m: m.remove("shop"))
    assert together(alice, bob) == {"shop": {"ben": {"rice"}}}


def test_product_changes_of_different_fields_at_once_all_stand() -> None:
    """Title, tag and vote come from three people at once."""
    alice, bob, carol = three(Card())
    alice.does(lambda c: c.title.write("Plan"))
    bob.does(lambda c: c.tags.add("urgent"))
    carol.does(lambda c: c.votes.add(), lambda c: c.done.enable())
    assert together(alice, bob, carol) == {"title": "Plan", "tags": {"urgent"}, "votes": 1, "done": True}


def test_the_second_event_of_a_commit_has_seen_the_first() -> None:
    """Add and remove in one commit: it is out; remove and add: it is in."""
    alice, bob, _ = three(AWSet())
    alice.does(lambda s: s.add("x"), lambda s: s.remove("x"))
    bob.does(lambda s: s.remove("y"), lambda s: s.add("y"))
    assert together(alice, bob) == {"y"}


# --- what is refused ---

NO_KEYS = [
    True,
    False,
    None,
    1.0,
    float("nan"),
    "\ud800",
    INT_HIGH + 1,
    INT_LOW - 1,
    1 << 20_000,
    ("a", 1.0),
    ["a"],
]
NO_KEYS += [Dot(1, 1), ReplicaId(1), frozenset()]


@pytest.mark.parametrize("key", NO_KEYS, ids=lambda key: type(key).__name__)
def test_what_could_not_be_equal_everywhere_is_no_key(key: Any) -> None:
    """Refused on the way in, by operations and by readings, as a TypeError and a ValueError both."""
    assert issubclass(InvalidKey, TypeError)
    assert issubclass(InvalidKey, ValueError)
    for refused in (
        lambda: AWSet().add(key),
        lambda: AWSet().remove(key),
        lambda: RWSet().add(key),
        lambda: RWSet().remove(key),
        lambda: ORMap(Flag())[key],
        lambda: ORMap(Flag()).remove(key),
        lambda: key in AWSet().bind(EMPTY, PLACE),
        lambda: key in ORMap(Flag()).bind(EMPTY, PLACE),
    ):
        with pytest.raises(InvalidKey, match="is not a key"):
            refused()


@pytest.mark.parametrize("key", ["", "ключ", 0, INT_LOW, INT_HIGH, b"\xff", (), ("a", (1, b"b"))])
def test_str_int_bytes_and_tuples_of_them_are_keys(key: Any) -> None:
    """A key that is taken comes back as it is."""
    assert check_key(key) is key


def test_a_gcounter_does_not_go_down() -> None:
    """Neither by a negative addition nor by a subtraction, at the root or in a map."""
    for counter in (GCounter().bind(None, PLACE), ORMap(GCounter()).bind(None, PLACE)["k"]):
        with pytest.raises(ValueError, match="only goes up"):
            counter.add(-1)
        with pytest.raises(ValueError, match="only goes up"):
            counter.subtract(1)


@pytest.mark.parametrize("amount", [True, 1.0, "1", None])
def test_a_counter_counts_in_whole_numbers(amount: Any) -> None:
    """A bool, a float or a str is no amount, to add or to subtract."""
    for make in (PNCounter().add, PNCounter().subtract, GCounter().add):
        with pytest.raises(TypeError, match="whole numbers"):
            make(amount)


def test_text_inside_a_map_is_refused_however_deep_it_sits() -> None:
    """As the value of a map, in a product that is, and in a product within."""

    class Page(Product):
        body = Text()

    class Book(Product):
        title = LWWRegister[str]()
        page = Page()

    for values in (Text(), Page(), Book()):
        with pytest.raises(TypeError, match="Text cannot stand inside an ORMap"):
            ORMap(values)
        with pytest.raises(TypeError, match="Text cannot stand inside an ORMap"):
            ORMap(ORMap(values))
    with pytest.raises(TypeError, match="at the root"):
        Text().bind(None, PLACE, forgettable=True).apply(b"")


def test_a_product_is_cleared_as_an_entry_of_a_map_only() -> None:
    """At the root it may hold totals and texts, which are never forgotten."""
    with pytest.raises(TypeError, match="entry of a map"):
        Card().bind(None, PLACE).clear()


@pytest.mark.parametrize(
    "read",
    [
        lambda p: p.value,
        lambda p: p.title.value,
        lambda p: bool(p.title),
        lambda p: "x" in p.tags,
        lambda p: list(p.tags),
        lambda p: len(p.tags),
        lambda p: int(p.votes),
        lambda p: bool(p.done),
    ],
)
def test_reading_a_lattice_where_an_effect_is_made_is_refused(read: Callable[[Any], Any]) -> None:
    """There is no state inside `effect`; operations work there, and the repr says so."""
    card = Card().bind(None, PLACE)
    with pytest.raises(StateNotGiven, match="no state"):
        read(card)
    assert card.tags.add("x")
    assert repr(card.tags) == "AWSet(no state)"


def test_maps_and_texts_too_refuse_to_be_read_without_a_state() -> None:
    """Iterating, looking up and editing all need one; `m[key]` does not."""
    carts, note = ORMap(AWSet()).bind(None, PLACE), Text().bind(None, PLACE)
    for read in (
        lambda: list(carts),
        lambda: len(carts),
        lambda: "k" in carts,
        lambda: carts.value,
        lambda: carts["k"].value,
        lambda: str(note),
        lambda: note.insert(0, "a", REPLICAS[0]),
    ):
        with pytest.raises(StateNotGiven):
            read()


def test_an_event_says_one_thing_at_a_place() -> None:
    """Two values at one place under one dot: refused; forgetting comes first, whatever the order of `+`."""
    with pytest.raises(ValueError, match="two things at the same place"):
        say(("a",), 1) + say(("a",), 2)
    with pytest.raises(ValueError, match="two things at the same place"):
        say(("a",), 1) + tally(("a",), 2)
    effect = say(("a",), 1) + forget(()) + say(("b",), 2)
    assert [deed.verb for deed in effect] == [Verb.FORGET, Verb.SAY, Verb.SAY]
    state = EMPTY.happen(Happening(Dot(1, 1), Stamp(1, 0, 1), NOTHING, effect))
    assert sorted(path for path, _ in state.walk()) == [("a",), ("b",)]
