"""What must hold, whatever happened: checked in every schedule, after the last fault."""

from __future__ import annotations

from typing import NamedTuple

from merge.version import NOTHING, Dot
from replica.direct import DirectReplica
from replica.snapshot import span
from sync.testing import workload
from sync.testing.workload import STREAMS, Fact, Items


class Found(AssertionError):
    """Something that must hold does not."""

    def __init__(self, oracle: str, what: str) -> None:
        super().__init__(f"{oracle}: {what}")
        self.oracle = oracle


class Acknowledged(NamedTuple):
    """A commit that was acknowledged: its log, its last event, and the head there."""

    replica: int
    seq: int
    prefix: bytes


def check(replicas: list[DirectReplica], acknowledged: list[Acknowledged]) -> None:
    """Raise Found for the first oracle that does not hold."""
    first = replicas[0]
    for other in replicas[1:]:
        if other.heads != first.heads:
            raise Found("liveness", f"{_name(other)} and {_name(first)} do not hold the same after the last round")
    names = [replica.core.me for replica in replicas]
    if len(set(names)) < len(names):
        raise Found("identity", "two replicas that have met go by one id")
    for replica in replicas:
        reader = replica.reader()
        for promise in acknowledged:
            if reader.boundary(*promise) is None:
                dot = Dot(replica.core.label(promise.replica), promise.seq)
                raise Found("durability", f"{dot} was acknowledged, and {_name(replica)} has it not")
    for replica in replicas:
        _whole(replica)
    readings = {}
    for stream in STREAMS:
        readings[stream] = _by_definition(first, stream)
        digest = first.digest(stream)
        for replica in replicas:
            if replica.digest(stream) != digest:
                raise Found("convergence", f"{stream} differs between {_name(replica)} and {_name(first)}")
            if workload.reading(replica.present(stream)) != readings[stream]:
                raise Found("meaning", f"{stream} of {_name(replica)} is not what its facts say")
            _afresh(replica, stream, digest)
    for replica in replicas:
        _tables(replica)


def _name(replica: DirectReplica) -> str:
    return replica.core.identity.name


def _whole(replica: DirectReplica) -> None:
    """Causes come first, commits are whole, and no context names what is not there."""
    core = replica.core
    seen = NOTHING
    for commit, context in replica.reader().beyond(NOTHING, core.memory.version, 1 << 62):
        if not context <= seen:
            raise Found("causality", f"{_name(replica)} has {commit.dots[0]} before what its author had observed")
        if commit.first != seen[commit.replica] + 1:
            raise Found("causality", f"{_name(replica)} has a gap before {commit.dots[0]}")
        seen = seen.advance(commit.replica, commit.last)
    if seen != core.memory.version:
        raise Found("causality", f"{_name(replica)} says that it has {core.memory.version}, and has {seen}")


def _by_definition(replica: DirectReplica, stream: str) -> object:
    facts = []
    for commit, context in replica.reader().stream(stream):
        for seq, recorded in enumerate(commit.events, commit.first):
            event = replica.core.types.decode(recorded.type, recorded.schema, recorded.payload)
            if recorded.stream == stream and event is not None:
                dot = Dot(commit.replica, seq)
                facts.append(Fact(dot, commit.stamp, context.advance(commit.replica, seq - 1), event))
    return workload.diary(facts) if stream.startswith("diary/") else workload.board(facts)


def _afresh(replica: DirectReplica, stream: str, digest: str) -> None:
    """Opened again, from its snapshots or without them, a replica reads the same."""
    again = DirectReplica(
        replica.log, replica.core.store, _name(replica), workload.AGGREGATES, random=replica.core.random,
        identity=replica.core.identity,
    )  # fmt: skip
    if again.digest(stream) != digest:
        held = len(replica.log.kept(span(stream)))
        raise Found("snapshots", f"{stream} of {_name(replica)}, opened again over {held} snapshots, is another")


def _tables(replica: DirectReplica) -> None:
    """The tables of projections follow from the presents."""
    replica.build()
    wanted = [
        (stream, n, item)
        for stream in STREAMS
        if stream.startswith("board/")
        for n, item in enumerate(sorted(replica.present(stream).items))
    ]
    if replica.log.rows(Items.table) != wanted:
        raise Found("projections", f"the rows of {_name(replica)} do not follow from its presents")
