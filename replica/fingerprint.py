"""Fingerprints: a short name for what some code makes of a log.

What was derived with other code is derived again. The code of a class is part of its fingerprint, so that
nobody has to remember to raise a number; what it calls elsewhere is not, which is what numbers (`fold_version`,
`revision`) are for.
"""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from types import CodeType
from typing import Any


def fingerprint(*plain: Any) -> str:
    """32 hexadecimal digits for plain values."""
    return blake2b(repr(plain).encode(), digest_size=16).hexdigest()


@cache
def code_of(kind: type, base: type) -> tuple[Any, ...]:
    """The code of the methods of a class, without those that `base` has already."""
    found: list[Any] = []
    for owner in kind.__mro__:
        if owner in base.__mro__:
            continue
        for name, member in sorted(vars(owner).items()):
            code = getattr(getattr(member, "fget", member), "__code__", None)
            if isinstance(code, CodeType):
                found.append((name, _plain(code)))
    return tuple(found)


def _plain(code: CodeType) -> tuple[Any, ...]:
    return code.co_code.hex(), _constant(code.co_consts), code.co_names, code.co_varnames


def _constant(value: Any) -> Any:
    """A constant as a plain value that is the same in every process: a set has no order of its own."""
    if isinstance(value, CodeType):
        return _plain(value)
    if isinstance(value, tuple):
        return [_constant(one) for one in value]
    if isinstance(value, frozenset):
        return "frozenset", sorted(repr(_constant(one)) for one in value)
    return repr(value)
