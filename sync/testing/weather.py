"""The weather: what goes wrong in a schedule, and what goes right at odd moments.

Rule 1. No fault may lose what was acknowledged, but for a restored backup: that takes back what only that replica
        had, as a real one would.
Rule 2. Each schedule has a climate of its own: some kinds of fault are frequent in it, some do not happen at all.
        So what takes several faults of one kind in a row is met too.

Source: Groce et al. 2012 (swarm testing).
"""

from __future__ import annotations

from collections.abc import Callable

from replica.backend import MemoryBackend, at_once
from replica.cut import closed
from replica.errors import Refused
from replica.fork import copy
from replica.log import Identity
from sync.testing.disk import Disk
from sync.testing.workload import BEFORE, NOW, STREAMS
from sync.testing.world import Node, World

YEAR = 365 * 24 * 3_600_000
DAY = 86_400_000
MOST = 6
"""Replicas, at most."""

EXTREMES = (0, 0.3, 1, 1, 3, 8)
"""How much more often than usual a kind of fault may happen in a schedule."""

Fault = Callable[[World], bool]
"""Lets something go wrong. Was there anything to go wrong with?"""


def climate(world: World) -> tuple[list[Fault], list[float]]:
    """What may go wrong in a schedule, and how often beside each other. Some schedules are about copied files."""
    weights = {fault: weight * world.random.choice(EXTREMES) for fault, weight in FAULTS.items()}
    if world.random.random() < 0.1:
        world.marks = 0.1
        weights |= {clone: 8, backup: 6, cut: 12}
    return list(weights), list(weights.values())


def _any(world: World) -> Node:
    return world.random.choice(list(world.nodes.values()))


# --- links ---


def cut(world: World) -> bool:
    if not world.up:
        return False
    world.cut(world.random.choice(sorted(world.up)))
    return True


def one_way(world: World) -> bool:
    """Of one end of a link nothing arrives any more."""
    if not world.up:
        return False
    link = world.random.choice(sorted(world.up))
    world.up[link] = {world.random.choice(link.split("-"))}
    return True


def hold(world: World) -> bool:
    """A slow link, or a peer that does not read: what is on its way stays so for a while."""
    if not world.up:
        return False
    world.held[world.random.choice(sorted(world.up))] = world.now + world.random.randint(1, 20_000)
    return True


def lose(world: World) -> bool:
    """The first frame on its way is lost."""
    return _frame(world, lambda link, name: world.wire(link, name).popleft())


def black_out(world: World) -> bool:
    """All that is on its way over a link is lost, in both directions."""
    waiting = world.waiting()
    if waiting:
        link, _ = world.random.choice(waiting)
        for name in link.split("-"):
            world.wire(link, name).clear()
    return bool(waiting)


def double(world: World) -> bool:
    """A frame arrives, and is still on its way."""
    return _frame(world, lambda link, name: world.deliver(link, name, keep=True))


def overtake(world: World) -> bool:
    """A frame arrives before others that were sent earlier."""
    return _frame(
        world, lambda link, name: world.deliver(link, name, world.random.randrange(len(world.wire(link, name))))
    )


def corrupt(world: World) -> bool:
    """A bit of a frame is another when it arrives."""
    return _frame(world, lambda link, name: world.deliver(link, name, corrupt=True))


def _frame(world: World, work: Callable[[str, str], object]) -> bool:
    waiting = world.waiting()
    if waiting:
        work(*world.random.choice(waiting))
    return bool(waiting)


# --- processes and disks ---


def kill(world: World) -> bool:
    """SIGKILL."""
    one = _any(world)
    world.crash(one, one.disk)
    return True


def power_cut(world: World) -> bool:
    """The latest writes that were not synced may be gone."""
    one = _any(world)
    world.crash(one, one.disk.after_power_cut(world.random))
    return True


def crash_in_write(world: World) -> bool:
    """The next transaction is the last of its process: it is there afterwards, or it is not."""
    _any(world).disk.fails = world.random.choice(("before", "after"))
    return True


def disk_full(world: World) -> bool:
    """There is no room, until there is again."""
    one = _any(world)
    one.disk.fails = None if one.disk.fails == "full" else "full"
    return True


def backup(world: World) -> bool:
    """An old backup takes the place of a file. Mostly its mark tells; not if that was set back too."""
    one = _any(world)
    if one.disk.writes <= one.disk.begins + 1:
        return False
    for link in world.links_of(one):
        world.cut(link)
    held = world.ledger.held(one.replica)
    one.disk = one.disk.upto(world.random.randrange(one.disk.begins, one.disk.writes))
    world.start(one, _another_id(world, one))
    world.ledger.set_back(held, one.replica)
    world.ledger.forget_lost(world.replicas)
    return True


def clone(world: World) -> bool:
    """A copy of a file begins to run beside it."""
    if len(world.nodes) >= MOST:
        return False
    one = _any(world)
    disk = one.disk.upto(one.disk.writes)
    new = world.add(disk, _another_id(world, one) or disk.identified(), one.release)
    _meet(world, new)
    return True


def _another_id(world: World, one: Node) -> Identity | None:
    """A new id, as where the mark tells; None (the old one goes on) where it cannot."""
    identity = one.disk.identified()
    if identity is None:
        return None
    if world.random.random() >= world.marks:
        world.ledger.twins.add(identity.replica)
        return None
    return identity._replace(replica=world.random.getrandbits(64), succeeds=identity.replica)


def upgrade(world: World) -> bool:
    """A process ends, and begins again with other code: newer, or older."""
    one = _any(world)
    one.release = BEFORE if one.release is NOW else NOW
    world.crash(one, one.disk)
    return True


# --- clocks ---


def step_clock(world: World) -> bool:
    _any(world).offset += world.random.choice([-YEAR, YEAR, -3_600_000, 3_600_000, -2 * DAY, 2 * DAY])
    return True


def freeze_clock(world: World) -> bool:
    one = _any(world)
    one.frozen = world.clock(one) if one.frozen is None else None
    return True


def skew_clock(world: World) -> bool:
    _any(world).rate = world.random.choice([0.5, 0.99, 1.0, 1.01, 2.0])
    return True


# --- members ---


def join(world: World) -> bool:
    """A newcomer, who knows nothing."""
    if len(world.nodes) >= MOST:
        return False
    _meet(world, world.add(Disk(), release=world.random.choice((NOW, NOW, BEFORE))))
    return True


def leave(world: World) -> bool:
    """Somebody is retired; it may go on all the same."""
    one, gone = _any(world), _any(world)

    def retire() -> None:
        try:
            one.replica.flush()
            one.replica.retire(gone.replica.core.me, world.clock(one))
        except Refused:
            return
        one.replica.flush()

    if one is gone:
        return False
    world.guard(one, retire)
    return True


def fork(world: World) -> bool:
    """A second past begins at a cut, in a file of its own; it will meet the others again."""
    if len(world.nodes) >= MOST:
        return False
    one = _any(world)
    core = one.replica.core
    known = [core.memory.version, core.stable, *core.members.observed.values()]
    cuts = [closed(core, one.replica.reader(), cut) for cut in known if cut <= core.memory.version]
    disk = Disk()
    identity = Identity("sim", world.random.getrandbits(64), "fork", ())
    copied = copy(
        core, MemoryBackend(one.disk), MemoryBackend(disk), world.random.choice(cuts), identity, world.random
    )
    at_once(copied)
    whole = disk.upto(disk.writes)  # the file appears when all of it is synced
    whole.begins = whole.writes
    _meet(world, world.add(whole, release=one.release))
    return True


def _meet(world: World, new: Node) -> None:
    for link in world.links_of(new):
        if world.random.random() < 0.7:
            world.mend(link)


FAULTS: dict[Fault, float] = {
    cut: 4, one_way: 2, hold: 2, lose: 10, black_out: 3, double: 6, overtake: 8, corrupt: 2,
    kill: 3, power_cut: 3, crash_in_write: 4, disk_full: 1, backup: 1, clone: 1, upgrade: 1,
    step_clock: 3, freeze_clock: 1, skew_clock: 2, join: 1, leave: 1, fork: 1,
}  # fmt: skip
"""What goes wrong, and how often beside each other."""


# --- what goes right ---


def mend(world: World) -> None:
    """A link works again, with a new conversation; or a new link comes to be."""
    world.mend(world.random.choice(world.links))


def snapshot(world: World) -> None:
    """Somebody reads everything, and takes snapshots."""
    one = _any(world)

    def take() -> None:
        replica = one.replica
        for stream in STREAMS:
            if stream.split("/")[0] in replica.core.aggregates:
                replica.present(stream)
        replica.core.ripe.update(dict.fromkeys(sorted(replica.core.memory.presents)))
        replica.snapshot()

    world.guard(one, take)


def seal(world: World) -> None:
    """Full blocks are sealed."""
    one = _any(world)
    for number, first in one.disk.unsealed():
        one.disk.seal(number, first)


def carry_out(world: World) -> None:
    """Somebody does what is due."""
    one = _any(world)
    world.guard(one, lambda: one.replica.carry_out(world.clock(one)))
