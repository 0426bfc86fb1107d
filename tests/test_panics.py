"""What is raised by a user's code and is no Exception: panics of compiled code, cancellations and exits by hand."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from merge import AWSet
from replica import Aggregate, Closed, Event, InvalidEvent, Moment, Ordered, PoisonEvent, Replica, StreamRows
from replica.event import Command
from sync import linked
from tests.loop import in_loop, until

NOTES, TALE = "notes/1", "tale/1"


class Panic(BaseException):
    """As compiled libraries raise it."""


class Note(Command, frozen=True):
    text: str


class Noted(Event, frozen=True):
    text: str


RAISED = [Panic("boom"), asyncio.CancelledError(), GeneratorExit(), StopAsyncIteration(), StopIteration()]
raising: dict[str, BaseException] = {}
"""What is raised, by where."""


def here(where: str, text: str) -> None:
    if where in raising and text == "bad":
        raise raising[where]


class Notes(Aggregate):
    stream = "notes"
    events = (Noted,)
    texts = AWSet[str]()

    def decide(self, command: Any, given: Any) -> Any:
        here("decide", command.text)
        return Noted(command.text)

    def effect(self, event: Any) -> Any:
        here("effect", event.text)
        return self.texts.add(event.text)

    def due(self) -> Any:
        for text in self.texts:
            here("due", text)
        yield from ()


class Tale(Ordered):
    stream = "tale"
    events = (Noted,)

    def initial(self) -> tuple[str, ...]:
        return ()

    def evolve(self, state: Any, event: Any, moment: Moment) -> Any:
        here("evolve", event.text)
        return (*state, event.text)

    def decide(self, command: Any, given: Any) -> Any:
        return Noted(command.text)


class Said(StreamRows):
    table = "said"
    of = Notes
    columns = {"text": str}

    def rows(self, source: Any) -> Any:
        for text in source.texts:
            here("rows", text)
            yield (text,)


def opened(name: str = "alice", **options: Any) -> Any:
    return Replica.open(store="s", name=name, aggregates=[Notes, Tale], projections=[Said], **options)


@pytest.fixture(autouse=True)
def nothing_raises():
    raising.clear()
    yield
    raising.clear()


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["decide", "effect", "evolve", "due", "rows"])
@in_loop
async def test_what_code_raises_harms_its_caller_and_nobody_else(where, error):
    """Its caller hears what it was; those beside it are answered, and the replica goes on."""
    stream = TALE if where == "evolve" else NOTES
    async with opened() as alice:
        await alice.execute(stream, Note("0"))
        raising[where] = error
        answers = await asyncio.wait_for(
            asyncio.gather(
                *[alice.execute(stream, Note(text)) for text in ("1", "bad", "2")], return_exceptions=True
            ),
            5,
        )
        told = answers[1]
        if where in ("due", "rows"):
            assert not isinstance(told, BaseException), (
                "the fact stands; what follows from it is told in the status"
            )
        else:
            assert isinstance(told, RuntimeError if where == "decide" else InvalidEvent)
            assert type(error).__name__ in str(told)
        assert not isinstance(answers[0], BaseException)
        assert not isinstance(answers[2], BaseException)
        await alice.execute(stream, Note("3"))
        assert str(alice.version) == ("alice:6" if where in ("due", "rows") else "alice:5")
        status = alice.status()
        if where == "rows":
            assert "boom" in str(status.projections) or type(error).__name__ in str(status.projections)
        if where == "due":
            assert "boom" in str(status.due) or type(error).__name__ in str(status.due)


@pytest.mark.parametrize("error", RAISED[:2], ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["effect", "evolve"])
@in_loop
async def test_an_event_of_a_peer_on_which_code_panics_poisons_its_stream_alone(where, error):
    """It is taken, kept and forwarded; a batch that brings it does not fail for ever."""
    stream = TALE if where == "evolve" else NOTES
    async with opened() as alice, opened("bob") as bob:
        await alice.execute(stream, Note("0"))
        async with linked(alice, bob):
            await bob.wait_for(alice.version)
            await bob.present(stream)
            await alice.execute(stream, Note("bad"))
            raising[where] = error
            await asyncio.wait_for(bob.wait_for(alice.version), 5)
            with pytest.raises(PoisonEvent, match=type(error).__name__):
                await bob.present(stream)
            await bob.execute(TALE if where == "effect" else NOTES, Note("on"))


@pytest.mark.parametrize("exit", [SystemExit, KeyboardInterrupt])
@in_loop
async def test_an_exit_in_a_decision_is_its_callers(exit):
    """It is raised where the command was given; a decision beside it is made again, and nothing is half done."""
    raising["decide"] = exit()
    async with opened() as alice:
        beside = asyncio.create_task(alice.execute(NOTES, Note("1")))
        await asyncio.sleep(0)
        with pytest.raises(exit):
            await alice.execute(NOTES, Note("bad"))
        assert (await beside).dots[0].seq == 2
        await alice.execute(NOTES, Note("2"))
        assert set((await alice.present(NOTES)).texts) == {"1", "2"}


@in_loop
async def test_who_leaves_a_replica_that_has_stopped_is_told(monkeypatch):
    """What harms the pump itself is no secret of the log file: callers hear it, and so does who leaves."""
    with pytest.raises(Closed, match="stopped") as told:
        async with opened() as alice:
            await alice.execute(NOTES, Note("1"))

            def panic() -> None:
                raise Panic("in the core")

            monkeypatch.setattr(alice.core, "settle", panic)
            with pytest.raises(Closed):
                await alice.execute(NOTES, Note("2"))
    assert isinstance(told.value.__cause__, RuntimeError | Panic)


@in_loop
async def test_a_listener_that_panics_harms_nobody(caplog):
    """It is logged; the caller is answered, and the other listeners are told."""
    told: list[Any] = []

    def panic(_: Any) -> None:
        raise Panic("boom")

    async with opened() as alice:
        alice.listen(panic)
        alice.listen(told.append)
        await alice.execute(NOTES, Note("1"))
        await until(lambda: told)
        assert "a listener raised" in caplog.text
