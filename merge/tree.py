"""The state indexed by path: a persistent tree, so that an event costs the depth of its paths.

The same meaning as `merge.flat`, held to it by tests. A node holds what is said at its path (by dot), the
running totals (by replica), a value absorbed there, and the nodes below. Empty nodes are never kept, so
equal states are equal trees. Nodes are immutable and shared between versions: keeping an old present costs
only what has changed since, and two states that share a subtree join it in no time.

A running total stands for all tallies of one replica, so it is only right where nothing is ever forgotten:
lattices use `tally` at the root of an aggregate and `say` inside a map.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Any

from immutables import Map

from merge.effect import Key, Path, Verb
from merge.flat import Flat
from merge.kernel import Happening, Said
from merge.version import Dot, VersionVector

_NONE: Map[Any, Any] = Map()
_FORGET, _SAY, _TALLY = Verb.FORGET, Verb.SAY, Verb.TALLY


class Tree:
    """What is said at one path and below it."""

    __slots__ = ("absorbed", "below", "said", "tallies")

    said: Map[Dot, Said]
    tallies: Map[int, Said]
    absorbed: Any
    below: Map[Key, Tree]

    def __init__(
        self,
        said: Map[Dot, Said] = _NONE,
        tallies: Map[int, Said] = _NONE,
        absorbed: Any = None,
        below: Map[Key, Tree] = _NONE,
    ) -> None:
        self.said, self.tallies, self.absorbed, self.below = said, tallies, absorbed, below

    def __bool__(self) -> bool:
        return bool(self.said or self.below or self.tallies or self.absorbed is not None)

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Tree)
            and self.said == other.said
            and self.tallies == other.tallies
            and self.absorbed == other.absorbed
            and self.below == other.below
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Tree({dict(self.walk())!r})"

    def at(self, *path: Key) -> Tree:
        """The part of the state at a path; empty where nothing is said."""
        node = self
        for key in path:
            node = node.below.get(key, EMPTY)
        return node

    def walk(self, path: Path = ()) -> Iterator[tuple[Path, Tree]]:
        """Every node with something of its own, with its path."""
        if self.said or self.tallies or self.absorbed is not None:
            yield path, self
        for key, node in self.below.items():
            yield from node.walk((*path, key))

    # --- folding one event ---

    def happen(self, event: Happening) -> Tree:
        node, effect = self, event.effect
        if len(effect) == 2:
            (first, place, _), (second, path, value) = effect
            if first is _FORGET and second is _SAY and place == path:
                return node._replace(path, 0, event.context, Said(event.dot, event.stamp, value))
        for verb, path, value in effect:
            if verb is _FORGET:
                node = node._forget(path, 0, event.context)
            else:
                node = node._say(path, 0, verb, Said(event.dot, event.stamp, value))
        return node

    def _replace(self, path: Path, depth: int, seen: Container[Dot], said: Said) -> Tree:
        """Forget, then say, at one path, which most events do: one way down to it in place of two."""
        if depth < len(path):
            key = path[depth]
            child = self.below.get(key, EMPTY)._replace(path, depth + 1, seen, said)
            return Tree(self.said, self.tallies, self.absorbed, self.below.set(key, child))
        kept = self.without(seen)
        return Tree(kept.said.set(said.dot, said), kept.tallies, kept.absorbed, kept.below)

    def _say(self, path: Path, depth: int, verb: Verb, said: Said) -> Tree:
        if depth < len(path):
            key = path[depth]
            child = self.below.get(key, EMPTY)._say(path, depth + 1, verb, said)
            return Tree(self.said, self.tallies, self.absorbed, self.below.set(key, child))
        if verb is _SAY:
            return Tree(self.said.set(said.dot, said), self.tallies, self.absorbed, self.below)
        if verb is _TALLY:
            before = self.tallies.get(said.dot.replica)
            total = said if before is None else said._replace(value=before.value + said.value)
            return Tree(self.said, self.tallies.set(said.dot.replica, total), self.absorbed, self.below)
        held = type(said.value)() if self.absorbed is None else self.absorbed
        return Tree(self.said, self.tallies, held | said.value, self.below)

    def _forget(self, path: Path, depth: int, seen: VersionVector) -> Tree:
        if depth == len(path):
            return self.without(seen)
        key = path[depth]
        child = self.below.get(key)
        if child is None:
            return self
        kept = child._forget(path, depth + 1, seen)
        return self if kept is child else self._with_child(key, kept)

    def _with_child(self, key: Key, child: Tree) -> Tree:
        below = self.below.set(key, child) if child else self.below.delete(key)
        return Tree(self.said, self.tallies, self.absorbed, below)

    def without(self, seen: Container[Dot]) -> Tree:
        """Without what `seen` contains, here and below. Totals and absorbed values are never forgotten."""
        said = self.said
        for dot in self.said:
            if dot in seen:
                said = said.delete(dot)
        below = self.below
        for key, child in self.below.items():
            kept = child.without(seen)
            if kept is not child:
                below = below.set(key, kept) if kept else below.delete(key)
        if said is self.said and below is self.below:
            return self
        return Tree(said, self.tallies, self.absorbed, below)

    # --- joining two states ---

    def join(self, mine: VersionVector, other: Tree, theirs: VersionVector) -> Tree:
        if self is other:
            return self
        said = self.said
        for dot in self.said:
            if dot in theirs and dot not in other.said:
                said = said.delete(dot)
        for dot, entry in other.said.items():
            if dot not in mine and dot not in said:
                said = said.set(dot, entry)
        tallies = self.tallies
        for replica, total in other.tallies.items():
            if replica not in tallies or total.dot.seq > tallies[replica].dot.seq:
                tallies = tallies.set(replica, total)
        absorbed = self.absorbed
        if other.absorbed is not None and absorbed is not other.absorbed:
            absorbed = other.absorbed if absorbed is None else absorbed | other.absorbed
        below = self.below
        for key in {*self.below, *other.below}:
            old = self.below.get(key)
            new = (old or EMPTY).join(mine, other.below.get(key, EMPTY), theirs)
            if new and new is not old:
                below = below.set(key, new)
            elif not new and old is not None:
                below = below.delete(key)
        return Tree(said, tallies, absorbed, below)

    @staticmethod
    def of(flat: Flat) -> Tree:
        """The tree that means what a flat map says: dot by dot, totals added up, text joined."""
        node = EMPTY
        for (_, path), (verb, said) in sorted(flat.entries.items(), key=lambda item: item[1][1].order):
            node = node._say(path, 0, verb, said)
        return node


EMPTY = Tree()
"""The state in which nothing has been said."""
