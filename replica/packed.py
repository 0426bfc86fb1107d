"""A slice as bytes: the same in a file and on a link.

Rule 1. A slice is packed once, by who cuts it or seals its block. Who forwards it, and who stores it, takes the
        bytes as they are; they are never hashed.
Rule 2. Small slices are plain msgpack, others that in one frame of zstd, which begins with the size of what is in
        it: so nobody can be made to find room for more than MAX_UNPACKED. The first byte tells the two apart.
Rule 3. A slice has its eight elements and no more: what else came with it nothing hashes and nothing counts. A file
        may hold such a one from a time when that was not looked at: it is read without what is too much, and packed
        anew before it is sent.
"""

from __future__ import annotations

import msgspec
import zstandard
from msgspec.structs import astuple

from replica.block import Slice

SMALL = 1024
"""Bytes of columns below which nothing is won by compressing them."""
LEVEL = 1
"""Of zstd: blocks are no smaller with higher ones, and take longer."""
MAX_UNPACKED = 64 << 20
"""Bytes of the columns of a packed slice, at most. With names, notes and payloads at their limits a block has some
20 MiB; one whose contexts make it larger stays in its parts."""
HEADER = 1024
"""Bytes of a slice beside its columns, at most."""

_FRAME = zstandard.FRAME_HEADER[0]
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Slice).decode
_idle: list[zstandard.ZstdDecompressor] = []
"""Those that nobody uses: one must not be used by two threads, and takes half as long to make as to use."""


class Packed(Slice, frozen=True, array_like=True, gc=False):
    """A slice, with the bytes that it came in. Equal to the same slice without them."""

    data: bytes = b""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Slice) and astuple(self)[:8] == astuple(other)[:8]

    def __hash__(self) -> int:
        return hash((self.replica, self.last, self.head))


def pack(piece: Slice) -> Slice:
    """A slice with its bytes, where it is large enough for that."""
    if type(piece) is Packed or piece.size < SMALL:
        return piece
    return _packed(piece, zstandard.ZstdCompressor(level=LEVEL).compress(_pack(piece)))


def bytes_of(piece: Slice) -> bytes:
    """A slice as bytes."""
    piece = pack(piece)
    return piece.data if isinstance(piece, Packed) else _pack(piece)


def unpack(data: bytes, most: int = MAX_UNPACKED) -> Slice:
    """The slice that these bytes are; ValueError or an error of zstd or msgspec where they are none.

    It has at most `most` bytes of columns.
    """
    if not data or data[0] != _FRAME:
        return _unpack(data)
    return _packed(_unpack(_plain(data, most)), data)


def unpack_held(data: bytes) -> Slice:
    """The slice that these bytes of a file are (rule 3)."""
    try:
        return unpack(data)
    except msgspec.ValidationError:
        plain = _plain(data, MAX_UNPACKED) if data and data[0] == _FRAME else data
        return msgspec.convert(msgspec.msgpack.decode(plain)[:8], Slice)


def _plain(data: bytes, most: int) -> bytes:
    size = zstandard.frame_content_size(data)
    if not 0 <= size <= most + HEADER:
        raise ValueError(f"a packed slice cannot have {size} bytes")
    decompressor = _idle.pop() if _idle else zstandard.ZstdDecompressor()
    plain = decompressor.decompress(data, allow_extra_data=False)
    _idle.append(decompressor)
    return plain


def _packed(piece: Slice, data: bytes) -> Packed:
    p = piece
    return Packed(p.replica, p.first, p.after, p.last, p.commits, p.base, p.head, p.columns, data)
