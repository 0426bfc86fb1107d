"""The processes that are measured: started, given a time, and ended by their id. Loopback only.

A contender is one process, or a server and a client. Where bytes are counted, a relay stands between the two;
such a run is not timed. Whatever happens, a process that was started here has ended when the call returns.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.job import Figures, Job
from bench.relay import relay

ROOT = Path(__file__).parent.parent
TIMEOUT = 240.0
"""Seconds after which a measurement has failed."""
FAREWELL = 15.0
"""Seconds that a server may take to end and to say what it measured."""


class Failed(Exception):
    """A process did not do what it was started for; what it said last."""


def command(target: str, job: Job) -> list[str]:
    """How a target is run: `package.module:function` here, or `script.mjs mode` by node."""
    if ".mjs" in target:
        script, mode = target.split()
        return ["node", "--max-old-space-size=4096", str(ROOT / "bench" / "node" / script), mode, job.words()]
    return [sys.executable, "-m", "bench.job", target, job.words()]


async def alone(target: str, job: Job) -> Figures:
    """The figures of one process."""
    with TemporaryDirectory() as folder:
        async with _started(target, replace(job, folder=folder)) as process:
            return await _figures(process, target)
    raise AssertionError


async def pair(server: str, client: str, job: Job, counted: bool = False) -> tuple[Figures, Figures]:
    """The figures of a server and of its client; with `counted`, the client's `wire` is the bytes between them."""
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        async with _started(server, replace(job, folder=one)) as serving:
            ready = await _figures(serving, server)
            async with relay(ready["port"]) as between:
                port = between.port if counted else ready["port"]
                async with _started(client, replace(job, folder=other, port=port, ready=ready)) as visiting:
                    found = await _figures(visiting, client)
                    if "lingers" not in found:
                        await _ended(visiting)
                    _tell(serving)
                    served = await _figures(serving, server)
                    if "lingers" in found:
                        _tell(visiting)
                        found = await _figures(visiting, client)
            return served, {**found, "wire": between.bytes} if counted else found
    raise AssertionError


@asynccontextmanager
async def _started(target: str, job: Job) -> AsyncIterator[asyncio.subprocess.Process]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command(target, job), stdin=pipe, stdout=pipe, stderr=pipe, cwd=ROOT, limit=1 << 26
    )
    patience = 0.5
    try:
        yield process
        patience = FAREWELL
    finally:
        _tell(process)
        await _ended(process, patience)
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _ended(process: asyncio.subprocess.Process, patience: float = FAREWELL) -> None:
    """Wait until a process has ended, or for so long."""
    ending = asyncio.ensure_future(process.wait())
    await asyncio.wait((ending,), timeout=patience)
    ending.cancel()


def _tell(process: asyncio.subprocess.Process) -> None:
    """Tell a process that it may end."""
    assert process.stdin is not None
    process.stdin.close()


async def _figures(process: asyncio.subprocess.Process, target: str, timeout: float = TIMEOUT) -> Figures:
    """The next line of figures that a process says. (Some libraries print words of their own.)"""
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(timeout):
            async for line in process.stdout:
                if line.startswith(b"{"):
                    figures: Figures = json.loads(line)
                    return figures
            words = (await process.stderr.read()).decode(errors="replace").strip()
    except TimeoutError:
        raise Failed(f"{target} took more than {timeout:g} s") from None
    except ValueError as error:
        raise Failed(f"{target} did not say all that it measured: {error}") from None
    raise Failed(f"{target}: {' / '.join(words.splitlines()[-3:]) or 'it ended without a word'}")
