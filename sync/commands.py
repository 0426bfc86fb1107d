"""What the commands of `anabranch` do: each takes an open file and its options, and prints.

What is found goes to standard output: lines for people, or JSON (one object a line) where that is asked for.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from difflib import get_close_matches
from typing import Any, TypeVar

from replica.backup import backup as back_up
from replica.backup import restore_backup
from replica.cut import plain, replica_called, shown_time
from replica.data import to_json
from replica.errors import AnabranchError, NoSuchPlace
from replica.folding import unfolded
from replica.graph import ASCII, LINES, Drawn, Graph
from replica.history import Record
from replica.introduction import CATEGORY
from replica.mark import holder
from replica.readonly import ReadOnly
from replica.status import Divergence
from replica.travel import TimeTravel
from replica.words import counted, shown
from sync import output
from sync.formats import FORMATS
from sync.node import Node
from sync.terminal import Bar, columns, in_utf8, interrupted, tell, writes

T = TypeVar("T")
EVENT = re.compile(r":\d+$")
"""What ends like this is an event, unless a stream is called so."""
LANES = 12
"""Lanes for which room is left from the first line on."""
MANY = 10_000
"""Names among which a misspelt one is looked for."""
LOOK = 0.5
"""Seconds between two looks at the links of a node that serves."""


class PeerAway(AnabranchError):
    """A peer cannot be reached, or does not come to rest."""


# --- reading ---


async def log(past: ReadOnly, args: argparse.Namespace) -> None:
    """All events, causes first."""
    after, upto = await past.cut(args.after), await past.cut(args.at)
    graph, room = None, None
    if args.graph:
        graph = Graph({int(dot.replica): dot.seq for dot in upto}, LINES if writes("●│├─┼┤") else ASCII)
        room = columns()
    wanted = _filter(past, args)
    lines: Any = deque(maxlen=args.last) if args.last else None
    width = Graph.width(min(len(after.missing(upto)), LANES))
    async for decision in past.commits(after=after, upto=upto):
        kept = tuple([record for record in decision if wanted(record)])
        if not kept:
            continue
        drawn = graph.draw(kept) if graph is not None else [Drawn("", ())] * len(kept)
        for record, (lanes, seen) in zip(kept, drawn, strict=True):
            width = max(width, len(lanes))
            line = to_json(output.event(record)) if args.json else _line(record)
            if graph is not None and not args.json:
                beside = f"  (seen {' '.join(map(str, seen))})" if seen else ""
                line = f"{lanes:<{width}}  {line}{beside}"[:room]
            if lines is None:
                tell(line)
            else:
                lines.append(line)
    for line in lines or ():
        tell(line)
    if not _is_whole(args) or args.last:
        return
    async for decision in past.second_histories():
        for record in filter(wanted, decision):
            tell(to_json(output.event(record)) if args.json else f"{_line(record)}  (a second history: not folded)")


def _is_whole(args: argparse.Namespace) -> bool:
    """All is asked for. (A cut names what is folded.)"""
    return bool(args.at == "now" and not getattr(args, "after", ""))


def _filter(past: TimeTravel, args: argparse.Namespace) -> Callable[[Record], bool]:
    streams, types = set(args.stream), set(args.type)
    ids = {int(replica_called(past.core, name)) for name in args.replica}
    return lambda record: (
        (not streams or record.stream in streams or record.stream.split("/", 1)[0] in streams)
        and (not types or record.type in types)
        and (not ids or int(record.dot.replica) in ids)
    )


def _line(record: Record) -> str:
    when, said = f"{record.dot}  {shown_time(record.stamp)}", str(record).split(" ", 1)[1]
    if record.stream.startswith(f"{CATEGORY}/") and isinstance(record.fields, dict):
        fields = record.fields
        return f"{when}  introduces itself" if "store" in fields else f"{when}  {said}"
    return f"{when}  {record.stream}  {said}"


async def show(past: ReadOnly, args: argparse.Namespace) -> None:
    """The streams; or the present of one; or one event."""
    if args.what is None:
        async for stream in past.streams():
            if args.json or not stream.startswith(f"{CATEGORY}/"):
                tell(to_json(stream) if args.json else stream)
    elif await _is_there(past, args.what) or not EVENT.search(args.what):
        await _presents(past, args, [args.what])
    else:
        await _event(past, args)


async def _known(past: TimeTravel, stream: str) -> str:
    """A stream that is there: to ask for one that nobody wrote to is a slip of the hand."""
    if not await _is_there(past, stream):
        names = [one async for one in past.streams(stream.split("/", 1)[0])][:MANY]
        near = get_close_matches(stream, names, 3) or names[:3]
        raise NoSuchPlace(f"no event of {stream} is in this file" + (f": is it {', '.join(near)}?" if near else ""))
    return stream


async def _is_there(past: TimeTravel, stream: str) -> bool:
    return bool(await past.read(lambda reader: reader.log.blocks_of(stream)))


async def _event(past: ReadOnly, args: argparse.Namespace) -> None:
    dot = past.dot(args.what)
    record = await past.record(dot)
    if args.json:
        tell(to_json(output.event(record)))
        return
    rows = [("event", str(record)), ("stream", record.stream), ("recorded", shown_time(record.stamp))]
    rows += [("observed", str(record.context) or "nothing")]
    note = [("cause", record.cause), ("command", record.command), ("correlation", record.correlation)]
    _table([*rows, *((name, str(value)) for name, value in note if value is not None)])


async def at(past: ReadOnly, args: argparse.Namespace) -> None:
    """What a name of a past means, and presents in it."""
    args.at = args.cut
    if args.streams:
        await _presents(past, args, args.streams)
        return
    version = await past.cut(args.cut)
    tell(to_json(output.cut(version)) if args.json else str(version) or "nothing")


async def _presents(past: ReadOnly, args: argparse.Namespace, streams: Iterable[str]) -> None:
    view = await past.at(args.at)
    for stream in streams:
        value = (await view.present(await _known(past, stream))).plain()
        if args.json:
            tell(to_json(output.Present(stream=stream, cut=str(view.version), present=value)))
            continue
        tell(f"{stream} at {view.version or 'nothing'}")
        _table([(f"  {name}", shown(item)) for name, item in value.items()] if isinstance(value, dict) else [])
        if not isinstance(value, dict):
            tell(f"  {shown(value)}")


async def history(past: ReadOnly, args: argparse.Namespace) -> None:
    """The events of a stream, causes first, each with those it had not seen."""
    async for record in past.history(
        await _known(past, args.stream),
        types=args.type,
        replicas=args.replica,
        after=await past.cut(args.after),
        upto=args.at,
    ):
        if args.json:
            tell(to_json(output.event(record)))
        else:
            beside = " ".join(map(str, record.concurrent))
            tell(_line(record) + (f"  (not having seen {beside})" if beside else ""))


async def diff(past: ReadOnly, args: argparse.Namespace) -> None:
    """What differs between two presents of a stream, and the events between them."""
    found = await past.diff(await _known(past, args.stream), args.a, args.b)
    tell(to_json(output.differences(found)) if args.json else found)


async def explain(past: ReadOnly, args: argparse.Namespace) -> None:
    """Why a stream reads as it does, at a place or everywhere."""
    found = await past.explain(await _known(past, args.stream), args.path, args.at)
    tell(to_json(output.reason(found)) if args.json else found)


async def conflicts(past: ReadOnly, args: argparse.Namespace) -> None:
    """Where acts met that had not seen each other, and that nobody has settled since."""
    first = True
    for stream in args.streams or [one async for one in past.streams() if _is_folded(past, one)]:
        for found in await past.conflicts(await _known(past, stream), args.at):
            if not first and not args.json:
                tell("")
            tell(to_json(output.reason(found)) if args.json else found)
            first = False
    if first and not args.json:
        tell("no conflict stands open")


def _is_folded(past: TimeTravel, stream: str) -> bool:
    return stream.split("/", 1)[0] in past.core.aggregates


async def export(past: ReadOnly, args: argparse.Namespace) -> None:
    """The log as other tools read it."""
    in_utf8()
    decisions: AsyncIterator[tuple[Record, ...]] = past.commits(upto=args.at)
    if args.format == "jsonl" and _is_whole(args):
        decisions = _one_after_the_other(decisions, past.second_histories())
    async for line in FORMATS[args.format](decisions):
        tell(line)


async def _one_after_the_other(*all_decisions: AsyncIterator[T]) -> AsyncIterator[T]:
    for decisions in all_decisions:
        async for decision in decisions:
            yield decision


async def verify(past: ReadOnly, args: argparse.Namespace) -> int:
    """The log against its hashes; presents, snapshots and tables against the log."""
    with Bar("verifying") as bar:
        found = await past.verify(*args.streams, progress=bar)
    if args.json:
        tell(to_json(output.checked(found)))
    else:
        for difference in found.differences:
            tell(difference)
        tell(
            f"{'differs' if found.differences else 'well'}: {counted(found.blocks, 'block')}, "
            f"{counted(found.streams, 'stream')}, {counted(found.snapshots, 'snapshot')}, "
            f"{counted(len(found.tables), 'table')}"
        )
        if not past.core.aggregates:
            tell("(only the log itself: name the aggregates with --app to have presents verified)")
    return int(bool(found.differences))


async def status(past: ReadOnly, args: argparse.Namespace) -> None:
    """What a file holds, and who writes to it."""
    core = past.core
    members = [*core.members.status()]
    process = holder(os.path.realpath(args.file))
    left = [one for one in unfolded(core) if core.aggregates or one.why == "second history"]
    alarms = core.comparisons.divergences
    if args.json:
        state = output.State(
            store=past.store,
            replica=output.id_of(core.me),
            name=past.name,
            version=plain(past.version),
            cut=str(past.version),
            stable=str(core.labelled(core.stable)),
            types={f"{name} {schema}": events for (name, schema), events in sorted(core.memory.types.items())},
            open_in=process,
            members=[
                output.MemberState(
                    name=str(one.replica), replica=output.id_of(one.replica), behind=one.behind, retired=one.retired
                )
                for one in members
            ],
            unfolded=[output.Left(why=one.why, what=one.what, events=one.events) for one in left],
            alarms=[*map(output.alarm, alarms)],
        )
        tell(to_json(state))
        return
    events = sum(core.memory.types.values())
    rows = [
        ("store", past.store),
        ("replica", f"{past.name} ({int(core.me):016x})"),
        ("version", str(past.version) or "nothing yet"),
        ("settled", str(core.labelled(core.stable)) or "nothing yet"),
        ("events", f"{events} of {counted(len(members), 'replica')}"),
        ("open in", "no process" if process is None else f"process {process or '?'}"),
    ]
    rows += [
        (
            "member",
            f"{m.replica}, {'retired' if m.retired else f'{m.behind} behind' if m.behind else 'here'}",
        )
        for m in members
    ]
    rows += [(one.why, f"{one.what}: {counted(one.events, 'event')}") for one in left]
    rows += [("ALARM", str(one)) for one in alarms]
    _table(rows)


def _table(rows: list[tuple[str, str]]) -> None:
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        tell(f"{name:<{width}}  {value}")


def schema() -> None:
    """What the other commands print with --json, as JSON Schema (no file is needed)."""
    tell(json.dumps(output.schema(), indent=2))


async def fork(past: ReadOnly, args: argparse.Namespace) -> None:
    """A second past, in a file of its own."""
    with Bar("copying") as bar:
        made = await past.fork(args.new, args.at, name=args.name, progress=bar)
    tell(to_json(output.copied(made)) if args.json else made)


async def backup(past: ReadOnly, args: argparse.Namespace) -> None:
    """The file as it is now, copied beside whoever writes to it, and checked."""
    made = await back_up(args.file, args.to)
    tell(to_json(output.saved(made)) if args.json else made)


async def restore(past: ReadOnly, args: argparse.Namespace) -> None:
    """A backup (FILE), put in place: it goes on under a new id when it is opened."""
    made = await restore_backup(args.file, args.to, replace=args.replace)
    tell(to_json(output.saved(made)) if args.json else made)


# --- writing ---


async def set_aside(node: Node, args: argparse.Namespace) -> None:
    """Events that cannot be folded are left out, so that work in their streams goes on."""
    said = await node.replica.set_aside(*args.events)
    found = output.Recorded(dots=[*map(str, said.dots)])
    tell(to_json(found) if args.json else f"set aside: {', '.join(args.events)} ({' '.join(found.dots)} says so)")


async def join(node: Node, args: argparse.Namespace) -> None:
    """The past of another file comes in."""
    with Bar("joining") as bar:
        found = await node.replica.join(args.other, become_one=args.become_one, progress=bar)
    tell(to_json(output.taken(found)) if args.json else found)


async def serve(node: Node, args: argparse.Namespace) -> None:
    """Answer peers, and dial others, until interrupted."""
    stop, replica = interrupted(), node.replica
    url = node.server.url if node.server else None
    said = output.Serving(name=replica.name, store=replica.store, url=url, cut=str(replica.version))
    words = f"{replica.name} serves {replica.store} at {url}, with {replica.version or 'nothing yet'}"
    tell(to_json(said) if args.json else f"{words}. Ctrl-C ends it.", flush=True)
    seen: dict[str, str] = {}
    alarms: set[Divergence] = set()
    while not stop.is_set():
        for link in node.status().links:
            state = f"{link.peer or link.where} {link.error or ('in sync' if link.in_sync else link.state)}"
            if seen.get(link.where) != state:
                seen[link.where] = state
                tell(to_json(output.LinkState(link=link.where, state=state)) if args.json else state, flush=True)
        found = set(replica.status().divergences)
        for alarm in sorted(found - alarms, key=lambda one: (one.stream, one.peer)):
            line = to_json(output.Alarmed(alarm=output.alarm(alarm))) if args.json else f"ALARM {alarm}"
            tell(line, flush=True)
        alarms = found
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), LOOK)
    ended = output.Ended(cut=str(replica.version))
    tell(to_json(ended) if args.json else f"ended at {replica.version or 'nothing'}")


async def sync(node: Node, args: argparse.Namespace) -> None:
    """Meet one peer until both hold the same."""
    replica = node.replica
    before, until = replica.version, time.monotonic() + args.timeout
    link = await node.dial(args.url)
    while not link.status().in_sync:
        if link.ended or time.monotonic() > until:
            why = link.status().error or "it did not come to rest"
            raise PeerAway(
                f"{link.where} and this are not in step after {args.timeout:g} s: {why}. Nothing was lost."
            )
        await asyncio.sleep(0.02)
    peer = link.status().peer
    events = sum(map(len, before.missing(replica.version).values()))
    if args.json:
        tell(to_json(output.Met(peer=str(peer), cut=str(replica.version), events=events)))
    else:
        tell(f"in step with {peer}: {counted(events, 'event')} came in, now at {replica.version or 'nothing'}")
