"""An editing trace: what somebody typed and deleted, one patch after the other, as (where, how many go, what
comes).

The file is JSON in gzip as in github.com/josephg/editing-traces (`txns`, each with `patches`; `endContent`). Its
path is in the environment variable BENCH_TRACE; it is not a part of this project.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator

Edit = tuple[int, int, str]
PAUSE = 40
"""Characters after which a run of typing is recorded at the latest."""


def read(path: str) -> tuple[list[Edit], str]:
    """The edits, and the text in the end."""
    with gzip.open(path) as file:
        found = json.load(file)
    edits = [(at, gone, new) for one in found["txns"] for at, gone, new in one["patches"]]
    return edits, found["endContent"]


def played(edits: Iterable[Edit]) -> str:
    """The text after some edits."""
    text: list[str] = []
    for at, gone, new in edits:
        text[at : at + gone] = new
    return "".join(text)


def coalesced(edits: Iterable[Edit]) -> Iterator[Edit]:
    """Keystrokes that continue each other, as one edit: typing on, deleting forwards and backwards."""
    held: Edit | None = None
    for at, gone, new in edits:
        if held is not None:
            begin, lost, typed = held
            if not gone and at == begin + len(typed) and len(typed) < PAUSE and (typed or not lost):
                held = (begin, lost, typed + new)
                continue
            if not new and not typed and at + gone == begin:
                held = (at, lost + gone, "")
                continue
            if not new and not typed and at == begin:
                held = (begin, lost + gone, "")
                continue
            yield held
        held = (at, gone, new)
    if held is not None:
        yield held
