"""A tree that many events in a row are folded into, at once.

Rule. It means what `Tree.happen` means, one event after the other, and is held to that by tests. It shares no node
with anybody until `finish`, so it may change its own in place; what no event has touched stays as it was, and is
shared with the tree before.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

from immutables import Map

from merge.effect import Key, Path, Verb
from merge.kernel import Happening, Said
from merge.stamp import Stamp
from merge.tree import EMPTY, Tree
from merge.version import Dot


class Growing:
    """What is said at one path and below it, and changes."""

    __slots__ = ("_absorbed", "_base", "_below", "_said", "_tallies")

    def __init__(self, base: Tree) -> None:
        self._begin(base)

    def _begin(self, base: Tree) -> None:
        self._base = base
        self._said: dict[Dot, Said] | None = None
        self._tallies: dict[int, Said] | None = None
        self._absorbed = base.absorbed
        self._below: dict[Key, Growing] = {}

    def happen(self, event: Happening) -> None:
        """One more event, whose context has all been observed."""
        self.act(event.dot, event.stamp, event.context, event.effect)

    def act(self, dot: Dot, stamp: Stamp, seen: Container[Dot], deeds: Iterable[tuple[Verb, Path, Any]]) -> None:
        """The same, of an event in its parts. `seen` is all that its author had observed."""
        node: Growing | None = None
        there: Path | None = None
        for verb, path, value in deeds:
            if path is not there or node is None:
                node, there = self, path
                for key in path:
                    below = node._below.get(key) or node._find(key)
                    if below is None:
                        if verb is Verb.FORGET:
                            node = None
                            break
                        below = node._add(key)
                    node = below
            if node is not None:
                if verb is Verb.FORGET:
                    node._forget(seen)
                else:
                    node._say(verb, Said(dot, stamp, value))

    def _find(self, key: Key) -> Growing | None:
        node = self._below.get(key)
        if node is None:
            base = self._base.below.get(key)
            if base is not None:
                node = self._below[key] = Growing(base)
        return node

    def _add(self, key: Key) -> Growing:
        node = self._below[key] = Growing(EMPTY)
        return node

    def _forget(self, seen: Container[Dot]) -> None:
        if self._below or self._base.below:
            self._begin(self.finish().without(seen))
            return
        said = self._base.said if self._said is None else self._said
        gone = [dot for dot in said if dot in seen]
        if gone:
            if self._said is None:
                self._said = dict(self._base.said)
            for dot in gone:
                del self._said[dot]

    def _say(self, verb: Verb, said: Said) -> None:
        if verb is Verb.SAY:
            if self._said is None:
                self._said = dict(self._base.said)
            self._said[said.dot] = said
        elif verb is Verb.TALLY:
            if self._tallies is None:
                self._tallies = dict(self._base.tallies)
            before = self._tallies.get(said.dot.replica)
            total = said if before is None else said._replace(value=before.value + said.value)
            self._tallies[said.dot.replica] = total
        else:
            held = type(said.value)() if self._absorbed is None else self._absorbed
            self._absorbed = held | said.value

    def finish(self) -> Tree:
        """The tree that has grown."""
        base, below = self._base, self._base.below
        changed: dict[Key, Any] = {}
        for key, node in self._below.items():
            tree, before = node.finish(), below.get(key)
            if tree is not before and (tree or before is not None):
                changed[key] = tree
        if changed:
            with below.mutate() as mutation:
                for key, tree in changed.items():
                    if tree:
                        mutation[key] = tree
                    else:
                        mutation.pop(key, None)
                below = mutation.finish()
        if not changed and self._said is None and self._tallies is None and self._absorbed is base.absorbed:
            return base
        said: Map[Dot, Said] = base.said if self._said is None else Map(self._said.items())
        tallies: Map[int, Said] = base.tallies if self._tallies is None else Map(self._tallies.items())
        return Tree(said, tallies, self._absorbed, below)
