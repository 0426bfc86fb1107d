"""The eight columns of a slice (see `replica.block`): how each is written, and how it is read.

Rule. What can be said of one element alone is checked here, when it is read; what a slice comes to is checked by
whoever takes it (`replica.block.Tail.read`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec.msgpack import Decoder, Encoder

from merge.stamp import COUNTER_LIMIT
from replica.commit import MAX_EVENTS, MAX_NAME, MAX_SCHEMA, PREFIX, Note, WholeNote
from replica.errors import InvalidBatch

if TYPE_CHECKING:
    from replica.block import Slice

COLUMNS = ("count", "wall", "counter", "observed", "note", "stream", "type", "payload")
PER_COMMIT = 5
"""The first five columns hold one element a commit, the others one an event."""
COUNT, WALL, COUNTER, OBSERVED, NOTE, STREAM, TYPE, PAYLOAD = range(8)

Uint64 = Annotated[int, msgspec.Meta(ge=0)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]

_INT = {int}
_NIL = b"\xc0"
_pack = Encoder().encode
_counts = Decoder(list[Annotated[int, msgspec.Meta(ge=1, le=MAX_EVENTS)]]).decode
_walls = Decoder(list[int]).decode
_counters = Decoder(list[Annotated[int, msgspec.Meta(ge=0, lt=COUNTER_LIMIT)]]).decode
_ObservedItem = tuple[
    Uint64,
    Annotated[int, msgspec.Meta(ge=1)],
    Annotated[bytes, msgspec.Meta(min_length=PREFIX, max_length=PREFIX)],
]
_observed = Decoder(list[list[_ObservedItem] | None]).decode
_notes = Decoder(list[Note | None]).decode
_whole_notes = Decoder(list[WholeNote | None]).decode
_streams = Decoder(list[Uint64 | Name]).decode
_types = Decoder(list[int | tuple[str, int]]).decode
"""Without bounds in the type (`named` checks them): msgspec 0.22 crashes in the garbage collector on a union of an
int and a tuple where both have any."""
split = Decoder(list[msgspec.Raw]).decode
"""The elements of an array, as they are."""


def elements(values: list[Any]) -> bytes:
    """msgpack: some values one after the other."""
    count = len(values)
    return _pack(values)[1 if count < 16 else 3 if count < 65536 else 5 :]


def array(count: int, elements: bytes) -> bytes:
    """msgpack: the elements of a column as one array."""
    if count < 16:
        return bytes((0x90 | count,)) + elements
    if count < 65536:
        return b"\xdc" + count.to_bytes(2, "big") + elements
    return b"\xdd" + count.to_bytes(4, "big") + elements


def where(piece: Slice) -> str:
    """A slice, in words."""
    return f"the slice {piece.replica:016x}:{piece.after + 1}-{piece.last}"


# --- reading: each raises msgspec.DecodeError where the bytes are not so many elements of that column ---


def _array(piece: Slice, column: int) -> bytes:
    return array(piece.commits if column < PER_COMMIT else piece.last - piece.after, piece.columns[column])


def counts(piece: Slice) -> list[int]:
    """How many events each commit has."""
    if piece.columns[COUNT] == b"\x01" * piece.commits:
        return [1] * piece.commits
    return _counts(_array(piece, COUNT))


def walls(piece: Slice) -> list[int]:
    """Differences, but for the first of a block."""
    return _walls(_array(piece, WALL))


def counters(piece: Slice) -> list[int]:
    return _counters(_array(piece, COUNTER))


def observed(piece: Slice) -> list[list[tuple[int, int, bytes]] | None]:
    """The heads that each commit names."""
    return _observed(_array(piece, OBSERVED))


def notes(piece: Slice) -> list[Note | None]:
    return _notes(_array(piece, NOTE))


def check_notes(piece: Slice) -> None:
    """Raise where a note has more elements than a note has: nothing bounds these."""
    if piece.columns[NOTE] != _NIL * piece.commits:
        _whole_notes(_array(piece, NOTE))


def streams(piece: Slice) -> list[int | str]:
    """For each event the number of its stream, or the name where that is given."""
    return _numbers(piece, STREAM, _streams)


def types(piece: Slice) -> list[int | tuple[str, int]]:
    """The same of its type, with the schema version."""
    return _numbers(piece, TYPE, _types)


def _numbers(piece: Slice, column: int, decode: Callable[[bytes], list[Any]]) -> list[Any]:
    """A column of numbers and names. Mostly one name is given, and the rest are the number 0, a byte each."""
    data, rest = piece.columns[column], piece.last - piece.after - 1
    if data.endswith(bytes(rest)):
        try:
            return decode(array(1, data[: len(data) - rest])) + [0] * rest
        except msgspec.DecodeError:
            pass  # the last of these bytes belong to a name, or the column is nonsense: the whole of it says which
    return decode(_array(piece, column))


def payloads(piece: Slice) -> list[msgspec.Raw]:
    return split(_array(piece, PAYLOAD))


# --- names ---


def named(piece: Slice, table: list[Any], column: list[Any]) -> tuple[list[Any], list[Any]]:
    """Names for the numbers of a column, and the names that its block has given after it (`table`: before it).

    InvalidBatch where a name breaks a rule.
    """
    if type(column[0]) is not int and column.count(0) == len(column) - 1:
        end = 1
    else:
        end = 0 if {*map(type, column)} == _INT else len(column)
    names, out = set(table), []
    for item in column[:end]:
        if type(item) is int:
            if not 0 <= item < len(table):
                raise InvalidBatch(f"{where(piece)} uses a name before it is given")
            out.append(table[item])
            continue
        if type(item) is tuple and not (0 < len(item[0]) <= MAX_NAME and 0 <= item[1] <= MAX_SCHEMA):
            raise InvalidBatch(f"{where(piece)} has a type whose name or schema version is out of bounds")
        if item in names:
            raise InvalidBatch(f"{where(piece)} gives the name {item!r} twice")
        names.add(item)
        table.append(item)
        out.append(item)
    return out + _called(piece, table, column[end:]), table


def _called(piece: Slice, table: list[Any], numbers: list[int]) -> list[Any]:
    """The names that some numbers stand for."""
    if table and not any(numbers):
        return table[:1] * len(numbers)
    if numbers and not 0 <= min(numbers) <= max(numbers) < len(table):
        raise InvalidBatch(f"{where(piece)} uses a name before it is given")
    return [table[number] for number in numbers]
