"""A present from its log, without a snapshot: by column, and one event after the other (see `replica.bulk`).

100,000 events (1,000,000 with --full) of one writer and of ten, in one stream of a file; and as many in 1,000
streams, of which a hundred are read one by one. From asking until the present is there, in a replica that was just
opened.
"""

from __future__ import annotations

import time
from functools import partial
from tempfile import TemporaryDirectory

from bench.keys import HOME, STORE, Keys, logs
from bench.table import Figures, Measure, Run, compare
from merge.version import NOTHING
from replica import Replica
from replica.folding import fold_apart
from replica.snapshot import Loaded

STREAMS = 1000
ASKED = [f"keys/{number * 7}" for number in range(100)]


async def main(run: Run) -> None:
    count = run.size(1_000_000 if run.full else 100_000, 5_000)
    with TemporaryDirectory() as folder:
        for ids, streams in ((1, 1), (10, 1), (10, STREAMS)):
            path = f"{folder}/{ids}-{streams}.db"
            async with opened(path) as replica:
                await replica.ingest(logs(count, ids, streams=streams))
            asked = [HOME] if streams == 1 else ASKED
            contenders: dict[str, Measure] = {
                "by column": partial(present, path, asked),
                "one after the other": partial(naive, path, asked),
            }
            title = f"{count:,} events in {streams:,} stream{'s'[: streams > 1]}, of {ids} writer{'s'[: ids > 1]}"
            await compare(f"{title}: {len(asked)} read", contenders, run.times)


def opened(path: str) -> Replica:
    return Replica.open(path, store=STORE, name="reader", aggregates=[Keys], durability="normal")


async def present(path: str, streams: list[str]) -> Figures:
    async with opened(path) as replica:
        start, cpu = time.perf_counter(), time.process_time()
        for stream in streams:
            assert len((await replica.present(stream)).items)
        return {"ms": (time.perf_counter() - start) * 1000, "ms of CPU": (time.process_time() - cpu) * 1000}
    raise AssertionError


async def naive(path: str, streams: list[str]) -> Figures:
    async with opened(path) as replica:
        start, cpu = time.perf_counter(), time.process_time()
        for stream in streams:
            commits = await replica.read(lambda reader, stream=stream: reader.stream(stream))  # type: ignore[misc]
            assert fold_apart(replica.core, stream, Loaded(None, NOTHING, 0, commits))
        return {"ms": (time.perf_counter() - start) * 1000, "ms of CPU": (time.process_time() - cpu) * 1000}
    raise AssertionError
