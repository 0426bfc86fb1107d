"""What two logs need to know of each other when they meet: heads, what the other one lacks, how late it may be.

For each log of mine whose head the other does not have, `compare` says from which of the other's heads to go on. A
head says where a log ends, not what lies below it, so the answer is a list of candidates, the highest first;
the log itself knows which of them it has passed through. None of them, and the history is sent from its
beginning: a second one was written under the same id.

Where all heads of the other are higher than mine, it may go on from mine, and there is nothing to send. Not so
where I hold several histories of that log: the other's may belong to a higher one, and of the lower one it may know
nothing (what it knows all the same, it ignores).

The horizon is how far in the future stamps are accepted: a day beyond the own clock, so that no wrong clock and no
member who means harm can carry everybody's stamps away: they lead the clock by a day at most, however often it is
tried, and so does what an honest replica writes after them. Who has a right clock takes it all. A clock that is
slow by more than a day delays what others write until it gets there, which the status of both sides shows.

A clock that stands before this code was written was never set, and is none: the newest stamp in the log takes its
place, so that a device without one keeps nobody's events out. (The price: it can be led on, a day at a time, and
what it then writes waits at the others.)
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
from immutables import Map

from merge.stamp import Stamp
from replica.block import GENESIS, PERSON, Head, Slice
from replica.lineage import Lineage
from replica.outgoing import Want

Heads = Mapping[int, tuple[Head, ...]]
"""By replica: the heads of its logs (one, unless two histories were written under its id)."""

MODULUS = 1 << 128
_pack = msgspec.msgpack.Encoder().encode

HORIZON = 24 * 60 * 60 * 1000
"""ms: more than time zones set wrongly, less than anybody takes for now."""
WRITTEN = 1_735_689_600_000
"""The beginning of 2025: no clock that was set stands before it."""


BASES = 64
"""Heads of a peer from which a log may be continued that are tried, the highest first. If it is none of them all of
the log is sent, and the peer ignores what it holds."""


class Theirs(dict[int, tuple[Head, ...]]):
    """The heads that a peer has, by replica.

    Those of logs that are not held here matter when these arrive from elsewhere: they stay in 48 bytes each, about
    as many as they were sent in.
    """

    def __init__(self, rows: Iterable[tuple[int, int, bytes]] = (), here: Heads = MappingProxyType({})) -> None:
        super().__init__()
        self._rest: list[tuple[array[int], bytes]] = []
        self.add(rows, here)

    def add(self, rows: Iterable[tuple[int, int, bytes]], here: Heads) -> None:
        """More of them; `here` is what is held here."""
        ids, heads = array("Q"), bytearray()
        for replica, seq, hash_ in sorted(rows):
            if replica in here:
                self[replica] = (*self.get(replica, ()), Head(seq, hash_))
            else:
                ids.append(replica)
                heads += seq.to_bytes(8, "big") + hash_
        if ids:
            self._rest.append((ids, bytes(heads)))

    def get(self, replica: int, default: Any = None) -> Any:
        found = super().get(replica)
        if found is None and self._rest:
            found = tuple(self._find(replica)) or None
        return default if found is None else found

    def _find(self, replica: int) -> Iterator[Head]:
        for ids, heads in self._rest:
            for at in range(bisect_left(ids, replica), bisect_right(ids, replica)):
                one = heads[40 * at : 40 * at + 40]
                yield Head(int.from_bytes(one[:8], "big"), one[8:])

    def __len__(self) -> int:
        return super().__len__() + sum([len(ids) for ids, _ in self._rest])

    def __bool__(self) -> bool:
        return len(self) > 0


class Frontier(NamedTuple):
    """The heads of all logs that are durable somewhere, and the sum of their names. Moving costs what has moved."""

    heads: Map[int, tuple[Head, ...]]
    total: int

    @property
    def digest(self) -> bytes:
        """16 bytes that name this set of heads: the sum of a hash of each (AdHash: Bellare and Micciancio 1997)."""
        return self.total.to_bytes(16, "big")

    def moved(self, lineages: Mapping[int, Lineage], replicas: Iterable[int]) -> Frontier:
        """The same after the logs of some replicas have moved."""
        heads, total = self.heads, self.total
        for replica in replicas:
            after = tuple(lineages[replica].heads)
            total += _names(replica, after) - _names(replica, heads.get(replica, ()))
            heads = heads.set(replica, after)
        return Frontier(heads, total % MODULUS)


def frontier_of(lineages: Mapping[int, Lineage]) -> Frontier:
    """The frontier of these logs."""
    return Frontier(Map(), 0).moved(lineages, lineages)


def _names(replica: int, heads: Iterable[Head]) -> int:
    return sum(
        int.from_bytes(blake2b(_pack((replica, *head)), digest_size=16, person=PERSON).digest(), "big")
        for head in heads
    )


def all_heads(lineages: Mapping[int, Lineage]) -> dict[int, tuple[Head, ...]]:
    """The heads of some logs."""
    return {replica: tuple(lineage.heads) for replica, lineage in lineages.items()}


def compare(mine: Heads, theirs: Heads) -> list[Want]:
    """What to send to somebody who has `theirs`, by replica."""
    wants = []
    for replica, own in mine.items():
        their = theirs.get(replica, ())
        if own == their:
            continue
        for head in own:
            if head in their:
                continue
            below = sorted((base for base in their if base.seq <= head.seq), reverse=True)[:BASES]
            if below or not their or len(own) > 1:
                wants.append(Want(replica, head, tuple(below) if their else (Head(0, GENESIS),)))
    return wants


def note(heads: dict[int, tuple[Head, ...]], piece: Slice) -> None:
    """Who has these heads has this slice now, or will have it."""
    end = Head(piece.last, piece.head)
    held = heads.get(piece.replica, ())
    if end not in held:
        heads[piece.replica] = (*(head for head in held if head != (piece.after, piece.base)), end)


def accepted_until(newest: Stamp | None, now: int) -> int:
    """The greatest wall time (ms) of a stamp that is accepted at `now`, where `newest` is in the log."""
    if now < WRITTEN and newest is not None:
        now = max(now, newest.wall)
    return now + HORIZON
