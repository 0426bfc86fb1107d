"""Setting aside: an event that nobody can fold stops its stream until somebody says so, and then no longer."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from random import Random

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings

from merge import AWSet
from merge.stamp import Stamp
from replica import (
    Aggregate,
    Command,
    Event,
    EventSetAside,
    InvalidEvent,
    Ordered,
    PoisonEvent,
    Refused,
    Replica,
    StreamRows,
)
from replica.arrange import Gap
from replica.commit import Recorded
from replica.cut import dot_called
from replica.direct import DirectReplica
from replica.memory import MemoryLog
from replica.recording import record
from sync import linked
from sync.cli import main
from tests.loop import in_loop, until

BAD = "bad"


class Put(Command, frozen=True):
    text: str


def noted(kind):
    return type(Event)("Noted", (Event,), {"__annotations__": {"text": kind}, "__module__": __name__})


TEXT, ANY = noted(str), noted(int | str)


class Lattice(Aggregate):
    """Cannot read a number; raises for BAD."""

    stream = "notes"
    events = (TEXT,)
    texts = AWSet[str]()

    def decide(self, command, given):
        return self.events[0](command.text)

    def effect(self, event):
        if event.text == BAD:
            raise ValueError("cannot be folded")
        return self.texts.add(event.text)

    def seen(self):
        return sorted(self.texts)


class InOrder(Ordered):
    """The same; and raises where a text comes twice in a row, which depends on what comes before."""

    stream = "notes"
    events = (TEXT,)

    def initial(self) -> tuple[str, ...]:
        return ()

    def decide(self, command, given):
        return self.events[0](command.text)

    def evolve(self, state, event, moment):
        if event.text == BAD or state[-1:] == (event.text,):
            raise ValueError("cannot be folded")
        return (*state, event.text)

    def seen(self):
        return sorted(self.state)


def lax(kind):
    """The same aggregate in code that takes everything."""
    if issubclass(kind, Aggregate):
        fold = {"effect": lambda self, event: self.texts.add(str(event.text))}
    else:
        fold = {"evolve": lambda self, state, event, moment: (*state, str(event.text))}
    return type("Lax", (kind,), {"events": (ANY,), **fold})


def table(kind):
    class Rows(StreamRows):
        table = "texts"
        columns = {"text": str}
        of = kind

        def rows(self, present):
            return [(text,) for text in present.seen()]

    return Rows


def opened(name, kind, path=":memory:", **more):
    return Replica.open(path, store="s", name=name, aggregates=[kind], **more)


N = "notes/1"
KINDS = pytest.mark.parametrize("kind", [Lattice, InOrder])
WRONG = pytest.mark.parametrize("wrong", [7, BAD], ids=["unreadable", "raises"])


@WRONG
@KINDS
@in_loop
async def test_work_goes_on_where_a_poison_event_was_set_aside(kind, wrong, tmp_path, caplog):
    """Here, at whoever hears of it, for newcomers, in tables, at cuts, and after opening again."""
    path = tmp_path / "alice.db"
    async with (
        opened("mallory", lax(kind)) as mallory,
        opened("alice", kind, path, projections=[table(kind)]) as alice,
        opened("carol", kind, projections=[table(kind)]) as carol,
    ):
        await alice.execute(N, Put("milk"))
        await mallory.join(alice)
        bad = (await mallory.append(N, ANY(wrong))).dots[0]
        for one in (alice, carol):
            await one.join(mallory)
            with pytest.raises(PoisonEvent, match=rf'set_aside\("{bad}"\)'):
                await one.execute(N, Put("eggs"))
            assert not await one.rows("texts")
        await alice.set_aside(bad)
        await alice.execute(N, Put("eggs"))
        async with linked(alice, carol):
            await until(lambda: carol.version == alice.version)
        async with opened("dave", kind) as dave:
            await dave.join(carol)
            for one in (alice, carol, dave):
                assert (await one.present(N)).seen() == ["eggs", "milk"]
                assert not one.status().poisoned
                assert [(left.why, left.events) for left in one.status().unfolded] == [("set aside", 1)]
            assert await dave.digest(N) == await carol.digest(N) == await alice.digest(N)
        assert await alice.rows("texts") == await carol.rows("texts") == [(N, 0, "eggs"), (N, 1, "milk")]
        assert not (await alice.verify()).differences
        assert await alice.explain(N)
        told = [record.type async for record in alice.history(N)]
        assert told == ["Noted", "Noted", "EventSetAside", "Noted"]
        said = [one.getMessage() for one in caplog.records if f"{bad} in {N} was set aside" in one.getMessage()]
        assert [words.split(":")[0] for words in said] == ["alice", "carol", "dave"]
        with pytest.raises(PoisonEvent, match=str(bad)):
            await (await alice.at(bad)).present(N)
        assert (await (await alice.at(f"{bad}^")).present(N)).seen() == ["milk"]
    async with opened("alice", kind, path) as alice:
        assert (await alice.present(N)).seen() == ["eggs", "milk"]
    async with opened("alice", lax(kind), path) as alice:
        assert (await alice.present(N)).seen() == sorted(["eggs", "milk", str(wrong)]), "code that can fold it does"


@KINDS
@in_loop
async def test_an_event_that_stops_nothing_is_not_set_aside(kind):
    """Refused here; and where somebody says it all the same, it changes nothing."""
    async with opened("alice", kind) as alice, opened("mallory", lax(kind)) as mallory:
        milk = (await alice.execute(N, Put("milk"))).dots[0]
        version = alice.version
        with pytest.raises(Refused, match="no event stops"):
            await alice.set_aside(milk)
        assert alice.version == version
        await mallory.join(alice)
        await mallory.append(N, EventSetAside(int(milk.replica), milk.seq))
        await alice.join(mallory)
        async with opened("dave", kind) as dave:
            await dave.join(alice)
            for one in (alice, dave):
                assert (await one.present(N)).seen() == ["milk"]


@KINDS
@in_loop
async def test_a_word_about_an_event_that_its_author_had_not_seen_does_not_count(kind):
    """Else it is there before the event here, and after it elsewhere, and replicas differ."""
    async with opened("mallory", lax(kind)) as mallory, opened("eve", kind) as eve, opened("alice", kind) as alice:
        await eve.append(N, EventSetAside(int(mallory.core.me), 2))
        await alice.join(eve)
        await mallory.append(N, ANY(BAD))
        await alice.join(mallory)
        with pytest.raises(PoisonEvent):
            await alice.present(N)


@pytest.mark.parametrize("name", ["EventSetAside", "OwnerChanged"])
@pytest.mark.parametrize("count", [1, 100], ids=["one", "bulk"])
@KINDS
def test_a_fact_of_our_own_that_cannot_be_read_stops_nothing(kind, name, count):
    """Else the way out is itself a way to stop a stream."""
    mallory, alice = (
        DirectReplica(MemoryLog(), "s", one, [kind], random=Random(one)) for one in ("mallory", "alice")
    )
    mallory.append(N, [TEXT(f"{number}") for number in range(count)], 1)
    record(
        mallory.core,
        (Recorded(N, name, 1, msgspec.msgpack.encode({"seq": "two"})),),
        Stamp(2, 0, mallory.core.me),
        None,
    )
    mallory.flush()
    for _ in range(2):  # a newcomer, and who has it in memory
        alice.ingest(list(mallory.all_slices()))
        assert len(alice.present(N).seen()) == count
        assert len(mallory.present(N).seen()) == count


@KINDS
@in_loop
async def test_all_that_stops_a_stream_is_named_or_nothing_is_recorded(kind):
    """Else a stream is still stopped after a fact that says it is not."""
    async with opened("mallory", lax(kind)) as mallory, opened("alice", kind) as alice:
        first = (await mallory.append(N, ANY(BAD))).dots[0]
        second = (await mallory.append(N, ANY(7))).dots[0]
        await alice.join(mallory)
        version = alice.version
        with pytest.raises(Refused, match="Name both"):
            await alice.set_aside(first)
        assert alice.version == version
        with pytest.raises(PoisonEvent):
            await alice.present(N)
        await alice.set_aside(first, second)
        assert (await alice.present(N)).seen() == []


@KINDS
@in_loop
async def test_retiring_a_member_frees_the_streams_that_it_has_stopped(kind):
    """Else one frame of a member stops every stream, and each is to be mended by hand."""
    async with opened("mallory", lax(kind)) as mallory, opened("alice", kind) as alice:
        for number in range(5):
            await alice.execute(f"notes/{number}", Put("milk"))
        await mallory.join(alice)
        for number in range(5):
            for wrong in (7, BAD, 8):
                await mallory.append(f"notes/{number}", ANY(wrong))
        await alice.join(mallory)
        assert len(alice.status().poisoned) == 5
        await alice.retire("mallory")
        for number in range(5):
            await alice.execute(f"notes/{number}", Put("eggs"))
        assert not alice.status().poisoned


@in_loop
async def test_an_operator_sets_an_event_aside_from_a_terminal(tmp_path, capsys):
    """Whoever looks after a file needs no program for that."""
    path = tmp_path / "alice.db"
    async with opened("mallory", lax(Lattice)) as mallory, opened("alice", Lattice, path) as alice:
        await alice.execute(N, Put("milk"))
        await mallory.append(N, ANY(BAD))
        await alice.join(mallory)

    def run(*words):
        code = main([words[0], str(path), *words[1:], "--json", "--app", "tests.test_aside:Lattice"])
        return code, capsys.readouterr()

    for words, code in ((("show", N), 1), (("set-aside", "alice:2"), 1), (("set-aside", "mallory:2"), 0)):
        found, printed = await asyncio.to_thread(run, *words)
        assert found == code, printed.err
    assert json.loads(printed.out) == {"dots": ["alice:3"]}
    found, printed = await asyncio.to_thread(run, "show", N)
    assert json.loads(printed.out)["present"] == {"texts": ["milk"]}


STEPS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["a", "b", BAD, 7, "meet", "aside"]), st.integers(0, 3)),
    min_size=4, max_size=14,
)  # fmt: skip


@pytest.mark.parametrize("kind", [Lattice, InOrder])
@settings(max_examples=15, deadline=None)
@given(STEPS)
def test_replicas_agree_whatever_is_set_aside_when(kind, steps):
    """Which events are left out follows from what a replica holds, and not from when it heard of it."""
    network = [
        DirectReplica(MemoryLog(), "s", name, [lax(kind) if name == "mallory" else kind], random=Random(name))
        for name in ("mallory", "alice", "bob", "carol")
    ]
    now = 0

    def present(one):
        try:
            return one.present(N).seen()
        except PoisonEvent:
            return None

    def free(one):
        """Set aside all that stops the stream, one after the other until nothing does."""
        found = set()
        while present(one) is None:
            found.add(one.core.now.poison[N].dot)
            try:
                one.set_aside(sorted(found), now)
            except Refused as refused:
                found.add(dot_called(one.core, str(refused).partition("stopped by ")[2].split()[0]))
            one.flush()

    for at, what, other in steps:
        now += 1000
        one = network[at]
        if what == "meet":
            assert not isinstance(one.ingest(list(network[other].all_slices())), Gap)
            one.flush()
        elif what == "aside":
            if at:
                free(one)
        elif at == 0 or (what not in (BAD, 7) and present(one) is not None):
            with suppress(InvalidEvent):  # twice in a row
                one.append(N, [(ANY if at == 0 else TEXT)(what)], now)
            one.flush()
    free(network[1])
    for _ in range(2):
        for one in network:
            for other in network:
                if one is not other:
                    one.ingest(list(other.all_slices()))
                    one.flush()
    newcomer = DirectReplica(MemoryLog(), "s", "dave", [kind], random=Random("dave"))
    newcomer.ingest(list(network[1].all_slices()))
    newcomer.flush()
    found = [present(one) for one in (*network[1:], newcomer)]
    assert all(one == found[0] for one in found), found


class Reply(Event):
    text: str
    depth: int = 0


def replies(honest=True):
    """An ordered stream: what is closed takes no E, and a reply may make a state that nobody can keep."""

    class Replies(Ordered):
        stream = "replies"
        events = (Reply,)

        def initial(self):
            return ()

        def evolve(self, state, event, moment):
            if not honest:
                return state
            if event.text == "E" and "X" in state:
                raise ValueError("it is closed")
            value = event.text
            for _ in range(event.depth):
                value = [value]
            return (*state, value)

    return Replies


async def say_aside(replica):
    core = replica.core
    await replica._pump.do(lambda: core.append("replies/1", [EventSetAside(core.me, 2)], core.now.stamp.wall + 1))


@in_loop
async def test_a_stream_that_stays_stopped_though_its_event_was_set_aside_holds_up_nothing():
    """It is read once without the event, and not again and again: the batch is taken, and all else goes on."""

    def opened(name, kind):
        return Replica.open(":memory:", store="shop", name=name, aggregates=[kind])

    async with opened("alice", replies()) as alice, opened("mallory", replies(honest=False)) as mallory:
        await alice.append("replies/1", Reply("a"))
        await mallory.append("replies/1", Reply("deep", 5000))
        await alice.join(mallory)
        with pytest.raises(PoisonEvent):
            await alice.present("replies/1")
        await say_aside(mallory)
        await asyncio.wait_for(alice.join(mallory), 20)
        await asyncio.wait_for(alice.append("replies/2", Reply("b")), 20)


@in_loop
async def test_rows_follow_where_an_event_that_was_set_aside_raises_only_after_a_late_past():
    """The present is let go of in the middle of a transaction: what follows from it is made again from the log."""
    now, kind = [0], replies()

    class Texts(StreamRows):
        table = "texts"
        columns = {"text": str}
        of = kind

        def rows(self, present):
            return [(text,) for text in present.state]

    def opened(name):
        return Replica.open(
            ":memory:", store="shop", name=name, aggregates=[kind], projections=[Texts], clock=lambda: now[0]
        )

    async with opened("alice") as alice, opened("bob") as bob, opened("carol") as carol, opened("dave") as dave:
        await carol.append("replies/1", Reply("X"))
        now[0] += 1000
        await bob.append("replies/1", Reply("E"))
        await say_aside(bob)
        await alice.join(bob)
        await alice.join(carol)
        await alice.built()
        await dave.join(carol)
        await dave.join(bob)
        assert await alice.rows("texts") == await dave.rows("texts") == [("replies/1", 0, "X")]
        assert await alice.verify()
