"""A node without a loop: a replica stepped by hand, its sessions, and the frames that wait to be carried.

It does what `sync.conversation` does, one frame at a time, with time as an argument. What carries the frames,
in which order, how often or not at all, is the caller's choice: that is what the property tests choose.
"""

from __future__ import annotations

from collections import deque
from typing import TypeVar

from replica.comparing import Mend, Steps
from replica.core import Settled
from replica.direct import DirectReplica
from replica.errors import AnabranchError
from replica.outgoing import collect
from replica.status import Divergence
from sync import standing
from sync.comparing import Comparing
from sync.errors import ProtocolError
from sync.protocol import Become, Close, Compare, Doubt, Effect, Fetch, Ingest, Learn, Send, Session

T = TypeVar("T")


class DirectNode:
    """One replica and its conversations, by the name of the link."""

    def __init__(self, replica: DirectReplica, nonce: bytes, *, compares: bool = True) -> None:
        self.replica = replica
        self.nonce = nonce
        self.compares = compares
        """It compares presents with its peers, and reads again what is not the fold of its log."""
        self.sessions: dict[str, Session] = {}
        self.outgoing: dict[str, deque[bytes]] = {}
        self.comparing: dict[str, Comparing] = {}
        self.now = 0
        self.ended: dict[str, ProtocolError | None] = {}
        """Links whose session has ended, and why (None: in good order)."""
        replica.listeners.append(self._publish)

    def connect(self, link: str, now: int) -> None:
        """Begin a conversation over a link; one that was under way there is forgotten."""
        self.replica.flush()
        core = self.replica.core
        self.sessions[link] = session = Session(standing.hello(core, self.nonce, now), core.frontier)
        self.outgoing[link] = deque()
        self.comparing[link] = Comparing(core, session, now)
        self.ended.pop(link, None)
        self._do(link, session.start())

    def disconnect(self, link: str) -> None:
        """The link is gone, without a word."""
        self.sessions.pop(link, None)
        self.outgoing.pop(link, None)
        self.comparing.pop(link, None)

    def receive(self, link: str, frame: bytes) -> None:
        session = self.sessions.get(link)
        if session is not None and not session.closed:
            self._do(link, session.receive(frame))

    def tick(self, now: int) -> None:
        """2 s have passed."""
        self.now = now
        for link, session in self.sessions.items():
            core = self.replica.core
            self._do(link, session.tick(standing.horizon(core, now), core.members.known))

    def resume(self, link: str) -> None:
        self._do(link, self.sessions[link].resume())

    def _grow(self) -> None:
        joined = standing.joined(self.replica.core)
        for link, session in self.sessions.items():
            if session.hello.joined != joined:
                self._do(link, session.grew(joined))

    def _publish(self, settled: Settled) -> None:
        self._grow()
        for comparing in self.comparing.values():
            comparing.changed(settled.changed)
        if not settled.slices:
            return
        newest = settled.brought.newest
        for link, session in self.sessions.items():
            self._do(link, session.published(settled.slices, self.replica.core.frontier, newest))

    def _do(self, link: str, effects: list[Effect]) -> None:
        session = self.sessions[link]
        for effect in effects:
            match effect:
                case Send(frame):
                    self.outgoing[link].append(frame)
                case Fetch(wants, horizon, budget):
                    found = collect(self.replica.reader(), wants, horizon, budget)
                    self._do(link, session.fetched(found.slices, more=found.more, beyond=found.beyond))
                case Ingest(number, slices, horizon):
                    try:
                        result = self.replica.ingest(slices, horizon)
                        self.replica.flush()
                    except AnabranchError as error:
                        self._do(link, session.ingested(number, error))
                    else:
                        self._do(link, session.ingested(number, result))
                case Learn(rows):
                    self.replica.core.members.learn_rows(rows)
                case Become(stores):
                    self.replica.core.adopt_stores(stores)
                    self.replica.flush()
                    self._grow()
                case Doubt():
                    if self.replica.core.me == session.hello.replica:
                        self.replica.doubt()
                case Compare(message) if self.compares:
                    comparing = self.comparing[link]
                    steps = comparing.tick(self.now) if message is None else comparing.receive(message)
                    if steps is not None:
                        said = self.carry_through(steps)
                        self.replica.keep_alarms()
                        self._do(link, session.compared(said))
                case Close(error):
                    self.ended[link] = error

    def carry_through(self, steps: Steps[T]) -> T:
        """Take all steps of a comparison."""
        answer, failed = None, None
        while True:
            try:
                asked = steps.send(answer) if failed is None else steps.throw(failed)
            except StopIteration as done:
                found: T = done.value
                return found
            answer, failed = None, None
            if isinstance(asked, Mend):
                self.replica.mend(asked.stream)
            elif asked is not None:
                try:
                    answer = asked.call(self.replica.log)
                except AnabranchError as error:
                    failed = error

    @property
    def divergences(self) -> tuple[Divergence, ...]:
        """Streams that a peer reads differently: alarms."""
        return self.replica.core.comparisons.divergences
