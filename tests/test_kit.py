"""The convergence kit: what converges passes, what does not is caught, shrunk, shown and played again."""

from __future__ import annotations

import re
import time

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from merge import AWSet, StateNotGiven
from replica import ChangedInPlace, Command
from replica.step import Crash
from replica.testing import (
    BrokenLaw,
    Diverged,
    Scenario,
    ScenarioError,
    assert_converges,
    check_lattice,
    events_of,
    replay,
    scenarios,
)
from replica.testing import Write as Wrote
from replica.testing.scenario import Played
from tests import kit
from tests.lattices import CASES
from tests.shop import AddItem, AddTwice, Count, GiveTitle, Journal, ShoppingList, TakeNote, Write


@pytest.mark.parametrize("kind", [kit.Good, kit.GoodOrder])
def test_what_converges_passes(kind):
    """Lattices, maps of them, and any fold in the order of stamps."""
    assert_converges(kind, examples=60)


def test_aggregates_with_texts_are_played_by_their_commands():
    """Edits cannot be made up: they are decided on by replicas that hold the text."""
    words = st.sampled_from(["a", "bc"])
    commands = st.one_of(
        st.builds(AddItem, words), st.builds(AddTwice, words), st.builds(GiveTitle, words), st.builds(Count),
        st.builds(Write, words, st.integers(0, 3)),
    )  # fmt: skip
    assert_converges(ShoppingList, commands=commands, examples=60)
    assert_converges(Journal, commands=st.builds(TakeNote, words), examples=60)


def test_commands_may_be_defined_anywhere():
    """In a function too, as the aggregate may be: they are known by what the strategy draws."""

    class Place(Command):
        item: str

    class Shelf(kit.GoodOrder):
        stream, events = "shelf", kit.GoodOrder.events

        def decide(self, command, given):
            return kit.Put(command.item)

    with pytest.warns(UserWarning, match="cannot be imported by another process"):
        assert_converges(Shelf, commands=st.builds(Place, st.sampled_from(["a", "b"])), examples=20)


BAD = [kit.Arrival, kit.NoJoin, kit.Clocked, kit.Unordered, kit.Insertion]


def test_a_fold_that_changes_its_state_in_place_is_told_and_not_passed_over():
    """None of its events could be recorded: nothing would be checked, and it would pass."""
    with pytest.raises(ChangedInPlace):
        assert_converges(kit.InPlace)


@pytest.mark.parametrize("kind", BAD, ids=lambda kind: kind.__name__)
def test_what_does_not_converge_is_caught_with_at_most_three_events(kind, tmp_path):
    """Within 200 examples; shown as a graph with two presents; the scenario fails again."""
    with pytest.raises(Diverged) as caught:
        assert_converges(kind, save=tmp_path / "failed.json")
    told = str(caught.value)
    assert told.startswith(f"{kind.__name__} does not converge: two that hold the same ")
    assert int(re.search(r"same (\d+) event", told)[1]) <= 3
    assert re.search(r"^ +\S*●", told, re.M)
    assert re.search(r"^ +one +other$", told, re.M)
    with pytest.raises(Diverged):
        replay(kind, tmp_path / "failed.json")
    with pytest.raises(Diverged):
        replay(kind, told.rpartition("`replay`):\n")[2])


NO_JOIN = """\
NoJoin does not converge: two that hold the same 2 events read differently.

    ●     a:2 Put(item='a')
    │  ●  b:2 Put(item='b')

          one                                           other
    last  'b'                                           'a'

    one    folded in the order of stamps
    other  as b wrote and heard it

scenario (play it again with `replay`):
"""


def test_a_counter_example_can_be_read():
    """Word for word: two events, the two presents, how each was come to, and how to play it again."""
    steps = (Wrote.of("a", kit.Put("a"), wall=1), Wrote.of("b", kit.Put("b"), wall=1))
    scenario = Scenario(("a", "b"), steps, (0,), app=("tests.kit:NoJoin",))
    with pytest.raises(Diverged) as caught:
        replay(kit.NoJoin, scenario.to_json())
    assert str(caught.value) == NO_JOIN + scenario.to_json()


def test_every_lattice_of_ours_is_one():
    """By its operations, over all histories of up to three events."""
    for case in CASES:
        if not case.reads:
            ops = {op.name: (lambda lattice, make=op.make: make(lattice, 1)) for op in case.ops[:3]}
            k = len(ops)
            assert check_lattice(case.lattice, ops) == 3 * (k + 3 * k**2 + 12 * k**3)


def test_a_lattice_that_is_none_is_shown_with_the_fewest_events():
    """Who comes last wins; and an operation that reads what is there."""
    with pytest.raises(BrokenLaw) as caught:
        check_lattice(kit.Overwriting(), {"put a": lambda s: s.put("a"), "put b": lambda s: s.put("b")})
    told = str(caught.value).splitlines()
    assert told[0] == "Overwriting is no lattice: 2 events, and two ways that differ."
    assert told[2:4] == ["    a:1  put a  (having seen nothing)", "    a:2  put b  (having seen a:1)"]
    assert told[5:] == ["    a:1, a:2: 'b'", "    (a:1, a:2) merged with (a:1): 'a'"]
    with pytest.raises(StateNotGiven):
        check_lattice(AWSet(), {"add one more": lambda s: s.add(len(s))})


def test_nothing_checked_is_no_success():
    """Where no event could be recorded, that is an error."""
    with pytest.raises(ValueError, match="no event of ShoppingList could be recorded"):
        assert_converges(ShoppingList, commands=st.just(AddItem("")), examples=10)


def test_a_class_that_no_other_process_can_import_is_said():
    """The order of sets is not checked there; everything else is."""

    class Local(kit.Good):
        stream = "local"

    with pytest.warns(UserWarning, match="cannot be imported by another process"):
        assert_converges(Local, examples=5)


def test_clocks_are_as_they_were():
    """After a check no clock is ahead."""
    before = time.time()
    assert_converges(kit.Good, examples=3)
    assert abs(time.time() - before) < 60
    assert kit.time is time


def test_scenarios_survive_their_file():
    """What is written is what is read, and what comes of it is the same."""
    found = []

    def keep(scenario):
        found.append(scenario)

    settings(max_examples=30, deadline=None)(given(scenarios(events_of(kit.Good)))(keep))()
    for scenario in found:
        again = Scenario.from_json(scenario.to_json())
        assert again == scenario
        one, other = Played(kit.Good, scenario), Played(kit.Good, again)
        assert one.hub.heads == other.hub.heads
        assert one.refused == other.refused == 0


def test_what_replay_does_not_play_is_refused_in_words():
    """Links and crashes are for `sync.testing.play`; two streams are more than one present."""
    crash = Scenario(("a",), (Crash("a"),))
    with pytest.raises(ScenarioError, match=r"step 1 \(crash\): `replay` knows .* `sync.testing.play`"):
        replay(kit.Good, crash.to_json())
    two = Scenario(("a",), tuple([Wrote.of("a", kit.Put("x"), stream=f"good/{n}") for n in (1, 2)]))
    with pytest.raises(ScenarioError, match="about one stream of Good"):
        replay(kit.Good, two.to_json())
