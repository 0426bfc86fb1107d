"""Complaints: what a person should be told of a replica, each with the way out.

Rule 1. The core logs nothing. It says here what it has found, and the shell logs that (`Pump.say_complaints`):
        what does not mend itself as an error, all else as a warning.
Rule 2. A complaint has a kind and a subject, and is said once an opening: a fault that is met a thousand times is
        one line. When somebody has mended it, it is `over`, and would be said again.
Rule 3. Of each kind at most MOST are said one by one. Then one line says that there are more: the status has them
        all. So no peer can fill a log.
"""

from __future__ import annotations

from typing import NamedTuple

MOST = 100
"""Complaints of a kind that are said one by one: enough to see what they have in common."""


class Complaint(NamedTuple):
    """One line for the log."""

    words: str
    grave: bool
    """It does not mend itself: an error."""


class Complaints:
    """What was said since the replica was opened, and what is still to be logged."""

    def __init__(self) -> None:
        self._said: dict[str, set[str]] = {}
        """The subjects of which something was said, by kind."""
        self._new: list[Complaint] = []

    def say(self, kind: str, subject: str, words: str, *, grave: bool = False) -> None:
        """Let a person know of a fault, unless that was said before."""
        said = self._said.setdefault(kind, set())
        if subject in said or len(said) > MOST:
            return
        said.add(subject)
        if len(said) > MOST:
            words = f"more than {MOST} complaints of one kind ({kind}): no more are logged, the status has them all"
        self._new.append(Complaint(words, grave))

    def over(self, kind: str, subject: str) -> None:
        """Somebody has mended it: if it happens again, it is news."""
        self._said.get(kind, set()).discard(subject)

    def take(self) -> list[Complaint]:
        """What is to be logged, once."""
        taken, self._new = self._new, []
        return taken

    def __bool__(self) -> bool:
        return bool(self._new)
