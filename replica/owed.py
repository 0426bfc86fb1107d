"""What is due in the streams of a replica, as part of its draft: learnt, carried out, parked.

The rules stand in `replica.due`; this is where the core keeps them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec
from immutables import Map

from replica import due
from replica.commit import Note
from replica.due import Owned, OwnerChanged, Promise
from replica.intent import Intent
from replica.log import Done, Kept, Span
from replica.missing import Missing
from replica.status import DueStatus

if TYPE_CHECKING:
    from replica.core import Core

OWNER = "owner"
"""The kind under which the owners of streams are kept beside the log."""
FORMER = 16
"""Former owners of a stream that are remembered: what they have carried out counts, whenever it is heard of."""
_encode_owner = msgspec.msgpack.Encoder().encode
decode_owner = msgspec.msgpack.Decoder(Owned).decode
_NONE: Map[str, None] = Map()


def recall(core: Core, kept: Iterable[Kept]) -> None:
    """Take up what was kept beside the log: what is due, and who owns."""
    promises: dict[str, Promise] = {}
    owed: dict[str, dict[str, None]] = {}
    owners: dict[str, Any] = {}
    for one in kept:
        if one.kind == due.KIND:
            promise = promises[one.key] = due.decode(one.value)
            owed.setdefault(promise.stream, {})[one.key] = None
        elif one.kind == OWNER:
            owners[one.key] = decode_owner(one.value)
    memory = core.memory
    memory.promises, memory.owners = Map(promises), Map(owners)
    memory.owed = Map({stream: Map(keys) for stream, keys in owed.items()})


def complain(core: Core) -> None:
    """Say which promises were parked before the replica was opened."""
    for key, promise in sorted(core.now.promises.items()):
        if promise.parked is not None and promise.kind:
            _complain_of(core, key, promise)


def _complain_of(core: Core, key: str, promise: Promise) -> None:
    cause = core.dot(promise.cause)
    core.complaints.say(
        "promise", key,
        f"{promise.kind}, which {promise.stream} owes to {promise.to} in answer to {cause}, was not carried out: "
        f"{(promise.parked or '').rstrip('.')}. It is parked, and nothing else waits for it. When that is mended, "
        f'`await replica.retry("due", "{key}")` tries it again; `drop` leaves it alone.',
    )  # fmt: skip


def put_due(core: Core, stream: str, present: Any) -> None:
    """What a stream owes now, in place of what it owed; nothing where it has no present."""
    memory = core.draft.memory
    before = memory.owed.get(stream, _NONE)
    after: dict[str, Promise] = {}
    if present is not None:
        try:
            found = due.all_due(present)
        except Exception as error:
            after = due.cannot_say(stream, error)
            for promise in after.values():
                core.complaints.say(
                    "due", stream, f"{promise.parked}. Nothing that it owes is carried out until the code is "
                    "mended and the replica opened again; the log is whole.", grave=True,
                )  # fmt: skip
        else:
            if not found and not before:
                return
            owner = memory.owners.get(stream)
            known = {key: memory.promises[key] for key in before}
            after = due.promises(stream, found, known, None if owner is None else owner.owner, _correlations(core))
    for key in before:
        if key not in after:
            core.draft.let_go(Span.one(due.KIND, key))
            core.complaints.over("promise", key)
            memory.promises = memory.promises.delete(key)
    for key, promise in after.items():
        if memory.promises.get(key) != promise:
            change(core, key, promise)
    if after:
        memory.owed = memory.owed.set(stream, Map(dict.fromkeys(after)))
    elif before:
        memory.owed = memory.owed.delete(stream)


def change(core: Core, key: str, promise: Promise) -> None:
    """A promise stands differently from now on."""
    draft = core.draft
    draft.keep(due.KIND, key, due.encode(promise))
    draft.memory.promises = draft.memory.promises.set(key, promise)


def heard_of(core: Core, done: Done) -> None:
    """A command was carried out elsewhere: if it was due, and by whose it was to do, it is due no more."""
    promise = core.now.promises.get(done.command)
    if promise is not None and done.cause == promise.cause and _counts(core, promise, done):
        carried_out(core, done.command)


def carried_out(core: Core, key: str) -> None:
    """A command was carried out: if it was due, it is no more."""
    promise = core.now.promises.get(key)
    if promise is not None and not promise.done:
        core.complaints.over("promise", key)
        change(core, key, msgspec.structs.replace(promise, done=True, parked=None))


def _counts(core: Core, promise: Promise, done: Done) -> bool:
    """It was carried out here, or by one who owns it, or did before somebody took it over."""
    owned = core.now.owners.get(promise.stream)
    former = () if owned is None else owned.former
    return not done.stream or done.stamp.replica in (promise.owner, promise.cause[0], *former)


def carry_out(core: Core, key: str, now: int) -> None:
    """Carry out a command that is due, or park it and say why. A step of the core: raises Missing."""
    promise = core.now.promises.get(key)
    if promise is None or promise.done or promise.parked is not None or promise.owner != core.me:
        return
    try:
        present = core.present(promise.stream)
        owed = due.all_due(present).get(key)
        if owed is None:
            put_due(core, promise.stream, present)
            return
        note = Note(command=key, correlation=promise.correlation, cause=promise.cause)
        intent = Intent(promise.to, promise.kind)  # whatever it says: the id names what it answers to
        done = core.known(key, intent)
        if done is None or not _counts(core, promise, done):
            core.decide(promise.to, owed.command, now, note, intent=intent)
    except Missing:
        raise
    except Exception as error:
        park(core, key, f"{type(error).__name__}: {error}")
    else:
        carried_out(core, key)


def ready(core: Core, now: int) -> tuple[list[str], int | None]:
    """The commands that this replica is to carry out at `now`, and when the next one is due after that.

    In the order of what they answer to, and in every process the same. Those of streams whose aggregate this code
    does not list wait for code that does.
    """
    found: list[tuple[tuple[int, int], str]] = []
    later = None
    for key, promise in core.memory.promises.items():
        if promise.owner != core.me or promise.done or promise.parked is not None:
            continue
        if promise.stream.split("/", 1)[0] not in core.derived.owing:
            continue
        if promise.settled and promise.cause not in core.stable:
            continue
        if promise.at is None or promise.at <= now:
            found.append((promise.cause, key))
        else:
            later = promise.at if later is None else min(later, promise.at)
    return [key for _, key in sorted(found)], later


def unsaid(core: Core) -> list[str]:
    """Where `due` had raised."""
    return sorted(key for key, promise in core.memory.promises.items() if promise.parked and not promise.kind)


def status(core: Core) -> Iterator[DueStatus]:
    """What is due, and how it stands."""
    found = sorted(core.memory.promises.items(), key=lambda one: (one[1].stream, one[1].cause, one[0]))
    for key, promise in found:
        mine = promise.owner == core.me
        state = "parked" if promise.parked else "done" if promise.done else "next" if mine else "pending"
        cause = core.dot(promise.cause)
        owner = core.label(promise.owner)
        yield DueStatus(
            key, promise.stream, promise.kind, promise.to, cause, owner, state, promise.at, promise.parked,
            promise.settled,
        )  # fmt: skip


def park(core: Core, key: str, why: str | None) -> None:
    """Do not try a command any more, and say why; or try it again (None)."""
    promise = msgspec.structs.replace(core.now.promises[key], parked=why)
    change(core, key, promise)
    if why is None:
        core.complaints.over("promise", key)
    else:
        _complain_of(core, key, promise)


def unpark(core: Core, key: str) -> None:
    """Try a parked command again; or ask a stream again what is due, where that had raised."""
    promise = _parked(core, key)
    if promise.kind:
        park(core, key, None)
    else:
        put_due(core, promise.stream, core.present(promise.stream))


def drop(core: Core, key: str) -> None:
    """Leave a parked command alone."""
    _parked(core, key)
    carried_out(core, key)


def _parked(core: Core, key: str) -> Promise:
    promise = core.now.promises.get(key)
    if promise is None or promise.parked is None:
        raise ValueError(f"no command {key!r} is parked here; `status().due` shows those that are")
    return promise


def own(core: Core) -> None:
    """Who owns a stream: whom the latest `OwnerChanged` in it names."""
    draft = core.draft
    memory = draft.memory
    for commit, seq, event in draft.told(OwnerChanged):
        try:
            changed = core.types.decode(event.type, event.schema, event.payload)
        except Exception:  # it poisons its stream, where it is folded
            continue
        assert isinstance(changed, OwnerChanged)
        order = *commit.stamp, seq
        known = memory.owners.get(event.stream)
        later = known is None or order > known.order
        owner = Owned(order, changed.owner) if known is None or later else known
        others = dict.fromkeys((changed.owner,) if known is None else (known.owner, changed.owner, *known.former))
        others.pop(owner.owner, None)
        owner = msgspec.structs.replace(owner, former=tuple(others)[:FORMER])
        if owner != known:
            memory.owners = memory.owners.set(event.stream, owner)
            draft.keep(OWNER, event.stream, _encode_owner(owner))


def _correlations(core: Core) -> dict[tuple[int, int], str | None]:
    """The correlation ids of what is new, by dot."""
    return {
        (commit.replica, seq): commit.note.correlation
        for commit, _ in core.draft.news
        if commit.note is not None and commit.note.correlation is not None
        for seq in range(commit.first, commit.last + 1)
    }
