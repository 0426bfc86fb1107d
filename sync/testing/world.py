"""The world of a schedule: replicas with their disks and clocks, links between them, and frames on their way.

Nothing here chooses: what happens, and when, is the schedule's (`sync.testing.simulator`), the weather's
(`sync.testing.weather`) or the caller's.

Rule 1. A link has two ends (`a-b`). Frames go out at one and arrive at the other in order, unless the weather has
        it otherwise. A frame that does not arrive is gone; both sides go on as if nothing had happened.
Rule 2. A conversation that has ended, or has not begun within PATIENCE ticks, is begun anew, as a shell does.
Rule 3. A crash ends a process and all its conversations; it begins again over its disk. A full disk ends its
        conversations alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from random import Random

from merge.version import NOTHING, VersionVector
from replica.backlog import BACKLOG
from replica.direct import DirectReplica
from replica.folding import BULK
from replica.log import Identity
from sync.direct import DirectNode
from sync.message import Presents, decode
from sync.protocol import Session
from sync.testing.disk import Crashed, Disk
from sync.testing.ledger import Found, Ledger
from sync.testing.workload import NOW, Release

START = 1_767_225_600_000
"""Wall time (ms) at which a schedule begins."""
FRAMES = 300
"""Frames on each link within which a conversation must come to rest."""
PRESENTS = Presents.__struct_config__.tag
"""The second byte of a frame that is a Presents."""
PATIENCE = 3
"""Ticks within which both sides must have said what they hold."""
ON_THE_WAY = 6 << 20
"""Bytes that may be on their way over a link, in one direction: a window of batches, and what is said at ticks."""


@dataclass
class Node:
    """A replica, where it runs."""

    name: str
    disk: Disk
    node: DirectNode = field(init=False)
    release: Release = NOW
    offset: int = 0
    rate: float = 1.0
    frozen: int | None = None
    starts: int = 0
    seen: VersionVector = NOTHING
    """What somebody who reads here has seen since this process began."""
    settled: tuple[tuple[int, ...], VersionVector, tuple[object, ...]] = ((), NOTHING, ())
    """The members, what was settled, and that part of the diary, when it was read last."""

    @property
    def replica(self) -> DirectReplica:
        return self.node.replica


class World:
    """Replicas by name, and links by their two ends."""

    def __init__(self, seed: int, random: Random) -> None:
        self.seed, self.random = seed, random
        self.now = START
        self.nodes: dict[str, Node] = {}
        self.up: dict[str, set[str]] = {}
        """Links that are up, and from which ends frames arrive."""
        self.held: dict[str, int] = {}
        """Links on which nothing moves before some time."""
        self.marks = 0.6
        """How often the mark of a file tells that it is a copy, or was set back."""
        self._silent: dict[str, int] = {}
        """Ticks for which a link has had a conversation that does not begin."""
        self.ledger = Ledger()
        self._trace = blake2b(digest_size=16)

    def note(self, *words: object) -> None:
        """Something happened: the trace of the schedule has it."""
        self._trace.update(" ".join(map(str, words)).encode() + b"\n")

    @property
    def trace(self) -> str:
        return self._trace.hexdigest()

    # --- replicas ---

    def add(self, disk: Disk, identity: Identity | None = None, release: Release = NOW) -> Node:
        """One more replica, over a disk."""
        name = "abcdefghijklmnopqrstuvwxyz"[len(self.nodes)]
        new = self.nodes[name] = Node(name, disk, release=release)
        self.start(new, identity)
        return new

    def start(self, one: Node, identity: Identity | None = None) -> None:
        """Begin a process over its disk."""
        one.starts += 1
        one.seen, one.settled = NOTHING, ((), NOTHING, ())
        chance = Random(f"{self.seed}/{one.name}/{one.starts}")
        identity = identity or one.disk.identified() or Identity("sim", chance.getrandbits(64), one.name, ())
        aggregates, projections = one.release
        replica = DirectReplica(
            one.disk, "sim", one.name, aggregates, random=chance, identity=identity, projections=projections
        )
        replica.core.every = 4
        pace = Random(f"{self.seed}/{one.name}/{one.starts}/pace")
        replica.core.bulk = pace.choice([1, 1, 4, BULK])
        replica.core.backlog = pace.choice([4_000, 20_000, BACKLOG])
        one.node = DirectNode(replica, f"{one.name}{one.starts}".encode())
        replica.build()
        self.ledger.listen(replica)
        for link in self.links_of(one):
            if link in self.up:
                self.connect(link)

    def clock(self, one: Node) -> int:
        if one.frozen is not None:
            return one.frozen
        return max(START // 2, int(START + (self.now - START) * one.rate) + one.offset)

    def guard(self, one: Node, work: Callable[[], object]) -> bool:
        """Do something at a replica; False where its process crashed in it, or its disk was full."""
        try:
            work()
        except Crashed:
            self.crash(one, one.disk)
            return False
        except OSError:
            one.replica.core.drop()
            for link in self.links_of(one):
                self.cut(link)
            return False
        finally:
            one.node.replica.core.complaints.take()
        return True

    def crash(self, one: Node, disk: Disk) -> None:
        """The process ends without a word, and begins again over what is on its disk, when that has room."""
        for link in self.links_of(one):
            self.cut(link)
        one.disk = disk
        if disk.fails == "full":
            disk.fails = None
        try:
            self.start(one)
        except Crashed:
            self.start(one)
        self.ledger.forget_lost(self.replicas)

    # --- links ---

    @property
    def links(self) -> list[str]:
        names = list(self.nodes)
        return [f"{one}-{other}" for i, one in enumerate(names) for other in names[i + 1 :]]

    def links_of(self, one: Node) -> list[str]:
        return [link for link in self.links if one.name in link.split("-")]

    def connect(self, link: str) -> None:
        """A new conversation over a link, on both sides."""
        self._silent[link] = 0
        for name in link.split("-"):
            one = self.nodes[name]
            self.guard(one, lambda one=one: one.node.connect(link, self.clock(one)))  # type: ignore[misc]

    def mend(self, link: str) -> None:
        """The link works, and what was said over it before is forgotten."""
        self.up[link] = set(link.split("-"))
        self.connect(link)

    def cut(self, link: str) -> None:
        """The link is gone, and all that was on it."""
        self.up.pop(link, None)
        for name in link.split("-"):
            self.nodes[name].node.disconnect(link)

    def ended(self, link: str) -> bool:
        """A conversation over the link has ended, on one side at least."""
        return any(session is None or session.closed for session in self._sessions(link))

    def _sessions(self, link: str) -> list[Session | None]:
        return [self.nodes[name].node.sessions.get(link) for name in link.split("-")]

    # --- frames ---

    def wire(self, link: str, name: str) -> deque[bytes]:
        """The frames that one end has sent over a link, and that have not arrived."""
        return self.nodes[name].node.outgoing.get(link) or deque()

    def waiting(self) -> list[tuple[str, str]]:
        """The links, by the end that has sent, on which frames are on their way."""
        return [
            (link, name)
            for link in sorted(self.up)
            for name in link.split("-")
            if self.held.get(link, 0) <= self.now and self.nodes[name].node.outgoing.get(link)
        ]

    def deliver(self, link: str, name: str, index: int = 0, *, keep: bool = False, corrupt: bool = False) -> None:
        """Hand a frame that one end has sent to the other; `keep` leaves it on its way, to arrive once more."""
        wire = self.nodes[name].node.outgoing[link]
        frame = wire[index]
        if not keep:
            del wire[index]
        if name not in self.up[link]:
            return
        self.note(link, name, *_words(frame))
        if corrupt:
            at = self.random.randrange(len(frame))
            frame = frame[:at] + bytes([frame[at] ^ (1 << self.random.randrange(8))]) + frame[at + 1 :]
        ends = link.split("-")
        other = self.nodes[ends[1] if name == ends[0] else ends[0]]
        core, me, own = other.replica.core, other.replica.core.me, _own(other)
        self.guard(other, lambda: other.node.receive(link, frame))
        if other.replica.core is core and core.me == me and _own(other) != own:
            raise Found("identity", f"{other.name} goes on under an id that others have sent it more of")
        self._no_alarm(other)
        self._two_are_two(link)

    @staticmethod
    def _no_alarm(one: Node) -> None:
        """Comparing presents finds no difference, and nothing to mend."""
        comparisons = one.replica.core.comparisons
        if comparisons.divergences or comparisons.mended:
            raise Found("alarm", f"{one.name} reads something otherwise than its log or a peer folds it")

    def _two_are_two(self, link: str) -> None:
        """Two that have heard of each other do not go by one id."""
        one, other = (self.nodes[name] for name in link.split("-"))
        if one.replica.core.me == other.replica.core.me:
            peers = [session.peer.replica for session in self._sessions(link) if session and session.peer]
            if peers == [one.replica.core.me] * 2:
                raise Found("identity", f"{one.name} and {other.name} have met, and go by one id")

    # --- time ---

    def tick(self) -> None:
        """Two seconds have passed for everybody."""
        for one in list(self.nodes.values()):
            self.guard(one, lambda one=one: one.node.tick(self.clock(one)))  # type: ignore[misc]
            self._no_alarm(one)
            if self.random.random() < 0.3:
                self.guard(one, one.replica.save_members)
        for link in sorted(self.up):
            begun = all(session and session.theirs is not None for session in self._sessions(link))
            self._silent[link] = 0 if begun else self._silent.get(link, 0) + 1
            if self.ended(link) or self._silent[link] > PATIENCE:
                self.connect(link)
            for name in link.split("-"):
                size = sum(map(len, self.wire(link, name)))
                if size > ON_THE_WAY:
                    raise Found("buffers", f"{name} has {size} bytes on their way over {link}")

    def drain(self) -> None:
        """Deliver all that is on its way, until nobody has anything to say."""
        for _ in range(FRAMES):
            waiting = self.waiting()
            if not waiting:
                return
            for link, name in waiting:
                if self.nodes[name].node.outgoing.get(link):
                    self.deliver(link, name)
        raise Found("liveness", "the conversations do not come to rest")

    @property
    def replicas(self) -> list[DirectReplica]:
        return [one.replica for one in self.nodes.values()]

    @property
    def equal(self) -> bool:
        """All hold the same heads."""
        heads = [replica.heads for replica in self.replicas]
        return all(other == heads[0] for other in heads)

    def neighbours(self) -> Iterator[tuple[str, str]]:
        for link in sorted(self.up):
            one, other = link.split("-")
            yield one, other


def _words(frame: bytes) -> list[str]:
    """What the trace has of a frame. Of presents the streams: names of folds depend on the version of Python."""
    if frame[1] != PRESENTS:
        return [blake2b(frame, digest_size=8).hexdigest()]
    message = decode(frame)
    assert isinstance(message, Presents)
    return [row.stream for row in message.rows]


def _own(one: Node) -> object:
    """The log of the id that a replica goes by."""
    return one.replica.core.memory.lineages.get(one.replica.core.me)
