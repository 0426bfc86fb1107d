"""Recording: facts of this replica become a commit of its log, in the draft.

Rule 1. The first commit of a log is the introduction of its replica.
Rule 2. A commit carries what its replica has newly observed since its last one: all heads that it has not named
        yet. Where these are more than a reader takes (MAX_OBSERVED), commits of their own go before it, which say
        nothing else, in the same draft: those with the smallest stamps are named first.
Rule 3. What is recorded has been admitted before, so recording it cannot fail.
Rule 4. The commits of one draft become bytes together: nobody can have seen the head of one that is not durable.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from immutables import Map

from merge.stamp import Stamp, next_stamp
from merge.version import VersionVector
from replica.block import GENESIS, Head, Tail
from replica.commit import MAX_OBSERVED, Commit, Note, Observed, Recorded
from replica.decider import Addressed, Facts
from replica.errors import InvalidEvent
from replica.event import Command, Event, encode_event
from replica.introduction import HeadsObserved, ReplicaIntroduced, introduction, stream_of
from replica.lineage import Lineage
from replica.log import BlockStart, LogRow
from replica.missing import Missing
from replica.reading import Boundary, End

if TYPE_CHECKING:
    from replica.core import Core


def introduce(core: Core, now: int) -> None:
    """Begin this replica's log, if it has not begun; and know what it has observed since its last commit.

    After it so much of that is unnamed as one more commit can name.
    """
    _begin(core, now)
    while len(core.now.unseen) > MAX_OBSERVED:
        event = HeadsObserved()
        recorded = Recorded(stream_of(core.me), type(event).__name__, event.schema, encode_event(event))
        record(core, (recorded,), next_stamp(now, core.now.stamp, core.me), None)


def _begin(core: Core, now: int) -> None:
    memory = core.now
    own = memory.lineages.get(core.me)
    if own is not None:
        number = own.tip.number
        if number not in memory.ends:
            raise Missing(ends=(number,))
        if not core.context_known:
            find_unseen(core, memory.ends[number])
        return
    if not core.context_known:
        find_unseen(core, None)
    draft = core.draft
    succeeded = core.identity.succeeds
    row = draft.memory.lineages[succeeded].tip if succeeded in draft.memory.lineages else None
    event = ReplicaIntroduced(
        core.store, core.identity.name, core.me, None if row is None else (row.replica, *row.head)
    )
    number = core.take_number()
    stamp = next_stamp(now, draft.memory.stamp, core.me)
    tail = Tail(core.store, core.me)
    row = LogRow(number, core.me, core.identity.name, Head(0, GENESIS), stamp)
    memory = draft.memory
    memory.lineages = memory.lineages.set(core.me, Lineage((row,)))
    memory.ends = memory.ends.set(number, End(tail))
    record(core, (introduction(event),), stamp, None)


def find_unseen(core: Core, end: End | None) -> None:
    """What this replica has observed since its own last commit: all heads that it has not named yet."""
    memory = core.now
    unseen = {}
    for replica, lineage in memory.lineages.items():
        if replica != core.me:
            observed = lineage.tip.head.named(replica)
            if end is None or end.named.get((replica, lineage.tip.number)) != observed:
                unseen[replica] = observed
    core.draft.memory.unseen = Map(unseen)
    core.context_known = True


def record(core: Core, recorded: tuple[Recorded, ...], stamp: Stamp, note: Note | None) -> Commit:
    """Append one own commit to the draft. Cannot fail. Its bytes are made by `write_down`."""
    draft, me = core.draft, core.me
    memory = draft.memory
    context = memory.version
    observed = tuple(sorted(memory.unseen.values())) if memory.unseen else ()
    left: Map[int, Observed] = Map()
    if len(observed) > MAX_OBSERVED:
        observed, left = _first_of(core)
        known = memory.ends[memory.lineages[me].tip.number].context
        context = VersionVector({**context.seqs, **{replica: known[replica] for replica in left}})
    commit = Commit(me, context[me] + 1, stamp, observed, note, recorded)
    draft.own.append((commit, context))
    memory.version = memory.version.advance(me, commit.last)
    memory.stamp = stamp
    if observed:
        memory.unseen = left
    draft.commits.append((commit, context))
    draft.news.append((commit, context))
    return commit


def _first_of(core: Core) -> tuple[tuple[Observed, ...], Map[int, Observed]]:
    """Of more heads than one commit names those that it names, and the others."""
    memory = core.now
    by_stamp = sorted(memory.unseen.items(), key=lambda item: memory.lineages[item[0]].tip.stamp)
    named = tuple(sorted([observed for _, observed in by_stamp[:MAX_OBSERVED]]))
    return named, Map(by_stamp[MAX_OBSERVED:])


def write_down(core: Core) -> None:
    """Make bytes of the own commits that were recorded: all at once, since their heads are for others.

    To be called before anything that looks at the own log: other commits of it, another id, the transaction.
    """
    draft = core.draft
    told, draft.own = draft.own, []
    if not told:
        return
    memory = draft.memory
    lineage = memory.lineages[core.me]
    row = lineage.tip
    end = memory.ends[row.number]
    tail = end.tail
    while told:
        fitting = tail.room_for([commit for commit, _ in told])
        part, told = told[:fitting], told[fitting:]
        if tail.seq + 1 == tail.first:
            named = tuple(sorted(end.named.values()))
            draft.starts.append(BlockStart(row.number, tail.first, tail.parent, end.stamp, named))
        first, known = tail.first, len(tail.streams)
        streams = tail.streams
        piece = tail.extend([commit for commit, _ in part])
        draft.streams += [(stream, row.number, first) for stream in list(streams)[known:]]
        draft.add_slice(row.number, piece)
        for commit, context in part:
            if commit.observed:
                numbers = [memory.lineages[named.replica].tip.number for named in commit.observed]
                end = end.after(commit, context, numbers)
        commit, context = part[-1]
        draft.count([(event.type, event.schema) for commit, _ in part for event in commit.events])
        end = End(tail, commit.stamp, context.advance(core.me, commit.last), end.named)
        boundary = Boundary(row.number, Head(piece.last, piece.head), commit.stamp)
        draft.remember([(core.me, boundary)])
    memory.lineages = memory.lineages.set(core.me, lineage.with_row(row.moved_to(boundary.head, boundary.stamp)))
    memory.ends = memory.ends.set(row.number, end)


def addressed(stream: str, facts: Facts) -> list[tuple[str, Event]]:
    """What a decision in `stream` led to: events, each with the stream that it belongs to."""
    if facts is None:
        return []
    several = isinstance(facts, Iterable) and not isinstance(facts, str | bytes | type)
    found = []
    for one in facts if several else [facts]:  # type: ignore[union-attr]
        there, event = (one.stream, one.event) if isinstance(one, Addressed) else (stream, one)
        if not isinstance(event, Event):
            hint = ": a command is decided on by `execute`" if isinstance(event, Command) else ""
            hint = ": several are given one by one, as in `*events`" if isinstance(event, list | tuple) else hint
            raise InvalidEvent(f"nothing was recorded: facts are events, and {event!r} is none{hint}")
        found.append((there, event))
    return found
