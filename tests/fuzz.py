"""Coverage-guided fuzzing of what strangers may send, and of what a file may hold.

    pip install -e '.[fuzz]' -c constraints.txt
    python -m tests.fuzz --seconds 900                     all targets, one after the other
    python -m tests.fuzz --seconds 300 --target block      one of them (see `tests.doors`)

The product is instrumented (atheris, libFuzzer) and begins with a corpus of what it has made itself. An input that
ends in an exception without a type of ours, takes longer than PATIENCE, or brings the process over MEMORY, ends the
run and is kept where that was started, as `crash-*`, `timeout-*` or `oom-*`. It becomes a test in
`tests.test_flips`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random

PATIENCE = 5
"""Seconds for one input."""
MEMORY = 256
"""MiB for the whole process: interpreter, instrumentation and all."""
LONGEST = 65_536
"""Bytes of an input: what breaks in the large breaks in the small, sooner."""
TARGETS = ("frame", "block", "text")


def fuzz(target: str, seconds: int, seed: int) -> None:
    """Fuzz one target until the time is over. Does not return: libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["merge", "replica", "sync"]):
        from tests.doors import DOORS
    door = DOORS[target]()

    def change(data: bytes, most: int, chance: int) -> bytes:
        """Half the time by what the bytes mean, half the time as libFuzzer does it."""
        random = Random(chance)
        changed = door.change(random, data) if data and random.random() < 0.5 else None
        return atheris.Mutate(data, most) if changed is None or len(changed) > most else changed

    with tempfile.TemporaryDirectory() as corpus:
        for number, data in enumerate(door.seeds()):
            Path(corpus, f"{number:04}").write_bytes(data)
        limits = [f"-max_total_time={seconds}", f"-timeout={PATIENCE}", f"-rss_limit_mb={MEMORY}", f"-seed={seed}"]
        atheris.Setup(
            [sys.argv[0], *limits, f"-max_len={LONGEST}", "-print_final_stats=1", corpus],
            door.enter,
            custom_mutator=change,
        )
        atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", choices=TARGETS)
    chosen = parser.parse_args()
    if chosen.target:
        fuzz(chosen.target, chosen.seconds, chosen.seed)
    each = str(chosen.seconds // len(TARGETS))
    for target in TARGETS:
        command = [
            sys.executable,
            "-m",
            "tests.fuzz",
            "--target",
            target,
            "--seconds",
            each,
            "--seed",
            str(chosen.seed),
        ]
        ended = subprocess.run(command).returncode
        print(f"{target}: {'nothing found' if ended == 0 else 'found something'} in {each} s", flush=True)
        if ended:
            return ended
    return 0


if __name__ == "__main__":
    sys.exit(main())
