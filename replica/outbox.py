"""The outbox: runs the reactions of a replica. The rules stand in `replica.reaction`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING

import msgspec
from tenacity import AsyncRetrying, RetryCallState, RetryError, stop_after_attempt, wait_exponential_jitter

from merge.version import Dot, VersionVector
from replica.backend import Backend
from replica.core import Core
from replica.direct import reader_of
from replica.entry import Entry, Selection, entries
from replica.errors import Closed
from replica.follow import Follower
from replica.log import Kept, Span
from replica.pump import Pump
from replica.reaction import ASIDE, CURSOR, Aside, Cursor, Reaction, aside_key
from replica.status import AsideStatus, ReactionStatus
from replica.workers import AFTER_FAILURE

if TYPE_CHECKING:
    from replica.replica import Replica

log = logging.getLogger("anabranch.replica")

STRIDE = 1024
"""Events that no reaction wanted before the cursor is written down all the same."""
TRYING = 64
"""Events of one reaction that may wait for their next try before no further ones are begun."""

_encode = msgspec.json.Encoder().encode
_cursor = msgspec.json.Decoder(Cursor).decode
_aside = msgspec.json.Decoder(Aside).decode


class Outbox:
    """All reactions of one replica."""

    def __init__(self, core: Core, pump: Pump, backend: Backend, reactions: Sequence[Reaction]) -> None:
        self._core, self._pump, self._backend = core, pump, backend
        self._reactions = {reaction.name: reaction for reaction in reactions}
        if len(self._reactions) < len(reactions):
            raise TypeError("two reactions have one name: say `name=` for one of them")
        for reaction in reactions:
            Selection.of(core, (), (), reaction.types)
        self._cursors: dict[str, Cursor] = {}
        self._aside: dict[str, Aside] = {}
        self._trying: dict[str, asyncio.Task[None]] = {}
        self._room = asyncio.Event()
        self._replica: Replica | None = None

    # --- opening ---

    async def recall(self, replica: Replica) -> None:
        """Take up where each reaction had come to; a new one begins here."""
        self._replica = replica
        kept = await self._backend.run(lambda log: [*log.kept(Span(CURSOR)), *log.kept(Span(ASIDE))])
        self._take_up(kept)
        new = [name for name in self._reactions if name not in self._cursors]
        here = Cursor(self._core.me, self._core.memory.version[self._core.me])
        if new:
            await self._pump.do(lambda: self._begin(new, here))

    def _take_up(self, kept: Sequence[Kept]) -> None:
        for one in kept:
            if one.kind == CURSOR:
                self._cursors[one.key] = _cursor(one.value)
            else:
                self._aside[one.key] = _aside(one.value)

    # --- running ---

    async def run(self) -> None:
        """React until the replica is closed, or this is cancelled."""
        if not self._reactions:
            return
        try:
            async with asyncio.TaskGroup() as group:
                for aside in [*self._aside.values()]:
                    if aside.reaction in self._reactions and not aside.parked:
                        self._try_again(aside)
                for reaction in self._reactions.values():
                    group.create_task(self._follow(reaction))
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        finally:
            for task in self._trying.values():
                task.cancel()
            await asyncio.gather(*self._trying.values(), return_exceptions=True)
            self._trying.clear()

    async def _follow(self, reaction: Reaction) -> None:
        cursor = self._cursors[reaction.name]
        start = VersionVector({cursor.replica: cursor.upto}) if cursor.upto else VersionVector()
        follower = Follower(self._core, self._pump, self._backend, start, own=True)
        selection = Selection(types=reaction.types)
        async with aclosing(follower.batches()) as batches:
            async for commits, _ in batches:
                for commit, context in commits:
                    for entry in entries(self._core, commit, context, selection):
                        if cursor.replica != commit.replica or entry.dot.seq > cursor.upto:
                            await self._react(reaction, entry)
                    cursor = self._cursors[reaction.name]
                    if commit.replica != cursor.replica or commit.last - cursor.upto >= STRIDE:
                        await self._pump.do(partial(self._move, reaction.name, Cursor(commit.replica, commit.last)))

    async def _react(self, reaction: Reaction, entry: Entry) -> None:
        """React to one event; it has succeeded, or been set aside, when this returns."""
        while sum(key.startswith(f"{reaction.name}\n") for key in self._trying) >= TRYING:
            self._room.clear()
            await self._room.wait()
        key = aside_key(reaction.name, int(entry.dot.replica), entry.dot.seq)
        known = self._aside.get(key)
        if known is None:
            error = await self._call(reaction, entry)
            if error is not None:
                known = Aside(
                    reaction.name, int(entry.dot.replica), entry.dot.seq, entry.stream, type(entry.event).__name__,
                    1, error, reaction.tries == 1,
                )  # fmt: skip
        cursor = Cursor(int(entry.dot.replica), entry.dot.seq)
        await self._pump.do(lambda: self._settle(reaction.name, cursor, known))
        if known is not None and not known.parked:
            self._try_again(known)

    async def _call(self, reaction: Reaction, entry: Entry) -> str | None:
        assert self._replica is not None
        try:
            await reaction.call(entry, self._replica)
        except Exception as error:
            words = f"{type(error).__name__}: {error}"
            log.warning("the reaction %s to %s in %s failed: %s", reaction.name, entry.dot, entry.stream, words)
            return words
        return None

    def _try_again(self, aside: Aside) -> None:
        if aside.key not in self._trying and not self._pump.closed:
            self._trying[aside.key] = task = asyncio.create_task(self._try(aside))
            task.add_done_callback(lambda done: self._tried(aside.key, done))

    def _tried(self, key: str, done: asyncio.Task[None]) -> None:
        self._trying.pop(key, None)
        self._room.set()
        error = None if done.cancelled() else done.exception()
        if error is not None and not isinstance(error, Closed) and not self._pump.closed:
            log.error("what reactions have set aside has to wait: %s", error, exc_info=error)
            asyncio.get_running_loop().call_later(AFTER_FAILURE, self._try_again, self._aside[key])

    async def _try(self, aside: Aside) -> None:
        """Try what was set aside, later each time, until it succeeds or is parked."""
        reaction = self._reactions[aside.reaction]
        entry = await self._entry(aside)
        if entry is None:
            await self._pump.do(lambda: self._put(self._failed(aside, "it cannot be read here", parked=True)))
            return
        left = max(reaction.tries - aside.failures, 1)
        wait = wait_exponential_jitter(multiplier=reaction.first, max=reaction.longest, jitter=reaction.first)

        async def failed(state: RetryCallState) -> None:
            if state.attempt_number > 1:
                await self._pump.do(lambda: self._put(self._failed(self._aside[aside.key], self._error(state))))

        try:
            async for attempt in AsyncRetrying(stop=stop_after_attempt(left + 1), wait=wait, before_sleep=failed):
                with attempt:
                    if attempt.retry_state.attempt_number == 1:
                        raise _Later
                    error = await self._call(reaction, entry)
                    if error is not None:
                        raise _Failed(error)
        except RetryError as given_up:
            error = str(given_up.last_attempt.exception())
            await self._pump.do(lambda: self._put(self._failed(self._aside[aside.key], error, parked=True)))
        else:
            await self._pump.do(lambda: self._forget(aside.key))

    @staticmethod
    def _error(state: RetryCallState) -> str:
        return str(state.outcome.exception()) if state.outcome is not None else ""

    @staticmethod
    def _failed(aside: Aside, error: str, parked: bool = False) -> Aside:
        return msgspec.structs.replace(aside, failures=aside.failures + 1, error=error, parked=parked)

    async def _entry(self, aside: Aside) -> Entry | None:
        """The event that was set aside, read from the log."""
        core = self._core
        found = await self._backend.run(lambda log: reader_of(core, log).commit(aside.replica, aside.seq))
        told = entries(core, *found) if found is not None else ()
        return next((entry for entry in told if entry.dot.seq == aside.seq), None)

    # --- what is kept (steps of the core) ---

    def _settle(self, name: str, cursor: Cursor, aside: Aside | None) -> None:
        self._move(name, cursor)
        if aside is not None:
            self._put(aside)

    def _begin(self, names: Sequence[str], here: Cursor) -> None:
        for name in names:
            self._move(name, here)

    def _move(self, name: str, cursor: Cursor) -> None:
        self._cursors[name] = cursor
        self._core.draft.keep(CURSOR, name, _encode(cursor))

    def _put(self, aside: Aside) -> None:
        self._aside[aside.key] = aside
        self._core.draft.keep(ASIDE, aside.key, _encode(aside))

    def _forget(self, key: str) -> None:
        self._aside.pop(key, None)
        self._core.draft.let_go(Span.one(ASIDE, key))

    # --- people ---

    async def retry(self, name: str, dot: str) -> None:
        """Try a parked reaction again, as often as a new one."""
        aside = msgspec.structs.replace(self._parked(name, dot), failures=0, parked=False)
        await self._pump.do(lambda: self._put(aside))
        self._try_again(aside)

    async def drop(self, name: str, dot: str) -> None:
        """Let a parked reaction be."""
        aside = self._parked(name, dot)
        await self._pump.do(lambda: self._forget(aside.key))

    def _parked(self, name: str, dot: str) -> Aside:
        for aside in self._aside.values():
            if aside.parked and aside.reaction == name and str(self._dot(aside)) == str(dot):
                return aside
        raise ValueError(f"no reaction {name!r} to {dot} is parked here; `status().reactions` shows those that are")

    def _dot(self, aside: Aside) -> Dot:
        return Dot(self._core.label(aside.replica), aside.seq)

    def status(self) -> Iterator[ReactionStatus]:
        """How each reaction stands."""
        own = self._core.memory.version[self._core.me]
        for name, cursor in self._cursors.items():
            aside = tuple(
                AsideStatus(self._dot(one), one.stream, one.type, one.failures, one.error, one.parked)
                for one in self._aside.values()
                if one.reaction == name
            )
            behind = own - cursor.upto if cursor.replica == self._core.me else own
            yield ReactionStatus(name, name in self._reactions, behind, aside)


class _Later(Exception):
    """Not yet: the first try was before this one was set aside."""


class _Failed(Exception):
    """A reaction failed; in words."""
