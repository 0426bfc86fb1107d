"""The independent judge: a slice of programs in every run of the suite, and proof that it can fail.

`make soak` plays more, and `python -m tests.mutants` shows what it finds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from tests.differential import KINDS, Step, play, program
from tests.limits import LIMITS, holder
from tests.mutants import JUDGED, hunt
from tests.reference import Act, Fact, add_wins, enable_wins, every_writer, last_writer, read, remove_wins, total

ROOT = Path(__file__).parent.parent
SLICE = (1, 2, 3)
"""Programs; in odd ones most limits are tiny."""


@pytest.mark.parametrize("seed", SLICE)
def test_whatever_happens_every_reading_is_what_the_facts_say(seed):
    """After each step of a program some readings, and in the end all, are those of the slow reference."""
    assert play(seed, program(seed, 25)).found is None


STEPS = st.lists(
    st.builds(Step, st.sampled_from(list(KINDS)), st.integers(0, 5), st.integers(0, 1 << 32)),
    min_size=4,
    max_size=12,
)


@given(st.integers(0, 99), STEPS)
@settings(max_examples=3, deadline=None, derandomize=True)
def test_any_steps_lead_to_readings_that_the_facts_say(seed, steps):
    """Programs that nobody has drawn from a seed; what fails here is shrunk to its steps."""
    assert play(seed, steps, looks=0.5).found is None


def test_a_seed_is_the_same_program_in_another_process():
    """The same commits, stamps and contexts, under another hash seed: so a seed says it all."""
    here = play(7, program(7, 12), looks=0.2)
    code = "from tests.differential import play, program; print(play(7, program(7, 12), looks=0.2).trace)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == here.trace, done.stderr
    assert here.found is None


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: f"{limit.places[0]}.{limit.name}")
def test_each_limit_is_there_to_be_made_tiny(limit):
    """Else a program plays under stock limits, and nobody notices."""
    assert all(isinstance(getattr(holder(place), limit.name), int) for place in limit.places)


@pytest.mark.parametrize("mutant", JUDGED, ids=lambda mutant: mutant.says)
def test_the_place_of_each_seeded_bug_that_the_judge_finds_is_there(mutant):
    """Else the table of bugs would go on to count what is put in nowhere."""
    assert mutant.old in (ROOT / mutant.file).read_text()


def test_a_seeded_bug_is_found_by_the_judge():
    """In the readings of the past; the others by `python -m tests.mutants`."""
    assert hunt(JUDGED[0], seeds=3) is not None


# --- the reference itself, by README's table ---


def acts(*said: tuple[int, dict[int, int], str, object]) -> list[Act]:
    """Acts of authors 1, 2, 3 ...: who, what was seen, the verb, the value; stamped in this order."""
    seqs: dict[int, int] = {}
    found = []
    for wall, (author, context, verb, value) in enumerate(said):
        seq = seqs[author] = seqs.get(author, 0) + 1
        fact = Fact("s/1", author, seq, seq, seq, (wall, 0, author), context, "", 1, {})
        found.append(Act(fact, (), verb, value))
    return found


AT_ONCE = [
    (add_wins, ("add", "x"), ("remove", "x"), {"x"}),
    (remove_wins, ("add", "x"), ("remove", "x"), set()),
    (last_writer, ("write", 1), ("write", 2), 2),
    (every_writer, ("write", 1), ("write", 2), [1, 2]),
    (enable_wins, ("enable", None), ("disable", None), True),
    (total, ("count", 2), ("count", 3), 5),
]


@pytest.mark.parametrize(("lattice", "one", "other", "wanted"), AT_ONCE)
def test_the_reference_reads_at_once_as_the_table_of_the_readme(lattice, one, other, wanted):
    """A row of the table, with neither act having seen the other; and in turn, where the later one counts."""
    assert lattice(acts((1, {}, *one), (2, {}, *other))) == wanted
    if lattice in (add_wins, remove_wins, enable_wins):
        assert lattice(acts((2, {}, *other), (1, {}, *one))) == wanted
        assert not lattice(acts((1, {}, *one), (2, {1: 1}, *other)))
        assert lattice(acts((2, {}, *other), (1, {2: 1}, *one)))


def test_the_reference_keeps_what_the_remover_of_a_key_had_not_seen():
    """The row of ORMap: an edit that the removal had seen is gone with its key, another one keeps it."""
    one, two, gone = acts((1, {}, "add", "x"), (2, {}, "add", "y"), (3, {1: 1}, "wipe", None))
    placed = [one._replace(place=("k",)), two._replace(place=("k",)), gone._replace(place=("k",))]
    assert read((add_wins,), placed) == {"k": {"y"}}
    assert read((add_wins,), [placed[0], placed[2]]) == {}
