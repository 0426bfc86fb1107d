"""Whole replicas on real files and real links, and what a careful observer knows of each: for `tests.differential`.

Rule 1. The observer knows of each side what it was told to record and whom it has heard, from the steps alone. What
        the log says of a commit (dots, stamp, context, events) is compared with that, and only then believed.
Rule 2. A step is over when nothing moves any more: links are level, what is due is done, snapshots are taken, feeds
        and reactions have come. So a program is the same each time: clock, chance and ids are given.
Rule 3. A file that is closed, or whose process dies, goes on under its id; a copy, and a backup put back, under a
        new one; and what they know is what was known when they were made.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from enum import Enum
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from merge.version import VersionVector
from replica import Closed, Command, Entry, Event, Feed, Replica, reaction
from tests.reference import Dot, Fact, Log, Past, inside, next_stamp, union
from tests.subject import Asked, Release, Typed, release

STORE = "judged"
RELEASES = (0, 1, 2)
PATIENCE = 8.0
"""Seconds after which something that should come counts as not coming."""
BOARDS, SHELF, JOURNALS, DESK = ("board/a", "board/b"), "shelf/a", ("journal/a", "journal/b"), "desk/1"
STREAMS = (*BOARDS, SHELF, *JOURNALS, DESK)
HOMES = (*BOARDS, SHELF, *JOURNALS)
OWN = {"ReplicaIntroduced", "ReplicaRetired"}
WORDS = ("oak", "ash", "fir", "elm")
LARGE = 131_100
"""Characters of a large word: two of them fill a block."""


class Difference(AssertionError):
    """A reading is not what it must be."""

    def __init__(self, what: str, wanted: object, got: object) -> None:
        super().__init__(f"{what}\n  wanted {wanted!r:.3000}\n  got    {got!r:.3000}")
        self.what = what


def same(what: str, wanted: object, got: object) -> None:
    if wanted != got or (repr(wanted) != repr(got) and not isinstance(wanted, dict | set | frozenset)):
        raise Difference(what, wanted, got)


def plain(version: Any) -> Past:
    return {int(replica): seq for replica, seq in version.seqs.items()}


def version_of(past: Past) -> VersionVector:
    return VersionVector({author: seq for author, seq in past.items() if seq})


class Wanted(NamedTuple):
    """An event that a side was told to record."""

    stream: str
    type: str
    schema: int
    fields: dict[str, Any] | None
    """None where the decision makes them (bytes of an edit)."""

    @classmethod
    def of(cls, stream: str, event: Event) -> Wanted:
        fields = {name: getattr(event, name) for name in event.__struct_fields__}
        said = {name: value.value if isinstance(value, Enum) else value for name, value in fields.items()}
        return cls(stream, type(event).__name__, event.schema, None if isinstance(event, Typed) else said)


class Backup(NamedTuple):
    """A copy of a file, and what its side knew."""

    path: Path
    heard: Past
    answers: dict[str, tuple[Dot, ...]]
    fed: list[Dot]
    late: set[Dot]


class Side:
    """One file, who writes to it, and what the observer knows of that."""

    def __init__(self, name: str, path: Path, number: int, skew: int, heard: Past) -> None:
        self.name, self.path, self.number, self.skew = name, path, number, skew
        self.heard = heard
        self.replica: Any = None
        self.id = 0
        self.stack = AsyncExitStack()
        self.wanted: dict[Dot, list[Wanted]] = {}
        """What it was told to record, by the first dot of the commit."""
        self.answers: dict[str, tuple[Dot, ...]] = {}
        """What it answered to commands that it has carried out, by their ids."""
        self.fed: list[Dot] = []
        """What its feed has delivered."""
        self.late: set[Dot] = set()
        """What it heard before its code knew it."""
        self.watched: list[Entry] = []
        self.since: Past = {}
        """What it had heard when its watcher began."""
        self.backups: list[Backup] = []

    @property
    def release(self) -> Release:
        return release(self.number)

    @property
    def code(self) -> Any:
        return self.release.code


class Sides:
    """Some sides, and what was ever recorded."""

    def __init__(self, folder: Path, random: Random) -> None:
        self.folder, self.random = folder, random
        self.now = 1_700_000_000_000
        self.log = Log()
        self.sides: list[Side] = []
        self.links: dict[frozenset[int], AsyncExitStack] = {}
        self.commands: list[tuple[str, str, Command]] = []
        """Ids, streams and commands that were given."""
        self.knew: dict[int, Past] = {}
        """By id, the last that who wrote under it had heard."""
        self.reacted: set[Dot] = set()
        self.count = 0
        self.durability = random.choice(["full", "full", "normal"])
        self.feeding = random.random() < 0.6
        self.large = 0.1 if random.random() < 0.15 else 0.0
        for name in ("alice", "bob", "carol"):
            skew = random.choice([0, 0, random.randint(-5000, 5000), random.randint(-9, 9) * 3_600_000])
            self.sides.append(Side(name, folder / f"{name}.db", random.choice([0, 1, 1]), skew, {}))

    # --- opening and closing ---

    async def begin(self) -> None:
        for side in self.sides:
            await self.open(side, new=True)
        await self.level()

    async def end(self) -> None:
        for key in [*self.links]:
            await self.links.pop(key).aclose()
        for side in self.sides:
            if side.replica is not None:
                await self.close(side)

    async def open(self, side: Side, *, new: bool) -> None:
        """Open a file; `new` says that whoever writes there now takes an id of its own."""
        release_ = side.release

        async def deliver(entries: list[Entry]) -> None:
            side.fed.extend((int(one.dot.replica), one.dot.seq) for one in entries)

        @reaction(Asked)
        async def hear(entry: Entry, replica: Any) -> None:
            self.reacted.add((int(entry.dot.replica), entry.dot.seq))

        feeds = [Feed("out", deliver, categories=["board", "journal", "desk"])] if self.feeding else []
        opened = Replica.open(
            side.path, store=STORE, name=side.name, aggregates=release_.aggregates,
            projections=release_.projections, reactions=[hear], feeds=feeds, durability=self.durability,
            clock=lambda: self.now + side.skew, random=Random(self.random.getrandbits(64)),
        )  # fmt: skip
        side.replica = await side.stack.enter_async_context(opened)
        before, side.id = side.id, int(side.replica.core.me)
        if new == (side.id == before):
            raise Difference(f"id of {side.name} after opening", "a new id" if new else before, side.id)
        self.knew.setdefault(side.id, dict(side.heard))
        side.watched, side.since = [], dict(side.heard)
        watcher = asyncio.create_task(self._watch(side, side.replica, side.watched))
        side.stack.push_async_callback(_ended, watcher)
        await asyncio.sleep(0)

    @staticmethod
    async def _watch(side: Side, replica: Any, into: list[Entry]) -> None:
        with suppress(Closed):
            async for entry in replica.watch(after=version_of(side.since)):
                into.append(entry)

    async def close(self, side: Side) -> None:
        for key in [key for key in self.links if self.sides.index(side) in key]:
            await self.links.pop(key).aclose()
        await side.stack.aclose()
        side.replica, side.stack = None, AsyncExitStack()

    async def kill(self, side: Side) -> None:
        """The process is gone, and has not closed its file: it was opened, and nothing more was said of that."""
        for key in [key for key in self.links if self.sides.index(side) in key]:
            await self.links.pop(key).aclose()
        pump = side.replica._pump
        pump.failure, pump._closing = RuntimeError("killed"), True
        with suppress(Closed):
            await side.stack.aclose()
        side.replica, side.stack = None, AsyncExitStack()

    # --- what is known ---

    async def level(self) -> None:
        """Wait until nothing moves, and hear what every side has now."""
        open_ = [side for side in self.sides if side.replica is not None]
        async with self._patience("all that should come"):
            while True:
                before = [side.replica.version for side in open_]
                for side in open_:
                    await self._still(side)
                for key in self.links:
                    one, other = (self.sides[at].replica for at in key)
                    await one.wait_for(other.version)
                    await other.wait_for(one.version)
                if before == [side.replica.version for side in open_]:
                    break
        for side in open_:
            await self.hear(side)
        for side in open_:
            self.believe(side)
            await self._told(side)

    @asynccontextmanager
    async def _patience(self, what: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(PATIENCE):
                yield
        except TimeoutError:
            where = [(side.name, str(side.replica.version)) for side in self.sides if side.replica is not None]
            raise Difference(what, f"within {PATIENCE:g} s", where) from None

    async def _still(self, side: Side) -> None:
        """What a replica does of its own accord is done."""
        core = side.replica.core
        while (
            core.ripe
            or any(one.state == "next" for one in side.replica.status().due)
            or any(one.state == "building" for one in side.replica.status().projections)
        ):
            await asyncio.sleep(0.001)

    async def hear(self, side: Side) -> None:
        """What a side has recorded since is what it was asked to; nothing that it had is gone."""
        before, version = side.heard, plain(side.replica.version)
        if not inside(before, version):
            raise Difference(f"version of {side.name}", before, version)
        async for records in side.replica.commits(after=version_of(before)):
            facts = [_fact(records, at) for at in range(len(records))]
            if facts[0].author == side.id and self.log.get(facts[0].dot) is None:
                self._recorded(side, facts)

    def believe(self, side: Side) -> None:
        """What a side has now was recorded by somebody, and its causes are there too."""
        before, version = side.heard, plain(side.replica.version)
        for author, seq in version.items():
            for number in range(before.get(author, 0) + 1, seq + 1):
                fact = self.log.get((author, number))
                if fact is None or not inside(union(fact.context, {author: fact.last}), version):
                    raise Difference(
                        f"version of {side.name}", "what was recorded, with its causes", (author, number)
                    )
        side.heard = self.knew[side.id] = version

    def _recorded(self, side: Side, facts: list[Fact]) -> None:
        """A commit that a side has recorded is what it was told to, or one that it makes by itself."""
        first, seen = facts[0], dict(side.heard)
        wanted = side.wanted.pop(first.dot, None)
        if wanted is not None:
            for fact, one in zip(facts, wanted, strict=True):
                fields = dict(fact.fields) if one.fields is not None else None
                same(f"what {side.name} recorded", one, Wanted(fact.stream, fact.type, fact.schema, fields))
        elif {fact.type for fact in facts} - OWN - {"Answered", "Counted"}:
            raise Difference(f"what {side.name} recorded", "nothing", facts)
        what = f"commit {side.name}:{first.seq}"
        same(
            f"context of {what}", {a: s for a, s in sorted(seen.items()) if s}, dict(sorted(first.context.items()))
        )
        stamp = next_stamp(self.now + side.skew, self.log.facts(seen), side.id)
        same(f"stamp of {what}", stamp, first.stamp)
        for fact in facts:
            self.log.add(fact)
        side.heard = union(seen, {side.id: first.last})

    async def _told(self, side: Side) -> None:
        """Watchers, feeds and reactions have been told of all that is here, causes first."""
        heard = side.heard
        known = [fact.dot for fact in side.code.reads(self.log.facts(heard)) if fact.stream in STREAMS]
        live = [dot for dot in known if dot[1] > side.since.get(dot[0], 0)]
        late = {fact.dot for fact in self.log.facts(heard)} - set(known)
        side.late |= late
        fed = [dot for dot in known if dot not in side.late and not self.log.get(dot).stream.startswith("shelf")]
        fed = fed if self.feeding else []
        asked = [d for d in known if d[0] == side.id and self.log.get(d).type == "Asked"]
        await self._until(f"watch of {side.name}", lambda: live, lambda: [_dot(one) for one in side.watched])
        await self._until(f"feed of {side.name}", lambda: fed, lambda: list(dict.fromkeys(side.fed)))
        await self._until(
            f"reactions of {side.name}", lambda: asked, lambda: [d for d in asked if d in self.reacted]
        )
        self.causes_first(f"watch of {side.name}", [_dot(one) for one in side.watched], side.since)

    async def _until(self, what: str, wanted: Callable[[], list[Dot]], got: Callable[[], list[Dot]]) -> None:
        """Each once (what somebody was told under newer code does not count against it)."""
        need = set(wanted())
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE / 4):
                while not need <= set(got()):
                    await asyncio.sleep(0.001)
        found = got()
        if not need <= set(found) or len(set(found)) < len(found):
            twice = [dot for dot, times in Counter(found).items() if times > 1]
            raise Difference(what, "each once", {"never": sorted(need - set(found)), "twice": twice})

    def causes_first(self, what: str, dots: Iterable[Dot], since: Past) -> None:
        """No fact is told before one that it had seen."""
        wanted: dict[int, list[int]] = {}
        for author, seq in sorted(dots := list(dots)):
            wanted.setdefault(author, []).append(seq)
        told = dict.fromkeys(wanted, 0)
        for author, seq in dots:
            if seq != wanted[author][told[author]]:
                raise Difference(f"{what}: causes come first", wanted[author][told[author]], (author, seq))
            context = self.log.get((author, seq)).context
            missed = {a: n for a, n in context.items() if a in wanted and bisect_right(wanted[a], n) > told[a]}
            missed.pop(author, None)
            if missed:
                raise Difference(f"{what}: causes come first", missed, (author, seq))
            told[author] += 1

    def name_of(self, at: int) -> str:
        return self.sides[at % len(self.sides)].name


def _dot(entry: Entry) -> Dot:
    return int(entry.dot.replica), entry.dot.seq


def _fact(records: Any, at: int) -> Fact:
    """An event as the log tells of it."""
    record, first = records[at], records[0].dot.seq
    stamp = record.stamp
    return Fact(
        record.stream, int(record.dot.replica), record.dot.seq, first, first + len(records) - 1,
        (stamp.wall, stamp.counter, int(stamp.replica)), {a: s for a, s in plain(record.context).items() if s},
        record.type, record.schema, record.fields, record.command,
    )  # fmt: skip


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
