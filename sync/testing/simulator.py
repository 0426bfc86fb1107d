"""The simulator: whole replicas over a simulated network, clock and disk, in one thread, from one seed.

A schedule is some hundred steps: clients write and read, frames are carried, time passes; and things go wrong
(`sync.testing.weather`). After the last fault the network is a tree of links that work, and within some rounds all
must be equal (`sync.testing.oracle`); then little things go wrong once more, which must be mended promptly
(`sync.testing.epilogue`). The product's own code runs: the core, the log in blocks, the fold, the protocol,
snapshots, projections, what is due; only what it stands on is made up.

Rule 1. A schedule follows from its seed alone: no clock, no hash seed, no order of a set enters. `Outcome.trace`
        names all that happened, and is the same in every process.
Rule 2. Each schedule has at least FAULTS_EACH faults. What goes right at odd moments does not count.
Rule 3. In the end a tree of links is enough: it is what the design promises, and nothing else makes up for a
        conversation that has come to a stop.

Source: FoundationDB and TigerBeetle (deterministic simulation); Jepsen (oracles from what was acknowledged).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random

from sync.testing import weather
from sync.testing.client import Clients
from sync.testing.disk import Disk
from sync.testing.epilogue import epilogue
from sync.testing.network import TICK
from sync.testing.oracle import check
from sync.testing.weather import climate
from sync.testing.workload import NOW
from sync.testing.world import START, Node, World

STEPS = 200
FAULTS_EACH = 50
ROUNDS = 24
"""Ticks within which all must be equal when nothing goes wrong any more: about what a chain of six replicas takes
where each link has lost what it can."""


@dataclass
class Outcome:
    """A schedule that held."""

    seed: int
    steps: int
    faults: Counter[str] = field(default_factory=Counter)
    events: int = 0
    seconds: float = 0.0
    """Simulated."""
    trace: str = ""


class Simulation:
    """One schedule."""

    def __init__(self, seed: int, steps: int = STEPS, replicas: int = 3) -> None:
        self.outcome = Outcome(seed, steps)
        self._random = Random(seed)
        self.world = World(seed, self._random)
        self._clients = Clients(self.world)
        self._next_tick = START + TICK
        for _ in range(replicas):
            self.world.add(Disk())
        for link in self.world.links:
            self.world.mend(link)

    def run(self) -> Outcome:
        """The whole schedule. Found where an oracle does not hold."""
        world, random, outcome = self.world, self._random, self.outcome
        faults, weights = climate(world)
        step = 0
        while step < outcome.steps or outcome.faults.total() < FAULTS_EACH:
            step += 1
            self._pass(random.randint(1, 500))
            kind = random.random()
            if kind < 0.12:
                self._clients.write(self._any())
            elif kind < 0.62:
                self._carry()
            elif kind < 0.70:
                self._calm()
            else:
                fault = random.choices(faults, weights)[0]
                if fault(world):
                    world.note("fault", fault.__name__)
                    outcome.faults[fault.__name__.replace("_", " ")] += 1
        self._settle()
        check(world)
        epilogue(world)
        outcome.seconds = (world.now - START) / 1000
        first = world.replicas[0]
        outcome.events = sum(first.core.memory.types.values())
        for replica, head in first.heads:
            world.note(replica, *head)
        outcome.trace = world.trace
        return outcome

    def _any(self) -> Node:
        return self._random.choice(list(self.world.nodes.values()))

    def _pass(self, ms: int) -> None:
        self.world.now += ms
        if self.world.now >= self._next_tick:
            self._next_tick = self.world.now + TICK
            self.world.tick()

    def _carry(self) -> None:
        """A frame arrives: the first one on its way over some link."""
        waiting = self.world.waiting()
        if waiting:
            self.world.deliver(*self._random.choice(waiting))

    def _calm(self) -> None:
        """Something goes right."""
        match self._random.randrange(18):
            case 0 | 1 | 2 | 3 | 4 | 5:
                weather.mend(self.world)
            case 6 | 7:
                self._clients.read(self._any())
            case 8:
                self._clients.look_back(self._any())
            case 9 | 16 | 17:
                self._clients.look_at_settled(self._any())
            case 10:
                self._clients.meet(self._any(), self._any())
            case 11 | 12:
                weather.snapshot(self.world)
            case 13:
                weather.seal(self.world)
            case _:
                weather.carry_out(self.world)

    # --- the end ---

    def _settle(self) -> None:
        """Nothing goes wrong any more: a tree of links works, disks have room, and clocks go on from the latest.

        Conversations that are under way go on, with whatever was lost in them.
        """
        world = self.world
        for one in world.nodes.values():
            one.disk.fails = None
            if one.release is not NOW:
                one.release = NOW
                world.crash(one, one.disk)
        latest = max(world.clock(one) for one in world.nodes.values())
        newest = [replica.core.memory.stamp for replica in world.replicas]
        latest = max([latest, *(stamp.wall for stamp in newest if stamp is not None)])
        world.held.clear()
        for one in world.nodes.values():
            one.offset, one.rate, one.frozen = 0, 1.0, latest
        self._plant()
        for _ in range(ROUNDS):
            world.drain()
            for one in world.nodes.values():
                one.replica.carry_out(world.clock(one))
            if world.equal and not world.waiting():
                return
            world.now += TICK
            world.tick()
        world.drain()

    def _plant(self) -> None:
        """Of all links those of some tree work, and a few more."""
        world, random = self.world, self._random
        names = list(world.nodes)
        random.shuffle(names)
        tree = set()
        for at, name in enumerate(names[1:], 1):
            tree.add("-".join(sorted((name, random.choice(names[:at])))))
        for link in world.links:
            if link not in tree and random.random() < 0.8:
                world.cut(link)
            elif link not in world.up or world.ended(link):
                world.mend(link)
            else:
                world.up[link] = set(link.split("-"))


def simulate(seed: int, steps: int = STEPS, replicas: int = 3) -> Outcome:
    """Play the schedule of a seed; Found where something that must hold does not."""
    return Simulation(seed, steps, replicas).run()
