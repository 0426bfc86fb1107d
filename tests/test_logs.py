"""The two backends pass the suite that every backend must pass."""

from __future__ import annotations

import sqlite3

import pytest

from replica.memory import MemoryLog
from replica.sqlite import SqliteLog
from replica.testing import LogConformance


class TestMemoryLog(LogConformance):
    """The log in memory; the object is the store."""

    @pytest.fixture(autouse=True)
    def _store(self):
        self.log = MemoryLog()

    def open(self):
        return self.log


class TestSqliteLog(LogConformance):
    """The log in a SQLite file; opened again by a new connection."""

    @pytest.fixture(autouse=True)
    def _store(self, tmp_path):
        self.path = tmp_path / "log.db"
        self.connections = []
        yield
        for connection in self.connections:
            connection.close()

    def open(self):
        for connection in self.connections:
            connection.close()
        self.connections.append(sqlite3.connect(self.path, isolation_level=None))
        return SqliteLog(self.connections[-1])
