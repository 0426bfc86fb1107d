"""A listening replica and the rest of the world: real sockets, hostile peers, honest ones beside them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
import tracemalloc
from random import Random

import msgspec
import pytest
from websockets.asyncio.client import connect as dial
from websockets.asyncio.server import serve as listen
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.utils import accept_key

from replica import Replica
from replica.meeting import HORIZON
from sync import Gates, Node, connect, converse, linked, serve
from sync.link import Link
from sync.message import FORMAT, MAX_FRAME, Batch, Bye, Have, Hello, decode, encode
from sync.protocol import BATCH, WINDOW
from sync.websocket import BOUNDS
from tests.loop import in_loop, until
from tests.shop import HOME, AddItem, Count, GiveTitle, ItemAdded, ShoppingList, Write
from tests.test_protocol import forged_log

NOW = 1_800_000_000_000


def opened(name="alice", path=":memory:", store="shop", **options):
    return Replica.open(path, store=store, name=name, aggregates=[ShoppingList], **options)


def hello(**changes: object) -> bytes:
    honest = Hello(FORMAT, "shop", 4242, "stranger", b"nonce", NOW + HORIZON)
    return encode(msgspec.structs.replace(honest, **changes))


async def goodbye(websocket) -> str:
    """The kind of fault that the peer gave before it left."""
    with contextlib.suppress(ConnectionClosed):
        async for frame in websocket:
            message = decode(frame)
            if isinstance(message, Bye):
                return message.kind
    return "closed without a word"


# --- honest peers ---


@in_loop
async def test_replicas_part_write_on_and_meet_again_over_websockets(tmp_path):
    """Two files, a real socket, a cut, writes on both sides, a heal."""
    gates = Gates()
    async with (
        opened("alice", tmp_path / "a.db") as alice,
        opened("bob", tmp_path / "b.db") as bob,
        serve(alice) as server,
        connect(bob, server.url, gates=gates) as link,
    ):
        await alice.execute(HOME, AddItem("milk"))
        await until(lambda: alice.version == bob.version)
        gates.cut()
        await alice.execute(HOME, GiveTitle("left"))
        await bob.execute(HOME, GiveTitle("right"))
        await asyncio.sleep(0.05)
        assert alice.version != bob.version
        gates.heal()
        await until(lambda: alice.version == bob.version)
        assert await alice.digest(HOME) == await bob.digest(HOME)
        await until(lambda: link.status().in_sync)
        assert link.status().peer == alice.status().replica


@in_loop
async def test_many_peers_hang_on_one_server_and_hear_each_other():
    """Eight replicas that all know only one: it relays."""
    async with contextlib.AsyncExitStack() as stack:
        hub = await stack.enter_async_context(opened("hub"))
        server = await stack.enter_async_context(serve(hub))
        leaves = [await stack.enter_async_context(opened(f"leaf{n}")) for n in range(8)]
        for leaf in leaves:
            await stack.enter_async_context(connect(leaf, server.url))
        await asyncio.gather(*(leaf.execute(HOME, Count(1)) for leaf in leaves))
        await until(lambda: all(leaf.version == hub.version for leaf in leaves) and len(hub.version) == 8)
        assert {(await leaf.present(HOME)).count.value for leaf in leaves} == {8}
        assert len(server.links) == 8


@in_loop
async def test_a_peer_that_is_not_there_yet_is_dialled_until_it_is(tmp_path):
    """And again after it has gone and come back on the same port."""
    async with opened("alice") as alice, serve(alice) as server:
        port = server.port
    async with opened("bob") as bob, connect(bob, f"ws://127.0.0.1:{port}") as link:
        for _ in range(2):
            async with opened("alice", tmp_path / "a.db") as alice, serve(alice, port=port):
                await alice.execute(HOME, Count(1))
                await until(lambda: alice.version == bob.version)
            await until(lambda: link.status().state == "waiting")
        assert link.status().sessions >= 2


@in_loop
async def test_links_in_both_directions_and_doubled_links_are_harmless():
    """Each dials the other, and once more: the same commits arrive several times."""
    async with (
        opened("alice") as alice,
        opened("bob") as bob,
        serve(alice) as here,
        serve(bob) as there,
        connect(alice, there.url),
        connect(bob, here.url),
        connect(bob, here.url) as again,
    ):
        for n in range(20):
            await asyncio.gather(alice.execute(HOME, AddItem(f"{n}")), bob.execute(HOME, Count(1)))
        await until(lambda: alice.version == bob.version)
        assert await alice.digest(HOME) == await bob.digest(HOME)
        assert again.status().error is None


@pytest.mark.parametrize(
    "trouble",
    [
        {"loss": 0.3},
        {"duplicate": 0.5},
        {"reorder": 0.4},
        {"delay": 0.02},
        {"loss": 0.2, "reorder": 0.3, "delay": 0.01},
    ],
    ids=lambda trouble: "+".join(trouble),
)
@in_loop
async def test_honest_loss_duplicates_and_delay_end_nothing(trouble):
    """Gates in both directions make trouble while both sides write; when it ends they agree."""
    gates = Gates()
    for number, gate in enumerate((gates.outgoing, gates.incoming)):
        gate.random = Random(number)
        for name, value in trouble.items():
            setattr(gate, name, value)
    async with opened("alice") as alice, opened("bob") as bob, linked(alice, bob, gates) as link:
        for n in range(30):
            await asyncio.gather(alice.execute(HOME, AddItem(f"{n}")), bob.execute(HOME, Write("é")))
            await asyncio.sleep(0.002)
        for gate in (gates.outgoing, gates.incoming):
            gate.loss = gate.duplicate = gate.reorder = gate.delay = 0
        gates.heal()
        await until(lambda: alice.version == bob.version)
        assert await alice.digest(HOME) == await bob.digest(HOME)
        assert (link.status().error, link.status().sessions) == (None, 1)


@in_loop
async def test_one_direction_may_fail_alone():
    """A gate shut one way: nothing comes through it, and it all comes when it opens."""
    gates = Gates()
    async with opened("alice") as alice, opened("bob") as bob, linked(alice, bob, gates) as link:
        await until(lambda: link.status().state == "talking")
        gates.incoming.open = False
        await alice.execute(HOME, AddItem("milk"))
        await bob.execute(HOME, AddItem("eggs"))
        await until(lambda: len(bob.version) == 2)
        assert len(alice.version) == 1
        gates.heal()
        await until(lambda: alice.version == bob.version)


@in_loop
async def test_a_link_that_is_closed_dials_again():
    """`close` ends the connection below; the link goes on with another one."""
    gates = Gates()
    async with opened("alice") as alice, opened("bob") as bob, serve(alice) as server:
        async with connect(bob, server.url, gates=gates) as link:
            await until(lambda: link.status().state == "talking")
            gates.close()
            await until(lambda: link.status().sessions == 2)
            await alice.execute(HOME, AddItem("milk"))
            await until(lambda: alice.version == bob.version)


@in_loop
async def test_a_dead_link_is_noticed_within_five_seconds():
    """A peer that stops reading and answering, without closing anything; the bounds add up to 5 s."""
    assert sum(BOUNDS[name] for name in ("ping_interval", "ping_timeout", "close_timeout")) <= 5
    enough = asyncio.Event()

    async def freeze(reader, writer):
        request = await reader.readuntil(b"\r\n\r\n")
        (key,) = [line for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")]
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept_key(key.split(b": ")[1].decode()).encode() + b"\r\n\r\n"
        )
        await enough.wait()
        writer.close()
        await writer.wait_closed()

    dead = await asyncio.start_server(freeze, "127.0.0.1", 0)
    url = f"ws://127.0.0.1:{dead.sockets[0].getsockname()[1]}"
    async with opened("bob") as bob, connect(bob, url, handshake=60) as link:
        await until(lambda: link.session is not None)
        first = link.session
        await until(lambda: first.closed)
        enough.set()
    dead.close()
    await dead.wait_closed()


# --- who may come in ---


@in_loop
async def test_a_wrong_token_is_refused_and_said_on_both_sides():
    """No session begins; the dialler's link ends with `token`, the server counts."""
    async with opened("alice") as alice, opened("bob") as bob, serve(alice, token="right") as server:
        for token in (None, "wrong"):
            async with connect(bob, server.url, token=token) as link:
                await until(lambda: link.ended)
                assert link.error is not None
                assert link.error.kind == "token"
        assert server.refused == 2
        async with connect(bob, server.url, token="right"):
            await alice.execute(HOME, AddItem("milk"))
            await until(lambda: alice.version == bob.version)


@in_loop
async def test_a_request_from_a_page_is_refused_unless_its_origin_is_listed():
    """Any page in a browser may dial loopback; the browser says which page it is."""
    async with opened("alice") as alice, serve(alice, origins=["https://shop.example"]) as server:
        with pytest.raises(InvalidStatus, match="403"):
            await dial(server.url, origin="https://evil.example").__aenter__()
        assert server.refused == 1
        async with dial(server.url, origin="https://shop.example") as websocket:
            assert isinstance(decode(await websocket.recv()), Hello)


@in_loop
async def test_nothing_listens_or_dials_off_loopback_in_the_clear():
    """TLS is asked for where others could read along, and nothing is started."""
    async with opened("alice") as alice:
        with pytest.raises(ValueError, match="TLS"):
            async with serve(alice, "0.0.0.0"):
                pass
        with pytest.raises(ValueError, match="in the clear"):
            async with connect(alice, "ws://192.0.2.1:7001"):
                pass
        with pytest.raises(ValueError, match="no address"):
            async with connect(alice, "http://127.0.0.1:7001"):
                pass


@pytest.mark.parametrize(("changes", "kind"), [({"store": "bank"}, "store"), ({"format": 7}, "format")])
@in_loop
async def test_a_peer_of_another_store_or_format_ends_for_good_on_both_sides(changes, kind):
    """Waiting does not mend it: one typed error here, the same there."""
    async with opened("alice") as alice, serve(alice) as server, dial(server.url) as websocket:
        await websocket.send(hello(**changes))
        assert await goodbye(websocket) == kind
        await until(lambda: server.ended)
        assert f"`{kind}`" in str(server.ended[0].error)
        async with opened("bob", store="bank") as bob, connect(bob, server.url) as link:
            await until(lambda: link.ended)
            assert link.error is not None
            assert link.error.kind == "store"


@pytest.mark.parametrize("token", ["", " x", "é", "a\nb"])
@in_loop
async def test_a_token_that_no_header_carries_is_refused_at_once(token):
    """Rather than never matching itself."""
    async with opened("alice") as alice:
        with pytest.raises(ValueError, match="token is printable ASCII"):
            async with serve(alice, token=token):
                pass


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("ws://user:secret@127.0.0.1:1", {}, "pass `token=`"),
        ("http://user:secret@127.0.0.1:1", {}, "pass `token=`"),
        ("ws://user:secret@127.0.0.1:many", {}, "pass `token=`"),
        ("ws://127.0.0.1:0/?token=secret", {}, "no address"),
        ("ws://127.0.0.1:99999", {}, "1 to 65535"),
        ("ws://127.0.0.1:1", {"ssl": ssl.create_default_context()}, "use wss://"),
    ],
    ids=["user", "scheme", "many", "query", "port", "tls"],
)
@in_loop
async def test_an_address_that_cannot_be_meant_is_refused_at_once(url, options, words):
    """And no secret is repeated."""
    async with opened("alice") as alice:
        with pytest.raises(ValueError, match=words) as refused:
            async with connect(alice, url, **options):
                pass
        assert "secret" not in str(refused.value)


@in_loop
async def test_why_a_peer_cannot_be_reached_is_in_status():
    """Nobody listens: the link waits, dials again, and says why."""
    async with opened("alice") as alice, connect(alice, "ws://127.0.0.1:1") as link:
        await until(lambda: link.status().error)
        assert link.status().state == "waiting"
        assert "refused" in link.status().error.lower()


@in_loop
async def test_a_server_that_hangs_up_is_dialled_ever_more_slowly():
    """It accepts and closes: a handful of dials in a second, not hundreds."""
    dialled = []

    async def hang_up(connection):
        dialled.append(connection)

    async with opened("bob") as bob, listen(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(bob, f"ws://127.0.0.1:{port}"):
            await asyncio.sleep(1.5)
        assert 1 <= len(dialled) <= 8


@in_loop
async def test_a_server_of_a_closed_replica_sends_peers_away():
    """And the peers see why in their status."""
    async with contextlib.AsyncExitStack() as stack:
        async with opened("alice") as alice:
            server = await stack.enter_async_context(serve(alice))
        async with opened("bob") as bob, connect(bob, server.url) as link:
            await until(lambda: link.status().error)
            assert "503" in link.status().error
            assert link.status().state == "waiting"


@in_loop
async def test_a_redirect_is_not_followed():
    """Loopback may not send the store, in the clear, to somewhere else."""

    def elsewhere(connection, request):
        response = connection.respond(302, "")
        response.headers["Location"] = server.url
        return response

    async with opened("alice") as alice, opened("bob") as bob, serve(alice) as server:
        async with listen(None, "127.0.0.1", 0, process_request=elsewhere) as redirecting:
            port = redirecting.sockets[0].getsockname()[1]
            async with connect(bob, f"ws://127.0.0.1:{port}") as link:
                await until(lambda: link.status().error)
                assert "302" in link.status().error
                assert server.links == []


@in_loop
async def test_gates_opened_one_by_one_are_healed_too():
    """Setting both open is what `heal` does."""
    gates = Gates()
    gates.cut()
    async with opened("alice") as alice, opened("bob") as bob, serve(alice) as server:
        async with connect(bob, server.url, gates=gates):
            await alice.execute(HOME, AddItem("milk"))
            gates.outgoing.open = True
            gates.incoming.open = True
            await until(lambda: alice.version == bob.version)


# --- hostile input ---


async def recorded_frames(count: int = 12) -> list[bytes]:
    """The frames of a real session: what a peer said while it caught up."""
    frames: list[bytes] = []
    async with opened("alice") as alice, serve(alice) as server:
        for n in range(30):
            await alice.execute(HOME, AddItem(f"item {n}"))
        async with dial(server.url) as websocket:
            await websocket.send(hello())
            await websocket.send(encode(Have(1, [], True)))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.3):
                    while len(frames) < count:
                        frames.append(await websocket.recv())
    return frames


def mangled(frames: list[bytes], random: Random) -> list[bytes]:
    """A session in which one frame is random, cut short, or has a flipped bit."""
    at = random.randrange(len(frames))
    frame = bytearray(frames[at])
    match random.randrange(3):
        case 0:
            frame = bytearray(random.randbytes(random.randrange(1, 400)))
        case 1:
            del frame[random.randrange(len(frame)) :]
        case 2:
            frame[random.randrange(len(frame))] ^= 1 << random.randrange(8)
    return [*frames[:at], bytes(frame)]


@in_loop
async def test_mangled_sessions_leave_the_log_as_it_was_and_honest_peers_alone():
    """Random, truncated and bit-flipped frames of real sessions, a hundred times, beside an honest peer."""
    frames = await recorded_frames()
    assert any(isinstance(decode(frame), Batch) for frame in frames)
    random = Random(5)
    async with (
        opened("alice") as alice,
        opened("bob") as bob,
        serve(alice) as server,
        connect(bob, server.url) as link,
    ):
        await bob.execute(HOME, AddItem("milk"))
        await until(lambda: alice.version == bob.version)
        kinds = set()
        for _ in range(100):
            async with dial(server.url) as websocket:
                for frame in mangled(frames, random):
                    with contextlib.suppress(ConnectionClosed):
                        await websocket.send(frame)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.1):
                        kinds.add(await goodbye(websocket))
        known = set(alice.version.seqs)
        assert {"unreadable", "invalid-batch"} <= kinds
        assert "closed without a word" not in kinds
        assert all(status.error for status in server.ended)
        await bob.execute(HOME, AddItem("eggs"))
        await until(lambda: alice.version == bob.version)
        assert len(known) <= 2, "the honest log, and that of the recorded session, whole or not at all"
        assert (link.status().error, link.status().sessions) == (None, 1)


@in_loop
async def test_an_oversize_frame_ends_the_session_on_both_sides():
    """More than 2 MiB is not even read."""
    async with opened("alice") as alice, serve(alice) as server, dial(server.url, max_size=None) as websocket:
        await websocket.send(hello())
        with pytest.raises(ConnectionClosed) as closed:
            await websocket.send(bytes(MAX_FRAME + 1))
            while True:
                await websocket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
        await until(lambda: server.ended)
        assert "`too-large`" in str(server.ended[0].error)


@in_loop
async def test_a_message_in_too_many_fragments_is_called_that():
    """Else who looks for the fault looks for a message of many bytes, and there is none."""
    async with opened("alice") as alice, serve(alice) as server, dial(server.url, max_size=None) as websocket:
        await websocket.send(hello())
        with contextlib.suppress(ConnectionClosed):
            await websocket.send([b""] * 5000)
        await until(lambda: server.ended)
        assert "fragments" in server.ended[0].error
        assert "bytes" not in server.ended[0].error


@in_loop
async def test_what_is_no_websocket_frame_is_called_that():
    """Else a session that ends by garbage looks like one that ended in good order."""
    async with opened("alice") as alice, serve(alice) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\xff" * 64)
        await until(lambda: server.ended)
        assert "rules of websockets" in server.ended[0].error
        writer.close()


@in_loop
async def test_no_token_is_logged(caplog):
    """At DEBUG, on either side, the right one or a wrong one, in a request or in one that cannot be read."""
    caplog.set_level(logging.DEBUG)
    async with opened("alice") as alice, opened("bob") as bob, serve(alice, token="right-secret") as server:
        async with connect(bob, server.url + "/?token=third-secret", token="right-secret") as link:
            await until(lambda: link.status().in_sync)
            assert "secret" not in link.status().where
        async with connect(bob, server.url, token="wrong-secret") as link:
            await until(lambda: link.ended)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nAuthorization Bearer right-secret\r\n\r\n")
        await reader.read()
        writer.close()
        assert "secret" not in repr((link, server, link.status(), asyncio.all_tasks()))
    assert "(not logged)" in caplog.text
    assert "secret" not in caplog.text


@in_loop
async def test_a_forged_batch_ends_its_session_and_changes_nothing(tmp_path):
    """A broken chain, over a real socket, into a real file."""
    async with opened("alice", tmp_path / "a.db") as alice, serve(alice) as server:
        await alice.execute(HOME, AddItem("milk"))
        before = await alice.read(lambda reader: reader.log.contents())
        (piece,) = forged_log(NOW)
        async with dial(server.url) as websocket:
            await websocket.send(hello())
            await websocket.send(encode(Have(1, [], False)))
            await websocket.send(encode(Batch(1, 1, [msgspec.structs.replace(piece, head=b"9" * 32)])))
            assert await goodbye(websocket) == "invalid-batch"
        assert await alice.read(lambda reader: reader.log.contents()) == before
        await until(lambda: server.ended)
        assert "the chain is broken" in str(server.ended[0].error)


@in_loop
async def test_two_hundred_connections_that_never_speak_are_ended_and_disturb_nobody():
    """Each is told after the time for a handshake; an honest session beside them goes on."""
    async with (
        opened("alice") as alice,
        opened("bob") as bob,
        serve(alice, handshake=2) as server,
        connect(bob, server.url) as link,
        contextlib.AsyncExitStack() as stack,
    ):
        await until(lambda: link.status().state == "talking")
        silent = [await stack.enter_async_context(dial(server.url)) for _ in range(200)]
        await alice.execute(HOME, AddItem("milk"))
        await until(lambda: alice.version == bob.version)
        assert {await goodbye(websocket) for websocket in silent} == {"silent"}
        await until(lambda: len(server.links) == 1)
        assert (link.status().error, link.status().sessions) == (None, 1)


@in_loop
async def test_a_server_has_room_for_so_many_links_and_no_more():
    """The next one is told to come again later."""
    async with opened("alice") as alice, serve(alice, max_links=2) as server:
        async with dial(server.url), dial(server.url):
            with pytest.raises(InvalidStatus, match="503"):
                await dial(server.url).__aenter__()
        await until(lambda: not server.links)
        assert server.refused == 1


@in_loop
async def test_a_slow_reader_does_not_grow_the_senders_memory(tmp_path):
    """A peer asks for everything and reads nothing, while much is written: the rest stays in the file."""
    async with opened("alice", tmp_path / "a.db") as alice, serve(alice) as server:
        for n in range(120):
            await alice.append(HOME, *[ItemAdded(f"{n}.{k}".ljust(60_000)) for k in range(4)])
        async with dial(server.url) as websocket:
            await websocket.send(hello())
            await websocket.send(encode(Have(1, [], True)))
            await until(
                lambda: (
                    server.links
                    and server.links[0].session is not None
                    and server.links[0].session.theirs is not None
                )
            )
            tracemalloc.start()
            try:
                for n in range(250):
                    await alice.execute("list/work", GiveTitle(f"{n}".ljust(60_000)))
                await asyncio.sleep(0.2)
                grown, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert grown < (WINDOW + 2) * BATCH
            assert await alice.present("list/work")


@in_loop
async def test_a_node_runs_a_replica_with_its_links(tmp_path):
    """One value says how the replica and all its links are."""

    def node(name, **options):
        return Node.open(
            tmp_path / f"{name}.db", store="shop", name=name, aggregates=[ShoppingList], token="t", **options
        )

    async with node("alice", port=0) as alice, node("bob", peers=[alice.server.url]) as bob:
        await bob.replica.execute(HOME, AddItem("milk"))
        await until(lambda: alice.replica.version == bob.replica.version)
        status = bob.status()
        assert status.replica.name == "bob"
        assert [link.state for link in status.links] == ["talking"]
        assert str(status.links[0].peer) == "alice"
        assert alice.status().url == alice.server.url
        with pytest.raises(ValueError, match="dialled already"):
            await bob.dial(alice.server.url)


class Stuck:
    """A channel whose other end neither reads nor says anything."""

    def __init__(self) -> None:
        self.closed = False

    async def send(self, frame: bytes) -> None:
        await asyncio.Event().wait()

    async def receive(self) -> bytes:
        await asyncio.Event().wait()
        raise AssertionError

    async def close(self) -> None:
        self.closed = True


@in_loop
async def test_a_conversation_that_is_cancelled_twice_leaves_nothing_running():
    """Whoever is in a hurry does not wait for its last words; its tasks end all the same, and the channel."""
    async with opened() as alice:
        channel, before = Stuck(), asyncio.all_tasks()
        talk = asyncio.create_task(converse(alice, channel, Link("nowhere")))
        await asyncio.sleep(0.05)
        for _ in range(2):
            talk.cancel()
            await asyncio.sleep(0.05)
        with pytest.raises(asyncio.CancelledError):
            await talk
        assert channel.closed
        assert asyncio.all_tasks() <= before


@in_loop
async def test_nobody_is_silent_for_a_stall_of_this_process():
    """What a peer has said counts, though this process was too busy for longer than a handshake may take."""
    async with opened("alice") as alice, serve(alice, handshake=0.4) as server, dial(server.url) as websocket:
        await until(lambda: server.links)
        time.sleep(0.6)  # noqa: ASYNC251  (the stall)
        await websocket.send(hello())
        await asyncio.sleep(0.2)
        assert server.links[0].session.peer is not None
        await asyncio.sleep(0.6)
        assert server.links[0].status().error is None, "it has said who it is, and may wait for its turn"
        await websocket.send(encode(Have(1, [], False)))
        await until(lambda: server.links[0].status().state == "talking")
