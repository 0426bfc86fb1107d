"""What follows from a draft, and becomes durable with it: rows of projections, and what is due.

Rule 1. It is computed once a transaction, from the draft as it will be: a stream that a hundred commands have
        changed leads to rows once.
Rule 2. A stream from whose present something follows is loaded before it changes, here or by a peer (`needs`).
Rule 3. What raises here stops a projection, or is a promise that says so, and never stops the transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from replica.aside import hear_of_set_aside
from replica.decider import Decider
from replica.entry import entries
from replica.members import hear_of_retired
from replica.owed import heard_of, own, put_due
from replica.rows import build, put_event, put_stream, tables_of
from replica.stores import hear_of_joined

if TYPE_CHECKING:
    from replica.core import Core


def needs(core: Core, streams: Iterable[str]) -> tuple[str, ...]:
    """Which of these streams must be loaded before they change."""
    memory, categories = core.now, core.derived.categories
    if not categories:
        return ()
    return tuple(
        stream
        for stream in dict.fromkeys(streams)
        if stream.split("/", 1)[0] in categories and stream not in memory.presents and stream not in memory.poison
    )


def derive(core: Core) -> None:
    """Let everything follow from what the draft has changed. Doing it twice is doing it once."""
    draft, derived = core.draft, core.derived
    own(core)
    hear_of_retired(core)
    hear_of_joined(core)
    hear_of_set_aside(core)
    if draft.refolded:
        for name in derived.names:
            if not draft.memory.standings[name].why:
                build(core, name)
    stale, draft.stale = draft.stale, set()
    for name in derived.names if stale else ():
        if derived.category_of(name) in stale and not draft.memory.standings[name].why:
            build(core, name)
    if derived.by_event:
        for commit, context in draft.news:
            for entry in entries(core, commit, context):
                for by_event in derived.by_event:
                    put_event(core, by_event, entry, tables_of(draft, by_event))
    for stream in draft.changed if derived.categories else ():
        category = stream.split("/", 1)[0]
        present = present_of(core, stream)
        if category not in derived.categories or (present is None and stream not in draft.memory.poison):
            continue
        for by_stream in derived.by_category.get(category, ()):
            put_stream(core, by_stream, stream, present, tables_of(draft, by_stream))
        if category in derived.owing:
            put_due(core, stream, present)
    for done in draft.done:
        if done.stream:
            heard_of(core, done)


def present_of(core: Core, stream: str) -> Decider | None:
    """The present of a loaded stream named by its own last events, which is the same on every replica."""
    memory = core.now
    state = memory.presents.get(stream)
    if state is None:
        return None
    return core.aggregate_of(stream).present_of(state, stream, memory.stands[stream].named(core.label))
