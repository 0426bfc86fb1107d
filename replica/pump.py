"""The pump: one task that owns what will be durable next.

It takes the waiting steps (commands, batches from peers), plays them one after the other on the draft, makes the
draft durable in one transaction, and then tells the callers, the watchers and the links, in this order and never
earlier. While a transaction is under way new steps wait for the next one: that is group commit, and it costs
nobody a timer.

- An error before COMMIT drops the draft, and every caller in it hears of it. An error at COMMIT leaves two
  possibilities: the file is opened again, and what it holds answers.
- Cancelling a caller does not cancel its command.
- Full blocks are sealed while nobody waits. Where somebody always does, one is sealed for each block that begins
  beyond PARTS: what opening a file reads is bounded, whatever the load.
- What a step raises harms that step, whatever it is: a panic of compiled code, a cancellation or an exit that was
  raised by hand. Its caller hears; what may have been half done is dropped, and the other steps are played again.
- What harms the pump itself ends the replica, and everybody hears why: who waits, who calls, and who leaves.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from time import monotonic
from typing import Any, Generic, TypeVar

from merge.version import printable
from replica.arrange import Gap, Placed, arrange
from replica.backend import OneLoop
from replica.block import Slice
from replica.core import Core, Settled
from replica.direct import Loaded, load, reader_of
from replica.errors import Closed, FileGone, StoreError, Unavailable, as_exception, exception
from replica.ingest import Ingested
from replica.log import CommitInDoubt, Contents, Identity, LogRow, TableFailed, Transaction
from replica.missing import Missing
from replica.run import NO_NEWS
from replica.uncollected import uncollected

log = logging.getLogger("anabranch.replica")

T = TypeVar("T")
PARTS = 16
"""Blocks that may have begun since one was sealed, before one is sealed though steps wait."""
AHEAD = 256
"""Presents that are read at once, beside those that a step is missing."""
TURN = 0.02
"""Seconds for which steps are played before others have their turn."""
STEPS = 1024
"""Steps a transaction: enough to hide its fixed cost, few enough that the first is not kept waiting."""


class _Step(Generic[T]):
    """Something to play on the draft, and who waits for it."""

    __slots__ = ("answer", "command", "error", "play", "result", "stream")

    def __init__(
        self,
        play: Callable[[], T],
        answer: asyncio.Future[T],
        stream: str | None = None,
        command: str | None = None,
    ) -> None:
        self.play, self.answer = play, answer
        self.stream, self.command = stream, command
        """What it is known to need: the present of a stream, what became of a command id."""
        self.result: T | None = None
        self.error: BaseException | None = None

    def settle(self, failure: Exception | None = None) -> None:
        if self.answer.done():
            return
        error = self.error or failure
        if error is None:
            self.answer.set_result(self.result)  # type: ignore[arg-type]
        else:
            self.answer.set_exception(as_exception(error))
            self.answer.exception()


class _IngestStep(_Step["Ingested | Gap"]):
    """A batch; `placed` is filled in where its place in the log had to be looked up."""

    __slots__ = ("placed",)

    def __init__(
        self, core: Core, pieces: Sequence[Slice], horizon: int | None, answer: asyncio.Future[Ingested | Gap]
    ) -> None:
        self.placed: list[Placed] | Gap | None = None
        super().__init__(lambda: core.ingest(pieces, horizon, self.placed), answer)


class Pump:
    """The steps that wait, and who is told of what becomes durable. `running` runs it."""

    def __init__(
        self, core: Core, backend: OneLoop, name: str, identity_changed: Callable[[Identity], None]
    ) -> None:
        self._core, self._backend, self.name = core, backend, name
        self._identity_changed = identity_changed
        """Called when another identity has become durable."""
        self._steps: deque[_Step[Any]] = deque()
        self._taken: list[_Step[Any]] = []
        self._wake = asyncio.Event()
        self._closing = False
        self.failure: BaseException | None = None
        """What ended the replica."""
        self._listeners: list[Callable[[Settled], None]] = []
        self._waiting: list[asyncio.Event] = []
        self._unsealed = True
        """There may be full blocks that are not stored as one slice yet."""
        self._begun = 0
        """Blocks that have begun, less those that were sealed since."""
        self._unsealable: set[tuple[int, int]] = set()
        """Those that could not be."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Pump]:
        """Pump for as long as this lasts; then take no new steps, and finish those that wait.

        Raises Closed where it had stopped before, and nothing else is raised.
        """
        task = asyncio.create_task(self.run(), name=f"pump of {self.name}")
        try:
            yield self
        finally:
            self._closing = True
            if not self._backend.forked:
                self._wake.set()
                await _finished(task)
        if self.failure is not None:
            raise Closed(self.why_failed) from self.failure

    @property
    def closed(self) -> bool:
        """It takes no more steps: it was closed, or it failed."""
        return self._closing

    @property
    def why_failed(self) -> str:
        if isinstance(self.failure, FileGone):
            return f"{self.name} stopped: {self.failure}"
        why = self.failure if isinstance(self.failure, StoreError) else repr(self.failure)
        return f"{self.name} stopped: {why}. What was acknowledged is in its file; open it again."

    def listen(self, hear: Callable[[Settled], None]) -> Callable[[], None]:
        """Call `hear` with whatever becomes durable; returns how to stop that."""
        self._listeners.append(hear)
        return lambda: self._listeners.remove(hear)

    @contextmanager
    def hearing(self, hear: Callable[[Settled], None], ended: asyncio.Event) -> Iterator[None]:
        """Listen for as long as this lasts; `ended` is set when there will be nothing more to hear."""
        self._backend.check()
        stop = self.listen(hear)
        self._waiting.append(ended)
        try:
            yield
        finally:
            stop()
            self._waiting.remove(ended)

    def do(self, play: Callable[[], T], stream: str | None = None, command: str | None = None) -> asyncio.Future[T]:
        """Play a step on the draft; what it returns, once it is durable.

        It may say which present it needs, and which command id it goes by: these are read with those of others.
        Raises WrongLoop, Closed.
        """
        self._backend.check()
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        return self._enter(_Step(play, answer, stream, command))

    def ingest(self, pieces: Sequence[Slice], horizon: int | None) -> asyncio.Future[Ingested | Gap]:
        """Take commits from a peer, durably."""
        self._backend.check()
        answer: asyncio.Future[Ingested | Gap] = asyncio.get_running_loop().create_future()
        return self._enter(_IngestStep(self._core, pieces, horizon, answer))

    def _enter(self, step: _Step[T]) -> asyncio.Future[T]:
        if self.failure is not None:
            raise Closed(f"nothing was recorded: {self.why_failed}") from self.failure
        if self._closing:
            raise Closed(f"{self.name} is closed; nothing was recorded")
        self._steps.append(step)
        self._wake.set()
        return step.answer

    async def run(self) -> None:
        """Pump until `close`, or until something fails that nobody can be told of."""
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
                if self._begun > PARTS:
                    await self._seal()
                taken = [self._steps.popleft() for _ in range(min(STEPS, len(self._steps)))]
                await self._play(taken)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self.failure = error
            log.exception("%s stopped", self.name)
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
        finally:
            self._closing = True
            failure = Closed(self.why_failed if self.failure else f"{self.name} was closed before it could answer")
            for step in (*self._taken, *self._steps):
                step.settle(failure)
            for waiting in self._waiting:
                waiting.set()

    async def _play(self, steps: list[_Step[Any]]) -> None:
        self._taken, begin, stop = steps, 0, 0
        while True:
            stop, missing, fatal = _play_for_a_turn(steps, stop)
            if fatal:
                self._core.drop()
                _hear(steps[stop])
                steps, begin, stop = [*steps[begin:stop], *steps[stop + 1 :]], 0, 0
                continue
            if missing is None and stop < len(steps):
                await asyncio.sleep(0)
                continue
            await self._flush(steps[begin:stop])
            if missing is None:
                return
            try:
                await self._load(steps[stop], missing, steps[stop + 1 :])
            except Exception as error:
                steps[stop].error = error
                steps[stop].settle()
                stop += 1
            begin = stop

    async def _load(self, step: _Step[Any], missing: Missing, later: list[_Step[Any]]) -> None:
        """Read what a step is missing, and of the same kind what later ones will miss: in one hop, at one time."""
        core = self._core
        if missing.arrange is not None and isinstance(step, _IngestStep):
            pieces = missing.arrange
            step.placed = await self._backend.run(lambda log: arrange(reader_of(core, log), pieces))
            return
        together = _with_later(core, missing, later)
        try:
            supply = await self._read(together)
        except Exception:
            if together is missing:
                raise
            supply = await self._read(missing)  # what others miss is no reason for this one to fail
        for _ in supply(core):  # a long stream is folded in turns with all else that the loop has to do
            await asyncio.sleep(0)

    async def _read(self, missing: Missing) -> Loaded:
        core = self._core
        return await self._backend.run(
            lambda log: load(reader_of(core, log), missing, core.aggregate_of, core.types)
        )

    async def _flush(self, steps: list[_Step[Any]]) -> None:
        """Make the draft durable; then answer, then tell."""
        failure: Exception | None = None
        written = False
        while (transaction := self._core.transaction()) is not None:
            try:
                failure, written = await self._write(transaction), True
                break
            except TableFailed as failed:
                self._core.table_failed(failed.table, failed.why)
        if failure is None:
            settled = self._core.settle()
            self._unsealed = self._unsealed or settled.began > 0
            self._begun += settled.began
            for step in steps:
                step.settle()
            if written or self._core.ripe:  # what was read may have grown enough for a snapshot
                self._tell(settled)
        else:
            self._core.drop()
            for step in steps:
                step.settle(failure)
        self.say_complaints()

    def say_complaints(self) -> None:
        """Log what the core has found that somebody should know."""
        for words, grave in self._core.complaints.take() if self._core.complaints else ():
            log.log(logging.ERROR if grave else logging.WARNING, "%s: %s", self.name, printable(words))

    def nudge(self) -> None:
        """Tell the listeners that something which is not in the log has changed."""
        self._tell(Settled(self._core.memory.version, (), NO_NEWS, []))

    def _tell(self, settled: Settled) -> None:
        for hear in tuple(self._listeners):
            try:
                hear(settled)
            except BaseException as raised:
                exception(raised)
                log.exception("%s: a listener raised; the others were told", self.name)

    async def _write(self, transaction: Transaction) -> Exception | None:
        """Write; None when it is durable, else why it is not."""
        try:
            await self._backend.run(lambda log: log.write(transaction))
        except (TableFailed, FileGone):
            raise
        except CommitInDoubt as doubt:
            await self._backend.reconnect()
            contents = await self._backend.run(lambda log: log.contents())
            if not _holds(contents, transaction):
                return _not_recorded(doubt)
        except Exception as error:
            return _not_recorded(error)
        if transaction.identity is not None:
            self._identity_changed(transaction.identity)
        return None

    async def _seal(self) -> None:
        """Store full blocks as one slice each: one of them in any case, the others while nobody waits.

        A block that cannot be sealed stays as it is until the file is opened again, which is slower and loses
        nothing; others are sealed all the same.
        """
        try:
            await self._seal_some()
        except Exception:
            log.exception("%s: full blocks could not be looked for; they stay in their parts", self.name)
            self._unsealed, self._begun = False, 0

    async def _seal_some(self) -> None:
        block = (0, 0)
        while found := await self._backend.run(lambda log, after=block: log.unsealed(after)):  # type: ignore[misc]
            for block in found:
                if block not in self._unsealable:
                    await self._seal_one(block)
                    if self._steps:
                        return
        self._unsealed, self._begun = False, 0

    async def _seal_one(self, block: tuple[int, int]) -> None:
        self._begun -= 1
        try:
            await self._backend.run(lambda log: log.seal(*block))
        except Exception:
            log.exception("%s: a full block could not be stored as one; it stays in its parts", self.name)
            self._unsealable.add(block)


def _with_later(core: Core, missing: Missing, later: list[_Step[Any]]) -> Missing:
    """What a step is missing, and what later ones will."""
    if missing.streams and not (missing.limits or missing.aside):
        streams = dict.fromkeys(
            [step.stream for step in later if isinstance(step.stream, str) and core.lacks(step.stream)]
        )
        more = [stream for stream in streams if stream not in missing.streams][:AHEAD]
        return Missing(streams=(*missing.streams, *more)) if more else missing
    if missing.commands:
        known = core.now.commands
        asked = [
            (step.command, stream)
            for step in later
            if step.command and isinstance(step.stream, str)
            for stream in ("", step.stream)
        ]
        others = [one for one in dict.fromkeys(asked) if one not in known and one not in missing.commands]
        return Missing(commands=(*missing.commands, *others)) if others else missing
    return missing


@uncollected
def _play_for_a_turn(steps: list[_Step[Any]], begin: int) -> tuple[int, Missing | None, bool]:
    """Play steps from one on, for about TURN; where it ended, and why: what that one is missing, or raised.

    What is no Exception may have been raised anywhere, so the draft is not to be trusted after it.
    """
    until = monotonic() + TURN
    for index in range(begin, len(steps)):
        step = steps[index]
        step.error = None
        try:
            step.result = step.play()
        except Missing as missing:
            return index, missing, False
        except Exception as error:
            step.error = error
        except BaseException as error:
            step.error = error
            return index, None, True
        if monotonic() > until:
            return index + 1, None, False
    return len(steps), None, False


def _hear(step: _Step[Any]) -> None:
    """Tell the caller of a step what it raised; where nobody waits any more, an interrupt goes on from here."""
    assert step.error is not None
    if step.answer.done() and not isinstance(as_exception(step.error), Exception):
        raise step.error
    step.settle()


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
    kind = Unavailable if isinstance(error, Unavailable) else StoreError
    return kind(f"nothing was recorded: writing to the file failed ({error}). What was there before is whole.")


def _holds(contents: Contents, transaction: Transaction) -> bool:
    """Was it written? What changes no log is taken for not written: nothing in it was promised to anybody."""
    rows: dict[int, LogRow] = {row.number: row for row in contents.logs}
    if not transaction.logs and transaction.identity is None:
        return False
    return all(row.number in rows and rows[row.number].head == row.head for row in transaction.logs) and (
        transaction.identity is None or transaction.identity == contents.identity
    )
