"""Why a value is what it is: the fronts of places against a model without an order, and explanations in words."""

from __future__ import annotations

from copy import copy
from itertools import product
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from merge import NO_EFFECT, Product, Text
from merge.effect import Verb
from merge.flat import Flat
from merge.kernel import Happening, Said
from merge.tree import Tree
from merge.why import Fronts
from replica import Aggregate, Command, Event, NoSuchPlace, Refused, Replica
from replica.backend import MemoryBackend
from replica.travel import TimeTravel
from sync import linked
from tests.histories import STEPS, play
from tests.lattices import CASES, PLACE
from tests.loop import in_loop, until
from tests.scenario import Clock, parted
from tests.shop import HOME, JOURNAL, Journal, ShoppingList, TakeNote, direct
from tests.test_laws import CLOCKS, Shape, covers, order_free, shapes
from tests.test_time import naive, opened, over

WITHOUT_TEXT = [case for case in CASES if case.name != "Text"]


class Why:
    """What the fronts must be, from the set of events at once."""

    def __init__(self, root: Product, shape: Shape, events: list[Happening]) -> None:
        self.shape, self.events = shape, events
        self.places = set()
        for event in events:
            for deed in event.effect:
                found = root.place(deed.path)
                if found is not None:
                    self.places.add(deed.path[: found[0]])

    def front(self, place):
        """The events that touch a place and that no later touch has replaced."""
        touches = {
            i for i, event in enumerate(self.events) if any(self.touches(deed, place) for deed in event.effect)
        }
        return {
            i
            for i in touches
            if not any(
                self.shape.seen[j] >> i & 1 and (self.forgets(j, place) or not self.says(i, place)) for j in touches
            )
        }

    def touches(self, deed, place):
        return covers(place, deed.path) or (deed.verb is Verb.FORGET and covers(deed.path, place))

    def says(self, i, place):
        return any(deed.verb is not Verb.FORGET and covers(place, deed.path) for deed in self.events[i].effect)

    def forgets(self, i, place):
        return any(deed.verb is Verb.FORGET and self.touches(deed, place) for deed in self.events[i].effect)


def check(case, shape, clock, ops):
    root = type("Root", (Product,), {PLACE[0]: case.lattice})()
    stamps = clock(shape)
    events = [
        Happening(shape.dots[i], stamps[i], shape.contexts[i], case.effect(op, Tree(), shape.replicas[i]))
        for i, op in enumerate(ops)
    ]
    fronts, why = Fronts(root), Why(root, shape, events)
    for event in sorted(events, key=lambda event: event.order):
        fronts.take(event)
    index = {event.dot: i for i, event in enumerate(events)}
    model = order_free(shape, events)
    read = {}
    assert fronts.places.keys() == why.places
    for place, front in fronts.places.items():
        chosen, lost = ({index[touch.happening.dot] for touch in some} for some in (front.chosen, front.lost))
        if not front.shares:
            assert chosen | lost == why.front(place), (place, shape, ops)
        assert not chosen & lost
        for i in lost:
            assert any(not shape.seen[i] >> j & 1 and not shape.seen[j] >> i & 1 for j in chosen), (
                place,
                shape,
                ops,
            )
        for touch in front.touches:
            for below, value in touch.said:
                dot, path = touch.happening.dot, (*place, *below)
                said = model.entries[dot, path]
                assert said == (Verb.SAY, Said(dot, touch.happening.stamp, value))
                if touch in front.chosen:
                    read[dot, path] = said
        for happening, value, _ in front.shares:
            read[happening.dot, place] = Verb.TALLY, Said(happening.dot, happening.stamp, value)
    said = {key for key, (verb, _) in model.entries.items() if verb is Verb.SAY}
    assert said == {
        (touch.happening.dot, (*place, *below))
        for place, front in fronts.places.items()
        for touch in front.touches
        for below, _ in touch.said
    }
    assert case.reading(Tree.of(Flat(read))) == case.reading(Tree.of(model)), (shape, ops)


@pytest.mark.parametrize("case", WITHOUT_TEXT, ids=lambda case: case.name)
def test_the_front_of_a_place_is_what_nobody_has_replaced_and_the_chosen_are_what_is_read(case):
    """Over all histories of up to three events of every lattice; what has lost is concurrent with what is read."""
    for size in (1, 2, 3):
        for number, shape in enumerate(shapes(size)):
            for ops in product(case.ops, repeat=size):
                check(case, shape, CLOCKS[number % 3], ops)


@pytest.mark.parametrize("name", ["LWWRegister", "AWSet", "RWSet", "ORMap of AWSet"])
def test_the_same_over_histories_of_four_events(name):
    """Of the cases in which something can lose, with their core operations."""
    case = next(case for case in CASES if case.name == name)
    for number, shape in enumerate(shapes(4)):
        for ops in product(case.ops[: case.core], repeat=4):
            check(case, shape, CLOCKS[number % 3], ops)


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_an_explanation_reads_what_the_present_reads_and_its_losers_are_the_other_concurrent_writes(steps):
    """Of replicas that met late or never: title, items, count and note."""
    for played in play(steps):

        @in_loop
        async def check(direct=played):
            async with over(direct) as replica:
                present = await replica.present(HOME)
                title = await replica.explain(HOME, "title")
                assert title.value == present.title.value
                written = present.title.written
                assert [act.record.dot for act in title.read] == [said.dot for said in written[-1:]]
                assert [act.record.dot for act in title.lost] == [said.dot for said in written[:-1]]
                assert [act.value for act in (*title.lost, *title.read)] == [said.value for said in written]
                whole = await replica.explain(HOME)
                assert whole.value == present.value
                items = [part for part in whole.parts if part.path[0] == "items"]
                assert {part.path[1] for part in items if part.value} == set(present.items)
                for part in items:
                    assert all(act.did == ("added" if part.value else "removed") for act in part.read)
                    assert all(act.did == ("removed" if part.value else "added") for act in part.lost)
                    for act in part.lost:
                        assert act.unseen
                        assert not any(dot in act.record.context for dot in act.unseen)
                count = await replica.explain(HOME, "count")
                assert sum(share.value for share in count.shares) == present.count.value
                note = await replica.explain(HOME, "note")
                assert "".join(share.value for share in note.shares) == str(present.note)
                conflicts = await replica.conflicts(HOME)
                assert all(conflict.lost for conflict in conflicts)
                for conflict in conflicts:
                    assert str(conflict) == str(await replica.explain(HOME, conflict.path))
                version = replica.version
                for dot in version:
                    then = await replica.at(dot)
                    assert (await then.explain(HOME, "title")).value == (await then.present(HOME)).title.value
                assert naive(direct, HOME, version) == await replica.digest(HOME)

        check()


TITLE = """\
list/home  title = 'Friday'
  rule     last writer wins: of writes that had not seen each other, the one with the greatest stamp is read
  read     bob:2  2026-01-01T00:00:05.000Z  wrote 'Friday', not having seen alice:5
  lost     alice:5  2026-01-01T00:00:04.000Z  wrote 'Thursday', not having seen bob:2
  earlier  alice:3  2026-01-01T00:00:02.000Z  wrote 'Food'"""

MILK = """\
list/home  items/milk = True
  rule     add wins: an element stays in unless every adding of it was seen by a removal
  read     alice:6  2026-01-01T00:00:07.000Z  added, not having seen bob:3
  lost     bob:3  2026-01-01T00:00:06.000Z  removed, not having seen alice:6
  earlier  alice:2  2026-01-01T00:00:01.000Z  added"""


@in_loop
async def test_an_explanation_can_be_read_by_a_person():
    """Word for word, for one scenario with a clock of its own; the same on both replicas."""
    clock = Clock()
    async with opened(clock=clock) as alice, opened(name="bob", clock=clock) as bob:
        await parted(alice, bob, clock)
        for replica in (alice, bob):
            assert str(await replica.explain(HOME, "title")) == TITLE
            assert str(await replica.explain(HOME, ("items", "milk"))) == MILK
            assert [one.path for one in await replica.conflicts(HOME)] == [("items", "milk"), ("title",)]
            count, note = await replica.explain(HOME, "count"), await replica.explain(HOME, "note")
            assert {str(share) for share in count.shares} == {"3 by bob:4", "2 by alice:7"}
            assert [str(share) for share in note.shares] == ["'hello' by alice:4", "' world' by bob:5"]
            assert [part.path for part in (await replica.explain(HOME)).parts] == [
                ("count",), ("items", "milk"), ("note",), ("title",),
            ]  # fmt: skip
            with pytest.raises(NoSuchPlace, match=r"ShoppingList has no titel \(there is: items"):
                await replica.explain(HOME, "titel")
        before = await alice.explain(HOME, "title", at="alice:5")
        assert (before.value, before.lost) == ("Thursday", ())


@in_loop
async def test_a_loser_is_restored_by_a_new_fact():
    """Which has seen what it had lost to; what lost nothing, is not known, or would count twice is refused."""
    async with opened() as alice, opened(name="bob") as bob:
        await parted(alice, bob)
        (lost,) = (await alice.explain(HOME, "title")).lost
        committed = await alice.restore(str(lost.record.dot))
        present = await alice.present(HOME)
        assert present.title.value == lost.value
        (record,) = [one async for one in alice.history(HOME, after=lost.record.context | bob.version)]
        assert (record.dot, record.cause) == (committed.dots[0], lost.record.dot)
        (removal,) = (await alice.explain(HOME, "items/milk")).lost
        await alice.restore(removal.record.dot)
        assert "milk" not in (await alice.present(HOME)).items
        assert await alice.conflicts(HOME) == []
        before = alice.version
        with pytest.raises(Refused, match="it has lost nothing in list/home"):
            await alice.restore(lost.record.dot)
        with pytest.raises(Refused, match="it has lost nothing"):
            await alice.restore("alice:7")
        with pytest.raises(ValueError, match="does not name an event"):
            await alice.restore("7")
        assert alice.version == before


@in_loop
async def test_an_ordered_aggregate_is_explained_by_the_events_that_changed_it():
    """In the order of stamps, with what their authors had not seen; it has no losers."""
    clock = Clock()
    async with opened(clock=clock) as alice, opened(name="bob", clock=clock) as bob:
        await alice.execute(JOURNAL, TakeNote("one"))
        clock.now += 1000
        await bob.execute(JOURNAL, TakeNote("two"))
        async with linked(alice, bob):
            await until(lambda: alice.version == bob.version)
        found = await alice.explain(JOURNAL)
        assert found.kind == "Ordered"
        assert [str(act.record.dot) for act in (*found.earlier, *found.read)] == ["alice:2", "bob:2"]
        assert [str(dot) for dot in found.read[0].unseen] == ["alice:2"]
        assert await alice.conflicts(JOURNAL) == []
        first = await alice.explain(JOURNAL, "0/0")
        assert (first.value, [str(act.record.dot) for act in first.read]) == ("one", ["alice:2"])
        with pytest.raises(NoSuchPlace, match="there is no 7"):
            await alice.explain(JOURNAL, "7")


def test_every_lattice_says_its_rule():
    """In words, for explanations."""
    for case in CASES:
        assert case.lattice.rule
    assert ShoppingList.rule
    assert Replica.explain.__doc__
    assert not hasattr(Journal, "rule")


class Did(Event):
    """One operation of a case: on which lattice, which one."""

    case: int
    op: int


class Typed(Event):
    update: bytes


class Unheard(Event):
    """The reader does not know this type."""

    n: int


class Type(Command):
    text: str


class _Everything(Aggregate, base=True):
    def decide(self, command: Any, given: Any) -> Any:
        return Typed(self.note.insert(min(1, len(self.note)), command.text, given.replica))

    def effect(self, event: Any) -> Any:
        match event:
            case Did(case, op):
                return WITHOUT_TEXT[case].ops[op].make(getattr(self, f"at{case}"), 0)
            case Typed(update):
                return self.note.apply(update)
        return NO_EFFECT


FIELDS = {f"at{n}": copy(case.lattice) for n, case in enumerate(WITHOUT_TEXT)} | {"note": Text()}
Everything = type("Everything", (_Everything,), FIELDS | {"stream": "all", "events": (Did, Typed)})
Newer = type("Everything", (_Everything,), FIELDS | {"stream": "all", "events": (Did, Typed, Unheard)})
DEEDS = st.one_of(
    st.sampled_from([Did(case, op) for case, one in enumerate(WITHOUT_TEXT) for op in range(len(one.ops))]),
    st.sampled_from([Type("a"), Type("bç"), Unheard(1)]),
)
MET = st.tuples(st.just(None), st.integers(0, 2), st.integers(0, 2))


@settings(max_examples=12, deadline=None)
@given(st.lists(st.one_of(st.tuples(DEEDS, st.integers(0, 2), st.just(0)), MET), min_size=1, max_size=25))
def test_every_place_of_every_lattice_is_explained_whoever_had_seen_what(steps):
    """Removed before it was there, cleared while another fills it, of a type that is not known: an answer, always.

    At every place, at every path that leads to some, by value and in words; with what the present reads there.
    """
    replicas = [direct(name, aggregates=(Newer,)) for name in ("alice", "bob", "carol")]
    for wall, (what, who, other) in enumerate(steps):
        one = replicas[who]
        if isinstance(what, Command):
            one.execute("all/x", what, wall)
        elif what is not None:
            one.append("all/x", [what], wall)
        elif who != other:
            one.flush()
            replicas[other].ingest(list(one.all_slices()))
            replicas[other].flush()

    @in_loop
    async def check() -> None:
        for replica in replicas:
            replica.flush()
            reader = direct("reader", aggregates=(Everything,))
            reader.ingest(list(replica.all_slices()))
            reader.flush()
            past = TimeTravel(reader.core, MemoryBackend(reader.log))
            whole, plain = await past.explain("all/x"), (await past.present("all/x")).plain()
            assert str(whole)
            assert whole.value == plain
            paths = {part.path for part in whole.parts}
            assert {one.path for one in await past.conflicts("all/x")} <= paths
            for part in whole.parts:
                assert (await past.explain("all/x", part.path)).value == part.value
                for depth in range(1, len(part.path)):
                    assert str(await past.explain("all/x", part.path[:depth]))
                if "/" not in "".join(map(str, part.path)):
                    assert str(await past.explain("all/x", "/".join(map(str, part.path))))

    check()
