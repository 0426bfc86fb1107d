"""The independent judge: whole replicas beside a slow reference that shares no code with their folds.

    python -m tests.differential --seeds 0-1000        each seed is a program; prints the first difference, shrunk
    python -m tests.differential --minutes 10          from seed 0 on (or from --seeds), for so long

A program is some settings and fifty steps (`tests.sides`): decisions over several streams, links, cuts, joins,
forks, copies, backups put back, kills, other releases. After each step some readings (`tests.readings`) are
compared with what they must be (`tests.reference`), and all of them in the end. In odd seeds most limits are tiny
(`tests.limits`).

A step draws what it needs from a number of its own, so a program with steps taken away is a program still.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.limits import limited
from tests.readings import look, look_at_all
from tests.reference import union
from tests.sides import PATIENCE, RELEASES, Difference
from tests.steps import World

KINDS = {
    "execute": 14, "append": 4, "burst": 4, "ask": 3, "retry": 4, "expect": 2, "sync": 12, "link": 3, "broken": 3,
    "join": 5, "reopen": 3, "kill": 3, "upgrade": 3, "drop": 1, "rebuild": 1, "fork": 1, "backup": 2, "restore": 1,
    "copy": 1, "wait": 3, "retire": 1, "look": 6,
}  # fmt: skip
STEPS = 50
TELLING = False
"""Each step is said as it is taken."""
HANGS = 2 * PATIENCE
"""Seconds after which a step counts as one that does not end."""


class Step(NamedTuple):
    """What is done, at which side, and the number from which it draws the rest."""

    kind: str
    side: int
    draw: int


class Found(NamedTuple):
    """A difference, and after how many steps it showed."""

    step: int
    what: str
    words: str


class Outcome(NamedTuple):
    """What became of a program."""

    steps: Counter[str]
    events: int
    trace: str
    """A digest of all that was recorded, in whatever log: a seed leads to the same each time."""
    limits: list[str]
    found: Found | None


def program(seed: int, steps: int = STEPS) -> list[Step]:
    random = Random(f"program {seed}")
    kinds = random.choices([*KINDS], [*KINDS.values()], k=steps)
    return [Step(kind, random.randrange(6), random.getrandbits(32)) for kind in kinds]


def play(seed: int, steps: Sequence[Step], *, looks: float = 1.0) -> Outcome:
    """Play a program under the settings of a seed."""
    logging.disable(logging.CRITICAL)
    chance = Random(f"limits {seed}") if seed % 2 else None
    try:
        with tempfile.TemporaryDirectory(prefix="judged") as folder, limited(chance) as limits:
            return asyncio.run(_play(seed, steps, Path(folder), limits, looks))
    finally:
        logging.disable(logging.NOTSET)


async def _play(seed: int, steps: Sequence[Step], folder: Path, limits: list[str], looks: float) -> Outcome:
    world = World(folder, Random(f"world {seed}"))
    number, done, found = 0, Counter[str](), None
    try:
        async with asyncio.timeout(HANGS):
            await world.begin()
        for number, step in enumerate(steps, 1):
            async with asyncio.timeout(HANGS):
                said = await world.step(*step)
                done[step.kind] += 1
                if TELLING:
                    print(f"  {number} {step.kind} {world.name_of(step.side)}: {said}", flush=True)
                random = Random(f"look {step.draw}")
                for side in world.sides:
                    if step.kind == "look" or random.random() < looks / len(world.sides):
                        await look(world, side, random, 5 if step.kind == "look" else 2)
        number += 1
        async with asyncio.timeout(3 * HANGS):
            await _finish(world, Random(f"end {seed}"))
    except Exception as error:
        if isinstance(error, Difference):
            found = Found(number, error.what, str(error))
        else:
            found = Found(
                number, f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error)[-4:])
            )
    try:
        await asyncio.wait_for(world.end(), 30)
    except Exception as error:
        found = found or Found(number, f"closing: {error!r}", "".join(traceback.format_exception(error)))
    facts = world.log.facts(union(*world.knew.values()))
    trace = blake2b(repr(facts).encode(), digest_size=8).hexdigest()
    return Outcome(done, len(facts), trace, limits, found)


async def _finish(world: World, random: Random) -> None:
    """All run the newest code, hear each other, and are asked everything."""
    for side in world.sides:
        await world.close(side)
        side.number = RELEASES[-1]
        await world.open(side, new=False)
    await world.level()
    first = world.sides[0]
    for _ in range(2):
        for side in world.sides[1:]:
            await side.replica.join(first.replica)
            await world.level()
            await first.replica.join(side.replica)
            await world.level()
    if any(side.heard != first.heard for side in world.sides):
        raise Difference("what all have heard in the end", first.heard, [side.heard for side in world.sides])
    for side in world.sides:
        await look_at_all(world, side, random)


def shrink(seed: int, steps: Sequence[Step], found: Found, seconds: float = 60.0) -> tuple[list[Step], Found]:
    """Fewer steps that lead to a difference still."""
    left, until = list(steps[: found.step]), time.monotonic() + seconds
    size = max(len(left) // 2, 1)
    while time.monotonic() < until:
        at = 0
        while at < len(left) and time.monotonic() < until:
            fewer = left[:at] + left[at + size :]
            again = play(seed, fewer).found
            if again is not None:
                left, found = fewer[: again.step], again
            else:
                at += size
        if size == 1:
            break
        size //= 2
    return left, found


def tell(seed: int, steps: Sequence[Step], outcome: Outcome, shrinks: bool) -> None:
    found = outcome.found
    assert found is not None
    print(f"seed {seed}: {found.what} (after step {found.step} of {len(steps)})\n  {found.words}", flush=True)
    if outcome.limits:
        print(f"  limits {' '.join(outcome.limits)}")
    if shrinks:
        fewer, found = shrink(seed, steps, found)
        print(f"  {len(fewer)} steps are left: {found.words}")
        for step in fewer:
            print(f"    {step!r},")


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--seeds", default="0-200", help="one, or a range such as 0-1000 (default 0-200)")
    parser.add_argument("--minutes", type=float, help="go on for so long, whatever the range")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--no-shrink", action="store_true")
    parser.add_argument("--trace", action="store_true", help="say each step as it is taken")
    parser.add_argument("--all", action="store_true", help="go on after a difference")
    options = parser.parse_args(words)
    global TELLING
    TELLING = options.trace
    first, _, last = options.seeds.partition("-")
    seeds: Iterable[int] = range(int(first), int(last or first) + 1)
    until = None
    if options.minutes is not None:
        seeds, until = range(int(first), 1 << 60), time.monotonic() + 60 * options.minutes
    played, differ, steps_, events = 0, 0, Counter[str](), 0
    for seed in seeds:
        if until is not None and time.monotonic() > until:
            break
        steps = program(seed, options.steps)
        outcome = play(seed, steps)
        played, events, steps_ = played + 1, events + outcome.events, steps_ + outcome.steps
        if outcome.found is not None:
            differ += 1
            tell(seed, steps, outcome, not options.no_shrink)
            if not options.all:
                break
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(steps_.items()))
    print(f"{played} programs, {events} events, {differ} with a difference; steps: {kinds}")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
