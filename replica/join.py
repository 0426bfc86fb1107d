"""Joins: two distinct pasts become one, through the same ingest as the network.

Rule 1. What the other one holds and this one lacks is read in the order of stamps, in bounded batches, and each is
        ingested like a batch from a peer: checked, taken whole or not at all, and twice is once. So a join that
        breaks off is gone on with by joining again.
Rule 2. The other one is only read. It becomes the same when it joins this one.
Rule 3. A past of another store is joined by an explicit word alone (see `replica.stores`).
Rule 4. What is stamped too far in the future waits, as it does between peers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from merge.version import ReplicaId, VersionVector
from replica.arrange import Gap
from replica.commit import MAX_STORES
from replica.core import Settled
from replica.errors import PoisonEvent, StoreError, WrongStore
from replica.explain import Explanation
from replica.fork import Progress
from replica.introduction import CATEGORY
from replica.meeting import accepted_until, all_heads, compare, note
from replica.outgoing import collect
from replica.place import StreamPlace
from replica.reading import Reader
from replica.words import counted

if TYPE_CHECKING:
    from replica.replica import Replica
    from replica.travel import TimeTravel

STREAMS = 256
"""Streams that are asked for at once."""
BATCH = 1 << 20
"""Bytes of columns that are read, and ingested, at once."""


@dataclass(frozen=True, slots=True)
class Joined:
    """What a join brought."""

    other: str
    """The name of the replica whose past was joined."""
    events: int
    """How many events were new here."""
    version: VersionVector
    """The version after it."""
    streams: Mapping[str, int]
    """How many of them each stream has."""
    met: tuple[str, ...]
    """Streams that both sides had changed without having seen each other."""
    conflicts: tuple[Explanation, ...]
    """The places in these where a write of one side stands against one of the other."""
    waiting: int
    """Events that were left where they are, because they are stamped too far in the future."""
    forked: tuple[ReplicaId, ...]
    """Ids under which the other side has a second history."""
    stores: tuple[str, ...] = ()
    """Stores that this is one with since."""

    def __str__(self) -> str:
        streams = sum(not name.startswith(f"{CATEGORY}/") for name in self.streams)
        lines = [f"joined {self.other}: {counted(self.events, 'event')} in {counted(streams, 'stream')} came in"]
        if self.events:
            lines.append(f"now at {self.version}")
        if self.stores:
            lines.append(f"one store from now on with {', '.join(self.stores)}")
        if self.met:
            lines.append(f"changed on both sides: {', '.join(self.met[:10])}{' ...' if len(self.met) > 10 else ''}")
        if self.waiting:
            lines.append(f"left there: {counted(self.waiting, 'event')}, stamped more than a day in the future")
        lines += [f"{replica} was written to in two places: one history is folded" for replica in self.forked]
        for conflict in self.conflicts:
            lines += ["", str(conflict)]
        return "\n".join(lines)


async def join(replica: Replica, other: TimeTravel, become_one: bool, progress: Progress | None) -> Joined:
    """Take in what another replica holds. WrongStore where that is of another store."""
    core = replica.core
    mine, held_there = core.memory.stores, other.core.memory.stores
    new = held_there - mine
    if new and core.store not in held_there and other.store not in mine:
        if not become_one:
            raise WrongStore(
                f"{other.name} holds the store {other.store!r}, and this is {core.store!r}: nothing was joined. "
                "They have no root in common: `become_one=True` makes one of the two stores, for good."
            )
        names = sorted(new)
        for at in range(0, len(names), MAX_STORES):
            await replica.become_one(names[at : at + MAX_STORES])
    elif new:
        await replica.adopt_stores(new)
    before, theirs = core.memory.version, other.core.memory.version
    sought, held = all_heads(other.core.memory.lineages), all_heads(core.memory.lineages)
    horizon = accepted_until(core.memory.stamp, replica.now())
    total = sum(map(len, before.missing(theirs).values()))
    streams: Counter[str] = Counter()
    forked: list[int] = []
    events = waiting = 0

    def hear(settled: Settled) -> None:
        streams.update(e.stream for commit, _ in settled.news if commit.replica != core.me for e in commit.events)

    stop = replica.listen(hear)
    try:
        while wants := compare(sought, held):
            found = await other.read(partial(collect, wants=wants, horizon=horizon, budget=BATCH))
            waiting = found.beyond
            if not found.slices:
                break
            result = await replica.ingest(found.slices, horizon)
            if isinstance(result, Gap):
                raise StoreError(
                    f"{other.name} names events of {core.label(result.replica)} that its own log does not hold. "
                    "What came in so far is whole and stays; `verify` it."
                )
            for piece in found.slices:
                note(held, piece)
            events += result.events
            forked += result.forked
            if progress is not None:
                progress(events, max(total, events))
    finally:
        stop()
    met = await _changed_here(replica, sorted(streams), before, theirs)
    conflicts = [one for stream in met for one in await _conflicts(replica, stream, before, theirs)]
    labels = tuple([core.label(one) for one in forked])
    stores = tuple(sorted(new))
    return Joined(
        other.name, events, replica.version, streams, tuple(met), tuple(conflicts), waiting, labels, stores
    )


async def _changed_here(
    replica: Replica, streams: list[str], before: VersionVector, theirs: VersionVector
) -> list[str]:
    """The streams of which this side had events that the other had not seen; many are asked for in one hop."""
    known = StreamPlace.holding(theirs)

    def changed(reader: Reader, some: list[str]) -> list[str]:
        return [stream for stream in some if reader.stream_beyond(stream, known, before, 1)]

    found: list[str] = []
    for at in range(0, len(streams), STREAMS):
        found += await replica.read(partial(changed, some=streams[at : at + STREAMS]))
    return found


async def _conflicts(
    replica: Replica, stream: str, before: VersionVector, theirs: VersionVector
) -> list[Explanation]:
    """Where a write that only this side had stands against one that only the other had."""
    if stream.split("/", 1)[0] not in replica.core.aggregates:
        return []
    found = []
    try:
        stand = await replica.conflicts(stream)
    except PoisonEvent:  # which the status says: what was taken in is whole
        return []
    for one in stand:
        dots = [act.record.dot for act in (*one.read, *one.lost)]
        if any(dot not in theirs for dot in dots) and any(dot not in before for dot in dots):
            found.append(one)
    return found
