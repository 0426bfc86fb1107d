"""The protocol, without a network: what two sessions say, and what they make of it."""

from __future__ import annotations

import msgspec
import pytest
from immutables import Map

from merge.stamp import Stamp
from merge.version import ReplicaId
from replica.arrange import Gap
from replica.block import GENESIS, Head, Slice, Tail
from replica.commit import Commit, Note, Recorded
from replica.introduction import ReplicaIntroduced, introduction
from replica.meeting import HORIZON, WRITTEN, Frontier, accepted_until, compare
from sync.direct import DirectNode
from sync.errors import LocalProtocolError, RemoteProtocolError
from sync.message import FORMAT, Ack, Batch, Bye, Digest, Have, Hello, decode, encode
from sync.protocol import BATCH, MAX_GAPS, PATIENCE, WINDOW, Send
from sync.testing.network import NOW, YEAR, Network
from tests.shop import HOME, AddItem, Write, direct

ONE, TWO, OTHER = Head(1, b"1" * 32), Head(2, b"2" * 32), Head(2, b"x" * 32)


def heads(network: Network) -> list[object]:
    return [node.replica.heads for node in network.nodes.values()]


def said(network: Network, link: str, name: str) -> list[object]:
    return [decode(frame) for frame in network.wire(link, name)]


class Stranger:
    """A peer that says what it likes to one honest node, over a link of its own."""

    def __init__(self, node: DirectNode, name: str = "stranger", **hello: object) -> None:
        self.node, self.link = node, name
        node.connect(name, NOW)
        honest = Hello(FORMAT, "shop", 4242, name, b"nonce", NOW + HORIZON)
        self.say(msgspec.structs.replace(honest, **hello))

    def say(self, message: object) -> None:
        self.send(encode(message))

    def send(self, frame: bytes) -> None:
        self.node.receive(self.link, frame)

    def greet(self, *rows: tuple[int, int, bytes]) -> Stranger:
        self.say(Have(1, list(rows), False))
        return self

    @property
    def heard(self) -> list[object]:
        return [decode(frame) for frame in self.node.outgoing[self.link]]

    @property
    def fault(self) -> str | None:
        """The kind of fault that ended the session, as both sides were told it; None while it goes on."""
        if self.link not in self.node.ended:
            return None
        error = self.node.ended[self.link]
        assert isinstance(error, RemoteProtocolError)
        goodbye = self.heard[-1]
        assert isinstance(goodbye, Bye)
        assert (goodbye.kind, goodbye.text) == (error.kind, error.text)
        return error.kind


def forged_log(*walls: int, store: str = "shop", replica: int = 4242, introduce: bool = True) -> list[Slice]:
    """Slices of a log that a stranger wrote, stamped as told: its introduction, then an item each."""
    tail = Tail(store, replica)
    intro = introduction(ReplicaIntroduced(store, "stranger", replica))
    item = Recorded(HOME, "ItemAdded", 1, b"\x81\xa4item\xa1x")
    return [
        tail.append(
            Commit(replica, n + 1, Stamp(wall, 0, replica), (), None, (item if n or not introduce else intro,))
        )
        for n, wall in enumerate(walls)
    ]


@pytest.fixture
def node() -> DirectNode:
    """An honest node that holds three events."""
    replica = direct("alice")
    replica.execute(HOME, AddItem("milk"), NOW)
    replica.execute(HOME, AddItem("eggs"), NOW)
    return DirectNode(replica, b"alice")


# --- what is sent ---


@pytest.mark.parametrize(
    ("mine", "theirs", "wants"),
    [
        ({}, {}, []),
        ({1: (ONE,)}, {1: (ONE,)}, []),
        ({1: (ONE,)}, {}, [(1, ONE, (Head(0, GENESIS),))]),
        ({1: (TWO,)}, {1: (ONE,)}, [(1, TWO, (ONE,))]),
        ({1: (ONE,)}, {1: (TWO,)}, []),
        ({}, {1: (ONE,)}, []),
        ({1: (TWO,)}, {1: (OTHER,)}, [(1, TWO, (OTHER,))]),
        ({1: (TWO, OTHER)}, {1: (TWO,)}, [(1, OTHER, (TWO,))]),
        ({1: (TWO, OTHER)}, {1: (Head(9, b"9" * 32),)}, [(1, TWO, ()), (1, OTHER, ())]),
    ],
    ids=["empty", "equal", "new", "behind", "ahead", "unknown", "parted", "second_history", "two_below_one"],
)
def test_compare_says_which_logs_to_send_from_where(mine, theirs, wants):
    """The whole diff is one pure function over heads."""
    assert [tuple(want) for want in compare(mine, theirs)] == wants


@pytest.mark.parametrize("foreign", [False, True])
def test_a_gap_in_a_history_that_is_foreign_asks_for_all_of_it(foreign):
    """Nobody knows where it parts from what is held: only its beginning shows. Else the own head says enough."""
    network = Network("ab", ["ab"], direct)
    network.nodes["a"].replica.execute(HOME, AddItem("milk"), NOW)
    network.settle()
    alice = network.nodes["a"].replica.core.me
    effects = network.nodes["b"].sessions["ab"].ingested(9, Gap(alice, 1, foreign=foreign))
    (have,) = (decode(effect.frame) for effect in effects if isinstance(effect, Send))
    assert have.reply
    assert (alice in {replica for replica, _, _ in have.heads}) is not foreign


def test_what_becomes_durable_is_pushed_once_and_not_sent_back():
    """A live event costs one batch, one acknowledgement, and no comparison."""
    network = Network("ab", ["ab"], direct)
    network.settle()
    alice = network.nodes["a"].replica
    alice.execute(HOME, AddItem("milk"), NOW)
    alice.flush()
    (batch,) = said(network, "ab", "a")
    assert isinstance(batch, Batch)
    network.deliver("ab", "a")
    (ack,) = said(network, "ab", "b")
    assert isinstance(ack, Ack)
    network.run()
    assert network.nodes["b"].sessions["ab"].in_sync or network.nodes["a"].sessions["ab"].in_sync
    assert heads(network)[0] == heads(network)[1]


def test_a_relay_forwards_what_it_ingests():
    """a and c never meet; b between them is enough."""
    network = Network("abc", ["ab", "bc"], direct)
    network.settle()
    for name in "ac":
        network.nodes[name].replica.execute(HOME, AddItem(name), NOW)
        network.nodes[name].replica.flush()
    network.run()
    assert heads(network)[0] == heads(network)[1] == heads(network)[2]
    assert len(heads(network)[0]) == 2


# --- what is lost on the way ---


def test_a_lost_hello_is_said_again():
    """One side knows the other, the other never heard: the next tick begins again."""
    network = Network("ab", ["ab"], direct)
    network.nodes["a"].replica.execute(HOME, AddItem("milk"), NOW)
    network.heal("ab")
    network.wire("ab", "a").popleft()
    network.settle(ticks=2)
    assert heads(network)[0] == heads(network)[1] != []


def test_digests_that_arrive_together_are_answered_once():
    """A slow link lets go of what it held back: one exchange, not one for each tick. The next tick asks again."""
    network = Network("ab", ["ab"], direct)
    network.settle()
    alice = network.nodes["a"].replica
    alice.execute(HOME, AddItem("milk"), NOW)
    alice.flush()
    network.wire("ab", "a").clear()
    network.nodes["a"].tick(NOW)
    digest = network.wire("ab", "a").pop()
    for times in (5, 1):
        for _ in range(times):
            network.nodes["b"].receive("ab", digest)
        assert sum(isinstance(decode(frame), Have) for frame in network.wire("ab", "b")) == 1
        network.wire("ab", "b").clear()
        network.nodes["b"].tick(NOW)


def test_a_gap_is_answered_at_once_though_a_have_was_lost_long_ago():
    """Found by seed 1018609: what comes was taken for sent before that Have, and its gaps for no news, for ever."""
    network = Network("ab", ["ab"], direct)
    network.settle()
    b = network.nodes["b"].sessions["ab"]
    network.nodes["b"]._do("ab", b.resume())
    network.wire("ab", "b").clear()
    network.settle(ticks=PATIENCE + 2)
    alice = network.nodes["a"].replica
    for item in ("milk", "eggs", "bread"):
        alice.execute(HOME, AddItem(item), NOW)
        alice.flush()
        if item == "eggs":
            network.wire("ab", "a").clear()
        network.run()
    assert heads(network)[0] == heads(network)[1]


def test_a_lost_last_push_does_not_stall():
    """Nobody writes any more; the digest of a tick shows the difference."""
    network = Network("ab", ["ab"], direct)
    network.settle()
    alice = network.nodes["a"].replica
    alice.execute(HOME, AddItem("milk"), NOW)
    alice.flush()
    network.wire("ab", "a").clear()
    for _ in range(PATIENCE + 1):
        network.tick()
        network.run()
    assert heads(network)[0] == heads(network)[1]


def test_a_gap_is_answered_with_ones_own_version_and_filled():
    """The first of two pushes is lost: the second stands on nothing, and the sender goes on from there."""
    network = Network("ab", ["ab"], direct)
    network.settle()
    alice = network.nodes["a"].replica
    for item in ("milk", "eggs"):
        alice.execute(HOME, AddItem(item), NOW)
        alice.flush()
    network.wire("ab", "a").popleft()
    network.run()
    assert heads(network)[0] == heads(network)[1]
    assert network.faults() == []


# --- flow ---


def test_a_peer_that_does_not_acknowledge_is_sent_no_more_than_a_window():
    """What it lacks stays in the log; nothing is queued for it."""
    network = Network("ab", ["ab"], direct)
    alice = network.nodes["a"].replica
    for n in range(240):
        alice.execute(HOME, Write("x" * 60_000), NOW + n)
        alice.flush()
    network.heal("ab")
    for name in "ab":
        network.deliver("ab", name)
    network.deliver("ab", "b")
    network.nodes["b"].replica.listeners.clear()
    batches = [message for message in said(network, "ab", "a") if isinstance(message, Batch)]
    assert len(batches) == WINDOW
    assert all(sum(piece.size for piece in batch.slices) <= BATCH * 1.3 for batch in batches)
    for n in range(20):
        alice.execute(HOME, AddItem(f"{n}"), NOW + n)
        alice.flush()
    assert len([m for m in said(network, "ab", "a") if isinstance(m, Batch)]) == WINDOW
    network.run()
    assert heads(network)[0] == heads(network)[1]


# --- time ---


def test_what_lies_beyond_the_horizon_waits_visibly_and_arrives_when_time_has_come():
    """A clock five years ahead delays what was written under it, and nothing else."""
    network = Network("abc", ["ab", "bc"], direct)
    network.settle()
    for name, clock in (("a", NOW + 5 * YEAR), ("b", NOW), ("c", NOW)):
        network.clocks[name] = clock
        network.nodes[name].replica.execute(HOME, AddItem(name), clock)
        network.nodes[name].replica.flush()
    network.run()
    network.tick()
    network.run()
    assert set(network.nodes["c"].replica.present(HOME).items) == {"b", "c"}
    assert network.nodes["a"].sessions["ab"].beyond == 2, "its introduction and its item"
    assert network.faults() == []
    network.clocks = dict.fromkeys("abc", NOW + 5 * YEAR)
    network.settle()
    assert set(network.nodes["c"].replica.present(HOME).items) == {"a", "b", "c"}
    assert network.nodes["a"].sessions["ab"].beyond == 0


def test_a_clock_that_was_never_set_still_accepts_what_others_write():
    """A device that believes it is 1970 does not count its own clock as one."""
    network = Network("ab", ["ab"], direct)
    network.clocks["b"] = NOW
    network.nodes["b"].replica.execute(HOME, AddItem("first"), NOW)
    network.settle()
    network.clocks["b"] = 0
    network.nodes["a"].replica.execute(HOME, AddItem("milk"), NOW + 3_600_000)
    network.settle()
    assert "milk" in network.nodes["b"].replica.present(HOME).items


def test_a_member_leads_stamps_on_by_a_day_and_not_by_a_day_a_session(node):
    """Twelve sessions on end. Whoever has a right clock takes at once what is written after them."""
    clock = NOW
    for number in range(12):
        stranger = Stranger(node, f"stranger {number}").greet()
        walls = [NOW + 1 + n * (HORIZON - 5000) for n in range(number + 2)]
        stranger.say(Batch(1, 1, forged_log(*walls)))
        assert stranger.fault == (None if number == 0 else "invalid-batch")
    node.replica.execute(HOME, AddItem("pear"), clock)
    node.replica.flush()
    assert node.replica.core.memory.stamp.wall <= clock + HORIZON
    newcomer = direct("bob")
    newcomer.ingest(list(node.replica.all_slices()), accepted_until(None, clock))
    assert set(newcomer.present(HOME).items) >= {"pear"}


@pytest.mark.parametrize(
    ("newest", "now", "until"),
    [
        (None, NOW, NOW + HORIZON),
        (NOW - YEAR, NOW, NOW + HORIZON),
        (NOW + HORIZON, NOW, NOW + HORIZON),
        (NOW + 9 * YEAR, NOW, NOW + HORIZON),
        (None, 0, HORIZON),
        (NOW, 0, NOW + HORIZON),
        (NOW, WRITTEN - 1, NOW + HORIZON),
        (NOW, WRITTEN, WRITTEN + HORIZON),
    ],
)
def test_how_far_in_the_future_stamps_are_accepted(newest, now, until):
    """A day beyond the own clock, whatever is in the log; of a clock that was never set, beyond that."""
    assert accepted_until(None if newest is None else Stamp(newest, 0, 1), now) == until


# --- faults of the peer ---


@pytest.mark.parametrize(("hello", "kind"), [({"store": "bank"}, "store"), ({"format": 9}, "format")])
def test_a_peer_of_another_store_or_format_is_told_so(node, hello, kind):
    """The session ends with one typed error, the same words on both sides."""
    assert Stranger(node, **hello).fault == kind


def test_a_replica_that_is_connected_to_itself_says_so(node):
    """Same id and same process: a fault of ours, not of the peer."""
    stranger = Stranger(node, replica=node.replica.core.me, nonce=b"alice")
    assert isinstance(node.ended[stranger.link], LocalProtocolError)


def forge(piece: Slice, **changes: object) -> Slice:
    return msgspec.structs.replace(piece, **changes)


@pytest.mark.parametrize(
    ("walls", "change", "kind"),
    [
        ((NOW,), lambda log: [forge(log[0], head=b"9" * 32)], "invalid-batch"),
        ((NOW,), lambda log: [forge(log[0], last=7)], "invalid-batch"),
        ((NOW, NOW + 10 * YEAR), lambda log: log, "invalid-batch"),
        ((NOW, NOW - 1), lambda log: log, "invalid-batch"),
        ((NOW,), lambda log: [], "empty"),
        ((NOW, NOW + 1), lambda log: [log[0], forge(log[1], base=b"9" * 32)], None),
    ],
    ids=["broken_chain", "wrong_count", "beyond_horizon", "falling_stamp", "empty", "unknown_history_is_a_gap"],
)
def test_a_false_claim_ends_the_session_and_changes_nothing(node, walls, change, kind):
    """One typed error on both sides; the log is as it was. What merely does not fit here is a gap."""
    node.replica.flush()
    before = node.replica.heads
    stranger = Stranger(node).greet()
    stranger.say(Batch(1, 1, change(forged_log(*walls))))
    assert stranger.fault == kind
    assert node.replica.heads == before


@pytest.mark.parametrize(
    "log",
    [
        forged_log(NOW, NOW + 1, introduce=False),
        forged_log(NOW, store="bank"),
    ],
    ids=["no introduction", "another store"],
)
def test_a_log_that_does_not_begin_as_a_log_must_is_refused(node, log):
    """Who is a member is a fact, and the first one."""
    stranger = Stranger(node).greet()
    stranger.say(Batch(1, 1, log))
    assert stranger.fault == "invalid-batch"


def test_a_forged_replica_id_is_refused(node):
    """A log cannot be passed off as another's: its bytes have another head under another id."""
    stranger = Stranger(node).greet()
    stranger.say(Batch(1, 1, [msgspec.structs.replace(piece, replica=4243) for piece in forged_log(NOW)]))
    assert stranger.fault == "invalid-batch"


def test_a_stamp_below_what_it_observed_is_refused(node):
    """A commit that names a head which is stamped later than itself."""
    node.replica.flush()
    (me, head) = node.replica.heads[0]
    tail = Tail("shop", 4242)
    intro = introduction(ReplicaIntroduced("shop", "stranger", 4242))
    low = Commit(4242, 1, Stamp(NOW - YEAR, 0, 4242), ((me, head.seq, head.hash[:8]),), None, (intro,))
    stranger = Stranger(node).greet()
    stranger.say(Batch(1, 1, [tail.append(low)]))
    assert stranger.fault == "invalid-batch"


def hostile(recorded: Recorded, **changes: object) -> list[Slice]:
    """A log whose only commit holds that event where its introduction should be, or after it."""
    tail = Tail("shop", 4242)
    intro = introduction(ReplicaIntroduced("shop", "stranger", 4242))
    commit = Commit(4242, 1, Stamp(NOW, 0, 4242), (), None, (intro, recorded))
    return [tail.append(commit._replace(**changes))]


@pytest.mark.parametrize(
    "log",
    [
        hostile(Recorded(HOME, "ItemAdded", 2**63, b"\xc0")),
        hostile(Recorded(HOME, "ItemAdded", 1, b"\xc0"), stamp=Stamp((1 << 48) - 1, 0, 4242)),
        hostile(Recorded(HOME, "x" * 300, 1, b"\xc0")),
        hostile(Recorded(HOME, "ItemAdded", 1, b"\xc0"), observed=((7, 1, b"1" * 8), (7, 2, b"2" * 8))),
        hostile(Recorded(HOME, "ItemAdded", 1, b"\xc0"), note=Note(correlation="x" * 1000)),
        [
            Tail("shop", 4242).append(
                Commit(
                    4242, 1, Stamp(NOW, 0, 4242), (), None,
                    (Recorded("replica/0000000000001092", "ReplicaIntroduced", 1, b"\x81\xa4name\xa1\xff"),),
                )
            )
        ],
    ],
    ids=["schema", "stamp", "type name", "context", "note", "introduction"],
)  # fmt: skip
def test_what_a_store_could_not_hold_is_refused_at_its_door(node, log):
    """Out of bounds, named twice, or not even text: one typed error, before anything is kept or forwarded."""
    node.replica.flush()
    before = node.replica.heads
    stranger = Stranger(node, horizon=1 << 62).greet()
    stranger.say(Batch(1, 1, log))
    assert stranger.fault == "invalid-batch"
    assert node.replica.heads == before


def test_old_gaps_without_end_are_not_honest(node):
    """A window of them is; what does not stop is a peer that fills memory."""
    stranger = Stranger(node).greet()
    for number in range(1, 200):
        if stranger.fault is not None:
            break
        stranger.say(Batch(number, 0, forged_log(NOW, NOW + 1)[1:]))
    assert stranger.fault == "gaps"
    assert len(node.sessions[stranger.link].theirs) <= 2


def test_a_have_of_many_logs_comes_in_parts(node):
    """Forty thousand members do not fit in a frame; in parts, in any order, they are compared like few."""
    rows = [(n + 10, 1, bytes(32)) for n in range(40_000)]
    parts = [rows[at : at + 16_384] for at in range(0, len(rows), 16_384)]
    stranger = Stranger(node)
    for number in (2, 0, 1):
        assert node.sessions[stranger.link].theirs is None
        stranger.say(Have(1, parts[number], False, number, len(parts)))
    assert len(node.sessions[stranger.link].theirs) >= 40_000
    session = node.sessions[stranger.link]
    session.mine = Frontier(Map({n + 10: (Head(1, bytes(32)),) for n in range(40_000)}), 0)
    said = [decode(effect.frame) for effect in session.resume()]
    assert [(have.part, have.parts) for have in said] == [(0, 3), (1, 3), (2, 3)]


@pytest.mark.parametrize(
    "have",
    [
        Have(1, [], True, 3, 3),
        Have(1, [], True, 0, 1000),
    ],
    ids=["part", "parts"],
)
def test_a_have_beyond_all_measure_ends_the_session(node, have):
    """A part beyond the last, more parts than there can be."""
    stranger = Stranger(node)
    stranger.say(have)
    assert stranger.fault in ("too-large", "unreadable")


def test_a_claim_to_my_id_is_heard_once(node):
    """It costs the peer nothing, so it may cost me one new id, and not one a session."""
    node.replica.flush()
    first = node.replica.core.me
    for number in range(5):
        Stranger(node, f"thief {number}", replica=node.replica.core.me)
    node.replica.execute(HOME, AddItem("bread"), NOW)
    node.replica.flush()
    assert node.replica.core.me != first
    assert len(node.replica.heads) == 2


def test_a_claim_to_hold_more_of_my_log_than_i_do_is_not_believed(node):
    """Its bytes would show it; a number shows nothing."""
    node.replica.flush()
    first = node.replica.core.me
    Stranger(node).greet((first, 2**60, b"9" * 32))
    assert node.replica.core.me == first


def test_what_a_peer_says_in_leaving_is_fit_for_a_terminal(node):
    """No line breaks, no escape codes."""
    stranger = Stranger(node).greet()
    stranger.say(Bye("store", "\x1b[2Jall\nis well"))
    assert node.ended[stranger.link].text == "?[2Jall?is well"


def test_the_name_that_a_peer_gives_itself_is_fit_for_a_terminal(node):
    """Labels are printed in status, versions and logs; the bits are what counts."""
    stranger = Stranger(node, "\x1b[2Jboss\n")
    peer = node.sessions[stranger.link].peer
    assert str(ReplicaId(peer.replica, peer.name)) == "?[2Jboss?"


def test_ten_gaps_in_a_row_end_the_session(node):
    """A peer that never sends what is asked for does not listen."""
    stranger = Stranger(node).greet()
    floating = forged_log(NOW, NOW + 1)[1:]
    for number in range(1, MAX_GAPS + 1):
        assert stranger.fault is None
        asked = [message.number for message in stranger.heard if isinstance(message, Have)]
        stranger.say(Batch(number, asked[-1], floating))
    assert stranger.fault == "gaps"


def test_gaps_in_batches_that_crossed_our_version_say_nothing_new(node):
    """A window of batches sent before the answer arrived is one gap, not eight."""
    stranger = Stranger(node).greet()
    for number in range(1, 3 * MAX_GAPS):
        stranger.say(Batch(number, 1, forged_log(NOW, NOW + 1)[1:]))
    assert stranger.fault is None


def test_a_second_hello_by_somebody_else_is_refused(node):
    """One session, one peer; the same Hello again is only an echo of the network."""
    stranger = Stranger(node)
    stranger.say(Hello(FORMAT, "shop", 4242, "stranger", b"nonce", NOW))
    assert stranger.fault is None
    stranger.say(Hello(FORMAT, "shop", 4243, "other", b"other", NOW))
    assert stranger.fault == "order"


@pytest.mark.parametrize(
    "frame", [b"", b"\xff", b"\x92\x09\x01", encode([0]), encode([3, 1]), encode("hello"), b"\x93" * 500]
)
def test_a_frame_that_is_no_message_ends_the_session(node, frame):
    """Whatever it is, it is called unreadable, in words."""
    stranger = Stranger(node).greet()
    stranger.send(frame)
    assert stranger.fault == "unreadable"


def test_a_frame_over_the_limit_ends_the_session(node):
    """Two mebibytes and a byte."""
    stranger = Stranger(node).greet()
    stranger.send(bytes((2 << 20) + 1))
    assert stranger.fault == "too-large"


def test_a_difference_in_digests_starts_an_exchange(node):
    """What the peer says it holds differs, and nothing is under way: ask."""
    stranger = Stranger(node).greet()
    for message in stranger.heard:
        if isinstance(message, Batch):
            stranger.say(Ack(message.number, b"?" * 16, NOW))
    before = len(stranger.heard)
    stranger.say(Digest(b"!" * 16, NOW))
    (have,) = stranger.heard[before:]
    assert isinstance(have, Have)
    assert have.reply


def test_another_session_goes_on_beside_one_that_fails():
    """A stranger is thrown out; the honest peer does not notice."""
    network = Network("ab", ["ab"], direct)
    network.settle()
    node = network.nodes["a"]
    stranger = Stranger(node).greet()
    stranger.send(b"nonsense")
    assert stranger.fault == "unreadable"
    del node.ended[stranger.link], node.outgoing[stranger.link], node.sessions[stranger.link]
    node.replica.execute(HOME, AddItem("milk"), NOW)
    network.settle()
    assert heads(network)[0] == heads(network)[1]
    assert network.faults() == []
