"""A Hypothesis state machine to inherit from: your aggregates, over a network and machines that fail.

    class Shopping(ReplicaMachine):
        aggregates = (ShoppingList,)
        commands = st.one_of(st.builds(AddItem, words), st.builds(RemoveItem, words))

        def check(self, present):                        # what must hold of every present, if anything
            assert len(present.items) < 100

    TestShopping = Shopping.TestCase                     # for pytest and unittest

Hypothesis chooses what happens, step by step, and shortens what fails to the fewest steps. The product's own code
runs: the core, the log, the fold, the protocol. Where the steps end all is healed and comes to rest, and then

Rule 1. all replicas have the same heads;
Rule 2. every commit that was acknowledged (it became durable where it was decided) is everywhere;
Rule 3. they read each stream alike; and so does each one that is opened anew over its log, some years later;
Rule 4. `check` holds for every present, as it did for every one on the way;
Rule 5. no honest fault of a network has ended a session with an error.

A machine may have rules of its own (`@rule`, `@invariant` of Hypothesis), and override `begin`, `links_of`,
`address`, `check`, and what it is told: `begun`, `recorded`, `durable`, `at_rest`.

It does not find what depends on the order of a set of strings, which is the same within one process:
`assert_converges` asks other processes. Nor what only costs time: a gap that is not answered, say, since the batch
then counts as lost some seconds later, and all comes again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import wraps
from importlib.util import find_spec
from random import Random
from typing import Any, ClassVar, TypeVar

if find_spec("hypothesis") is None:
    raise ImportError("sync.testing.ReplicaMachine needs Hypothesis: pip install 'anabranch[testing]'")

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from replica.core import Committed, Settled
from replica.decider import Decider
from replica.direct import DirectReplica
from replica.errors import ChangedInPlace, InvalidEvent, Refused
from replica.event import Command, Event
from replica.log import Log
from replica.memory import MemoryLog
from replica.testing.strategies import events_of
from sync.testing.agreement import assert_same_log, assert_same_reading
from sync.testing.ledger import Acknowledged
from sync.testing.network import NOW, YEAR, Network

T = TypeVar("T")

NAMES = "abcdefghijklmnopqrstuvwxyz"
HOUR = 3_600_000
CLOCKS = {
    "twenty years ago": -20 * YEAR,
    "an hour ago": -HOUR,
    "now": 0,
    "in ten hours": 10 * HOUR,
    "in five years": 5 * YEAR,
}
"""What a clock may be set to. In ten hours is within what others accept, in five years is not."""


def among(choose: Callable[[Any], Sequence[T]]) -> st.SearchStrategy[T]:
    """One of what the machine has at that moment."""
    return st.runner().flatmap(lambda machine: st.sampled_from(choose(machine)))


def some(name: str) -> st.SearchStrategy[list[Any]]:
    """A few of what the strategy of that name makes: several at once are what a network can reorder."""
    return st.runner().flatmap(lambda machine: st.lists(getattr(machine, name), min_size=1, max_size=3))


def step(**arguments: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Any]:
    """A rule after which presents are checked."""

    def decorate(happens: Callable[..., None]) -> Any:
        @wraps(happens)
        def happens_and_holds(self: ReplicaMachine, **chosen: Any) -> None:
            happens(self, **chosen)
            self._hold()

        return rule(**arguments)(happens_and_holds)  # type: ignore[call-overload]  # no targets among them

    return decorate


class ReplicaMachine(RuleBasedStateMachine):
    """Inherit, and say which aggregates. `TestCase` is what test runners run; its `settings` may be set."""

    aggregates: ClassVar[Sequence[type[Decider]]] = ()
    commands: ClassVar[st.SearchStrategy[Any] | None] = None
    """Commands to decide on. An aggregate with a Text needs them: its events cannot be made up."""
    events: ClassVar[st.SearchStrategy[Any] | None] = None
    """Events to append. Where neither is given: `events_of` all aggregates."""
    replicas: ClassVar[int] = 3
    newcomers: ClassVar[int] = 1
    """Replicas that may join later, at most."""
    compares: ClassVar[bool] = False
    """Peers compare presents, as they do in production. That reads again what is not the fold of its log, and so
    hides what a machine looks for."""

    def __init__(self) -> None:
        super().__init__()
        if not self.aggregates:
            raise TypeError(f"{type(self).__name__} tests nothing: say `aggregates = (...)`")
        self.appended = self.events
        if self.commands is None and self.events is None:
            self.appended = st.one_of([events_of(kind) for kind in self.aggregates])
        self.network = Network("", [], self.begin, compares=self.compares)
        self.acknowledged: list[Acknowledged] = []
        self.streams: dict[str, None] = {}
        """The streams of which there are facts."""
        self._changed: dict[tuple[str, str], None] = {}
        """Replicas and streams whose present has changed since it was checked."""
        for name in NAMES[: self.replicas]:
            self._add(name)
        self.network.run()

    # --- to be overridden ---

    def begin(self, name: str, crashes: int, log: Log | None) -> DirectReplica:
        """Begin the process of a replica, over what it left; chance may differ from crash to crash."""
        return DirectReplica(
            log or MemoryLog(), "machine", name, self.aggregates, random=Random(f"{name}/{crashes}")
        )

    def links_of(self, name: str, others: str) -> list[str]:
        """The links of a replica that joins others: to each of them. A relay is enough."""
        return [other + name for other in others]

    def address(self, what: Event | Command) -> str:
        """The stream that an event or a command is for: one for each aggregate."""
        if isinstance(what, Event):
            kinds = [kind for kind in self.aggregates if type(what) in kind.events]
        else:
            kinds = list(self.aggregates)
        if len(kinds) != 1:
            word = type(what).__name__
            raise TypeError(
                f"{len(kinds)} aggregates may be meant by {word}: override `address` to say which stream"
            )
        return f"{kinds[0].stream}/1"

    def check(self, present: Any) -> None:
        """Raise where something that must hold of a present does not. Nothing must, unless you say so."""

    def begun(self, name: str) -> None:
        """A process has begun: the first of a replica, or the one after a crash."""

    def recorded(self, name: str, what: Event | Command, committed: Committed) -> None:
        """A replica has decided on that; it is not durable yet, and nobody was told."""

    def durable(self, name: str, settled: Settled) -> None:
        """Something has become durable at a replica: its own, or what it has heard."""

    def at_rest(self) -> None:
        """All has been healed and come to rest, and the rules above hold. What else must?"""

    # --- what rules are made of ---

    @property
    def names(self) -> list[str]:
        """The replicas there are."""
        return list(self.network.nodes)

    def replica(self, name: str) -> DirectReplica:
        return self.network.replica(name)

    def clock(self, name: str) -> int:
        """Wall ms, as a replica believes."""
        return self.network.clocks[name]

    def do(self, name: str, what: Event | Command) -> None:
        """Let a replica decide on a command, or append an event. Being refused is fine."""
        replica = self.replica(name)
        try:
            if isinstance(what, Command):
                committed = replica.execute(self.address(what), what, self.clock(name))
            else:
                committed = replica.append(self.address(what), [what], self.clock(name))
        except Refused:
            return
        except ChangedInPlace:
            raise
        except InvalidEvent:
            if isinstance(what, Command):
                raise
            return
        if committed.dots:
            self.recorded(name, what, committed)

    any_replica = among(lambda machine: machine.names)
    """For rules of your own: `@rule(replica=ReplicaMachine.any_replica)`."""

    # --- what people do ---

    @precondition(lambda self: self.commands is not None)
    @step(replica=any_replica, commands=some("commands"), durable=st.booleans())
    def execute(self, replica: str, commands: list[Command], durable: bool) -> None:
        """What is not durable yet becomes so with what comes next; a crash before that undoes it."""
        self._do_all(replica, commands, durable)

    @precondition(lambda self: self.appended is not None)
    @step(replica=any_replica, events=some("appended"), durable=st.booleans())
    def append(self, replica: str, events: list[Event], durable: bool) -> None:
        self._do_all(replica, events, durable)

    def _do_all(self, name: str, whats: Sequence[Event | Command], durable: bool) -> None:
        for what in whats:
            self.do(name, what)
            if durable:
                self.replica(name).flush()

    @step(replica=any_replica)
    def read(self, replica: str) -> None:
        """What is loaded is folded as it comes; what is not, when it is read."""
        for stream in list(self.streams):
            self.check(self.replica(replica).present(stream))

    # --- what happens to the network ---

    @precondition(lambda self: set(self.network.links) - self.network.up)
    @step(link=among(lambda machine: [link for link in machine.network.links if link not in machine.network.up]))
    def heal(self, link: str) -> None:
        self.network.heal(link)

    @precondition(lambda self: self.network.up)
    @step(link=among(lambda machine: sorted(machine.network.up)))
    def cut(self, link: str) -> None:
        self.network.cut(link)

    def _frames(self, least: int = 1) -> list[str]:
        """Where something is on its way, in words."""
        network = self.network
        return [
            f"{name} to {network.other(link, name)}"
            for link, name in network.under_way()
            if len(network.wire(link, name)) >= least
        ]

    def _way(self, frame: str) -> tuple[str, str]:
        """The link, and who sends."""
        name, other = frame.split(" to ")
        return next(link for link in self.network.links if set(link) == {name, other}), name

    @precondition(lambda self: self._frames())
    @step(frame=among(lambda machine: machine._frames()))
    def deliver(self, frame: str) -> None:
        self.network.deliver(*self._way(frame))

    @precondition(lambda self: self._frames())
    @step(frame=among(lambda machine: machine._frames()))
    def lose(self, frame: str) -> None:
        self.network.wire(*self._way(frame)).popleft()

    @precondition(lambda self: self._frames())
    @step(frame=among(lambda machine: machine._frames()))
    def double(self, frame: str) -> None:
        """It arrives, and is still on its way."""
        self.network.deliver(*self._way(frame), keep=True)

    @precondition(lambda self: self._frames(2))
    @step(frame=among(lambda machine: machine._frames(2)))
    def overtake(self, frame: str) -> None:
        """The latest arrives first."""
        self.network.deliver(*self._way(frame), -1)

    @step()
    def deliver_all(self) -> None:
        self.network.run()

    @step()
    def two_seconds_pass(self) -> None:
        self.network.tick()

    @precondition(lambda self: len(self.names) < self.replicas + self.newcomers)
    @step()
    def newcomer_joins(self) -> None:
        self._add(NAMES[len(self.names)])

    # --- what happens to machines ---

    @step(replica=any_replica)
    def crash(self, replica: str) -> None:
        """Its process ends, and begins again; conversations that were under way do, too."""
        were_up = [link for link in self.network.links if link in self.network.up and replica in link]
        self.network.crash(replica)
        self._listen(replica)
        for link in were_up:
            self.network.heal(link)

    @step(replica=any_replica, to=st.sampled_from(list(CLOCKS)))
    def set_clock(self, replica: str, to: str) -> None:
        self.network.clocks[replica] = NOW + CLOCKS[to]

    @step(replica=any_replica)
    def take_snapshots(self, replica: str) -> None:
        """Of all that is loaded: what is read after a crash begins there."""
        one = self.replica(replica)
        one.core.ripe.update(dict.fromkeys(sorted(one.core.memory.presents)))
        one.snapshot()

    # --- what must hold ---

    def _add(self, name: str) -> None:
        """One more replica, which begins a conversation over each of its links."""
        links = self.links_of(name, "".join(self.names))
        self.network.links += links
        self.network.add(name, self.begin(name, 0, None))
        self._listen(name)
        for link in links:
            self.network.heal(link)

    def _listen(self, name: str) -> None:
        """Hear what becomes durable at a replica: that is what a caller is told."""
        replica = self.replica(name)
        categories = {kind.stream for kind in self.aggregates}

        def hear(settled: Settled) -> None:
            core = replica.core
            if any(commit.replica == core.me for commit in settled.commits):
                self.acknowledged.append(Acknowledged.latest(core))
            found = {event.stream: None for commit in settled.commits for event in commit.events}
            changed = [stream for stream in found if stream.partition("/")[0] in categories]
            self.streams.update(dict.fromkeys(changed))
            self._changed.update(dict.fromkeys((name, stream) for stream in changed))
            self.durable(name, settled)

        replica.listeners.append(hear)
        self.begun(name)

    def _hold(self) -> None:
        """No session has failed, and presents that have changed pass their check."""
        assert not self.network.faults(), f"a session of honest replicas was ended: {self.network.faults()[0]}"
        changed, self._changed = self._changed, {}
        if type(self).check is not ReplicaMachine.check:
            for name, stream in changed:
                self.check(self.replica(name).present(stream))

    def teardown(self) -> None:
        """Heal all, let time pass, and say what must hold then. Where a rule has failed, the end is not played."""
        if sys.exc_info()[0] is not None:
            return
        network = self.network
        stamps = [node.replica.core.now.stamp for node in network.nodes.values()]
        latest = max([*network.clocks.values(), *(stamp.wall for stamp in stamps if stamp is not None)])
        network.clocks = dict.fromkeys(self.names, latest)
        network.settle()
        self._hold()
        replicas = {name: self.replica(name) for name in self.names}
        assert_same_log(replicas, self.acknowledged)
        for stream in list(self.streams):
            assert_same_reading(replicas, stream, self._again)
            for replica in replicas.values():
                self.check(replica.present(stream))
        self.at_rest()

    def _again(self, name: str) -> DirectReplica:
        """A replica opened over the log of one that runs."""
        return self.begin(name, self.network.crashes + 1, self.replica(name).log)
