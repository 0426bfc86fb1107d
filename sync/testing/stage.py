"""What a scenario is played on: replicas that begin and end, links that fail, and how they are looked at.

A stage is a handful of methods. `sync.testing.alone` has one in this process, without a loop; the demo has one of
real processes. What is decided (who is linked, what the clocks say, what must hold) is decided in
`sync.testing.director`, which is the same for both. They are coroutines, so that a stage may wait for others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, Self

import msgspec

from merge.version import VersionVector
from replica.data import to_json
from replica.decider import Decider
from replica.errors import AnabranchError
from replica.status import DueStatus
from replica.step import Write
from sync.gate import Gate, Gates


class Way(msgspec.Struct, frozen=True):
    """One direction of a link: what its gate does to frames."""

    open: bool = True
    delay: int = 0
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0

    def shape(self, gate: Gate) -> None:
        """Make a gate do so."""
        gate.delay = self.delay / 1000
        gate.loss, gate.duplicate, gate.reorder = self.loss, self.duplicate, self.reorder
        gate.open = self.open


class Ways(msgspec.Struct, frozen=True):
    """A link, as seen by who dials: the way there, and the way back."""

    there: Way = Way()
    back: Way = Way()

    @property
    def open(self) -> bool:
        return self.there.open and self.back.open

    @property
    def whole(self) -> bool:
        """Nothing is lost, late or out of order."""
        return self == WHOLE

    def shape(self, gates: Gates) -> None:
        """Make both gates of a link do so; when both are open the link compares what its ends hold."""
        self.there.shape(gates.outgoing)
        self.back.shape(gates.incoming)


WHOLE = Ways()


class View(msgspec.Struct, frozen=True):
    """What a replica holds at one moment."""

    version: dict[str, int]
    ready: int
    """Commands that it will carry out now."""
    owed: list[str] = []
    """Types of the commands that are due as it sees it, whoever carries them out."""
    digests: dict[str, str] = {}
    """By stream; of all streams that its app folds."""
    readings: dict[str, Any] = {}
    """What is read, by stream, as JSON has it."""

    @classmethod
    def of(
        cls,
        version: VersionVector,
        stable: VersionVector,
        due: Iterable[DueStatus],
        now: int,
        read: Mapping[str, tuple[str, Any]],
    ) -> Self:
        """What a replica says of itself; `read` is digest and reading by stream."""
        owed = [one for one in due if one.state != "done"]
        mine = [one for one in owed if one.state == "next" and (one.at is None or one.at <= now)]
        ready = [one for one in mine if not one.settled or one.cause in stable]
        return cls(
            dict(sorted((str(replica), seq) for replica, seq in version.seqs.items())),
            len(ready),
            sorted(one.command for one in owed),
            {stream: digest for stream, (digest, _) in read.items()},
            {stream: reading for stream, (_, reading) in read.items()},
        )


class Wrote(msgspec.Struct, frozen=True):
    """What a write came to: the dots of its events, or why it was refused."""

    dots: list[str] = []
    refused: str | None = None


class Stage(Protocol):
    """Where replicas play. Each method returns when it is done."""

    @property
    def patience(self) -> int:
        """How often `go_on` may be called before what has not come to rest never will."""

    async def begin(self, clocks: Mapping[str, int]) -> None:
        """Some replicas begin, or begin again over what is durable of them, with these clocks; links come up."""

    async def end(self, name: str) -> None:
        """Its process ends without a word."""

    async def link(self, here: str, there: str, ways: Ways) -> None:
        """From now on `here` keeps a link to `there`; both are up."""

    async def shape(self, here: str, there: str, ways: Ways) -> None:
        """That link is as `ways` says from now on."""

    async def write(self, name: str, stream: str, write: Write, now: int) -> Wrote:
        """Record it, durably, or refuse it."""

    async def hear(self, name: str, other: str, now: int) -> None:
        """Take in all that another one holds."""

    async def fork(self, name: str, new: str, at: str) -> str | None:
        """Make the log of a second past, which `begin` then opens; why not, if there is no such cut."""

    async def retire(self, name: str, member: str, now: int) -> str | None:
        """Record that a member takes part no more; why not, if that was refused."""

    async def look(self, clocks: Mapping[str, int], deep: bool) -> dict[str, View]:
        """What some replicas hold, by name; their clocks stand where it says from now on. `deep`: readings too."""

    async def go_on(self) -> None:
        """Let a little happen: frames travel, commands that are due are carried out."""

    async def wait(self, ms: int) -> None:
        """Let so much time pass for what travels."""


def reading(present: Decider) -> Any:
    """What a present reads as, as JSON has it: sets as sorted lists, keys as text, bytes in base64."""
    return msgspec.json.decode(to_json(present.plain()))


def refusal(error: Exception) -> Wrote:
    """A write that came to nothing, and why; a decision that raises anything else has refused in its own way."""
    return Wrote(refused=str(error) if isinstance(error, AnabranchError) else f"{type(error).__name__}: {error}")
