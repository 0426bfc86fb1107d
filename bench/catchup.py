"""Catching up: 100,000 events, each a commit of its own, into an empty replica over a loopback websocket.

Both sides live in one process and one event loop (so each shares the interpreter with its peer). Anabranch: from
connecting until all is durable in the empty replica's file (NORMAL: the peer holds it too), and until the present
has been read from there. pycrdt-websocket: a document of 100,000 updates that set a key of one map, until it is
synced, and the map read; nothing is stored. loro: the same updates, exported, sent as one frame and imported;
nothing is stored. Anabranch and loro send all that happened, pycrdt what is left of it: 1,000 keys. Making the
events is not timed.
"""

from __future__ import annotations

import time
from functools import cache
from tempfile import TemporaryDirectory

from bench import peers
from bench.basket import HOME, HOST, fill, opened, together
from bench.table import Figures, Run, compare
from sync import connect, serve


async def main(run: Run) -> None:
    count = run.size(100_000, 2_000)
    pycrdt_doc, loro_doc = cache(peers.pycrdt_doc), cache(peers.loro_doc)
    with TemporaryDirectory() as folder:
        async with opened(folder, "source", "normal") as source, serve(source, HOST, 0) as server:
            await fill(source, count)

            async def anabranch() -> Figures:
                with TemporaryDirectory() as empty:
                    async with opened(empty, "empty") as target:
                        start = time.perf_counter()
                        async with connect(target, f"ws://{HOST}:{server.port}"):
                            await together(source, target)
                            durable = time.perf_counter() - start
                            present = await target.present(HOME)
                            assert len(present.items) == min(count, 1000)
                            return {"s to all": durable, "s to present": time.perf_counter() - start}

            async def pycrdt() -> Figures:
                async with peers.pycrdt_room(pycrdt_doc(count)) as port:
                    doc = peers.pycrdt_doc()
                    start = time.perf_counter()
                    async with peers.pycrdt_link(doc, port):
                        synced = time.perf_counter() - start
                        assert len(peers.pycrdt_map(doc).to_py()) == min(count, 1000)
                        return {"s to all": synced, "s to present": time.perf_counter() - start}

            async def loro() -> Figures:
                async with peers.loro_room(loro_doc(count)) as port:
                    doc = peers.loro_doc()
                    start = time.perf_counter()
                    async with peers.loro_link(doc, port):
                        synced = time.perf_counter() - start
                        assert len(doc.get_map(peers.MAP).get_value()) == min(count, 1000)
                        return {"s to all": synced, "s to present": time.perf_counter() - start}

            contenders = {
                "anabranch, durable": anabranch,
                "pycrdt-websocket, memory": pycrdt,
                "loro, memory": loro,
            }
            await compare(f"{count:,} events into an empty replica, one process", contenders, run.times)
