"""What stands beside the log, read when a replica opens.

Rule 1. Nothing that stands beside the log closes a file whose log is whole. What cannot be read is let go of, and a
        person is told, once.
Rule 2. What follows from the log is made again: what is due, and the rows of tables, as where code has changed; who
        owns a stream, who is retired and which stores are one, from the facts in the log that say so.
Rule 3. What members have observed, and alarms, are let go of: peers say them again.
Rule 4. What does not follow from the log (where a reaction or a feed has come to) stops what needs it, by its name:
        it is read where that is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from merge.version import VersionVector
from replica import columns, comparisons, due, members, owed, rows, stores
from replica.draft import Fact
from replica.due import OwnerChanged
from replica.errors import DamagedLog
from replica.introduction import check_label
from replica.lineage import lineages_of
from replica.log import Kept, Log, Span
from replica.members import ReplicaRetired
from replica.reading import Reader
from replica.stores import StoresJoined

if TYPE_CHECKING:
    from replica.core import Core

Read = Callable[[str, bytes], Any]


def _replica(key: str) -> int:
    """The id that a key is."""
    if len(key) != 16:
        raise ValueError(f"{key!r} is no replica id")
    return int.from_bytes(bytes.fromhex(key), "big")


READ: Mapping[str, Read] = {
    due.KIND: lambda _, value: due.decode(value),
    owed.OWNER: lambda _, value: owed.decode_owner(value),
    rows.KIND: lambda _, value: rows.decode(value),
    stores.KIND: lambda key, _: check_label("store", key),
    comparisons.KIND: lambda _, value: comparisons.read(value),
    members.OBSERVED: lambda key, value: (_replica(key), VersionVector(members.decode(value))),
    members.STABLE: lambda _, value: VersionVector(members.decode(value)),
    members.RETIRED: lambda key, value: (_replica(key), value and members.decode_seq(value)),
}
"""How each kind is read. Whatever it raises, that is not what was written."""
FACTS = {owed.OWNER: OwnerChanged, members.RETIRED: ReplicaRetired, stores.KIND: StoresJoined}
"""What is kept because a fact says so, and the event that is that fact."""

FOLLOWS = {due.KIND, rows.KIND, *FACTS}
"""What follows from the log. All else peers say again."""


class Beside(NamedTuple):
    """What stands beside a log."""

    kept: list[Kept]
    lost: dict[str, str]
    """By kind, how many of it cannot be read, in words."""
    facts: list[Fact]
    """Events of Anabranch's own, from which what is lost of FACTS is made again."""


NOTHING_BESIDE = Beside([], {}, [])


def read_beside(log: Log) -> Beside:
    """What stands beside a log that a replica must know when it opens: all of it is small.

    Reads blocks only where what a fact says cannot be read.
    """
    kept: list[Kept] = []
    lost: dict[str, str] = {}
    for kind, read in READ.items():
        try:
            found = log.kept(Span(kind))
        except DamagedLog:
            lost[kind] = "all"
            continue
        well = [one for one in found if _is_well(read, one)]
        kept += well
        if len(well) < len(found):
            lost[kind] = f"{len(found) - len(well)} of {len(found)}"
    names = {FACTS[kind].__name__ for kind in lost if kind in FACTS}
    return Beside(kept, lost, _facts(log, names) if names else [])


def _is_well(read: Read, one: Kept) -> bool:
    """It is what was written, as far as reading it tells."""
    try:
        read(one.key, one.value)
    except Exception:
        return False
    return True


def _facts(log: Log, names: set[str]) -> list[Fact]:
    """All events of Anabranch's own that have some names, of whatever histories."""
    contents = log.contents()
    lineages = lineages_of(contents.logs)
    reader = Reader(log, contents.identity.store if contents.identity else "", lineages)
    found = []
    for lineage in lineages.values():
        for row in lineage.rows:
            seq = row.after
            while seq < row.head.seq:
                piece = reader.joined(row, seq + 1)[1]
                if names.intersection(kind[0] for kind in columns.types(piece) if type(kind) is tuple):
                    for commit, context in reader.commits(row, seq + 1)[0]:
                        found += [
                            (commit, context, at, event)
                            for at, event in enumerate(commit.events, commit.first)
                            if event.type in names and seq < at
                        ]
                seq = piece.last
    return found


def let_go(core: Core, beside: Beside) -> None:
    """Let go of what could not be read, say so, and let what follows from the log be made again with the draft."""
    for kind, many in beside.lost.items():
        made = "is made again from the log" if kind in FOLLOWS else "peers say it again"
        core.complaints.say(
            "beside", kind,
            f'what stands beside the log under "{kind}" was not what was written ({many}): it was let go of, and '
            f"{made}. The log is whole. Has another program written to the file?",
        )  # fmt: skip
        core.draft.let_go(Span(kind))
        for one in beside.kept:
            if one.kind == kind:
                core.draft.keep(*one)
    core.draft.facts += beside.facts
