"""A replica process as its parent sees it: requests, answers, and a sudden end."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

START = 20.0
"""Seconds that a process may take to open its file and listen: many times what it takes."""


LINE = 1 << 26
"""Bytes that a line may have: what a decision records is asked for in one, and a present is told in one."""


class WorkerFailed(Exception):
    """A replica process ended, or answered with an error."""


class Process:
    """One replica of the demo, in a process of its own."""

    def __init__(
        self,
        name: str,
        path: Path,
        seed: int | None = None,
        module: str = "demo.worker",
        hear: Callable[[str, dict[str, Any]], None] = lambda name, told: None,
        options: Sequence[str] = (),
        inherits: Sequence[int] = (),
    ) -> None:
        self.name, self.path, self.seed, self.module, self.hear = name, path, seed, module, hear
        self.options = options
        """What else its command line says when it is started the next time."""
        self.inherits = inherits
        """Open files that it has as well."""
        self.port = 0
        self.started = False
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self.started and self._process.returncode is None

    async def start(self) -> None:
        """Start it, and wait until it listens; on the port that it had before, if it had one."""
        options = [*self.options] if self.seed is None else [*self.options, "--seed", str(self.seed)]
        ready = self._expect(0)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", self.module, str(self.path), self.name, "--port", str(self.port), *options,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=LINE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            pass_fds=self.inherits,
            process_group=0,  # an interrupt at the terminal is for the parent, which ends this in good order
        )  # fmt: skip
        self.started = True
        self._reading = asyncio.create_task(self._read())
        async with asyncio.timeout(START):
            self.port = (await ready)["port"]

    async def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """The answer to one request; WorkerFailed where there is none."""
        if not self.running or self._reading.done():
            raise WorkerFailed(f"{self.name} is down")
        number = next(self._numbers)
        answer = self._expect(number)
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode({"id": number, "do": do, **fields}) + b"\n")
        return await answer

    def kill(self) -> None:
        """SIGKILL: no farewell, no chance to write anything."""
        self._process.kill()

    async def stop(self) -> None:
        """End it in good order, or without order if it does not listen."""
        if self._process.returncode is None and self._process.stdin is not None:
            self._process.stdin.close()
            try:
                async with asyncio.timeout(5):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
        await self.ended()

    async def ended(self) -> None:
        """Wait until it is gone."""
        await self._process.wait()
        await self._reading

    def _expect(self, number: int) -> asyncio.Future[dict[str, Any]]:
        self._waiting[number] = answer = asyncio.get_running_loop().create_future()
        return answer

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            message = msgspec.json.decode(line)
            if "id" not in message:
                self.hear(self.name, message)
                continue
            answer = self._waiting.pop(message["id"])
            if answer.done():
                continue
            if "error" in message:
                answer.set_exception(WorkerFailed(f"{self.name}: {message['error']}"))
            else:
                answer.set_result(message["answer"])
        waiting, self._waiting = self._waiting, {}
        for answer in waiting.values():
            if not answer.done():
                answer.set_exception(WorkerFailed(f"{self.name} ended before it answered"))
                answer.exception()
