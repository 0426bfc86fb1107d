"""Questions that are owed one answer each, and two tables of them: what a replica that is killed must keep."""

from __future__ import annotations

from replica import EventRows, StreamRows
from sync.testing.workload import Answered, Ask, Asked, Desk

__all__ = ["Answered", "Ask", "Counts", "Quiz", "Said"]


class Quiz(Desk):
    """The desk of the simulator, over real files."""

    stream = "quiz"


class Said(EventRows):
    table = "said"
    columns = {"kind": str, "what": str}
    events = (Asked, Answered)

    def rows(self, entry):
        yield type(entry.event).__name__, entry.event.what


class Counts(StreamRows):
    table = "counts"
    columns = {"what": str, "answers": int}
    of = Quiz

    def rows(self, present):
        return ((what, answers) for what, (_, answers) in sorted(present.state.items()))
