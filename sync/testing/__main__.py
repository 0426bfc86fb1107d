"""`python -m sync.testing`: play many schedules, and say what was found.

python -m sync.testing --seeds 0-5000          from one process
python -m sync.testing --seeds 0-5000 -j 2     from two
python -m sync.testing --seeds 1234            one schedule; its trace is the same everywhere
python -m sync.testing --scenario FILE         a scenario (docs/scenarios.md) in place of schedules
"""

from __future__ import annotations

import argparse
import gc
import signal
import sys
import time
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import msgspec

from replica.app import NoSuchApp
from replica.scenario import ScenarioError
from sync.testing.alone import play as play_scenario
from sync.testing.director import Happened
from sync.testing.ledger import Found
from sync.testing.simulator import STEPS, simulate

PORTION = 50
"""Schedules that a process plays before it reports."""
SELDOM = (20_000, 50, 50)
"""How often the collector looks for cycles: a schedule makes many objects, and few cycles."""
PATIENCE = 20
"""Seconds after which a schedule counts as one that does not end; it takes less than a tenth of one."""


class Endless(BaseException):
    """A schedule does not end. No `except Exception` hears of it."""


def _give_up(*_: object) -> None:
    raise Endless


class Report(msgspec.Struct):
    """What some schedules came to."""

    schedules: int = 0
    faults: Counter[str] = msgspec.field(default_factory=Counter)
    events: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    """Seconds of one core."""
    found: list[tuple[int, str]] = []
    trace: str = ""


def play(seeds: range, steps: int) -> Report:
    """Play the schedules of some seeds, to the end of each."""
    report, begun = Report(), time.process_time()
    gc.set_threshold(*SELDOM)
    signal.signal(signal.SIGALRM, _give_up)
    for seed in seeds:
        report.schedules += 1
        signal.alarm(PATIENCE)
        try:
            outcome = simulate(seed, steps)
        except Found as found:
            report.found.append((seed, str(found)))
        except (Exception, Endless) as error:
            oracle = "error" if isinstance(error, Exception) else "end"
            last = traceback.extract_tb(error.__traceback__)[-1]
            report.found.append((seed, f"{oracle}: {error!r} in {last.name}, {last.filename}:{last.lineno}"))
        else:
            report.faults += outcome.faults
            report.events += outcome.events
            report.seconds += outcome.seconds
            report.trace = outcome.trace
    signal.alarm(0)
    report.cpu = time.process_time() - begun
    return report


def first_of(seeds: range, steps: int) -> int:
    """Play until something is found."""
    for seed in seeds:
        for _, what in play(range(seed, seed + 1), steps).found:
            print(f"seed {seed}: {what}")
            return 1
    return 0


def told(path: Path) -> int:
    """Play a scenario, and say what came of each step."""
    try:
        report = play_scenario(path, tell=_tell)
    except (OSError, ScenarioError, NoSuchApp) as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 2
    return 0 if report.held else 1


def _tell(_: object, one: Happened) -> None:
    print(f"{one.number:>3} {' ' if one.held else '✗'} {one.step}   {one.came}".rstrip())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sync.testing", description="Break replicas on purpose.")
    parser.add_argument("--seeds", default="0-200", metavar="A-B", help="A to B - 1, or one; 0-200 unless given")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"steps of a schedule; {STEPS} unless given")
    parser.add_argument("-j", "--processes", type=int, default=1, help="how many at once; 1 unless given")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing new after that")
    parser.add_argument("--first", action="store_true", help="end with the first that is found; in this process")
    parser.add_argument("--scenario", type=Path, metavar="FILE", help="play a scenario in place of schedules")
    args = parser.parse_args()
    if args.scenario is not None:
        return told(args.scenario)
    first, _, last = args.seeds.partition("-")
    seeds = range(int(first), int(last) if last else int(first) + 1)
    if not seeds:
        parser.error(f"there is no seed in {args.seeds}")
    portions = [seeds[at : at + PORTION] for at in range(0, len(seeds), PORTION)]
    if args.first:
        return first_of(seeds, args.steps)
    begun, total = time.perf_counter(), Report()
    with ProcessPoolExecutor(args.processes) as pool:
        for report in pool.map(play, portions, [args.steps] * len(portions)):
            total.schedules += report.schedules
            total.faults += report.faults
            total.events += report.events
            total.seconds += report.seconds
            total.cpu += report.cpu
            total.trace = report.trace
            for seed, what in report.found:
                total.found.append((seed, what))
                print(f"seed {seed}: {what}", flush=True)
            if time.perf_counter() - begun > args.minutes * 60:
                pool.shutdown(cancel_futures=True)
                break
    took = time.perf_counter() - begun
    print(
        f"{total.schedules} schedules, {sum(total.faults.values())} faults, {total.events} events, "
        f"{total.seconds / 3600:.1f} hours simulated in {took:.0f} s, {total.cpu:.0f} s of CPU: "
        f"{total.schedules / total.cpu * 3600:,.0f} an hour of one core, "
        f"{total.seconds / took:,.0f} times real time; {len(total.found)} found"
    )
    print("  " + ", ".join(f"{fault} {times}" for fault, times in sorted(total.faults.items())))
    if len(seeds) == 1 and total.trace:
        print(f"  trace {total.trace}")
    return 1 if total.found else 0


if __name__ == "__main__":
    sys.exit(main())
