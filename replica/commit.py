"""A commit: the events of one decision, observed together everywhere, or not at all.

Rule 1. A commit has one stamp and one context: the version its replica had observed when it decided. The
        context of its i-th event includes the earlier ones.
Rule 2. It carries only what its replica newly observed since its last commit, each as (replica, seq, first
        bytes of the head there), so that a context names a branch and not only a number. Nothing observed,
        nothing carried.
Rule 3. It holds at most 4,096 events and 256 KiB of payload: everything that handles a commit handles it
        whole, and these bound how much that is.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from merge.stamp import Stamp
from merge.version import Dot

MAX_EVENTS = 4096
MAX_PAYLOAD = 256 * 1024
MAX_NAME = 256
"""Longest stream or type name, in characters: names are repeated in indices and error messages."""
PREFIX = 8
"""Bytes of a head's hash that name a branch in a context: enough that nobody meets two by chance."""


class Observed(NamedTuple):
    """A head of another log that a replica has newly observed."""

    replica: int
    seq: int
    prefix: bytes


class Recorded(NamedTuple):
    """An event as the log holds it: the payload is msgpack that the log never reads."""

    stream: str
    type: str
    schema: int
    payload: bytes


class Note(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a commit may say about itself. `subject` is room for the key under which payloads are erased."""

    command: str | None = None
    correlation: str | None = None
    cause: tuple[int, int] | None = None
    subject: str | None = None


class Commit(NamedTuple):
    """The events first, first + 1, ... of one replica, decided together."""

    replica: int
    first: int
    stamp: Stamp
    observed: tuple[Observed, ...]
    note: Note | None
    events: tuple[Recorded, ...]

    @property
    def last(self) -> int:
        return self.first + len(self.events) - 1

    @property
    def dots(self) -> list[Dot]:
        return [Dot(self.replica, seq) for seq in range(self.first, self.last + 1)]
