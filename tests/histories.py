"""Random histories: three replicas that write with clocks of their own, and meet late or never."""

from __future__ import annotations

from random import Random
from typing import Any

import hypothesis.strategies as st

from replica.arrange import Gap
from replica.decider import Addressed
from replica.direct import DirectReplica
from replica.log import Log
from replica.memory import MemoryLog
from tests.shop import (
    HOME,
    JOURNAL,
    AddItem,
    Count,
    Counted,
    GiveTitle,
    ItemAdded,
    Journal,
    Noted,
    RemoveItem,
    ShoppingList,
    TakeNote,
    Write,
)

STREAMS = (HOME, JOURNAL)
KINDS = [
    "add", "remove", "title", "count", "write", "note", "note", "both", "both", "meet", "meet", "snapshot",
    "reopen", "read",
]  # fmt: skip
STEPS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 2), st.integers(0, 2)), max_size=60)


def direct(
    name: str, log: Log | None = None, every: int = 6, aggregates: Any = (ShoppingList, Journal)
) -> DirectReplica:
    """A replica that takes a snapshot every few events."""
    replica = DirectReplica(log or MemoryLog(), "shop", name, aggregates, random=Random(name))
    replica.core.every = every
    return replica


def play(steps: list[tuple[str, int, int]]) -> list[DirectReplica]:
    """Three replicas after some steps, with all that they wrote durable."""
    replicas = [direct(name) for name in ("alice", "bob", "carol")]
    for wall, (step, one, other) in enumerate(steps):
        replica, item, now = replicas[one], ("milk", "eggs", "tea")[other], 1000 + 7 * wall - 40 * one
        if step == "add":
            replica.execute(HOME, AddItem(item), now)
        elif step == "remove" and item in replica.present(HOME).items:
            replica.execute(HOME, RemoveItem(item), now)
        elif step == "title":
            replica.execute(HOME, GiveTitle(item), now)
        elif step == "count":
            replica.execute(HOME, Count(other - 1), now)
        elif step == "write":
            replica.execute(HOME, Write(item), now)
        elif step == "note":
            for line in range(other + 1):
                replica.execute(JOURNAL, TakeNote(f"{wall}.{line}"), now)
        elif step == "both":  # one decision that tells two streams, in any order
            facts = [
                Counted(1),
                Addressed(JOURNAL, Noted(f"{wall}")),
                ItemAdded(item),
                Addressed(JOURNAL, Noted("x")),
            ]
            replica.append(HOME, facts[other:] + facts[: other // 2], now)
        elif step == "meet" and one != other:
            replica.flush()
            replicas[other].flush()
            assert not isinstance(replicas[other].ingest(list(replica.all_slices())), Gap)
            replicas[other].flush()
        elif step == "snapshot":
            replica.snapshot()
        elif step == "reopen":
            replica.flush()
            replicas[one] = direct(("alice", "bob", "carol")[one], replica.log)
        elif step == "read":
            replica.present((HOME, JOURNAL)[other % 2])
    for replica in replicas:
        replica.flush()
    return replicas
