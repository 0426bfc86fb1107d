"""What replicas say to each other, and how it looks on the wire: one message a frame, msgpack.

| tag | message | meaning                                                                             |
|-----|---------|-------------------------------------------------------------------------------------|
| 0   | Hello   | who I am, and how far in the future I accept stamps                                   |
| 1   | Have    | the heads of all logs that I hold, in one or more parts; `reply` asks for yours        |
| 2   | Batch   | commits: slices that, with what you said you have, are causally closed                |
| 3   | Ack     | batch `number` is durable here; a digest of all my heads now                          |
| 4   | Digest  | a digest of all my heads now; said every 2 s                                          |
| 5   | Bye     | the session ends, and why                                                             |
| 6   | Known   | what members are known to have observed, those that have not been said on this link   |
| 7   | Presents | what I read some streams as: `replica.comparing.Row`                                  |
| 8   | Compared | a verdict on each row of Presents `number`                                            |
| 9   | Traced  | what a stretch of a stream of Presents `number` comes to here; `reply` is an answer    |

What a Hello says of stores and a Known of members is kept, what is said of presents may raise an alarm, and none of
it can be held against anything else: these end in a check of 8 bytes, so that what has changed on its way is none.
All else is believed when it proves right.

Every message is an array that begins with its tag. Unknown tags and extra elements end the session: a later
format says so in its Hello.

Whatever may be long has a bound here, which its sender keeps to: heads in a part, pairs, rows, slices, bytes and
events. What an honest replica has more of than that goes in several messages, however much it is.
"""

from __future__ import annotations

from hashlib import blake2b
from operator import is_
from typing import Annotated

import msgspec
import zstandard

from replica.block import HASH, PERSON, Slice
from replica.commit import MAX_NAME, Label, Words
from replica.comparing import MARKS, Mark, Row
from replica.outgoing import MAX_SLICES
from replica.packed import Packed, pack, unpack
from sync.errors import RemoteProtocolError

FORMAT = 1
MAX_FRAME = 2 << 20
"""Bytes. A commit has at most 256 KiB of payload, a block at most twice that; the rest is room for names, and for
others."""
MAX_BATCH = 8 << 20
"""Bytes of the columns of a batch, unpacked."""
BATCH_EVENTS = 100_000
"""Events in a batch, at most: it is taken in one step. Senders stop at two thirds of that (`replica.outgoing`)."""

PART = 16_384
"""Heads in one part of a Have: about 0.75 MiB."""
MAX_PARTS = 256
"""Parts of a Have: four million heads. Each is gone through as it comes."""
PORTION = 1024
"""Names of stores in one Hello. Whoever has heard of more says several Hellos."""
MAX_PAIRS = 16_384
"""Pairs of replica and seq in one Known: what is more is said at the next tick."""
ROWS = 64
"""Presents that are said at once."""

Bits64 = Annotated[int, msgspec.Meta(ge=0)]
Hash = Annotated[bytes, msgspec.Meta(min_length=HASH, max_length=HASH)]
Short = Annotated[bytes, msgspec.Meta(max_length=64)]
"""Digests, nonces, checks."""


class _Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of messages."""


class Hello(_Message, frozen=True, tag=0):
    format: int
    store: Label
    replica: Bits64
    name: Label
    nonce: Short
    """Chosen anew by each process: tells a copy of a replica from the replica itself."""
    horizon: int
    """Wall ms: no commit stamped later may be sent here."""
    joined: Annotated[list[Label], msgspec.Meta(max_length=PORTION)] = []
    """Other stores that have become one with this."""
    check: Short = b""

    @property
    def stores(self) -> frozenset[str]:
        """All stores whose logs are held."""
        return frozenset((self.store, *self.joined))


class Have(_Message, frozen=True, tag=1):
    number: Bits64
    """Counts the Haves of this side. Batches say which they answer."""
    heads: Annotated[list[tuple[Bits64, Bits64, Hash]], msgspec.Meta(max_length=PART)]
    reply: bool
    part: Bits64 = 0
    parts: Bits64 = 1


class Batch(_Message, frozen=True, tag=2):
    number: Bits64
    answers: Bits64
    """The number of the latest Have that the sender had received."""
    slices: list[Slice]


class _PackedBatch(_Message, frozen=True, tag=2):
    """The same as it is sent."""

    number: Bits64
    answers: Bits64
    slices: list[Slice | bytes]
    """Large ones as packed bytes (see `replica.packed`)."""


class Ack(_Message, frozen=True, tag=3):
    number: Bits64
    digest: Short
    horizon: int


class Digest(_Message, frozen=True, tag=4):
    digest: Short
    horizon: int
    known: Short = b""
    """A digest of what all members are known here to have observed."""


class Bye(_Message, frozen=True, tag=5):
    kind: Words
    text: Words


class Known(_Message, frozen=True, tag=6):
    rows: list[tuple[Bits64, list[tuple[Bits64, Bits64]]]]
    """Members, each with the version that it is known to have observed."""
    check: Short = b""


class Presents(_Message, frozen=True, tag=7):
    number: Bits64
    rows: Annotated[list[Row], msgspec.Meta(max_length=ROWS)]
    check: Short = b""


class Compared(_Message, frozen=True, tag=8):
    number: Bits64
    verdicts: Annotated[list[Annotated[int, msgspec.Meta(ge=0, le=4)]], msgspec.Meta(max_length=ROWS)]
    """See `sync.comparing`."""
    check: Short = b""


class Traced(_Message, frozen=True, tag=9):
    number: Bits64
    stream: Annotated[str, msgspec.Meta(max_length=MAX_NAME)]
    low: Bits64
    high: Bits64
    """The stretch after event `low` up to event `high`, in the order of stamps; 0: up to the end."""
    marks: Annotated[list[Mark], msgspec.Meta(max_length=2 * MARKS)]
    reply: bool
    check: Short = b""


Checked = Hello | Known | Presents | Compared | Traced
"""Messages that end in a check."""
Message = Hello | Have | Batch | Ack | Digest | Bye | Known | Presents | Compared | Traced

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(
    Hello | Have | _PackedBatch | Ack | Digest | Bye | Known | Presents | Compared | Traced
).decode


def encode(message: Message) -> bytes:
    """The frame of a message; with its check, where it is to have one."""
    if isinstance(message, Batch):
        return b"\x94\x02" + _encode(message.number) + _encode(message.answers) + _PACKED.of(message.slices)
    if isinstance(message, Checked):
        message = msgspec.structs.replace(message, check=_check(message))
    return _encode(message)


class _PackedSlices:
    """Slices as they are sent. What has just become durable is sent on many links: it is encoded once."""

    def __init__(self) -> None:
        self._last: tuple[tuple[Slice, ...], bytes] = (), b"\x90"

    def of(self, slices: list[Slice]) -> bytes:
        """The array of these slices."""
        held, encoded = self._last
        if len(held) != len(slices) or not all(map(is_, held, slices)):
            pieces = map(pack, slices)
            encoded = _encode([piece.data if isinstance(piece, Packed) else piece for piece in pieces])
            self._last = tuple(slices), encoded
        return encoded


_PACKED = _PackedSlices()


def _check(message: Checked) -> bytes:
    """8 bytes that follow from all else that a message says."""
    whole = _encode(msgspec.structs.replace(message, check=b""))
    return blake2b(whole, digest_size=8, person=PERSON).digest()


def decode(frame: bytes) -> Message:
    """The message in a frame; RemoteProtocolError where there is none."""
    if len(frame) > MAX_FRAME:
        raise RemoteProtocolError("too-large", f"a frame of {len(frame)} bytes; the limit is {MAX_FRAME}")
    try:
        message: Message | _PackedBatch = _decode(frame)
        if isinstance(message, _PackedBatch):
            return Batch(message.number, message.answers, _unpacked(message.slices))
    except (msgspec.DecodeError, zstandard.ZstdError, ValueError, RecursionError) as error:
        raise RemoteProtocolError("unreadable", f"a frame that is no message: {error}") from error
    if isinstance(message, Checked) and message.check != _check(message):
        raise RemoteProtocolError("unreadable", f"a {type(message).__name__} that has changed on its way")
    return message


def _unpacked(parts: list[Slice | bytes]) -> list[Slice]:
    """The slices of a batch; ValueError where they are more than fits."""
    if len(parts) > MAX_SLICES:
        raise RemoteProtocolError("too-large", f"a batch of {len(parts)} slices; the limit is {MAX_SLICES}")
    pieces: list[Slice] = []
    room = MAX_BATCH
    for part in parts:
        piece = unpack(part, room) if isinstance(part, bytes) else part
        room -= piece.size
        if room < 0:
            raise RemoteProtocolError("too-large", f"a batch of more than {MAX_BATCH} bytes, unpacked")
        pieces.append(piece)
    events = sum([piece.last - piece.after for piece in pieces])
    if events > BATCH_EVENTS:
        raise RemoteProtocolError("too-large", f"a batch of {events} events; the limit is {BATCH_EVENTS}")
    return pieces
