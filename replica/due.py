"""What is due: the commands that an aggregate owes, read off its present.

    def due(self):                                       # a method of an aggregate; pure
        for line in self.state.unreserved:
            yield Due(ReserveProduct(self.address, line.product), cause=line.dot, to=f"stock/{line.product}")

A replica promises only its own behaviour. A repair, or the next step of a process, is a fact appended by one
replica, the owner, in answer to a fact; a process manager is an aggregate with `due`.

Rule 1. What is due is a function of the present alone, and is stored in the transaction that changes it. So it is
        known on every replica, survives every crash, and is gone when the present says that it is done.
Rule 2. The owner carries it out, and nobody else: the replica that recorded the fact which the command answers to
        (`cause`), unless an `OwnerChanged` in the same stream names another. Everywhere else it is pending.
Rule 3. The id of the command is a hash of the stream, the cause, the kind of command and its addressee. So it is
        carried out once, however often it is tried, and once more only where somebody else took it over unawares.
        What anybody else has recorded under that id settles nothing: only a commit of the owner, or of one who
        owned it before, that answers to that cause does.
Rule 4. A command that is refused, or cannot be carried out, is parked where status shows it, and tried again when
        a person says so. Until then it holds back nothing else.
Rule 5. Reactions are to facts and happen once (`replica.reaction`); what is due follows the state, and goes away
        with it: a late past may make it unnecessary, or necessary again.

Source: Burgess, Promise Theory (a promise is of one's own behaviour); Garcia-Molina and Salem 1987 (sagas: what
cannot be taken back is answered by a further fact).
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from typing import Annotated, Any

import msgspec

from merge.stamp import YEAR_10000
from merge.version import Dot, ReplicaId
from replica.commit import MAX_WORDS, check_name, make_note
from replica.decider import Decider
from replica.errors import reraise
from replica.event import Command, Event

KIND = "due"
"""The kind under which promises are kept beside the log."""
MAX_DUE = 4096
"""Commands that one stream may owe at once: each is computed again whenever the stream changes."""


class OwnerChanged(Event, frozen=True):
    """From here on `owner` (the bits of a replica id) carries out what is due in this stream."""

    owner: int


@dataclass(frozen=True, slots=True)
class Due:
    """A command that is owed, and the fact that it answers to.

    TypeError, ValueError where it could not be kept, or carried out, as it is: `due` is a user's code, and what it
    says is stored with the transaction.
    """

    command: Command
    cause: tuple[int, int]
    """The dot of that fact: `moment.dot`."""
    to: str | None = None
    """The stream that decides on it; its own unless said."""
    at: float | None = None
    """Not before this wall time, in ms since 1970. A part of a millisecond, as a timedelta may lead to, is rounded
    up."""
    settled: bool = False
    """Not before every live member is known to have observed the cause."""
    correlation: str | None = None
    """What its commit is filed under; the correlation id of the cause unless said, where that is new here."""

    def __post_init__(self) -> None:
        if not isinstance(self.command, Command):
            raise TypeError(f"what is due is a command, and not {self.command!r}")
        object.__setattr__(self, "cause", _dot(self.cause))
        if self.to is not None:
            check_name(self.to)
        if self.at is not None:
            object.__setattr__(self, "at", _whole_ms(self.at))
        if type(self.settled) is not bool:
            raise TypeError(f"`settled` of what is due is True or False, and not {self.settled!r}")
        if self.correlation is not None:
            make_note(None, self.correlation, None)


def _dot(cause: Any) -> Dot:
    """The dot of the fact that is answered to."""
    try:
        replica, seq = cause
        dot = Dot(replica if isinstance(replica, ReplicaId) else operator.index(replica), operator.index(seq))
    except (TypeError, ValueError):
        raise TypeError(
            f"`cause` of what is due is the dot of an event, as `moment.dot`, and not {cause!r}"
        ) from None
    if not (0 <= dot.replica < 1 << 64 and 0 < dot.seq < 1 << 63):
        raise ValueError(f"`cause` of what is due names no event: {cause!r}")
    return dot


def _whole_ms(at: Any) -> int:
    """A wall time in whole ms that is not before `at`."""
    try:
        whole = math.ceil(at) if isinstance(at, float) else operator.index(at)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(
            f"`at` of what is due is wall time in milliseconds since 1970, a number, and not {at!r}"
        ) from None
    if not 0 <= whole < YEAR_10000:
        raise ValueError(f"`at` of what is due is no time in milliseconds since 1970: {at!r}")
    return whole


_Bits = Annotated[int, msgspec.Meta(ge=0)]


class Promise(msgspec.Struct, frozen=True, omit_defaults=True):
    """A command that is due, as it is kept beside the log (in JSON, so that people can read it)."""

    stream: str
    kind: str
    """The name of the command."""
    to: str
    cause: tuple[_Bits, _Bits]
    owner: _Bits
    at: Annotated[int, msgspec.Meta(ge=0, lt=YEAR_10000)] | None = None
    settled: bool = False
    correlation: str | None = None
    done: bool = False
    """It was carried out; the present does not say so yet."""
    parked: str | None = None
    """Why it is not tried any more."""


class Owned(msgspec.Struct, frozen=True, array_like=True):
    """Who owns what is due in a stream, where an `OwnerChanged` has said so."""

    order: tuple[int, int, int, int]
    """The stamp and seq of the latest that says so,"""
    owner: int
    """and whom it names."""
    former: tuple[int, ...] = ()
    """Whom others have named, the latest ones."""


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Promise).decode


def owes(aggregate: Decider) -> bool:
    """Does this aggregate say what is due?"""
    return type(aggregate).due is not Decider.due


def promise_id(stream: str, due: Due) -> str:
    """The id of the command, the same on every replica: 32 hexadecimal digits."""
    plain = stream, *map(int, due.cause), type(due.command).__name__, due.to or stream
    return blake2b(msgspec.msgpack.encode(plain), digest_size=16).hexdigest()


def all_due(present: Decider) -> dict[str, Due]:
    """What a present says is due, by command id. Raises what `due` raises, and where it says what cannot be."""
    found: dict[str, Due] = {}
    try:
        said = [*islice(present.due(), MAX_DUE + 1)]
    except BaseException as raised:
        reraise(raised)
    for due in said:
        if not isinstance(due, Due):
            raise TypeError(f"`due` gave {due!r}, which is no Due")
        found[promise_id(present._address, due)] = due
    if len(said) > MAX_DUE:
        raise ValueError(f"more than {MAX_DUE} commands are due at once")
    return found


def promises(
    stream: str,
    found: dict[str, Due],
    before: dict[str, Promise],
    owner: int | None,
    correlations: dict[tuple[int, int], str | None],
) -> dict[str, Promise]:
    """What is kept of what is due; what was known of it before stays."""
    result = {}
    for key, due in found.items():
        cause = int(due.cause[0]), int(due.cause[1])
        known = before.get(key)
        found_with = known.correlation if known is not None else correlations.get(cause)
        correlation = due.correlation or found_with
        promise = Promise(
            stream, type(due.command).__name__, due.to or stream, cause, cause[0] if owner is None else owner,
            None if due.at is None else int(due.at), due.settled, correlation,
        )  # fmt: skip
        if known is not None:
            promise = msgspec.structs.replace(promise, done=known.done, parked=known.parked)
        result[key] = promise
    return result


def cannot_say(stream: str, error: Exception) -> dict[str, Promise]:
    """What is kept where `due` raised: one promise that says so, for status to show."""
    why = f"what is due in {stream} is not known: `due` raised {type(error).__name__}: {error}"[:MAX_WORDS]
    key = blake2b(stream.encode(), digest_size=16).hexdigest()
    return {key: Promise(stream, "", stream, (0, 0), 0, parked=why)}
