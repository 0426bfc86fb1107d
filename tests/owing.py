"""Questions that are owed one answer each, and two tables of them: what a replica that is killed must keep."""

from __future__ import annotations

from replica import Addressed, EventRows, StreamRows
from sync.testing.workload import Answer, Answered, Ask, Asked, Desk
from tests.shop import ItemAdded

__all__ = ["TOLD", "Answered", "Ask", "Counts", "Quiz", "Said"]

TOLD = "list/told"
"""A list that every answer is told to, in the commit that answers."""


class Quiz(Desk):
    """The desk of the simulator, over real files; an answer tells a list of it instead of a board."""

    stream = "quiz"

    def decide(self, command, given):
        if not isinstance(command, Answer):
            return super().decide(command, given)
        return [Answered(command.what), Addressed(TOLD, ItemAdded(f"{command.what}'"))]


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
