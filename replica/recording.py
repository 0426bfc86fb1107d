"""Recording: facts of this replica become a commit of its log, in the draft.

Rule 1. The first commit of a log is the introduction of its replica.
Rule 2. A commit carries what its replica has newly observed since its last one: all heads that it has not named
        yet.
Rule 3. What is recorded has been admitted before, so recording it cannot fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from immutables import Map

from merge.stamp import Stamp, next_stamp
from replica.block import GENESIS, Head, Tail
from replica.commit import MAX_NAME, Commit, Note, Recorded
from replica.decider import Addressed, Facts
from replica.errors import InvalidEvent
from replica.event import Event
from replica.introduction import ReplicaIntroduced, introduction
from replica.lineage import Lineage
from replica.log import BlockStart, LogRow
from replica.missing import Missing
from replica.reading import Boundary, End

if TYPE_CHECKING:
    from replica.core import Core


def introduce(core: Core, now: int) -> None:
    """Begin this replica's log, if it has not begun; and know what it has observed since its last commit."""
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
    draft.touched.add(number)
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
    """Append one own commit to the draft. Cannot fail."""
    draft = core.draft
    me = core.me
    lineage = draft.memory.lineages[me]
    row = lineage.tip
    end = draft.end(row.number)
    tail = end.tail
    memory = draft.memory
    context = memory.version
    observed = tuple(sorted(memory.unseen.values())) if memory.unseen else ()
    commit = Commit(me, tail.seq + 1, stamp, observed, note, recorded)
    if tail.seq + 1 == tail.first:
        named = tuple(sorted(end.named.values()))
        draft.starts.append(BlockStart(row.number, tail.first, tail.parent, end.stamp, named))
    for stream in {event.stream: None for event in recorded}:
        if stream not in tail.streams:
            draft.streams.append((stream, row.number, tail.first))
    piece = tail.append(commit)
    head = Head(piece.last, piece.head)
    memory.version = memory.version.advance(me, piece.last)
    memory.stamp = stamp
    memory.lineages = memory.lineages.set(me, lineage.with_row(row.moved_to(head, stamp)))
    numbers = [memory.lineages[named.replica].tip.number for named in observed]
    memory.ends = memory.ends.set(row.number, end.after(commit, memory.version, numbers))
    memory.unseen = Map()
    draft.remember([(me, Boundary(row.number, head, stamp))])
    draft.count([(event.type, event.schema) for event in recorded])
    draft.add_slice(row.number, piece)
    draft.commits.append((commit, context))
    draft.news.append((commit, context))
    return commit


def addressed(stream: str, facts: Facts) -> list[tuple[str, Event]]:
    """What a decision in `stream` led to: events, each with the stream that it belongs to."""
    if facts is None:
        return []
    found = [facts] if isinstance(facts, Event | Addressed) else facts
    return [(one.stream, one.event) if isinstance(one, Addressed) else (stream, one) for one in found]


def check_name(stream: str) -> None:
    """InvalidEvent where a stream cannot have this name."""
    try:
        stream.encode()
    except UnicodeEncodeError:
        raise InvalidEvent(f"{stream!r} cannot name a stream: half a surrogate pair has no UTF-8 form") from None
    if not 0 < len(stream) <= MAX_NAME:
        raise InvalidEvent(f"a stream has a name of 1 to {MAX_NAME} characters, and this has {len(stream)}")
