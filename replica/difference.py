"""Differences of two presents, field by field, so that people can read them and code can apply them.

Rule. `difference(a, b)` applied to a gives b. What is equal is left out; sets differ by element, mappings by
key, texts and all else as a whole.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

from replica.words import order, shown


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"

    def __reduce__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()
"""Where there is nothing, not even None."""


@dataclass(frozen=True, slots=True)
class Changed:
    """One place that differs: a path of field names, keys and elements; what was there, and what is."""

    path: tuple[Any, ...]
    before: Any
    after: Any

    def __str__(self) -> str:
        place = "/".join(map(str, self.path)) or "value"
        if self.before is ABSENT:
            return f"+ {place}" + ("" if self.after is True else f" = {shown(self.after)}")
        if self.after is ABSENT:
            return f"- {place}" + ("" if self.before is True else f" = {shown(self.before)}")
        if isinstance(self.before, str) and isinstance(self.after, str) and "\n" in self.before + self.after:
            lines = difflib.unified_diff(self.before.splitlines(), self.after.splitlines(), lineterm="", n=1)
            return "\n".join([f"~ {place}", *(f"    {line}" for line in [*lines][2:] if line[0] != "@")])
        return f"~ {place}: {shown(self.before)} -> {shown(self.after)}"


def difference(before: Any, after: Any) -> tuple[Changed, ...]:
    """Where two values differ, in one order."""
    return tuple(_differ((), before, after))


def _differ(path: tuple[Any, ...], before: Any, after: Any) -> Iterator[Changed]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}, key=order):
            yield from _differ((*path, key), before.get(key, ABSENT), after.get(key, ABSENT))
    elif isinstance(before, Set) and isinstance(after, Set):
        for element in sorted(before ^ after, key=order):
            has, had = element in after, element in before
            yield Changed((*path, element), had or ABSENT, has or ABSENT)
    elif type(before) is not type(after) or before != after:
        yield Changed(path, before, after)


def apply(value: Any, changes: tuple[Changed, ...]) -> Any:
    """The value after some changes; the one that is given stays as it is."""
    for change in changes:
        value = _put(value, change.path, change.after)
    return value


def _put(value: Any, path: tuple[Any, ...], after: Any) -> Any:
    if not path:
        return after
    key, rest = path[0], path[1:]
    if isinstance(value, Set):
        return type(value)(value - {key} if after is ABSENT else value | {key})  # type: ignore[call-arg]
    put = dict(value)
    if not rest and after is ABSENT:
        del put[key]
    else:
        put[key] = _put(put.get(key), rest, after)
    return put
