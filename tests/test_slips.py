"""Slips in calls are told at the call, and those in declarations at the class or when a replica opens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from merge import NO_EFFECT, AWSet
from replica import (
    Addressed,
    Aggregate,
    AnabranchError,
    Command,
    Event,
    EventRows,
    Export,
    Feed,
    InvalidEvent,
    Ordered,
    Replica,
    StreamRows,
    reaction,
)
from tests.loop import in_loop


class Noted(Event):
    text: str


class Note(Command):
    text: str


class Notes(Aggregate):
    stream = "notes"
    events = (Noted,)
    texts = AWSet[str]()

    def decide(self, command, given):
        return Noted(command.text)

    def effect(self, event):
        return self.texts.add(event.text)


async def act(entry: Any, replica: Any) -> None:
    """A reaction, not declared as one."""


async def deliver(entries: Any) -> None:
    """For a feed."""


CALLS: dict[str, Callable[[Replica], Any]] = {
    "an event as a command": lambda r: r.execute("notes/1", Noted("x")),
    "a command that is not called": lambda r: r.execute("notes/1", Note),
    "a command as an event": lambda r: r.append("notes/1", Note("x")),
    "an event that is not called": lambda r: r.append("notes/1", Noted),
    "a list of events": lambda r: r.append("notes/1", [Noted("x")]),
    "text as an event": lambda r: r.append("notes/1", "x"),
    "an addressed text": lambda r: r.append("notes/1", Addressed("notes/2", "x")),
    "expect=0": lambda r: r.execute("notes/1", Note("x"), expect=0),
    "expect in words": lambda r: r.execute("notes/1", Note("x"), expect="alice:2"),
    "expect a dot": lambda r: r.execute("notes/1", Note("x"), expect=(1, 2)),
    "wait for words": lambda r: r.wait_for("alice:2"),
    "wait for None": lambda r: r.wait_for(None),
    "wait for a dot": lambda r: r.wait_stable((1, 2)),
    "present after words": lambda r: r.present("notes/1", after="alice:2"),
    "present of a number": lambda r: r.present(1),
    "a past that is a number": lambda r: r.at(0),
    "a past that is None": lambda r: r.at(None),
    "a past that is a dot in words": lambda r: r.at(("alice", 2)),
    "a record of None": lambda r: r.record(None),
    "restore a seq": lambda r: r.restore(2),
    "retire None": lambda r: r.retire(None),
    "a cause in words": lambda r: r.append("notes/1", Noted("x"), cause="alice:2"),
    "watch types": lambda r: anext(r.watch(types=Noted)),
    "watch categories": lambda r: anext(r.watch(categories="notes")),
    "watch a list": lambda r: anext(r.watch(["notes/1"])),
    "watch after words": lambda r: anext(r.watch(after="alice:2")),
    "watch a type in words": lambda r: anext(r.watch(types=["Noted"])),
    "changes of a list": lambda r: anext(r.changes(["notes/1"])),
    "history of a type": lambda r: anext(r.history("notes/1", types="Noted")),
    "history of a class": lambda r: anext(r.history("notes/1", types=Noted)),
    "history of a replica": lambda r: anext(r.history("notes/1", replicas="alice")),
}


def test_a_slip_in_a_call_is_told_at_the_call() -> None:
    """In words of ours; nothing is recorded, and nobody waits for ever."""

    @in_loop
    async def check() -> None:
        async with Replica.open(store="s", name="alice", aggregates=[Notes]) as alice:
            await alice.append("notes/1", Noted("x"))
            version = alice.version
            for what, call in CALLS.items():
                with pytest.raises((AnabranchError, TypeError, ValueError)) as told:
                    await call(alice)
                    pytest.fail(f"{what}: taken without a word")
                for below in (
                    "object has no attribute",
                    "not iterable",
                    "unhashable",
                    "subscriptable",
                    "recursion",
                ):
                    assert below not in str(told.value), what
            assert alice.version == version
            assert (await alice.present("notes/1")).texts == {"x"}

    check()


@pytest.mark.parametrize(
    "more",
    [
        {"aggregates": Notes}, {"aggregates": [Notes()]}, {"aggregates": ["notes"]}, {"aggregates": "notes"},
        {"aggregates": [Aggregate]}, {"aggregates": None}, {"aggregates": [Noted]},
        {"projections": Notes}, {"projections": [Notes]}, {"projections": [StreamRows()]},
        {"reactions": act}, {"reactions": [act]}, {"reactions": [lambda entry, replica: None]},
        {"reactions": reaction(Noted)(act)}, {"feeds": Feed("f", deliver)}, {"feeds": [deliver]},
        {"feeds": [Feed("f", deliver, categories="notes")]}, {"feeds": [Feed("f", deliver, types=Noted)]},
        {"feeds": [Feed("f", deliver, streams="notes/1")]}, {"feeds": [Feed("f", lambda entries: None)]},
        {"exports": Export("e", None, [])}, {"exports": [Notes]},
    ],
)  # fmt: skip
def test_a_slip_in_what_a_replica_is_opened_with_is_told_when_it_opens(more: dict[str, Any]) -> None:
    """One where several are meant, an object for a class, a function for a reaction."""

    @in_loop
    async def check() -> None:
        with pytest.raises((TypeError, ValueError)) as told:
            async with Replica.open(**{"store": "s", "name": "alice", "aggregates": [Notes], **more}):
                pytest.fail("taken without a word")
        for below in ("object has no attribute", "not iterable", "unhashable", "no len"):
            assert below not in str(told.value)

    check()


async def later(self: Any, *given: Any) -> Any:
    """A method that is an `async def`."""


def one_by_one(self: Any, *given: Any) -> Any:
    """A method with a `yield`."""
    yield


class Tape(Ordered):
    stream = "tape"
    events = (Noted,)

    def initial(self):
        return ()

    def evolve(self, state, event, moment):
        return state


ROWS = {"table": "t", "columns": {"state": str}, "of": Notes, "rows": lambda self, present: []}


@pytest.mark.parametrize(
    ("base", "body"),
    [
        (Notes, {"events": Noted}), (Notes, {"events": [Noted]}), (Notes, {"events": "Noted"}),
        (Notes, {"events": (Noted("x"),)}), (Notes, {"stream": "notes/1"}), (Notes, {"version": 2}),
        (Notes, {"address": "x"}), (Notes, {"texts": AWSet}), (Notes, {"effect": later}),
        (Notes, {"decide": later}), (Notes, {"due": later}), (Tape, {"evolve": later}), (Tape, {"initial": later}),
        (Tape, {"evolve": one_by_one}), (Tape, {"initial": one_by_one}), (Tape, {"state": {}}),
        (StreamRows, ROWS | {"indexes": ("state",)}), (StreamRows, ROWS | {"indexes": "state"}),
        (StreamRows, ROWS | {"indexes": (("stat",),)}), (StreamRows, ROWS | {"indexes": ((),)}),
        (StreamRows, ROWS | {"views": "SELECT 1"}), (StreamRows, ROWS | {"views": {"v": 1}}),
        (StreamRows, ROWS | {"rows": later}), (StreamRows, ROWS | {"of": Notes()}),
        (EventRows, ROWS | {"events": Noted}), (EventRows, ROWS | {"events": ("Noted",)}),
    ],
)  # fmt: skip
def test_a_slip_in_a_declaration_is_told_at_the_class(base: type, body: dict[str, Any]) -> None:
    """Not when the first fact of a user comes, and not as an index of letters that no query uses."""
    with pytest.raises(TypeError):
        type(base)("Declared", (base,), body)


@pytest.mark.parametrize("types", [(act,), ("Noted",), (Noted("x"),), ([Noted],)])
def test_a_reaction_is_to_classes_of_events(types: Any) -> None:
    """`@reaction` without its brackets takes the function for a class of events."""
    with pytest.raises(TypeError, match="classes that inherit from Event"):
        reaction(*types)


@pytest.mark.parametrize("effect", [None, [None], "x", 1, AWSet[str](), {"x": 1}, [1], AWSet[str]().add])
def test_an_effect_that_is_none_is_told(effect: Any) -> None:
    """A forgotten `return` would record facts that never do anything."""
    kind = type(Notes)("Notes", (Notes,), {"effect": lambda self, event: effect})

    @in_loop
    async def check() -> None:
        async with Replica.open(store="s", name="alice", aggregates=[kind]) as alice:
            with pytest.raises(InvalidEvent, match=r"`Notes.effect` returned"):
                await alice.append("notes/1", Noted("x"))

    check()


@pytest.mark.parametrize("effect", [NO_EFFECT, [], (), [NO_EFFECT], iter(())])
def test_an_event_may_do_nothing_where_that_is_said(effect: Any) -> None:
    """NO_EFFECT, or no effects."""
    kind = type(Notes)("Notes", (Notes,), {"effect": lambda self, event: effect})
    assert kind().effect_of(Noted("x")) == NO_EFFECT


@pytest.mark.parametrize("rows", [None, "milk", {"x": 1}, 1, [("x", "y")], [(1,)], [[["x"]]]])
def test_rows_that_are_none_stop_their_projection_in_words(rows: Any) -> None:
    """A text is not rows of its letters."""
    kind = type(StreamRows)("Declared", (StreamRows,), ROWS | {"rows": lambda self, present: rows})
    with pytest.raises((TypeError, ValueError), match=r"rows|row|is no str"):
        kind().checked_rows(None)
