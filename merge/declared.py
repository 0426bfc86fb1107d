"""What a product declares, checked when its class is made: a slip there would be silent, or told to the first user.

Rule 1. A lattice is declared by calling it: `items = AWSet[str]()`. The class itself is no field.
Rule 2. One lattice stands at one place, under one name. Two fields are two lattices.
Rule 3. No field has the name of what a present has otherwise, such as its `state`: one of them would be hidden. But
        people call what they keep `value` or `version`: OWN_WORDS may be fields, and Anabranch reads past them.
Rule 4. Elements of sets and keys of maps are str, int, bytes, or tuples of these (see `merge.effect.check_key`).
        Where the brackets say what they are, anything else is refused here.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from merge.effect import InvalidKey, check_key
from merge.lattice import Lattice

KEYS = (str, int, bytes, tuple)
OWN_WORDS = frozenset({"value", "version", "address", "fields"})
"""Fields may be called so. Anabranch itself reads `_reading`, `_version`, `_address` and `_fields`."""


def fields_of(cls: type) -> dict[str, Lattice]:
    """The lattices that a class itself declares. TypeError where a declaration is a slip."""
    own: dict[str, Lattice] = {}
    for name, value in vars(cls).items():
        if isinstance(value, Lattice):
            own[name] = value
            _check_name(cls, name, value)
            _check_keys(cls, name, value)
        else:
            _check_called(cls, name, value)
    for name, hint in vars(cls).get("__annotations__", {}).items():
        if name not in vars(cls) and not hasattr(cls, name):
            _check_called(cls, name, hint)
    return own


def _check_called(cls: type, name: str, value: Any) -> None:
    kind = get_origin(value) or value
    if isinstance(kind, type) and issubclass(kind, Lattice) and not _is_nested(cls, name, kind):
        shown = getattr(value, "__name__", str(value)) if isinstance(value, type) else _shown(value)
        raise TypeError(
            f"{cls.__name__}.{name} is {shown}, which was not called: a lattice is declared as `{name} = {shown}()`"
        )


def _is_nested(cls: type, name: str, kind: type) -> bool:
    """A class that is written inside another one is no field of it."""
    return kind.__name__ == name and kind.__qualname__ == f"{cls.__qualname__}.{name}"


def _check_name(cls: type, name: str, field: Lattice) -> None:
    if field._name != name:
        raise TypeError(
            f"{cls.__name__}.{name} is the lattice that is declared as {field._name!r} already: two fields are two "
            f"lattices. Call {type(field).__name__} once for each"
        )
    for base in cls.__mro__[1:]:
        if name not in OWN_WORDS and name in vars(base) and not isinstance(vars(base)[name], Lattice):
            raise TypeError(
                f"{cls.__name__} cannot have a field {name!r}: it would hide `{name}` of {base.__name__}, which "
                "every present has. Give the field another name (events are not changed by it)"
            )


# --- elements and keys ---


def _check_keys(cls: type, name: str, field: Lattice) -> None:
    """TypeError where a set or a map below a field is declared over what cannot be a key."""
    for lattice in _below(field):
        declared = get_args(getattr(lattice, "__orig_class__", None))
        if declared and lattice._keyed:
            wrong = _no_key(declared[0])
            if wrong is not None:
                raise TypeError(
                    f"{cls.__name__}.{name} is declared over {_shown(declared[0])}, and no {wrong} can be an "
                    "element of a set or a key of a map: these are str, int, bytes, or tuples of them, which "
                    "are equal and encoded alike everywhere. Take what names it, and keep the rest in a map"
                )


def _below(lattice: Lattice) -> Iterator[Lattice]:
    """A lattice, and those inside it that are no product: a product has been checked itself."""
    yield lattice
    for value in vars(lattice).values():
        if isinstance(value, Lattice):
            yield from _below(value)


def _no_key(hint: Any) -> str | None:
    """What in a type could be no key, in words; None where it could, or where nothing is said."""
    origin, inside = get_origin(hint), get_args(hint)
    if origin is tuple:
        return next((wrong for one in inside if one is not ... and (wrong := _no_key(one))), None)
    if origin in (Union, types.UnionType):
        return next((wrong for one in inside if (wrong := _no_key(one))), None)
    if origin is Annotated:
        return _no_key(inside[0])
    if origin is Literal:
        return next((repr(one) for one in inside if not _is_key(one)), None)
    if hasattr(hint, "__supertype__"):  # a NewType
        return _no_key(hint.__supertype__)
    kind = origin or hint
    if hint is None or (kind is not Any and isinstance(kind, type)):
        return None if any(issubclass(key, kind or type(None)) for key in KEYS) else _shown(kind)
    return None  # Any, a TypeVar, a name that is not resolved yet


def _is_key(value: object) -> bool:
    try:
        check_key(value)
    except InvalidKey:
        return False
    return True


def _shown(hint: Any) -> str:
    if isinstance(hint, TypeVar):
        return hint.__name__
    if isinstance(hint, type) and not get_args(hint):
        return hint.__name__
    origin = get_origin(hint)
    if isinstance(origin, type) and get_args(hint):
        return f"{origin.__name__}[{', '.join(map(_shown, get_args(hint)))}]"
    return str(hint)
