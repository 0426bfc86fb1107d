"""The work that is measured: one of 1,000 keys (16 characters) is set to about 40 bytes of JSON, one event a
commit.

Ten replicas write in turns: in each turn every one of them records 500 events that it makes alone, and then all
meet over links in memory until all hold the same. So the first commit of a turn has observed nine other logs, and
the others nothing new: contexts as they arise. All of it goes through the public API (`Replica.append`,
`linked`).

A million events, or a thousand replicas, would take that way minutes to make, which are not what is measured.
Those logs are laid out by the code by which a replica lays out its own (`replica.block.Tail`), with the same
turns; then one replica takes them in.

In several streams, events go to one stream after the other. Seeds are fixed: every run, and every contender, sets
the same keys to the same values.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from random import Random
from typing import Any

from merge import LWWRegister, ORMap
from merge.stamp import Stamp
from replica import Aggregate, Command, Event, Replica
from replica.block import Slice, Tail
from replica.commit import Commit, Observed, Recorded
from replica.event import encode_event
from replica.introduction import ReplicaIntroduced, introduction
from replica.layout import join
from sync import linked

STORE = "keys"
HOME = "keys/home"
KEYS = [f"key-{number:012d}" for number in range(1000)]
IDS = 10
TURN = 500
BY_API = 100_000
"""Events that are made through the public API; more would take minutes."""
BEGIN = 1_700_000_000_000


class KeySet(Event, frozen=True):
    key: str
    value: str


class SetKey(Command, frozen=True):
    key: str
    value: str


class Keys(Aggregate):
    """The latest value of each key."""

    stream = "keys"
    events = (KeySet,)

    items = ORMap[str, LWWRegister[str]](LWWRegister())

    def decide(self, command: Command, given: Any) -> Any:
        match command:
            case SetKey(key, value):
                return KeySet(key, value)
        raise NotImplementedError(command)

    def effect(self, event: Any) -> Any:
        match event:
            case KeySet(key, value):
                return self.items[key].write(value)


def opened(
    path: str, name: str, durability: str = "full", kind: type[Keys] = Keys
) -> AbstractAsyncContextManager[Replica]:
    """A replica of the store, over a file or `:memory:`."""
    return Replica.open(path, store=STORE, name=name, aggregates=[kind], durability=durability)


def values(present: Any) -> dict[str, str]:
    """A present as a plain dict, as the documents of the peers are read too."""
    return {key: register.value for key, register in present.items.items()}


def pairs(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """So many keys, each with the value that it is set to. The number in a value says which of them it is."""
    random = Random(seed)
    return [
        (KEYS[random.randrange(1000)], f'{{"n":{n:08d},"s":"{random.getrandbits(76):019x}"}}') for n in range(count)
    ]


def number(value: str) -> int:
    """Which of `pairs` a value belongs to."""
    return int(value[5:13])


def sets(count: int, seed: int = 0) -> list[KeySet]:
    """So many events."""
    return [KeySet(key, value) for key, value in pairs(count, seed)]


def streams_of(streams: int) -> list[str]:
    return [HOME] if streams == 1 else [f"keys/{number}" for number in range(streams)]


def read_of(streams: int) -> list[str]:
    """The streams that are read: the one there is, or a hundred of them, evenly chosen."""
    names = streams_of(streams)
    return names[:: max(1, len(names) // 100)][:100]


def keys_of(count: int) -> int:
    """How many keys are set by so many events (all of them, by many)."""
    return len({key for key, _ in pairs(min(count, 20_000))})


async def fill(
    replica: Replica, events: Sequence[KeySet], streams: Sequence[str] = (HOME,), first: int = 0
) -> None:
    """Record events, each as a commit of its own, a thousand under way at a time."""
    for at in range(0, len(events), 1000):
        await asyncio.gather(
            *(
                replica.append(streams[(first + at + n) % len(streams)], event)
                for n, event in enumerate(events[at : at + 1000])
            )
        )


async def write_in_turns(first: Replica, count: int, ids: int, streams: int, seed: int = 0) -> None:
    """Have `first` and others record `count` events in turns. In the end `first` holds all of them."""
    names, events, at = streams_of(streams), sets(count, seed), 0
    async with AsyncExitStack() as stack:
        others = [
            await stack.enter_async_context(opened(":memory:", f"peer {seed} {n}", "normal")) for n in range(1, ids)
        ]
        while at < count:
            for replica in (first, *others):
                turn = min(TURN, max(1, count // ids), count - at)
                await fill(replica, events[at : at + turn], names, at)
                at += turn
            for _ in range(2):
                for other in others:
                    async with linked(first, other):
                        await first.wait_for(other.version)
                        await other.wait_for(first.version)


def logs(count: int, ids: int = IDS, apart: int = TURN, streams: int = 1) -> Iterator[list[Slice]]:
    """The logs of some replicas with `count` events together, in batches, each closed with what came before.

    A replica hears what the others wrote whenever each has written `apart` events.
    """
    names = streams_of(streams)
    tails = [Tail(STORE, 1000 + number) for number in range(ids)]
    found: list[list[Slice]] = []
    for tail in tails:
        introduced = introduction(ReplicaIntroduced(STORE, f"peer {tail.replica}", tail.replica))
        first = Commit(tail.replica, 1, Stamp(BEGIN, 0, tail.replica), (), None, (introduced,))
        found.append([tail.append(first)])
    payloads = [encode_event(event) for event in sets(count)]
    for at in range(-(-count // ids)):
        if at % apart == 0 and at:
            yield [piece for pieces in found for piece in blocks(pieces)]
            found = [[] for _ in tails]
        heads = [tail.head for tail in tails] if at % apart == 0 else []
        for number, tail in enumerate(tails):
            observed: tuple[Observed, ...] = ()
            if heads:
                others = zip(tails, heads, strict=True)
                observed = tuple(head.named(other.replica) for other, head in others if other is not tail)
            index = at * ids + number
            if index < count:
                event = Recorded(names[index % streams], KeySet.__name__, KeySet.schema, payloads[index])
                stamp = Stamp(BEGIN + 1 + at, 0, tail.replica)
                found[number].append(
                    tail.append(Commit(tail.replica, tail.seq + 1, stamp, observed, None, (event,)))
                )
    yield [piece for pieces in found for piece in blocks(pieces)]


def blocks(pieces: Iterable[Slice]) -> list[Slice]:
    """Slices of one log that follow each other, joined block by block."""
    runs: list[list[Slice]] = []
    for piece in pieces:
        if runs and runs[-1][0].first == piece.first:
            runs[-1].append(piece)
        else:
            runs.append([piece])
    return [join(run) for run in runs]
