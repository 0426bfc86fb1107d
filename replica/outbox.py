"""The outbox: runs the reactions of a replica. The rules stand in `replica.reaction`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from merge.version import Dot, VersionVector
from replica import unread
from replica.backend import Backend
from replica.commit import Commit, Recorded
from replica.core import Core
from replica.cursor import ASIDE, CURSOR, FORMER, Aside, Cursor, aside_key
from replica.direct import reader_of
from replica.entry import Entry, Selection, entries
from replica.errors import Closed
from replica.follow import PORTION, Follower
from replica.log import Kept, Span
from replica.pump import Pump
from replica.reaction import Reaction
from replica.retry import is_failure
from replica.status import AsideStatus, FormerStatus, ReactionStatus
from replica.unread import Unread
from replica.workers import AFTER_FAILURE, durable

if TYPE_CHECKING:
    from replica.replica import Replica

log = logging.getLogger("anabranch.replica")

STRIDE = 1024
"""Events that no reaction wanted before the cursor is written down all the same."""
TRYING = 64
"""Events of one reaction that may wait for their next try before no further ones are begun."""

Missed = list[tuple[int, Recorded]]
"""Events of a commit that this code cannot read, by seq."""

_READ: dict[str, Callable[[bytes], Cursor | Aside]] = {
    CURSOR: msgspec.json.Decoder(Cursor).decode,
    ASIDE: msgspec.json.Decoder(Aside).decode,
}


class Outbox:
    """All reactions of one replica."""

    def __init__(self, core: Core, pump: Pump, backend: Backend, reactions: Sequence[Reaction]) -> None:
        self._core, self._pump, self._backend = core, pump, backend
        self._reactions = {reaction.name: reaction for reaction in reactions}
        if len(self._reactions) < len(reactions):
            raise TypeError("two reactions have one name: say `name=` for one of them")
        for reaction in reactions:
            Selection.of(core, (), (), reaction.types)
        self._stopped: dict[str, str] = {}
        """Reactions that cannot run, and why."""
        self._trying: dict[str, asyncio.Task[None]] = {}
        self._room = asyncio.Event()
        self._replica: Replica | None = None

    # --- opening ---

    async def recall(self, replica: Replica) -> None:
        """Take up where each reaction had come to; a new one begins here."""
        self._replica = replica
        kinds = CURSOR, ASIDE, FORMER
        kept = await self._backend.run(lambda log: [one for kind in kinds for one in log.kept(Span(kind))])
        await self._pump.do(lambda: self._take_up(kept))

    def _take_up(self, kept: Sequence[Kept]) -> None:
        core, draft = self._core, self._core.draft
        given_up = {one.key for one in kept if one.kind == FORMER}
        for one in [one for one in kept if one.kind != FORMER]:
            try:
                value = _READ[one.kind](one.value)
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                self._cannot_read(one, error)
            else:
                draft.memory.held = draft.memory.held.set((one.kind, one.key), value)
        for name in self._cursors:
            self._succeed(name, given_up)
        if given_up:
            draft.let_go(Span(FORMER))
        for name in self._reactions:
            if name not in self._cursors and name not in self._stopped:
                draft.hold(CURSOR, name, Cursor(core.me, core.now.version[core.me]))
        for aside in self._asides():
            if aside.parked:
                self._complain(aside)

    def _cannot_read(self, one: Kept, error: Exception) -> None:
        """What is kept is not what was written. It does not follow from the log: what needs it stops."""
        name = one.key.split("\n", 1)[0]
        if one.kind == CURSOR:
            self._stopped[name] = f"where it has come to cannot be read ({error})"
        self._core.complaints.say(
            "outbox", one.key,
            f"what is kept of the reaction {name} ({one.key!r}) is not what was written ({error}). The log is "
            "whole, and all else goes on. Restore the file from a copy, or let one of another name begin anew.",
            grave=True,
        )  # fmt: skip

    def _succeed(self, name: str, given_up: set[str]) -> None:
        """The file goes on under another id than its cursors do: as itself, or as a copy."""
        core, draft, cursor = self._core, self._core.draft, self._cursors[name]
        if cursor.replica == core.me:
            return
        lineage = core.now.lineages.get(cursor.replica)
        own = None if lineage is None else lineage.tip
        if f"{cursor.replica:016x}" in given_up:
            draft.hold(CURSOR, name, cursor.succeeded(core.me, own))
            return
        behind = 0 if own is None else own.head.seq - cursor.upto
        behind += sum(one.end - one.upto for one in cursor.former)
        draft.hold(CURSOR, name, Cursor(core.me, 0))
        aside = [one for one in self._asides() if one.reaction == name]
        for one in aside:
            draft.release(ASIDE, one.key)
        if behind > 0 or aside:
            core.complaints.say(
                "outbox", name,
                f"this file is a copy, or was moved: the reaction {name} begins anew in it. Of what the original, "
                f"{core.label(cursor.replica)}, recorded before, {behind} events had not been looked at and "
                f"{len(aside)} were set aside: it reacts to them. If it is no more, look them up with `watch`.",
            )  # fmt: skip

    # --- what is held ---

    @property
    def _cursors(self) -> dict[str, Cursor]:
        return {key: value for (kind, key), value in self._core.now.held.items() if kind == CURSOR}

    def _asides(self) -> list[Aside]:
        held = self._core.now.held
        return [value for (kind, _), value in sorted(held.items(), key=lambda one: one[0]) if kind == ASIDE]

    def _cursor(self, name: str) -> Cursor:
        """As it is durable."""
        cursor: Cursor = self._core.memory.held[CURSOR, name]
        return cursor

    def _known(self, key: str) -> Aside | None:
        return self._core.memory.held.get((ASIDE, key))

    # --- running ---

    async def run(self) -> None:
        """React until the replica is closed, or this is cancelled."""
        running = [one for name, one in self._reactions.items() if name not in self._stopped]
        if not running:
            return
        try:
            async with asyncio.TaskGroup() as group:
                for aside in self._asides():
                    if aside.reaction in self._reactions and not aside.parked:
                        self._try_again(aside.key)
                for reaction in running:
                    group.create_task(self._follow(reaction))
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        finally:
            for task in self._trying.values():
                task.cancel()
            await asyncio.gather(*self._trying.values(), return_exceptions=True)
            self._trying.clear()

    async def _follow(self, reaction: Reaction) -> None:
        core = self._core
        await self._read_again(reaction)
        while not self._pump.closed:
            await self._follow_former(reaction)
            me = self._cursor(reaction.name).replica
            begin = await self._finish_commit(reaction, me)
            start = VersionVector({me: begin}) if begin else VersionVector()
            follower = Follower(core, self._pump, self._backend, start, own=me)
            async with aclosing(follower.batches()) as batches:
                async for commits, _ in batches:
                    if self._cursor(reaction.name).replica != me:
                        break
                    number = core.memory.lineages[me].tip.number
                    for commit, context in commits:
                        await self._react_to(reaction, number, commit, context)

    async def _finish_commit(self, reaction: Reaction, me: int) -> int:
        """React to what is left of the commit in which the cursor stands; where the log goes on after it."""
        upto, lineage = self._cursor(reaction.name).upto, self._core.memory.lineages.get(me)
        if not upto or lineage is None:
            return upto
        number = lineage.tip.number
        commits = await self._read(number, upto - 1, upto)
        for commit, context in commits:
            await self._react_to(reaction, number, commit, context)
        return commits[-1][0].last if commits else upto

    async def _follow_former(self, reaction: Reaction) -> None:
        """React to what this replica has recorded under ids that it gave up."""
        while former := self._cursor(reaction.name).former:
            replica, number, upto, end = msgspec.structs.astuple(former[0])
            commits = await self._read(number, upto, end)
            for commit, context in commits:
                await self._react_to(reaction, number, commit, context)
            last = commits[-1][0].last if commits else end
            await durable(self._pump, partial(self._pass, reaction.name, number, replica, last))

    async def _read_again(self, reaction: Reaction) -> None:
        """React to what was set aside because it could not be read, if this code can read it."""
        for one in self._cursor(reaction.name).unread:
            if not one.can_be_read(self._core):
                continue
            still: Missed = []
            for first, last in one.runs:
                upto = first - 1
                while commits := await self._read(one.log, upto, last):
                    upto = commits[-1][0].last
                    for commit, context in commits:
                        missed: Missed = []
                        for entry in self._entries(reaction, commit, context, missed):
                            if first <= entry.dot.seq <= last and one.has(
                                commit.events[entry.dot.seq - commit.first]
                            ):
                                aside = await self._react(reaction, one.log, entry)
                                await self._settle(aside)
                        still += [(seq, event) for seq, event in missed if first <= seq <= last and one.has(event)]
            await durable(self._pump, partial(self._have_read, reaction.name, one, still))

    async def _read(self, number: int, upto: int, end: int) -> list[tuple[Commit, VersionVector]]:
        """The next commits of a log of this file, whether it is folded or not."""
        core = self._core
        return await self._backend.run(lambda log: reader_of(core, log).commits_of(number, upto, end, PORTION))

    def _entries(
        self, reaction: Reaction, commit: Commit, context: VersionVector, missed: Missed
    ) -> Iterator[Entry]:
        return entries(
            self._core,
            commit,
            context,
            Selection(types=reaction.types),
            lambda seq, event: missed.append((seq, event)),
        )

    async def _react_to(self, reaction: Reaction, number: int, commit: Commit, context: VersionVector) -> None:
        """React to the events of a commit in log `number` that the reaction has not come past yet."""
        missed: Missed = []
        replica = commit.replica
        for entry in self._entries(reaction, commit, context, missed):
            if entry.dot.seq > self._cursor(reaction.name).upto_in(replica):
                aside = await self._react(reaction, number, entry)
                taken, missed[:] = [*missed], []
                await self._settle(aside, partial(self._pass, reaction.name, number, replica, entry.dot.seq, taken))
        if missed or commit.last - self._cursor(reaction.name).upto_in(replica) >= STRIDE:
            await durable(self._pump, partial(self._pass, reaction.name, number, replica, commit.last, missed))

    async def _react(self, reaction: Reaction, number: int, entry: Entry) -> Aside | None:
        """React to one event; what is to be set aside where that failed."""
        while sum(key.startswith(f"{reaction.name}\n") for key in self._trying) >= TRYING:
            self._room.clear()
            await self._room.wait()
        replica, seq = int(entry.dot.replica), entry.dot.seq
        known = self._known(aside_key(reaction.name, replica, seq))
        if known is not None:
            return known
        try:
            await self._call(reaction, entry)
        except BaseException as error:
            if not is_failure(error):
                raise
            words = f"{type(error).__name__}: {error}"
            log.info("the reaction %s to %s in %s failed: %s", reaction.name, entry.dot, entry.stream, words)
            return Aside(
                reaction.name, replica, seq, entry.stream, type(entry.event).__name__, 1, words,
                reaction.retry.tries == 1, number,
            )  # fmt: skip
        return None

    async def _call(self, reaction: Reaction, entry: Entry) -> None:
        assert self._replica is not None
        await reaction.call(entry, self._replica)

    async def _settle(self, aside: Aside | None, move: Callable[[], None] = lambda: None) -> None:
        """Write down that an event was reacted to, or set aside."""

        def step() -> None:
            move()
            if aside is not None:
                self._put(aside)

        await durable(self._pump, step)
        if aside is not None and not aside.parked:
            self._try_again(aside.key)

    def _try_again(self, key: str) -> None:
        known = self._known(key)
        if known is not None and not known.parked and key not in self._trying and not self._pump.closed:
            self._trying[key] = task = asyncio.create_task(self._try(known))
            task.add_done_callback(lambda done: self._tried(key, done))

    def _tried(self, key: str, done: asyncio.Task[None]) -> None:
        self._trying.pop(key, None)
        self._room.set()
        error = None if done.cancelled() else done.exception()
        if error is not None and not isinstance(error, Closed) and not self._pump.closed:
            log.error("what reactions have set aside has to wait: %s", error, exc_info=error)
            asyncio.get_running_loop().call_later(AFTER_FAILURE, self._try_again, key)

    async def _try(self, aside: Aside) -> None:
        """Try what was set aside, later each time, until it succeeds or is parked."""
        reaction, key = self._reactions[aside.reaction], aside.key
        entry = await self._entry(aside)
        if entry is None:
            await self._pump.do(lambda: self._fail(key, "it cannot be read here", None))
            return

        async def failed(words: str) -> None:
            await durable(self._pump, lambda: self._fail(key, words, reaction.retry.tries))

        if await reaction.retry.persist(lambda: self._call(reaction, entry), failed, failures=aside.failures or 1):
            await durable(self._pump, lambda: self._core.draft.release(ASIDE, key))

    async def _entry(self, aside: Aside) -> Entry | None:
        """The event that was set aside, read from the log."""
        core, seq = self._core, aside.seq
        if aside.number:
            found = await self._read(aside.number, seq - 1, seq)
        else:
            one = await self._backend.run(lambda log: reader_of(core, log).commit(aside.replica, seq))
            found = [] if one is None else [one]
        return next((entry for item in found for entry in entries(core, *item) if entry.dot.seq == seq), None)

    # --- what is held (steps of the core) ---

    def _pass(
        self, name: str, number: int, replica: int, seq: int, missed: Sequence[tuple[int, Recorded]] = ()
    ) -> None:
        """A reaction has come past an event, and past some that this code cannot read."""
        cursor: Cursor = self._core.now.held[CURSOR, name]
        found = unread.found(cursor.unread)
        for at, event in missed:
            if at > cursor.upto_in(replica):
                unread.add(found, number, at, event)
                unread.complain(self._core, f"the reaction {name}", event)
        cursor = msgspec.structs.replace(cursor.moved(replica, seq), unread=tuple(found.values()))
        self._core.draft.hold(CURSOR, name, cursor)

    def _have_read(self, name: str, one: Unread, still: Missed) -> None:
        """What was set aside has been reacted to, but for what this code cannot read either."""
        cursor: Cursor = self._core.now.held[CURSOR, name]
        found = unread.found(other for other in cursor.unread if other != one)
        for seq, event in still:
            unread.add(found, one.log, seq, event)
        self._core.draft.hold(CURSOR, name, msgspec.structs.replace(cursor, unread=tuple(found.values())))

    def _put(self, aside: Aside) -> None:
        self._core.draft.hold(ASIDE, aside.key, aside)
        if aside.parked:
            self._complain(aside)

    def _fail(self, key: str, error: str, tries: int | None) -> None:
        """It failed once more: parked where that is often enough."""
        aside: Aside | None = self._core.now.held.get((ASIDE, key))
        if aside is not None:
            failures = aside.failures + 1
            parked = tries is None or failures >= tries
            self._put(msgspec.structs.replace(aside, failures=failures, error=error, parked=parked))

    def _complain(self, aside: Aside) -> None:
        name, dot = aside.reaction, self._dot(aside)
        self._core.complaints.say(
            "reaction", aside.key,
            f"the reaction {name} to {aside.type} {dot} in {aside.stream} has failed {aside.failures} times "
            f"({aside.error.rstrip('.')}). It is parked, and nothing else waits for it. When that is mended, "
            f'`await replica.retry("{name}", "{dot}")` tries it again; `drop` leaves it alone.',
        )  # fmt: skip

    # --- people (see `replica.retry`) ---

    def holds(self, name: str, dot: str) -> bool:
        """A reaction to that event is parked here."""
        return self._parked(name, dot) is not None

    async def retry(self, name: str, dot: str) -> None:
        """Try a parked reaction again, as often as a new one."""
        aside = self._parked(name, dot)
        assert aside is not None
        again = msgspec.structs.replace(aside, failures=0, parked=False)
        self._core.complaints.over("reaction", aside.key)
        await self._pump.do(lambda: self._put(again))
        self._try_again(again.key)

    async def drop(self, name: str, dot: str) -> None:
        """Let a parked reaction be."""
        aside = self._parked(name, dot)
        assert aside is not None
        await self._pump.do(lambda: self._core.draft.release(ASIDE, aside.key))

    def _parked(self, name: str, dot: str) -> Aside | None:
        parked = [one for one in self._asides() if one.parked and one.reaction == name]
        return next((one for one in parked if str(self._dot(one)) == dot), None)

    def _dot(self, aside: Aside) -> Dot:
        return self._core.dot((aside.replica, aside.seq))

    def status(self) -> Iterator[ReactionStatus]:
        """How each reaction stands."""
        core = self._core
        held = core.memory.held
        cursors = {name: cursor for (kind, name), cursor in held.items() if kind == CURSOR}
        for name in sorted(
            cursors, key=lambda name: (name not in self._reactions, [*self._reactions, name].index(name))
        ):
            cursor = cursors[name]
            aside = tuple(
                AsideStatus(self._dot(one), one.stream, one.type, one.failures, one.error, one.parked)
                for one in self._asides()
                if one.reaction == name
            )
            former = tuple([FormerStatus(core.label(one.replica), one.end - one.upto) for one in cursor.former])
            behind = core.memory.version[cursor.replica] - cursor.upto + sum(one.behind for one in former)
            yield ReactionStatus(
                name, name in self._reactions, max(behind, 0), aside, former, unread.status(cursor.unread)
            )
        for name, why in self._stopped.items():
            yield ReactionStatus(name, name in self._reactions, 0, (), why=why)
