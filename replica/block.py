"""Blocks: a log as columns of bytes, and the one hash that names it.

Rule 1. A block closes with the first commit that brings it to 1,024 events or 256 KiB of payload. That is
        arithmetic on the log: it never depends on what anyone has stored.
Rule 2. A block is eight columns. A commit appends bytes to them and changes none: msgpack elements without
        the array header, stamps as differences, streams and types numbered by first use in the block,
        payloads inline.
Rule 3. head = blake2b(store, replica, first seq of the block, parent head, digest of each column so far).
        The parent is the last head of the block before. Compressed bytes are never hashed. So commit by
        commit, in bulk or in random slices, everybody computes the same heads; and since columns are
        digested apart, one payload column can be replaced by its digest and the log still verifies.
Rule 4. What is stored and sent is the slice: the columns between two commits of one block, with the head
        before it and the head it claims after it. A receiver computes that head from its own prefix before
        it believes anything.

| column   | one element a | element                                                             |
|----------|---------------|---------------------------------------------------------------------|
| count    | commit        | uint: its events                                                    |
| wall     | commit        | int: wall ms less that of the commit before (the first in a block: whole) |
| counter  | commit        | uint: the counter of its stamp                                      |
| observed | commit        | nil, or an array of [replica, seq, 8 bytes of that head]            |
| note     | commit        | nil, or [command id, correlation id, [replica, seq] of the cause, subject key] |
| stream   | event         | uint, or at its first use in the block the name (which takes the next number) |
| type     | event         | uint, or at its first use in the block [name, schema version]       |
| payload  | event         | any msgpack value                                                   |
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import accumulate, islice, pairwise
from typing import Annotated, Any, NamedTuple

import msgspec

from merge.stamp import LAST_WALL
from replica import columns
from replica.columns import (
    COLUMNS,
    OBSERVED,
    PAYLOAD,
    PER_COMMIT,
    Uint64,
    array,
    elements,
    split,
    where,
)
from replica.commit import MAX_EVENTS, MAX_OBSERVED, MAX_PAYLOAD, PREFIX, Commit, Observed
from replica.decoded import Decoded
from replica.depth import MAX_DEPTH, too_deep
from replica.errors import InvalidBatch

BLOCK_EVENTS = 1024
BLOCK_PAYLOAD = 256 * 1024
HASH = 32
GENESIS = bytes(HASH)
"""The head of a log before its first event."""
PERSON = b"anabranch 0"


class Head(NamedTuple):
    """The name of a log up to `seq`."""

    seq: int
    hash: bytes

    def named(self, replica: int) -> Observed:
        """This head of a log of `replica` as a context names it."""
        return Observed(replica, self.seq, self.hash[:PREFIX])


class Slice(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """The columns of the events after+1 .. last of one replica, all in the block that begins at `first`."""

    replica: Uint64
    first: Annotated[int, msgspec.Meta(ge=1)]
    after: Uint64
    last: Annotated[int, msgspec.Meta(ge=1)]
    commits: Annotated[int, msgspec.Meta(ge=1)]
    base: Annotated[bytes, msgspec.Meta(min_length=HASH, max_length=HASH)]
    head: Annotated[bytes, msgspec.Meta(min_length=HASH, max_length=HASH)]
    columns: tuple[bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes]

    @property
    def size(self) -> int:
        return sum(map(len, self.columns))

    @property
    def is_full(self) -> bool:
        """A slice that begins its block, and after which the block has no room: it never grows."""
        return self.after == self.first - 1 and (
            self.last - self.after >= BLOCK_EVENTS or len(self.columns[-1]) >= BLOCK_PAYLOAD
        )


class Tail:
    """The open end of a log: all that is needed to append to it, or to check what somebody else appended.

    Mutable, and small: it holds digests and tables, no events. `copy` gives an independent one.
    """

    __slots__ = ("_digests", "events", "first", "hash", "parent", "payload", "replica", "seq", "store",
                 "streams", "types", "wall")  # fmt: skip

    def __init__(self, store: str, replica: int, head: Head = Head(0, GENESIS)) -> None:
        self.store, self.replica = store, replica
        self.seq, self.hash = head
        self._begin_block()

    def _begin_block(self) -> None:
        self.first, self.parent = self.seq + 1, self.hash
        self._digests = [blake2b(digest_size=16, person=PERSON) for _ in COLUMNS]
        self.streams: dict[str, int] = {}
        self.types: dict[tuple[str, int], int] = {}
        self.wall = self.events = self.payload = 0

    def copy(self) -> Tail:
        twin = object.__new__(Tail)
        twin.store, twin.replica, twin.seq, twin.hash = self.store, self.replica, self.seq, self.hash
        twin.first, twin.parent = self.first, self.parent
        twin.wall, twin.events, twin.payload = self.wall, self.events, self.payload
        twin._digests = [digest.copy() for digest in self._digests]
        twin.streams, twin.types = self.streams.copy(), self.types.copy()
        return twin

    @property
    def head(self) -> Head:
        return Head(self.seq, self.hash)

    def append(self, commit: Commit) -> Slice:
        """Take one commit of this log's own replica, and return it as a slice."""
        return self.extend([commit])

    def room_for(self, commits: Sequence[Commit]) -> int:
        """How many of these commits belong to the open block: it closes with the one that fills it."""
        events, payload = self.events, self.payload
        for count, commit in enumerate(commits, 1):
            events += len(commit.events)
            payload += sum([len(event.payload) for event in commit.events])
            if events >= BLOCK_EVENTS or payload >= BLOCK_PAYLOAD:
                return count
        return len(commits)

    def extend(self, commits: Sequence[Commit]) -> Slice:
        """Take commits of this log's own replica that all belong to the open block, and return them as one slice.

        Each column is encoded in one call: the elements of an array are the same bytes as each of them alone.
        """
        streams = [self._number(self.streams, event.stream) for commit in commits for event in commit.events]
        types = [self._number(self.types, (e.type, e.schema)) for commit in commits for e in commit.events]
        walls = [commit.stamp.wall for commit in commits]
        payload = b"".join([event.payload for commit in commits for event in commit.events])
        written = (
            elements([len(commit.events) for commit in commits]),
            elements([wall - before for before, wall in pairwise((self.wall, *walls))]),
            elements([commit.stamp.counter for commit in commits]),
            elements([commit.observed or None for commit in commits]),
            elements([commit.note for commit in commits]),
            elements(streams),
            elements(types),
            payload,
        )
        first, after, base = self.first, self.seq, self.hash
        self.wall = walls[-1]
        self._take(written, len(streams), len(payload))
        head = self._close()
        return Slice(self.replica, first, after, commits[-1].last, len(commits), base, head, written)

    @staticmethod
    def _number(table: dict[Any, int], name: Any) -> Any:
        number = table.get(name)
        if number is None:
            table[name] = len(table)
            return name
        return number

    def _take(self, written: tuple[bytes, ...], events: int, payload: int) -> None:
        for digest, column in zip(self._digests, written, strict=True):
            digest.update(column)
        self.seq += events
        self.events += events
        self.payload += payload

    def _close(self) -> bytes:
        """Compute the head, and begin the next block if this one is full."""
        self.hash = head_of(self.store, self.replica, self.first, self.parent, [d.digest() for d in self._digests])
        if self.events >= BLOCK_EVENTS or self.payload >= BLOCK_PAYLOAD:
            self._begin_block()
        return self.hash

    def read(self, piece: Slice) -> Decoded:
        """The commits of a slice that continues this tail; InvalidBatch where its bytes break a rule."""
        try:
            return self._read(piece)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidBatch(f"{where(piece)} cannot be read: {error}") from error

    def _read(self, piece: Slice) -> Decoded:
        events = piece.last - piece.after
        if (piece.replica, piece.first, piece.after) != (self.replica, self.first, self.seq):
            raise InvalidBatch(f"{where(piece)} does not continue the log at {self.seq}")
        _check_claims(piece)
        decoded = Decoded(piece, self.wall, self.streams, self.types)
        decoded.read_all()
        columns.check_notes(piece)
        counts, walls, seen = decoded.counts, decoded.walls, decoded.observed
        if sum(counts) != events:
            raise InvalidBatch(f"{where(piece)} claims {events} events and holds {sum(counts)}")
        if min(walls) < 0 or max(walls) >= LAST_WALL:
            raise InvalidBatch(f"{where(piece)} has a stamp outside of time")
        if any(seen) and not all(_ascending(observed) for observed in seen if observed):
            raise InvalidBatch(f"{where(piece)} names more than {MAX_OBSERVED} heads, or names one log twice")
        if self.payload + len(piece.columns[PAYLOAD]) >= min(BLOCK_PAYLOAD, MAX_PAYLOAD):
            self._check_sizes(piece, counts, decoded.payloads)
        if any(too_deep(bytes(long)) for long in [one for one in decoded.payloads if len(one) > MAX_DEPTH]):
            raise InvalidBatch(f"{where(piece)} has a payload that is nested more than {MAX_DEPTH} levels deep")
        if self.events + events - counts[-1] >= BLOCK_EVENTS:
            raise InvalidBatch(f"{where(piece)} goes on after its block is full")
        return decoded

    def _check_sizes(self, piece: Slice, counts: list[int], payloads: list[msgspec.Raw]) -> None:
        size, each = self.payload, iter(payloads)
        for count in counts:
            if size >= BLOCK_PAYLOAD:
                raise InvalidBatch(f"{where(piece)} goes on after its block is full")
            own = sum(map(len, islice(each, count)))
            if own > MAX_PAYLOAD:
                raise InvalidBatch(f"{where(piece)} has a commit of {own} bytes; the limit is {MAX_PAYLOAD}")
            size += own

    def accept(self, piece: Slice, decoded: Decoded, at: frozenset[int] = frozenset()) -> dict[int, bytes]:
        """Take a slice that `read` has decoded, and return the hashes at its end and at the seqs in `at`.

        Raises InvalidBatch where the head that the slice claims is not the head of its bytes; this tail is
        then of no further use.
        """
        if piece.base != self.hash:
            raise InvalidBatch(f"{where(piece)} does not stand on the history that is held here")
        self.streams = {name: number for number, name in enumerate(decoded.streams)}
        self.types = {name: number for number, name in enumerate(decoded.types)}
        hashes = {}
        inner = sorted([seq for seq in at if piece.after < seq < piece.last])
        rest: tuple[bytes, ...] = piece.columns
        if inner:
            stops = [index + 1 for seq in inner if decoded.lasts[index := bisect_left(decoded.lasts, seq)] == seq]
            edges = _edges_at(piece, decoded, stops)
            for number, stop in enumerate(stops):
                seq = decoded.lasts[stop - 1]
                self._take(between(piece, edges, number, number + 1), seq - self.seq, 0)
                hashes[seq] = self._close()
            rest = between(piece, edges, len(stops), len(stops) + 1)
        self.wall = decoded.walls[-1]
        self._take(rest, piece.last - self.seq, len(piece.columns[PAYLOAD]))
        hashes[piece.last] = self._close()
        if hashes[piece.last] != piece.head:
            raise InvalidBatch(f"{where(piece)} claims a head that its bytes do not have: the chain is broken")
        return hashes


def head_of(store: str, replica: int, first: int, parent: bytes, digests: list[bytes]) -> bytes:
    name = store.encode()
    total = blake2b(len(name).to_bytes(4, "big") + name, digest_size=HASH, person=PERSON)
    total.update(replica.to_bytes(8, "big") + first.to_bytes(8, "big") + parent + b"".join(digests))
    return total.digest()


def head_of_block(store: str, piece: Slice) -> bytes:
    """The head after a slice that begins its block, computed from its bytes."""
    return head_of(store, piece.replica, piece.first, piece.base, digests_of(piece.columns))


def _check_claims(piece: Slice) -> None:
    events, commits = piece.last - piece.after, piece.commits
    if not commits <= events <= BLOCK_EVENTS + MAX_EVENTS:
        raise InvalidBatch(f"{where(piece)} claims {events} events in {commits} commits, which no block holds")


def _ascending(observed: list[tuple[int, int, bytes]]) -> bool:
    return len(observed) <= MAX_OBSERVED and all(one[0] < other[0] for one, other in pairwise(observed))


def observed_of(piece: Slice) -> list[list[tuple[int, int, bytes]] | None]:
    """The heads that each commit of a slice names; InvalidBatch where they cannot be read."""
    _check_claims(piece)
    try:
        return columns.observed(piece)
    except msgspec.DecodeError as error:
        raise InvalidBatch(f"{where(piece)} cannot be read: {error}") from error


def names_of(piece: Slice) -> tuple[list[str], dict[tuple[str, int], int]]:
    """The streams of a slice that begins its block, and how many events it has of which types."""
    streams = [name for name in columns.streams(piece) if type(name) is str]
    used: Counter[Any] = Counter(columns.types(piece))
    kinds = [kind for kind in used if type(kind) is tuple]
    return streams, {kind: 1 + used[number] for number, kind in enumerate(kinds)}


def digests_of(each: Iterable[bytes]) -> list[bytes]:
    """The digest of each column."""
    return [blake2b(column, digest_size=16, person=PERSON).digest() for column in each]


def boundaries(piece: Slice, counts: list[int]) -> list[Sequence[int]]:
    """For each column the offsets of its bytes at the commit boundaries of the slice (commits + 1 of them)."""
    events = list(accumulate(counts, initial=0))
    edges: list[Sequence[int]] = []
    for index, column in enumerate(piece.columns):
        per_commit = index < PER_COMMIT
        count = piece.commits if per_commit else events[-1]
        offsets = _offsets(count, column)
        edges.append(offsets if per_commit or count == piece.commits else [offsets[event] for event in events])
    return edges


def _edges_at(piece: Slice, decoded: Decoded, stops: list[int]) -> list[Sequence[int]]:
    """The same at a few boundaries alone, before which lie so many commits; and at both ends."""
    commits = [0, *stops, piece.commits]
    events = [0, *[decoded.lasts[stop - 1] - piece.after for stop in commits[1:]]]
    edges: list[Sequence[int]] = []
    for index, column in enumerate(piece.columns):
        at = commits if index < PER_COMMIT else events
        if index == OBSERVED:  # most are nil, which is one byte
            raws = split(array(piece.commits, column))
            more = [len(raws[one]) - 1 for one in decoded.observing]
            edges.append([stop + sum(more[: bisect_left(decoded.observing, stop)]) for stop in at])
        elif index == PAYLOAD:
            sizes = [sum(map(len, decoded.payloads[start:stop])) for start, stop in pairwise(at)]
            edges.append([*accumulate(sizes, initial=0)])
        else:
            offsets = _offsets(at[-1], column)
            edges.append([offsets[stop] for stop in at])
    return edges


def _offsets(count: int, column: bytes) -> Sequence[int]:
    """Where the elements of a column begin, and where the last one ends."""
    rest = len(column) - count
    if rest == 0:  # each is one byte
        return range(count + 1)
    try:
        split(array(1, column[: rest + 1]))
    except msgspec.DecodeError:
        return list(accumulate(map(len, split(array(count, column))), initial=0))
    return [0, *range(rest + 1, len(column) + 1)]  # but for the first, which often gives a name, or a whole number


def between(piece: Slice, edges: list[Sequence[int]], start: int, stop: int) -> tuple[bytes, ...]:
    return tuple(column[edge[start] : edge[stop]] for column, edge in zip(piece.columns, edges, strict=True))
