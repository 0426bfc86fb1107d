"""What decides: the part of an aggregate that every way of folding shares.

An aggregate is a class for a category of streams: `stream = "list"` serves `list/home`, `list/work`. It lists the
event types that it folds, and decides on commands:

    decide(self, command, given) -> facts      intent: may look at the state, may refuse

How facts become a state is the port below (`empty`, `observe`, `present_of`, `canonical`), which is all that a
replica knows of folding. Two ways are there: `replica.aggregate` (lattices: in any causally legal order) and
`replica.ordered` (any function: in the order of stamps).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, TypeAlias

from merge.lattice import Lattice
from merge.stamp import Stamp
from merge.version import NOTHING, Dot, ReplicaId, VersionVector
from replica.event import Command, Event
from replica.exact import Codec
from replica.fingerprint import Reached, fingerprint, reached
from replica.place import StreamPlace
from replica.slips import plain_functions

if TYPE_CHECKING:
    from replica.due import Due


FOLDS = 2
"""Raised when Anabranch folds otherwise, or keeps folds in another form: what was derived before is made again."""


class Given:
    """What a decision may use beside the command and the state: everything that is not in the log yet."""

    __slots__ = ("now", "random", "replica")

    def __init__(self, now: int, replica: ReplicaId, random: Random) -> None:
        self.now = now
        """Wall time in ms since 1970."""
        self.replica = replica
        """The replica that decides."""
        self.random = random
        """Chance."""

    @property
    def time(self) -> datetime:
        return datetime.fromtimestamp(self.now / 1000, UTC)

    def new_id(self) -> str:
        """128 random bits in hexadecimal."""
        return f"{self.random.getrandbits(128):032x}"


class Happened(NamedTuple):
    """An event of a stream as folds see it: when, which, what its author had seen, and what it says."""

    stamp: Stamp
    dot: Dot
    context: VersionVector
    event: Event
    aside: bool = False
    """It is left out where folding it raises (see `replica.aside`)."""

    @property
    def order(self) -> tuple[Stamp, int]:
        """Its place among all events, which is the same on every replica."""
        return self.stamp, self.dot.seq


@dataclass(frozen=True, slots=True)
class Addressed:
    """A fact that a decision puts into another stream, in the same commit: observed together, or not at all.

    So one decision can tell two streams of it: the stock that a piece is reserved, and the order that it has it.
    """

    stream: str
    event: Event


Facts: TypeAlias = "Event | Addressed | Iterable[Event | Addressed] | None"


class FoldFailed(Exception):
    """Folding an event raised `why`."""

    def __init__(self, happened: Happened, why: Exception) -> None:
        super().__init__(happened, why)
        self.happened, self.why = happened, why


class Decider(ABC):
    """Base of aggregates of every kind."""

    stream: ClassVar[str]
    events: ClassVar[tuple[type[Event], ...]]

    fold_version: ClassVar[int] = 1
    """Raise it when a fold comes to something else, and nothing in your own modules says so."""

    refuse_unknown: ClassVar[bool] = False
    """Refuse commands in a stream that holds events which this code does not know: what it would decide on is not
    all that was recorded. (Facts are appended, and others' events come in, all the same.)"""

    state: Any
    """The state of the fold, in a present."""
    _address: str = ""
    _version: VersionVector = NOTHING
    address: str = ""
    """The stream that this present is of: `list/home`."""
    version: VersionVector = NOTHING
    """The version at which this present was read."""

    def __init_subclass__(cls, *, base: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if base:
            return
        stream, events = getattr(cls, "stream", None), getattr(cls, "events", None)
        if not isinstance(stream, str) or not stream or "/" in stream:
            raise TypeError(f'{cls.__name__} needs `stream = "..."`: the part of its streams before the slash')
        if not isinstance(events, tuple) or not all(
            isinstance(kind, type) and issubclass(kind, Event) for kind in events
        ):
            raise TypeError(
                f"{cls.__name__} needs `events = (...)`, a tuple of the event classes that it folds, not {events!r}"
            )
        for name in ("address", "state", "version"):
            if name in vars(cls) and not isinstance(vars(cls)[name], Lattice):
                raise TypeError(
                    f"{cls.__name__} cannot have a `{name}` of its own: it would hide that of every present"
                )
        plain_functions(
            cls, ("decide", "due", "effect", "evolve", "initial"), generators=("decide", "due", "effect")
        )

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("address", "state", "version"):
            raise TypeError(f"`{name}` of {type(self).__name__} is read only: what changes a state is an event")
        super().__setattr__(name, value)

    def decide(self, command: Command, given: Given) -> Facts:
        """The facts that `command` leads to in this state; raise Refused to say no."""
        raise NotImplementedError(f"{type(self).__name__} does not decide on {type(command).__name__}")

    def due(self) -> Iterable[Due]:
        """The commands that are owed in this state, each with the fact that it answers to (see `replica.due`)."""
        return ()

    # --- the port ---

    @abstractmethod
    def empty(self) -> Any:
        """The fold before any event."""

    @abstractmethod
    def observe(self, fold: Any, happened: Happened) -> Any:
        """The fold after one more event, whose context has all been observed. Called on the unbound aggregate."""

    def observe_all(self, fold: Any, happened: Sequence[Happened]) -> Any:
        """The fold after further events, which come in their order; FoldFailed names the one that raised."""
        for one in happened:
            try:
                fold = self.observe(fold, one)
            except Exception as error:
                if not one.aside:
                    raise FoldFailed(one, error) from error
        return fold

    @abstractmethod
    def present_of(self, fold: Any, address: str, version: VersionVector) -> Self:
        """A present to read: this aggregate over a fold."""

    @classmethod
    def fingerprint(cls) -> str:
        """A name for what this code makes of events: all that its fold can reach by name."""
        return fingerprint(FOLDS, cls.reached().name)

    @classmethod
    def reached(cls) -> Reached:
        """What the fold can reach by name, in the user's own modules."""
        return reached(cls, without_decisions)

    @abstractmethod
    def freeze(self, fold: Any) -> bytes:
        """A fold as bytes, for a snapshot."""

    @abstractmethod
    def thaw(self, data: bytes, stamp: Stamp, stands: StreamPlace) -> Any:
        """The fold that `freeze` made bytes of, at a stamp and a place in the stream."""

    @abstractmethod
    def unlike(self, one: Any, other: Any) -> str | None:
        """Where the states of two folds differ, for code that reads them, and how; None where they do not.

        By types and order (see `replica.identical`): what equals is not yet the same.
        """

    @classmethod
    def codec(cls) -> Codec:
        """What takes apart the values in a state of this aggregate, for bytes."""
        return _codec(cls)

    def serves(self, stamp: Stamp, stands: StreamPlace, later: Stamp, context: VersionVector) -> bool:
        """Can a fold at a stamp, of events up to `stands`, take an event with another stamp and context?"""
        return True

    def takes(self, fold: Any, later: Stamp, context: VersionVector) -> bool:
        """Can this fold take an event, or does it have to go back before what it knows?"""
        return True

    def rewinds(self, fold: Any, first: Callable[[], Stamp | None]) -> int:
        """How many events have to be folded again to take some with this first stamp; 0 for next to none."""
        return 0

    def trim(self, fold: Any) -> Any:
        """The fold without what it need not hold in memory, where a snapshot stands behind it."""
        return fold

    def waits(self, fold: Any, before: Any = None) -> bool:
        """Is something in a fold that does not show, for what it builds on is missing? (More than before?)"""
        return False

    @abstractmethod
    def plain(self) -> Any:
        """What a present reads as, in plain values: to be shown, compared by field, or written as JSON."""

    @abstractmethod
    def canonical(self, state: Any) -> Any:
        """The `state` of a present as plain values in one order, for digests."""


@cache
def _codec(cls: type[Decider]) -> Codec:
    return Codec(cls.reached().types)


def without_decide(kind: type) -> tuple[str, ...]:
    """What a class has that no reading depends on."""
    return ("decide",) if issubclass(kind, Decider) else ()


def without_decisions(kind: type) -> tuple[str, ...]:
    """What a class has that no fold depends on."""
    return ("decide", "due") if issubclass(kind, Decider) else ()
