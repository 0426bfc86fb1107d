"""Questions that are owed one answer each, and two tables of them: what a replica that is killed must keep."""

from __future__ import annotations

from replica import Command, Due, Event, EventRows, Ordered, StreamRows


class Asked(Event, frozen=True):
    what: str


class Answered(Event, frozen=True):
    what: str


class Ask(Command, frozen=True):
    what: str


class Answer(Command, frozen=True):
    what: str


class Quiz(Ordered):
    """Each question is owed one answer; how many each has had is counted."""

    stream = "quiz"
    events = (Asked, Answered)

    def initial(self) -> dict[str, tuple[tuple[int, int], int]]:
        return {}

    def decide(self, command, given):
        return Asked(command.what) if isinstance(command, Ask) else Answered(command.what)

    def evolve(self, state, event, moment):
        cause, answers = state.get(event.what, ((int(moment.dot.replica), moment.dot.seq), 0))
        return {**state, event.what: (cause, answers + isinstance(event, Answered))}

    def due(self):
        return [Due(Answer(what), cause) for what, (cause, answers) in self.state.items() if not answers]


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
