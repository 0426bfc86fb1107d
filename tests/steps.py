"""The steps of a program: what `tests.differential` does to whole replicas, one `do_...` for each kind.

Each draws what it needs from the chance that it is given, and says in a few words what became of it. What a side
was told to record, and what a call answered, is compared at once; the rest when all is still (`tests.sides`).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from contextlib import AsyncExitStack, closing
from pathlib import Path
from random import Random
from typing import Any

from replica import Event, Outdated
from sync import connect, linked, serve
from sync.channel import Channel, ChannelClosed
from sync.conversation import converse
from sync.link import Link
from sync.memory import pair
from tests.reference import Past
from tests.sides import (
    DESK,
    HOMES,
    JOURNALS,
    LARGE,
    RELEASES,
    STREAMS,
    WORDS,
    Backup,
    Difference,
    Side,
    Sides,
    Wanted,
    plain,
    same,
    version_of,
)  # fmt: skip
from tests.subject import Ask, Asked, Mood, Noted, Record, Struck, Typed


class Cutting:
    """A channel that is closed after so many frames."""

    def __init__(self, channel: Channel, frames: int) -> None:
        self._channel, self._left = channel, frames

    async def send(self, frame: bytes) -> None:
        if self._left <= 0:
            await self._channel.close()
            raise ChannelClosed
        self._left -= 1
        await self._channel.send(frame)

    async def receive(self) -> bytes:
        return await self._channel.receive()

    async def close(self) -> None:
        await self._channel.close()


class World(Sides):
    """Some sides, what was ever recorded, and the steps of a program."""

    # --- steps: writing ---

    async def step(self, kind: str, at: int, draw: int) -> str:
        """Take one step; what became of it, in a few words."""
        random = Random(draw)
        side = self.sides[at % len(self.sides)]
        self.now += random.choice([0, 1, 7, 1000])
        done: str = await getattr(self, f"do_{kind}")(side, random)
        await self.level()
        return done

    def _events(self, side: Side, random: Random, home: str) -> list[tuple[str, Event]]:
        """Some facts for up to three streams."""
        streams = [home, *random.sample(HOMES, random.choice([0, 0, 1, 2]))]
        count = random.randint(1, 6) if random.random() < 0.95 else random.randint(7, 25)
        return [self._fact(side, random, random.choice(streams)) for _ in range(count)]

    def _fact(self, side: Side, random: Random, stream: str) -> tuple[str, Event]:
        self.count += 1
        word, other = random.choice(WORDS), random.choice(WORDS)
        if stream in JOURNALS:
            line = f"{random.choice('mzakq')}{self.count % 17}"
            return stream, Struck(line) if random.random() < 0.15 else Noted(line, random.randint(1, 9))
        kinds = [kind for kind in side.release.kinds if kind is not Typed]
        kind = random.choice(kinds)
        said = {
            "item": word, "old": word, "new": other, "title": f"{word} {self.count}", "text": word, "label": word,
            "loud": random.random() < 0.5, "mood": random.choice([*Mood]), "by": random.randint(0, 3), "a": other,
            "key": word, "tag": other, "name": f"{other}{self.count % 3}", "slot": random.randint(1, 2),
            "note": other,
        }  # fmt: skip
        if random.random() < self.large:
            said["title"] = said["text"] = said["label"] = word * (LARGE // len(word))
        return stream, kind(**{name: said[name] for name in kind.__struct_fields__})

    async def do_execute(self, side: Side, random: Random) -> str:
        home = random.choice(HOMES)
        facts = self._events(side, random, home)
        command = Record(tuple(facts))
        if home not in JOURNALS and random.random() < 0.3:
            text = "".join(random.choice("abc é€😀") for _ in range(random.randint(1, 4)))
            command = Record(tuple(facts[:3]), text, random.randint(0, 50), random.choice([0, 0, 2]))
        named = f"c{self.count}" if random.random() < 0.3 else None
        if named:
            self.commands.append((named, home, command))
        return await self._execute(side, home, command, named)

    async def _execute(
        self, side: Side, home: str, command: Any, named: str | None, expect: Past | None = None
    ) -> str:
        answer = await side.replica.execute(
            home, command, command_id=named, expect=None if expect is None else version_of(expect)
        )
        dots = tuple((int(dot.replica), dot.seq) for dot in answer.dots)
        if named in side.answers:
            same(f"answer of {side.name} to a retry of {named}", side.answers[named], dots)
            return "retried"
        known = {
            tuple((fact.author, seq) for seq in range(fact.first, fact.last + 1)): fact.stream
            for fact in self.log.facts(side.heard)
            if named is not None and (fact.command, fact.seq) == (named, fact.first)
        }  # fmt: skip
        if dots in known:
            return "retried elsewhere"
        if home in known.values():  # what others have carried out counts in the stream of its first event
            raise Difference(f"answer of {side.name} to a retry of {named}", sorted(known), dots)
        if named is not None:
            side.answers[named] = dots
        if isinstance(command, Ask):
            wanted = [Wanted.of(home, Asked(command.what))]
        else:
            wanted = [Wanted.of(*fact) for fact in command.facts]
            wanted += [Wanted.of(home, Typed(b""))] if command.text else []
        same(f"dots that {side.name} was told", len(wanted), len(dots))
        side.wanted[dots[0]] = wanted
        return f"{len(dots)} facts"

    async def do_retry(self, side: Side, random: Random) -> str:
        if not self.commands:
            return "nothing to retry"
        named, home, command = random.choice(self.commands)
        kinds = {type(event) for _, event in getattr(command, "facts", ())}
        if not kinds <= {*side.release.kinds, Noted, Struck}:
            return "not known there"
        return await self._execute(side, home, command, named)

    async def do_expect(self, side: Side, random: Random) -> str:
        home = random.choice(HOMES)
        facts = self.log.facts(side.heard)
        expect = self.log.until(random.choice(facts).stamp[0], side.heard) if facts else {}
        moved = bool(self.log.of(home, side.heard, expect))
        try:
            done = await self._execute(side, home, Record((self._fact(side, random, home),)), None, expect)
        except Outdated:
            same(f"{side.name} was refused at {expect}: has {home} moved on?", moved, True)
            return "refused"
        same(f"{side.name} decided at {expect}: has {home} moved on?", moved, False)
        return done

    async def do_append(self, side: Side, random: Random) -> str:
        stream = random.choice(HOMES)
        facts = [self._fact(side, random, stream) for _ in range(random.randint(1, 4))]
        answer = await side.replica.append(stream, *(event for _, event in facts))
        side.wanted[int(answer.dots[0].replica), answer.dots[0].seq] = [Wanted.of(*fact) for fact in facts]
        return f"{len(facts)} facts for {stream}"

    async def do_burst(self, side: Side, random: Random) -> str:
        """Several commits at once, in one transaction or a few."""
        stream = random.choice(HOMES)
        facts = [self._fact(side, random, stream) for _ in range(random.randint(3, 12))]
        answers = await asyncio.gather(*[side.replica.append(stream, event) for _, event in facts])
        for fact, answer in zip(facts, answers, strict=True):
            side.wanted[int(answer.dots[0].replica), answer.dots[0].seq] = [Wanted.of(*fact)]
        return f"{len(facts)} commits for {stream}"

    async def do_ask(self, side: Side, random: Random) -> str:
        self.count += 1
        return await self._execute(side, DESK, Ask(f"q{self.count}"), None)

    async def do_retire(self, side: Side, random: Random) -> str:
        here = {one.id for one in self.sides}
        gone = {f.fields.get("replica") for f in self.log.facts(side.heard) if f.type == "ReplicaRetired"}
        dead = sorted(author for author in side.heard if author not in here and author not in gone)
        if not dead:
            return "nobody to retire"
        await side.replica.retire(dead[0])
        return "retired one"

    # --- steps: meeting ---

    def _other(self, side: Side, random: Random) -> Side:
        return random.choice([one for one in self.sides if one is not side])

    async def do_sync(self, side: Side, random: Random) -> str:
        other = self._other(side, random)
        async with AsyncExitStack() as stack:
            await self._link(stack, side, other, random.random() < 0.15)
            async with self._patience(f"{side.name} and {other.name} hear each other"):
                await self._even(side, other)
        return f"with {other.name}"

    @staticmethod
    async def _even(one: Side, other: Side) -> None:
        await one.replica.wait_for(version_of(plain(other.replica.version)))
        await other.replica.wait_for(version_of(plain(one.replica.version)))

    @staticmethod
    async def _link(stack: AsyncExitStack, one: Side, other: Side, socket: bool) -> None:
        if socket:
            server = await stack.enter_async_context(serve(other.replica))
            await stack.enter_async_context(connect(one.replica, server.url))
        else:
            await stack.enter_async_context(linked(one.replica, other.replica))

    async def do_link(self, side: Side, random: Random) -> str:
        """A link that stays; or one that was there is cut."""
        other = self._other(side, random)
        key = frozenset((self.sides.index(side), self.sides.index(other)))
        if key in self.links:
            await self.links.pop(key).aclose()
            return f"cut from {other.name}"
        self.links[key] = stack = AsyncExitStack()
        await self._link(stack, side, other, random.random() < 0.1)
        return f"linked with {other.name}"

    async def do_broken(self, side: Side, random: Random) -> str:
        """A link that ends in the middle of what it carries."""
        other = self._other(side, random)
        here, there = pair()
        ends = Cutting(here, random.randint(1, 5)), Cutting(there, random.randint(1, 5))
        tasks = [
            asyncio.create_task(converse(side.replica, ends[0], Link("there"))),
            asyncio.create_task(converse(other.replica, ends[1], Link("here"))),
        ]
        await asyncio.wait(tasks, timeout=0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return f"from {other.name}"

    async def do_join(self, side: Side, random: Random) -> str:
        other = self._other(side, random)
        new = self.log.facts(other.heard, side.heard)
        by_path = random.random() < 0.3
        joined = await side.replica.join(other.path if by_path else other.replica)
        same(f"events that joined {side.name}", len(new), joined.events)
        streams: dict[str, int] = {}
        for fact in new:
            streams[fact.stream] = streams.get(fact.stream, 0) + 1
        same(f"streams that joined {side.name}", streams, dict(joined.streams))
        mine = self.log.facts(side.heard, other.heard)
        met = {one.stream for one in new if one.stream in STREAMS} & {one.stream for one in mine}
        same(f"streams that met at {side.name}", met, set(joined.met))
        return f"{len(new)} events of {other.name}"

    # --- steps: files ---

    async def do_reopen(self, side: Side, random: Random) -> str:
        await self.close(side)
        await self.open(side, new=False)
        return "closed and opened"

    async def do_kill(self, side: Side, random: Random) -> str:
        await self.kill(side)
        await self.open(side, new=self.durability == "normal")
        return "killed and opened"

    async def do_upgrade(self, side: Side, random: Random) -> str:
        await self.close(side)
        side.number = random.choice([number for number in RELEASES if number != side.number])
        await self.open(side, new=False)
        return f"runs release {side.number}"

    async def do_drop(self, side: Side, random: Random) -> str:
        """Somebody drops a table while the file is closed."""
        await self.close(side)
        table = random.choice(["items", "lines", "notes"])
        with closing(sqlite3.connect(side.path)) as file:
            file.execute(f"DROP TABLE {table}")
            file.commit()
        await self.open(side, new=False)
        return f"the table {table}"

    async def do_rebuild(self, side: Side, random: Random) -> str:
        table = random.choice(["items", "lines", "notes"])
        await side.replica.rebuild(table)
        return f"the table {table}"

    def _grow(self, side: Side, path: Path, heard: Past, random: Random) -> Side:
        """A further side, in place of the last one where there are many."""
        made = Side(path.stem, path, side.number, random.choice([0, -2500, 4000]), dict(heard))
        self.sides.append(made)
        return made

    async def do_fork(self, side: Side, random: Random) -> str:
        if len(self.sides) >= 6:
            return "enough sides"
        self.count += 1
        path = self.folder / f"fork{self.count}.db"
        cut = dict(side.heard)
        if random.random() < 0.5 and self.log.facts(cut):
            cut = self.log.least([random.choice(self.log.facts(cut)).dot])
        forked = await side.replica.fork(path, at=version_of(cut))
        same("the past that a fork begins with", cut, plain(forked.version))
        made = self._grow(side, path, cut, random)
        await self.open(made, new=True)
        return f"{path.stem} at {len(self.log.facts(cut))} events"

    async def do_backup(self, side: Side, random: Random) -> str:
        self.count += 1
        path = self.folder / f"{side.name}.{self.count}.backup"
        with closing(sqlite3.connect(side.path)) as file, closing(sqlite3.connect(path)) as to:
            file.backup(to)
        side.backups.append(Backup(path, dict(side.heard), dict(side.answers), list(side.fed), set(side.late)))
        return f"number {len(side.backups)}"

    async def do_restore(self, side: Side, random: Random) -> str:
        if not side.backups:
            return "there is no backup"
        backup = random.choice(side.backups)
        await self.close(side)
        for end in ("-wal", "-shm"):
            side.path.with_name(side.path.name + end).unlink(missing_ok=True)
        shutil.copy(backup.path, f"{side.path}.new")
        os.replace(f"{side.path}.new", side.path)
        side.heard, side.answers, side.fed = dict(backup.heard), dict(backup.answers), list(backup.fed)
        side.late = set(backup.late)
        side.wanted.clear()
        await self.open(side, new=True)
        return f"a backup of {len(self.log.facts(backup.heard))} events"

    async def do_copy(self, side: Side, random: Random) -> str:
        if len(self.sides) >= 6:
            return "enough sides"
        await self.do_backup(side, random)
        backup = side.backups.pop()
        path = self.folder / f"copy{self.count}.db"
        os.replace(backup.path, path)
        made = self._grow(side, path, backup.heard, random)
        made.answers, made.fed, made.late = dict(backup.answers), list(backup.fed), set(backup.late)
        await self.open(made, new=True)
        return path.stem

    async def do_wait(self, side: Side, random: Random) -> str:
        self.now += random.choice([10_000, 3_600_000])
        side.skew = random.choice([0, -random.randint(0, 7_200_000), random.randint(0, 7_200_000)])
        return f"the clock of {side.name} is {side.skew} ms off"

    async def do_look(self, side: Side, random: Random) -> str:
        return "and look"
