"""`python -m demo web`: the network, its page, and nothing left behind."""

from __future__ import annotations

import asyncio
import errno
import secrets
import signal
import sys
import webbrowser
from contextlib import AsyncExitStack

from demo.web.control import Control
from demo.web.janitor import kept
from demo.web.network import NAMES
from demo.web.server import HOST, PageServer, serving

PORT = 8421
"""The port of the page, where it is free and no other one was asked for."""


class PortTaken(Exception):
    """Somebody else listens there."""


async def show(replicas: int, port: int | None, *, browser: bool) -> None:
    """Start the replicas and the page; end them when the terminal is closed or somebody interrupts."""
    ended = asyncio.Event()
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(ending, ended.set)
    async with AsyncExitStack() as stack:
        folder, pipe = await stack.enter_async_context(kept())
        control = Control(folder, pipe)
        stack.push_async_callback(control.stop)
        page = await _page(stack, control, port)
        beginning = asyncio.create_task(control.begin(NAMES[:replicas]))
        waiting = asyncio.create_task(ended.wait())
        await asyncio.wait({beginning, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if ended.is_set():
            beginning.cancel()
            await asyncio.gather(beginning, return_exceptions=True)
            return
        await beginning
        print(f"{replicas} replicas, each a process of its own. Watch them and part them at\n\n    {page.url}\n")
        print("Ctrl-C ends it.", flush=True)
        if browser:
            webbrowser.open(page.url)
        await waiting


async def _page(stack: AsyncExitStack, control: Control, port: int | None) -> PageServer:
    """The page at a port: the one that was asked for, or ours, or any that is free."""
    token = secrets.token_urlsafe(24)
    try:
        return await stack.enter_async_context(serving(control, token, PORT if port is None else port))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        if port is not None:
            raise PortTaken(
                f"port {port} of {HOST} is in use, so nothing was started: name another one, or leave --port out"
            ) from error
    print(f"Port {PORT} is in use; this takes another one.", file=sys.stderr)
    return await stack.enter_async_context(serving(control, token, 0))
