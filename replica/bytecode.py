"""What some code names: the globals that it reads, the modules that it imports, and all other names in it.

Bytecode is looked at, and not source: it is there where the source is not, and knows no comment and no line.
"""

from __future__ import annotations

import dis
from collections.abc import Iterator
from types import CodeType
from typing import Any


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _codes(const)


def names_in(code: CodeType) -> set[str]:
    """All names in some code: of globals, attributes, and what it imports."""
    return {name for one in _codes(code) for name in one.co_names}


def _steps(code: CodeType) -> Iterator[tuple[str, int]]:
    raw, high = code.co_code, 0
    for at in range(0, len(raw), 2):
        name, arg = dis.opname[raw[at]], raw[at + 1] | high
        high = arg << 8 if name == "EXTENDED_ARG" else 0
        yield name, arg


def globals_in(code: CodeType) -> list[str]:
    """The globals that some code reads."""
    found: dict[str, None] = {}
    for one in _codes(code):
        for step, arg in _steps(one):
            if step == "LOAD_GLOBAL":
                found[one.co_names[arg >> 1]] = None
            elif step == "LOAD_NAME":
                found[one.co_names[arg]] = None
    return list(found)


def imports_in(code: CodeType) -> list[tuple[str, int]]:
    """The modules that some code imports, each with the number of dots before it."""
    found: dict[tuple[str, int], None] = {}
    for one in _codes(code):
        if not any(step == "IMPORT_NAME" for step, _ in _steps(one)):
            continue
        before: list[Any] = [None, None]
        for step in dis.get_instructions(one):
            if step.opname == "IMPORT_NAME":
                found[step.argval, before[-2] if type(before[-2]) is int else 0] = None
            if step.opname not in ("EXTENDED_ARG", "CACHE"):
                before.append(step.argval)
    return list(found)
