"""What needs a person is in the log of the process: once, with the way out, at a level that is seen by default."""

from __future__ import annotations

import logging

import pytest

from merge import AWSet
from merge.version import ReplicaId
from replica import Aggregate, Command, Due, Event, Ordered, PoisonEvent, Refused, Replica, StreamRows
from replica.complaints import MOST, Complaints
from replica.status import Divergence
from tests.loop import in_loop, until


class Noted(Event, frozen=True):
    text: str


class Never(Command, frozen=True):
    pass


class Notes(Aggregate):
    stream = "notes"
    events = (Noted,)
    texts = AWSet[str]()

    def effect(self, event):
        return self.texts.add(event.text)


class Stops(StreamRows):
    table = "items"
    columns = {"text": str}
    of = Notes

    def rows(self, present):
        raise ValueError("no rows today")


def owing(slip: bool = False, poison: bool = False):
    """An aggregate that owes a command which is refused; whose `due` raises; or that folds nothing."""

    class Owing(Ordered):
        stream = "owing"
        events = (Noted,)

        def initial(self):
            return ()

        def decide(self, command, given):
            raise Refused("not today")

        def evolve(self, state, event, moment):
            if poison:
                raise ValueError("cannot be folded")
            return (*state, tuple(moment.dot))

        def due(self):
            if slip:
                raise RuntimeError("a slip in due")
            yield from (Due(Never(), dot) for dot in self.state)

    return Owing


def opened(path, kind, **more):
    return Replica.open(path, store="s", name="alice", aggregates=[kind], **more)


def said(caplog, *words: str) -> list[logging.LogRecord]:
    return [one for one in caplog.records if all(word in one.getMessage() for word in words)]


def test_a_complaint_is_said_once_until_it_is_over():
    """Else a fault that is met a thousand times fills the log, or one that comes back is never heard of."""
    complaints = Complaints()
    for _ in range(3):
        complaints.say("poison", "notes/1", "it is poisoned", grave=True)
    assert [(one.words, one.grave) for one in complaints.take()] == [("it is poisoned", True)]
    assert not complaints.take()
    complaints.over("poison", "notes/1")
    complaints.say("poison", "notes/1", "again")
    assert [one.words for one in complaints.take()] == ["again"]


def test_no_kind_of_complaint_fills_a_log():
    """Else whoever can cause a fault in each of a million streams fills the disk with lines about them."""
    complaints = Complaints()
    for number in range(10 * MOST):
        complaints.say("poison", f"notes/{number}", "poisoned")
    complaints.say("projection", "items", "stopped")
    words = [one.words for one in complaints.take()]
    assert len(words) == MOST + 2
    assert "status" in words[MOST]
    assert words[-1] == "stopped"


@in_loop
async def test_a_table_that_stops_is_logged_with_the_way_out(caplog):
    """Else a read model stands still, and only who asks for its status knows."""
    async with opened(":memory:", Notes, projections=[Stops]) as alice:
        for text in "abc":
            await alice.append("notes/1", Noted(text))
        (one,) = said(caplog, "items", "no rows today")
        assert one.levelno == logging.ERROR
        assert 'rebuild("items")' in one.getMessage()
        with pytest.raises(Exception, match="no rows today"):
            await alice.rebuild("items")
        await until(lambda: len(said(caplog, "items", "no rows today")) == 2)


@in_loop
async def test_a_poisoned_stream_is_logged_once_an_opening(caplog, tmp_path):
    """Else work in a stream ends, and nobody is told but those who want to work there; or each of them is."""
    async with opened(tmp_path / "a.db", owing()) as alice:
        await alice.append("owing/1", Noted("x"))
    async with opened(tmp_path / "a.db", owing(poison=True)) as alice:
        for _ in range(3):
            with pytest.raises(PoisonEvent):
                await alice.present("owing/1")
        errors = [one for one in said(caplog, "owing/1 has no present", "alice:2") if one.levelno == logging.ERROR]
        assert len(errors) == 1


@in_loop
async def test_a_parked_promise_is_logged_and_again_when_the_replica_is_opened(caplog, tmp_path):
    """Else a command that nobody carries out is forgotten."""
    async with opened(tmp_path / "a.db", owing()) as alice:
        await alice.append("owing/1", Noted("x"))
        await until(lambda: said(caplog, "Never", "not today", 'retry("due"'))
        (key,) = [one.command_id for one in alice.status().due]
        await alice.retry("due", key)
        await until(lambda: len(said(caplog, "Never", "not today")) == 2)
    caplog.clear()
    async with opened(tmp_path / "a.db", owing()):
        pass
    (one,) = said(caplog, "Never", "not today", key)
    assert one.levelno == logging.WARNING


@in_loop
async def test_due_that_raises_is_logged_once(caplog):
    """Else a process stands still, and only who asks for its status knows."""
    async with opened(":memory:", owing(slip=True)) as alice:
        for text in "abc":
            await alice.append("owing/1", Noted(text))
        (one,) = said(caplog, "owing/1", "a slip in due")
        assert one.levelno == logging.ERROR


@in_loop
async def test_an_alarm_that_stands_is_logged_when_the_replica_is_opened(caplog, tmp_path):
    """Else whoever looks after it since does not know that its presents are in doubt."""
    async with opened(tmp_path / "a.db", Notes) as alice:
        await alice.append("notes/1", Noted("x"))
        peer = ReplicaId(7, "bob")
        found = Divergence("notes/1", peer, 0, None, "", "1", "2", "peer", "bob reads notes/1 differently")
        alice.core.comparisons.alarm(found)
        await alice.keep_alarms()
    assert len(said(caplog, "bob reads notes/1 differently")) == 1
    async with opened(tmp_path / "a.db", Notes):
        assert len(said(caplog, "bob reads notes/1 differently")) == 2


@in_loop
async def test_a_type_that_the_code_does_not_know_is_logged_with_its_stream(caplog, tmp_path):
    """Else who renames a class decides on streams that read empty, and is not told."""

    class Jotted(Event, frozen=True):
        text: str

    class Others(Notes):
        events = (Jotted,)

    async with opened(tmp_path / "a.db", Notes) as alice:
        await alice.append("notes/1", Noted("x"))
        await alice.append("notes/2", Noted("x"))
    async with opened(tmp_path / "a.db", Others) as alice:
        assert len(said(caplog, "Noted 1 (2)")) == 1
        for stream in ("notes/1", "notes/2", "notes/1"):
            assert not (await alice.present(stream)).texts
        (one,) = said(caplog, "notes/1", "Noted", "former_names")
        assert one.levelno == logging.WARNING
        assert not said(caplog, "notes/2 holds")
