"""Events, commands, and the door through which an event enters a log.

Rule 1. An event is an immutable fact, named in the past tense. A command is an intent, and may be refused.
Rule 2. What enters a log is bytes: one canonical msgpack value. The replica that records an event folds what
        comes back out of these bytes, so that it folds just what everybody else will.
Rule 3. What cannot be encoded alike everywhere is refused here, on its own replica, before it is recorded:
        NaN (it does not equal itself), half a surrogate pair (no UTF-8 form), integers beyond 64 bits,
        objects that msgpack has no form for, values that are nested too deep (`replica.depth`). Sets and dict
        keys are sorted (`replica.canonical`).
Rule 4. The log never reads a payload. A replica that does not know an event type carries it all the same.
Rule 5. Recorded bytes never change. Code reads what older code recorded by upcasters: pure functions, each from
        the plain payload of one schema to that of the next. A schema newer than the code is not known, which is
        no error: see Rule 4. One that is older, and that no chain of them leads from, is told when a replica opens
        (`replica.schemas`).

Payloads are msgpack maps by field name, so that any tool can read them. A type that is written by the
million may be declared `class Moved(Event, array_like=True)`: smaller, faster, and read by position.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from inspect import iscoroutinefunction
from typing import Any, ClassVar

import msgspec
from msgspec import inspect

from merge.immutable import copied
from replica import canonical
from replica.columns import array, split
from replica.commit import MAX_NAME, MAX_SCHEMA
from replica.depth import MAX_DEPTH, too_deep
from replica.errors import InvalidEvent, exception


class Event(msgspec.Struct, frozen=True):
    """Base of events. Subclasses declare typed fields; `schema` is raised when their meaning changes."""

    schema: ClassVar[int] = 1
    upcasters: ClassVar[Mapping[int, Callable[[Any], Any]]] = {}
    """Schema s -> the function from the plain payload of schema s (a dict; a list where `array_like`) to that of
    s + 1. Without gaps up to `schema`; it may change and return its argument, and looks at nothing else."""
    former_names: ClassVar[tuple[str, ...]] = ()
    """The names under which older code recorded this type."""


class Command(msgspec.Struct, frozen=True):
    """Base of commands."""


_decode_plain = msgspec.msgpack.Decoder().decode
_PLAIN = (str, int, bool, bytes, type(None))
_REFUSED = (TypeError, ValueError, OverflowError, RecursionError)
"""What encoding raises where there is no form that all replicas share. (UnicodeEncodeError is a ValueError.)"""


def encode_event(event: Event) -> bytes:
    """The canonical bytes of an event; InvalidEvent where there are none."""
    kind = type(event)
    try:
        for name in kind.__struct_fields__:
            value = getattr(event, name)
            if type(value) not in _PLAIN:
                _refuse_nan(value)
        payload = canonical.encode(event)
        if too_deep(payload):
            raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep; record it as text, or in parts")
        return payload
    except _REFUSED as error:
        raise InvalidEvent(f"{kind.__name__} was not recorded: {error}") from error


def _canonical(plain: Any) -> bytes:
    """The canonical bytes of a plain payload; one of _REFUSED where there are none."""
    _refuse_nan(plain)
    return canonical.encode(plain)


def _refuse_nan(value: Any) -> None:
    if isinstance(value, float):
        if value != value:
            raise ValueError("NaN does not equal itself, so replicas could not agree on it; use None")
    elif isinstance(value, dict):
        for key, below in value.items():
            _refuse_nan(key)
            _refuse_nan(below)
    elif isinstance(value, list | tuple | set | frozenset):
        for below in value:
            _refuse_nan(below)
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            _refuse_nan(getattr(value, name))


def readable(kind: type[Event]) -> list[tuple[str, int]]:
    """The types, with their schemas, that a class can read: what a fold of it depends on."""
    names, schemas = (kind.__name__, *kind.former_names), (*kind.upcasters, kind.schema)
    return [(name, schema) for name in names for schema in schemas]


class EventTypes:
    """The event classes that a replica's code knows, by the names and schema versions that it can read."""

    def __init__(self, classes: Iterable[type[Event]]) -> None:
        self._readers: dict[tuple[str, int], Callable[[bytes], Event]] = {}
        self._classes: dict[tuple[str, int], type[Event]] = {}
        self._columns: dict[type[Event], Callable[[bytes], list[Event]]] = {}
        self._newest: dict[str, type[Event]] = {}
        """By name, of those that go or went by it, the class whose schemas are the greatest."""
        for kind in classes:
            _check(kind)
            decode = closed(kind, msgspec.msgpack.Decoder(kind).decode)
            self._columns[kind] = msgspec.msgpack.Decoder(list[kind]).decode  # type: ignore[valid-type]
            for name in (kind.__name__, *kind.former_names):
                if name not in self._newest or kind.schema > self._newest[name].schema:
                    self._newest[name] = kind
            for name, schema in readable(kind):
                self._claim(name, schema, kind)
                self._readers[name, schema] = decode if schema == kind.schema else _upcast(kind, schema, decode)

    def _claim(self, name: str, schema: int, kind: type[Event]) -> None:
        known = self._classes.setdefault((name, schema), kind)
        if known is not kind:
            raise TypeError(
                f"two event classes are called {name} {schema}, now or formerly: {_place(known)} and "
                f"{_place(kind)}. A log names an event by its type and schema: give one of them another name"
            )

    def __contains__(self, name_and_schema: tuple[str, int]) -> bool:
        return name_and_schema in self._readers

    def decode(self, name: str, schema: int, payload: bytes) -> Event | None:
        """The event, or None where this code does not know its type in that schema.

        Raises msgspec.ValidationError where the bytes do not fit the class, or an upcaster raises.
        """
        read = self._readers.get((name, schema))
        return None if read is None else read(payload)

    def kind_of(self, name: str, schema: int) -> type[Event] | None:
        """The class of such events, or None where this code does not know their type in that schema."""
        return self._classes.get((name, schema))

    def newer_than(self, name: str, schema: int) -> type[Event] | None:
        """The class of that name, now or formerly, where it is newer and cannot read this schema."""
        kind = self._newest.get(name)
        return kind if kind is not None and schema < kind.schema and (name, schema) not in self else None

    def decode_all(self, name: str, schema: int, count: int, payloads: bytes) -> list[Event]:
        """So many events of one type that is known, from their payloads one after the other.

        Raises what reading one of them raises.
        """
        kind, read = self._classes[name, schema], self._readers[name, schema]
        if schema != kind.schema:
            return [read(bytes(payload)) for payload in split(array(count, payloads))]
        events, names = self._columns[kind](array(count, payloads)), changeable(kind)
        return [_close(event, names) for event in events] if names else events

    def admit(self, event: Event) -> tuple[bytes, Event]:
        """The bytes of an event that is about to be recorded, and the event that comes back out of them."""
        kind = type(event)
        if self._classes.get((kind.__name__, kind.schema)) is not kind:
            raise InvalidEvent(
                f"{kind.__name__} was not recorded: no aggregate of this replica lists it in its `events`"
            )
        payload = encode_event(event)
        try:
            return payload, self._readers[kind.__name__, kind.schema](payload)
        except msgspec.ValidationError as error:
            raise InvalidEvent(f"{kind.__name__} was not recorded: {error}") from error


# --- what comes out of a log is read by many ---


@cache
def changeable(kind: type[Event]) -> tuple[str, ...]:
    """The fields of a class that may hold what can be changed: a dict, a list, a set, or an object."""
    try:
        fields = inspect.type_info(kind).fields  # type: ignore[attr-defined]
    except Exception:
        return kind.__struct_fields__
    return tuple([field.name for field in fields if not _is_value(field.type)])


def _is_value(kind: Any) -> bool:
    """Is all that a field of this type can hold a value that nobody can change?"""
    if isinstance(kind, inspect.TupleType):
        return all(map(_is_value, kind.item_types))
    if isinstance(kind, inspect.VarTupleType):
        return _is_value(kind.item_type)
    if isinstance(kind, inspect.UnionType):
        return all(map(_is_value, kind.types))
    if isinstance(kind, inspect.Metadata):
        return _is_value(kind.type)
    return type(kind) in _VALUES


_VALUES = {
    inspect.NoneType, inspect.BoolType, inspect.IntType, inspect.FloatType, inspect.StrType, inspect.BytesType,
    inspect.DateTimeType, inspect.DateType, inspect.TimeType, inspect.TimeDeltaType, inspect.UUIDType,
    inspect.DecimalType, inspect.EnumType, inspect.LiteralType,
}  # fmt: skip


def closed(kind: type[Event], decode: Callable[[bytes], Event]) -> Callable[[bytes], Event]:
    """Reads an event of which nothing can be changed."""
    names = changeable(kind)
    return (lambda payload: _close(decode(payload), names)) if names else decode


def _close(event: Event, names: tuple[str, ...]) -> Event:
    for name in names:
        msgspec.structs.force_setattr(event, name, copied(getattr(event, name)))
    return event


def _place(kind: type[Event]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _check_fields(kind: type[Event]) -> None:
    """TypeError where a field hides what an event has, or holds what msgpack has no form for."""
    for name in ("schema", "upcasters", "former_names"):
        if name in kind.__struct_fields__:
            raise TypeError(
                f"{_place(kind)} cannot have a field `{name}`: it would hide what every event class has"
            )
    try:
        fields = inspect.type_info(kind).fields  # type: ignore[attr-defined]
    except Exception as error:
        raise TypeError(f"{_place(kind)} cannot be read back from its bytes: {error}") from error
    for field in fields:
        for inside in _types_in(field.type):
            if isinstance(inside, inspect.CustomType) and not _is_abstract(inside.cls):
                raise TypeError(
                    f"{_place(kind)}.{field.name} holds a {inside.cls.__name__}, which msgpack has no form for: "
                    "no such event could be recorded. Use a frozen msgspec.Struct, a dataclass, or plain values"
                )


def _types_in(kind: Any) -> Iterator[Any]:
    """A type, and those that are said in it, without those in the fields of classes."""
    yield kind
    for name in ("type", "item_type", "key_type", "value_type"):
        if isinstance(below := getattr(kind, name, None), inspect.Type):
            yield from _types_in(below)
    for name in ("types", "item_types"):
        for below in getattr(kind, name, ()):
            yield from _types_in(below)


def _is_abstract(kind: type) -> bool:
    """Is one of the plain values an instance of that class?"""
    try:
        return any(issubclass(plain, kind) for plain in (str, int, float, bytes, list, dict, type(None)))
    except TypeError:
        return True


def _check(kind: type[Event]) -> None:
    """TypeError where a class does not say plainly what it can read."""
    _check_fields(kind)
    names, schema, upcasters = kind.former_names, kind.schema, kind.upcasters
    if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
        raise TypeError(f'{_place(kind)} needs `former_names = ("Name", ...)`: a tuple of names, not {names!r}')
    if not all(0 < len(name) <= MAX_NAME for name in (kind.__name__, *names)) or not (
        type(schema) is int and 0 <= schema <= MAX_SCHEMA
    ):
        raise TypeError(
            f"{_place(kind)} cannot be recorded: a type name has at most {MAX_NAME} characters, and "
            f"`schema` is an int from 0 to {MAX_SCHEMA}"
        )
    if not isinstance(upcasters, Mapping) or not all(type(old) is int and old >= 0 for old in upcasters):
        raise TypeError(f"{_place(kind)} needs `upcasters = {{1: from_1_to_2, ...}}`: functions by schema")
    for old, step in upcasters.items():
        if not callable(step):
            raise TypeError(f"{_place(kind)}: the upcaster from schema {old} is {step!r}, and not a function")
        if iscoroutinefunction(step):
            raise TypeError(f"{_place(kind)}: the upcaster from schema {old} is a plain function, no `async def`")
        if old >= schema:
            raise TypeError(
                f"{_place(kind)} has an upcaster from schema {old}, and its own schema is {schema}: an upcaster "
                f"leads from an older schema to the next. Raise `schema`, or take the upcaster away"
            )
        if old + 1 < schema and old + 1 not in upcasters:
            raise TypeError(
                f"{_place(kind)} has an upcaster from schema {old} and none from {old + 1}, so nothing leads to "
                f"its own schema {schema}. Add what is missing, or take away what lies below it"
            )


def _upcast(kind: type[Event], oldest: int, decode: Callable[[bytes], Event]) -> Callable[[bytes], Event]:
    """Reads what was recorded in schema `oldest`: through each upcaster, and then as if it were recorded now."""
    steps = [(schema, kind.upcasters[schema]) for schema in range(oldest, kind.schema)]

    def read(payload: bytes) -> Event:
        plain = _decode_plain(payload)
        for schema, step in steps:
            try:
                plain = step(plain)
            except BaseException as raised:
                error = exception(raised)
                raise msgspec.ValidationError(
                    f"the upcaster from schema {schema} raised {type(error).__name__}: {error}"
                ) from raised
        try:
            return decode(_canonical(plain))
        except _REFUSED as error:
            raise msgspec.ValidationError(
                f"what the upcasters from schema {oldest} on make of it is no {kind.__name__}: {error}"
            ) from error

    return read
