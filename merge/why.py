"""Why a place reads as it does: what was done there that nobody has seen and replaced, and which of it is read.

Rule 1. A place is where a lattice keeps one thing: a register, a counter, an element of a set, a field of a map
        entry. An event touches it when it says or forgets there, or forgets anything above it.
Rule 2. The front of a place is the touches that no later touch has replaced. A touch replaces what it had seen:
        all of it if it forgets; else (an addition) only forgettings.
Rule 3. What the front says is what the kernel's state holds there. `Lattice.chosen` says which of the front is
        read; the rest of it has lost, and is concurrent with what is read: neither had seen the other.
Rule 4. Fed in the order of stamps (or any other that puts causes first), the front is a function of the events.

Text and running totals are never forgotten, so nothing can lose there: they have shares, not a front.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from merge.effect import Deed, Path, Verb
from merge.kernel import Happening
from merge.lattice import Lattice
from merge.product import Product


class Touch(NamedTuple):
    """What one event did at one place: whether it forgot, and what it said (below the place, and what)."""

    happening: Happening
    forgot: bool
    said: tuple[tuple[Path, Any], ...] = ()
    told: Any = None
    """What whoever feeds the fronts knows the event by."""

    @property
    def value(self) -> Any:
        return self.said[-1][1] if self.said else None

    def saw(self, other: Touch) -> bool:
        return other.happening.dot in self.happening.context


class Part(NamedTuple):
    """What one event gave to a place where nothing is ever replaced."""

    happening: Happening
    value: Any
    told: Any = None


class Front:
    """What was done at one place that nobody has replaced, and the shares of those who only ever add."""

    __slots__ = ("lattice", "shares", "touches")

    def __init__(self, lattice: Lattice, touches: Iterable[Touch] = ()) -> None:
        self.lattice = lattice
        self.touches = [*touches]
        self.shares: list[Part] = []

    @property
    def chosen(self) -> list[Touch]:
        """The touches that are read."""
        return self.lattice.chosen(self.touches)

    @property
    def lost(self) -> list[Touch]:
        """The other ones: each is concurrent with one that is read."""
        chosen = self.chosen
        return [touch for touch in self.touches if touch not in chosen]

    def take(self, touch: Touch) -> list[Touch]:
        """One more touch; what it replaces."""
        gone = [old for old in self.touches if touch.saw(old) and (touch.forgot or not old.said)]
        self.touches = [*(old for old in self.touches if old not in gone), touch]
        return gone


class Fronts:
    """The fronts of all places of a product."""

    def __init__(self, product: Product) -> None:
        self._product = product
        self._above: dict[Path, Front] = {}
        """Forgettings of all that lies below a path."""
        self.places: dict[Path, Front] = {}
        self._below: dict[Path, list[Path]] = {}
        """The places below each path that leads to some."""

    def take(self, happening: Happening, told: Any = None) -> list[tuple[Path, list[Touch]]]:
        """One more event, and what the caller knows it by; the places it touched, and what it replaced in each."""
        touched = []
        own: dict[Path, tuple[Lattice, list[Deed]]] = {}
        for deed in happening.effect:
            found = self._product.place(deed.path)
            if found is None:
                touched += self._forget_below(deed.path, Touch(happening, True, (), told))
            else:
                depth, lattice = found
                own.setdefault(deed.path[:depth], (lattice, []))[1].append(deed)
        for place, (lattice, deeds) in own.items():
            front = self.places.get(place) or self._new(place, lattice, happening)
            kept = [deed for deed in deeds if deed.verb in (Verb.TALLY, Verb.ABSORB)]
            front.shares += [Part(happening, deed.value, told) for deed in kept]
            if not kept:
                said = [(deed.path[len(place) :], deed.value) for deed in deeds if deed.verb is Verb.SAY]
                forgot = any(deed.verb is Verb.FORGET for deed in deeds)
                touched.append((place, front.take(Touch(happening, forgot, tuple(said), told))))
            else:
                touched.append((place, []))
        return touched

    def _new(self, place: Path, lattice: Lattice, happening: Happening) -> Front:
        """A place that is touched for the first time; what was forgotten above it unseen stands against that."""
        front = self.places[place] = Front(lattice)
        for depth in range(len(place)):
            self._below.setdefault(place[:depth], []).append(place)
        above = [self._above[place[:depth]] for depth in range(len(place)) if place[:depth] in self._above]
        seen = happening.context
        forgotten = [old for one in above for old in one.touches if old.happening.dot not in seen]
        for touch in sorted(forgotten, key=lambda touch: touch.happening.order):
            front.take(touch)
        return front

    def _forget_below(self, path: Path, touch: Touch) -> list[tuple[Path, list[Touch]]]:
        self._above.setdefault(path, Front(self._product)).take(touch)
        return [(place, self.places[place].take(touch)) for place in self._below.get(path, ())]
