"""Format 1, pinned: bytes that were written once must be written, and read, the same for ever.

Packed slices are the exception: each version of zstd compresses as it likes, and reads what any has written. So
of those it is pinned that they are read.

The golden file was made by this test with `python -m tests.test_format`, which is for a change of format only.
"""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from replica import comparing
from replica.arrange import Gap
from replica.block import Slice
from replica.commit import Note
from replica.layout import cut
from replica.packed import Packed, bytes_of, unpack
from sync import standing
from sync.direct import DirectNode
from sync.message import Ack, Batch, Bye, Compared, Digest, Have, Known, Presents, Traced, decode, encode
from tests.shop import HOME, AddItem, Count, GiveTitle, ItemAdded, RemoveItem, Write, direct

GOLDEN = Path(__file__).parent / "golden" / "format1.json"
NOW = 1_767_225_600_000


def replicas():
    """Two replicas that have written everything there is, and met halfway."""
    alice, bob = direct("alice"), direct("bob")
    for turn in range(2):
        for here, there in ((alice, bob), (bob, alice)):
            now = NOW + turn
            here.execute(HOME, AddItem("milk"), now)
            twice = [ItemAdded("Grüße 🌊"), ItemAdded("Grüße 🌊'")]
            here.append(HOME, twice, now, Note(f"command {turn}", "correlation", (1, 2), None))
            here.execute(HOME, RemoveItem("milk"), now)
            here.execute("list/work", GiveTitle("Work"), now + 100)
            here.execute(HOME, Count(-5), now)
            here.execute(HOME, Write("héllo"), now)
            here.append(HOME, [ItemAdded(f"item {n}") for n in range(600)], now)
            here.flush()
            assert not isinstance(there.ingest(list(here.all_slices())), Gap)
            there.flush()
    return alice, bob


def rows_of(replica):
    """What it says of its presents, but for the fingerprint of their code."""
    for stream in (HOME, "list/work"):
        replica.present(stream)
    instant = comparing.instant_of(replica.core)
    rows = [comparing.loaded_row(replica.core, instant, stream)[0] for stream in (HOME, "list/work")]
    return [row._replace(fold=b"fingerprint     ") for row in rows]


def marks_of(replica):
    """What it says of a stream that another one reads differently."""
    steps = comparing.marks_of(replica.core, comparing.instant_of(replica.core), HOME, 0, 0)
    return DirectNode(replica, b"alice").carry_through(steps).marks[:3]


def written() -> dict[str, object]:
    """All bytes of the format: slices, heads, frames; and what they come to."""
    alice, bob = replicas()
    core = alice.core
    heads = core.frontier.heads
    rows = [(replica, *head) for replica, own in sorted(heads.items()) for head in own]
    slices = list(alice.all_slices())
    frames = [
        standing.hello(core, b"nonce...", NOW + 101),
        Have(3, rows, True),
        Batch(4, 3, [cut(slices[0], 0, 5, slices[0].base, slices[0].base)]),
        Ack(4, core.frontier.digest, NOW),
        Digest(core.frontier.digest, NOW),
        Bye("store", "another store"),
        Known([(member, [(replica, head.seq) for replica, (head,) in sorted(heads.items())]) for member in heads]),
        Presents(5, rows_of(alice)),
        Compared(5, [0, 1, 2, 3, 4]),
        Traced(5, HOME, 0, 0, marks_of(alice), False),
    ]
    assert bob.heads == alice.heads
    return {
        "heads": {f"{replica:016x}": [head.seq, head.hash.hex()] for replica, head in alice.heads},
        "slices": [msgspec.msgpack.encode(piece).hex() for piece in slices],
        "frames": [encode(frame).hex() for frame in frames],
        "digests": {stream: alice.digest(stream) for stream in (HOME, "list/work")},
    }


def test_what_is_written_is_byte_for_byte_what_was_written():
    """Columns, slices, heads, frames and digests of presents, for a log with everything in it."""
    golden = json.loads(GOLDEN.read_text())
    assert written() == {key: golden[key] for key in written()}


def test_what_was_written_can_be_read():
    """A replica that gets the golden slices has the golden heads and presents; frames decode and encode."""
    golden = json.loads(GOLDEN.read_text())
    carol = direct("carol")
    slices = [msgspec.msgpack.decode(bytes.fromhex(piece), type=Slice) for piece in golden["slices"]]
    assert not isinstance(carol.ingest(slices), Gap)
    carol.flush()
    assert {f"{replica:016x}": [head.seq, head.hash.hex()] for replica, head in carol.heads} == golden["heads"]
    assert {stream: carol.digest(stream) for stream in golden["digests"]} == golden["digests"]
    for frame in map(bytes.fromhex, golden["frames"]):
        assert encode(decode(frame)) == frame


def test_packed_bytes_that_were_written_can_be_read():
    """As they stand in a file and in a Batch: the slices that they were made of."""
    golden = json.loads(GOLDEN.read_text())
    slices = [msgspec.msgpack.decode(bytes.fromhex(piece), type=Slice) for piece in golden["slices"]]
    packed = [unpack(bytes.fromhex(data)) for data in golden["packed"]]
    assert packed == slices
    assert any(isinstance(piece, Packed) for piece in packed)
    batch = decode(bytes.fromhex(golden["batch"]))
    assert isinstance(batch, Batch)
    assert batch.slices == slices


if __name__ == "__main__":
    pieces = [*replicas()[0].all_slices()]
    packed = {"packed": [bytes_of(piece).hex() for piece in pieces], "batch": encode(Batch(4, 3, pieces)).hex()}
    GOLDEN.write_text(json.dumps(written() | packed, indent=1) + "\n")
