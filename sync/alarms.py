"""The alarms of one link, in words: what differs, what it means for the data, and what to do."""

from __future__ import annotations

from merge.version import Dot, ReplicaId, printable
from replica.comparing import First
from replica.core import Core
from replica.status import Divergence


class Alarms:
    """Raises alarms in the name of a peer."""

    def __init__(self, core: Core, now: int) -> None:
        self._core = core
        self.now = now
        """Wall time (ms), as far as it is known."""

    def differs(self, peer: ReplicaId, stream: str, first: First) -> None:
        """Both hold the same events, and fold them to different presents from one of them on."""
        event = Dot(self._core.label(first.event.replica), first.event.seq)
        here, there = first.mine.present.hex(), first.theirs.present.hex()
        words = (
            f"{printable(stream)} reads differently here and at {peer}, from {event} {printable(first.type)} on: "
            f"{here} here, {there} there. Both hold the same events, and nothing is lost. {self._remedy(stream)}"
        )
        self._raise(Divergence(stream, peer, self.now, event, first.type, here, there, "", words))

    def unexplained(self, peer: ReplicaId, stream: str, here: bytes, there: bytes) -> None:
        """They go on differing, and the event was not found."""
        words = (
            f"{printable(stream)} reads differently here and at {peer}, of the same events; the event with which "
            f"that begins was not found. Nothing is lost. {self._remedy(stream)}"
        )
        self._raise(Divergence(stream, peer, self.now, None, "", here.hex(), there.hex(), "", words))

    def damaged_there(self, peer: ReplicaId, stream: str, here: bytes, there: bytes) -> None:
        """The log of the peer comes to what is read here; what it had said did not."""
        words = (
            f"{printable(stream)} was read differently at {peer}, and its log comes to what is read here: its "
            "present in memory, or a snapshot, was at fault. It reads it again; nothing is lost, and nothing is to "
            "be done here."
        )
        self._raise(Divergence(stream, peer, self.now, None, "", here.hex(), there.hex(), "peer", words))

    def damaged_here(self, peer: ReplicaId, stream: str, here: bytes, log: bytes, there: bytes) -> None:
        """What was read here is not what the log comes to; it was read again."""
        words = (
            f"{printable(stream)}: what was read here ({here.hex()}) was not what its log comes to ({log.hex()}). "
            "The log is whole: the present was read again from it, and its snapshots were dropped. If that comes "
            f"again, memory or disk is failing, or the order of arrival counts. {self._remedy(stream)}"
        )
        self._raise(Divergence(stream, peer, self.now, None, "", here.hex(), there.hex(), "here", words))

    def no_function(self, peer: ReplicaId, stream: str, here: bytes, there: bytes) -> None:
        """The log comes to something else each time."""
        words = (
            f"{printable(stream)} comes to another present whenever it is folded here. The log is whole, and "
            f"nothing is lost. {self._remedy(stream)}"
        )
        self._raise(Divergence(stream, peer, self.now, None, "", here.hex(), there.hex(), "here", words))

    def _remedy(self, stream: str) -> str:
        aggregate = type(self._core.aggregate_of(stream))
        return (
            f"{aggregate.__name__} (fold_version {aggregate.fold_version}) must be a function of its events alone: "
            f"see what `assert_converges({aggregate.__name__})` says, mend it, and raise its fold_version."
        )

    def _raise(self, found: Divergence) -> None:
        self._core.comparisons.alarm(found)
