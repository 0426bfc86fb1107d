"""Time travel: the face of a replica's past. Each call names a cut in words or as a value (see `replica.cut`)."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Iterable
from functools import partial
from typing import Any, TypeVar

from merge.version import NOTHING, Dot, VersionVector
from replica.aggregate import Aggregate
from replica.backend import OneLoop
from replica.core import Core
from replica.cut import Where, cut_at, dot_called, not_observed, replica_called
from replica.digest import digest
from replica.direct import reader_of
from replica.errors import Refused
from replica.event import Event
from replica.explain import Explanation, repeatable
from replica.fork import Forked, Progress, fork
from replica.history import Record, decision
from replica.reading import Reader
from replica.slips import several
from replica.verify import Verified, Verifier
from replica.view import PORTION, Difference, Folds, View, read_history

T = TypeVar("T")
STREAMS = 256
"""Names of streams that are read at once."""


class TimeTravel:
    """What a replica can tell of its past. Nothing here changes anything."""

    def __init__(self, core: Core, backend: OneLoop) -> None:
        self._core, self._backend = core, backend
        self._folds = Folds()

    @property
    def store(self) -> str:
        """The name of what is replicated."""
        return self._core.store

    @property
    def name(self) -> str:
        """What people call this replica."""
        return self._core.identity.name

    @property
    def version(self) -> VersionVector:
        """All that is folded here, printed with names: `alice:2 bob:7`."""
        return self._core.labelled(self._core.memory.version)

    @property
    def core(self) -> Core:
        """The state machine below, for the layers that carry its commits."""
        return self._core

    def check_loop(self) -> None:
        """Raises WrongLoop unless this is called from the event loop in which the replica was opened."""
        self._backend.check()

    async def read(self, call: Callable[[Reader], T]) -> T:
        """Call something with a Reader of what is durable, on the thread of the log."""
        core = self._core
        return await self._backend.run(lambda log: call(reader_of(core, log)))

    async def present(self, stream: str) -> Any:
        """The present of a stream: its aggregate, to be read."""
        return await (await self.at("now")).present(stream)

    async def digest(self, stream: str) -> str:
        """A name for the present of a stream, equal on all replicas where the presents are."""
        present = await self.present(stream)
        return digest(present.canonical(present.state))

    async def verify(self, *streams: str, progress: Progress | None = None) -> Verified:
        """Compute the log's hashes again, fold its streams, and compare: presents, snapshots, tables.

        All of it unless streams are named. It changes nothing, and takes as long as folding the log takes;
        `progress` hears how many events of how many were hashed. What differs is named; `rebuild` mends a table,
        and opening the replica with another `fold_version` lets go of snapshots.
        """
        return await Verifier(self._core, self._backend).run(streams, progress)

    async def streams(self, category: str = "") -> AsyncGenerator[str, None]:
        """The names of all streams, or of those of one category, in the order of their code points."""
        after = ""
        while found := await self._backend.run(lambda log, after=after: log.streams(category, after, STREAMS)):  # type: ignore[misc]
            for stream in found:
                yield stream
            after = found[-1]

    async def cut(self, where: Where) -> VersionVector:
        """The version that `where` names: printed, it is words for the same cut.

        A version or a dot (the least past that has it), a datetime, or words: `alice:3 bob:7`, `alice:3^` (what
        its author had observed), `2026-05-01T12:00:00Z`, `now`. Raises NotObserved, ValueError.
        """
        core = self._core
        return core.labelled(await self._backend.run(lambda log: cut_at(core, reader_of(core, log), where)))

    async def at(self, where: Where) -> View:
        """This replica as it was at a cut, read only: `(await alice.at("bob:7^")).present("list/home")`.

        What bob knew when he decided on bob:7 is `at("bob:7^")`; see `cut` for what else names a past. Any number
        of views stand beside the live replica and each other. Raises NotObserved, ValueError.
        """
        return View(self._core, self._backend, self._folds, await self.cut(where))

    async def diff(self, stream: str, a: Where, b: Where = "now") -> Difference:
        """What differs between two presents of a stream, by field, and the events between the cuts."""
        return await (await self.at(a)).diff(stream, await self.at(b))

    async def history(
        self,
        stream: str,
        *,
        types: Iterable[str | type] = (),
        replicas: Iterable[int | str] = (),
        after: Where = NOTHING,
        upto: Where = "now",
    ) -> AsyncGenerator[Record, None]:
        """The events of a stream in the order of their stamps, so that causes come first; read as it goes.

        Only those of some types or replicas, and between two cuts, where these are given.
        """
        core = self._core
        kinds = several(types, "types", "`types=[ItemAdded]`")
        names = [kind if isinstance(kind, str) else kind.__name__ for kind in kinds]
        authors = several(replicas, "replicas", '`replicas=["alice"]`')
        ids = [replica_called(core, one) if isinstance(one, str) else one for one in authors]
        first, last = await self.cut(after), await self.cut(upto)
        async for record in read_history(core, self._backend, stream, first, last, names, ids):
            yield record

    async def commits(
        self, *, after: Where = NOTHING, upto: Where = "now"
    ) -> AsyncGenerator[tuple[Record, ...], None]:
        """All decisions between two cuts, whatever their streams, in the order of their stamps; read as it goes.

        Each is the events of one commit, which share their stamp and what their author had observed. Those of
        histories that are not folded are left out: see `second_histories`.
        """
        position, last = await self.cut(after), await self.cut(upto)
        while found := await self.read(partial(Reader.beyond, position=position, upto=last, events=PORTION)):
            for commit, context in found:
                yield decision(self._core, commit, context)
                position = position.advance(commit.replica, commit.last)

    async def second_histories(self) -> AsyncGenerator[tuple[Record, ...], None]:
        """The decisions of the histories that are not folded, one history after the other.

        There are none unless two files went on under one id (a disk that was set back, a cloned machine). What was
        acknowledged in them is in no present; here it is found again.
        """
        await self.read(lambda reader: None)  # in its own loop, also where there is nothing to read
        for lineage in [*self._core.memory.lineages.values()]:
            rows = {row.number: row for row in lineage.rows}
            for number, seq, upto in lineage.apart if lineage.forked else ():
                while seq < upto:
                    found = await self.read(partial(Reader.apart, row=rows[number], after=seq, upto=upto))
                    for commit, context in found:
                        yield decision(self._core, commit, context, folded=False)
                        seq = commit.last

    async def explain(self, stream: str, path: str | tuple[Any, ...] = (), at: Where = "now") -> Explanation:
        """Why a stream reads as it does: `print(await alice.explain("list/home", "title"))`.

        What is read and what has lost, who did it when, what they had not seen, and the rule that chose. `path` is
        field names, keys and elements, as a tuple or in words (`items/milk`); without one, the whole stream.
        Raises NoSuchPlace where there is no such place.
        """
        return await (await self.at(at)).explain(stream, path)

    async def conflicts(self, stream: str, at: Where = "now") -> list[Explanation]:
        """The places of a stream where acts met that had not seen each other, and that nobody has settled since."""
        return await (await self.at(at)).conflicts(stream)

    def dot(self, words: tuple[int, int] | str) -> Dot:
        """The event that is printed `alice:3`. ValueError, NotObserved where that names none."""
        return dot_called(self._core, words)

    async def record(self, dot: tuple[int, int] | str) -> Record:
        """One event, and all that the log says of it. NotObserved where it is not known here."""
        named = self.dot(dot)
        found = await self.read(lambda reader: reader.commit(*named))
        if found is None:
            raise not_observed(self._core, named)
        return decision(self._core, *found)[named.seq - found[0].first]

    async def _lost(self, dot: Dot) -> tuple[str, Event]:
        """An event that has lost, and its stream; Refused where it has not, or where it would count twice."""
        record = await self.record(dot)
        stream, event = record.stream, record.event
        aggregate = self._core.aggregate_of(stream)
        lost = [act for one in await self.conflicts(stream) for act in one.lost if act.record.dot == dot]
        if not lost:
            raise Refused(
                f"{dot} was not restored: it has lost nothing in {stream} that stands open. "
                f"`conflicts({stream!r})` shows what has."
            )
        assert isinstance(aggregate, Aggregate)
        assert event is not None
        if not repeatable(aggregate, event):
            raise Refused(
                f"{dot} was not restored: recording {record.type} again would count what it adds twice. "
                "Record what you want with a command."
            )
        return stream, event

    async def fork(
        self,
        path: str | os.PathLike[str],
        at: Where = "now",
        *,
        name: str | None = None,
        progress: Progress | None = None,
    ) -> Forked:
        """Begin a second past at a cut: `await alice.fork("what-if.db", at="bob:7^")`.

        A file to be opened as any other, with an id and a future of its own, an empty outbox, owner of nothing.
        Blocks are copied; presents fold when asked for. `name` is that of the file unless given; `progress` hears
        how many events of how many are copied. Raises NotObserved, ValueError; FileExists, FileInUse, StoreError
        where the file cannot be made.
        """
        return await fork(self._core, self._backend, await self.cut(at), path, name, self._core.random, progress)
