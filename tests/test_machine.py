"""The state machine for users: what is right passes, what is wrong is found, and what it prints can be read."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from random import Random

import hypothesis.strategies as st
import pytest
from hypothesis import Phase, Verbosity, settings
from hypothesis.stateful import rule, run_state_machine_as_test

from replica import Command, Ordered
from replica.direct import DirectReplica
from replica.memory import MemoryLog
from sync.errors import RemoteProtocolError
from sync.protocol import Session
from sync.testing import ReplicaMachine
from tests import kit
from tests.shop import AddItem, AddTwice, Count, GiveTitle, Journal, RemoveItem, ShoppingList, TakeNote, Write

WORDS = st.sampled_from(["a", "bc"])
SHOPPING = st.one_of(
    st.builds(AddItem, WORDS), st.builds(RemoveItem, WORDS), st.builds(AddTwice, WORDS),
    st.builds(GiveTitle, WORDS), st.builds(Count), st.builds(Write, WORDS, st.integers(0, 3)),
)  # fmt: skip
UNSHRUNK = settings(phases=[Phase.generate], database=None, derandomize=True)
"""All else as by default: so many examples of so many steps."""
SHRUNK = settings(phases=[Phase.generate, Phase.shrink], database=None, derandomize=True, stateful_step_count=12)
"""Begun with few steps, since this is about what is left of them."""


def machine(kind, **options):
    """A machine for an aggregate, with nothing said but that."""
    return type(f"{kind.__name__}Machine", (ReplicaMachine,), {"aggregates": (kind,), **options})


def found(tested, how=UNSHRUNK):
    """What a machine finds: its words, and the steps that Hypothesis prints."""
    with pytest.raises(AssertionError) as caught:
        run_state_machine_as_test(tested, settings=how)
    steps = "\n".join(caught.value.__notes__)
    return str(caught.value).splitlines()[0], steps


@pytest.mark.parametrize(
    "tested",
    [
        machine(kit.Good),
        machine(kit.GoodOrder),
        machine(ShoppingList, commands=SHOPPING),
        machine(Journal, commands=st.builds(TakeNote, WORDS)),
    ],
    ids=lambda tested: tested.__name__,
)
def test_what_is_right_passes(tested):
    """Lattices, maps of them, texts, and folds in the order of stamps."""
    run_state_machine_as_test(tested, settings=settings(max_examples=20))


@pytest.mark.parametrize("kind", [kit.Arrival, kit.NoJoin, kit.Clocked], ids=lambda kind: kind.__name__)
def test_an_aggregate_that_does_not_converge_is_found(kind):
    """It counts its calls, is no join, or reads a clock."""
    words, _ = found(machine(kind))
    assert f"hold the same, and read {kind.stream}/1 differently: " in words


def test_what_is_found_is_short_and_can_be_read():
    """Two events apart, and nothing else; the two readings in words."""
    words, steps = found(machine(kit.NoJoin), SHRUNK)
    assert re.fullmatch(
        r"a and b hold the same, and read nojoin/1 differently: last is '[abc]?' and '[abc]?'", words
    )
    begun, *happened, end = [line for line in steps.splitlines() if line.startswith("state")]
    assert (begun, end) == ("state = NoJoinMachine()", "state.teardown()")
    assert len(happened) == 2
    for line in happened:
        assert re.fullmatch(
            r"state\.append\(durable=False, events=\[Put\(item='[abc]?'\)\], replica='[abc]'\)", line
        )


def test_what_does_not_hold_of_a_present_is_found():
    """Each replica keeps the limit that it knows of; together they break it."""

    class Limited(Ordered):
        """At most two, as far as a replica knows."""

        stream = "limited"
        events = (kit.Put,)

        def initial(self):
            return ()

        def decide(self, command, given):
            return kit.Put(command.item) if len(self.state) < 2 else None

        def evolve(self, state, event, moment):
            return (*state, event.item)

    class Take(Command):
        item: str

    def at_most_two(self, present):
        assert len(present.state) <= 2, f"{len(present.state)} of two are taken"

    seats = {"commands": st.builds(Take, st.just("seat")), "check": at_most_two}
    words, _ = found(machine(Limited, **seats))
    assert re.fullmatch(r"\d+ of two are taken", words)
    alone = machine(Limited, **seats, replicas=1, newcomers=0)
    run_state_machine_as_test(alone, settings=settings(max_examples=10))


def test_a_protocol_that_does_not_repair_what_was_lost_is_found(monkeypatch):
    """Nothing is said as time passes: a last push that is lost is lost for good."""
    monkeypatch.setattr(Session, "tick", lambda self, horizon, known=None: [])
    words, _ = found(machine(kit.Good))
    assert words.endswith("do not hold the same, though every link works and time has passed")


def test_a_protocol_that_ends_a_session_for_an_honest_fault_is_found(monkeypatch):
    """A frame was overtaken or lost, and the peer is taken for a liar."""

    def end(self, gap):
        self._end(RemoteProtocolError("gap", "you have left something out"))

    monkeypatch.setattr(Session, "_gap", end)
    words, _ = found(machine(kit.Good))
    assert words.startswith("a session of honest replicas was ended: ")
    assert "left something out" in words


class Forgetful(MemoryLog):
    """A log that remembers what it was told, for one that begins without the last of it."""

    def __init__(self, told=()):
        super().__init__()
        self.told = []
        for transaction in told:
            self.write(transaction)

    def write(self, transaction):
        super().write(transaction)
        self.told.append(transaction)


def test_a_log_that_loses_what_was_acknowledged_is_found():
    """A crash undoes the latest transaction, of which a caller was told."""

    def begin(self, name, crashes, log):
        told = log.told if log else []
        if crashes == self.network.crashes > 0:
            told = [*told[:1], *told[1:-1]]
        log = Forgetful(told)
        return DirectReplica(log, "machine", name, self.aggregates, random=Random(f"{name}/{crashes}"))

    words, _ = found(machine(kit.Good, begin=begin))
    assert re.fullmatch(r"\w+:\d+ was acknowledged, and \w has it not", words)


def test_everything_that_may_happen_does(capsys):
    """Each rule is played within some examples, newcomers and own rules included, and is printed in words."""

    class Own(machine(kit.Good)):
        @rule(replica=ReplicaMachine.any_replica)
        def empty(self, replica):
            """A rule of one's own, in the words of the machine."""
            for item in self.replica(replica).present("good/1").items:
                self.do(replica, kit.Taken(item))

    run_state_machine_as_test(Own, settings=settings(max_examples=25, derandomize=True, verbosity=Verbosity.debug))
    printed = capsys.readouterr().out
    for words in (
        "append(durable=", "read(replica='", "heal(link='ab')", "cut(link='", "empty(",
        "deliver(frame='a to b')", "lose(frame='", "double(frame='", "overtake(frame='", "deliver_all()", "crash(",
        "two_seconds_pass()", "newcomer_joins()", "set_clock(replica='", "take_snapshots(replica='d')",
    ):  # fmt: skip
        assert f"state.{words}" in printed


def test_a_rule_of_ones_own_that_fails_is_what_is_told():
    """The end is not played on top of it, and hides nothing."""

    class Own(ReplicaMachine):
        aggregates = (ShoppingList,)

        has_failed = False

        @rule()
        def mine(self):
            self.has_failed = True
            raise AssertionError("my rule")

        def at_rest(self):
            assert not self.has_failed, "the end"

    with pytest.raises(AssertionError, match="my rule"):
        how = settings(max_examples=200, database=None, phases=[Phase.generate])
        run_state_machine_as_test(Own, settings=how)


def test_a_machine_that_cannot_test_says_what_it_lacks():
    """No aggregate; a command that several could decide on."""
    with pytest.raises(TypeError, match="Idle tests nothing"):
        type("Idle", (ReplicaMachine,), {})()
    two = machine(ShoppingList)
    two.aggregates = (ShoppingList, Journal)
    with pytest.raises(TypeError, match="2 aggregates may be meant by AddItem: override `address`"):
        two().do("a", AddItem("milk"))


def test_without_hypothesis_the_simulator_runs_and_the_machine_says_what_it_needs():
    """As `pip install anabranch` leaves it: only who asks for the machine is told."""
    program = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "from sync.testing import ChannelConformance, Network, simulate\n"
        "import sync.testing.__main__\n"
        "from sync.testing import ReplicaMachine"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1] == (
        "ImportError: sync.testing.ReplicaMachine needs Hypothesis: pip install 'anabranch[testing]'"
    )
