"""The network property: whatever happens to frames, links, clocks and processes, the replicas agree, and rightly.

"They agree" alone would hold where all of them lose the same event, so the end is compared with a model that
never saw a network: the set of acknowledged events, and what each of them had observed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import invariant

from merge.stamp import Stamp
from merge.version import Dot, VersionVector
from replica.core import Committed, Settled
from replica.direct import DirectReplica
from replica.event import Event
from replica.log import Log
from sync.testing import ReplicaMachine
from tests.shop import (
    HOME,
    JOURNAL,
    AddItem,
    AddTwice,
    Count,
    Counted,
    GiveTitle,
    ItemAdded,
    ItemRemoved,
    Journal,
    Noted,
    RemoveItem,
    ShoppingList,
    TakeNote,
    TitleGiven,
    Write,
    direct,
)

ITEMS = st.sampled_from(["milk", "eggs", "bread"])
COMMANDS = st.one_of(
    st.builds(AddItem, ITEMS),
    st.builds(RemoveItem, ITEMS),
    st.builds(AddTwice, ITEMS),
    st.builds(GiveTitle, st.sampled_from(["one", "two"])),
    st.builds(Count, st.integers(-3, 3)),
    st.builds(TakeNote, st.sampled_from(["rain", "sun"])),
    st.builds(Write, st.sampled_from(["x", "héé", "🌊"]), st.integers(0, 5)),
)


class Fact(NamedTuple):
    """What the model remembers of one event."""

    dot: Dot
    stamp: Stamp
    context: VersionVector
    event: Event
    text: str = ""


def expected(facts: list[Fact]) -> dict[str, Any]:
    """The present of a set of facts, whatever their order: said, and not forgotten by one that had seen it."""

    def items() -> Iterator[str]:
        removals = [fact for fact in facts if isinstance(fact.event, ItemRemoved)]
        for fact in facts:
            if isinstance(fact.event, ItemAdded):
                item = fact.event.item
                if not any(gone.event.item == item and fact.dot in gone.context for gone in removals):
                    yield item

    titles = [fact for fact in facts if isinstance(fact.event, TitleGiven)]
    last = max(titles, key=lambda fact: (fact.stamp, fact.dot.seq), default=None)
    return {
        "items": set(items()),
        "title": last.event.title if last else None,
        "count": sum(fact.event.amount for fact in facts if isinstance(fact.event, Counted)),
    }


def written(facts: list[Fact]) -> tuple[tuple[str, int], ...]:
    """The journal: lines by stamp, each with the number of earlier ones that it had not seen."""
    lines = sorted((f for f in facts if isinstance(f.event, Noted)), key=lambda fact: (fact.stamp, fact.dot.seq))
    return tuple(
        (line.event.line, sum(earlier.dot not in line.context for earlier in lines[:at]))
        for at, line in enumerate(lines)
    )


class NetworkMachine(ReplicaMachine):
    """Everything that may happen to some replicas, and what must hold all the same."""

    aggregates = (ShoppingList, Journal)
    commands = COMMANDS
    replicas = 4
    compares = True

    def __init__(self) -> None:
        self.pending: dict[str, list[Fact]] = {}
        self.facts: list[Fact] = []
        self.ends: set[Dot] = set()
        super().__init__()

    def begin(self, name: str, crashes: int, log: Log | None) -> DirectReplica:
        return direct(name, crashes, log)

    def links_of(self, name: str, others: str) -> list[str]:
        """Only c knows d: whatever d says or hears goes through a relay."""
        return ["cd"] if name == "d" else super().links_of(name, others)

    def address(self, what: Any) -> str:
        return JOURNAL if isinstance(what, TakeNote) else HOME

    def begun(self, name: str) -> None:
        self.pending[name] = []

    def recorded(self, name: str, what: Any, committed: Committed) -> None:
        """Remember what was decided, and what had been observed by then."""
        text = what.text if isinstance(what, Write) else ""
        replica = self.replica(name)
        me = replica.core.me
        *_, (commit, _) = replica.core.draft.commits
        before = replica.core.now.version.seqs.set(me, commit.first - 1)
        for index, recorded in enumerate(commit.events):
            event = replica.core.types.decode(recorded.type, recorded.schema, recorded.payload)
            assert event is not None
            context = VersionVector(before).advance(me, commit.first - 1 + index)
            self.pending[name].append(Fact(Dot(me, commit.first + index), commit.stamp, context, event, text))
        self.ends.add(Dot(me, commit.last))

    def durable(self, name: str, settled: Settled) -> None:
        """A caller is told: what it decided is a fact."""
        done = settled.version[self.replica(name).core.me]
        self.facts += [fact for fact in self.pending[name] if fact.dot.seq <= done]
        self.pending[name] = [fact for fact in self.pending[name] if fact.dot.seq > done]

    @invariant()
    def every_commit_is_whole(self) -> None:
        for node in self.network.nodes.values():
            for dot in node.replica.core.memory.version:
                assert dot.seq == 1 or dot in self.ends

    @invariant()
    def nobody_raises_an_alarm(self) -> None:
        """Presents are compared all the time, and those of honest replicas are equal whenever they can be."""
        for node in self.network.nodes.values():
            assert node.divergences == ()
            assert node.replica.core.comparisons.mended == 0

    def at_rest(self) -> None:
        """All agree, and have compared that; and with the model."""
        facts = self.facts
        self.nobody_raises_an_alarm()
        for name in self.names:
            replica = self.replica(name)
            assert replica.core.stable == replica.core.memory.version
            assert not facts or replica.core.comparisons.equal > 0
            assert replica.settled(JOURNAL).state == replica.present(JOURNAL).state
        assert not any(self.pending.values())
        version = self.replica("a").core.memory.version
        assert all(fact.dot in version for fact in facts)
        assert sum(version.seqs.values()) == len(facts) + len(version)
        assert self.replica("a").present(JOURNAL).state == written(facts)
        home = self.replica("a").present(HOME)
        assert {
            "items": set(home.items),
            "title": home.title.value,
            "count": home.count.value,
        } == expected(facts)
        contexts = {fact.dot: fact.context for fact in facts}
        for commit, context in self.replica("d").reader().stream(HOME):
            assert context == contexts[Dot(commit.replica, commit.first)]
        assert sorted(str(home.note)) == sorted("".join(fact.text for fact in facts))


class TestNetwork(NetworkMachine.TestCase):  # type: ignore[name-defined,misc]
    """Whatever happens, replicas that can talk again agree with each other and with the model."""

    settings = settings(max_examples=60, stateful_step_count=50)
