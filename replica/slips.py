"""Slips in calls and declarations, told where they are made: one thing where several are meant, a class that was
not called, a version in words.

Each raises TypeError with an example of what is meant. (A string is a sequence of letters to Python, and would be
taken for many short names.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any, TypeVar

from merge.version import VersionVector

T = TypeVar("T")


def several(values: Any, what: str, example: str) -> list[Any]:
    """What is given where several are meant."""
    if isinstance(values, str | bytes | type | Mapping) or not isinstance(values, Iterable):
        raise TypeError(f"{what} are given as {example}, and not as {values!r}")
    return list(values)


def names(values: Any, what: str) -> list[str]:
    """Several names."""
    found = several(values, what, f'`{what}=["..."]`')
    for one in found:
        if not isinstance(one, str):
            raise TypeError(f'{what} are names, as in `{what}=["..."]`, and {one!r} is none')
    return found


def classes(values: Any, base: type[T], what: str) -> list[type[T]]:
    """Several classes that inherit from `base`."""
    found = several(values, what, f"`{what}=[{base.__name__}Class, ...]`")
    for one in found:
        if not (isinstance(one, type) and issubclass(one, base)):
            hint = f": list its class, {type(one).__name__}" if isinstance(one, base) else ""
            raise TypeError(f"{what} are classes that inherit from {base.__name__}, and {one!r} is none{hint}")
    return found


def instances(values: Any, base: type[T], what: str, made: str) -> list[T]:
    """Several objects of a class; `made` says how one is made."""
    found = several(values, what, f"`{what}=[...]`")
    for one in found:
        if not isinstance(one, base):
            raise TypeError(f"{what} are made by {made}, and {one!r} is not")
    return found


def version(value: Any, what: str) -> VersionVector:
    """A version, as `replica.version` and `present.version` are."""
    if not isinstance(value, VersionVector):
        hint = "; `VersionVector()` is the empty one" if value == 0 else ""
        hint = "; `await replica.cut(words)` makes one of words" if isinstance(value, str) else hint
        raise TypeError(f"{what} is a version, such as `replica.version` or that of a present, not {value!r}{hint}")
    return value


def plain_functions(cls: type, names: Iterable[str], *, generators: Iterable[str] = ()) -> None:
    """TypeError where one of these methods of a class is an `async def`, or a generator that may be none."""
    may_yield = set(generators)
    for name in names:
        method = getattr(cls, name, None)
        if iscoroutinefunction(method) or isasyncgenfunction(method):
            raise TypeError(
                f"{cls.__name__}.{name} is a plain function of its arguments, and not an `async def`: it is called "
                "again for the same facts, on every replica. What has to wait belongs into a reaction"
            )
        if isgeneratorfunction(method) and name not in may_yield:
            raise TypeError(f"{cls.__name__}.{name} returns one value, and has a `yield`")
