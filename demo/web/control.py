"""What the page asks for, done: to the network, or to the lesson that is played.

Rule 1. What changes the network is done one after the other; what reads it, and what replicas decide, at once.
Rule 2. The network goes on while a lesson is played, unseen. A lesson is watched and stepped, and not meddled with:
        what must hold of it was said of the scenario as it stands.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from demo.party import STREAM
from demo.process import WorkerFailed
from demo.web import contract as say
from demo.web.lessons import OFFERED, Playing, chosen
from demo.web.network import Impossible, Network, words
from replica.app import NoSuchApp
from replica.scenario import ScenarioError

log = logging.getLogger("anabranch.demo.web")
APP = ("demo.party:Party", "demo.shop")
READING = (say.Explain, say.At)
LESSONS = (say.Play, say.Next, say.Stop)
REFUSED = (Impossible, WorkerFailed, ScenarioError, NoSuchApp)
"""What is answered in its own words."""
_request = msgspec.json.Decoder(say.AnyRequest)


class Control:
    """The network of the page, and its lessons."""

    def __init__(self, folder: Path, pipe: int) -> None:
        self._folder, self._pipe = folder, pipe
        self._parts = 0
        self._changing = asyncio.Lock()
        self._hearers: set[Callable[[], None]] = set()
        self._network = Network(self._room(), APP, self.changed, pipe)
        self._playing: Playing | None = None
        self._orders = 0

    def _room(self) -> Path:
        """A new folder for a network."""
        self._parts += 1
        room = self._folder / str(self._parts)
        room.mkdir()
        return room

    # --- what is shown ---

    @property
    def shown(self) -> Network:
        """The network that the page shows."""
        return self._network if self._playing is None else self._playing.network

    def lesson(self) -> say.LessonReport | None:
        return None if self._playing is None else self._playing.report()

    def hello(self) -> say.Hello:
        network = self.shown
        return say.Hello(network.replicas(), network.links(), OFFERED, self.lesson(), network.verdict())

    def changed(self) -> None:
        """Tell whoever shows it that there is news."""
        for hearer in self._hearers:
            hearer()

    def hear(self, hearer: Callable[[], None]) -> Callable[[], None]:
        """Call back when there is news; returns how to stop that."""
        self._hearers.add(hearer)
        return lambda: self._hearers.discard(hearer)

    # --- what is asked ---

    async def begin(self, names: tuple[str, ...]) -> None:
        await self._network.grow(*names)

    async def stop(self) -> None:
        """End all processes."""
        async with self._changing:
            await self._leave()
            await self._network.stop()

    async def answer(self, text: str | bytes) -> dict[str, Any]:
        """Do what a request says; its answer, or why not."""
        try:
            request = _request.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return {"type": "answer", "id": _number(text), "error": f"this is no request: {error}"}
        try:
            done = await self._do(request)
        except REFUSED as refused:
            return {"type": "answer", "id": request.id, "error": str(refused)}
        except Exception as error:
            log.exception("%s was not done", request)
            return {"type": "answer", "id": request.id, "error": f"{type(error).__name__}: {error}"}
        finally:
            self.changed()
        return {"type": "answer", "id": request.id, "answer": done}

    async def _do(self, request: say.AnyRequest) -> dict[str, Any]:
        if isinstance(request, READING):
            return await self._read(request)
        if isinstance(request, LESSONS):
            async with self._changing:
                return await self._teach(request)
        if self._playing is not None:
            raise Impossible("a lesson is being played, and goes its own way: leave it first")
        if isinstance(request, say.Write | say.Restore):
            return await self._write(request)
        async with self._changing:
            return await self._change(request)

    async def _read(self, request: say.Explain | say.At) -> dict[str, Any]:
        network = self.shown
        if isinstance(request, say.Explain):
            return await network.ask(request.replica, "explain", stream=request.stream, path=request.path)
        network.up(request.replica)
        past, index, of = network.ledger.past(request.replica, request.index)
        return {"index": index, "of": of, **await network.ask(request.replica, "at", cut=words(past))}

    async def _write(self, request: say.Write | say.Restore) -> dict[str, Any]:
        network = self._network
        if isinstance(request, say.Restore):
            return await network.ask(request.replica, "restore", dot=request.dot)
        stream = request.stream or STREAM
        if request.command == "CreateOrder" and not request.stream:
            self._orders += 1
            stream = f"order/o{self._orders}"
        return {"dots": await network.write_now(request.replica, stream, request.command, request.fields)}

    async def _change(self, request: say.AnyRequest) -> dict[str, Any]:
        network = self._network
        match request:
            case say.SetLink(a=a, b=b, state=state):
                await network.set_link(a, b, state)
            case say.Split():
                await network.split()
            case say.Isolate(replica=name):
                network.known(name)
                await network.set_links(lambda a, b: name in (a, b), "down")
            case say.Heal():
                await network.set_links(lambda a, b: True, "up")
            case say.Kill(replica=name):
                await network.kill(name)
            case say.Restart(replica=name):
                await network.restart(name)
            case say.Add():
                return {"replica": await network.add()}
            case say.Fork(replica=name, index=index):
                return {"replica": await network.fork_at(name, index)}
            case say.Join(replica=name, into=into):
                return {"events": await network.join(name, into)}
        return {}

    async def _teach(self, request: say.Play | say.Next | say.Stop) -> dict[str, Any]:
        if isinstance(request, say.Play):
            lesson = chosen(request.name, request.scenario)
            room = self._room()
            try:
                playing = Playing(lesson, room, self.changed, self._pipe)
            except Exception:
                room.rmdir()
                raise
            await self._leave()
            self._playing = playing
            try:
                await playing.begin()
            except BaseException:
                await self._leave()
                raise
        elif self._playing is None:
            raise Impossible("no lesson is being played")
        elif isinstance(request, say.Next):
            await self._playing.next()
        else:
            await self._leave()
        return {}

    async def _leave(self) -> None:
        """End the lesson that is played, if one is."""
        playing, self._playing = self._playing, None
        if playing is not None:
            await playing.network.stop()
            shutil.rmtree(playing.network.folder)


def _number(text: str | bytes) -> int:
    """The number of what is no request, if it has one."""
    try:
        return msgspec.json.decode(text, type=_Numbered).id
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 0


class _Numbered(msgspec.Struct):
    id: int = 0
