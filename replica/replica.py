"""`Replica`: the core in the hands of an event loop.

One task, the pump, owns what will be durable next. It takes the waiting steps (commands, batches from peers),
plays them one after the other on the draft, makes the draft durable in one transaction, and then tells the
callers, the watchers and the links, in this order and never earlier. While a transaction is under way new
steps wait for the next one: that is group commit, and it costs nobody a timer.

- An error before COMMIT drops the draft, and every caller in it hears of it. An error at COMMIT leaves two
  possibilities: the file is opened again, and what it holds answers.
- Cancelling a caller does not cancel its command.
- `close` takes no new steps, finishes those it has, and leaves no thread.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random, SystemRandom
from typing import Any, Generic, TypeVar

from merge.version import VersionVector
from replica.arrange import Gap, Placed, arrange
from replica.backend import Backend, MemoryBackend, connected
from replica.block import Slice
from replica.commit import make_note
from replica.core import Committed, Core, Settled
from replica.decider import Decider
from replica.digest import digest
from replica.direct import load, reader_of
from replica.errors import Closed, PoisonEvent, StoreError, WrongStore
from replica.event import Command, Event
from replica.ingest import Ingested
from replica.log import CommitInDoubt, Contents, Identity, LogRow, Transaction
from replica.mark import OPENINGS, MarkFile, locked
from replica.missing import Missing
from replica.sqlite import SqliteThread
from replica.status import Status

log = logging.getLogger("anabranch.replica")

T = TypeVar("T")
MEMORY = ":memory:"
STEPS = 1024
"""Steps a transaction: enough to hide its fixed cost, few enough that the first is not kept waiting."""


def wall_clock() -> int:
    """Wall time in ms since 1970."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Change:
    """Streams that have new events, and the version at which they are known to have."""

    streams: tuple[str, ...]
    version: VersionVector


class _Step(Generic[T]):
    """Something to play on the draft, and who waits for it."""

    def __init__(self, play: Callable[[], T], answer: asyncio.Future[T]) -> None:
        self.play, self.answer = play, answer
        self.result: T | None = None
        self.error: Exception | None = None

    def settle(self, failure: Exception | None = None) -> None:
        if self.answer.done():
            return
        error = self.error or failure
        if error is None:
            self.answer.set_result(self.result)  # type: ignore[arg-type]
        else:
            if isinstance(error, StopIteration):  # which no future can carry
                error = RuntimeError("the decision raised StopIteration: `next` found nothing")
            self.answer.set_exception(error)
            self.answer.exception()


class _IngestStep(_Step["Ingested | Gap"]):
    """A batch; `placed` is filled in where its place in the log had to be looked up."""

    def __init__(
        self, core: Core, pieces: Sequence[Slice], horizon: int | None, answer: asyncio.Future[Ingested | Gap]
    ) -> None:
        self.placed: list[Placed] | Gap | None = None
        super().__init__(lambda: core.ingest(pieces, horizon, self.placed), answer)


class Replica:
    """One replica of a store. Open it with `async with Replica.open(...)`."""

    def __init__(
        self, core: Core, backend: Backend, mark: MarkFile | None, clock: Callable[[], int], durability: str
    ):
        self._core, self._backend, self._mark, self._clock = core, backend, mark, clock
        self._durability = durability
        self._steps: deque[_Step[Any]] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._failed: Exception | None = None
        self._listeners: list[Callable[[Settled], None]] = []
        self._watchers: list[asyncio.Event] = []
        self._taken: list[_Step[Any]] = []
        self._unsealed = True
        """There may be full blocks that are not stored as one slice yet."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        path: str | os.PathLike[str] = MEMORY,
        *,
        store: str,
        name: str,
        aggregates: Iterable[type[Decider]],
        durability: str = "full",
        clock: Callable[[], int] = wall_clock,
        random: Random | None = None,
        backend: Backend | None = None,
    ) -> AsyncIterator[Replica]:
        """A replica over the file at `path` (made if there is none; ":memory:" for none at all).

        `store` names what is replicated: only replicas of one store talk to each other. `name` is a label for
        people. `durability` is "full" (an acknowledged command survives power loss) or "normal" (it survives
        the end of the process; after power loss, or an end without close, the replica goes on under a new id).
        `clock` gives wall ms, `random` ids and chance.

        Raises FileInUse, WrongStore, WrongFormat, StoreError.
        """
        if durability not in ("full", "normal"):
            raise ValueError(f'durability is "full" or "normal", and not {durability!r}')
        random = random or SystemRandom()
        path = os.fspath(path)
        if path != MEMORY:
            path = os.path.realpath(path)
        async with AsyncExitStack() as stack:
            mark = None
            if backend is None:
                if path == MEMORY:
                    backend = MemoryBackend()
                else:
                    if not Path(path).absolute().parent.is_dir():
                        raise StoreError(
                            f"{path} cannot be made: there is no folder {Path(path).absolute().parent}"
                        )
                    mark = stack.enter_context(locked(path))
                    backend = SqliteThread(path, full=durability == "full")
            await stack.enter_async_context(connected(backend))
            contents = await backend.run(lambda log: log.contents())
            identity = _identify(contents, store, name, mark, random)
            identity = identity._replace(clean=durability == "full")
            core = Core(store, aggregates, contents, identity, random)
            replica = cls(core, backend, mark, clock, durability)
            if mark is not None:
                await replica._save(identity)
                mark.write(identity)
            pump = asyncio.create_task(replica._pump(), name=f"pump of {name}")
            try:
                yield replica
            finally:
                replica._closing = True
                replica._wake.set()
                await _finished(pump)
                if mark is not None and replica._failed is None:
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

        `command_id` makes a retry harmless: what was carried out under it here is not done again, and answers as
        it did then. (At another replica, which has not heard of it, it is a second decision.) `correlation` and
        `cause` (a dot) are recorded with the facts. `expect` is a version, such as that of a present: Outdated is
        raised where the stream has events beyond it.

        Raises Refused (nothing was recorded), InvalidEvent, UnknownStream, PoisonEvent, Closed.
        """
        note = make_note(command_id, correlation, cause)
        return await self._do(lambda: self._core.execute(stream, command, self._clock(), note, expect))

    async def append(self, stream: str, *events: Event, correlation: str | None = None) -> Committed:
        """Record facts that were decided elsewhere (a sensor, an import), as one commit."""
        note = make_note(None, correlation, None)
        return await self._do(lambda: self._core.append(stream, events, self._clock(), note))

    async def present(self, stream: str, *, after: VersionVector | None = None) -> Any:
        """The present of a stream: its aggregate, to be read. Immutable; a later one is another object.

        With `after` it waits until that version is observed here: to read what was written elsewhere.
        """
        if after is not None:
            await self.wait_for(after)
        core = self._core
        state = core.memory.presents.get(stream)
        if state is None:
            await self._do(lambda: core.state(stream))
            state = core.memory.presents.get(stream)
            if state is None:
                raise PoisonEvent(core.memory.poison.get(stream, f"{stream} changed while it was read: ask again"))
        return core.aggregate_of(stream).present_of(state, stream, self.version)

    async def digest(self, stream: str) -> str:
        """A name for the present of a stream, equal on all replicas where the presents are."""
        present = await self.present(stream)
        return digest(present.canonical(present.state))

    @property
    def version(self) -> VersionVector:
        """All that is folded here, printed with names: `alice:2 bob:7`."""
        return self._core.labelled(self._core.memory.version)

    @property
    def name(self) -> str:
        return self._core.identity.name

    def status(self) -> Status:
        """How the replica is, as one frozen value."""
        core, memory = self._core, self._core.memory
        unknown = {
            f"{name} {schema}": events
            for (name, schema), events in memory.types.items()
            if (name, schema) not in core.types and name != "ReplicaIntroduced"
        }
        forked = tuple(str(core.label(r)) for r, lineage in memory.lineages.items() if lineage.forked)
        return Status(
            store=core.store,
            replica=core.label(core.me),
            name=self.name,
            version=self.version,
            events=sum(memory.types.values()),
            replicas=len(memory.lineages),
            loaded=tuple(sorted(memory.presents)),
            unknown=unknown,
            poisoned=dict(memory.poison),
            forked=forked,
            succeeds=core.label(core.identity.succeeds) if core.identity.succeeds else None,
            durability=self._durability,
        )

    async def wait_for(self, version: VersionVector) -> None:
        """Wait until this replica has observed `version`: what a peer has, what a caller was told."""
        reached = asyncio.Event()
        stop = self.listen(lambda settled: reached.set() if version <= settled.version else None)
        self._watchers.append(reached)
        try:
            if not (version <= self.version or self.closed):
                await reached.wait()
        finally:
            stop()
            self._watchers.remove(reached)
        if not version <= self.version:
            raise Closed(f"{self.name} was closed before it had observed {version}") from self._failed

    async def watch(self, *streams: str) -> AsyncIterator[Change]:
        """Changes as they become durable, of some streams or of all.

        What happens while the caller is busy is handed over as one Change: nothing is missed, and nothing piles
        up beyond the names of the streams.
        """
        wanted = set(streams)
        pending: dict[str, None] = {}
        wake = asyncio.Event()

        def hear(settled: Settled) -> None:
            pending.update((s, None) for s in settled.changed if not wanted or s in wanted)
            if pending:
                wake.set()

        stop = self.listen(hear)
        self._watchers.append(wake)
        try:
            while pending or not self.closed:
                if pending:
                    changed = tuple(pending)
                    pending.clear()
                    yield Change(changed, self.version)
                else:
                    wake.clear()
                    await wake.wait()
        finally:
            stop()
            self._watchers.remove(wake)
        if self._failed is not None:
            raise Closed(self._why_failed) from self._failed

    # --- what sync does ---

    @property
    def core(self) -> Core:
        """The state machine below, for the layers that carry its commits."""
        return self._core

    async def ingest(self, pieces: Sequence[Slice], horizon: int | None = None) -> Ingested | Gap:
        """Take commits from a peer, durably; see `replica.ingest`."""
        answer: asyncio.Future[Ingested | Gap] = asyncio.get_running_loop().create_future()
        return await self._enter(_IngestStep(self._core, pieces, horizon, answer))

    async def doubt(self) -> None:
        """A peer goes by this id too: go on under a new one."""
        await self._do(self._core.doubt)

    async def read(self, call: Callable[[Any], T]) -> T:
        """Call something with a Reader of what is durable, on the thread of the log."""
        core = self._core
        return await self._backend.run(lambda log: call(reader_of(core, log)))

    def listen(self, hear: Callable[[Settled], None]) -> Callable[[], None]:
        """Call `hear` with whatever becomes durable; returns how to stop that."""
        self._listeners.append(hear)
        return lambda: self._listeners.remove(hear)

    def now(self) -> int:
        """Wall time (ms) by this replica's clock."""
        return self._clock()

    # --- the pump ---

    @property
    def _why_failed(self) -> str:
        return f"{self.name} stopped: {self._failed}. What was acknowledged is in its file; open it again."

    @property
    def closed(self) -> bool:
        """It takes no more steps: it was closed, or it failed."""
        return self._closing or self._failed is not None

    async def _do(self, play: Callable[[], T]) -> T:
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        return await self._enter(_Step(play, answer))

    async def _enter(self, step: _Step[T]) -> T:
        if self._failed is not None:
            raise Closed(f"nothing was recorded: {self._why_failed}") from self._failed
        if self._closing:
            raise Closed(f"{self.name} is closed; nothing was recorded")
        self._steps.append(step)
        self._wake.set()
        return await step.answer

    async def _pump(self) -> None:
        try:
            while True:
                if not self._steps:
                    if self._closing:
                        return
                    self._wake.clear()
                    if self._unsealed:
                        await self._seal()
                    if not self._steps:
                        await self._wake.wait()
                    continue
                taken = [self._steps.popleft() for _ in range(min(STEPS, len(self._steps)))]
                await self._play(taken)
        except Exception as error:
            self._failed = error
            log.exception("%s stopped", self.name)
        finally:
            self._closing = True
            failure = Closed(self._why_failed if self._failed else f"{self.name} was closed before it could answer")
            for step in (*self._taken, *self._steps):
                step.settle(failure)
            for wake in self._watchers:
                wake.set()

    async def _play(self, steps: list[_Step[Any]]) -> None:
        played: list[_Step[Any]] = []
        self._taken = steps
        for step in steps:
            played.append(step)
            while True:
                try:
                    step.result = step.play()
                except Missing as missing:
                    played.pop()
                    await self._flush(played)
                    played.clear()
                    played.append(step)
                    try:
                        await self._load(step, missing)
                    except Exception as error:
                        step.error = error
                        break
                    continue
                except Exception as error:
                    step.error = error
                break
        await self._flush(played)

    async def _load(self, step: _Step[Any], missing: Missing) -> None:
        core = self._core
        if missing.arrange is not None and isinstance(step, _IngestStep):
            pieces = missing.arrange
            step.placed = await self._backend.run(lambda log: arrange(reader_of(core, log), pieces))
            return
        supply = await self._backend.run(lambda log: load(reader_of(core, log), missing))
        supply(core)

    async def _flush(self, steps: list[_Step[Any]]) -> None:
        """Make the draft durable; then answer, then tell."""
        transaction = self._core.transaction()
        failure: Exception | None = None
        if transaction is not None:
            failure = await self._write(transaction)
        if failure is None:
            settled = self._core.settle()
            self._unsealed = self._unsealed or settled.began
            for step in steps:
                step.settle()
            if settled.commits or settled.changed:
                self._tell(settled)
        else:
            self._core.drop()
            for step in steps:
                step.settle(failure)

    def _tell(self, settled: Settled) -> None:
        for hear in tuple(self._listeners):
            try:
                hear(settled)
            except Exception:
                log.exception("%s: a listener raised; the others were told", self.name)

    async def _write(self, transaction: Transaction) -> Exception | None:
        """Write; None when it is durable, else why it is not."""
        try:
            await self._backend.run(lambda log: log.write(transaction))
        except CommitInDoubt as doubt:
            await self._backend.reconnect()
            contents = await self._backend.run(lambda log: log.contents())
            if not _holds(contents, transaction):
                return _not_recorded(doubt)
        except Exception as error:
            return _not_recorded(error)
        if transaction.identity is not None and self._mark is not None:
            self._mark.write(transaction.identity)
        return None

    async def _seal(self) -> None:
        """Store full blocks as one slice each: one of them in any case, the others while nobody waits.

        A block that cannot be sealed stays as it is, which is slower and loses nothing.
        """
        try:
            await self._seal_some()
        except Exception:
            log.exception("%s: a full block could not be stored as one; it stays in its parts", self.name)
            self._unsealed = False

    async def _seal_some(self) -> None:
        while found := await self._backend.run(lambda log: log.unsealed()):
            for number, first in found:
                await self._backend.run(lambda log, n=number, f=first: log.seal(n, f))  # type: ignore[misc]
                if self._steps:
                    return
        self._unsealed = False

    async def _save(self, identity: Identity) -> None:
        self._core.identity_is_new = False
        self._core.memory.identity = identity
        await self._backend.run(lambda log: log.write(Transaction([], [], [], [], {}, identity)))


async def _finished(task: asyncio.Task[None]) -> None:
    """Wait for a task, even if the waiting is cancelled; then be cancelled."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


def _not_recorded(error: Exception) -> StoreError:
    return StoreError(
        f"nothing was recorded: writing to the file failed ({error}). What was there before is whole."
    )


def _holds(contents: Contents, transaction: Transaction) -> bool:
    rows: dict[int, LogRow] = {row.number: row for row in contents.logs}
    return all(row.number in rows and rows[row.number].head == row.head for row in transaction.logs) and (
        transaction.identity is None or transaction.identity == contents.identity
    )


def _identify(contents: Contents, store: str, name: str, mark: MarkFile | None, random: Random) -> Identity:
    """Who writes to this file from now on: its id, or a new one where its mark does not vouch for it."""
    found = contents.identity
    if found is not None and found.store != store:
        raise WrongStore(f"this file belongs to the store {found.store!r}, not to {store!r}; it was left as it is")
    nonce = secrets.token_bytes(8)
    if found is None:
        return Identity(store, random.getrandbits(64), name, (nonce,))
    openings = (*found.openings, nonce)[-OPENINGS:]
    if mark is None or mark.vouches_for(found):
        return found._replace(name=name, openings=openings)
    return Identity(store, random.getrandbits(64), name, openings, succeeds=found.replica)
