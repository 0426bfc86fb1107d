"""An editing trace, typed into a text: by Anabranch as events, and by pycrdt and loro alone.

Each edit is a transaction (a commit) of its own, and its update is taken out, as somebody would who stores or sends
it. Reading the trace is not timed; in the end the text must be what the trace says.
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
GIVE_UP = 60.0
"""Seconds after which it is left at what was typed until then."""


class TextEdited(Event, frozen=True):
    update: bytes


class Edit(Command, frozen=True):
    at: int
    gone: int
    new: str


class Page(Aggregate):
    """A text."""

    stream = "page"
    events = (TextEdited,)

    text = Text()

    def decide(self, command: Command, given: Any) -> Any:
        match command:
            case Edit(at, gone, new):
                return TextEdited(self.text.replace(at, at + gone, new, given.replica))
        raise NotImplementedError(command)

    def effect(self, event: Any) -> Any:
        return self.text.apply(event.update)


def edits(job: Job) -> tuple[list[trace.Edit], str]:
    """The edits of a job, and the text in the end; `count` bounds them, where it is not 0."""
    found, _ = trace.read(os.environ["BENCH_TRACE"])
    found = found[: job.count or None]
    end = trace.played(found)
    chosen = list(trace.coalesced(found)) if job.option == "coalesced" else found
    assert trace.played(chosen) == end
    return chosen, end


async def anabranch(job: Job) -> Figures:
    """Each edit is decided, folded and durable (FULL); a thousand are under way at a time."""
    todo, end = edits(job)
    path = f"{job.folder}/page.db"
    async with Replica.open(path, store="pages", name="writer", aggregates=[Page]) as replica:
        start = time.perf_counter()
        for at in range(0, len(todo), UNDER_WAY):
            some = todo[at : at + UNDER_WAY]
            await asyncio.gather(*(replica.execute("page/1", Edit(*edit)) for edit in some))
            done, seconds = at + len(some), time.perf_counter() - start
            if seconds > GIVE_UP and done < len(todo):
                return {"us an edit": seconds / done * 1e6, "edits": done}
        page: Page = await replica.present("page/1")
        assert str(page.text) == end
    return {**_figures(seconds, len(todo)), "B an edit": size_of(path) / len(todo)}


def _figures(seconds: float, count: int) -> Figures:
    return {"s": seconds, "us an edit": seconds / count * 1e6, "edits": count}


def _play(todo: list[trace.Edit], put: Callable[[trace.Edit], None]) -> float:
    start = time.perf_counter()
    for edit in todo:
        put(edit)
    return time.perf_counter() - start


def pycrdt(job: Job) -> Figures:
    from pycrdt import Doc
    from pycrdt import Text as Shared

    todo, end = edits(job)
    doc: Any = Doc()
    text, updates = doc.get("text", type=Shared), list[bytes]()
    subscription = doc.observe(lambda event: updates.append(event.update))

    def put(edit: trace.Edit) -> None:
        at, gone, new = edit
        with doc.transaction():
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

    def put(edit: trace.Edit) -> None:
        at, gone, new = edit
        if gone:
            text.delete(at, gone)
        if new:
            text.insert(at, new)
        doc.commit()

    seconds = _play(todo, put)
    assert text.to_string() == end
    updates = doc.export(loro.ExportMode.Updates(loro.VersionVector()))
    return {**_figures(seconds, len(todo)), "B an edit": len(updates) / len(todo)}
