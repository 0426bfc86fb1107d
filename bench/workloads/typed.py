"""An editing trace, typed into one text: 259,778 edits, nearly all of a single character.

Anabranch: each edit is a command that is decided on the present, an event, and durable (FULL), a thousand under
way at a time. Coalesced: forty keystrokes, which take some seconds, are one event (`Text.edit`). What takes more
than a minute is left at the edits that were made until then. pycrdt, yjs and loro alone: a document in memory,
one transaction an edit, whose update is taken out. The trace is in the file that the environment variable
BENCH_TRACE names; without it this is left out.
"""

from __future__ import annotations

from dataclasses import replace

from bench.job import Job
from bench.table import BESIDE, OURS, PEER, Contender, Row, Size, Table


def tables(size: Size) -> list[Table]:
    if not size.trace:
        print("  THE EDITING TRACE IS LEFT OUT: BENCH_TRACE does not name its file")
        return []
    job = Job(count=size(0, 2_000))
    module = "bench.peers.typed"
    contenders = (
        Contender("anabranch", OURS, (f"{module}:anabranch",), job, times=2),
        Contender(
            "anabranch, coalesced", OURS, (f"{module}:anabranch",), replace(job, option="coalesced"), times=2
        ),
        Contender("pycrdt alone", PEER, (f"{module}:pycrdt",), job, times=2),
        Contender(
            "pycrdt alone, coalesced", BESIDE, (f"{module}:pycrdt",), replace(job, option="coalesced"), times=2
        ),
        Contender("yjs alone", BESIDE, ("typed.mjs all",), job, times=2),
        Contender("loro alone", BESIDE, (f"{module}:loro",), job, times=2),
    )
    alone = "pycrdt alone"
    rows = (
        Row(
            "editing trace, each keystroke an event, s",
            "s",
            "within 1.3 of pycrdt alone",
            lambda found: (found.ours or 0) <= 1.3 * found.of(alone),
            among=("anabranch", alone),
        ),
        Row(
            "the same, keystrokes coalesced, s",
            "s",
            "ahead of pycrdt alone",
            lambda found: found.ahead(alone),
            among=("anabranch, coalesced", alone),
        ),
    )
    return [Table("The whole trace", ("s", "us an edit", "B an edit", "edits"), contenders, rows)]
