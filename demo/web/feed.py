"""The feed: what one page is told.

Rule 1. A page is told what differs from what it was told last, at most twenty times a second. So nothing piles up
        for a slow one: it is told less often, and then how things stand.
Rule 2. Events and deliveries are a list that only grows; the feed has a place in it.
Rule 3. Before a request is answered, what it changed is told; what replicas record they tell themselves.
Rule 4. Where another network is shown, the page is told all anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec
from msgspec import UNSET

from demo.web.contract import Delivered, Event, ReplicaReport
from demo.web.control import Control
from demo.web.network import Network

PAUSE = 0.05
"""Seconds between two tellings, at least."""
PORTION = 1000
"""Events in a message."""


class Feed:
    """What one page has been told, and what it is told next."""

    def __init__(self, control: Control, send: Callable[[str], Awaitable[None]]) -> None:
        self._control, self._send = control, send
        self._network: Network | None = None
        self._place = 0
        self._told: dict[str, Any] = {}
        self._news = asyncio.Event()
        self._telling = asyncio.Lock()

    async def run(self) -> None:
        """Tell until this is cancelled."""
        stop = self._control.hear(self._news.set)
        try:
            while True:
                self._news.clear()
                if await self.tell():
                    await asyncio.sleep(PAUSE)
                await self._news.wait()
        finally:
            stop()

    async def tell(self) -> bool:
        """Tell what there is to be told now. Was there anything?"""
        told = False
        async with self._telling:
            for message in self._messages():
                await self._send(msgspec.json.encode(message).decode())
                told = True
        return told

    def _messages(self) -> Iterator[Any]:
        """What the page does not know. It is as things stand when each is taken."""
        control = self._control
        network = control.shown
        if network is not self._network:
            self._network, self._place = network, 0
            self._told = dict(self._standing(network))
            yield control.hello()
        yield from self._moments(network)
        for key, report in self._standing(network):
            before = self._told.get(key)
            if before != report:
                self._told[key] = report
                same = isinstance(before, ReplicaReport) and before.presents == report.presents
                yield msgspec.structs.replace(report, presents=UNSET) if same else report

    def _standing(self, network: Network) -> Iterator[tuple[str, Any]]:
        """All reports but events, by a key each."""
        for one in network.replicas():
            yield f"replica {one.name}", one
        for link in network.links():
            yield f"link {link.a} {link.b}", link
        yield "verdict", network.verdict()
        yield "lesson", {"type": "lesson", "lesson": self._control.lesson()}

    def _moments(self, network: Network) -> Iterator[Any]:
        """Events and deliveries since the last ones."""
        moments = network.ledger.moments
        while self._place < len(moments):
            if isinstance(first := moments[self._place], Delivered):
                self._place += 1
                yield first
                continue
            events: list[Event] = []
            for moment in moments[self._place : self._place + PORTION]:
                if isinstance(moment, Delivered):
                    break
                events.append(moment)
            self._place += len(events)
            yield {"type": "events", "events": [event.told() for event in events]}
