"""Aggregates whose code is the same everywhere and which all the same do not fold alike: what the alarm is for."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from merge import NO_EFFECT
from replica.ordered import Moment
from tests.shop import ItemAdded, Journal, ShoppingList, TitleGiven

unheard: WeakKeyDictionary[type, frozenset[str]] = WeakKeyDictionary()
"""By class: what it does not hear. Fingerprints do not look into what only refers weakly."""


class _List(ShoppingList):
    def effect(self, event: Any) -> Any:
        match event:
            case ItemAdded(said) | TitleGiven(said) if said in unheard[type(self)]:
                return NO_EFFECT
        return super().effect(event)


class _Journal(Journal):
    def evolve(self, state: tuple[tuple[str, int], ...], event: Any, moment: Moment) -> Any:
        said = super().evolve(state, event, moment)
        return said[:-1] if event.line in unheard[type(self)] else said


def crooked(*wrong: str) -> list[Any]:
    """The aggregates of the shop, with the same code whatever is `wrong`; what says that is not heard."""
    kinds = [type(kind.__name__, (kind,), {}) for kind in (_List, _Journal)]
    unheard.update(dict.fromkeys(kinds, frozenset(wrong)))
    return kinds


HearingList, HearingJournal = crooked()
"""The same for another process, which takes them from here: they hear everything."""
