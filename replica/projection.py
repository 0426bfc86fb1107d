"""Projections: the read side, as rows in tables that any SQLite tool can open while the replica runs.

There are two kinds, and neither depends on the order in which events arrive:

- **Rows per event** (`EventRows`): each event leads to rows, which stand under its dot and never change.
- **Rows per stream** (`StreamRows`): the present of a stream leads to rows, which replace those that the stream
  had. A late past that rewinds a stream is such a change.

What sums up several streams is an SQL view over them (`views`).

Rule 1. `rows` is a function of its argument alone: no clock, no chance, no other table.
Rule 2. In the file of the replica, rows change in the transaction of the events that change them.
Rule 3. What stands in a table can be computed again from the log. Where the code of a projection has changed
        (its methods, `revision`, columns or event types), where it was left out for a while, or where a second
        history turned up, it is built again beside the table in use, and takes its place in one transaction.
Rule 4. A projection that raises stops, shows why, and holds back nothing else. Opening the replica, or
        `replica.rebuild`, has it tried again.
Rule 5. A stream that is poisoned has no present, and so no rows.

| kind         | columns before the declared ones                                         |
|--------------|---------------------------------------------------------------------------|
| `EventRows`  | `stream`, `replica` (16 hexadecimal digits), `seq`, `n` (row of its event)  |
| `StreamRows` | `stream`, `n` (row of its stream)                                         |
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, NamedTuple

from replica.decider import FOLDS, Decider, without_decide
from replica.entry import Entry
from replica.errors import reraise
from replica.event import Event
from replica.fingerprint import Reached, fingerprint, reached
from replica.log import Table
from replica.slips import classes, plain_functions, several

TYPES = (str, int, float, bool, bytes)
"""What a column can hold, beside None."""
RESERVED = ("identity", "log", "block", "fresh", "stream", "command", "type", "kept", "due")
"""Names in the file of a replica that are not a projection's to take."""
MAX_ROWS = 100_000
"""Rows under one event or stream. More are a mistake: they are all replaced at once."""
BUILDING = "__new"
"""Ends the name of a table that is being built beside the one in use."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


class Projection:
    """Base of projections. Inherit from `EventRows` or `StreamRows`."""

    table: ClassVar[str]
    """The name of the table."""
    columns: ClassVar[Mapping[str, type]]
    """The columns that `rows` fills, in order: name -> str, int, float, bool or bytes. Any may be None."""
    indexes: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Columns that are searched together."""
    views: ClassVar[Mapping[str, str]] = {}
    """Views that come and go with the table: name -> SELECT."""
    revision: ClassVar[int] = 1
    """Raise it when rows mean something else, and nothing in your own modules says so."""
    keys: ClassVar[tuple[tuple[str, type], ...]] = ()

    def __init_subclass__(cls, *, base: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not base:
            _check_declaration(cls)

    def rows(self, source: Any) -> Iterable[tuple[Any, ...]]:
        """The rows that follow from an `Entry` (`EventRows`) or a present (`StreamRows`)."""
        raise NotImplementedError(f"{type(self).__name__} needs a method `rows`")

    def checked_rows(self, source: Any) -> list[tuple[Any, ...]]:
        """The same, checked and numbered. Raises what `rows` raises; TypeError, ValueError for a bad row."""
        try:
            rows = several(self.rows(source), "rows", "a list of tuples, one a row, as `[(item, 2)]`")
            found = [(n, *self._checked(row)) for n, row in enumerate(rows)]
        except BaseException as raised:
            reraise(raised)
        if len(found) > MAX_ROWS:
            raise ValueError(f"{len(found)} rows; at most {MAX_ROWS} may stand under one event or stream")
        return found

    def _checked(self, row: Any) -> tuple[Any, ...]:
        values = tuple(row) if isinstance(row, tuple | list) else (row,)
        if len(values) != len(self.columns):
            raise ValueError(f"the row {values!r} has {len(values)} values, for {len(self.columns)} columns")
        for (column, kind), value in zip(self.columns.items(), values, strict=True):
            if value is None:
                continue
            if not isinstance(value, (float, int) if kind is float else kind):
                raise TypeError(f"{value!r} is no {kind.__name__}, which the column {column} holds")
            if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
                raise ValueError(f"{value} has more than 64 bits, and the column {column} holds no more")
            if isinstance(value, str):
                value.encode()
            if value != value:
                raise ValueError(f"NaN cannot stand in the column {column}: a database makes NULL of it; use None")
        return values

    @classmethod
    def described(cls, name: str | None = None) -> Table:
        """The table as a backend makes it, under its own name or another one."""
        return Table(name or cls.table, cls.keys, tuple(cls.columns.items()), cls.indexes, tuple(cls.views.items()))

    @classmethod
    def fingerprint(cls) -> str:
        """A name for what this code makes of a log: all that it can reach by name."""
        return fingerprint(FOLDS, cls.reached().name)

    @classmethod
    def reached(cls) -> Reached:
        """What it can reach by name, in the user's own modules."""
        kind: Any = cls  # else mypy asks the class for its instances' hash
        return reached(kind, without_decide)


class EventRows(Projection, base=True):
    """Rows per event: declare `table`, `columns`, `events` and `rows(self, entry)`."""

    events: ClassVar[tuple[type[Event], ...]]
    keys = (("stream", str), ("replica", str), ("seq", int), ("n", int))

    def rows(self, entry: Entry) -> Iterable[tuple[Any, ...]]:
        raise NotImplementedError(f"{type(self).__name__} needs a method `rows`")


class StreamRows(Projection, base=True):
    """Rows per stream: declare `table`, `columns`, the aggregate `of` and `rows(self, present)`."""

    of: ClassVar[type[Decider]]
    keys = (("stream", str), ("n", int))

    def rows(self, present: Any) -> Iterable[tuple[Any, ...]]:
        raise NotImplementedError(f"{type(self).__name__} needs a method `rows`")


class Standing(NamedTuple):
    """How a projection stands."""

    live: bool = False
    """Its table follows every transaction."""
    building: bool = False
    """It is being built again, beside its table."""
    stream: str = ""
    """Where it stopped: the stream,"""
    dot: str = ""
    """the event,"""
    why: str = ""
    """and what was raised."""

    @property
    def state(self) -> str:
        """live, building or stopped."""
        return "stopped" if self.why else "building" if self.building else "live"

    def stopped(self, stream: str, dot: str, why: str) -> Standing:
        return Standing(False, False, stream, dot, why)

    def tables(self, name: str) -> list[str]:
        """The tables that what is new must be written to."""
        return [name] * self.live + [name + BUILDING] * self.building


def _check_indexes(cls: type[Projection]) -> None:
    known = {*dict(cls.keys), *cls.columns}
    for index in several(cls.indexes, f"{cls.__name__}.indexes", '`indexes = (("state",),)`'):
        if not isinstance(index, tuple) or not index:
            raise TypeError(
                f"{cls.__name__}.indexes is a tuple of tuples of columns, and {index!r} is none: write "
                f'`indexes = (("state",),)` for one index of one column'
            )
        unknown = [name for name in index if name not in known]
        if unknown:
            raise TypeError(
                f"{cls.__name__} cannot have an index over {unknown[0]!r}: it has {', '.join(sorted(known))}"
            )


def _check_declaration(cls: type[Projection]) -> None:
    """TypeError where a projection does not say what it needs to."""
    table, columns = getattr(cls, "table", None), getattr(cls, "columns", None)
    if not isinstance(table, str) or not _NAME.fullmatch(table) or table in RESERVED or table.startswith("sqlite_"):
        raise TypeError(
            f'{cls.__name__} needs `table = "..."`: lower-case letters, digits and "_", and none of '
            f"{', '.join(RESERVED)}; it has {table!r}"
        )
    if not isinstance(columns, Mapping) or not columns:
        raise TypeError(f"{cls.__name__} needs `columns = {{name: type}}`")
    for name, kind in columns.items():
        if not _NAME.fullmatch(name) or name in dict(cls.keys) or kind not in TYPES:
            raise TypeError(
                f"{cls.__name__} cannot have a column {name!r} of {kind!r}: names are of lower-case letters, "
                f'digits and "_", {", ".join(key for key, _ in cls.keys)} are taken, and a column holds '
                f"{', '.join(one.__name__ for one in TYPES)}"
            )
    plain_functions(cls, ("rows",), generators=("rows",))
    _check_indexes(cls)
    views = cls.views.items() if isinstance(cls.views, Mapping) else [(cls.views, None)]
    if not all(isinstance(one, str) for view in views for one in view):
        raise TypeError(f"{cls.__name__} needs `views = {{name: SELECT}}`, and has {cls.views!r}")
    if issubclass(cls, EventRows) and not classes(getattr(cls, "events", ()), Event, f"{cls.__name__}.events"):
        raise TypeError(f"{cls.__name__} needs `events = (...)`: the events that lead to rows")
    if issubclass(cls, StreamRows) and not isinstance(getattr(cls, "of", None), type):
        raise TypeError(f"{cls.__name__} needs `of = ...`: the aggregate whose presents lead to rows")
