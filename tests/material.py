"""Real frames and real blocks, made by the product itself, for those who damage them.

A world is some replicas with a rich history: events of all kinds, texts in many scripts, notes and causes, a second
history under one id, a store that has become one with another, types that nobody knows, and blocks that are full. A
`Scene` is one frame of their conversation, with the receiver as it was when that frame arrived.
"""

from __future__ import annotations

import copy
import sqlite3
from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple

from merge.version import Dot
from replica.commit import Note, Recorded
from replica.direct import DirectReplica
from replica.event import Event
from replica.layout import Layout
from replica.log import Log
from replica.memory import MemoryLog
from replica.sqlite import SqliteLog
from sync.message import decode
from sync.protocol import Session
from sync.testing.network import NOW, Network
from tests.shop import (
    HOME,
    JOURNAL,
    AddItem,
    AddTwice,
    Count,
    GiveTitle,
    ItemAdded,
    Journal,
    RemoveItem,
    ShoppingList,
    TakeNote,
    Write,
)

STREAMS = (HOME, JOURNAL)
WORDS = ("milk", "é", "漢字", "👨‍👩‍👧", "שלום", "\u0000", "x" * 90)


class Unknown(Event, frozen=True):
    """Of a type that those who receive it do not know."""

    data: bytes


class Later(ShoppingList):
    """The list as later code has it."""

    events = (*ShoppingList.events, Unknown)

    def effect(self, event: Any) -> Any:
        return self.count.add(1) if isinstance(event, Unknown) else super().effect(event)


def copied(log: MemoryLog) -> MemoryLog:
    """The same log once more, on its own."""
    twin = MemoryLog()
    for name, value in vars(log).items():
        tables = isinstance(value, dict)
        setattr(twin, name, {key: copy.copy(below) for key, below in value.items()} if tables else value)
    return twin


def twin_of(session: Session) -> Session:
    """The same session once more, on its own."""
    twin = object.__new__(Session)
    state = vars(session).items()
    vars(twin).update((name, value.copy() if type(value) in (dict, list) else value) for name, value in state)
    return twin


def direct(
    name: str, log: Log | None = None, aggregates: Any = (Later, Journal), store: str = "shop"
) -> DirectReplica:
    return DirectReplica(log or MemoryLog(), store, name, aggregates, random=Random(name))


def write(replica: DirectReplica, random: Random, steps: int, now: int = NOW) -> None:
    """So many decisions of all kinds, noted and not."""
    last: Dot | None = None
    for _ in range(steps):
        word, when = random.choice(WORDS), now + random.randrange(5_000)
        so_far = replica.core.memory.version[replica.core.me]
        note = random.choice([None, None, Note(f"command {so_far} {replica.core.me}", "ordered 17", last)])
        match random.randrange(8):
            case 0:
                done = replica.execute(HOME, AddItem(word), when, note)
            case 1:
                done = replica.execute(HOME, AddTwice(word), when, note)
            case 2 if "milk" in replica.present(HOME).items:
                done = replica.execute(HOME, RemoveItem("milk"), when, note)
            case 3:
                done = replica.execute(HOME, GiveTitle(word), when, note)
            case 4:
                done = replica.execute(HOME, Count(random.choice([1, -1, 70_000])), when, note)
            case 5:
                done = replica.execute(HOME, Write(word, random.randrange(9)), when, note)
            case 6:
                done = replica.execute(JOURNAL, TakeNote(word), when, note)
            case _:
                done = replica.append(f"list/{random.randrange(3)}", [Unknown(random.randbytes(9))], when, note)
        last = Dot(int(done.dots[-1].replica), done.dots[-1].seq)
        replica.flush()


class Scene(NamedTuple):
    """A frame that arrives, and where: in which log, and at which place of which conversation."""

    name: str
    frame: bytes
    log: MemoryLog
    """Of the receiver. Not to be written to: `copied` gives one that may be."""
    session: Session
    """Of the receiver. Not to be used: `twin_of` gives one that may be."""


class Recording(Network):
    """A network that keeps a scene of every frame that arrives at a log in memory."""

    def __init__(self, names: str, links: list[str]) -> None:
        super().__init__(names, links, lambda name, _, log: direct(name, log))
        self.scenes: list[Scene] = []

    def deliver(self, link: str, name: str, index: int = 0, *, keep: bool = False) -> None:
        node = self.nodes[self.other(link, name)]
        session, log = node.sessions[link], node.replica.log
        if isinstance(log, MemoryLog) and not session.closed:
            frame = self.wire(link, name)[index]
            state = "new" if session.peer is None else "greeted" if session.theirs is None else "talking"
            title = f"{type(decode(frame)).__name__}, {state}"
            self.scenes.append(Scene(title, frame, copied(log), twin_of(session)))
        super().deliver(link, name, index, keep=keep)


class World(NamedTuple):
    """What was said, and all that was written: the only events and heads that there are."""

    scenes: list[Scene]
    replicas: list[DirectReplica]
    log: SqliteLog
    """That of the last replica, which came when all had been said."""
    file: sqlite3.Connection


def world(seed: int, steps: int = 12, *, full: bool = False, path: str = ":memory:") -> World:
    """Replicas that write apart and meet, over links that lose frames; one is cloned; another store becomes one
    with theirs. Where it is `full`, the first has filled blocks before. The last has its log in SQLite, at `path`.
    """
    random = Random(seed)
    network = Recording("abc", ["ab", "bc"])
    a, b, c = (network.nodes[name].replica for name in "abc")
    if full:
        _fill(a, random)
    for replica in (a, b, c):
        write(replica, random, steps)
    assert isinstance(a.log, MemoryLog)
    clone = direct("a", copied(a.log))
    network.settle(ticks=4)
    write(b, random, 2)
    network.wire("ab", "b").popleft()
    network.settle(ticks=2)
    write(clone, random, 3, NOW + 60_000)
    write(a, random, 3, NOW + 60_000)
    other = direct("e", store="bank")
    write(other, random, steps // 3)
    c.core.become_one(["bank"], NOW + 70_000)
    c.flush()
    for name, replica, link in (("d", clone, "bd"), ("e", other, "ce")):
        network.add(name, replica)
        network.links.append(link)
    network.settle(ticks=6)
    file = sqlite3.connect(path, isolation_level=None)
    log = SqliteLog(file)
    network.add("f", direct("f", log))
    write(network.nodes["f"].replica, random, 3, NOW + 80_000)
    network.links.append("bf")
    network.settle(ticks=4)
    while found := log.unsealed():
        for number, first in found:
            log.seal(number, first)
    for link in sorted(network.up):
        node = network.nodes[link[0]]
        node._do(link, node.sessions[link].close())
    network.run()
    replicas = [node.replica for node in network.nodes.values()]
    assert all(replica.heads == a.heads for replica in replicas), "they have all heard of each other"
    return World(network.scenes, replicas, log, file)


def _fill(replica: DirectReplica, random: Random) -> None:
    """One block that is full of events, and one that is full of bytes."""
    for wall in range(5):
        replica.append("list/full", [ItemAdded(f"{wall}.{n}") for n in range(300)], NOW - 9_000 + wall)
        replica.flush()
    for size in (200_000, 70_000):
        replica.append("list/full", [Unknown(random.randbytes(size))], NOW - 8_000)
        replica.flush()


def boundaries_of(replica: DirectReplica) -> Iterator[tuple[int, int, bytes]]:
    """All heads that the logs of a replica have ever had: (replica, seq, hash)."""
    reader = replica.reader()
    for lineage in replica.core.memory.lineages.values():
        for row in lineage.rows:
            seq = row.after
            while seq < row.head.seq:
                layout: Layout = reader.layout(row, seq + 1)
                yield from ((row.replica, last, layout.hash_at(n)) for n, last in enumerate(layout.lasts, 1))
                seq = layout.lasts[-1]


def events_of(replica: DirectReplica) -> Iterator[Recorded]:
    """All events that a replica holds."""
    reader = replica.reader()
    for lineage in replica.core.memory.lineages.values():
        for row in lineage.rows:
            seq = row.after
            while seq < row.head.seq:
                opened = reader.open(row, seq + 1)
                yield from (event for commit in opened.decoded.commits for event in commit.events)
                seq = opened.piece.last
