"""Counters: everybody's additions count, once each.

When two people add at once, both additions count: the reading is the sum. There is nothing to lose, and
so nothing to choose. (A counter cannot promise to stay above zero while replicas are apart; that needs a
decision by one owner.)

At the root of an aggregate a counter keeps one running total a replica. Inside a map it keeps every
addition under its own dot, since removing the entry must remove exactly the additions that were seen: a
total that was reset, then continued by a replica which had not seen the reset, would come back whole.

Source: Shapiro et al. 2011 (G-Counter, PN-Counter); Almeida, Shoker, Baquero 2018 (why totals cannot be
reset; causal counters by dot).
"""

from __future__ import annotations

from typing import Any

from merge.effect import Effect, say, tally
from merge.lattice import Lattice


class PNCounter(Lattice):
    """An integer that goes up and down."""

    rule = "every addition counts once: the sum is read, and nothing is lost"

    def add(self, amount: int = 1) -> Effect:
        if type(amount) is not int:
            raise TypeError(f"a counter counts in whole numbers, and {amount!r} is not one")
        return say(self._path, amount) if self._forgettable else tally(self._path, amount)

    def subtract(self, amount: int = 1) -> Effect:
        return self.add(-amount if type(amount) is int else amount)

    @property
    def value(self) -> int:
        amounts: list[int] = [said.value for said in self.state.tallies.values()]
        amounts += [said.value for said in self.state.said.values()]
        return sum(amounts)

    def __int__(self) -> int:
        return self.value

    def __index__(self) -> int:
        return self.value

    def __bool__(self) -> bool:
        return bool(self.value)

    def __lt__(self, other: Any) -> bool:
        return bool(self.value < _number(other))

    def __le__(self, other: Any) -> bool:
        return bool(self.value <= _number(other))

    def __gt__(self, other: Any) -> bool:
        return bool(self.value > _number(other))

    def __ge__(self, other: Any) -> bool:
        return bool(self.value >= _number(other))


class GCounter(PNCounter):
    """An integer that only goes up."""

    def add(self, amount: int = 1) -> Effect:
        if type(amount) is int and amount < 0:
            raise ValueError(f"a GCounter only goes up, and {amount} is negative: use a PNCounter")
        return super().add(amount)


def _number(other: Any) -> Any:
    return other.value if isinstance(other, Lattice) else other
