"""Verifying: it names whatever is not what the log comes to, and holds little of it at a time."""

from __future__ import annotations

import asyncio
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings

from replica import verify
from replica.backend import MemoryBackend
from replica.direct import DirectReplica
from replica.log import Span, Transaction
from replica.memory import MemoryLog
from replica.ordered import RECENT, Trail
from replica.reading import Blocks
from replica.refold import Refold
from replica.snapshot import KIND, _digest, read
from tests.histories import STEPS, direct, play
from tests.shop import HOME, JOURNAL, ItemAdded, Noted, ShoppingList
from tests.test_exact import Held, Shelf, Told, Word
from tests.test_projections import Items
from tests.test_projections import direct as direct_with_tables

NOTHING = Transaction([], [], [], [], {}, None, False)


def verified(replica: DirectReplica, *streams: str) -> verify.Verified:
    replica.flush()
    return asyncio.run(verify.Verifier(replica.core, MemoryBackend(replica.log)).run(streams))


@settings(max_examples=30, deadline=None)
@given(STEPS, st.integers(1, 9), st.integers(1, 3), st.integers(0, 9), st.integers(0, 9))
def test_nothing_differs_whatever_the_history_and_however_little_is_held(steps, portion, together, most, events):
    """A false alarm would have somebody throw away what is right. Snapshots are taken and folded past all along."""
    replicas = play(steps)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("PORTION", portion), ("TOGETHER", together), ("MOST", most), ("EVENTS", events)):
            patch.setattr(verify, name, value)
        for replica in replicas:
            held = {stream for stream in replica.log._streams if stream in (HOME, JOURNAL)}
            found = verified(replica)
            assert found.differences == ()
            assert found.streams == len(held)
            assert found.snapshots == len(replica.log.kept(Span(KIND)))


class Counting(MemoryLog):
    """Counts the blocks that are read."""

    reads = 0

    def block(self, number, seq):
        self.reads += 1
        return super().block(number, seq)


def test_blocks_are_read_a_bounded_number_of_times_however_many_streams_lie_in_them():
    """Once for their hashes, once for the streams in them. A hundred thousand streams would never be done."""
    replica = direct("alice", Counting(), aggregates=(ShoppingList,))
    for number in range(700):
        for turn in range(3):
            replica.append(f"list/{number}", [ItemAdded(f"{turn}")], 1 + number)
    replica.flush()
    blocks = sum(map(len, replica.log._starts.values()))
    replica.log.reads = 0
    found = verified(replica)
    assert (found.streams, found.differences) == (700, ())
    assert replica.log.reads <= 4 * blocks


def test_a_long_stream_is_folded_a_portion_at_a_time(monkeypatch):
    """What is held of it does not grow with it: neither commits, nor the events of an ordered fold."""
    replica = direct("alice", every=1 << 30)
    for number in range(80):
        replica.append(JOURNAL, [Noted(f"{number}/{n}") for n in range(100)], 1 + number)
        replica.append(HOME, [ItemAdded(f"{n}") for n in range(100)], 1 + number)
    commits, events, held = [], [], []
    monkeypatch.setattr(Blocks, "add", lambda self, row, opened: held.append(opened.piece.first))

    def take(self: Refold, some: Any) -> Any:
        commits.append(sum(len(commit.events) for commit, _ in some))
        reached = plainly(self, some)
        for one in self.streams.values():
            if isinstance(one.fold, Trail):
                events.append(len([*one.fold.events]))
        return reached

    plainly = Refold.take
    monkeypatch.setattr(Refold, "take", take)
    assert verified(replica, JOURNAL)
    assert verified(replica, HOME, JOURNAL)
    assert sum(commits) == 8_000 + 16_000
    assert max(commits) < verify.PORTION + 100
    assert max(events) <= 2 * RECENT + verify.PORTION
    assert held == []


def test_a_stream_whose_late_events_had_not_seen_what_was_let_go_is_folded_whole():
    """Bob was away, and what he writes asks for what alice wrote at once with him, long before."""
    alice, bob = direct("alice", every=1 << 30), direct("bob", every=1 << 30)
    for number in range(60):
        alice.append(JOURNAL, [Noted(f"{number}/{n}") for n in range(100)], 1 + number)
    bob.append(JOURNAL, [Noted("late")], 5000)
    bob.flush()
    alice.ingest(list(bob.all_slices()))
    alice.flush()
    assert alice.present(JOURNAL).state[-1] == ("late", 6000)
    found = verified(alice)
    assert (found.streams, found.differences) == (1, ())


def forge(replica: DirectReplica, stream: str, change: Any) -> None:
    """Write the snapshots of a stream anew, with other folds under right digests."""
    aggregate = replica.core.aggregate_of(stream)
    for kept in replica.log.kept(Span(KIND, f"{len(stream)}\n{stream}\n", f"{len(stream)}\n{stream}\n~")):
        held = read(kept)
        plain = change(aggregate.codec(), msgspec.msgpack.decode(held.fold))
        data = msgspec.msgpack.encode(msgspec.structs.replace(held, fold=msgspec.msgpack.encode(plain)))
        replica.log.write(NOTHING._replace(keep=(kept._replace(value=_digest(kept.key, data) + data),)))


@pytest.mark.parametrize(
    ("said", "forged", "where"),
    [
        (["dict", "b", "a"], lambda v: dict(reversed(v.items())), "its keys, in their order"),
        (["word"], lambda v: "yes", "Word.YES"),
        (["tuple", 1], lambda v: [1], "(tuple)"),
        (True, lambda v: 1, "True (bool)"),
        (["zero"], lambda v: 0.0, "-0.0"),
        (["size", 1], lambda v: type(v)([1.0]), ".width[0]"),
        (["label"], lambda v: "[]", "(Label)"),
        (["frozenset", 1], lambda v: {1}, "(frozenset)"),
    ],
)
def test_a_snapshot_that_equals_what_the_log_comes_to_and_is_not_the_same_is_named(said, forged, where):
    """Whoever goes on from it sees another type or another order than everybody else."""
    replica = direct("alice", every=2, aggregates=(Held, Shelf))
    for number in range(5):
        for stream in ("held/1", "shelf/1"):
            replica.append(stream, [Told("z", said)], 1 + number)
        replica.snapshot()
    assert verified(replica).differences == ()

    def in_state(codec, plain):
        return codec.pack({"z": forged(codec.unpack(plain)["z"])})

    def in_register(codec, plain):
        (rows,) = [node for key, node in plain[3] if key == "last"]
        rows[0][0][4] = codec.pack(forged(codec.unpack(rows[0][0][4])))
        return plain

    forge(replica, "held/1", in_state)
    forge(replica, "shelf/1", in_register)
    found = verified(replica)
    for stream, place in (("held/1", "state['z']"), ("shelf/1", "last")):
        (first, *_) = [one for one in found.differences if one.startswith(f"{stream}: the snapshot of")]
        assert place in first
        assert where in first


def test_a_present_in_memory_that_equals_and_is_not_the_same_is_named():
    """As it would be if a fold went on from such a snapshot."""
    replica = direct("alice", every=1 << 30, aggregates=(Held,))
    replica.append("held/1", [Told("z", ["word"])], 1)
    assert verified(replica, "held/1")
    memory = replica.core.memory
    trail = memory.presents["held/1"]
    assert trail.state == {"z": "yes"} == {"z": Word.YES}
    memory.presents = memory.presents.set("held/1", trail._replace(state={"z": "yes"}))
    (found,) = verified(replica, "held/1").differences
    assert "present in memory" in found
    assert "state['z']" in found


def test_rows_of_one_stream_are_read_without_those_of_others():
    """And those that do not follow from the log are named, stream by stream."""
    replica = direct_with_tables("alice", projections=[Items])
    for number in range(5):
        replica.append(f"list/{number}", [ItemAdded("milk")], 1 + number)
    replica.flush()
    replica.build()
    assert verified(replica).differences == ()
    assert [row[0] for row in replica.log.rows("items", "list/3")] == ["list/3"]
    replica.log._tables["items"]["list/3",] = []
    assert verified(replica).differences == (
        "list/3: the rows in items differ from those that follow from its log",
    )
