"""What is measured side by side: contenders, tables of them, and rows of the summary. Values; nothing runs here."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bench.job import Figures, Job

OURS, PEER, LIMIT, BESIDE = "ours", "peer", "limit", "beside"
"""What a contender is: the product; another system; what can be done by hand; something to see beside them."""


def together(served: Figures, found: Figures) -> Figures:
    """The figures of a server and of its client, as one."""
    return {**found, "MB of the server": served["MB"]}


@dataclass(frozen=True)
class Contender:
    """A process, or a server and a client, that does the work of a table."""

    name: str
    kind: str
    calls: tuple[str, ...]
    job: Job
    prepare: str = ""
    """What makes its files, once a run for all jobs of the same size."""
    finish: Callable[[Figures, Figures], Figures] = together
    counted: bool = False
    """One more run, through a relay that counts bytes."""
    times: int = 100
    """Repetitions, at most."""
    at: float = 0
    """Where it stands on the axis of its table."""


@dataclass(frozen=True)
class Found:
    """What became of a contender."""

    figures: list[Figures] = field(default_factory=list)
    wire: int = 0
    absent: str = ""
    """Why it was left out."""
    failed: str = ""
    """What went wrong."""

    def values(self, figure: str) -> list[float]:
        return [run[figure] for run in self.figures if isinstance(run.get(figure), int | float)]

    def median(self, figure: str) -> float | None:
        values = self.values(figure)
        return statistics.median(values) if values else None


@dataclass(frozen=True)
class Standing:
    """The medians of one figure, by contender."""

    medians: Mapping[str, float]
    kinds: Mapping[str, str]
    less: bool

    def of(self, name: str) -> float:
        """The median of a contender. One that was not measured is behind everything."""
        return self.medians.get(name, float("inf") if self.less else 0.0)

    def best(self, kind: str) -> tuple[str, float] | None:
        named = [(value, name) for name, value in self.medians.items() if self.kinds[name] == kind]
        if not named:
            return None
        value, name = min(named) if self.less else max(named)
        return name, value

    @property
    def ours(self) -> float | None:
        """The first of ours is the one that the summary is about."""
        return next((value for name, value in self.medians.items() if self.kinds[name] == OURS), None)

    def ahead(self, *names: str) -> bool:
        """Are we ahead of these? (What was not measured is not ahead of us.)"""
        assert self.ours is not None
        ours = self.ours
        return all(ours < self.of(name) if self.less else ours > self.of(name) for name in names)


@dataclass(frozen=True)
class Row:
    """One row of the summary, and when it is reached."""

    words: str
    figure: str
    goal: str
    reached: Callable[[Standing], bool]
    less: bool = True
    among: tuple[str, ...] = ()
    """The contenders that it is about, ours first; all of the table where none are named."""


@dataclass(frozen=True)
class Table:
    """Contenders that do the same work."""

    title: str
    figures: tuple[str, ...]
    """The columns, the one that counts first."""
    contenders: tuple[Contender, ...]
    rows: tuple[Row, ...] = ()
    less: bool = True
    axis: str = ""
    """What grows from contender to contender, where the picture is to show a slope."""
    line: str = ""
    """What that slope is of."""

    def standing(self, row: Row, found: Mapping[str, Found]) -> Standing:
        chosen = [c for c in self.contenders if not row.among or c.name in row.among]
        chosen.sort(key=lambda c: row.among.index(c.name) if row.among else 0)
        medians = {c.name: found[c.name].median(row.figure) for c in chosen if c.name in found}
        kinds = {c.name: c.kind for c in chosen}
        return Standing({name: value for name, value in medians.items() if value is not None}, kinds, row.less)


@dataclass(frozen=True)
class Size:
    """How much to do."""

    quick: bool = False
    trace: str = ""
    """A path of an editing trace."""

    def __call__(self, usual: int, quick: int) -> int:
        return quick if self.quick else usual
