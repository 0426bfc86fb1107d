"""Elsewhere: the same fold in another process, under another hash seed; and here, at another time.

What depends on the order of a set of strings differs from process to process, and what reads a clock from moment to
moment: neither shows in one process at one moment.
"""

from __future__ import annotations

import datetime
import multiprocessing
import os
import pickle
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from replica.block import Slice
from replica.decider import Decider
from replica.testing.scenario import hear, newcomer
from replica.words import shown

YEARS = 86_400 * 365 * 3
"""Seconds by which a clock is shifted."""
SEEDS = ("1", "2", "3", "4")
PROCESSES = 3
PATIENCE = 60
"""Seconds that another process may take for an answer."""


@contextmanager
def later(kind: type[Decider]) -> Iterator[None]:
    """Clocks that the module of an aggregate has imported go some years ahead."""
    module = sys.modules.get(kind.__module__)
    shifted: dict[Any, Any] = {
        time.time: lambda now=time.time: now() + YEARS,
        time.time_ns: lambda now=time.time_ns: now() + YEARS * 1_000_000_000,
        time.monotonic: lambda now=time.monotonic: now() + YEARS,
        datetime.datetime: _Later,
        datetime.date: _LaterDate,
    }
    places = [time, datetime] + ([module] if module is not None else [])
    changed = [
        (place, name, value)
        for place in places
        for name, value in list(vars(place).items())
        if isinstance(value, type | type(time.time)) and value in shifted
    ]
    for place, name, value in changed:
        setattr(place, name, shifted[value])
    try:
        yield
    finally:
        for place, name, value in changed:
            setattr(place, name, value)


class _Later(datetime.datetime):
    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return super().now(tz) + datetime.timedelta(seconds=YEARS)

    @classmethod
    def utcnow(cls) -> Any:
        return super().now(datetime.UTC).replace(tzinfo=None) + datetime.timedelta(seconds=YEARS)

    @classmethod
    def today(cls) -> Any:
        return cls.now()


class _LaterDate(datetime.date):
    @classmethod
    def today(cls) -> Any:
        return super().today() + datetime.timedelta(seconds=YEARS)


class Elsewhere:
    """Some processes with other hash seeds. They end with the `with` block, and begin when they are first asked.

    Two seeds may agree on the order of a few strings; that several do is rare.
    """

    def __init__(self, kind: type[Decider]) -> None:
        self._kind = kind
        self._processes: list[Any] = []
        self._links: list[Connection] = []
        self._reachable = _importable(kind)

    def __enter__(self) -> Elsewhere:
        return self

    def __exit__(self, *_: object) -> None:
        for link in self._links:
            link.close()
        for process in self._processes:
            process.join(PATIENCE)

    def read(self, stream: str, pieces: list[Slice]) -> list[tuple[str, dict[str, str]]]:
        """The digest of a stream, and what is read, in each; nothing where none can import the aggregate."""
        if not self._reachable:
            return []
        if not self._links:
            for seed in [seed for seed in SEEDS if seed != os.environ.get("PYTHONHASHSEED")][:PROCESSES]:
                self._begin(seed)
        for link in self._links:
            link.send((stream, pieces))
        return [self._answer(link) for link in self._links]

    def _answer(self, link: Connection) -> tuple[str, dict[str, str]]:
        if not link.poll(PATIENCE):
            raise TimeoutError(f"another process did not fold {self._kind.__name__} within {PATIENCE} s")
        answer: tuple[str, dict[str, str]] = link.recv()
        return answer

    def _begin(self, seed: str) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        before = os.environ.get("PYTHONHASHSEED")
        os.environ["PYTHONHASHSEED"] = seed
        try:
            process = context.Process(target=_answer, args=(self._kind, theirs), daemon=True)
            process.start()
        finally:
            if before is None:
                del os.environ["PYTHONHASHSEED"]
            else:
                os.environ["PYTHONHASHSEED"] = before
        theirs.close()
        self._processes.append(process)
        self._links.append(ours)


def _importable(kind: type[Decider]) -> bool:
    """Can another process import an aggregate? Not one that is made in a function, or in the program that runs."""
    try:
        pickle.dumps(kind)
        found = kind.__module__ != "__main__"
    except Exception:
        found = False
    if not found:
        warnings.warn(
            f"{kind.__qualname__} cannot be imported by another process, so whether its fold depends on the order "
            "of sets of strings is not checked: define it in a module, at the top",
            stacklevel=4,
        )
    return found


def _answer(kind: type[Decider], link: Connection) -> None:
    while True:
        try:
            stream, pieces = link.recv()
        except EOFError:
            return
        replica = newcomer(kind, "hub")
        try:
            hear(replica, pieces)
            link.send((replica.digest(stream), rows_of(replica.present(stream).plain())))
        except Exception as error:
            words = f"raised {type(error).__name__}: {error}"
            link.send((words, {"": words}))


def rows_of(reading: Any) -> dict[str, str]:
    """What is read, in words, by field where it has fields."""
    if isinstance(reading, dict) and all(isinstance(name, str) for name in reading):
        return {name: shown(item) for name, item in reading.items()}
    return {"": shown(reading)}
