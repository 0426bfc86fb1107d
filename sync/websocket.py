"""Replicas over websockets: `serve` answers, `connect` calls, and calls again. One frame, one message.

Safe where nothing is said:
- `serve` listens on loopback. Off loopback it asks for TLS.
- A request with an `Origin` (a page in a browser) is refused unless that origin is listed.
- A `token`, if there is one, goes in a header and is compared in constant time.
- Frames are at most 2 MiB, nothing is compressed, and every buffer is bounded.
- A dead link is noticed within 5 s: a ping every 2, 2 to answer it, 1 to close.

`connect` uses the reconnecting iterator of the websockets library, which waits longer after each failure.
What cannot change by waiting (another store, another format, a wrong token) ends the link, and says so.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from ipaddress import ip_address
from ssl import SSLContext
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio import client, server
from websockets.asyncio.connection import Connection
from websockets.client import backoff, process_exception
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException
from websockets.frames import Close, CloseCode
from websockets.http11 import Request, Response
from websockets.typing import Origin

from merge.version import printable
from replica.replica import Replica
from sync.channel import ChannelClosed
from sync.conversation import HANDSHAKE, converse
from sync.discreet import logger, without_secrets
from sync.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from sync.gate import Gates
from sync.link import Link, LinkStatus
from sync.message import MAX_FRAME

log = logging.getLogger("anabranch.sync")

MAX_LINKS = 1024
"""Connections that a server holds at once: each costs a few buffers and one comparison every 2 s."""
ENDED = 64
"""Links that a server remembers after they have ended."""
PAUSE = 5.0
"""Seconds before a peer that broke a rule is called again."""
STEADY = 10.0
"""Seconds after which a session counts as one that worked: what ends sooner is dialled again ever more slowly."""
FINAL = frozenset({"store", "format", "self", "token", "origin"})
"""Faults that waiting does not mend."""

BOUNDS: dict[str, Any] = {
    "compression": None,
    "max_size": MAX_FRAME,
    "max_queue": 16,
    "write_limit": 1 << 18,
    "ping_interval": 2.0,
    "ping_timeout": 2.0,
    "close_timeout": 1.0,
    "open_timeout": 5.0,
    "logger": logger,
}
_delays = partial(backoff, initial_delay=0.2, min_delay=0.2, max_delay=10.0)


class WebsocketChannel:
    """A channel over one websocket."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def send(self, frame: bytes) -> None:
        try:
            await self._connection.send(frame)
        except ConnectionClosed as closed:
            raise _closed(closed) from closed

    async def receive(self) -> bytes:
        try:
            return await self._connection.recv(decode=False)
        except ConnectionClosed as closed:
            raise _closed(closed) from closed

    async def close(self) -> None:
        await self._connection.close()


def _closed(closed: ConnectionClosed) -> ChannelClosed:
    """What the end of a connection means for the session on it: whoever found a fault says which."""
    error: ProtocolError | None = None
    if closed.sent is not None and closed.sent.code in _FAULTS and not closed.rcvd_then_sent:
        kind, what = _FAULTS[closed.sent.code]
        error = RemoteProtocolError(kind, f"the peer sent {what}: {_reason(closed.sent)}")
    elif closed.rcvd is not None and closed.rcvd.code in _FAULTS:
        kind, what = _FAULTS[closed.rcvd.code]
        error = LocalProtocolError(kind, f"the peer says that this side sent {what}: {_reason(closed.rcvd)}")
    return ChannelClosed(str(closed), error)


_FAULTS: dict[int, tuple[str, str]] = {
    CloseCode.MESSAGE_TOO_BIG: ("too-large", "a message that is over the limits"),
    CloseCode.PROTOCOL_ERROR: ("unreadable", "what breaks the rules of websockets"),
    CloseCode.INVALID_DATA: ("unreadable", "text that is no UTF-8"),
}
"""What ends a connection because one side did what it must not."""


def _reason(close: Close) -> str:
    """Why one side closed, in its own words."""
    return printable(close.reason) or "it does not say which"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Server:
    """A listening replica: its address, and the links that are up."""

    def __init__(self, replica: Replica, token: str | None, max_links: int, handshake: float) -> None:
        self._replica, self._token, self._max_links, self._handshake = replica, token, max_links, handshake
        self.host, self.port, self.url = "", 0, ""
        self.links: list[Link] = []
        self.ended: deque[LinkStatus] = deque(maxlen=ENDED)
        """The latest links that have ended with a fault."""
        self.refused = 0
        """Requests that did not become a link: a wrong token, a foreign origin, too many links."""

    async def _handle(self, connection: server.ServerConnection) -> None:
        link = Link("{}:{}".format(*connection.remote_address[:2]))
        self.links.append(link)
        try:
            await converse(self._replica, WebsocketChannel(connection), link, handshake=self._handshake)
        finally:
            self.links.remove(link)
            link.ended = True
            if link.error is not None:
                log.warning("%s: the link from %s ended: %s", self._replica.name, link.where, link.error)
                self.ended.append(link.status())

    def _check(self, connection: server.ServerConnection, request: Request) -> Response | None:
        """Refuse a request, or let it become a link."""
        if self._token is not None:
            given = " ".join(request.headers.get_all("Authorization"))
            if not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
                self.refused += 1
                return connection.respond(HTTPStatus.UNAUTHORIZED, "The token is missing or wrong.\n")
        if self._replica.closed:
            self.refused += 1
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "The replica is closed.\n")
        if len(self.links) >= self._max_links:
            self.refused += 1
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "Too many links.\n")
        return None

    def _count(self, connection: server.ServerConnection, request: Request, response: Response) -> None:
        if response.status_code == HTTPStatus.FORBIDDEN:
            self.refused += 1


@asynccontextmanager
async def serve(
    replica: Replica,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    token: str | None = None,
    origins: Sequence[str] = (),
    ssl: SSLContext | None = None,
    insecure: bool = False,
    max_links: int = MAX_LINKS,
    handshake: float = HANDSHAKE,
) -> AsyncIterator[Server]:
    """Answer peers for as long as this lasts. Port 0 picks a free one: see `Server.port`.

    Listening elsewhere than on loopback asks for `ssl`; `insecure=True` says that something below (a VPN) keeps
    the link private. `handshake` is how long (s) a peer may take to say what it holds.
    """
    replica.check_loop()
    if ssl is None and not insecure and not _is_loopback(host):
        raise ValueError(
            f"listening on {host} without TLS would show the whole store to its network. Pass `ssl=` a context, "
            "listen on 127.0.0.1, or say `insecure=True` if a VPN keeps the link private. Nothing was started."
        )
    _check_token(token)
    here = Server(replica, token, max_links, handshake)
    async with server.serve(
        here._handle,
        host,
        port,
        ssl=ssl,
        origins=[None, *(Origin(origin) for origin in origins)],
        process_request=here._check,
        process_response=here._count,
        **BOUNDS,
    ) as listening:
        here.host = host
        here.port = listening.sockets[0].getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        here.url = f"{'ws' if ssl is None else 'wss'}://{shown}:{here.port}"
        yield here


@asynccontextmanager
async def connect(
    replica: Replica,
    url: str,
    *,
    token: str | None = None,
    ssl: SSLContext | None = None,
    insecure: bool = False,
    gates: Gates | None = None,
    handshake: float = HANDSHAKE,
) -> AsyncIterator[Link]:
    """Keep a link to the peer at `url` (ws:// or wss://) for as long as this lasts, dialling as often as needed.

    A token is never sent in the clear off loopback, unless `insecure=True` says that a VPN keeps it private.
    """
    replica.check_loop()
    _check_token(token)
    link = Link(_checked(url, ssl, insecure))
    dialling = asyncio.create_task(
        _dial(replica, link, url, token, ssl, gates, handshake), name=f"link to {link.where}"
    )
    try:
        yield link
    finally:
        dialling.cancel()
        await asyncio.gather(dialling, return_exceptions=True)


def _checked(url: str, ssl: SSLContext | None, insecure: bool) -> str:
    """The address of a peer as it is shown: without what a query may hide. ValueError where it is none."""
    try:
        parts = urlsplit(url)
        host, user, password = parts.hostname, parts.username, parts.password
        wrong = parts.scheme not in ("ws", "wss") or not host or parts.port == 0
    except ValueError:
        host, user, password, wrong = "", "@" if "@" in url else None, None, True
    if user is not None or password is not None:
        raise ValueError("an address of a peer carries no user and no password: pass `token=`. Nothing was sent.")
    shown = url.split("?", 1)[0]
    if wrong or not host:
        raise ValueError(
            f"{shown!r} is no address of a peer: it begins with ws:// or wss://, and names a host, and a port "
            "from 1 to 65535. Nothing was sent."
        )
    if ssl is not None and parts.scheme == "ws":
        raise ValueError(f"`ssl=` was given for {shown}, which is in the clear: use wss://. Nothing was sent.")
    if parts.scheme == "ws" and not insecure and not _is_loopback(host):
        raise ValueError(
            f"{shown} would send the store in the clear. Use wss://, or say `insecure=True` if a VPN keeps the "
            "link private. Nothing was sent."
        )
    return shown


def _check_token(token: str | None) -> None:
    """A token that a header can carry as it is, or ValueError."""
    if token is not None and (
        not token or not token.isascii() or not token.isprintable() or token != token.strip()
    ):
        raise ValueError("a token is printable ASCII, not empty, without spaces around it. Nothing was started.")


class _Connect(client.connect):
    """The library's reconnecting iterator; it goes where it was told, and nowhere that somebody redirects it to."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def _dial(
    replica: Replica,
    link: Link,
    url: str,
    token: str | None,
    ssl: SSLContext | None,
    gates: Gates | None,
    handshake: float,
) -> None:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    tls: dict[str, Any] = {} if ssl is None else {"ssl": ssl}

    def failed(error: Exception) -> Exception | None:
        """Remember why the peer cannot be reached; None: try again."""
        final = process_exception(error)
        if final is None:
            link.trouble = without_secrets(f"{type(error).__name__}: {error}")
        return final

    try:
        while not link.ended:
            try:
                await _call(replica, link, url, headers, tls, gates, handshake, failed)
            except InvalidStatus as refused:
                link.error = _refusal(link.where, refused)
                link.ended = link.error.kind in FINAL
            except (InvalidHandshake, WebSocketException) as error:
                words = without_secrets(str(error))
                link.error = RemoteProtocolError("handshake", f"{link.where} does not answer as a replica: {words}")
            except Exception as error:
                log.exception("%s: the link to %s failed", replica.name, link.where)
                link.error = LocalProtocolError("internal", f"{type(error).__name__}: {error}")
            if link.error is not None:
                log.warning("%s: the link to %s ended: %s", replica.name, link.where, link.error)
                link.ended = link.ended or link.error.kind in FINAL or replica.closed
            if not link.ended:
                await asyncio.sleep(PAUSE)
    finally:
        link.ended = True


async def _call(
    replica: Replica,
    link: Link,
    url: str,
    headers: dict[str, str],
    tls: dict[str, Any],
    gates: Gates | None,
    handshake: float,
    failed: Callable[[Exception], Exception | None],
) -> None:
    """Hold one session after the other, until one ends by a fault."""
    delays = _delays()
    loop = asyncio.get_running_loop()
    if gates is not None:
        await gates.healed()
    async for connection in _Connect(
        url,
        additional_headers=headers,
        process_exception=failed,
        reconnect_delays=_delays,
        proxy=None,
        **tls,
        **BOUNDS,
    ):
        link.trouble = None
        begun = loop.time()
        await converse(replica, WebsocketChannel(connection), link, gates, handshake)
        if link.error is not None:
            return
        if loop.time() - begun >= STEADY:
            delays = _delays()
        await asyncio.sleep(next(delays))
        if gates is not None:
            await gates.healed()


def _refusal(where: str, refused: InvalidStatus) -> ProtocolError:
    match refused.response.status_code:
        case HTTPStatus.UNAUTHORIZED:
            return LocalProtocolError("token", f"{where} asks for another token")
        case HTTPStatus.FORBIDDEN:
            return LocalProtocolError("origin", f"{where} does not take requests from this origin")
        case status:
            return RemoteProtocolError("handshake", f"{where} answered with HTTP status {status}")
