"""Lattice states as bytes, for snapshots.

Rule. Nested msgpack arrays in the shape of the tree. Keys are never lists, so that a list that comes out is a
tuple that went in; what else msgpack does not give back as it was, the snapshot notices and is not kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from immutables import Map

from merge.kernel import Said
from merge.stamp import Stamp
from merge.text import TextState
from merge.tree import Tree
from merge.version import Dot

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def freeze_tree(tree: Tree) -> bytes:
    """A lattice state as bytes."""
    return _encode(_node(tree))


def _node(tree: Tree) -> list[Any]:
    below = [[key, _node(node)] for key, node in tree.below.items()]
    absorbed = None if tree.absorbed is None else _text(tree.absorbed)
    return [_rows(tree.said.values()), _rows(tree.tallies.values()), absorbed, below]


def _rows(all_said: Iterable[Said]) -> list[Any]:
    return [[*map(int, one.dot), one.stamp.wall, one.stamp.counter, one.value] for one in all_said]


def _text(state: Any) -> bytes:
    if not isinstance(state, TextState):
        raise TypeError(f"{type(state).__name__} has no form for a snapshot")
    return state.to_bytes()


def thaw_tree(data: bytes) -> Tree:
    """The lattice state that `freeze_tree` made bytes of."""
    return _tree(_decode(data))


def _tree(node: Any) -> Tree:
    said, tallies, absorbed, below = node
    return Tree(
        Map({one.dot: one for one in _all_said(said)}),
        Map({one.dot.replica: one for one in _all_said(tallies)}),
        None if absorbed is None else TextState.of(absorbed),
        Map({_key_of(key): _tree(child) for key, child in below}),
    )


def _all_said(rows: Any) -> Iterable[Said]:
    for replica, seq, wall, counter, value in rows:
        yield Said(Dot(replica, seq), Stamp(wall, counter, replica), value)


def _key_of(key: Any) -> Any:
    """A key: msgpack has lists where there were tuples, and a key is never a list."""
    return tuple(_key_of(part) for part in key) if isinstance(key, list) else key
