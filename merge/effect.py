"""What an event does to a lattice state: it forgets, and it says.

Rule 1. An effect is made from the event alone. It never looks at the state it will meet, for that state
        differs from replica to replica while the event does not.
Rule 2. A path leads to a place in the state: a field, a map key, a set element. Its parts are str, int,
        bytes, or tuples of these, because they must be equal, ordered and encoded alike everywhere.
        (1 == 1.0 == True would be one key in Python and three on the wire: so no bool and no float.)
Rule 3. Forgetting a path forgets all at it and below it, of which the event had seen.
Rule 4. The order inside an effect does not matter: it forgets what came before, then says.

Rule 5. What a lattice looks at in the value of an event is whether it may be a part of a path, and no more. So a
        `Hole` may stand for any value, and what is made of it is the effect of all events of a kind.

Two more verbs serve places that are never forgotten: `tally` adds to this replica's running total there,
and `absorb` joins in a value that is a join-semilattice of its own (text).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Any, NamedTuple

Key = str | int | bytes | tuple[Any, ...]
Path = tuple[Key, ...]

INT_LOW, INT_HIGH = -(1 << 63), (1 << 64) - 1


class InvalidKey(TypeError, ValueError):
    """A value that cannot name a place, because replicas could disagree on whether two such are equal."""


def check_key(value: object) -> Key:
    """The value, if it may be a part of a path; InvalidKey otherwise."""
    kind = type(value)
    if kind is str:
        try:
            value.encode()  # type: ignore[attr-defined]
        except UnicodeEncodeError:
            raise InvalidKey(f"{value!r} is not a key: half a surrogate pair has no UTF-8 form") from None
    elif kind is int:
        if not INT_LOW <= value <= INT_HIGH:  # type: ignore[operator]
            bits = value.bit_length()  # type: ignore[attr-defined]
            raise InvalidKey(f"an integer of {bits} bits is not a key: integers go from -2^63 to 2^64-1")
    elif kind is tuple:
        for part in value:  # type: ignore[attr-defined]
            check_key(part)
    elif kind is not bytes:
        if kind is Hole:
            return value  # type: ignore[return-value]
        raise InvalidKey(
            f"{value!r} is not a key: elements and keys are str, int, bytes, or tuples of these, "
            f"and this is a {kind.__name__}. Nothing was recorded."
        )
    return value  # type: ignore[return-value]


class HoleLookedAt(Exception):
    """Something depends on a value that is not known yet."""


def _look(*_: object) -> Any:
    raise HoleLookedAt("an effect depends on a value of which it was only to say where it goes")


class Hole:
    """A value that is not known yet, in the effect of all events of a kind.

    It can be a part of a path, or what is said. Whoever looks at it, or computes with it, fails.
    """

    __slots__ = ()
    __bool__ = __eq__ = __hash__ = __str__ = __repr__ = __format__ = __getattribute__ = _look


class Verb(IntEnum):
    FORGET = 0
    SAY = 1
    TALLY = 2
    ABSORB = 3


class Deed(NamedTuple):
    """One verb at one path. `value` is None where the verb is FORGET."""

    verb: Verb
    path: Path
    value: Any = None


class Effect(tuple[Deed, ...]):
    """The deeds of one event, forgetting first. Effects of one event are put together with `+`."""

    __slots__ = ()

    def __new__(cls, deeds: Iterable[Deed] = ()) -> Effect:
        return super().__new__(cls, deeds)

    def __add__(self, other: tuple[Deed, ...]) -> Effect:  # type: ignore[override]
        deeds = sorted((*self, *other), key=lambda deed: deed.verb > Verb.FORGET)
        said = [deed.path for deed in deeds if deed.verb != Verb.FORGET]
        if len(said) > 1 and len(set(said)) < len(said):
            raise ValueError(
                "one event says two things at the same place, and only one could be kept: "
                "make it one operation, or two events"
            )
        return Effect(deeds)


NO_EFFECT = Effect()


def forget(path: Path) -> Effect:
    """Forget what the event had seen at `path` and below it."""
    return Effect((Deed(Verb.FORGET, path),))


def say(path: Path, value: Any) -> Effect:
    """Say `value` at `path`, under the event's own dot."""
    return Effect((Deed(Verb.SAY, path, value),))


def replace(path: Path, value: Any) -> Effect:
    """Forget what the event had seen at `path`, and say `value` there."""
    return Effect((Deed(Verb.FORGET, path), Deed(Verb.SAY, path, value)))


def tally(path: Path, amount: int) -> Effect:
    """Add to the running total of the event's replica at `path`, which is never forgotten."""
    return Effect((Deed(Verb.TALLY, path, amount),))


def absorb(path: Path, value: Any) -> Effect:
    """Join `value`, a join-semilattice of its own, into what stands at `path`; never forgotten.

    Its class makes the bottom, which the first value joins, without arguments; `one | other` is the least value
    above both, and changes neither. Three methods say more, of the value alone:

        def freeze(self) -> bytes               for snapshots: without it the stream is folded from its beginning
        @classmethod
        def thaw(cls, data: bytes) -> Self      what `freeze` made bytes of
        def digest(self) -> Any                 equal where values are: without it presents are not compared with
                                                those of peers, which `status().left_out` says
    """
    return Effect((Deed(Verb.ABSORB, path, value),))
