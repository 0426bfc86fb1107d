"""Where reactions have come to, as part of the draft. The rules stand in `replica.reaction`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from replica.log import LogRow
from replica.unread import Unread

if TYPE_CHECKING:
    from replica.core import Core


class Former(msgspec.Struct, frozen=True):
    """What is left to react to of a log that this replica has written under an id that it gave up."""

    replica: int
    number: int
    """Of the log, in this file."""
    upto: int
    end: int


class Cursor(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a reaction has come in the log of `replica`."""

    replica: int
    upto: int
    former: tuple[Former, ...] = ()
    unread: tuple[Unread, ...] = ()
    """By the numbers of logs."""

    def upto_in(self, replica: int) -> int:
        """The last event that it has come past, of a log of its own."""
        if replica == self.replica:
            return self.upto
        return next((one.upto for one in self.former if one.replica == replica), 1 << 63)

    def moved(self, replica: int, seq: int) -> Cursor:
        """It has come past event `seq` of a log of its own."""
        if replica == self.replica:
            return msgspec.structs.replace(self, upto=max(self.upto, seq))
        former = [
            msgspec.structs.replace(one, upto=max(one.upto, seq)) if one.replica == replica else one
            for one in self.former
        ]
        return msgspec.structs.replace(self, former=tuple([one for one in former if one.upto < one.end]))

    def succeeded(self, replica: int, log: LogRow | None) -> Cursor:
        """The replica goes on as `replica`; `log` is what it has written itself under the id until then."""
        former = self.former
        if log is not None and self.upto < log.head.seq:
            former = (*former, Former(self.replica, log.number, self.upto, log.head.seq))
        return msgspec.structs.replace(self, replica=replica, upto=0, former=former)


class Aside(msgspec.Struct, frozen=True):
    """An event whose reaction has failed."""

    reaction: str
    replica: int
    seq: int
    stream: str
    type: str
    failures: int
    error: str
    parked: bool = False
    number: int = 0
    """Of the log that it lies in; 0 where that was not kept."""

    @property
    def key(self) -> str:
        return aside_key(self.reaction, self.replica, self.seq)


CURSOR, ASIDE, FORMER = "reaction", "aside", "former"
"""The kinds under which cursors, what is set aside, and an id that was given up when the file was opened are kept
beside the log."""


def aside_key(reaction: str, replica: int, seq: int) -> str:
    return f"{reaction}\n{replica:016x}:{seq:016x}"


def succeeded(core: Core, old: int, log: LogRow | None) -> None:
    """The replica gives up the id `old`: what it has written under it, and not reacted to, is still to come."""
    for (kind, name), cursor in core.now.held.items():
        if kind == CURSOR and cursor.replica == old:
            core.draft.hold(CURSOR, name, cursor.succeeded(core.me, log))
