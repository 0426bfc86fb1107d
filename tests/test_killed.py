"""SIGKILL whatever a replica is doing: a slice of kills in every run of the suite, and proof that loss is seen."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.loop import in_loop
from tests.promises import broken, facts_of, nothing_else, reused
from tests.shop import HOME, AddTwice, ItemAdded
from tests.victim import Promise, opened

ROOT = Path(__file__).parent.parent


def test_killed_at_any_moment_nothing_acknowledged_is_lost_and_every_promise_is_kept_once():
    """Run apart: who forks the lives must have no thread, and a worker of pytest has."""
    command = [sys.executable, "-m", "tests.kills", "--kills", "24"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.match(r"(\d+) kills, (\d+) events acknowledged, 0 lost; .* 2 checks", done.stdout)
    assert found, done.stdout
    assert int(found[1]) == 24
    assert int(found[2]) > 500


LOSS = """
import asyncio, sys
from tests.kills import Shared, Tally, check
from tests.shop import HOME, ItemAdded
from tests.victim import Promise, opened

async def write():
    async with opened(sys.argv[1]) as replica:
        await replica.append(HOME, ItemAdded("0/0/0"))

asyncio.run(write())
tally = Tally()
check(sys.argv[1], [Promise(7, 2, "add", "0/0/1")], Shared(), tally)
print(tally.lost, tally.wrong)
"""


def test_a_loss_ends_the_run_and_says_which_promise_was_not_kept(tmp_path):
    """Counted alone it could not be followed: the seeds give the same lives, not the same deaths."""
    path = str(tmp_path / "a.db")
    done = subprocess.run([sys.executable, "-c", LOSS, path], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == f"1 ['{path}: see above']\n", done.stdout + done.stderr
    assert f"{path}: not kept, among 1: [Promise(replica=7, first=2, kind='add', tag='0/0/1')]" in done.stderr


@in_loop
async def test_a_promise_that_was_not_kept_is_seen(tmp_path):
    """An event that is not there, one that says something else, a commit in parts, one that nobody asked for."""
    async with opened(str(tmp_path / "a.db")) as replica:
        committed = await replica.execute(HOME, AddTwice("0/0/0"))
        kept = Promise(int(committed.dots[0].replica), committed.dots[0].seq, "twice", "0/0/0")
        facts = await facts_of(replica)
        assert broken([kept], facts) == reused([kept], facts) == []
        beyond = Promise(kept.replica, kept.first + 2, "add", "0/0/1")
        other = Promise(kept.replica, kept.first, "twice", "0/0/1")
        parts = Promise(kept.replica, kept.first, "add", "0/0/0")
        assert broken([kept, beyond, other, parts], facts) == [beyond, other, parts]
        assert reused([kept, beyond, other, parts], facts) == [other, other]
        nothing_else([], facts)
        await replica.append(HOME, ItemAdded("0/0/1"))
        with pytest.raises(AssertionError, match="at once"):
            nothing_else([], await facts_of(replica))
        await replica.append(HOME, ItemAdded("0/0/1"))
        with pytest.raises(AssertionError, match="recorded twice"):
            nothing_else([kept], await facts_of(replica))
