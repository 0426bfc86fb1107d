"""Who judges what became of something damaged: exactly one of these happened, or Found is raised.

*Rejected*, before the fold saw anything of it:

| outcome  | what happened                                                                                   |
|----------|-------------------------------------------------------------------------------------------------|
| rejected | a frame: the session ended with RemoteProtocolError; a block: DamagedLog. The log is as it was  |
| gap      | a Batch that stands on what is not held here: answered with a Have, nothing of it was taken     |

*Harmless*:

| outcome  | what happened                                                                                   |
|----------|-------------------------------------------------------------------------------------------------|
| same     | it is another spelling of the very same message, or of the same commits                         |
| held     | a Batch of which all is held already: acknowledged, nothing taken                               |
| taken    | a Batch (its number was damaged, or two were spliced) that holds only what somebody wrote: each |
|          | head of the log is one that an honest log had at that place                                     |
| talk     | nothing is believed of it unchecked (Have, Ack, Digest, what is said of presents), so it led to |
|          | more talk                                                                                       |
| left     | a Bye with other words: the session ended; or a Hello that shows me a mirror: it ended          |

*Believed*, since nothing could tell a damaged claim from a true one. None of it holds an event or changes a
present (what a member has observed decides what is called settled, and no more):

| outcome  | what happened                                                                                   |
|----------|-------------------------------------------------------------------------------------------------|
| doubt    | a Hello that goes by this replica's own id: it goes on under a new id, and loses nothing        |
| become   | a Hello that names further stores as one with this: their logs may come, with hashes of theirs  |
| learnt   | another Known that somebody has said, whole with its check, in place of this one                |

However it ended: every event that a fold was given is one that somebody wrote.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple

import zstandard

from replica.direct import DirectReplica
from replica.errors import DamagedLog
from replica.event import EventTypes
from replica.lineage import Lineage
from replica.log import LogRow
from replica.reading import Opened, Reader
from sync.comparing import Comparing
from sync.direct import DirectNode
from sync.errors import LocalProtocolError, RemoteProtocolError
from sync.message import (
    MAX_FRAME,
    Ack,
    Batch,
    Bye,
    Compared,
    Digest,
    Have,
    Hello,
    Known,
    Message,
    Presents,
    Traced,
    decode,
)
from sync.protocol import WINDOW
from tests.material import STREAMS, Scene, World, boundaries_of, copied, events_of, twin_of
from tests.shop import Journal, Noted, ShoppingList

LINK = "ab"
FOLDED: list[Any] = []
"""What the folds of the replicas at hand have been given."""


class Watched(ShoppingList):
    """A list that remembers what it was told to fold."""

    def effect(self, event: Any) -> Any:
        FOLDED.append(event)
        return super().effect(event)


class WatchedJournal(Journal):
    """The same, in order."""

    def evolve(self, state: Any, event: Any, moment: Any) -> Any:
        FOLDED.append(event)
        return super().evolve(state, event, moment)


class Found(AssertionError):
    """Something that must not happen."""


class Honest(NamedTuple):
    """All that was ever written."""

    heads: frozenset[tuple[int, int, bytes]]
    events: frozenset[Any]

    @classmethod
    def of(cls, replicas: Sequence[DirectReplica]) -> Honest:
        decode_event = EventTypes((*ShoppingList.events, Noted)).decode
        recorded = {event for replica in replicas for event in events_of(replica)}
        events = frozenset(decode_event(event.type, event.schema, event.payload) for event in recorded)
        return cls(frozenset(head for replica in replicas for head in boundaries_of(replica)), events)


MAY = {
    Hello: {"talk", "left", "doubt", "become"},
    Have: {"talk"},
    Batch: {"gap", "held", "taken"},
    Ack: {"talk"},
    Digest: {"talk"},
    Bye: {"left"},
    Known: {"learnt", "talk"},
    Presents: {"talk"},
    Compared: {"talk"},
    Traced: {"talk"},
}
"""What a message of each kind may lead to, beside being rejected."""


class Wire:
    """One scene, played again and again with another frame."""

    def __init__(self, scene: Scene, honest: Honest) -> None:
        self.name, self.whole, self._scene, self._honest = scene.name, scene.frame, scene, honest
        self.message = decode(scene.frame)
        self._begin()

    def _begin(self) -> None:
        """The receiver as it was, with its presents in memory, so that whatever is taken is folded."""
        log = copied(self._scene.log)
        replica = DirectReplica(
            log, self._scene.session.hello.store, "receiver", (Watched, WatchedJournal), random=Random(1)
        )
        self._node = DirectNode(replica, self._scene.session.hello.nonce)
        for stream in STREAMS:
            replica.present(stream)

    def judge(self, frame: bytes) -> str:
        """What a frame leads to; Found where it must not."""
        node = self._node
        core = node.replica.core
        memory, me, changes = core.memory, core.me, core.members.changes
        session = node.sessions[LINK] = twin_of(self._scene.session)
        said = node.outgoing[LINK] = deque()
        node.comparing[LINK] = Comparing(core, session, node.now)
        node.ended = {}
        FOLDED.clear()
        node.receive(LINK, frame)
        if not self._honest.events.issuperset(FOLDED):
            raise Found(f"nobody wrote {[event for event in FOLDED if event not in self._honest.events]}")
        if sum(map(len, said)) > WINDOW * MAX_FRAME:
            raise Found(f"{len(said)} frames were said at once")
        now = core.memory
        taken, believed = now.lineages is not memory.lineages, core.members.changes != changes
        if taken or believed or now.stores != memory.stores or core.me != me:
            heads = node.replica.heads
            self._begin()
            if taken and not all((replica, *head) in self._honest.heads for replica, head in heads):
                raise Found(f"the log has heads that nobody wrote: {heads}")
        if session.closed and isinstance(node.ended[LINK], RemoteProtocolError):
            if taken or believed or FOLDED:
                raise Found("a session ended by a fault, and something was taken")
            return "rejected"
        message = decode(frame)
        if message == self.message:
            return "same"
        outcome = self._outcome(message, session.closed, node.ended.get(LINK), said)
        if taken:
            outcome = "taken"
        elif core.me != me:
            outcome = "doubt"
        elif now.stores != memory.stores:
            outcome = "become"
        elif believed and isinstance(message, Known):
            outcome = "learnt"
        if outcome not in MAY[type(message)]:
            raise Found(f"{message} led to {outcome}")
        return outcome

    @staticmethod
    def _outcome(message: Message, closed: bool, error: object, said: deque[bytes]) -> str:
        if closed:
            own = isinstance(message, Hello) and isinstance(error, LocalProtocolError) and error.kind == "self"
            return "left" if own or isinstance(message, Bye) else f"an end with {error!r}"
        if isinstance(message, Batch):
            answer = decode(said[0]) if said else None
            return "held" if isinstance(answer, Ack) else "gap"
        return "talk"


class Blocks:
    """The blocks of a SQLite log, read again and again with other bytes in one row."""

    def __init__(self, from_: World) -> None:
        self._log, self._db, self._store = from_.log, from_.file, from_.replicas[-1].core.store
        rows = {row.number: row for row in self._log.contents().logs}
        lineages: dict[int, Lineage] = {}
        for row in rows.values():
            lineages[row.replica] = lineages.get(row.replica, Lineage(())).with_row(row)
        self._lineages = lineages
        self._compress = zstandard.ZstdCompressor(level=1).compress
        sealed = self._db.execute("SELECT number, first, sealed FROM block WHERE sealed IS NOT NULL")
        update = "UPDATE block SET sealed = ? WHERE number = ? AND first = ?"
        self.rows = [Row("sealed block", update, (n, f), data, data, rows[n], f) for n, f, data in sealed]
        self.rows += [
            row._replace(name="sealed block, unpacked", plain=zstandard.decompress(row.data)) for row in self.rows
        ]
        fresh = self._db.execute("SELECT number, first, last, slice FROM fresh")
        update = "UPDATE fresh SET slice = ? WHERE number = ? AND first = ? AND last = ?"
        self.rows += [Row("fresh slice", update, (n, f, x), data, data, rows[n], f) for n, f, x, data in fresh]
        self.by_name: dict[str, list[Row]] = {}
        for each in self.rows:
            self.by_name.setdefault(each.name, []).append(each)
        self._whole = {(row.log.number, row.seq): self._open(row) for row in self.rows}

    def _open(self, row: Row) -> Opened:
        return Reader(self._log, self._store, self._lineages).open(row.log, row.seq)

    def judge(self, row: Row, data: bytes) -> str:
        """What a row leads to; Found where it must not."""
        held = data if row.plain is row.data else self._compress(data)
        self._db.execute(row.update, (held, *row.key))
        try:
            return self._read(row)
        finally:
            self._db.execute(row.update, (row.data, *row.key))

    def _read(self, row: Row) -> str:
        whole = self._whole[row.log.number, row.seq]
        reader = Reader(self._log, self._store, self._lineages)
        try:
            opened = reader.open(row.log, row.seq)
        except DamagedLog:
            try:
                reader.layout(row.log, row.seq)
            except DamagedLog:
                return "rejected"
            raise Found("a block that is not read is cut and sent") from None
        layout = reader.layout(row.log, row.seq)
        read, written = opened.decoded.commits, whole.decoded.commits
        if read != written or opened.piece != whole.piece or layout.piece != whole.piece:
            raise Found(f"a block was read that nobody wrote: {opened.piece}")
        return "same"


class Row(NamedTuple):
    """A row that holds a block or a part of one: the bytes in it, and where the block begins that they are of."""

    name: str
    update: str
    key: tuple[int, ...]
    data: bytes
    plain: bytes
    """The bytes that are damaged: those, or what they are when they are unpacked."""
    log: LogRow
    seq: int
