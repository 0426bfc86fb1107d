"""Agreement: what must hold of replicas when every link works and nothing is on its way any more.

Rule 1. They have the same heads.
Rule 2. Every commit that was acknowledged, by whichever of them, each one has.
Rule 3. They read each stream alike; and so does each one that is opened anew over its log, at another time.

Each is an AssertionError that names the replicas by the names they are given here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from merge.version import Dot
from replica.digest import digest
from replica.direct import DirectReplica
from replica.testing.elsewhere import later, rows_of
from sync.testing.ledger import Acknowledged


def assert_same_log(replicas: Mapping[str, DirectReplica], acknowledged: Iterable[Acknowledged]) -> None:
    """They hold the same, and nothing that was acknowledged is missing."""
    first, *others = replicas
    for name in others:
        assert replicas[name].heads == replicas[first].heads, (
            f"{name} and {first} do not hold the same, though every link works and time has passed"
        )
    for name, replica in replicas.items():
        reader = replica.reader()
        for promise in acknowledged:
            dot = Dot(replica.core.label(promise.replica), promise.seq)
            assert reader.boundary(*promise) is not None, f"{dot} was acknowledged, and {name} has it not"


def assert_same_reading(
    replicas: Mapping[str, DirectReplica], stream: str, reopen: Callable[[str], DirectReplica]
) -> None:
    """They read a stream alike, as they run and (what `reopen` begins) over their logs, some years later."""
    name, *others = replicas
    first = replicas[name].present(stream)
    for other in others:
        _assert_alike(name, first, other, replicas[other].present(stream))
    with later(type(first)):
        for other in replicas:
            _assert_alike(name, first, f"{other}, opened anew,", reopen(other).present(stream))


def _assert_alike(name: str, present: Any, other: str, theirs: Any) -> None:
    """Two presents of a stream are equal; where they differ, in words."""
    if digest(present.canonical(present.state)) != digest(theirs.canonical(theirs.state)):
        here, there = rows_of(present.plain()), rows_of(theirs.plain())
        fields = [field for field in {**here, **there} if here.get(field) != there.get(field)] or [""]
        shown = "; ".join(f"{field or 'it'} is {here.get(field)} and {there.get(field)}" for field in fields)
        raise AssertionError(f"{name} and {other} hold the same, and read {present.address} differently: {shown}")
