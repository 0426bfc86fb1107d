"""The simulator: a slice of schedules in every run of the suite, and proof that it can fail."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sync.testing import FAULTS, simulate
from sync.testing.simulator import FAULTS_EACH
from tests.mutants import MASKED, MUTANTS, hunt

ROOT = Path(__file__).parent.parent
SLICE = range(150)


@pytest.mark.parametrize("tens", range(SLICE.start, SLICE.stop, 10))
def test_whatever_goes_wrong_all_come_to_the_same(tens):
    """Ten schedules: whatever happened, every oracle holds."""
    for seed in range(tens, tens + 10):
        simulate(seed)


FAULTS_FOUND = [302319, 302805, 304358, 1018609]
"""Seeds that have found a fault of the product, as schedules are now: what was settled and changed; a gap that was
not answered. What schedules as they were before have found (the changelog names the seeds) has tests of its own, in
`test_protocol`, `test_fork`, `test_forks`, `test_members` and `test_core`."""

FOR_NOTHING = [1005643, 1006008, 1011643, 1017896, 1023480, 5004404, 9001350]
"""Seeds that have found a fault of the simulator: it asked what does not hold where an id is in use twice or
somebody was retired, took a backup that cannot be, and took two questions for one that a backup had undone."""


@pytest.mark.parametrize("seed", FAULTS_FOUND + FOR_NOTHING)
def test_what_was_found_once_stays_found(seed):
    """Schedules that have failed, each with the line of the changelog that it led to."""
    simulate(seed)


def test_a_schedule_has_many_faults_of_all_kinds():
    """At least fifty in each; every kind in a few schedules."""
    outcomes = [simulate(seed) for seed in range(1000, 1012)]
    assert all(outcome.faults.total() >= FAULTS_EACH for outcome in outcomes)
    kinds = {fault.__name__.replace("_", " ") for fault in FAULTS}
    assert {fault for outcome in outcomes for fault in outcome.faults} == kinds
    assert all(outcome.events > 20 for outcome in outcomes)


@pytest.mark.parametrize("seed", ["6", "7", "50"])
def test_a_seed_replays_to_the_same_trace_in_another_process(seed):
    """Every frame, under other hash seeds, from the command line. In 6 and 50 second histories turn up."""
    here = simulate(int(seed)).trace
    for hash_seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-m", "sync.testing", "--seeds", seed], cwd=ROOT, capture_output=True, text=True,
            timeout=60, env={**os.environ, "PYTHONHASHSEED": hash_seed},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.search(r"trace (\w+)", done.stdout)[1] == here


@pytest.mark.parametrize("mutant", [*MUTANTS, *MASKED.values()], ids=lambda mutant: mutant.says)
def test_the_place_of_each_seeded_bug_is_there(mutant):
    """Else the table of bugs would go on to count what is put in nowhere."""
    assert mutant.old in (ROOT / mutant.file).read_text()


@pytest.mark.parametrize("number", [0, 11, 16, 33])
def test_some_seeded_bugs_are_found(number):
    """In the fold, in the order, in ingest, in projections; all of them by `python -m tests.mutants`."""
    assert hunt(MUTANTS[number], seeds=60) is not None
