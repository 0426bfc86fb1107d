"""Values and numbers in words that are the same in every process."""

from __future__ import annotations

from collections.abc import Mapping, Set
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any
from uuid import UUID


def order(key: Any) -> tuple[str, Any]:
    """What to sort keys and elements of any kinds by, so that they come in one order everywhere."""
    return type(key).__name__, key if isinstance(key, str | int | bytes | float) else repr(key)


def shown(value: Any) -> str:
    """A value in words that are the same in every process: what has no order is put into one."""
    if isinstance(value, Mapping):
        items = sorted(value.items(), key=lambda item: order(item[0]))
        return "{" + ", ".join(f"{shown(key)}: {shown(item)}" for key, item in items) + "}"
    if isinstance(value, Set):
        return "{" + ", ".join(shown(item) for item in sorted(value, key=order)) + "}"
    if type(value) is tuple or isinstance(value, list):
        inside = ", ".join(map(shown, value))
        return f"[{inside}]" if isinstance(value, list) else f"({inside}{',' if len(value) == 1 else ''})"
    if isinstance(value, Enum):
        return shown(value.value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal | Fraction | UUID) else repr(value)


def counted(number: int, thing: str) -> str:
    """`1 event`, `2 events`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"
