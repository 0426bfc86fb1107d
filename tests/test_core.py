"""The core of a replica: decide, number, stamp, evolve, ingest; driven directly, without a loop."""

from __future__ import annotations

import copy

import pytest

from replica.arrange import Gap
from replica.block import GENESIS, Head
from replica.errors import InvalidBatch, InvalidEvent, Refused, UnknownStream
from replica.event import Event
from replica.outgoing import Want, collect
from sync.testing.disk import Disk
from tests.shop import HOME, AddItem, AddTwice, Count, GiveTitle, ItemAdded, RemoveItem, ShoppingList, Write, direct


def exchange(*replicas):
    for here in replicas:
        for there in replicas:
            if here is not there:
                assert not isinstance(here.ingest(list(there.all_slices())), Gap)
                here.flush()


def test_two_replicas_that_exchange_their_logs_have_the_same_present_and_heads():
    """Concurrent adds, a register, a counter and a text come out alike on both sides."""
    alice, bob = direct("alice"), direct("bob")
    for replica, item in ((alice, "milk"), (bob, "eggs")):
        replica.execute(HOME, AddItem(item), 1000)
        replica.execute(HOME, GiveTitle(item), 1000)
        replica.execute(HOME, Count(2), 1000)
        replica.execute(HOME, Write(item), 1000)
        replica.flush()
    exchange(alice, bob)
    assert alice.heads == bob.heads
    assert alice.digest(HOME) == bob.digest(HOME)
    home = alice.present(HOME)
    assert set(home.items) == {"milk", "eggs"}
    assert home.count.value == 4
    assert sorted(str(home.note)) == sorted("milkeggs")


def test_a_refused_command_leaves_no_trace():
    """Refused: no event, no seq, no change of the head."""
    alice = direct("alice")
    alice.execute(HOME, AddItem("milk"), 1)
    alice.flush()
    heads = alice.heads
    with pytest.raises(Refused, match="needs a name"):
        alice.execute(HOME, AddItem(""), 2)
    alice.flush()
    assert alice.heads == heads


def test_the_first_commit_of_a_log_is_its_introduction():
    """Seq 1 is the introduction, and the first command's event is seq 2."""
    alice = direct("alice")
    committed = alice.execute(HOME, AddItem("milk"), 1)
    alice.flush()
    assert [dot.seq for dot in committed.dots] == [2]
    assert str(committed.dots[0]) == "alice:2"


def test_a_commit_of_two_events_is_numbered_without_a_gap_and_shares_one_stamp():
    """One decision, two events, one stamp."""
    alice = direct("alice")
    committed = alice.execute(HOME, AddTwice("egg"), 1)
    alice.flush()
    assert [dot.seq for dot in committed.dots] == [2, 3]
    assert set(alice.present(HOME).items) == {"egg", "egg'"}


def test_an_event_that_the_origin_cannot_encode_is_refused_at_its_own_door():
    """NaN, wrong types and foreign event classes never enter a log."""
    alice = direct("alice")

    class Stranger(Event, frozen=True):
        x: int

    alice.execute(HOME, AddItem("milk"), 1)
    alice.flush()
    heads = alice.heads
    for event in (ItemAdded(3), ItemAdded("\ud800"), Stranger(1)):  # type: ignore[arg-type]
        with pytest.raises(InvalidEvent, match="was not recorded"):
            alice.append(HOME, [event], 1)
    with pytest.raises(UnknownStream, match="kept and forwarded"):
        alice.append("nobody/home", [ItemAdded("x")], 1)
    with pytest.raises(InvalidEvent, match="Nothing was recorded"):
        alice.append(HOME, [ItemAdded("x" * 1000)] * 300, 1)
    alice.flush()
    assert alice.heads == heads


def test_ingest_is_idempotent_and_a_gap_is_reported_not_raised():
    """A batch a second time changes nothing; a batch that stands on nothing is a gap."""
    alice, bob = direct("alice"), direct("bob")
    for n in range(3000):
        alice.execute(HOME, AddItem(f"item {n % 7}"), n)
    alice.flush()
    slices = list(alice.all_slices())
    assert bob.ingest(slices).events == 3001
    bob.flush()
    assert bob.ingest(slices).events == 0
    carol = direct("carol")
    gap = carol.ingest(slices[1:])
    assert isinstance(gap, Gap)
    assert carol.heads == []


def test_a_restarted_replica_goes_on_where_it_stopped():
    """All that matters is in the log: a new core over it has the same version, head and present."""
    alice = direct("alice")
    for n in range(50):
        alice.execute(HOME, AddItem(f"item {n}"), n)
        alice.flush()
    again = direct("alice", log=alice.log)
    assert again.heads == alice.heads
    assert again.digest(HOME) == alice.digest(HOME)
    again.execute(HOME, AddItem("more"), 99)
    again.flush()
    assert again.core.memory.version[again.core.me] == 52


def test_two_histories_under_one_id_are_both_kept_and_all_fold_the_same_one():
    """A copied log that both sides continue: after the meeting, equal heads, equal presents, two new ids."""
    alice = direct("alice")
    witness = direct("witness")
    for n in range(5):
        alice.execute(HOME, AddItem(f"item {n}"), n)
    alice.flush()
    copied = direct("alice", seed=1, log=copy.deepcopy(alice.log))
    assert copied.core.me == alice.core.me
    old = alice.core.me
    alice.execute(HOME, AddItem("left"), 10)
    alice.flush()
    copied.execute(HOME, AddItem("right"), 10)
    copied.execute(HOME, RemoveItem("item 1"), 10)
    copied.flush()
    witness.ingest(list(copied.all_slices()))
    witness.flush()
    witness.execute(HOME, AddItem("seen"), 11)
    witness.flush()
    exchange(alice, copied, witness)
    assert alice.core.me != old
    assert copied.core.me != old
    for replica in (alice, copied):
        replica.execute(HOME, AddItem("again"), 20)
        replica.flush()
    exchange(alice, copied, witness)
    exchange(alice, copied, witness)
    assert alice.heads == copied.heads == witness.heads
    assert alice.digest(HOME) == copied.digest(HOME) == witness.digest(HOME)
    items = set(witness.present(HOME).items)
    assert ("left" in items) != ("right" in items)
    assert {"seen", "again"} <= items


def test_a_doubt_that_could_not_be_written_is_heard_again():
    """Found by seed 689: the disk was full when a copy showed itself, and the id was gone on with ever after."""
    log = Disk()
    alice = direct("alice", log=log)
    alice.execute(HOME, AddItem("milk"), 1000)
    alice.flush()
    me = alice.core.me
    log.fails = "full"
    with pytest.raises(OSError, match="no space"):
        alice.doubt()
    assert alice.core.me == me
    log.fails = None
    alice.doubt()
    assert alice.core.me != me
    again = alice.core.me
    alice.doubt()
    assert alice.core.me == again  # a claim costs a peer nothing: it is heard once


def test_events_of_a_type_that_the_code_does_not_know_are_kept_and_forwarded():
    """A replica without the aggregate relays its events to one that has it."""
    alice, relay, carol = direct("alice"), direct("relay", aggregates=()), direct("carol")
    alice.execute(HOME, AddItem("milk"), 1)
    alice.flush()
    relay.ingest(list(alice.all_slices()))
    relay.flush()
    carol.ingest(list(relay.all_slices()))
    carol.flush()
    assert carol.digest(HOME) == alice.digest(HOME)
    learned = direct("relay", log=relay.log, aggregates=(ShoppingList,))
    assert learned.digest(HOME) == alice.digest(HOME)


def test_events_that_are_called_like_anabranchs_own_are_refused_when_the_replica_is_opened():
    """They would not be told apart where they are counted."""

    class ReplicaIntroduced(Event, frozen=True):
        pass

    class Greetings(ShoppingList):
        stream = "greetings"
        events = (ReplicaIntroduced,)

    with pytest.raises(TypeError, match="ReplicaIntroduced are Anabranch's own; choose another name"):
        direct("alice", aggregates=(Greetings,))


def test_a_batch_with_a_flipped_byte_is_refused_whole():
    """Whatever byte of a slice's columns is changed, nothing of the batch is taken."""
    alice, bob = direct("alice"), direct("bob")
    alice.execute(HOME, AddItem("milk"), 1)
    alice.flush()
    (piece,) = alice.all_slices()
    import msgspec

    for column in range(len(piece.columns)):
        for at in range(len(piece.columns[column])):
            columns = [bytearray(data) for data in piece.columns]
            columns[column][at] ^= 0x55
            forged = msgspec.structs.replace(piece, columns=tuple(map(bytes, columns)))
            with pytest.raises(InvalidBatch):
                bob.ingest([forged])
            assert bob.flush().commits == []
    assert bob.heads == []


def test_a_reader_sees_nothing_beyond_the_heads_that_it_was_made_with():
    """The file may be a transaction ahead of what is announced; a batch read meanwhile ends at the old head."""
    alice = direct("alice")
    alice.execute(HOME, AddItem("milk"), 1)
    alice.flush()
    reader = alice.reader()
    (held,) = alice.heads
    alice.execute(HOME, AddItem("eggs"), 2)
    alice.flush()
    want = Want(*held, (Head(0, GENESIS),))
    (piece,) = collect(reader, [want], horizon=10, budget=1 << 20).slices
    assert piece.last == 2


def test_a_counter_may_pass_what_sixty_four_bits_hold():
    """Each addition fits in an event; the sum need not, and still has a digest."""
    alice, bob = direct("alice"), direct("bob")
    for replica in (alice, bob):
        for _ in range(3):
            replica.execute(HOME, Count(2**63 - 1), 1)
        replica.flush()
    exchange(alice, bob)
    assert alice.present(HOME).count.value == 6 * (2**63 - 1)
    assert alice.digest(HOME) == bob.digest(HOME)


def test_presents_beyond_the_bound_are_read_again():
    """What was used least lately leaves memory; nothing that is read changes by it."""
    alice = direct("alice")
    alice.core.keep = 3
    for n in range(10):
        alice.execute(f"list/{n}", AddItem(f"item {n}"), n)
        alice.execute("list/0", AddItem(f"item {n}"), n)
        alice.flush()
        assert len(alice.core.memory.presents) <= 3
    assert "list/0" in alice.core.memory.presents
    for n in range(1, 10):
        assert set(alice.present(f"list/{n}").items) == {f"item {n}"}
        assert len(alice.core.memory.presents) <= 3
