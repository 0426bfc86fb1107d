"""Events that the code cannot read: what is older than its class is an error, what it does not know is told."""

from __future__ import annotations

import logging

import pytest

from merge import AWSet
from merge.stamp import next_stamp
from replica import Aggregate, Command, Event, NoUpcaster, Ordered, ReadOnly, Refused, Replica
from replica.commit import Recorded
from replica.direct import DirectReplica
from replica.recording import record
from sync import linked
from tests.loop import in_loop
from tests.shop import MemoryLog, Random


class Sell(Command):
    to: str


def sold(name, number=1, former=(), steps=()):
    """A class of events of one name, in one of its schemas, with upcasters from some others."""
    return type(Event)(
        name, (Event,),
        {
            "__annotations__": {"to": str}, "__module__": __name__, "schema": number, "former_names": former,
            "upcasters": {one: (lambda plain: plain) for one in steps},
        },
    )  # fmt: skip


def stock(*listed, refuse=False):
    """What was sold, in the order of stamps; a thing is sold once."""

    class Stock(Ordered):
        stream = "stock"
        events = listed
        refuse_unknown = refuse

        def initial(self):
            return ()

        def decide(self, command, given):
            if self.state:
                raise Refused(f"it was sold to {self.state[0]}")
            return listed[0](command.to)

        def evolve(self, state, event, moment):
            return (*state, event.to)

    return Stock


def party(*listed, refuse=False):
    """The same as a lattice."""

    class Stock(Aggregate):
        stream = "stock"
        events = listed
        refuse_unknown = refuse
        to = AWSet[str]()

        def decide(self, command, given):
            if self.to:
                raise Refused(f"it was sold to {sorted(self.to)}")
            return listed[0](command.to)

        def effect(self, event):
            return self.to.add(event.to)

    return Stock


def opened(path, *aggregates, name="alice"):
    return Replica.open(path, store="shop", name=name, aggregates=aggregates)


OLDER = [
    (sold("PieceSold"), sold("PieceSold", 2)),
    (sold("PieceSold", 0), sold("PieceSold")),
    (sold("PieceSold"), sold("PieceSold", 3, steps=(2,))),
    (sold("PieceSold"), sold("LampSold", 2, former=("PieceSold",))),
    (sold("PieceSold", 5), sold("LampSold", 7, former=("PieceSold",), steps=(6,))),
]


@pytest.mark.parametrize("kind", [stock, party])
@pytest.mark.parametrize(("before", "after"), OLDER, ids=str)
@in_loop
async def test_events_that_are_older_than_their_class_are_told_when_it_is_opened(tmp_path, kind, before, after):
    """Else the stream reads as if they had never happened, and the lamp is sold twice. To whoever opens the file,
    and to who has them from a peer."""
    path, other = tmp_path / "alice.db", tmp_path / "bob.db"
    async with opened(path, kind(before)) as alice:
        await alice.execute("stock/lamp", Sell("ann"))
        async with opened(other, kind(before), name="bob") as bob:
            await bob.join(alice)
    for file, name in ((path, "alice"), (other, "bob")):
        with pytest.raises(NoUpcaster, match=r"PieceSold .* alice:2 in stock/lamp"):
            async with opened(file, kind(after), name=name):
                pass
        with pytest.raises(NoUpcaster):
            async with ReadOnly.open(file, aggregates=[kind(after)]):
                pass
        async with opened(file, kind(before), name=name) as again:
            with pytest.raises(Refused, match="ann"):
                await again.execute("stock/lamp", Sell("ben"))


@in_loop
async def test_what_a_retired_replica_has_written_stops_nobody(tmp_path):
    """The way out that the error names: it may not be the code that is wrong."""
    path = tmp_path / "alice.db"
    async with opened(path, stock(sold("PieceSold", 2))) as alice:
        await alice.execute("stock/chair", Sell("ann"))
        async with opened(":memory:", stock(sold("PieceSold", 0)), name="mallory") as mallory:
            await mallory.execute("stock/lamp", Sell("nobody"))
            await alice.join(mallory)
    with pytest.raises(NoUpcaster, match="retire it"):
        async with opened(path, stock(sold("PieceSold", 2))):
            pass
    async with opened(path) as alice:
        await alice.retire("mallory")
    async with opened(path, stock(sold("PieceSold", 2))) as alice:
        await alice.execute("stock/lamp", Sell("ann"))
        assert (await alice.present("stock/lamp")).state == ("ann",)


def test_it_is_found_wherever_in_a_long_log_it_lies():
    """In no block but one, beside other types, and for a core that is stepped by hand."""
    log, old, other = MemoryLog(), sold("PieceSold"), sold("Other")
    alice = DirectReplica(log, "shop", "alice", [stock(other, old)], random=Random(1))
    for number in range(3):
        alice.append(f"stock/{number}", [other("x")] * 700, number)
    alice.append("stock/3", [other("x"), old("ann"), other("y")], 9)
    alice.append("stock/4", [other("x")] * 2000, 10)
    alice.flush()
    with pytest.raises(NoUpcaster, match="alice:2103 in stock/3"):
        DirectReplica(log, "shop", "alice", [stock(sold("PieceSold", 2), other)], random=Random(1))


@pytest.mark.parametrize("kind", [stock, party])
@pytest.mark.parametrize("way", ["opened", "by a peer", "while it runs"])
@in_loop
async def test_events_that_the_code_does_not_know_are_logged_once_with_stream_and_type(tmp_path, caplog, kind, way):
    """However they come; and the fleet goes on: what it does not know, a newer peer may."""
    new, old = sold("PieceSold", 4), sold("PieceSold", 3)
    path = tmp_path / "alice.db"
    async with opened(":memory:", kind(new), name="bob") as bob:
        await bob.execute("stock/lamp", Sell("ann"))
        async with opened(path, kind(old)) as alice:
            if way == "while it runs":
                await alice.present("stock/lamp")
            if way == "by a peer":
                async with linked(alice, bob):
                    await alice.wait_for(bob.version)
            else:
                await alice.join(bob)
            if way != "opened":
                for _ in range(3):
                    await alice.append("stock/lamp", old("ben"))
                    await alice.present("stock/lamp")
    if way == "opened":
        async with opened(path, kind(old)) as alice:
            await alice.present("stock/lamp")
            assert alice.status().unfolded[0].what == "PieceSold 4"
    said = [one for one in caplog.records if "stock/lamp" in one.getMessage() and "PieceSold" in one.getMessage()]
    assert [one.levelno for one in said] == [logging.WARNING]
    assert "schema 4" in said[0].getMessage()


@in_loop
async def test_events_of_a_class_that_another_aggregate_lists_are_told_too(tmp_path, caplog):
    """The type is known, and the aggregate of the stream does not list it: its events are in no present either."""
    path, piece, lamp = tmp_path / "alice.db", sold("PieceSold"), sold("LampSold")

    class Elsewhere(Ordered):
        stream = "elsewhere"
        events = (piece,)

        def initial(self):
            return ()

        def evolve(self, state, event, moment):
            return (*state, event.to)

    async with opened(path, stock(piece)) as alice:
        await alice.execute("stock/lamp", Sell("ann"))
    async with opened(path, stock(lamp), Elsewhere) as alice:
        await alice.present("stock/lamp")
    assert any("`events` of Stock" in one.getMessage() for one in caplog.records)


@pytest.mark.parametrize("kind", [stock, party])
@in_loop
async def test_an_aggregate_may_refuse_to_decide_on_a_part_of_what_was_recorded(tmp_path, kind):
    """Wherever the events come from, and whenever; other streams, facts and code that knows them go on."""
    old, new = sold("PieceSold"), sold("PieceSold", 2, steps=(1,))
    path = tmp_path / "alice.db"
    async with opened(":memory:", kind(new), name="bob") as bob:
        await bob.execute("stock/lamp", Sell("ann"))
        async with opened(path, kind(old, refuse=True)) as alice:
            await alice.execute("stock/chair", Sell("ann"))
            await alice.execute("stock/table", Sell("ann"))
            with pytest.raises(Refused, match="sold to"):
                await alice.execute("stock/table", Sell("ben"))
            await alice.join(bob)
            with pytest.raises(Refused, match=r"does not know \(PieceSold \(schema 2\)\)"):
                await alice.execute("stock/lamp", Sell("ben"))
            await bob.append("stock/table", new("cem"))
            await alice.join(bob)
            with pytest.raises(Refused, match="does not know"):
                await alice.execute("stock/table", Sell("ben"))
            await alice.append("stock/lamp", old("dan"))
            await alice.execute("stock/cup", Sell("ben"))
    for _ in range(2):
        async with opened(path, kind(old, refuse=True)) as alice:
            with pytest.raises(Refused, match="does not know"):
                await alice.execute("stock/lamp", Sell("ben"))
    async with opened(path, kind(new, refuse=True)) as alice:
        with pytest.raises(Refused, match="sold to"):
            await alice.execute("stock/lamp", Sell("ben"))


@pytest.mark.parametrize("name", ["OwnerChanged", "EventSetAside", "ReplicaRetired", "StoresJoined"])
@in_loop
async def test_an_older_event_of_anabranchs_own_name_stops_nobody_from_opening(tmp_path, name):
    """No code of a user's could read it, and no way out would be left: a peer may write what it likes."""
    path, kind = tmp_path / "alice.db", stock(sold("PieceSold"))
    async with opened(":memory:", kind, name="mallory") as mallory, opened(path, kind) as alice:
        core = mallory.core
        await mallory.execute("stock/lamp", Sell("ann"))

        def say():
            record(core, (Recorded("stock/lamp", name, 0, b"\x80"),), next_stamp(1, core.now.stamp, core.me), None)

        await mallory._pump.do(say)
        await alice.join(mallory)
    for aggregates in ((kind,), ()):
        async with opened(path, *aggregates), ReadOnly.open(path, aggregates=aggregates):
            pass
