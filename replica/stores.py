"""Stores that have become one: replicas with no common root whose logs stand side by side from then on.

A log is of the store that its introduction names, and its hashes say so for ever. A replica holds the logs of its
own store, and of those that it knows to have become one with it.

Rule 1. Two stores become one by an explicit word of somebody (`join(..., become_one=True)`), which is a fact in the
        log of the replica where it was said: `StoresJoined`.
Rule 2. Who hears of the fact, or meets a peer that knows of it, holds the logs of both from then on. Sets of stores
        only grow, and of two that talk to each other one contains the other. (Two replicas of one store of which
        each has joined a store of its own meanwhile do not talk until one of them has joined the other's too.)
Rule 3. Streams of one name become one stream. Ids are random, so replicas never clash.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from replica.commit import MAX_WORDS, Recorded
from replica.errors import Refused
from replica.event import Event, encode_event
from replica.introduction import stream_of
from replica.log import Kept

if TYPE_CHECKING:
    from replica.core import Core

KIND = "store"
"""The kind under which the names of stores that have become one with this are kept beside the log."""
MAX_STORES = 64
"""Stores that may become one by a word said here; of what others have said nothing is dropped."""
MOST_HEARD = 1024
"""Stores that a Hello has room for."""


class StoresJoined(Event, frozen=True):
    """These stores are one with that of the replica which says so."""

    stores: tuple[str, ...]


_decode = msgspec.msgpack.Decoder(StoresJoined).decode


def fact(core: Core, stores: Iterable[str]) -> Recorded:
    """The fact that stores are one with this replica's; Refused where that would be too many."""
    stores = {*stores}
    if len(core.now.stores | stores) > MAX_STORES or any(len(store) > MAX_WORDS for store in stores):
        raise Refused(
            f"nothing was joined: at most {MAX_STORES} stores become one, with names of at most {MAX_WORDS} "
            "characters"
        )
    event = StoresJoined(tuple(sorted(stores)))
    return Recorded(stream_of(core.me), StoresJoined.__name__, StoresJoined.schema, encode_event(event))


def hear_of_joined(core: Core) -> None:
    """Take note of what the draft brings of stores that have become one."""
    for commit, _, event in core.draft.told(StoresJoined):
        if event.stream == stream_of(commit.replica):
            try:
                adopt_stores(core, _decode(event.payload).stores)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue


def adopt_stores(core: Core, stores: Iterable[str]) -> None:
    """Hold the logs of these stores too, from this draft on."""
    memory = core.draft.memory
    for store in sorted({*stores} - memory.stores):
        if len(store) <= MAX_WORDS:  # no Hello could name a longer one, and nobody here can have joined it
            memory.stores |= {store}
            core.draft.keep(KIND, store, b"")


def joined(kept: Iterable[Kept]) -> frozenset[str]:
    """The stores that were kept beside a log."""
    return frozenset(one.key for one in kept if one.kind == KIND)
