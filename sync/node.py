"""A node: a replica with its links, opened and closed as one.

async with Node.open("alice.db", store="shop", name="alice", aggregates=[ShoppingList], port=7001,
                     peers=["ws://127.0.0.1:7002"]) as node:
    await node.replica.execute("list/home", AddItem("milk"))
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any

from replica.decider import Decider
from replica.files import MEMORY
from replica.replica import Replica
from replica.status import Status
from sync.gate import Gates
from sync.link import Link, LinkStatus
from sync.websocket import Server, connect, serve


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """How a node is."""

    replica: Status
    url: str | None
    """Where it listens, if it does."""
    links: tuple[LinkStatus, ...]
    """Links that this node dials, then those that others dialled."""
    ended: tuple[LinkStatus, ...]
    """The latest links from others that ended with a fault."""
    refused: int
    """Requests that did not become a link."""


class Node:
    """A replica with its links. Open it with `async with Node.open(...)`."""

    def __init__(self, replica: Replica, token: str | None, tls: dict[str, Any]) -> None:
        self.replica = replica
        self.server: Server | None = None
        self.links: dict[str, Link] = {}
        """The links that this node dials, by address."""
        self._token, self._tls = token, tls
        self._stack = AsyncExitStack()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        path: str | os.PathLike[str] = MEMORY,
        *,
        store: str | None = None,
        name: str | None = None,
        aggregates: Iterable[type[Decider]],
        host: str = "127.0.0.1",
        port: int | None = None,
        peers: Sequence[str] = (),
        token: str | None = None,
        origins: Sequence[str] = (),
        server_ssl: SSLContext | None = None,
        client_ssl: SSLContext | None = None,
        insecure: bool = False,
        **options: Any,
    ) -> AsyncIterator[Node]:
        """Open a replica, listen where `port` is given (0: any free one), and dial the peers.

        Further options go to `Replica.open`; the rest is as for `serve` and `connect`.
        """
        async with Replica.open(path, store=store, name=name, aggregates=aggregates, **options) as replica:
            node = cls(replica, token, {"ssl": client_ssl, "insecure": insecure})
            async with node._stack:
                if port is not None:
                    node.server = await node._stack.enter_async_context(
                        serve(replica, host, port, token=token, origins=origins, ssl=server_ssl, insecure=insecure)
                    )
                for url in peers:
                    await node.dial(url)
                yield node

    async def dial(self, url: str, gates: Gates | None = None) -> Link:
        """Keep a link to the peer at `url` for as long as the node is open."""
        if url in self.links:
            raise ValueError(f"{url.split('?', 1)[0]} is dialled already")
        link = await self._stack.enter_async_context(
            connect(self.replica, url, token=self._token, gates=gates, **self._tls)
        )
        self.links[url] = link
        return link

    def status(self) -> NodeStatus:
        """How the replica and its links are, as one frozen value."""
        server = self.server
        links = [*self.links.values(), *(server.links if server else ())]
        return NodeStatus(
            self.replica.status(),
            server.url if server else None,
            tuple(link.status() for link in links),
            tuple(server.ended) if server else (),
            server.refused if server else 0,
        )
