"""Comparing presents: what one replica says of its presents, and where two that differ begin to differ.

Rule 1. A present is a function of the stream's events and of the code that folds them. So two are compared where
        the events are the same (`Row.events`) and the code is the same (`Row.fold`), whatever else the two logs
        hold; then `Row.present` must be the same. Types that the code does not know change nothing: both leave out
        the same events.
Rule 2. All is of one moment: what is remembered and what is read from the log are of the same rows.
Rule 3. Where two differ, both fold the stream afresh from their logs, in the order of stamps, and mark what they
        come to along the way. A present that is not what its own log comes to is the one at fault. If the logs come
        to different things, the first mark that differs leads to the event. (Of a stream with more than twice MARKS
        events not every one is marked: a difference that goes away again before the next mark is passed over.)
Rule 4. What takes long is done in portions. These are generators, which yield what is to be done elsewhere (a Look
        into the log, on its thread; Mend; or None, to let others go on), and are sent what came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from hashlib import blake2b
from typing import Annotated, Any, NamedTuple, TypeAlias, TypeVar

import msgspec

from merge.version import NOTHING, Dot, VersionVector
from replica.commit import MAX_NAME, Commit, Recorded
from replica.comparisons import DIGESTS
from replica.core import Core
from replica.decider import Decider, Happened
from replica.digest import NoDigest, digest
from replica.draft import Memory
from replica.errors import PoisonEvent
from replica.folding import as_happened, fold_apart, stands_after
from replica.log import Log
from replica.place import START, StreamPlace
from replica.reading import Blocks, Reader
from replica.snapshot import Loaded, load_streams, span

T = TypeVar("T")

MARKS = 128
"""Marks along a stream, between this and twice as many: 6 KiB in a message, and two rounds for 30,000 events."""
PORTION = 2048
"""Events that are read from the log, and folded, at once."""
READING = 1000
"""What reading a stream from the log costs beside folding it, in events: a block or a few."""
RAISED = bytes(16)
"""In the place of a digest: folding has raised."""


Name16 = Annotated[bytes, msgspec.Meta(max_length=16)]


class Row(NamedTuple):
    """What one replica says of one present."""

    stream: Annotated[str, msgspec.Meta(max_length=MAX_NAME)]
    fold: Name16
    """The fingerprint of the code that folds it."""
    events: Name16
    """Which events it holds: how far the stream is folded, and the second histories there are."""
    present: Name16
    """Its digest."""


class Mark(NamedTuple):
    """A place in a stream, and what is there."""

    at: int
    """The number of events before it, in the order of stamps."""
    events: Name16
    """A digest of these, as they are recorded."""
    present: Name16
    """A digest of what they fold to."""


class Marks(NamedTuple):
    """Marks of a stretch of a stream, and the event before each."""

    marks: list[Mark]
    events: list[tuple[Dot, str]]


class Look(NamedTuple):
    """Call this with the log, where that may block."""

    call: Callable[[Log], Any]


class Mend(NamedTuple):
    """The present of a stream in memory is not the fold of its log: let go of it, and read it again."""

    stream: str


Asked: TypeAlias = Look | Mend | None
Steps: TypeAlias = Generator[Asked, Any, T]


class Instant(NamedTuple):
    """What a replica remembers at one moment, and what it can read of its log."""

    memory: Memory
    blocks: Blocks
    forks: bytes

    def reader(self, core: Core, log: Log) -> Reader:
        return Reader(log, core.store, self.memory.lineages, self.blocks)

    def passed(self, core: Core) -> bool:
        """A second history has turned up since: what is read now may be folded otherwise."""
        return core.blocks is not self.blocks


def instant_of(core: Core) -> Instant:
    """Now."""
    memory = core.memory
    forked = sorted(
        (replica, *head) for replica, one in memory.lineages.items() if one.forked for head in one.heads
    )
    return Instant(memory, core.blocks, _encode(forked))


# --- one present ---


def fold_name(aggregate: Decider) -> bytes:
    """The fingerprint of a fold, as it is sent."""
    return bytes.fromhex(aggregate.fingerprint())


def events_of(instant: Instant, stream: str) -> bytes:
    """A name for the events that a present in memory holds."""
    return _events_name(instant, instant.memory.stands[stream])


def loaded_row(core: Core, instant: Instant, stream: str) -> tuple[Row, int]:
    """What to say of a present in memory; and what that costs: as many events as it holds."""
    state = instant.memory.presents[stream]
    present = _remembered_digest(core, stream, state)
    row = Row(stream, fold_name(core.aggregate_of(stream)), events_of(instant, stream), present)
    return row, core.folded[stream].events


def cold_row(core: Core, instant: Instant, stream: str) -> Steps[tuple[Row, int] | None]:
    """The same of a present that is not in memory, and stays out of it; None where it has no events. And its cost.

    Raises what reading or folding raises.
    """
    remembered = core.comparisons.cold
    known: tuple[Blocks, Row] | None = remembered.get(stream)
    if known is not None and known[0] is instant.blocks:
        return known[1], 0
    loaded: Loaded = yield Look(
        lambda log: load_streams(instant.reader(core, log), (stream,), core.aggregate_of, core.types, {})[stream]
    )
    stands, events = stands_after(loaded.stands, stream, loaded.commits)
    if not stands:
        return None
    aggregate = core.aggregate_of(stream)
    present = _digest(aggregate, stream, fold_apart(core, stream, loaded))
    row = Row(stream, fold_name(aggregate), _events_name(instant, stands), present)
    if core.memory is instant.memory:
        remembered[stream] = instant.blocks, row
        if len(remembered) > DIGESTS:
            remembered.popitem(last=False)
    return row, READING + loaded.events + events


def _events_name(instant: Instant, stands: StreamPlace) -> bytes:
    return blake2b(_encode([*stands.plain.items()]) + instant.forks, digest_size=16).digest()


def _remembered_digest(core: Core, stream: str, state: Any) -> bytes:
    digests = core.comparisons.digests
    held = digests.get(stream)
    if held is None or held[0] is not state:
        digests[stream] = held = state, _digest(core.aggregate_of(stream), stream, state)
        if len(digests) > DIGESTS:
            digests.popitem(last=False)
    digests.move_to_end(stream)
    return held[1]


def _digest(aggregate: Decider, stream: str, fold: Any) -> bytes:
    present = aggregate.present_of(fold, stream, NOTHING)
    try:
        return bytes.fromhex(digest(present.canonical(present.state)))
    except Exception as error:
        raise NoDigest(f"{stream}: {error}") from error


# --- along a stream ---


def marks_of(core: Core, instant: Instant, stream: str, low: int, high: int) -> Steps[Marks]:
    """Fold a stream afresh, and mark what it comes to between two places; `high` 0: to its end."""
    walk = _Walk(core, stream, low)
    stands, events = START, PORTION
    while events >= PORTION and not (high and walk.at >= high):
        commits = yield Look(
            lambda log, after=stands: instant.reader(core, log).stream_beyond(  # type: ignore[misc]
                stream, after, instant.memory.version, PORTION
            )
        )
        stands, events = stands_after(stands, stream, commits)
        for commit, context in commits:
            for seq, event in enumerate(commit.events, commit.first):
                if event.stream == stream and not (high and walk.at >= high):
                    if walk.take(commit, Dot(commit.replica, seq), event, context):
                        yield None
    return walk.end()


class _Walk:
    """A fold on its way through the events of a stream. It marks every `step`th; the more there are, the fewer."""

    def __init__(self, core: Core, stream: str, low: int) -> None:
        self._core, self._stream, self._low = core, stream, low
        self._aggregate = core.aggregate_of(stream)
        self._fold: Any = self._aggregate.empty()
        self._chain = blake2b(digest_size=8)
        self._news: list[Happened] = []
        self._raised = False
        self._found = Marks([], [])
        self._step = 1
        self._last: tuple[Dot, str] | None = None
        self.at = 0

    def take(self, commit: Commit, dot: Dot, event: Recorded, context: VersionVector) -> bool:
        """The next event; was a mark made?"""
        self.at += 1
        seen = sorted((int(replica), seq) for replica, seq in context.seqs.items())
        said = *commit.stamp, dot.seq, seen, event.type, event.schema, bytes(event.payload)
        self._chain.update(_encode(said))
        self._last = dot, event.type
        try:
            happened = as_happened(self._core, self._aggregate, commit, dot, event, context)
        except Exception:
            self._catch_up()
            self._raised = True
        else:
            if happened is not None:
                self._news.append(happened)
        if self.at <= self._low or (self.at - self._low) % self._step:
            return False
        self._mark()
        if len(self._found.marks) == 2 * MARKS:
            self._found = Marks(self._found.marks[1::2], self._found.events[1::2])
            self._step *= 2
        return True

    def _catch_up(self) -> None:
        news, self._news = self._news, []
        if news and not self._raised:
            try:
                self._fold = self._aggregate.observe_all(self._fold, news)
            except Exception:
                self._raised = True

    def _mark(self) -> None:
        assert self._last is not None
        self._catch_up()
        present = RAISED
        if not self._raised:
            try:
                present = _digest(self._aggregate, self._stream, self._fold)
            except Exception:
                self._raised = True
        self._found.marks.append(Mark(self.at, self._chain.digest(), present))
        self._found.events.append(self._last)

    def end(self) -> Marks:
        """The marks, the last one at the end."""
        if self.at > self._low and (not self._found.marks or self._found.marks[-1].at < self.at):
            self._mark()
        return self._found


class Stretch(NamedTuple):
    """Between these two places two folds begin to differ."""

    low: int
    high: int


class First(NamedTuple):
    """The event with which two folds begin to differ, and what they come to after it."""

    event: Dot
    type: str
    mine: Mark
    theirs: Mark


class OtherEvents(NamedTuple):
    """The two do not hold the same events, so there is nothing to compare."""


def first_difference(low: int, mine: Marks, theirs: list[Mark]) -> Stretch | First | OtherEvents | None:
    """Where two folds of the same stretch, from `low` on, begin to differ; None where they do not."""
    if [(mark.at, mark.events) for mark in mine.marks] != [(mark.at, mark.events) for mark in theirs]:
        return OtherEvents()
    for index, (here, there) in enumerate(zip(mine.marks, theirs, strict=True)):
        if here.present != there.present:
            if here.at - low == 1:
                return First(*mine.events[index], here, there)
            return Stretch(low, here.at)
        low = here.at
    return None


# --- mending ---


def drop_present(core: Core, stream: str) -> bool:
    """Let go of the present of a stream and of its snapshots; not while it is being changed."""
    draft = core.draft
    if stream in draft.changed:
        return False
    draft.forget_present(stream)
    core.ripe.pop(stream, None)
    draft.let_go(span(stream))
    return True


def read_again(core: Core, stream: str) -> None:
    """Read the present of a stream from the log, and let follow from it what follows (rows, what is due)."""
    try:
        core.state(stream)
    except PoisonEvent:  # which its status says from now on
        return
    core.draft.changed[stream] = None


_encode = msgspec.msgpack.Encoder(order="deterministic").encode
