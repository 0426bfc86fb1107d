"""Registers: one value, and what becomes of two written at once.

When two people write at once:
- `LWWRegister`: both writes are kept in the log; the reading is the one with the greatest stamp (the later
  by hybrid time; a total order, so everybody picks the same). The other is what `conflicts` shows.
- `MVRegister`: the reading is all of them, until somebody who has seen them writes again.

Write v: forget what I had seen here, say v. Clear: forget what I had seen here. Both registers are the same
operations and differ only in how they are read, which is why an LWW register here can be cleared, removed
with its map entry, and come back: nothing remembers a stamp that was forgotten.

Source: Johnson and Thomas 1975 (last writer wins); DeCandia et al. 2007 (Dynamo: siblings);
Shapiro et al. 2011 (LWW-Register, MV-Register).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from merge.effect import Effect, forget, replace
from merge.immutable import copied
from merge.kernel import Said
from merge.lattice import Lattice

if TYPE_CHECKING:
    from merge.why import Touch

V = TypeVar("V")


class _Register(Lattice, Generic[V]):
    def write(self, value: V) -> Effect:
        return replace(self._path, copied(value))

    def clear(self) -> Effect:
        return forget(self._path)

    @property
    def written(self) -> list[Said]:
        """The writes that no later write had seen, in the order of their stamps."""
        return sorted(self.state.said.values(), key=lambda said: said.order)


class LWWRegister(_Register[V]):
    """Last writer wins, by stamp."""

    rule = "last writer wins: of writes that had not seen each other, the one with the greatest stamp is read"

    def chosen(self, touches: Sequence[Touch]) -> list[Touch]:
        found = super().chosen(touches)
        return (
            [max(found, key=lambda t: (t.happening.stamp, t.happening.dot.seq))]
            if found and found[0].said
            else found
        )

    @property
    def value(self) -> V | None:
        """The value with the greatest stamp; None where nothing is written."""
        said = self.state.said.values()
        winner: Any = max(said, key=lambda said: said.order, default=None)
        value: V | None = copied(winner.value) if winner else None
        return value

    def __bool__(self) -> bool:
        return bool(self.value)


class MVRegister(_Register[V], Sequence[V]):
    """All values written at once, until a writer has seen them: a read-only `collections.abc.Sequence` of them."""

    _compares = list, tuple
    rule = "all writes that had not seen each other are read, until somebody who has seen them writes"

    @property
    def value(self) -> list[V]:
        """The values, in the order of their stamps; empty where nothing is written."""
        return [copied(said.value) for said in self.written]

    def __len__(self) -> int:
        return len(self.state.said)

    def __getitem__(self, index: Any) -> Any:
        return self.value[index]

    def __eq__(self, other: object) -> bool:
        return super().__eq__([*other] if isinstance(other, tuple) else other)

    __hash__ = None  # type: ignore[assignment]
