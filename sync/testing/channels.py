"""The acceptance suite of channels: what every transport must hold (`sync.channel`), as tests to be inherited.

    class TestMyChannel(ChannelConformance):
        @asynccontextmanager
        async def open(self):
            ...                          # connect two ends
            yield here, there
            ...                          # close them

Test runners find the methods by their names; nothing but `assert` is used. Each test runs a loop of its own, and no
task, thread or file descriptor may be left when it ends.
"""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from merge.sets import AWSet
from replica.aggregate import Aggregate
from replica.event import Event
from replica.replica import Replica
from sync.channel import Channel, ChannelClosed
from sync.conversation import converse
from sync.errors import LocalProtocolError, RemoteProtocolError
from sync.link import Link
from sync.message import MAX_FRAME

T = TypeVar("T")

LONGEST = 60.0
"""Seconds after which a test that waits is a test that hangs."""
WAKING = 10.0
"""Seconds within which who waits at a channel must hear that it was closed."""
STILL = 0.2
"""Seconds without progress after which a sender counts as one that waits."""
PIECE = 1 << 16
MOST = 1024
"""Pieces that no channel may hold when nobody reads: 64 MiB. (The kernel's buffers for sockets are some of it.)"""
WORDS = "words/1"


class Said(Event, frozen=True):
    word: str


class Words(Aggregate):
    """What replicas talk about."""

    stream = "words"
    events = (Said,)
    said = AWSet[str]()

    def effect(self, event: Any) -> Any:
        return self.said.add(event.word)


def alone(test: Callable[[Any], Coroutine[Any, Any, None]]) -> Callable[[Any], None]:
    """The async test as a plain one, which fails where it leaves something running."""

    async def within(self: Any) -> None:
        async with asyncio.timeout(LONGEST):
            await test(self)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            if left:
                _, left = await asyncio.wait(left, timeout=WAKING)
            assert not left, f"tasks are left: {left}"

    @functools.wraps(test)
    def run(self: Any) -> None:
        threads, files = set(threading.enumerate()), _descriptors()
        asyncio.run(within(self))
        left = set(threading.enumerate()) - threads
        assert not left, f"threads are left: {left}"
        assert not _descriptors() - files, "a socket, a pipe or a file was left open"

    return run


def _descriptors() -> set[str]:
    """What the process has open, where the system says so."""
    place = Path("/dev/fd")
    return set(os.listdir(place)) if place.exists() else set()


async def until(holds: Callable[[], object], otherwise: str) -> None:
    """Wait until something holds."""
    end = asyncio.get_running_loop().time() + WAKING
    while not holds():
        assert asyncio.get_running_loop().time() < end, otherwise
        await asyncio.sleep(0.005)


async def ended(waiting: asyncio.Task[T]) -> ChannelClosed:
    """How a task that waits at a channel hears that it has ended."""
    try:
        async with asyncio.timeout(WAKING):
            await waiting
    except ChannelClosed as closed:
        return closed
    except TimeoutError:
        raise AssertionError(f"{waiting.get_coro()} still waits, {WAKING:g} s after the end") from None
    raise AssertionError(f"{waiting.get_coro()} came to {waiting.result()!r}, after the end")


async def rest(channel: Channel) -> tuple[list[bytes], ChannelClosed]:
    """All that still arrives, and how it ends."""
    frames = []
    while True:
        try:
            async with asyncio.timeout(WAKING):
                frames.append(await channel.receive())
        except ChannelClosed as closed:
            return frames, closed


class Sender:
    """Sends pieces, numbered, until it is told to stop."""

    def __init__(self, channel: Channel) -> None:
        self.sent = 0
        self.stop = False
        self.task = asyncio.create_task(self._send(channel))

    async def _send(self, channel: Channel) -> None:
        while not self.stop and self.sent < MOST:
            await channel.send(self.sent.to_bytes(4) + bytes(PIECE - 4))
            self.sent += 1

    async def waits(self) -> None:
        """Until it makes no progress: the buffers are full."""
        before = -1
        while before < self.sent < MOST:
            before = self.sent
            await asyncio.sleep(STILL)
        assert not self.task.done(), f"{self.sent} pieces were taken, and nobody reads: the buffers have no bound"


class ChannelConformance:
    """Inherit, and say how to open the channel that is to be tested."""

    def open(self) -> AbstractAsyncContextManager[tuple[Channel, Channel]]:
        """The two ends of a new channel; left, nothing of them goes on."""
        raise NotImplementedError

    # --- rule 1: whole, once, in order ---

    @alone
    async def test_frames_arrive_as_they_were_sent(self) -> None:
        """Of any length up to the limit, of any bytes, in both directions."""
        random = Random(1)
        lengths = (0, 1, 125, 126, 127, 128, 4096, 65_535, 65_536, 0, MAX_FRAME - 1, MAX_FRAME, 3)
        frames = [random.randbytes(length) for length in lengths] + [bytes(range(256)), b"\r\n", b"\0", b"\xff" * 9]
        async with self.open() as (here, there):
            for one, other in ((here, there), (there, here)):
                await asyncio.gather(_expect(other, frames), _send_all(one, frames))

    @alone
    async def test_both_ends_send_at_once(self) -> None:
        """Neither waits for the other to be silent."""
        frames = [f"{n}".encode() * n for n in range(200)]
        async with self.open() as (here, there):
            await asyncio.gather(
                *(_expect(channel, frames) for channel in (here, there)),
                *(_send_all(channel, frames) for channel in (here, there)),
            )

    @alone
    async def test_several_senders_do_not_mix_their_frames(self) -> None:
        """Each frame is whole, and those of each sender are in order."""
        many, each = 8, 12
        async with self.open() as (here, there):

            async def send(sender: int) -> None:
                for n in range(each):
                    await here.send(bytes([sender, n]) + bytes([sender]) * (20_000 * (sender % 3) + n))

            receiving = asyncio.create_task(_receive(there, many * each))
            await asyncio.gather(receiving, *map(send, range(many)))
            frames = receiving.result()
        for sender in range(many):
            own = [frame for frame in frames if frame[0] == sender]
            assert [frame[1] for frame in own] == list(range(each))
            assert all(frame[2:] == bytes([sender]) * (20_000 * (sender % 3) + frame[1]) for frame in own)

    @alone
    async def test_two_channels_know_nothing_of_each_other(self) -> None:
        """What is sent over one does not arrive over the other, and the end of one ends one."""
        async with self.open() as (here, there), self.open() as (other_here, other_there):
            await here.send(b"one")
            await other_here.send(b"other")
            assert (await other_there.receive(), await there.receive()) == (b"other", b"one")
            await here.close()
            await other_there.send(b"still here")
            assert await other_here.receive() == b"still here"

    # --- rule 2: bounded ---

    @alone
    async def test_sending_waits_while_nobody_reads(self) -> None:
        """And goes on when somebody does; nothing is lost by that."""
        async with self.open() as (here, there):
            sender = Sender(here)
            await sender.waits()
            before = sender.sent
            numbers: list[int] = []
            while len(numbers) <= before:
                numbers.append(int.from_bytes((await _next(there))[:4]))
            sender.stop = True
            while len(numbers) < sender.sent or not sender.task.done():
                if len(numbers) < sender.sent:
                    numbers.append(int.from_bytes((await _next(there))[:4]))
                else:
                    await asyncio.sleep(0)
            assert numbers == list(range(sender.sent))
            assert sender.sent > before

    # --- rule 3: the end ---

    @alone
    async def test_what_was_sent_before_the_end_arrives(self) -> None:
        """The other side goes on reading: it gets everything, and then hears of the end, which is no fault."""
        frames = [f"{n}".encode() for n in range(40)]
        async with self.open() as (here, there):
            (found, closed), _ = await asyncio.gather(rest(there), _send_all(here, frames, close=True))
            assert found == frames
            assert closed.error is None

    @alone
    async def test_after_the_end_nothing_is_sent_or_received(self) -> None:
        """Neither where it was closed, nor at the other side when that has heard of it; as often as it is tried."""
        async with self.open() as (here, there):
            await here.close()
            assert (await rest(there))[0] == []
            for channel in (here, there):
                for _ in range(2):
                    await ended(asyncio.create_task(channel.receive()))
                    await ended(asyncio.create_task(channel.send(b"too late")))

    @alone
    async def test_the_end_wakes_who_waits_for_a_frame(self) -> None:
        """On both sides."""
        for closes in (0, 1):
            async with self.open() as ends:
                waiting = [asyncio.create_task(end.receive()) for end in ends]
                await asyncio.sleep(0.01)
                await ends[closes].close()
                for task in waiting:
                    assert (await ended(task)).error is None

    @alone
    async def test_the_end_wakes_who_waits_to_send(self) -> None:
        """Whichever side closes, though the other one reads nothing."""
        for closes in (0, 1):
            async with self.open() as ends:
                sender = Sender(ends[0])
                await sender.waits()
                async with asyncio.timeout(WAKING):
                    await ends[closes].close()
                await ended(sender.task)

    @alone
    async def test_closing_again_does_nothing(self) -> None:
        """Twice, on both sides, at once."""
        async with self.open() as (here, there):
            await asyncio.gather(here.close(), there.close(), here.close())
            await there.close()
            await here.close()

    @alone
    async def test_nothing_goes_on_when_it_is_left_in_the_middle(self) -> None:
        """Frames on their way in both directions, and tasks that wait."""
        async with self.open() as (here, there):
            senders = [Sender(here), Sender(there)]
            for sender in senders:
                await sender.waits()
        for sender in senders:
            await ended(sender.task)

    @alone
    async def test_a_frame_over_the_limit_is_refused_in_words_or_carried_whole(self) -> None:
        """A session never sends one. Who refuses calls it a fault of the peer; who is told, its own."""
        frame = bytes(MAX_FRAME + 1)
        async with self.open() as (here, there):
            sending, receiving = asyncio.create_task(here.send(frame)), asyncio.create_task(there.receive())
            await asyncio.wait((receiving,), timeout=WAKING)
            refused = receiving.exception()
            if refused is None:
                assert receiving.result() == frame
            else:
                assert isinstance(refused, ChannelClosed)
                assert isinstance(refused.error, RemoteProtocolError)
                assert refused.error.kind == "too-large"
                assert (await ended(asyncio.create_task(there.receive()))).error
                told = (await rest(here))[1].error
                assert told is None or (isinstance(told, LocalProtocolError) and told.kind == "too-large")
            await asyncio.gather(sending, return_exceptions=True)

    # --- what it is for ---

    @alone
    async def test_replicas_meet_part_in_the_middle_and_meet_again(self) -> None:
        """The channel ends while both write; over the next one they come to hold the same, and all of it."""
        async with _replica("alice") as alice, _replica("bob") as bob:
            async with self._meeting(alice, bob) as here:
                await asyncio.gather(_say(alice, 0, 5), _say(bob, 0, 5))
                await until(lambda: alice.version == bob.version, "the replicas have not met")
                await asyncio.gather(_say(alice, 5, 20), _say(bob, 5, 20), here.close())
            await asyncio.gather(_say(alice, 20, 22), _say(bob, 20, 22))
            assert alice.version != bob.version
            async with self._meeting(alice, bob):
                await until(lambda: alice.version == bob.version, "the replicas have not met again")
            said = {f"{name} {n}" for name in ("alice", "bob") for n in range(22)}
            for replica in (alice, bob):
                assert set((await replica.present(WORDS)).said) == said

    @asynccontextmanager
    async def _meeting(self, alice: Replica, bob: Replica) -> AsyncIterator[Channel]:
        """They talk for as long as this lasts, or as the channel does."""
        async with self.open() as (here, there):
            links = Link("there"), Link("here")
            talks = [
                asyncio.create_task(converse(alice, here, links[0])),
                asyncio.create_task(converse(bob, there, links[1])),
            ]
            try:
                yield here
                await here.close()
                async with asyncio.timeout(WAKING):
                    await asyncio.gather(*talks)
            finally:
                for talk in talks:
                    talk.cancel()
                await asyncio.gather(*talks, return_exceptions=True)
            assert [link.error for link in links] == [None, None]


def _replica(name: str) -> AbstractAsyncContextManager[Replica]:
    return Replica.open(":memory:", store="words", name=name, aggregates=[Words])


async def _say(replica: Replica, first: int, last: int) -> None:
    for n in range(first, last):
        await replica.append(WORDS, Said(f"{replica.name} {n}"))


async def _send_all(channel: Channel, frames: list[bytes], *, close: bool = False) -> None:
    for frame in frames:
        await channel.send(frame)
    if close:
        await channel.close()


async def _next(channel: Channel) -> bytes:
    """The frame that must come next."""
    try:
        async with asyncio.timeout(WAKING):
            return await channel.receive()
    except TimeoutError:
        raise AssertionError("a frame that was sent does not arrive") from None


async def _receive(channel: Channel, count: int) -> list[bytes]:
    return [await _next(channel) for _ in range(count)]


async def _expect(channel: Channel, frames: list[bytes]) -> None:
    for n, frame in enumerate(frames):
        found = await _next(channel)
        assert found == frame, (
            f"frame {n} was sent with {len(frame)} bytes, and has come with {len(found)} or others"
        )
