"""Healing a partition: two replicas with 50,000 events each that the other has not seen meet and exchange them.

Anabranch: two durable replicas in one process, over a loopback websocket, from connecting until both hold
everything in their files, and until both presents have been read. Each event is a commit of its own, on one stream.
Each repetition starts from copies of the same two files. pycrdt and loro: two documents in memory and in one
process, versions and updates handed over as bytes; no socket, nothing stored. pycrdt keeps no history: of 50,000
sets it hands over the 1,000 that are left.
"""

from __future__ import annotations

import shutil
import time
from functools import cache
from tempfile import TemporaryDirectory
from typing import Any

from bench import peers
from bench.basket import HOME, HOST, fill, opened, together
from bench.table import Figures, Run, compare
from sync import connect, serve


async def main(run: Run) -> None:
    half = run.size(50_000, 1_000)
    with TemporaryDirectory() as folder:
        for name in ("a", "b"):
            async with opened(folder, name, "normal") as replica:
                await fill(replica, half)

        async def anabranch() -> Figures:
            with TemporaryDirectory() as copies:
                for name in ("a", "b"):
                    shutil.copy(f"{folder}/{name}.db", copies)
                async with opened(copies, "a") as a, opened(copies, "b") as b, serve(a, HOST, 0) as server:
                    start = time.perf_counter()
                    async with connect(b, f"ws://{HOST}:{server.port}"):
                        await together(a, b)
                        durable = time.perf_counter() - start
                        presents = await a.present(HOME), await b.present(HOME)
                        read = time.perf_counter() - start
                        assert presents[0].items == presents[1].items
                        return {"s to all": durable, "s to presents": read}

        contenders = {"anabranch, durable": anabranch, "pycrdt, memory": _Pycrdt(half), "loro, memory": _Loro(half)}
        await compare(f"{half:,} + {half:,} concurrent events", contenders, run.times)


class _Pycrdt:
    """Two documents that part and meet. The updates of each half are made once."""

    def __init__(self, half: int) -> None:
        self.halves = cache(lambda _: peers.pycrdt_doc(half).get_update())

    async def __call__(self) -> Figures:
        a, b = peers.pycrdt_doc(), peers.pycrdt_doc()
        a.apply_update(self.halves("a"))
        b.apply_update(self.halves("b"))
        start = time.perf_counter()
        news_of_a, news_of_b = a.get_update(b.get_state()), b.get_update(a.get_state())
        a.apply_update(news_of_b)
        b.apply_update(news_of_a)
        return _read(start, lambda: [peers.pycrdt_map(doc).to_py() for doc in (a, b)])


class _Loro:
    """The same with loro."""

    def __init__(self, half: int) -> None:
        self.halves = cache(lambda _: peers.loro_doc(half).fork())

    async def __call__(self) -> Figures:
        a, b = self.halves("a").fork(), self.halves("b").fork()
        start = time.perf_counter()
        news_of_a, news_of_b = (
            peers.loro_updates(a, b.oplog_vv.encode()),
            peers.loro_updates(b, a.oplog_vv.encode()),
        )
        a.import_(news_of_b)
        b.import_(news_of_a)
        return _read(start, lambda: [doc.get_map(peers.MAP).get_value() for doc in (a, b)])


def _read(start: float, presents: Any) -> Figures:
    merged = time.perf_counter() - start
    one, other = presents()
    read = time.perf_counter() - start
    assert one == other
    return {"s to all": merged, "s to presents": read}
