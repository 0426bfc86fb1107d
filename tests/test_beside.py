"""What stands beside the log: where it cannot be read, it is made again or let go of, and the file opens."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from merge import AWSet
from replica import Aggregate, Command, Due, Event, Ordered, ReadOnly, Replica, StreamRows
from tests.loop import in_loop


class Asked(Event):
    who: str


class Served(Event):
    who: str


class Serve(Command):
    who: str


class Guest(Ordered):
    """Who asks is served by its own replica, once."""

    stream = "guest"
    events = (Asked, Served)

    def initial(self):
        return ((), ())

    def decide(self, command, given):
        return Served(command.who)

    def evolve(self, state, event, moment):
        asked, served = state
        if isinstance(event, Asked):
            return (*asked, (event.who, tuple(moment.dot))), served
        return asked, (*served, event.who)

    def due(self):
        asked, served = self.state
        for who, dot in asked:
            if who not in served and who != "nobody":
                yield Due(Serve(who), dot, at=0 if who == "ann" else 1 << 46)


class Noted(Event):
    text: str


class Notes(Aggregate):
    stream = "notes"
    events = (Noted,)
    texts = AWSet[str]()

    def effect(self, event):
        return self.texts.add(event.text)


class Texts(StreamRows):
    table = "texts"
    columns = {"text": str}
    of = Notes

    def rows(self, present):
        return [(text,) for text in sorted(present.texts)]


def opened(path, name="alice", store="shop"):
    return Replica.open(path, store=store, name=name, aggregates=[Guest, Notes], projections=[Texts])


def seen(replica: Replica) -> dict[str, Any]:
    """What follows from the log, and is kept beside it."""
    status, memory = replica.status(), replica.core.memory
    return {
        "due": [(one.stream, one.command, *map(int, one.cause), one.at) for one in status.due],
        "owners": {stream: one.owner for stream, one in memory.owners.items()},
        "retired": {int(one.replica) for one in replica.members() if one.retired},
        "stores": memory.stores,
        "tables": [(one.table, one.state) for one in status.projections],
    }


async def made(path):
    """A file with all of it."""
    async with (
        opened(path) as alice,
        opened(":memory:", "bob", "depot") as bob,
        opened(":memory:", "carol") as carol,
    ):
        await carol.append("notes/1", Noted("carol was here"))
        await bob.append("notes/1", Noted("bob was here"))
        await alice.append("notes/1", Noted("alice was here"))
        await alice.append("guest/1", Asked("ann"))
        await alice.append("guest/1", Asked("ben"))
        await alice.append("guest/2", Asked("nobody"))
        await alice.join(bob, become_one=True)
        await alice.join(carol)
        await alice.take_over("guest/2", bob.core.me)
        await alice.retire("carol")
        await alice.wait_for(alice.version)
    async with opened(path) as alice:
        await alice.built()
        return seen(alice)


VALUES = ["x'c1'", "x''", "'text'", "5", "x'ffffffffffffffff'", "x'80'", "x'93010203'", "CAST(x'ff' AS TEXT)"]
KINDS = ["due", "owner", "projection", "member", "stable"]
DAMAGE = [f"UPDATE kept SET value = {value} WHERE kind = '{kind}'" for kind in KINDS for value in VALUES[:3]]
DAMAGE += [f"UPDATE kept SET value = {value}" for value in VALUES]
DAMAGE += [
    "UPDATE kept SET key = CAST(x'ff' AS TEXT) WHERE kind = 'retired'",
    "UPDATE kept SET key = 'nobody' WHERE kind = 'retired'",
    "UPDATE kept SET key = x'00ff' WHERE kind = 'store'",
    "UPDATE kept SET key = '' WHERE kind = 'store'",
    "UPDATE kept SET key = 'nobody' || key WHERE kind = 'member'",
    "INSERT INTO kept VALUES ('member', 'nobody', x'80')",
    "INSERT INTO kept VALUES ('divergence', 'nobody', x'80')",
    "INSERT INTO kept VALUES ('retired', 'zzzzzzzzzzzzzzzz', x'')",
    """UPDATE kept SET value = replace(CAST(value AS TEXT), '"owner":', '"owner":-') WHERE kind = 'due'""",
    """UPDATE kept SET value = replace(CAST(value AS TEXT), '"at":', '"at":0.5,"then":') WHERE kind = 'due'""",
    """UPDATE kept SET value = '{"stream":7}' WHERE kind = 'due'""",
]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("beside") / "alice.db"
    found = {}
    in_loop(lambda: _fill(found, path))()
    return path, found["seen"]


async def _fill(found, path):
    found["seen"] = await made(path)


def copy_of(path, folder, *words):
    """The file elsewhere (without its mark, so under a new id), changed by another program."""
    place = folder / "copy.db"
    with sqlite3.connect(path) as source, sqlite3.connect(place) as target:
        source.backup(target)
        for one in words:
            target.execute(one)
    source.close()
    target.close()
    return place


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_file_whose_log_is_whole_opens_whatever_stands_beside_it(file, tmp_path, caplog, damage):
    """To read and to write; what follows from the log is as it was, and the log says once what was let go of."""
    path, before = file

    @in_loop
    async def run():
        place = copy_of(path, tmp_path, damage)
        async with ReadOnly.open(place, aggregates=[Guest, Notes]) as past:
            assert set((await past.present("notes/1")).texts) == {
                "carol was here",
                "bob was here",
                "alice was here",
            }
        caplog.clear()
        async with opened(place) as alice:
            await alice.built()
            assert seen(alice) == before
        said = [one for one in caplog.records if "was not what was written" in one.getMessage()]
        assert said
        assert len(said) == len({one.getMessage() for one in said})
        caplog.clear()
        async with opened(place) as alice:
            await alice.built()
            assert seen(alice) == before
        assert not [one for one in caplog.records if "was not what was written" in one.getMessage()]

    run()


@pytest.mark.parametrize("kind", ["owner", "retired", "store"])
def test_what_facts_say_is_read_from_them_again(file, tmp_path, kind):
    """Not from the peers, who may be away; with the log alone, also where several kinds are lost."""
    path, before = file

    @in_loop
    async def run():
        damage = f"UPDATE kept SET key = CAST(x'ff' AS TEXT) WHERE kind IN ('{kind}', 'owner')"
        async with opened(copy_of(path, tmp_path, damage)) as alice:
            found = seen(alice)
            assert [found[name] for name in ("owners", "retired", "stores")] == [
                before[name] for name in ("owners", "retired", "stores")
            ]
            assert found["owners"]
            assert found["retired"]
            assert found["stores"] == {"shop", "depot"}

    run()


@in_loop
async def test_a_mark_in_which_a_bit_was_flipped_costs_an_id_and_closes_no_file(tmp_path):
    """Wherever the bit is: a text that is no UTF-8 is no mark, as any other text."""
    path, mark = tmp_path / "alice.db", tmp_path / "alice.db.mark"
    async with opened(path) as alice:
        await alice.append("notes/1", Noted("x"))
    whole = mark.read_bytes()
    for at in range(0, len(whole), 17):
        mark.write_bytes(whole[:at] + bytes([whole[at] ^ 0x80]) + whole[at + 1 :])
        async with opened(path) as alice:
            assert set((await alice.present("notes/1")).texts) == {"x"}
