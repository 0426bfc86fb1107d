"""Versions of events: code of several releases in one network, and what each makes of the others' facts.

Each test says what an event is in words that no release can change: bytes, or what a person did.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import example, given, settings

from merge import AWSet, LWWRegister, ORMap
from merge.stamp import Stamp
from merge.version import Dot, VersionVector
from replica import Aggregate, Event, PoisonEvent, Refused, Replica, Unfolded
from replica.core import Settled
from replica.direct import DirectReplica
from replica.event import EventTypes, encode_event
from replica.folding import unfolded
from sync import linked
from sync.direct import DirectNode
from sync.message import Batch, decode
from sync.testing.network import NOW, Network
from tests.loop import in_loop, until
from tests.releases import FIRST, NONE, SECOND, THIRD, Add, Note, Release, Remove, Star, Weigh, event_types
from tests.shop import HOME, JOURNAL, direct

# --- one event ---

GOLDEN = [
    (FIRST, "ItemAdded", 1, ("milk",), "81a46974656da46d696c6b", ("ItemPut", "milk", 1)),
    (SECOND, "ItemAdded", 2, ("milk",), "81a46e616d65a46d696c6b", ("ItemPut", "milk", 1)),
    (THIRD, "ItemPut", 3, ("milk", 4), "82a46e616d65a46d696c6ba6616d6f756e7404", ("ItemPut", "milk", 4)),
    (FIRST, "Weighed", 1, (7,), "9107", ("Weighed", "shop", 7000)),
    (SECOND, "Weighed", 2, (250,), "91ccfa", ("Weighed", "shop", 250)),
    (THIRD, "Weighed", 3, ("bar", 250), "92a3626172ccfa", ("Weighed", "bar", 250)),
    (FIRST, "Noted", 1, ("rain",), "81a46c696e65a47261696e", ("Noted", "rain", frozenset())),
]
IDS = [f"{name}_{schema}" for _, name, schema, *_ in GOLDEN]


@pytest.mark.parametrize(("release", "name", "schema", "fields", "payload", "now"), GOLDEN, ids=IDS)
def test_what_an_old_release_recorded_is_read_as_the_newest_means_it(release, name, schema, fields, payload, now):
    """Bytes written once, by name and schema: what the newest release reads out of them stays the same for ever."""
    event = EventTypes(event_types(THIRD).values()).decode(name, schema, bytes.fromhex(payload))
    assert (type(event).__name__, *msgspec.structs.astuple(event)) == now
    recorded = event_types(release)[name]
    assert (recorded.schema, encode_event(recorded(*fields)).hex()) == (schema, payload)


@pytest.mark.parametrize(("name", "schema"), [("ItemAdded", 0), ("ItemAdded", 4), ("ItemPut", 4), ("Weighed", 0)])
def test_a_schema_below_the_chain_or_above_the_class_is_not_known(name, schema):
    """It is no error, and nothing is guessed."""
    types = EventTypes(event_types(THIRD).values())
    assert (name, schema) not in types
    assert types.decode(name, schema, b"\x80") is None


@pytest.mark.parametrize("array_like", [False, True])
def test_a_field_with_a_default_needs_no_new_schema(array_like):
    """New code fills it in where it was not recorded; old code reads past it."""
    old = msgspec.defstruct("Met", [("who", str)], bases=(Event,), frozen=True, array_like=array_like)
    new = msgspec.defstruct(
        "Met", [("who", str), ("where", str, "here")], bases=(Event,), frozen=True, array_like=array_like
    )
    assert EventTypes([new]).decode("Met", 1, encode_event(old("ann"))) == new("ann", "here")
    assert EventTypes([old]).decode("Met", 1, encode_event(new("ann", "there"))) == old("ann")


def declared(**declarations: Any) -> type[Event]:
    return msgspec.defstruct("Met", [("who", str)], bases=(Event,), frozen=True, namespace=declarations)


def same(plain: Any) -> Any:
    return plain


@pytest.mark.parametrize(
    ("declarations", "words"),
    [
        ({"schema": 4, "upcasters": {1: same, 3: same}}, "from schema 1 and none from 2.*Add what is missing"),
        ({"schema": 3, "upcasters": {1: same}}, "from schema 1 and none from 2"),
        ({"schema": 2, "upcasters": {2: same}}, "from schema 2, and its own schema is 2.*Raise `schema`"),
        ({"upcasters": {1: same}}, "Raise `schema`"),
        ({"schema": 2, "upcasters": {1: {}}}, "the upcaster from schema 1 is {}, and not a function"),
        ({"schema": 2, "upcasters": {"1": same}}, "functions by schema"),
        ({"schema": 2, "upcasters": [same]}, "functions by schema"),
        ({"schema": 2, "upcasters": {-1: same}}, "functions by schema"),
        ({"schema": "2"}, "`schema` is an int"),
        ({"former_names": "Seen"}, "a tuple of names"),
        ({"former_names": ("",)}, "a type name has"),
    ],
)
def test_versions_that_are_declared_wrongly_are_refused_when_the_replica_is_opened(declarations, words):
    """In words that name the class, before anything is read or written."""

    class Diary(Aggregate):
        stream = "diary"
        events = (declared(**declarations),)

    with pytest.raises(TypeError, match=rf"Met.*{words}"):
        direct("alice", aggregates=(Diary,))


def test_two_classes_that_claim_one_name_and_schema_are_refused():
    """By a former name too: nobody could say which of them an old event is."""
    met = declared()
    for schema, claimed in ((1, True), (2, False)):
        seen = msgspec.defstruct(
            "Seen", [], bases=(Event,), namespace={"schema": schema, "former_names": ("Met",)}, frozen=True
        )
        if claimed:
            with pytest.raises(TypeError, match=r"called Met 1, now or formerly: .*Met and .*Seen"):
                EventTypes([met, seen])
        else:
            assert type(EventTypes([met, seen]).decode("Met", 2, b"\x80")) is seen
    with pytest.raises(TypeError, match=r"called Met 1, now or formerly"):
        EventTypes([met, declared()])


# --- one stream ---


def carry(there: DirectReplica, *replicas: DirectReplica) -> None:
    """What `there` holds, to the others."""
    for replica in replicas:
        replica.ingest(list(there.all_slices()))
        replica.flush()


def write(replica: DirectReplica, stream: str, command: Any, now: int = NOW) -> None:
    replica.execute(stream, command, now)
    replica.flush()


def test_what_an_old_release_does_not_know_it_carries_and_reports():
    """Type and schema with how many, no more; a relay of old code hands on the bytes as they came."""
    alice, relay, carol = (
        direct("a", aggregates=THIRD),
        direct("r", aggregates=FIRST),
        direct("c", aggregates=THIRD),
    )
    for command in (Add("milk"), Add("eggs"), Star("eggs"), Remove("milk")):
        write(alice, HOME, command)
    carry(alice, relay)
    carry(relay, carol)
    assert carol.heads == relay.heads == alice.heads
    assert carol.digest(HOME) == alice.digest(HOME)
    assert unfolded(carol.core) == ()
    assert unfolded(relay.core) == (
        Unfolded("unknown type", "ItemPut 3", 2),
        Unfolded("unknown type", "ItemStarred 1", 1),
    )
    assert set(relay.present(HOME).items) == set()


@pytest.mark.parametrize("looked", [False, True])
def test_an_add_learnt_late_does_not_undo_a_remove(looked):
    """The remove had seen the add that its own code did not know: it wins, after the upgrade as everywhere."""
    old, new = direct("old", aggregates=FIRST), direct("new", aggregates=SECOND)
    write(new, HOME, Add("milk"))
    write(new, HOME, Add("eggs"))
    carry(new, old)
    if looked:
        assert set(old.present(HOME).items) == set()
    write(old, HOME, Remove("milk"))
    write(new, HOME, Add("jam"))
    write(old, HOME, Remove("jam"))
    carry(old, new)
    carry(new, old)
    upgraded = direct("old", log=old.log, aggregates=SECOND)
    assert set(upgraded.present(HOME).items) == set(new.present(HOME).items) == {"eggs", "jam"}
    assert upgraded.digest(HOME) == new.digest(HOME)


def broken(plain: Any) -> Any:
    return {"name": plain["nmae"]}


def empty(plain: Any) -> Any:
    return {}


def not_a_number(plain: Any) -> Any:
    return {"name": float("nan")}


@pytest.mark.parametrize(
    ("upcaster", "words"),
    [
        (broken, "the upcaster from schema 1 raised KeyError: 'nmae'"),
        (empty, "make of it is no ItemAdded: Object missing required field `name`"),
        (not_a_number, "make of it is no ItemAdded: NaN"),
    ],
)
@pytest.mark.parametrize("looked", [False, True])
def test_an_upcaster_that_fails_stops_its_stream_and_nothing_else(upcaster, words, looked):
    """The error names the event and the upcaster; the log is forwarded; mended code reads it."""

    class ItemAdded(Event, frozen=True):
        schema = 2
        upcasters = {1: upcaster}
        name: str

    class ShoppingList(Aggregate):
        stream = "list"
        events = (ItemAdded,)
        items = AWSet[str]()

        def effect(self, event: Any) -> Any:
            return self.items.add(event.name)

    old, bad, new = (
        direct("old", aggregates=FIRST),
        direct("b", aggregates=(ShoppingList,)),
        direct("n", aggregates=()),
    )
    bad.append("list/work", [ItemAdded("ink")], NOW)
    if looked:
        assert set(bad.present(HOME).items) == set()
    write(old, HOME, Add("milk"))
    carry(old, bad)
    with pytest.raises(PoisonEvent, match=rf"list/home has no present: reading ItemAdded old:2 raised .*{words}"):
        bad.present(HOME)
    assert set(bad.present("list/work").items) == {"ink"}
    carry(bad, new)
    mended = direct("b", log=bad.log, aggregates=SECOND)
    assert set(mended.present(HOME).items) == {"milk"}
    assert new.heads == bad.heads == mended.heads


# --- a network of releases ---

RELEASES = [NONE, FIRST, SECOND, THIRD]
ITEMS = st.sampled_from(["milk", "eggs"])
COMMANDS = st.one_of(
    st.builds(Add, ITEMS),
    st.builds(Remove, ITEMS),
    st.builds(Star, ITEMS),
    st.builds(Weigh, st.integers(1, 9)),
    st.builds(Note, st.sampled_from(["rain", "sun"])),
)
NAMES = "abcr"
NAME = st.sampled_from(NAMES)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), NAME, COMMANDS),
        st.tuples(st.just("tell"), NAME, NAME),
        st.tuples(st.just("look"), NAME),
        st.tuples(st.just("upgrade"), NAME),
    ),
    max_size=30,
)


class Fact(NamedTuple):
    """What somebody did, in which release, and what had been seen there by then."""

    dot: Dot
    stamp: Stamp
    seen: VersionVector
    release: Release
    command: Any


class Counted(Network):
    """A network that counts the batches which it carries."""

    batches = 0

    def deliver(self, link: str, name: str, index: int = 0, *, keep: bool = False) -> None:
        self.batches += isinstance(decode(self.wire(link, name)[index]), Batch)
        super().deliver(link, name, index, keep=keep)


class Rollout:
    """Replicas of three releases and a relay without any; a witness that was of the newest from the start."""

    def __init__(self) -> None:
        self.witness = direct("w", aggregates=THIRD)
        self.releases = {"a": 1, "b": 2, "c": 3, "r": 0}
        self.replicas: dict[str, DirectReplica] = {}
        self.facts: list[Fact] = []
        self.time = NOW
        for name in NAMES:
            self.open(name)

    def open(self, name: str) -> None:
        """Begin, or begin again over the same log, with the code of its release."""
        before = self.replicas.get(name)
        log = before.log if before else None
        self.replicas[name] = direct(name, log=log, aggregates=RELEASES[self.releases[name]])
        self.replicas[name].listeners.append(self.tell_witness)

    def tell_witness(self, settled: Settled) -> None:
        self.witness.ingest(settled.slices)
        self.witness.flush()

    def write(self, name: str, command: Any) -> None:
        replica, release = self.replicas[name], RELEASES[self.releases[name]]
        self.time += 1
        seen = replica.core.memory.version
        try:
            if release:
                done = replica.execute(JOURNAL if isinstance(command, Note) else HOME, command, self.time)
                replica.flush()
                self.facts.append(Fact(done.dots[0], done.stamp, seen, release, command))
        except Refused:
            pass

    def tell(self, name: str, other: str) -> None:
        for piece in self.replicas[name].all_slices():
            self.replicas[other].ingest([piece])
            self.replicas[other].flush()

    def look(self, name: str) -> None:
        """Load the presents, so that what comes later is folded as it comes."""
        for stream in (HOME, JOURNAL) if self.releases[name] else ():
            self.replicas[name].present(stream)

    def upgrade(self, name: str) -> None:
        self.releases[name] = min(self.releases[name] + 1, len(RELEASES) - 1)
        self.open(name)

    def meet(self) -> int:
        """All are linked in a chain with the relay inside, and talk until nobody has anything to say."""
        network = Counted("", ["ar", "br", "bc"], direct)
        network.nodes = {name: DirectNode(replica, name.encode()) for name, replica in self.replicas.items()}
        network.clocks = dict.fromkeys(NAMES, self.time)
        network.settle()
        assert network.faults() == []
        return network.batches

    def check(self) -> None:
        """All agree with the witness, and the witness with what people did."""
        for replica in self.replicas.values():
            assert replica.heads == self.witness.heads
            assert unfolded(replica.core) == ()
            for stream in (HOME, JOURNAL):
                assert replica.digest(stream) == self.witness.digest(stream)
        facts = sorted(self.facts, key=lambda fact: fact.stamp)
        home = self.witness.present(HOME)
        assert (set(home.items), set(home.stars)) == (self.left(Add), self.left(Star))
        assert home.added.value == sum(1 + (f.release is THIRD) for f in facts if isinstance(f.command, Add))
        assert home.grams.value == sum(f.command.kilos * 1000 for f in facts if isinstance(f.command, Weigh))
        assert self.witness.present(JOURNAL).state == tuple(
            (f.command.line, [] if f.release is FIRST else ["2nd", "new"])
            for f in facts
            if isinstance(f.command, Note)
        )

    def left(self, kind: type) -> set[str]:
        """Items that were added (or starred), and not removed by anybody who had seen it, known or not."""
        gone = [fact for fact in self.facts if isinstance(fact.command, Remove)]
        return {
            fact.command.item
            for fact in self.facts
            if isinstance(fact.command, kind)
            and not any(fact.command.item == other.command.item and fact.dot in other.seen for other in gone)
        }


@settings(max_examples=120)
@given(STEPS)
@example(
    [
        ("write", "b", Add("milk")),
        ("tell", "b", "a"),
        ("look", "a"),
        ("write", "a", Remove("milk")),
        ("upgrade", "a"),
        ("upgrade", "a"),
    ]
)  # an add learnt late, and a remove that had seen it
def test_releases_in_one_network_converge_and_the_old_ones_after_their_upgrade(steps):
    """Whatever they wrote, heard and upgraded in whatever order: as if all had been of the newest from the start.

    Nothing is sent again for it: they fold again from their own logs, and then have nothing to ask.
    """
    rollout = Rollout()
    for step in steps:
        getattr(rollout, step[0])(*step[1:])
    rollout.meet()
    for name in NAMES:
        while RELEASES[rollout.releases[name]] is not THIRD:
            rollout.upgrade(name)
    rollout.check()
    assert rollout.meet() == 0
    rollout.check()


@in_loop
async def test_an_upgrade_is_opening_the_same_file_with_newer_code(tmp_path):
    """Over SQLite and a link: reported and carried before, folded after, and folded live from then on."""

    def opened(name, release):
        return Replica.open(tmp_path / f"{name}.db", store="shop", name=name, aggregates=release)

    async with opened("new", THIRD) as new:
        async with opened("old", FIRST) as old, linked(new, old):
            await old.execute(HOME, Add("eggs"))
            await new.execute(HOME, Add("milk"))
            home = await old.present(HOME, after=new.version)
            assert set(home.items) == {"eggs"}
            assert old.status().unfolded == (Unfolded("unknown type", "ItemPut 3", 1),)
            await new.wait_for(old.version)
        async with opened("old", THIRD) as old:
            assert set((await old.present(HOME)).items) == {"eggs", "milk"}
            assert old.status().unfolded == ()
            assert old.status().succeeds is None
            async with linked(new, old):
                await new.execute(HOME, Star("milk"))
                await until(lambda: old.version == new.version)
                assert await old.digest(HOME) == await new.digest(HOME)


# --- facts that turn out wrong ---


class ReadingTaken(Event, frozen=True):
    number: int
    kilos: int


class ReadingInvalidated(Event, frozen=True):
    number: int
    why: str


class Scale(Aggregate):
    stream = "scale"
    events = (ReadingTaken, ReadingInvalidated)
    readings = ORMap[int, LWWRegister[int]](LWWRegister())

    def effect(self, event: Any) -> Any:
        match event:
            case ReadingTaken(number, kilos):
                return self.readings[number].write(kilos)
            case ReadingInvalidated(number):
                return self.readings.remove(number)


@in_loop
async def test_a_fact_that_was_wrong_is_invalidated_by_a_later_one_and_both_stay():
    """The present is corrected on every replica; the log has both, and the later names the earlier as its cause."""
    async with (
        Replica.open(store="shop", name="alice", aggregates=[Scale]) as alice,
        Replica.open(store="shop", name="bob", aggregates=[Scale]) as bob,
        linked(alice, bob),
    ):
        await alice.append("scale/1", ReadingTaken(1, 70))
        wrong = await alice.append("scale/1", ReadingTaken(2, 7000))
        await bob.wait_for(alice.version)
        await bob.append("scale/1", ReadingInvalidated(2, "no decimal point"), cause=wrong.dots[0])
        for replica in (alice, bob):
            present = await replica.present("scale/1", after=bob.version)
            assert present.readings.value == {1: 70}
            log = await replica.read(lambda reader: reader.stream("scale/1"))
            assert [commit.events[0].type for commit, _ in log] == ["ReadingTaken"] * 2 + ["ReadingInvalidated"]
            (earlier, _), (later, context) = log[1:]
            assert later.note.cause == wrong.dots[0] == earlier.dots[0]
            assert earlier.dots[0] in context
