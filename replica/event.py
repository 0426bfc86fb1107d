"""Events, commands, and the door through which an event enters a log.

Rule 1. An event is an immutable fact, named in the past tense. A command is an intent, and may be refused.
Rule 2. What enters a log is bytes: one canonical msgpack value. The replica that records an event folds what
        comes back out of these bytes, so that it folds just what everybody else will.
Rule 3. What cannot be encoded alike everywhere is refused here, on its own replica, before it is recorded:
        NaN (it does not equal itself), half a surrogate pair (no UTF-8 form), integers beyond 64 bits,
        objects that msgpack has no form for. Sets and dict keys are sorted.
Rule 4. The log never reads a payload. A replica that does not know an event type carries it all the same.

Payloads are msgpack maps by field name, so that any tool can read them. A type that is written by the
million may be declared `class Moved(Event, array_like=True)`: smaller, faster, and read by position.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec

from replica.commit import MAX_NAME, MAX_SCHEMA
from replica.errors import InvalidEvent


class Event(msgspec.Struct, frozen=True):
    """Base of events. Subclasses declare typed fields; `schema` is raised when their meaning changes."""

    schema: ClassVar[int] = 1


class Command(msgspec.Struct, frozen=True):
    """Base of commands."""


_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_PLAIN = (str, int, bool, bytes, type(None))


def encode_event(event: Event) -> bytes:
    """The canonical bytes of an event; InvalidEvent where there are none."""
    kind = type(event)
    try:
        for name in kind.__struct_fields__:
            value = getattr(event, name)
            if type(value) not in _PLAIN:
                _refuse_nan(value)
        return _encode(event)
    except (TypeError, ValueError, OverflowError, RecursionError, UnicodeEncodeError) as error:
        raise InvalidEvent(f"{kind.__name__} was not recorded: {error}") from error


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


class EventTypes:
    """The event classes that a replica's code knows, by name and schema version."""

    def __init__(self, classes: Iterable[type[Event]]) -> None:
        self._decoders: dict[tuple[str, int], msgspec.msgpack.Decoder[Event]] = {}
        self._classes: dict[str, type[Event]] = {}
        for kind in classes:
            if not 0 < len(kind.__name__) <= MAX_NAME or not 0 <= kind.schema <= MAX_SCHEMA:
                raise TypeError(
                    f"{kind.__name__} cannot be recorded: a type name has at most {MAX_NAME} characters, and "
                    f"`schema` is an int from 0 to {MAX_SCHEMA}"
                )
            known = self._classes.setdefault(kind.__name__, kind)
            if known is not kind:
                raise TypeError(
                    f"two event classes are called {kind.__name__} ({known.__module__} and {kind.__module__}): "
                    "a log names an event by its type, so give one of them another name"
                )
            self._decoders[kind.__name__, kind.schema] = msgspec.msgpack.Decoder(kind)

    def __contains__(self, name_and_schema: tuple[str, int]) -> bool:
        return name_and_schema in self._decoders

    def decode(self, name: str, schema: int, payload: bytes) -> Event | None:
        """The event, or None where this code does not know its type.

        Raises msgspec.ValidationError where the bytes do not fit the class.
        """
        decoder = self._decoders.get((name, schema))
        return None if decoder is None else decoder.decode(payload)

    def admit(self, event: Event) -> tuple[bytes, Event]:
        """The bytes of an event that is about to be recorded, and the event that comes back out of them."""
        kind = type(event)
        if self._classes.get(kind.__name__) is not kind:
            raise InvalidEvent(
                f"{kind.__name__} was not recorded: no aggregate of this replica lists it in its `events`"
            )
        payload = encode_event(event)
        try:
            return payload, self._decoders[kind.__name__, kind.schema].decode(payload)
        except msgspec.ValidationError as error:
            raise InvalidEvent(f"{kind.__name__} was not recorded: {error}") from error
