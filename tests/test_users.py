"""A fuzzer of users: code that raises, hangs, changes what it is given, and returns nonsense, everywhere.

Each example opens a replica with one or two callbacks that misbehave, uses it, and opens it again with good code.
What a caller sees is an error of ours, a TypeError, a ValueError, or what its own code has raised. The log is
whole, `verify` finds nothing, and the next session reads what the events in the log come to, and takes more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merge import NOTHING, AWSet, LWWRegister
from replica import (
    Addressed,
    Aggregate,
    AnabranchError,
    Command,
    Event,
    EventRows,
    Feed,
    Ordered,
    Replica,
    StreamRows,
    reaction,
)
from replica.backend import MemoryBackend
from replica.memory import MemoryLog
from tests.loop import in_loop

LOOSE: Any = [1]
LOOSE.append(LOOSE)


class Mischief(Exception):
    """What a user's code raises."""


class Panic(BaseException):
    """What compiled code raises: no Exception."""


class Said(Event):
    text: str
    tags: list[str] = []


class Say(Command):
    text: str


class Odd(msgspec.Struct):
    """An object that can be changed."""

    x: Any = None


Deed = Callable[..., Any]
"""Takes what does it right, and its arguments."""


def raises(error: Any) -> Deed:
    def deed(right: Any, *args: Any) -> Any:
        raise error

    return deed


def returns(value: Any) -> Deed:
    return lambda right, *args: value


def breaks_off(right: Any, *args: Any) -> Iterator[Any]:
    """A generator that raises half way."""
    yield Said("half")
    raise Mischief


def changes(right: Any, *args: Any) -> Any:
    """Changes whatever it is given, as far as it can."""
    for arg in args:
        for thing in (arg, getattr(arg, "state", None), getattr(arg, "event", None), getattr(arg, "tags", None)):
            for change in (
                lambda x: x.clear(), lambda x: x.append("x"), lambda x: x.update(x=1), lambda x: x.tags.append("x"),
                lambda x: setattr(x, "state", {"x": 1}), lambda x: setattr(x, "said", 1), lambda x: x.pop(),
                lambda x: setattr(x, "version", NOTHING), lambda x: setattr(x, "text", "x"),
            ):  # fmt: skip
                with contextlib.suppress(Exception):
                    done = change(thing)
                    if asyncio.iscoroutine(done):
                        done.close()
    return right(*args)


DEEDS: list[Deed] = [
    *map(raises, [
        Mischief(), KeyError("x"), RecursionError(), StopIteration(), Panic(), MemoryError(),
        asyncio.CancelledError(), GeneratorExit(), msgspec.ValidationError("x"),
    ]),
    *map(returns, [
        None, "x", b"x", 1, -1, 2**70, float("nan"), float("inf"), True, object(), int, LOOSE, {}, {1: {}}, [None],
        [[1]], ["x"] * 5_000, Odd(), [Odd()], Said(5), Said("\ud800"), [Said("x")] * 5_000, Say("x"), Said,
        Addressed("nobody/1", Said("x")), Addressed(5, Said("x")), (Said("x"), None),
    ]),
    breaks_off, changes, changes,
]  # fmt: skip
CALLBACKS = (
    "decide", "effect", "evolve", "initial", "due", "of_event", "of_stream", "upcaster", "react", "deliver",
    "clock", "random", "listener",
)  # fmt: skip
HANGS = ("react", "deliver")
"""These may wait for ever; what is called in a step may not wait at all."""


async def hang(right: Any, *args: Any) -> None:
    await asyncio.Event().wait()


class Chance(Random):
    """Chance that may misbehave."""

    deed: Any = None

    def getrandbits(self, bits: int) -> Any:
        right = super().getrandbits
        return right(bits) if self.deed is None else self.deed(right, bits)


def code(bad: dict[str, Deed]) -> dict[str, Any]:
    """What a replica is opened with, where some callbacks misbehave."""

    def call(name: str, right: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, *args: bad[name](right, self, *args) if name in bad else right(self, *args)

    upcasters = {} if "upcaster" not in bad else {1: lambda plain: bad["upcaster"](lambda given: given, plain)}
    said = type(Event)(
        "Said", (Said,), {"schema": 1 + len(upcasters), "upcasters": upcasters, "__module__": __name__}
    )
    shared = {
        "events": (said,), "decide": call("decide", lambda self, command, given: said(command.text, ["t"])),
        "due": call("due", lambda self: ()),
    }  # fmt: skip
    effect = call("effect", lambda self, event: [self.said.add(event.text), self.last.write(event.tags)])
    lattices = {"said": AWSet[str](), "last": LWWRegister[Any]()}
    words = type(Aggregate)("Words", (Aggregate,), {"stream": "words", **shared, **lattices, "effect": effect})
    evolve = call("evolve", lambda self, state, event, moment: {**state, event.text: [*event.tags]})
    lines = type(Ordered)(
        "Lines", (Ordered,),
        {"stream": "lines", **shared, "initial": call("initial", lambda self: {}), "evolve": evolve},
    )  # fmt: skip
    by_event = type(EventRows)(
        "ByEvent", (EventRows,), {"table": "by_event", "columns": {"text": str}, "events": (said,),
        "rows": call("of_event", lambda self, entry: [(entry.event.text,)])},
    )  # fmt: skip
    by_stream = type(StreamRows)(
        "ByStream", (StreamRows,), {"table": "by_stream", "columns": {"text": str}, "of": lines,
        "rows": call("of_stream", lambda self, present: [(text,) for text in present.state])},
    )  # fmt: skip

    async def right(*args: Any) -> None:
        """Nothing goes out."""

    async def react(entry: Any, replica: Any) -> None:
        done = bad["react"](right, entry, replica) if "react" in bad else None
        if asyncio.iscoroutine(done):
            await done

    async def deliver(entries: Any) -> None:
        done = bad["deliver"](right, entries) if "deliver" in bad else None
        if asyncio.iscoroutine(done):
            await done

    now = iter(range(1_000, 1_000_000))
    chance = Chance(7)
    chance.deed = bad.get("random")
    return {
        "aggregates": [words, lines], "projections": [by_event, by_stream],
        "reactions": [reaction(said, name="react", tries=2, first=0.001)(react)],
        "feeds": [Feed("feed", deliver, first=0.001)], "random": chance,
        "clock": lambda: bad["clock"](lambda: next(now)) if "clock" in bad else next(now),
    }  # fmt: skip


def is_told(raised: BaseException) -> bool:
    """An error of ours, in words of ours, or of the kinds that Python has for wrong values; or the user's own."""
    if isinstance(raised, BaseExceptionGroup):
        return all(map(is_told, raised.exceptions))
    own = (Mischief, Panic, RecursionError, MemoryError, KeyError, msgspec.ValidationError, GeneratorExit)
    return isinstance(raised, (AnabranchError, TypeError, ValueError, *own)) or "the code raised" in str(raised)


async def attempt(doing: Any) -> None:
    """Do it; what it raises must be such as a user can read."""
    try:
        async with asyncio.timeout(10):
            await doing
    except asyncio.CancelledError:
        pass  # raised by the user's own code: nobody has cancelled this
    except BaseException as raised:
        if not is_told(raised):
            raise AssertionError(f"a user is told {type(raised).__name__}: {raised}") from raised


async def use(replica: Replica, texts: list[str]) -> None:
    """What programs do with a replica."""
    for at, text in enumerate(texts):
        for stream in ("words/1", "lines/1"):
            await attempt(replica.execute(stream, Say(text), command_id=f"{text} {at}" if at % 2 else None))
            await attempt(replica.append(stream, replica.core.aggregates[stream[:5]].events[0](text)))
            await attempt(replica.present(stream))
    await asyncio.sleep(0.003)
    replica.status()


async def misuse(log: MemoryLog, bad: dict[str, Deed], texts: list[str]) -> None:
    """A session with code that misbehaves."""
    opened = Replica.open(store="s", name="alice", backend=MemoryBackend(log), **code(bad))

    async def session() -> None:
        async with opened as alice:
            if "listener" in bad:
                alice.listen(lambda settled: bad["listener"](lambda given: None, settled))
            await use(alice, texts)

    await attempt(session())


async def judge(log: MemoryLog) -> None:
    """A session with good code: what stands in the log is what it reads, and it takes more."""
    async with Replica.open(store="s", name="alice", backend=MemoryBackend(log), **code({})) as alice:
        await alice.built()
        for stream in ("words/1", "lines/1"):
            await alice.append(stream, alice.core.aggregates[stream[:5]].events[0]("more", ["m"]))
        said = [one.fields async for one in alice.history("words/1")]
        assert (await alice.present("words/1")).said == {one["text"] for one in said}
        assert (await alice.present("words/1")).last == said[-1]["tags"]
        lines = [one.fields async for one in alice.history("lines/1")]
        expected = {one["text"]: one["tags"] for one in lines}
        assert (await alice.present("lines/1")).state == expected
        assert sorted(row[2] for row in await alice.rows("by_stream")) == sorted(expected)
        assert len(await alice.rows("by_event")) == len(said) + len(lines)
        found = await alice.verify()
        assert not found.differences, found
        status = alice.status()
        assert not status.poisoned
        assert {one.state for one in status.projections} == {"live"}


@settings(max_examples=20, deadline=None)
@given(
    st.dictionaries(st.sampled_from(CALLBACKS), st.sampled_from(DEEDS), min_size=1, max_size=2),
    st.sampled_from([None, *HANGS]),
    st.lists(st.sampled_from("abc"), min_size=1, max_size=3),
)
def test_no_user_can_harm_a_log_or_the_next_session(
    bad: dict[str, Deed], hangs: str | None, texts: list[str]
) -> None:
    """Whatever a callback does: a typed error, a log that is whole, and a next session that is fine."""
    if hangs is not None:
        bad = bad | {hangs: hang}

    @in_loop
    async def check() -> None:
        log = MemoryLog()
        await misuse(log, {}, ["a"])
        await misuse(log, bad, texts)
        await judge(log)

    with _quiet():
        check()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", CALLBACKS)
def test_each_callback_that_raises_is_survived(name: str) -> None:
    """The plainest misdeed, everywhere."""
    test_no_user_can_harm_a_log_or_the_next_session.hypothesis.inner_test({name: DEEDS[0]}, None, ["a", "b"])
