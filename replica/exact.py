"""Values as bytes from which they come back as they were: of the same types, in the same order.

Rule 1. What msgpack gives back as it was is written as it is. All else is a list that begins with what it is: so a
        tuple stays a tuple, a member of an enum that member, and a dict keeps its keys and their order.
Rule 2. A type is named by its number among those that the reader knows as well: some of Python's own, and those
        that the code of an aggregate reaches (`replica.fingerprint`): the same wherever its fingerprint is.
Rule 3. What is of another type, or cannot be taken apart, is refused with its path.
"""

from __future__ import annotations

import copyreg
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from itertools import chain
from typing import Any
from uuid import UUID

import msgspec
from immutables import Map

from merge.effect import INT_HIGH, INT_LOW
from merge.immutable import ImmutableDict, ImmutableList, ImmutableSet
from merge.text import TextState

LIST, TUPLE, DICT, SET, FROZENSET, INTEGER, TYPE, MEMBER, STRUCT, NEW, CALL, ROWS = range(12)
"""What a list is. ROWS stands for all items of a container, which are tuples of what msgpack gives back: most of
what is long is that, and goes through in one step."""

_KNOWN: tuple[type, ...] = (
    type(None), bool, int, float, str, bytes, list, tuple, dict, set, frozenset, bytearray, complex, range,
    OrderedDict, Counter, defaultdict, deque, date, datetime, time, timedelta, timezone, Decimal, Fraction, UUID,
    TextState, Map,
)  # fmt: skip
"""These come first, in this order. A further one stands at the end, and `FOLDS` is raised."""
_PLAIN = frozenset({type(None), bool, float, str, bytes})
_INTEGERS = _PLAIN | {int}
_SEQUENCES = {
    list: LIST, tuple: TUPLE, set: SET, frozenset: FROZENSET, ImmutableList: LIST, ImmutableSet: SET,
}  # fmt: skip
"""What is kept as one that cannot be changed comes back as a plain one, for whoever keeps it again."""
_MAKERS = {LIST: list, TUPLE: tuple, SET: set, FROZENSET: frozenset}


def _are_short(values: Iterable[Any]) -> bool:
    """All integers among these are such as msgpack has."""
    return all(INT_LOW <= value <= INT_HIGH for value in values if type(value) is int)


class NotKept(ValueError):
    """A value cannot be written so that it comes back as it was."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
        self.path: list[str] = []
        """From the end."""

    def __str__(self) -> str:
        return f"{''.join(reversed(self.path))}: {self.why}" if self.path else self.why


class Codec:
    """Takes values apart, and puts them together again. `types` are the types that it knows beside Python's own."""

    def __init__(self, types: Iterable[type]) -> None:
        self._types = tuple(dict.fromkeys((*_KNOWN, *types)))
        self._numbers = {kind: number for number, kind in enumerate(self._types)}

    def number(self, kind: type) -> int:
        """The number of a type. NotKept where it has none."""
        number = self._numbers.get(kind)
        if number is None:
            raise NotKept(
                f"an object of {kind.__module__}.{kind.__qualname__}, which the code of the aggregate does not name"
            )
        return number

    def type(self, number: int) -> type:
        """The type of that number."""
        return self._types[number]

    # --- apart ---

    def pack(self, value: Any) -> Any:
        """The value as msgpack can hold it. NotKept, with the path, where it would not come back."""
        kind: Any = type(value)
        if kind in _PLAIN:
            return value
        if kind is int:
            return value if INT_LOW <= value <= INT_HIGH else [INTEGER, str(value)]
        if kind in _SEQUENCES:
            return [_SEQUENCES[kind], *self._items(value)]
        if kind is dict or kind is ImmutableDict:
            return [DICT, self._items(value), self._items(value.values(), [f"[{key!r}]" for key in value])]
        if isinstance(value, type):
            return [TYPE, self.number(value)]
        number = self.number(kind)
        if isinstance(value, Enum):
            return [MEMBER, number, self.pack(value.value)]
        if isinstance(value, msgspec.Struct):
            names = value.__struct_fields__
            return [STRUCT, number, self._items([getattr(value, n) for n in names], [f".{n}" for n in names])]
        return self._object(value, number)

    def _items(self, values: Iterable[Any], names: list[str] | None = None) -> list[Any]:
        found = list(values)
        kinds = {*map(type, found)}
        if kinds <= _PLAIN or (kinds <= _INTEGERS and _are_short(found)):
            return found
        if kinds == {tuple} and {*map(type, chain.from_iterable(found))} <= _INTEGERS:
            if _are_short(chain.from_iterable(found)):
                return [[ROWS, *found]]
        at = 0
        try:
            for at, value in enumerate(found):
                if type(value) not in _PLAIN:
                    found[at] = self.pack(value)
        except NotKept as error:
            error.path.append(f"[{at}]" if names is None else names[at])
            raise
        return found

    def _object(self, value: Any, number: int) -> list[Any]:
        """An object as what `copy` makes of it."""
        try:
            parts = value.__reduce_ex__(2)
        except Exception as error:
            raise NotKept(f"{type(value).__qualname__} cannot be taken apart ({error})") from error
        made, args, *rest = parts if isinstance(parts, tuple) else (None, ())
        if made is copyreg.__newobj__ and args[0] is type(value):  # type: ignore[attr-defined]
            how, args = NEW, args[1:]
        elif made is type(value):
            how = CALL
        else:
            raise NotKept(f"{type(value).__qualname__} is not put together by its own class")
        state, items, pairs = (*rest, None, None, None)[:3]
        return [
            how, number, self._items(args), self.pack(state),
            self._items(items) if isinstance(items, Iterator) else [],
            self.pack(dict(pairs)) if isinstance(pairs, Iterator) else None,
        ]  # fmt: skip

    # --- together ---

    def unpack(self, plain: Any) -> Any:
        """The value that `pack` has taken apart."""
        if type(plain) is not list:
            return plain
        what, *rest = plain
        if what in _MAKERS:
            return _MAKERS[what](self._values(rest))
        if what == DICT:
            return dict(zip(self._values(rest[0]), self._values(rest[1]), strict=True))
        if what == INTEGER:
            return int(rest[0])
        kind = self._types[rest[0]]
        if what == TYPE:
            return kind
        if what == MEMBER:
            return kind(self.unpack(rest[1]))
        if what == STRUCT:
            return kind(**dict(zip(kind.__struct_fields__, self._values(rest[1]), strict=True)))  # type: ignore[attr-defined]
        return self._made(what, kind, *rest[1:])

    def _values(self, plain: list[Any]) -> list[Any]:
        if list not in map(type, plain):
            return plain
        if len(plain) == 1 and plain[0][0] == ROWS:
            return [*map(tuple, plain[0][1:])]
        return [self.unpack(one) if type(one) is list else one for one in plain]

    def _made(self, how: int, kind: Any, args: list[Any], state: Any, items: list[Any], pairs: Any) -> Any:
        given = self._values(args)
        made = kind.__new__(kind, *given) if how == NEW else kind(*given)
        state = self.unpack(state)
        if state is not None:
            _put(made, state)
        for item in self._values(items):
            made.append(item)
        for key, value in (self.unpack(pairs) or {}).items():
            made[key] = value
        return made


def _put(made: Any, state: Any) -> None:
    """Give an object its state."""
    if hasattr(made, "__setstate__"):
        made.__setstate__(state)
        return
    own, slots = state if isinstance(state, tuple) else (state, None)
    if own:
        made.__dict__.update(own)
    for name, value in (slots or {}).items():
        object.__setattr__(made, name, value)
