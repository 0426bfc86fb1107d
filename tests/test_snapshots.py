"""Snapshots: a shorter way to the same present, never another one."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from functools import partial

import msgspec
import pytest
from hypothesis import given, settings

from merge import AWSet, LWWRegister, ORMap, PNCounter
from replica import Aggregate, Event, Ordered, Replica, StreamRows
from replica.arrange import Gap
from replica.log import Kept, Span, Transaction
from replica.memory import MemoryLog
from replica.snapshot import EVERY, KIND, Snapshot, _digest, read, span, superfluous
from tests.histories import STEPS, STREAMS, direct, play
from tests.loop import in_loop, until
from tests.shop import (
    HOME,
    JOURNAL,
    AddItem,
    ItemAdded,
    Journal,
    Noted,
    ShoppingList,
    TakeNote,
)  # fmt: skip


def from_the_log(replica):
    """Digests of the presents as they are folded from the log alone."""
    log = replica.log
    kept, log._kept = log._kept, {}
    other = direct("other", log)
    found = [other.digest(stream) for stream in STREAMS]
    log._kept = kept
    return found


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_whatever_is_taken_when_presents_are_those_of_the_log_alone(steps):
    """Three replicas write with clocks of their own, meet late, take snapshots, and are reopened at any time."""
    replicas = play(steps)
    for replica in replicas:
        replica.snapshot()
        wanted = from_the_log(replica)
        assert [replica.digest(stream) for stream in STREAMS] == wanted
        reopened = direct("x", replica.log)
        assert [reopened.digest(stream) for stream in STREAMS] == wanted


def long(events=3000, aggregates=(ShoppingList, Journal)):
    replica = direct("alice", every=EVERY, aggregates=aggregates)
    for number in range(events // 100):
        replica.append(HOME, [ItemAdded(f"{n % 7}") for n in range(100)], 1000 + number)
        replica.append(JOURNAL, [Noted(f"{number}/{n}") for n in range(100)], 1000 + number)
        replica.snapshot()
    return replica


class Counting(MemoryLog):
    """Counts the blocks that are read."""

    reads = 0

    def block(self, number, seq):
        self.reads += 1
        return super().block(number, seq)


@pytest.mark.parametrize("stream", STREAMS)
def test_reading_a_stream_reads_only_the_blocks_after_its_snapshot(stream):
    """Of six blocks that hold two streams, the last three: what came after two thirds of them."""
    replica = long()
    log = Counting()
    log.__dict__.update(replica.log.__dict__)
    reopened = direct("alice", log)
    reopened.present(stream)
    assert log.reads <= 3
    log._kept = {}
    afresh = direct("alice", log)
    log.reads = 0
    assert afresh.digest(stream) == reopened.digest(stream)
    assert log.reads >= 6


def test_an_ordered_stream_does_not_hold_what_lies_behind_a_snapshot():
    """Neither while it grows nor after it is read again; so memory is bounded."""
    replica = long(5000)
    fold = replica.core.memory.presents[JOURNAL]
    assert len(list(fold.events)) <= 3 * EVERY
    assert fold.base is not None
    reopened = direct("alice", replica.log)
    reopened.present(JOURNAL)
    assert len(list(reopened.core.memory.presents[JOURNAL].events)) < EVERY
    assert reopened.digest(JOURNAL) == from_the_log(replica)[1]


def test_a_late_past_lets_go_of_the_snapshots_after_it_and_of_no_others():
    """In its own transaction; those before it serve, and what is read is right."""
    replica = long()
    before = {kept.key for kept in replica.log.kept(span(JOURNAL))}
    others = {kept.key for kept in replica.log.kept(span(HOME))}
    assert len(before) >= 2
    bob = direct("bob")
    bob.execute(JOURNAL, TakeNote("late"), 1015)
    bob.flush()
    assert not isinstance(replica.ingest(list(bob.all_slices())), Gap)
    replica.flush()
    after = {kept.key for kept in replica.log.kept(span(JOURNAL))}
    assert after < before
    assert all(read(kept).stamp < (1015, 0, 0) for kept in replica.log.kept(span(JOURNAL)))
    assert {kept.key for kept in replica.log.kept(span(HOME))} == others
    assert replica.digest(JOURNAL) == from_the_log(replica)[1]
    assert direct("alice", replica.log).digest(JOURNAL) == from_the_log(replica)[1]


def ladder(rounds, size):
    """How many EVERYs of events the snapshots hold that stay, where each is of so many bytes."""
    held: list[Kept] = []
    for number in range(1, rounds + 1):
        newest, key = number * EVERY, f"{number:04}"
        value = msgspec.msgpack.encode(Snapshot("", (number, 0, 0), {}, {}, newest, bytes(size)))
        gone = superfluous(held, newest)
        held = [kept for kept in held if kept not in gone] + [Kept(KIND, key, _digest(key, value) + value)]
    return [read(kept).events // EVERY for kept in held]


def test_the_ladder_has_few_rungs_and_one_not_far_below_any_event():
    """After a hundred: two for each power of two; what is late finds one at most four times as far back."""
    rungs = ladder(100, 1 << 20)
    assert len(rungs) <= 14
    assert rungs[-1] == 100
    for late in range(1, 99):
        assert any(late <= 100 - rung <= 4 * late for rung in rungs), late


def test_small_snapshots_stand_along_the_whole_stream():
    """So that no past lies more than a sixteenth of the stream after one; and there are few, however long it is."""
    for rounds in (10, 100, 300):
        rungs = ladder(rounds, 100)
        assert len(rungs) <= 50
        for past in range(rounds):
            assert any(past - max(rounds // 16, 1) <= rung <= past for rung in [0, *rungs]), (rounds, past)


class Changed(Journal):
    """The same stream, folded otherwise."""

    def evolve(self, state, event, moment):
        return (*state, (event.line.upper(), 0))


def test_other_code_folds_again_from_the_log():
    """The code of a fold is part of its fingerprint, and so are the types that it can read."""
    replica = long(1500)
    replica.append(JOURNAL, [Noted("x")], 5000)
    replica.flush()
    changed = direct("alice", replica.log, aggregates=(ShoppingList, Changed))
    assert changed.present(JOURNAL).state[-1] == ("X", 0)
    assert changed.present(JOURNAL).state[0] == ("0/0", 0)
    assert Changed.fingerprint() != Journal.fingerprint() == Journal.fingerprint()


@pytest.mark.parametrize("damage", [b"", b"\x93\x01", b"no"])
def test_a_damaged_snapshot_is_passed_over(damage):
    """The log has what it held; the next one replaces it."""
    replica = long(1500)
    wanted = from_the_log(replica)
    nothing = Transaction([], [], [], [], {}, None, False)
    for kept in replica.log.kept(Span(KIND)):
        replica.log.write(nothing._replace(keep=(kept._replace(value=damage),)))
    reopened = direct("alice", replica.log)
    assert [reopened.digest(stream) for stream in STREAMS] == wanted
    assert "journal/day: a snapshot cannot be read" in reopened.core.complaints.take()[-1].words


def test_a_second_history_lets_go_of_all_snapshots():
    """They hold what may be folded no more."""
    copies = [direct("alice", every=5), direct("alice", every=5)]
    for side, replica in enumerate(copies):
        for number in range(20):
            replica.execute(JOURNAL, TakeNote(f"{side}/{number}"), 1000 + 2 * number + side)
        replica.snapshot()
        assert replica.log.kept(Span(KIND))
    witness = direct("bob")
    for replica in copies:
        witness.ingest(list(replica.all_slices()))
        witness.flush()
        witness.present(JOURNAL)
        witness.core.ripe[JOURNAL] = None
        witness.snapshot()
    assert witness.core.memory.lineages[copies[0].core.me].forked
    assert witness.digest(JOURNAL) == from_the_log(witness)[1]


class Happening(Event, frozen=True):
    number: int


class Odd(Ordered):
    """A state with an object that cannot be taken apart."""

    stream = "odd"
    events = (Happening,)

    def initial(self):
        return {"all": ()}

    def evolve(self, state, event, moment):
        return {"all": (*state["all"], iter([event.number]))}


class Even(Odd):
    """The same of tuples, of which nobody said the type."""

    stream = "even"

    def evolve(self, state, event, moment):
        return {"all": (*state["all"], (event.number,))}


def test_what_does_not_come_back_as_it_was_is_not_kept():
    """Its stream is folded from the log, as before; and the log of the process says which part it is."""
    replica = direct("alice", aggregates=(Odd, Even))
    for number in range(20):
        for stream in ("odd/1", "even/1"):
            replica.append(stream, [Happening(number)], number + 1)
    replica.snapshot()
    replica.snapshot()
    assert not replica.log.kept(span("odd/1"))
    assert replica.log.kept(span("even/1"))
    (complaint,) = replica.core.complaints.take()
    assert "odd/1" in complaint.words
    assert "['all'][0]" in complaint.words
    reopened = direct("alice", replica.log, aggregates=(Odd, Even))
    assert [next(one) for one in reopened.present("odd/1").state["all"]] == [*range(20)]
    assert reopened.present("even/1").state == replica.present("even/1").state
    assert reopened.core.memory.presents["even/1"].base is not None


class Shelf(Aggregate):
    """Everything that a lattice can hold: nested maps, keys of several kinds, values of several kinds."""

    stream = "shelf"
    events = (Happening,)
    things = ORMap(ORMap(LWWRegister()))
    counts = ORMap(PNCounter())
    tags = AWSet()
    total = PNCounter()

    def effect(self, event):
        n = event.number
        keys = [n % 3, f"{n % 3}", bytes([n % 3]), (n % 3, ("a", b"b"))]
        values = [n, str(n), n % 2 == 0, None, n / 2]
        yield self.things[keys[n % 4]][keys[(n + 1) % 4]].write(values[n % 5])
        yield self.counts[keys[n % 4]].add(n)
        yield self.tags.add(keys[n % 4])
        yield self.total.add(n)


def test_a_snapshot_holds_all_that_a_lattice_can():
    """Keys and values of every kind come back as they were, not only as what equals them."""
    replica = direct("alice", aggregates=(Shelf,))
    for number in range(60):
        replica.append("shelf/1", [Happening(number)], number + 1)
    replica.snapshot()
    assert replica.log.kept(span("shelf/1"))
    reopened = direct("alice", replica.log, aggregates=(Shelf,))
    assert reopened.digest("shelf/1") == replica.digest("shelf/1")
    one, other = reopened.present("shelf/1").value, replica.present("shelf/1").value
    assert repr(sorted(map(repr, one["things"]))) == repr(sorted(map(repr, other["things"])))
    assert one == other


async def keep_a_journal(replica: Replica) -> None:
    """Three thousand lines: enough for a snapshot."""
    for number in range(30):
        await replica.append(JOURNAL, *(Noted(f"{number}/{n}") for n in range(100)))


@in_loop
async def test_a_replica_takes_snapshots_by_itself_and_verifies_them(tmp_path):
    """While it is idle; `verify` folds from the log and finds nothing; a wrong snapshot is found and named."""
    path = tmp_path / "a.db"
    opened = partial(Replica.open, path, store="shop", name="alice", aggregates=[ShoppingList, Journal])
    async with opened() as alice:
        await keep_a_journal(alice)
        await until(lambda: not alice.core.ripe)
        await alice.execute(HOME, AddItem("milk"))
        verified = await alice.verify()
        assert (verified.streams, verified.differences) == (2, ())
        assert verified.snapshots >= 1
        wanted = await alice.digest(JOURNAL)
    with sqlite3.connect(path) as db:
        rows = db.execute("SELECT key, value FROM kept WHERE kind = 'snapshot'").fetchall()
        for key, value in rows:
            held = read(Kept("snapshot", key, value))
            state = msgspec.msgpack.encode(Journal.codec().pack((("forged", 0),)))
            forged = msgspec.msgpack.encode(msgspec.structs.replace(held, fold=state))
            db.execute("UPDATE kept SET value = ? WHERE key = ?", (_digest(key, forged) + forged, key))
    async with opened() as alice:
        assert await alice.digest(JOURNAL) != wanted
        verified = await alice.verify()
        assert not verified
        assert any("journal/day: the present in memory differs" in one for one in verified.differences)
        assert any("journal/day: the snapshot of" in one for one in verified.differences)
        assert await alice.verify(HOME)


@in_loop
async def test_a_stream_that_is_only_read_has_a_snapshot_too(tmp_path):
    """Else every process that writes nothing would fold the whole log again."""
    path = tmp_path / "a.db"
    opened = partial(Replica.open, path, store="shop", name="alice", aggregates=[ShoppingList, Journal])
    async with opened() as alice:
        await keep_a_journal(alice)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM kept WHERE kind = 'snapshot'")
    async with opened() as alice:
        assert len((await alice.present(JOURNAL)).state) == 3000
        held = partial(alice._backend.run, lambda log: log.kept(span(JOURNAL)))
        async with asyncio.timeout(10):
            while not await held():
                await asyncio.sleep(0.01)


class Choosy(Journal):
    """Its code holds a set."""

    def evolve(self, state, event, moment):
        return (*state, event.line) if event.line in {"milk", "eggs", "tea", "bread"} else state


class Rowed(StreamRows):
    table = "rowed"
    columns = {"line": str}
    of = Choosy

    def rows(self, present):
        return [(line,) for line in present.state]


class Otherwise(Choosy):
    def evolve(self, state, event, moment):
        return (*state, event.line.upper())


def test_the_rows_of_a_stream_depend_on_the_code_that_folds_it():
    """A projection of an aggregate that folds otherwise is built again."""
    other = type("Rowed", (Rowed,), {"of": Otherwise})
    assert other.fingerprint() != Rowed.fingerprint()
