"""What the server and the page of the demo network say to each other: JSON over one WebSocket.

    http://127.0.0.1:PORT/?token=T      the page; its files are at /static/NAME
    ws://127.0.0.1:PORT/feed?token=T    the feed

Rule 1. What the page shows is what replica processes have reported. The server keeps it, and works out one thing
        alone: what versions say of each other.
Rule 2. A report is a whole value that replaces the one before, at most twenty times a second; but for events and
        deliveries, which only come on top. A page that begins, or begins again, is told all from the beginning.
Rule 3. A request has a number, and one answer with this number: what was done, or why not, in words.

Replicas are named by their names, versions are `{name: seq}`, times are wall ms. The seqs of a replica begin at 1,
with its introduction, and have no gaps.

From the server, told apart by `type`:

| type        | what                                                                             |
|-------------|----------------------------------------------------------------------------------|
| `hello`     | everything but events; replaces all that was told. It comes first, and again     |
|             | where another network is shown: a lesson has one of its own                      |
| `replica`   | one replica; `presents` only where they have changed                             |
| `link`      | one link                                                                         |
| `events`    | events that are new to the page; whatever one has seen was told before it        |
| `delivered` | a replica holds `first` to `last` of another one, since `time`                   |
| `verdict`   | whether all who are up hold and read the same, and who holds what others lack    |
| `lesson`    | `{"lesson": ...}`, the lesson that is played, or null                            |
| `answer`    | `{"id": 7, "answer": {...}}` or `{"id": 7, "error": "..."}`                      |

From the page: `{"id": 7, "do": "kill", "replica": "bob"}`. The requests are the classes below that are tagged so;
what each answers stands there, and `{}` where nothing does.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

# --- reports ---

Version = dict[str, int]


class Event(msgspec.Struct, frozen=True):
    """One event, as its replica recorded it."""

    replica: str
    seq: int
    stream: str
    event: str
    """The name of its type."""
    payload: Any
    stamp: tuple[int, int, int]
    context: Version
    """All that its author had observed of others."""
    cause: str | None
    """The event that it answers to: `bob:2`."""

    def told(self) -> dict[str, Any]:
        """As the page has it: with the time in place of the stamp."""
        plain = {name: getattr(self, name) for name in self.__struct_fields__}
        plain["time"] = plain.pop("stamp")[0]
        return plain


class Delivered(msgspec.Struct, frozen=True, tag_field="type", tag="delivered"):
    """A replica holds some events of another one."""

    to: str
    from_: str = msgspec.field(name="from")
    first: int
    last: int
    time: int


class Alarm(msgspec.Struct, frozen=True):
    """A replica and a peer hold the same events of a stream, and read them differently."""

    replica: str
    peer: str
    stream: str
    event: str
    what: str


class ReplicaReport(msgspec.Struct, frozen=True, tag_field="type", tag="replica"):
    """How a replica is."""

    name: str
    up: bool
    pid: int
    port: int
    version: Version
    behind: int
    """Events that somebody holds, and this one lacks,"""
    ahead: int
    """and events that it holds, and somebody lacks. A fork that is linked to nobody is left out of both."""
    events: int
    bytes: int
    digest: str
    """A name for all that it reads."""
    due: int
    """Commands that it will carry out."""
    fork: str | None
    """The replica from which it was forked."""
    unshared: list[str]
    """Where somebody lacks an event that it holds: `items/milk`, `order/o1`."""
    presents: dict[str, Any] | UnsetType = UNSET


class Link(msgspec.Struct, frozen=True, tag_field="type", tag="link"):
    """A link, from who dials to who answers."""

    a: str
    b: str
    state: str
    """up, down, a-to-b, b-to-a, slow or lossy."""


class Apart(msgspec.Struct, frozen=True):
    """Two replicas, and how many events one of them holds that the other lacks."""

    a: str
    b: str
    only_a: int
    only_b: int


class Verdict(msgspec.Struct, frozen=True, tag_field="type", tag="verdict"):
    """What all of it comes to."""

    converged: bool
    digest: str | None
    """Of what all who are up read."""
    fault: int | None
    """When somebody last was cut off, killed or the like."""
    differences: list[Apart]
    alarms: list[Alarm]


class Told(msgspec.Struct, frozen=True):
    """A step of a lesson: what is said of it, and the step in words."""

    say: str
    text: str


class Came(msgspec.Struct, frozen=True):
    """What came of a step, in words, and whether it went as it should."""

    number: int
    held: bool
    came: str


class LessonReport(msgspec.Struct, frozen=True):
    """The lesson that is played."""

    name: str
    title: str
    text: str
    rule: str
    """What is to be remembered."""
    step: int
    """Steps that were played."""
    steps: list[Told]
    came: list[Came]
    done: bool
    held: bool


class Offered(msgspec.Struct, frozen=True):
    """A lesson that can be played, and how many steps it has."""

    name: str
    title: str
    text: str
    steps: int


class Hello(msgspec.Struct, frozen=True, tag_field="type", tag="hello"):
    """Everything but events."""

    replicas: list[ReplicaReport]
    links: list[Link]
    lessons: list[Offered]
    lesson: LessonReport | None
    verdict: Verdict


# --- requests ---


class Request(msgspec.Struct, frozen=True, kw_only=True, tag_field="do"):
    id: int


class SetLink(Request, frozen=True, tag="link"):
    a: str
    b: str
    state: str


class Split(Request, frozen=True, tag="split"):
    """Cut the links between two halves."""


class Isolate(Request, frozen=True, tag="isolate"):
    replica: str


class Heal(Request, frozen=True, tag="heal"):
    """Make all links whole."""


class Kill(Request, frozen=True, tag="kill"):
    """SIGKILL."""

    replica: str


class Restart(Request, frozen=True, tag="restart"):
    replica: str


class Add(Request, frozen=True, tag="add"):
    """A new one, linked to all. `{"replica": name}`."""


class Write(Request, frozen=True, tag="write"):
    """A command: `{"dots": ["alice:4"]}`, or the error says why it was refused.

    The stream is `party/summer` unless said; an order without one gets the next free number.
    """

    replica: str
    command: str
    fields: dict[str, Any] = {}
    stream: str = ""


class Explain(Request, frozen=True, tag="explain"):
    """Why a value reads as it does: `value`, `rule`, `kind`, acts (`read`, `lost`, `earlier`), `shares`, `parts`.

    An act is `{"dot", "author", "time", "did", "unseen": [dots]}`, a share `{"author", "value", "dot"}`.
    """

    replica: str
    stream: str
    path: str = ""


class Restore(Request, frozen=True, tag="restore"):
    """Record again what has lost: `{"dots": [...]}`."""

    replica: str
    dot: str


class At(Request, frozen=True, tag="at"):
    """The past of the first `index` events, in the order of stamps: `{"index", "of", "version", "presents"}`.

    A decision is seen whole or not at all: `index` comes back as large as that takes.
    """

    replica: str
    index: int


class Fork(Request, frozen=True, tag="fork"):
    """A second past begins there, with links that are down: `{"replica": name}`."""

    replica: str
    index: int


class Join(Request, frozen=True, tag="join"):
    """`into` takes in what `replica` holds: `{"events": how many were new}`."""

    replica: str
    into: str


class Play(Request, frozen=True, tag="lesson"):
    """Begin a lesson, by its name or as the text of a scenario file."""

    name: str = ""
    scenario: str = ""


class Next(Request, frozen=True, tag="next"):
    """Play its next step."""


class Stop(Request, frozen=True, tag="stop"):
    """Leave it, and show the network again."""


AnyRequest = (
    SetLink | Split | Isolate | Heal | Kill | Restart | Add | Write | Explain | Restore | At | Fork | Join | Play
    | Next | Stop
)  # fmt: skip
