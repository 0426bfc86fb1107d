"""How deep a payload is nested: one limit, at the door of its author and at that of everybody else.

Rule. An array or a map that lies in MAX_DEPTH others is one too many. Readers go down into a payload by levels,
and how far they can go depends on the stack that they are called from: without a limit, one payload could be read
here and not there, and would keep everybody from reading the block that it lies in.
"""

from __future__ import annotations

MAX_DEPTH = 128
"""Levels of arrays and maps in one payload. Documents that people write have some 20; a reader that goes down with
three calls a level has room on the 1,000 calls that Python allows, wherever it is called from."""

_CONTAINERS = bytes((*range(0x80, 0xA0), *range(0xDC, 0xE0)))
"""First bytes of arrays and maps. (They are found in texts and numbers, too.)"""
_FIXED = {0xCA: 5, 0xCB: 9, 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9,
          0xD4: 3, 0xD5: 4, 0xD6: 6, 0xD7: 10, 0xD8: 18}  # fmt: skip
"""Bytes of what always has as many, by its first byte."""
_SIZED = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1),
          0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0)}  # fmt: skip
"""Bytes that say the size of what follows, and bytes that come with it, by the first byte."""


def too_deep(payload: bytes) -> bool:
    """Is a payload, which is one whole msgpack value, nested deeper than MAX_DEPTH?"""
    if len(payload) <= MAX_DEPTH or len(payload) - len(payload.translate(None, _CONTAINERS)) <= MAX_DEPTH:
        return False  # so few bytes can begin a level
    left: list[int] = []
    """Values that are still to come at each level."""
    at = 0
    while at < len(payload):
        first = payload[at]
        values = -1
        if first <= 0x7F or first >= 0xE0 or 0xC0 <= first <= 0xC3:
            at += 1
        elif first <= 0x9F:
            values, at = (first & 15) << (first < 0x90), at + 1
        elif first <= 0xBF:
            at += 1 + (first & 31)
        elif first in _FIXED:
            at += _FIXED[first]
        elif first in _SIZED:
            width, more = _SIZED[first]
            at += 1 + width + more + int.from_bytes(payload[at + 1 : at + 1 + width], "big")
        else:
            width = 2 if first in (0xDC, 0xDE) else 4
            values = int.from_bytes(payload[at + 1 : at + 1 + width], "big") << (first >= 0xDE)
            at += 1 + width
        if left:
            left[-1] -= 1
        if values >= 0:
            if len(left) == MAX_DEPTH:
                return True
            left.append(values)
        while left and not left[-1]:
            left.pop()
    return False
