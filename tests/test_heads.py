"""Heads: whoever computes them, in whatever portions, from sealed blocks or fresh ones, they are the same."""

from __future__ import annotations

import copy
import sqlite3
from contextlib import closing
from itertools import pairwise
from random import Random
from typing import Annotated

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings

from merge.stamp import Stamp
from replica import columns
from replica.arrange import Gap
from replica.block import BLOCK_EVENTS, Head, Slice, Tail
from replica.commit import Commit, Note, Observed, Recorded
from replica.errors import InvalidBatch
from replica.layout import Layout, cut, join
from replica.reading import Reader
from replica.sqlite import SqliteLog
from replica.verify import check_block
from tests.shop import HOME, AddItem, AddTwice, ItemAdded, direct

STORE, ME = "shop", 77


def commits(seed: int, count: int) -> list[Commit]:
    """Commits of all shapes: one event and hundreds, small payloads and large, contexts, notes."""
    random = Random(seed)
    found, first, wall = [], 1, 0
    for _ in range(count):
        wall += random.randrange(1, 10_000)
        size = random.choice([1, 1, 1, 2, 5, 700])
        payload = b"\xc5" + (n := random.choice([3, 300, 60_000])).to_bytes(2, "big") + bytes(n)
        if size * len(payload) > 256 * 1024:
            size = 1
        observed = tuple(Observed(r, wall + r, random.randbytes(8)) for r in range(random.choice([0, 0, 3])))
        note = random.choice([None, None, Note(command="c", cause=(3, 4))])
        events = tuple(
            Recorded(f"list/{random.randrange(5)}", random.choice(["A", "B"]), random.randrange(3), payload)
            for _ in range(size)
        )
        found.append(Commit(ME, first, Stamp(wall, random.randrange(3), ME), observed, note, events))
        first += size
    return found


def by_block(pieces: list[Slice]) -> list[list[Slice]]:
    blocks: list[list[Slice]] = []
    for piece in pieces:
        if not blocks or blocks[-1][0].first != piece.first:
            blocks.append([])
        blocks[-1].append(piece)
    return blocks


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 60))
def test_heads_are_the_same_commit_by_commit_in_bulk_and_in_random_slices(seed, count):
    """The author's heads are what a receiver computes from whole blocks, from single commits, from any slices."""
    author = Tail(STORE, ME)
    written = commits(seed, count)
    pieces = [author.append(commit) for commit in written]
    random = Random(seed)
    bulk, slices = Tail(STORE, ME), Tail(STORE, ME)
    read: list[Commit] = []
    for block in by_block(pieces):
        decoded = bulk.read(join(block))
        read += decoded.commits
        heads = bulk.accept(join(block), decoded, frozenset(piece.last for piece in block))
        assert heads == {piece.last: piece.head for piece in block}
        while block:
            taken = random.randrange(1, len(block) + 1)
            part, block = join(block[:taken]), block[taken:]
            slices.accept(part, slices.read(part))
    assert read == written
    assert author.head == bulk.head == slices.head
    assert (author.first, author.parent) == (bulk.first, bulk.parent) == (slices.first, slices.parent)
    follow = commits(seed + 1, 1)[0]._replace(first=author.seq + 1, stamp=Stamp(1 << 40, 0, ME))
    assert author.append(follow) == bulk.append(follow) == slices.append(follow)


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 60))
def test_commits_that_are_written_down_together_are_the_same_bytes(seed, count):
    """Whatever the groups: the columns, the heads at their ends and the blocks of commit by commit."""
    author, groups = Tail(STORE, ME), Tail(STORE, ME)
    written = commits(seed, count)
    pieces = [author.append(commit) for commit in written]
    random = Random(seed)
    while written:
        fitting = groups.room_for(written[: random.randrange(1, len(written) + 1)])
        assert groups.extend(written[:fitting]) == join(pieces[:fitting])
        written, pieces = written[fitting:], pieces[fitting:]
    assert groups.head == author.head
    assert (groups.first, groups.parent, groups.events) == (author.first, author.parent, author.events)
    assert (groups.streams, groups.types, groups.payload) == (author.streams, author.types, author.payload)


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.data())
def test_a_block_can_be_cut_between_any_two_commits(seed, data):
    """The light cutter, the cutter and the author agree on every slice and every head."""
    author = Tail(STORE, ME)
    block = by_block([author.append(commit) for commit in commits(seed, 30)])[0]
    layout = Layout(STORE, join(block))
    start = data.draw(st.integers(0, len(block) - 1))
    stop = data.draw(st.integers(start + 1, len(block)))
    expected = join(block[start:stop])
    assert layout.cut(start, stop) == expected
    assert cut(join(block), start, stop, expected.base, expected.head) == expected
    assert [layout.hash_at(n + 1) for n in range(len(block))] == [piece.head for piece in block]
    assert layout.lasts == [piece.last for piece in block]
    assert sum(columns.counts(expected)) == expected.last - expected.after


def test_a_block_closes_with_the_commit_that_fills_it():
    """1,024 events or 256 KiB of payload: arithmetic on the log, wherever the commits lie."""
    tail = Tail(STORE, ME)
    full = [tail.append(c) for c in commits(3, 200)]
    for block in by_block(full)[:-1]:
        events = sum(piece.last - piece.after for piece in block)
        size = sum(len(piece.columns[-1]) for piece in block)
        last = block[-1]
        assert events >= BLOCK_EVENTS or size >= 256 * 1024
        assert events - (last.last - last.after) < BLOCK_EVENTS
        assert size - len(last.columns[-1]) < 256 * 1024


def test_who_began_to_read_before_a_block_was_sealed_reads_on(tmp_path):
    """`verify`, and a projection that is built, go by what a log was when they began; others write meanwhile."""

    def read(reader):
        checked = check_block(reader, row, 1, None)
        return reader.commits(row, 1), reader.end(row).tail.head, checked.end.tail.head, checked.differences

    with closing(sqlite3.connect(tmp_path / "log.db", isolation_level=None)) as connection:
        log = SqliteLog(connection)
        alice = direct("alice", log=log)
        for n in range(600):
            alice.execute(HOME, AddTwice(f"item {n}"), n)
            if n in (300, 599):
                alice.flush()
            if n == 300:
                row = alice.core.memory.lineages[alice.core.me].tip
                before = read(alice.reader())
        for number, first in log.unsealed():
            log.seal(number, first)
        assert not log.unsealed()
        assert alice.core.memory.lineages[alice.core.me].tip.head.seq == 1201
        assert read(Reader(log, "shop", alice.core.memory.lineages)) == before


@pytest.mark.parametrize("sealed", [False, True], ids=["fresh", "sealed"])
def test_sealed_or_not_a_file_has_the_heads_of_its_author(tmp_path, sealed):
    """The same log in memory, in a file, in a sealed file, and on a peer that got it from the file."""
    connection = sqlite3.connect(tmp_path / "log.db", isolation_level=None)
    log = SqliteLog(connection)
    alice = direct("alice", log=log)
    for n in range(400):
        alice.execute(HOME, AddTwice(f"item {n}"), n)
        alice.append(HOME, [ItemAdded("x")] * (n % 13), n) if n % 13 else None
        alice.flush()
    assert log.unsealed()
    if sealed:
        while found := log.unsealed():
            for number, first in found:
                log.seal(number, first)
    reopened = direct("alice", log=SqliteLog(connection))
    assert reopened.heads == alice.heads
    bob = direct("bob")
    assert not isinstance(bob.ingest(list(reopened.all_slices())), Gap)
    bob.flush()
    assert bob.heads == alice.heads
    assert bob.digest(HOME) == alice.digest(HOME)
    connection.close()


@settings(max_examples=25)
@given(st.data())
def test_ingest_in_any_portions_in_any_order_gives_the_same_log(data):
    """Slices of two logs that depend on each other, cut anywhere, doubled and shuffled: gaps, then the same."""
    alice, bob = direct("alice"), direct("bob")
    for turn in range(6):
        for here, there in ((alice, bob), (bob, alice)):
            here.execute(HOME, AddItem(f"{turn}"), 1000 + turn)
            here.flush()
            if data.draw(st.booleans()):
                there.ingest(list(here.all_slices()))
                there.flush()
    bob.ingest(list(alice.all_slices()))
    bob.flush()
    portions = []
    for piece in bob.all_slices():
        layout = Layout(STORE, piece)
        edges = sorted({0, piece.commits, *data.draw(st.lists(st.integers(0, piece.commits), max_size=4))})
        portions += [layout.cut(start, stop) for start, stop in pairwise(edges)]
    order = data.draw(st.permutations(portions))
    carol = direct("carol")
    for portion in [*order, *order[:2]]:
        carol.ingest([portion])
        carol.flush()
    carol.ingest(list(bob.all_slices()))
    carol.flush()
    assert carol.heads == bob.heads
    assert carol.digest(HOME) == bob.digest(HOME)
    before = copy.deepcopy(carol.log)
    carol.ingest(portions)
    carol.flush()
    assert carol.log.contents() == before.contents()


def test_the_head_depends_on_the_store_and_the_replica():
    """The same commits under another name have other heads: a log cannot be passed off as another's."""
    (commit,) = commits(1, 1)
    heads = {Tail(store, ME).append(commit).head for store in ("shop", "bank")}
    heads.add(Tail("shop", 78).append(commit._replace(replica=78)).head)
    assert len(heads) == 3
    assert Tail("shop", ME).head == Head(0, bytes(32))


@pytest.mark.parametrize(
    ("table", "column", "words"),
    [
        ([], ["a", "a"], "twice"),
        (["a"], [0, "a"], "twice"),
        ([], [0, "a"], "before it is given"),
        (["a"], [0, 1], "before it is given"),
        ([], [("", 1)], "out of bounds"),
    ],
)
def test_a_column_whose_names_break_a_rule_is_refused(table, column, words):
    """A name is given once, before it is used."""
    piece = Slice(ME, 1, 0, 9, 9, bytes(32), bytes(32), (b"",) * 8)
    with pytest.raises(InvalidBatch, match=words):
        columns.named(piece, table, column)


ELEMENTS = st.lists(
    st.one_of(
        st.just(0),
        st.just(1),
        st.text("a\x00", max_size=3),
        st.tuples(st.text("a\x00", max_size=2), st.integers(0, 2)),
    ),
    min_size=1,
    max_size=5,
)


@given(ELEMENTS, st.integers(1, 6), st.binary(max_size=2) | st.just(b""))
def test_columns_that_are_read_in_short_come_to_what_they_are(values, events, more):
    """One name and zeros behind it, or a one for each commit: as if element after element had been decoded."""
    data = columns.elements(values) + more
    for index, read, kind in (
        (columns.COUNT, columns.counts, list[Annotated[int, msgspec.Meta(ge=1)]]),
        (columns.STREAM, columns.streams, list[columns.Uint64 | columns.Name]),
        (columns.TYPE, columns.types, list[int | tuple[str, int]]),
    ):
        held = tuple(data if at == index else b"" for at in range(8))
        piece = Slice(ME, 1, 0, events, events, bytes(32), bytes(32), held)
        try:
            want = msgspec.msgpack.decode(columns.array(events, data), type=kind)
        except msgspec.DecodeError:
            with pytest.raises(msgspec.DecodeError):
                read(piece)
        else:
            assert read(piece) == want
