"""One replica of the shop, in a process of its own: sells, carries out what is due, and tells what happens.

It tells in lines without an id: COMMAND when a decision has led to facts, EVENT for each fact that it records,
SIDE EFFECT for each reaction, and REPLAY for what it reads again of orders that a crash interrupted. Telling is
a watcher of the log like any other: nothing is told that is not durable.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from hashlib import blake2b
from typing import Any

import msgspec

from demo.shop import (
    AGGREGATES,
    CreateOrder,
    OrderCompleted,
    OrderFailed,
    PaymentRefunded,
    ProductShipped,
    ReceiveStock,
)
from demo.worker import Answer, Worker, options, say, serve_requests
from merge import VersionVector
from replica import Addressed, Command, Entry, Event, Given, Ordered, Replica, reaction
from sync import Node

ENDED = ("completed", "failed")
NOTHING = VersionVector()


class Seller(Worker):
    """What the requests do to the shop."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._doing |= {"receive": self.receive, "order": self.order, "look": self.look}

    async def receive(self, product: str, pieces: int) -> Answer:
        """Put pieces into stock."""
        await self._node.replica.execute(f"stock/{product}", ReceiveStock(pieces))
        return {}

    async def order(self, order: str, product: str, price: int, customer: str) -> Answer:
        """Order as a client does: say what is wanted, and await the outcome."""
        replica, stream = self._node.replica, f"order/{order}"
        await replica.execute(
            stream, CreateOrder(product, price, customer), command_id=f"create {order}", correlation=order
        )
        ends = replica.watch(stream, types=(OrderCompleted, OrderFailed), after=NOTHING)
        async with aclosing(ends):
            await anext(ends)
        return await self._outcome(order)

    async def _outcome(self, order: str) -> Answer:
        state = (await self._node.replica.present(f"order/{order}")).state
        return {"id": order, "outcome": state.stage, "reason": state.reason or None}

    async def look(self, orders: list[str], products: list[str]) -> Answer:
        """The version, what has become of the orders, a digest of all, and how many commands are due."""
        replica = self._node.replica
        streams = [*(f"order/{order}" for order in orders), *(f"stock/{product}" for product in products)]
        return {
            "version": {str(dot.replica): dot.seq for dot in replica.version},
            "orders": [await self._outcome(order) for order in orders],
            "digest": digest([await replica.digest(stream) for stream in streams]),
            "due": len(replica.status().due),
            "events": replica.status().events,
        }


def digest(parts: list[str]) -> str:
    """One name for several digests."""
    return blake2b("".join(parts).encode(), digest_size=16).hexdigest()


# --- telling ---

DECIDED: dict[tuple[str, Event], Command] = {}
"""Which command led to a fact: noted by the decision, told when the fact is durable."""


def told(kind: type[Ordered]) -> type[Ordered]:
    """The same aggregate, whose decisions are noted."""

    class Told(kind):  # type: ignore[misc, valid-type]
        stream, events = kind.stream, kind.events

        def decide(self, command: Command, given: Given) -> Any:
            facts = super().decide(command, given)
            found = [facts] if isinstance(facts, Event | Addressed) else list(facts or ())
            for fact in found:
                here = (fact.stream, fact.event) if isinstance(fact, Addressed) else (self.address, fact)
                DECIDED[here] = command
            return found

    return Told


LATEST: dict[str, int] = {}
"""The seq of the latest event that was told, by stream."""


async def after(entry: Entry) -> None:
    """Wait until an event has been told, so that its effects are told after it."""
    while LATEST.get(entry.stream, 0) < entry.dot.seq:
        await asyncio.sleep(0.001)


def tell(what: str, order: str | None, text: str) -> None:
    say({"tell": what, "order": order, "text": text})


@reaction(OrderCompleted, OrderFailed, name="mail")
async def mail(entry: Entry, replica: Replica) -> None:
    """Write to the customer. The dot is the key by which the post office would know a letter that it has."""
    await after(entry)
    event = entry.event
    words = "is on its way" if isinstance(event, OrderCompleted) else f"failed: {event.reason}"
    tell("SIDE EFFECT", event.order, f"mail to the customer, order {event.order} {words} [{entry.dot}]")


@reaction(PaymentRefunded, name="bank")
async def bank(entry: Entry, replica: Replica) -> None:
    """Have the money paid back."""
    await after(entry)
    if entry.stream.startswith("payment/"):
        tell("SIDE EFFECT", entry.event.order, f"the bank pays back {entry.event.amount} [{entry.dot}]")


@reaction(ProductShipped, name="parcel")
async def parcel(entry: Entry, replica: Replica) -> None:
    """Have it sent."""
    await after(entry)
    if entry.stream.startswith("stock/"):
        tell("SIDE EFFECT", entry.event.order, f"a parcel leaves for order {entry.event.order} [{entry.dot}]")


async def tell_all(replica: Replica, known: VersionVector, interrupted: set[str]) -> None:
    """Tell what this replica records; and first, what it had recorded of orders that were interrupted."""
    last: Command | None = None
    async with aclosing(replica.watch(after=NOTHING)) as entries:
        async for entry in entries:
            if entry.dot.replica != replica.status().replica:
                continue
            order, text = entry.correlation, f"{type(entry.event).__name__} in {entry.stream} [{entry.dot}]"
            if entry.dot in known:
                LATEST[entry.stream] = entry.dot.seq
                if order in interrupted:
                    tell("REPLAY", order, text)
                continue
            command = DECIDED.pop((entry.stream, entry.event), None)
            if command is not None and command is not last:
                fields = ", ".join(str(value) for value in msgspec.structs.astuple(command))
                tell("COMMAND", order, f"{type(command).__name__}({fields})" + answer_to(replica, entry))
                last = command
            tell("EVENT", order, text)
            LATEST[entry.stream] = entry.dot.seq


def answer_to(replica: Replica, entry: Entry) -> str:
    """What a command answered to, in words."""
    if entry.cause is None:
        return ""
    names = {int(dot.replica): str(dot.replica) for dot in replica.version}
    return f", due since {names.get(int(entry.cause.replica))}:{entry.cause.seq}"


def under_way(replica: Replica) -> set[str]:
    """The orders that are due for something."""
    return {one.stream.partition("/")[2] for one in replica.status().due if one.stream.startswith("order/")}


async def sell(path: str, name: str, port: int) -> None:
    async with Node.open(
        path, store="shop", name=name, aggregates=[told(kind) for kind in AGGREGATES], port=port,
        reactions=[mail, bank, parcel],
    ) as node:  # fmt: skip
        replica = node.replica
        telling = asyncio.create_task(tell_all(replica, replica.version, under_way(replica)))
        try:
            await serve_requests(node, Seller(node))
        finally:
            telling.cancel()


if __name__ == "__main__":
    given = options()
    asyncio.run(sell(given.path, given.name, given.port))
