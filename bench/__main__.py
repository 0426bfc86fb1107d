"""Measure Anabranch beside its peers and beside what can be written by hand; write bench/results.md and its
picture.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import sys
import time
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import machine
from bench.picture import picture
from bench.report import Section, bars, page, panels
from bench.run import Bench
from bench.table import Size

HERE = Path(__file__).parent
PICTURE = "results.svg"
WORKLOADS = (
    "append", "catchup", "heal", "present", "disk", "live", "tiny", "fanout", "typed", "late", "past", "growth",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", help=f"workloads, with commas between them; there are {', '.join(WORKLOADS)}")
    parser.add_argument("--times", type=int, help="repetitions of each measurement (default: 3)")
    parser.add_argument("--quick", action="store_true", help="a smoke run: small, once, its figures mean nothing")
    parser.add_argument(
        "--out", type=Path, help="the folder to write to (default: bench; nowhere with --quick or --only)"
    )
    chosen = parser.parse_args()
    names = chosen.only.split(",") if chosen.only else WORKLOADS
    for name in names:
        if name not in WORKLOADS:
            parser.error(f"there is no workload {name!r}; there are {', '.join(WORKLOADS)}")
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # as Ctrl-C: processes end, folders go
    times = chosen.times or (1 if chosen.quick else 3)
    options = (chosen.quick and "--quick", chosen.only and f"--only {chosen.only}", f"--times {times}")
    command = " ".join(("python -m bench", *filter(None, options)))
    size = Size(chosen.quick, os.environ.get("BENCH_TRACE", ""))
    out = chosen.out or (None if chosen.quick or chosen.only else HERE)
    sys.exit(asyncio.run(measure(list(names), size, times, out, command)))


async def measure(names: list[str], size: Size, times: int, out: Path | None, command: str) -> int:
    """Run workloads and write what they found; 1 where something failed."""
    begun, sections, text = time.perf_counter(), list[Section](), ""
    notes = notes_of((HERE / "notes.md").read_text())
    with TemporaryDirectory(prefix="anabranch-bench-") as prepared:
        bench = Bench(prepared, times, lambda words: print(words, flush=True), 4 if size.quick else 1)
        for name in names:
            module = import_module(f"bench.workloads.{name}")
            start = time.perf_counter()
            print(name, flush=True)
            tables = [(table, await bench.measure(table)) for table in module.tables(size)]
            seconds = time.perf_counter() - start
            sections.append(Section(name, (module.__doc__ or "").strip(), notes.get(name, ""), tables, seconds))
            print(f"  ({seconds:.0f} s)", flush=True)
            text = page(machine.header(command, times, time.perf_counter() - begun), PICTURE, sections)
            if out is not None:  # after each workload: a run that is ended leaves what it had
                (out / "results.md").write_text(text)
                (out / PICTURE).write_text(picture(bars(sections), panels(sections), machine.words()))
    print(f"\n{text}")
    return int(any(one.failed for section in sections for _, found in section.tables for one in found.values()))


def notes_of(text: str) -> dict[str, str]:
    """The hand-kept notes, by workload: what stands below `## name`."""
    parts = re.split(r"^## (\w+)\n", text, flags=re.MULTILINE)
    return {name: words.strip() for name, words in zip(parts[1::2], parts[2::2], strict=True)}


if __name__ == "__main__":
    main()
