"""What every lattice has in common: a place in the state, operations, and a reading.

A lattice is declared once, as a field of a product (an aggregate is one), and then used in two ways:

- as operations: `self.items.add("milk")` makes an Effect. It looks at its arguments and at nothing else,
  so it can be made where there is no state at all.
- as a reading: `"milk" in home.items` looks at the state below this place.

A lattice without a state (inside `effect`) refuses to be read: an effect that depended on what its replica
happens to hold would differ from replica to replica, and the presents with it.

A reading compares, hashes and prints as its `value` does: `home.done == True`, `home.votes == 2`,
`f"{home.title}"`. Where no comparison could ever be true (a set with a list), it is a TypeError, and not a silent
False.

Not every operation may stand everywhere. Inside a map an entry can be removed and come back, so everything
below must be forgettable: `forgettable` tells a lattice that it is used in such a place.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from merge.effect import Path
from merge.tree import Tree

if TYPE_CHECKING:
    from merge.why import Touch


class StateNotGiven(TypeError):
    """A lattice was read where there is no state: inside `effect`, or on the class."""


class Lattice(ABC):
    """One place in a state. Immutable: `bind` returns another, bound to its place and state."""

    rule: ClassVar[str]
    """What becomes of two acts at one place that had not seen each other, in words."""
    _compares: ClassVar[type | tuple[type, ...]] = object
    """The types of which a reading may be compared with values."""

    _keyed: ClassVar[bool] = False
    """Its first type argument says what its elements or keys are."""
    _name: str = ""
    """Of the field that it is."""
    _state: Tree | None = None
    _path: Path = ()
    _forgettable: bool = False

    def bind(self, state: Tree | None, path: Path, *, forgettable: bool = False) -> Self:
        """This lattice at `path`, reading from `state` (None: operations only)."""
        bound = object.__new__(type(self))
        bound.__dict__.update(self.__dict__, _state=state, _path=path, _forgettable=forgettable)
        return bound

    def __set_name__(self, owner: type, name: str) -> None:
        self.__dict__.setdefault("_name", name)  # the first one stays; a second one is refused (`merge.declared`)

    def __get__(self, product: Any, owner: type) -> Self:
        if product is None:
            return self
        state = product._state
        here = self.bind(
            None if state is None else state.at(self._name),
            (*product._path, self._name),
            forgettable=product._forgettable,
        )
        product.__dict__[self._name] = here
        return here

    @property
    def state(self) -> Tree:
        """What is said at this place and below it."""
        if self._state is None:
            raise StateNotGiven(
                f"{type(self).__name__} {'/'.join(map(str, self._path)) or 'here'} was read where there is no "
                "state. `effect` is made from the event alone; decide with the state in `decide`, and put what "
                "you found into the event."
            )
        return self._state

    @property
    @abstractmethod
    def value(self) -> Any:
        """The reading as a plain Python value that the caller may keep and change."""

    @property
    def _reading(self) -> Any:
        """The same, also of a product that has a field called `value`."""
        return self.value

    # --- why it reads as it does (see `merge.why`) ---

    def place(self, path: Path) -> tuple[int, Lattice] | None:
        """How many parts of `path` lead to one place in this lattice, and what stands there; None if too few."""
        return 0, self

    def chosen(self, touches: Sequence[Touch]) -> list[Touch]:
        """Of what was done at one place and nobody has replaced, what is read. Saying wins, where nothing else is
        ruled."""
        return [touch for touch in touches if touch.said] or list(touches)

    # --- as the value that is read ---

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Lattice):
            other = other._reading
        if not isinstance(other, self._compares):
            raise TypeError(
                f"a {type(self).__name__} is compared with what it reads as ({self._reading!r}), and never equals "
                f"a {type(other).__name__}"
            )
        return bool(self._reading == other)

    def __hash__(self) -> int:
        return hash(self._reading)

    def __str__(self) -> str:
        return str(self._reading)

    def __format__(self, spec: str) -> str:
        return format(self._reading, spec) if spec else str(self)

    def __repr__(self) -> str:
        shown = "no state" if self._state is None else repr(self._reading)
        return f"{type(self).__name__}({shown})"
