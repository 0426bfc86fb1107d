"""ORMap: keys that lead to lattices, and what happens when one person edits an entry another removes.

Removing a key forgets everything below it that was seen (reset-remove); what was written there at the same
time, unseen, stays, and so does the key. Two edits of one entry at once merge by the rule of its lattice.
A key is there as long as anything is said below it.

    carts = ORMap[str, AWSet[str]](AWSet())
    self.carts["ann"].add("milk")      self.carts.remove("ann")

Any lattice may be the value, maps included, except Text: an edit of a text cannot be taken back out of it.

Source: Almeida, Shoker, Baquero 2018 (ORMap with causal contexts); Brown et al. 2014 (Riak DT map).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar, get_origin

from merge.effect import Effect, Path, check_key, forget
from merge.lattice import Lattice
from merge.product import Product
from merge.text import Text

K = TypeVar("K")
L = TypeVar("L", bound=Lattice)


class ORMap(Lattice, Mapping[K, L], Generic[K, L]):
    """A read-only mapping of the keys that are there; `m[key]` of any key gives operations."""

    _compares = Mapping
    _keyed = True
    rule = "an entry goes when a removal has seen all that was written below it; what was written unseen stays"

    def __init__(self, values: L) -> None:
        if not isinstance(values, Lattice):
            raise TypeError(
                f"an ORMap is declared over a lattice for its entries, as `ORMap[str, AWSet[str]](AWSet())`, and "
                f"{values!r} is none" + (": call it" if isinstance(get_origin(values) or values, type) else "")
            )
        if _holds_text(values):
            raise TypeError(
                "Text cannot stand inside an ORMap: removing the entry would have to take edits back out of "
                "the text. Put Text at the root of an aggregate, and give each entry a stream of its own."
            )
        self._values = values

    def place(self, path: Path) -> tuple[int, Lattice] | None:
        found = self._values.place(path[1:]) if path else None
        return None if found is None else (found[0] + 1, found[1])

    def __getitem__(self, key: K) -> L:
        place = check_key(key)
        below = None if self._state is None else self._state.at(place)
        if below is not None and not below:
            raise KeyError(key)
        return self._values.bind(below, (*self._path, place), forgettable=True)

    def remove(self, key: K) -> Effect:
        return forget((*self._path, check_key(key)))

    def clear(self) -> Effect:
        """Remove every key that was seen."""
        return forget(self._path)

    def __iter__(self) -> Iterator[K]:
        return iter(self.state.below)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.state.below)

    def __contains__(self, key: object) -> bool:
        return check_key(key) in self.state.below

    @property
    def value(self) -> dict[K, Any]:
        return {key: self[key]._reading for key in self}

    __hash__ = None  # type: ignore[assignment]


def _holds_text(lattice: Lattice) -> bool:
    if isinstance(lattice, Product):
        return any(_holds_text(field) for field in lattice._fields.values())
    return isinstance(lattice, Text)
