"""SIGKILL, thousands of times, whatever a replica is doing: nothing that was acknowledged is lost.

    python -m tests.kills --kills 10000 --seed 1

Rule 1. Each life is a real process over a real SQLite file, and is really killed. The parent has imported
        everything and forks: it has no thread and no loop of its own, and a life begins within milliseconds.
Rule 2. Promises (`tests.victim`) come through a pipe, whose content survives the kill.
Rule 3. A file is lived on by `LIVES` processes, one after the other. Half way and at the end another forked process
        opens it, checks everything (`tests.promises`) and lets it meet a peer, which has a file of its own and so
        remembers what the dots meant the time before. What is wrong ends the run, and its files stay.
Rule 4. In which phase a kill landed is read from memory that parent and child share. Whether it landed in a
        checkpoint, SQLite's index of its write-ahead log says.

What is killed when is a matter of chance and of the machine: a seed gives the same lives, not the same deaths.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import mmap
import os
import select
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec

from replica.build import Build
from replica.core import Core
from replica.mark import MarkFile
from replica.sqlite import SqliteLog
from tests.promises import agree, answered_once, broken, facts_of, nothing_else, well
from tests.victim import Life, Promise, bob, live, opened

LIVES = 25
"""Lives of a file: its log grows to some thousand events, several blocks and two snapshots a stream."""
LONGEST = 60.0
"""Seconds after which a child that says nothing hangs."""
PAST = 400
"""Events of the peer whose past is ingested."""
PATIENCE = 0.1
"""Seconds after its first promise for which a phase is waited for."""

PHASES = {
    "preparing": (SqliteLog, "_prepare"), "marking": (MarkFile, "write"), "deciding": (Core, "execute"),
    "recording": (Core, "append"), "ingesting": (Core, "ingest"), "projecting": (Core, "transaction"),
    "taking a snapshot": (Core, "snapshot"), "building a table": (Build, "put"), "settling": (Core, "settle"),
    "committing": (SqliteLog, "_commit"), "sealing": (SqliteLog, "seal"), "writing": (SqliteLog, "write"),
}  # fmt: skip
"""What a kill can land in: the calls during which it does, inner ones first."""
RARE = ("preparing", "marking", "ingesting", "taking a snapshot", "building a table", "sealing")
"""Phases that are short or rare: some kills wait for one of them."""
STAGES = ["forked", "opening", "living", "closing", "closed"]

_encode, _decode = msgspec.json.encode, msgspec.json.Decoder(Promise).decode


class Tally:
    """What some kills came to."""

    def __init__(self) -> None:
        self.kills = self.closed = self.promised = self.lost = self.checks = 0
        self.phases: Counter[str] = Counter()
        self.wrong: list[str] = []


class Plan(NamedTuple):
    """When a life is ended: so many seconds after it has begun, had its first answer, begun to close, or come into
    a phase (or, where it does not, `PATIENCE` seconds after its first answer)."""

    after: str
    seconds: float


class Shared(logging.Handler):
    """Memory that outlives a child: the stage of its life, what it is in the midst of, whether it complained."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._bytes = mmap.mmap(-1, mmap.PAGESIZE)
        logging.getLogger("anabranch").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """What a replica logs as an error is something that a kill must not lead to."""
        self._bytes[-1] = 1
        print(self.format(record), file=sys.stderr)

    @property
    def complained(self) -> bool:
        return bool(self._bytes[-1])

    def clear(self) -> None:
        self._bytes[:] = bytes(len(self._bytes))

    def stage(self, name: str) -> None:
        self._bytes[0] = STAGES.index(name)

    def watch(self) -> None:
        """In a child: note each phase while it lasts."""
        for number, (owner, name) in enumerate(PHASES.values(), 1):
            setattr(owner, name, self._noting(number, getattr(owner, name)))

    def _noting(self, number: int, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def noting(*args: Any, **options: Any) -> Any:
            self._bytes[number] = 1
            try:
                return call(*args, **options)
            finally:
                self._bytes[number] = 0

        return noting

    def phase(self) -> str:
        """The innermost phase that was noted; else the stage."""
        return next((name for name in PHASES if self.is_in(name)), STAGES[self._bytes[0]])

    def is_in(self, phase: str) -> bool:
        return bool(self._bytes[1 + list(PHASES).index(phase)])


def in_child(run: Callable[[], None]) -> int:
    """Fork, run it there, and end; the child's id."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            run()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return child


def plan_of(random: Random) -> Plan:
    """Mostly while it works; often enough while it opens, and while it closes."""
    chance = random.random()
    if chance < 0.15:
        return Plan("begun", random.random() * 0.012)
    if chance < 0.25:
        return Plan("closing", random.random() * 0.004)
    if chance < 0.45:
        return Plan(random.choice(RARE), random.random() * 0.0005)
    return Plan("promised", random.random() * 0.07)


def end_one(life: Life, plan: Plan, shared: Shared, tally: Tally) -> list[Promise]:
    """Let one live, kill it as planned, and return what it was promised."""
    reading, writing = os.pipe()
    shared.clear()

    def run() -> None:
        os.close(reading)
        shared.watch()

        def stage(name: str) -> None:
            shared.stage(name)
            if name == "closing":
                os.write(writing, b"closing\n")

        asyncio.run(live(life, lambda promise: _say(writing, promise), bob(PAST)[1], stage=stage))

    child = in_child(run)
    os.close(writing)
    try:
        said = _hear_until(plan, reading, shared)
    finally:
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
    while heard := os.read(reading, 1 << 16):
        said += heard
    os.close(reading)
    if os.WIFSIGNALED(status):
        tally.kills += 1
        phase = shared.phase()
        checkpointing = phase == "committing" and _checkpointing(life.path)
        tally.phases["checkpointing" if checkpointing else phase] += 1
    else:
        tally.closed += 1
        if os.WEXITSTATUS(status):
            tally.wrong.append(f"life {life} ended by itself, with an error")
    if shared.complained:
        tally.wrong.append(f"life {life} logged an error")
    return [_decode(line) for line in bytes(said).splitlines() if line != b"closing"]


def _hear_until(plan: Plan, pipe: int, shared: Shared) -> bytearray:
    """What a child says until it is to be killed, or has ended."""
    said = bytearray()
    now = time.monotonic()
    hangs, deadline = now + LONGEST, now + plan.seconds if plan.after == "begun" else None
    while deadline is None or now < deadline:
        assert now < hangs, f"nothing was said for {LONGEST:g} s"
        left = hangs - now if deadline is None else deadline - now
        if plan.after in RARE:
            left = min(left, 0.0002)
        if select.select([pipe], [], [], left)[0]:
            heard = os.read(pipe, 1 << 16)
            if not heard:
                break
            if not said and plan.after in RARE:
                deadline = now + PATIENCE
            said += heard
            if deadline is None and (plan.after == "promised" or b"closing\n" in said):
                deadline = time.monotonic() + plan.seconds
        if plan.after in RARE and shared.is_in(plan.after):
            time.sleep(plan.seconds)
            break
        now = time.monotonic()
    return said


def _say(pipe: int, promise: Promise) -> None:
    os.write(pipe, _encode(promise) + b"\n")


def _checkpointing(path: str) -> bool:
    """There are enough frames for a checkpoint, and not all are backfilled: COMMIT is at it, or about to be.

    Read from SQLite's index of its write-ahead log (https://www.sqlite.org/walformat.html, section 2.1).
    """
    with Path(f"{path}-shm").open("rb") as file:
        header = file.read(100)
    frames, backfilled = (int.from_bytes(header[at : at + 4], sys.byteorder) for at in (16, 96))
    return frames >= SqliteLog.checkpoint and backfilled < frames


def check(path: str, promises: list[Promise], shared: Shared, tally: Tally) -> None:
    """Look at the file in another process: everything that must hold, and a meeting with a peer."""
    reading, writing = os.pipe()
    shared.clear()

    async def look() -> None:
        async with opened(path) as replica, opened(f"{path}-peer", "peer") as peer:
            await answered_once(replica)
            facts = await facts_of(replica)
            missed = broken(promises, facts)
            os.write(writing, str(sum(len(promise.texts) for promise in missed)).encode())
            if missed:
                print(f"{path}: not kept, among {len(missed)}: {missed[:5]}", file=sys.stderr)
            nothing_else(promises, facts)
            await well(replica, facts)
            await agree(replica, peer)
            assert await facts_of(peer) == facts

    child = in_child(lambda: asyncio.run(asyncio.wait_for(look(), LONGEST)))
    os.close(writing)
    ended = os.waitpid(child, 0)[1]
    lost = int(os.read(reading, 64) or 0)
    if ended or lost or shared.complained:
        tally.wrong.append(f"{path}: see above")
    tally.lost += lost
    tally.checks += 1
    os.close(reading)


def kill_over_one_file(folder: Path, seed: int, kills: int, shared: Shared, tally: Tally) -> None:
    """So many lives of one file, and its checks."""
    random, promises = Random(f"kills/{seed}"), list[Promise]()
    path = str(folder / f"{seed}.db")
    upto = min(tally.kills + LIVES, kills)
    half = (tally.kills + upto) // 2
    number = 0
    while tally.kills < upto and not tally.wrong:
        plan = plan_of(random)
        turns = 4 if plan.after == "closing" else 1_000_000
        durability = "normal" if random.random() < 0.25 else "full"
        promises += end_one(Life(path, number, seed, durability, turns=turns), plan, shared, tally)
        number += 1
        if tally.kills == half:
            check(path, promises, shared, tally)
            half = -1
    check(path, promises, shared, tally)
    tally.promised += sum(len(promise.texts) for promise in promises)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description="Kill replicas, and look.")
    parser.add_argument("--kills", type=int, default=200, help="how many; 200 unless given")
    parser.add_argument("--seed", type=int, default=0, help="of the lives; 0 unless given")
    parser.add_argument("--folder", help="where the files are to lie; a temporary one unless given")
    args = parser.parse_args()
    bob(PAST)
    gc.freeze()
    shared, tally, begun, seed = Shared(), Tally(), time.perf_counter(), args.seed
    folder = Path(tempfile.mkdtemp(dir=args.folder))
    try:
        while tally.kills < args.kills and not tally.wrong:
            kill_over_one_file(folder, seed, args.kills, shared, tally)
            for file in () if tally.wrong else folder.iterdir():
                file.unlink()
            seed += 1
    finally:
        if any(folder.iterdir()):
            print(f"the files at the end are in {folder}", file=sys.stderr)
        else:
            folder.rmdir()
    took = time.perf_counter() - begun
    print(
        f"{tally.kills} kills, {tally.promised} events acknowledged, {tally.lost} lost; {tally.closed} closed "
        f"before they were killed, {seed - args.seed} files, {tally.checks} checks, {took:.0f} s"
    )
    print("  " + ", ".join(f"{phase} {times}" for phase, times in tally.phases.most_common()))
    for wrong in tally.wrong:
        print(f"  seeds {args.seed} to {seed - 1}: {wrong}")
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
