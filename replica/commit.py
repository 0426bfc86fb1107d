"""A commit: the events of one decision, observed together everywhere, or not at all.

Rule 1. A commit has one stamp and one context: the version its replica had observed when it decided. The
        context of its i-th event includes the earlier ones.
Rule 2. It carries only what its replica newly observed since its last commit, each as (replica, seq, first
        bytes of the head there), so that a context names a branch and not only a number. Nothing observed,
        nothing carried.
Rule 3. It holds at most 4,096 events and 256 KiB of payload: everything that handles a commit handles it
        whole, and these bound how much that is.
Rule 4. What one may record, everybody can read, hold and pass on. So each limit below is one number, and is
        compared where a fact is made, where it is taken, and where it is said again. What a file holds is read all
        the same: it was taken when the limit was another.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import msgspec

from merge.stamp import Stamp
from merge.version import Dot
from replica.errors import InvalidEvent

MAX_EVENTS = 4096
MAX_PAYLOAD = 256 * 1024
MAX_NAME = 256
"""Longest stream or type name, in characters: names are repeated in indices and error messages."""
MAX_LABEL = 256
"""Longest name of a replica or of a store, in characters: both stand in every Hello, and in what people read."""
MAX_WORDS = 512
"""Longest command id, correlation id or subject, in characters."""
MAX_OBSERVED = 16_384
"""Most heads that one context may name anew: a newcomer's first commit names all members."""
MAX_STORES = 64
"""Most names of stores that one commit may say have become one with this."""
MAX_INTRODUCTION = 4096
"""Bytes of an introduction: two names of MAX_LABEL characters of four bytes, and room for later formats."""
MAX_SCHEMA = (1 << 31) - 1
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


Words = Annotated[str, msgspec.Meta(max_length=MAX_WORDS)]
Label = Annotated[str, msgspec.Meta(max_length=MAX_LABEL)]


class Note(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a commit may say about itself. `subject` is room for the key under which payloads are erased."""

    command: Words | None = None
    correlation: Words | None = None
    cause: tuple[int, int] | None = None
    subject: Words | None = None


class WholeNote(Note, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """A note as it comes from elsewhere: with no element more."""


_decode_note = msgspec.msgpack.Decoder(Note).decode


def make_note(command: str | None, correlation: str | None, cause: tuple[int, int] | None) -> Note | None:
    """A note that everybody can read, or None where nothing is noted; InvalidEvent where there is none such."""
    if command is None and correlation is None and cause is None:
        return None
    if command == "":
        raise InvalidEvent(
            'nothing was recorded: the command id is "", as of all who have none. Leave it out, or give a real one.'
        )
    try:
        plain = None if cause is None else (int(cause[0]), int(cause[1]))
        return _decode_note(msgspec.msgpack.encode(Note(command, correlation, plain)))
    except (TypeError, ValueError, IndexError, OverflowError, msgspec.ValidationError) as error:
        raise InvalidEvent(
            f"nothing was recorded: a command id and a correlation id are strings of at most {MAX_WORDS} "
            f"characters, a cause is a dot, and one of these is not ({error})"
        ) from error


def check_name(stream: str) -> None:
    """InvalidEvent where a stream cannot have this name."""
    if not isinstance(stream, str):
        raise InvalidEvent(f"a stream has a name such as 'list/home', and not {stream!r}")
    try:
        stream.encode()
    except UnicodeEncodeError:
        raise InvalidEvent(f"{stream!r} cannot name a stream: half a surrogate pair has no UTF-8 form") from None
    if not 0 < len(stream) <= MAX_NAME:
        raise InvalidEvent(f"a stream has a name of 1 to {MAX_NAME} characters, and this has {len(stream)}")


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
