"""`Replica`: the core in the hands of an event loop.

What a user calls, and what the layers above do. Whatever changes the replica is a step of its pump
(`replica.pump`); whatever is read is read from memory, or loaded by one. Leaving the context takes no new steps,
finishes those that wait, and leaves no thread.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from random import Random, SystemRandom
from typing import Any, TypeVar

from merge.version import ReplicaId, VersionVector
from replica import owed, rows, slips
from replica.arrange import Gap
from replica.aside import SettingAside
from replica.backend import Backend, MemoryBackend, OneLoop, connected
from replica.backup import Backup, backup
from replica.beside import read_beside
from replica.block import Slice
from replica.clock import checked, wall_clock
from replica.commit import make_note
from replica.comparing import drop_present, read_again
from replica.core import Committed, Core, Settled
from replica.cursor import FORMER
from replica.cut import settled_cut
from replica.decider import Decider
from replica.due import OwnerChanged
from replica.entry import Entry, Selection, entries
from replica.errors import Closed, PoisonEvent, ProjectionStopped, Refused, WrongStore
from replica.event import Command, Event
from replica.export import Exporter, exporters
from replica.feed import Feed, FeedRunner, runners
from replica.files import MEMORY, file_at
from replica.folding import unfolded
from replica.follow import Follower
from replica.fork import Progress
from replica.ingest import Ingested
from replica.introduction import check_label
from replica.join import Joined, join
from replica.log import Contents, Identity, Kept, Transaction
from replica.mark import OPENINGS, MarkFile, locked
from replica.members import Row
from replica.outbox import Outbox
from replica.projection import Projection
from replica.pump import Pump
from replica.reaction import Reaction
from replica.readonly import ReadOnly
from replica.retry import DUE
from replica.rows import build
from replica.schemas import check_schemas
from replica.sqlite import SqliteThread
from replica.status import Member, Status
from replica.steward import Steward
from replica.target import Export
from replica.travel import TimeTravel
from replica.workers import working

log = logging.getLogger("anabranch.replica")

T = TypeVar("T")
KEEPING = 2.0
"""Seconds between two writings of what was learnt of members."""


@dataclass(frozen=True, slots=True)
class Change:
    """Streams that have new events, and the version at which they are known to have."""

    streams: tuple[str, ...]
    version: VersionVector


class Replica(TimeTravel):
    """One replica of a store. Open it with `async with Replica.open(...)`."""

    def __init__(
        self,
        core: Core,
        backend: OneLoop,
        mark: MarkFile | None,
        clock: Callable[[], int],
        durability: str,
        reactions: Sequence[Reaction],
        feeds: Sequence[Feed],
        exports: Sequence[Export],
    ) -> None:
        pump = Pump(core, backend, core.identity.name, lambda identity: mark.write(identity) if mark else None)
        super().__init__(core, backend)
        self._pump = pump
        pump.listen(self._hear)
        self._clock, self._durability = clock, durability
        self._outbox = Outbox(core, self._pump, backend, reactions)
        self._feeds = runners(core, self._pump, backend, feeds)
        self._exporters = exporters(core, self._pump, backend, exports)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        path: str | os.PathLike[str] = MEMORY,
        *,
        store: str | None = None,
        name: str | None = None,
        aggregates: Iterable[type[Decider]],
        projections: Iterable[type[Projection]] = (),
        reactions: Sequence[Reaction] = (),
        feeds: Sequence[Feed] = (),
        exports: Sequence[Export] = (),
        durability: str = "full",
        clock: Callable[[], int] = wall_clock,
        random: Random | None = None,
        backend: Backend | None = None,
    ) -> AsyncIterator[Replica]:
        """A replica over the file at `path` (made if there is none; ":memory:" for none at all).

        `store` names what is replicated: only replicas of one store talk to each other. `name` is a label for
        people. A file that is there knows both, and they may be left out. `durability` is "full" (an acknowledged
        command survives power loss) or "normal" (it survives the end of the process; after power loss, or an end
        without close, the replica goes on under a new id).
        `clock` gives whole wall ms since 1970, `random` ids and chance.

        Raises FileInUse, WrongStore, WrongFormat, StoreError; TypeError, ValueError for a name or a clock that
        others could not take, or where a new file is given no names.
        """
        if durability not in ("full", "normal"):
            raise ValueError(f'durability is "full" or "normal", and not {durability!r}')
        for what, label in (("store", store), ("name", name)):
            if label is not None:
                check_label(what, label)
        reactions = slips.instances(
            reactions, Reaction, "reactions", "`@reaction(EventClass)` above an `async def`"
        )
        feeds = slips.instances(feeds, Feed, "feeds", "`Feed(name, deliver)`")
        exports = slips.instances(exports, Export, "exports", "`Export(name, target, projections)`")
        clock = checked(clock)
        clock()  # a clock that gives nonsense is told here, and not to whoever writes first
        random = random or SystemRandom()
        place = file_at(path)
        if backend is None and (store is None or name is None) and not os.path.exists(place):
            raise _unnamed(place)
        async with AsyncExitStack() as stack:
            mark = None
            if backend is None:
                if place == MEMORY:
                    backend = MemoryBackend()
                else:
                    mark = stack.enter_context(locked(place))
                    backend = SqliteThread(place, full=durability == "full")
                    backend.committed = mark.committed
            opened = await stack.enter_async_context(connected(backend))
            contents = await opened.run(lambda log: log.contents())
            identity = _identify(contents, store, name, mark, random, place)
            identity = identity._replace(clean=durability == "full")
            beside = await opened.run(read_beside)
            core = Core(
                identity.store, aggregates, contents, identity, random, projections=projections, beside=beside
            )
            await opened.run(lambda log: check_schemas(core, log))
            replica = cls(core, opened, mark, clock, durability, reactions, feeds, exports)
            if mark is not None:
                await replica._save(identity, _given_up(contents, identity, mark))
                mark.write(identity)
            try:
                async with replica._pump.running():
                    await replica._pump.do(core.begin)
                    await replica._outbox.recall(replica)
                    for feed in replica._feeds:
                        await feed.recall(replica)
                    steward = Steward(core, replica._pump, opened, clock)
                    workers = [steward.run, replica._outbox.run, replica._keep_members]
                    workers += [feed.run for feed in replica._feeds]
                    workers += [exporter.run for exporter in replica._exporters]
                    try:
                        async with working(replica.name, *workers):
                            yield replica
                    finally:
                        for export in exports:
                            await export.target.close()
                    await replica._save_members()
            finally:
                if mark is not None and replica._pump.failure is None:
                    openings = (*core.identity.openings, secrets.token_bytes(8))[-OPENINGS:]
                    identity = core.identity._replace(clean=True, openings=openings)
                    await replica._save(identity)
                    mark.write(identity)

    # --- what a user does ---

    async def execute(
        self,
        stream: str,
        command: Command,
        *,
        command_id: str | None = None,
        correlation: str | None = None,
        cause: tuple[int, int] | None = None,
        expect: VersionVector | None = None,
    ) -> Committed:
        """Decide on a command and record the facts it leads to; durable when it returns.

        `command_id` makes a retry harmless: the same command to the same stream is not carried out again under it,
        and is answered as it was then, with the dots that were recorded here. (At another replica, which has not
        heard of it, it is a second decision. A command that was refused, or led to no event, is decided again.)
        `correlation` and `cause` (a dot) are recorded with the facts. `expect` is a version, such as that of a
        present: Outdated is raised where the stream has events beyond it.

        Raises Refused (nothing was recorded), CommandIdUsed (the id was used here for another command or stream),
        InvalidEvent, UnknownStream, Closed.
        """
        note = make_note(command_id, correlation, cause)
        core, clock = self._core, self._clock
        return await self._pump.do(lambda: core.execute(stream, command, clock(), note, expect), stream, command_id)

    async def append(
        self,
        stream: str,
        *events: Event,
        correlation: str | None = None,
        cause: tuple[int, int] | None = None,
    ) -> Committed:
        """Record facts that were decided elsewhere (a sensor, an import), as one commit."""
        note = make_note(None, correlation, cause)
        return await self._pump.do(lambda: self._core.append(stream, events, self._clock(), note), stream)

    async def present(self, stream: str, *, after: VersionVector | None = None, settled: bool = False) -> Any:
        """The present of a stream: its aggregate, to be read. Immutable; a later one is another object.

        With `after` it waits until that version is observed here: to read what was written elsewhere. With
        `settled` it is the fold of what lies inside `stable`, up to the first event of the stream that does
        not: it changes at its end alone. It is read from the log.
        """
        self.check_loop()
        if after is not None:
            await self.wait_for(after)
        core = self._core
        if settled:
            cut = await self.read(lambda reader: settled_cut(core, reader, stream))
            return await (await self.at(cut)).present(stream)
        state, version = core.memory.presents.get(stream), core.memory.version
        if state is not None:
            core.touch(stream)
        else:
            state, version = await self._pump.do(lambda: (core.state(stream), core.now.version), stream)
        return core.aggregate_of(stream).present_of(state, stream, core.labelled(version))

    @property
    def stable(self) -> VersionVector:
        """The past that every live member is known to have observed: what lies inside is settled."""
        return self._core.labelled(self._core.stable)

    def status(self) -> Status:
        """How the replica is, as one frozen value."""
        core, memory = self._core, self._core.memory
        return Status(
            store=core.store,
            replica=core.label(core.me),
            name=self.name,
            version=self.version,
            events=sum(memory.types.values()),
            replicas=len(memory.lineages),
            loaded=tuple(sorted((*memory.presents, *memory.backlog.presents))),
            unfolded=unfolded(core),
            poisoned={stream: poison.why for stream, poison in memory.poison.items()},
            succeeds=core.label(core.identity.succeeds) if core.identity.succeeds else None,
            durability=self._durability,
            projections=tuple(rows.status(core)),
            due=tuple(owed.status(core)),
            reactions=tuple(self._outbox.status()),
            feeds=tuple(feed.status() for feed in self._feeds),
            exports=tuple(exporter.status() for exporter in self._exporters),
            stable=self.stable,
            divergences=core.comparisons.divergences,
            unlisted=core.comparisons.unlisted,
            compared=core.comparisons.equal,
            left_out=core.comparisons.left_out,
            mended=core.comparisons.mended,
        )

    # --- the read side, and what is due ---

    async def rows(self, table: str) -> list[tuple[Any, ...]]:
        """All rows of a projection, in the order of their keys. (SQLite tools read them too, while this runs.)"""
        self._projection(table)
        return await self._backend.run(lambda log: log.rows(table))

    async def rebuild(self, table: str) -> None:
        """Build a projection again from the log, beside the table in use, and wait until it has taken its place.

        Raises ProjectionStopped where it stops.
        """
        self._projection(table)
        await self._pump.do(lambda: build(self._core, table))
        await self.built(table)

    async def built(self, *tables: str) -> None:
        """Wait until projections (all unless named) are built; ProjectionStopped where one has stopped."""
        core, changed = self._core, asyncio.Event()
        with self._pump.hearing(lambda _: changed.set(), changed):
            while any(standing.building for standing in core.memory.standings.values()) and not self.closed:
                changed.clear()
                await changed.wait()
        for name, standing in core.memory.standings.items():
            if standing.why and (not tables or name in tables):
                raise ProjectionStopped(rows.stopped(name, standing))

    def _projection(self, table: str) -> None:
        if table not in self._core.derived.projections:
            known = ", ".join(self._core.derived.projections) or "none"
            raise ValueError(f"no projection of this replica fills {table!r} (there are: {known})")

    async def take_over(self, stream: str, owner: int | None = None) -> Committed:
        """Let `owner` (this replica unless said) carry out what is due in a stream from now on.

        It is a fact like any other, so the owner until then goes on until it hears of it: take over what the owner
        gives up itself, or from an owner that will not come back.
        """
        return await self.append(stream, OwnerChanged(int(self._core.me if owner is None else owner)))

    async def retry(self, what: str, key: object) -> None:
        """Try again, now, what failed and was parked or is stuck; `status()` shows what that is, and why.

        A reaction is named by its name and the event: `retry("mail", "alice:7")`; a feed or an export by its name
        and where it is stuck, an event or the stream of rows; a command that is due by "due" and its id. ValueError
        where nothing of that name is parked or stuck there.
        """
        if what == DUE:
            await self._pump.do(lambda: owed.unpark(self._core, str(key)))
        else:
            for one in self._stuck(what, str(key)):
                await one.retry(what, str(key))

    async def drop(self, what: str, key: object) -> None:
        """Leave alone what failed and was parked or is stuck; named as for `retry`.

        The event stays in the log. The side effect of a reaction never comes; a feed goes on after the event; an
        export goes on without these rows; a command counts as done for as long as it is due.
        """
        if what == DUE:
            await self._pump.do(lambda: owed.drop(self._core, str(key)))
        else:
            for one in self._stuck(what, str(key)):
                await one.drop(what, str(key))

    def _stuck(self, what: str, key: str) -> list[Outbox | FeedRunner | Exporter]:
        """Whose business it is."""
        everybody: list[Outbox | FeedRunner | Exporter] = [self._outbox, *self._feeds, *self._exporters]
        found = [one for one in everybody if one.holds(what, key)]
        if not found:
            raise ValueError(f"nothing of {what!r} is parked or stuck at {key} here; `status()` shows what is")
        return found

    # --- the past: see also `replica.travel` ---

    async def restore(self, dot: tuple[int, int] | str) -> Committed:
        """Bring back what has lost: record its event again, as a new fact that has seen all there is now.

        Refused where the event has lost nothing, or would count twice; NotObserved where it is not known here.
        """
        named = self.dot(dot)
        stream, event = await self._lost(named)
        return await self.append(stream, event, cause=named)

    async def join(
        self,
        other: str | os.PathLike[str] | TimeTravel,
        *,
        become_one: bool = False,
        progress: Progress | None = None,
    ) -> Joined:
        """Take in the past of another replica: a fork, a copy, or any of the same store; open here, or a file.

        It goes through the same ingest as what peers send, so joining twice changes nothing. The other one is only
        read; let it join this one too, and both have one present. Says what came in, and where the two had not
        seen each other. `progress` hears how many events of how many are taken.

        A replica of another store has no root in common with this. `become_one=True` records that the two stores
        are one from now on (`StoresJoined`); whoever meets this replica then holds both. There is no way back.

        Raises WrongStore, StoreError; InvalidBatch where the other log breaks a rule.
        """
        self.check_loop()
        if isinstance(other, TimeTravel):
            other.check_loop()
            return await join(self, other, become_one, progress)
        async with ReadOnly.open(other) as past:
            return await join(self, past, become_one, progress)

    async def backup(self, to: str | os.PathLike[str]) -> Backup:
        """A copy of the file as it is now, at `to`: whole, checked, and without holding up who writes.

        Put it in place with `restore_backup`; see docs/backup.md. Raises FileExists, DamagedLog, StoreError.
        """
        self.check_loop()
        return await backup(self._backend.path or MEMORY, to)

    def _hear(self, settled: Settled) -> None:
        if settled.refolded:
            self._folds.clear()
            second = [one for one in unfolded(self._core) if one.why == "second history"]
            log.error(
                "%s: two histories were written under one id (%s): a file was copied, and both copies wrote. "
                "Nothing is lost: all replicas fold the same one, and keep and forward the other. What is not "
                "folded is counted in `unfolded` of the status; never copy a file that is open.",
                self.name, ", ".join(f"{one.what}, {one.events} events not folded" for one in second),
            )  # fmt: skip

    async def wait_for(self, version: VersionVector) -> None:
        """Wait until this replica has observed `version`: what a peer has, what a caller was told."""
        version = slips.version(version, "what is waited for")
        reached = asyncio.Event()

        def hear(settled: Settled) -> None:
            if version <= settled.version:
                reached.set()

        with self._pump.hearing(hear, reached):
            if not (version <= self.version or self.closed):
                await reached.wait()
        if not version <= self.version:
            raise Closed(
                f"{self.name} was closed before it had observed {self._core.named(version)}"
            ) from self._pump.failure

    def members(self) -> tuple[Member, ...]:
        """Who takes part, and how much of what is held here each is not known to have observed.

        Among n members this looks at n times n numbers: it is apart from `status`, which is asked often.
        """
        return tuple(self._core.members.status())

    async def wait_stable(self, version: VersionVector) -> None:
        """Wait until every live member is known to have observed `version`; `members()` says who has not."""
        version = slips.version(version, "what is waited for")
        changed = asyncio.Event()
        with self._pump.hearing(lambda _: changed.set(), changed):
            while not version <= self._core.stable and not self.closed:
                changed.clear()
                await changed.wait()
        if not version <= self._core.stable:
            raise Closed(
                f"{self.name} was closed before {self._core.named(version)} was settled"
            ) from self._pump.failure

    async def retire(self, member: ReplicaId | str) -> Committed:
        """Record that a replica takes part no more, so that nobody waits for it: an id, its 16 digits, or its name.

        What it wrote and stops a stream here is set aside, as by `set_aside`.

        Refused for one that is not known, the last one, or a name that several have.
        """
        bits = self._member(member)
        retired = await self._pump.do(lambda: self._core.retire(bits, self._clock()))
        setting = SettingAside(self._core, member=bits)
        await self._pump.do(lambda: setting.step(self._clock()))
        return retired

    async def set_aside(self, *dots: tuple[int, int] | str) -> Committed:
        """Leave events out that cannot be folded, and go on in their streams: `await alice.set_aside("bob:7")`.

        It is a fact (`EventSetAside`), so every replica leaves them out that hears of it. The events stay in the
        log, and count again where code can fold them. Refused for what stops no stream here; NotObserved.
        """
        named = [(await self.record(dot)).stream for dot in dots]
        for stream in named:
            with suppress(PoisonEvent):
                await self.present(stream)
        setting = SettingAside(self._core, zip(named, map(self.dot, dots), strict=True))
        committed = await self._pump.do(lambda: setting.step(self._clock()))
        return committed or Committed((), None)

    def _member(self, member: ReplicaId | str) -> int:
        if isinstance(member, int):
            return int(member)
        known = [self._core.label(replica) for replica in self._core.memory.lineages]
        found = [one for one in known if member in (str(one), f"{int(one):016x}")]
        if len(found) != 1:
            names = ", ".join(f"{one} ({int(one):016x})" for one in known)
            raise Refused(f"{member!r} names {len(found)} replicas, and not one (there are: {names})")
        return int(found[0])

    def watch(
        self,
        *streams: str,
        categories: Iterable[str] = (),
        types: Iterable[type[Event]] = (),
        after: VersionVector | None = None,
    ) -> AsyncGenerator[Entry, None]:
        """Events as they become durable: of some streams, categories or types, or all of them; causes come first.

        From now on, or all that lie beyond the version `after`: first those in the log, then the live ones, without
        a gap and each once. A slow reader piles nothing up: what it has not taken is read from the log.

        It ends when the replica is closed; Closed is raised where that failed.
        """
        selection = Selection.of(self._core, streams, categories, types)
        position = self._core.memory.version if after is None else slips.version(after, "`after`")
        return self._watch(Follower(self._core, self._pump, self._backend, position), selection)

    async def _watch(self, follower: Follower, selection: Selection) -> AsyncGenerator[Entry, None]:
        async with aclosing(follower.batches()) as batches:
            async for commits, _ in batches:
                for commit, context in commits:
                    for entry in entries(self._core, commit, context, selection):
                        yield entry
        if self._pump.failure is not None:
            raise Closed(self._pump.why_failed) from self._pump.failure

    async def changes(self, *streams: str) -> AsyncIterator[Change]:
        """Changes as they become durable, of some streams or of all.

        What happens while the caller is busy is handed over as one Change: nothing is missed, and nothing piles
        up beyond the names of the streams.
        """
        wanted = {*slips.names(streams, "streams")}
        pending: dict[str, None] = {}
        wake = asyncio.Event()

        def hear(settled: Settled) -> None:
            pending.update((s, None) for s in settled.changed if not wanted or s in wanted)
            if pending:
                wake.set()

        with self._pump.hearing(hear, wake):
            while pending or not self.closed:
                if pending:
                    changed = tuple(pending)
                    pending.clear()
                    yield Change(changed, self.version)
                else:
                    wake.clear()
                    await wake.wait()
        if self._pump.failure is not None:
            raise Closed(self._pump.why_failed) from self._pump.failure

    # --- what sync does ---

    async def ingest(self, pieces: Sequence[Slice], horizon: int | None = None) -> Ingested | Gap:
        """Take commits from a peer, durably; see `replica.ingest`."""
        return await self._pump.ingest(pieces, horizon)

    def learn(self, rows: Iterable[Row]) -> None:
        """A peer says what members have observed."""
        if self._core.members.learn_rows(rows):
            self._pump.nudge()

    async def _keep_members(self) -> None:
        """Keep beside the log what was learnt of members, now and then: it can be learnt again."""
        while True:
            await asyncio.sleep(KEEPING)
            await self._save_members()

    async def _save_members(self) -> None:
        if self._core.members.unsaved and not self.closed:
            await self._pump.do(self._core.members.save)

    async def become_one(self, stores: Iterable[str]) -> Committed:
        """Record that other stores are one with this, for good."""
        return await self._pump.do(lambda: self._core.become_one(stores, self._clock()))

    async def adopt_stores(self, stores: Iterable[str]) -> None:
        """A peer knows that other stores are one with this."""
        await self._pump.do(lambda: self._core.adopt_stores(stores))

    async def mend(self, stream: str) -> None:
        """The present of a stream in memory is not the fold of its log: read it again. Not while it changes."""
        if await self._pump.do(lambda: drop_present(self._core, stream)):
            self._core.comparisons.mended += 1
            self._folds.clear()
            await self._pump.do(lambda: read_again(self._core, stream))

    async def keep_alarms(self) -> None:
        """Log the divergences that were found since, and keep those that stand beside the log."""
        comparisons = self._core.comparisons
        found, comparisons.unsaid = comparisons.unsaid, []
        for divergence in found:
            log.error("%s: %s", self.name, divergence)
        if comparisons.unsaved:
            await self._pump.do(lambda: comparisons.save(self._core.draft))

    async def doubt(self) -> None:
        """A peer goes by this id too: go on under a new one."""
        await self._pump.do(self._core.doubt)

    def listen(self, hear: Callable[[Settled], None]) -> Callable[[], None]:
        """Call `hear` with whatever becomes durable; returns how to stop that."""
        return self._pump.listen(hear)

    def now(self) -> int:
        """Wall time (ms) by this replica's clock."""
        return self._clock()

    @property
    def closed(self) -> bool:
        """It takes no more steps: it was closed, or it failed."""
        return self._pump.closed

    async def _save(self, identity: Identity, keep: tuple[Kept, ...] = ()) -> None:
        self._core.identity_is_new = False
        self._core.memory.identity = identity
        await self._backend.run(lambda log: log.write(Transaction([], [], [], [], {}, identity, keep=keep)))


def _given_up(contents: Contents, identity: Identity, mark: MarkFile) -> tuple[Kept, ...]:
    """What is kept of an id that is given up though the file is no copy: what is in it was recorded here."""
    found = contents.identity
    if found is None or found.replica == identity.replica or not mark.is_of(found):
        return ()
    return (Kept(FORMER, f"{found.replica:016x}", b""),)


def _unnamed(path: str) -> ValueError:
    return ValueError(
        f"{path} holds no replica yet: say what it replicates and what it is called (`store=`, `name=`). Nothing "
        "was made."
    )


def _identify(
    contents: Contents, store: str | None, name: str | None, mark: MarkFile | None, random: Random, path: str
) -> Identity:
    """Who writes to this file from now on: its id, or a new one where its mark does not vouch for it."""
    found = contents.identity
    if found is not None and store not in (None, found.store):
        raise WrongStore(f"this file belongs to the store {found.store!r}, not to {store!r}; it was left as it is")
    nonce = secrets.token_bytes(8)
    if found is None:
        if store is None or name is None:
            raise _unnamed(path)
        return Identity(store, random.getrandbits(64), name, (nonce,))
    name = found.name if name is None else name
    openings = (*found.openings, nonce)[-OPENINGS:]
    if mark is None or mark.vouches_for(found, contents.logs):
        return found._replace(name=name, openings=openings)
    return Identity(found.store, random.getrandbits(64), name, openings, succeeds=found.replica)
