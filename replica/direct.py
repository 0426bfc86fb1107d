"""A replica without a loop, a thread or a clock: the core over a log whose calls return at once.

It is what the async `Replica` does, one step at a time, with time as an argument. Property tests, the
simulator and the crash tests drive it; so can a program that wants no event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from random import Random
from typing import Any, TypeVar

from merge.version import Dot, VersionVector
from replica.arrange import Gap, arrange
from replica.aside import SettingAside
from replica.beside import read_beside
from replica.block import Head, Slice
from replica.build import Build, unbuilt
from replica.commit import Note
from replica.comparing import drop_present, read_again
from replica.core import Committed, Core, Settled
from replica.cut import settled_cut
from replica.decider import Decider
from replica.digest import digest
from replica.errors import WrongStore
from replica.event import Command, Event, EventTypes
from replica.folding import fold_within
from replica.ingest import Ingested
from replica.intent import Intent, encode
from replica.introduction import check_label
from replica.log import Done, Identity, Log, TableFailed
from replica.missing import Missing
from replica.owed import carry_out, ready, unpark, unsaid
from replica.projection import Projection
from replica.reading import Boundary, Reader
from replica.schemas import check_schemas, unknown_in
from replica.snapshot import load_streams, span

T = TypeVar("T")


def reader_of(core: Core, log: Log) -> Reader:
    """A reader of what is durable now."""
    return Reader(log, core.store, core.memory.lineages, core.blocks)


Loaded = Callable[[Core], Iterator[None]]


def load(reader: Reader, missing: Missing, aggregate_of: Callable[[str], Decider], types: EventTypes) -> Loaded:
    """Read what a step was missing; the result puts it into the core, a portion a turn. Blocks on the log."""
    if missing.streams:
        streams = load_streams(reader, missing.streams, aggregate_of, types, missing.limits)
        return lambda core: core.supply_presents(streams, missing.aside)
    supply = _look_up(reader, missing, aggregate_of, types)

    def at_once(core: Core) -> Iterator[None]:
        supply(core)
        yield

    return at_once


def _look_up(
    reader: Reader, missing: Missing, aggregate_of: Callable[[str], Decider], types: EventTypes
) -> Callable[[Core], None]:
    """The same of what is no present."""
    if missing.commands:
        commands = {asked: _command(reader, *asked) for asked in missing.commands}
        return lambda core: core.supply_commands(commands)
    if missing.unknown:
        unknown = {stream: unknown_in(reader, stream, aggregate_of(stream), types) for stream in missing.unknown}
        return lambda core: core.supply_unknown(unknown)
    if missing.ends:
        rows = {row.number: row for lineage in reader.lineages.values() for row in lineage.rows}
        ends = {number: reader.end(rows[number]) for number in missing.ends}
        return lambda core: core.supply_ends(ends)
    found: list[tuple[int, Boundary]] = []
    for sought, observed in enumerate(missing.boundaries, 1):
        boundary = reader.boundary(*observed)
        if boundary is None:  # it answers the batch: the others need not be looked for
            return lambda core: core.supply_boundaries(missing.boundaries[:sought], found)
        found.append((observed.replica, boundary))
    return lambda core: core.supply_boundaries(missing.boundaries, found)


def _command(reader: Reader, command: str, stream: str) -> Done | None:
    """What is known of a command id; also where the file is from before it was kept what an id was used for."""
    done = reader.log.command(command, stream)
    if done is None or done.stream or done.intent:
        return done
    found = reader.commit(done.stamp.replica, done.first)
    return done if found is None else done._replace(intent=encode(Intent(found[0].events[0].stream)))


class DirectReplica:
    """One replica, stepped by hand."""

    def __init__(
        self,
        log: Log,
        store: str | None,
        name: str | None,
        aggregates: Iterable[type[Decider]],
        *,
        random: Random,
        identity: Identity | None = None,
        projections: Iterable[type[Projection]] = (),
    ) -> None:
        contents = log.contents()
        identity = identity or contents.identity
        if identity is None:
            if store is None or name is None:
                raise ValueError("this log holds no replica yet: say what it replicates and what it is called")
            check_label("store", store)
            check_label("name", name)
            identity = Identity(store, random.getrandbits(64), name, ())
        if store not in (None, identity.store):
            raise WrongStore(f"this log belongs to the store {identity.store!r}, not to {store!r}")
        self.log = log
        self.core = Core(
            identity.store, aggregates, contents, identity, random, projections=projections, beside=read_beside(log)
        )
        check_schemas(self.core, log)
        self.listeners: list[Callable[[Settled], None]] = []
        """Called with whatever has become durable."""
        self.core.begin()
        self.flush()

    def build(self) -> None:
        """Build what must be built, to the end; and ask again what is due where that had raised."""
        for key in unsaid(self.core):
            self._step(lambda key=key: unpark(self.core, key))  # type: ignore[misc]
            self.flush()
        for build in unbuilt(self.core):
            self._build(build)

    def _build(self, build: Build) -> None:
        done = False
        while not done:
            portion = build.read(self.reader())
            done = self._step(lambda portion=portion: build.put(portion))  # type: ignore[misc]
            self.flush()

    def snapshot(self) -> int:
        """Take the snapshots that should be taken; how many."""
        self.flush()
        ripe = [*self.core.ripe]
        for stream in ripe:
            held = self.log.kept(span(stream))
            self.core.snapshot(stream, held)
            self.flush()
        return len(ripe)

    def carry_out(self, now: int) -> int:
        """Carry out what is due and this replica's to do; how many commands were tried."""
        self.flush()
        tried = 0
        while keys := ready(self.core, now)[0]:
            for key in keys:
                self._step(lambda key=key: carry_out(self.core, key, now))  # type: ignore[misc]
                tried += 1
            self.flush()
        return tried

    def _step(self, step: Callable[[], T]) -> T:
        while True:
            try:
                return step()
            except Missing as missing:
                self.flush()
                self._supply(missing)

    def _supply(self, missing: Missing) -> None:
        for _ in load(self.reader(), missing, self.core.aggregate_of, self.core.types)(self.core):
            pass

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
                    self._supply(missing)

    def flush(self) -> Settled:
        """Make the draft durable, and say what has become known by that."""
        while (transaction := self.core.transaction()) is not None:
            try:
                self.log.write(transaction)
                break
            except TableFailed as failed:
                self.core.table_failed(failed.table, failed.why)
            except BaseException:
                self.core.drop()
                raise
        settled = self.core.settle()
        if settled.brought or settled.changed:
            for hear in tuple(self.listeners):
                hear(settled)
        return settled

    def retire(self, member: int, now: int) -> Committed:
        """Record that a replica takes part no more."""
        return self._step(lambda: self.core.retire(member, now))

    def set_aside(self, dots: Sequence[tuple[int, int]], now: int) -> Committed | None:
        """Leave events out that cannot be folded here: see `replica.aside`."""
        self.flush()
        found = [self.reader().commit(*dot) for dot in dots]
        named = [
            (commit.events[dot[1] - commit.first].stream, Dot(*dot))
            for dot, (commit, _) in zip(dots, filter(None, found), strict=True)
        ]
        return self._step(partial(SettingAside(self.core, named).step, now))

    def mend(self, stream: str) -> None:
        """The present of a stream in memory is not the fold of its log: read it again."""
        self.flush()
        if drop_present(self.core, stream):
            self.core.comparisons.mended += 1
            self.flush()
            self._step(lambda: read_again(self.core, stream))
            self.flush()

    def keep_alarms(self) -> None:
        """Keep what differs from the presents of peers beside the log."""
        if self.core.comparisons.unsaved:
            self.core.comparisons.save(self.core.draft)
            self.flush()

    def doubt(self) -> None:
        """A peer goes by this id too: go on under a new one."""
        self.core.doubt()
        self.flush()

    def present(self, stream: str) -> Any:
        """The present of a stream at what is durable."""
        self.flush()
        state = self._step(lambda: self.core.state(stream))
        self.flush()
        return self.core.aggregate_of(stream).present_of(state, stream, self.core.named(self.core.memory.version))

    def settled(self, stream: str) -> Any:
        """The present of a stream inside `stable`, as far as it changes at its end alone."""
        core, reader = self.core, self.reader()
        cut = settled_cut(core, reader, stream)
        fold = fold_within(core, stream, reader.stream(stream), cut)
        return core.aggregate_of(stream).present_of(fold, stream, cut)

    def learn(self, observed: Iterable[tuple[int, VersionVector]]) -> None:
        """Members have observed versions; keep that."""
        for member, version in observed:
            self.core.members.learn(member, version)
        self.save_members()

    def save_members(self) -> None:
        """Keep what was learnt of members."""
        self.core.members.save()
        self.flush()

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
        return self.reader().everything()
