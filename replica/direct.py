"""A replica without a loop, a thread or a clock: the core over a log whose calls return at once.

It is what the async `Replica` does, one step at a time, with time as an argument. Property tests, the
simulator and the crash tests drive it; so can a program that wants no event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from random import Random
from typing import Any, TypeVar

from merge.version import VersionVector
from replica.arrange import Gap, arrange
from replica.block import Head, Slice
from replica.commit import Note
from replica.core import Committed, Core, Settled
from replica.decider import Decider
from replica.digest import digest
from replica.event import Command, Event
from replica.ingest import Ingested
from replica.log import Identity, Log
from replica.missing import Missing
from replica.reading import Boundary, Reader

T = TypeVar("T")


def reader_of(core: Core, log: Log) -> Reader:
    """A reader of what is durable now."""
    return Reader(log, core.store, core.memory.lineages)


Loaded = Callable[[Core], None]


def load(reader: Reader, missing: Missing) -> Loaded:
    """Read what a step was missing; the result puts it into the core. Blocks on the log."""
    if missing.streams:
        streams = reader.streams(missing.streams)
        return lambda core: core.supply_presents(streams)
    if missing.command is not None:
        command = missing.command
        done = reader.log.command(command)
        return lambda core: core.supply_command(command, done)
    if missing.ends:
        rows = {row.number: row for lineage in reader.lineages.values() for row in lineage.rows}
        ends = {number: reader.end(rows[number]) for number in missing.ends}
        return lambda core: core.supply_ends(ends)
    found: list[tuple[int, Boundary]] = []
    for observed in missing.boundaries:
        boundary = reader.boundary(*observed)
        if boundary is not None:
            found.append((observed.replica, boundary))
    return lambda core: core.supply_boundaries(missing.boundaries, found)


class DirectReplica:
    """One replica, stepped by hand."""

    def __init__(
        self,
        log: Log,
        store: str,
        name: str,
        aggregates: Iterable[type[Decider]],
        *,
        random: Random,
        identity: Identity | None = None,
    ) -> None:
        contents = log.contents()
        if identity is None:
            identity = contents.identity or Identity(store, random.getrandbits(64), name, ())
        self.log = log
        self.core = Core(store, aggregates, contents, identity, random)
        self.listeners: list[Callable[[Settled], None]] = []
        """Called with whatever has become durable."""

    def _step(self, step: Callable[[], T]) -> T:
        while True:
            try:
                return step()
            except Missing as missing:
                self.flush()
                load(self.reader(), missing)(self.core)

    def reader(self) -> Reader:
        return reader_of(self.core, self.log)

    def execute(
        self,
        stream: str,
        command: Command,
        now: int,
        note: Note | None = None,
        expect: VersionVector | None = None,
    ) -> Committed:
        return self._step(lambda: self.core.execute(stream, command, now, note, expect))

    def append(self, stream: str, events: Sequence[Event], now: int, note: Note | None = None) -> Committed:
        return self._step(lambda: self.core.append(stream, events, now, note))

    def ingest(self, pieces: Sequence[Slice], horizon: int | None = None) -> Ingested | Gap:
        placed = None
        while True:
            try:
                return self.core.ingest(pieces, horizon, placed)
            except Missing as missing:
                self.flush()
                if missing.arrange is not None:
                    placed = arrange(self.reader(), missing.arrange)
                else:
                    load(self.reader(), missing)(self.core)

    def flush(self) -> Settled:
        """Make the draft durable, and say what has become known by that."""
        transaction = self.core.transaction()
        if transaction is not None:
            try:
                self.log.write(transaction)
            except BaseException:
                self.core.drop()
                raise
        settled = self.core.settle()
        if settled.commits or settled.changed:
            for hear in tuple(self.listeners):
                hear(settled)
        return settled

    def doubt(self) -> None:
        """A peer goes by this id too: go on under a new one."""
        self.core.doubt()
        self.flush()

    def present(self, stream: str) -> Any:
        """The present of a stream at what is durable."""
        self.flush()
        state = self._step(lambda: self.core.state(stream))
        self.flush()
        return self.core.aggregate_of(stream).present_of(state, stream, self.core.memory.version)

    def digest(self, stream: str) -> str:
        """A name for the present of a stream, equal where presents are."""
        present = self.present(stream)
        return digest(present.canonical(present.state))

    @property
    def heads(self) -> list[tuple[int, Head]]:
        return sorted(
            (replica, head) for replica, lineage in self.core.memory.lineages.items() for head in lineage.heads
        )

    def all_slices(self) -> Iterator[Slice]:
        """Everything the log holds, log by log."""
        reader = self.reader()
        for lineage in self.core.memory.lineages.values():
            for row in lineage.rows:
                yield from reader.whole(row)
