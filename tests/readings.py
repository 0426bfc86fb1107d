"""Each reading of a replica, compared with what it must be by `tests.reference`: for `tests.differential`.

A reading is a function here, named after the call that it judges, of the world, a side, the face that is asked (the
replica, or its file read only) and chance. It raises Difference. All of them are in READINGS.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from replica import ReadOnly
from tests import expected, reference
from tests.reference import Fact, Past, inside
from tests.sides import DESK, PATIENCE, STREAMS, Difference, Side, plain, same, version_of
from tests.steps import World
from tests.subject import Mood

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def shown(present: Any) -> Any:
    """A present as the reference says it; what is of another type than was written is not equal."""
    if isinstance(present.state, dict):
        return present.state
    found = dict(present.value)
    mood = found["mood"]
    found["mood"] = mood.value if type(mood) is Mood else None if mood is None else ("not a Mood", mood)
    return found


def same_present(what: str, world: World, side: Side, stream: str, facts: list[Fact], present: Any) -> None:
    wanted, got = expected.present(stream, facts, side.code), shown(present)
    if isinstance(present.state, dict):  # in an ordered fold the order of keys counts, and so do types
        wanted, got = [*wanted.items()], [*got.items()]
        if repr(wanted) != repr(got):
            raise Difference(what, wanted, got)
        return
    for name, value in wanted.items():
        same(f"{what}: {name}", value, got[name])


def categories(side: Side, random: Random, many: int = 2) -> list[str]:
    return random.sample(STREAMS, many)


def some_past(world: World, side: Side, random: Random) -> tuple[str, Any, Past]:
    """A past of a side: what it is in words, what names it, and the past."""
    log, heard = world.log, side.heard
    facts = log.facts(heard)
    kind = random.choice(["now", "fact", "before", "time", "facts", "heard"]) if facts else "now"
    fact = random.choice(facts or [None])
    if kind == "now":
        return kind, random.choice(["now", version_of(heard)]), heard
    if kind == "fact":
        return f"{fact.dot}", fact.dot, log.least([fact.dot])
    if kind == "before":
        past = {author: seq for author, seq in fact.context.items() if seq}
        return f"{fact.dot}^", f"{fact.author:016x}:{fact.seq}^", past
    if kind == "time":
        when = EPOCH + timedelta(milliseconds=fact.stamp[0])
        return f"{when}", when, log.until(fact.stamp[0], heard)
    if kind == "facts":
        dots = [one.dot for one in random.sample(facts, min(2, len(facts)))]
        words = " ".join(f"{author:016x}:{seq}" for author, seq in dots)
        return words, words, log.least(dots)
    known = [past for past in world.knew.values() if inside(past, heard)]
    past = random.choice(known) if known else heard
    return f"{past}", version_of(past), past


# --- presents ---


async def present(world: World, side: Side, face: Any, random: Random) -> None:
    for stream in categories(side, random):
        found = await face.present(stream)
        same(f"version of {stream} of {side.name}", side.heard, plain(found.version))
        facts = world.log.of(stream, side.heard)
        same_present(f"present of {stream} of {side.name}", world, side, stream, facts, found)


async def at(world: World, side: Side, face: Any, random: Random) -> None:
    """Views, twice: the second may begin at what the first came to."""
    stream = random.choice(STREAMS)
    for _ in range(2):
        words, where, past = some_past(world, side, random)
        view = await face.at(where)
        same(f"cut of {side.name} at {words}", past, plain(view.version))
        facts = world.log.of(stream, past)
        same_present(f"{stream} of {side.name} at {words}", world, side, stream, facts, await view.present(stream))


async def settled(world: World, side: Side, face: Any, random: Random) -> None:
    stream = random.choice(STREAMS)
    stable = plain(face.stable)
    if not inside(stable, side.heard):
        raise Difference(f"stable of {side.name}", side.heard, stable)
    facts = world.log.settled(stream, stable, side.heard)
    found = await face.present(stream, settled=True)
    same_present(f"settled {stream} of {side.name}", world, side, stream, facts, found)


async def digest(world: World, side: Side, face: Any, random: Random) -> None:
    """Where the same code has heard the same, digests are equal."""
    stream = random.choice(STREAMS)
    mine = await face.digest(stream)
    for other in world.sides:
        if other is not side and (other.heard, other.number) == (side.heard, side.number):
            same(f"digest of {stream} of {side.name} and {other.name}", mine, await other.replica.digest(stream))


async def diff(world: World, side: Side, face: Any, random: Random) -> None:
    stream = random.choice(STREAMS)
    words, where, past = some_past(world, side, random)
    others, whereto, other = some_past(world, side, random)
    what = f"diff of {stream} of {side.name} from {words} to {others}"
    found = await face.diff(stream, where, whereto)
    gained = [fact.dot for fact in world.log.of(stream, other, past)]
    lost = [fact.dot for fact in world.log.of(stream, past, other)]
    same(f"{what}: gained", gained, [_dot(record) for record in found.gained])
    same(f"{what}: lost", lost, [_dot(record) for record in found.lost])
    before, after = [(await (await face.at(one)).present(stream)).plain() for one in (where, whereto)]
    same(what, after, found.apply(before))


# --- the log ---


async def history(world: World, side: Side, face: Any, random: Random) -> None:
    stream = random.choice(STREAMS)
    words, where, past = some_past(world, side, random)
    beyond: Past = {}
    if random.random() < 0.5:
        _, _, beyond = some_past(world, side, random)
    facts = world.log.of(stream, past, beyond)
    wanted = [
        (fact.dot, fact.stamp, fact.type, fact.schema, [one.dot for one in reference.concurrent(facts, number)])
        for number, fact in enumerate(facts)
    ]
    types = {fact.type for fact in facts if random.random() < 0.5} if random.random() < 0.3 else set()
    if types:
        wanted = [one for one in wanted if one[2] in types]
    found = []
    async with aclosing(face.history(stream, after=version_of(beyond), upto=where, types=types)) as records:
        async for record in records:
            missed = sorted(map(_int, record.concurrent), key=lambda dot: world.log.get(dot).order)
            stamp = record.stamp.wall, record.stamp.counter, int(record.stamp.replica)
            found.append((_dot(record), stamp, record.type, record.schema, missed))
            if len(found) > len(facts):
                break
    same(f"history of {stream} of {side.name} beyond {beyond} at {words}", wanted, found)


async def commits(world: World, side: Side, face: Any, random: Random) -> None:
    words, where, past = some_past(world, side, random)
    _, _, beyond = some_past(world, side, random)
    wanted = [(fact.dot, fact.stream, fact.type, dict(fact.fields)) for fact in world.log.facts(past, beyond)]
    found = []
    async with aclosing(face.commits(after=version_of(beyond), upto=where)) as decisions:
        async for records in decisions:
            found += [(_dot(one), one.stream, one.type, one.fields) for one in records]
            if len(found) > len(wanted):
                break
    same(f"commits of {side.name} beyond {beyond} at {words}", wanted, found)


async def watch(world: World, side: Side, face: Any, random: Random) -> None:
    """From a version on, or for some streams: each once, causes first."""
    _, _, since = some_past(world, side, random)
    since = {} if random.random() < 0.3 else since
    streams = random.choice([(), (random.choice(STREAMS),)])
    facts = [
        fact for fact in side.code.reads(world.log.facts(side.heard, since))
        if (fact.stream in streams if streams else fact.stream in STREAMS)
    ]  # fmt: skip
    found: list[tuple[int, int]] = []
    try:
        async with (
            asyncio.timeout(PATIENCE / 4),
            aclosing(face.watch(*streams, after=version_of(since))) as entries,
        ):
            while len(found) < len(facts):
                found.append(_int((await anext(entries)).dot))
    except TimeoutError:
        pass
    same(f"watch of {streams} of {side.name} after {since}", sorted(fact.dot for fact in facts), sorted(found))
    world.causes_first(f"watch of {side.name} after {since}", found, since)


async def record(world: World, side: Side, face: Any, random: Random) -> None:
    facts = world.log.facts(side.heard)
    if facts:
        fact = random.choice(facts)
        found = await face.record(fact.dot)
        context = {author: seq for author, seq in plain(found.context).items() if seq}
        got = (_dot(found), found.stream, found.type, found.fields, context, found.command)
        wanted = (fact.dot, fact.stream, fact.type, dict(fact.fields), dict(fact.context), fact.command)
        same(f"record {fact.dot} of {side.name}", wanted, got)


# --- why ---


async def explain(world: World, side: Side, face: Any, random: Random) -> None:
    """Explanations say what is read; who is read and who has lost, at the places that the reference explains."""
    stream = random.choice([one for one in STREAMS if not one.startswith(("journal", "desk"))])
    words, where, past = some_past(world, side, random)
    facts = side.code.reads(world.log.of(stream, past))
    what = f"explain {stream} of {side.name} at {words}"
    whole = await face.explain(stream, at=where)
    str(whole)
    reads = expected.board(facts)
    found = {one.path: one for one in (whole.parts if whole.parts or not whole.path else (whole,))}
    for place, why in expected.reasons(facts).items():
        one = found.get(place)
        if one is None:
            raise Difference(f"{what}: {place}", why, "nothing is told of it")
        value = reads[place[0]] if len(place) == 1 else place[1] in reads[place[0]]
        got = one.value.value if type(one.value) is Mood else one.value
        same(f"{what}: value of {place}", value, got)
        same(f"{what}: read at {place}", set(why.read), {_dot(act.record) for act in one.read})
        same(f"{what}: lost at {place}", set(why.lost), {_dot(act.record) for act in one.lost})
    for field in ("total", "visits"):
        shares = {int(one.author): one.value for one in found[field,].shares} if (field,) in found else {}
        same(f"{what}: shares of {field}", expected.shares(facts, field), shares)
    met = {one.path for one in await face.conflicts(stream, at=where) if one.path[0] in expected.EXPLAINED}
    same(f"conflicts of {stream} of {side.name} at {words}", expected.conflicts(facts), met)
    ordered = random.choice(["journal/a", "journal/b", DESK])
    str(await face.explain(ordered, at=where))
    same(f"conflicts of {ordered}", [], await face.conflicts(ordered, at=where))


# --- beside the log ---


async def rows(world: World, side: Side, face: Any, random: Random) -> None:
    await face.built()
    log, heard, code = world.log, side.heard, side.code
    items, lines = [], []
    for stream in STREAMS:
        read = expected.present(stream, log.of(stream, heard), code)
        if stream.startswith("board"):
            items += [(stream, n, item, read["title"]) for n, item in enumerate(sorted(read["items"]))]
        elif stream.startswith("journal"):
            lines += [(stream, n, line, what[0], what[1]) for n, (line, what) in enumerate(read.items())]
    notes = [
        (f.stream, f"{f.author:016x}", f.seq, 0, f.fields["line"]) for f in log.facts(heard) if f.type == "Noted"
    ]
    same(f"rows of items of {side.name}", items, await face.rows("items"))
    same(f"rows of lines of {side.name}", lines, await face.rows("lines"))
    same(f"rows of notes of {side.name}", sorted(notes), sorted(await face.rows("notes")))
    stopped = [one for one in face.status().projections if one.state != "live"]
    same(f"projections of {side.name} that are not live", [], stopped)


async def status(world: World, side: Side, face: Any, random: Random) -> None:
    found = face.status()
    same(f"poisoned streams of {side.name}", {}, found.poisoned)
    same(f"divergences of {side.name}", (), tuple(found.divergences))
    facts = world.log.facts(side.heard)
    same(f"events of {side.name}", len(facts), found.events)
    unknown: dict[str, int] = {}
    for fact in facts:
        if fact.stream in STREAMS and (fact.type, fact.schema) not in side.code.knows:
            unknown[f"{fact.type} {fact.schema}"] = unknown.get(f"{fact.type} {fact.schema}", 0) + 1
    told = {one.what: one.events for one in found.unfolded if one.why == "unknown type"}
    same(f"types that {side.name} does not know", unknown, told)
    owed = {one.fields["what"] for one in facts if one.type == "Asked"}
    done = {one.fields["what"] for one in facts if one.type == "Answered"}
    due = [one for one in found.due if one.state != "done"]
    same(f"questions that are open at {side.name}", len(owed - done), len(due))


async def verify(world: World, side: Side, face: Any, random: Random) -> None:
    found = await face.verify(*([random.choice(STREAMS)] if random.random() < 0.5 else []))
    same(f"differences that verify finds at {side.name}", (), tuple(found.differences))


READINGS = (
    present, present, at, at, at, at, settled, digest, diff, diff, history, history, commits, watch, record,
    explain, explain, rows, status, verify,
)  # fmt: skip
PASTS = (present, at, at, digest, diff, history, commits, record, explain, verify)
"""What can be asked of a file that is read only."""


async def look(world: World, side: Side, random: Random, many: int) -> None:
    """Some readings of a side that is open."""
    for reading in random.sample(READINGS, many):
        await reading(world, side, side.replica, random)
    if random.random() < 0.15 * many:
        await look_in_file(world, side, random, 2)


async def look_in_file(world: World, side: Side, random: Random, many: int) -> None:
    """Some readings of its file, beside whoever writes to it."""
    release = side.release
    async with ReadOnly.open(side.path, aggregates=release.aggregates, projections=release.projections) as file:
        same(f"version of the file of {side.name}", side.heard, plain(file.version))
        for reading in random.sample(PASTS, many):
            await reading(world, side, file, random)


async def look_at_all(world: World, side: Side, random: Random) -> None:
    """Everything, of a side that has heard all there is."""
    for stream in STREAMS:
        found = await side.replica.present(stream)
        facts = world.log.of(stream, side.heard)
        same_present(f"present of {stream} of {side.name}, in the end", world, side, stream, facts, found)
    for reading in dict.fromkeys(READINGS):
        await reading(world, side, side.replica, random)
    await look_in_file(world, side, random, len(PASTS))


def _dot(record: Any) -> tuple[int, int]:
    return _int(record.dot)


def _int(dot: Any) -> tuple[int, int]:
    return int(dot.replica), dot.seq
