"""The doors by which bytes come in, as functions of bytes: for the fuzzer, and for what it has found.

| door  | the first byte chooses                        | the rest is                                           |
|-------|-----------------------------------------------|-------------------------------------------------------|
| frame | a scene: a session and the node that it is of | the frame that arrives there                          |
| block | a row of a file; or 255                       | the bytes in that row; or a forged log, see `Forgery` |
| text  | -                                             | an edit of a text                                     |

Each lets nothing out but what `tests.judges` describes; anything else raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec

from merge.stamp import Stamp
from merge.text import Measure, TextError, TextState
from replica.arrange import Gap
from replica.block import GENESIS, Slice, Tail, digests_of, head_of
from replica.columns import PER_COMMIT, array, split
from replica.commit import Commit, Note, Recorded
from replica.direct import DirectReplica
from replica.errors import AnabranchError, InvalidBatch
from replica.introduction import ReplicaIntroduced, introduction
from replica.layout import Layout
from replica.memory import MemoryLog
from sync.errors import RemoteProtocolError
from sync.message import Batch, decode, encode
from sync.testing.network import NOW
from tests.damage import EXTREMES, damaged
from tests.flips import SCENES, inside
from tests.judges import Blocks, Honest, Wire
from tests.material import STREAMS, world
from tests.shop import HOME, JOURNAL, Journal, ShoppingList

STRANGER = 4242
FORGED = 255


class Door:
    """What a fuzzer needs: where to begin, how to change it by what it means, and where to put it."""

    def seeds(self) -> Iterator[bytes]:
        raise NotImplementedError

    def change(self, random: Random, data: bytes) -> bytes | None:
        """Something close to `data` that still holds together; None where nothing is known of it."""

    def enter(self, data: bytes) -> None:
        raise NotImplementedError


class Frames(Door):
    """Frames into sessions of whole nodes."""

    def __init__(self) -> None:
        made = world(1)
        honest = Honest.of(made.replicas)
        by_name: dict[str, list[Wire]] = {}
        for scene in made.scenes:
            wires = by_name.setdefault(scene.name, [])
            if len(wires) < SCENES:
                wires.append(Wire(scene, honest))
        self._wires = [wire for wires in by_name.values() for wire in wires]

    def seeds(self) -> Iterator[bytes]:
        for number, wire in enumerate(self._wires):
            yield bytes([number]) + wire.whole

    def change(self, random: Random, data: bytes) -> bytes | None:
        try:
            message = decode(data[1:])
        except RemoteProtocolError:
            return None
        if not isinstance(message, Batch) or not any(map(any, (piece.columns for piece in message.slices))):
            return None
        return data[:1] + inside(random, message)[1]

    def enter(self, data: bytes) -> None:
        if len(data) > 1:
            self._wires[data[0] % len(self._wires)].judge(data[1:])


class Forgery(msgspec.Struct, array_like=True):
    """A log of one slice that a stranger wrote, with the hashes that it must have: only the rules are left."""

    commits: int
    events: int
    columns: tuple[bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes]

    def slice(self) -> Slice:
        head = head_of("shop", STRANGER, 1, GENESIS, digests_of(self.columns))
        return Slice(STRANGER, 1, 0, self.events, self.commits, GENESIS, head, self.columns)

    def changed(self, random: Random) -> Forgery:
        """With one element of a column in the place of another, or something else in its place."""
        columns = [*self.columns]
        at = random.choice((random.randrange(len(columns)), len(columns) - 1))
        count = self.commits if at < PER_COMMIT else self.events
        elements = [bytes(raw) for raw in split(array(count, columns[at]))]
        which = random.randrange(len(elements))
        if random.random() < 0.5:
            elements[which] = random.choice((*EXTREMES, *elements, msgspec.msgpack.encode(random.getrandbits(40))))
        else:
            elements[which] = damaged(random, elements[which], elements)[1]
        columns[at] = b"".join(elements)
        grown = len(elements) - which if random.random() < 0.1 else 0
        return Forgery(self.commits, self.events + grown, tuple(columns))  # type: ignore[arg-type]


_forgery = msgspec.msgpack.Decoder(Forgery).decode


class StoredBlocks(Door):
    """Bytes into the rows of a file, and logs that are forged with care into a replica."""

    def __init__(self) -> None:
        made = world(1)
        full = world(1, full=True)
        self._blocks = [(blocks, row) for blocks in map(Blocks, (made, full)) for row in blocks.rows]

    def seeds(self) -> Iterator[bytes]:
        for number, (_, row) in enumerate(self._blocks):
            data = row.plain
            if len(data) < 60_000:
                yield bytes([number]) + data
        for forged in _honest_forgeries():
            yield bytes([FORGED]) + msgspec.msgpack.encode(forged)

    def change(self, random: Random, data: bytes) -> bytes | None:
        if data[:1] != bytes([FORGED]):
            return None
        try:
            return bytes([FORGED]) + msgspec.msgpack.encode(_forgery(data[1:]).changed(random))
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError, OverflowError):
            return None

    def enter(self, data: bytes) -> None:
        if not data:
            return
        if data[0] != FORGED:
            blocks, row = self._blocks[data[0] % len(self._blocks)]
            blocks.judge(row, data[1:])
            return
        try:
            frame = encode(Batch(1, 1, [_forgery(data[1:]).slice()]))
            message = decode(frame)
        except (msgspec.DecodeError, UnicodeDecodeError, OverflowError, RemoteProtocolError):
            return
        assert isinstance(message, Batch)
        receive_forged(message.slices[0])


def receive_forged(piece: Slice) -> bool:
    """A replica is sent a forged slice. Was it taken? Then all read the same of it, however it is cut."""
    replica = _replica()
    _reading(replica)
    try:
        found = replica.ingest([piece], NOW + 10**9)
    except InvalidBatch:
        replica.core.drop()
        return False
    if isinstance(found, Gap):
        return False
    replica.flush()
    again = _replica(replica.log)
    readings = [_reading(again)]
    assert _reading(replica) == readings[0], "as it came, and as it is read from the log"
    (whole,) = (held for held in again.all_slices() if held.replica == STRANGER)
    layout = Layout("shop", whole)
    other = _replica()
    _reading(other)
    for index in range(whole.commits):
        assert not isinstance(other.ingest([layout.cut(index, index + 1)]), Gap)
        other.flush()
    assert other.heads == replica.heads, "commit by commit, and at once"
    assert _reading(other) == readings[0], "commit by commit, and at once"
    return True


def _replica(log: Any = None) -> DirectReplica:
    return DirectReplica(log or MemoryLog(), "shop", "receiver", (ShoppingList, Journal), random=Random(1))


def _reading(replica: DirectReplica) -> list[str]:
    """The presents, or why there is none."""
    found = []
    for stream in STREAMS:
        try:
            found.append(replica.digest(stream))
        except AnabranchError as error:
            found.append(type(error).__name__)
    return found


def _honest_forgeries() -> Iterator[Forgery]:
    """Logs with everything in them that a commit may hold, and each payload with what msgpack has at its limits."""
    intro = introduction(ReplicaIntroduced("shop", "stranger", STRANGER))
    item = Recorded(HOME, "ItemAdded", 1, b"\x81\xa4item\xa1x")
    line = Recorded(JOURNAL, "Noted", 1, b"\x81\xa4line\xa1x")
    edit = Recorded(HOME, "NoteEdited", 1, msgspec.msgpack.encode({"update": _edit("ab")}))
    count = Recorded(HOME, "Counted", 1, b"\x81\xa6amount\x05")
    unknown = Recorded("else/where", "Unknown", 7, b"\xc0")
    joined = Recorded(intro.stream, "StoresJoined", 1, msgspec.msgpack.encode({"stores": ["bank"]}))
    retired = Recorded(intro.stream, "ReplicaRetired", 1, msgspec.msgpack.encode({"replica": STRANGER}))
    strange = [Recorded(HOME, "Counted", 1, b"\x81\xa6amount" + extreme) for extreme in EXTREMES]
    for events in ([item, line], [edit, count], [unknown, joined, retired], *([one] for one in strange)):
        tail = Tail("shop", STRANGER)
        note = Note("command", "correlation", (STRANGER, 1), "subject")
        pieces = [
            tail.append(Commit(STRANGER, 1, Stamp(NOW, 0, STRANGER), (), None, (intro,))),
            tail.append(Commit(STRANGER, 2, Stamp(NOW + 1, 3, STRANGER), (), note, tuple(events))),
        ]
        columns: Any = tuple(b"".join(parts) for parts in zip(*(piece.columns for piece in pieces), strict=True))
        yield Forgery(2, 1 + len(events), columns)


def _edit(text: str) -> bytes:
    return TextState().edit([(0, 0, text)], STRANGER, [], EMPTY)


EMPTY = Measure(0, ascii=True)
HELD = TextState().edit([(0, 0, "ab")], STRANGER ^ 1, [], EMPTY)
"""A text by somebody else: who edits under an id of another can make replicas differ (docs/guarantees.md)."""


class Texts(Door):
    """Edits of a text."""

    def seeds(self) -> Iterator[bytes]:
        state, ahead, measure = TextState(), list[bytes](), EMPTY
        for change in ((0, 0, "漢字 ab"), (1, 3, "👨‍👩‍👧"), (0, 2, ""), (1, 1, "x")):
            yield state.edit([change], STRANGER, ahead, measure)
            measure = measure.after(*change)
        yield b"\x01\x01\x05\x00\x00\x04\x00"
        yield b"\x01\x02\x05\x00\x0a\x04\x01\x01\x04text\x03\x00"

    def enter(self, data: bytes) -> None:
        try:
            state = TextState() | TextState.of(HELD)
            state = state | TextState.of(data)
            str(state)
            assert str(TextState.of(state.to_bytes())) == str(state)
        except TextError:
            return


DOORS: dict[str, Any] = {"frame": Frames, "block": StoredBlocks, "text": Texts}
