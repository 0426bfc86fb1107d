"""The conversation of two replicas: messages in, messages and effects out. No sockets, no tasks, no time.

Rule 1. Both say Hello, then what they Have; each sends what the other lacks, cut by stamp, in bounded
        batches. After that, what becomes durable here is pushed as it does, once a link. Relays forward.
Rule 2. A batch is taken whole or not at all, and acknowledged when it is durable. At most WINDOW batches are
        under way: a slow peer slows its own session, and nothing is queued for it (what it lacks is read from
        the log when it has room).
Rule 3. A duplicate is ignored. A gap is answered with one's own Have, and the sender goes on from there. Gaps
        in batches that were sent before that Have arrived say nothing new. MAX_GAPS in a row without one
        batch that fits are a peer that does not listen.
Rule 4. Every tick each side says a digest of its heads, and acknowledgements carry it too. Where it differs
        though nothing is under way, a Have asks for an exchange, once a tick: digests that a slow link has held
        back arrive together. So a lost last message delays, never stalls.
        A frame may be lost, doubled or overtaken, the first ones too: what comes before its Hello or Have is
        set aside, and asked for again. (The shell ends a conversation that never begins.)
        What members are known to have observed is said at ticks, where it has not been said; all of it again
        where the digests of that go on differing.
Rule 5. Each side says how far in the future it accepts stamps. The other one stops there: what is stamped
        later waits, and is counted.
Rule 6. What a peer claims is checked before it is believed. A false claim ends the session with one typed
        error, in words on both sides. A peer's progress is never remembered beyond the session.
Rule 7. Two that talk hold the own store of one of them both; each takes the stores of the other, and says Hello
        anew. Batches wait until the peer has said that it holds all stores that are held here; until then Hello is
        said at each tick, and answered once a tick. A Hello that is full is followed by others: what they name adds
        up, and none of them takes anything back.
Rule 8. A peer that goes by my id shows that it is in use elsewhere: I go on under a new one. (That more was
        written under it than I have, its bytes show when they are ingested; a mere claim shows nothing.)

Rule 9. What presents come to is compared beside all this, where the conversation is at rest: see `sync.comparing`.

Theory of operation. `theirs` is what the peer is known to have, or will have when what was sent arrives.
`compare(mine, theirs)` is what to send. Everything else is about when.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from merge.version import printable
from replica.arrange import Gap
from replica.block import Head, Slice
from replica.commit import MAX_STORES
from replica.ingest import Ingested
from replica.meeting import Frontier, Theirs, compare, note
from replica.members import UNKNOWN, Row
from replica.members import Known as Members
from replica.outgoing import Want, weight
from sync.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from sync.message import (
    FORMAT,
    MAX_FRAME,
    MAX_PAIRS,
    MAX_PARTS,
    PART,
    PORTION,
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
    encode,
)

WINDOW = 4
"""Batches under way: enough to keep a link busy while the other side writes to its disk."""
BATCH = 1 << 20
"""Bytes of columns in a batch, about: some 15,000 small events, which are taken in 10 to 20 ms. Small enough that
batches of several sessions take turns, large enough that few blocks are cut."""
MAX_GAPS = 10
MAX_OLD_GAPS = 8 * WINDOW
"""Gaps in batches that had been sent before our answer arrived: a window of them is honest, many are not."""
PATIENCE = 2
"""Ticks that a batch may stay unacknowledged before it counts as lost."""


class Send(NamedTuple):
    """Put this frame on the link."""

    frame: bytes


class Ingest(NamedTuple):
    """Take these commits, durably; then call `ingested`. Take no other frame before."""

    number: int
    slices: list[Slice]
    horizon: int


class Fetch(NamedTuple):
    """Read what the peer lacks, in the order of stamps up to `horizon`; then call `fetched`."""

    wants: list[Want]
    horizon: int
    budget: int


class Doubt(NamedTuple):
    """The own id is in use elsewhere: go on under a new one."""

    why: str


class Close(NamedTuple):
    """End the link. `error` is None where the peer left in good order."""

    error: ProtocolError | None


class Learn(NamedTuple):
    """The peer says what members have observed."""

    rows: list[Row]


class Become(NamedTuple):
    """The peer knows of stores that have become one with this: hold their logs too. Take no other frame before."""

    stores: list[str]


class Compare(NamedTuple):
    """Presents are compared (`sync.comparing`): what the peer says of them, or None where it is time to begin."""

    message: Presents | Compared | Traced | None


Effect = Send | Ingest | Fetch | Doubt | Close | Learn | Become | Compare


class Session:
    """One side of one conversation.

    Call `start` first; then `receive` for each frame, `ingested` and `fetched` after the effects of that
    name, `published` whenever something became durable, `tick` every 2 s. Each returns what to do, in order.
    After a Close effect nothing may be called but `close`.
    """

    def __init__(self, hello: Hello, frontier: Frontier) -> None:
        self.hello = hello
        self.mine = frontier
        self.horizon = hello.horizon
        self.peer: Hello | None = None
        self._their_stores: frozenset[str] = frozenset()
        self._greeted = False
        """Hello was said since the last tick."""
        self.theirs: Theirs | None = None
        self.their_horizon = 0
        self.beyond = 0
        """Events that wait because the peer does not accept their stamps yet."""
        self.in_sync = False
        """The peer's last digest was of the heads held here."""
        self.closed = False
        self._out: list[Effect] = []
        self._sent = 0
        self._under_way: dict[int, int] = {}
        """Batch number -> ticks since it was sent."""
        self._fetching = False
        self._behind = True
        """The peer may lack something that is not under way."""
        self._haves = 0
        self._quiet = 0
        """Ticks since the latest Have: it has arrived by now, or is lost."""
        self._answering = 0
        self._gaps = 0
        self._old_gaps = 0
        self._arriving: list[Slice] = []
        """The slices of the batch that is being ingested."""
        self._hearing = Theirs()
        self._parts: tuple[int, frozenset[int]] = 0, frozenset()
        """What a Have that is not whole yet has said; its number, and the parts that have come."""
        self._known = UNKNOWN
        self._told: dict[int, list[tuple[int, int]]] = {}
        """What was said of members on this link."""
        self._differs = 0
        """How often in a row the peer knew something else of members."""
        self._asked = False
        """A digest that differs has been answered since the last tick."""
        self._current = True
        """The batch at hand was sent after the peer had received our latest Have."""

    # --- inputs ---

    def start(self) -> list[Effect]:
        """The first thing to say."""
        self._say_hello(self.hello.joined)
        return self._effects()

    def receive(self, frame: bytes) -> list[Effect]:
        """One frame from the peer."""
        if self.closed:
            raise LocalProtocolError("closed", "a frame was given to a session that has ended")
        try:
            self._receive(decode(frame))
        except ProtocolError as error:
            self._end(error)
        return self._effects()

    def ingested(self, number: int, result: Ingested | Gap | Exception) -> list[Effect]:
        """What became of the batch of an Ingest effect. `published` is called for what it brought."""
        if self.closed:
            return []
        arrived, self._arriving = self._arriving, []
        if isinstance(result, Exception):
            self._end(RemoteProtocolError("invalid-batch", str(result)))
        elif isinstance(result, Gap):
            self._gap(result)
        else:
            self._gaps = self._old_gaps = 0
            assert self.theirs is not None
            for piece in arrived:
                note(self.theirs, piece)
            self._behind = self._behind or bool(result.forked)
            self._say(Ack(number, self.mine.digest, self.horizon))
            self._pump()
        return self._effects()

    def fetched(self, slices: list[Slice], *, more: bool, beyond: int) -> list[Effect]:
        """What a Fetch effect has found; `more` says that the budget ended it."""
        if self.closed:
            return []
        self._fetching = False
        self.beyond = beyond
        self._behind = more or self._behind
        if slices:
            self._send_batch(slices)
        self._pump()
        return self._effects()

    def published(self, slices: Iterable[Slice], frontier: Frontier, newest: int) -> list[Effect]:
        """Commits have become durable here, stamped up to `newest` (wall ms); `frontier` is of all heads now."""
        self.mine = frontier
        if self.closed or self.theirs is None:
            return []
        arriving = {(s.replica, s.last, s.head) for s in self._arriving}
        news = [
            s
            for s in slices
            if (s.replica, s.last, s.head) not in arriving
            and Head(s.last, s.head) not in self.theirs.get(s.replica, ())
        ]
        if news:
            if not self._push(news, newest):
                self._behind = True
                self._pump()
        return self._effects()

    def grew(self, joined: list[str]) -> list[Effect]:
        """These other stores are one with this now; to be called before anything of theirs is published."""
        news = [store for store in joined if store not in self.hello.stores]
        self.hello = msgspec.structs.replace(self.hello, joined=joined)
        if not self.closed:
            self._say_hello(joined if len(joined) <= MAX_STORES else news)
            self._pump()
        return self._effects()

    @property
    def _same_stores(self) -> bool:
        """The peer has said that it holds all stores that are held here."""
        return self.peer is not None and self.hello.stores <= self._their_stores

    def tick(self, horizon: int, known: Members = UNKNOWN) -> list[Effect]:
        """About 2 s have passed; stamps up to `horizon` (wall ms) are accepted, and so much is known of members."""
        self.horizon = max(self.horizon, horizon)
        self._known = known
        if self.closed:
            return []
        self._greeted = False
        if self.theirs is None:
            self._say_hello(self.hello.joined)
            if self.peer is not None:
                self._say_have(reply=True)
            return self._effects()
        self._asked = False
        self._quiet += 1
        self._under_way = {number: age + 1 for number, age in self._under_way.items()}
        if any(age > PATIENCE for age in self._under_way.values()):
            self._under_way.clear()
            self._say_have(reply=True)
        if not self._same_stores:
            self._say_hello(self.hello.joined)
        self._say_known()
        self._say(Digest(self.mine.digest, self.horizon, self._known.digest))
        self._pump()
        if not self._fetching and not self._behind:
            self._out.append(Compare(None))
        return self._effects()

    def compared(self, messages: Iterable[Presents | Compared | Traced]) -> list[Effect]:
        """What a Compare effect leads to."""
        for message in messages:
            self._say(message)
        return self._effects()

    def resume(self) -> list[Effect]:
        """The link was interrupted and is back: compare at once, rather than at the next tick."""
        if self.closed or self.theirs is None:
            return self.tick(self.horizon)
        self._under_way.clear()
        self._say_have(reply=True)
        return self._effects()

    def close(self, error: ProtocolError | None = None) -> list[Effect]:
        """Leave, saying why. Harmless where the session has ended."""
        self._end(error)
        return self._effects()

    # --- messages ---

    def _receive(self, message: Message) -> None:
        if isinstance(message, Bye):
            self.closed = True
            fault = LocalProtocolError(printable(message.kind), printable(message.text)) if message.kind else None
            self._out.append(Close(fault))
        elif isinstance(message, Hello):
            self._hello(message)
        elif self.peer is None:
            return
        elif isinstance(message, Have):
            self._have(message)
        elif self.theirs is None:
            return
        elif isinstance(message, Batch):
            self._batch(message)
        elif isinstance(message, Ack):
            self._under_way.pop(message.number, None)
            self._hear(message.digest, message.horizon)
        elif isinstance(message, Known):
            if sum(len(pairs) + 1 for _, pairs in message.rows) > 2 * MAX_PAIRS:
                raise RemoteProtocolError(
                    "too-large", "what is known of members, in more parts than one message holds"
                )
            self._out.append(Learn(message.rows))
        elif isinstance(message, Presents | Compared | Traced):
            self._out.append(Compare(message))
        else:
            if message.known != self._known.digest:
                self._differs += 1
                if self._differs >= PATIENCE:
                    self._told, self._differs = {}, 0
            self._hear(message.digest, message.horizon)
            if not (self.in_sync or self._under_way or self._fetching or self._asked):
                self._asked = True
                self._say_have(reply=True)

    def _hello(self, hello: Hello) -> None:
        if self.peer is not None:
            if (hello.replica, hello.nonce) != (self.peer.replica, self.peer.nonce):
                raise RemoteProtocolError("order", "a second Hello introduces somebody else")
            if not hello.stores <= self._their_stores:
                self._their_stores |= hello.stores
                self._become()
                self._pump()
            elif not self._greeted and (hello.joined or self.hello.joined):
                self._say_hello(self.hello.joined)
            return
        if hello.format != FORMAT:
            raise RemoteProtocolError("format", f"the peer speaks format {hello.format}, and this is {FORMAT}")
        self._their_stores |= hello.stores
        if self.hello.store not in self._their_stores and hello.store not in self.hello.stores:
            if len(hello.joined) == PORTION:
                return
            theirs = _names(self._their_stores)
            raise RemoteProtocolError(
                "store", f"the peer holds the store {theirs}, and this is {_names(self.hello.stores)}"
            )
        self._become()
        if hello.replica == self.hello.replica:
            if hello.nonce == self.hello.nonce:
                raise LocalProtocolError("self", "this replica was connected to itself")
            self._out.append(Doubt(f"{hello.name} goes by the same id: its file is a copy of this one"))
        self.peer, self.their_horizon = hello, hello.horizon
        self._say_have(reply=False)

    def _become(self) -> None:
        """Take the stores of the peer."""
        news = self._their_stores - self.hello.stores
        if news:
            self._out.append(Become(sorted(news)))

    def _have(self, have: Have) -> None:
        if not have.part < have.parts <= MAX_PARTS:
            raise RemoteProtocolError("unreadable", f"part {have.part} of {have.parts} of a Have")
        number, parts = self._parts
        if number != have.number:
            parts, self._hearing = frozenset(), Theirs()
        if have.part not in parts:
            self._hearing.add(have.heads, self.mine.heads)
        self._parts = have.number, parts | {have.part}
        if len(self._parts[1]) < have.parts:
            return
        self.theirs, self._hearing, self._parts = self._hearing, Theirs(), (0, frozenset())
        self._answering = have.number
        self._under_way.clear()
        if have.reply:
            self._say_have(reply=False)
        self._behind = True
        self._pump()

    def _batch(self, batch: Batch) -> None:
        assert self.theirs is not None
        if not batch.slices:
            raise RemoteProtocolError("empty", "a batch without commits")
        self._arriving = batch.slices
        self._current = batch.answers >= self._haves or self._quiet > PATIENCE
        self._out.append(Ingest(batch.number, batch.slices, self.horizon))

    def _gap(self, gap: Gap) -> None:
        if not self._current:
            self._old_gaps += 1
            if self._old_gaps < MAX_OLD_GAPS:
                return
        self._gaps += 1
        if self._gaps >= MAX_GAPS or self._old_gaps >= MAX_OLD_GAPS:
            text = f"{MAX_GAPS} batches in a row stood on commits that are not held here"
            self._end(RemoteProtocolError("gaps", text))
            return
        self._say_have(reply=True, without=gap.replica if gap.foreign else None)

    def _hear(self, digest: bytes, horizon: int) -> None:
        if horizon > self.their_horizon:
            self.their_horizon = horizon
            self._behind = self._behind or self.beyond > 0
        self.in_sync = digest == self.mine.digest
        self._pump()

    # --- saying ---

    def _say_hello(self, stores: list[str]) -> None:
        """Say Hello, naming these stores beside the own one, in as many parts as it takes."""
        self._greeted = True
        for at in range(0, len(stores) + 1, PORTION):
            self._say(msgspec.structs.replace(self.hello, joined=stores[at : at + PORTION]))

    def _say(self, message: Message) -> None:
        frame = encode(message)
        if len(frame) > MAX_FRAME:
            text = f"a {type(message).__name__} of {len(frame)} bytes is over the limit of {MAX_FRAME}"
            self._end(LocalProtocolError("too-large", text))
        elif not self.closed:
            self._out.append(Send(frame))

    def _say_have(self, *, reply: bool, without: int | None = None) -> None:
        """Say which heads are held. Leaving out a replica asks for its whole history."""
        self._haves, self._quiet = self._haves + 1, 0
        rows = [(r, *head) for r, heads in sorted(self.mine.heads.items()) if r != without for head in heads]
        parts = [rows[at : at + PART] for at in range(0, len(rows), PART)] or [[]]
        for number, part in enumerate(parts):
            self._say(Have(self._haves, part, reply, number, len(parts)))

    def _say_known(self) -> None:
        """Say what is known of members and has not been said, as much as one message holds."""
        news: list[Row] = []
        pairs = 0
        for member, row in self._known.rows:
            if self._told.get(member) != row and (not news or pairs + len(row) < MAX_PAIRS):
                news.append((member, row[:MAX_PAIRS]))
                pairs += len(row) + 1
                self._told[member] = row
        if news:
            self._say(Known(news))

    def _push(self, slices: list[Slice], newest: int) -> bool:
        """Send what has just become durable, if the peer has all that is below it and room for it."""
        assert self.theirs is not None
        if self._fetching or self._behind or len(self._under_way) >= WINDOW or not self._same_stores:
            return False
        if (
            sum(weight(piece.size, piece.last - piece.after) for piece in slices) > BATCH
            or self.their_horizon < newest
        ):
            return False
        ends: dict[int, Head] = {}
        for piece in slices:
            base = Head(piece.after, piece.base)
            known = self.theirs.get(piece.replica, ())
            if ends.get(piece.replica) != base and base not in known and (piece.after or known):
                return False
            ends[piece.replica] = Head(piece.last, piece.head)
        self._send_batch(slices)
        return True

    def _send_batch(self, slices: list[Slice]) -> None:
        assert self.theirs is not None
        self._sent += 1
        self._say(Batch(self._sent, self._answering, slices))
        self._under_way[self._sent] = 0
        for piece in slices:
            note(self.theirs, piece)

    def _pump(self) -> None:
        """Ask for what the peer lacks, if there is room for it."""
        if self.closed or self.theirs is None or self._fetching or not self._behind:
            return
        if len(self._under_way) >= WINDOW or not self._same_stores:
            return
        self._behind = False
        wants = compare(self.mine.heads, self.theirs)
        if wants:
            self._fetching = True
            self._out.append(Fetch(wants, self.their_horizon, BATCH))
        else:
            self.beyond = 0

    def _end(self, error: ProtocolError | None) -> None:
        """Say why, and end."""
        if not self.closed:
            self.closed = True
            self._out.append(Send(encode(Bye(error.kind, error.text[:500]) if error else Bye("", ""))))
            self._out.append(Close(error))

    def _effects(self) -> list[Effect]:
        effects, self._out = self._out, []
        return effects


def _names(stores: frozenset[str]) -> str:
    shown = sorted(stores)
    more = [f"{len(shown) - 3} more"] if len(shown) > 3 else []
    return " and ".join([*map(repr, shown[:3]), *more])
