"""What a command id answers for: one command in one stream, as it was carried out here, whatever is heard later."""

from __future__ import annotations

import shutil
import sqlite3
from random import Random

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from replica import Addressed, Command, CommandIdUsed, Event, InvalidEvent, Ordered, Replica
from replica.commit import Note
from replica.direct import DirectReplica
from replica.intent import Intent, decode, intent_of
from sync import linked
from sync.testing.disk import Crashed, Disk
from tests.loop import in_loop

ANN, BEN = "account/ann", "account/ben"


class Paid(Event, frozen=True):
    cents: int


class Pay(Command, frozen=True):
    cents: int


class Repay(Command, frozen=True):
    cents: int


class Move(Command, frozen=True):
    """From one account to another, in one decision."""

    cents: int
    to: str


class Account(Ordered):
    stream = "account"
    events = (Paid,)

    def initial(self) -> int:
        return 0

    def decide(self, command, given):
        match command:
            case Move(cents, to):
                return [Paid(-cents), Addressed(to, Paid(cents))]
            case _ if command.cents:
                return Paid(command.cents)

    def evolve(self, state, event, moment):
        return state + event.cents


def opened(path=":memory:", name="alice"):
    return Replica.open(path, store="s", name=name, aggregates=[Account])


@in_loop
async def test_an_id_that_was_used_for_something_else_is_an_error_that_says_for_what(tmp_path):
    """Another stream, another kind of command, another amount: nothing is recorded, also after reopening."""
    async with opened(tmp_path / "a.db") as alice:
        first = await alice.execute(ANN, Pay(5), command_id="invoice 1")
    async with opened(tmp_path / "a.db") as alice:
        for stream, command, words in (
            (BEN, Pay(5), "used here for Pay in account/ann .alice:2., and now for Pay in account/ben"),
            (ANN, Repay(5), "used here for Pay in account/ann .alice:2., and now for Repay in account/ann"),
            (ANN, Pay(6), "used here for Pay in account/ann .alice:2., and now for another Pay in account/ann"),
        ):
            with pytest.raises(CommandIdUsed, match=words):
                await alice.execute(stream, command, command_id="invoice 1")
        assert await alice.execute(ANN, Pay(5), command_id="invoice 1") == first
        assert str(alice.version) == "alice:2"


@in_loop
async def test_no_id_is_the_empty_one_nor_longer_than_others_take(tmp_path):
    """A client that has none sends "": its second command must not be answered with its first."""
    async with opened(tmp_path / "a.db") as alice:
        for command_id in ("", "x" * 513, "\ud800"):
            with pytest.raises(InvalidEvent, match="nothing was recorded"):
                await alice.execute(ANN, Pay(5), command_id=command_id)
        await alice.execute(ANN, Pay(5), command_id="x" * 512)
        assert str(alice.version) == "alice:2"


@in_loop
async def test_what_led_to_no_event_or_was_refused_is_decided_again_under_its_id():
    """Nothing was recorded under the id, so it is free, for another command too."""
    async with opened() as alice:
        assert (await alice.execute(ANN, Pay(0), command_id="x")).dots == ()
        assert (await alice.execute(BEN, Pay(7), command_id="x")).dots
        assert (await alice.present(BEN)).state == 7


@in_loop
async def test_what_others_did_in_that_stream_answers_and_what_they_did_elsewhere_does_not():
    """Bob moved money from ann to ben. A retry at alice, who has heard of it, is answered; ben's own is not."""
    async with opened() as alice, opened(name="bob") as bob:
        moved = await bob.execute(ANN, Move(3, BEN), command_id="x")
        async with linked(alice, bob):
            await alice.wait_for(bob.version)
            retried = await alice.execute(ANN, Move(3, BEN), command_id="x")
            assert [str(dot) for dot in retried.dots] == ["bob:2", "bob:3"] == [str(dot) for dot in moved.dots]
            paid = await alice.execute(BEN, Pay(9), command_id="x")
            assert [str(dot) for dot in paid.dots] == ["alice:2"]
            with pytest.raises(CommandIdUsed):
                await alice.execute(ANN, Move(3, BEN), command_id="x")
        assert (await alice.present(BEN)).state == 12


@in_loop
async def test_each_of_two_that_were_apart_answers_with_its_own(tmp_path):
    """Before they meet, after it, and when their files are opened again."""
    paths = {name: tmp_path / f"{name}.db" for name in ("alice", "bob")}
    first = {}
    for name, path in paths.items():
        async with opened(path, name) as one:
            first[name] = await one.execute(ANN, Pay(1), command_id="x")
    for _ in range(2):
        async with opened(paths["alice"]) as alice, opened(paths["bob"], "bob") as bob:
            await alice.join(bob)
            await bob.join(alice)
            for one in (alice, bob):
                assert await one.execute(ANN, Pay(1), command_id="x") == first[one.name]
                assert (await one.present(ANN)).state == 2


@in_loop
async def test_a_file_that_goes_on_under_a_new_id_answers_for_what_it_holds(tmp_path):
    """A copy, and a replica that gave up its id: a retry is one, other uses are errors. A fork goes by streams."""
    async with opened(tmp_path / "a.db") as alice:
        first = await alice.execute(ANN, Pay(5), command_id="x")
        await alice.doubt()
        assert (await alice.execute(ANN, Pay(5), command_id="x")).stamp == first.stamp
        await alice.fork(tmp_path / "fork.db", name="fork")
    shutil.copy(tmp_path / "a.db", tmp_path / "copy.db")
    for path in ("copy.db", "fork.db"):
        async with opened(tmp_path / path, "other") as other:
            assert (await other.execute(ANN, Pay(5), command_id="x")).stamp == first.stamp
            if path == "copy.db":
                with pytest.raises(CommandIdUsed):
                    await other.execute(BEN, Pay(5), command_id="x")
            else:
                assert (await other.execute(BEN, Pay(5), command_id="x")).stamp != first.stamp


@in_loop
async def test_a_file_of_before_answers_by_the_streams_of_its_log(tmp_path):
    """It kept one commit an id, of whoever was first, and not what it was used for."""
    path = tmp_path / "a.db"
    async with opened(path) as alice, opened(name="bob") as bob:
        mine = await alice.execute(ANN, Pay(5), command_id="mine")
        theirs = await bob.execute(ANN, Pay(5), command_id="theirs")
        await alice.join(bob)
    db = sqlite3.connect(path)
    with db:
        db.executescript(
            "CREATE TABLE old(id TEXT PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL, wall INTEGER NOT "
            "NULL, counter INTEGER NOT NULL, replica TEXT NOT NULL) WITHOUT ROWID;"
            "INSERT INTO old SELECT id, first, last, wall, counter, replica FROM command;"
            "DROP TABLE command; ALTER TABLE old RENAME TO command;"
        )
    db.close()
    for _ in range(2):
        async with opened(path) as alice:
            assert await alice.verify()
            assert await alice.execute(ANN, Pay(5), command_id="mine") == mine
            assert (await alice.execute(ANN, Pay(5), command_id="theirs")).stamp == theirs.stamp
            with pytest.raises(CommandIdUsed, match="a decision in account/ann"):
                await alice.execute(BEN, Pay(5), command_id="mine")
    async with opened(path) as alice:
        booked = await alice.execute(BEN, Pay(5), command_id="theirs")
        assert [str(dot) for dot in booked.dots] == ["alice:3"]
        assert await alice.execute(BEN, Pay(5), command_id="theirs") == booked


def test_a_command_is_the_same_whatever_the_order_of_its_parts_and_with_fields_that_are_new():
    """Sets and dicts have no order that counts; a release that adds a field with a default still knows a retry."""

    def told(fields):
        class Tell(Command, frozen=True):
            __annotations__ = fields
            more: int = 7

        return Tell

    short, long = told({"what": frozenset[str] | dict}), told({"what": frozenset[str] | dict, "more": int})
    assert intent_of(ANN, short({"a": 1, "b": 2})) == intent_of(ANN, long({"b": 2, "a": 1}))
    assert intent_of(ANN, short(frozenset("abcdef"))) == intent_of(ANN, long(frozenset("fedcba"), 7))
    assert intent_of(ANN, long({}, 8)) != intent_of(ANN, long({}, 9)) != intent_of(ANN, long({}))
    assert intent_of(ANN, Pay(1)).covers(intent_of(ANN, Pay(1)))
    assert not intent_of(ANN, Pay(1)).covers(intent_of(ANN, Pay(2)))
    assert intent_of(ANN, Pay(object())) == Intent(ANN, "Pay")
    assert intent_of(ANN, Pay(object())).covers(intent_of(ANN, Pay(1)))
    assert decode(b"\xc1").covers(intent_of(BEN, Pay(2)))


# --- against a model ---


class Node:
    """A replica over a disk, and what it must answer: what it has carried out, and what it has heard of."""

    def __init__(self, name: str) -> None:
        self.name, self.disk, self.starts = name, Disk(), 0
        self.done: dict[str, tuple[str, int, tuple]] = {}
        self.heard: dict[tuple[str, str], list[tuple]] = {}
        self.start()

    def start(self) -> None:
        self.starts += 1
        chance = Random(f"{self.name} {self.starts}")
        self.replica = DirectReplica(self.disk, "s", self.name, [Account], random=chance)
        _ = self.replica.core.draft
        self.replica.flush()  # its id is there

    def execute(self, key: str, stream: str, cents: int, fails: str | None) -> None:
        """One command; the disk may fail. What must come of it is known before."""
        known, heard = self.done.get(key), self.heard.get((key, stream))
        core = self.replica.core
        first = core.now.version[core.me] + 1 + (core.me not in core.now.lineages)
        self.disk.fails = fails
        try:
            told = tuple(self.replica.execute(stream, Pay(cents), 1, Note(key)).dots)
            self.replica.flush()
        except CommandIdUsed:
            assert known is not None
            assert known[:2] != (stream, cents)
        except Crashed:
            assert known is None
            assert heard is None
            if fails == "after":
                self.done[key] = stream, cents, ((core.me, first),)
            self.start()
        else:
            told = tuple((int(dot.replica), dot.seq) for dot in told)
            if known is not None:
                assert known == (stream, cents, told)
            elif heard is not None:
                assert told == heard[0]
            else:
                assert told == ((core.me, first),)
                self.done[key] = stream, cents, told
        self.disk.fails = None

    def hear(self, other: Node) -> None:
        """All that another one holds."""
        held = self.replica.core.memory.version
        self.replica.ingest([*other.replica.all_slices()])
        self.replica.flush()
        news = []
        for row in (row for lineage in self.replica.core.memory.lineages.values() for row in lineage.rows):
            seq = held[row.replica]
            while seq < row.head.seq:
                commits, seq = self.replica.reader().commits(row, seq + 1)
                news += [commit for commit, _ in commits if commit.first > held[row.replica]]
        for commit in sorted(news, key=lambda commit: commit.stamp):
            if commit.note is not None:
                dots = tuple((commit.replica, seq) for seq in range(commit.first, commit.last + 1))
                self.heard.setdefault((commit.note.command, commit.events[0].stream), []).append(dots)


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["do", "do", "do", "hear", "reopen", "new id"]),
        st.integers(0, 2),
        st.sampled_from(["x", "y"]),
        st.sampled_from([ANN, BEN]),
        st.sampled_from([1, 2]),
        st.sampled_from([None, None, "before", "after"]),
    ),
    max_size=24,
)


@settings(max_examples=150)
@given(ACTS)
def test_whatever_happens_between_a_command_is_carried_out_once_and_answered_as_it_was(acts):
    """Retries, other uses, crashes before and after COMMIT, reopening, new ids, what others did under the id."""
    nodes = [Node(name) for name in ("alice", "bob", "carol")]
    for act, who, key, stream, cents, fails in acts:
        one = nodes[who]
        match act:
            case "do":
                one.execute(key, stream, cents, fails)
            case "hear":
                one.hear(nodes[(who + cents) % 3])
            case "reopen":
                one.start()
            case "new id":
                one.replica.core.succeed(one.replica.core.own_log())
                one.replica.flush()
    for one in nodes:
        for stream in (ANN, BEN):
            done = [cents for where, cents, _ in one.done.values() if where == stream]
            heard = [dots for (_, where), found in one.heard.items() if where == stream for dots in found]
            total = one.replica.present(stream).state
            assert sum(done) + len(heard) <= total <= sum(done) + 2 * len(heard)
