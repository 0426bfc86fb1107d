"""Setting aside: the way out where an event cannot be folded, and nobody can take it back.

A poison event stops its stream (`replica.folding`). Where the code is wrong, mending it is the answer. Where the
event is (a peer wrote what no code reads), somebody sets it aside by a fact in its stream, which names it.

Rule 1. An event that is set aside is left out of folds where reading or folding it raises, and nowhere else. So a
        word that is false, or said by mistake, changes nothing; and code that can fold the event does.
Rule 2. It is a function of the set of commits: the fact counts for whoever holds it, at any cut that has it. It
        counts only if its author had seen the event, so that it is never there before the event.
Rule 3. Whoever hears of it folds the stream again from the log, in the transaction that takes the fact in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from merge.version import Dot, VersionVector
from replica.commit import MAX_EVENTS, Commit, Recorded
from replica.decider import Addressed
from replica.errors import Refused
from replica.event import Event
from replica.missing import Missing

if TYPE_CHECKING:
    from replica.core import Committed, Core


class EventSetAside(Event, frozen=True):
    """The event with this dot, in this stream, is left out where it cannot be folded."""

    replica: int
    seq: int


KIND = EventSetAside.__name__, EventSetAside.schema
_decode = msgspec.msgpack.Decoder(EventSetAside).decode


def set_aside_by(event: Recorded, context: VersionVector) -> Dot | None:
    """The dot that an event sets aside; None where it sets none aside, or one that its author had not seen."""
    if (event.type, event.schema) != KIND:
        return None
    try:
        fact = _decode(event.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    dot = Dot(fact.replica, fact.seq)
    return dot if fact.seq > 0 and dot in context else None


def set_aside_in(commits: Iterable[tuple[Commit, VersionVector]]) -> Iterator[tuple[str, Dot]]:
    """What some commits set aside, with the streams in which they say so."""
    for commit, context in commits:
        for seq, event in enumerate(commit.events, commit.first):
            if event.type == KIND[0]:
                dot = set_aside_by(event, context.advance(commit.replica, seq - 1))
                if dot is not None:
                    yield event.stream, dot


def hear_of_set_aside(core: Core) -> None:
    """Say which events the draft brings word of: somebody has left them out."""
    for commit, seq, event in core.draft.told(EventSetAside):
        dot = set_aside_by(event, core.now.version)
        if dot is not None:
            core.complaints.say(
                "set aside", f"{event.stream} {dot}",
                f"{core.dot(dot)} in {event.stream} was set aside, by {core.dot((commit.replica, seq))}: it is "
                "left out where it cannot be folded, stays in the log, and counts where code can fold it.",
            )  # fmt: skip


class SettingAside:
    """A step that records that events are set aside: those that are named, and what a member wrote that stops a
    stream here."""

    def __init__(self, core: Core, dots: Iterable[tuple[str, Dot]] = (), member: int | None = None) -> None:
        self._core, self._member = core, member
        self._dots: dict[str, set[Dot]] = {}
        """By stream: what is to be set aside in it."""
        self._read: dict[str, frozenset[Dot]] = {}
        """Streams that were stopped: without which events they were read again."""
        for stream, dot in dots:
            self._dots.setdefault(stream, set()).add(Dot(int(dot[0]), dot[1]))

    def step(self, now: int) -> Committed | None:
        """Record it; None where there is nothing to set aside. Refused where what is named stops no stream here."""
        core, poison = self._core, self._core.now.poison
        for stream, stopped in poison.items():
            if stopped.dot.replica == self._member:
                self._dots.setdefault(stream, set()).add(stopped.dot)
        again = {stream: frozenset(dots) for stream, dots in self._dots.items() if stream in poison}
        again = {stream: dots for stream, dots in again.items() if self._read.get(stream) != dots}
        if again:
            self._read |= again
            raise Missing(streams=tuple(again), aside=again)
        self._check()
        facts: list[Any] = [
            Addressed(stream, EventSetAside(int(dot.replica), dot.seq))
            for stream, dots in sorted(self._dots.items())
            for dot in sorted(dots)
        ]
        committed = None
        for at in range(0, len(facts), MAX_EVENTS):
            committed = core.append(facts[at].stream, facts[at : at + MAX_EVENTS], now)
        for stream in self._dots:
            core.complaints.over("poison", stream)
        return committed

    def _check(self) -> None:
        core = self._core
        sound = sorted(self._dots.keys() - self._read)
        stopped = [stream for stream in self._dots if stream in core.now.poison]
        if self._member is None and (sound or stopped):
            other = core.dot(core.now.poison[stopped[0]].dot) if stopped else None
            self._forget(self._read)
            if sound:
                raise Refused(
                    f"nothing was set aside: no event stops {sound[0]} here. `status().poisoned` says what is "
                    "stopped; what is wrong with others is put right by a command."
                )
            raise Refused(f"nothing was set aside: {stopped[0]} is stopped by {other} too. Name both.")
        self._forget(stopped)
        for stream in stopped:
            del self._dots[stream]

    def _forget(self, streams: Iterable[str]) -> None:
        """What was read without some events is read again, with them, when somebody asks."""
        draft = self._core.draft
        for stream in streams:
            draft.forget_present(stream)
            if stream in draft.memory.poison:
                draft.memory.poison = draft.memory.poison.delete(stream)
