"""Forks and joins: a second past begins at a cut, and two pasts become one."""

from __future__ import annotations

import asyncio
from random import Random

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from merge.version import NOTHING, VersionVector
from replica import FileExists, FileInUse, NotObserved, ReadOnly, Replica, StoreError, WrongStore
from replica.arrange import Gap
from replica.backend import MemoryBackend, connected
from replica.cut import closed
from replica.direct import DirectReplica
from replica.fork import copy
from replica.log import Identity, Span
from replica.mark import locked
from replica.memory import MemoryLog
from replica.verify import Verifier
from tests.histories import STEPS, STREAMS, play
from tests.loop import in_loop
from tests.material import copied as twin
from tests.shop import (
    HOME,
    JOURNAL,
    AddItem,
    AddTwice,
    GiveTitle,
    ItemAdded,
    Journal,
    ShoppingList,
    TakeNote,
    direct,
)

AGGREGATES = [ShoppingList, Journal]


def copied(source, cut, bits=99):
    """The log of a fork: block by block."""
    log = MemoryLog()
    identity = Identity("shop", bits, "fork", ())
    asyncio.run(copy(source.core, MemoryBackend(source.log), MemoryBackend(log), cut, identity, Random(1)))
    return DirectReplica(log, "shop", "fork", AGGREGATES, random=Random(2))


def ingested(source, cut, bits=99):
    """The same the slow way: a replica that is sent the commits inside the cut, one by one."""
    identity = Identity("shop", bits, "fork", ())
    replica = DirectReplica(MemoryLog(), "shop", "fork", AGGREGATES, random=Random(2), identity=identity)
    reader = source.reader()
    inside = []
    for lineage in reader.lineages.values():
        for row in lineage.rows:
            seq = 0
            while seq < cut[row.replica]:
                layout = reader.layout(row, seq + 1)
                for index, last in enumerate(layout.lasts):
                    if last <= cut[row.replica]:
                        inside.append((layout.stamps[index], layout.cut(index, index + 1)))
                seq = layout.lasts[-1]
    for _, piece in sorted(inside, key=lambda item: item[0]):
        assert not isinstance(replica.ingest([piece]), Gap)
        replica.flush()
    return replica


def facts(replica):
    """All that two replicas with one past agree on."""
    log, core = replica.log, replica.core
    replica.build()
    return {
        "heads": replica.heads,
        "version": core.memory.version,
        "types": dict(core.memory.types),
        "streams": log.streams("list", "", 99) + log.streams("journal", "", 99),
        "presents": [replica.digest(stream) for stream in STREAMS],
        "observed": core.members.observed,
        "owners": dict(core.memory.owners),
        "retired": core.memory.retired,
        "due": dict(core.memory.promises),
    }


def drawn_cut(data, replica):
    """Some past of a replica."""
    cut, reader = NOTHING, replica.reader()
    for one, seq in replica.core.memory.version.seqs.items():
        if seq := data.draw(st.integers(0, seq)):
            cut |= closed(replica.core, reader, VersionVector([(one, seq)]))
    return cut


def write(replica, words, now):
    for word in words:
        if word.startswith("note"):
            replica.execute(JOURNAL, TakeNote(word), now)
        elif word.startswith("title"):
            replica.execute(HOME, GiveTitle(word), now)
        else:
            replica.execute(HOME, AddItem(word), now)
        now += 1
    replica.flush()


def take_in(replica, other):
    """What joining does, by hand: all that the other holds is ingested."""
    assert not isinstance(replica.ingest(list(other.all_slices())), Gap)
    replica.flush()


def presents(replica):
    return replica.core.memory.version, replica.heads, [replica.digest(stream) for stream in STREAMS]


WORDS = st.lists(st.sampled_from(["milk", "eggs", "title one", "title two", "note"]), max_size=4)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.data())
def test_a_fork_is_what_ingesting_its_past_leads_to(steps, data):
    """At every cut: heads, presents, counts, members; block by block or commit by commit."""
    source = data.draw(st.sampled_from(play(steps)))
    cut = drawn_cut(data, source)
    assert facts(copied(source, cut)) == facts(ingested(source, cut))


@settings(max_examples=40, deadline=None)
@given(STEPS, WORDS, WORDS, st.data())
def test_fork_diverge_join_is_a_partition(steps, mine, theirs, data):
    """One who was forked from a past, and one who was cut off with that past, write the same and meet."""
    history = play(steps)
    which = data.draw(st.integers(0, 2))
    cut = drawn_cut(data, history[which])
    found = []
    for apart in (copied, ingested):
        source = play(steps)[which]
        other = apart(source, cut)
        write(source, mine, 5000)
        write(other, theirs, 4990)
        take_in(source, other)
        take_in(other, source)
        assert presents(source) == presents(other)
        found.append(presents(source))
    assert found[0] == found[1]


@settings(max_examples=40, deadline=None)
@given(STEPS, st.lists(WORDS, min_size=4, max_size=4), st.permutations([0, 1, 2, 3]), st.data())
def test_forks_of_forks_join_in_any_order(steps, words, order, data):
    """Three forks, each of the one before it at some cut, all written to; and one of them joined twice."""
    pasts = [play(steps)[0]]
    for bits, text in enumerate(words[1:], 100):
        fork = copied(pasts[-1], drawn_cut(data, pasts[-1]), bits)
        write(fork, text, 5000 + bits)
        pasts.append(fork)
    write(pasts[0], words[0], 5000)
    rounds = []
    for sequence in (order, [0, 1, 2, 3]):
        new = DirectReplica(MemoryLog(), "shop", "new", AGGREGATES, random=Random(3))
        for index in sequence:
            take_in(new, pasts[index])
        rounds.append(presents(new))
    assert rounds[0] == rounds[1]
    before = presents(new)
    take_in(new, pasts[2])
    assert presents(new) == before


# --- by hand, on files ---


def opened(path, name="alice", **options):
    return Replica.open(path, store="shop", name=name, aggregates=AGGREGATES, **options)


@in_loop
async def test_a_fork_goes_its_own_way_and_comes_back(tmp_path):
    """What is written in a fork shows nowhere else, until it is joined; joining twice changes nothing."""
    async with opened(tmp_path / "alice.db") as alice:
        await alice.execute(HOME, AddItem("milk"))
        await alice.execute(HOME, GiveTitle("home"))
        made = await alice.fork(tmp_path / "what-if.db", at="alice:2")
        assert str(made) == f"{tmp_path / 'what-if.db'} begins at alice:2 (2 events)"
        async with opened(tmp_path / "what-if.db", name="what-if") as fork:
            assert fork.name == "what-if"
            assert (await fork.present(HOME)).title.value is None
            await fork.execute(HOME, GiveTitle("cabin"))
            await fork.execute(JOURNAL, TakeNote("rehearsed"))
            assert (await alice.present(HOME)).title.value == "home"
            joined = await alice.join(fork)
            assert (joined.events, joined.met) == (3, (HOME,))
            assert joined.streams == {HOME: 1, JOURNAL: 1, f"replica/{int(fork.core.me):016x}": 1}
            assert [one.path for one in joined.conflicts] == [("title",)]
            assert str(joined).startswith("joined what-if: 3 events in 2 streams came in\nnow at alice:3 what-if:3")
            again = await alice.join(fork)
            assert (again.events, again.conflicts, again.version) == (0, (), joined.version)
            await fork.join(tmp_path / "alice.db")
            for stream in STREAMS:
                assert await fork.digest(stream) == await alice.digest(stream)
        assert (await alice.join(tmp_path / "what-if.db")).events == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "alice.db", "alice.db.mark", "alice.db.reached", "what-if.db", "what-if.db.mark", "what-if.db.reached",
    ]  # fmt: skip


@in_loop
async def test_a_join_leaves_what_comes_from_too_far_in_the_future(tmp_path):
    """It is counted, and comes in when its time has come; what was stamped before it comes in at once."""
    now = [1_767_225_600_000]
    later = [now[0]]
    async with (
        opened(tmp_path / "alice.db", clock=lambda: now[0]) as alice,
        opened(tmp_path / "bob.db", name="bob", clock=lambda: later[0]) as bob,
    ):
        await bob.execute(HOME, AddItem("milk"))
        later[0] += 3 * 24 * 3_600_000
        await bob.execute(HOME, AddItem("eggs"))
        joined = await alice.join(bob)
        assert (joined.events, joined.waiting) == (2, 1)
        assert "left there: 1 event, stamped more than a day in the future" in str(joined)
        now[0] = later[0]
        assert (await alice.join(bob)).events == 1
        assert await alice.digest(HOME) == await bob.digest(HOME)


@in_loop
async def test_a_join_names_ids_that_were_written_to_in_two_places(tmp_path):
    """A file that was copied while it ran, and went on under its id: a second history, told of and folded alike."""
    source, other, witness = direct("alice", 1), direct("alice", 1), MemoryBackend()
    write(source, ["milk"], 1000)
    write(other, ["bread"], 1000)
    async with opened(":memory:", name="carol") as carol, opened(":memory:", name="dave", backend=witness) as dave:
        await carol.ingest(list(source.all_slices()))
        await dave.ingest(list(other.all_slices()))
        joined = await carol.join(dave)
        assert [int(one) for one in joined.forked] == [source.core.me]
        assert "was written to in two places: one history is folded" in str(joined)
        await dave.join(carol)
        assert await carol.digest(HOME) == await dave.digest(HOME)


@in_loop
async def test_a_fork_keeps_its_id_and_owns_nothing(tmp_path):
    """It goes on under the id it was given; members are known; commands are not carried out twice."""
    async with opened(tmp_path / "alice.db") as alice, opened(tmp_path / "bob.db", name="bob") as bob:
        await bob.execute(HOME, AddItem("tea"))
        await alice.join(bob)
        done = await alice.execute(HOME, AddItem("milk"), command_id="once")
        await alice.take_over(HOME, owner=int(bob.core.me))
        await bob.join(alice)
        await bob.execute(HOME, AddItem("eggs"))
        await alice.join(bob)
        await alice.retire("bob")
        await alice.fork(tmp_path / "fork.db")
        async with opened(tmp_path / "fork.db", name="fork") as fork:
            me = int(fork.core.me)
            assert fork.version == alice.version
            assert fork.core.memory.owners == alice.core.memory.owners
            assert fork.core.memory.retired == alice.core.memory.retired
            assert (await fork.execute(HOME, AddItem("milk"), command_id="once")).stamp == done.stamp
            assert fork.version == alice.version
            assert fork.status().succeeds is None
            await fork.execute(HOME, AddItem("bread"))
            assert fork.version[me] == 2
        async with opened(tmp_path / "fork.db", name="fork") as fork:
            assert int(fork.core.me) == me


@in_loop
async def test_a_fork_takes_snapshots_and_long_logs_along(tmp_path):
    """Several blocks, sealed and fresh, of two logs, at several cuts; while the source goes on."""
    async with opened(tmp_path / "alice.db") as alice, opened(tmp_path / "bob.db", name="bob") as bob:
        for number in range(60):
            lines = [TakeNote(f"{number}.{line}") for line in range(60)]
            await asyncio.gather(*(alice.execute(JOURNAL, line) for line in lines))
            await bob.execute(HOME, AddTwice(f"{number}"))
        await alice.join(bob)
        kept = await alice._backend.run(lambda log: log.kept(Span("snapshot")))
        assert kept
        for cut in ("now", "alice:1", "alice:1025 bob:41", "alice:2500"):
            seen = []
            name = tmp_path / f"{cut.replace(' ', '-').replace(':', '')}.db"
            making = asyncio.create_task(
                alice.fork(name, at=cut, progress=lambda done, of: seen.append((done, of)))
            )
            await alice.execute(HOME, GiveTitle(cut))
            made = await making
            assert seen[-1] == (made.events, made.events)
            async with opened(name, name="fork") as fork:
                assert str(fork.version) == str(made.version)
                held = await fork._backend.run(lambda log: log.kept(Span("snapshot")))
                assert bool(held) == (cut in ("now", "alice:2500"))
                assert await fork.verify()
                for stream in STREAMS:
                    assert await fork.digest(stream) == await (await alice.at(made.version)).digest(stream)


def test_histories_under_one_id_come_along():
    """A replica whose file was copied while it ran: what a cut has observed of both histories is in the fork."""
    source, other = direct("alice", 1), direct("alice", 1)
    carol = direct("carol")
    for replica in (source, other):
        write(replica, ["milk"], 1000)
    write(source, ["eggs", "tea"], 2000)
    write(other, ["bread"], 3000)
    take_in(carol, other)
    write(carol, ["title one"], 4000)
    take_in(carol, source)
    write(carol, ["title two", "note"], 5000)
    me = carol.core.memory.version[carol.core.me]
    for upto in range(1, me + 1):
        cut = closed(carol.core, carol.reader(), VersionVector([(carol.core.me, upto)]))
        fork = copied(carol, cut)
        assert fork.core.memory.version[carol.core.me] == upto
        forked = fork.core.memory.lineages[source.core.me].forked
        assert forked == (upto > 2)
    assert presents(fork) == presents(carol)


def test_histories_under_one_id_that_share_nothing_come_along():
    """Found by seed 364: two that began under one id each on its own, whichever was heard of first."""
    source, other = direct("alice", 1), direct("alice", 1)
    write(source, ["milk"], 1000)
    write(other, ["bread"], 2000)
    for first, second in ((source, other), (other, source)):
        carol = direct("carol")
        take_in(carol, first)
        take_in(carol, second)
        fork = copied(carol, carol.core.memory.version)
        assert fork.core.memory.version == carol.core.memory.version
        assert fork.digest(HOME) == carol.digest(HOME)


def verified(replica):
    async def verify():
        async with connected(MemoryBackend(replica.log)) as backend:
            return await Verifier(replica.core, backend).run(())

    return asyncio.run(verify())


def two_histories():
    """One id with two histories, which carol has observed one after the other: first what they share, then one of
    them, as a test chooses. The replicas: both of that id, and carol."""
    one = direct("alice")
    write(one, ["milk", "eggs"], 1000)
    other, carol = direct("alice", log=twin(one.log)), direct("carol")
    take_in(carol, one)
    write(carol, ["tea"], 2000)
    write(one, ["bread"], 3000)
    write(other, ["salt"], 4000)
    return one, other, carol


@pytest.mark.parametrize("heard", [0, 1])
@pytest.mark.parametrize("first", [0, 1])
def test_a_fork_with_a_second_history_is_well_however_its_logs_are_numbered(heard, first):
    """What both histories share is named beside the later one or not, by their numbers: neither is damage."""
    *both, carol = two_histories()
    take_in(carol, both[heard])
    write(carol, ["oats"], 5000)
    for wall in (6000, 6001):
        carol.append(HOME, [ItemAdded(f"{wall}.{n}") for n in range(1100)], wall)
        carol.flush()
    source = direct("dora")
    for replica in (both[first], both[1 - first], carol):
        take_in(source, replica)
    assert source.core.memory.lineages[both[0].core.me].forked
    fork = copied(source, source.core.memory.version)
    for replica in (source, fork):
        assert not verified(replica).differences
    assert fork.digest(HOME) == source.digest(HOME)


def test_a_fork_of_stores_that_became_one_takes_a_second_history_of_either_along():
    """A replica may know from a peer alone that two stores are one; its fork knows it too, before it ingests."""
    one, other, carol = two_histories()
    take_in(carol, one)
    take_in(carol, other)
    write(carol, ["oats"], 5000)
    carol.core.become_one(["bank"], 7000)
    carol.flush()
    source = DirectReplica(MemoryLog(), "bank", "erin", AGGREGATES, random=Random("erin"))
    write(source, ["rice"], 1000)
    source.core.adopt_stores(["shop"])
    source.flush()
    for replica in (one, other, carol):
        take_in(source, replica)
    log = MemoryLog()
    identity = Identity("bank", 99, "fork", ())
    cut = source.core.memory.version
    asyncio.run(copy(source.core, MemoryBackend(source.log), MemoryBackend(log), cut, identity, Random(1)))
    fork = DirectReplica(log, "bank", "fork", AGGREGATES, random=Random(2))
    assert fork.core.memory.version == cut
    assert fork.digest(HOME) == source.digest(HOME)
    assert not verified(fork).differences


# --- what cannot be ---


@in_loop
async def test_what_cannot_be_forked_or_joined_changes_nothing(tmp_path):
    """A past nobody saw, a place that is taken, a file in use, of another store, damaged, or none at all."""
    async with opened(tmp_path / "alice.db") as alice:
        await alice.execute(HOME, AddItem("milk"))
        before = alice.version
        taken = tmp_path / "taken.db"
        taken.write_bytes(b"mine")
        with pytest.raises(FileExists, match="is there already"):
            await alice.fork(taken)
        assert taken.read_bytes() == b"mine"
        with pytest.raises(NotObserved, match="has not observed alice:9"):
            await alice.fork(tmp_path / "new.db", at="alice:9")
        with pytest.raises(StoreError, match="there is no folder"):
            await alice.fork(tmp_path / "nowhere" / "new.db")
        with locked(str(tmp_path / "busy.db")), pytest.raises(FileInUse, match="open for writing in"):
            await alice.fork(tmp_path / "busy.db")
        (tmp_path / "busy.db.mark").unlink()
        async with Replica.open(
            tmp_path / "garden.db", store="garden", name="gardener", aggregates=AGGREGATES
        ) as g:
            await g.execute(HOME, AddItem("spade"))
            with pytest.raises(WrongStore, match="holds the store 'garden', and this is 'shop'"):
                await alice.join(g)
        with pytest.raises(StoreError, match="there is no file"):
            await alice.join(tmp_path / "none.db")
        with pytest.raises(StoreError, match="cannot be opened as a store"):
            await alice.join(taken)
        assert alice.version == before
    names = {path.name for path in tmp_path.iterdir()}
    made = {f"{name}.db{end}" for name in ("alice", "garden") for end in ("", ".mark", ".reached")}
    assert names == {*made, "taken.db"}


@in_loop
async def test_a_truncated_file_is_not_joined_and_not_forked(tmp_path):
    """What came in before the damage is whole; of a fork nothing appears."""
    async with opened(tmp_path / "alice.db") as alice, opened(tmp_path / "bob.db", name="bob") as bob:
        for number in range(30):
            await asyncio.gather(*(bob.execute(JOURNAL, TakeNote(f"{number}.{line}")) for line in range(100)))
        await alice.execute(HOME, AddItem("milk"))
        before = alice.version
    whole = (tmp_path / "bob.db").read_bytes()
    for part in (0.3, 0.6, 0.9):
        (tmp_path / "cut.db").write_bytes(whole[: int(len(whole) * part)])
        async with opened(tmp_path / "alice.db") as alice:
            with pytest.raises(StoreError):
                await alice.join(tmp_path / "cut.db")
            assert int(alice.version[alice.core.me]) == int(before[alice.core.me])
        with pytest.raises(StoreError):
            async with ReadOnly.open(tmp_path / "cut.db") as cut:
                await cut.fork(tmp_path / "fork.db")
        assert not (tmp_path / "fork.db").exists()


@in_loop
async def test_a_fork_that_was_broken_off_is_begun_anew(tmp_path):
    """Killed in the middle, it leaves a file under another name; the next fork takes no notice."""
    (tmp_path / "fork.db.part").write_bytes(b"half")
    (tmp_path / "fork.db.part-wal").write_bytes(b"half")
    async with opened(tmp_path / "alice.db") as alice:
        await alice.execute(HOME, AddItem("milk"))
        await alice.fork(tmp_path / "fork.db")
    assert {path.name for path in tmp_path.iterdir() if "fork" in path.name} == {
        "fork.db", "fork.db.mark", "fork.db.reached",
    }  # fmt: skip
