"""The simulator: a slice of schedules in every run of the suite, and proof that it can fail."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from merge.tree import Tree
from replica.core import Core
from replica.ingest import _Batch
from sync.protocol import Session
from sync.testing import FAULTS, Found, simulate
from sync.testing.disk import Disk

ROOT = Path(__file__).parent.parent
SLICE = range(120)


@pytest.mark.parametrize("tens", range(SLICE.start, SLICE.stop, 10))
def test_whatever_goes_wrong_all_come_to_the_same(tens):
    """Ten schedules: whatever happened, every oracle holds."""
    for seed in range(tens, tens + 10):
        simulate(seed)


REGRESSIONS = [3, 3257]
"""Seeds that have found something: 3, two clones with equal stamps, of which `collect` could send neither, and went
on for ever; 3257, a second history of which one who held the later part of the first was never told."""


@pytest.mark.parametrize("seed", REGRESSIONS)
def test_what_was_found_once_stays_found(seed):
    """Schedules that have failed, each with the line of the changelog that it led to."""
    simulate(seed)


def test_a_schedule_has_many_faults_of_all_kinds():
    """At least fifty in each on average; every kind in a few schedules."""
    outcomes = [simulate(seed) for seed in range(1000, 1010)]
    assert sum(sum(outcome.faults.values()) for outcome in outcomes) / len(outcomes) > 50
    assert {fault for outcome in outcomes for fault in outcome.faults} == set(FAULTS)
    assert all(outcome.events > 20 for outcome in outcomes)


def test_a_seed_replays_to_the_same_trace_in_another_process():
    """Under other hash seeds, from the command line."""
    here = simulate(7).trace
    for hash_seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-m", "sync.testing", "--seeds", "7"], cwd=ROOT, capture_output=True, text=True,
            timeout=60, env={**os.environ, "PYTHONHASHSEED": hash_seed},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.search(r"trace (\w+)", done.stdout)[1] == here


def forgets_unseen(self, seen):
    """A forget that looks at nothing it had seen: all goes."""
    return Tree(tallies=self.tallies, absorbed=self.absorbed)


def loses_acknowledged(self, random):
    """A disk that loses what was synced."""
    return self.upto(random.randint(0, self.writes))


def never_behind(self):
    """A session that sends nothing but what is pushed."""


def no_late_past(self):
    """A fold that never goes back for what arrives late."""


MUTANTS = [
    (Tree, "without", forgets_unseen, {"meaning", "convergence", "snapshots"}),
    (Disk, "after_crash", loses_acknowledged, {"durability", "liveness", "causality"}),
    (Session, "_pump", never_behind, {"liveness", "durability"}),
    (_Batch, "rewind", no_late_past, {"meaning", "convergence", "snapshots"}),
    (Core, "refold", lambda self, stamp: None, {"meaning", "convergence", "snapshots", "causality", "liveness"}),
]


@pytest.mark.parametrize(
    ("where", "name", "broken", "oracles"), MUTANTS, ids=lambda one: getattr(one, "__name__", "")
)
def test_a_seeded_bug_is_found(monkeypatch, where, name, broken, oracles):
    """Each within a hundred schedules, by an oracle or by an error."""
    monkeypatch.setattr(where, name, broken)
    for seed in range(100):
        found = played(seed)
        if found is not None:
            assert found in oracles or found == "error"
            return
    pytest.fail(f"{where.__name__}.{name} was broken, and a hundred schedules found nothing")


def played(seed):
    """Which oracle a schedule broke, if any; "error" where the code itself raised."""
    try:
        simulate(seed)
    except Found as found:
        return found.oracle
    except Exception:
        return "error"
    return None
