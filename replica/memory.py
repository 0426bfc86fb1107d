"""A log in memory: for tests, for notebooks, and as the plainest reading of what a log is.

It keeps the promises of `replica.log` for as long as the object lives. Reopening the object is what a crash
looks like to a replica: what was written is there, and nothing else is.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

from replica.block import BLOCK_EVENTS, BLOCK_PAYLOAD, Slice
from replica.layout import join
from replica.log import Block, BlockStart, Contents, Done, Identity, Kept, LogRow, Span, TableFailed, Transaction


class MemoryLog:
    """The tables of a log as dicts."""

    def __init__(self) -> None:
        self._identity: Identity | None = None
        self._logs: dict[int, LogRow] = {}
        self._starts: dict[int, list[BlockStart]] = {}
        self._slices: dict[tuple[int, int], list[Slice]] = {}
        self._streams: dict[str, dict[tuple[int, int], None]] = {}
        self._types: dict[tuple[str, int], int] = {}
        self._commands: dict[tuple[str, str], Done] = {}
        self._kept: dict[tuple[str, str], bytes] = {}
        self._tables: dict[str, dict[tuple[str | int, ...], list[tuple[Any, ...]]]] = {}
        self._made: dict[str, tuple[str, ...]] = {}
        """What is there of each table: see `Table.made_of`."""

    def contents(self) -> Contents:
        return Contents(self._identity, list(self._logs.values()), dict(self._types), dict(self._made))

    def write(self, transaction: Transaction) -> None:
        slices = [((number, piece.first), piece) for number, piece in transaction.slices]
        made = {table.name for table in (*transaction.begin, *(table for _, table in transaction.switch))}
        for name in {rows.table for rows in transaction.rows} - made:
            if name not in self._tables:
                raise TableFailed(name, "there is no such table")
        for row in transaction.logs:
            self._logs[row.number] = row
        for start in transaction.starts:
            self._starts.setdefault(start.number, []).append(start)
        for key, piece in slices:
            self._slices.setdefault(key, []).append(piece)
        for stream, number, first in transaction.streams:
            self._streams.setdefault(stream, {})[number, first] = None
        for kind, count in transaction.types.items():
            self._types[kind] = self._types.get(kind, 0) + count
        for done in transaction.commands:
            asked, known = (done.command, done.stream), done._replace(cause=None)
            self._commands[asked] = self._commands.get(asked, known) if done.stream else known
        for span in transaction.forget:
            for kept in self.kept(span):
                del self._kept[kept.kind, kept.key]
        self._kept |= {(kept.kind, kept.key): kept.value for kept in transaction.keep}
        self._tables |= {table.name: {} for table in transaction.begin}
        before, after = transaction.rows_by_switch
        for name, whose, rows in before:
            self._tables[name][whose] = rows
        for name, table in transaction.switch:
            self._tables[table.name] = self._tables.pop(name)
            self._made |= table.made_of
        for name, whose, rows in after:
            self._tables[name][whose] = rows
        if transaction.identity:
            self._identity = transaction.identity

    def block(self, number: int, seq: int) -> Block | None:
        starts = self._starts.get(number, [])
        index = bisect_right(starts, seq, key=lambda start: start.first) - 1
        if index < 0 or seq > self._logs[number].head.seq:
            return None
        start = starts[index]
        return Block(start, list(self._slices[number, start.first]))

    def blocks_of(self, stream: str) -> list[tuple[int, int]]:
        return list(self._streams.get(stream, ()))

    def command(self, command: str, stream: str = "") -> Done | None:
        return self._commands.get((command, stream))

    def rows(self, table: str, stream: str | None = None) -> list[tuple[Any, ...]]:
        found = sorted(
            (key, rows) for key, rows in self._tables.get(table, {}).items() if stream is None or key[0] == stream
        )
        return [(*key, *row) for key, rows in found for row in rows]

    def streams(self, category: str, after: str, most: int) -> list[str]:
        first = f"{category}/" if category else ""
        return sorted(name for name in self._streams if name > after and name.startswith(first))[:most]

    def kept(self, span: Span, latest: int | None = None) -> list[Kept]:
        found = sorted(key for kind, key in self._kept if kind == span.kind and key in span)
        keys = found if latest is None else found[-latest:]
        return [Kept(span.kind, key, self._kept[span.kind, key]) for key in keys]

    def unsealed(self, after: tuple[int, int] = (0, 0)) -> list[tuple[int, int]]:
        return [
            key
            for key, slices in sorted(self._slices.items())
            if key > after
            and len(slices) > 1
            and (
                slices[-1].last - key[1] + 1 >= BLOCK_EVENTS
                or sum(len(piece.columns[-1]) for piece in slices) >= BLOCK_PAYLOAD
            )
        ]

    def seal(self, number: int, first: int) -> None:
        self._slices[number, first] = [join(self._slices[number, first])]

    def close(self) -> None:
        """Nothing to give back: the object is the store."""
