"""What replicas must read, by definition: slow, small, and independent of the folds that it judges.

Rule 1. A fact is an event with what its commit says of it. One fact had seen another if that lies in its context,
        or came before it in the log of one author. Nothing else is known of causality, and no clock counts for it.
Rule 2. A past is a set of facts, as a number for each author: causally closed, and ending between commits.
Rule 3. Facts are ordered by stamp, and within a commit by their place in it.
Rule 4. What acts that had not seen each other come to is read off README's table, lattice by lattice: who looks for
        the meaning of a row finds one function here. An act that somebody had seen and taken back is gone.
Rule 5. What code does not know (a type, a schema) is not there for it, and is in the history all the same.

Nothing is imported from the product: facts are plain values, and texts are Yjs documents of pycrdt's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import pycrdt

Dot = tuple[int, int]
Stamp = tuple[int, int, int]
Past = dict[int, int]


class Fact(NamedTuple):
    """An event, and what its commit says of it."""

    stream: str
    author: int
    seq: int
    first: int
    """The first and the last event of its commit."""
    last: int
    stamp: Stamp
    context: Mapping[int, int]
    """What its author had observed when it decided."""
    type: str
    schema: int
    fields: Mapping[str, Any]
    command: str | None = None

    @property
    def dot(self) -> Dot:
        return self.author, self.seq

    @property
    def order(self) -> tuple[Stamp, int]:
        return self.stamp, self.seq

    def saw(self, other: Fact) -> bool:
        if other.author == self.author:
            return other.seq < self.seq
        return other.seq <= self.context.get(other.author, 0)


# --- pasts ---


def inside(part: Past, whole: Past) -> bool:
    return all(seq <= whole.get(author, 0) for author, seq in part.items())


def union(*pasts: Mapping[int, int]) -> Past:
    authors = {author for past in pasts for author in past}
    return {author: max(past.get(author, 0) for past in pasts) for author in authors}


class Log:
    """All facts that were ever recorded anywhere."""

    def __init__(self) -> None:
        self._facts: dict[int, list[Fact]] = {}

    def add(self, fact: Fact) -> None:
        facts = self._facts.setdefault(fact.author, [])
        assert fact.seq == len(facts) + 1, f"{fact.dot} does not follow {len(facts)}"
        facts.append(fact)

    def get(self, dot: Dot) -> Fact | None:
        facts = self._facts.get(dot[0], [])
        return facts[dot[1] - 1] if 0 < dot[1] <= len(facts) else None

    def facts(self, past: Mapping[int, int], beyond: Mapping[int, int] = {}) -> list[Fact]:
        """Those inside a past and beyond another one, in their order."""
        found = [
            f for author, seq in past.items() for f in self._facts.get(author, [])[beyond.get(author, 0) : seq]
        ]
        return sorted(found, key=lambda fact: fact.order)

    def of(self, stream: str, past: Mapping[int, int], beyond: Mapping[int, int] = {}) -> list[Fact]:
        return [fact for fact in self.facts(past, beyond) if fact.stream == stream]

    def least(self, dots: Iterable[Dot]) -> Past:
        """The least past that has some facts."""
        found: Past = {}
        for dot in dots:
            fact = self._facts[dot[0]][dot[1] - 1]
            found = union(found, fact.context, {fact.author: fact.last})
        return found

    def until(self, wall: int, past: Past) -> Past:
        """What of a past is stamped at a time or before it."""
        found: Past = {}
        for fact in self.facts(past):
            if fact.stamp[0] <= wall:
                found[fact.author] = max(found.get(fact.author, 0), fact.seq)
        return found

    def settled(self, stream: str, stable: Past, past: Past) -> list[Fact]:
        """The facts of a stream that are settled: all that is stable, up to the first that is not."""
        found = []
        for fact in self.of(stream, past):
            if fact.seq > stable.get(fact.author, 0):
                break
            found.append(fact)
        return found


def next_stamp(now: int, seen: Iterable[Fact], author: int) -> Stamp:
    """The stamp of what is recorded next: after all that its author has seen, at its clock where that is later."""
    latest = max((fact.stamp for fact in seen), default=None)
    if latest is None or now > latest[0]:
        return now, 0, author
    return latest[0], latest[1] + 1, author


def concurrent(facts: list[Fact], at: int) -> list[Fact]:
    """The earlier of some facts in their order that the one at a place had not seen."""
    return [other for other in facts[:at] if not facts[at].saw(other)]


# --- code, as it reads facts ---


class Code(NamedTuple):
    """What a release of the code knows: types and schemas, how older schemas are read, and a constant of a fold."""

    knows: frozenset[tuple[str, int]]
    factor: int
    upcast: Mapping[tuple[str, int], Callable[[Mapping[str, Any]], Mapping[str, Any]]]

    def reads(self, facts: Iterable[Fact]) -> list[Fact]:
        """The facts that it knows, as it reads them."""
        found = []
        for fact in facts:
            if (fact.type, fact.schema) in self.knows:
                step = self.upcast.get((fact.type, fact.schema))
                found.append(fact if step is None else fact._replace(fields=step(fact.fields), schema=0))
        return found


# --- lattices, by README's table ---


class Act(NamedTuple):
    """What a fact does at a place: `verb` is the operation, or "wipe" for a removal of all below the place."""

    fact: Fact
    place: tuple[Any, ...]
    verb: str
    value: Any = None


def left(acts: Iterable[Act], removals: Iterable[Act]) -> list[Act]:
    """The acts that no removal had seen. (What is said and taken back in one fact is said after it.)"""
    gone = list(removals)
    return [act for act in acts if not any(one.fact.saw(act.fact) for one in gone)]


def verbs(acts: Iterable[Act], *names: str) -> list[Act]:
    return [act for act in acts if act.verb in names]


def add_wins(acts: list[Act]) -> set[Any]:
    """AWSet. Add and remove at once: it is in."""
    clears = verbs(acts, "clear")
    adds, removes = verbs(acts, "add"), verbs(acts, "remove")
    return {a.value for a in adds if left([a], [*clears, *(r for r in removes if r.value == a.value)])}


def remove_wins(acts: list[Act]) -> set[Any]:
    """RWSet. Add and remove at once: it is out. Each removal must have been seen by some add that came after it."""
    adds, removes = verbs(acts, "add"), verbs(acts, "remove")
    found = set()
    for value in {add.value for add in adds}:
        mine, against = [a for a in adds if a.value == value], [r for r in removes if r.value == value]
        if all(any(add.fact.saw(r.fact) for add in mine) for r in against):
            found.add(value)
    return found


def written(acts: list[Act]) -> list[Act]:
    """The writes of a register that nobody who saw them has replaced, in their order."""
    found = left(verbs(acts, "write"), verbs(acts, "write", "clear"))
    return sorted(found, key=lambda act: act.fact.order)


def last_writer(acts: list[Act]) -> Any:
    """LWWRegister. Two writes at once: the later stamp."""
    found = written(acts)
    return found[-1].value if found else None


def every_writer(acts: list[Act]) -> list[Any]:
    """MVRegister. Two writes at once: both, until somebody who saw them writes."""
    return [act.value for act in written(acts)]


def enable_wins(acts: list[Act]) -> bool:
    """Flag. Enable and disable at once: it is on."""
    return bool(left(verbs(acts, "enable"), verbs(acts, "disable")))


def total(acts: list[Act]) -> int:
    """PNCounter, GCounter. All additions count."""
    return sum(act.value for act in verbs(acts, "count"))


def typed(acts: list[Act]) -> str:
    """Text. Both edits stay."""
    document = pycrdt.Doc()
    text = document.get("text", type=pycrdt.Text)
    for act in sorted(verbs(acts, "type"), key=lambda act: act.fact.order):
        document.apply_update(act.value)
    return str(text)


Lattice = Callable[[list[Act]], Any] | Mapping[str, Any] | tuple[Any]
"""A function above; a mapping of fields (a product); or a tuple of the lattice of all values (a map)."""


def said(lattice: Lattice, acts: list[Act], depth: int) -> bool:
    """Is anything said at a place or below it, so that a key which leads there is in its map?"""
    if isinstance(lattice, Mapping):
        return any(said(below, at(acts, depth, name), depth + 1) for name, below in lattice.items())
    if isinstance(lattice, tuple):
        return bool(keys(lattice, acts, depth))
    if lattice is remove_wins:
        return bool(verbs(acts, "add", "remove"))
    return bool(verbs(acts, "count")) if lattice is total else lattice(acts) not in (set(), [], None, False)


def at(acts: list[Act], depth: int, part: Any) -> list[Act]:
    return [act for act in acts if len(act.place) > depth and act.place[depth] == part]


def kept(acts: list[Act], depth: int) -> list[Act]:
    """What no removal of this place, as a whole, had seen."""
    wipes = [act for act in acts if act.verb == "wipe" and len(act.place) == depth]
    return left([act for act in acts if len(act.place) > depth or act.verb != "wipe"], wipes)


def keys(lattice: tuple[Any], acts: list[Act], depth: int) -> list[Any]:
    found = []
    for key in {act.place[depth] for act in kept(acts, depth) if len(act.place) > depth}:
        if said(lattice[0], kept(at(kept(acts, depth), depth, key), depth + 1), depth + 1):
            found.append(key)
    return found


def read(lattice: Lattice, acts: list[Act], depth: int = 0) -> Any:
    """What a lattice reads, from the acts at its place and below it."""
    acts = kept(acts, depth)
    if isinstance(lattice, Mapping):
        return {name: read(below, at(acts, depth, name), depth + 1) for name, below in lattice.items()}
    if isinstance(lattice, tuple):
        return {key: read(lattice[0], at(acts, depth, key), depth + 1) for key in keys(lattice, acts, depth)}
    return lattice(acts)


# --- why ---


class Reason(NamedTuple):
    """Of the acts at a place that nobody has seen and replaced: those that are read, and those that have lost."""

    read: frozenset[Dot]
    lost: frozenset[Dot]
    differ: bool
    """They do not all say the same."""


def reason(lattice: Lattice, acts: list[Act], element: Any = None) -> Reason | None:
    """Why a place reads as it does; of a set, the place of an element. None where nothing was done there."""
    sets = lattice in (add_wins, remove_wins)
    mine = [act for act in acts if not sets or act.verb == "clear" or act.value == element]
    if not any(act.verb != "clear" or not sets for act in mine):
        return None
    latest = {act.fact.dot: act for act in mine}  # of one fact the last act counts: it takes back, then says
    front = [act for act in latest.values() if not any(other.fact.saw(act.fact) for other in latest.values())]
    says = verbs(front, "add", "write", "enable")
    removes = verbs(front, "remove")
    chosen = removes if lattice is remove_wins and removes else says or front
    if lattice is last_writer and says:
        chosen = [max(says, key=lambda act: act.fact.order)]
    words = {repr((act.verb, act.value)) if act in says or lattice is remove_wins else "" for act in front}
    read_, lost = frozenset(act.fact.dot for act in chosen), frozenset(act.fact.dot for act in front)
    return Reason(read_, lost - read_, len(words) > 1)
