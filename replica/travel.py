"""Time travel: the face of a replica's past. Each call names a cut in words or as a value (see `replica.cut`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable
from typing import Any

from merge.version import NOTHING, VersionVector
from replica.aggregate import Aggregate
from replica.backend import Backend
from replica.core import Committed, Core, Settled
from replica.cut import Where, cut_at, dot_called, not_observed, replica_called
from replica.direct import reader_of
from replica.errors import Refused
from replica.event import Event
from replica.explain import Explanation, repeatable
from replica.history import Record
from replica.pump import Pump
from replica.view import Difference, Folds, View, read_history


class TimeTravel(ABC):
    """What a replica can tell of its past. Nothing here changes anything, but for `restore`."""

    def __init__(self, core: Core, pump: Pump, backend: Backend) -> None:
        self._core, self._pump, self._backend = core, pump, backend
        self._folds = Folds()
        pump.listen(self._hear)

    def _hear(self, settled: Settled) -> None:
        if settled.refolded:
            self._folds.clear()

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
        names = [kind if isinstance(kind, str) else kind.__name__ for kind in types]
        ids = [replica_called(core, one) if isinstance(one, str) else one for one in replicas]
        first, last = await self.cut(after), await self.cut(upto)
        async for record in read_history(core, self._backend, stream, first, last, names, ids):
            yield record

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

    async def restore(self, dot: tuple[int, int] | str) -> Committed:
        """Bring back what has lost: record its event again, as a new fact that has seen all there is now.

        Refused where the event has lost nothing, or would count twice; NotObserved where it is not known here.
        """
        core = self._core
        named = dot_called(core, dot)
        found = await self._backend.run(lambda log: reader_of(core, log).commit(*named))
        if found is None:
            raise not_observed(core, named)
        recorded = found[0].events[named.seq - found[0].first]
        aggregate = core.aggregate_of(recorded.stream)
        lost = [act for one in await self.conflicts(recorded.stream) for act in one.lost if act.record.dot == named]
        if not lost:
            raise Refused(
                f"{named} was not restored: it has lost nothing in {recorded.stream} that stands open. "
                f"`conflicts({recorded.stream!r})` shows what has."
            )
        event = lost[0].record.event
        assert isinstance(aggregate, Aggregate)
        assert event is not None
        if not repeatable(aggregate, event):
            raise Refused(
                f"{named} was not restored: recording {lost[0].record.type} again would count what it adds twice. "
                "Record what you want with a command."
            )
        return await self.append(recorded.stream, event, cause=named)

    @abstractmethod
    async def append(
        self, stream: str, *events: Event, correlation: str | None = None, cause: tuple[int, int] | None = None
    ) -> Committed:
        """Record facts."""
