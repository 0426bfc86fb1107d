"""SIGKILL while commands are executed, projected and carried out: nothing is missing, and nothing is double."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

from tests.loop import in_loop, until
from tests.owing import STREAMS, opened

ROOT = Path(__file__).parent.parent
ROUNDS = 10


def killed(path: Path, mark: int, random: Random) -> list[str]:
    """Run the process for a while after its first answer, kill it, and return what it had acknowledged."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.owing", path, str(mark)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    first = process.stdout.readline()
    time.sleep(random.random() * 0.25)
    process.kill()
    rest = process.stdout.read().splitlines(keepends=True)
    process.wait()
    process.stdout.close()
    return [line.strip() for line in (first, *rest) if line.endswith("\n")]


@in_loop
async def test_killed_at_any_moment_every_event_has_its_rows_and_every_promise_is_kept_once(tmp_path):
    """Ten times; then each question that was acknowledged has one answer, and the tables are a rebuild's."""
    seed = time.time_ns()
    random = Random(seed)
    acknowledged: list[str] = []
    for mark in range(ROUNDS):
        acknowledged += killed(tmp_path / "a.db", mark, random)
    async with opened(tmp_path / "a.db") as replica:
        before = {table: await replica.rows(table) for table in ("said", "counts")}
        await until(lambda: not replica.status().due)
        answers = {}
        for number in range(STREAMS):
            answers |= (await replica.present(f"quiz/{number}")).state
        assert set(acknowledged) <= answers.keys(), f"lost, seed {seed}"
        assert {count for _, count in answers.values()} == {1}, f"not once, seed {seed}"
        said = await replica.rows("said")
        counts = await replica.rows("counts")
        assert len(said) == replica.status().events - 1, f"events without rows, seed {seed}"
        assert Counter(row[4:] for row in said).most_common(1)[0][1] == 1
        assert {row[2]: row[3] for row in counts} == dict.fromkeys(answers, 1)
        assert set(before["said"]) <= set(said)
        for table, rows in (("said", said), ("counts", counts)):
            await replica.rebuild(table)
            assert await replica.rows(table) == rows, f"{table} differs from a rebuild, seed {seed}"
    assert len(acknowledged) > ROUNDS * 5
