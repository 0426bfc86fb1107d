"""A channel carries frames between two replicas, over whatever there is: a socket, a queue, a wire of your own.

Rule 1. What one end sends, the other receives: whole, once, in the order in which it was sent, byte for byte. A
        frame may have any bytes, and any length from 0 to MAX_FRAME (2 MiB).
Rule 2. Buffers are bounded. Where the other side does not read, `send` waits.
Rule 3. The end is final, and both sides hear of it: whoever waits then, or comes later, gets ChannelClosed. What
        was sent before it still arrives at a peer that goes on reading (and that is not sending itself: TCP, for
        one, throws away what crosses).

A session (`sync.protocol`) bears more than that: frames that are lost, doubled or overtaken only cost it time: that
is what gates are for (`sync.gate`). One that is changed ends it.

Inherit `sync.testing.ChannelConformance` to see whether a channel holds this; docs/channels.md makes one.
"""

from __future__ import annotations

from typing import Protocol

from sync.errors import ProtocolError


class ChannelClosed(Exception):
    """The channel has ended: `why`, for people, and the fault of protocol that ended it, if one did."""

    def __init__(self, why: str = "", error: ProtocolError | None = None) -> None:
        super().__init__(why)
        self.why, self.error = why, error


class Channel(Protocol):
    """One end of a channel. One task receives; any may send."""

    async def send(self, frame: bytes) -> None:
        """Carry a frame to the other end.

        Returns when the channel has taken the frame, which may be before it arrives; waits while the buffers are
        full. Raises ChannelClosed when this end was closed, or is known to have lost the other one: the frame is
        lost then, and so may be some before it. After a send that was cancelled the channel can only be closed.
        """

    async def receive(self) -> bytes:
        """The next frame from the other end.

        Waits until there is one. Raises ChannelClosed when the channel has ended and what had arrived was received,
        at each call from then on. Its `error` is None where one side has closed, and where the connection broke:
        those are no faults. Where the channel itself refuses a frame, it is a RemoteProtocolError on the side that
        refused, and a LocalProtocolError on the other one, if that is told. A frame over MAX_FRAME is refused, or
        carried whole. After a receive that was cancelled nothing more can be received.
        """

    async def close(self) -> None:
        """End the channel.

        Both ends hear of it; who waits in `send` or `receive` is woken within seconds, however the other side
        behaves. Returns when nothing of this end is left running. Does nothing when the channel has ended.
        """
