"""What a log looks like to other tools: JSON lines, ShiViz, Mermaid. Decisions go in, lines come out.

| format  | what stands there for an event                                                    |
|---------|-----------------------------------------------------------------------------------|
| jsonl   | one JSON object, as `log --json` prints it (see `sync.output`)                     |
| shiviz  | the event, then its host and vector clock; the first line says how to read that     |
| mermaid | a note over its author, and an arrow from whatever that had newly observed          |

Source: the log format of ShiViz (bestchai.bitbucket.io/shiviz) and Mermaid's sequence diagrams (mermaid.js.org).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from merge.version import VersionVector
from replica.data import to_json
from replica.history import Record
from sync.output import event

SHIVIZ = r"(?<event>.*)\n(?<host>\S*) (?<clock>{.*})"
"""How ShiViz reads what `shiviz` writes: the first line of its file."""
_NOT_IN_MERMAID = re.compile(r"[;#\n\r]")


async def jsonl(decisions: AsyncIterator[tuple[Record, ...]]) -> AsyncIterator[str]:
    """JSON lines, one an event, causes first."""
    async for decision in decisions:
        for record in decision:
            yield to_json(event(record))


async def shiviz(decisions: AsyncIterator[tuple[Record, ...]]) -> AsyncIterator[str]:
    """A log that ShiViz reads. It wants each clock to begin with 1, so the decisions must be all of a past."""
    yield SHIVIZ
    yield ""
    async for decision in decisions:
        for record in decision:
            clock = record.context.advance(*record.dot)
            hosts = {_host(name): seq for name, seq in clock.seqs.items()}
            yield f"{_one_line(str(record))} [{record.stream}]"
            yield f"{_host(record.dot.replica)} {to_json(hosts)}"


def _host(replica: int) -> str:
    """A name without spaces."""
    return re.sub(r"\s", "_", str(replica))


async def mermaid(decisions: AsyncIterator[tuple[Record, ...]]) -> AsyncIterator[str]:
    """A sequence diagram: what each replica recorded, and whose events it had heard of by then."""
    yield "sequenceDiagram"
    seen: dict[int, VersionVector] = {}
    lanes: dict[int, str] = {}
    async for decision in decisions:
        first = decision[0]
        me = int(first.dot.replica)
        if me not in lanes:
            lanes[me] = f"r{len(lanes)}"
            yield f"    participant {lanes[me]} as {_text(str(first.dot.replica))}"
        before = seen.get(me, VersionVector())
        for replica, seq in sorted(first.context.seqs.items()):
            if int(replica) in lanes and int(replica) != me and seq > before[replica]:
                yield f"    {lanes[int(replica)]}->>{lanes[me]}: up to {_text(f'{replica}:{seq}')}"
        seen[me] = first.context
        for record in decision:
            yield f"    Note over {lanes[me]}: {_text(str(record))}"


def _one_line(text: str) -> str:
    return " ".join(text.splitlines())


def _text(text: str) -> str:
    """A text as Mermaid takes it: what would end it is written as an entity."""
    return _NOT_IN_MERMAID.sub(lambda found: f"#{ord(found[0])};", text)


FORMATS = {"jsonl": jsonl, "shiviz": shiviz, "mermaid": mermaid}
