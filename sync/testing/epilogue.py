"""The epilogue: a healed network in which one little thing goes wrong, and how soon it is mended.

That all are equal after many rounds hides much: of several mechanisms that mend a loss the slowest is enough. Here
each has its turn, alone, and its own bound:

| what goes wrong                      | is mended                           | by                               |
|--------------------------------------|-------------------------------------|----------------------------------|
| nothing; somebody writes             | without a tick                      | pushes, forwarded by relays      |
| many write at once, over a window    | without a tick                      | fetching, when there is room     |
| a push is lost, another one arrives  | without a tick                      | the gap, which is answered       |
| the last push is lost                | at the next tick                    | digests of heads                 |
| both sides lose their last push      | in PATIENCE + 2 ticks               | the age of what is under way     |
| the answer to a digest is lost too   | at the tick after it                | digests, once more               |
| what members know is lost            | in PATIENCE + 2 ticks a link        | digests of what is known         |
| what members know is damaged         | the same                            | its check; a new conversation    |
"""

from __future__ import annotations

from collections.abc import Callable

from merge.version import VersionVector
from sync.protocol import PATIENCE, WINDOW
from sync.testing.ledger import Found
from sync.testing.network import TICK
from sync.testing.workload import Counted
from sync.testing.world import Node, World


def epilogue(world: World) -> None:
    """Play one of them, on a link of the tree."""
    _rest(world)
    one, other = (world.nodes[name] for name in world.random.choice(list(world.neighbours())))
    if world.random.random() < 0.5:
        one, other = other, one
    link = "-".join(sorted((one.name, other.name)))
    story = world.random.choice(STORIES)
    story(world, link, one, other)
    if not world.equal:
        raise Found("promptness", f"not in time: {story.__doc__}")


def _rest(world: World) -> None:
    """Nothing is under way any more."""
    for _ in range(PATIENCE + 2):
        _tick(world)
        world.drain()


def _tick(world: World) -> None:
    world.now += TICK
    for one in world.nodes.values():
        if one.frozen is not None:
            one.frozen += TICK
    world.tick()


def _write(world: World, one: Node) -> None:
    replica = one.replica
    replica.append("board/1", (Counted(1),), world.clock(one))
    replica.flush()


def _lose(world: World, link: str, one: Node) -> None:
    """All that one end has sent over a link is lost."""
    world.wire(link, one.name).clear()


def _unheard(world: World, link: str, one: Node) -> None:
    """Somebody writes, and its push over a link is lost."""
    _write(world, one)
    _lose(world, link, one)
    world.drain()


def _push(world: World, link: str, one: Node, other: Node) -> None:
    """Somebody writes, and all hear of it at once."""
    _write(world, one)
    world.drain()


def _burst(world: World, link: str, one: Node, other: Node) -> None:
    """Somebody writes more often than fits into a window, and all hear of it at once."""
    for _ in range(WINDOW + 4):
        _write(world, one)
    world.drain()


def _gap(world: World, link: str, one: Node, other: Node) -> None:
    """A push is lost, and the next one arrives."""
    _write(world, one)
    _lose(world, link, one)
    _write(world, one)
    world.drain()


def _last(world: World, link: str, one: Node, other: Node) -> None:
    """The last push is lost, and a tick passes."""
    _unheard(world, link, one)
    _tick(world)
    world.drain()


def _answer(world: World, link: str, one: Node, other: Node) -> None:
    """The last push is lost, and so is what is said about it at the next tick."""
    _unheard(world, link, one)
    _tick(world)
    while world.wire(link, one.name):
        world.deliver(link, one.name)
    _lose(world, link, other)
    world.drain()
    _tick(world)
    world.drain()


def _both(world: World, link: str, one: Node, other: Node) -> None:
    """Both sides write, neither hears of it, and some ticks pass."""
    _write(world, one)
    _write(world, other)
    _lose(world, link, one)
    _lose(world, link, other)
    _rest(world)


def _known(world: World, link: str, one: Node, other: Node) -> None:
    """What members know is lost once, and some ticks pass."""
    _write(world, one)
    world.drain()
    _tick(world)
    _lose(world, link, one)
    _lose(world, link, other)
    _all_know_the_same(world)


def _damaged(world: World, link: str, one: Node, other: Node) -> None:
    """What members know arrives with a bit that has flipped, and some ticks pass."""
    _write(world, one)
    world.drain()
    _tick(world)
    for _ in range(len(world.wire(link, one.name))):
        world.deliver(link, one.name, corrupt=True)
    _all_know_the_same(world)


def _all_know_the_same(world: World) -> None:
    """But of an id that was set back: what it had told stays known, though nobody holds it."""
    for _ in world.nodes:
        _rest(world)
    ledger = world.ledger
    known = [
        [(member, ledger.without_twins(VersionVector(row))) for member, row in replica.core.members.known.rows]
        for replica in world.replicas
    ]
    if any(other != known[0] for other in known):
        raise Found("promptness", "what is known of members is not the same everywhere")


STORIES: list[Callable[[World, str, Node, Node], None]] = [
    _push,
    _burst,
    _gap,
    _last,
    _answer,
    _both,
    _known,
    _damaged,
]
