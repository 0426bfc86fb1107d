"""Time travel: at every cut the fold of just those events, and cuts that can be printed and pasted."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from merge.version import NOTHING, Dot, VersionVector
from replica import NotObserved, PoisonEvent, Replica
from replica.backend import MemoryBackend
from replica.cut import from_plain, plain, shown_time
from replica.difference import ABSENT, Changed, apply, difference
from replica.digest import digest
from replica.folding import fold_within
from sync import linked
from tests.histories import STEPS, STREAMS, play
from tests.loop import in_loop
from tests.shop import HOME, JOURNAL, AddItem, AddTwice, GiveTitle, Journal, RemoveItem, ShoppingList, TakeNote

AGGREGATES = [ShoppingList, Journal]


def opened(path=":memory:", name="alice", **options):
    return Replica.open(path, store="shop", name=name, aggregates=AGGREGATES, **options)


@asynccontextmanager
async def over(direct):
    """The async face of a replica that was stepped by hand."""
    backend = MemoryBackend(direct.log)
    async with opened(name=direct.core.identity.name, backend=backend, random=Random(1)) as replica:
        yield replica


def everything(replica):
    """All commits that a replica holds, with their contexts, by stamp."""
    return replica.reader().beyond(NOTHING, replica.core.memory.version, 1_000_000)


def least_past(commits, version):
    """The least cut with a version, by going round until nothing is added."""
    while True:
        more = version
        for commit, context in commits:
            if commit.first <= version[commit.replica]:
                more = (more | context).advance(commit.replica, commit.last)
        if more == version:
            return version
        version = more


def naive(replica, stream, cut):
    """The digest of a stream at a cut: its events folded from the log, and nothing else looked at."""
    core = replica.core
    aggregate = core.aggregate_of(stream)
    inside = [item for item in everything(replica) if item[0].last <= cut[item[0].replica]]
    present = aggregate.present_of(fold_within(core, stream, inside, cut), stream, cut)
    return digest(present.canonical(present.state))


SEQS = st.lists(st.lists(st.integers(0, 40), min_size=3, max_size=3), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(STEPS, SEQS)
def test_at_every_cut_the_present_is_the_fold_of_just_those_events(steps, chosen):
    """Lattice and ordered, from snapshots, from earlier views and from the live present; the names of cuts too."""
    replicas = play(steps)

    @in_loop
    async def check():
        for direct in replicas:
            commits, version = everything(direct), direct.core.memory.version
            if not version:
                continue
            async with over(direct) as replica:
                live = [await replica.digest(stream) for stream in STREAMS]
                for seqs in chosen:
                    ids = [one.core.me for one in replicas]
                    some = VersionVector(
                        {r: min(seq, version[r]) for r, seq in zip(ids, seqs, strict=True) if r in version.seqs}
                    )
                    view = await replica.at(some)
                    assert view.version == least_past(commits, some)
                    assert (await replica.at(str(view.version))).version == view.version
                    assert from_plain(json.loads(json.dumps(plain(view.version)))) == view.version
                    for stream in STREAMS:
                        assert await view.digest(stream) == naive(direct, stream, view.version)
                        told = [record.dot async for record in view.history(stream)]
                        assert told == [
                            Dot(commit.replica, seq)
                            for commit, _ in commits
                            if commit.last <= view.version[commit.replica]
                            for seq, event in enumerate(commit.events, commit.first)
                            if event.stream == stream
                        ]
                assert [await replica.digest(stream) for stream in STREAMS] == live

    check()


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(900, 1500))
def test_a_time_is_a_cut_that_is_causally_closed(steps, wall):
    """All that was stamped until then, and so all that those had observed."""
    for direct in play(steps):
        commits = everything(direct)

        @in_loop
        async def check(direct=direct, commits=commits):
            async with over(direct) as replica:
                cut = (await replica.at(datetime.fromtimestamp(wall / 1000, UTC))).version
                assert cut == least_past(commits, cut)
                inside = [commit for commit, _ in commits if commit.stamp.wall <= wall]
                assert sum(cut.seqs.values()) == sum(len(commit.events) for commit in inside)
                for commit in inside:
                    assert (await replica.cut(shown_time(commit.stamp)))[commit.replica] >= commit.last

        check()


@settings(max_examples=40, deadline=None)
@given(STEPS, SEQS)
def test_a_difference_applied_to_the_one_gives_the_other(steps, chosen):
    """In both directions, with the events that lie between."""
    direct = play(steps)[0]

    @in_loop
    async def check():
        async with over(direct) as replica:
            version = replica.version
            cuts = [VersionVector({r: min(s, version[r]) for r in version.seqs}) for s, *_ in chosen]
            for one in cuts:
                for stream in STREAMS:
                    a, b = await replica.at(one), await replica.at("now")
                    for before, after in ((a, b), (b, a)):
                        found = await before.diff(stream, after)
                        assert (
                            found.apply((await before.present(stream)).plain())
                            == (await after.present(stream)).plain()
                        )
                        gained = {record.dot async for record in after.history(stream)}
                        lost = {record.dot async for record in before.history(stream)}
                        assert {record.dot for record in found.gained} == gained - lost
                        assert {record.dot for record in found.lost} == lost - gained

    check()


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3) | st.sets(st.integers(0, 4)),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner) | st.lists(inner, max_size=2),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(PLAIN, PLAIN)
def test_a_difference_of_any_two_values_can_be_applied(one, other):
    """Sets by element, mappings by key, all else whole; what is equal is left out."""
    found = apply(one, difference(one, other))
    assert (found, type(found)) == (other, type(other))
    assert difference(one, one) == ()


def test_a_difference_reads_like_one():
    """Signs as in a patch; lines of a long text."""
    before = {"items": {"milk"}, "title": "a", "note": "one\ntwo\n", "count": 1}
    after = {"items": {"eggs"}, "title": "b", "note": "one\nthree\n", "count": 1}
    assert [str(change) for change in difference(before, after)] == [
        "+ items/eggs",
        "- items/milk",
        "~ note\n     one\n    -two\n    +three",
        "~ title: 'a' -> 'b'",
    ]
    assert str(Changed(("k",), ABSENT, 3)) == "+ k = 3"


@in_loop
async def test_a_present_is_read_as_its_author_knew_it():
    """What bob had seen when he decided, and what had happened by then that he had not seen."""
    async with opened() as alice, opened(name="bob") as bob:
        await alice.execute(HOME, AddItem("milk"))
        async with linked(alice, bob):
            await bob.wait_for(alice.version)
        await alice.execute(HOME, AddItem("eggs"))
        (tea,) = (await bob.execute(HOME, AddItem("tea"))).dots
        async with linked(alice, bob):
            await alice.wait_for(bob.version)
        knew = await alice.at(f"{tea}^")
        assert set((await knew.present(HOME)).items) == {"milk"}
        assert (
            await alice.at((await anext(alice.history(HOME, replicas=["bob"]))).context)
        ).version == knew.version
        assert set((await (await alice.at(tea)).present(HOME)).items) == {"milk", "tea"}
        assert set((await alice.present(HOME)).items) == {"milk", "eggs", "tea"}
        both = [record async for record in alice.history(HOME)]
        assert [str(record) for record in both] == [
            "alice:2 ItemAdded(item='milk')",
            "alice:3 ItemAdded(item='eggs')",
            "bob:2 ItemAdded(item='tea')",
        ]
        assert [record.concurrent for record in both] == [(), (), (both[1].dot,)]
        assert str(both[2].author) == "bob"


@in_loop
async def test_history_is_chosen_by_type_replica_and_span():
    """And goes portion by portion, through events that this code does not know."""
    async with opened() as alice:
        await alice.execute(HOME, AddTwice("milk"))
        await alice.execute(HOME, GiveTitle("Food"), correlation="c", command_id="k")
        await alice.execute(JOURNAL, TakeNote("x"))
        removed = await alice.execute(HOME, RemoveItem("milk"), cause=Dot(alice.core.me, 2))

        async def told(**options):
            return [str(record.dot) async for record in alice.history(HOME, **options)]

        assert await told() == ["alice:2", "alice:3", "alice:4", "alice:6"]
        assert await told(types=["TitleGiven"]) == ["alice:4"]
        assert await told(after="alice:3", upto="alice:5") == ["alice:4"]
        assert await told(replicas=["alice"], after="alice:4") == ["alice:6"]
        with pytest.raises(NotObserved, match="has not heard of a replica 'zoe'"):
            await told(replicas=["zoe"])
        title, remove = [record async for record in alice.history(HOME, after="alice:3")]
        assert (title.correlation, title.command, title.cause) == ("c", "k", None)
        assert (remove.cause, remove.dot) == (Dot(alice.core.me, 2), removed.dots[0])
        assert abs(remove.time - datetime.now(UTC)) < timedelta(minutes=1)


@in_loop
async def test_history_of_unknown_types_is_told_all_the_same():
    """Their fields are read off the bytes, and the present leaves them out."""
    async with opened() as alice:
        await alice.execute(HOME, AddItem("milk"))

        class Few(ShoppingList):
            stream = "list"
            events = ()

        backend = MemoryBackend(alice._backend._backend.log)
        async with Replica.open(store="shop", name="x", aggregates=[Few], backend=backend) as other:
            (record,) = [record async for record in other.history(HOME)]
            assert (record.event, record.type, record.fields) == (None, "ItemAdded", {"item": "milk"})


@in_loop
async def test_a_past_that_was_never_observed_is_refused_in_words():
    """Unknown replicas, later events, and words that name no past. Nothing changes."""
    async with opened() as alice:
        await alice.execute(HOME, AddItem("milk"))
        before = alice.version
        for where in ("alice:3", Dot(alice.core.me, 9), VersionVector({alice.core.me: 7}), "alice:3^"):
            with pytest.raises(NotObserved, match=r"has not observed alice:\d.*the events 1 to 2"):
                await alice.at(where)
        with pytest.raises(NotObserved, match=r"has not heard of a replica 'bob'; it knows alice"):
            await alice.at("bob:1")
        with pytest.raises(NotObserved, match=r"has not observed 0{15}5:1: it has heard of alice"):
            await alice.at(Dot(5, 1))
        for words in ("yesterday", "alice", "2026-13-45"):
            with pytest.raises(ValueError, match=r"does not name a past|is not a time"):
                await alice.at(words)
        for words in ("", "alice:0", "2020-01-01"):
            view = await alice.at(words)
            assert not view.version
            assert set((await view.present(HOME)).items) == set()
        assert alice.version == before


@in_loop
async def test_replicas_of_one_name_are_told_apart():
    """name~digits in print, and back again; the name alone is refused, the 16 digits are taken."""
    async with opened() as one, opened() as other, linked(one, other):
        await one.execute(HOME, AddItem("milk"))
        await other.execute(HOME, AddItem("eggs"))
        await one.wait_for(other.version)
        assert str(one.version).count("alice~") == 2
        assert (await one.at(str(one.version))).version == one.version
        with pytest.raises(NotObserved, match=r"several replicas go by the name 'alice': say which \(alice~"):
            await one.at("alice:1")
        assert set((await (await one.at(f"{int(other.core.me):016x}:2")).present(HOME)).items) >= {"eggs"}


@in_loop
async def test_views_stand_beside_the_live_replica_and_end_nowhere():
    """Read while others write; a view read again, or by several at once, says the same."""
    async with opened() as alice:
        for n in range(300):
            await alice.execute(HOME, AddItem(f"{n}"))
        views = [await alice.at(f"alice:{n}") for n in range(2, 300, 17)]
        writing = asyncio.gather(*[alice.execute(HOME, AddItem(f"later {n}")) for n in range(50)])
        found = await asyncio.gather(*[view.present(HOME) for view in views])
        assert [len(present.items) for present in found] == [n - 1 for n in range(2, 300, 17)]
        await writing
        assert [await view.digest(HOME) for view in views] == [digest(p.canonical(p.state)) for p in found]


class Broken(ShoppingList):
    stream = "list"

    def effect(self, event):
        if getattr(event, "item", "") == "bad":
            raise ValueError("no")
        return super().effect(event)


@in_loop
async def test_a_past_before_a_poison_event_can_be_read():
    """The present of the stream has stopped; what lies before it has not."""
    async with opened() as alice:
        await alice.execute(HOME, AddItem("good"))
        await alice.execute(HOME, AddItem("bad"))
        backend = MemoryBackend(alice._backend._backend.log)
        async with Replica.open(store="shop", name="x", aggregates=[Broken], backend=backend) as other:
            assert set((await (await other.at("alice:2")).present(HOME)).items) == {"good"}
            with pytest.raises(PoisonEvent, match="no present at alice:3"):
                await (await other.at("alice:3")).present(HOME)
