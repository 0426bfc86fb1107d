"""What is due: carried out once, by its owner, through crashes and hand-overs; pending everywhere else."""

from __future__ import annotations

import asyncio
import sqlite3
from random import Random

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from merge import LWWRegister
from merge.version import Dot
from replica import Aggregate, Command, Due, Event, Ordered, OwnerChanged, Refused, Replica, owed
from replica.arrange import Gap
from replica.commit import Note as Noted
from replica.direct import DirectReplica
from replica.due import promise_id
from replica.memory import MemoryLog
from sync import linked
from tests.loop import in_loop, until


class Asked(Event, frozen=True):
    what: str


class Answered(Event, frozen=True):
    what: str
    by: int


class Ask(Command, frozen=True):
    what: str
    later: int = 0


class Answer(Command, frozen=True):
    what: str


class Questions(Ordered):
    """Each question is owed an answer. Answers to "?" are refused, to "!" lead to nothing."""

    stream = "questions"
    events = (Asked, Answered)

    def initial(self):
        return ((), ())

    def decide(self, command, given):
        match command:
            case Ask(what):
                return Asked(what)
            case Answer("?"):
                raise Refused("nobody knows")
            case Answer("!"):
                return None
            case Answer(what):
                return Answered(what, int(given.replica))
        raise Refused("what?")

    def evolve(self, state, event, moment):
        asked, answered = state
        match event:
            case Asked(what):
                return (*asked, (what, tuple(moment.dot))), answered
            case Answered(what, by):
                return tuple(one for one in asked if one[0] != what), (*answered, (what, by))

    def due(self):
        for what, cause in self.state[0]:
            yield Due(Answer(what), cause)


Q = "questions/all"


def direct(name, log=None, aggregates=(Questions,), seed=0):
    replica = DirectReplica(log or MemoryLog(), "shop", name, aggregates, random=Random(f"{name}/{seed}"))
    replica.build()
    return replica


def meet(here, there):
    assert not isinstance(there.ingest(list(here.all_slices())), Gap)
    there.flush()


def states(replica):
    return sorted((one.command, one.why, one.done) for one in map(_plain, replica.core.memory.promises.values()))


def _plain(promise):
    return type("Plain", (), {"command": promise.kind, "why": promise.parked or "", "done": promise.done})


def test_what_is_due_is_carried_out_by_the_replica_that_recorded_the_cause():
    """Elsewhere it is pending, and tried by nobody."""
    alice, bob = direct("alice"), direct("bob")
    alice.execute(Q, Ask("why"), 1)
    alice.flush()
    meet(alice, bob)
    assert len(bob.core.memory.promises) == 1
    assert bob.carry_out(2) == 0
    assert alice.carry_out(2) == 1
    assert alice.carry_out(3) == 0
    meet(alice, bob)
    assert bob.present(Q).state == ((), (("why", alice.core.me),))
    assert not alice.core.memory.promises
    assert not bob.core.memory.promises


def test_what_was_carried_out_names_its_cause_and_its_command():
    """The commit says which fact it answers to, and under which id, so that everybody can tell."""
    alice = direct("alice")
    asked = alice.execute(Q, Ask("why"), 1)
    alice.flush()
    (key,) = alice.core.memory.promises
    news = []
    alice.listeners.append(lambda settled: news.extend(settled.commits))
    alice.carry_out(2)
    (commit,) = news
    assert commit.note.command == key
    assert Dot(*commit.note.cause) == asked.dots[0]


def test_a_refused_command_is_parked_and_tried_again_when_somebody_says_so():
    """With the reason; one that leads to nothing is done."""
    alice = direct("alice")
    for what in ("?", "!"):
        alice.execute(Q, Ask(what), 1)
    alice.flush()
    assert alice.carry_out(2) == 2
    assert alice.carry_out(3) == 0
    assert states(alice) == [("Answer", "", True), ("Answer", "Refused: nobody knows", False)]
    reopened = direct("alice", log=alice.log)
    assert reopened.carry_out(4) == 0
    assert states(reopened) == states(alice)


class Late(Questions):
    """Answers wait for their time."""

    def due(self):
        for what, cause in self.state[0]:
            yield Due(Answer(what), cause, at=int(what))


def test_what_is_due_later_waits_for_its_time():
    """By the clock of the owner."""
    alice = direct("alice", aggregates=(Late,))
    for what in ("1000", "2000"):
        alice.execute(Q, Ask(what), 1)
    alice.flush()
    assert [alice.carry_out(now) for now in (999, 1000, 1999, 2000)] == [0, 1, 0, 1]
    assert not alice.core.memory.promises


def test_the_owner_changes_by_a_fact():
    """Who gave it up does no more; who took over does; the latest fact counts."""
    alice, bob = direct("alice"), direct("bob")
    alice.execute(Q, Ask("why"), 1)
    alice.append(Q, [OwnerChanged(bob.core.me)], 2)
    alice.flush()
    assert alice.carry_out(3) == 0
    meet(alice, bob)
    bob = direct("bob", log=bob.log)
    assert bob.carry_out(4) == 1
    meet(bob, alice)
    assert alice.present(Q).state[1] == (("why", bob.core.me),)
    alice.execute(Q, Ask("how"), 5)
    alice.flush()
    assert alice.carry_out(6) == 0
    meet(alice, bob)
    assert bob.carry_out(7) == 1


class Flapping(Questions):
    """What is due goes and comes back with a fact of another kind: it was answered, whatever the state says."""

    def evolve(self, state, event, moment):
        asked, answered = state
        match event:
            case Asked(what) if what == "again":
                return (*answered,), ()
            case Asked(what):
                return (*asked, (what, tuple(moment.dot))), answered
            case Answered(what, _):
                return (), tuple(asked)


def test_what_was_carried_out_once_is_not_carried_out_again_when_it_is_due_again():
    """Its id is known: it counts as done, and nobody tries for ever."""
    alice = direct("alice", aggregates=(Flapping,))
    alice.execute(Q, Ask("why"), 1)
    assert alice.carry_out(2) == 1
    alice.execute(Q, Ask("again"), 3)
    assert alice.carry_out(4) == 1
    assert alice.carry_out(5) == 0
    assert [promise.done for promise in alice.core.memory.promises.values()] == [True]
    assert sum(len(kept) for kept in alice.reader().stream(Q)) == 2 * 3


class Stubborn(Questions):
    """An answer changes nothing: the question is due for ever."""

    def evolve(self, state, event, moment):
        return super().evolve(state, event, moment) if isinstance(event, Asked) else state


@pytest.mark.parametrize("at_once", [True, False])
def test_everybody_who_hears_of_the_commit_knows_that_it_was_carried_out(at_once):
    """Though the state goes on saying that it is due; whether question and answer come together or not."""
    alice, bob = direct("alice", aggregates=(Stubborn,)), direct("bob", aggregates=(Stubborn,))
    alice.execute(Q, Ask("why"), 1)
    alice.flush()
    if not at_once:
        meet(alice, bob)
        assert [promise.done for promise in bob.core.memory.promises.values()] == [False]
    assert alice.carry_out(2) == 1
    meet(alice, bob)
    for replica in (alice, bob):
        assert [promise.done for promise in replica.core.memory.promises.values()] == [True]
    assert bob.carry_out(3) == 0


@pytest.mark.parametrize("stream", [Q, "questions/others"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("causes", [True, False])
def test_what_a_stranger_records_under_its_id_settles_no_promise(stream, when, causes):
    """The id can be worked out beforehand. The owner answers all the same, and nobody takes the stranger's word."""
    alice, bob, mallory = direct("alice"), direct("bob"), direct("mallory")
    cause = Dot(alice.core.me, 2)
    note = Noted(promise_id(Q, Due(Answer("why"), cause)), cause=tuple(cause) if causes else None)

    def claim():
        mallory.append(stream, [Answered("what", 7)], 1, note)
        mallory.flush()
        for one in (alice, bob):
            meet(mallory, one)

    if when == "before":
        claim()
    alice.execute(Q, Ask("why"), 1)
    alice.flush()
    meet(alice, bob)
    meet(alice, mallory)
    if when == "after":
        claim()
    for one in (alice, bob):
        assert [promise.done for promise in one.core.memory.promises.values()] == [False]
    assert alice.carry_out(2) == 1
    assert ("why", alice.core.me) in alice.present(Q).state[1]


def test_what_a_former_owner_carried_out_counts_whenever_it_is_heard_of():
    """Bob, and then carol, take over; what alice and bob had done until then is not done again."""
    alice, bob, carol = (direct(name, aggregates=(Stubborn,)) for name in ("alice", "bob", "carol"))
    for what in ("one", "two"):
        alice.execute(Q, Ask(what), 1)
    alice.flush()
    meet(alice, bob)
    meet(alice, carol)
    one, _ = sorted(alice.core.memory.promises, key=lambda key: alice.core.memory.promises[key].cause)
    alice._step(lambda: owed.carry_out(alice.core, one, 2))
    alice.flush()
    bob.append(Q, [OwnerChanged(bob.core.me)], 3)
    bob.flush()
    meet(bob, carol)
    bob._step(lambda: [owed.carry_out(bob.core, key, 4) for key in bob.core.memory.promises if key != one])
    bob.flush()
    carol.append(Q, [OwnerChanged(carol.core.me)], 5)
    carol.flush()
    for other in (alice, bob):
        meet(other, carol)
    assert [promise.done for promise in carol.core.memory.promises.values()] == [True, True]
    assert carol.carry_out(6) == 0
    again = direct("carol", log=carol.log, aggregates=(Stubborn,))
    assert again.core.memory.owners[Q].former == carol.core.memory.owners[Q].former == (bob.core.me,)


def test_code_without_the_aggregate_leaves_what_is_due_to_code_that_has_it():
    """A tool that opens the file with fewer aggregates parks nothing."""
    alice = direct("alice")
    alice.execute(Q, Ask("why"), 1)
    alice.flush()
    tool = direct("alice", log=alice.log, aggregates=(Memo,))
    assert tool.carry_out(2) == 0
    assert direct("alice", log=alice.log).carry_out(3) == 1


def test_a_new_id_owns_nothing():
    """A copy of the file goes on under another id: what is due stays with the original."""
    alice = direct("alice")
    alice.execute(Q, Ask("why"), 1)
    alice.flush()
    alice.doubt()
    assert alice.carry_out(2) == 0
    alice.append(Q, [OwnerChanged(alice.core.me)], 3)
    alice.flush()
    assert alice.carry_out(4) == 1


STEPS = st.lists(
    st.tuples(st.sampled_from(["ask", "meet", "work", "crash", "own"]), st.integers(0, 2), st.integers(0, 2)),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_each_question_is_answered_once_whoever_crashes_or_is_cut_off(steps):
    """Three replicas ask, meet, work and crash; in the end each question has one answer, by its asker."""
    replicas = [direct(name) for name in ("alice", "bob", "carol")]
    asked = {}
    for wall, (step, one, other) in enumerate(steps):
        replica = replicas[one]
        if step == "ask":
            replica.execute(Q, Ask(f"{wall}"), 1000 + wall)
            replica.flush()
            asked[f"{wall}"] = replica.core.me
        elif step == "meet" and one != other:
            meet(replica, replicas[other])
        elif step == "work":
            replica.carry_out(1000 + wall)
        elif step == "own":
            replica.append(Q, [OwnerChanged(replica.core.me)], 1000 + wall)
            replica.core.drop()
        else:
            replicas[one] = direct("abc"[one], log=replica.log)
    for _ in range(3):
        for here in replicas:
            for there in replicas:
                if here is not there:
                    meet(here, there)
        for replica in replicas:
            replica.carry_out(5000)
    for replica in replicas:
        open_, answers = replica.present(Q).state
        assert open_ == ()
        assert sorted(answers) == sorted(asked.items())
        assert not replica.core.memory.promises
        assert not [kept for kept in replica.log._kept if kept[0] == "due"]


def test_a_late_past_can_make_a_repair_unnecessary_or_necessary():
    """What is due follows the present: it is gone, or there, with the fact that changes it."""
    alice, bob = direct("alice"), direct("bob")
    bob.execute(Q, Ask("why"), 5)
    bob.flush()
    meet(bob, alice)
    alice.append(Q, [Answered("why", 0)], 6)
    alice.flush()
    meet(alice, bob)
    assert bob.carry_out(7) == 0
    assert not bob.core.memory.promises


class Raising(Questions):
    def due(self):
        raise KeyError("oops")


def test_a_due_that_raises_is_shown_and_asked_again_after_it_is_mended():
    """Commands go on; nothing is carried out; status says why; the mended code knows what is due."""
    alice = direct("alice", aggregates=(Raising,))
    alice.execute(Q, Ask("why"), 1)
    alice.flush()
    (promise,) = alice.core.memory.promises.values()
    assert "`due` raised KeyError: 'oops'" in promise.parked
    assert alice.carry_out(2) == 0
    mended = direct("alice", log=alice.log)
    assert mended.carry_out(3) == 1


class Note(Event, frozen=True):
    text: str


class Remind(Command, frozen=True):
    text: str


class Memo(Aggregate):
    """A lattice aggregate; older code does not know that it owes anything."""

    stream = "memo"
    events = (Note,)
    text = LWWRegister[str]()

    def decide(self, command, given):
        return Note(command.text)

    def effect(self, event):
        return self.text.write(event.text)


class Owing(Memo):
    """It owes a capital letter, in answer to the event that holds the text."""

    def due(self):
        if self.text.value and self.text.value.islower():
            (said,) = self.state.at("text").said.values()
            yield Due(Remind(self.text.value.capitalize()), said.dot)


def test_code_that_learns_what_is_due_finds_it_in_the_log():
    """It is built like a projection; a lattice aggregate can owe as an ordered one can."""
    alice = direct("alice", aggregates=(Memo,))
    alice.execute("memo/a", Remind("tea"), 1)
    alice.flush()
    alice = direct("alice", log=alice.log, aggregates=(Owing,))
    assert alice.carry_out(2) == 1
    assert alice.present("memo/a").text.value == "Tea"


@in_loop
async def test_a_replica_carries_out_what_is_due_by_itself(tmp_path):
    """Without being asked; status shows what is parked and what is pending elsewhere; a person can drop it."""
    async with (
        Replica.open(tmp_path / "a.db", store="shop", name="alice", aggregates=[Questions]) as alice,
        Replica.open(tmp_path / "b.db", store="shop", name="bob", aggregates=[Questions]) as bob,
        linked(alice, bob),
    ):
        for what in ("why", "how", "?"):
            await alice.execute(Q, Ask(what), correlation="quiz 1")
        await until(lambda: [one.state for one in alice.status().due] == ["parked"])
        await bob.wait_for(alice.version)
        assert (await bob.present(Q)).state[1] == tuple(
            (what, int(alice.status().replica)) for what in ("why", "how")
        )
        (shown,) = bob.status().due
        assert (shown.state, str(shown.owner), shown.stream, shown.command) == ("pending", "alice", Q, "Answer")
        with pytest.raises(ValueError, match="no command 'x' is parked"):
            await alice.retry("due", "x")
        (parked,) = alice.status().due
        assert parked.why == "Refused: nobody knows"
        await alice.retry("due", parked.command_id)
        await until(lambda: alice.status().due[0].state == "parked")
        await alice.drop("due", parked.command_id)
        assert alice.status().due[0].state == "done"
        with sqlite3.connect(f"file:{tmp_path / 'a.db'}?mode=ro", uri=True) as db:
            found = db.execute("SELECT stream, command, addressed_to, done FROM due").fetchall()
            assert found == [(Q, "Answer", Q, 1)]


@in_loop
async def test_what_was_due_when_the_replica_was_closed_is_carried_out_when_it_is_opened(tmp_path):
    """Time passes while nobody runs."""
    clock = [1000]

    def opened():
        return Replica.open(
            tmp_path / "a.db", store="shop", name="alice", aggregates=[Late], clock=lambda: clock[0]
        )

    async with opened() as alice:
        clock[0] = 1
        await alice.execute(Q, Ask("2000"))
        await asyncio.sleep(0.05)
        assert [one.state for one in alice.status().due] == ["next"]
    clock[0] = 2000
    async with opened() as alice:
        await until(lambda: not alice.status().due)
        assert (await alice.present(Q)).state[0] == ()


@in_loop
async def test_a_clock_that_is_set_forward_is_noticed():
    """What is due in an hour is carried out once the clock says so, as after a machine has slept."""
    clock = [1000]
    async with Replica.open(store="shop", name="alice", aggregates=[Late], clock=lambda: clock[0]) as alice:
        await alice.execute(Q, Ask("3600000"))
        await asyncio.sleep(0.05)
        assert [one.state for one in alice.status().due] == ["next"]
        clock[0] = 3_600_000
        await until(lambda: not alice.status().due)


@in_loop
async def test_taking_over_a_stream_that_lost_its_owner(tmp_path):
    """The owner is gone for good; another replica takes over, and what was pending is carried out."""
    async with Replica.open(tmp_path / "b.db", store="shop", name="bob", aggregates=[Questions]) as bob:
        lost = direct("alice")
        lost.execute(Q, Ask("why"), bob.now())
        lost.flush()
        await bob.ingest(list(lost.all_slices()))
        assert [one.state for one in bob.status().due] == ["pending"]
        await bob.take_over(Q)
        await until(lambda: not bob.status().due)
        assert (await bob.present(Q)).state[1] == (("why", int(bob.status().replica)),)
