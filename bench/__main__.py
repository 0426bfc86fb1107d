"""Run all workloads, or those that are named, and print one plain-text table after the other."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.table import Run

WORKLOADS = ("append", "catchup", "heal", "tiny", "live", "open", "late", "past", "fold")
PACKAGES = (
    "aiosqlite", "immutables", "msgspec", "websockets", "zstandard",
    "eventsourcing", "loro", "pycrdt", "pycrdt-store", "pycrdt-websocket",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("workload", nargs="*", metavar="workload", help=f"of {', '.join(WORKLOADS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="a smoke run: small, once, its figures mean nothing")
    parser.add_argument("--full", action="store_true", help="the large sizes too")
    parser.add_argument("--times", type=int, help="repetitions of each measurement (default: 5)")
    chosen = parser.parse_args()
    for name in chosen.workload:
        if name not in WORKLOADS:
            parser.error(f"there is no workload {name!r}; there are {', '.join(WORKLOADS)}")
    run = Run(chosen.quick, chosen.full, chosen.times or (1 if chosen.quick else 5))
    print(header(), flush=True)
    for name in chosen.workload or WORKLOADS:
        module = import_module(f"bench.{name}")
        print(f"\n\n=== {name} ===\n\n{module.__doc__.strip()}", flush=True)
        start = time.perf_counter()
        asyncio.run(module.main(run))
        print(f"\n({name}: {time.perf_counter() - start:.0f} s)", flush=True)


def header() -> str:
    """All that a reader needs to run the same again."""
    packages = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"
    return "\n".join(
        (
            f"command   python -m bench {' '.join(sys.argv[1:])}".rstrip(),
            f"commit    {_commit()}",
            f"python    {platform.python_version()}, {machine}",
            f"sqlite    {sqlite3.sqlite_version}; fdatasync of 4 KiB in the temporary folder: {_sync_ms():.2f} ms",
            f"packages  {packages}",
            "cells     median (least-greatest) of the repetitions, and x the median of the first row",
        )
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    command = ("git", "--no-optional-locks", "describe", "--always", "--dirty=, and changes that are not committed")
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def _sync_ms() -> float:
    """What durability costs here: where it is near zero, "FULL" means little."""
    times = []
    with tempfile.TemporaryFile() as file:
        for _ in range(50):
            os.write(file.fileno(), bytes(4096))
            start = time.perf_counter()
            getattr(os, "fdatasync", os.fsync)(file.fileno())
            times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


if __name__ == "__main__":
    main()
