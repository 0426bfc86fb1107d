"""The acceptance suite of the log port: what every backend must hold, as tests to be inherited.

    class TestMyLog(LogConformance):
        def open(self):
            return MyLog(...)          # the same store each time: what was written before is in it

Test runners find the methods by their names; nothing but `assert` is used.
"""

from __future__ import annotations

from random import Random

import msgspec

from merge.stamp import Stamp
from replica.block import BLOCK_EVENTS, Head, Slice, Tail
from replica.commit import Commit, Observed, Recorded
from replica.layout import join
from replica.log import Block, BlockStart, Done, Identity, Kept, Log, LogRow, Span, Table, Transaction

STREAM = "list/home"


class Author:
    """Writes the commits of one log, and remembers the blocks that they must lie in."""

    def __init__(self, number: int) -> None:
        self.number, self.replica = number, 1000 + number
        self.tail = Tail("shop", self.replica)
        self.stamp: Stamp | None = None
        self.named: tuple[Observed, ...] = ()
        self.blocks: list[Block] = []
        self.random = Random(number)

    @property
    def row(self) -> LogRow:
        assert self.stamp is not None
        return LogRow(self.number, self.replica, "author", self.tail.head, self.stamp)

    def write(self, events: int = 1, stream: str = STREAM, size: int = 4) -> Transaction:
        """The transaction of one commit with so many events, of about `size` bytes each."""
        tail = self.tail
        wall = self.random.randrange(1, 1000) + (self.stamp.wall if self.stamp else 0)
        starts = []
        if tail.seq + 1 == tail.first:
            starts.append(BlockStart(self.number, tail.first, tail.hash, self.stamp, self.named))
            self.blocks.append(Block(starts[0], []))
        self.stamp = Stamp(wall, 0, self.replica)
        self.named = (Observed(7, wall, bytes(8)),)
        payload = msgspec.msgpack.encode(bytes(size))
        recorded = (Recorded(stream, "Added", 1, payload),) * events
        piece = tail.append(Commit(self.replica, tail.seq + 1, self.stamp, self.named, None, recorded))
        self.blocks[-1].slices.append(piece)
        return Transaction(
            [self.row], starts, [(self.number, piece)], [(stream, self.number, piece.first)], {("Added", 1): events}
        )


class LogConformance:
    """Inherit, and say how to open the log that is to be tested."""

    def open(self) -> Log:
        """The log over the store of this test, opened (again)."""
        raise NotImplementedError

    def holds(self, log: Log, *authors: Author) -> None:
        """Everything that the authors wrote is there, block by block and seq by seq; and nothing else."""
        rows = {row.number: row for row in log.contents().logs}
        assert rows == {author.number: author.row for author in authors}
        for author in authors:
            for expected in author.blocks:
                piece = join(expected.slices)
                for seq in {piece.first, (piece.first + piece.last) // 2, piece.last}:
                    block = log.block(author.number, seq)
                    assert block is not None
                    assert block.start == expected.start
                    assert join(block.slices) == piece
            assert log.block(author.number, author.tail.seq + 1) is None

    def test_a_new_log_is_empty(self) -> None:
        """No identity, no logs, no types, no blocks."""
        log = self.open()
        contents = log.contents()
        assert (contents.identity, contents.logs, contents.types) == (None, [], {})
        assert log.block(1, 1) is None
        assert log.blocks_of(STREAM) == []
        assert log.unsealed() == []

    def test_what_is_written_is_there_after_it_is_opened_again(self) -> None:
        """Rows, blocks, streams and types outlive the object, slice by slice."""
        log, author = self.open(), Author(1)
        for events in (1, 3, 2):
            log.write(author.write(events))
            self.holds(log, author)
        log.close()
        log = self.open()
        self.holds(log, author)
        assert log.contents().types == {("Added", 1): 6}
        assert log.blocks_of(STREAM) == [(1, 1)]

    def test_an_identity_is_kept_as_it_was_last_written(self) -> None:
        """The latest one counts, with all that it says."""
        log = self.open()
        for identity in (Identity("shop", 5, "alice", (b"1",)), Identity("shop", 6, "al", (b"1", b"2"), False, 5)):
            log.write(Transaction([], [], [], [], {}, identity))
            assert log.contents().identity == identity
        log.close()
        assert self.open().contents().identity == identity

    def test_blocks_of_several_logs_lie_beside_each_other(self) -> None:
        """Two logs, several blocks each, written in turns."""
        log, one, two = self.open(), Author(1), Author(2)
        for _ in range(6):
            log.write(one.write(600))
            log.write(two.write(1, size=150_000))
        assert len(one.blocks) == 3
        assert len(two.blocks) == 3
        self.holds(log, one, two)
        assert sorted(log.blocks_of(STREAM)) == sorted(
            (author.number, block.start.first) for author in (one, two) for block in author.blocks
        )

    def test_sealing_changes_no_event_and_no_head(self) -> None:
        """Full blocks are offered for sealing until they are sealed; what they hold stays the same."""
        log, author = self.open(), Author(1)
        for _ in range(5):
            log.write(author.write(500))
        full = [block for block in author.blocks if join(block.slices).last < author.tail.seq]
        assert full
        found = list(log.unsealed())
        assert found == sorted((1, block.start.first) for block in full)
        for index, one in enumerate(found):
            assert list(log.unsealed(one)) == found[index + 1 :], "one that is left out hides no other"
        for number, first in found:
            log.seal(number, first)
            self.holds(log, author)
        assert log.unsealed() == []
        for block in full:
            kept = log.block(1, block.start.first)
            assert kept is not None
            assert len(kept.slices) == 1
        log.close()
        log = self.open()
        self.holds(log, author)
        log.write(author.write(2))
        self.holds(log, author)

    def test_a_whole_block_may_come_at_once(self) -> None:
        """From a peer a block arrives as one slice, with others after it in the same transaction."""
        log, author = self.open(), Author(1)
        parts = [author.write(512) for _ in range(5)]
        pieces: list[tuple[int, Slice]] = [(1, join(block.slices)) for block in author.blocks]
        starts = [start for part in parts for start in part.starts]
        streams = [(STREAM, 1, block.start.first) for block in author.blocks]
        log.write(Transaction([author.row], starts, pieces, streams, {("Added", 1): 2560}, None, False))
        self.holds(log, author)
        assert log.unsealed() == []
        log.write(author.write(1))
        self.holds(log, author)

    def test_a_begun_block_is_filled_by_a_transaction_that_brings_whole_ones(self) -> None:
        """A few commits are there; what comes next fills their block, and ends with a block that came whole."""
        log, author = self.open(), Author(1)
        log.write(author.write(100))
        parts = [author.write(1024), author.write(1024)]
        starts = [start for part in parts for start in part.starts]
        slices = [piece for part in parts for piece in part.slices]
        log.write(Transaction([author.row], starts, slices, [], {("Added", 1): 2048}, None, False))
        for _ in range(2):
            assert [row.head for row in log.contents().logs] == [author.tail.head]
            assert log.contents().types == {("Added", 1): 2148}
            self.holds(log, author)
            for number, first in log.unsealed():
                log.seal(number, first)
        log.close()
        log = self.open()
        self.holds(log, author)
        assert log.contents().types == {("Added", 1): 2148}

    def test_a_command_is_found_by_its_id(self) -> None:
        """The commit that it led to, also after the log is opened again; nothing for an id that was never used.

        What was carried out here stands apart from what was heard of in some stream, of which the first stays.
        """
        log, author = self.open(), Author(1)
        transaction = author.write(3)
        assert author.stamp is not None
        done = Done("pay 17", 1, 3, author.stamp, intent=b"for this")
        heard = Done("pay 17", 2, 2, author.stamp, STREAM)
        later = Done("pay 17", 3, 3, author.stamp, STREAM, cause=(1, 2))
        log.write(transaction._replace(commands=(Done("pay 17", 1, 1, author.stamp), heard, later, done)))
        log.close()
        log = self.open()
        assert log.command("pay 17") == done
        assert log.command("pay 17", STREAM) == heard
        assert log.command("pay 17", "list/other") is None
        assert log.command("pay 18") is None

    def test_what_is_kept_beside_the_log_is_found_by_its_key(self) -> None:
        """Replaced, found by spans in the order of their keys, let go by spans; kinds do not mix."""
        log = self.open()
        kept = [Kept("a", key, key.encode()) for key in ("x", "xa", "xé", "y\0z")]
        nothing = Transaction([], [], [], [], {}, None, False)
        log.write(nothing._replace(keep=(*kept, Kept("b", "x", b"other"))))
        log.write(nothing._replace(keep=(Kept("a", "xa", b"new"),), forget=(Span.one("a", "x"), Span("c"))))
        log.close()
        log = self.open()
        assert log.kept(Span("a")) == [Kept("a", "xa", b"new"), *kept[2:]]
        assert log.kept(Span("a"), latest=2) == kept[2:]
        assert log.kept(Span("b"), latest=2) == [Kept("b", "x", b"other")]
        assert log.kept(Span("a", "xa", "y")) == [Kept("a", "xa", b"new"), kept[2]]
        assert log.kept(Span("b")) == [Kept("b", "x", b"other")]
        log.write(nothing._replace(keep=(Kept("a", "p", b"stays"),), forget=(Span("a"),)))
        assert log.kept(Span("a")) == [Kept("a", "p", b"stays")]

    def test_the_tables_that_are_there_are_told_when_it_is_opened(self) -> None:
        """With their columns, indexes and views; a table that is being built has none of these yet."""
        table = Table("items", (("stream", str), ("n", int)), (("item", str),), (("item",),), (("v", "SELECT 1"),))
        log = self.open()
        nothing = Transaction([], [], [], [], {}, None, False)
        log.write(nothing._replace(begin=(table._replace(name="items__new"),)))
        assert not table.made_of.items() <= log.contents().tables.items()
        log.write(nothing._replace(switch=(("items__new", table),)))
        log.close()
        made = self.open().contents().tables
        assert made.items() >= table.made_of.items() == {
            "items": ("stream key", "n key", "item"), "items_by_item": (), "v": ()
        }.items()  # fmt: skip

    def test_a_transaction_that_fails_leaves_nothing(self) -> None:
        """Something in it cannot be stored: none of it is."""
        log, author = self.open(), Author(1)
        log.write(author.write(3))
        before = log.contents()
        other = Author(2)
        bad = other.write(1)._replace(slices=[(2, None)])  # type: ignore[list-item]
        try:
            log.write(bad)
        except Exception:
            assert log.contents() == before
            self.holds(log, author)
            assert log.block(2, 1) is None
        else:
            raise AssertionError("a slice that is none was written")

    def test_a_stream_leads_to_its_blocks_alone(self) -> None:
        """Each stream names the blocks that hold events of it, once."""
        log, author = self.open(), Author(1)
        log.write(author.write(BLOCK_EVENTS, stream="list/work"))
        log.write(author.write(1))
        log.write(author.write(1))
        assert log.blocks_of("list/work") == [(1, 1)]
        assert log.blocks_of(STREAM) == [(1, BLOCK_EVENTS + 1)]
        assert log.blocks_of("list/nobody") == []

    def test_a_log_that_parts_from_another_says_so(self) -> None:
        """The row of a second history keeps where it parts, and by which commits."""
        log, author = self.open(), Author(1)
        log.write(author.write(3))
        row = LogRow(2, author.replica, "author", Head(9, b"9" * 32), Stamp(5, 1, author.replica), 1, 2, b"a", b"b")
        log.write(Transaction([row], [], [], [], {}))
        log.close()
        assert self.open().contents().logs == [author.row, row]
