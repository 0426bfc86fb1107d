"""Digests: one short name for a state, equal where states are equal.

Rule. What is digested is plain values in an order that depends on bytes alone: paths and dots sorted by
their msgpack form, text by its text. No dict order, hash seed or history of arrival can enter. A sum may be
greater than any integer that msgpack has: it is digested as its decimal digits.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from merge.effect import INT_HIGH, INT_LOW
from merge.tree import Tree
from replica.canonical import encode


class NoDigest(Exception):
    """A state has something in it that has no plain form, so that presents cannot be compared."""


def canonical(state: Tree) -> list[Any]:
    """All that a lattice state says, sorted."""
    rows: list[Any] = []
    for path, node in state.walk():
        said = sorted((*said.dot, _encodable(said.value)) for said in node.said.values())
        totals = sorted((*said.dot, _encodable(said.value)) for said in node.tallies.values())
        rows.append((path, said, totals, None if node.absorbed is None else _absorbed(node.absorbed)))
    return sorted(rows, key=lambda row: encode(row[0]))


def _absorbed(value: Any) -> Any:
    """What a value that was absorbed says it is compared by."""
    if not hasattr(value, "digest"):
        raise NoDigest(f"{type(value).__qualname__} has no method `digest` (see `merge.effect.absorb`)")
    return value.digest()


def _encodable(value: Any) -> Any:
    return str(value) if type(value) is int and not INT_LOW <= value <= INT_HIGH else value


def digest(plain: Any) -> str:
    """32 hexadecimal digits that name a canonical value."""
    return blake2b(encode(plain), digest_size=16).hexdigest()
