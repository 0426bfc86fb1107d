"""Lattice states as bytes, for snapshots; and where two of them differ.

Rule 1. Nested msgpack arrays in the shape of the tree. Keys are never lists, so that a list that comes out is a
        tuple that went in; what is said there is taken apart by the codec of the aggregate (`replica.exact`).
Rule 2. A value that was absorbed says itself how it is kept, by `freeze` and `thaw` (see `merge.effect.absorb`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from immutables import Map

from merge.effect import Path
from merge.immutable import copied
from merge.kernel import Said
from merge.stamp import Stamp
from merge.tree import EMPTY, Tree
from merge.version import Dot
from replica.exact import Codec, NotKept
from replica.identical import unlike

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def freeze_tree(tree: Tree, codec: Codec) -> bytes:
    """A lattice state as bytes. NotKept where that cannot be."""
    return _encode(_node(tree, codec))


def _node(tree: Tree, codec: Codec) -> list[Any]:
    try:
        absorbed = None if tree.absorbed is None else _absorbed(tree.absorbed, codec)
        said, tallies = _rows(tree.said.values(), codec), _rows(tree.tallies.values(), codec)
    except NotKept as error:
        error.path.append(": " if error.path else "")
        raise
    below = []
    for key, node in tree.below.items():
        try:
            below.append([key, _node(node, codec)])
        except NotKept as error:
            error.path.append(f"/{key!r}")
            raise
    return [said, tallies, absorbed, below]


def _rows(all_said: Iterable[Said], codec: Codec) -> list[Any]:
    pack = codec.pack
    return [[*map(int, one.dot), one.stamp.wall, one.stamp.counter, pack(one.value)] for one in all_said]


def _absorbed(value: Any, codec: Codec) -> list[Any]:
    if not hasattr(value, "freeze") or not hasattr(value, "thaw"):
        raise NotKept(f"{type(value).__qualname__}, which was absorbed there, has no `freeze` and `thaw`")
    return [codec.number(type(value)), value.freeze()]


def thaw_tree(data: bytes, codec: Codec) -> Tree:
    """The lattice state that `freeze_tree` made bytes of."""
    return _tree(_decode(data), codec)


def _tree(node: Any, codec: Codec) -> Tree:
    said, tallies, absorbed, below = node
    kind: Any = None if absorbed is None else codec.type(absorbed[0])
    return Tree(
        Map({one.dot: one for one in _all_said(said, codec)}),
        Map({one.dot.replica: one for one in _all_said(tallies, codec)}),
        None if kind is None else kind.thaw(absorbed[1]),
        Map({_key_of(key): _tree(child, codec) for key, child in below}),
    )


def _all_said(rows: Any, codec: Codec) -> Iterable[Said]:
    for replica, seq, wall, counter, value in rows:
        yield Said(Dot(replica, seq), Stamp(wall, counter, replica), copied(codec.unpack(value)))


def _key_of(key: Any) -> Any:
    """A key: msgpack has lists where there were tuples, and a key is never a list."""
    return tuple(_key_of(part) for part in key) if isinstance(key, list) else key


def unlike_trees(one: Tree, other: Tree, path: Path = ()) -> str | None:
    """Where two lattice states differ for code that reads them, and how; None where they do not."""
    if one is other:
        return None
    place = "/".join(map(str, path)) or "the root"
    pairs: list[tuple[Map[Any, Said], Map[Any, Said]]] = [(one.said, other.said), (one.tallies, other.tallies)]
    for mine, theirs in pairs:
        if {*mine} != {*theirs}:
            return f"{place}: other events have said something there"
        for name, said in mine.items():
            there = theirs[name]
            if (said.dot, said.stamp) != (there.dot, there.stamp):
                return f"{place}: it was said at another time"
            found = unlike(said.value, there.value)
            if found is not None:
                return f"{place}: {found}"
    found = _unlike_absorbed(one.absorbed, other.absorbed)
    if found is not None:
        return f"{place}: {found}"
    for key in dict.fromkeys((*one.below, *other.below)):
        found = unlike_trees(one.below.get(key, EMPTY), other.below.get(key, EMPTY), (*path, key))
        if found is not None:
            return found
    return None


def _unlike_absorbed(one: Any, other: Any) -> str | None:
    if type(one) is not type(other):
        return f"{type(one).__name__} is not {type(other).__name__}"
    if one is None or not hasattr(one, "digest"):
        return None if one == other else "what was absorbed there differs"
    return unlike(one.digest(), other.digest())
