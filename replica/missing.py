"""What a step needs from the log and does not find in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from merge.version import Dot
from replica.block import Slice
from replica.commit import Observed

if TYPE_CHECKING:
    from replica.snapshot import Limit


class Missing(Exception):
    """Raised by a step of the core before it has changed anything. Not an error: read, supply, step again."""

    def __init__(
        self,
        *,
        streams: tuple[str, ...] = (),
        limits: Mapping[str, list[Limit]] | None = None,
        aside: Mapping[str, frozenset[Dot]] | None = None,
        commands: tuple[tuple[str, str], ...] = (),
        unknown: tuple[str, ...] = (),
        ends: tuple[int, ...] = (),
        boundaries: tuple[Observed, ...] = (),
        arrange: list[Slice] | None = None,
    ) -> None:
        super().__init__(streams, commands, unknown, ends, boundaries, arrange)
        self.streams = streams
        self.limits = limits or {}
        """What the folds of streams must be able to take."""
        self.aside = aside or {}
        """Events that are set aside by what is not in the log yet, by stream."""
        self.commands = commands
        """Command ids, each with a stream: see `Log.command`."""
        self.unknown = unknown
        """Streams of which must be known whether they hold events that this code does not know."""
        self.ends = ends
        self.boundaries = boundaries
        self.arrange = arrange
