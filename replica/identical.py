"""Are two values the same, for all code that can see them?

Rule 1. Of the same types throughout, and in the same order: a tuple is no list, True is not 1, -0.0 is not 0.0, a
        member of an enum is not what it equals, and the keys of a dict come in the order in which they were put.
        (A dict, list or set that refuses to be changed is a plain one otherwise: `merge.immutable`.)
Rule 2. Elements of a set, and keys of a Map, have no order that code may rely on: it differs from process to
        process.
Rule 3. Objects are compared by what `copy` makes of them. What has no such form is not the same as anything.

What differs is named by its path: `[3].colour`.
"""

from __future__ import annotations

import copyreg
from collections.abc import Iterator
from enum import Enum
from itertools import chain
from struct import pack
from types import BuiltinFunctionType, FunctionType
from typing import Any

from immutables import Map
from msgspec import Struct

from merge.immutable import PLAIN

_EQUAL = frozenset({type(None), bool, int, str, bytes, type(...)})
"""Two of the same of these types are the same where they are equal."""


def identical(one: Any, other: Any) -> bool:
    """Are these two the same?"""
    return unlike(one, other) is None


def unlike(one: Any, other: Any, path: str = "") -> str | None:
    """Where two values differ first, and how; None where they are the same."""
    if one is other:
        return None
    kind, another = type(one), type(other)
    kind, another = PLAIN.get(kind, kind), PLAIN.get(another, another)
    if kind is not another:
        return _said(path, f"{_name(one)} is not {_name(other)}")
    if kind in _EQUAL:
        return None if one == other else _said(path, f"{_short(one)} is not {_short(other)}")
    if kind is float:
        return None if pack("d", one) == pack("d", other) else _said(path, f"{one!r} is not {other!r}")
    if kind is tuple or kind is list:
        return _unlike_items(one, other, path)
    if kind is dict:
        return _unlike_dicts(one, other, path)
    if kind in (set, frozenset, Map):
        return _unlike_unordered(one, other, path)
    if isinstance(one, type | FunctionType | BuiltinFunctionType | Enum):
        return None if one is other else _said(path, f"{one!r} is not {other!r}")
    return _unlike_objects(one, other, path)


def _unlike_items(one: Any, other: Any, path: str) -> str | None:
    if len(one) != len(other):
        return _said(path, f"{len(one)} are not {len(other)}")
    if _are_equal(one, other):
        return None
    pairs = enumerate(zip(one, other, strict=True))
    return next((found for at, (a, b) in pairs if (found := unlike(a, b, f"{path}[{at}]"))), None)


def _unlike_dicts(one: Any, other: Any, path: str) -> str | None:
    keys, others = list(one), list(other)
    if len(keys) != len(others):
        return _said(path, f"{len(keys)} keys are not {len(others)}")
    found = _unlike_items(keys, others, "")
    if found is not None:
        return _said(path, f"its keys, in their order, differ: {found}")
    if _are_equal(list(one.values()), list(other.values())):
        return None
    return next((found for key in keys if (found := unlike(one[key], other[key], f"{path}[{_short(key)}]"))), None)


def _are_equal(one: Any, other: Any) -> bool:
    """Two lists, or tuples, are the same at a glance."""
    kinds = list(map(type, one))
    if kinds != list(map(type, other)):
        return False
    if {*kinds} == {tuple} and list(map(len, one)) == list(map(len, other)):
        return _are_equal([*chain.from_iterable(one)], [*chain.from_iterable(other)])
    return _EQUAL.issuperset(kinds) and bool(one == other)


def _unlike_unordered(one: Any, other: Any, path: str) -> str | None:
    if len(one) != len(other):
        return _said(path, f"{len(one)} are not {len(other)}")
    theirs = {key: key for key in other}
    for key in one:
        if key not in theirs:
            return _said(path, f"{_short(key)} is not in it")
        found = unlike(key, theirs[key], f"{path}[{_short(key)}]")
        if found is None and type(one) is Map:
            found = unlike(one[key], other[key], f"{path}[{_short(key)}]")
        if found is not None:
            return found
    return None


def _unlike_objects(one: Any, other: Any, path: str) -> str | None:
    if isinstance(one, Struct):
        fields = [(name, getattr(one, name), getattr(other, name)) for name in one.__struct_fields__]
        found = next((found for name, a, b in fields if (found := unlike(a, b, f"{path}.{name}"))), None)
        if found is not None:
            return found
    made, others = _parts(one), _parts(other)
    if made is None or others is None:
        return _said(path, f"{_name(one)} has no form that could be compared")
    pairs = zip(made, others, strict=False)
    return next((found for a, b in pairs if (found := unlike(a, b, path))), None)


def _parts(value: Any) -> tuple[Any, ...] | None:
    """What makes a copy of an object: a callable, its arguments, and a state, items and pairs that are put in."""
    reduce = copyreg.dispatch_table.get(type(value))
    try:
        parts = reduce(value) if reduce is not None else value.__reduce_ex__(2)
    except Exception:
        return None
    if isinstance(parts, str):
        return (parts,)
    return tuple([list(part) if isinstance(part, Iterator) else part for part in parts])


def _said(path: str, what: str) -> str:
    return f"{path}: {what}" if path else what


def _name(value: Any) -> str:
    return f"{_short(value)} ({type(value).__name__})"


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
