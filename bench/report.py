"""The page that a run leaves: the summary, and one table a workload. Pure: what was found in, text out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.picture import Bar, Panel, Slope
from bench.table import LIMIT, OURS, PEER, Found, Row, Table


def bars(sections: Iterable[Section]) -> list[Bar]:
    """The summary as ratios."""
    made = []
    for section in sections:
        for table, found in section.tables:
            for row in table.rows:
                standing = table.standing(row, found)
                ours, peer, hand = standing.ours, standing.best(PEER), standing.best(LIMIT)
                if ours is not None and (peer or hand):
                    to_peer = _share(ours, peer[1], row.less) if peer else None
                    to_hand = _share(ours, hand[1], row.less) if hand else None
                    made.append(Bar(row.words, peer[0] if peer else "", to_peer, to_hand))
    return made


def panels(sections: Iterable[Section]) -> list[Panel]:
    """The tables that grow, as slopes."""
    slopes: dict[str, list[Slope]] = {}
    for section in sections:
        for table, found in section.tables:
            medians = [(c.at, found[c.name].median(table.figures[0])) for c in table.contenders if table.axis]
            points = [(at, value) for at, value in medians if value]
            if points:
                slopes.setdefault(table.axis, []).append(Slope(table.line, points))
    return [Panel(axis, found) for axis, found in slopes.items()]


def _share(ours: float, theirs: float, less: bool) -> float:
    """Our cost as a multiple of theirs."""
    one, other = (ours, theirs) if less else (theirs, ours)
    return one / other if other else math.inf


@dataclass(frozen=True)
class Section:
    """What a workload has found."""

    name: str
    words: str
    """What is measured, and what is not."""
    note: str
    """What bounds it, where a goal is not reached."""
    tables: Sequence[tuple[Table, Mapping[str, Found]]]
    seconds: float


def page(header: str, picture: str, sections: Iterable[Section]) -> str:
    """All of it, as Markdown."""
    sections = list(sections)
    parts = ["# What was measured", header]
    if picture:
        parts.append(f"![Ratios to the best peers, and how cost grows]({picture})")
    rows = [
        summary(row, table, found) for section in sections for table, found in section.tables for row in table.rows
    ]
    if rows:
        parts += [SUMMARY + "\n".join(rows), LEGEND]
    return "\n\n".join([*parts, *(_section(section) for section in sections)]) + "\n"


SUMMARY = "| work | Anabranch | best peer | ratio | by hand | ratio | to reach | reached |\n" + "|---" * 8 + "|\n"
LEGEND = (
    "Medians of one run. A ratio is a cost beside another one: below 1 is ahead, also where more is better. "
    "By hand is what Python can do at most for this one workload, without what the log promises."
)


def summary(row: Row, table: Table, found: Mapping[str, Found]) -> str:
    """One row of the summary."""
    standing = table.standing(row, found)
    ours, cells = standing.ours, [row.words]
    cells.append("not measured" if ours is None else number(ours))
    for kind in (PEER, LIMIT):
        best = standing.best(kind)
        if best is None:
            cells += ["", ""]
            continue
        name, value = best
        cells.append(f"{number(value)}" + (f" ({name})" if kind == PEER else ""))
        cells.append("" if ours is None else number(_share(ours, value, row.less)))
    reached = "" if ours is None else "yes" if row.reached(standing) else "**no**"
    return f"| {' | '.join([*cells, row.goal, reached])} |"


def _section(section: Section) -> str:
    parts = [f"## {section.name}", section.words]
    if section.note:
        parts.append(section.note)
    parts += [_table(table, found) for table, found in section.tables if not table.axis]
    axes = dict.fromkeys(table.axis for table, _ in section.tables if table.axis)
    parts += [_growth(axis, [(t, f) for t, f in section.tables if t.axis == axis]) for axis in axes]
    return "\n\n".join([*parts, f"({section.seconds:.0f} s)"])


def _table(table: Table, found: Mapping[str, Found]) -> str:
    columns = [f for f in table.figures if any(f in run for one in found.values() for run in one.figures)]
    first = next((one for one in found.values() if one.median(table.figures[0]) is not None), Found())
    lines = [f"| {table.title} | {' | '.join(columns)} | x |", "|---" * (len(columns) + 2) + "|"]
    for contender in table.contenders:
        one = found[contender.name]
        why = f"left out: {one.absent}" if one.absent else f"failed: {one.failed}" if one.failed else ""
        cells = [why, *[""] * (len(columns) - 1)] if why else [_cell(one, column) for column in columns]
        base, middle = first.median(table.figures[0]), one.median(table.figures[0])
        times = "" if why or not base or middle is None else number(middle / base)
        name = f"**{contender.name}**" if contender.kind == OURS else contender.name
        lines.append("| " + " | ".join([name, *cells, times]).replace("\n", " ") + " |")
    return "\n".join(lines)


def _growth(axis: str, tables: Sequence[tuple[Table, Mapping[str, Found]]]) -> str:
    """What grows along one axis: a line a measure."""
    sizes = [contender.name for contender in tables[0][0].contenders]
    lines = [f"| {axis} | {' | '.join(sizes)} |", "|---" * (len(sizes) + 1) + "|"]
    for table, found in tables:
        cells = [_cell(found[size], table.figures[0]) or found[size].failed or "" for size in sizes]
        lines.append("| " + " | ".join([table.line, *cells]).replace("\n", " ") + " |")
    return "\n".join(lines)


def _cell(found: Found, figure: str) -> str:
    values, middle = found.values(figure), found.median(figure)
    if middle is None:
        return ""
    spread = f" ({number(min(values))}-{number(max(values))})" if max(values) > min(values) else ""
    return number(middle) + spread


def number(value: float) -> str:
    """Three digits that count."""
    if not value or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:,.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"
