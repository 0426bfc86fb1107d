"""Versions, replica ids and stamps: who has seen how much, and when it was."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merge import NOTHING, Dot, Order, ReplicaId, Stamp, VersionVector
from merge.stamp import COUNTER_LIMIT, LAST_WALL, WALL_LIMIT, next_stamp
from merge.version import Named, name_of

replicas = st.integers(0, 4)
versions = st.dictionaries(replicas, st.integers(0, 4), max_size=4).map(VersionVector)
stamps = st.builds(Stamp, st.integers(0, 5), st.integers(0, 3), replicas)


def dots(version: VersionVector) -> set[tuple[int, int]]:
    """All events of the past that a version names."""
    return {(dot.replica, seq) for dot in version for seq in range(1, dot.seq + 1)}


# --- versions ---


@given(versions, versions)
def test_of_two_versions_exactly_one_of_four_orders_holds(one: VersionVector, other: VersionVector) -> None:
    """Equal, before, after or concurrent, as the sets of events are, and as the operators say."""
    mine, theirs = dots(one), dots(other)
    expected = {
        Order.EQUAL: mine == theirs,
        Order.BEFORE: mine < theirs,
        Order.AFTER: mine > theirs,
        Order.CONCURRENT: not mine <= theirs and not mine >= theirs,
    }
    assert [order for order, holds in expected.items() if holds] == [one.compare(other)]
    assert (one == other) is expected[Order.EQUAL]
    assert (one < other) is expected[Order.BEFORE]
    assert (one > other) is expected[Order.AFTER]
    assert (one <= other) is (mine <= theirs)
    assert (one >= other) is (mine >= theirs)


@given(versions, versions)
def test_comparing_the_other_way_round_gives_the_mirrored_order(one: VersionVector, other: VersionVector) -> None:
    """Before and after change places; equal and concurrent stay."""
    mirror = {Order.BEFORE: Order.AFTER, Order.AFTER: Order.BEFORE}
    order = one.compare(other)
    assert other.compare(one) is mirror.get(order, order)


@given(versions, versions, versions)
def test_or_is_the_least_version_above_both(one: VersionVector, other: VersionVector, above: VersionVector) -> None:
    """It contains both, and is contained in whatever does; as sets of events it is the union."""
    union = one | other
    assert dots(union) == dots(one) | dots(other)
    assert one <= union
    assert other <= union
    assert (union <= above) is (one <= above and other <= above)
    assert union == other | one
    assert hash(union) == hash(other | one)


@given(versions, versions, versions)
def test_and_is_the_greatest_version_below_both(
    one: VersionVector, other: VersionVector, below: VersionVector
) -> None:
    """It is contained in both, and contains whatever is; as sets of events it is the intersection."""
    both = one & other
    assert dots(both) == dots(one) & dots(other)
    assert both <= one
    assert both <= other
    assert (below <= both) is (below <= one and below <= other)
    assert both == other & one


@given(versions, versions)
def test_missing_is_what_the_other_has_observed_and_this_has_not(one: VersionVector, other: VersionVector) -> None:
    """As ranges of seqs without gaps; together with them this version contains the other."""
    missing = one.missing(other)
    assert {(replica, seq) for replica, seqs in missing.items() for seq in seqs} == dots(other) - dots(one)
    assert all(missing.values())
    filled = one
    for replica, seqs in missing.items():
        assert seqs[0] == one[replica] + 1
        filled = filled.advance(replica, seqs[-1])
    assert filled == one | other


@given(versions, replicas, st.integers(0, 6))
def test_advance_never_makes_a_version_smaller(version: VersionVector, replica: int, seq: int) -> None:
    """The seq of one replica goes up to `seq`, or stays where it is higher; the old version is as it was."""
    before = dots(version)
    later = version.advance(replica, seq)
    assert later[replica] == max(version[replica], seq)
    assert dots(later) == before | {(replica, s) for s in range(1, seq + 1)}
    assert dots(version) == before
    assert version <= later


@given(versions, replicas, st.integers(1, 6))
def test_a_dot_is_in_a_version_up_to_the_seq_observed(version: VersionVector, replica: int, seq: int) -> None:
    """Seqs have no gaps: all at or below are in, all above are not."""
    assert (Dot(replica, seq) in version) is (seq <= version[replica])
    with pytest.raises(TypeError, match="contains dots"):
        assert seq not in version


def test_a_replica_not_named_has_seq_0_and_seq_0_names_nothing() -> None:
    """The empty past is one, however it is written down."""
    assert VersionVector({7: 0}) == NOTHING == VersionVector([])
    assert hash(VersionVector({7: 0})) == hash(NOTHING)
    assert not VersionVector({7: 0})
    assert len(VersionVector({7: 0, 8: 2})) == 1
    assert NOTHING[7] == 0
    with pytest.raises(ValueError, match="start at 1"):
        VersionVector({7: -1})
    assert NOTHING != {}


@given(versions)
def test_a_version_survives_pickling_and_copying_and_lists_its_dots_by_bits(version: VersionVector) -> None:
    """Equal versions print, list and hash alike, wherever they come from."""
    again = pickle.loads(pickle.dumps(version))
    assert again == version == copy.deepcopy(version)
    assert hash(again) == hash(version)
    assert str(again) == str(version)
    assert repr(again) == repr(version)
    assert list(version) == sorted(version)
    assert VersionVector(version) == version


# --- replica ids ---


def test_the_label_of_a_replica_id_plays_no_part_in_equality() -> None:
    """Same bits, same writer: as a value, as a key, in a dot and in a version."""
    alice, alicia, number = ReplicaId(7, "alice"), ReplicaId(7, "alicia"), 7
    assert alice == alicia == number
    assert len({alice, alicia, number}) == 1
    assert Dot(alice, 1) == Dot(alicia, 1)
    assert VersionVector({alice: 3}) == VersionVector({alicia: 3}) == VersionVector({number: 3})
    assert Dot(alicia, 3) in VersionVector({alice: 3})
    assert Stamp(1, 0, alice) == Stamp(1, 0, alicia)
    assert ReplicaId(8, "alice") != alice


def test_people_read_labels_and_sixteen_hex_digits_where_there_is_none() -> None:
    """In dots, versions and stamps alike."""
    assert str(Dot(ReplicaId(7, "alice"), 2)) == "alice:2"
    assert str(Dot(7, 2)) == "0000000000000007:2"
    assert str(ReplicaId(255)) == name_of(255) == "00000000000000ff"
    assert str(VersionVector({ReplicaId(7, "bob"): 1, ReplicaId(9, "alice"): 2})) == "alice:2 bob:1"
    assert str(Stamp(5, 1, ReplicaId(7, "alice"))) == "5.1@alice"


@pytest.mark.parametrize("bits", [-1, 1 << 64])
def test_a_replica_id_has_64_bits(bits: int) -> None:
    """Neither less than none nor more."""
    with pytest.raises(ValueError, match="64 bits"):
        ReplicaId(bits)
    assert ReplicaId((1 << 64) - 1) == (1 << 64) - 1


# --- stamps ---


@given(stamps, stamps, stamps)
def test_stamps_are_totally_ordered(one: Stamp, other: Stamp, third: Stamp) -> None:
    """By wall, then counter, then replica; two stamps tie only where they are equal."""
    assert (one < other) + (one == other) + (one > other) == 1
    if one <= other <= third:
        assert one <= third
    assert (one < other) is ((one.wall, one.counter, one.replica) < (other.wall, other.counter, other.replica))


@given(st.integers(-10, 10), st.lists(stamps), replicas)
def test_a_new_stamp_is_greater_than_every_stamp_observed(now: int, observed: list[Stamp], replica: int) -> None:
    """Whatever the clock says; and it is the replica's own."""
    stamp = next_stamp(now, max(observed, default=None), replica)
    assert all(stamp > old for old in observed)
    assert stamp.wall >= now
    assert stamp.replica == replica
    assert stamp.wall == max([now, 0, *(old.wall for old in observed)])


@given(st.lists(st.integers(-10, 1 << 50), min_size=1))
def test_a_clock_that_jumps_never_sends_a_replicas_own_time_back(clock: list[int]) -> None:
    """Stamps of one replica rise from commit to commit, and fit where they are stored."""
    stamp = None
    for now in clock:
        later = next_stamp(now, stamp, 7)
        assert stamp is None or later > stamp
        assert 0 <= later.wall < WALL_LIMIT
        assert 0 <= later.counter < COUNTER_LIMIT
        stamp = later


def test_the_wall_follows_the_clock_while_the_clock_runs_ahead() -> None:
    """Ahead: the clock's time and counter 0. Behind or equal: the observed time and the next counter."""
    observed = Stamp(1000, 3, 9)
    assert next_stamp(1001, observed, 7) == Stamp(1001, 0, 7)
    assert next_stamp(1000, observed, 7) == Stamp(1000, 4, 7)
    assert next_stamp(5, observed, 7) == Stamp(1000, 4, 7)
    assert next_stamp(1000, None, 7) == Stamp(1000, 0, 7)


def test_a_clock_before_1970_or_after_10889_is_clamped() -> None:
    """The wall part always fits where it is stored."""
    assert next_stamp(-5, None, 7) == Stamp(0, 0, 7)
    assert next_stamp(1 << 60, None, 7) == Stamp(LAST_WALL - 1, 0, 7)


def test_a_counter_that_is_full_moves_the_wall_by_one() -> None:
    """Still greater than what was observed."""
    full = Stamp(1000, COUNTER_LIMIT - 1, 9)
    assert next_stamp(1000, full, 7) == Stamp(1001, 0, 7)
    assert next_stamp(1000, full._replace(counter=COUNTER_LIMIT - 2), 7) == Stamp(1000, COUNTER_LIMIT - 1, 7)


def test_a_version_with_names_is_compared_as_any_other():
    """Else whoever compares a version of his own with that of a replica runs into the depth of the stack."""
    less, more = VersionVector({1: 1}), VersionVector({1: 2, 2: 1})
    for one in (less, Named(less, {})):
        for other in (more, Named(more, {})):
            assert one <= other
            assert one < other
            assert other >= one
            assert other > one
            assert not (other <= one)
            assert not (other < one)
            assert not (one >= other)
            assert not (one > other)
            assert one <= Named(less, {})
            assert one >= Named(less, {})
            assert not one < Named(less, {})
