"""A network of replicas stepped by hand: links that lose, double and reorder, and replicas that crash.

Shared by the state machine and the tests of the protocol. Nothing here waits, and no clock runs.
"""

from __future__ import annotations

from collections import deque

from replica.direct import DirectReplica
from sync.direct import DirectNode
from tests.shop import direct

YEAR = 365 * 24 * 3600 * 1000
NOW = 56 * YEAR
"""Where the clocks begin, in wall ms."""


class Network:
    """Nodes by name, links by the names of their two ends: `ab`."""

    def __init__(self, names: str, links: list[str]) -> None:
        self.nodes: dict[str, DirectNode] = {}
        self.clocks: dict[str, int] = {}
        for name in names:
            self.add(name, direct(name))
        self.links = links
        self.up: set[str] = set()
        self.starts = 0

    def add(self, name: str, replica: DirectReplica) -> None:
        """One more node."""
        self.nodes[name], self.clocks[name] = DirectNode(replica, name.encode()), NOW

    def other(self, link: str, name: str) -> str:
        return link.replace(name, "")

    def wire(self, link: str, name: str) -> deque[bytes]:
        """The frames that `name` has sent over a link, and that have not arrived."""
        return self.nodes[name].outgoing.get(link, deque())

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
        self.starts += 1
        log = self.nodes[name].replica.log
        self.nodes[name] = DirectNode(direct(name, self.starts, log), f"{name}{self.starts}".encode())

    def tick(self) -> None:
        """Two seconds pass for everybody."""
        for name, node in self.nodes.items():
            self.clocks[name] += 2000
            node.tick(self.clocks[name])

    def run(self, limit: int = 100_000) -> None:
        """Deliver whatever is under way, until nothing is."""
        for _ in range(limit):
            waiting = [(link, name) for link in sorted(self.up) for name in link if self.wire(link, name)]
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
        return [error for node in self.nodes.values() for error in node.ended.values() if error is not None]
