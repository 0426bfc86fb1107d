"""Stores that have become one: replicas with no common root whose logs stand side by side from then on.

A log is of the store that its introduction names, and its hashes say so for ever. A replica holds the logs of its
own store, and of those that it knows to have become one with it.

Rule 1. Two stores become one by an explicit word of somebody (`join(..., become_one=True)`), which is a fact in the
        log of the replica where it was said: `StoresJoined`.
Rule 2. Who hears of the fact, or meets a peer that knows of it, holds the logs of both from then on. Sets of stores
        only grow. Two that talk hold the own store of one of them both, and then hold all that either of them does.
Rule 3. Streams of one name become one stream. Ids are random, so replicas never clash.
Rule 4. One commit says at most MAX_STORES names, of at most MAX_LABEL characters: more is heard as nothing.
        How many there are in all has no bound, so that nobody can use it up: a Hello names as many as fit, and more
        follow (`sync.protocol`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from merge.version import Dot
from replica.commit import MAX_LABEL, MAX_STORES, Recorded
from replica.errors import Refused
from replica.event import Event, encode_event
from replica.introduction import stream_of
from replica.log import Kept

if TYPE_CHECKING:
    from replica.core import Core

KIND = "store"
"""The kind under which the names of stores that have become one with this are kept beside the log."""


class StoresJoined(Event, frozen=True, forbid_unknown_fields=True):
    """These stores are one with that of the replica which says so."""

    stores: tuple[str, ...]


_decode = msgspec.msgpack.Decoder(StoresJoined).decode


def fact(core: Core, stores: Iterable[str]) -> Recorded:
    """The fact that stores are one with this replica's; Refused where that is too much for one."""
    stores = {*stores}
    if len(stores) > MAX_STORES or any(not 0 < len(store) <= MAX_LABEL for store in stores):
        raise Refused(
            f"nothing was joined: at most {MAX_STORES} stores are joined at once, with names of at most "
            f"{MAX_LABEL} characters. Join them one after the other."
        )
    event = StoresJoined(tuple(sorted(stores)))
    return Recorded(stream_of(core.me), StoresJoined.__name__, StoresJoined.schema, encode_event(event))


def hear_of_joined(core: Core) -> None:
    """Take note of what the draft brings of stores that have become one."""
    said: dict[Dot, set[str]] = {}
    for commit, _, event in core.draft.told(StoresJoined):
        if event.stream == stream_of(commit.replica):
            try:
                names = _decode(event.payload).stores
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            said.setdefault(Dot(commit.replica, commit.first), set()).update(names)
    for stores in said.values():
        if len(stores) <= MAX_STORES:
            adopt_stores(core, stores)


def adopt_stores(core: Core, stores: Iterable[str]) -> None:
    """Hold the logs of these stores too, from this draft on."""
    memory = core.draft.memory
    news = sorted(store for store in {*stores} - memory.stores if 0 < len(store) <= MAX_LABEL)
    memory.stores |= {*news}
    for store in news:
        core.draft.keep(KIND, store, b"")


def joined(kept: Iterable[Kept]) -> frozenset[str]:
    """The stores that were kept beside a log."""
    return frozenset(one.key for one in kept if one.kind == KIND)
