"""Members: who takes part, what each is known to have observed, and so what is settled.

A replica is a member from its introduction on (the first commit of its log), until a `ReplicaRetired` names it and
for as long as it then writes nothing.

Rule 1. What a member is known to have observed only grows: the greatest of all that was said of it, by the
        contexts of its own commits, by itself, and by others. So it does not matter in which order, how often
        or by which way it is heard of.
Rule 2. `stable` is what every live member is known to have observed: the meet of their versions. Versions are
        causally closed and end between commits, and so is their meet. What lies in it is *settled*, what lies
        beyond it *tentative*. What a member is said to have observed is heard of when all that it had written by
        then is here: before that, something which it wrote earlier, and under an earlier stamp, can still come. So
        a false word about an event that the member never wrote is never heard of; what was true is said again.
Rule 3. It never shrinks, here and through closing and opening: what was settled stays so. A newcomer who had
        not heard of it does not undo that; what it wrote under an earlier stamp can still come before what is
        settled.
Rule 4. A member that is silent holds it back, for it may have decided anything meanwhile. One that will not
        come back is retired by somebody, which is a fact like any other: it counts for as long as the member has
        written nothing beyond what the fact had observed of it (one that had observed nothing of it retires
        nobody). Who is back and writes is waited for again, whoever
        retired it. (A function of the set of commits: it does not matter what was heard first.)
Rule 5. Of an id under which a second history was written only what lies below the parting counts: above it a
        number does not name one event.

Source: Baquero, Almeida, Shoker 2017 (causal stability); Wuu and Bernstein 1984 (what I know that others know).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from immutables import Map

from merge.version import NOTHING, VersionVector
from replica.commit import Recorded
from replica.errors import Refused
from replica.event import Event, encode_event
from replica.introduction import stream_of
from replica.log import Kept
from replica.status import Member

if TYPE_CHECKING:
    from replica.core import Core

OBSERVED, STABLE, RETIRED = "member", "stable", "retired"
"""The kinds under which it is kept beside the log: what members have observed, what is settled, who is retired."""
KINDS = (OBSERVED, STABLE, RETIRED)

Row = tuple[int, list[tuple[int, int]]]
"""A member, and the version that it is known to have observed."""

_encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(dict[int, int]).decode
decode_seq = msgspec.msgpack.Decoder(int).decode


class ReplicaRetired(Event, frozen=True, forbid_unknown_fields=True):
    """A replica takes part no more: nobody waits for what it has observed."""

    replica: int


_decode_retired = msgspec.msgpack.Decoder(ReplicaRetired).decode


class Known(NamedTuple):
    """What a replica knows of members, and a short name for all of it."""

    rows: list[Row]
    digest: bytes


UNKNOWN = Known([], b"")


class Members:
    """What a replica knows of the others. Not part of a draft: it is heard of, not decided, and it only grows."""

    def __init__(self, core: Core, kept: Iterable[Kept]) -> None:
        self._core = core
        self.observed: dict[int, VersionVector] = {}
        self._early: dict[int, VersionVector] = {}
        """What was said last of members of which not all that they had written is here (rule 2)."""
        self._floor = NOTHING
        self._unsaved: set[int] = set()
        self.changes = 0
        """Counts what was learnt: whoever waits compares it."""
        self._computed: tuple[object, VersionVector] | None = None
        self._rows: dict[int, tuple[VersionVector, Row]] = {}
        self._known_at: object = None
        self._known = UNKNOWN
        for one in kept:
            if one.kind == OBSERVED:
                self._recall(int(one.key, 16), VersionVector(decode(one.value)))
            elif one.kind == STABLE:
                self._floor = VersionVector(decode(one.value))
        self._saved_floor = self._floor

    def _recall(self, member: int, version: VersionVector) -> None:
        if version[member] <= self._core.memory.version[member]:
            self.observed[member] = version

    # --- learning ---

    def learn(self, member: int, version: VersionVector) -> None:
        """A member has observed `version`.

        It is not heard of before all whom that names have introduced themselves here (and is said again then): a
        part of a version is not causally closed.
        """
        core, here = self._core, self._core.memory.lineages
        if member == core.me or member not in here or not all(replica in here for replica in version.seqs):
            return
        if version[member] > core.memory.version[member]:
            self._early[member] = version
            return
        before = self.observed.get(member, NOTHING)
        after = version if before <= version else before | version
        if after != before:
            self.observed[member] = after
            self._unsaved.add(member)
            self.changes += 1

    def learn_rows(self, rows: Iterable[Row]) -> bool:
        """What a peer says of members. Was any of it new?"""
        before = self.changes
        for member, pairs in rows:
            self.learn(member, VersionVector(pairs))
        return self.changes != before

    def learn_latest(self, latest: Mapping[int, VersionVector]) -> None:
        """What the authors of new commits had observed, by those."""
        for replica, version in latest.items():
            self.learn(replica, version)
            if replica in self._early:
                self.learn(replica, self._early.pop(replica))

    # --- what follows ---

    @property
    def live(self) -> list[int]:
        """The members that are waited for."""
        memory = self._core.memory
        retired = memory.retired
        return [replica for replica in memory.lineages if replica not in retired]

    def seen_by(self, member: int) -> VersionVector:
        return self._core.memory.version if member == self._core.me else self.observed.get(member, NOTHING)

    @property
    def stable(self) -> VersionVector:
        """The past that every live member is known to have observed."""
        memory = self._core.memory
        key = memory.lineages, memory.retired, self.changes
        if self._computed is None or self._computed[0] != key:
            version = memory.version
            for member in self.live:
                version &= self.seen_by(member)
            self._floor |= _below(version, self._partings)
            self._computed = key, self._floor
        return self._computed[1]

    @property
    def _partings(self) -> dict[int, int]:
        """Of ids with several histories, how far these are one."""
        lineages = self._core.memory.lineages
        return {
            replica: min(row.after for row in lineage.rows if row.parent)
            for replica, lineage in lineages.items()
            if lineage.forked
        }

    @property
    def known(self) -> Known:
        """What is known of all live members, to tell a peer. Made anew only for what has changed."""
        memory = self._core.memory
        key = memory.lineages, memory.retired, self.changes
        if self._known_at != key:
            made = {}
            partings = self._partings
            for member in sorted(self.live):
                seen = _below(self.seen_by(member), partings)
                before = self._rows.get(member)
                made[member] = (
                    before if before and before[0] is seen else (seen, (member, sorted(seen.seqs.items())))
                )
            self._rows = made
            rows = [row for _, row in made.values()]
            self._known_at, self._known = key, Known(rows, blake2b(_encode(rows), digest_size=8).digest())
        return self._known

    def status(self) -> Iterator[Member]:
        """Who takes part, and how much of what is held here each is not known to have observed."""
        memory = self._core.memory
        retired = memory.retired
        for replica in sorted(memory.lineages):
            seen = self.seen_by(replica)
            behind = sum(max(seq - seen[other], 0) for other, seq in memory.version.seqs.items())
            yield Member(self._core.label(replica), behind, replica in retired)

    # --- keeping ---

    @property
    def unsaved(self) -> bool:
        return bool(self._unsaved) or self.stable != self._saved_floor

    def save(self) -> None:
        """Keep what was learnt beside the log. A step of the core."""
        draft = self._core.draft
        for member in self._unsaved:
            draft.keep(OBSERVED, f"{member:016x}", _encode(dict(self.observed[member].seqs)))
        self._unsaved.clear()
        self._saved_floor = self.stable
        draft.keep(STABLE, "", _encode({int(replica): seq for replica, seq in self._saved_floor.seqs.items()}))


def _below(version: VersionVector, partings: dict[int, int]) -> VersionVector:
    """A version without what lies above the partings of second histories (rule 5)."""
    beyond = {replica: seq for replica, seq in partings.items() if version[replica] > seq}
    return VersionVector({**version.seqs, **beyond}) if beyond else version


def retirement(core: Core, member: int) -> Recorded:
    """The fact that a member is retired; Refused where that cannot be."""
    memory = core.now
    if member not in memory.lineages:
        raise Refused(f"no replica {member:016x} has introduced itself here: nothing was recorded")
    if member in memory.retired:
        raise Refused(f"{core.label(member)} is retired already: nothing was recorded")
    if {*memory.lineages} - memory.retired == {member}:
        raise Refused(f"{core.label(member)} is the last live member, and cannot be retired: nothing was recorded")
    event = ReplicaRetired(member)
    return Recorded(stream_of(member), ReplicaRetired.__name__, event.schema, encode_event(event))


def hear_of_retired(core: Core) -> None:
    """Take note of who is retired by what the draft brings."""
    draft = core.draft
    for _, context, _, event in draft.told_with(ReplicaRetired):
        try:
            member = _decode_retired(event.payload).replica
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        retirements = draft.memory.retirements
        if event.stream == stream_of(member) and context[member] > retirements.get(member, 0):
            draft.memory.retirements = retirements.set(member, context[member])
            draft.keep(RETIRED, f"{member:016x}", _encode(context[member]))


def retirements(kept: Iterable[Kept], version: VersionVector) -> Map[int, int]:
    """Who was retired, and what was known then of its log. (A file from before that counted says nothing of it.)"""
    found = {int(one.key, 16): one.value for one in kept if one.kind == RETIRED}
    return Map({member: decode_seq(value) if value else version[member] for member, value in found.items()})
