"""Comparisons: what comparing presents with peers has come to. (How it is done: `replica.comparing`.)

Rule 1. A divergence is an alarm: two replicas hold the same events of a stream, and read them differently. There is
        one a peer and stream, however often it is seen; it goes when the two compare equal again, or when one of
        them has other code.
Rule 2. What is not compared is counted, and why: never silence.
Rule 3. All of it is bounded, whatever peers claim.
Rule 4. Alarms stand beside the log, for those who look into the file. Those of other code than that which opens it
        are let go of: it is compared anew.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from merge.version import Dot, ReplicaId
from replica.decider import Decider
from replica.draft import Draft
from replica.log import Kept, Span
from replica.status import Divergence, LeftOut

MOST = 64
"""Alarms that are kept: enough to see which aggregate they have in common. Of more only the number."""
MOST_LEFT = 10_000
"""Streams, a peer, that are known to be left out."""
DIGESTS = 256
"""Presents whose digests are remembered, in memory or not, for the next link that asks."""

KIND = "divergence"
OTHER_CODE, POISONED, NO_DIGEST = "other code", "poisoned", "no digest"


class Comparisons:
    """What is known at one replica of how its presents compare with those of its peers."""

    def __init__(self, kept: Iterable[Kept], aggregates: Mapping[str, Decider]) -> None:
        self.equal = 0
        """Comparisons of which both sides came to the same."""
        self.mended = 0
        """Presents in memory that were not the fold of their log, and were read again."""
        self.unlisted = 0
        """Divergences that were seen while there were MOST already."""
        self.unsaid: list[Divergence] = []
        """What the shell should log."""
        self.digests: OrderedDict[str, tuple[Any, bytes]] = OrderedDict()
        """By stream: a state, and its digest."""
        self.cold: OrderedDict[str, Any] = OrderedDict()
        """By stream that is not in memory: what it came to, and which blocks were read for that."""
        self._open: dict[tuple[int, str], Divergence] = {}
        self._left: dict[int, dict[str, str]] = {}
        self._aggregates = aggregates
        self._changed: dict[tuple[int, str], None] = {}
        """Alarms that are other than those beside the log."""
        for one in kept:
            if one.kind == KIND:
                self._recall(one)

    @property
    def divergences(self) -> tuple[Divergence, ...]:
        """The alarms that stand."""
        return tuple(self._open.values())

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """What is not compared, and why."""
        counts = Counter(
            (why, stream if why == POISONED else stream.split("/", 1)[0])
            for left in self._left.values()
            for stream, why in left.items()
        )
        return tuple(LeftOut(why, what, streams) for (why, what), streams in sorted(counts.items()))

    def changed(self, streams: Iterable[str]) -> None:
        """These have new events."""
        for stream in streams if self.cold else ():
            self.cold.pop(stream, None)

    def compared(self, peer: int, stream: str) -> None:
        """Both came to the same."""
        self.equal += 1
        self._clear(peer, stream)
        self._left.get(peer, {}).pop(stream, None)

    def leave_out(self, peer: int, stream: str, why: str) -> None:
        """These two cannot be compared."""
        self._clear(peer, stream)
        left = self._left.get(peer, {})
        if stream in left or sum(map(len, self._left.values())) < MOST_LEFT:
            left[stream] = why
            self._left[peer] = left

    def explained(self, peer: int, stream: str) -> bool:
        """An alarm names the event; or there are so many alarms that nobody looks for one."""
        found = self._open.get((peer, stream))
        return len(self._open) >= MOST if found is None else found.event is not None

    def alarm(self, found: Divergence) -> None:
        """Raise an alarm, or say more of one that stands."""
        key = int(found.peer), found.stream
        before = self._open.get(key)
        if before is None and len(self._open) >= MOST:
            self.unlisted += 1
        elif before is None or (
            before.event is None and (found.event is not None or found.fault not in ("", before.fault))
        ):
            self._open[key] = found
            self._changed[key] = None
            self.unsaid.append(found)

    def _clear(self, peer: int, stream: str) -> None:
        key = int(peer), stream
        if self._open.pop(key, None) is not None:
            self._changed[key] = None

    # --- beside the log ---

    @property
    def unsaved(self) -> bool:
        """Other alarms stand than beside the log."""
        return bool(self._changed)

    def save(self, draft: Draft) -> None:
        """Let the alarms that stand now stand beside the log."""
        for peer, stream in self._changed:
            key, found = f"{peer:016x} {stream}", self._open.get((peer, stream))
            if found is None:
                draft.let_go(Span.one(KIND, key))
            else:
                draft.keep(KIND, key, _encode((self._fold_of(stream), _plain(found))))
        self._changed.clear()

    def _recall(self, kept: Kept) -> None:
        """An alarm that was raised before this process began."""
        fold, found = read(kept.value)
        key = int(found.peer), found.stream
        if fold == self._fold_of(found.stream) or not self._aggregates:
            self._open[key] = found
        else:
            self._changed[key] = None

    def _fold_of(self, stream: str) -> str:
        aggregate = self._aggregates.get(stream.split("/", 1)[0])
        return "" if aggregate is None else aggregate.fingerprint()


def read(value: bytes) -> tuple[str, Divergence]:
    """An alarm as it stands beside the log, and the fingerprint of the fold that it is about."""
    fold, (stream, peer, since, event, *rest) = _decode(value)
    dot = None if event is None else Dot(ReplicaId(*event[:2]), event[2])
    return fold, Divergence(stream, ReplicaId(*peer), since, dot, *rest)


def _plain(one: Divergence) -> tuple[Any, ...]:
    event = None
    if one.event is not None:
        event = int(one.event.replica), str(one.event.replica), one.event.seq
    peer = int(one.peer), one.peer.label
    return one.stream, peer, one.since, event, one.type, one.here, one.there, one.fault, one.what


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
