"""What is read from a log for a peer: which commits, in what order, and in whose bytes."""

from __future__ import annotations

import sqlite3
from itertools import combinations

import hypothesis.strategies as st
import pytest
import zstandard
from hypothesis import given, settings

from replica.block import Head, Slice, Tail
from replica.commit import Commit
from replica.direct import DirectReplica
from replica.meeting import compare, frontier_of, note
from replica.outgoing import MAX_SLICES, collect
from replica.packed import MAX_UNPACKED, Packed, bytes_of, pack, unpack
from replica.reading import Blocks, Reader
from replica.sqlite import SqliteLog
from sync.errors import RemoteProtocolError
from sync.message import MAX_BATCH, Batch, decode, encode
from sync.testing.network import NOW, Network
from tests.histories import STEPS, play
from tests.shop import HOME, ItemAdded, direct


@pytest.fixture
def small_blocks(monkeypatch) -> None:
    """Blocks of five events, so that short histories have many."""
    for module in ("block", "memory", "reading"):
        monkeypatch.setattr(f"replica.{module}.BLOCK_EVENTS", 5)


def commits_of(pieces: list[Slice], tails: dict[int, Tail]) -> list[Commit]:
    """The commits in some slices that go on from `tails`, which move on."""
    found = []
    for piece in pieces:
        tail = tails.setdefault(piece.replica, Tail("shop", piece.replica))
        decoded = tail.read(piece)
        tail.accept(piece, decoded)
        found += decoded.commits
    return found


BUDGET = st.sampled_from([1, 90, 300, 1000, 1 << 20])


@pytest.mark.usefixtures("small_blocks")
@settings(max_examples=150)
@given(STEPS, st.integers(0, 2), BUDGET, st.sampled_from([1, 2, 4, MAX_SLICES]), st.integers(900, 1500))
def test_a_batch_is_all_that_is_missing_up_to_a_stamp(steps, who, budget, most, horizon):
    """The oracle sorts all commits by their stamps: batches are stretches of that, within all bounds."""
    source = play(steps)[who]
    held = commits_of([*source.all_slices()], {})
    waiting = sorted((c for c in held if c.stamp.wall <= horizon), key=lambda commit: commit.stamp)
    theirs: dict[int, tuple[Head, ...]] = {}
    tails: dict[int, Tail] = {}
    more = True
    while more:
        wants = compare(source.core.frontier.heads, theirs)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("replica.outgoing.MAX_SLICES", most)
            found = collect(source.reader(), wants, horizon, budget)
        batch = sorted(commits_of(found.slices, tails), key=lambda commit: commit.stamp)
        assert batch == waiting[: len(batch)]
        assert batch or not waiting
        assert len(batch) == 1 or sum(piece.size for piece in found.slices) <= budget
        assert len(found.slices) <= most
        waiting = waiting[len(batch) :]
        assert found.beyond == sum(len(c.events) for c in held if c.stamp.wall > horizon) or waiting
        more = found.more
        for piece in found.slices:
            note(theirs, piece)
    assert not waiting


@settings(max_examples=60)
@given(STEPS)
def test_a_frontier_that_moves_is_that_of_the_logs_as_they_are(steps):
    """The oracle adds up all heads anew. Equal heads have equal digests, and others do not."""
    replicas = play(steps)
    for one in replicas:
        assert one.core.frontier == frontier_of(one.core.memory.lineages)
    for one, other in combinations(replicas, 2):
        assert (one.core.frontier.digest == other.core.frontier.digest) == (one.heads == other.heads)


def filed(name: str) -> tuple[DirectReplica, sqlite3.Connection]:
    db = sqlite3.connect(":memory:", isolation_level=None)
    return direct(name, log=SqliteLog(db)), db


def test_who_relays_a_block_stores_and_sends_the_bytes_that_it_was_sent():
    """From file to link to file to link to file: one and the same frame of zstd, made by its author."""
    nodes = {name: filed(name) for name in ("a", "b", "c")}
    alice = nodes["a"][0]
    for turn in range(30):
        alice.append(HOME, [ItemAdded(f"{turn} {n}") for n in range(100)], NOW + turn)
        alice.flush()
    for block in alice.log.unsealed():
        alice.log.seal(*block)
    network = Network("abc", ["ab", "bc"], lambda name, *_: nodes[name][0])
    network.heal("ab")
    network.settle()
    network.heal("bc")
    network.settle()
    query = "SELECT first, sealed FROM block WHERE sealed IS NOT NULL ORDER BY first"
    mine, *others = [db.execute(query).fetchall() for _, db in nodes.values()]
    assert len(mine) == 2
    assert all(data[:1] == b"\x28" for _, data in mine)
    assert others == [mine, mine]
    for _, data in mine:
        assert encode(Batch(1, 1, [unpack(data)])).count(data) == 1


def test_a_batch_is_encoded_as_it_is_though_one_with_the_same_list_was_encoded_before():
    """What goes out on many links is encoded once, and a list may have changed meanwhile."""
    tiny = [Slice(n, 1, 0, 1, 1, bytes(32), bytes(32), (b"\x01",) * 8) for n in (1, 2)]
    slices = tiny[:1]
    first = encode(Batch(1, 1, slices))
    assert encode(Batch(2, 1, list(slices)))[3:] == first[3:]
    slices.append(tiny[1])
    assert decode(encode(Batch(1, 1, slices))).slices == tiny
    slices[0] = tiny[1]
    assert decode(encode(Batch(1, 1, slices))).slices == [tiny[1], tiny[1]]


def test_packing_changes_nothing_and_is_done_once():
    """Small slices stay as they are."""
    alice = direct("alice")
    alice.append(HOME, [ItemAdded(f"{n}") for n in range(2000)], NOW)
    alice.flush()
    *_, large = alice.all_slices()
    packed = pack(large)
    assert isinstance(packed, Packed)
    assert pack(packed) is packed
    assert packed.columns == large.columns
    assert len(bytes_of(packed)) < large.size / 2
    tiny = Slice(1, 1, 0, 1, 1, bytes(32), bytes(32), (b"\x01",) * 8)
    assert pack(tiny) is tiny
    assert unpack(bytes_of(tiny)) == tiny


def packed_batch(*parts: bytes) -> bytes:
    """The frame of a batch with these for its slices."""
    batch = b"\x94\x02\x01\x01" + bytes((0x90 | len(parts),))
    return batch + b"".join(b"\xc6" + len(part).to_bytes(4, "big") + part for part in parts)


def test_a_batch_that_would_need_more_room_than_it_may_is_refused_before_there_is_any():
    """One frame that is a bomb, several that are too much together, and one with something behind its end."""
    compress = zstandard.ZstdCompressor().compress
    large = Slice(1, 1, 0, 9, 9, bytes(32), bytes(32), (bytes(MAX_BATCH // 10),) + (b"",) * 7)
    half = bytes_of(large)
    assert len(decode(packed_batch(half, half)).slices) == 2
    for parts in ([half] * 11, [compress(bytes(MAX_UNPACKED))], [half + b"more"], [b""], [half[:-9]]):
        with pytest.raises(RemoteProtocolError) as error:
            decode(packed_batch(*parts))
        assert error.value.kind == "unreadable"


def test_commits_of_one_moment_go_in_batches_as_full_as_those_of_many():
    """A device without a clock writes all at one wall time, and counts: a batch can end between any two of them."""
    alice = direct("alice")
    for n in range(200):
        alice.append(HOME, [ItemAdded(f"{n}")], NOW)
    alice.flush()
    theirs: dict[int, tuple[Head, ...]] = {}
    sizes = []
    more = True
    while more:
        found = collect(alice.reader(), compare(alice.core.frontier.heads, theirs), NOW, 500)
        for piece in found.slices:
            note(theirs, piece)
        sizes.append(sum(piece.size for piece in found.slices))
        more = found.more
    assert sum(sizes[:-1]) > 0.9 * 500 * len(sizes[:-1])


def test_of_how_blocks_lie_only_so_much_is_remembered(monkeypatch):
    """Of the logs that were looked at first it is let go; and no more of it is believed once a log has grown."""
    monkeypatch.setattr("replica.reading.LAID_OUT", 20)
    authors = [direct(f"{n}") for n in range(9)]
    hub = direct("hub")
    for author in authors:
        for n in range(4):
            author.append(HOME, [ItemAdded(f"{n}")], NOW)
        author.flush()
        hub.ingest([*author.all_slices()])
        hub.flush()
    blocks = Blocks()
    reader = Reader(hub.log, "shop", hub.core.memory.lineages, blocks)
    rows = [reader.lineages[author.core.me].tip for author in authors]
    held = []
    for row in rows:
        assert reader.layout(row, 1).piece.last == row.head.seq
        held.append(sum(blocks.layout(one, 1) is not None for one in rows))
        assert blocks.layout(row, 1) is not None
    assert held[:3] == [1, 2, 3]
    assert max(held) == 4
    authors[-1].append(HOME, [ItemAdded("more")], NOW)
    authors[-1].flush()
    hub.ingest([*authors[-1].all_slices()])
    hub.flush()
    grown = hub.core.memory.lineages[authors[-1].core.me].tip
    again = Reader(hub.log, "shop", hub.core.memory.lineages, blocks)
    assert again.layout(grown, 1).piece.last == grown.head.seq == rows[-1].head.seq + 1


def test_a_log_of_many_blocks_goes_in_few_cuts():
    """Whole blocks go as they are: of one log a batch cuts one block at each of its ends."""
    alice = direct("alice")
    for turn in range(60):
        alice.append(HOME, [ItemAdded(f"{turn} {n} {'x' * 40}") for n in range(1000)], NOW + turn)
        alice.flush()
    theirs: dict[int, tuple[Head, ...]] = {}
    cuts = blocks = 0
    more = True
    while more:
        found = collect(alice.reader(), compare(alice.core.frontier.heads, theirs), NOW + 100, 1 << 20)
        for piece in found.slices:
            note(theirs, piece)
            blocks += 1
            cuts += not piece.is_full
        more = found.more
    assert theirs == {alice.core.me: (Head(*alice.heads[0][1]),)}
    assert blocks >= 30
    assert cuts <= 2 * 4 + 1
