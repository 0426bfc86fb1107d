"""The kernel: how events become a present, and how two pasts become one.

Rule 1. A state maps (dot, path) to what that event said there.
Rule 2. A state is always read together with the version it was folded at. Nothing else is context.
Rule 3. An event forgets what its context had seen, and says its own under its own dot. What is concurrent
        with it is untouched: nobody can unsay what they had not heard.
Rule 4. `past | past` keeps an entry that both hold, and an entry that one holds and the other has not
        observed. An entry that one holds and the other has observed was forgotten there: it goes.
Rule 5. `present = reduce(merge, observed_pasts, present)`, in any order, any number of times.

The law, which contains the others: for causally closed sets of events S and T,

    fold(S) | fold(T) == fold(S u T)

From it follow convergence, and that merging is associative, commutative and idempotent. Every lattice is a
few lines on top of this file: which paths its operations forget, what they say, and how it is read.

This file is the meaning, over an abstract state; `merge.flat` is the state as one plain dict, kept as the
oracle; `merge.tree` is the same state indexed by path, which is what replicas use.

Source: Shapiro et al. 2011 (CRDTs); Bieniusa et al. 2012 (optimised OR-set: no tombstones);
Almeida, Shoker, Baquero 2018 (delta states, causal contexts); Baquero, Almeida, Shoker 2017 (pure
operation-based CRDTs).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from merge.effect import Effect
from merge.stamp import Stamp
from merge.version import NOTHING, Dot, VersionVector


class Said(NamedTuple):
    """What one event said at one path: which event, when, and what."""

    dot: Dot
    stamp: Stamp
    value: Any

    @property
    def order(self) -> tuple[Stamp, int]:
        """A total order that contains causality: the stamp of the commit, then the place within it."""
        return self.stamp, self.dot.seq


class Happening(NamedTuple):
    """An event as the kernel sees it: its name, its time, what it had seen, and what it does."""

    dot: Dot
    stamp: Stamp
    context: VersionVector
    effect: Effect

    @property
    def order(self) -> tuple[Stamp, int]:
        """Its place in a total order that contains causality."""
        return self.stamp, self.dot.seq


S = TypeVar("S", bound="State")


class State(Protocol):
    """What a representation of the state must offer: fold one event, and join with another state."""

    def happen(self: S, event: Happening) -> S:
        """The state after `event`, all of whose context has happened before."""

    def join(self: S, mine: VersionVector, other: S, theirs: VersionVector) -> S:
        """The join of this state at version `mine` and another at version `theirs`."""


@dataclass(frozen=True, slots=True)
class Past(Generic[S]):
    """A state together with the version it was folded at."""

    state: S
    version: VersionVector = NOTHING

    def __or__(self, other: Past[S]) -> Past[S]:
        """The least past that contains both."""
        state = self.state.join(self.version, other.state, other.version)
        return Past(state, self.version | other.version)

    def observe(self, event: Happening) -> Past[S]:
        """This past and one more event. An event already observed changes nothing."""
        if event.dot in self.version:
            return self
        return Past(self.state.happen(event), self.version.advance(*event.dot))


def merge(one: Past[S], other: Past[S]) -> Past[S]:
    """The least upper bound of two pasts: associative, commutative, idempotent."""
    return one | other


def meet(present: Past[S], observed_pasts: Iterable[Past[S]]) -> Past[S]:
    """The local present is a merge function of multiple concurrent pasts."""
    present = reduce(merge, observed_pasts, present)
    return present


def fold(past: Past[S], events: Iterable[Happening]) -> Past[S]:
    """The past after `events`, which come in a causally legal order (by stamp is one)."""
    return reduce(Past.observe, events, past)
