"""Sets: what happens when one person adds an element while another removes it.

- `AWSet`, add wins: it is in. Removing takes away only the adds that were seen; an add that the remover
  had not heard of stays. Choose it where losing an addition is worse than a removal that must be repeated.
- `RWSet`, remove wins: it is out. An add only counts if it had seen every removal. Choose it where
  something removed must not slip back in (a revoked right).

AWSet.   add x: forget x, say x.       remove x: forget x.           In: anything said at x.
RWSet.   add x: forget x, say x+.      remove x: forget x, say x-.   In: x+ is said and x- is not.

No tombstones in AWSet. In RWSet one mark a removal stays until a later add.
Elements are str, int, bytes or tuples of these: what cannot be equal everywhere is refused on the way in.

Source: Bieniusa et al. 2012 (optimised OR-set); Baquero, Almeida, Shoker 2017 (AWSet, RWSet by forgetting).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from typing import TYPE_CHECKING, Generic, TypeVar

from merge.effect import Effect, Path, check_key, forget, replace, say
from merge.lattice import Lattice
from merge.tree import Tree

if TYPE_CHECKING:
    from merge.why import Touch

E = TypeVar("E")


class _Set(Lattice, Set[E], Generic[E]):
    """A read-only `collections.abc.Set` of what is in."""

    _compares = Set
    _keyed = True

    def place(self, path: Path) -> tuple[int, Lattice] | None:
        return (1, self) if path else None

    def add(self, element: E) -> Effect:
        raise NotImplementedError

    def remove(self, element: E) -> Effect:
        raise NotImplementedError

    def _holds(self, place: Tree) -> bool:
        raise NotImplementedError

    @classmethod
    def _from_iterable(cls, elements: object) -> set[E]:  # type: ignore[override]
        return set(elements)  # type: ignore[call-overload, no-any-return]

    def __contains__(self, element: object) -> bool:
        return self._holds(self.state.at(check_key(element)))

    def __iter__(self) -> Iterator[E]:
        return (element for element, place in self.state.below.items() if self._holds(place))  # type: ignore[misc]

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @property
    def value(self) -> set[E]:
        return set(self)

    __hash__ = None  # type: ignore[assignment]


class AWSet(_Set[E]):
    """A set in which an add wins over a concurrent remove."""

    rule = "add wins: an element stays in unless every adding of it was seen by a removal"

    def add(self, element: E) -> Effect:
        return replace((*self._path, check_key(element)), True)

    def remove(self, element: E) -> Effect:
        return forget((*self._path, check_key(element)))

    def clear(self) -> Effect:
        """Remove every element that was seen."""
        return forget(self._path)

    def _holds(self, place: Tree) -> bool:
        return bool(place.said)


IN, OUT = "+", "-"


class RWSet(_Set[E]):
    """A set in which a remove wins over a concurrent add."""

    rule = "remove wins: an element is in only if an adding of it had seen every removal"

    def add(self, element: E) -> Effect:
        place = (*self._path, check_key(element))
        return forget(place) + say((*place, IN), True)

    def remove(self, element: E) -> Effect:
        place = (*self._path, check_key(element))
        return forget(place) + say((*place, OUT), True)

    def chosen(self, touches: Sequence[Touch]) -> list[Touch]:
        removals = [touch for touch in touches if any(path[-1:] == (OUT,) for path, _ in touch.said)]
        return removals or super().chosen(touches)

    def _holds(self, place: Tree) -> bool:
        return IN in place.below and OUT not in place.below
