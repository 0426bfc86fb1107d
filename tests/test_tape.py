"""The model of a disk, on tapes of a few operations: what may be there after a power cut, and what may not."""

from __future__ import annotations

from random import Random

from tests.tape import Create, Disk, Operation, Rename, Restart, Sync, SyncNames, Truncate, Unlink, Write

MADE = (Create(1, "a"), SyncNames())
"""An empty file whose name is durable."""


def after(*operations: Operation) -> Disk:
    disk = Disk()
    for operation in operations:
        disk.do(operation)
    return disk


def images(*operations: Operation, most: int = 4096) -> list[dict[str, bytes]]:
    """All images, each once."""
    found: list[dict[str, bytes]] = []
    for image in after(*operations).images(most, Random(1)):
        if image not in found:
            found.append(image)
    return found


def contents(*operations: Operation, most: int = 4096) -> set[bytes | None]:
    """All that the file `a` may hold; None where it may not be there."""
    return {image.get("a") for image in images(*operations, most=most)}


def test_what_was_synced_is_there():
    """And nothing else can be."""
    assert images(*MADE, Write(1, 0, b"one"), Sync(1)) == [{"a": b"one"}]


def test_a_write_that_was_not_synced_may_be_lost():
    """The bytes, and the length, each for itself: what did not arrive within the length is zeros."""
    assert contents(*MADE, Write(1, 0, b"one")) == {b"", b"one", bytes(3)}


def test_a_synced_file_without_a_synced_name_may_not_be_there():
    """To sync a file does not make its name durable."""
    assert images(Create(1, "a"), Write(1, 0, b"one"), Sync(1)) == [{}, {"a": b"one"}]


def test_writes_arrive_in_any_order():
    """The later one without the earlier one, too."""
    found = contents(*MADE, Write(1, 0, b"a" * 4), Sync(1), Write(1, 0, b"b"), Write(1, 2, b"c"))
    assert found == {b"aaaa", b"baaa", b"aaca", b"baca"}


def test_a_write_is_cut_where_sectors_begin():
    """Of a write over two sectors either may have arrived."""
    old, new = bytes(1024), b"x" * 1024
    found = contents(*MADE, Write(1, 0, old), Sync(1), Write(1, 100, new[:800]))
    halves = [old[:100] + new[100:512] + old[512:], old[:512] + new[512:900] + old[900:]]
    assert found == {old, old[:100] + new[:800] + old[900:], *halves}


def test_a_sector_may_be_torn():
    """The first bytes of a write, or the last, and the old ones beside them; never beyond what was written."""
    found = contents(*MADE, Write(1, 0, b"aaaaaaaaaa"), Sync(1), *[Write(1, 2, b"bbbbbb")] * 12, most=2000)
    assert {b"aabaaaaaaa", b"aabbbbbaaa", b"aaaaaaabaa", b"aaabbbbbaa"} <= found
    assert all(one[:2] + one[8:] == b"aaaa" for one in found)


def test_a_file_that_was_truncated_may_have_its_old_length():
    """With its old bytes, or with zeros in their place."""
    found = contents(*MADE, Write(1, 0, b"abc"), Sync(1), Truncate(1, 1))
    assert found == {b"a", b"abc", b"a\0\0"}


def test_a_renaming_is_whole_and_may_not_have_been_made():
    """The file has the one name or the other, never both, never none."""
    assert images(*MADE, Write(1, 0, b"x"), Sync(1), Rename("a", "b")) == [{"a": b"x"}, {"b": b"x"}]
    assert images(*MADE, Write(1, 0, b"x"), Sync(1), Rename("a", "b"), SyncNames()) == [{"b": b"x"}]


def test_a_file_that_was_replaced_before_it_was_synced_may_be_empty():
    """The usual mistake: written beside, renamed into place, and synced by nobody."""
    new = (Create(2, "new"), Write(2, 0, b"new"))
    found = contents(*MADE, Write(1, 0, b"old"), Sync(1), *new, Rename("new", "a"), SyncNames())
    assert found == {b"", bytes(3), b"new"}
    assert contents(*MADE, Write(1, 0, b"old"), Sync(1), *new, Sync(2), Rename("new", "a")) == {b"old", b"new"}


def test_a_file_that_was_removed_may_come_back():
    """Unless the folder was synced; a new file under its name is another one."""
    assert contents(*MADE, Write(1, 0, b"x"), Sync(1), Unlink("a")) == {b"x", None}
    assert contents(*MADE, Write(1, 0, b"x"), Sync(1), Unlink("a"), SyncNames()) == {None}
    again = (Create(2, "a"), Write(2, 0, b"y"), Sync(2))
    assert contents(*MADE, Write(1, 0, b"x"), Sync(1), Unlink("a"), *again) == {b"x", b"y", None}


def test_after_a_power_cut_only_what_was_there_is_there():
    """What had not arrived will not come any more."""
    disk = after(*MADE, Write(1, 0, b"abc"), Restart(((7, "a", b"ab"),)))
    assert disk.everything() == disk.nothing() == {"a": b"ab"}
    disk.do(Write(7, 2, b"d"))
    assert (disk.everything(), disk.nothing()) == ({"a": b"abd"}, {"a": b"ab"})


def test_of_very_many_possibilities_some_are_tried():
    """Always: nothing, everything; and by chance those with one write alone, one missing, and some in between."""
    writes = [Write(1, 512 * place, b"x") for place in range(64)]
    found = list(after(*MADE, Write(1, 0, bytes(512 * 64)), Sync(1), *writes).images(300, Random(2)))
    assert len(found) == 300
    arrived = [image["a"].count(b"x") for image in found]
    assert arrived[:2] == [0, 64]
    assert {1, 63} < set(arrived)
    assert len({image["a"] for image in found}) > 150


def test_a_seed_gives_the_same_images():
    """So what was found can be looked at again."""
    disk = after(*MADE, *[Write(1, 512 * place, b"x") for place in range(64)])
    assert list(disk.images(50, Random(3))) == list(disk.images(50, Random(3)))
