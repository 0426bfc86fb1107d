"""A channel carries frames between two replicas. It may lose, double or reorder them; it never changes one."""

from __future__ import annotations

from typing import Protocol

from sync.errors import ProtocolError


class ChannelClosed(Exception):
    """The channel has ended: `why`, for people, and the fault of protocol that ended it, if one did."""

    def __init__(self, why: str = "", error: ProtocolError | None = None) -> None:
        super().__init__(why)
        self.why, self.error = why, error


class Channel(Protocol):
    """One end of a channel. Its buffers are bounded: `send` waits where they are full."""

    async def send(self, frame: bytes) -> None:
        """Carry a frame to the other end; ChannelClosed where that cannot be done any more."""

    async def receive(self) -> bytes:
        """The next frame from the other end; ChannelClosed where none will come."""

    async def close(self) -> None:
        """End the channel; both ends hear of it. Closing twice is harmless."""
