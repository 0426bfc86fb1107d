"""Values at the door: what a program hands over is checked before it stands in a log, or beside one, for ever."""

from __future__ import annotations

import math
import sys
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merge import AWSet, LWWRegister
from merge.stamp import YEAR_10000, next_stamp
from merge.version import Dot
from replica import (
    Aggregate,
    Command,
    Due,
    Event,
    InvalidBatch,
    InvalidEvent,
    Ordered,
    Replica,
    block,
    depth,
    event,
)
from replica.commit import MAX_LABEL
from replica.depth import MAX_DEPTH, too_deep
from replica.due import decode, encode, promises
from tests.loop import in_loop
from tests.shop import direct

NOW = 1_800_000_000_000


class Noted(Event):
    text: str


class Stored(Event):
    value: object


class Notes(Aggregate):
    stream = "notes"
    events = (Noted,)
    texts = AWSet[str]()

    def effect(self, event):
        return self.texts.add(event.text)


class Box(Aggregate):
    stream = "box"
    events = (Stored,)
    value = LWWRegister[object]()

    def effect(self, event):
        return self.value.write(event.value)


class Remind(Command):
    who: str


def opened(path, **options):
    options = {"store": "shop", "name": "alice", "aggregates": [Notes, Box], **options}
    return Replica.open(path, **options)


# --- clocks ---

NO_CLOCKS = [1.5, 1e12, math.inf, math.nan, "1", None, timedelta(1), b"1", 1_800_000_000 * 10**9, YEAR_10000]


@pytest.mark.parametrize("gives", NO_CLOCKS, ids=repr)
@in_loop
async def test_a_clock_that_gives_no_milliseconds_is_refused_when_it_is_opened(tmp_path, gives):
    """Else what is recorded with it is acknowledged, and no process can open the file again."""
    with pytest.raises((TypeError, ValueError), match="the clock of this replica"):
        async with opened(tmp_path / "alice.db", clock=lambda: gives):
            pass


@pytest.mark.parametrize("gives", NO_CLOCKS, ids=repr)
@in_loop
async def test_a_clock_that_goes_wrong_harms_the_call_and_nothing_that_was_recorded(tmp_path, gives):
    """Whoever writes hears of it; when the clock is right again all goes on, and the file opens."""
    now = [NOW]
    async with opened(tmp_path / "alice.db", clock=lambda: now[0]) as alice:
        await alice.append("notes/1", Noted("before"))
        now[0] = gives
        with pytest.raises((TypeError, ValueError), match="the clock of this replica"):
            await alice.append("notes/1", Noted("while"))
        now[0] = NOW + 1
        await alice.append("notes/1", Noted("after"))
    async with opened(tmp_path / "alice.db") as alice:
        assert set((await alice.present("notes/1")).texts) == {"before", "after"}


@pytest.mark.parametrize("now", [1.0, "1", None, True])
def test_no_stamp_is_made_of_what_is_no_whole_number(now):
    """Whoever steps a core by hand gets the same word as whoever hands over a clock."""
    with pytest.raises(TypeError, match="whole milliseconds"):
        next_stamp(now, None, 1)
    with pytest.raises(TypeError, match="whole milliseconds"):
        direct("alice", aggregates=[Notes]).append("notes/1", [Noted("x")], now)


@in_loop
async def test_a_clock_before_1970_counts_as_1970(tmp_path):
    """A machine without a battery begins there, and may record."""
    async with opened(tmp_path / "alice.db", clock=lambda: -5) as alice:
        assert (await alice.append("notes/1", Noted("x"))).stamp.wall == 0


# --- names ---


@pytest.mark.parametrize("name", ["n" * (MAX_LABEL + 1), "n\ud83d", b"alice", 5, None])
@pytest.mark.parametrize("what", ["store", "name"])
@in_loop
async def test_a_name_that_no_peer_takes_is_refused_when_it_is_opened(tmp_path, what, name):
    """Else the replica records, and nobody ever hears of it. No file is begun for it."""
    with pytest.raises((TypeError, ValueError), match=what):
        async with opened(tmp_path / "alice.db", **{what: name}):
            pass
    assert not (tmp_path / "alice.db").exists()


@in_loop
async def test_the_longest_names_are_taken_and_a_fork_has_no_longer_one(tmp_path):
    """The limit is one number, wherever a name is made."""
    async with opened(tmp_path / "alice.db", store="s" * MAX_LABEL, name="é" * MAX_LABEL) as alice:
        await alice.append("notes/1", Noted("x"))
        with pytest.raises(ValueError, match="name"):
            await alice.fork(tmp_path / "fork.db", name="f" * (MAX_LABEL + 1))
    assert not (tmp_path / "fork.db").exists()


# --- what is due ---


@pytest.mark.parametrize(
    "wrong",
    [
        {"at": "tomorrow"}, {"at": math.nan}, {"at": math.inf}, {"at": -1}, {"at": YEAR_10000},
        {"at": timedelta(1)}, {"cause": None}, {"cause": (1,)}, {"cause": (1, 0)}, {"cause": (-1, 1)},
        {"cause": (1 << 64, 1)}, {"cause": (1.5, 2)}, {"cause": "alice:3"}, {"to": ""}, {"to": 5},
        {"to": "x" * 257}, {"to": "\ud83d"}, {"settled": 1}, {"correlation": "x" * 513}, {"correlation": 5},
        {"correlation": "\ud83d"}, {"command": "Remind"}, {"command": Remind},
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_due_says_at_once_what_cannot_be_kept(wrong):
    """It stands in the file with the transaction: what cannot be read there would stop whoever opens it."""
    right = {"command": Remind("ann"), "cause": (1, 1)}
    with pytest.raises((TypeError, ValueError, InvalidEvent)):
        Due(**(right | wrong))


@given(
    st.none() | st.integers(0, YEAR_10000 - 1) | st.floats(0, YEAR_10000 - 1),
    st.booleans(),
    st.none() | st.text(max_size=512),
)
def test_what_is_due_comes_back_as_it_was_kept(at, settled, correlation):
    """Whatever a process may say: a part of a millisecond is rounded up, and nothing else changes."""
    try:
        one = Due(Remind("ann"), (7, 3), "guest/1", at, settled, correlation)
    except InvalidEvent:
        return  # half a surrogate pair
    kept = promises("guest/1", {"id": one}, {}, None, {})["id"]
    assert decode(encode(kept)) == kept
    assert kept.at == (None if at is None else math.ceil(at))
    assert one.cause == Dot(7, 3)


class Asked(Event):
    who: str


class Guest(Ordered):
    stream = "guest"
    events = (Asked,)
    at: object = 0.0

    def initial(self):
        return ()

    def evolve(self, state, event, moment):
        return (*state, (event.who, tuple(moment.dot)))

    def due(self):
        for who, dot in self.state:
            yield Due(Remind(who), dot, at=self.at)


class Never(Guest):
    at = "never"


@in_loop
async def test_a_process_that_says_what_cannot_be_kept_stops_alone(tmp_path):
    """It stands in the status; the file opens the next day, with that code and without it."""
    path = tmp_path / "alice.db"
    async with opened(path, aggregates=[Notes, Never]) as alice:
        await alice.append("notes/1", Noted("x"))
        await alice.append("guest/1", Asked("ann"))
        (promise,) = alice.status().due
        assert promise.state == "parked"
        assert "milliseconds" in promise.why
    for aggregates in ([Notes, Never], [Notes], [Notes, Guest]):
        async with opened(path, aggregates=aggregates) as alice:
            assert set((await alice.present("notes/1")).texts) == {"x"}


# --- nesting ---


def depth_of(value):
    """How many arrays and maps lie in each other, by looking."""
    if isinstance(value, dict):
        return 1 + max([0, *map(depth_of, value), *map(depth_of, value.values())])
    return 1 + max([0, *map(depth_of, value)]) if isinstance(value, list | tuple) else 0


LEAVES = (
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats() | st.text(max_size=40)
    | st.binary(max_size=300) | st.builds(msgspec.msgpack.Ext, st.integers(-128, 127), st.binary(max_size=20))
)  # fmt: skip
KEYS = st.text(max_size=3) | st.integers(0, 300)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=20) | st.dictionaries(KEYS, inner, max_size=17), max_leaves=40
)


@settings(max_examples=150)
@given(VALUES, st.integers(0, 6))
def test_a_payload_is_too_deep_where_looking_says_so(value, most):
    """Whatever forms of msgpack it has: they are read as what they are."""
    before = depth.MAX_DEPTH
    depth.MAX_DEPTH = most
    try:
        assert too_deep(msgspec.msgpack.encode(value)) == (depth_of(value) > most)
    finally:
        depth.MAX_DEPTH = before


@pytest.mark.parametrize("size", [16, 70_000])
@pytest.mark.parametrize("kind", [list, dict])
def test_long_arrays_and_maps_are_counted_too(kind, size):
    """They say their length in two bytes, or in four."""
    deep = [1]
    for _ in range(MAX_DEPTH):
        deep = [deep]
    values = [*range(size), deep]
    value = values if kind is list else dict(enumerate(values))
    assert too_deep(msgspec.msgpack.encode(value))
    assert not too_deep(msgspec.msgpack.encode([value, *[[[1]]] * size]).replace(b"\x91" * 100, b""))


def nested(levels):
    value = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("levels", [MAX_DEPTH, 900, 5000])
@in_loop
async def test_what_is_nested_too_deep_is_refused_where_it_is_recorded(tmp_path, levels):
    """By whatever limit of recursion its author has. The field of the event is one level."""
    usual = sys.getrecursionlimit()
    async with opened(tmp_path / "alice.db") as alice:
        await alice.append("box/1", Stored(nested(MAX_DEPTH - 1)))
        sys.setrecursionlimit(20_000)
        try:
            with pytest.raises(InvalidEvent, match="levels deep"):
                await alice.append("box/1", Stored(nested(levels)))
        finally:
            sys.setrecursionlimit(usual)
        await alice.append("notes/1", Noted("after"))
    async with opened(tmp_path / "alice.db") as alice, opened(":memory:", name="bob") as bob:
        assert set((await alice.present("notes/1")).texts) == {"after"}
        await bob.join(alice)
        assert (await bob.present("box/1")).value.value == nested(MAX_DEPTH - 1)


def test_what_is_nested_too_deep_is_refused_by_whoever_is_sent_it(monkeypatch):
    """Whoever wrote it: what one takes, everybody must be able to read."""
    monkeypatch.setattr(event, "too_deep", lambda payload: False)
    alice, bob = direct("alice", aggregates=[Box]), direct("bob", aggregates=[Box])
    alice.append("box/1", [Stored(nested(MAX_DEPTH - 1))], NOW)
    alice.flush()
    bob.ingest(list(alice.all_slices()))
    bob.flush()
    alice.append("box/1", [Stored(nested(MAX_DEPTH))], NOW)
    alice.flush()
    version = bob.core.memory.version
    assert len(version) == 1
    with pytest.raises(InvalidBatch, match="levels deep"):
        bob.ingest(list(alice.all_slices()))
    assert bob.core.memory.version == version
    assert block.MAX_DEPTH == MAX_DEPTH
