"""Building a projection: what the log held before, added in portions to what is new.

A portion is a block of a log (rows per event) or some streams (rows per stream, and what is due). It is read where
that may block, and put into the draft as one step; between two portions others have their turn. What is new since
the building began is put there by `replica.derive`: what overlaps is the same rows under the same key.
"""

from __future__ import annotations

from typing import NamedTuple

from merge.version import VersionVector
from replica.commit import Commit
from replica.core import Core
from replica.derive import needs, present_of
from replica.entry import entries
from replica.lineage import Segment
from replica.log import LogRow
from replica.missing import Missing
from replica.owed import put_due
from replica.projection import BUILDING, EventRows, StreamRows
from replica.reading import Reader
from replica.rows import PROMISES, finish, put_event, put_stream

STREAMS = 64
"""Streams in a portion: enough to hide the way to the log and back, few enough to keep nobody waiting."""


class Portion(NamedTuple):
    """What is put into the draft at once."""

    commits: list[tuple[Commit, VersionVector]]
    streams: list[str]
    last: bool


class Build:
    """One projection that is being built."""

    def __init__(self, core: Core, name: str) -> None:
        self.name = name
        self._core = core
        self._standing = core.memory.standings[name]
        self._by_event = core.derived.projections.get(name)
        self._after = ""
        self._segments: list[Segment] = []
        self._rows: dict[int, LogRow] = {}
        if isinstance(self._by_event, EventRows):
            for lineage in core.memory.lineages.values():
                self._segments += lineage.folded
                self._rows |= {row.number: row for row in lineage.rows}

    @property
    def _category(self) -> str:
        projection = self._core.derived.projections.get(self.name)
        if isinstance(projection, StreamRows):
            return projection.of.stream
        return self.name.removeprefix(PROMISES)

    def read(self, reader: Reader) -> Portion:
        """The next portion. Blocks on the log, and changes nothing."""
        if isinstance(self._by_event, EventRows):
            if not self._segments:
                return Portion([], [], True)
            number, after, upto = self._segments[0]
            commits, last = reader.commits(self._rows[number], after + 1)
            inside = [item for item in commits if after < item[0].first and item[0].last <= upto]
            self._segments[:1] = [Segment(number, last, upto)] if last < upto else []
            return Portion(inside, [], not self._segments)
        streams = reader.log.streams(self._category, self._after, STREAMS)
        self._after = streams[-1] if streams else self._after
        return Portion([], streams, len(streams) < STREAMS)

    def put(self, portion: Portion) -> bool:
        """Put a portion into the draft. Is there no more to do? A step of the core: raises Missing."""
        core = self._core
        if core.now.standings[self.name] is not self._standing:
            return True
        absent = needs(core, portion.streams)
        if absent:
            raise Missing(streams=absent)
        table = [self.name + BUILDING]
        projection = self._by_event
        for commit, context in portion.commits:
            for entry in entries(core, commit, context):
                assert isinstance(projection, EventRows)
                put_event(core, projection, entry, table)
        for stream in portion.streams:
            if isinstance(projection, StreamRows):
                put_stream(core, projection, stream, present_of(core, stream), table)
            else:
                put_due(core, stream, present_of(core, stream))
        if core.now.standings[self.name] is not self._standing:
            return True
        if portion.last:
            finish(core, self.name)
        return portion.last


def unbuilt(core: Core) -> list[Build]:
    """What is being built, as of what is durable."""
    return [Build(core, name) for name, standing in core.memory.standings.items() if standing.building]
