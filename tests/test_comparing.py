"""Comparing presents: what differs is found, named and mended; nothing else raises an alarm; it costs little."""

from __future__ import annotations

import asyncio
import copy
import subprocess
import sys
from random import Random
from typing import Any
from weakref import WeakSet

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from merge.version import NOTHING, Dot
from replica import Replica, comparing
from replica.arrange import Gap
from replica.comparing import First, Mark, Marks, OtherEvents, Row, Stretch, first_difference, fold_name
from replica.comparisons import MOST, MOST_LEFT, POISONED
from replica.digest import digest
from replica.direct import DirectReplica
from replica.errors import DamagedLog, Refused
from replica.event import Event
from replica.folding import as_happened
from replica.log import Kept, Span, Transaction
from replica.snapshot import take
from sync import connect, linked, serve
from sync.comparing import COLD, EVENTS, ROUNDS
from sync.direct import DirectNode
from sync.message import ROWS, Compared, Presents, Traced, decode
from sync.testing.network import NOW, Network
from tests.crooked import crooked, unheard
from tests.histories import STEPS, STREAMS, play
from tests.loop import in_loop, until
from tests.shop import HOME, JOURNAL, AddItem, Count, Counted, Journal, Noted, ShoppingList, TakeNote, direct
from tests.test_exact import Bared, Shelf, Told
from tests.test_projections import direct as direct_with_tables
from tests.test_protocol import Stranger
from tests.test_snapshots import Happening, Odd


def pair(one: Any = None, other: Any = None) -> Network:
    """Two replicas with aggregates of their own, linked."""
    network = Network("", ["ab"], direct)
    network.add("a", direct("a", aggregates=one or crooked()))
    network.add("b", direct("b", aggregates=other or crooked()))
    network.settle(2)
    return network


def replicas(network: Network) -> list[DirectReplica]:
    return [node.replica for node in network.nodes.values()]


def alarms(network: Network) -> list[Any]:
    return [alarm for node in network.nodes.values() for alarm in node.divergences]


def pass_time(network: Network, ticks: int) -> list[Any]:
    """Time passes; all that was said of presents."""
    said: list[Any] = []
    for _ in range(ticks):
        network.tick()
        for _ in range(1000):
            waiting = [name for name in "ab" if network.wire("ab", name)]
            if not waiting:
                break
            for name in waiting:
                said.append(decode(network.wire("ab", name)[0]))
                network.deliver("ab", name)
    return [message for message in said if isinstance(message, Presents | Compared | Traced)]


def asks(network: Network) -> str:
    """The one that begins, of the two."""
    return min("ab", key=lambda name: network.nodes[name].replica.core.me)


def prefixes(replica: DirectReplica, stream: str) -> list[tuple[Dot, str]]:
    """Each event of a stream in the order of stamps, with the digest of all up to there: nothing clever."""
    core = replica.core
    aggregate = core.aggregate_of(stream)
    found, happened = [], []
    for commit, context in replica.reader().stream(stream):
        for seq, event in enumerate(commit.events, commit.first):
            if event.stream == stream:
                one = as_happened(core, aggregate, commit, Dot(commit.replica, seq), event, context)
                happened += [] if one is None else [one]
                fold = aggregate.observe_all(aggregate.empty(), happened)
                present = aggregate.present_of(fold, stream, NOTHING)
                found.append((Dot(commit.replica, seq), digest(present.canonical(present.state))))
    return found


def first_that_differs(one: DirectReplica, other: DirectReplica, stream: str) -> Any:
    """The event, and both digests after it."""
    for (dot, here), (_, there) in zip(prefixes(one, stream), prefixes(other, stream), strict=True):
        if here != there:
            return dot, here, there
    return None


# --- what differs is named ---


@given(steps=STEPS, wrong=st.sets(st.sampled_from(["milk", "eggs", "tea", "3.0", "7.0", "7.1", "11.0", "20.0"])))
@settings(max_examples=60)
def test_the_first_event_that_is_folded_differently_is_named_on_both_sides(steps, wrong):
    """Whatever the history: the alarm names what a naive search finds, and there is none where presents agree."""
    written = play(steps)
    network = pair(crooked(), crooked(*wrong))
    for source in written:
        for replica in replicas(network):
            assert not isinstance(replica.ingest(list(source.all_slices())), Gap)
            replica.flush()
    pass_time(network, 12)
    a, b = replicas(network)
    for stream in STREAMS:
        differs = a.digest(stream) != b.digest(stream)
        found = first_that_differs(a, b, stream) if differs else None
        for one, node in enumerate(network.nodes.values()):
            named = [alarm for alarm in node.divergences if alarm.stream == stream]
            if found is None:
                assert named == []
                continue
            (alarm,) = named
            dot, *digests = found
            assert (alarm.event, [alarm.here, alarm.there]) == (dot, digests[:: -1 if one else 1])
            assert alarm.fault == ""
            assert str(alarm.event) in str(alarm)


@pytest.mark.parametrize("at", [0, 1, 299, 300, 1717, 2999])
def test_in_a_long_stream_the_event_is_found_in_a_few_rounds(at):
    """Three thousand events, and one of them is folded differently: at most three rounds lead to it."""
    network = pair(crooked(), crooked(f"line {at}"))
    a, b = replicas(network)
    for start in range(0, 3000, 500):
        a.append(JOURNAL, [Noted(f"line {n}") for n in range(start, start + 500)], NOW)
        a.flush()
    b.present(JOURNAL)
    said = pass_time(network, 6)
    assert {str(alarm.event).split(":")[1] for alarm in alarms(network)} == {str(at + 2)}
    assert len(alarms(network)) == 2
    assert sum(isinstance(message, Traced) for message in said) <= 6


@pytest.mark.parametrize("begins", [True, False])
def test_an_alarm_is_raised_once_and_goes_when_presents_are_equal_again(begins):
    """Seen again and again, it is said once; when one side has mended its code, it is gone, whatever the side."""
    network = pair(crooked(), crooked())
    name = asks(network) if begins else network.other("ab", asks(network))
    wrong = network.nodes[name].replica
    kind = type(wrong.core.aggregates["list"])
    unheard[kind] = frozenset({"tea"})
    wrong.execute(HOME, AddItem("tea"), NOW)
    wrong.flush()
    pass_time(network, 40)
    for node in network.nodes.values():
        assert len(node.replica.core.comparisons.unsaid) == len(node.divergences) == 1
    unheard[kind] = frozenset()
    wrong.mend(HOME)
    pass_time(network, 10)
    assert alarms(network) == []


@pytest.mark.parametrize("loaded", [True, False])
def test_presents_that_do_not_hold_the_same_events_are_compared_later(loaded):
    """One side has heard of more while the frame was under way: that is no difference, and it comes again."""
    network = pair()
    writer = direct("writer")

    def hear(*names: str) -> None:
        writer.append(HOME, [Counted(1)], NOW)
        writer.flush()
        for name in names:
            replica = network.nodes[name].replica
            assert not isinstance(replica.ingest(list(writer.all_slices())), Gap)
            replica.flush()
            if loaded:
                replica.present(HOME)

    hear("a", "b")
    network.run()
    teller = asks(network)
    hearer = network.other("ab", teller)
    network.tick()
    while not isinstance(decode(network.wire("ab", teller)[0]), Presents):
        network.deliver("ab", teller)
    hear(hearer)
    network.deliver("ab", teller)
    answer = decode(network.wire("ab", hearer)[-1])
    assert answer.verdicts == [2]
    pass_time(network, 3)
    assert [replica.core.comparisons.equal for replica in replicas(network)] == [1, 1]
    assert alarms(network) == []


def test_a_second_history_that_one_side_has_not_heard_of_makes_other_events():
    """Equal seqs do not mean equal events where two histories were written under one id."""
    twins = [direct("twin"), direct("twin")]
    for twin, item in zip(twins, ("left", "right"), strict=True):
        twin.execute(HOME, AddItem(item), NOW)
        twin.flush()
    one, both = direct("one"), direct("both")
    for twin in twins:
        assert not isinstance(both.ingest(list(twin.all_slices())), Gap)
        both.flush()
    folded = min(twins, key=lambda twin: twin.digest(HOME) != both.digest(HOME))
    one.ingest(list(folded.all_slices()))
    one.flush()
    assert one.digest(HOME) == both.digest(HOME)
    assert one.core.memory.stands[HOME] == both.core.memory.stands[HOME]
    here, there = (comparing.events_of(comparing.instant_of(each.core), HOME) for each in (one, both))
    assert here != there


def marks(*rows: tuple[int, bytes, bytes]) -> Marks:
    return Marks([Mark(*row) for row in rows], [(Dot(1, at), "Noted") for at, _, _ in rows])


@pytest.mark.parametrize(
    ("low", "mine", "theirs", "found"),
    [
        (0, [(1, b"e", b"x")], [(1, b"e", b"x")], None),
        (0, [(1, b"e", b"x"), (2, b"f", b"y")], [(1, b"e", b"x"), (2, b"f", b"z")], (1, 2)),
        (0, [(4, b"e", b"x"), (8, b"f", b"y")], [(4, b"e", b"x"), (8, b"f", b"z")], Stretch(4, 8)),
        (4, [(6, b"e", b"x"), (8, b"f", b"y")], [(6, b"e", b"o"), (8, b"f", b"z")], Stretch(4, 6)),
        (0, [(1, b"e", b"x")], [(1, b"o", b"z")], OtherEvents()),
        (0, [(1, b"e", b"x")], [(2, b"e", b"z")], OtherEvents()),
        (0, [(1, b"e", b"x")], [], OtherEvents()),
    ],
    ids=["equal", "named", "closer", "from low on", "other events", "other places", "none"],
)
def test_the_first_mark_that_differs_leads_on(low, mine, theirs, found):
    """The event where marks are dense, a smaller stretch where they are not, nothing where events differ."""
    here = marks(*mine)
    said = first_difference(low, here, [Mark(*row) for row in theirs])
    if isinstance(found, tuple) and not isinstance(found, Stretch | OtherEvents):
        assert said == First(*here.events[found[0]], here.marks[found[0]], Mark(*theirs[found[0]]))
    else:
        assert said == found


@pytest.mark.parametrize(("events", "step"), [(1, 1), (255, 1), (256, 2), (300, 2), (511, 2), (512, 4), (1100, 8)])
def test_marks_stand_at_every_so_many_events_and_at_the_end(events, step):
    """The smallest power of two that leaves fewer than 256: both sides must put them at the same places."""
    replica = direct("alice")
    replica.append(HOME, [Counted(1)] * events, NOW)
    replica.flush()
    steps = comparing.marks_of(replica.core, comparing.instant_of(replica.core), HOME, 0, 0)
    found = DirectNode(replica, b"alice").carry_through(steps).marks
    places = [*range(step, events + 1, step)]
    assert [mark.at for mark in found] == sorted({*places, events})
    assert len({mark.present for mark in found}) == len(found)


def test_a_present_that_the_log_does_not_lead_to_any_more_is_an_alarm():
    """The present in memory is there, and folding the log again raises: that is an alarm of this side's own."""
    network = pair()
    a, _ = replicas(network)
    a.execute(JOURNAL, TakeNote("fine"), NOW)
    a.flush()
    a.present(JOURNAL)
    pass_time(network, 2)

    def raises(self: Any, state: Any, event: Any, moment: Any) -> Any:
        raise RuntimeError("no")

    kind = type(a.core.aggregates["journal"])
    a.execute(JOURNAL, TakeNote("more"), NOW)
    a.flush()
    state = a.core.memory.presents[JOURNAL]
    a.core.memory.presents = a.core.memory.presents.set(JOURNAL, state._replace(state=()))
    kind.evolve, evolve = raises, kind.evolve
    try:
        pass_time(network, 3)
    finally:
        kind.evolve = evolve
    assert [alarm.fault for alarm in network.nodes["a"].divergences] == ["here"]


def test_alarms_stand_beside_the_log_and_go_with_the_code():
    """Who opens the file again, or looks into it without code, knows of them; other code compares anew."""
    network = pair(crooked(), crooked("tea"))
    network.nodes["a"].replica.execute(HOME, AddItem("tea"), NOW)
    network.nodes["a"].replica.flush()
    pass_time(network, 6)
    a, b = replicas(network)
    (before,) = a.core.comparisons.divergences
    for aggregates, known in ((crooked(), 1), ([NewerList, Journal], 0), ([], 1)):
        log = copy.deepcopy(a.log)
        again = direct("a", 1, log, aggregates=aggregates)
        assert len(again.core.comparisons.divergences) == known
        assert again.core.comparisons.divergences == (before,) * known
        again.keep_alarms()
        assert len(log.kept(Span("divergence"))) == known
    for kind in b.core.aggregates.values():
        unheard[type(kind)] = frozenset()
    b.mend(HOME)
    pass_time(network, 10)
    assert a.log.kept(Span("divergence")) == b.log.kept(Span("divergence")) == []


@in_loop
async def test_over_websockets_the_alarm_is_in_the_status_and_in_the_log(monkeypatch, caplog, tmp_path):
    """Files and a real link: both sides name stream and event, once; `anabranch status` says it."""
    monkeypatch.setattr("sync.conversation.TICK", 0.05)
    path = tmp_path / "a.db"

    def opened(name: str, path: Any = ":memory:", *wrong: str) -> Any:
        return Replica.open(path, store="shop", name=name, aggregates=crooked(*wrong))

    async with opened("alice", path) as alice, opened("bob", ":memory:", "tea") as bob:
        async with serve(alice) as server, connect(bob, server.url):
            await alice.execute(HOME, AddItem("milk"))
            done = await alice.execute(HOME, AddItem("tea"))
            await until(lambda: alice.status().divergences and bob.status().divergences)
            for replica, other in ((alice, bob), (bob, alice)):
                (alarm,) = replica.status().divergences
                assert (alarm.stream, alarm.event, alarm.type) == (HOME, done.dots[0], "ItemAdded")
                assert str(alarm.peer) == other.name
                assert alarm.here == await replica.digest(HOME)
                assert alarm.there == await other.digest(HOME)
                assert [r for r in caplog.records if r.args == (replica.name, alarm)] != []
            before = alice.status().compared
            await bob.execute("list/other", AddItem("milk"))
            await until(lambda: alice.status().compared > before)
        assert [record.levelname for record in caplog.records].count("ERROR") == 2
    status = [sys.executable, "-m", "sync.cli", "status", str(path)]
    shown = await asyncio.to_thread(subprocess.run, status, capture_output=True, text=True, check=True)
    assert f"ALARM    {HOME} reads differently here and at bob, from alice:3 ItemAdded on" in shown.stdout


@in_loop
async def test_a_damaged_present_is_mended_while_the_replica_is_in_use(monkeypatch):
    """The async face does what the direct one does: the present is read again, watchers hear of it."""
    monkeypatch.setattr("sync.conversation.TICK", 0.05)
    aggregates = crooked()
    async with Replica.open(store="shop", name="alice", aggregates=aggregates) as alice:
        async with Replica.open(store="shop", name="bob", aggregates=aggregates) as bob, linked(alice, bob):
            await alice.execute(HOME, AddItem("milk"))
            await bob.wait_for(alice.version)
            await bob.present(HOME)
            memory = bob.core.memory
            memory.presents = memory.presents.set(HOME, bob.core.aggregates["list"].empty())
            assert not (await bob.present(HOME)).items
            await until(lambda: bob.status().mended)
            await until(lambda: not alice.status().divergences and not bob.status().divergences)
            assert set((await bob.present(HOME)).items) == {"milk"}


@in_loop
async def test_over_a_link_too_a_stream_that_cannot_be_read_is_left_out_alone(monkeypatch, tmp_path):
    """The async face does what the direct one does, whichever side cannot read: the others are compared."""
    monkeypatch.setattr("sync.conversation.TICK", 0.05)
    load, cores = comparing.load_streams, []

    def load_or_not(reader: Any, streams: Any, aggregate_of: Any, *more: Any) -> Any:
        if streams == ("list/3",) and aggregate_of.__self__ in cores:
            raise DamagedLog("list/3 cannot be read")
        return load(reader, streams, aggregate_of, *more)

    def opened(name: str) -> Any:
        return Replica.open(tmp_path / f"{name}.db", store="shop", name=name, aggregates=[ShoppingList])

    monkeypatch.setattr(comparing, "load_streams", load_or_not)
    async with opened("alice") as alice, opened("bob") as bob, linked(alice, bob):
        for number in range(6):
            await alice.execute(f"list/{number}", AddItem("x"))
        await bob.wait_for(alice.version)
    for damaged in ("alice", "bob"):
        async with opened("alice") as alice, opened("bob") as bob:
            cores[:] = [one.core for one in (alice, bob) if one.name == damaged]
            async with linked(alice, bob):
                await until(lambda: alice.status().compared >= 5 and bob.status().compared >= 5)
                left = [one for replica in (alice, bob) for one in replica.status().left_out]
                assert {(one.why, one.what) for one in left} == {("poisoned", "list/3")}


# --- what was at fault is mended ---


@pytest.mark.parametrize("begins", [True, False])
def test_a_present_that_was_damaged_in_memory_is_read_again_from_the_log(begins):
    """Who is at fault says so and mends itself; the other says who it was; the alarm goes, and nothing is lost."""
    network = pair()
    name = asks(network) if begins else network.other("ab", asks(network))
    replica, other = network.nodes[name].replica, network.nodes[network.other("ab", name)].replica
    for n in range(5):
        replica.execute(HOME, AddItem(f"item {n}"), NOW)
    replica.flush()
    right = replica.digest(HOME)
    other.present(HOME)
    network.run()
    memory = replica.core.memory
    memory.presents = memory.presents.set(HOME, replica.core.aggregates["list"].empty())
    assert replica.digest(HOME) != right
    pass_time(network, 1)
    assert alarms(network) == []
    pass_time(network, 1)
    assert [alarm.fault for alarm in network.nodes[name].divergences] == ["here"]
    assert [alarm.fault for alarm in network.nodes[network.other("ab", name)].divergences] == ["peer"]
    assert replica.digest(HOME) == other.digest(HOME) == right
    assert replica.core.comparisons.mended == 1
    pass_time(network, 10)
    assert alarms(network) == []


def test_a_snapshot_that_does_not_hold_what_it_says_is_found_and_dropped():
    """A stream that nobody has asked for is compared too, in its turn: its wrong snapshot shows, and goes."""
    network = pair()
    a, b = replicas(network)
    for n in range(10):
        a.execute(HOME, AddItem(f"item {n}"), NOW)
    a.flush()
    network.run()
    b.core.ripe[HOME] = None
    right = b.digest(HOME)
    core = b.core
    aggregate, memory = core.aggregates["list"], core.memory
    assert memory.stamp is not None
    wrong = take(aggregate, HOME, aggregate.empty(), memory.stands[HOME], 10, memory.version, memory.stamp)
    b.log.write(Transaction([], [], [], [], {}, None, keep=(Kept(*wrong),)))
    network.cut("ab")
    network.add("b", DirectReplica(b.log, "shop", "b", crooked(), random=Random("b")))
    network.heal("ab")
    network.run()
    pass_time(network, 4)
    again = network.nodes["b"].replica
    assert again.core.comparisons.mended == 1
    assert again.digest(HOME) == right
    pass_time(network, 10)
    assert alarms(network) == []


def test_rows_of_projections_follow_from_what_was_mended():
    """A table that was filled from a damaged present is filled again."""
    replica = direct_with_tables("alice")
    replica.execute(HOME, AddItem("milk"), NOW)
    replica.flush()
    memory = replica.core.memory
    memory.presents = memory.presents.set(HOME, replica.core.aggregates["list"].empty())
    replica.execute(HOME, AddItem("eggs"), NOW)
    replica.flush()
    assert [row[2] for row in replica.log.rows("items")] == ["eggs"]
    replica.mend(HOME)
    assert [row[2] for row in replica.log.rows("items")] == ["eggs", "milk"]


def test_a_damaged_present_that_waits_for_what_has_come_is_mended_too():
    """What a batch brings is not folded into it: all is read from the log."""
    alice, bob = direct("alice"), direct("bob")
    for n in range(3):
        alice.execute(HOME, AddItem(f"item {n}"), NOW)
    alice.flush()
    bob.core.bulk = 1
    bob.present(HOME)
    memory = bob.core.memory
    memory.presents = memory.presents.set(HOME, of_nowhere())
    bob.ingest([*alice.all_slices()])
    bob.flush()
    assert HOME in bob.core.memory.backlog.presents
    bob.mend(HOME)
    assert bob.digest(HOME) == alice.digest(HOME)


def of_nowhere() -> Any:
    """A state that no log leads to."""
    other = direct("other")
    other.execute(HOME, AddItem("of nowhere"), NOW)
    return other.core.now.presents[HOME]


def test_a_present_that_is_being_changed_is_not_let_go():
    """What follows from the draft follows from it whole: mending waits, and is asked for again."""
    replica = direct("alice")
    replica.execute(HOME, AddItem("milk"), NOW)
    assert not comparing.drop_present(replica.core, HOME)
    replica.flush()
    assert comparing.drop_present(replica.core, HOME)


class Counting(Journal):
    """A mistake: it counts how often it was called."""

    calls = 0

    def evolve(self, state: Any, event: Any, moment: Any) -> Any:
        Counting.calls += 1
        return (*state, (event.line, Counting.calls))


def test_a_fold_that_comes_to_something_else_each_time_is_told_from_a_damaged_present():
    """It is not mended, since there is nothing to mend: the words say that it is no function of its events."""
    network = pair([ShoppingList, Counting], [ShoppingList, Counting])
    a, _ = replicas(network)
    a.execute(JOURNAL, TakeNote("rain"), NOW)
    a.flush()
    for replica in replicas(network):
        replica.present(JOURNAL)
    pass_time(network, 3)
    found = alarms(network)
    assert {alarm.fault for alarm in found} == {"here"}
    assert all("whenever it is folded" in str(alarm) for alarm in found)
    assert all(replica.core.comparisons.mended == 0 for replica in replicas(network))


def test_what_is_damaged_and_folded_differently_is_mended_first_and_then_named():
    """One fault does not hide the other."""
    network = pair(crooked(), crooked("tea"))
    a, b = replicas(network)
    a.execute(HOME, AddItem("milk"), NOW)
    a.execute(HOME, AddItem("tea"), NOW)
    a.flush()
    network.run()
    b.present(HOME)
    memory = b.core.memory
    memory.presents = memory.presents.set(HOME, b.core.aggregates["list"].empty())
    pass_time(network, 20)
    assert b.core.comparisons.mended == 1
    assert [str(alarm.event).split(":")[1] for alarm in alarms(network)] == ["3", "3"]


# --- what is left out ---


class NewerList(ShoppingList):
    """Other code for the same streams."""

    fold_version = 2


def test_streams_of_other_code_are_left_out_and_counted():
    """Presents of different code may differ: no alarm, and the status says what is not compared."""
    network = pair([ShoppingList, Journal], [NewerList, Journal])
    a, _ = replicas(network)
    for stream in (HOME, "list/work", JOURNAL):
        a.append(stream, [Noted("rain")] if stream == JOURNAL else [], NOW)
    a.execute(HOME, AddItem("milk"), NOW)
    a.execute("list/work", AddItem("milk"), NOW)
    a.flush()
    pass_time(network, 3)
    for replica in replicas(network):
        assert [tuple_of(one) for one in replica.core.comparisons.left_out] == [("other code", "list", 2)]
        assert replica.core.comparisons.equal == 1
    assert alarms(network) == []


def tuple_of(left: Any) -> tuple[str, str, int]:
    return left.why, left.what, left.streams


choking: WeakSet[type] = WeakSet()


class Choking(Journal):
    """Folding one line raises, where it is told to, which is nothing that its code says."""

    def evolve(self, state: Any, event: Any, moment: Any) -> Any:
        if type(self) in choking:
            raise Refused(event.line)
        return super().evolve(state, event, moment)


@pytest.mark.parametrize("loaded", [True, False])
@pytest.mark.parametrize("chokes", ["a", "b", "ab"])
def test_poisoned_streams_are_left_out_and_counted(chokes, loaded):
    """Whichever side has no present, and whether anybody has met the poison yet."""
    kinds = [type("Choking", (Choking,), {}) for name in "ab"]
    choking.update(kind for name, kind in zip("ab", kinds, strict=True) if name in chokes)
    network = pair([ShoppingList, kinds[0]], [ShoppingList, kinds[1]])
    writer = direct("writer")
    writer.execute(JOURNAL, TakeNote("rain"), NOW)
    writer.flush()
    for replica in replicas(network):
        replica.ingest(list(writer.all_slices()))
        replica.flush()
        if loaded:
            try:
                replica.present(JOURNAL)
            except Exception:
                replica.flush()
    pass_time(network, 3)
    left = [one for replica in replicas(network) for one in replica.core.comparisons.left_out]
    assert {tuple_of(one) for one in left} == {("poisoned", JOURNAL, 1)}
    assert alarms(network) == []


def test_absorbed_values_of_a_user_are_compared_by_their_digests():
    """A lattice of a user's own is no hole in the alarm: what it holds is compared as all else is."""
    network = pair([Shelf], [Shelf])
    for replica, key in zip(replicas(network), "za", strict=True):
        replica.append("shelf/1", [Told(key, None)], NOW)
        replica.flush()
    pass_time(network, 4)
    for replica in replicas(network):
        assert replica.present("shelf/1").top.value == "z"
        assert replica.core.comparisons.equal
        assert replica.core.comparisons.left_out == ()


@pytest.mark.parametrize("loaded", [True, False])
def test_what_has_no_digest_is_left_out_and_counted_on_both_sides(loaded):
    """Silence would be an alarm that is off without a word. It is not poisoned: it is read well."""
    network = pair([Bared, Odd], [Bared, Odd])
    writer = direct("writer", aggregates=[Bared, Odd])
    writer.append("bared/1", [Told("a", None)], NOW)
    writer.append("odd/1", [Happening(1)], NOW)
    writer.flush()
    for replica in replicas(network):
        replica.ingest(list(writer.all_slices()))
        replica.flush()
        if loaded:
            assert replica.present("bared/1").top.value == "a"
            replica.present("odd/1")
    pass_time(network, 4)
    for replica in replicas(network):
        left = [tuple_of(one) for one in replica.core.comparisons.left_out]
        assert left == [("no digest", "bared", 1), ("no digest", "odd", 1)]
        assert replica.core.comparisons.equal == 0


class Unheard(Event, frozen=True):
    said: str


class Learned(Journal):
    events = (Noted, Unheard)

    def evolve(self, state: Any, event: Any, moment: Any) -> Any:
        return (*state, (str(event), 0))


def test_events_that_both_do_not_know_change_nothing():
    """With the same code both leave out the same events: their presents are compared, and are equal."""
    network = pair([ShoppingList, Journal], [ShoppingList, Journal])
    writer = direct("writer", aggregates=[ShoppingList, Learned])
    writer.append(JOURNAL, [Unheard("what"), Noted("rain")], NOW)
    writer.flush()
    for replica in replicas(network):
        replica.ingest(list(writer.all_slices()))
        replica.flush()
    pass_time(network, 3)
    assert [replica.core.comparisons.equal for replica in replicas(network)] == [1, 1]
    assert alarms(network) == []


# --- what it costs ---


@pytest.mark.parametrize("damaged", "ab")
def test_a_stream_that_cannot_be_read_is_left_out_and_the_others_are_compared(damaged, monkeypatch):
    """Whoever begins, and whoever answers: what reading raises concerns that stream alone, and is counted."""
    network = pair()
    a = network.replica("a")
    for number in range(12):
        a.execute(f"list/{number:02}", AddItem("x"), NOW)
    a.flush()
    network.settle(4)
    for name in "ab":
        network.crash(name)
    load, core = comparing.load_streams, network.replica(damaged).core

    def load_or_not(reader: Any, streams: Any, aggregate_of: Any, *more: Any) -> Any:
        if aggregate_of.__self__ is core and streams == ("list/03",):
            raise DamagedLog("list/03 cannot be read")
        return load(reader, streams, aggregate_of, *more)

    monkeypatch.setattr(comparing, "load_streams", load_or_not)
    network.settle(30)
    found = [replica.core.comparisons for replica in replicas(network)]
    assert {one.equal for one in found} == {11}
    assert {(left.why, left.what) for one in found for left in one.left_out} == {("poisoned", "list/03")}


def test_what_is_left_out_is_bounded_whoever_claims_it():
    """A peer that comes under ever new ids, with streams that do not exist, fills no memory."""
    comparisons = direct("a").core.comparisons
    for peer in range(3):
        for number in range(MOST_LEFT):
            comparisons.leave_out(peer, f"list/{number}", POISONED)
    assert sum(left.streams for left in comparisons.left_out) == MOST_LEFT


def test_where_nothing_changes_nothing_is_said():
    """Each stream once in a session, whether it is in memory or not; then only what has changed."""
    network = pair()
    a, b = replicas(network)
    for n in range(30):
        a.execute(f"list/{n:02}", Count(1), NOW)
    a.flush()
    network.run()
    said = pass_time(network, 20)
    streams = [row.stream for message in said if isinstance(message, Presents) for row in message.rows]
    assert set(streams) == {f"list/{n:02}" for n in range(30)}
    assert [replica.core.comparisons.equal for replica in replicas(network)] == [30, 30]
    assert pass_time(network, 5) == []
    b.execute("list/07", Count(1), NOW)
    b.flush()
    network.run()
    presents, compared = pass_time(network, 3)
    assert [row.stream for row in presents.rows] == ["list/07"]
    assert (compared.number, compared.verdicts) == (presents.number, [0])


def test_streams_that_are_not_in_memory_are_folded_a_few_at_a_time():
    """No storm of loads, whatever the peer asks for; and none of them takes the place of what is in memory."""
    network = pair()
    a, b = replicas(network)
    for n in range(40):
        a.execute(f"list/{n:02}", Count(1), NOW)
    a.flush()
    network.run()
    before = b.core.comparisons.equal
    for _ in range(3):
        network.tick()
        network.run()
        assert 0 < b.core.comparisons.equal - before <= COLD
        before = b.core.comparisons.equal
    assert not b.core.memory.presents


def test_large_presents_are_compared_seldom():
    """A present of many events is a debt that ticks pay off: its digest is not computed again at each change."""
    network = pair()
    a, b = replicas(network)
    for _ in range(4):
        a.append(HOME, [Counted(1) for _ in range(EVENTS)], NOW)
        a.flush()
    b.present(HOME)
    network.run()
    times = 0
    for _ in range(20):
        a.execute(HOME, Count(1), NOW)
        a.flush()
        times += sum(isinstance(message, Presents) for message in pass_time(network, 1))
    assert 2 <= times <= 5


def test_what_is_lost_or_overtaken_comes_again():
    """A frame of a comparison that does not arrive delays it, and leads to no alarm."""
    network = pair()
    a, _ = replicas(network)
    a.execute(HOME, AddItem("milk"), NOW)
    a.flush()
    network.run()
    for lost in (asks(network), network.other("ab", asks(network))):
        network.tick()
        while network.wire("ab", "a") or network.wire("ab", "b"):
            for name in "ab":
                for _ in range(len(network.wire("ab", name))):
                    if name == lost and isinstance(decode(network.wire("ab", name)[0]), Presents | Compared):
                        network.wire("ab", name).popleft()
                    else:
                        network.deliver("ab", name)
    begins = network.nodes[asks(network)].replica.core.comparisons
    assert begins.equal == 0
    pass_time(network, 2)
    assert begins.equal == 1
    assert alarms(network) == []


def test_a_search_that_is_not_answered_ends_in_an_alarm_without_an_event():
    """A peer that reads differently and does not say why: the alarm says so, and the search is not for ever."""
    network = pair(crooked(), crooked("tea"))
    a, _ = replicas(network)
    a.execute(HOME, AddItem("tea"), NOW)
    a.flush()
    network.run()
    for _ in range(40):
        network.tick()
        while network.wire("ab", "a") or network.wire("ab", "b"):
            for name in "ab":
                for _ in range(len(network.wire("ab", name))):
                    if isinstance(decode(network.wire("ab", name)[0]), Traced):
                        network.wire("ab", name).popleft()
                    else:
                        network.deliver("ab", name)
    assert len(alarms(network)) == 2
    assert all(alarm.event is None and "was not found" in str(alarm) for alarm in alarms(network))


# --- who lies ---


def lying_row(node: Any, stream: str) -> Row:
    """What a peer could say of a stream that it claims to read differently."""
    core = node.replica.core
    events = comparing.events_of(comparing.instant_of(core), stream)
    return Row(stream, fold_name(core.aggregate_of(stream)), events, b"!" * 16)


def test_a_peer_that_lies_raises_an_alarm_in_its_name_and_no_more(monkeypatch):
    """Its claims change nothing here, and what it can have folded between two ticks is bounded."""
    replica = direct("alice")
    replica.core.me = 5000
    replica.execute(HOME, AddItem("milk"), NOW)
    replica.flush()
    node = DirectNode(replica, b"alice")
    right = replica.digest(HOME)
    stranger = Stranger(node, replica=1).greet()
    folds = []
    real = comparing.marks_of

    def counted(*args: Any) -> Any:
        folds.append(args)
        return real(*args)

    monkeypatch.setattr("sync.comparing.marks_of", counted)
    for number in range(1, 200):
        stranger.say(Presents(number, [lying_row(node, HOME)]))
        stranger.say(Traced(number, HOME, 0, 0, [], False))
    assert 0 < len(folds) <= ROUNDS
    for _ in range(10):
        node.tick(NOW)
        for number in range(200, 220):
            stranger.say(Presents(number, [lying_row(node, HOME)]))
    assert stranger.fault is None
    (alarm,) = node.divergences
    assert str(alarm.peer) == "stranger"
    assert replica.digest(HOME) == right
    assert replica.core.comparisons.mended == 0
    junk = [Row(f"list/{n}", lying_row(node, HOME).fold, b"?", b"!") for n in range(ROWS)]
    for number in range(300, 400):
        node.tick(NOW)
        stranger.say(Presents(number, junk))
    assert len(node.divergences) == 1
    stranger.say(Presents(500, junk * 2))
    assert stranger.fault == "unreadable"


def test_alarms_are_bounded():
    """An aggregate that is wrong everywhere: so many are kept, the others counted."""
    network = pair(crooked(), crooked("tea"))
    a, _ = replicas(network)
    for n in range(MOST + 20):
        a.execute(f"list/{n:03}", AddItem("tea"), NOW)
        network.nodes["b"].replica.present(f"list/{n:03}")
    a.flush()
    network.run()
    pass_time(network, 100)
    for node in network.nodes.values():
        assert len(node.divergences) == MOST
        assert node.replica.core.comparisons.unlisted > 0
        assert all(alarm.event is not None for alarm in node.divergences)
