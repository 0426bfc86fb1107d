"""Aggregates whose code is the same everywhere and which all the same do not fold alike: what the alarm is for."""

from __future__ import annotations

from typing import Any

from replica.ordered import Moment
from tests.shop import ItemAdded, Journal, ShoppingList, TitleGiven


class _List(ShoppingList):
    wrong: frozenset[str] = frozenset()

    def effect(self, event: Any) -> Any:
        match event:
            case ItemAdded(said) | TitleGiven(said) if said in self.wrong:
                return None
        return super().effect(event)


class _Journal(Journal):
    wrong: frozenset[str] = frozenset()

    def evolve(self, state: tuple[tuple[str, int], ...], event: Any, moment: Moment) -> Any:
        said = super().evolve(state, event, moment)
        return said[:-1] if event.line in self.wrong else said


def crooked(*wrong: str) -> list[Any]:
    """The aggregates of the shop, with the same code whatever is `wrong`; what says that is not heard."""
    return [type(kind.__name__, (kind,), {"wrong": frozenset(wrong)}) for kind in (_List, _Journal)]
