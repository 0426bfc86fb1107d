"""Strict decoding: what comes from elsewhere has the elements that the format says, and not one more.

What is read and not looked at is hashed by nobody, counted by nobody, and passed on by everybody.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from merge.stamp import Stamp
from replica.block import Slice, Tail
from replica.columns import COLUMNS, PAYLOAD
from replica.commit import MAX_INTRODUCTION, MAX_LABEL, Commit, Note, Observed, Recorded
from replica.comparing import Mark, Row
from replica.direct import DirectReplica
from replica.errors import InvalidBatch
from replica.introduction import ReplicaIntroduced, introduction, stream_of
from replica.log import Identity
from replica.memory import MemoryLog
from replica.packed import bytes_of, pack, unpack, unpack_held
from sync.errors import RemoteProtocolError
from sync.message import (
    FORMAT,
    MAX_BATCH,
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
    decode,
    encode,
)
from tests.shop import HOME, ShoppingList, direct

ME, OTHER = 4242, 99
NOW = 1_800_000_000_000


def commits() -> list[Commit]:
    """An introduction, and a commit that says of itself all that can be said."""
    intro = introduction(ReplicaIntroduced("shop", "stranger", ME))
    item = Recorded(HOME, "ItemAdded", 1, b"\x81\xa4item\xa1x")
    note = Note("a command", "a correlation", (ME, 1), "a subject")
    return [
        Commit(ME, 1, Stamp(NOW, 0, ME), (), None, (intro,)),
        Commit(ME, 2, Stamp(NOW + 1, 0, ME), (Observed(OTHER, 1, b"8 bytes."),), note, (item, item)),
    ]


def slices() -> list[Slice]:
    tail = Tail("shop", ME)
    return [tail.append(commit) for commit in commits()]


MESSAGES: list[Message] = [
    Hello(FORMAT, "shop", ME, "stranger", b"nonce", NOW, ["garden"]),
    Have(1, [(ME, 2, bytes(32))], True),
    Batch(1, 1, slices()),
    Ack(1, bytes(16), NOW),
    Digest(bytes(16), NOW, bytes(8)),
    Bye("kind", "text"),
    Known([(ME, [(ME, 2)])]),
    Presents(1, [Row(HOME, bytes(16), bytes(16), bytes(16))]),
    Compared(1, [0]),
    Traced(1, HOME, 0, 0, [Mark(1, bytes(8), bytes(16))], True),
]


def arrays(plain: Any) -> Iterator[list[Any]]:
    """Every array in a message, the message itself first."""
    if isinstance(plain, list):
        yield plain
        for element in plain:
            yield from arrays(element)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
@pytest.mark.parametrize("more", [None, b"", "", 0.5, {}, [[]]], ids=repr)
def test_an_element_more_anywhere_in_a_message_ends_the_session(message, more):
    """Wherever it is put: else a peer could have carried by others what nobody has looked at."""
    frame = encode(message)
    assert decode(frame) == (message if not hasattr(message, "check") else decode(frame))
    for at, _ in enumerate(arrays(msgspec.msgpack.decode(frame))):
        plain = msgspec.msgpack.decode(frame)
        [*arrays(plain)][at].append(more)
        with pytest.raises(RemoteProtocolError) as refused:
            _ = decode(msgspec.msgpack.encode(plain))
        assert refused.value.kind == "unreadable"


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
@given(st.binary(min_size=1, max_size=9))
def test_bytes_after_a_message_end_the_session(message, more):
    """A frame is one message."""
    with pytest.raises(RemoteProtocolError):
        decode(encode(message) + more)


def refuses(pieces: list[Slice]) -> str:
    """What a replica says in refusing some slices; it is as it was before."""
    alice = direct("alice")
    alice.flush()
    with pytest.raises(InvalidBatch) as refused:
        alice.ingest(pieces)
    alice.flush()
    assert alice.heads == []
    return str(refused.value)


def rehashed(piece: Slice, tail: Tail, column: int, data: bytes) -> Slice:
    """A slice with other bytes in one of its columns, and the head that these have."""
    written = [*piece.columns]
    written[column] = data
    tail = tail.copy()
    tail._take(tuple(written), piece.last - piece.after, 0)
    return msgspec.structs.replace(piece, columns=tuple(written), head=tail._close())


@pytest.mark.parametrize("column", range(len(COLUMNS)), ids=COLUMNS)
@pytest.mark.parametrize("more", [b"\x01", b"\xc0", b"\xa1x", b"\x92\xa1x\x01"], ids=bytes.hex)
def test_an_element_more_in_any_column_of_a_slice_is_refused(column, more):
    """Though the hash is that of all its bytes."""
    tail = Tail("shop", ME)
    first, second = commits()
    begin = tail.append(first)
    before = tail.copy()
    piece = tail.append(second)
    assert "cannot be read" in refuses([begin, rehashed(piece, before, column, piece.columns[column] + more)])


ELEMENTS = {
    "note": (4, ["a command", "a correlation", [ME, 1], "a subject", bytes(200_000)]),
    "cause": (4, ["a command", None, [ME, 1, 5], None]),
    "observed": (3, [[OTHER, 1, b"8 bytes.", 5]]),
    "count": (0, [2]),
}


@pytest.mark.parametrize("name", ELEMENTS)
def test_an_element_more_inside_a_column_is_refused(name):
    """In a note, in the cause in it, in the name of a head."""
    column, element = ELEMENTS[name]
    tail = Tail("shop", ME)
    first, second = commits()
    begin = tail.append(first)
    before = tail.copy()
    piece = rehashed(tail.append(second), before, column, msgspec.msgpack.encode(element))
    assert "cannot be read" in refuses([begin, piece])


@pytest.mark.parametrize("size", [0, 1 << 20])
def test_a_slice_of_nine_elements_is_refused_packed_or_not(size):
    """No hash covers the ninth, and no limit."""
    piece = slices()[0]
    whole = msgspec.msgpack.encode([*msgspec.structs.astuple(piece)[:8], bytes(size)])
    for data in (whole, zstandard.ZstdCompressor().compress(whole)):
        with pytest.raises(msgspec.ValidationError):
            unpack(data)
        with pytest.raises(RemoteProtocolError):
            decode(msgspec.msgpack.encode([2, 1, 1, [data]]))


def test_a_file_that_holds_a_slice_of_nine_elements_is_read_without_the_ninth():
    """It was taken when that was not looked at. What is sent on is packed anew, and everybody takes it."""
    piece = slices()[0]
    whole = msgspec.msgpack.encode([*msgspec.structs.astuple(piece)[:8], bytes(1 << 20)])
    for data in (whole, zstandard.ZstdCompressor().compress(whole)):
        held = unpack_held(data)
        assert held == piece
        assert unpack(bytes_of(held)) == piece
    assert unpack_held(bytes_of(piece)) == piece


def introduced(plain: dict[str, Any], more: tuple[Recorded, ...] = ()) -> list[Slice]:
    """A log whose introduction has this payload."""
    payload = msgspec.msgpack.encode(plain)
    first = Recorded(stream_of(ME), "ReplicaIntroduced", 1, payload)
    return [Tail("shop", ME).append(Commit(ME, 1, Stamp(NOW, 0, ME), (), None, (first, *more)))]


HONEST = {"store": "shop", "name": "stranger", "replica": ME, "succeeds": None}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "n" * (MAX_LABEL + 1)}, f"a name of {MAX_LABEL + 1} characters; the limit is {MAX_LABEL}"),
        ({"name": "n" * 250_000}, f"bytes; the limit is {MAX_INTRODUCTION}"),
        ({"store": "s" * (MAX_LABEL + 1)}, f"a name of {MAX_LABEL + 1} characters"),
        ({"succeeds": (1, 1, bytes(200_000))}, f"bytes; the limit is {MAX_INTRODUCTION}"),
        ({"more": bytes(200_000)}, f"bytes; the limit is {MAX_INTRODUCTION}"),
        ({"more": None}, "unknown field `more`"),
        ({"succeeds": (1, 1, b"", 1)}, "cannot be read"),
    ],
    ids=["name", "long name", "store", "long head", "long field", "field", "element"],
)
def test_an_introduction_is_within_its_limits(changes, words):
    """It stands beside the log of everybody for good, and its names are in every Hello."""
    assert words in refuses(introduced(HONEST | changes))


@pytest.mark.parametrize(
    "name", ["n" * MAX_LABEL, "\U0001f347" * MAX_LABEL, ""], ids=["ascii", "four bytes", "none"]
)
def test_the_longest_name_that_is_taken_can_be_said_again(name):
    """Its owner says it in a Hello, and another one passes its log on."""
    alice = direct("alice")
    alice.ingest(introduced(HONEST | {"name": name}))
    alice.flush()
    bob = direct("bob")
    bob.ingest(list(alice.all_slices()))
    bob.flush()
    assert bob.heads == alice.heads
    assert decode(encode(Hello(FORMAT, "shop", ME, name, b"", NOW))).name == name


def test_a_log_that_holds_what_is_refused_now_opens_and_writes():
    """A name of a thousand letters was taken once. The file opens, and what others hold of its store comes in."""
    log = MemoryLog()
    old = Identity("shop", 5, "n" * 1000, ())
    first = DirectReplica(log, "shop", "alice", [ShoppingList], random=Random(1), identity=old)
    first.append(HOME, [ShoppingList.events[0]("milk")], NOW)
    first.flush()
    again = DirectReplica(log, "shop", "alice", [ShoppingList], random=Random(2))
    assert again.core.identity.name == "n" * 1000
    assert set(again.present(HOME).items) == {"milk"}
    again.ingest(slices()[:1])
    again.flush()
    assert len(again.heads) == 2


def test_what_is_packed_is_no_larger_than_a_batch_may_be():
    """A few bytes of zstd that claim more, or come to more, find no room."""
    piece = slices()[0]

    def of(size: int) -> bytes:
        return bytes_of(pack(msgspec.structs.replace(piece, columns=(*piece.columns[:PAYLOAD], bytes(size)))))

    for parts in ([of(MAX_BATCH + 2048)], [of(MAX_BATCH)], [of(MAX_BATCH // 2 + 1)] * 2):
        frame = msgspec.msgpack.encode([2, 1, 1, parts])
        assert len(frame) < 4096
        with pytest.raises(RemoteProtocolError, match=r"cannot have|more than 8388608 bytes, unpacked"):
            decode(frame)
