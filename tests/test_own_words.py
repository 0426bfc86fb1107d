"""Fields that are called as what a present has: people say `value` and `version`, and Anabranch reads past them."""

from __future__ import annotations

import pytest

from merge import LWWRegister, ORMap, Product
from merge.declared import OWN_WORDS
from replica import Aggregate, Command, Due, Event, ReadOnly, Replica, StreamRows
from sync import linked
from tests.loop import in_loop


class Noted(Event):
    text: str


class Kept(Event):
    key: str
    text: str


class Do(Command):
    text: str


def aggregate(field):
    """An aggregate, and products in a map of it, with a field of that name; it owes a command."""
    shelf = type(Product)("Shelf", (Product,), {field: LWWRegister[str]()})

    class Notes(Aggregate):
        stream = "notes"
        events = (Noted, Kept)
        locals()[field] = LWWRegister[str]()
        shelves = ORMap[str, shelf](shelf())

        def decide(self, command, given):
            return Noted(command.text)

        def effect(self, event):
            match event:
                case Noted(text):
                    return getattr(self, field).write(text)
                case Kept(key, text):
                    return getattr(self.shelves[key], field).write(text)

        def due(self):
            if getattr(self, field) == "later":
                yield Due(Do("done"), (1, 1))

    return Notes


@pytest.mark.parametrize("field", sorted(OWN_WORDS))
@in_loop
async def test_a_field_that_is_called_as_what_a_present_has_works_as_any_other(tmp_path, field):
    """Wherever a present is read, shown, explained, compared, kept, or followed by rows and promises."""
    kind = aggregate(field)

    class Texts(StreamRows):
        table = "texts"
        columns = {"text": str}
        of = kind

        def rows(self, present):
            return [(getattr(present, field).value,)]

    def opened(name="alice"):
        path = tmp_path / f"{name}.db"
        return Replica.open(path, store="shop", name=name, aggregates=[kind], projections=[Texts])

    plain = {field: "x", "shelves": {"k": {field: "y"}}}
    async with opened() as alice, opened("bob") as bob, linked(alice, bob):
        await alice.execute("notes/1", Do("x"))
        await alice.append("notes/1", Kept("k", "y"))
        await alice.append("notes/2", Noted("later"))
        await bob.wait_for(alice.version)
        for replica in (alice, bob):
            present = await replica.present("notes/1")
            assert getattr(present, field) == "x"
            assert getattr(present.shelves["k"], field).value == "y"
            assert present.plain() == plain
            assert present == plain
            assert "x" in str(present)
            assert (await replica.explain("notes/1", field)).value == "x"
            assert (await replica.explain("notes/1")).value == plain
            assert not await replica.conflicts("notes/1")
            assert (await replica.diff("notes/1", "alice:2")).changes
            assert [text for _, _, text in await replica.rows("texts")] == ["x", "later"]
            assert [one.stream for one in replica.status().due] == ["notes/2"]
        assert await alice.digest("notes/1") == await bob.digest("notes/1")
        alice.core.ripe["notes/1"] = None
    async with opened() as alice, ReadOnly.open(tmp_path / "bob.db", aggregates=[kind]) as bob:
        assert (await alice.present("notes/1")).plain() == (await bob.present("notes/1")).plain() == plain
        assert await alice.verify()
