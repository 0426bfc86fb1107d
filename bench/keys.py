"""The workload of catching up and of presents: one of 1,000 keys (16 characters) is set to 40 bytes of JSON.

Ten replicas write in turns, one event a commit, and whenever each has written so many events it has heard what the
others wrote before: so contexts are as they arise. In one stream, or in many.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

from merge import LWWRegister, ORMap
from merge.stamp import Stamp
from replica import Aggregate, Event
from replica.block import Slice, Tail
from replica.commit import Commit, Observed, Recorded
from replica.event import encode_event
from replica.introduction import ReplicaIntroduced, introduction
from replica.layout import join

STORE = "keys"
HOME = "keys/home"
KEYS = [f"key-{number:012d}" for number in range(1000)]
BEGIN = 1_700_000_000_000


class KeySet(Event):
    key: str
    value: str


class Keys(Aggregate):
    """The latest value of each key."""

    stream = "keys"
    events = (KeySet,)

    items = ORMap[str, LWWRegister[str]](LWWRegister())

    def effect(self, event: Any) -> Any:
        match event:
            case KeySet(key, value):
                return self.items[key].write(value)


def sets(count: int, seed: int = 0) -> list[KeySet]:
    """So many events."""
    random = Random(seed)
    return [
        KeySet(KEYS[random.randrange(1000)], f'{{"n":{n:08d},"s":"{random.getrandbits(76):019x}"}}')
        for n in range(count)
    ]


def logs(count: int, ids: int = 10, apart: int = 100, streams: int = 1) -> list[Slice]:
    """The logs of some replicas with `count` events together, as slices of whole blocks; all of it is one batch.

    A replica hears what the others wrote whenever each has written `apart` events.
    """
    names = [HOME] if streams == 1 else [f"keys/{number}" for number in range(streams)]
    tails = [Tail(STORE, 1000 + number) for number in range(ids)]
    found: list[list[Slice]] = []
    for tail in tails:
        event = ReplicaIntroduced(STORE, f"peer {tail.replica}", tail.replica)
        first = Commit(tail.replica, 1, Stamp(BEGIN, 0, tail.replica), (), None, (introduction(event),))
        found.append([tail.append(first)])
    payloads = [encode_event(event) for event in sets(count)]
    heads = [tail.head for tail in tails]
    for at in range(count // ids):
        heads = [tail.head for tail in tails] if at % apart == 0 else heads
        for number, tail in enumerate(tails):
            observed: tuple[Observed, ...] = ()
            if at % apart == 0:
                others = zip(tails, heads, strict=True)
                observed = tuple(head.named(other.replica) for other, head in others if other is not tail)
            index = at * ids + number
            event = Recorded(names[index % streams], KeySet.__name__, KeySet.schema, payloads[index])
            stamp = Stamp(BEGIN + 1 + at, 0, tail.replica)
            found[number].append(tail.append(Commit(tail.replica, tail.seq + 1, stamp, observed, None, (event,))))
    return [piece for pieces in found for piece in blocks(pieces)]


def blocks(pieces: Iterable[Slice]) -> list[Slice]:
    """Slices of one log that follow each other, joined block by block."""
    runs: list[list[Slice]] = []
    for piece in pieces:
        if runs and runs[-1][0].first == piece.first:
            runs[-1].append(piece)
        else:
            runs.append([piece])
    return [join(run) for run in runs]
