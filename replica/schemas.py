"""Events that are older than their class: the code must say how to read them.

Rule 1. An event whose type the code knows, in a schema below that of the class, with no upcaster from there, is a
        mistake of the code: opening says so. Else its stream would read as if it had never happened, and decisions
        would be made on that.
Rule 2. What a replica has written that was retired since stops nobody: so there is a way out where it is not the
        code that is wrong.
Rule 3. A type that the code does not know, and a schema above that of its class, are no mistake: a peer may be
        newer. They are left out, counted, and told (`replica.folding`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from replica import columns
from replica.decider import Decider
from replica.errors import NoUpcaster
from replica.event import EventTypes
from replica.introduction import OWN_TYPES
from replica.log import Log
from replica.reading import Reader

if TYPE_CHECKING:
    from replica.core import Core

Kind = tuple[str, int]


def check_schemas(core: Core, log: Log) -> None:
    """NoUpcaster where the log holds events that are older than their class, and nothing reads them.

    Reads blocks only where some type in the log is such a one.
    """
    older = {kind for kind in core.memory.types if core.types.newer_than(*kind) is not None}
    older = {kind for kind in older if kind[0] not in OWN_TYPES}  # no code of a user's reads these
    if not older:
        return
    reader = Reader(log, core.store, core.memory.lineages)
    found = next(_events(core, reader, older), None)
    if found is None:
        return
    replica, seq, stream, (name, schema) = found
    kind = core.types.newer_than(name, schema)
    assert kind is not None
    counted = core.memory.types[name, schema]
    raise NoUpcaster(
        f"nothing was opened: the log holds {counted} events {name} of schema {schema}, such as "
        f"{core.dot((replica, seq))} in {stream}. The class {kind.__name__} has schema {kind.schema}, and no "
        f"upcaster leads there from {schema}, so they would be in no present. Nothing is lost. Add "
        f"`upcasters = {{{schema}: ...}}` to the class. If {core.label(replica)} should never have written them, "
        "open the file with `aggregates=[]` and retire it."
    )


def unknown_in(reader: Reader, stream: str, aggregate: Decider, types: EventTypes) -> tuple[Kind, ...]:
    """The types of events in a stream that its aggregate does not know."""
    found = set[Kind]()
    for commit, _ in reader.stream(stream):
        for event in commit.events:
            if event.stream == stream and event.type not in OWN_TYPES:
                if types.kind_of(event.type, event.schema) not in aggregate.events:
                    found.add((event.type, event.schema))
    return tuple(sorted(found))


def _events(core: Core, reader: Reader, kinds: set[Kind]) -> Iterator[tuple[int, int, str, Kind]]:
    """Events of some types: replica, seq, stream, type. Without those of replicas that take part no more."""
    retired = core.memory.retired
    for replica, lineage in core.memory.lineages.items():
        if replica in retired:
            continue
        for segment in lineage.folded:
            row = next(row for row in lineage.rows if row.number == segment.number)
            seq = segment.after
            while seq < segment.upto:
                piece = reader.joined(row, seq + 1)[1]
                if kinds.intersection(kind for kind in columns.types(piece) if type(kind) is tuple):
                    opened = reader.open(row, seq + 1, hold=False)
                    decoded = opened.decoded
                    for at, kind in enumerate(decoded.kinds):
                        here = decoded.after + 1 + at
                        if kind in kinds and seq < here <= segment.upto:
                            yield replica, here, decoded.named[at], kind
                seq = piece.last
