"""Product: several lattices side by side, each under its own name.

When two people change different fields at once, both changes stand; the same field follows its own rule.

    class Card(Product):
        title = LWWRegister[str]()
        votes = PNCounter()

Field names are part of the paths in a state, never of the log: renaming a field changes no event.

Source: Davey and Priestley (a product of lattices is a lattice, field by field).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from merge.declared import fields_of
from merge.effect import Effect, Path, forget
from merge.lattice import Lattice
from merge.tree import Tree


class Product(Lattice):
    """Base of a class whose attributes are lattices."""

    rule = "each field follows its own rule"
    _compares = Mapping

    _fields: ClassVar[dict[str, Lattice]] = {}
    fields: ClassVar[dict[str, Lattice]] = _fields
    """The lattices of this product by name, base classes first."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = fields_of(cls)
        cls._fields = {
            name: field for base in cls.__bases__ for name, field in getattr(base, "_fields", {}).items()
        }
        cls._fields |= own
        if "fields" not in cls._fields:
            cls.fields = cls._fields

    def bind(self, state: Tree | None, path: Path, *, forgettable: bool = False) -> Self:
        bound = super().bind(state, path, forgettable=forgettable)
        for name in self._fields:
            bound.__dict__.pop(name, None)
        return bound

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._fields:
            raise TypeError(
                f"{type(self).__name__}.{name} is a {type(self._fields[name]).__name__}, and is not assigned to: "
                f"what an event does to it is what `effect` returns, made by an operation of `self.{name}`"
            )
        super().__setattr__(name, value)

    def place(self, path: Path) -> tuple[int, Lattice] | None:
        found = self._fields[str(path[0])].place(path[1:]) if path else None
        return None if found is None else (found[0] + 1, found[1])

    def clear(self) -> Effect:
        """Forget all that was seen in every field. Only inside a map, where every field can be forgotten."""
        if not self._forgettable:
            raise TypeError("a product is cleared as an entry of a map; at the root, clear its fields")
        return forget(self._path)

    @property
    def value(self) -> dict[str, Any]:
        return self._reading

    @property
    def _reading(self) -> dict[str, Any]:
        return {name: getattr(self, name)._reading for name in self._fields}
