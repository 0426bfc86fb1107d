"""Folding what is in the log into presents: as it arrives from peers, and when a stream is first read.

Rule 1. Only streams that are loaded are folded; the others cost nothing until somebody asks.
Rule 2. An event of a type that this code does not know is left out, and so is a second history of one id (see
        `replica.lineage`). What is left out is `unfolded`: it is kept, forwarded, and counted.
Rule 3. A poison event (reading or folding it raises) stops its own stream, with an error that names it. The log,
        sync and every other stream go on. Where it was set aside, it is left out (see `replica.aside`).
Rule 4. What is read in bulk is folded by column (see `replica.bulk`).
Rule 5. Code that has learnt a type folds its streams again from the log. Nothing is added to an old fold: an add
        that is learnt late could undo a remove that had seen it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from merge.stamp import Stamp
from merge.version import Dot, VersionVector
from replica.aside import KIND as SET_ASIDE
from replica.aside import set_aside_in
from replica.backlog import NO_BACKLOG
from replica.bulk import Bulk
from replica.commit import Commit, Recorded
from replica.decider import Decider, FoldFailed, Happened
from replica.draft import Poison
from replica.introduction import OWN_TYPES
from replica.place import START, StreamPlace
from replica.plain import folds_by_column
from replica.run import Run, by_stamp
from replica.snapshot import Folded, Loaded, pause_after
from replica.status import Unfolded
from replica.uncollected import uncollected

if TYPE_CHECKING:
    from replica.core import Core

BULK = 64
"""Events of a batch from which on they are not folded one by one."""

PORTION = 2048
"""Events of a stream that are folded at once, before others have their turn: some milliseconds."""

REWIND = 4096
"""Events of a present in memory that are folded again for what comes late; where it were more, the log is read."""

LISTED = 8
"""Types that are named in one line for people."""

Contexts = Iterable[tuple[Commit, VersionVector]]
"""Commits with their contexts, in the order of their stamps."""


NONE: frozenset[Dot] = frozenset()


def fold_afresh(core: Core, stream: str, loaded: Loaded, aside: frozenset[Dot] = NONE) -> Iterator[None]:
    """Load a stream: fold all commits that hold its events, or those after a snapshot; a portion a turn.

    `aside` is set aside by what is not in the log yet.
    """
    memory = core.draft.memory
    begun = core.aggregate_of(stream).empty() if loaded.fold is None else loaded.fold
    memory.presents = memory.presents.set(stream, begun)
    memory.stands = memory.stands.set(stream, loaded.stands)
    core.folded[stream] = Folded(loaded.events, loaded.events, pause_after(loaded.size, core.every))
    bulk = loaded.commits
    if not isinstance(bulk, Bulk):
        whole = _Aside(bulk, aside)
        for portion in _portions(whole.commits):
            if stream not in memory.poison:
                _fold_each(core, portion, (stream,), whole)
                yield
        return
    bulk.aside |= aside
    for name, schema in bulk.unknown:
        complain_of(core, stream, name, schema)
    memory.stands = memory.stands.set(stream, bulk.stands_after(loaded.stands))
    core.count(stream, bulk.events)
    states = bulk.states(begun)
    while _put(core, stream, partial(next, states, None)):
        yield


def _portions(commits: Contexts) -> Iterator[list[tuple[Commit, VersionVector]]]:
    """Some commits, about PORTION events at a time."""
    portion, size = list[tuple[Commit, VersionVector]](), 0
    for item in commits:
        portion.append(item)
        size += len(item[0].events)
        if size >= PORTION:
            yield portion
            portion, size = [], 0
    yield portion


def _put(core: Core, stream: str, folded: Callable[[], Any], *, again: bool = False) -> bool:
    """Let a stream have the state that folding it comes to, if it comes to one; poison it where that raises.

    Unless it is to be tried `again` from the log, which may say that the event was set aside.
    """
    memory = core.draft.memory
    if stream in memory.poison:
        return False
    try:
        state = folded()
    except FoldFailed as failed:
        if again and memory.types.get(SET_ASIDE):  # the log may say that it was: it is read when somebody asks
            core.draft.forget_present(stream)
            if core.derives(stream):  # what follows from it is made again from the log
                core.draft.stale.add(stream.split("/", 1)[0])
            return False
        name = type(failed.happened.event).__name__
        _poison(core, stream, f"folding {name}", failed.happened.dot, failed.why)
        return False
    if state is not None:
        memory.presents = memory.presents.set(stream, state)
        say_what_waits(core, stream, state)
    return state is not None


def say_what_waits(core: Core, stream: str, state: Any) -> None:
    """Say that an edit of a text is here and does not show; and when it does."""
    if core.aggregate_of(stream).waits(state):
        core.waits.add(stream)
        core.complaints.say(
            "waiting edit", stream,
            f"{stream} holds an edit of a text that builds on one which is missing, so that it does not show. "
            "Nothing is lost: it shows when that comes. `explain` names the edit.",
        )  # fmt: skip
    elif stream in core.waits:
        core.waits.discard(stream)
        core.complaints.over("waiting edit", stream)


def too_late(core: Core, news: Iterable[Run]) -> list[str]:
    """The streams that are loaded, and whose folds have to go back before what they know to take what arrives."""
    presents, waiting, late = core.now.presents, core.now.backlog.presents, dict[str, None]()
    for run in news:
        folds = {
            stream: (aggregate, presents[stream] if stream in presents else waiting[stream].state)
            for stream in run.by_stream
            if stream in presents or stream in waiting
            for aggregate in [core.aggregate_of(stream)]
            if type(aggregate).takes is not Decider.takes
        }
        for commit, context in run.told if folds else ():
            for stream in {event.stream for event in commit.events} & folds.keys():
                aggregate, state = folds[stream]
                if not aggregate.takes(state, commit.stamp, context):
                    late[stream] = None
    return [*late]


def fold(core: Core, news: list[Run]) -> None:
    """Fold what a batch brings into the presents that are in memory, or put it off (see `replica.backlog`)."""
    memory = core.draft.memory
    streams = dict.fromkeys(stream for run in news for stream in run.by_stream)
    loaded = [stream for stream in streams if stream in memory.presents]
    bulk = sum(len(run.places_of(stream)) for run in news for stream in loaded) >= core.bulk
    loaded = [
        stream for stream in loaded
        if not _put_off(core, stream, news, bulk) and not (bulk and _fold_by_column(core, stream, news[::-1]))
    ]  # fmt: skip
    if loaded:
        _fold_each(core, by_stamp(news), loaded)
    waiting = [run for run in news if not run.by_stream.keys().isdisjoint(memory.backlog.presents)]
    if waiting:
        memory.backlog = memory.backlog.more(waiting)
        if memory.backlog.size > core.backlog or len(memory.backlog.presents) > core.keep:
            memory.backlog = NO_BACKLOG


def _put_off(core: Core, stream: str, news: list[Run], bulk: bool) -> bool:
    """Let a present wait for what comes next, or let go of it, if it may and that is less work."""
    memory = core.draft.memory
    aggregate, state = core.aggregate_of(stream), memory.presents[stream]
    if core.derives(stream):
        return False
    by_column = bulk and folds_by_column(aggregate)
    again = 0 if by_column else aggregate.rewinds(state, partial(_first, stream, news))
    if not by_column and not again:
        return False
    stands = memory.stands[stream]
    core.draft.forget_present(stream)
    if again <= REWIND:
        memory.backlog = memory.backlog.put_off(stream, state, stands)
    return True


def _first(stream: str, news: list[Run]) -> Stamp | None:
    """The first stamp of what comes for a stream."""
    found = [
        run.decoded.stamp(run.decoded.commit_at(places[0])) for run in news if (places := run.places_of(stream))
    ]
    return min(found, default=None)


def catch_up(core: Core, stream: str) -> None:
    """Fold what waits for a present, which is then in memory as any other."""
    memory = core.draft.memory
    waiting, news = memory.backlog.presents[stream], [*memory.backlog.runs_for(stream)]
    memory.backlog = memory.backlog.without(stream)
    memory.presents = memory.presents.set(stream, waiting.state)
    memory.stands = memory.stands.set(stream, waiting.stands)
    if not _fold_by_column(core, stream, news):
        _fold_each(core, by_stamp(news), (stream,))


@uncollected
def _fold_by_column(core: Core, stream: str, news: Sequence[Run]) -> bool:
    """Fold further events of a stream by column, the newest runs first, if that can be."""
    memory, aggregate = core.draft.memory, core.aggregate_of(stream)
    if not folds_by_column(aggregate):
        return False
    bulk = Bulk(aggregate, core.types, stream)
    try:
        for run in news:
            bulk.take(run)
        state = bulk.fold(memory.presents[stream])
    except Exception:  # the other path raises it again, and knows which event it was
        return False
    for name, schema in bulk.unknown:
        complain_of(core, stream, name, schema)
    memory.stands = memory.stands.set(stream, bulk.stands_after(memory.stands[stream]))
    memory.presents = memory.presents.set(stream, state)
    say_what_waits(core, stream, state)
    core.count(stream, bulk.events)
    return True


@uncollected
def _fold_each(core: Core, news: Contexts, only: Container[str], whole: _Aside | None = None) -> None:
    """Fold further commits into some streams, one event after the other; `whole` is all that they are a part of."""
    memory, aside = core.draft.memory, whole or _Aside(news)
    streams: dict[str, list[Happened]] = {}
    stands: dict[str, StreamPlace] = {}
    for commit, context in aside.commits if whole is None else news:
        for index, event in enumerate(commit.events):
            stream = event.stream
            if stream in only:
                dot = Dot(commit.replica, commit.first + index)
                stands[stream] = stands.get(stream, memory.stands[stream]).advance(*dot)
                happened = _happened(core, commit, dot, event, context, aside)
                if happened is not None:
                    streams.setdefault(stream, []).append(happened)
    memory.stands = memory.stands.update(stands)
    for stream, all_happened in streams.items():
        core.count(stream, len(all_happened))
        aggregate, present = core.aggregate_of(stream), memory.presents.get(stream)
        _put(
            core,
            stream,
            partial(_observe_all, aggregate, present, all_happened, stream, aside),
            again=whole is None,
        )


class _Aside:
    """The events that some commits set aside: looked for when one of them cannot be folded."""

    def __init__(self, commits: Contexts, more: frozenset[Dot] = NONE) -> None:
        self.commits = commits if isinstance(commits, Sequence) else [*commits]
        self._more = more
        self._found: set[tuple[str, Dot]] | None = None

    def __contains__(self, event: tuple[str, Dot]) -> bool:
        if event[1] in self._more:
            return True
        if self._found is None:
            self._found = {*set_aside_in(self.commits)}
        return event in self._found


def _observe_all(aggregate: Decider, fold: Any, happened: list[Happened], stream: str, aside: _Aside) -> Any:
    """Fold further events, without those that were set aside and cannot be folded."""
    try:
        return aggregate.observe_all(fold, happened)
    except FoldFailed as failed:
        if (stream, failed.happened.dot) not in aside:
            raise
    return aggregate.observe_all(fold, [one._replace(aside=(stream, one.dot) in aside) for one in happened])


def _happened(
    core: Core, commit: Commit, dot: Dot, event: Recorded, context: VersionVector, aside: _Aside
) -> Happened | None:
    """A recorded event as folds see it; None where this code does not know its type, or cannot read it."""
    try:
        return as_happened(core, core.aggregate_of(event.stream), commit, dot, event, context)
    except Exception as error:
        if (event.stream, dot) not in aside:
            _poison(core, event.stream, f"reading {event.type}", dot, error)
        return None


def fold_within(core: Core, stream: str, commits: Contexts, version: VersionVector) -> Any:
    """The fold of a stream inside a version. Raises what reading or folding raises."""
    inside = [(commit, context) for commit, context in commits if commit.last <= version[commit.replica]]
    return fold_apart(core, stream, Loaded(None, START, 0, inside))


@uncollected
def fold_apart(core: Core, stream: str, loaded: Loaded, more: frozenset[Dot] = NONE) -> Any:
    """The fold of a stream, apart from what is in memory. Raises what reading or folding raises.

    `more` is set aside by later commits than those that are folded here.
    """
    aggregate = core.aggregate_of(stream)
    begun = aggregate.empty() if loaded.fold is None else loaded.fold
    if isinstance(loaded.commits, Bulk):
        return loaded.commits.fold(begun)
    found, aside = [], _Aside(loaded.commits, more)
    for commit, context in aside.commits:
        for seq, event in enumerate(commit.events, commit.first):
            if event.stream == stream:
                dot = Dot(commit.replica, seq)
                try:
                    happened = as_happened(core, aggregate, commit, dot, event, context)
                except Exception:
                    if (stream, dot) not in aside:
                        raise
                    continue
                if happened is not None:
                    found.append(happened)
    return _observe_all(aggregate, begun, found, stream, aside)


def as_happened(
    core: Core, aggregate: Decider, commit: Commit, dot: Dot, event: Recorded, context: VersionVector
) -> Happened | None:
    """A recorded event as folds see it; None where this code does not know its type. Raises what reading raises.

    Anabranch's own facts are in no fold, whatever their bytes are.
    """
    if event.type in OWN_TYPES:
        return None
    decoded = core.types.decode(event.type, event.schema, event.payload)
    if decoded is None:
        complain_of(core, event.stream, event.type, event.schema)
        return None
    if type(decoded) not in aggregate.events:
        complain_of(core, event.stream, event.type, event.schema)
        return None
    return Happened(commit.stamp, dot, context.advance(commit.replica, dot.seq - 1), decoded)


def complain_of(core: Core, stream: str, name: str, schema: int) -> None:
    """Say that a stream holds events of a type that its aggregate does not know."""
    if name in OWN_TYPES:
        return
    category, newer = stream.split("/", 1)[0], core.types.newer_than(name, schema)
    if newer is not None:
        mend = f"Add `upcasters = {{{schema}: ...}}` to {newer.__name__}, which has schema {newer.schema}."
    elif (name, schema) in core.types:
        mend = f"List the class in `events` of {type(core.aggregates[category]).__name__}."
    else:
        mend = "Upgrade this code, or where the class was renamed add the old name to its `former_names`."
    core.complaints.say(
        "unknown type", f"{category} {name} {schema}",
        f"{stream} holds events {name} (schema {schema}), which its aggregate here does not know: they are kept "
        f"and forwarded, and in no present, so that decisions do not see them. Nothing is lost. {mend}",
    )  # fmt: skip


def stands_after(stands: StreamPlace, stream: str, commits: Contexts | Bulk) -> tuple[StreamPlace, int]:
    """A place in a stream after some commits; and how many events of the stream they have."""
    if isinstance(commits, Bulk):
        return commits.stands_after(stands), commits.held
    count = 0
    for commit, _ in commits:
        seqs = [seq for seq, event in enumerate(commit.events, commit.first) if event.stream == stream]
        stands, count = stands.advance(commit.replica, seqs[-1]), count + len(seqs)
    return stands, count


def _poison(core: Core, stream: str, doing: str, dot: Dot, error: BaseException) -> None:
    name = core.dot(dot)
    why = (
        f"{stream} has no present: {doing} {name} raised {type(error).__name__}: {error}. The log is whole, and "
        "every other stream goes on: mend the code and open the replica again; or, where the event is wrong, set "
        f'it aside (`await replica.set_aside("{name}")`).'
    )
    core.complaints.say("poison", stream, why, grave=True)
    memory = core.draft.memory
    memory.poison = memory.poison.set(stream, Poison(why, dot))
    if stream in memory.presents:
        memory.presents = memory.presents.delete(stream)


def complain_of_unknown(core: Core) -> None:
    """Say which types the log holds that this code does not know, where it folds anything."""
    found = [one for one in unfolded(core) if one.why == "unknown type"] if core.aggregates else []
    if found:
        listed = ", ".join(f"{one.what} ({one.events})" for one in found[:LISTED])
        more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
        core.complaints.say(
            "unknown types", "",
            f"the log holds events of types that no aggregate here lists: {listed}{more}. They are kept and "
            "forwarded, and in no present. Nothing is lost; what knows them folds them.",
        )  # fmt: skip


def unfolded(core: Core) -> tuple[Unfolded, ...]:
    """What of the log is in no present, of whatever stream, whether loaded or not.

    Types are counted by the log, which does not count by stream: an event of a type that is known, in a stream
    whose aggregate does not list it (or that no aggregate folds), is not in here.
    """
    memory = core.memory
    unknown = [
        Unfolded("unknown type", f"{name} {schema}", events)
        for (name, schema), events in sorted(memory.types.items())
        if (name, schema) not in core.types and name not in OWN_TYPES
    ]
    second = [
        Unfolded("second history", str(core.label(replica)), lineage.unfolded)
        for replica, lineage in sorted(memory.lineages.items())
        if lineage.forked
    ]
    aside = memory.types.get(SET_ASIDE, 0)
    waiting = [Unfolded("waiting edit", stream, 1) for stream in sorted(core.waits)]
    return (*unknown, *second, *([Unfolded("set aside", "cannot be folded", aside)] if aside else []), *waiting)
