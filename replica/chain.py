"""The chain of a log, verified: its blocks against their own hashes, and what stands beside them against them.

Rule 1. Each block's head is computed again from its bytes and its parent, to the head of its log: what was changed
        since it was written, by a disk or by somebody, shows, and where it begins is named.
Rule 2. What stands beside a block (the stamp before it, what its log had observed by then, in which streams it has
        events, which commands it carried out, how many events of which types) and in the row of a log (its stamp,
        its name, where it parts) follows from the blocks, and says how they are read. It is made again from them,
        and what differs is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain
from operator import attrgetter
from typing import NamedTuple

from replica.block import GENESIS, Head, Tail
from replica.commit import Commit, Note, Observed
from replica.errors import DamagedLog
from replica.introduction import read_introduction
from replica.lineage import Lineage
from replica.log import Done, LogRow
from replica.reading import End, Opened, Reader

_type_of = attrgetter("type", "schema")


class Checked(NamedTuple):
    """A block that was checked: the end of its log after it, and what beside it differs, in words."""

    end: End
    differences: list[str]
    types: Counter[tuple[str, int]]
    """How many events of which types it adds to its log."""


def beginning(store: str, row: LogRow) -> End | None:
    """The end before the first event of a log; None where it parts from another log."""
    return None if row.after else End(Tail(row.store or store, row.replica, Head(0, GENESIS)))


def check_block(reader: Reader, row: LogRow, seq: int, before: End | None) -> Checked:
    """Check the block of a log in which event `seq` lies; `before` is the end before it, where that is known.

    DamagedLog where the block itself is not what the log says.
    """
    opened = reader.open(row, seq)
    if before is not None and opened.piece.base != before.tail.hash:
        raise DamagedLog("the next block does not stand on it")
    end = reader.end_of(opened, opened.piece.last)
    differences = [*_beside(reader, row, opened, before)]
    if end.tail.seq == row.head.seq and end.stamp != row.stamp:
        differences.append("the stamp that its log is said to end with")
    added = (commit.events for commit in opened.decoded.commits if row.after < commit.last)
    return Checked(end, differences, Counter(map(_type_of, chain.from_iterable(added))))


def _beside(reader: Reader, row: LogRow, opened: Opened, before: End | None) -> Iterator[str]:
    first, start = opened.piece.first, opened.before
    if before is not None and start.stamp != before.stamp:
        yield "the stamp before it"
    if before is not None and _latest(reader, start) != _latest(reader, before):
        yield "what its log had observed before it"
    for stream in opened.decoded.streams:
        if (row.number, first) not in reader.log.blocks_of(stream):
            yield f"that it has events of {stream}"
    folded = not reader.lineages[row.replica].forked  # else it may have been heard when another history was folded
    for commit in opened.decoded.commits:
        if commit.note is not None and commit.note.command is not None:
            if not _is_known(reader, commit, folded):
                yield f"that it carried out the command {commit.note.command!r}"
    if first == 1 and not row.parent:
        named = read_introduction(opened.decoded.commits[0], {row.store or reader.store}).name
        if named != row.name:
            yield f"the name of its replica, {named!r}"


def _is_known(reader: Reader, commit: Commit, folded: bool) -> bool:
    """It is kept what the id of its command has led to: this commit, or another one that is there."""
    command = (commit.note or Note()).command or ""
    found = [reader.log.command(command, stream) for stream in ("", commit.events[0].stream)]
    known = [done for done in found if done is not None]
    if any(_named(done, commit) for done in known):
        return True
    return all(_led_to(reader, done) for done in known) and (bool(known) or not folded)


def _named(done: Done, commit: Commit) -> bool:
    """A command led to this commit, by what is said of it."""
    carried = commit.note is not None and commit.note.command == done.command
    return carried and (commit.first, commit.last, commit.stamp) == (done.first, done.last, done.stamp)


def _led_to(reader: Reader, done: Done) -> bool:
    """There is a commit to which a command led, in any log. (Of an id that was used twice the first counts.)"""
    lineage = reader.lineages.get(done.stamp.replica, Lineage(()))
    return any(
        _named(done, commit)
        for row in lineage.rows
        if row.after < done.first <= row.head.seq
        for commit, _ in reader.commits(row, done.first)[0]
    )


def _latest(reader: Reader, end: End) -> set[Observed]:
    """What an end had observed, without what is a part of the past of something else that it had observed.

    Every replica numbers logs for itself. Where an id has two histories, what both share may be named beside the
    later one, or not, by the numbers that they had where the block was written.
    """
    found = set()
    for (replica, number), one in end.named.items():
        lineage = reader.lineages.get(replica)
        others: list[int] = []
        if lineage is not None and lineage.forked:
            others = [other for whose, other in end.named if whose == replica and other not in (0, number)]
            others = [other for other in others if one.seq <= lineage.shared(number, other)]
        if not others:
            found.add(one)
    return found


def check_parting(reader: Reader, row: LogRow, lineage: Lineage) -> bool:
    """A log parts from another one where its row says, with these hashes."""
    parent = next(other for other in lineage.rows if other.number == row.parent)
    found = []
    for one in (row, parent):
        layout = reader.layout(one, row.after + 1)
        index = layout.index_after(row.after)
        if index is None or index == len(layout.lasts):
            return False
        found.append((layout.hash_at(index), layout.hash_at(index + 1)))
    (mine, first_hash), (theirs, rival_hash) = found
    return mine == theirs and (first_hash, rival_hash) == (row.first_hash, row.rival_hash)
