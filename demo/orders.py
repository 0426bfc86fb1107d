"""The story of some orders: sold at several places, through a crash and a cut network, repaired by a further fact.

Everything is real: each place is a process with a file and a port of its own. What is told is what the processes
tell of their logs; the verdict is what all of them answer in the end.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.process import Process, WorkerFailed
from demo.telling import Teller

NAMES = ("alice", "bob", "carol")
LONGEST = 20.0
"""Seconds that anything may take before the story breaks off."""
PRODUCT = "lamp"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the story ended."""

    converged: bool
    digest: str | None
    orders: list[dict[str, Any]]
    last_piece: list[str]
    """The orders that were promised the last piece."""
    replicas: list[dict[str, Any]]
    heal_seconds: float
    side_effects: dict[str, int]
    """How often each side effect was told."""
    events: int


class Shop:
    """The places, and what happens to them."""

    def __init__(self, folder: Path, teller: Teller) -> None:
        self.tell = teller
        self.told: list[dict[str, Any]] = []
        self._more = asyncio.Event()
        self.places = {
            name: Process(name, folder / f"{name}.db", module="demo.seller", hear=self._hear) for name in NAMES
        }
        self.orders: list[str] = []

    def _hear(self, name: str, told: dict[str, Any]) -> None:
        self.told.append({"place": name, **told})
        self._more.set()
        self.tell.happened(name, told["tell"], told["text"])

    async def hears(self, place: str, kind: str, order: str, word: str) -> None:
        """Wait until a place has told something of an order."""

        def heard() -> bool:
            return any(
                (one["place"], one["tell"], one["order"]) == (place, kind, order) and word in one["text"]
                for one in self.told
            )

        async with asyncio.timeout(LONGEST):
            while not heard():
                self._more.clear()
                await self._more.wait()

    # --- steps ---

    async def start(self) -> None:
        for process in self.places.values():
            await process.start()
        places = [*self.places.values()]
        for index, process in enumerate(places):
            for peer in places[index + 1 :]:
                await process.ask("dial", peer=peer.name, url=peer.url, up=True)
        await self.places["alice"].ask("receive", product=PRODUCT, pieces=3)
        await self.agreed(list(NAMES))

    def order(self, place: str, order: str, price: int, customer: str) -> asyncio.Task[dict[str, Any]]:
        """A client orders, and awaits the outcome."""
        self.orders.append(order)
        asked = self.places[place].ask("order", order=order, product=PRODUCT, price=price, customer=customer)
        return asyncio.create_task(asked)

    async def look(self) -> list[dict[str, Any]]:
        found = await asyncio.gather(
            *(process.ask("look", orders=self.orders, products=[PRODUCT]) for process in self.places.values())
        )
        return [{"name": name, **view} for name, view in zip(NAMES, found, strict=True)]

    async def agreed(self, names: list[str]) -> bool:
        """Wait until some places hold the same, and none owes anything; False if that takes too long."""
        begun = time.monotonic()
        while time.monotonic() - begun < LONGEST:
            views = [view for view in await self.look() if view["name"] in names]
            if not any(view["due"] for view in views) and all(
                (view["version"], view["digest"]) == (views[0]["version"], views[0]["digest"]) for view in views
            ):
                return True
            await asyncio.sleep(0.02)
        return False

    async def agree(self, names: list[str]) -> None:
        if not await self.agreed(names):
            raise WorkerFailed(f"{', '.join(names)} are linked, and did not agree in {LONGEST:g} s")

    async def ends(self, order: asyncio.Task[dict[str, Any]]) -> None:
        """Wait for the outcome as the client does, and tell it."""
        async with asyncio.timeout(LONGEST):
            outcome = await order
        self.tell.outcome(outcome)

    # --- chapters ---

    async def together(self) -> None:
        self.tell.chapter("Together", "Three places sell lamps; there are 3. An order is a process of four steps.")
        await self.ends(self.order("bob", "o1", 40, "ann"))
        await self.agree(list(NAMES))
        await self.ends(self.order("carol", "o2", 70, "ann"))
        await self.agree(list(NAMES))

    async def killed(self) -> None:
        carol = self.places["carol"]
        self.tell.chapter("carol is killed", "SIGKILL when a lamp is reserved, and before it is paid for.")
        order = self.order("carol", "o3", 40, "ben")
        await self.hears("carol", "EVENT", "o3", "ProductReserved in order")
        carol.kill()
        await carol.ended()
        await asyncio.gather(order, return_exceptions=True)
        self.tell.line(f"  {'carol':<6} is gone. Nobody else carries out what it owes.")
        await carol.start()
        for peer in ("alice", "bob"):
            await carol.ask("dial", peer=peer, url=self.places[peer].url, up=True)
        self.tell.line(f"  {'carol':<6} is back as process {carol.pid}, and goes on where it was:")
        await self.hears("carol", "EVENT", "o3", "OrderCompleted")
        await self.agree(list(NAMES))

    async def apart(self) -> None:
        self.tell.chapter("The network is cut", "alice | bob, carol. One lamp is left, and both sides sell it.")
        for here, there in (("alice", ["bob", "carol"]), ("bob", ["alice"]), ("carol", ["alice"])):
            await self.places[here].ask("cut", peers=there)
        await self.ends(self.order("bob", "o4", 50, "cas"))
        await self.agree(["bob", "carol"])
        await self.ends(self.order("alice", "o5", 50, "dan"))
        await self.ends(self.order("carol", "o6", 50, "eve"))
        await self.agree(["bob", "carol"])

    async def healed(self) -> Outcome:
        self.tell.chapter(
            "The network heals", "One lamp is reserved twice: the later reservation is owed a FailOrder."
        )
        begun = time.monotonic()
        await asyncio.gather(*(process.ask("heal") for process in self.places.values()))
        await self.hears("alice", "EVENT", "o5", "OrderFailed")
        converged = await self.agreed(list(NAMES))
        seconds = time.monotonic() - begun
        views = await self.look()
        orders = views[0]["orders"]
        ended = all(view["orders"] == orders for view in views)
        events = max(view.pop("events") for view in views)
        effects: dict[str, int] = {}
        for one in self.told:
            if one["tell"] == "SIDE EFFECT":
                effects[one["text"]] = effects.get(one["text"], 0) + 1
        return Outcome(
            converged and ended, views[0]["digest"] if converged else None, orders, ["o4", "o5"], views,
            round(seconds, 3), effects, events,
        )  # fmt: skip


async def orders(teller: Teller) -> Outcome:
    """Play the story, and say how it ended."""
    with tempfile.TemporaryDirectory(prefix="anabranch-") as folder:
        shop = Shop(Path(folder), teller)
        try:
            await shop.start()
            await shop.together()
            await shop.killed()
            await shop.apart()
            outcome = await shop.healed()
        except TimeoutError:
            raise WorkerFailed(f"what should have happened did not happen within {LONGEST:g} s") from None
        finally:
            await asyncio.gather(*(process.stop() for process in shop.places.values() if process.started))
        teller.orders(outcome.orders)
        teller.verdict(outcome.converged, outcome.digest, outcome.heal_seconds, outcome.replicas)
        return outcome
