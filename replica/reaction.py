"""Reactions: side effects that facts cause in the world.

    @reaction(OrderCompleted)
    async def mail(entry, replica):
        await post(to=entry.event.customer, key=str(entry.dot))

Rule 1. A reaction is to a fact, and runs where the fact was recorded, after it is durable: never when a stream
        is read again, never at another replica, never while travelling in time.
Rule 2. The outbox is the log itself, with a cursor that is kept beside it: up to there every fact of this
        replica has been reacted to, or set aside. So recording a fact costs nothing more, and no crash loses a
        reaction.
Rule 3. At least once, in the order of the log, one after the other: a crash between the effect and the cursor
        has it run again. The dot of the event is the key by which the receiver knows it.
Rule 4. One that fails is set aside, so that the next can go on, and tried again, later each time; after `tries`
        failures it is parked, until a person has it retried or drops it (see `replica.retry`).
Rule 5. A reaction that is new begins with the next fact: what happened before it existed is not reacted to. One
        that was known before goes on from its cursor.
Rule 6. A replica that gives up its id in life goes on under a new one, and owes the reactions to what it has
        recorded itself under the former one: its cursor has what is left of that log. A copied file owes none of
        what the original recorded: it begins anew.
Rule 7. Where a cursor stands, what is set aside and what could not be read (see `replica.unread`) is a part of the
        draft: what could not be written was not done, and is done again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING

from replica.entry import Entry
from replica.event import Event
from replica.retry import Retry, check_named
from replica.slips import classes

if TYPE_CHECKING:
    from replica.replica import Replica

React = Callable[[Entry, "Replica"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Reaction:
    """What to do about events of some types. Made by `reaction`."""

    name: str
    types: frozenset[type[Event]]
    call: React
    retry: Retry


def reaction(
    *types: type[Event], name: str | None = None, tries: int = 8, first: float = 0.5, longest: float = 300.0
) -> Callable[[React], Reaction]:
    """Make a reaction of an async function of an `Entry` and the replica.

    `name` is what its cursor is kept under; the function's name unless said. One that fails is tried again after
    about `first` seconds, later each time and at most `longest` seconds apart, and parked after `tries` failures.
    """
    if not types or type(tries) is not int or tries < 1:
        raise TypeError("a reaction is to at least one type of event, and is tried at least once")
    classes(types, Event, "what a reaction is to, as in `@reaction(ItemAdded)`,")

    def make(call: React) -> Reaction:
        if not iscoroutinefunction(call):
            raise TypeError(
                f"a reaction is an `async def`, and {call!r} is none: it would run, and count as failed"
            )
        named = name or str(getattr(call, "__name__", ""))
        check_named("a reaction", named)
        return Reaction(named, frozenset(types), call, Retry(tries, first, longest))

    return make
