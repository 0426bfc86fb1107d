"""What one member can make another one hold, and do, for each byte that it sends: counted, never timed.

Each case is what a peer may send, message by message and fact by fact. A new message, or a new fact of Anabranch's
own, gets a line in CASES. Bytes held are those of Python and of the log when all has been taken and the frames are
gone; work is function calls, of Python and of C. Bytes of a batch count unpacked: what packs well is held packed in
a file, and how much a frame may come to has bounds of its own (`tests.test_strict`).
"""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from immutables import Map

from merge.stamp import Stamp
from replica.aside import EventSetAside
from replica.block import Head, Slice, Tail
from replica.commit import MAX_LABEL, MAX_STORES, Commit, Note, Observed, Recorded
from replica.comparing import Mark, Row
from replica.due import OwnerChanged
from replica.event import encode_event
from replica.ingest import FEW
from replica.introduction import OWN_TYPES, ReplicaIntroduced, introduction, stream_of
from replica.meeting import HORIZON, Theirs
from replica.members import ReplicaRetired
from replica.reading import Reader
from replica.stores import StoresJoined
from sync.direct import DirectNode
from sync.message import (
    FORMAT,
    PART,
    PORTION,
    Ack,
    Batch,
    Bye,
    Compared,
    Digest,
    Have,
    Hello,
    Known,
    Message,
    Presents,
    Traced,
    encode,
)
from sync.testing.network import NOW
from tests.shop import HOME, AddItem, direct

HELD = 50
"""Bytes that may be held for one that was sent."""
WORK = 20
"""Calls that one byte may cost."""
BASE = 150_000
"""Bytes and calls that a conversation costs whatever is said in it."""
ME = 4242


class Case(NamedTuple):
    """What a peer sends, after its Hello and its Have."""

    frames: Callable[[DirectNode], Iterator[bytes]]
    held: float = HELD
    taken: bool = True
    """All of it is taken: the session goes on."""


def log(*commits: list[Recorded], replica: int = ME, name: str = "m", note: Note | None = None) -> list[Slice]:
    """A log of its introduction, and these commits."""
    tail = Tail("shop", replica)
    events = [[introduction(ReplicaIntroduced("shop", name, replica))], *commits]
    seq, made = 1, []
    for number, some in enumerate(events):
        made.append(
            Commit(replica, seq, Stamp(NOW + number, 0, replica), (), note if number else None, tuple(some))
        )
        seq += len(some)
    slices = []
    while made:
        fitting = tail.room_for(made)
        slices.append(tail.extend(made[:fitting]))
        made = made[fitting:]
    return slices


def batches(slices: list[Slice], each: int = 64) -> Iterator[bytes]:
    """Frames of so many slices."""
    for number, at in enumerate(range(0, len(slices), each), 1):
        yield msgspec.msgpack.encode([2, number, 1, slices[at : at + each]])


def said(*messages: Message) -> Case:
    return Case(lambda _: map(encode, messages))


def facts(events: list[Recorded], **more: Any) -> Case:
    """So many events, each in a commit of its own."""
    return Case(lambda _: batches(log(*[[event] for event in events], **more)))


def own(kind: Any, stream: str) -> Recorded:
    return Recorded(stream, type(kind).__name__, 1, encode_event(kind))


ITEM = Recorded(HOME, "ItemAdded", 1, b"\x81\xa4item\xa1x")
MINE = stream_of(ME)
NAMES = ["\U0001f347" * (MAX_LABEL - 4) + f"{number:04}" for number in range(PORTION)]
HELLO = Hello(FORMAT, "shop", ME, "stranger", b"nonce", NOW + HORIZON)

CASES: dict[str, Case] = {
    "Hello": said(msgspec.structs.replace(HELLO, joined=NAMES)),
    "Hello of short names": said(msgspec.structs.replace(HELLO, joined=[f"{n:x}" for n in range(PORTION)])),
    "Hello again": said(*[HELLO] * 500),
    "Have": Case(
        lambda _: (
            encode(Have(5, [((1 << 63) + part * PART + n, 1 << 62, n.to_bytes(32, "big")) for n in range(PART)],
                        False, part, 2)) for part in range(2)
        ), held=2,
    ),
    "Have of one id": said(Have(5, [(ME, n, bytes(32)) for n in range(PART)], False)),
    "Have of mine": Case(
        lambda node: iter([encode(Have(5, [(node.replica.core.me, n, bytes(32)) for n in range(2000)], False))])
    ),
    "Have, a part of it": Case(
        lambda _: (encode(Have(5 + n, [(ME + m, 1, bytes(32)) for m in range(999)], False, 0, 2)) for n in range(9))
    ),
    "Batch that is a gap": said(*[Batch(n, 0, log([ITEM])[0:1]) for n in range(1, 9)]),
    "Ack": said(*[Ack(n, bytes(16), NOW) for n in range(2000)]),
    "Digest": said(*[Digest(bytes(16), NOW, bytes(8)) for _ in range(500)]),
    "Bye": Case(lambda _: iter([encode(Bye("k" * 512, "t" * 512))]), taken=False),
    "Known of nobody": said(Known([(n, [(n, 1)]) for n in range(10_000)])),
    "Known of events that are not": Case(
        lambda node: (
            encode(Known([(node.replica.core.me ^ 1, [(n, 1) for n in range(9000)])])) for _ in range(10)
        )
    ),
    "Presents": said(*[Presents(n, [Row(HOME, bytes(16), bytes(16), bytes(16))] * 64) for n in range(50)]),
    "Compared": said(*[Compared(n, [1] * 64) for n in range(500)]),
    "Traced": said(*[Traced(n, HOME, 0, 0, [Mark(1, bytes(8), bytes(16))] * 256, n % 2 == 0) for n in range(50)]),
    "ReplicaIntroduced": Case(
        lambda _: batches([
            piece for n in range(60) for piece in log(replica=ME + n, name="\U0001f347" * MAX_LABEL)
        ])
    ),
    "ReplicaRetired": facts([own(ReplicaRetired(ME + n), stream_of(ME + n)) for n in range(300)]),
    "OwnerChanged": facts([own(OwnerChanged(ME + n), HOME) for n in range(300)]),
    "EventSetAside": facts([own(EventSetAside(ME, n % 9 + 1), HOME) for n in range(300)]),
    "HeadsObserved": facts([Recorded(MINE, "HeadsObserved", 1, b"\x80")] * 300),
    "StoresJoined": facts(
        [own(StoresJoined(tuple(f"{n}.{m}" for m in range(MAX_STORES))), MINE) for n in range(30)],
    ),
    "StoresJoined with too many names": facts([own(StoresJoined((*NAMES[:200],)), MINE)] * 3),
    "note": facts([ITEM] * 200, note=Note("c" * 512, "d" * 512, (ME, 1), "s" * 512)),
    "names of streams": facts([Recorded(f"list/{n:0250}", "ItemAdded", 1, ITEM.payload) for n in range(150)]),
    "names of types": facts([Recorded(HOME, f"T{n:0250}", 1, b"\x80") for n in range(150)]),
    "second histories": Case(
        lambda _: batches([Tail("shop", ME).append(Commit(
            ME, 1, Stamp(NOW + n, 0, ME), (), None, (introduction(ReplicaIntroduced("shop", f"m{n}", ME)),)
        )) for n in range(24)], 1)
    ),
    "a head in each commit": Case(
        lambda _: batches([*log(*[[ITEM]] * 150), *_naming(150)])
    ),
}  # fmt: skip


def _naming(count: int) -> list[Slice]:
    """A log of which each commit names the next head of another one."""
    tail, other = Tail("shop", ME), Tail("shop", ME + 1)
    heads = []
    for number in range(count):
        piece = tail.append(
            Commit(ME, number + 1, Stamp(NOW + number, 0, ME), (), None,
                   (ITEM if number else introduction(ReplicaIntroduced("shop", "m", ME)),))
        )  # fmt: skip
        heads.append(Head(piece.last, piece.head).named(ME))
    return [
        other.append(
            Commit(ME + 1, number + 1, Stamp(NOW + 1000 + number, 0, ME + 1), (head,), None,
                   (ITEM if number else introduction(ReplicaIntroduced("shop", "m", ME + 1)),))
        )
        for number, head in enumerate(heads)
    ]  # fmt: skip


def hub() -> DirectNode:
    replica = direct("alice")
    replica.execute(HOME, AddItem("milk"), NOW)
    replica.flush()
    node = DirectNode(replica, b"alice")
    node.connect("x", NOW)
    for frame in (encode(HELLO), encode(Have(1, [], False))):
        node.receive("x", frame)
    return node


@pytest.mark.parametrize("name", CASES)
def test_a_member_makes_nobody_hold_or_do_more_than_so_much_a_byte(name):
    """Else a few kilobytes fill a disk or a memory, or stop a loop, at every replica and for good."""
    case, node = CASES[name], hub()
    frames = [*case.frames(node)]
    sent = sum(map(len, frames))
    calls = 0

    def count(_frame: Any, event: str, _arg: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    gc.collect()
    tracemalloc.start(1)
    before = tracemalloc.get_traced_memory()[0]
    sys.setprofile(count)
    try:
        while frames:
            node.receive("x", frames.pop(0))
            node.outgoing["x"].clear()
        node.tick(NOW)
        node.outgoing["x"].clear()
    finally:
        sys.setprofile(None)
    node.replica.flush()
    gc.collect()
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert ("x" in node.ended) != case.taken, node.ended
    assert held <= case.held * sent + BASE
    assert calls <= WORK * sent + BASE


def test_every_fact_of_anabranchs_own_has_a_budget():
    """Whoever adds one says what it costs."""
    assert all(any(name.startswith(kind) for name in CASES) for kind in OWN_TYPES)
    messages = [kind.__name__ for kind in Message.__args__]
    assert all(any(name.startswith(kind) for name in CASES) for kind in messages)


ROWS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 5), st.sampled_from([b"1" * 32, b"2" * 32])), unique=True
)


@given(st.lists(ROWS, max_size=3), st.sets(st.integers(0, 5)))
def test_heads_that_are_kept_in_few_bytes_are_those_that_were_said(parts, here):
    """The oracle is a dict of all of them; which logs are held here changes nothing but the room they take."""
    theirs = Theirs()
    said: dict[int, set[Head]] = {}
    for rows in parts:
        theirs.add(rows, dict.fromkeys(here, ()))
        for replica, *head in rows:
            said.setdefault(replica, set()).add(Head(*head))
    assert {replica: {*theirs.get(replica, ())} for replica in said} == said
    assert all(theirs.get(replica, "none") == "none" for replica in {*range(7)} - {*said})
    assert bool(theirs) == bool(said)
    theirs[3] = (Head(9, b"9" * 32),)
    assert theirs.get(3) == (Head(9, b"9" * 32),)


@pytest.mark.parametrize(("false", "looked"), [(0, 1), (FEW - 1, FEW), (FEW + 10, FEW + 11)])
def test_the_first_head_that_is_not_there_answers_a_batch(false, looked, monkeypatch):
    """However many are named after it: what is looked for is read from the file, block by block."""
    alice = direct("alice")
    alice.ingest(log(*[[ITEM]] * 300))
    alice.flush()
    alice.core.memory.recent = Map()
    heads = [Observed(ME, 2 + n, _head(alice, 2 + n) if n < false else b"a false ") for n in range(200)]
    tail = Tail("shop", ME + 1)
    commits = [
        Commit(ME + 1, n + 1, Stamp(NOW + 1000 + n, 0, ME + 1), (head,), None,
               (ITEM if n else introduction(ReplicaIntroduced("shop", "m", ME + 1)),))
        for n, head in enumerate(heads)
    ]  # fmt: skip
    asked = []
    real = Reader.boundary

    def boundary(self: Reader, *named: Any) -> Any:
        asked.append(named)
        return real(self, *named)

    monkeypatch.setattr(Reader, "boundary", boundary)
    before = alice.heads
    gap = alice.ingest([tail.extend(commits)])
    assert (gap.replica, gap.after) == (ME, 2 + false)
    assert len(asked) <= looked + (FEW if false > FEW else 0)
    alice.flush()
    assert alice.heads == before


def _head(replica: Any, seq: int) -> bytes:
    """The first bytes of the head of the hand-made log at an event."""
    (row,) = replica.core.memory.lineages[ME].rows
    layout = replica.reader().layout(row, seq)
    return bytes(layout.hash_at(layout.index_after(seq))[:8])
