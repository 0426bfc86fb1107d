"""Side by side: contenders take turns, and one plain-text table says what each of them needed.

Rule. Contenders are interleaved (ours, peer, ours, peer ...), so that a busy moment of the machine meets all of
them alike. A cell is the median, the least and the greatest of the repetitions, and the median as a multiple of
the first row's.
"""

from __future__ import annotations

import gc
import math
import statistics
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

Figures = dict[str, float]
Measure = Callable[[], Awaitable[Figures]]


@dataclass(frozen=True)
class Run:
    """How much to do."""

    quick: bool
    full: bool
    times: int

    def size(self, usual: int, quick: int) -> int:
        return quick if self.quick else usual


async def compare(title: str, contenders: Mapping[str, Measure], times: int) -> dict[str, list[Figures]]:
    """Measure every contender `times` times, in turns, and print the table."""
    found: dict[str, list[Figures]] = {name: [] for name in contenders}
    absent: dict[str, str] = {}
    for _ in range(times):
        for name, measure in contenders.items():
            if name not in absent:
                gc.collect()
                try:
                    found[name].append(await measure())
                except ImportError as error:
                    absent[name] = f"not installed ({error})"
    print(f"\n{title}; {times} repetition{'s'[: times != 1]}\n\n{_table(found, absent)}", flush=True)
    return found


def _table(found: Mapping[str, list[Figures]], absent: Mapping[str, str]) -> str:
    columns = list(dict.fromkeys(column for runs in found.values() for run in runs for column in run))
    first = next(iter(found.values()))
    rows = [["", *columns]]
    for name, runs in found.items():
        cells = [absent[name]] if name in absent else [_cell(column, runs, first) for column in columns]
        rows.append([name, *cells])
    widths = [max(len(row[at]) for row in rows if len(row) == len(rows[0])) for at in range(len(rows[0]))]
    widths[0] = max(len(row[0]) for row in rows)
    lines = ["   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)) for row in rows]
    return "\n".join(line.rstrip() for line in [lines[0], "   ".join("-" * width for width in widths), *lines[1:]])


def _cell(column: str, runs: list[Figures], first: list[Figures]) -> str:
    values = [run[column] for run in runs if column in run]
    if not values:
        return "-"
    middle = statistics.median(values)
    spread = f" ({_number(min(values))}-{_number(max(values))})" if len(values) > 1 else ""
    base = statistics.median([run[column] for run in first if column in run] or [0])
    return f"{_number(middle)}{spread}" + (f"  x{_number(middle / base)}" if base else "")


def _number(value: float) -> str:
    """Three digits that count."""
    if not value or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:,.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def quantile(values: list[float], share: float) -> float:
    """The value below which `share` of the values lie."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
