"""Lattice aggregates: what decides on commands, and what events do to a state that merges.

    decide(self, command, given) -> facts      intent: may look at the state, may refuse
    effect(self, event) -> Effect              fact: made from the event alone

A lattice aggregate is a product of lattices, and folds by the kernel: in any causally legal order, to the
same state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Self

from merge.effect import NO_EFFECT, Effect, Path
from merge.growing import Growing
from merge.kernel import Happening
from merge.lattice import Lattice
from merge.product import Product
from merge.stamp import Stamp
from merge.text import NO_TEXT, Text
from merge.tree import EMPTY, Tree
from merge.version import VersionVector
from replica.decider import Decider, FoldFailed, Happened
from replica.digest import canonical
from replica.errors import reraise
from replica.event import Event
from replica.frozen import freeze_tree, thaw_tree, unlike_trees
from replica.place import StreamPlace
from replica.uncollected import uncollected


class Aggregate(Decider, Product, base=True):
    """Base of lattice aggregates: declare `stream`, `events`, lattices, `decide` and `effect`."""

    def effect(self, event: Any) -> Effect | Iterable[Effect]:
        """What `event` forgets and says. Look at the event alone; several effects are put together.

        NO_EFFECT, or an empty list, where an event does nothing: to return nothing is an error.
        """
        raise NotImplementedError(f"{type(self).__name__} has no effect for {type(event).__name__}")

    def present_of(self, state: Tree, address: str, version: VersionVector) -> Self:
        """A present to read: this aggregate over `state`."""
        present: Self = self.bind(state, ())
        said = {"address": address, "version": version}
        present.__dict__.update({name: one for name, one in said.items() if name not in self._fields})
        present.__dict__.update(_address=address, _version=version)
        return present

    def plain(self) -> Any:
        return self._reading

    def empty(self) -> Tree:
        """The state before any event."""
        return EMPTY

    def observe(self, fold: Tree, happened: Happened) -> Tree:
        effect = self.effect_of(happened.event)
        if not effect:
            return fold
        return fold.happen(Happening(happened.dot, happened.stamp, happened.context, effect))

    def observe_all(self, fold: Tree, happened: Sequence[Happened]) -> Tree:
        if any(one.aside for one in happened):  # which may raise half-way
            tree: Tree = super().observe_all(fold, happened)
            return tree
        growing = Growing(fold)
        for one in happened:
            try:
                effect = self.effect_of(one.event)
                if effect:
                    growing.happen(Happening(one.dot, one.stamp, one.context, effect))
            except Exception as error:
                raise FoldFailed(one, error) from error
        return growing.finish()

    def effect_of(self, event: Event) -> Effect:
        """What `event` forgets and says, as one effect."""
        try:
            return _as_one(self, event, self.effect(event))
        except BaseException as raised:
            reraise(raised)

    def waits(self, fold: Tree, before: Tree | None = None) -> bool:
        for path in _texts(type(self)):
            text, then = fold.at(*path).absorbed, None if before is None else before.at(*path).absorbed
            if text is not None and text.waits(NO_TEXT if before is not None and then is None else then):
                return True
        return False

    def freeze(self, fold: Tree) -> bytes:
        return freeze_tree(fold, self.codec())

    @uncollected
    def thaw(self, data: bytes, stamp: Stamp, stands: StreamPlace) -> Tree:
        return thaw_tree(data, self.codec())

    def unlike(self, one: Tree, other: Tree) -> str | None:
        return unlike_trees(one, other)

    def canonical(self, state: Tree) -> Any:
        """The state as plain values in one order, for digests."""
        return canonical(state)

    def __str__(self) -> str:
        return f"{self._address or type(self).__name__} {self._reading}"


@cache
def _texts(kind: type[Product], path: Path = ()) -> tuple[Path, ...]:
    """Where texts stand in a product: not below a map, which refuses them."""
    found: list[Path] = []
    for name, field in kind._fields.items():
        if isinstance(field, Text):
            found.append((*path, name))
        elif isinstance(field, Product):
            found += _texts(type(field), (*path, name))
    return tuple(found)


def _as_one(aggregate: Aggregate, event: Event, effect: Any) -> Effect:
    """What `effect` has returned, as one effect. TypeError where it is none, or nothing."""
    if isinstance(effect, Effect):
        return effect
    several = isinstance(effect, Iterable) and not isinstance(effect, str | bytes | Mapping | Lattice)
    effects = [*effect] if several else [effect]
    for one in effects:
        if not isinstance(one, Effect):
            what = "nothing" if one is None else f"{one!r}, which is no effect"
            raise TypeError(
                f"`{type(aggregate).__name__}.effect` returned {what} for {type(event).__name__}: return what "
                "operations of lattices make, one or a list, or `merge.NO_EFFECT` where an event does nothing"
            )
    return sum(effects, NO_EFFECT)
