"""What must hold in the end, whatever happened: checked in every schedule, some time after the last fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from merge.version import NOTHING, Dot, VersionVector
from replica.commit import Commit
from replica.direct import DirectReplica
from replica.folding import stands_after
from replica.history import records
from replica.place import START
from replica.snapshot import span
from sync.testing.ledger import Acknowledged, Found, Ledger
from sync.testing.workload import BOARDS, STREAMS, Items, Lines, by_definition, in_order, reading
from sync.testing.world import Node, World

PORTION = 7
"""Events that are read of a log at once."""


def check(world: World) -> None:
    """Raise Found for the first oracle that does not hold."""
    replicas = world.replicas
    first = replicas[0]
    for other in replicas[1:]:
        if other.heads != first.heads:
            raise Found("liveness", f"{_name(other)} and {_name(first)} do not hold the same after the last round")
    for replica in replicas:
        _whole(replica, world.ledger)
    _told(first, world.ledger)
    lost = set(world.ledger.acknowledged) - world.ledger.held(first)
    if lost:
        raise _lost(first, min(lost))
    for stream in STREAMS:
        digest = first.digest(stream)
        for replica in replicas:
            if replica.digest(stream) != digest:
                raise Found("convergence", f"{stream} differs between {_name(replica)} and {_name(first)}")
            if replica.core.memory.stands[stream] != first.core.memory.stands[stream]:
                raise Found("convergence", f"{stream} stands elsewhere at {_name(replica)} than at {_name(first)}")
        wanted = by_definition(stream, world.ledger.facts_of(first, stream, first.core.memory.version))
        if reading(first.present(stream)) != wanted:
            raise Found("meaning", f"{stream} of {_name(first)} is not what its facts say")
        world.note(stream, digest)
    lines = sorted(
        (fact.dot.replica, fact.dot.seq, fact.event.line)
        for fact in world.ledger.facts_of(first, "diary/1", first.core.memory.version)
    )
    for replica in replicas:
        _tables(replica, lines)
    for one in world.random.sample(list(world.nodes.values()), 2):
        _afresh(one)
    _owed(world)


def _name(replica: DirectReplica) -> str:
    return replica.core.identity.name


def _lost(replica: DirectReplica, lost: Acknowledged) -> Found:
    dot = Dot(replica.core.label(lost.replica), lost.seq)
    return Found("durability", f"{dot} was acknowledged, and {_name(replica)} has it not")


def _followed(replica: DirectReplica) -> Iterator[tuple[Commit, VersionVector]]:
    """The log as watchers and feeds read it: a few commits at a time, from a position on."""
    position, upto = NOTHING, replica.core.memory.version
    while commits := replica.reader().beyond(position, upto, PORTION):
        yield from commits
        for commit, _ in commits:
            position = position.advance(commit.replica, commit.last)


def _whole(replica: DirectReplica, ledger: Ledger) -> None:
    """Causes come first, commits are whole and what their authors have recorded, and no log has a gap."""
    core = replica.core
    seen = NOTHING
    for commit, context in _followed(replica):
        if not context <= seen:
            raise Found("causality", f"{_name(replica)} has {commit.dots[0]} before what its author had observed")
        if commit.first != seen[commit.replica] + 1:
            raise Found("causality", f"{_name(replica)} has a gap before {commit.dots[0]}")
        entry = ledger.entries.get(commit.replica, {}).get(commit.first)
        if not ledger.twins and (entry is None or (entry.commit, entry.context) != (commit, context)):
            raise Found("content", f"{_name(replica)} has {commit.dots[0]} otherwise than it was recorded")
        seen = seen.advance(commit.replica, commit.last)
    if seen != core.memory.version:
        raise Found("causality", f"{_name(replica)} says that it has {core.memory.version}, and has {seen}")


def _told(replica: DirectReplica, ledger: Ledger) -> None:
    """The history of each stream, read a decision at a time, has each fact once, with whom its author missed."""
    core = replica.core
    for stream in () if ledger.twins else STREAMS:
        facts = in_order(ledger.facts(stream, core.memory.version))
        wanted = [
            (fact.dot, {other.dot for other in facts[:at] if not fact.had_seen(other)})
            for at, fact in enumerate(facts)
        ]
        place, found, earlier = START, [], dict[int, list[int]]()
        while commits := replica.reader().stream_beyond(stream, place, core.memory.version, 1):
            found += [(record.dot, {*record.concurrent}) for record in records(core, stream, commits, earlier)]
            place, _ = stands_after(place, stream, commits)
            if len(found) > len(wanted):
                break
        if found != wanted:
            raise Found("history", f"the history of {stream} of {_name(replica)} is not that of its facts")


def _afresh(one: Node) -> None:
    """Opened again, from its snapshots or without them, a replica reads the same."""
    replica = one.replica
    again = DirectReplica(
        replica.log, replica.core.store, _name(replica), one.release.aggregates, random=replica.core.random,
        identity=replica.core.identity,
    )  # fmt: skip
    for stream in STREAMS:
        if again.digest(stream) != replica.digest(stream):
            held = len(replica.log.kept(span(stream)))
            raise Found(
                "snapshots", f"{stream} of {_name(replica)}, opened again over {held} snapshots, is another"
            )


def _tables(replica: DirectReplica, lines: list[tuple[int, int, str]]) -> None:
    """The tables of projections follow from the presents, and from the facts."""
    replica.build()
    wanted = [
        (stream, n, item) for stream in BOARDS for n, item in enumerate(sorted(replica.present(stream).items))
    ]
    if replica.log.rows(Items.table) != wanted:
        raise Found("projections", f"the rows of {_name(replica)} do not follow from its presents")
    rows = [("diary/1", f"{replica:016x}", seq, 0, line) for replica, seq, line in lines]
    if replica.log.rows(Lines.table) != rows:
        raise Found("projections", f"the rows of {_name(replica)} are not those of its facts")


def _owed(world: World) -> None:
    """A question has one answer, where the replica that recorded it is there; never two. So has a command id.

    But for what a backup has undone: there somebody asks once more, and what was undone comes back from others.
    """
    here = {replica.core.me for replica in world.replicas}
    ledger = world.ledger
    for what, (cause, answers) in world.replicas[0].present("desk/1").state.items():
        if cause[0] not in ledger.twins:
            if (answers > 1 and not ledger.undone) or (cause[0] in here and not answers):
                raise Found("promises", f"{what} has {answers} answers")
    notes = [entry.commit.note for entry in ledger.held_in(world.replicas[0].core.memory.version)
             if entry.commit.note is not None]  # fmt: skip
    answered = Counter(note.cause for note in notes if note.cause is not None and note.cause[0] not in ledger.twins)
    for cause, times in sorted(answered.items()):
        if times > 1:
            raise Found("promises", f"what was asked in {cause} has {times} answers")
    if ledger.undone or ledger.twins:
        return
    for command, times in sorted(Counter(note.command for note in notes if note.command is not None).items()):
        if times > 1:
            raise Found("promises", f"{command} was carried out {times} times")
