"""Limits of the product made tiny, so that a program of fifty steps goes where a million events lead.

None is a part of the format: what is read must not depend on any of them. Each is patched wherever it was
imported to.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from random import Random
from typing import NamedTuple
from unittest.mock import patch


class Limit(NamedTuple):
    """A constant, the places that hold it (modules, or a class in one), and tiny values for it."""

    name: str
    places: tuple[str, ...]
    values: tuple[float, ...]


LIMITS = (
    Limit("PORTION", ("replica.view", "replica.travel"), (1, 3, 7)),
    Limit("PORTION", ("replica.follow",), (2, 9)),
    Limit("WAITING", ("replica.follow",), (1, 4)),
    Limit("RUNS", ("replica.view",), (1,)),
    Limit("RECENT", ("replica.view",), (1, 3)),
    Limit("every", ("replica.core.Core",), (3, 6, 11)),
    Limit("bulk", ("replica.core.Core",), (1, 4)),
    Limit("backlog", ("replica.core.Core",), (1, 5, 20)),
    Limit("keep", ("replica.core.Core",), (6,)),
    Limit("RECENT", ("replica.draft", "replica.core"), (1, 3)),
    Limit("STRIDE", ("replica.ordered",), (1, 2, 3)),
    Limit("RECENT", ("replica.ordered",), (3, 6)),
    Limit("STRIDE", ("replica.feed",), (1,)),
    Limit("STRIDE", ("replica.outbox",), (1,)),
    Limit("HELD", ("replica.reading",), (1, 2000)),
    Limit("MANY", ("replica.reading", "replica.bulk"), (0, 1)),
    Limit("COMMITS", ("replica.reading",), (0, 1)),
    Limit("LAYOUTS", ("replica.reading",), (1,)),
    Limit("LAID_OUT", ("replica.reading",), (1,)),
    Limit("MAX_SLICES", ("replica.outgoing",), (1, 3)),
    Limit("BATCH", ("sync.protocol",), (1, 400)),
    Limit("WINDOW", ("sync.protocol",), (1, 2)),
    Limit("BATCH", ("replica.join",), (1, 400)),
    Limit("STREAMS", ("replica.join", ), (1,)),
    Limit("PORTION", ("replica.fork",), (1, 400)),
    Limit("SNAPSHOTS", ("replica.adopt",), (1,)),
    Limit("STREAMS", ("replica.build",), (1,)),
    Limit("STREAMS", ("replica.verify",), (1,)),
    Limit("STREAMS", ("replica.travel",), (1,)),
    Limit("MILESTONES", ("replica.snapshot",), (2,)),
    Limit("PER_PAST", ("replica.snapshot",), (1,)),
    Limit("AT_ONCE", ("replica.steward",), (1,)),
    Limit("AHEAD", ("replica.pump",), (1,)),
    Limit("STEPS", ("replica.pump",), (1,)),
)  # fmt: skip


def holder(place: str) -> object:
    """The module or class that a place names."""
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError:
        module, _, name = place.rpartition(".")
        found: object = getattr(importlib.import_module(module), name)
        return found


@contextmanager
def limited(random: Random | None) -> Iterator[list[str]]:
    """Most limits tiny, as chance has it; None leaves them as they are. Says which are."""
    said = []
    with ExitStack() as stack:
        for limit in LIMITS if random is not None else ():
            assert random is not None
            chosen, value = random.random() < 0.7, random.choice(limit.values)
            if chosen or limit.places == ("replica.ordered",):  # these go together: RECENT is never below STRIDE
                said.append(f"{limit.places[0]}.{limit.name}={value}")
                for place in limit.places:
                    stack.enter_context(patch.object(holder(place), limit.name, value))
        yield said
