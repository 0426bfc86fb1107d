"""The first commit of a log is its introduction: who is a member is itself a fact.

Rule. What an introduction says stands beside the log, in every Hello and before people, for good. So what comes
from elsewhere has the four fields and no more, and names within the limits of `replica.commit`.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from replica.commit import MAX_INTRODUCTION, MAX_LABEL, Commit, Recorded
from replica.errors import InvalidBatch
from replica.event import Event, encode_event

CATEGORY = "replica"
"""Streams `replica/<id>` are Anabranch's own; no aggregate may take this category."""


class ReplicaIntroduced(Event, frozen=True):
    """A replica begins its log; `succeeds` names the log it goes on from: (replica, seq, head)."""

    store: str
    name: str
    replica: int
    succeeds: tuple[int, int, bytes] | None = None


class HeadsObserved(Event, frozen=True):
    """Says nothing but what its commit names: heads for which the next commit has no room."""


_KIND = ReplicaIntroduced.__name__
OWN_TYPES = frozenset(
    {_KIND, HeadsObserved.__name__, "ReplicaRetired", "OwnerChanged", "StoresJoined", "EventSetAside"}
)
"""Names of the event types that are Anabranch's own: no aggregate may take them."""
_decode = msgspec.msgpack.Decoder(ReplicaIntroduced).decode


def check_label(what: str, label: object) -> None:
    """TypeError, ValueError where nobody could be told of a replica or a store with this `name` or `store`."""
    if not isinstance(label, str):
        raise TypeError(f"a {what} is text, and not {label!r}. Nothing was made.")
    try:
        label.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"the {what} {label!r} holds half a surrogate pair, which has no UTF-8 form. Nothing was made."
        ) from None
    if what == "store" and not label:
        raise ValueError(
            "a store has a name, and this one is empty: replicas of one store give the same one. Nothing was made."
        )
    if len(label) > MAX_LABEL:
        raise ValueError(
            f"a {what} has at most {MAX_LABEL} characters, and this has {len(label)}: no peer would take it. "
            "Nothing was made."
        )


class _Strictly(ReplicaIntroduced, frozen=True, forbid_unknown_fields=True):
    """An introduction with no field more."""


_decode_strictly = msgspec.msgpack.Decoder(_Strictly).decode


def stream_of(replica: int) -> str:
    return f"{CATEGORY}/{replica:016x}"


def introduction(event: ReplicaIntroduced) -> Recorded:
    return Recorded(stream_of(event.replica), _KIND, ReplicaIntroduced.schema, encode_event(event))


def check_introduction(commit: Commit) -> None:
    """InvalidBatch where the introduction in the first commit of a log breaks a limit."""
    payload, whose = commit.events[0].payload, f"the introduction of {commit.replica:016x}"
    if len(payload) > MAX_INTRODUCTION:
        raise InvalidBatch(f"{whose} has {len(payload)} bytes; the limit is {MAX_INTRODUCTION}")
    try:
        event = _decode_strictly(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidBatch(f"{whose} cannot be read: {error}") from error
    longest = max(len(event.name), len(event.store))
    if longest > MAX_LABEL:
        raise InvalidBatch(f"{whose} has a name of {longest} characters; the limit is {MAX_LABEL}")


def read_introduction(commit: Commit, stores: Collection[str]) -> ReplicaIntroduced:
    """The introduction in the first commit of a log; InvalidBatch where it is none, or somebody else's."""
    recorded = commit.events[0]
    try:
        if (recorded.type, recorded.schema) != (_KIND, ReplicaIntroduced.schema):
            raise InvalidBatch(f"the log of {commit.replica:016x} does not begin with its introduction")
        event = _decode(recorded.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidBatch(f"the introduction of {commit.replica:016x} cannot be read: {error}") from error
    if event.replica != commit.replica or recorded.stream != stream_of(commit.replica):
        raise InvalidBatch(f"the log of {commit.replica:016x} begins with another replica's introduction")
    if event.store not in stores:
        held = " or ".join(repr(store) for store in sorted(stores))
        raise InvalidBatch(f"the log of {event.name} belongs to the store {event.store!r}, not to {held}")
    return event
