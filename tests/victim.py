"""A replica that will not live long: it writes as fast as it can, and says what was acknowledged.

The harnesses that kill processes (`tests.kills`) and cut the power (`tests.power`) let it live in a process of its
own, again and again over one file. What it says is a promise; they check that every promise is kept.

    python -m tests.victim FOLDER LIFE CHECKPOINT        one life (as JSON), which says what it says in FOLDER/said

Rule 1. A text is recorded once: it names the life, the writer and the turn. So what is in the log tells what was
        asked for, and a dot that was used twice shows.
Rule 2. A writer waits for its answer before it goes on: of each at most one command was asked and not answered.
Rule 3. Everything that a replica does is going on at once: many writers, decisions with several events, long
        payloads and bursts (which fill blocks, so that they are sealed), what is due, projections, a peer's past.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import cache
from random import Random
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import astuple

from replica.block import Slice
from replica.direct import DirectReplica
from replica.memory import MemoryLog
from replica.replica import Replica
from replica.sqlite import SqliteLog
from tests.owing import Ask, Counts, Quiz, Said
from tests.shop import AddItem, AddTwice, ItemAdded, ShoppingList

STORE = "shop"
AGGREGATES = (ShoppingList, Quiz)
PROJECTIONS = (Said, Counts)
LISTS = 2
BURST = 40
PAST = 32
"""Events of the peer whose past is ingested."""
LONG = 40_000
"""Characters of a long item: seven fill a block."""


class Promise(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """An acknowledgement: from this dot on, this was recorded."""

    replica: int
    first: int
    kind: str
    tag: str

    @property
    def texts(self) -> list[str]:
        """What the events say, one after the other."""
        return TEXTS[self.kind](self.tag)


class Sent(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """What became durable, and may have been sent to every peer. A slice is read without packed bytes only."""

    slices: list[Slice]


TEXTS: dict[str, Callable[[str], list[str]]] = {
    "add": lambda tag: [tag],
    "ask": lambda tag: [tag],
    "past": lambda tag: [tag],
    "twice": lambda tag: [tag, f"{tag}'"],
    "burst": lambda tag: [f"{tag}.{number}" for number in range(BURST)],
    "long": lambda tag: [f"{tag}.{Random(tag).randbytes(LONG // 2).hex()}"],
}
CHANCES = {"add": 49, "ask": 24, "twice": 20, "burst": 4, "long": 3}


class Life(NamedTuple):
    """How a replica is to live."""

    path: str
    number: int
    seed: int
    durability: str = "full"
    writers: int = 64
    turns: int = 1_000_000
    """After so many commands of each writer it is closed in good order."""
    promises: int = 1_000_000
    """After so many promises it kills itself."""
    chances: dict[str, int] = CHANCES
    """What it does, and how often."""


def opened(path: str, name: str = "victim", **options: Any) -> Any:
    """The replica over a file, as every life and every check opens it."""
    return Replica.open(path, store=STORE, name=name, aggregates=AGGREGATES, projections=PROJECTIONS, **options)


async def live(
    life: Life,
    say: Callable[[Promise], None],
    pasts: Sequence[Slice],
    *,
    tell: Callable[[list[Slice]], None] | None = None,
    stage: Callable[[str], None] = lambda _: None,
) -> None:
    """Live: until somebody ends it, or to the end. `pasts` are a peer's, to be ingested meanwhile.

    `tell` hears what peers may be sent: what is there when the file has been opened, then what becomes durable.
    """
    random = Random(f"{life.seed}/{life.number}")
    stage("opening")
    async with opened(life.path, durability=life.durability) as replica:
        if tell is not None:
            tell(await replica.read(lambda reader: list(reader.everything())))
            replica.listen(lambda settled: tell(settled.slices))
        stage("living")
        async with asyncio.TaskGroup() as group:
            group.create_task(_hear(replica, pasts, say))
            if random.random() < 0.25:
                group.create_task(replica.rebuild("said"))
            for writer in range(life.writers):
                group.create_task(_write(replica, life, writer, Random(random.random()), say))
        stage("closing")
    stage("closed")


async def _write(replica: Replica, life: Life, writer: int, random: Random, say: Callable[[Promise], None]) -> None:
    for turn in range(life.turns):
        (kind,) = random.choices(list(life.chances), list(life.chances.values()))
        tag = f"{life.number}/{writer}/{turn}"
        basket = f"list/{writer % LISTS}"
        match kind:
            case "ask":
                committed = await replica.execute(f"quiz/{life.number}", Ask(tag), command_id=tag)
            case "twice":
                committed = await replica.execute(basket, AddTwice(tag))
            case "burst":
                committed = await replica.append(basket, *map(ItemAdded, TEXTS[kind](tag)))
            case _:
                committed = await replica.execute(basket, AddItem(*TEXTS[kind](tag)))
        first = committed.dots[0]
        say(Promise(int(first.replica), first.seq, kind, tag))


async def _hear(replica: Replica, pasts: Sequence[Slice], say: Callable[[Promise], None]) -> None:
    """Take some of what a peer has written, a commit of one event at a time."""
    held = replica.version[pasts[0].replica]
    for piece in [piece for piece in pasts if piece.last > held][:8]:
        await replica.ingest([piece])
        if piece.last > 1:
            say(Promise(piece.replica, piece.last, "past", _past(piece.last - 2)))


def _past(number: int) -> str:
    """What bob has recorded as his first event, second, ..., after his introduction."""
    return f"bob/{number}/0"


@cache
def bob(events: int) -> tuple[DirectReplica, tuple[Slice, ...]]:
    """A peer that has written so many events, commit by commit: the same in every process."""
    replica = DirectReplica(MemoryLog(), STORE, "bob", AGGREGATES, random=Random("bob"), projections=PROJECTIONS)
    pasts = [*replica.all_slices()]
    replica.listeners.append(lambda settled: pasts.extend(settled.slices))
    for number in range(events):
        replica.append(f"list/{number % LISTS}", [ItemAdded(_past(number))], number)
        replica.flush()
    return replica, tuple(pasts)


def said(promises: int, into: int) -> tuple[Callable[[Promise], None], Callable[[list[Slice]], None]]:
    """Say promises, and what peers are sent, into a file: a `write` each. Ends the process after some promises."""
    left = promises

    def say(promise: Promise) -> None:
        nonlocal left
        os.write(into, encode(promise))
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    def tell(slices: list[Slice]) -> None:
        if slices:
            os.write(into, encode(Sent([Slice(*astuple(piece)[:8]) for piece in slices])))

    return say, tell


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Promise | Sent).decode


def main() -> None:
    folder, life, checkpoint = sys.argv[1:]
    SqliteLog.checkpoint = int(checkpoint)
    chosen = msgspec.json.decode(life, type=Life)
    into = os.open(os.path.join(folder, "said"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    say, tell = said(chosen.promises, into)
    asyncio.run(live(chosen, say, bob(PAST)[1], tell=tell))


if __name__ == "__main__":
    main()
