"""Every channel that there is passes the suite that every channel must pass; and one that a page makes does."""

from __future__ import annotations

import asyncio
import os
import re
import threading
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

import sync.testing.channels as suite
import tests.channels as wrong
from sync.channel import ChannelClosed
from sync.gate import Gates, gated
from sync.memory import pair
from sync.testing import ChannelConformance
from sync.websocket import BOUNDS, WebsocketChannel


@asynccontextmanager
async def in_memory():
    here, there = pair()
    try:
        yield here, there
    finally:
        await here.close()


@asynccontextmanager
async def over_websockets():
    """A real socket, with the bounds of `sync.websocket`; but for the time that a peer has to say farewell."""
    bounds = {**BOUNDS, "close_timeout": 0.3}
    accepted = asyncio.get_running_loop().create_future()

    async def accept(connection):
        accepted.set_result(connection)
        await connection.wait_closed()

    async with serve(accept, "127.0.0.1", 0, **bounds) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}", proxy=None, **bounds) as connection:
            yield WebsocketChannel(connection), WebsocketChannel(await accepted)


@asynccontextmanager
async def behind_gates(opened, delay=0.0):
    """Both ends behind gates that are open."""
    async with opened as (here, there):
        gates = Gates(), Gates()
        for both in gates:
            both.outgoing.delay = both.incoming.delay = delay
        async with gated(here, gates[0]) as one, gated(there, gates[1]) as other:
            try:
                yield one, other
            finally:
                await asyncio.gather(one.close(), other.close())


class TestMemoryChannel(ChannelConformance):
    """Two queues of one process."""

    def open(self):
        return in_memory()


class TestWebsocketChannel(ChannelConformance):
    """A websocket over loopback."""

    def open(self):
        return over_websockets()


class TestGatedMemoryChannel(ChannelConformance):
    """Behind gates that let everything through."""

    def open(self):
        return behind_gates(in_memory())


class TestSlowChannel(ChannelConformance):
    """Behind gates that hold everything back for a while."""

    def open(self):
        return behind_gates(in_memory(), delay=0.002)


class TestGatedWebsocketChannel(ChannelConformance):
    """What a link with gates is: `connect(replica, url, gates=gates)`."""

    def open(self):
        return behind_gates(over_websockets())


def on_the_page(name):
    """Something that the program on the page of channels defines."""
    page = (Path(__file__).parent.parent / "docs/channels.md").read_text()
    found = {"__name__": "streams"}
    exec(re.search(r"```python\n(.*?)```", page, re.S)[1], found)
    return found[name]


class TestStreamsOfThePage(on_the_page("TestStreams")):
    """The channel that docs/channels.md makes, which nobody here has written a line for."""


@pytest.fixture
def impatient(monkeypatch):
    """In memory nothing is late: a suite need not wait long for it. What a mistake leaves is put away."""
    wrong.LeavesAThread.enough.clear()
    monkeypatch.setattr(suite, "WAKING", 0.3)
    monkeypatch.setattr(suite, "STILL", 0.01)
    monkeypatch.setattr(suite, "MOST", 64)
    before = set(threading.enumerate())
    yield
    wrong.LeavesAThread.enough.set()
    for thread in set(threading.enumerate()) - before:
        thread.join()
    while wrong.LeavesAFile.left:
        os.close(wrong.LeavesAFile.left.pop())


@pytest.mark.parametrize(
    ("kind", "test"),
    [
        (wrong.Loses, "frames_arrive_as_they_were_sent"),
        (wrong.Doubles, "frames_arrive_as_they_were_sent"),
        (wrong.Changes, "frames_arrive_as_they_were_sent"),
        (wrong.TakesNothingForTheEnd, "frames_arrive_as_they_were_sent"),
        (wrong.CutsIntoLines, "frames_arrive_as_they_were_sent"),
        (wrong.Swaps, "both_ends_send_at_once"),
        (wrong.MixesSenders, "several_senders_do_not_mix_their_frames"),
        (wrong.Shared, "two_channels_know_nothing_of_each_other"),
        (wrong.HasNoBound, "sending_waits_while_nobody_reads"),
        (wrong.SwallowsTheLast, "what_was_sent_before_the_end_arrives"),
        (wrong.CallsTheEndAFault, "what_was_sent_before_the_end_arrives"),
        (wrong.SendsAfterTheEnd, "after_the_end_nothing_is_sent_or_received"),
        (wrong.ClosesOneWay, "the_end_wakes_who_waits_for_a_frame"),
        (wrong.ClosesOneWay, "the_end_wakes_who_waits_to_send"),
        (wrong.ClosesOnce, "closing_again_does_nothing"),
        (wrong.BlamesItself, "a_frame_over_the_limit_is_refused_in_words_or_carried_whole"),
        (wrong.LeavesATask, "nothing_goes_on_when_it_is_left_in_the_middle"),
        (wrong.LeavesAFile, "nothing_goes_on_when_it_is_left_in_the_middle"),
        (wrong.LeavesAThread, "nothing_goes_on_when_it_is_left_in_the_middle"),
        (wrong.Changes, "replicas_meet_part_in_the_middle_and_meet_again"),
    ],
    ids=lambda one: getattr(one, "__name__", one),
)
@pytest.mark.usefixtures("impatient")
def test_a_channel_with_a_mistake_is_found(kind, test):
    """By the test that is about it; none of them passes whatever it is given."""
    tested = ChannelConformance()
    tested.open = kind.open
    with pytest.raises((AssertionError, ChannelClosed, OSError)):
        getattr(tested, f"test_{test}")()


def test_a_channel_without_a_mistake_passes_the_same():
    """What the broken ones are made of is not broken."""
    tested = ChannelConformance()
    tested.open = wrong.Broken.open
    tested.test_frames_arrive_as_they_were_sent()
    tested.test_the_end_wakes_who_waits_to_send()
