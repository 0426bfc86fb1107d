"""How far a stream has been folded: a place in a stream, which is not a version.

Rule 1. A version is causally closed and ends between commits. A place says, for each replica, the seq of the last
        event of the stream itself that is held: it does neither, for what lies before that event in other streams
        need not be held, and a decision that told several streams goes on behind it.
Rule 2. Commits are folded whole. So who holds an event of a stream holds all events of the stream in the same
        commit, and what comes next begins behind that commit, wherever in it the place lies (`Reader.run_of`).
Rule 3. A version names a place, that of the stream's events which it holds (`StreamPlace.holding`), and a place
        lies inside a version or not. Nothing leads from a place to a version but `named`, which is words for
        people: a cut that is named so is closed before anybody reads at it (`replica.cut`).
Rule 4. What takes the one refuses the other, for mypy and at run time: a TypeError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from immutables import Map

from merge.version import ReplicaId, VersionVector


class StreamPlace:
    """Replica -> seq of the last event of the stream that is held. Immutable."""

    __slots__ = ("_seqs",)

    _seqs: Map[int, int]

    def __init__(self, seqs: Mapping[int, int] = Map()) -> None:
        if isinstance(seqs, VersionVector):
            raise TypeError("a version is not a place in a stream: say StreamPlace.holding(version)")
        self._seqs = seqs if isinstance(seqs, Map) else Map({int(replica): seq for replica, seq in seqs.items()})

    @staticmethod
    def holding(version: VersionVector) -> StreamPlace:
        """Behind the stream's events that a version holds, whichever these are."""
        if not isinstance(version, VersionVector):
            raise TypeError(f"a version is needed here, and not a {type(version).__name__}")
        return StreamPlace(version.seqs)

    def seq(self, replica: int) -> int:
        """The last event of a replica that is held; 0 for none."""
        return self._seqs.get(replica, 0)

    def inside(self, version: VersionVector) -> bool:
        """Does a version hold all of this stream that is held here?"""
        if not isinstance(version, VersionVector):
            raise TypeError(f"a version is needed here, and not a {type(version).__name__}")
        seqs = version.seqs
        return all(seq <= seqs.get(replica, 0) for replica, seq in self._seqs.items())

    def advance(self, replica: int, seq: int) -> StreamPlace:
        """This place and the event `seq` of a replica; never a smaller one."""
        return self if seq <= self._seqs.get(replica, 0) else StreamPlace(self._seqs.set(replica, seq))

    def advance_all(self, seqs: Mapping[int, int]) -> StreamPlace:
        """This place and some events, one a replica; never a smaller one."""
        news = {replica: seq for replica, seq in seqs.items() if seq > self._seqs.get(replica, 0)}
        return StreamPlace(self._seqs.update(news)) if news else self

    @property
    def size(self) -> int:
        """All seqs added up: of two places of one stream the one with more is mostly further on."""
        return sum(self._seqs.values())

    @property
    def plain(self) -> dict[int, int]:
        """Replica -> seq, in the order of the replicas' bits."""
        return {int(replica): seq for replica, seq in sorted(self._seqs.items())}

    def named(self, label: Callable[[int], ReplicaId]) -> VersionVector:
        """The events that it ends with, for people and what is written down: words for a cut, and no version."""
        return VersionVector([(label(replica), seq) for replica, seq in self._seqs.items()])

    def __bool__(self) -> bool:
        return bool(self._seqs)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, VersionVector):
            raise TypeError("a place in a stream and a version are not compared: see StreamPlace.inside")
        return isinstance(other, StreamPlace) and self._seqs == other._seqs

    def __hash__(self) -> int:
        return hash(self._seqs)

    def __repr__(self) -> str:
        return f"StreamPlace({self.plain!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return StreamPlace, (self.plain,)


START = StreamPlace()
"""Before the first event."""
