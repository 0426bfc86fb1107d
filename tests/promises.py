"""Whether promises were kept: what a replica holds now, against what a victim (`tests.victim`) was told.

Every check looks at an open replica, through its public face and the reader of its log, and raises AssertionError.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from merge.version import NOTHING
from replica.block import Head
from replica.replica import Replica
from sync.memory import linked
from tests.loop import until
from tests.owing import TOLD, Answered
from tests.shop import ItemAdded
from tests.victim import Promise

ALL = 1 << 62
LONGEST = 20.0
"""Seconds after which two that have met and do not agree never will."""


class Fact(NamedTuple):
    """An event in the log: what it says, where, and the first event of its commit and how many that has."""

    stream: str
    type: type
    text: str
    first: int
    events: int


Facts = dict[tuple[int, int], Fact]


async def facts_of(replica: Replica) -> Facts:
    """All that a replica has recorded of what victims write, by dot."""
    core = replica.core
    found: Facts = {}
    for commit, _ in await replica.read(lambda reader: reader.beyond(NOTHING, core.memory.version, ALL)):
        for seq, event in enumerate(commit.events, commit.first):
            fact = core.types.decode(event.type, event.schema, event.payload)
            text = getattr(fact, "item", None) or getattr(fact, "what", None)
            if text is not None:
                found[int(commit.replica), seq] = Fact(
                    event.stream, type(fact), text, commit.first, len(commit.events)
                )
    return found


def broken(promises: Iterable[Promise], facts: Facts) -> list[Promise]:
    """Promises that were not kept: an event is not there, says something else, or its commit is not whole."""
    return [promise for promise in promises if not _kept(promise, facts)]


def _kept(promise: Promise, facts: Facts) -> bool:
    texts = promise.texts
    found = [facts.get((promise.replica, promise.first + index)) for index in range(len(texts))]
    return all(
        fact is not None and (fact.text, fact.first, fact.events) == (text, promise.first, len(texts))
        for fact, text in zip(found, texts, strict=True)
    )


def reused(promises: Iterable[Promise], facts: Facts) -> list[Promise]:
    """Promises of which a dot names another event now."""
    return [
        promise
        for promise in promises
        for seq, text in enumerate(promise.texts, promise.first)
        if (promise.replica, seq) in facts and facts[promise.replica, seq].text != text
    ]


def nothing_else(promises: Iterable[Promise], facts: Facts) -> None:
    """Beyond what was promised there is at most one command of each writer: the one that it had no answer to."""
    answered = {promise.tag for promise in promises}
    there = Counter(text for _, kind, text, *_ in facts.values() if kind is not Answered)
    assert not there or max(there.values()) == 1, f"recorded twice: {there.most_common(3)}"
    waiting: dict[str, set[str]] = defaultdict(set)
    for text in there:
        tag = text.partition(".")[0].rstrip("'")
        if tag not in answered and not tag.startswith("bob/"):
            waiting[tag.rpartition("/")[0]].add(tag)
    several = [tags for tags in waiting.values() if len(tags) > 1]
    assert not several, f"one writer asked for these at once, or an answer was lost: {several[:3]}"


async def well(replica: Replica, facts: Facts) -> None:
    """Hashes, presents, snapshots and tables are those of the log; presents say just what its facts say."""
    verified = await replica.verify()
    assert verified, verified.differences
    items = defaultdict(set)
    for fact in facts.values():
        if fact.type is ItemAdded:
            items[fact.stream].add(fact.text)
    for stream, wanted in items.items():
        assert set((await replica.present(stream)).items) == wanted, f"{stream} is not what its facts say"


async def at_rest(replica: Replica) -> None:
    """Wait until it has carried out what is due and its own to do."""
    if replica.status().due:
        await until(lambda: not [due for due in replica.status().due if due.state == "next"])


async def answered_once(replica: Replica) -> None:
    """What is due is carried out, once and whole; each table is what a rebuild makes of the log.

    An id that was given up carries nothing out (`replica.due`): what it owed is taken over, as a person would.
    """
    for stream in {due.stream for due in replica.status().due if due.owner != replica.status().replica}:
        await replica.take_over(stream)
    await at_rest(replica)
    undone = [due for due in replica.status().due if due.state != "done"]
    assert not undone, f"was not carried out: {undone[:3]}"
    told = set[str]()
    async for stream in replica.streams("quiz"):
        state = (await replica.present(stream)).state
        answers = {answers for _, answers in state.values()}
        assert answers <= {1}, f"in {stream} a question has {answers} answers"
        told |= {f"{what}'" for what in state}
    if told:
        assert set((await replica.present(TOLD)).items) == told, f"{TOLD} was not told just what was answered"
    for table in ("said", "counts"):
        before = await replica.rows(table)
        await replica.rebuild(table)
        assert await replica.rows(table) == before, f"{table} differs from a rebuild"


async def agree(one: Replica, other: Replica) -> None:
    """Two replicas meet, and come to the same: no dot names two events, and both read alike."""
    async with linked(one, other):
        async with asyncio.timeout(LONGEST):
            while one.version != other.version:
                _alarm(one, other)
                await asyncio.sleep(0.001)
        _alarm(one, other)
        assert heads(one) == heads(other)
        for category in one.core.aggregates:
            async for stream in one.streams(category):
                assert await one.digest(stream) == await other.digest(stream), f"{stream} is read in two ways"


def _alarm(*replicas: Replica) -> None:
    for replica in replicas:
        unfolded = replica.status().unfolded
        assert not unfolded, f"a dot was used twice: {unfolded}"


def heads(replica: Replica) -> list[tuple[int, Head]]:
    """The heads of all logs that a replica holds."""
    lineages = replica.core.memory.lineages
    return sorted((int(one), head) for one, lineage in lineages.items() for head in lineage.heads)
