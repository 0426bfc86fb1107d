"""What may stand in an edit of a text, checked before it is handed to Yjs.

Edits come from others. Yjs makes room for as many clients as an update says it has, and reads values within values
by recursion: a few bytes that claim 2^29 clients take a gigabyte, and an array in an array, 100,000 deep, ends the
process without a word. An edit of plain text needs none of that: runs of characters, what was deleted, and gaps.

    update    = clients, { blocks, client, clock, { block } }, clients, { client, ranges, { clock, length } }
    block     = 0, length                   of characters that are gone
              | 10, length                  that are not in this update
              | info, [origin], [right], [parent], [key], content
    parent    = 1, name | 0, id             where neither origin nor right says it
    content   = length | characters         by the lower bits of info: 1, deleted; 4, a string

Numbers are unsigned, seven bits a byte, the lowest first; strings are their length in bytes and UTF-8; `info` is
one byte. Whatever is counted takes a byte or more, so no count exceeds the bytes that are left.

Source: the first update format of Yjs, https://github.com/yjs/yjs.
"""

from __future__ import annotations

import re
from functools import lru_cache

GONE, DELETED, STRING, ABSENT = 0, 1, 4, 10
KEY, RIGHT, ORIGIN = 0x20, 0x40, 0x80
CONTENT = 0x0F

_NUMBER = rb"[\x80-\xff]{0,9}[\x00-\x7f]"
_ID = _NUMBER * 2
_PLACE = rb"(?:\x84%b|\x44%b|\xc4%b)" % (_ID, _ID, _ID * 2)
_typed = re.compile(rb"\x01\x01(%b)(%b)%b([\x00-\x7f])(.*)\x00" % (_NUMBER, _NUMBER, _PLACE), re.DOTALL).fullmatch
_took_out = re.compile(rb"\x00\x01(%b)\x01(%b)(%b)" % (_NUMBER, _NUMBER, _NUMBER)).fullmatch
"""Nearly all edits: some characters, typed in one place, and nothing deleted; or one run of characters deleted, and
none typed. The same as below, in one step."""


class _Bytes:
    """An update, and how much of it was read."""

    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    @property
    def peek(self) -> int:
        return self._data[self.at]

    def byte(self) -> int:
        self.at += 1
        return self._data[self.at - 1]

    def number(self) -> int:
        byte = self._data[self.at]
        self.at += 1
        if byte < 0x80:
            return byte
        value, shift = byte & 0x7F, 7
        while byte >= 0x80:
            if shift > 63:
                raise ValueError("a number of more than 64 bits")
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
        return value

    def count(self) -> int:
        """A number of things that follow."""
        value = self.number()
        if value > len(self._data) - self.at:
            raise ValueError(f"{value} things in {len(self._data) - self.at} bytes")
        return value

    def string(self) -> bytes:
        size = self.count()
        self.at += size
        found = self._data[self.at - size : self.at]
        found.decode()
        return found

    def identity(self) -> tuple[int, int]:
        return self.number(), self.number()


def check(update: bytes) -> None:
    """ValueError where an update is no edit of a text."""
    typed = _typed(update)
    if typed is not None and len(typed[4]) == typed[3][0]:
        typed[4].decode()
        return
    if typed is None and _took_out(update) is not None:
        return
    read = _Bytes(update)
    try:
        _update(read)
    except IndexError:
        raise ValueError("it ends too early") from None
    if read.at != len(update):
        raise ValueError(f"{len(update) - read.at} bytes too many")


def reach(update: bytes) -> dict[int, int]:
    """Of an edit that was checked: how far each client must have come where all of it is in its place."""
    typed = _typed(update)
    if typed is not None and len(typed[4]) == typed[3][0]:
        return {_number(typed[1]): _number(typed[2]) + _length(typed[4])}
    took_out = _took_out(update)
    if took_out is not None:
        return {_number(took_out[1]): _number(took_out[2]) + _number(took_out[3])}
    return _update(_Bytes(update))


@lru_cache(4096)
def _number(data: bytes) -> int:
    return _Bytes(data).number()


def _length(characters: bytes) -> int:
    """What clocks count: units of UTF-16."""
    return len(characters) if characters.isascii() else len(characters.decode().encode("utf-16-le")) // 2


def clocks(state: bytes) -> dict[int, int]:
    """How far each client has come, by the state vector of a document."""
    read = _Bytes(state)
    return dict([read.identity() for _ in range(read.count())])


def _update(read: _Bytes) -> dict[int, int]:
    reached: dict[int, int] = {}
    for _ in range(read.count()):
        blocks = read.count()
        client, clock = read.identity()
        for _ in range(blocks):
            absent = read.peek == ABSENT
            clock += _block(read)
            if not absent:
                reached[client] = max(clock, reached.get(client, 0))
    for _ in range(read.count()):
        client = read.number()
        for _ in range(read.count()):
            clock, length = read.identity()
            reached[client] = max(clock + length, reached.get(client, 0))
    return reached


def _block(read: _Bytes) -> int:
    """One block; its length, as clocks count it."""
    info = read.byte()
    if info in (GONE, ABSENT):
        return read.number()
    if info & ORIGIN:
        read.identity()
    if info & RIGHT:
        read.identity()
    if not info & (ORIGIN | RIGHT):
        if read.number() == 1:
            read.string()
        else:
            read.identity()
        if info & KEY:
            read.string()
    if info & CONTENT == DELETED:
        return read.number()
    if info & CONTENT == STRING:
        return _length(read.string())
    raise ValueError(f"content of the kind {info & CONTENT}, which is no text")
