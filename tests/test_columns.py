"""The fold by column: the state that one event after the other leads to, or none."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from random import Random
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings

from merge import AWSet, LWWRegister, ORMap, PNCounter, Product
from merge.effect import Effect, Hole, HoleLookedAt, replace
from merge.stamp import next_stamp
from merge.version import NOTHING, VersionVector
from replica import Aggregate, Event
from replica.backend import MemoryBackend
from replica.backlog import NO_BACKLOG
from replica.bulk import Bulk
from replica.commit import Recorded
from replica.decoded import Decoded
from replica.digest import canonical, digest
from replica.direct import DirectReplica
from replica.errors import PoisonEvent, Refused
from replica.folding import as_happened, fold_apart
from replica.log import Log
from replica.memory import MemoryLog
from replica.place import START, StreamPlace
from replica.plain import folds_by_column, plain_effect
from replica.recording import introduce, record
from replica.run import by_stamp
from replica.snapshot import Loaded, commits_of
from replica.travel import TimeTravel
from tests.histories import STEPS, STREAMS, play
from tests.house import (
    FACTS,
    GARDEN,
    HOUSE,
    THINGS,
    Allowed,
    CardCleared,
    Counted,
    House,
    Named,
    Put,
    PutAndTagged,
    PutInto,
    fact,
)
from tests.loop import in_loop
from tests.shop import HOME, ItemAdded, Journal, Noted, NoteEdited, RemoveItem, ShoppingList


@pytest.fixture(scope="module", autouse=True)
def small_blocks() -> Iterator[None]:
    """Blocks of five events, so that short histories have many."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("block", "memory", "reading"):
            patch.setattr(f"replica.{module}.BLOCK_EVENTS", 5)
        yield


def replica(name: str, log: Log | None = None, kind: Any = House) -> DirectReplica:
    return DirectReplica(log or MemoryLog(), "shop", name, (kind,), random=Random(name))


def say(author: DirectReplica, wall: int, *facts: tuple[str, int, bytes], stream: str = HOUSE) -> None:
    """Record some facts as one commit, whatever the code here knows of them."""
    core = author.core
    author._step(lambda: introduce(core, wall))
    stamp = next_stamp(wall, core.now.stamp, core.me)
    record(core, tuple(Recorded(stream, *one) for one in facts), stamp, None)
    author.flush()


def tell(author: DirectReplica, other: DirectReplica) -> None:
    other.ingest(list(author.all_slices()))
    other.flush()


def naive(hub: DirectReplica, stream: str, inside: VersionVector | None = None) -> Any:
    """The oracle: the aggregate observes one event after the other, in the order of stamps."""
    aggregate = hub.core.aggregate_of(stream)
    fold = aggregate.empty()
    for commit, context in hub.reader().stream(stream):
        for seq, event in enumerate(commit.events, commit.first):
            dot = commit.dots[seq - commit.first]
            if event.stream == stream and (inside is None or dot in inside):
                happened = as_happened(hub.core, aggregate, commit, dot, event, context)
                fold = fold if happened is None else aggregate.observe(fold, happened)
    return fold


def in_bulk(hub: DirectReplica, stream: str, base: Any, after: VersionVector, cut: VersionVector) -> Any:
    """The fold by column of what lies beyond `after` and inside `cut`."""
    reader, bulk = hub.reader(), Bulk(hub.core.aggregate_of(stream), hub.core.types, stream)
    places = reader.places(stream, StreamPlace.holding(after), cut)
    assert places is not None
    for place in reversed(places):
        bulk.take(reader.run(place))
    return bulk.fold(base)


def same(aggregate: Any, one: Any, other: Any) -> None:
    assert one == other
    assert aggregate.freeze(one) == aggregate.freeze(other)
    assert digest(canonical(one)) == digest(canonical(other))


WHO = st.integers(0, 2)
AT_ONE_PLACE = st.lists(st.sampled_from(THINGS), min_size=1, max_size=4)
HISTORY = st.lists(
    st.one_of(
        st.tuples(st.just("say"), WHO, AT_ONE_PLACE),
        st.tuples(st.just("say"), WHO, AT_ONE_PLACE | st.lists(st.sampled_from(FACTS), min_size=1, max_size=4)),
        st.tuples(st.just("tell"), WHO, WHO),
        st.tuples(st.just("tell"), WHO, WHO),
        st.tuples(st.just("elsewhere"), WHO, st.sampled_from(FACTS)),
    ),
    max_size=40,
)


def played(steps: Any, authors: list[DirectReplica]) -> Iterator[DirectReplica]:
    """Play a history; each who has told another one of it."""
    for wall, (step, who, what) in enumerate(steps):
        if step == "say":
            say(authors[who], 1000 + 5 * wall - 30 * who, *what)
        elif step == "elsewhere":
            say(authors[who], 1000, what, stream=GARDEN)
        elif what != who:
            tell(authors[who], authors[what])
            yield authors[who]


@settings(max_examples=300)
@given(HISTORY, st.data())
def test_by_column_and_one_after_the_other_come_to_the_same_state(steps, data):
    """All lattices, three logs, contexts as they arise, facts of older and newer code, blocks cut anywhere.

    Of the whole stream, and from any earlier past to any later one.
    """
    authors = [replica(name) for name in ("alice", "bob", "carol")]
    hub, aggregate = replica("hub"), House()
    cuts = [NOTHING]
    for author in played(steps, authors):
        tell(author, hub)
        cuts.append(hub.core.memory.version)
    for author in authors:
        tell(author, hub)
    cuts.append(hub.core.memory.version)
    same(aggregate, in_bulk(hub, HOUSE, aggregate.empty(), NOTHING, cuts[-1]), naive(hub, HOUSE))
    first, last = sorted((data.draw(st.sampled_from(cuts)), data.draw(st.sampled_from(cuts))), key=cuts.index)
    base = naive(hub, HOUSE, first)
    same(aggregate, in_bulk(hub, HOUSE, base, first, last), naive(hub, HOUSE, last))


@settings(max_examples=150)
@given(HISTORY, st.integers(0, 2**32))
def test_what_arrives_is_folded_by_column_as_one_after_the_other(steps, seed):
    """Into a stream that is loaded, in batches of any size: its present, what it stands at, counts, contexts."""
    authors = [replica(name) for name in ("alice", "bob", "carol")]
    hubs = [replica("by column"), replica("one by one")]
    heard: list[list[Any]] = [[], []]
    for hub, news in zip(hubs, heard, strict=True):
        hub.present(HOUSE)
        hub.listeners.append(lambda settled, news=news: news.extend(settled.news))
    chance = Random(seed)
    hubs[0].core.bulk, hubs[0].core.backlog = 1, chance.choice([0, 2_000, 8_000, 10**9])
    hubs[1].core.bulk = 1_000_000
    for author in played(steps, authors):
        if chance.random() < 0.3:
            _tell_both(author, hubs)
        if chance.random() < 0.2:
            assert hubs[0].present(HOUSE).state == hubs[1].present(HOUSE).state
    for author in authors:
        _tell_both(author, hubs)
    one, other = hubs
    assert one.present(HOUSE).state == naive(one, HOUSE) == other.present(HOUSE).state
    assert one.core.memory.stands == other.core.memory.stands
    assert one.core.folded == other.core.folded
    assert one.core.memory.types == other.core.memory.types
    assert heard[0] == heard[1]
    for commit, context in heard[0]:
        assert context == _context(heard[0], commit)


def _tell_both(author: DirectReplica, hubs: list[DirectReplica]) -> None:
    for hub in hubs:
        tell(author, hub)
        assert hub.core.memory.backlog.size <= hub.core.backlog


def _context(told: list[Any], last: Any) -> VersionVector:
    """The oracle: all that the commits of a log up to this one say that they observed, and the earlier ones."""
    context = NOTHING.advance(last.replica, last.first - 1)
    for commit, _ in told:
        if commit.replica == last.replica and commit.first <= last.first:
            for observed in commit.observed:
                context = context.advance(observed.replica, observed.seq)
    return context


def test_a_large_batch_waits_until_somebody_asks():
    """A decision is made on all of it, a draft that is dropped leaves it out, and a small batch waits behind it."""
    alice, bob = replica("alice", kind=ShoppingList), replica("bob", kind=ShoppingList)
    for number in range(70):
        alice.append(HOME, [ItemAdded(f"{number}")], number)
    alice.flush()
    bob.present(HOME)
    bob.ingest(list(alice.all_slices()))
    assert HOME in bob.core.now.backlog.presents
    with pytest.raises(Refused):
        bob.execute(HOME, RemoveItem("70"), 1000)
    bob.core.drop()
    assert not bob.present(HOME).items
    tell(alice, bob)
    alice.append(HOME, [ItemAdded("70")], 71)
    alice.flush()
    tell(alice, bob)
    memory = bob.core.memory
    assert HOME in memory.backlog.presents
    assert sum(run.decoded.events for run in memory.backlog.runs_for(HOME)) == 72
    assert HOME not in memory.presents
    bob.execute(HOME, RemoveItem("70"), 1000)
    bob.flush()
    assert bob.present(HOME).items == {f"{number}" for number in range(70)}
    assert bob.core.memory.backlog == NO_BACKLOG
    assert bob.present(HOME).state == naive(bob, HOME)


def test_a_batch_for_many_ordered_streams_is_gone_through_once(monkeypatch):
    """Each of them is folded event by event, and none for itself: that would be as often as there are streams."""
    alice, bob = replica("alice", kind=Journal), replica("bob", kind=Journal)
    names = [f"journal/{number}" for number in range(30)]
    for wall in range(4):
        for name in names:
            alice.append(name, [Noted(f"{wall}")], wall)
    alice.flush()
    for name in names:
        bob.present(name)
    made: list[int] = []

    def counted(runs):
        made.append(len(runs))
        return by_stamp(runs)

    monkeypatch.setattr("replica.folding.by_stamp", counted)
    tell(alice, bob)
    assert len(made) == 1
    assert all(bob.present(name).state == alice.present(name).state for name in names)


def test_what_is_new_is_read_without_making_values_of_what_is_older(monkeypatch):
    """A block is read whole, and of a thousand commits in it the one that is asked for is made."""
    monkeypatch.setattr("replica.block.BLOCK_EVENTS", 1024)
    alice = replica("alice", kind=ShoppingList)
    for number in range(300):
        alice.append(HOME, [ItemAdded(f"{number}")], number)
    alice.flush()
    before = alice.core.memory.version
    alice.append(HOME, [ItemAdded("new")], 300)
    alice.flush()
    made: list[int] = []
    whole = Decoded._made
    monkeypatch.setattr(Decoded, "_made", lambda self, a, b: made.append(b - a) or whole(self, a, b))
    me, upto = alice.core.me, alice.core.memory.version
    (told,) = alice.reader().beyond(before, upto, 100)
    assert told[0].last == upto[me]
    assert alice.reader().commit(me, 7)[0].first == 7
    place = StreamPlace.holding(before)
    assert [told] == alice.reader().stream_beyond(HOME, place, upto, 100)
    assert alice.reader().streams([HOME], place) == {HOME: [told]}
    assert made == [1, 1, 1, 1]


@settings(max_examples=60)
@given(st.lists(st.integers(1, 90), max_size=40), st.integers(1, 12))
def test_blocks_that_were_read_are_remembered_within_bounds(asked, blocks):
    """Whatever is asked for in whatever order, it is the block with that event; of a few the commits stay, too."""
    alice = replica("alice")
    for number in range(89):
        say(alice, number, fact(Put(f"k{number % 3}", "v")))
    reader, row = alice.reader(), alice.core.memory.lineages[alice.core.me].tip
    size = reader.open(row, 1).piece.size
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("replica.reading.HELD", size * blocks)
        patch.setattr("replica.reading.COMMITS", 2)
        for seq in asked:
            opened = reader.open(row, seq)
            assert opened.piece.after < seq <= opened.piece.last
            assert opened.decoded.commits[0].first == opened.piece.first
            held = [reader._blocks.find(row, one) for one in range(1, 91)]
            assert sum(one.piece.size for one in {id(one): one for one in held if one}.values()) <= size * blocks
    made = {id(one) for one in held if one and "commits" in vars(one.decoded)} if asked else set()
    assert len(made) <= 2


def test_a_block_that_is_remembered_is_not_read_further_than_a_log_went():
    """Who reads at a moment sees what was there then, though the block has been filled and read since."""
    alice = replica("alice")
    say(alice, 1, fact(Put("k", "v")))
    before, row = alice.reader(), alice.core.memory.lineages[alice.core.me].tip
    for number in range(9):
        say(alice, 2 + number, fact(Put("k", "w")))
    now = alice.core.memory.lineages[alice.core.me].tip
    assert alice.reader().commits(now, 1)[1] > row.head.seq
    told, last = before.commits(row, 1)
    assert (told[-1][0].last, last) == (row.head.seq, row.head.seq)


def test_a_block_with_events_of_many_streams_is_read_once(monkeypatch):
    """By whoever asks for one of them, one after the other; but for what is so long that others would go for it."""
    alice = replica("alice")
    for number in range(100):
        say(alice, number, fact(Put("k", f"{number}")), stream=(HOUSE, GARDEN)[number % 2])
    fresh = replica("alice", alice.log)
    read: list[int] = []
    whole = MemoryLog.block
    monkeypatch.setattr(MemoryLog, "block", lambda self, number, seq: read.append(seq) or whole(self, number, seq))
    found = {stream: fresh.present(stream).state for stream in (HOUSE, GARDEN)}
    assert 20 <= len(read) <= 23
    assert found == {stream: naive(alice, stream) for stream in (HOUSE, GARDEN)}
    monkeypatch.setattr("replica.bulk.MANY", 10)
    fresh = replica("alice", alice.log)
    read.clear()
    for stream in (HOUSE, GARDEN):
        fresh.present(stream)
    assert len(read) >= 40


@settings(max_examples=60)
@given(STEPS)
def test_every_present_is_the_naive_fold(steps):
    """As replicas load them, from snapshots and without; with texts and ordered aggregates, which have none."""
    for one in play(steps):
        fresh = DirectReplica(one.log, "shop", one.core.identity.name, (ShoppingList, Journal), random=Random(1))
        for stream in STREAMS:
            aggregate = fresh.core.aggregate_of(stream)
            loaded = commits_of(fresh.reader(), {stream: aggregate}, fresh.core.types)[stream]
            assert isinstance(loaded, Bulk) == (aggregate.stream == "list")
            folded = fold_apart(fresh.core, stream, Loaded(None, START, 0, loaded))
            want = naive(fresh, stream)
            assert folded == want
            shown = fresh.present(stream)
            assert digest(shown.canonical(shown.state)) == digest(
                shown.canonical(aggregate.present_of(want, stream, NOTHING).state)
            )


@in_loop
async def test_a_past_is_read_in_portions_and_is_the_naive_fold():
    """Of many blocks of two logs, from the beginning, and on from the past that was read before."""
    alice, bob = replica("alice"), replica("bob")
    for number in range(300):
        author, other = (alice, bob) if number % 7 < 4 else (bob, alice)
        say(author, number, *[FACTS[(number * 5 + more) % len(FACTS)] for more in range(number % 3 + 1)])
        if number % 20 == 0:
            tell(author, other)
    tell(bob, alice)
    travel = TimeTravel(alice.core, MemoryBackend(alice.log))
    me, other = int(alice.core.me), int(bob.core.me)
    for seq in (10, 90, 40, *range(100, 300, 3)):
        view = await travel.at((me, _boundary(alice, seq)))
        assert (await view.present(HOUSE)).state == naive(alice, HOUSE, view.version)
        assert view.version[me] >= seq
        assert seq < 90 or view.version[other]
    assert alice.core.memory.presents.get(HOUSE) is None


def _boundary(author: DirectReplica, seq: int) -> int:
    """The end of the commit with an event."""
    found = author.reader().commit(author.core.me, seq)
    assert found is not None
    return found[0].last


def test_what_is_covered_is_not_folded():
    """Of a thousand writes of ten keys by one author ten are folded: that is where the time goes."""
    alice = replica("alice")
    for number in range(1000):
        say(alice, number, fact(Put(f"k{number % 10}", str(number))))
    bulk = Bulk(House(), alice.core.types, HOUSE)
    reader = alice.reader()
    for place in reversed(reader.places(HOUSE, START) or ()):
        bulk.take(reader.run(place))
    assert (len(bulk.left), bulk.events, bulk.held) == (10, 1000, 1000)
    assert bulk.fold(House().empty()) == naive(alice, HOUSE)


def test_a_stream_that_is_loaded_stands_where_its_own_events_end():
    """And counts what is folded, on both paths alike: snapshots are taken by that."""
    alice = replica("alice")
    say(alice, 1, fact(Put("k", "v")), fact(Named("x")), ("Unheard", 1, b"\xc0"))
    say(alice, 2, fact(Put("k", "v")), stream=GARDEN)
    one, other = replica("alice", alice.log), replica("alice", alice.log)
    for hub in (one, other):
        if hub is other:
            hub.reader = lambda hub=hub: _without_places(DirectReplica.reader(hub))
        hub.present(HOUSE)
    assert one.core.memory.stands == other.core.memory.stands
    assert one.core.memory.presents == other.core.memory.presents
    assert one.core.folded == other.core.folded
    assert one.core.memory.stands[HOUSE] == StreamPlace({alice.core.me: 4})


def _without_places(reader: Any) -> Any:
    reader.places = lambda *_: None
    return reader


POISON = [
    (("Put", 2, msgspec.msgpack.encode({"key": "k", "value": 5})), "reading Put {}:3"),
    (("Put", 1, msgspec.msgpack.encode({"key": "k"})), "reading Put {}:3"),
    (("Counted", 1, msgspec.msgpack.encode({"amount": "much"})), "reading Counted {}:3"),
]


@pytest.mark.parametrize(("bad", "words"), POISON, ids=["value", "upcaster", "not plain"])
def test_a_poison_event_is_named_though_a_later_one_covers_it(bad, words):
    """What cannot be read stops the stream, with the error that names it."""
    alice = replica("alice")
    say(alice, 1, fact(Put("k", "v")), bad, fact(Put("k", "w")))
    with pytest.raises(PoisonEvent, match=words.format("alice")):
        replica("alice", alice.log).present(HOUSE)


def test_an_edit_of_a_text_that_is_none_is_named_among_what_is_folded_by_column():
    """It is read, and raises only when it is folded."""
    alice = replica("alice", kind=ShoppingList)
    say(alice, 1, fact(ItemAdded("milk")), fact(NoteEdited(b"nonsense")), fact(ItemAdded("milk")), stream=HOME)
    with pytest.raises(PoisonEvent, match="folding NoteEdited alice:3 raised TextError"):
        replica("alice", alice.log, kind=ShoppingList).present(HOME)


class AnyPut(Event):
    key: Any


class Anything(Aggregate):
    stream = "house"
    events = (AnyPut,)
    keys = AWSet[Any]()

    def effect(self, event: Any) -> Any:
        return self.keys.add(event.key)


@pytest.mark.parametrize("first", [True, 1.0, None, [1]], ids=str)
def test_what_is_no_key_is_poison_though_it_equals_one(first):
    """True and 1.0 equal 1, and a later 1 does not cover them."""
    alice = replica("alice", kind=Anything)
    assert plain_effect(Anything, AnyPut) is not None
    say(alice, 1, fact(AnyPut(first)), fact(AnyPut(1)))
    with pytest.raises(PoisonEvent, match="folding AnyPut alice:2"):
        replica("alice", alice.log, kind=Anything).present(HOUSE)


def test_where_an_id_has_two_histories_there_are_no_columns():
    """What a context names has to be looked for then; the present is folded event by event."""
    alice = replica("alice")
    say(alice, 1, fact(Put("k", "v")))
    twin = replica("alice", deepcopy(alice.log))
    say(alice, 2, fact(Put("k", "one")))
    say(twin, 2, fact(Put("k", "other")))
    hub = replica("hub")
    tell(alice, hub)
    tell(twin, hub)
    assert hub.reader().places(HOUSE, START) is None
    assert hub.present(HOUSE).state == naive(hub, HOUSE)


# --- which effects are plain ---


def test_plain_effects_are_found():
    """Those of the house that cover a path, in match statements, by attributes, through maps and products."""
    assert folds_by_column(House())
    found = {kind.__name__ for kind in House.events if plain_effect(House, kind)}
    assert found == {kind.__name__ for kind in House.events} - {"Counted", "Voted", "PutAndTagged", "PutUnlessLong"}
    put = plain_effect(House, PutInto)
    assert put is not None
    assert (put.place, put.fields) == (("rooms", None, None, None), ("room", "shelf", "thing"))
    assert plain_effect(House, CardCleared).place == ("cards", None)
    for event in (Put("k", "v"), PutInto("r", 1, b"t"), CardCleared("c"), Allowed(3)):
        plain = plain_effect(House, type(event))
        deeds = plain.deeds_of(event, plain.path_of([getattr(event, name) for name in plain.fields]))
        assert tuple(deeds) == House().effect_of(event)
    assert not any(plain_effect(House, kind) for kind in (Counted, PutAndTagged))
    assert plain_effect(ShoppingList, ItemAdded)
    assert not plain_effect(ShoppingList, NoteEdited)
    assert not folds_by_column(Journal())


def test_a_hole_is_not_looked_at():
    """Whatever asks it anything fails; it can only be put somewhere."""
    hole = Hole()
    looks: list[Any] = [
        lambda: bool(hole), lambda: hole == 1, lambda: hole != 1, lambda: hash(hole), lambda: str(hole),
        lambda: f"{hole}", lambda: hole.x, lambda: isinstance(hole, str), lambda: hole + 1, lambda: hole < 1,
        lambda: len(hole), lambda: [*hole], lambda: hole[0], lambda: -hole, lambda: hole(), lambda: int(hole),
        lambda: 1 in (hole,), lambda: PNCounter().add(hole),
    ]  # fmt: skip
    for look in looks:
        with pytest.raises((HoleLookedAt, TypeError)):
            look()
    assert replace(("k", hole), hole)[1].value is hole


class Written(Event):
    key: str
    value: Any = None

    def short(self) -> Any:
        return self.value if self.value is not None else 0

    @property
    def halved(self) -> Any:
        return self.key[:1]


class Base(Aggregate, base=True):
    """What the doubtful ones have in common."""

    map = ORMap[str, LWWRegister[Any]](LWWRegister())
    reg = LWWRegister[Any]()
    set = AWSet[Any]()

    def helper(self, value: Any) -> Any:
        return value is None


class Loud(LWWRegister[Any]):
    def write(self, value: Any) -> Effect:
        return super().write(0 if value is None else value)


class OwnCard(Product):
    title = LWWRegister[Any]()

    def name(self, value: Any) -> Effect:
        return self.title.write(0 if value is None else value)


def _none(self: Any, event: Any) -> Any:
    return self.map[event.key].write(0 if event.value is None else event.value)


def _some(self: Any, event: Any) -> Any:
    if event.value is not None:
        return self.reg.write(event.key)
    return self.map[event.key].write(1)


def _kind_of_value(self: Any, event: Any) -> Any:
    return self.map[event.key].write(1 if type(event.value) is int else 2)


def _instance(self: Any, event: Any) -> Any:
    return self.map[event.key].write(1 if isinstance(event.value, int) else 2)


def _sequence(self: Any, event: Any) -> Any:
    match event.value:
        case [_, _]:
            return self.map[event.key].write(1)
    return self.map[event.key].write(2)


def _mapping(self: Any, event: Any) -> Any:
    match event.value:
        case {"x": _}:
            return self.map[event.key].write(1)
    return self.map[event.key].write(2)


def _pattern_none(self: Any, event: Any) -> Any:
    match event:
        case Written(key, None):
            return self.map[key].write(1)
        case Written(key, value):
            return self.map[key].write(value)


def _pattern_method(self: Any, event: Any) -> Any:
    match event:
        case Written(key=key, halved=value):
            return self.map[key].write(value)


def _caught(self: Any, event: Any) -> Any:
    try:
        return self.map[event.key].write(event.value + 1)
    except Exception:
        return self.map[event.key].write(2)


def _helped(self: Any, event: Any) -> Any:
    return self.map[event.key].write(self.helper(event.value))


def _method(self: Any, event: Any) -> Any:
    return self.map[event.key].write(event.short())


def _global(self: Any, event: Any) -> Any:
    return self.map[event.key].write(id(event.value))


def _inner(self: Any, event: Any) -> Any:
    return self.map[event.key].write([x is None for x in (event.value,)])


def _computed(self: Any, event: Any) -> Any:
    return self.map[event.key + "!"].write(event.value)


def _listed(self: Any, event: Any) -> Any:
    return self.map[event.key].write([event.value])


def _default(self: Any, event: Any, count: Any = [0]) -> Any:  # noqa: B006
    return self.map[event.key].write(count)


def _error(self: Any, event: Any) -> Any:
    return self.map[event.key].write(2 if isinstance(OSError(event.value, "x"), FileNotFoundError) else 1)


def _below(self: Any, event: Any) -> Any:
    return [self.set.clear(), self.set.add(event.key)]


def _summed(self: Any, event: Any) -> Any:
    return self.map[event.key].write(sum((), event.value))


def _closed() -> Any:
    count = 1

    def effect(self: Any, event: Any) -> Any:
        return self.map[event.key].write(count)

    return effect


DOUBTFUL = [
    _none, _some, _kind_of_value, _instance, _sequence, _mapping, _pattern_none, _pattern_method, _caught, _helped,
    _method, _global, _inner, _computed, _listed, _default, _error, _below, _summed, _closed(),
]  # fmt: skip


def _aggregate(**parts: Any) -> Any:
    return type("Doubtful", (Base,), {"stream": "d", "events": (Written,), "__module__": __name__, **parts})


@pytest.mark.parametrize("effect", DOUBTFUL, ids=lambda effect: effect.__name__)
def test_an_effect_that_does_more_than_put_fields_somewhere_is_not_plain(effect):
    """Looking, calling, catching and computing, also in the ways that a value does not notice."""
    assert plain_effect(_aggregate(effect=effect), Written) is None


def test_an_effect_is_plain_only_among_lattices_that_are_ours():
    """A lattice, a product or an event that somebody has written may look where ours do not."""

    def written(self: Any, event: Any) -> Any:
        return self.reg.write(event.value)

    def named(self: Any, event: Any) -> Any:
        return self.card.name(event.value)

    class Compared(Written):
        def __eq__(self, other: object) -> bool:
            return self.value is None

    assert plain_effect(_aggregate(effect=written), Written)
    assert plain_effect(_aggregate(effect=written, reg=Loud()), Written) is None
    assert plain_effect(_aggregate(effect=named, card=OwnCard()), Written) is None
    assert plain_effect(_aggregate(effect=written, events=(Compared,)), Compared) is None
    assert plain_effect(_aggregate(effect=written, effect_of=lambda self, event: Effect()), Written) is None
    assert plain_effect(_aggregate(effect=written, bind=lambda self, *_, **__: self), Written) is None
