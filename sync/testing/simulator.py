"""The simulator: whole replicas over a simulated network, clock and disk, in one thread, from one seed.

A schedule is some hundred steps: facts are recorded, frames carried, time passes; and things go wrong (FAULTS).
After the last step all links work again, and the oracles (`sync.testing.oracle`) say what must hold. The product's
own code runs: the core, the log in blocks, the fold, the protocol, snapshots, projections; only what it stands
on is made up.

Rule 1. A schedule follows from its seed alone: no clock, no hash seed, no order of a set enters. `Outcome.trace`
        names all that happened, and is the same in every process.
Rule 2. No fault may lose what was acknowledged, but for a restored backup: that takes back what only that replica
        had, as a real one would.

Source: FoundationDB and TigerBeetle (deterministic simulation); Jepsen (oracles from what was acknowledged).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b
from random import Random

from replica.commit import PREFIX
from replica.direct import DirectReplica
from replica.errors import Refused
from replica.log import Identity
from sync.direct import DirectNode
from sync.testing.disk import Crashed, Disk
from sync.testing.oracle import Acknowledged, Found, check
from sync.testing.workload import AGGREGATES, PROJECTIONS, STREAMS, facts

START = 1_767_225_600_000
"""Wall time (ms) at which a schedule begins."""
YEAR = 365 * 24 * 3_600_000
TICK = 2000
STEPS = 400
ROUNDS = 60
"""Ticks within which all must be equal when nothing goes wrong any more."""
FRAMES = 300
"""Frames on each link within which a conversation must come to rest."""
MOST = 6
"""Replicas, at most."""

FAULTS = {
    "cut": 4, "one way": 3, "mend": 8, "lose": 10, "double": 6, "overtake": 8, "corrupt": 2, "hold": 2,
    "crash": 4, "crash before": 2, "crash after": 2, "disk full": 1, "clock": 3, "freeze": 1, "skew": 2,
    "backup": 1, "clone": 1, "join": 1, "leave": 1, "snapshot": 4,
}  # fmt: skip
"""What goes wrong, and how often beside each other. (`mend` and `snapshot` go right, at odd moments.)"""


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


@dataclass
class _Node:
    name: str
    disk: Disk
    node: DirectNode
    offset: int = 0
    rate: float = 1.0
    frozen: int | None = None
    starts: int = 0
    twin: bool = False
    """It was cloned, or set back, so that its id may be in use twice."""


class Simulation:
    """One schedule."""

    def __init__(self, seed: int, steps: int = STEPS, replicas: int = 3) -> None:
        self.outcome = Outcome(seed, steps)
        self._random = Random(seed)
        self._trace = blake2b(digest_size=16)
        self._now = START
        self._next_tick = START + TICK
        self._nodes: dict[str, _Node] = {}
        self._up: dict[str, set[str]] = {}
        """Links by their two ends (`a-b`), and from which ends frames arrive."""
        self._held: dict[str, int] = {}
        self._acknowledged: list[Acknowledged] = []
        self._given_up: set[Acknowledged] = set()
        """What a backup has undone at the replica that had acknowledged it, or heard of it."""
        self._recorded = 0
        for _ in range(replicas):
            self._add(Disk(), None)
        for link in self._links():
            self._mend(link)

    # --- the world ---

    def _note(self, *words: object) -> None:
        self._trace.update(" ".join(map(str, words)).encode() + b"\n")

    def _add(self, disk: Disk, identity: Identity | None) -> _Node:
        name = "abcdefghijklmnopqrstuvwxyz"[len(self._nodes)]
        new = _Node(name, disk, None)  # type: ignore[arg-type]
        self._nodes[name] = new
        self._start(new, identity)
        return new

    def _start(self, one: _Node, identity: Identity | None = None) -> None:
        """Begin a process over its disk."""
        one.starts += 1
        self._held.clear()
        seed = Random(f"{self.outcome.seed}/{one.name}/{one.starts}")
        if identity is None:
            identity = one.disk.identified()
        if identity is None:
            identity = Identity("sim", seed.getrandbits(64), one.name, ())
        replica = DirectReplica(
            one.disk, "sim", one.name, AGGREGATES, random=seed, identity=identity, projections=PROJECTIONS
        )
        replica.core.every = 4
        one.node = DirectNode(replica, f"{one.name}{one.starts}".encode())
        replica.build()
        for link in self._links():
            if one.name in link.split("-") and link in self._up:
                self._connect(link)

    def _links(self) -> list[str]:
        names = list(self._nodes)
        return [f"{one}-{other}" for i, one in enumerate(names) for other in names[i + 1 :]]

    def _clock(self, one: _Node) -> int:
        if one.frozen is not None:
            return one.frozen
        return max(START // 2, int(START + (self._now - START) * one.rate) + one.offset)

    def _connect(self, link: str) -> None:
        """A new conversation over a link, on both sides."""
        for name in link.split("-"):
            one = self._nodes[name]
            self._guard(one, lambda one=one: one.node.connect(link, self._clock(one)))

    def _mend(self, link: str) -> None:
        self._up[link] = set(link.split("-"))
        self._connect(link)

    def _cut(self, link: str) -> None:
        self._up.pop(link, None)
        for name in link.split("-"):
            self._nodes[name].node.disconnect(link)

    def _guard(self, one: _Node, work: object) -> bool:
        """Do something at a node; a crash in it ends its process, and a full disk its conversations."""
        try:
            work()  # type: ignore[operator]
        except Crashed:
            self._crash(one)
            return False
        except OSError:
            one.node.replica.core.drop()
            for link in [link for link in self._up if one.name in link.split("-")]:
                self._cut(link)
            return False
        return True

    def _crash(self, one: _Node) -> None:
        for link in [link for link in self._up if one.name in link.split("-")]:
            self._cut(link)
        one.disk = one.disk.after_crash(self._random)
        self._start(one)
        self._forget_lost()

    # --- steps ---

    def run(self) -> Outcome:
        """The whole schedule. Found where an oracle does not hold."""
        random = self._random
        names = list(FAULTS)
        weights = list(FAULTS.values())
        for _ in range(self.outcome.steps):
            self._pass(random.randint(1, 500))
            kind = random.random()
            if kind < 0.12:
                self._write(self._nodes[random.choice(list(self._nodes))])
            elif kind < 0.75:
                self._carry()
            else:
                fault = random.choices(names, weights)[0]
                self._note("fault", fault)
                if self._fault(fault):
                    self.outcome.faults[fault] += 1
        self._settle()
        self.outcome.seconds = (self._now - START) / 1000
        first = next(iter(self._nodes.values())).node.replica
        self.outcome.events = sum(first.core.memory.types.values())
        for replica, head in first.heads:
            self._note(replica, *head)
        check([one.node.replica for one in self._nodes.values()], self._acknowledged)
        for stream in STREAMS:
            self._note(stream, first.digest(stream))
        self.outcome.trace = self._trace.hexdigest()
        return self.outcome

    def _pass(self, ms: int) -> None:
        self._now += ms
        if self._now >= self._next_tick:
            self._next_tick = self._now + TICK
            self._tick()

    def _tick(self) -> None:
        for one in list(self._nodes.values()):
            self._guard(one, lambda one=one: one.node.tick(self._clock(one)))
        for link in list(self._up):
            ended = [name for name in link.split("-") if link in self._nodes[name].node.ended]
            if ended:
                self._connect(link)

    def _write(self, one: _Node) -> None:
        self._recorded += 1
        stream, what = facts(self._random, self._recorded)
        replica = one.node.replica

        def write() -> None:
            committed = replica.append(stream, what, self._clock(one))
            replica.flush()
            dot = committed.dots[-1]
            row = replica.core.memory.lineages[int(dot.replica)].tip
            assert row.head.seq == dot.seq
            self._acknowledged.append(Acknowledged(int(dot.replica), dot.seq, row.head.hash[:PREFIX]))
            self._note("write", one.name, dot, row.head.hash.hex())

        try:
            self._guard(one, write)
        except Refused:
            return

    def _carry(self) -> None:
        """A frame arrives; mostly the first one on its way."""
        waiting = [
            (link, name)
            for link in sorted(self._up)
            for name in link.split("-")
            if self._nodes[name].node.outgoing.get(link) and self._held.get(link, 0) <= self._now
        ]
        if waiting:
            link, name = self._random.choice(waiting)
            self._deliver(link, name, 0)

    def _deliver(self, link: str, name: str, index: int, *, keep: bool = False, corrupt: bool = False) -> None:
        wire = self._nodes[name].node.outgoing[link]
        frame = wire[index]
        if not keep:
            del wire[index]
        if name not in self._up[link]:
            return
        if corrupt:
            at = self._random.randrange(len(frame))
            frame = frame[:at] + bytes([frame[at] ^ (1 << self._random.randrange(8))]) + frame[at + 1 :]
        ends = link.split("-")
        other = self._nodes[ends[1] if name == ends[0] else ends[0]]
        self._guard(other, lambda: other.node.receive(link, frame))

    # --- what goes wrong ---

    def _fault(self, fault: str) -> bool:
        """Let something go wrong; was there anything to go wrong with?"""
        random = self._random
        one = self._nodes[random.choice(list(self._nodes))]
        link = random.choice(self._links())
        wires = [
            (each, name) for each in sorted(self._up) for name in each.split("-")
            if self._nodes[name].node.outgoing.get(each)
        ]  # fmt: skip
        match fault:
            case "cut":
                self._cut(link)
            case "mend":
                self._mend(link)
            case "one way" if link in self._up:
                self._up[link] = {random.choice(link.split("-"))}
            case "hold":
                self._held[link] = self._now + random.randint(1, 20_000)
            case "lose" | "double" | "overtake" | "corrupt" if wires:
                self._frame(fault, *random.choice(wires))
            case "crash":
                self._crash(one)
            case "crash before" | "crash after":
                one.disk.fails = fault.split()[1]
            case "disk full":
                one.disk.fails = None if one.disk.fails == "full" else "full"
            case "clock":
                one.offset += random.choice([-YEAR, YEAR, -3_600_000, 3_600_000, -86_400_000 * 2, 86_400_000 * 2])
            case "freeze":
                one.frozen = self._clock(one) if one.frozen is None else None
            case "skew":
                one.rate = random.choice([0.5, 0.99, 1.0, 1.01, 2.0])
            case "backup" if one.disk.writes > 2:
                self._set_back(one)
            case "clone" if len(self._nodes) < MOST:
                self._clone(one)
            case "join" if len(self._nodes) < MOST:
                new = self._add(Disk(), None)
                for each in self._links():
                    if new.name in each.split("-") and random.random() < 0.7:
                        self._mend(each)
            case "leave" if len(self._nodes) > 2:
                self._guard(one, lambda: self._retire(one))
            case "snapshot":
                self._guard(one, lambda: _read_and_snapshot(one.node.replica))
            case _:
                return False
        return True

    def _frame(self, fault: str, link: str, name: str) -> None:
        wire = self._nodes[name].node.outgoing[link]
        if fault == "lose":
            wire.popleft()
        elif fault == "overtake":
            self._deliver(link, name, self._random.randrange(len(wire)))
        else:
            self._deliver(link, name, 0, keep=fault == "double", corrupt=fault == "corrupt")

    def _set_back(self, one: _Node) -> None:
        """An old backup takes the place of the file. Mostly its mark tells; not if that was set back too."""
        for link in [link for link in self._up if one.name in link.split("-")]:
            self._cut(link)
        before = one.node.replica.reader()
        held = [promise for promise in self._acknowledged if before.boundary(*promise) is not None]
        one.disk = one.disk.upto(self._random.randrange(1, one.disk.writes))
        self._start(one, self._other_id(one))
        after = one.node.replica.reader()
        self._given_up |= {promise for promise in held if after.boundary(*promise) is None}
        self._forget_lost()

    def _forget_lost(self) -> None:
        """Of what a backup has undone, nobody is owed what is nowhere any more."""
        readers = [one.node.replica.reader() for one in self._nodes.values()] if self._given_up else []
        lost = {
            promise for promise in self._given_up
            if all(reader.boundary(*promise) is None for reader in readers)
        }  # fmt: skip
        self._given_up -= lost
        self._acknowledged = [promise for promise in self._acknowledged if promise not in lost]

    def _clone(self, one: _Node) -> None:
        """A copy of the file begins to run beside it."""
        disk = one.disk.upto(one.disk.writes)
        new = self._add(Disk(), Identity("sim", self._random.getrandbits(64), "clone", ()))
        new.disk = disk
        self._start(new, self._other_id(new))
        for link in self._links():
            if new.name in link.split("-") and self._random.random() < 0.7:
                self._mend(link)

    def _other_id(self, one: _Node) -> Identity | None:
        """A new id, as where the mark tells; None (the old one goes on) where it cannot."""
        identity = one.disk.identified()
        if identity is None or self._random.random() < 0.3:
            return None
        return identity._replace(replica=self._random.getrandbits(64), succeeds=identity.replica)

    def _retire(self, one: _Node) -> None:
        others = [other for other in self._nodes.values() if other is not one]
        gone = self._random.choice(others)
        replica = one.node.replica
        try:
            replica.flush()
            replica.retire(gone.node.replica.core.me, self._clock(one))
        except Refused:
            return
        replica.flush()

    # --- the end ---

    def _settle(self) -> None:
        """Nothing goes wrong any more: all links work, disks have room, and clocks go on from the latest.

        Conversations that are under way go on, with whatever was lost in them.
        """
        for one in self._nodes.values():
            one.disk.fails = None
        latest = max(self._clock(one) for one in self._nodes.values())
        newest = [one.node.replica.core.memory.stamp for one in self._nodes.values()]
        latest = max([latest, *(stamp.wall for stamp in newest if stamp is not None)])
        self._held.clear()
        for one in self._nodes.values():
            one.offset, one.rate, one.frozen = 0, 1.0, latest
        for link in self._links():
            if self._up.get(link) != set(link.split("-")):
                self._mend(link)
        for _ in range(ROUNDS):
            self._drain()
            heads = [one.node.replica.heads for one in self._nodes.values()]
            if all(other == heads[0] for other in heads) and not self._waiting():
                return
            self._now += TICK
            self._tick()
        self._drain()

    def _waiting(self) -> bool:
        return any(wire for one in self._nodes.values() for wire in one.node.outgoing.values())

    def _drain(self) -> None:
        for _ in range(FRAMES):
            waiting = [
                (link, name) for link in sorted(self._up) for name in link.split("-")
                if self._nodes[name].node.outgoing.get(link)
            ]  # fmt: skip
            if not waiting:
                return
            for link, name in waiting:
                if self._nodes[name].node.outgoing.get(link):
                    self._deliver(link, name, 0)
        raise Found("liveness", "the conversations do not come to rest")


def _read_and_snapshot(replica: DirectReplica) -> None:
    for stream in STREAMS:
        replica.present(stream)
    replica.core.ripe.update(dict.fromkeys(replica.core.memory.presents))
    replica.snapshot()


def simulate(seed: int, steps: int = STEPS, replicas: int = 3) -> Outcome:
    """Play the schedule of a seed; Found where something that must hold does not."""
    return Simulation(seed, steps, replicas).run()
