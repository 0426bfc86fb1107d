"""The conversation about presents: one side names its own, the other compares, and both look for what differs.

Rule 1. Of two replicas the one with the smaller id begins. At a tick it says a few Presents: streams that have
        changed come first, then all others in turn, once a session. What was compared and was the same is not said
        again until it changes: where nothing changes, nothing is said.
Rule 2. The other one answers with a verdict a row (Compared). What cannot be compared at this moment, because one
        side has heard of more, comes again; so does what was not answered, and what differs once.
Rule 3. Both fold a stream that differs from their logs, and tell each other what they come to along it (Traced),
        in ever smaller stretches, until each can name the event and raise the alarm. Where that does not come to
        an end there is an alarm all the same, without an event.
Rule 4. What is compared costs. Each event that a present holds, or that is folded, is a debt, of which EVENTS are
        let off a tick; who is in debt does not begin and does not answer. So comparing takes a small share of
        the time, whatever the size of presents and whatever a peer asks for. A peer that lies can raise an alarm
        that bears its name, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, islice
from typing import NamedTuple, TypeAlias

from merge.version import ReplicaId
from replica.comparing import (
    First,
    Instant,
    Look,
    Mark,
    Marks,
    Mend,
    Row,
    Steps,
    Stretch,
    cold_row,
    events_of,
    first_difference,
    fold_name,
    instant_of,
    loaded_row,
    marks_of,
)
from replica.comparisons import NO_DIGEST, OTHER_CODE, POISONED
from replica.core import Core
from replica.digest import NoDigest
from replica.errors import Closed
from sync.alarms import Alarms
from sync.message import ROWS, Compared, Presents, Traced
from sync.protocol import Session

EQUAL, DIFFERENT, LATER, OTHER, POISON = range(5)
"""Verdicts: the same; not the same; not to be compared at this moment; other code; folding it raises."""
UNDIGESTED = b""
"""In a row, in place of the fingerprint: the present has no digest. A verdict on it is OTHER."""

EVENTS = 4096
"""Of a debt, what is let off a tick: about 20 ms of 2 s where nothing but digests is computed."""
COLD = 4
"""Streams that are not in memory and are read for a message: as many as a tick lets off."""
MOST = 10_000
"""Streams that wait to be compared, as far as they are remembered: the others come in their turn."""
ROUNDS = 8
"""Rounds of a search; three are enough for four million events."""
PATIENCE = 5
"""Ticks that an answer to a round may take, beside one for every EVENTS events that are to be folded for it."""
TWICE = 2
"""Comparisons in a row that end in a difference, after which it is looked into. One may come of a flipped bit in a
frame: no hash vouches for what is said here."""
DOUBTS = 5
"""The same, after which there is an alarm without an event."""
AGAIN = 8
"""Ticks until a stream that differs is compared again."""

Reply: TypeAlias = "list[Presents | Compared | Traced]"


class Said(NamedTuple):
    """Rows that were said, or answered, of one moment."""

    number: int
    instant: Instant
    rows: dict[str, Row]


class Trace(NamedTuple):
    """A search that is under way: of which stream, between which places, and what is there on this side."""

    said: Said
    stream: str
    low: int
    high: int
    marks: Marks
    until: int
    """The tick after which it is given up."""

    def is_answered_by(self, message: Traced) -> bool:
        asked = self.said.number, self.stream, self.low, self.high
        return asked == (message.number, message.stream, message.low, message.high)


NOTHING_SAID = Said(0, None, {})  # type: ignore[arg-type]


class Comparing:
    """One side of it, over one link. Each call returns steps (see `replica.comparing`) that end in what to say.

    Only one of them is carried out at a time; what comes meanwhile is left, and comes again.
    """

    def __init__(self, core: Core, session: Session, now: int) -> None:
        self._core, self._session = core, session
        self._comparisons = core.comparisons
        self._changed: dict[str, None] = {}
        self._others: dict[str, None] = {}
        """Streams to compare: those that have changed, and those whose turn it is."""
        self._categories = sorted(core.aggregates, reverse=True)
        self._after = ""
        self._differed: dict[str, int] = {}
        """How often in a row streams differed."""
        self._diverged: dict[str, None] = {}
        """Streams of which an alarm names the event."""
        self._said = NOTHING_SAID
        self._trace: Trace | None = None
        self._rounds = 0
        self._debt = self._cold = self._ticks = 0
        self._alarms = Alarms(core, now)

    @property
    def _peer(self) -> ReplicaId:
        peer = self._session.peer
        assert peer is not None
        known = self._core.label(peer.replica)
        return known if known.label else ReplicaId(peer.replica, peer.name)

    @property
    def _begins(self) -> bool:
        peer = self._session.peer
        return peer is not None and self._session.hello.replica < peer.replica

    # --- what happens ---

    def changed(self, streams: Iterable[str]) -> None:
        """These have new events."""
        if self._session.peer is None or self._begins:
            self._changed.update((stream, None) for stream in streams if self._is_folded(stream))
            while len(self._changed) > MOST:
                del self._changed[next(iter(self._changed))]

    def tick(self, now: int) -> Steps[Reply] | None:
        """About 2 s have passed, it is `now` (wall ms), and the conversation is at rest: what to do."""
        self._ticks, self._alarms.now = self._ticks + 1, now
        self._debt = max(0, self._debt - EVENTS)
        if not self._begins or self._debt:
            return None
        if self._trace is not None and self._ticks <= self._trace.until:
            return None
        self._trace = None
        if self._ticks % AGAIN == 0:
            self._others.update(self._diverged)
        if self._said.rows or self._changed or self._others or self._categories:
            return self._begin()
        return None

    def receive(self, message: Presents | Compared | Traced) -> Steps[Reply] | None:
        """What the peer says of its presents: what to do, if anything."""
        said = self._said
        match message:
            case Presents() if not self._begins and not self._debt:
                return self._compare(message)
            case Compared(number, verdicts) if (number, len(verdicts)) == (said.number, len(said.rows)):
                return self._hear(verdicts)
            case Traced(number, reply=False) if not self._begins and number == said.number:
                return self._answer(message)
            case Traced(reply=True) if self._trace is not None and self._trace.is_answered_by(message):
                return self._go_on(self._trace, message.marks)
        return None

    # --- who begins ---

    def _begin(self) -> Steps[Reply]:
        """Say some presents: those that were not answered, those that have changed, and those whose turn it is."""
        instant = instant_of(self._core)
        self._cold = 0
        self._changed = {**dict.fromkeys(self._said.rows), **self._changed}
        self._said = self._said._replace(rows={})
        waiting = len(self._changed) + len(self._others)
        if waiting < ROWS and self._categories:
            yield from self._turn(ROWS - waiting)
        rows: dict[str, Row] = {}
        for stream in list(islice(chain(self._changed, self._others), ROWS)):
            if self._debt > EVENTS:
                break
            self._changed.pop(stream, None)
            self._others.pop(stream, None)
            row = yield from self._row(instant, stream)
            if isinstance(row, Row):
                rows[stream] = row
            elif row == LATER:
                self._others[stream] = None
            elif row == POISON:
                self._leave_out(stream, POISONED)
            elif row == OTHER:
                self._leave_out(stream, NO_DIGEST)
                rows[stream] = Row(stream, UNDIGESTED, UNDIGESTED, UNDIGESTED)
        if instant.passed(self._core):
            self._others.update(dict.fromkeys(rows))
            return []
        self._said = Said(self._said.number + 1, instant, rows)
        return [Presents(self._said.number, list(rows.values()))] if rows else []

    def _turn(self, room: int) -> Steps[None]:
        """The next streams of the log whose turn it is."""
        category, after = self._categories[-1], self._after
        found = yield Look(lambda log: log.streams(category, after, room))
        self._others.update(dict.fromkeys(found))
        self._after = found[-1] if found else ""
        if len(found) < room:
            self._after = ""
            self._categories.pop()

    def _row(self, instant: Instant, stream: str, events: bytes | None = None) -> Steps[Row | int | None]:
        """What to say of a stream (if it holds these events, where they are given); or why nothing is said:
        OTHER where its present has no digest.

        None where it has no events that are folded.
        """
        if stream in instant.memory.poison:
            return POISON
        if self._debt > EVENTS:
            return LATER
        is_loaded = stream in instant.memory.presents
        if is_loaded and events is not None and events_of(instant, stream) != events:
            return LATER
        self._cold += not is_loaded
        if self._cold > COLD:
            return LATER
        yield None
        try:
            if is_loaded:
                found: tuple[Row, int] | None = loaded_row(self._core, instant, stream)
            else:
                found = yield from cold_row(self._core, instant, stream)
        except Closed:
            raise
        except NoDigest:
            return OTHER
        except Exception:  # reading or folding it raises, which nobody has met here yet
            return POISON
        if found is None:
            return None
        self._debt += 1 + found[1]
        return found[0] if events in (None, found[0].events) else LATER

    def _hear(self, verdicts: list[int]) -> Steps[Reply]:
        """What has become of the rows that were said; a search begins where one differs."""
        said, self._said = self._said, self._said._replace(rows={})
        search = None
        for row, verdict in zip(said.rows.values(), verdicts, strict=True):
            self._note(row, verdict)
            if verdict == LATER:
                self._others[row.stream] = None
            elif verdict == DIFFERENT and self._comparisons.explained(self._peer, row.stream):
                self._diverged[row.stream] = None
            elif verdict == DIFFERENT:
                self._others[row.stream] = None
                if self._differed[row.stream] >= TWICE:
                    search = search or row.stream
        if search is None:
            return []
        self._rounds = 0
        return (yield from self._round(said, search, 0, 0))

    def _round(self, said: Said, stream: str, low: int, high: int) -> Steps[Reply]:
        """Tell the peer what a stretch of the stream comes to here."""
        self._rounds += 1
        if self._rounds > ROUNDS:
            return []
        marks = yield from self._marks(said, stream, low, high)
        events = marks.marks[-1].at if marks.marks else 0
        self._trace = Trace(said, stream, low, high, marks, self._ticks + PATIENCE + events // EVENTS)
        return [Traced(said.number, stream, low, high, marks.marks, False)]

    def _go_on(self, trace: Trace, theirs: list[Mark]) -> Steps[Reply]:
        """The peer has said what the stretch comes to there."""
        self._trace = None
        closer = yield from self._conclude(trace.said, trace.stream, trace.low, trace.high, trace.marks, theirs)
        return [] if closer is None else (yield from self._round(trace.said, trace.stream, *closer))

    # --- who answers ---

    def _compare(self, message: Presents) -> Steps[Reply]:
        """Compare what the peer says with what is here."""
        instant = instant_of(self._core)
        self._debt += 1
        self._cold = 0
        different: dict[str, Row] = {}
        verdicts = []
        for theirs in message.rows:
            mine: Row | int | None = OTHER
            if self._is_folded(theirs.stream) and self._fold_of(theirs.stream) == theirs.fold:
                mine = yield from self._row(instant, theirs.stream, theirs.events)
                if mine == OTHER:
                    theirs = theirs._replace(fold=UNDIGESTED)
            if not isinstance(mine, Row):
                verdict = LATER if mine is None else mine
            elif instant.passed(self._core):
                verdict = LATER
            elif mine.present == theirs.present:
                verdict = EQUAL
            else:
                verdict, different[mine.stream] = DIFFERENT, mine
            self._note(theirs, verdict, mine)
            verdicts.append(verdict)
        self._said, self._rounds = Said(message.number, instant, different), 0
        return [Compared(message.number, verdicts)]

    def _answer(self, message: Traced) -> Steps[Reply]:
        """Say what a stretch comes to here; and see for oneself what follows."""
        said, stream, low, high = self._said, message.stream, message.low, message.high
        self._rounds += 1
        if stream not in said.rows or self._rounds > ROUNDS:
            return []
        marks = yield from self._marks(said, stream, low, high)
        yield from self._conclude(said, stream, low, high, marks, message.marks)
        return [Traced(said.number, stream, low, high, marks.marks, True)]

    # --- what both do ---

    def _is_folded(self, stream: str) -> bool:
        return stream.split("/", 1)[0] in self._core.aggregates

    def _fold_of(self, stream: str) -> bytes:
        return fold_name(self._core.aggregate_of(stream))

    def _marks(self, said: Said, stream: str, low: int, high: int) -> Steps[Marks]:
        marks = yield from marks_of(self._core, said.instant, stream, low, high)
        self._debt += marks.marks[-1].at if marks.marks else 1
        return marks

    def _note(self, row: Row, verdict: int, mine: Row | int | None = None) -> None:
        """Remember what has come out for a stream."""
        stream = row.stream
        if verdict == DIFFERENT:
            self._differed[stream] = self._differed.get(stream, 0) + 1
            if self._differed[stream] == DOUBTS:
                here, there = (mine.present, row.present) if isinstance(mine, Row) else (row.present, b"")
                self._alarms.unexplained(self._peer, stream, here, there)
        elif verdict != LATER:
            self._differed.pop(stream, None)
            self._diverged.pop(stream, None)
            if verdict == EQUAL:
                self._comparisons.compared(self._peer, stream)
            elif verdict == POISON:
                self._leave_out(stream, POISONED)
            else:
                self._leave_out(stream, NO_DIGEST if row.fold == UNDIGESTED else OTHER_CODE)

    def _leave_out(self, stream: str, why: str) -> None:
        self._comparisons.leave_out(self._peer, stream, why)

    def _conclude(
        self, said: Said, stream: str, low: int, high: int, mine: Marks, theirs: list[Mark]
    ) -> Steps[Stretch | None]:
        """What follows from the marks of both sides: a closer look, an alarm, or nothing."""
        whole, read = not low and not high, said.rows[stream].present
        if said.instant.passed(self._core) or not mine.marks or not theirs:
            return None
        here, there = mine.marks[-1].present, theirs[-1].present
        if whole and here != read:
            again = yield from self._marks(said, stream, 0, 0)
            if again.marks[-1].present != here:
                self._alarms.no_function(self._peer, stream, read, there)
            else:
                yield Mend(stream)
                self._alarms.damaged_here(self._peer, stream, read, here, there)
            return None
        found = first_difference(low, mine, theirs)
        if isinstance(found, First):
            self._alarms.differs(self._peer, stream, found)
        elif found is None and whole:
            self._alarms.damaged_there(self._peer, stream, here, there)
        return found if isinstance(found, Stretch) else None
