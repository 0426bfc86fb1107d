"""Values that nobody can change: what a user's code gets to read, and may not write to.

Rule 1. What is kept is handed out as it is kept: to `evolve`, `effect` and `decide`, to readers, watchers,
        reactions and projections. So a dict, a list or a set in it is made one that refuses to be changed, with a
        TypeError at the line that tries. It is a dict, a list or a set otherwise: equal to a plain one, shown and
        encoded alike. `{**old}`, `[*old]`, `old | other`, `old.copy()`, `copy.deepcopy(old)` make plain ones.
Rule 2. A tuple, a frozen Struct, a frozen dataclass cannot be changed, and are looked into. What has a hash is
        taken for a value.
Rule 3. An object that can be changed and is none of these (a Struct that is not frozen, a deque) is Changeable:
        whoever keeps it hands out copies.

Hashing is what looks into much at the speed of C: a plain dict, list or set in a value makes it fail. So those that
cannot be changed have a hash.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any, NoReturn

import msgspec

from merge.effect import Hole


class Changeable(TypeError):
    """A value holds an object that can be changed in place."""


class Unchangeable(TypeError):
    """Somebody tried to change in place what is kept."""


def _refuse(self: Any, *_: Any, **__: Any) -> NoReturn:
    raise Unchangeable(
        f"this {type(self).__mro__[1].__name__} is part of what is kept, which others read too: it cannot be "
        "changed in place. Make another one, as `{**old, key: value}`, `[*old, value]` and `old | {value}` do"
    )


class ImmutableDict(dict[Any, Any]):
    """A dict that refuses to be changed."""

    __slots__ = ()
    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return len(self)

    def __copy__(self) -> dict[Any, Any]:
        return dict(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[Any, Any]:
        return copy.deepcopy(dict(self), memo)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


class ImmutableList(list[Any]):
    """A list that refuses to be changed."""

    __slots__ = ()
    __setitem__ = __delitem__ = __iadd__ = __imul__ = append = clear = extend = insert = pop = remove = _refuse
    reverse = sort = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return len(self)

    def __copy__(self) -> list[Any]:
        return [*self]

    def __deepcopy__(self, memo: dict[int, Any]) -> list[Any]:
        return copy.deepcopy([*self], memo)

    def __reduce__(self) -> tuple[Any, ...]:
        return list, ([*self],)


class ImmutableSet(set[Any]):
    """A set that refuses to be changed."""

    __slots__ = ()
    __iand__ = __ior__ = __isub__ = __ixor__ = add = clear = discard = pop = remove = update = _refuse
    difference_update = intersection_update = symmetric_difference_update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return len(self)

    def __repr__(self) -> str:
        return repr({*self})

    def __copy__(self) -> set[Any]:
        return {*self}

    def __deepcopy__(self, memo: dict[int, Any]) -> set[Any]:
        return {*self}

    def __reduce__(self) -> tuple[Any, ...]:
        return set, ([*self],)


def immutable(value: Any) -> Any:
    """The same value with dicts, lists and sets that cannot be changed. Changeable where something else can be."""
    kind = type(value)
    if kind in _VALUES:
        return value
    make = _MAKE.get(kind)
    return _other(value, kind) if make is None else make(value)


def copied(value: Any) -> Any:
    """A value that is kept, or handed out: one that nobody can change, or else a copy."""
    try:
        return immutable(value)
    except Changeable:
        return copy.deepcopy(value)


def _dict(value: dict[Any, Any]) -> ImmutableDict:
    if _is_value(tuple(value.values())):
        return ImmutableDict(value)
    return ImmutableDict({key: immutable(below) for key, below in value.items()})


def _list(value: list[Any]) -> ImmutableList:
    return ImmutableList(value) if _is_value(tuple(value)) else ImmutableList([immutable(below) for below in value])


def _tuple(value: tuple[Any, ...]) -> tuple[Any, ...]:
    return value if _is_value(value) else tuple([immutable(below) for below in value])


def _other(value: Any, kind: type) -> Any:
    """An object of any other class."""
    if issubclass(kind, msgspec.Struct):
        if kind.__struct_config__.frozen:
            return _with_parts(value, kind.__struct_fields__)
    elif dataclasses.is_dataclass(kind):
        if kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]
            return _with_parts(value, [field.name for field in dataclasses.fields(kind)])
    elif issubclass(kind, tuple):
        return value if _is_value(value) else kind._make([immutable(below) for below in value])  # type: ignore[attr-defined]
    elif _is_value(value):
        return value
    raise Changeable(f"a {kind.__name__} can be changed in place")


def _with_parts(value: Any, names: Any) -> Any:
    """A frozen object whose parts cannot be changed either."""
    parts = {
        name: (getattr(value, name), immutable(getattr(value, name))) for name in names if hasattr(value, name)
    }
    changed = {name: made for name, (old, made) in parts.items() if made is not old}
    if not changed:
        return value
    value = copy.copy(value)
    for name, made in changed.items():
        if isinstance(value, msgspec.Struct):
            msgspec.structs.force_setattr(value, name, made)
        else:
            object.__setattr__(value, name, made)
    return value


def _is_value(value: Any) -> bool:
    """Has it a hash, and so all that is in it?"""
    try:
        hash(value)
    except Exception:
        return False
    return True


_VALUES = frozenset(
    {int, str, bytes, bool, float, type(None), frozenset, ImmutableDict, ImmutableList, ImmutableSet, Hole}
)
_MAKE: dict[type, Callable[[Any], Any]] = {dict: _dict, list: _list, set: ImmutableSet, tuple: _tuple}
PLAIN: dict[type, type] = {ImmutableDict: dict, ImmutableList: list, ImmutableSet: set}
"""What each of them is otherwise."""
