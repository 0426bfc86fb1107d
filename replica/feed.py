"""Feeds: the events of a replica for the outside, named, in batches, at least once.

    Feed("warehouse", deliver, categories=["order"])        deliver: async (list[Entry]) -> None

Rule 1. A feed hands over all folded events that it selects, of all replicas, from the beginning of the log on (with
        `start="now"`: from when it was first opened on); causes come before effects. So any other service can
        follow what happens here.
Rule 2. Its position is kept beside the log, after a batch has been delivered: a crash between the two has the
        batch delivered again. The dot of an event is the key by which the receiver knows it.
Rule 3. A delivery that fails is tried again, later each time, for as long as it takes, event by event: the order is
        kept, nothing is left out. Status shows at which event it is stuck. It holds up this feed alone. A person
        has it tried at once, or drops that event (see `replica.retry`).
Rule 4. What this code cannot read is set aside by name, in one value with the position, and delivered by code that
        can (see `replica.unread`). It holds back nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from inspect import Parameter, iscoroutinefunction, signature
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from merge.version import VersionVector
from replica import unread
from replica.backend import Backend
from replica.commit import Commit, Recorded
from replica.core import Core
from replica.direct import reader_of
from replica.entry import Entry, Selection, entries
from replica.event import Event
from replica.follow import PORTION, Commits, Follower
from replica.log import Span
from replica.pump import Pump
from replica.retry import Retry, check_named
from replica.status import FeedStatus
from replica.unread import Unread
from replica.workers import durable

if TYPE_CHECKING:
    from replica.replica import Replica

log = logging.getLogger("anabranch.replica")

KIND = "feed"
"""The kind under which positions are kept beside the log."""
STRIDE = 64
"""Portions without anything that a feed wants before its position is written down all the same."""

Missed = list[tuple[Commit, int, Recorded]]
"""Events that this code cannot read, with their commits and seqs."""


@dataclass(frozen=True, slots=True)
class Feed:
    """A named consumer of events outside."""

    name: str
    deliver: Callable[..., Coroutine[Any, Any, None]]
    """`async def deliver(entries)`, or with the replica as a second argument."""
    streams: Sequence[str] = ()
    categories: Sequence[str] = ()
    types: Sequence[type[Event]] = ()
    first: float = 0.5
    """Seconds before a failed delivery is tried again for the first time, about; twice that the next time."""
    longest: float = 60.0
    start: Literal["beginning", "now"] = "beginning"
    """Where a feed begins that this file has not had before."""


class Position(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a feed has come."""

    version: dict[int, int]
    unread: tuple[Unread, ...] = ()
    """By the ids of replicas."""
    within: tuple[int, int] | None = None
    """The event up to which the next commit of its log has been delivered already."""


_decode = msgspec.json.Decoder(Position).decode
_decode_former = msgspec.json.Decoder(dict[int, int]).decode


class FeedRunner:
    """Runs one feed."""

    def __init__(self, core: Core, pump: Pump, backend: Backend, feed: Feed) -> None:
        self._core, self._pump, self._backend, self._feed = core, pump, backend, feed
        check_named("a feed", feed.name)
        if not iscoroutinefunction(feed.deliver):
            raise TypeError(f"the feed {feed.name} delivers by an `async def`, and {feed.deliver!r} is none")
        if feed.start not in ("beginning", "now"):
            raise ValueError(f'the feed {feed.name} starts at the "beginning" or "now", and not at {feed.start!r}')
        self._selection = Selection.of(core, feed.streams, feed.categories, feed.types)
        self._retry = Retry(None, feed.first, feed.longest)
        self._deliver: Callable[[list[Entry]], Coroutine[Any, Any, None]] = feed.deliver
        self._failures = 0
        self._error: str | None = None
        self._stuck: Entry | None = None
        self._dropped = False
        """Somebody has dropped the event at which it is stuck."""
        self._wake = asyncio.Event()
        """It is not to wait any longer before it tries again."""

    async def recall(self, replica: Replica) -> None:
        """Take up how far it has come; a new one begins."""
        if _takes_replica(self._feed.deliver):
            self._deliver = lambda entries: self._feed.deliver(entries, replica)
        kept = await self._backend.run(lambda log: log.kept(Span.one(KIND, self._feed.name)))
        await self._pump.do(lambda: self._take_up(kept[0].value if kept else None))

    def _take_up(self, kept: bytes | None) -> None:
        core, name = self._core, self._feed.name
        if kept is None:
            begins = core.now.version.seqs if self._feed.start == "now" else {}
            core.draft.hold(KIND, name, Position({int(replica): seq for replica, seq in begins.items()}))
            return
        try:
            position = _decode(kept) if b'"version"' in kept else Position(_decode_former(kept))
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            self._error = f"where it has come to cannot be read ({error})"
            core.complaints.say(
                "feed", name,
                f"the feed {name} is stopped: {self._error}. The log is whole, and all else goes on. Restore the "
                "file from a copy, or let a feed of another name begin anew.", grave=True,
            )  # fmt: skip
            return
        core.draft.memory.held = core.draft.memory.held.set((KIND, name), position)

    @property
    def _position(self) -> Position | None:
        """As it is durable; None where it cannot be read."""
        return self._core.memory.held.get((KIND, self._feed.name))

    # --- running ---

    async def run(self) -> None:
        """Deliver until the replica is closed, or this is cancelled."""
        position = self._position
        if position is None:
            return
        await self._read_again(position.unread)
        version, within = VersionVector(position.version), position.within
        follower = Follower(self._core, self._pump, self._backend, version)
        idle = 0
        async with aclosing(follower.batches()) as batches:
            async for commits, upto in batches:
                missed: Missed = []
                wanted = [entry for item in commits for entry in self._entries(item, missed)]
                if within is not None:
                    wanted = [e for e in wanted if e.dot.replica != within[0] or e.dot.seq > within[1]]
                async for delivered in self._hand_over(wanted):
                    if delivered[-1] is not wanted[-1]:
                        await self._pass(version, commits, missed, delivered[-1])
                idle = 0 if wanted or missed else idle + 1
                if wanted or missed or idle >= STRIDE:
                    await durable(self._pump, partial(self._move, upto, missed))
                    idle = 0
                version, within = upto, None

    async def _pass(self, version: VersionVector, commits: Commits, missed: Missed, entry: Entry) -> None:
        """Of some commits beyond a version, what comes before an entry has been delivered, and that entry."""
        at = next(
            at for at, (commit, _) in enumerate(commits)
            if commit.replica == entry.dot.replica and entry.dot.seq <= commit.last
        )  # fmt: skip
        before = [commit for commit, _ in commits[:at]]
        passed = version.advance_all({commit.replica: commit.last for commit in before})
        aside = [one for one in missed if any(one[0] is commit for commit in before)]
        missed[:] = [one for one in missed if one not in aside]
        within = int(entry.dot.replica), entry.dot.seq
        await durable(self._pump, partial(self._move, passed, aside, within))

    def _entries(self, item: tuple[Commit, VersionVector], missed: Missed) -> Iterable[Entry]:
        return entries(self._core, *item, self._selection, lambda seq, event: missed.append((item[0], seq, event)))

    async def _read_again(self, aside: Iterable[Unread]) -> None:
        """Deliver what was set aside because it could not be read, as far as this code can."""
        core = self._core
        ready = [one for one in aside if one.can_be_read(core)]
        ends: dict[int, int] = {}
        for one in ready:
            ends[one.log] = max(ends.get(one.log, 0), one.runs[-1][1])
        position = VersionVector({log: min(o.runs[0][0] for o in ready if o.log == log) - 1 for log in ends})
        still: Missed = []
        while left := [log for log, end in ends.items() if position[log] < end]:
            upto = VersionVector({log: core.memory.version[log] for log in left})
            commits = await self._read(position, upto)
            if not commits:
                break
            position = position.advance_all({commit.replica: commit.last for commit, _ in commits})
            missed: Missed = []
            wanted = []
            for item in commits:
                first, told = item[0].first, item[0].events
                among = {at for at, event in enumerate(told, first) if _is_among(ready, item[0].replica, at, event)}
                wanted += [entry for entry in self._entries(item, missed) if entry.dot.seq in among]
                missed = [one for one in missed if one[0] is not item[0] or one[1] in among]
            still += missed
            async for _ in self._hand_over(wanted):
                pass
        if ready:
            await durable(self._pump, partial(self._have_read, ready, still))

    async def _read(self, position: VersionVector, upto: VersionVector) -> Commits:
        core = self._core
        return await self._backend.run(lambda log: reader_of(core, log).beyond(position, upto, PORTION))

    async def _hand_over(self, wanted: list[Entry]) -> AsyncIterator[list[Entry]]:
        """Deliver entries, all at once where that works; each time what was delivered."""
        most = len(wanted)
        while wanted:
            most = await self._deliver_some(wanted, most)
            yield wanted[:most]
            wanted, most = wanted[most:], 2 * most

    async def _deliver_some(self, wanted: list[Entry], most: int) -> int:
        """Deliver the first entries, so many at most: one by one where that fails. How many that were."""
        core, name = self._core, self._feed.name
        self._dropped = False

        async def attempt() -> None:
            if not self._dropped:
                await self._deliver(wanted[:most])

        async def failed(words: str) -> None:
            nonlocal most
            self._failures, self._error, self._stuck = self._failures + 1, words, wanted[0]
            dot, stream, kind = wanted[0].dot, wanted[0].stream, type(wanted[0].event).__name__
            log.info("the feed %s could not deliver %d events from %s on: %s", name, len(wanted[:most]), dot, words)
            if most == 1:
                core.complaints.say(
                    "feed", name,
                    f"the feed {name} is stuck at {kind} {dot} in {stream} ({words.rstrip('.')}). It is tried "
                    "again, later each time, and nothing else waits for it. "
                    f'`await replica.retry("{name}", "{dot}")` tries it at once; `drop` goes on after it.',
                )  # fmt: skip
                self._pump.say_complaints()
            most = 1

        await self._retry.persist(attempt, failed, sleep=self._sleep)
        core.complaints.over("feed", name)
        self._failures, self._error, self._stuck = 0, None, None
        return 1 if self._dropped else len(wanted[:most])

    async def _sleep(self, seconds: float) -> None:
        self._wake.clear()
        if self._dropped:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    # --- what is held (steps of the core) ---

    def _move(self, version: VersionVector, missed: Missed, within: tuple[int, int] | None = None) -> None:
        position: Position = self._core.now.held[KIND, self._feed.name]
        found = unread.found(position.unread)
        for commit, seq, event in missed:
            unread.add(found, commit.replica, seq, event)
            unread.complain(self._core, f"the feed {self._feed.name}", event)
        plain = {int(replica): seq for replica, seq in version.seqs.items()}
        self._core.draft.hold(KIND, self._feed.name, Position(plain, tuple(found.values()), within))

    def _have_read(self, ready: list[Unread], still: Missed) -> None:
        """What was set aside has been delivered, but for what this code cannot read either."""
        position: Position = self._core.now.held[KIND, self._feed.name]
        found = unread.found(one for one in position.unread if one not in ready)
        for commit, seq, event in still:
            unread.add(found, commit.replica, seq, event)
        self._core.draft.hold(
            KIND, self._feed.name, msgspec.structs.replace(position, unread=tuple(found.values()))
        )

    # --- people (see `replica.retry`) ---

    def holds(self, name: str, dot: str) -> bool:
        """It is stuck at that event."""
        return name == self._feed.name and self._stuck is not None and str(self._stuck.dot) == dot

    async def retry(self, name: str, dot: str) -> None:
        """Try it now."""
        self._wake.set()

    async def drop(self, name: str, dot: str) -> None:
        """Go on after that event."""
        self._dropped = True
        self._wake.set()

    def status(self) -> FeedStatus:
        """How the feed stands."""
        position = self._position or Position({})
        seqs = self._core.memory.version.seqs
        behind = sum(max(seq - position.version.get(int(replica), 0), 0) for replica, seq in seqs.items())
        at = None if self._stuck is None else self._stuck.dot
        aside = unread.status(position.unread)
        return FeedStatus(self._feed.name, behind, self._failures, at, self._error, aside)


def _is_among(aside: Iterable[Unread], replica: int, seq: int, event: Recorded) -> bool:
    """An event is set aside."""
    return any(
        one.log == replica and one.has(event) and any(first <= seq <= last for first, last in one.runs)
        for one in aside
    )


def _takes_replica(deliver: Callable[..., object]) -> bool:
    """It has a second argument, which it must be given."""
    places = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    wanted = [one for one in signature(deliver).parameters.values() if one.kind in places]
    return len(wanted) > 1 and (wanted[1].default is Parameter.empty or wanted[1].name == "replica")


def runners(core: Core, pump: Pump, backend: Backend, feeds: Iterable[Feed]) -> list[FeedRunner]:
    """The runners of some feeds; TypeError where two have one name."""
    named = {feed.name: feed for feed in feeds}
    made = [FeedRunner(core, pump, backend, feed) for feed in feeds]
    if len(named) < len(made):
        raise TypeError("two feeds have one name")
    return made
