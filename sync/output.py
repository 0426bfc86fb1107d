"""What the command line prints with --json: one object a line, of these shapes. `anabranch schema` prints them.

Rule 1. Each command prints values of the shapes that PRINTED names, and nothing else goes to standard output.
Rule 2. How values become JSON is decided in `replica.data`.
Rule 3. A shape may gain fields in a later version; what is there keeps its name and meaning. Readers ignore what
        they do not know.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from merge.stamp import Stamp
from merge.version import ReplicaId, VersionVector
from replica.backup import Backup
from replica.cut import plain, shown_time
from replica.difference import ABSENT
from replica.explain import Act, Explanation
from replica.fork import Forked
from replica.history import Record
from replica.introduction import OWN_TYPES
from replica.join import Joined
from replica.status import Divergence
from replica.verify import Verified
from replica.view import Difference

Id = Annotated[str, Meta(pattern="^[0-9a-f]{16}$", description="the id of a replica: 16 hexadecimal digits")]
DotText = Annotated[str, Meta(description="an event as people name it: `alice:3`")]
CutText = Annotated[str, Meta(description="a past in words, to be pasted into --at: `alice:3 bob:7`")]
Time = Annotated[str, Meta(description="ISO 8601, in UTC")]
Value = Annotated[Any, Meta(description="a value of an application, by the rules of docs/json.md")]
Version = Annotated[dict[Id, int], Meta(description="the highest seq of each replica")]


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """One line, or a part of one."""


class Cause(Shape, frozen=True):
    """The event that another one answers to."""

    dot: DotText
    replica: Id
    seq: int


class Event(Shape, frozen=True):
    """An event, and what its commit says of it."""

    dot: DotText
    replica: Id
    seq: int
    stream: str
    type: str
    schema: int
    time: Time
    stamp: tuple[int, int]
    """Wall time (ms since 1970) and counter: with the replica and the seq they order all events."""
    fields: Value
    """What it says: an object, a list where its type is array_like, base64 where it cannot be read."""
    observed: Version
    """What its author had observed."""
    command: str | UnsetType = UNSET
    correlation: str | UnsetType = UNSET
    cause: Cause | UnsetType = UNSET
    concurrent: list[DotText] | UnsetType = UNSET
    """Earlier events of the stream that its author had not seen."""
    second_history: bool | UnsetType = UNSET
    """It lies in a second history of its replica id, which is in no present."""


class Told(Event, frozen=True, kw_only=True):
    """An event, and what it did at a place."""

    did: str
    value: Value
    unseen: list[DotText]


class Part(Shape, frozen=True):
    """What one author gave to a value that has several."""

    author: str
    value: Value
    dot: DotText


class Reason(Shape, frozen=True):
    """Why a place of a stream reads as it does."""

    stream: str
    path: list[Value]
    value: Value
    kind: str
    rule: str
    read: list[Told]
    lost: list[Told]
    earlier: list[Told]
    shares: list[Part]
    parts: list[Reason]


class Present(Shape, frozen=True):
    """A stream as it reads at a cut."""

    stream: str
    cut: CutText
    present: Value


class Cut(Shape, frozen=True):
    """A past."""

    cut: CutText
    version: Version


class Change(Shape, frozen=True):
    """What differs at a place; without `before` it is new, without `after` it is gone."""

    path: list[Value]
    before: Value | UnsetType = UNSET
    after: Value | UnsetType = UNSET


class Differences(Shape, frozen=True):
    """What differs between two presents of a stream, and the events that one has and the other has not."""

    stream: str
    a: CutText
    b: CutText
    changes: list[Change]
    gained: list[Event]
    lost: list[Event]


class Checked(Shape, frozen=True):
    """What was verified, and what differs from the log."""

    blocks: int
    streams: int
    snapshots: int
    tables: list[str]
    differences: list[str]


class MemberState(Shape, frozen=True):
    """A replica that takes part, or did; `behind` counts events held here that it is not known to have observed."""

    name: str
    replica: Id
    behind: int
    retired: bool


class Left(Shape, frozen=True):
    """Events that are in no present, and why."""

    why: str
    what: str
    events: int


class Alarm(Shape, frozen=True):
    """A stream that this replica and a peer read differently."""

    stream: str
    peer: str
    since: Time
    event: DotText | None
    type: str
    here: str
    there: str
    fault: str
    what: str


class State(Shape, frozen=True):
    """What a file holds."""

    store: str
    replica: Id
    name: str
    version: Version
    cut: CutText
    stable: CutText
    types: dict[str, int]
    """How many events there are of each type and schema: `ItemAdded 1`."""
    open_in: int | None
    """The process that has the file open; 0 where it cannot be told which."""
    members: list[MemberState]
    unfolded: list[Left]
    alarms: list[Alarm]


class Copied(Shape, frozen=True):
    """A fork."""

    path: str
    name: str
    version: Version
    cut: CutText
    events: int


class Saved(Shape, frozen=True):
    """A backup that was made, or put in place."""

    path: str
    version: Version
    cut: CutText
    events: int
    kept: str | None
    """Where the file lies now that was in its place."""


class Taken(Shape, frozen=True):
    """What a join brought."""

    other: str
    events: int
    cut: CutText
    waiting: int
    streams: dict[str, int]
    met: list[str]
    stores: list[str]
    second_histories: list[str]
    conflicts: list[Reason]


class Serving(Shape, frozen=True):
    """The first line of `serve`."""

    name: str
    store: str
    url: str | None
    cut: CutText


class LinkState(Shape, frozen=True):
    """A link is otherwise than it was."""

    link: str
    state: str


class Alarmed(Shape, frozen=True):
    """An alarm was raised."""

    alarm: Alarm


class Met(Shape, frozen=True):
    """A peer and this hold the same."""

    peer: str
    cut: CutText
    events: int


class Recorded(Shape, frozen=True):
    """Facts of Anabranch's own were recorded."""

    dots: list[DotText]


class Ended(Shape, frozen=True):
    """The last line of `serve`."""

    cut: CutText


PRINTED: dict[str, Any] = {
    "log": Event,
    "show": str | Present | Event,
    "at": Cut | Present,
    "history": Event,
    "diff": Differences,
    "explain": Reason,
    "conflicts": Reason,
    "verify": Checked,
    "status": State,
    "fork": Copied,
    "backup": Saved,
    "restore": Saved,
    "join": Taken,
    "serve": Serving | LinkState | Alarmed | Ended,
    "sync": Met,
    "export": Event,
    "set-aside": Recorded,
}
"""What stands in a line of each command; of `export`, with --format jsonl."""


def schema() -> dict[str, Any]:
    """All of it as JSON Schema: `properties` has what stands in a line of each command, `$defs` the shapes."""
    kinds = {command: [*getattr(printed, "__args__", (printed,))] for command, printed in PRINTED.items()}
    every = [*dict.fromkeys(kind for some in kinds.values() for kind in some)]
    refs, shapes = msgspec.json.schema_components(every, ref_template="#/$defs/{name}")
    found = dict(zip(every, refs, strict=True))
    lines = {
        command: found[some[0]] if len(some) == 1 else {"anyOf": [found[kind] for kind in some]}
        for command, some in kinds.items()
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of each command of anabranch, with --json",
        "type": "object",
        "properties": lines,
        "$defs": shapes,
    }


# --- making them ---


def event(record: Record) -> Event:
    """An event, to be printed."""
    return Event(**_event(record))


def _event(record: Record) -> dict[str, Any]:
    found: dict[str, Any] = {
        "dot": str(record.dot),
        "replica": id_of(record.dot.replica),
        "seq": record.dot.seq,
        "stream": record.stream,
        "type": record.type,
        "schema": record.schema,
        "time": shown_time(record.stamp),
        "stamp": (record.stamp.wall, record.stamp.counter),
        "fields": _own(record.fields) if record.type in OWN_TYPES else record.fields,
        "observed": plain(record.context),
    }
    cause = record.cause
    if cause is not None:
        found["cause"] = Cause(dot=str(cause), replica=id_of(cause.replica), seq=cause.seq)
    if record.command is not None:
        found["command"] = record.command
    if record.correlation is not None:
        found["correlation"] = record.correlation
    if record.concurrent:
        found["concurrent"] = [*map(str, record.concurrent)]
    if not record.folded:
        found["second_history"] = True
    return found


def _own(fields: Any) -> Any:
    """What one of Anabranch's own events says: the ids in it as ids."""
    if not isinstance(fields, dict):
        return fields
    found = dict(fields)
    for name in ("replica", "owner"):
        if _is_id(found.get(name)):
            found[name] = ReplicaId(found[name])
    match found.get("succeeds"):
        case [int(replica), seq, head] if _is_id(replica):
            found["succeeds"] = [ReplicaId(replica), seq, head]
    return found


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 64


def id_of(replica: int) -> str:
    """The id of a replica, without its label."""
    return f"{int(replica):016x}"


def reason(found: Explanation) -> Reason:
    """An explanation, to be printed."""
    return Reason(
        stream=found.stream,
        path=[*found.path],
        value=found.value,
        kind=found.kind,
        rule=found.rule,
        read=[*map(_told, found.read)],
        lost=[*map(_told, found.lost)],
        earlier=[*map(_told, found.earlier)],
        shares=[Part(author=str(one.author), value=one.value, dot=str(one.dot)) for one in found.shares],
        parts=[*map(reason, found.parts)],
    )


def _told(act: Act) -> Told:
    return Told(**_event(act.record), did=act.did, value=act.value, unseen=[*map(str, act.unseen)])


def cut(version: VersionVector) -> Cut:
    """A past, to be printed."""
    return Cut(cut=str(version), version=plain(version))


def differences(found: Difference) -> Differences:
    """A difference of two presents, to be printed."""
    changes = [
        Change(
            path=[*one.path],
            before=UNSET if one.before is ABSENT else one.before,
            after=UNSET if one.after is ABSENT else one.after,
        )
        for one in found.changes
    ]
    return Differences(
        stream=found.stream,
        a=str(found.a),
        b=str(found.b),
        changes=changes,
        gained=[*map(event, found.gained)],
        lost=[*map(event, found.lost)],
    )


def checked(found: Verified) -> Checked:
    """What was verified, to be printed."""
    return Checked(
        blocks=found.blocks,
        streams=found.streams,
        snapshots=found.snapshots,
        tables=[*found.tables],
        differences=[*found.differences],
    )


def alarm(one: Divergence) -> Alarm:
    """What a peer reads differently, to be printed."""
    return Alarm(
        stream=one.stream,
        peer=str(one.peer),
        since=shown_time(Stamp(one.since, 0, 0)),
        event=None if one.event is None else str(one.event),
        type=one.type,
        here=one.here,
        there=one.there,
        fault=one.fault,
        what=one.what,
    )


def copied(made: Forked) -> Copied:
    """A fork, to be printed."""
    return Copied(
        path=str(made.path), name=made.name, version=plain(made.version), cut=str(made.version), events=made.events
    )


def saved(made: Backup) -> Saved:
    """A backup, to be printed."""
    return Saved(
        path=made.path, version=plain(made.version), cut=str(made.version), events=made.events, kept=made.kept
    )


def taken(found: Joined) -> Taken:
    """What a join brought, to be printed."""
    return Taken(
        other=found.other,
        events=found.events,
        cut=str(found.version),
        waiting=found.waiting,
        streams={**found.streams},
        met=[*found.met],
        stores=[*found.stores],
        second_histories=[*map(str, found.forked)],
        conflicts=[*map(reason, found.conflicts)],
    )
