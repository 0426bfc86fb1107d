"""Cuts: pasts of this replica, named so that they can be printed, pasted, and kept.

Rule 1. A cut is a version that is causally closed and parts no commit: with an event it has all that the event's
        author had observed, and the other events of its commit.
Rule 2. It may be named by some of its events: the cut is then the least past that has them. So a dot names the
        past that ends with it, and a printed version names itself.
Rule 3. In words: `now`; a time (`2026-05-01T12:00Z`: all that was stamped until then, which is causally closed);
        events (`alice:3 bob:7`); and `alice:3^`, what the author of an event had observed when it was decided.
        A replica is its name, its 16 digits, or name~digits where several go by that name.
Rule 4. Nobody can go to a past that was not observed here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from merge.stamp import Stamp
from merge.version import NOTHING, Dot, ReplicaId, VersionVector
from replica.errors import NotObserved
from replica.place import StreamPlace
from replica.reading import Reader

if TYPE_CHECKING:
    from replica.core import Core

Where = VersionVector | tuple[int, int] | datetime | str
"""What names a cut: a version, a dot, a time, or words."""

_EVENT = re.compile(r"\s*,?\s*(?P<name>.+?):(?P<seq>\d+)(?P<before>\^?)(?=[\s,]|$)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = re.compile(r"\d{4}-\d\d-\d\d")


def cut_at(core: Core, reader: Reader, where: Where) -> VersionVector:
    """The cut that `where` names. NotObserved where this replica has not observed it. Reads a block a log."""
    if isinstance(where, datetime):
        return _until(reader, where)
    if isinstance(where, str):
        return _in_words(core, reader, where.strip())
    version = where if isinstance(where, VersionVector) else VersionVector([_checked_dot(where)])
    return closed(core, reader, version)


def closed(core: Core, reader: Reader, version: VersionVector) -> VersionVector:
    """The least cut that contains a version."""
    cut = version
    for replica, seq in version.seqs.items():
        cut |= _past_of(core, reader, Dot(replica, seq))
    return cut


def before(core: Core, reader: Reader, dot: Dot) -> VersionVector:
    """What the author of an event had observed when it was decided."""
    found = reader.commit(*dot)
    if found is None:
        raise not_observed(core, dot)
    return found[1]


def _past_of(core: Core, reader: Reader, dot: Dot) -> VersionVector:
    found = reader.commit(*dot)
    if found is None:
        raise not_observed(core, dot)
    commit, context = found
    return context.advance(commit.replica, commit.last)


def not_observed(core: Core, dot: Dot) -> NotObserved:
    replica = core.label(dot.replica)
    held = core.memory.version[dot.replica]
    if held:
        has = f"of {replica} it has the events 1 to {held}"
    else:
        has = f"it has heard of {', '.join(_names(core)) or 'nobody'}"
    return NotObserved(
        f"{core.identity.name} has not observed {Dot(replica, dot.seq)}: {has}. Nothing was changed; name a past "
        "that it has, or let it meet a replica that has this one."
    )


def _until(reader: Reader, when: datetime) -> VersionVector:
    """All that was stamped at `when` or before. Where it has no time zone, it is local time."""
    limit = Stamp((when.astimezone(UTC) - _EPOCH) // timedelta(milliseconds=1) + 1, 0, 0)
    return VersionVector({r: reader.last_before(r, limit) for r in reader.lineages})


def _in_words(core: Core, reader: Reader, words: str) -> VersionVector:
    if words == "now":
        return core.memory.version
    if _TIME.match(words):
        try:
            return _until(reader, datetime.fromisoformat(words))
        except ValueError as error:
            raise ValueError(f"{words!r} is not a time ({error}): write it as 2026-05-01T12:00:00Z") from None
    cut, position = NOTHING, 0
    while position < len(words):
        found = _EVENT.match(words, position)
        if found is None:
            raise ValueError(
                f'{words!r} does not name a past: write "alice:3 bob:7" (events), "alice:3^" (what its author had '
                'observed), a time as 2026-05-01T12:00:00Z, or "now"'
            )
        position = found.end()
        if seq := int(found["seq"]):
            dot = Dot(replica_called(core, found["name"]), seq)
            cut |= before(core, reader, dot) if found["before"] else _past_of(core, reader, dot)
    return cut


def dot_called(core: Core, words: str | tuple[int, int]) -> Dot:
    """The dot that is printed `alice:3`."""
    if not isinstance(words, str):
        replica, seq = _checked_dot(words)
        return Dot(core.label(replica), seq)
    found = _EVENT.fullmatch(words.strip())
    if found is None or found["before"]:
        raise ValueError(f'{words!r} does not name an event: write it as it is printed, "alice:3"')
    return Dot(replica_called(core, found["name"]), int(found["seq"]))


def _checked_dot(dot: Any) -> Dot:
    """A dot; TypeError where something else is given for a place in the past."""
    if not (isinstance(dot, tuple) and len(dot) == 2 and all(isinstance(part, int) for part in dot)):
        raise TypeError(
            f"{dot!r} names no event and no past: give a dot, a version, a datetime, or words as they are printed, "
            '"alice:3"'
        )
    return Dot(*dot)


def replica_called(core: Core, name: str) -> ReplicaId:
    """The replica that goes by a name, its 16 digits, or name~digits."""
    known = _names(core)
    found = known.get(name)
    if found is None:
        digits = [one for one in known.values() if f"{int(one):016x}" == name]
        same = [str(one) for one in known.values() if str(one).rpartition("~")[0] == name]
        if len(same) > 1:
            raise NotObserved(f"several replicas go by the name {name!r}: say which ({', '.join(sorted(same))})")
        if not digits:
            raise NotObserved(
                f"{core.identity.name} has not heard of a replica {name!r}; it knows {', '.join(known) or 'nobody'}"
            )
        found = digits[0]
    return found


def _names(core: Core) -> Mapping[str, ReplicaId]:
    return {str(label): label for label in sorted(map(core.label, {*core.memory.lineages, core.me}), key=str)}


def settled_cut(core: Core, reader: Reader, stream: str) -> VersionVector:
    """The part of `stable` in which a stream changes at its end alone.

    What is settled need not come first: an event that is here, and not yet settled, may be stamped before it. So it
    is what lies in `stable` and is stamped before the first event of the stream that does not.
    """
    stable = core.stable
    tentative = reader.stream_beyond(stream, StreamPlace.holding(stable), core.memory.version, 1)
    if not tentative:
        return stable
    limit = tentative[0][0].stamp
    late = [r for r, lineage in reader.lineages.items() if stable[r] and lineage.tip.stamp >= limit]
    return VersionVector({**stable.seqs, **{r: min(stable[r], reader.last_before(r, limit)) for r in late}})


def plain(version: VersionVector) -> dict[str, int]:
    """A version for JSON: the digits of each replica -> highest seq."""
    return {f"{dot.replica:016x}": dot.seq for dot in version}


def from_plain(data: Mapping[str, int]) -> VersionVector:
    """The version that `plain` wrote."""
    return VersionVector({int(digits, 16): seq for digits, seq in data.items()})


def shown_time(stamp: Stamp) -> str:
    """The wall time of a stamp, in UTC, as people and `cut` read it."""
    when = datetime.fromtimestamp(stamp.wall / 1000, UTC)
    return f"{when:%Y-%m-%dT%H:%M:%S}.{stamp.wall % 1000:03d}Z"
