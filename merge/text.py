"""Text: everybody types, and every character typed is there.

When two people type at once, both insertions stay; at the very same spot one comes before the other, the
same way everywhere, and a run typed by one person is not torn apart. What one deletes while another types
into it: the deleted characters go, the new ones stay.

The algorithm is Yjs (YATA), by way of pycrdt. Indices here are code points; Yjs counts UTF-8 bytes, and this
facade translates. Text stands at the root of an aggregate only: an edit of it cannot be taken back out,
which removing a map entry would need.

Rule 1. An edit is made once, by `decide` on the replica where it happens (`insert`, `delete`, `replace`, or several
        of these in one `edit`), and travels as the update bytes that its event carries. Folding it is `apply`. No
        replica ever makes the same edit again.
Rule 2. A TextState is a value: a chain of updates. Its text is a function of the set of them, so joining is
        idempotent, and two states are equal when their texts are.
Rule 3. The Yjs document is a cache of the newest state, and follows it. An older state that is read again
        builds its own. Documents stay on the thread that folds.
Rule 4. Two documents that edit under one Yjs client id diverge for ever, silently. So the client id is derived
        from the replica id, a document that has edited serves only the state that records the edit, and edits
        that were not recorded go with it. Several edits of one decision build on each other and are recorded
        in the order in which they were made.
Rule 5. pycrdt panics are BaseExceptions. They are caught at one place, the document is thrown away, and what
        the caller sees is a TextError.
Rule 6. Of what others have made no bytes come to Yjs but edits of plain text (see `merge.update`): anything else
        could end the process.

Source: Nicolaescu et al. 2016 (YATA); https://github.com/y-crdt/pycrdt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from itertools import groupby
from typing import Any, NamedTuple, TypeVar

import pycrdt

from merge.effect import Effect, absorb
from merge.lattice import Lattice
from merge.update import check, clocks, reach

_FIELD = "text"
A = TypeVar("A")
T = TypeVar("T")


class TextError(ValueError):
    """Bytes that are no edit of this text, or an edit that Yjs refused. The text is as it was."""


def _guard(call: Callable[[], T]) -> T:
    """Call into pycrdt. What it raises or panics with becomes TextError; interrupts pass."""
    try:
        return call()
    except TextError:
        raise
    except Exception as error:
        raise TextError(f"the edit was not applied: {error}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise TextError(f"the edit was not applied: {error}") from error


def _client(replica: int) -> int:
    """A Yjs client id (53 bits, not 0) for a replica."""
    return int.from_bytes(blake2b(replica.to_bytes(8, "big"), digest_size=8).digest(), "big") % ((1 << 53) - 1) + 1


Chain = tuple["Chain | None", bytes]
"""Updates, the newest first: (the ones before, this one)."""


Change = tuple[int, int, str]
"""Start, stop, and the text that takes the place of the code points start .. stop-1."""


class Measure(NamedTuple):
    """How long a text is, in code points, and whether each is one byte: then indices need no translation."""

    size: int
    ascii: bool

    def after(self, start: int, stop: int, text: str) -> Measure:
        """The same after code points start .. stop-1 have been replaced."""
        return Measure(self.size - (stop - start) + len(text), self.ascii and text.isascii())


class _Document:
    """A Yjs document, its text, and what it says of edits."""

    __slots__ = ("_heard", "_subscription", "doc", "text")

    def __init__(self, client: int | None = None) -> None:
        self.doc: pycrdt.Doc[Any] = pycrdt.Doc() if client is None else pycrdt.Doc(client_id=client)
        self.text = self.doc.get(_FIELD, type=pycrdt.Text)
        self._heard: list[bytes] = []
        self._subscription: Any = None

    def make(self, changes: Iterable[Change], measure: Measure) -> bytes:
        """Make changes one after the other, and return them as one update."""
        if self._subscription is None:
            heard = self._heard
            self._subscription = self.doc.observe(lambda event: heard.append(event.update))
        self._heard.clear()
        with self.doc.transaction():
            for start, stop, text in changes:
                first, last = start, stop
                if not measure.ascii:
                    now = str(self.text)
                    first = len(now[:start].encode())
                    last = first + len(now[start:stop].encode())
                if last > first:
                    del self.text[first:last]
                if text:
                    self.text.insert(first, text)
                measure = measure.after(start, stop, text)
        return self._heard[0]


class TextState:
    """The state of a text. Immutable as seen from outside."""

    __slots__ = ("_ahead", "_chain", "_doc", "_given", "_lacking", "_measure", "_text")

    def __init__(
        self, chain: Chain | None = None, doc: _Document | None = None, measure: Measure | None = None
    ) -> None:
        self._chain = chain
        self._doc = doc
        self._text: str | None = None
        self._measure = measure
        self._given: Chain | None = None
        """The chain with the latest edit that was not made here: later ones build on what is there."""
        self._lacking: tuple[Chain | None, dict[int, int]] = None, {}
        """How far clients had not come of what was there when somebody last looked, and the chain then."""
        self._ahead: tuple[list[bytes], list[Measure], _Document] | None = None
        """Edits made on this state and not recorded yet, what the text measures after each, and the document that
        has them."""

    @staticmethod
    def of(update: bytes) -> TextState:
        """The state after one update, which is also the change that it makes."""
        return TextState((None, update))

    def updates(self) -> list[bytes]:
        """All updates, the oldest first."""
        found, chain = [], self._chain
        while chain is not None:
            chain, update = chain
            found.append(update)
        return found[::-1]

    def _build(self, client: int | None = None) -> _Document:
        document = _Document(client)
        updates = self.updates()
        if updates:
            merged = pycrdt.merge_updates(*updates) if len(updates) > 1 else updates[0]
            document.doc.apply_update(merged)
        return document

    def _take_doc(self, client: int | None = None) -> _Document:
        """A document of this state, for the caller alone."""
        document, self._doc = self._doc, None
        if document is None or (client is not None and document.doc.client_id != client):
            return _guard(lambda: self._build(client))
        return document

    def __or__(self, other: TextState) -> TextState:
        if other is self or other._chain is None:
            return self
        before, update = other._chain
        if before is not None:
            update = other.to_bytes()
        chain = (self._chain, update)
        if self._ahead is not None and self._ahead[0][0] == update:
            edits, measures, document = self._ahead
            self._ahead = None
            result = TextState(chain, None if edits[1:] else document, measures[0])
            result._given = self._given
            result._lacking = (chain, self._lacking[1]) if self._lacking[0] is self._chain else self._lacking
            if edits[1:]:
                result._ahead = edits[1:], measures[1:], document
            return result

        def take() -> _Document:
            check(update)
            document = self._take_doc()
            document.doc.apply_update(update)
            return document

        result = TextState(chain, _guard(take))
        result._given, result._lacking = chain, self._lacking
        return result

    def waits(self, before: TextState | None = None) -> bool:
        """Does an edit wait in it, and is not in the text, for one that it builds on and that has not come?

        With `before`, an earlier state: does one more edit wait than in that?
        """
        if before is not None and self._given is before._given:
            return False
        waiting = self._waiting()
        return bool(waiting.items() - (before._waiting() if before is not None else {}).items())

    def _waiting(self) -> dict[int, int]:
        """How far clients have not come of what is there."""
        looked, lacking = self._lacking
        if looked is not self._chain:
            wanted, chain = {**lacking}, self._chain
            while chain is not None and chain is not looked:
                chain, update = chain
                for client, clock in reach(update).items():
                    wanted[client] = max(clock, wanted.get(client, 0))
            self._doc = self._take_doc()
            come = clocks(self._doc.doc.get_state())
            lacking = {client: clock for client, clock in wanted.items() if come.get(client, 0) < clock}
            self._lacking = self._chain, lacking
        return lacking

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, TextState) and str(self) == str(other))

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        if self._text is None:
            if self._chain is None:
                return ""
            document = self._doc = self._take_doc()
            self._text = _guard(lambda: str(document.text))
        return self._text

    def __repr__(self) -> str:
        return f"TextState({str(self)!r})"

    @property
    def measure(self) -> Measure:
        """How long the text is. After edits that were made here it is known without looking."""
        if self._measure is None:
            text = str(self)
            self._measure = Measure(len(text), text.isascii())
        return self._measure

    def to_bytes(self) -> bytes:
        """The whole state as one update, which is what it and all later ones begin with from here on.

        (A document would say so faster, and leaves out what it cannot place yet.)
        """
        if self._chain is None or self._chain[0] is not None:
            looked = self._lacking[0] is self._chain
            self._chain = None, _guard(lambda: pycrdt.merge_updates(*self.updates()))
            if looked:
                self._lacking = self._chain, self._lacking[1]
        return self._chain[1]

    def freeze(self) -> bytes:
        """The same, for a snapshot."""
        return self.to_bytes()

    @classmethod
    def thaw(cls, data: bytes) -> TextState:
        """The state that `freeze` made bytes of. (Whether something waits in it was said when it came.)"""
        state = TextState.of(data)
        state._lacking = state._chain, {}
        return state

    def digest(self) -> str:
        """What it is compared by."""
        return str(self)

    def edit(self, changes: list[Change], replica: int, ahead: list[bytes], measure: Measure) -> bytes:
        """The update that makes some changes.

        `ahead` are the edits made since this state, and grows; `measure` is that of the text after them.
        """
        client = _client(replica)
        pending, self._ahead = self._ahead, None
        if ahead and pending is not None and pending[0] == ahead:
            _, measures, document = pending
        else:
            document, measures = self._take_doc(client), [measure] * len(ahead)
            for update in ahead:
                _guard(lambda update=update: document.doc.apply_update(update))  # type: ignore[misc]
        update = _guard(lambda: document.make(changes, measure))
        ahead.append(update)
        for change in changes:
            measure = measure.after(*change)
        self._ahead = list(ahead), [*measures, measure], document
        return update


NO_TEXT = TextState()


def authors(edits: Iterable[tuple[A, bytes]]) -> list[tuple[A, str]]:
    """Who wrote what: the text after some edits, in runs, each with the author of the edit that typed it."""
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    shared = doc.get(_FIELD, type=pycrdt.Text)
    by_byte: list[A] = []
    author: A

    def hear(event: Any) -> None:
        at = 0
        for delta in event.delta:
            if "retain" in delta:
                at += delta["retain"]
            elif "delete" in delta:
                del by_byte[at : at + delta["delete"]]
            else:
                size = len(delta["insert"].encode())
                by_byte[at:at] = [author] * size
                at += size

    subscription = shared.observe(hear)
    for author, update in edits:  # noqa: B007 (`hear` reads it)
        _guard(lambda update=update: check(update))  # type: ignore[misc]
        _guard(lambda update=update: doc.apply_update(update))  # type: ignore[misc]
    shared.unobserve(subscription)
    data, start, runs = _guard(lambda: str(shared)).encode(), 0, []
    for author, run in groupby(by_byte):
        size = len([*run])
        runs.append((author, data[start : start + size].decode()))
        start += size
    return runs


def waiting(edits: Iterable[tuple[A, bytes]]) -> list[A]:
    """The edits that are not in the text, because one that they build on is missing among them."""
    wanted, doc = [(author, reach(update), update) for author, update in edits], pycrdt.Doc[Any]()
    doc.get(_FIELD, type=pycrdt.Text)
    for _, _, update in wanted:
        _guard(lambda update=update: doc.apply_update(update))  # type: ignore[misc]
    come = clocks(doc.get_state())
    return [who for who, reached, _ in wanted if any(come.get(one, 0) < clock for one, clock in reached.items())]


class Text(Lattice):
    """A string that several people edit at once."""

    _compares = str
    rule = "every character that was typed is there until it is deleted; nothing is lost"

    _edits: list[bytes] | None = None
    _measure: Measure | None = None
    """Of the text after these edits."""

    def apply(self, update: bytes) -> Effect:
        """The edit that `insert`, `delete` or `replace` has made."""
        if self._forgettable:
            raise TypeError("Text stands at the root of an aggregate: an edit cannot be taken back out of it")
        return absorb(self._path, TextState.of(update))

    # --- reading ---

    @property
    def _text_state(self) -> TextState:
        absorbed: TextState | None = self.state.absorbed
        return NO_TEXT if absorbed is None else absorbed

    @property
    def value(self) -> str:
        return str(self._text_state)

    def __contains__(self, part: object) -> bool:
        return part in self.value  # type: ignore[operator]  # as a str: TypeError where it is none

    def __len__(self) -> int:
        return self._text_state.measure.size

    def __getitem__(self, index: int | slice) -> str:
        return self.value[index]

    # --- editing, in `decide` ---

    def insert(self, index: int, text: str, replica: int) -> bytes:
        """The update that puts `text` before code point `index`, made by `replica`."""
        return self.replace(index, index, text, replica)

    def delete(self, start: int, stop: int, replica: int) -> bytes:
        """The update that takes out code points start .. stop-1."""
        return self.replace(start, stop, "", replica)

    def replace(self, start: int, stop: int, text: str, replica: int) -> bytes:
        """The update that puts `text` in the place of code points start .. stop-1.

        Indices count from the text as it is after the edits that this decision has made already.
        """
        _check(self._now.size, start, stop, text)
        return self._make([(start, stop, text)], replica)

    def edit(self, changes: Iterable[Change], replica: int) -> bytes | None:
        """The update that makes changes one after the other: what was typed meanwhile, in one event.

        None where they come to nothing, which is no event.

        Each is (start, stop, text), and counts from the text as it is after the one before. Those that touch are
        put together: a word that was typed letter by letter is one insertion.
        """
        size, made = self._now.size, []
        for start, stop, text in changes:
            _check(size, start, stop, text)
            size += len(text) - (stop - start)
            made.append((start, stop, text))
        made = coalesced(made)
        return self._make(made, replica) if made else None

    @property
    def _now(self) -> Measure:
        """How long the text is after the edits that this decision has made already."""
        return self._text_state.measure if self._measure is None else self._measure

    def _make(self, changes: list[Change], replica: int) -> bytes:
        state, measure = self._text_state, self._now
        if state is NO_TEXT:
            state = TextState()
        if self._edits is None:
            self._edits = []
        update = state.edit(changes, replica, self._edits, measure)
        for change in changes:
            measure = measure.after(*change)
        self._measure = measure
        return update


def coalesced(changes: Iterable[Change]) -> list[Change]:
    """The same changes, with each that touches what the one before it has put there made a part of that one.

    Of the text before both exactly those code points are taken out that either takes out.
    """
    made: list[Change] = []
    for start, stop, text in changes:
        if made:
            begin, end, put = made[-1]
            there = begin + len(put)
            if start <= there and stop >= begin:
                text = put[: max(0, start - begin)] + text + put[max(0, stop - begin) :]
                start, stop = min(start, begin), end + max(0, stop - there)
                made.pop()
        if stop > start or text:
            made.append((start, stop, text))
    return made


def _check(size: int, start: int, stop: int, text: str) -> None:
    """A change can be made to a text of that size."""
    if not 0 <= start <= stop <= size:
        raise IndexError(
            f"{start}:{stop} is not within the text, which has {size} code points (indices count from its "
            "beginning: after a merge, counting from the end would mean another place)"
        )
    if start == stop and not text:
        raise ValueError("an edit that neither inserts nor deletes says nothing: record no event")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("half a surrogate pair has no UTF-8 form, so it cannot be in a text") from None
