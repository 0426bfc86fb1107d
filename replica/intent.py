"""Command ids: what an id was used for, so that it answers for that and for nothing else.

    await alice.execute("account/ann", Pay(5), command_id="invoice 1")

Rule 1. An id belongs to one command in one stream. Who carries a command out keeps its `Intent` beside the log,
        under the id. A retry (same stream, same command) is answered as it was then; any other use is
        CommandIdUsed, and nothing is recorded.
Rule 2. A command is the same if its type has the same name and its fields have the same values. A field that has
        its default is left out, so a type may get further fields while retries are under way.
Rule 3. Of a commit that others have made under an id no command is known here. It counts in the stream of its first
        event alone: there it answers a retry, everywhere else it is as if the id had never been used.
Rule 4. What was carried out here comes first, whatever is heard later. A command that was refused, or led to no
        event, leaves nothing behind: it is decided again.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

import msgspec

from replica import canonical
from replica.event import Command


class Intent(msgspec.Struct, frozen=True, array_like=True):
    """What a command id was used for."""

    stream: str
    """The stream that decided; nothing where that is not known (it may be any)."""
    kind: str = ""
    """The name of the command; nothing where that is not known."""
    digest: bytes = b""
    """Of what the command says; nothing where that does not matter, or has no bytes."""

    def covers(self, asked: Intent) -> bool:
        """Is the command that is asked for the one that the id was used for, as far as can be told?"""
        pairs = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(asked), strict=True)
        return all(known == now or not known or not now for known, now in pairs)

    def __str__(self) -> str:
        return f"{self.kind or 'a decision'} in {self.stream or 'a stream that is not known'}"


def intent_of(stream: str, command: Command) -> Intent:
    """What a command is for, that is to be decided in a stream."""
    return Intent(stream, type(command).__name__, _digest(command))


def _digest(command: Command) -> bytes:
    """A name for what a command says; nothing where it holds what has no bytes that are the same each time."""
    try:
        said = [(name, _encode(getattr(command, name)), default) for name, default in _defaults(type(command))]
    except Exception:
        return b""
    plain = _encode([(name, value) for name, value, default in said if value != default])
    return blake2b(plain, digest_size=16).digest()


@lru_cache(maxsize=1024)
def _defaults(kind: type[Command]) -> tuple[tuple[str, bytes | None], ...]:
    """The fields of a type, each with the bytes of its default; None where it has none."""
    found: list[tuple[str, bytes | None]] = []
    for one in msgspec.structs.fields(kind):
        default = one.default if one.default_factory is msgspec.NODEFAULT else one.default_factory()
        found.append((one.name, None if default is msgspec.NODEFAULT else _encode(default)))
    return tuple(found)


_encode = canonical.encode
encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Intent).decode


def decode(kept: bytes) -> Intent:
    """An intent, from the bytes that it is kept as; one that covers all where these are not what was written."""
    try:
        return _decode(kept)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return Intent("")
