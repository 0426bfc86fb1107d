"""What the commands of `anabranch` do: each takes an open file and its options, and prints.

What is found goes to standard output: lines for people, or JSON (one object a line) where that is asked for.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from difflib import get_close_matches
from typing import Any

from merge.stamp import Stamp
from replica.cut import plain, replica_called, shown_time
from replica.difference import ABSENT
from replica.errors import AnabranchError, NoSuchPlace
from replica.explain import Act, Explanation
from replica.folding import unfolded
from replica.graph import ASCII, LINES, Drawn, Graph
from replica.history import Record
from replica.introduction import CATEGORY
from replica.mark import holder
from replica.readonly import ReadOnly
from replica.status import Divergence
from replica.travel import TimeTravel
from replica.words import counted, shown
from sync.formats import FORMATS, as_plain, to_json
from sync.node import Node
from sync.terminal import Bar, columns, interrupted, tell, writes

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
            line = to_json(as_plain(record)) if args.json else _line(record)
            if graph is not None and not args.json:
                beside = f"  (seen {' '.join(map(str, seen))})" if seen else ""
                line = f"{lanes:<{width}}  {line}{beside}"[:room]
            if lines is None:
                tell(line)
            else:
                lines.append(line)
    for line in lines or ():
        tell(line)


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
        tell(to_json(as_plain(record)))
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
    tell(to_json({"cut": str(version), "version": plain(version)}) if args.json else str(version) or "nothing")


async def _presents(past: ReadOnly, args: argparse.Namespace, streams: Iterable[str]) -> None:
    view = await past.at(args.at)
    for stream in streams:
        value = (await view.present(await _known(past, stream))).plain()
        if args.json:
            tell(to_json({"stream": stream, "cut": str(view.version), "present": value}))
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
            tell(to_json(as_plain(record)))
        else:
            beside = " ".join(map(str, record.concurrent))
            tell(_line(record) + (f"  (not having seen {beside})" if beside else ""))


async def diff(past: ReadOnly, args: argparse.Namespace) -> None:
    """What differs between two presents of a stream, and the events between them."""
    found = await past.diff(await _known(past, args.stream), args.a, args.b)
    if not args.json:
        tell(found)
        return
    changes = []
    for change in found.changes:
        both = {"before": change.before, "after": change.after}
        changes.append({"path": change.path} | {name: value for name, value in both.items() if value is not ABSENT})
    gained, lost = [as_plain(one) for one in found.gained], [as_plain(one) for one in found.lost]
    cuts = {"a": str(found.a), "b": str(found.b)}
    tell(to_json({"stream": found.stream, **cuts, "changes": changes, "gained": gained, "lost": lost}))


async def explain(past: ReadOnly, args: argparse.Namespace) -> None:
    """Why a stream reads as it does, at a place or everywhere."""
    found = await past.explain(await _known(past, args.stream), args.path, args.at)
    tell(to_json(_explained(found)) if args.json else found)


async def conflicts(past: ReadOnly, args: argparse.Namespace) -> None:
    """Where acts met that had not seen each other, and that nobody has settled since."""
    first = True
    for stream in args.streams or [one async for one in past.streams() if _is_folded(past, one)]:
        for found in await past.conflicts(await _known(past, stream), args.at):
            if not first and not args.json:
                tell("")
            tell(to_json(_explained(found)) if args.json else found)
            first = False
    if first and not args.json:
        tell("no conflict stands open")


def _is_folded(past: TimeTravel, stream: str) -> bool:
    return stream.split("/", 1)[0] in past.core.aggregates


def _explained(found: Explanation) -> dict[str, Any]:
    def act(one: Act) -> dict[str, Any]:
        return as_plain(one.record) | {"did": one.did, "value": one.value, "unseen": list(map(str, one.unseen))}

    return {
        "stream": found.stream,
        "path": found.path,
        "value": found.value,
        "kind": found.kind,
        "rule": found.rule,
        "read": [act(one) for one in found.read],
        "lost": [act(one) for one in found.lost],
        "earlier": [act(one) for one in found.earlier],
        "shares": [{"author": str(one.author), "value": one.value, "dot": str(one.dot)} for one in found.shares],
        "parts": [_explained(part) for part in found.parts],
    }


async def export(past: ReadOnly, args: argparse.Namespace) -> None:
    """The log as other tools read it."""
    async for line in FORMATS[args.format](past.commits(upto=args.at)):
        tell(line)


async def verify(past: ReadOnly, args: argparse.Namespace) -> int:
    """The log against its hashes; presents, snapshots and tables against the log."""
    with Bar("verifying") as bar:
        found = await past.verify(*args.streams, progress=bar)
    if args.json:
        words = {"blocks": found.blocks, "streams": found.streams, "snapshots": found.snapshots}
        tell(to_json({**words, "tables": found.tables, "differences": found.differences}))
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
    left = unfolded(core) if core.aggregates else ()
    alarms = core.comparisons.divergences
    if args.json:
        types = {f"{name} {schema}": events for (name, schema), events in sorted(core.memory.types.items())}
        found = {
            "store": past.store, "replica": f"{int(core.me):016x}", "name": past.name,
            "version": plain(past.version), "cut": str(past.version), "stable": str(core.labelled(core.stable)),
            "types": types, "open_in": process,
            "members": [{"name": str(m.replica), "behind": m.behind, "retired": m.retired} for m in members],
            "unfolded": [{"why": one.why, "what": one.what, "events": one.events} for one in left],
            "alarms": [_alarm(one) for one in alarms],
        }  # fmt: skip
        tell(to_json(found))
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


def _alarm(one: Divergence) -> dict[str, Any]:
    """What a peer reads differently."""
    event = None if one.event is None else str(one.event)
    words = {
        "stream": one.stream,
        "peer": str(one.peer),
        "since": shown_time(Stamp(one.since, 0, 0)),
        "event": event,
    }
    return {**words, "type": one.type, "here": one.here, "there": one.there, "fault": one.fault, "what": one.what}


def _table(rows: list[tuple[str, str]]) -> None:
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        tell(f"{name:<{width}}  {value}")


async def fork(past: ReadOnly, args: argparse.Namespace) -> None:
    """A second past, in a file of its own."""
    with Bar("copying") as bar:
        made = await past.fork(args.new, args.at, name=args.name, progress=bar)
    cut = {"version": plain(made.version), "cut": str(made.version)}
    tell(to_json({"path": made.path, "name": made.name, **cut, "events": made.events}) if args.json else made)


# --- writing ---


async def join(node: Node, args: argparse.Namespace) -> None:
    """The past of another file comes in."""
    with Bar("joining") as bar:
        found = await node.replica.join(args.other, become_one=args.become_one, progress=bar)
    if not args.json:
        tell(found)
        return
    said = {"other": found.other, "events": found.events, "cut": str(found.version), "waiting": found.waiting}
    lists = {
        "streams": dict(found.streams),
        "met": found.met,
        "stores": found.stores,
        "second_histories": list(map(str, found.forked)),
    }
    tell(to_json({**said, **lists, "conflicts": [_explained(one) for one in found.conflicts]}))


async def serve(node: Node, args: argparse.Namespace) -> None:
    """Answer peers, and dial others, until interrupted."""
    stop, replica = interrupted(), node.replica
    url = node.server.url if node.server else None
    said = {"name": replica.name, "store": replica.store, "url": url, "cut": str(replica.version)}
    words = f"{replica.name} serves {replica.store} at {url}, with {replica.version or 'nothing yet'}"
    tell(to_json(said) if args.json else f"{words}. Ctrl-C ends it.", flush=True)
    seen: dict[str, str] = {}
    alarms: set[Divergence] = set()
    while not stop.is_set():
        for link in node.status().links:
            state = f"{link.peer or link.where} {link.error or ('in sync' if link.in_sync else link.state)}"
            if seen.get(link.where) != state:
                seen[link.where] = state
                tell(to_json({"link": link.where, "state": state}) if args.json else state, flush=True)
        found = set(replica.status().divergences)
        for alarm in sorted(found - alarms, key=lambda one: (one.stream, one.peer)):
            tell(to_json({"alarm": _alarm(alarm)}) if args.json else f"ALARM {alarm}", flush=True)
        alarms = found
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), LOOK)
    tell(to_json({"cut": str(replica.version)}) if args.json else f"ended at {replica.version or 'nothing'}")


async def sync(node: Node, args: argparse.Namespace) -> None:
    """Meet one peer until both hold the same."""
    replica = node.replica
    before, until = replica.version, time.monotonic() + args.timeout
    link = await node.dial(args.url)
    while not link.status().in_sync:
        if link.ended or time.monotonic() > until:
            why = link.status().error or "it did not come to rest"
            raise PeerAway(
                f"{args.url} and this are not in step after {args.timeout:g} s: {why}. Nothing was lost."
            )
        await asyncio.sleep(0.02)
    peer = link.status().peer
    events = sum(map(len, before.missing(replica.version).values()))
    if args.json:
        tell(to_json({"peer": str(peer), "cut": str(replica.version), "events": events}))
    else:
        tell(f"in step with {peer}: {counted(events, 'event')} came in, now at {replica.version or 'nothing'}")
