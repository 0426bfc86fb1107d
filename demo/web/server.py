"""The server of the page: some files and one WebSocket, for this machine and this demo alone.

Rule 1. It listens on loopback. A request must name it by a name of loopback (`Host`), so that no page of somebody
        else reaches it by a name that was bent to here; and the feed is opened by its own page alone (`Origin`).
Rule 2. The page and the feed want the token of the address that was printed. It is compared in constant time.
Rule 3. The page may load and run what comes from here, and nothing else. Nobody frames it, and it is not kept.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from importlib.resources import files
from urllib.parse import parse_qs, urlsplit

import msgspec
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from demo.web.control import Control
from demo.web.feed import Feed

log = logging.getLogger("anabranch.demo.web")
HOST = "127.0.0.1"
LARGEST = 1 << 20
"""Bytes of a request: a scenario file is one."""
KINDS = {
    ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8",
}  # fmt: skip
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self' {feed}; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def _pages() -> dict[str, tuple[str, bytes]]:
    """Kind and content of each file of the page, by its path."""
    found = {}
    for file in files("demo.web").joinpath("static").iterdir():
        kind = KINDS.get("." + file.name.rpartition(".")[2])
        if kind is not None:
            found[f"/static/{file.name}"] = found[f"/{file.name}"] = kind, file.read_bytes()
    return found


class PageServer:
    """Answers the page."""

    def __init__(self, control: Control, token: str) -> None:
        self._control, self._token = control, token
        self._pages = _pages()
        self._doing: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/?token={self._token}"

    @property
    def _hosts(self) -> list[str]:
        return [f"{HOST}:{self.port}", f"localhost:{self.port}"]

    # --- what may come in ---

    def check(self, connection: ServerConnection, request: Request) -> Response | None:
        """The answer to a request; None for one that becomes the feed."""
        host = " ".join(request.headers.get_all("Host"))
        if host not in self._hosts:
            return self._refused(HTTPStatus.MISDIRECTED_REQUEST, f"This is {self._hosts[0]}, and nobody else.")
        origins = request.headers.get_all("Origin")
        if any(origin != f"http://{host}" for origin in origins):
            return self._refused(HTTPStatus.FORBIDDEN, "Another page asks, and gets nothing.")
        address = urlsplit(request.path)
        if address.path in ("/", "/feed"):
            given = " ".join(parse_qs(address.query).get("token", []))
            if not hmac.compare_digest(given.encode(), self._token.encode()):
                return self._refused(HTTPStatus.FORBIDDEN, "Open the address that was printed: it has the token.")
        if address.path == "/feed":
            if not origins:
                return self._refused(HTTPStatus.FORBIDDEN, "The feed is for the page.")
            return None
        path = "/index.html" if address.path == "/" else address.path
        if path not in self._pages:
            return self._refused(HTTPStatus.NOT_FOUND, "There is no such file.")
        return self._response(HTTPStatus.OK, *self._pages[path])

    def _refused(self, status: HTTPStatus, words: str) -> Response:
        return self._response(status, KINDS[".txt"], f"{words}\n".encode())

    def _response(self, status: HTTPStatus, kind: str, body: bytes) -> Response:
        headers = Headers({
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Content-Security-Policy": POLICY.format(feed=f"ws://{HOST}:{self.port} ws://localhost:{self.port}"),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Connection": "close",
        })  # fmt: skip
        return Response(status.value, status.phrase, headers, body)

    # --- the feed ---

    async def talk(self, connection: ServerConnection) -> None:
        """Tell one page what there is, and do what it asks."""
        feed = Feed(self._control, connection.send)
        telling = asyncio.create_task(self._tell(connection, feed))
        try:
            async for message in connection:
                task = asyncio.create_task(self._answer(connection, feed, message))
                self._doing.add(task)
                task.add_done_callback(self._doing.discard)
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)

    async def close(self) -> None:
        """Let go what is under way."""
        for task in self._doing:
            task.cancel()
        await asyncio.gather(*self._doing, return_exceptions=True)

    async def _tell(self, connection: ServerConnection, feed: Feed) -> None:
        try:
            await feed.run()
        except ConnectionClosed:
            pass
        except Exception:
            log.exception("the page could not be told what there is")
            await connection.close(1011, "the server failed; its terminal says how")

    async def _answer(self, connection: ServerConnection, feed: Feed, message: str | bytes) -> None:
        """What was asked is done to its end, also for a page that has gone."""
        answer = await self._control.answer(message)
        with suppress(ConnectionClosed):
            await feed.tell()
            await connection.send(msgspec.json.encode(answer).decode())


@asynccontextmanager
async def serving(control: Control, token: str, port: int) -> AsyncIterator[PageServer]:
    """Serve the page for as long as this lasts. OSError where the port is taken; 0 is any free one."""
    page = PageServer(control, token)
    strangers = logging.getLogger("anabranch.demo.web.strangers")
    strangers.setLevel(logging.CRITICAL)  # who calls and hangs up is no news
    async with serve(
        page.talk, HOST, port, process_request=page.check, compression=None, max_size=LARGEST, max_queue=16,
        ping_interval=5, ping_timeout=20, close_timeout=1, server_header=None, logger=strangers,
    ) as listening:  # fmt: skip
        page.port = listening.sockets[0].getsockname()[1]
        try:
            yield page
        finally:
            await page.close()
