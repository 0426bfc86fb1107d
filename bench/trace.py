"""An editing trace: what somebody typed and deleted, one patch after the other, as (where, how many go, what
comes).

The file is JSON in gzip as in github.com/josephg/editing-traces (`txns`, each with `patches`; `endContent`). Its
path is in the environment variable BENCH_TRACE; it is not a part of this project.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable

Edit = tuple[int, int, str]


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
