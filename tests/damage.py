"""Damage: what a disk, a network or a stranger may do to bytes. The same from the same chance."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

EXTREMES = (
    b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", b"\xcf\x80\x00\x00\x00\x00\x00\x00\x00",
    b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00", b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
    b"\xff", b"\xc0", b"\xc1", b"\x00", b"\xa1\xff", b"\xa3\xed\xa0\x80", b"\x91" * 200,
    b"\xdd\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff",
)  # fmt: skip
"""msgpack at its limits: the greatest and smallest numbers, NaN, what is no element, half a surrogate pair, arrays
in arrays, lengths that no frame has."""


def _flip(random: Random, data: bytes, others: list[bytes]) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _truncate(random: Random, data: bytes, others: list[bytes]) -> bytes:
    return data[: random.randrange(len(data))]


def _cut(random: Random, data: bytes, others: list[bytes]) -> bytes:
    start, stop = _run(random, data)
    return data[:start] + data[stop:]


def _double(random: Random, data: bytes, others: list[bytes]) -> bytes:
    start, stop = _run(random, data)
    return data[:stop] + data[start:]


def _swap(random: Random, data: bytes, others: list[bytes]) -> bytes:
    one, two, three, four = sorted(random.randrange(len(data) + 1) for _ in range(4))
    return data[:one] + data[three:four] + data[two:three] + data[one:two] + data[four:]


def _insert(random: Random, data: bytes, others: list[bytes]) -> bytes:
    at = random.randrange(len(data) + 1)
    return data[:at] + random.randbytes(random.randint(1, 8)) + data[at:]


def _extreme(random: Random, data: bytes, others: list[bytes]) -> bytes:
    at = random.randrange(len(data))
    return data[:at] + random.choice(EXTREMES) + data[at + random.randrange(2) :]


def _splice(random: Random, data: bytes, others: list[bytes]) -> bytes:
    other = random.choice(others)
    at = random.randrange(len(data))
    return data[:at] + other[min(at, len(other) - 1) if random.random() < 0.7 else random.randrange(len(other)) :]


def _run(random: Random, data: bytes) -> tuple[int, int]:
    """Some bytes in a row, mostly few of them."""
    start = random.randrange(len(data))
    return start, min(len(data), start + random.choice((1, 2, 4, 9, 32, 33, len(data))))


WAYS: dict[str, Callable[[Random, bytes, list[bytes]], bytes]] = {
    "flip": _flip, "truncate": _truncate, "cut": _cut, "double": _double, "swap": _swap, "insert": _insert,
    "extreme": _extreme, "splice": _splice,
}  # fmt: skip
_OFTEN = ("flip",) * 6 + ("truncate",) * 3 + tuple(WAYS)


def damaged(random: Random, data: bytes, others: list[bytes]) -> tuple[str, bytes]:
    """`data`, changed for certain, and how; `others` are of its kind."""
    while True:
        way = random.choice(_OFTEN)
        changed = WAYS[way](random, data, others)
        if changed != data:
            return way, changed
