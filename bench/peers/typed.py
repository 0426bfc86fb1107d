"""An editing trace, typed into a text: by Anabranch as events, and by pycrdt and loro alone.

Each edit is a transaction (a commit) of its own, and its update is taken out, as somebody would who stores or
sends it. Reading the trace is not timed; in the end the text must be what the trace says.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any

from bench import trace
from bench.job import Figures, Job, size_of
from merge import Text
from replica import Aggregate, Command, Event, Replica

UNDER_WAY = 1000
TOGETHER = 40
"""Keystrokes that are recorded at once where they are coalesced: what is typed in some seconds."""
GIVE_UP = 60.0
"""Seconds after which it is left at what was typed until then."""


class TextEdited(Event, frozen=True):
    update: bytes


class Type(Command, frozen=True):
    """What was typed since the last one: keystrokes as (start, stop, text)."""

    strokes: tuple[tuple[int, int, str], ...]


class Page(Aggregate):
    """A text."""

    stream = "page"
    events = (TextEdited,)

    text = Text()

    def decide(self, command: Command, given: Any) -> Any:
        match command:
            case Type(((start, stop, new),)):
                return TextEdited(self.text.replace(start, stop, new, given.replica))
            case Type(strokes):
                update = self.text.edit(strokes, given.replica)
                return TextEdited(update) if update is not None else ()
        raise NotImplementedError(command)

    def effect(self, event: Any) -> Any:
        return self.text.apply(event.update)


def edits(job: Job) -> tuple[list[list[trace.Edit]], str]:
    """Keystrokes in the parts that are recorded at once, and the text in the end; `count` bounds them, unless it
    is 0.
    """
    found, _ = trace.read(os.environ["BENCH_TRACE"])
    found = found[: job.count or None]
    size = TOGETHER if job.option == "coalesced" else 1
    return [found[at : at + size] for at in range(0, len(found), size)], trace.played(found)


async def anabranch(job: Job) -> Figures:
    """Each part is decided, folded and durable (FULL); a thousand are under way at a time."""
    parts, end = edits(job)
    todo = [Type(tuple((at, at + gone, new) for at, gone, new in part)) for part in parts]
    path = f"{job.folder}/page.db"
    async with Replica.open(path, store="pages", name="writer", aggregates=[Page]) as replica:
        start = time.perf_counter()
        for at in range(0, len(todo), UNDER_WAY):
            some = todo[at : at + UNDER_WAY]
            await asyncio.gather(*(replica.execute("page/1", command) for command in some))
            done, seconds = at + len(some), time.perf_counter() - start
            if seconds > GIVE_UP and done < len(todo):
                return {"us an edit": seconds / done * 1e6, "edits": done}
        page: Page = await replica.present("page/1")
        assert str(page.text) == end
    return {**_figures(seconds, len(todo)), "B an edit": size_of(path) / len(todo)}


def _figures(seconds: float, count: int) -> Figures:
    return {"s": seconds, "us an edit": seconds / count * 1e6, "edits": count}


def _play(parts: list[list[trace.Edit]], put: Callable[[list[trace.Edit]], None]) -> float:
    start = time.perf_counter()
    for part in parts:
        put(part)
    return time.perf_counter() - start


def pycrdt(job: Job) -> Figures:
    from pycrdt import Doc
    from pycrdt import Text as Shared

    todo, end = edits(job)
    doc: Any = Doc()
    text, updates = doc.get("text", type=Shared), list[bytes]()
    subscription = doc.observe(lambda event: updates.append(event.update))

    def put(part: list[trace.Edit]) -> None:
        with doc.transaction():
            for at, gone, new in part:
                if gone:
                    del text[at : at + gone]
                if new:
                    text.insert(at, new)

    seconds = _play(todo, put)
    doc.unobserve(subscription)
    assert str(text) == end
    return {**_figures(seconds, len(todo)), "B an edit": sum(map(len, updates)) / len(todo)}


def loro(job: Job) -> Figures:
    import loro

    todo, end = edits(job)
    doc = loro.LoroDoc()
    text = doc.get_text("text")

    def put(part: list[trace.Edit]) -> None:
        for at, gone, new in part:
            if gone:
                text.delete(at, gone)
            if new:
                text.insert(at, new)
        doc.commit()

    seconds = _play(todo, put)
    assert text.to_string() == end
    updates = doc.export(loro.ExportMode.Updates(loro.VersionVector()))
    return {**_figures(seconds, len(todo)), "B an edit": len(updates) / len(todo)}
