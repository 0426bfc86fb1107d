"""The house: what may import what is checked by a machine, and the machine is checked here."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def contracts(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on a copy of the project."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=60, env={"PYTHONPATH": str(folder)}
    )


@pytest.fixture
def copy(tmp_path):
    for package in ("merge", "replica", "sync", "demo"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_contracts_hold(copy):
    """As it is, nothing is broken."""
    done = contracts(copy)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("merge/kernel.py", "import replica.core", "The house"),
        ("replica/core.py", "import sync.protocol", "The house"),
        ("merge/kernel.py", "import time", "merge is algebra"),
        ("replica/core.py", "import asyncio", "The cores are plain state machines"),
        ("sync/protocol.py", "import asyncio", "The cores are plain state machines"),
        ("replica/replica.py", "import sqlite3", "SQLite has one door"),
        ("sync/node.py", "import websockets", "websockets has one door"),
        ("merge/register.py", "import pycrdt", "pycrdt has one door"),
    ],
)
def test_a_planted_violation_fails(copy, file, line, contract):
    """One import in the wrong place breaks the contract that forbids it, by name."""
    path = copy / file
    path.write_text(path.read_text() + f"\n{line}\n")
    done = contracts(copy)
    assert done.returncode == 1
    assert any(contract in row and "BROKEN" in row for row in done.stdout.splitlines()), done.stdout
