"""Anabranch: files that are made once, catching up, healing, and presents."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import time
from pathlib import Path
from typing import Any

from bench import keys
from bench.job import HOST, Figures, Job, size_of
from bench.keys import HOME, Keys, opened
from merge.version import VersionVector
from replica import Replica
from replica.folding import fold_apart
from replica.place import START
from replica.snapshot import Loaded
from sync import connect, serve

PATIENCE = 200
_copies = itertools.count()


class KeysAnew(Keys):
    """The same, by code of another version: no snapshot serves, and a present is folded from its whole log."""

    fold_version = 2


async def prepare(job: Job) -> Figures:
    """A closed and sealed file of `count` events."""
    path = job.name("anabranch") + ".db"
    async with opened(path, "source", "normal") as replica:
        if job.count <= keys.BY_API and job.ids <= keys.IDS:
            await keys.write_in_turns(replica, job.count, job.ids, job.streams)
        else:
            for batch in keys.logs(job.count, job.ids, streams=job.streams):
                await replica.ingest(batch)
        await rest(replica, job)
    return {"bytes": size_of(path), "bytes an event": size_of(path) / job.count}


async def prepare_halves(job: Job) -> Figures:
    """Two files that share a tenth of the events, and have `other` each that the other has not seen."""
    here, there = (f"{job.name('anabranch')}-{side}.db" for side in "ab")
    async with opened(here, "a", "normal") as a, opened(there, "b", "normal") as b:
        await keys.write_in_turns(a, job.count, 2, job.streams)
        async with serve(a, HOST, 0) as server, connect(b, server.url):
            await b.wait_for(a.version)
        for seed, replica in enumerate((a, b), 1):
            await keys.write_in_turns(replica, job.other, job.ids // 2, job.streams, seed)
            await rest(replica, job)
            Path(f"{job.name('anabranch')}-{replica.name}.json").write_text(json.dumps(seqs(replica)))
    return {}


async def rest(replica: Replica, job: Job) -> None:
    """Until all full blocks are sealed, and what was asked for has been folded."""
    for stream in keys.read_of(job.streams):
        await replica.present(stream)
    async with asyncio.timeout(PATIENCE):
        while replica.core.ripe:
            await asyncio.sleep(0.01)


def copied(job: Job, side: str = "") -> str:
    """A copy of what was prepared, to be written to."""
    path = f"{job.folder}/copy{next(_copies)}.db"
    shutil.copyfile(f"{job.name('anabranch')}{side}.db", path)
    return path


async def read(replica: Replica, streams: int) -> int:
    """Read presents; how many keys they have."""
    return sum([len(keys.values(await replica.present(name))) for name in keys.read_of(streams)])


def seqs(replica: Replica) -> dict[str, int]:
    """A version, as words of JSON."""
    return {str(int(dot.replica)): dot.seq for dot in replica.version}


def version(seqs: Any) -> VersionVector:
    return VersionVector({int(replica): seq for replica, seq in seqs.items()})


async def serve_all(job: Job) -> Figures:
    """A replica that holds all, and listens."""
    async with opened(copied(job), "source") as replica, serve(replica, HOST, 0) as server:
        await read(replica, job.streams)
        await job.serve(server.port, version=seqs(replica))
    return {}


async def catch_up(job: Job) -> Figures:
    """From connecting an empty durable replica, that somebody looks at, until it holds and has folded all."""
    async with opened(f"{job.folder}/empty.db", "empty") as replica:
        await read(replica, job.streams)
        start = time.perf_counter()
        async with connect(replica, job.url):
            async with asyncio.timeout(PATIENCE):
                await replica.wait_for(version(job.ready["version"]))
            durable = time.perf_counter()
            found = await read(replica, job.streams)
            end = time.perf_counter()
        assert job.streams > 1 or found == keys.keys_of(job.count)
        return {"ms": (end - start) * 1000, "ms to durable": (durable - start) * 1000}
    raise AssertionError


async def heal_here(job: Job) -> Figures:
    """One of two that meet again: it says when it had everything, folded."""
    async with opened(copied(job, "-a"), "a") as replica, serve(replica, HOST, 0) as server:
        await read(replica, job.streams)
        folding = asyncio.create_task(folded(replica, job, "b"))
        await job.serve(server.port)
        return {"end": await folding}
    raise AssertionError


async def heal_there(job: Job) -> Figures:
    """The other one, which dials."""
    async with opened(copied(job, "-b"), "b") as replica:
        await read(replica, job.streams)
        start = time.perf_counter()
        async with connect(replica, job.url):
            end = await folded(replica, job, "a")
            await job.linger()
        return {"start": start, "end": end}
    raise AssertionError


async def folded(replica: Replica, job: Job, side: str) -> float:
    """When all that was prepared for the other side was here, durable and folded."""
    theirs = version(json.loads(Path(f"{job.name('anabranch')}-{side}.json").read_text()))
    async with asyncio.timeout(PATIENCE):
        await replica.wait_for(theirs)
    await read(replica, job.streams)
    return time.perf_counter()


async def present(job: Job) -> Figures:
    """From opening a file until a present is read: with what was folded before, or (option `fold`) from its whole
    log.
    """
    kind = KeysAnew if job.option == "fold" else Keys
    path = copied(job)
    start = time.perf_counter()
    async with opened(path, "reader", kind=kind) as replica:
        ready = time.perf_counter()
        found = await read(replica, job.streams)
        end = time.perf_counter()
        assert found
        return {"ms": (end - start) * 1000, "ms to open": (ready - start) * 1000}
    raise AssertionError


async def present_apart(job: Job) -> Figures:
    """A full fold of one stream, one event after the other: what folding by column has to be measured by."""
    async with opened(copied(job), "reader") as replica:
        start = time.perf_counter()
        commits = await replica.read(lambda reader: reader.stream(HOME))
        assert fold_apart(replica.core, HOME, Loaded(None, START, 0, commits))
        return {"ms": (time.perf_counter() - start) * 1000}
    raise AssertionError


async def disk(job: Job) -> Figures:
    """Bytes of the closed and sealed file."""
    return {"bytes an event": size_of(job.name("anabranch") + ".db") / job.count}
