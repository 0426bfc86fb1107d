"""All that a reader needs to run the same again: command, commit, machine, versions."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import subprocess
import tempfile
import time
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench import node

PACKAGES = (
    "aiosqlite", "immutables", "msgspec", "websockets", "zstandard",
    "eventsourcing", "loro", "pycrdt", "pycrdt-store", "pycrdt-websocket",
)  # fmt: skip


def header(command: str, times: int, seconds: float) -> str:
    """As lines of a block of code."""
    there = node.versions()
    nodes = ", ".join(f"{name} {number}" for name, number in there.items())
    lines = (
        f"command   {command}",
        f"commit    {_commit()}",
        f"took      {seconds / 60:.0f} min; {times} repetitions in turn, medians (least-greatest)",
        f"machine   {machine()}",
        f"disk      fdatasync of 4 KiB in the temporary folder: {_sync_ms():.2f} ms",
        f"python    {platform.python_version()}, SQLite {sqlite3.sqlite_version}",
        f"packages  {', '.join(f'{name} {_version(name)}' for name in PACKAGES)}",
        f"node      {_run('node', '--version')}, {nodes}" if there else "node      left out",
    )
    return "\n".join(("```", *lines, "```"))


def machine() -> str:
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs{_processor()}"


def words() -> str:
    """One line, for the picture."""
    python = f"Python {platform.python_version()}"
    return (
        f"python -m bench, commit {_commit()}, {python}, {machine()}. Medians; the figures are in bench/results.md"
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


@cache
def _commit() -> str:
    """As it was at first: the results that are written are changes that are not committed."""
    return _run(
        "git", "--no-optional-locks", "describe", "--always", "--dirty=, and changes that are not committed"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f", {names[0]}" if names else ""


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
