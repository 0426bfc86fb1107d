"""Snapshots: folds that are kept beside the log, so that a long stream is not folded from its beginning each time.

Rule 1. A snapshot of a stream is taken at a stamp: it holds all events of the stream up to there that the
        replica had observed, and says at which version that was. It serves whatever lies after it.
Rule 2. It dies in the transaction that ingests an earlier event of its stream, and with every second history.
Rule 3. It carries a fingerprint of the code that folded it. Other code folds again from the log.
Rule 4. It is never trusted over the log. What does not come back out of its bytes as it went in is not kept;
        what cannot be read, or is not what was written (it begins with a digest), is passed over; `verify` folds
        from the log and compares.
Rule 5. A ladder: one is taken after every EVERY events of a stream that are folded, and two of those behind the
        newest stay for each power of two of the distance. So there are few, and a late past finds one at most
        four times as far back as it is itself.
Rule 6. An ordered aggregate may ask for the earlier events that an event had not seen. So its snapshot serves
        only events that have seen all it holds; for others a lower rung is taken, or the beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from merge.stamp import Stamp
from merge.version import VersionVector
from replica.bulk import Bulk, in_bulk
from replica.commit import Commit
from replica.decider import Decider
from replica.event import EventTypes
from replica.log import Kept, Span
from replica.place import START, StreamPlace
from replica.plain import folds_by_column
from replica.uncollected import uncollected

if TYPE_CHECKING:
    from replica.reading import Reader

KIND = "snapshot"
EVERY = 1024
"""Events between two snapshots, at least: about 30 ms of folding, and a block of a log."""
PER_EVENT = 64
"""Bytes of a snapshot for which one event must have been folded since the last."""
MILESTONES = 32
"""Stretches of a stream of which a snapshot is kept for those who go back."""
PER_PAST = 4
"""Bytes an event that these may take, all together."""
DIGEST = 16
"""Bytes at the beginning of a snapshot that name its key and all other bytes."""

Contexts = Iterable[tuple[Commit, VersionVector]]


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """A fold at a stamp."""

    fingerprint: str
    stamp: tuple[int, int, int]
    version: dict[int, int]
    """What the replica had observed."""
    stands: dict[int, int]
    """How far the stream is folded in it: the last event of its own of each replica."""
    events: int
    """How many events of the stream it holds."""
    fold: bytes


class Folded(NamedTuple):
    """How many events of a stream have been folded, and how many of them its latest snapshot holds."""

    events: int
    held: int
    pause: int = EVERY
    """Events until the next snapshot: more where the state is large, so that taking it stays little work."""

    def more(self, events: int) -> Folded:
        return Folded(self.events + events, self.held, self.pause)


def pause_after(size: int, every: int) -> int:
    """Events until the next snapshot, after one of so many bytes: as many as make a log of about that size."""
    return max(every, size // PER_EVENT)


class Loaded(NamedTuple):
    """A stream as it is read: a fold to begin with, and the commits after it."""

    fold: Any
    """None: from the beginning."""
    stands: StreamPlace
    events: int
    commits: Contexts | Bulk
    size: int = 0
    """Bytes of the snapshot."""
    damaged: tuple[str, ...] = ()
    """Snapshots that were passed over, in words."""


class Damaged(Exception):
    """A snapshot cannot be read. The log has what it held."""


class Unfrozen(Exception):
    """A fold does not come back out of its bytes as it went in, so it is not kept."""


class Limit(NamedTuple):
    """What a fold must be able to take next: events with these stamps, which have seen that."""

    stamp: Stamp
    context: VersionVector


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Snapshot).decode


# --- keys ---


def span(stream: str, first: Stamp | None = None) -> Span:
    """The snapshots of a stream, at `first` or later."""
    prefix = f"{len(stream)}\n{stream}\n"
    return Span(KIND, prefix + ("" if first is None else _hex(first)), prefix + "~")


def _key(stream: str, stamp: Stamp) -> str:
    return f"{len(stream)}\n{stream}\n{_hex(stamp)}"


def _hex(stamp: Stamp) -> str:
    return f"{stamp.wall:016x}{stamp.counter:08x}{stamp.replica:016x}"


# --- taking ---


@uncollected
def take(
    aggregate: Decider,
    stream: str,
    fold: Any,
    stands: StreamPlace,
    events: int,
    version: VersionVector,
    stamp: Stamp,
) -> Kept:
    """A snapshot of a fold. Unfrozen where what comes back out of its bytes would not be what went in."""
    try:
        unknown = aggregate.reached().unknown
        if unknown:
            raise ValueError(
                f"nobody can tell whether what its code uses is what it was ({'; '.join(unknown)}): make it where "
                "it is used, or a constant"
            )
        frozen = aggregate.freeze(fold)
        found = aggregate.unlike(aggregate.thaw(frozen, stamp, stands), fold)
        if found is not None:
            raise ValueError(f"its state does not come back as it was: {found}")
    except Exception as error:
        words = f"no snapshots are kept of {stream} and its like: {error}. They are folded from the log."
        raise Unfrozen(words) from error
    when = stamp.wall, stamp.counter, stamp.replica
    held = Snapshot(aggregate.fingerprint(), when, _plain(version), stands.plain, events, frozen)
    key, data = _key(stream, stamp), _encode(held)
    return Kept(KIND, key, _digest(key, data) + data)


def superfluous(held: Sequence[Kept], newest: int) -> list[Kept]:
    """Which snapshots of a stream go, when one of `newest` events is added.

    Near the end, for what arrives late: of each power of two, times EVERY, the first snapshot in each of the latest
    two stretches of that length stays. Along the whole stream, for those who travel: the first one in each of up to
    MILESTONES stretches, fewer where they are large.
    """
    rungs = [(events, kept) for kept in held if (events := _events(kept)) is not None]
    stay: set[str] = set()
    length = EVERY
    while length <= 2 * newest:
        latest = newest // length
        stay |= _firsts(rungs, length, (latest, latest - 1))
        length *= 2
    size = max((len(kept.value) for _, kept in rungs), default=1)
    milestones = min(MILESTONES, PER_PAST * newest // size)
    if milestones:
        length = EVERY
        while length * milestones < newest:
            length *= 2
        stay |= _firsts(rungs, length, range(newest // length + 1))
    return [kept for kept in held if kept.key not in stay]


def _firsts(rungs: Sequence[tuple[int, Kept]], length: int, stretches: Container[int]) -> set[str]:
    """The first snapshot in each of some stretches of so many events."""
    found: dict[int, str] = {}
    for events, kept in rungs:
        if events // length in stretches:
            found.setdefault(events // length, kept.key)
    return set(found.values())


def _digest(key: str, data: bytes) -> bytes:
    return blake2b(key.encode() + b"\n" + data, digest_size=DIGEST).digest()


def read(kept: Kept) -> Snapshot:
    """A snapshot; Damaged where its bytes are not those that were kept under that key."""
    digest, data = kept.value[:DIGEST], kept.value[DIGEST:]
    if digest != _digest(kept.key, data):
        raise Damaged("a snapshot cannot be read (it is not what was written); the log has what it held")
    try:
        return _decode(data)
    except Exception as error:
        raise Damaged(f"a snapshot cannot be read ({error}); the log has what it held") from error


def _events(kept: Kept) -> int | None:
    try:
        return read(kept).events
    except Damaged:
        return None


def _plain(version: VersionVector) -> dict[int, int]:
    return {int(replica): seq for replica, seq in version.seqs.items()}


# --- using ---


def load_streams(
    reader: Reader,
    streams: Iterable[str],
    aggregate_of: Callable[[str], Decider],
    types: EventTypes,
    limits: Mapping[str, Sequence[Limit]],
) -> dict[str, Loaded]:
    """Some streams, each from its newest snapshot that serves, and the commits after it."""
    damaged: dict[str, list[str]] = {stream: [] for stream in streams}
    found = {
        stream: _load(reader, stream, aggregate_of(stream), types, limits.get(stream, ()), damaged[stream])
        for stream in damaged
    }
    unheld = {stream: aggregate_of(stream) for stream, loaded in found.items() if loaded is None}
    whole = commits_of(reader, unheld, types)
    return {
        stream: (loaded or Loaded(None, START, 0, whole[stream]))._replace(damaged=tuple(damaged[stream]))
        for stream, loaded in found.items()
    }


def _load(
    reader: Reader,
    stream: str,
    aggregate: Decider,
    types: EventTypes,
    limits: Sequence[Limit],
    damaged: list[str],
) -> Loaded | None:
    for kept in _newest_first(reader, stream):
        try:
            snapshot = read(kept)
            if snapshot.fingerprint == aggregate.fingerprint():
                loaded = upon(reader, stream, aggregate, types, snapshot, limits)
                if loaded is not None:
                    return loaded
        except Damaged as error:
            damaged.append(f"{stream}: {error}")
    return None


def commits_of(
    reader: Reader,
    streams: Mapping[str, Decider],
    types: EventTypes,
    after: StreamPlace = START,
) -> dict[str, Contexts | Bulk]:
    """The commits with events of some streams beyond `after`: in bulk, where they can be folded by column."""
    bulks = in_bulk(reader, {stream: one for stream, one in streams.items() if folds_by_column(one)}, types, after)
    return {**reader.streams([stream for stream in streams if stream not in bulks], after), **bulks}


def _newest_first(reader: Reader, stream: str) -> Iterator[Kept]:
    """The snapshots of a stream; the newest one is mostly the one that serves, and the others are not read."""
    newest = reader.log.kept(span(stream), latest=1)
    yield from newest
    if newest:
        yield from reversed(reader.log.kept(span(stream))[:-1])


def upon(
    reader: Reader,
    stream: str,
    aggregate: Decider,
    types: EventTypes,
    snapshot: Snapshot,
    limits: Sequence[Limit] = (),
) -> Loaded | None:
    """A stream from one snapshot; None where that does not serve. Damaged where its fold cannot be read."""
    stamp = Stamp(*snapshot.stamp)
    held = {replica: lineage.tip.head.seq for replica, lineage in reader.lineages.items()}
    if any(held.get(replica, 0) < seq for replica, seq in snapshot.version.items()):
        return None
    stands = StreamPlace(snapshot.stands)
    if not all(aggregate.serves(stamp, stands, one.stamp, one.context) for one in limits):
        return None
    after = StreamPlace.holding(VersionVector(snapshot.version))
    commits = commits_of(reader, {stream: aggregate}, types, after)[stream]
    if not isinstance(commits, Bulk) and not all(
        aggregate.serves(stamp, stands, commit.stamp, context) for commit, context in commits
    ):
        return None
    try:
        fold = aggregate.thaw(snapshot.fold, stamp, stands)
    except Exception as error:
        raise Damaged(f"a snapshot cannot be read ({error}); the log has what it held") from error
    return Loaded(fold, stands, snapshot.events, commits, len(snapshot.fold))


def limits_of(news: Iterable[tuple[Commit, VersionVector]], streams: Iterable[str]) -> Mapping[str, list[Limit]]:
    """What the folds of some streams must be able to take, if they are to take these commits."""
    found: dict[str, list[Limit]] = {stream: [] for stream in streams}
    for commit, context in news:
        for stream in {event.stream for event in commit.events} & found.keys():
            found[stream].append(Limit(commit.stamp, context))
    return found
