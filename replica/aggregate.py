"""Aggregates: what decides on commands, and what events make of it.

An aggregate is a class for a category of streams: `stream = "list"` serves `list/home`, `list/work`. It
lists the event types it folds, decides on commands, and says what each event does.

    decide(self, command, given) -> facts      intent: may look at the state, may refuse
    effect(self, event) -> Effect              fact: made from the event alone

A lattice aggregate is a product of lattices, and folds by the kernel: in any causally legal order, to the
same state. The port below (`empty`, `observe`, `canonical`) is all that the replica knows of folding, so
that other ways to fold stand beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from random import Random
from typing import Any, ClassVar, Self

from merge.effect import NO_EFFECT, Effect
from merge.kernel import Happening
from merge.product import Product
from merge.stamp import Stamp
from merge.tree import EMPTY, Tree
from merge.version import NOTHING, Dot, ReplicaId, VersionVector
from replica.digest import canonical
from replica.event import Command, Event


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


class Aggregate(Product):
    """Base of lattice aggregates: declare `stream`, `events`, lattices, `decide` and `effect`."""

    stream: ClassVar[str]
    events: ClassVar[tuple[type[Event], ...]]

    address: str = ""
    """The stream that this present is of: `list/home`."""
    version: VersionVector = NOTHING
    """The version at which this present was read."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        stream, events = getattr(cls, "stream", None), getattr(cls, "events", None)
        if not isinstance(stream, str) or not stream or "/" in stream:
            raise TypeError(f'{cls.__name__} needs `stream = "..."`: the part of its streams before the slash')
        if not isinstance(events, tuple) or not all(
            isinstance(kind, type) and issubclass(kind, Event) for kind in events
        ):
            raise TypeError(f"{cls.__name__} needs `events = (...)`: the event classes that it folds")

    def decide(self, command: Command, given: Given) -> Event | Iterable[Event] | None:
        """The facts that `command` leads to in this state; raise Refused to say no."""
        raise NotImplementedError(f"{type(self).__name__} does not decide on {type(command).__name__}")

    def effect(self, event: Any) -> Effect | Iterable[Effect] | None:
        """What `event` forgets and says. Look at the event alone; several effects are put together."""
        raise NotImplementedError(f"{type(self).__name__} has no effect for {type(event).__name__}")

    def present_of(self, state: Tree, address: str, version: VersionVector) -> Self:
        """A present to read: this aggregate over `state`."""
        present: Self = self.bind(state, ())
        present.address, present.version = address, version
        return present

    # --- the port ---

    def empty(self) -> Tree:
        """The state before any event."""
        return EMPTY

    def observe(self, state: Tree, dot: Dot, stamp: Stamp, context: VersionVector, event: Event) -> Tree:
        """The state after one more event. Called on the unbound aggregate."""
        match self.effect(event):
            case None:
                effect = NO_EFFECT
            case Effect() as effect:
                pass
            case effects:
                effect = sum(effects, NO_EFFECT)
        return state.happen(Happening(dot, stamp, context, effect)) if effect else state

    def canonical(self, state: Tree) -> Any:
        """The state as plain values in one order, for digests."""
        return canonical(state)

    def __str__(self) -> str:
        return f"{self.address or type(self).__name__} {self.value}"
