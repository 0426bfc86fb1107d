"""Values as bytes that are the same everywhere, whatever order they were put together in.

Rule 1. Keys of dicts and elements of sets are sorted: strings as msgspec sorts them. Where it cannot (keys that are
        numbers or tuples, elements of several types), by their own bytes.
Rule 2. Two keys, or two elements, with the same bytes would be one when they are read: they are refused.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Mapping, Set
from typing import Any

import msgspec

from merge.version import ReplicaId


def bare(value: Any) -> Any:
    """A replica id in an event, as in the dot of a fact that it names, is recorded without its label."""
    if isinstance(value, ReplicaId):
        return int(value)
    raise TypeError(f"Encoding objects of type {type(value).__name__} is unsupported")


_sorted = msgspec.msgpack.Encoder(order="deterministic", enc_hook=bare).encode
_as_given = msgspec.msgpack.Encoder(enc_hook=bare).encode


def encode(value: Any) -> bytes:
    """The bytes of a value. TypeError, ValueError, OverflowError or RecursionError where there are none."""
    try:
        return _sorted(value)
    except TypeError:
        return _as_given(ordered(value))


def ordered(value: Any) -> Any:
    """The same value with all that has no order in that of its bytes. A set, a list and a tuple are tuples."""
    if isinstance(value, Mapping):
        pairs = {key: ordered(below) for key, below in value.items()}
        return {key: pairs[old] for old, key in _by_bytes(pairs)}
    if isinstance(value, Set):
        return tuple([one for _, one in _by_bytes(value)])
    if isinstance(value, list | tuple):
        return tuple([ordered(below) for below in value])
    if isinstance(value, msgspec.Struct):
        value = copy.copy(value)
        for name in value.__struct_fields__:
            msgspec.structs.force_setattr(value, name, ordered(getattr(value, name)))
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: ordered(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return value


def _by_bytes(values: Iterable[Any]) -> list[tuple[Any, Any]]:
    """Keys or elements, each as it was and as it is written, in the order of their bytes."""
    found: dict[bytes, tuple[Any, Any]] = {}
    for value in values:
        written = ordered(value)
        before = found.setdefault(_as_given(written), (value, written))
        if before[0] is not value:
            raise ValueError(f"{before[0]!r} and {value!r} have one form, and would be one when they are read")
    return [found[data] for data in sorted(found)]
