"""Values as JSON, for programs of any language: the one place where that is decided. docs/json.md says it to users.

Rule 1. JSON is data. A time is ISO 8601, a decimal is its digits as text, bytes are base64, an enum is its value, a
        set is a sorted list. Nothing is shown as Python writes it, if it has any other form.
Rule 2. No reader reads another value. Integers beyond 2^53 are text, since many read numbers as floats; infinity is
        "Infinity". The id of a replica is its 16 hexadecimal digits, a version is those with the highest seqs, and
        a dot is what `anabranch` takes for an event: "alice:3".
Rule 3. It is ASCII, with all else as JSON escapes it: so no locale, terminal or pipe changes a byte.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Mapping, Set
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any
from uuid import UUID

import msgspec

from merge.version import Dot, ReplicaId, VersionVector
from replica.cut import plain
from replica.words import order, shown

EXACT = 2**53
"""Integers up to here are the same in every program."""


def to_json(value: Any) -> str:
    """A value as one line of JSON."""
    return json.dumps(as_data(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def as_data(value: Any) -> Any:
    """A value as what JSON has: objects, lists, text, numbers, true, false and null."""
    if value is None or type(value) is str or type(value) is bool:
        return value
    match value:
        case Enum():
            return as_data(value.value)
        case str():
            return str(value)
        case ReplicaId():
            return f"{int(value):016x}"
        case int():
            return int(value) if abs(value) <= EXACT else str(int(value))
        case float():
            return _number(float(value))
        case Mapping():
            return _object(value)
        case Set():
            return [as_data(item) for item in sorted(value, key=order)]
        case VersionVector():
            return plain(value)
        case Dot():
            return str(value)
        case list() | tuple():
            return [as_data(item) for item in value]
    return _other(value)


def _number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _object(value: Mapping[Any, Any]) -> Any:
    """An object; a list of pairs where two keys would have the same text, as 1 and "1" have."""
    found = {_key(key): as_data(item) for key, item in value.items()}
    if len(found) == len(value):
        return found
    return [[as_data(key), as_data(item)] for key, item in sorted(value.items(), key=lambda one: order(one[0]))]


def _key(key: Any) -> str:
    data = as_data(key)
    return data if isinstance(data, str) else to_json(data)


def _other(value: Any) -> Any:
    match value:
        case bytes() | bytearray() | memoryview():
            return b64encode(value).decode()
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case date() | time():
            return value.isoformat()
        case timedelta():
            return msgspec.to_builtins(value)
        case Decimal() | Fraction() | UUID():
            return str(value)
        case msgspec.msgpack.Ext():
            return {"code": value.code, "data": as_data(value.data)}
        case msgspec.Struct():
            said = {name: getattr(value, name) for name in value.__struct_fields__}
            return {name: as_data(item) for name, item in said.items() if item is not msgspec.UNSET}
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: as_data(getattr(value, one.name)) for one in fields(value)}
    return shown(value)
