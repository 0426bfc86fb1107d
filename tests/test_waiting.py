"""What waits: edits of a text for one that is missing, events for a present, and others for a step."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from random import Random
from typing import Any

import hypothesis.strategies as st
import pycrdt
import pytest
from hypothesis import given

from merge import LWWRegister, ORMap, Stamp, Text
from merge.text import TextState, waiting
from replica import Aggregate, Event, InvalidEvent, Ordered, Replica
from replica.backend import MemoryBackend
from replica.backlog import NO_BACKLOG
from replica.commit import Recorded
from replica.direct import DirectReplica
from replica.folding import unfolded
from replica.memory import MemoryLog
from replica.ordered import RECENT
from replica.recording import introduce, record
from replica.travel import TimeTravel
from tests.loop import in_loop
from tests.shop import direct


class Typed(Event):
    update: bytes


class Paper(Aggregate):
    stream = "paper"
    events = (Typed,)
    text = Text()

    def effect(self, event: Any) -> Any:
        return self.text.apply(event.update)


PAPER = "paper/1"


def edits(*words: str) -> list[bytes]:
    """What an editor sends, a word at a time; the last one takes the first word out."""
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    updates: list[bytes] = []
    text = doc.get("text", type=pycrdt.Text)
    watching = doc.observe(lambda event: updates.append(event.update))
    for word in words:
        text.insert(len(str(text).encode()), word)
    del text[0 : len(words[0].encode())]
    del watching
    return updates


def builds_on(at: int, came: list[int]) -> bool:
    """Is all there that an edit builds on? A word on those before it, what takes the first one out on that."""
    return {0} <= {*came} if at == 4 else {*range(at)} <= {*came}


@given(st.permutations(range(5)), st.integers(0, 5), st.booleans())
def test_an_edit_waits_as_long_as_one_that_it_builds_on_is_missing(order, count, whole):
    """Whatever comes first, and whether it comes bit by bit or as one update: it shows, or it is said to wait."""
    updates, state, came = edits("ab", "ç", "d\N{GRINNING FACE}", "e"), TextState(), order[:count]
    for at in came:
        state |= TextState.of(updates[at])
        if whole:
            state = TextState.of(state.to_bytes())
    wanted = [at for at in came if not builds_on(at, came)]
    assert state.waits() == bool(wanted)
    assert waiting([(at, updates[at]) for at in came]) == wanted


def test_an_edit_that_would_not_show_is_not_recorded():
    """A frame of an editor was lost: the next one is refused, in words, and goes in once the lost one is there."""
    alice, (a, b, c, took) = direct("alice", aggregates=(Paper,)), edits("a", "b", "c")
    alice.append(PAPER, [Typed(a)], 1)
    with pytest.raises(InvalidEvent, match="builds on an earlier edit that is not here"):
        alice.append(PAPER, [Typed(c)], 2)
    assert alice.present(PAPER).text.value == "a"
    alice.append(PAPER, [Typed(b), Typed(c), Typed(took)], 3)
    assert alice.present(PAPER).text.value == "bc"
    assert not unfolded(alice.core)


@in_loop
async def test_an_edit_of_a_peer_that_waits_is_told_of_until_it_shows():
    """It was recorded where nobody looked: a warning, the status and the explanation name it, and then no more."""
    alice, bob = direct("alice", aggregates=(Paper,)), direct("bob", aggregates=(Paper,))
    a, b, c, _ = edits("a", "b", "c")
    bob.present(PAPER)
    for wall, update in ((1, a), (2, c)):
        alice._step(lambda: introduce(alice.core, 1))
        payload, _ = alice.core.types.admit(Typed(update))
        record(alice.core, (Recorded(PAPER, "Typed", 1, payload),), Stamp(wall, 9, alice.core.me), None)
        alice.flush()
    bob.ingest(list(alice.all_slices()))
    bob.flush()
    for bobs in (bob, direct("bob", log=bob.log, aggregates=(Paper,))):  # as it arrives, and as it is loaded
        assert bobs.present(PAPER).text.value == "a"
        assert [(one.why, one.what) for one in unfolded(bobs.core)] == [("waiting edit", PAPER)]
        assert any("builds on one which is missing" in said.words for said in bobs.core.complaints.take())
    explained = await TimeTravel(bob.core, MemoryBackend(bob.log)).explain(PAPER)
    assert "waits for an earlier edit that is missing" in str(explained)
    bob.append(PAPER, [Typed(b)], 3)
    assert bob.present(PAPER).text.value == "abc"
    bob.flush()
    assert not unfolded(bob.core)


class Put(Event):
    key: str
    value: str


class Table(Aggregate):
    stream = "table"
    events = (Put,)
    values = ORMap[str, LWWRegister[str]](LWWRegister[str]())

    def effect(self, event: Any) -> Any:
        return self.values[event.key].write(event.value)


def test_what_waits_for_presents_is_bounded_by_bytes_and_costs_no_step():
    """Large events for many tables that nobody reads: beyond the bound all are let go of, and none is folded."""
    alice, bob = (direct(name, aggregates=(Table,)) for name in ("alice", "bob"))
    bob.core.backlog, bob.core.bulk = 100_000, 1
    came: list[Any] = []
    alice.listeners.append(lambda settled: came.extend(settled.slices))
    tables = [f"table/{n}" for n in range(20)]
    for table in tables:
        bob.present(table)
    most = 0
    for n in range(100):
        alice.append(tables[n % 20], [Put("k", f"{n}" + "x" * 5_000)], n)
        alice.flush()
        bob.ingest(came)
        came.clear()
        bob.flush()
        most = max(most, bob.core.memory.backlog.size)
        held = {id(run): run for stream in bob.core.memory.backlog.presents for run in _runs(bob, stream)}
        assert sum(len(run.decoded.piece.columns[-1]) for run in held.values()) <= 100_000
    assert 50_000 < most <= 100_000
    for n, table in enumerate(tables):
        assert bob.present(table).values["k"].value == f"{80 + n}" + "x" * 5_000
    assert bob.core.memory.backlog == NO_BACKLOG


def _runs(replica: DirectReplica, stream: str) -> list[Any]:
    return [*replica.core.memory.backlog.runs_for(stream)]


class Count(Ordered):
    """How many events there were; `calls` counts what is folded, anywhere."""

    stream = "count"
    events = (Put,)
    calls = 0

    def initial(self) -> int:
        return 0

    def evolve(self, state: int, event: Any, moment: Any) -> int:
        Count.calls += 1
        return state + 1


@pytest.mark.parametrize("length", [RECENT // 2, 6 * RECENT])
def test_late_events_have_a_long_stream_folded_again_when_it_is_used_and_not_for_each(length):
    """Of any length, trimmed or not: what arrives late is acknowledged without a fold, and folded once."""
    alice, bob, carol = (direct(name, aggregates=(Count,)) for name in ("alice", "bob", "carol"))
    for at in range(0, length, 512):
        alice.append("count/1", [Put("", "")] * 512, 1000 + at)
    alice.flush()
    carol.ingest(list(alice.all_slices()))
    for snapshot in (False, True):
        assert carol.present("count/1").state == length + 12 * snapshot
        if snapshot:
            carol.core.ripe["count/1"] = None
            carol.snapshot()
        Count.calls = 0
        late: list[Any] = []
        stop = len(bob.listeners)
        bob.listeners.append(lambda settled, late=late: late.extend(settled.slices))
        for n in range(12):
            bob.append("count/1", [Put("", "")], 1 + n)
            bob.flush()
        bob.listeners[stop:] = []
        Count.calls = 0
        for piece in late:
            carol.ingest([piece])
            carol.flush()
        assert Count.calls == 0
        assert carol.present("count/1").state == length + 12 * (snapshot + 1)
        assert Count.calls <= length + 24


@in_loop
async def test_a_long_stream_is_loaded_in_turns_with_all_else_that_the_loop_has_to_do():
    """Counted in turns that somebody else gets while it is folded: some for each few thousand events, not one."""
    log = MemoryLog()
    author = DirectReplica(log, "shop", "alice", (Count,), random=Random(1))
    for wall in range(12):
        author.append("count/1", [Put("", "")] * 1000, wall)
    author.flush()
    backend = MemoryBackend(log)
    async with Replica.open(store="shop", name="alice", aggregates=[Count], backend=backend) as alice:
        turns, before = list[int](), Count.calls

        async def others() -> None:
            while True:
                turns.append(Count.calls - before)
                await asyncio.sleep(0)

        task = asyncio.create_task(others())
        assert (await alice.present("count/1")).state == 12_000
        task.cancel()
        assert max(b - a for a, b in pairwise(turns)) <= 4096
