"""A network of replicas stepped by hand: links that lose, double and reorder, and replicas that crash.

Nothing here waits, and no clock runs: what arrives, when and in which order is the caller's choice.
`ReplicaMachine` lets Hypothesis choose; a test that knows what it wants says so:

    network = Network("ab", ["ab"], begin)
    network.heal("ab")
    network.wire("ab", "a").popleft()           # a's Hello is lost
    network.settle()

Rule 1. A replica goes by one letter, and a link by the letters of its two ends: `ab`.
Rule 2. A link is up or down. What is on a link when it is cut is gone; healing begins a new conversation.
Rule 3. A crash ends a process without a word. What was durable is in its log, over which the next one begins.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from replica.direct import DirectReplica
from replica.log import Log
from sync.direct import DirectNode

YEAR = 365 * 24 * 3600 * 1000
NOW = 56 * YEAR
"""Where the clocks begin, in wall ms."""
TICK = 2000
"""What passes between two ticks, in ms."""

Begin = Callable[[str, int, Log | None], DirectReplica]
"""Begins the process of a replica: by its name, the number of crashes so far (for chance that differs), and the log
that it goes on with (None: a new one)."""


class Network:
    """Replicas by name, and the links between them."""

    def __init__(self, names: str, links: Iterable[str], begin: Begin, *, compares: bool = True) -> None:
        self.nodes: dict[str, DirectNode] = {}
        self.clocks: dict[str, int] = {}
        self.links = list(links)
        """Where there can be conversations."""
        self.up: set[str] = set()
        """Where there are."""
        self.crashes = 0
        self._begin, self._compares = begin, compares
        for name in names:
            self.add(name, begin(name, 0, None))

    def add(self, name: str, replica: DirectReplica) -> None:
        """One more replica; its links are for the caller to add."""
        self.nodes[name] = DirectNode(replica, name.encode(), compares=self._compares)
        self.clocks[name] = NOW

    def replica(self, name: str) -> DirectReplica:
        return self.nodes[name].replica

    @staticmethod
    def other(link: str, name: str) -> str:
        """The other end of a link."""
        return link.replace(name, "")

    def wire(self, link: str, name: str) -> deque[bytes]:
        """The frames that `name` has sent over a link, and that have not arrived."""
        return self.nodes[name].outgoing.get(link, deque())

    def under_way(self) -> list[tuple[str, str]]:
        """Links and senders of which something is on its way."""
        return [(link, name) for link in sorted(self.up) for name in link if self.wire(link, name)]

    def heal(self, link: str) -> None:
        """Begin a conversation over a link, unless one is under way."""
        if link not in self.up:
            self.up.add(link)
            for name in link:
                self.nodes[name].connect(link, self.clocks[name])

    def cut(self, link: str) -> None:
        """The link is gone, and all that was on it."""
        self.up.discard(link)
        for name in link:
            self.nodes[name].disconnect(link)

    def deliver(self, link: str, name: str, index: int = 0, *, keep: bool = False) -> None:
        """Hand the frame at `index` of what `name` has sent to the other end; `keep` leaves it on the wire."""
        wire = self.wire(link, name)
        frame = wire[index]
        if not keep:
            del wire[index]
        self.nodes[self.other(link, name)].receive(link, frame)

    def crash(self, name: str) -> None:
        """The process ends without a word, and begins again over the same log."""
        for link in [link for link in self.up if name in link]:
            self.cut(link)
        self.crashes += 1
        replica = self._begin(name, self.crashes, self.replica(name).log)
        self.nodes[name] = DirectNode(replica, f"{name}{self.crashes}".encode(), compares=self._compares)

    def tick(self) -> None:
        """Two seconds pass for everybody."""
        for name, node in self.nodes.items():
            self.clocks[name] += TICK
            node.tick(self.clocks[name])

    def run(self, limit: int = 100_000) -> None:
        """Deliver whatever is under way, until nothing is."""
        for _ in range(limit):
            waiting = self.under_way()
            if not waiting:
                return
            for link, name in waiting:
                self.deliver(link, name)
        raise AssertionError("the conversation does not come to rest")

    def settle(self, ticks: int = 12) -> None:
        """Heal everything, and let time pass until nobody has anything to say."""
        for link in self.links:
            self.heal(link)
        for node in self.nodes.values():
            node.replica.flush()
        for _ in range(ticks):
            self.run()
            self.tick()
        self.run()

    def faults(self) -> list[object]:
        """Why sessions have ended, those that did not end in good order."""
        return [error for node in self.nodes.values() for error in node.ended.values() if error is not None]
