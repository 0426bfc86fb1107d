"""Is it a lattice? All histories of a few events, in all legal orders, parted and merged in all ways.

    check_lattice(AWSet[str](), {"add x": lambda s: s.add("x"), "remove x": lambda s: s.remove("x")})

What is checked, of the state and of what is read: whatever the order in which causes come first, the same; for
causally closed sets of events S and T, fold(S) | fold(T) == fold(S u T); what was observed already changes nothing.
Histories grow from one event on, so the first one that fails has the fewest.

Source: Shapiro et al. 2011 (strong eventual convergence); Zeller, Bieniusa, Poetzsch-Heffter 2014 (small histories
find the errors of replicated data types).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any, NamedTuple

from merge.effect import Effect
from merge.kernel import Happening, Past
from merge.lattice import Lattice
from merge.tree import EMPTY, Tree
from merge.version import Dot, ReplicaId
from replica.testing.shapes import CLOCKS, Shape, members, plan, shapes
from replica.words import counted, shown

PLACE = ("here",)
"""Where the lattice stands: a field of an aggregate."""
NAMES = "abc"

Operation = Callable[[Any], Effect]


class BrokenLaw(AssertionError):
    """A lattice that is none."""


class _Way(NamedTuple):
    """A past, and how it was come to, in words."""

    past: Past[Tree]
    how: str


def check_lattice(lattice: Lattice, operations: Mapping[str, Operation], *, events: int = 3) -> int:
    """Try all histories of up to so many events of three replicas; how many there are. BrokenLaw where one fails.

    `operations` are what a lattice is told, by names for people: each is called with the lattice, unbound, since an
    effect is made from the event alone.
    """
    bound = lattice.bind(None, PLACE)
    count = 0
    for size in range(1, events + 1):
        for shape in shapes(size):
            for clock in CLOCKS:
                stamps = clock(shape)
                for names in product(operations, repeat=size):
                    happened = [
                        Happening(shape.dots[i], stamps[i], shape.contexts[i], operations[name](bound))
                        for i, name in enumerate(names)
                    ]
                    _check(lattice, shape, names, happened)
                    count += 1
    return count


def _check(lattice: Lattice, shape: Shape, names: tuple[str, ...], events: list[Happening]) -> None:
    steps, meetings = plan(shape)
    reached: dict[int, list[_Way]] = {0: [_Way(Past(EMPTY), "nothing")]}
    for step in steps:
        for closed, ways in step:
            found = [
                _Way(way.past.observe(events[last]), f"{way.how}, {_dot(shape, last)}")
                for before, last in ways
                for way in reached[before]
            ]
            reached[closed] = _same(lattice, shape, names, found)
    whole = reached[shape.everything]
    for way in whole:
        for i, event in enumerate(events):
            again = _Way(way.past.observe(event), f"{way.how}, and {_dot(shape, i)} once more")
            _same(lattice, shape, names, [whole[0], again])
    for s, t in meetings:
        for one in reached[s]:
            for other in reached[t]:
                met = _Way(one.past | other.past, f"({one.how}) merged with ({other.how})")
                _same(lattice, shape, names, [whole[0], met])


def _same(lattice: Lattice, shape: Shape, names: tuple[str, ...], found: list[_Way]) -> list[_Way]:
    """One way of those that lead to one state and reading; BrokenLaw where they do not."""
    one = found[0]
    for other in found[1:]:
        mine, theirs = _reading(lattice, one), _reading(lattice, other)
        if mine != theirs or one.past.state != other.past.state:
            raise BrokenLaw(_told(lattice, shape, names, (one, mine), (other, theirs)))
    return [one]


def _reading(lattice: Lattice, way: _Way) -> Any:
    return lattice.bind(way.past.state.at(*PLACE), PLACE)._reading


def _dot(shape: Shape, i: int) -> Dot:
    replica, seq = shape.dots[i]
    names = list(dict.fromkeys(shape.replicas))
    return Dot(ReplicaId(replica, NAMES[names.index(replica)]), seq)


def _told(
    lattice: Lattice, shape: Shape, names: tuple[str, ...], one: tuple[_Way, Any], other: tuple[_Way, Any]
) -> str:
    lines = [
        f"{type(lattice).__name__} is no lattice: {counted(shape.size, 'event')}, and two ways that differ.",
        "",
    ]
    for i, name in enumerate(names):
        seen = " ".join(str(_dot(shape, j)) for j in members(shape.seen[i]))
        lines.append(f"    {_dot(shape, i)}  {name}  (having seen {seen or 'nothing'})")
    lines.append("")
    for way, reading in (one, other):
        lines.append(f"    {way.how.removeprefix('nothing, ').replace('(nothing, ', '(')}: {shown(reading)}")
    if one[1] == other[1]:
        lines.append(f"    (they read alike; the states differ: {one[0].past.state} and {other[0].past.state})")
    return "\n".join(lines)
