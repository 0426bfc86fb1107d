"""A place in a stream is not a version: decisions that tell several streams, in every reading of the past."""

from __future__ import annotations

from random import Random
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from merge import PNCounter
from merge.version import NOTHING, Dot, VersionVector
from replica import Addressed, Aggregate, Event, Ordered
from replica.backend import MemoryBackend
from replica.direct import DirectReplica
from replica.join import join
from replica.log import Log
from replica.memory import MemoryLog
from replica.place import START, StreamPlace
from replica.readonly import ReadOnly
from replica.replica import Replica
from replica.snapshot import span
from replica.travel import TimeTravel
from tests.loop import in_loop


class Moved(Event):
    n: int


class Account(Aggregate):
    """What adds up, and so shows each event that is folded twice."""

    stream = "account"
    events = (Moved,)
    total = PNCounter()

    def effect(self, event: Any) -> Any:
        return self.total.add(event.n)


class Book(Ordered):
    """Each event, with how many earlier ones its author had not seen."""

    stream = "book"
    events = (Moved,)

    def initial(self) -> tuple[tuple[int, int], ...]:
        return ()

    def evolve(self, state: Any, event: Any, moment: Any) -> Any:
        return (*state, (event.n, len(moment.concurrent())))


STREAMS = ("account/a", "account/b", "book/a", "book/b")
NAMES = ("alice", "bob", "carol")
COMMIT = st.lists(st.integers(0, 3), min_size=1, max_size=6)
STEP = st.one_of(
    st.tuples(st.just("tell"), st.integers(0, 2), COMMIT),
    st.tuples(st.sampled_from(["meet", "look", "snapshot", "reopen"]), st.integers(0, 2), st.integers(0, 2)),
)
STEPS = st.lists(STEP, min_size=1, max_size=30)


@pytest.fixture(scope="module", autouse=True)
def tiny() -> Any:
    """Stretches of two events, of which a few stay in memory, and portions of three events."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("replica.ordered.STRIDE", 2)
        patch.setattr("replica.ordered.RECENT", 4)
        patch.setattr("replica.view.PORTION", 3)
        patch.setattr("replica.view.RUNS", 1)
        yield


def replica(name: str, log: Log | None = None) -> DirectReplica:
    found = DirectReplica(log or MemoryLog(), "bank", name, (Account, Book), random=Random(name))
    found.core.every, found.core.bulk = 3, 2
    return found


def play(steps: list[Any]) -> list[DirectReplica]:
    """Three replicas that decide, meet, look, take snapshots, and are opened again."""
    replicas = [replica(name) for name in NAMES]
    for wall, (what, who, with_what) in enumerate(steps):
        one = replicas[who]
        if what == "tell":
            facts = [Addressed(STREAMS[to], Moved(10 * wall + at)) for at, to in enumerate(with_what)]
            one.append(STREAMS[0], facts, 1000 + 7 * wall - 60 * who)
        elif what == "meet" and who != with_what:
            one.flush()
            replicas[with_what].ingest(list(one.all_slices()))
            replicas[with_what].flush()
        elif what == "look":
            for stream in STREAMS[with_what:]:
                one.present(stream)
        elif what == "snapshot":
            one.snapshot()
        elif what == "reopen":
            one.flush()
            replicas[who] = replica(NAMES[who], one.log)
    for one in replicas:
        one.flush()
    return replicas


def facts(one: DirectReplica, stream: str, cut: VersionVector) -> list[tuple[Any, Dot, VersionVector, int]]:
    """The facts of a stream inside a cut, in the order of their stamps: the reference reads nothing else."""
    return [
        (commit.stamp, Dot(commit.replica, seq), context.advance(commit.replica, seq - 1), event)
        for commit, context in one.reader().beyond(NOTHING, cut, 1 << 62)
        for seq, event in enumerate(commit.events, commit.first)
        if event.stream == stream
    ]


def reference(one: DirectReplica, stream: str, cut: VersionVector) -> Any:
    """A sum; or each in its order, with how many of the earlier ones were not in its context."""
    told = [
        (dot, context, one.core.types.decode(event.type, event.schema, event.payload).n)
        for _, dot, context, event in facts(one, stream, cut)
    ]
    if stream.startswith("account"):
        return sum(n for _, _, n in told)
    return tuple((n, sum(dot not in context for dot, _, _ in told[:at])) for at, (_, context, n) in enumerate(told))


def read(present: Any) -> Any:
    return present.total.value if isinstance(present, Account) else present.state


@settings(max_examples=80, deadline=None)
@given(STEPS, st.lists(st.integers(0, 30), min_size=3, max_size=3), st.integers(0, 2))
def test_every_reading_of_the_past_has_each_event_once(steps, seqs, who):
    """A present, a view at any cut, a difference, a history: none may fold an event twice, or leave one out.

    Whatever was trimmed, frozen or kept. An event that asks for what was concurrent with it gets the same answer.
    """
    replicas = play(steps)
    one = replicas[who]
    version = one.core.memory.version
    for stream in STREAMS:
        assert read(one.present(stream)) == reference(one, stream, version)

    @in_loop
    async def check() -> None:
        past = TimeTravel(one.core, MemoryBackend(one.log))
        ids = [other.core.me for other in replicas]
        some = {r: min(seq, version[r]) for r, seq in zip(ids, seqs, strict=True) if r in version.seqs}
        for _ in range(2):  # the second time from what the first has kept
            for cut in (await past.cut(VersionVector(some)), version):
                view = await past.at(cut)
                for stream in STREAMS:
                    assert read(await view.present(stream)) == reference(one, stream, cut)
                    dots = [(record.dot, {*record.concurrent}) async for record in view.history(stream)]
                    told = facts(one, stream, cut)
                    assert dots == [
                        (dot, {e for _, e, _, _ in told[:at] if e not in context})
                        for at, (_, dot, context, _) in enumerate(told)
                    ]
            for stream in STREAMS:
                apart = await past.diff(stream, cut := await past.cut(VersionVector(some)), "now")
                inside = {dot for _, dot, _, _ in facts(one, stream, cut)}
                gained = [dot for _, dot, _, _ in facts(one, stream, version) if dot not in inside]
                assert [record.dot for record in apart.gained] == gained
                assert not apart.lost

    check()


@settings(max_examples=40, deadline=None)
@given(STEPS, st.integers(0, 2), st.integers(0, 2))
def test_what_arrives_and_what_is_opened_again_come_to_the_same(steps, here, there):
    """Late pasts, snapshots that serve or do not, and folds by column: all are the fold of the log."""
    replicas = play(steps)
    one, other = replicas[here], replicas[there]
    one.ingest(list(other.all_slices()))
    one.flush()
    for again in (one, replica(NAMES[here], one.log)):
        for stream in STREAMS:
            present = again.present(stream)
            assert read(present) == reference(again, stream, again.core.memory.version)
            own = facts(again, stream, again.core.memory.version)
            assert again.core.memory.stands[stream] == START.advance_all(
                {dot.replica: dot.seq for _, dot, _, _ in own}
            )


@in_loop
async def test_a_long_decision_that_tells_a_second_stream_ends_every_reading(tmp_path):
    """A whole portion of facts of one commit, and one fact more elsewhere: history, diff, a file, a join."""
    path = tmp_path / "alice.db"
    async with Replica.open(path, store="bank", name="alice", aggregates=[Account, Book]) as alice:
        facts = [Addressed("book/a", Moved(n)) for n in range(100)]
        await alice.append("book/a", *facts, Addressed("book/b", Moved(100)))
        assert len([one async for one in alice.history("book/a")]) == 100
        assert len((await alice.diff("book/a", NOTHING)).gained) == 100
        async with Replica.open(store="bank", name="bob", aggregates=[Account, Book]) as bob:
            await bob.append("book/a", Moved(7))
            assert (await join(bob, alice, False, None)).met == ("book/a",)
            assert len((await bob.present("book/a")).state) == 101
    async with ReadOnly.open(path, aggregates=[Account, Book]) as past:
        for _ in range(2):
            assert len((await past.present("book/a")).state) == 100


@in_loop
async def test_a_fork_reads_what_its_origin_reads(tmp_path):
    """With snapshots along the way, whose place lies inside a commit that tells another stream as well."""
    path, copy = tmp_path / "alice.db", tmp_path / "copy.db"
    async with Replica.open(path, store="bank", name="alice", aggregates=[Account, Book]) as alice:
        for n in range(6):
            for stream in ("account", "book"):
                await alice.append(f"{stream}/a", Moved(n), Addressed(f"{stream}/b", Moved(-n)))
        wanted = [read(await alice.present(stream)) for stream in STREAMS]
        await alice.fork(copy, name="copy")
    async with Replica.open(copy, store="bank", name="copy", aggregates=[Account, Book]) as fork:
        for _ in range(2):
            assert [read(await fork.present(stream)) for stream in STREAMS] == wanted
            assert [read(await (await fork.at("now")).present(stream)) for stream in STREAMS] == wanted


def test_a_snapshot_whose_place_lies_inside_a_commit_is_gone_on_from_behind_that():
    """Opened again over it, and read at a version: the commit is not folded a second time."""
    alice = replica("alice")
    for n in (1, 2, 3):
        alice.append("account/a", [Moved(n), Addressed("account/b", Moved(-n))], n)
    alice.flush()
    assert alice.snapshot() == 2
    assert alice.log.kept(span("account/a"))
    again = replica("alice", alice.log)
    assert read(again.present("account/a")) == 6
    assert again.core.memory.stands["account/a"] == StreamPlace(
        {alice.core.me: alice.core.memory.version[alice.core.me] - 1}
    )


def test_what_takes_a_version_refuses_a_place_and_the_other_way_round():
    """Each of the mistakes that led to events which were folded twice is an error where it is made."""
    alice = replica("alice")
    alice.append("account/a", [Moved(1)], 1)
    alice.flush()
    reader, version = alice.reader(), alice.core.memory.version
    place: Any = alice.core.memory.stands["account/a"]
    wrong: Any = version
    for mistake in (
        lambda: reader.stream_beyond("account/a", wrong, version, 1),
        lambda: reader.stream_beyond("account/a", START, place, 1),
        lambda: reader.streams(["account/a"], wrong),
        lambda: reader.places("account/a", wrong),
        lambda: reader.beyond(place, version, 1),
        lambda: place <= version,
        lambda: version <= place,
        lambda: version >= place,
        lambda: version | place,
        lambda: version & place,
        lambda: version == place,
        lambda: place == version,
        lambda: version.compare(place),
        lambda: place.inside(place),
        lambda: StreamPlace(wrong),
        lambda: StreamPlace.holding(place),
        lambda: VersionVector(place),
        lambda: place[alice.core.me],
    ):
        with pytest.raises(TypeError):
            mistake()
