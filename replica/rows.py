"""How the projections of a replica stand, and the rows that follow from an event or a present.

A projection is *live* (its table follows every transaction), is being *built* (what is new goes to a table of its
own beside the one in use, and a builder adds what the log held before; then the two are switched), or has
*stopped*. What is due is built in the same way where an aggregate has learnt to say it, without a table.

Rule 1. How each stands is kept beside the log, with a fingerprint of its code and the number of second histories.
        Where either has changed, where it was not live, where other code ran in between, and where its table is not
        there as it was made, it is built again.
Rule 2. Building is never resumed: a crash, or another second history, begins it again. So there is one way to a
        table: from the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from merge.version import NOTHING
from replica import due
from replica.decider import FOLDS, Decider, without_decide
from replica.draft import Draft
from replica.entry import Entry
from replica.fingerprint import Reached, fingerprint, reached
from replica.log import Kept
from replica.projection import BUILDING, EventRows, Projection, Standing, StreamRows
from replica.status import ProjectionStatus

if TYPE_CHECKING:
    from replica.core import Core

KIND = "projection"
"""The kind under which it is kept beside the log how projections stand."""
PROMISES = "due/"
"""Before the category of an aggregate: the name under which the building of its promises stands."""


class Record(msgspec.Struct, frozen=True):
    """How a projection stood when that was last written down."""

    fingerprint: str
    histories: int
    """Second histories that were known: they change what is folded."""
    state: str
    """live, building, stopped; or left: other code ran without it."""


_encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Record).decode


class Derived:
    """What a replica derives: its projections by table, and the aggregates that say what is due."""

    def __init__(self, projections: Iterable[type[Projection]], aggregates: dict[str, Decider]) -> None:
        self.projections: dict[str, Projection] = {}
        self.by_event: list[EventRows] = []
        self.by_category: dict[str, list[StreamRows]] = {}
        self._aggregates = aggregates
        for kind in projections:
            if kind.table in self.projections:
                raise TypeError(f"two projections fill the table {kind.table!r}")
            self.projections[kind.table] = projection = kind()
            if isinstance(projection, EventRows):
                check_listed(projection, aggregates.values())
                self.by_event.append(projection)
            elif isinstance(projection, StreamRows):
                if type(aggregates.get(projection.of.stream)) is not projection.of:
                    raise TypeError(
                        f"{kind.__name__} is of {projection.of.__name__}, which is not among the aggregates of "
                        "this replica: list it"
                    )
                self.by_category.setdefault(projection.of.stream, []).append(projection)
        self.owing = {category for category, aggregate in aggregates.items() if due.owes(aggregate)}
        self.categories = self.owing | self.by_category.keys()
        """Of the streams from whose present something follows."""
        self.names = [*self.projections, *(PROMISES + category for category in sorted(self.owing))]

    def category_of(self, name: str) -> str:
        """The streams from whose presents it follows; none for rows of events."""
        projection = self.projections.get(name)
        if projection is None:
            return name.removeprefix(PROMISES)
        return projection.of.stream if isinstance(projection, StreamRows) else ""

    def fingerprint(self, name: str) -> str:
        """A name for what this code makes of a log."""
        return fingerprint(FOLDS, self.reached(name).name)

    def reached(self, name: str) -> Reached:
        """What its code can reach by name."""
        if name in self.projections:
            return self.projections[name].reached()
        return reached(type(self._aggregates[name.removeprefix(PROMISES)]), without_decide)


def check_listed(projection: EventRows, aggregates: Iterable[Decider]) -> None:
    """TypeError where no aggregate lists an event that rows follow from: its rows would be missing for good."""
    listed = {event for aggregate in aggregates for event in aggregate.events}
    for event in projection.events:
        if event not in listed:
            raise TypeError(
                f"{type(projection).__name__} makes rows of {event.__name__}, which no aggregate of this replica "
                "lists in its `events`: list the aggregate, or leave the projection out"
            )


# --- how they stand ---


def begin(core: Core, kept: Iterable[Kept], *, due_again: bool = False) -> None:
    """Take up how each stood, and begin to build what must be built: with `due_again` also all that is due.

    The first step of a replica.
    """
    derived = core.derived
    found = {one.key: decode(one.value) for one in kept if one.kind == KIND}
    for name, record in found.items():
        if name not in derived.names and record.state != "left":
            core.draft.keep(KIND, name, _encode(msgspec.structs.replace(record, state="left")))
    for name in derived.names:
        unknown = derived.reached(name).unknown
        if unknown:
            words = (
                f"{name} is built again at each opening: nobody can tell whether what its code uses is what it was "
                f"({'; '.join(unknown)}). Make it where it is used, or a constant."
            )
            core.complaints.say("fingerprint", name, words)
        if (
            not unknown
            and found.get(name) == Record(derived.fingerprint(name), histories(core), "live")
            and _is_made(core, name)
            and not (due_again and name.startswith(PROMISES))
        ):
            memory = core.draft.memory
            memory.standings = memory.standings.set(name, Standing(live=True))
        else:
            build(core, name)


def _is_made(core: Core, name: str) -> bool:
    """The table of a projection is there, with its columns, indexes and views: nobody has dropped or changed it."""
    projection = core.derived.projections.get(name)
    return projection is None or projection.described().made_of.items() <= core.tables.items()


def build(core: Core, name: str) -> None:
    """Begin to build a projection: what is new goes to its new table from now on, the rest follows."""
    draft, new = core.draft, name + BUILDING
    core.complaints.over("projection", name)
    before = draft.memory.standings.get(name, Standing())
    _stand(core, name, Standing(live=before.live, building=True))
    if name in core.derived.projections:
        draft.forget_rows(new)
        draft.begin[new] = core.derived.projections[name].described(new)
    if core.now.version == NOTHING:
        finish(core, name)


def finish(core: Core, name: str) -> None:
    """A projection has been built: it takes the place of the old one."""
    _stand(core, name, Standing(live=True))
    if name in core.derived.projections:
        core.draft.switch[name + BUILDING] = core.derived.projections[name].described()


def stop(core: Core, name: str, stream: str, dot: str, why: str) -> None:
    """A projection cannot go on. Nothing else is held back."""
    standing = Standing(stream=stream, dot=dot, why=why)
    _stand(core, name, standing)
    core.complaints.say("projection", name, stopped(name, standing), grave=True)
    for table in (name, name + BUILDING):
        core.draft.forget_rows(table)


def stopped(name: str, standing: Standing) -> str:
    """That a projection has stopped, and the way out."""
    where = f" at {standing.stream} {standing.dot}" if standing.stream else ""
    return (
        f"the projection {name} stopped{where}: {standing.why}. The log and everything else go on: mend it, and "
        f'open the replica again or have it rebuilt (`await replica.rebuild("{name}")`).'
    )


def stop_table(core: Core, table: str, why: str) -> None:
    """A table cannot be written."""
    stop(core, table.removesuffix(BUILDING), "", "", f"the table {table} could not be written: {why}")


def _stand(core: Core, name: str, standing: Standing) -> None:
    memory = core.draft.memory
    memory.standings = memory.standings.set(name, standing)
    record = Record(core.derived.fingerprint(name), histories(core), standing.state)
    core.draft.keep(KIND, name, _encode(record))


def histories(core: Core) -> int:
    """How many second histories are known: they change what is folded."""
    return sum(len(lineage.rows) - 1 for lineage in core.now.lineages.values())


def status(core: Core) -> Iterator[ProjectionStatus]:
    """How each projection stands."""
    for name in core.derived.names:
        standing = core.memory.standings[name]
        yield ProjectionStatus(name, standing.state, standing.stream, standing.dot, standing.why)


# --- rows ---


def put_event(core: Core, projection: EventRows, entry: Entry, tables: Iterable[str]) -> None:
    """The rows of one event, into the tables that are to have them."""
    if not tables or type(entry.event) not in projection.events:
        return
    try:
        rows = projection.checked_rows(entry)
    except Exception as error:
        stop(core, projection.table, entry.stream, str(entry.dot), f"{type(error).__name__}: {error}")
        return
    if rows:
        key = entry.stream, f"{int(entry.dot.replica):016x}", entry.dot.seq
        for table in tables:
            core.draft.rows[table, key] = rows


def put_stream(core: Core, projection: StreamRows, stream: str, present: Any, tables: Iterable[str]) -> None:
    """The rows of one stream, in place of those that it had; none where it has no present."""
    if not tables:
        return
    try:
        rows = [] if present is None else projection.checked_rows(present)
    except Exception as error:
        latest = " ".join(str(dot) for dot in present._version)
        stop(core, projection.table, stream, latest, f"{type(error).__name__}: {error}")
        return
    for table in tables:
        core.draft.rows[table, (stream,)] = rows


def tables_of(draft: Draft, projection: Projection) -> list[str]:
    """The tables that what is new must be written to."""
    return draft.memory.standings[projection.table].tables(projection.table)
