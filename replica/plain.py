"""What a type of event does, learnt once: for an effect that only says where the fields of an event go.

    case Written(key, value): return self.items[key].write(value)

Rule 1. An effect is plain where it comes, for all events of a type, to the same deeds, with fields of the event as
        parts of their paths and as what they say. It is learnt by calling `effect` with an event that has holes for
        fields (`merge.effect.Hole`): whoever looks at one fails, and then the effect is not plain.
Rule 2. That proves it where nothing can be done with a field unnoticed. So what `effect` is made of is checked
        too: instructions, names and lattices are those that are known here to fail on a hole, or to leave it as it
        is. In doubt an effect is not plain, which costs time and nothing else.
Rule 3. It covers a path: it forgets that path, and says nothing but there and below, where no field is part of the
        way. So which events of a type do the same is told by the fields in that path alone (see `replica.bulk`).
"""

from __future__ import annotations

import builtins
import dis
import inspect
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from types import FunctionType
from typing import Any, NamedTuple

from merge.effect import NO_EFFECT, Effect, Hole, Path, Verb, check_key
from merge.lattice import Lattice
from merge.product import Product
from replica.aggregate import Aggregate
from replica.decider import Decider
from replica.event import Event

_PLAIN_PARTS = (str, int, bytes)
_PLAIN_VALUES = (Hole, str, int, bool, float, bytes, type(None))
_HARMLESS = {
    "BINARY_OP", "BINARY_SLICE", "BINARY_SUBSCR", "BUILD_LIST", "BUILD_SLICE", "BUILD_STRING", "BUILD_TUPLE",
    "CALL", "COMPARE_OP", "CONTAINS_OP", "CONVERT_VALUE", "COPY", "FORMAT_SIMPLE", "FORMAT_VALUE",
    "FORMAT_WITH_SPEC", "JUMP_FORWARD", "KW_NAMES", "LOAD_ATTR", "LOAD_CONST", "LOAD_FAST", "LOAD_FAST_CHECK",
    "LOAD_FAST_LOAD_FAST", "LOAD_GLOBAL", "LOAD_METHOD", "MATCH_CLASS", "NOP", "POP_JUMP_FORWARD_IF_FALSE",
    "POP_JUMP_FORWARD_IF_TRUE", "POP_JUMP_IF_FALSE", "POP_JUMP_IF_TRUE", "POP_TOP", "PRECALL", "PUSH_NULL",
    "RAISE_VARARGS", "RESUME", "RETURN_CONST", "RETURN_VALUE", "STORE_FAST", "STORE_FAST_LOAD_FAST",
    "STORE_FAST_STORE_FAST", "SWAP", "TO_BOOL", "UNARY_INVERT", "UNARY_NEGATIVE", "UNARY_NOT", "UNPACK_SEQUENCE",
}  # fmt: skip
"""Instructions that do nothing with a hole, or fail. Identity, None and the kind of a container are seen without
asking the value, so that those are not among them; nor is what repeats, leaves the function, or catches."""
_HARMLESS_GLOBALS = (
    abs, bool, bytes, float, frozenset, int, isinstance, len, list, max, min, set, sorted, str, tuple,
    AssertionError, KeyError, LookupError, NotImplementedError, RuntimeError, TypeError, ValueError,
    NO_EFFECT,
)  # fmt: skip
"""What an effect may name beside classes of events: these fail where they are asked of a hole, or are raised.
(NO_EFFECT is a constant.)"""
_MORE = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS
_MATCHED = {"POP_JUMP_FORWARD_IF_NONE", "POP_JUMP_FORWARD_IF_NOT_NONE", "POP_JUMP_IF_NONE", "POP_JUMP_IF_NOT_NONE"}
"""After `MATCH_CLASS`, `COPY` these ask whether a pattern has matched, and nothing of a value."""


class Plain(NamedTuple):
    """What all events of a type do."""

    place: tuple[Any, ...]
    """The path that it covers, with None for each part that is a field."""
    fields: tuple[str, ...]
    """These fields."""
    deeds: tuple[tuple[Verb, Path, Any], ...]
    """A verb, the path below that one, and a value; a `Field` stands for that field of the event."""

    def deeds_of(self, event: Event, path: Path) -> list[tuple[Verb, Path, Any]]:
        """What one of them does, which covers `path`."""
        return [
            (verb, path + below if below else path, getattr(event, value.name) if type(value) is Field else value)
            for verb, below, value in self.deeds
        ]

    def path_of(self, keys: Sequence[Any]) -> Path:
        """The path that an event with these keys covers. InvalidKey where one of them is none."""
        each = iter(keys)
        return tuple([check_key(next(each)) if part is None else part for part in self.place])


class Field(NamedTuple):
    """A field of an event."""

    name: str


@cache
def plain_effect(cls: type[Aggregate], kind: type[Event]) -> Plain | None:
    """What all events of a type do to an aggregate, and the path that they cover; None where that is not plain."""
    if not (_is_simple(kind) and _is_built_in(cls) and _is_harmless(cls, kind)):
        return None
    holes = {name: Hole() for name in kind.__struct_fields__}
    try:
        effect = cls().effect_of(kind(**holes))
    except Exception:
        return None
    return _learnt(effect, [(hole, Field(name)) for name, hole in holes.items()])


def folds_by_column(aggregate: Decider) -> bool:
    """Has this aggregate events whose effect is plain?"""
    kind = type(aggregate)
    return isinstance(aggregate, Aggregate) and any(plain_effect(kind, event) for event in kind.events)


def _learnt(effect: Effect, fields: list[tuple[Hole, Field]]) -> Plain | None:
    def known(value: Any) -> Any:
        return next((field for hole, field in fields if hole is value), value)

    covered = next((path for verb, path, _ in effect if verb is Verb.FORGET), None)
    if covered is None or any(type(part) not in (Hole, *_PLAIN_PARTS) for part in covered):
        return None
    for verb, path, value in effect:
        inside = len(path) >= len(covered) and all(one is other for one, other in zip(covered, path, strict=False))
        if verb not in (Verb.FORGET, Verb.SAY) or not inside or type(value) not in _PLAIN_VALUES:
            return None
        if any(type(part) not in _PLAIN_PARTS for part in path[len(covered) :]):
            return None
    parts = [known(part) for part in covered]
    return Plain(
        tuple(None if type(part) is Field else part for part in parts),
        tuple(part.name for part in parts if type(part) is Field),
        tuple((verb, path[len(covered) :], known(value)) for verb, path, value in effect),
    )


# --- what the proof rests on ---


def _is_simple(kind: type[Event]) -> bool:
    """Its instances are their fields, and behave as those of any other event."""
    return (
        type(kind) is type(Event)
        and all(name in kind.__struct_fields__ for name in kind.__match_args__)
        and not _behaves(kind)
    )


def _behaves(kind: type) -> bool:
    """A class says how its instances behave as none of ours does, other than how they are shown."""
    base = next(base for base in (Aggregate, Product, Event) if issubclass(kind, base))
    return any(
        name.startswith("__") and callable(value) and name not in ("__str__", "__repr__")
        for one in kind.__mro__[: kind.__mro__.index(base)]
        for name, value in vars(one).items()
    )


def _is_built_in(cls: type[Aggregate]) -> bool:
    """All lattices below an aggregate are those of `merge`, and products of them, and do as these do."""
    folds = ("bind", "effect_of", "empty", "observe", "observe_all", "serves", "takes", "thaw")
    return all(getattr(cls, name) is getattr(Aggregate, name) for name in folds) and all(
        _is_ours(kind) or (issubclass(kind, Product) and kind.bind is Product.bind and not _behaves(kind))
        for kind in _kinds(cls)
    )


def _is_ours(kind: type) -> bool:
    """A class of `merge`, or one that those build upon."""
    return kind.__module__.split(".", 1)[0] in ("merge", "abc", "builtins", "collections", "typing")


def _kinds(kind: type[Product]) -> Iterator[type[Lattice]]:
    """A product, and the kinds of all lattices in it."""
    yield kind
    for field in kind._fields.values():
        yield from _kinds_in(field)


def _kinds_in(lattice: Lattice) -> Iterator[type[Lattice]]:
    if isinstance(lattice, Product):
        yield from _kinds(type(lattice))
    else:
        yield type(lattice)
        for below in vars(lattice).values():
            if isinstance(below, Lattice):
                yield from _kinds_in(below)


def _is_harmless(cls: type[Aggregate], kind: type[Event]) -> bool:
    """`effect` does nothing with a field of an event that its holes would not notice."""
    effect = next(vars(base)["effect"] for base in cls.__mro__ if "effect" in vars(base))
    if type(effect) is not FunctionType or effect.__defaults__ or effect.__closure__:
        return False
    code = effect.__code__
    if code.co_argcount != 2 or code.co_kwonlyargcount or code.co_flags & _MORE:
        return False
    steps = list(dis.get_instructions(code))
    used = [_global(effect, step.argval) for step in steps if step.opname == "LOAD_GLOBAL"]
    kinds = [value for value in used if type(value) is type(Event)]
    if not all(_is_simple(value) if value in kinds else value in _HARMLESS_GLOBALS for value in used):
        return False
    names = [step.argval for step in steps if step.opname in ("LOAD_ATTR", "LOAD_METHOD")]
    names += [name for step in steps if type(step.argval) is tuple for name in step.argval]
    if not all(_is_named(cls, [kind, *kinds], name) for name in names):
        return False
    before = "", ""
    for step in steps:
        if step.opname not in _HARMLESS and not (step.opname in _MATCHED and before == ("MATCH_CLASS", "COPY")):
            return False
        before = before[1], step.opname
    return True


def _global(effect: FunctionType, name: str) -> Any:
    return effect.__globals__.get(name, getattr(builtins, name, None))


def _is_named(cls: type[Aggregate], kinds: Iterable[type[Event]], name: Any) -> bool:
    """What may be an attribute is a field of an event, a lattice, or an operation of one of ours."""
    if not isinstance(name, str):
        return True
    if name.startswith("_") or any(hasattr(kind, name) and name not in kind.__struct_fields__ for kind in kinds):
        return False
    for lattice in _kinds(cls):
        owner = next((base for base in lattice.__mro__ if name in vars(base)), None)
        if owner is not None and not isinstance(vars(owner)[name], Lattice) and not _is_ours(owner):
            return False
    return True
