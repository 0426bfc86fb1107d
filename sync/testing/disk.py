"""A simulated disk: a log that remembers what it was told, loses what was not synced, and fails when it is told to.

Rule 1. A transaction with own commits, or with the identity, is synced when `write` returns; so is all before it.
        What came from peers alone is synced later: a power cut may lose the latest of it (`synchronous=NORMAL`).
Rule 2. A crash in `write` leaves the transaction, or it does not; and nobody was told. (That a write which is torn
        is one that did not happen is SQLite's doing: the tests of power cuts hold it to that.)
"""

from __future__ import annotations

from random import Random

from replica.log import Identity, Transaction
from replica.memory import MemoryLog


class Crashed(BaseException):
    """The process ends here. No `except Exception` hears of it."""


class Disk(MemoryLog):
    """The log of one replica. The object is what a process that was killed leaves behind."""

    def __init__(self) -> None:
        super().__init__()
        self._journal: list[Transaction] = []
        self._synced = 0
        self.begins = 1
        """Writes with which the file came to be: there is no backup of less."""
        self.fails: str | None = None
        """What happens at the next writes: "before" or "after" (it crashes once), "full" (no room)."""

    def write(self, transaction: Transaction) -> None:
        if self.fails == "full":
            raise OSError("no space left on device")
        fails, self.fails = self.fails, None
        if fails == "before":
            raise Crashed
        super().write(transaction)
        self._journal.append(transaction)
        if transaction.own:
            self._synced = len(self._journal)
        if fails == "after":
            raise Crashed

    @property
    def writes(self) -> int:
        """Transactions so far: an earlier number of them is a backup."""
        return len(self._journal)

    def after_power_cut(self, random: Random) -> Disk:
        """What is there when the power is back."""
        return self.upto(random.randint(self._synced, len(self._journal)))

    def upto(self, writes: int) -> Disk:
        """A disk as this one was after so many writes."""
        again = Disk()
        for transaction in self._journal[:writes]:
            again.write(transaction)
        again._synced = len(again._journal)
        again.begins = self.begins
        return again

    def identified(self) -> Identity | None:
        return self._identity
