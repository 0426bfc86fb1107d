"""Several histories under one id: whatever was copied, and whoever meets whom first, all fold the same one.

Files are copied while they are in use, and copies of copies go on under the same id; witnesses hear some of them
and write on. When all have met, they hold the same logs and the same presents, and a replica that is opened anew
folds from its log what the others folded as it came.
"""

from __future__ import annotations

import copy
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import example, given, settings

from replica.arrange import Gap
from replica.core import Core
from replica.errors import Refused
from replica.folding import BULK, unfolded
from sync.direct import DirectNode
from sync.testing.network import NOW, Network
from tests.shop import HOME, AddItem, AddTwice, RemoveItem, direct

ITEMS = ["milk", "eggs", "bread"]
WITNESSES = "xy"
COPIES = "abcd"


class Family:
    """A replica, copies of it that do not know of each other, and two witnesses."""

    def __init__(self) -> None:
        self.replicas = {"a": direct("a"), "x": direct("x"), "y": direct("y")}
        self.time = NOW
        self.write("a", AddItem("milk"))

    def write(self, name: str, command: Any) -> None:
        self.time += 1
        replica = self.replicas[name]
        try:
            replica.execute(HOME, command, self.time)
        except Refused:
            return
        replica.flush()

    def retire(self, name: str, gone: str) -> None:
        """`name` says that another one takes part no more."""
        self.time += 1
        replica = self.replicas[name]
        try:
            replica.retire(self.replicas[gone].core.me, self.time)
        except Refused:
            return
        replica.flush()

    def copy(self, name: str) -> None:
        """One more process goes on with a copy of the file of `name`."""
        spare = [other for other in COPIES if other not in self.replicas]
        if spare and name not in WITNESSES:
            log = copy.deepcopy(self.replicas[name].log)
            self.replicas[spare[0]] = direct(name, len(self.replicas), log)

    def tell(self, name: str, other: str) -> None:
        """`other` gets everything that `name` holds, log by log, if it can be placed."""
        replica = self.replicas[other]
        for piece in self.replicas[name].all_slices():
            replica.ingest([piece])
            replica.flush()

    def meet(self) -> Network:
        """All are linked, and talk until they have nothing to say."""
        names = "".join(sorted(self.replicas))
        links = [one + other for at, one in enumerate(names) for other in names[at + 1 :]]
        network = Network("", links, direct)
        network.nodes = {name: DirectNode(replica, name.encode()) for name, replica in self.replicas.items()}
        network.clocks = dict.fromkeys(names, self.time)
        network.settle(ticks=20)
        return network

    def agree(self) -> None:
        assert self.meet().faults() == []
        replicas = list(self.replicas.values())
        first = replicas[0]
        for replica in replicas:
            assert replica.heads == first.heads
            assert replica.digest(HOME) == first.digest(HOME)
            memory = replica.core.memory
            left_out = sum(memory.types.values()) - sum(memory.version.seqs.values())
            assert sum(each.events for each in unfolded(replica.core)) == left_out
            opened = direct("again", log=copy.deepcopy(replica.log))
            assert opened.digest(HOME) == replica.digest(HOME)
            assert opened.core.memory.version == replica.core.memory.version == first.core.memory.version
            assert replica.core.members.known == first.core.members.known


COMMANDS = st.one_of(*(st.builds(kind, st.sampled_from(ITEMS)) for kind in (AddItem, RemoveItem, AddTwice)))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from(COPIES + WITNESSES), COMMANDS),
        st.tuples(st.just("retire"), st.sampled_from(COPIES + WITNESSES), st.sampled_from(WITNESSES)),
        st.tuples(st.just("copy"), st.sampled_from(COPIES)),
        st.tuples(st.just("tell"), st.sampled_from(COPIES + WITNESSES), st.sampled_from(COPIES + WITNESSES)),
    ),
    max_size=25,
)


@settings(max_examples=150)
@given(STEPS, st.sampled_from([1, 3, BULK]))
@example(
    [
        ("copy", "a"),
        ("copy", "a"),
        ("write", "b", AddItem("milk")),
        ("write", "a", AddItem("milk")),
        ("tell", "b", "a"),
    ],
    BULK,
)  # two histories in one batch, to a peer that holds only what they share
def test_whatever_is_copied_and_whoever_meets_first_all_fold_the_same(steps, bulk):
    """Copies of copies, witnesses of some of them, any order: equal heads, presents, and folds from the log."""
    family = Family()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Core, "bulk", bulk)
        for step in steps:
            if all(name in family.replicas for name in step[1:] if isinstance(name, str)):
                getattr(family, step[0])(*step[1:])
        family.agree()
        for name in list(family.replicas):
            family.write(name, AddItem(f"by {name}"))
        family.agree()


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_what_waits_for_a_present_goes_when_a_second_history_changes_what_is_folded(order):
    """A present that has put off what came is read from the log with all others."""
    family = Family()
    family.copy("a")
    family.write("a", AddItem("left"))
    family.write("b", AddItem("right"))
    witness = family.replicas["x"]
    witness.core.bulk = 1
    witness.present(HOME)
    family.tell(order[0], "x")
    assert HOME in witness.core.memory.backlog.presents
    family.tell(order[1], "x")
    assert witness.digest(HOME) == direct("again", log=copy.deepcopy(witness.log)).digest(HOME)


@pytest.mark.parametrize("who", ["a", "b"])
def test_a_retirement_counts_in_whichever_history_it_was_written_and_heard(who):
    """Found by seed 1874: one who had heard of it while that history was folded knew of it, the others did not."""
    family = Family()
    family.tell("a", "y")
    family.write("y", AddItem("eggs"))
    family.tell("y", "a")
    family.copy("a")
    family.retire(who, "y")
    family.write("b" if who == "a" else "a", AddItem("bread"))
    family.tell("a", "x")
    family.tell("b", "y")
    family.agree()
    assert all(len(replica.core.memory.retired) == 1 for replica in family.replicas.values())


@pytest.mark.parametrize("salt", range(4))
def test_what_members_know_of_an_id_with_two_histories_is_the_same_everywhere(salt):
    """Found by seed 1251: a number above the parting names no one event, and was told for ever."""
    family = Family()
    family.copy("a")
    for number in range(4):
        family.write("b", AddItem(f"b {number}"))
    family.write("a", AddItem(f"a {salt}"))
    family.write("x", AddItem("x"))
    family.tell("x", "y")
    family.write("y", AddItem("y"))
    family.tell("b", "x")
    a, b = family.replicas.pop("a"), family.replicas.pop("b")
    family.meet()
    family.replicas |= {"a": a, "b": b}
    family.agree()


@pytest.mark.parametrize(("left", "right"), [(1, 5), (5, 1), (2, 2), (1, 1300), (1300, 1)])
def test_histories_of_unequal_length_are_exchanged(left, right):
    """Each side has one, of any length: both end with both."""
    family = Family()
    family.copy("a")
    for name, commits in (("a", left), ("b", right)):
        for number in range(commits):
            family.write(name, AddItem(f"{name} {number}"))
    witnesses = {"x": "a", "y": "b"}
    for witness, name in witnesses.items():
        family.tell(name, witness)
    del family.replicas["a"], family.replicas["b"]
    family.agree()
    assert len(family.replicas["x"].heads) >= 2


@pytest.mark.parametrize("order", ["abc", "acb", "bac", "bca", "cab", "cba"])
def test_three_branches_of_one_parting_are_siblings_whatever_came_first(order):
    """The branch with the smallest first hash is folded, in every order of arrival."""
    folded = set()
    for chosen in ("abc", order):
        family = Family()
        for _ in range(2):
            family.copy("a")
        for name in "abc":
            family.write(name, AddItem(f"only {name}"))
        for name in chosen:
            family.tell(name, "x")
        folded.add(family.replicas["x"].digest(HOME))
    assert len(folded) == 1


def test_a_batch_may_bring_a_second_history_and_a_commit_that_names_it():
    """At once or one after the other: the same log, the same present."""
    family = Family()
    family.copy("a")
    family.write("a", AddItem("left"))
    family.write("b", AddItem("right"))
    family.tell("b", "y")
    family.write("y", RemoveItem("right"))
    at_once = family.replicas["x"]
    family.tell("a", "x")
    result = at_once.ingest(list(family.replicas["y"].all_slices()))
    assert not isinstance(result, Gap)
    at_once.flush()
    assert len(result.forked) == 1
    opened = direct("again", log=copy.deepcopy(at_once.log))
    assert opened.digest(HOME) == at_once.digest(HOME)
    family.agree()
