"""Who wrote, which event, and how much of everybody's past one has seen.

Rule 1. A replica is named by 64 random bits. The name people read is a label: it is never compared.
Rule 2. A dot (replica, seq) names one event. Seqs start at 1 and have no gaps.
Rule 3. A version says, for each replica, the highest seq observed. It names a past: all events at or
        below it. Because seqs have no gaps and pasts are causally closed, one number a replica is enough.
Rule 4. Versions are ordered by inclusion. Of two versions exactly one holds: equal, before, after,
        concurrent. Concurrent is not a tie to be broken: it means that neither had seen the other.

Source: Fidge 1988, Mattern 1989 (vector clocks); Parker et al. 1983 (version vectors);
Almeida et al. 2014 (dots, "Scalable and Accurate Causality Tracking").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, NamedTuple

from immutables import Map


class ReplicaId(int):
    """64 bits that name one writer, and a label for people.

    Two ids are equal when their bits are; the label plays no part.
    """

    label: str

    def __new__(cls, bits: int, label: str = "") -> ReplicaId:
        if not 0 <= bits < 1 << 64:
            raise ValueError(f"a replica id has 64 bits, and {bits} does not fit")
        self = super().__new__(cls, bits)
        self.label = printable(label)
        return self

    def __str__(self) -> str:
        return self.label or f"{int(self):016x}"

    def __repr__(self) -> str:
        return f"ReplicaId({int(self):#018x}, {self.label!r})"


def printable(words: str) -> str:
    """What somebody else has written, fit for a log and a terminal."""
    return words if words.isprintable() else "".join(c if c.isprintable() else "?" for c in words)


def name_of(replica: int) -> str:
    """The label of a replica, or its bits in hexadecimal where it has none."""
    return str(replica) if isinstance(replica, ReplicaId) else f"{replica:016x}"


class Dot(NamedTuple):
    """The name of one event: its replica, and its place (from 1) in that replica's log."""

    replica: int
    seq: int

    def __str__(self) -> str:
        return f"{name_of(self.replica)}:{self.seq}"


class Order(Enum):
    """The four ways in which two versions can stand to each other."""

    EQUAL = "equal"
    BEFORE = "before"
    AFTER = "after"
    CONCURRENT = "concurrent"


_NOTHING: Map[int, int] = Map()


class VersionVector:
    """A past, named: replica -> highest seq observed. Immutable; a replica not named has seq 0."""

    __slots__ = ("seqs",)

    seqs: Map[int, int]

    def __init__(self, seqs: Mapping[int, int] | Iterable[tuple[int, int]] = ()) -> None:
        if not isinstance(seqs, Map):
            pairs = dict(seqs)
            for replica, seq in pairs.items():
                if seq < 0:
                    raise ValueError(f"seqs start at 1, and {name_of(replica)} is given {seq}")
            seqs = Map({replica: seq for replica, seq in pairs.items() if seq})
        self.seqs = seqs

    def __getitem__(self, replica: int) -> int:
        return self.seqs.get(replica, 0)

    def __contains__(self, dot: object) -> bool:
        if not isinstance(dot, tuple):
            raise TypeError(f"a version contains dots, as `entry.dot`, and {dot!r} is none")
        return bool(dot[1] <= self.seqs.get(dot[0], 0))

    def __iter__(self) -> Iterator[Dot]:
        """The highest dot of each replica, in the order of the replicas' bits."""
        return (Dot(replica, seq) for replica, seq in sorted(self.seqs.items()))

    def __len__(self) -> int:
        return len(self.seqs)

    def __bool__(self) -> bool:
        return bool(self.seqs)

    def __le__(self, other: VersionVector) -> bool:
        try:
            theirs = other.seqs
        except AttributeError:  # a TypeError follows from it: what names no past is not before or after one
            return NotImplemented
        return all(seq <= theirs.get(replica, 0) for replica, seq in self.seqs.items())

    def __lt__(self, other: VersionVector) -> bool:
        return self != other and self <= other

    def __ge__(self, other: VersionVector) -> bool:
        # Said of the class: with `<=` Python asks a right side of a subclass first, which would ask here again.
        return VersionVector.__le__(other, self) if isinstance(other, VersionVector) else NotImplemented

    def __gt__(self, other: VersionVector) -> bool:
        return VersionVector.__lt__(other, self) if isinstance(other, VersionVector) else NotImplemented

    def __eq__(self, other: object) -> bool:
        return self.seqs == other.seqs if isinstance(other, VersionVector) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.seqs)

    def __or__(self, other: VersionVector) -> VersionVector:
        """The least version that contains both."""
        if not isinstance(other, VersionVector):
            return NotImplemented
        if not isinstance(other, VersionVector):
            return NotImplemented
        if len(self.seqs) < len(other.seqs):
            self, other = other, self
        seqs = self.seqs.mutate()
        for replica, seq in other.seqs.items():
            if seq > seqs.get(replica, 0):
                seqs[replica] = seq
        return VersionVector(seqs.finish())

    def __and__(self, other: VersionVector) -> VersionVector:
        """The greatest version that both contain."""
        if not isinstance(other, VersionVector):
            return NotImplemented
        return VersionVector({r: min(seq, other[r]) for r, seq in self.seqs.items() if r in other.seqs})

    def advance(self, replica: int, seq: int) -> VersionVector:
        """This version and the events of `replica` up to `seq`; never a smaller one."""
        return self if seq <= self.seqs.get(replica, 0) else VersionVector(self.seqs.set(replica, seq))

    def advance_all(self, seqs: Mapping[int, int]) -> VersionVector:
        """This version and the events of some replicas up to these; never a smaller one."""
        news = {replica: seq for replica, seq in seqs.items() if seq > self.seqs.get(replica, 0)}
        return VersionVector(self.seqs.update(news)) if news else self

    def compare(self, other: VersionVector) -> Order:
        """How this version stands to `other`: exactly one of the four."""
        below, above = self <= other, other <= self
        if below and above:
            return Order.EQUAL
        if below:
            return Order.BEFORE
        return Order.AFTER if above else Order.CONCURRENT

    def missing(self, other: VersionVector) -> dict[int, range]:
        """What `other` has observed and this has not: replica -> range of seqs."""
        return {
            replica: range(self[replica] + 1, seq + 1)
            for replica, seq in sorted(other.seqs.items())
            if seq > self[replica]
        }

    def __str__(self) -> str:
        shown = sorted((name_of(replica), replica, seq) for replica, seq in self.seqs.items())
        return " ".join(f"{name}:{seq}" for name, _, seq in shown)

    def __repr__(self) -> str:
        return f"VersionVector({dict(sorted(self.seqs.items()))!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return VersionVector, (dict(self.seqs.items()),)


class Named(VersionVector):
    """A version that is printed, and iterated over, with labels: they are looked up only then."""

    __slots__ = ("_labels",)

    def __init__(self, version: VersionVector, labels: Mapping[int, ReplicaId]) -> None:
        super().__init__(version.seqs)
        self._labels = labels

    def __iter__(self) -> Iterator[Dot]:
        return (Dot(self._labels.get(replica, replica), seq) for replica, seq in super().__iter__())

    def __str__(self) -> str:
        return str(VersionVector(iter(self)))


class Seen:
    """What a version holds, and the events of one replica up to `seq`: the context of an event, made in no time."""

    __slots__ = ("_base", "_replica", "_seq", "_seqs")

    def __init__(self, base: VersionVector, replica: int, seq: int) -> None:
        self._base, self._seqs, self._replica, self._seq = base, base.seqs, replica, seq

    def __contains__(self, dot: object) -> bool:
        if not isinstance(dot, tuple):
            return False
        replica, seq = dot
        return bool((replica == self._replica and seq <= self._seq) or seq <= self._seqs.get(replica, 0))

    @property
    def version(self) -> VersionVector:
        """The same as a version."""
        return self._base.advance(self._replica, self._seq)


NOTHING = VersionVector(_NOTHING)
"""The empty past."""
