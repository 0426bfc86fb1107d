"""A link: one peer as seen from here, through as many sessions as it takes."""

from __future__ import annotations

from dataclasses import dataclass

from merge.version import ReplicaId
from sync.errors import ProtocolError
from sync.protocol import Session

WAITING, TALKING, ENDED = "waiting", "talking", "ended"


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """How one link is."""

    where: str
    """The address of the peer."""
    state: str
    """`talking` in a session, `waiting` for one (dialling, or the peer is away), `ended` for good."""
    peer: ReplicaId | None
    """Who is there, once it has said so."""
    in_sync: bool
    """The last thing that the peer said of its log was that it holds what is held here."""
    beyond: int
    """Events that wait because the peer does not accept their stamps yet: they lie beyond its horizon. The
    way out, if a clock was wrong: fork below them."""
    sessions: int
    """Sessions begun over this link."""
    error: str | None
    """Why the last session ended, where it did not end in good order; or why the peer cannot be reached."""


class Link:
    """One peer, as seen from here. `status` says how it is."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.session: Session | None = None
        self.sessions = 0
        self.ended = False
        self.error: ProtocolError | None = None
        self.trouble: str | None = None
        """Why the peer could not be reached when it was last dialled."""

    def status(self) -> LinkStatus:
        session = self.session
        talking = session is not None and session.theirs is not None and not session.closed
        peer = session.peer if session is not None else None
        return LinkStatus(
            self.where,
            ENDED if self.ended else TALKING if talking else WAITING,
            ReplicaId(peer.replica, peer.name) if peer is not None else None,
            talking and session is not None and session.in_sync,
            session.beyond if session is not None else 0,
            self.sessions,
            None if talking else self.trouble if self.error is None else str(self.error),
        )
