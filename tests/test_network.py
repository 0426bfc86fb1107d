"""The network property: whatever happens to frames, links, clocks and processes, the replicas agree, and rightly.

"They agree" alone would hold where all of them lose the same event, so the end is compared with a model that
never saw a network: the set of acknowledged events, and what each of them had observed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from merge.stamp import Stamp
from merge.version import Dot, VersionVector
from replica.core import Settled
from replica.errors import Refused
from replica.event import Event
from tests.network import NOW, YEAR, Network
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
    Noted,
    RemoveItem,
    TakeNote,
    TitleGiven,
    Write,
)

NAMES = "abcd"
LINKS = ["ab", "bc", "ac", "cd"]
"""d joins late, and only c knows it: whatever d says or hears goes through a relay."""

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


class NetworkMachine(RuleBasedStateMachine):
    """Everything that may happen to four replicas, and what must hold all the same."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Network(NAMES, LINKS)
        self.pending: dict[str, list[Fact]] = {name: [] for name in NAMES}
        self.acknowledged: list[Fact] = []
        self.ends: set[Dot] = set()
        self.latest = NOW
        for name in NAMES:
            self.listen(name)

    def listen(self, name: str) -> None:
        """Hear what becomes durable at a replica: that is what a caller is told."""

        def hear(settled: Settled) -> None:
            done = settled.version[self.me(name)]
            self.acknowledged += [fact for fact in self.pending[name] if fact.dot.seq <= done]
            self.pending[name] = [fact for fact in self.pending[name] if fact.dot.seq > done]

        self.network.nodes[name].replica.listeners.append(hear)

    def me(self, name: str) -> int:
        return self.network.nodes[name].replica.core.me

    # --- what people do ---

    @rule(name=st.sampled_from(NAMES), command=COMMANDS)
    def execute(self, name: str, command: Any) -> None:
        replica = self.network.nodes[name].replica
        try:
            stream = JOURNAL if isinstance(command, TakeNote) else HOME
            committed = replica.execute(stream, command, self.network.clocks[name])
        except Refused:
            return
        assert committed.stamp is not None
        commit = replica.core.draft.commits[-1]
        before = replica.core.now.version.seqs.set(self.me(name), commit.first - 1)
        text = command.text if isinstance(command, Write) else ""
        for index, recorded in enumerate(commit.events):
            event = replica.core.types.decode(recorded.type, recorded.schema, recorded.payload)
            assert event is not None
            context = VersionVector(before).advance(self.me(name), commit.first - 1 + index)
            fact = Fact(Dot(self.me(name), commit.first + index), committed.stamp, context, event, text)
            self.pending[name].append(fact)
        self.ends.add(Dot(self.me(name), commit.last))

    @rule(name=st.sampled_from(NAMES))
    def make_durable(self, name: str) -> None:
        self.network.nodes[name].replica.flush()

    # --- what happens to the network ---

    @rule(link=st.sampled_from(LINKS))
    def heal(self, link: str) -> None:
        self.network.heal(link)

    @rule(link=st.sampled_from(LINKS))
    def cut(self, link: str) -> None:
        self.network.cut(link)

    def under_way(self) -> list[tuple[str, str]]:
        up = sorted(self.network.up)
        return [(link, name) for link in up for name in link if self.network.wire(link, name)]

    @precondition(under_way)
    @rule(data=st.data(), what=st.sampled_from(["deliver"] * 6 + ["lose", "double", "overtake"]))
    def frame(self, data: Any, what: str) -> None:
        link, name = data.draw(st.sampled_from(self.under_way()))
        wire = self.network.wire(link, name)
        match what:
            case "deliver":
                self.network.deliver(link, name)
            case "lose":
                wire.popleft()
            case "double":
                self.network.deliver(link, name, keep=True)
            case "overtake":
                self.network.deliver(link, name, len(wire) - 1)

    @rule()
    def deliver_all(self) -> None:
        self.network.run()

    @rule()
    def two_seconds_pass(self) -> None:
        self.network.tick()

    # --- what happens to machines ---

    @rule(name=st.sampled_from(NAMES))
    def crash(self, name: str) -> None:
        self.network.crash(name)
        self.pending[name] = []
        self.listen(name)

    @rule(name=st.sampled_from(NAMES), to=st.sampled_from([-20 * YEAR, -3_600_000, 36_000_000, 5 * YEAR]))
    def clock_leaps(self, name: str, to: int) -> None:
        self.network.clocks[name] = NOW + to
        self.latest = max(self.latest, NOW + to)

    @rule(name=st.sampled_from(NAMES))
    def take_snapshots(self, name: str) -> None:
        """Of all that is loaded, at any moment: what is read after a crash begins there."""
        replica = self.network.nodes[name].replica
        replica.core.ripe.update(dict.fromkeys(replica.core.memory.presents))
        replica.snapshot()

    # --- what must hold ---

    @invariant()
    def no_session_is_ended_by_honest_faults(self) -> None:
        assert self.network.faults() == []

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

    def teardown(self) -> None:
        """Time passes until the last clock's horizon; then all agree, and with the model."""
        network = self.network
        latest = max(self.latest, *network.clocks.values())
        network.clocks = dict.fromkeys(NAMES, latest)
        network.settle()
        replicas = [node.replica for node in network.nodes.values()]
        assert network.faults() == []
        self.nobody_raises_an_alarm()
        if self.acknowledged:
            assert all(replica.core.comparisons.equal > 0 for replica in replicas)
        first = replicas[0]
        for replica in replicas:
            assert replica.core.memory.version == first.core.memory.version
            assert replica.heads == first.heads
            assert replica.digest(HOME) == first.digest(HOME)
            assert replica.digest(JOURNAL) == first.digest(JOURNAL)
            assert replica.core.stable == first.core.memory.version
            assert replica.settled(JOURNAL).state == replica.present(JOURNAL).state
        assert not any(self.pending.values())
        version = first.core.memory.version
        assert all(fact.dot in version for fact in self.acknowledged)
        assert sum(version.seqs.values()) == len(self.acknowledged) + len(version)
        assert first.present(JOURNAL).state == written(self.acknowledged)
        home = first.present(HOME)
        assert {
            "items": set(home.items),
            "title": home.title.value,
            "count": home.count.value,
        } == expected(self.acknowledged)
        contexts = {fact.dot: fact.context for fact in self.acknowledged}
        for commit, context in replicas[-1].reader().stream(HOME):
            assert context == contexts[Dot(commit.replica, commit.first)]
        letters = "".join(fact.text for fact in self.acknowledged)
        assert sorted(str(home.note)) == sorted(letters)


class TestNetwork(NetworkMachine.TestCase):  # type: ignore[name-defined,misc]
    """Whatever happens, replicas that can talk again agree with each other and with the model."""

    settings = settings(max_examples=100, stateful_step_count=50)
