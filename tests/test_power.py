"""Power cuts: a slice of images in every run of the suite, and proof that the harness can fail."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from replica.errors import StoreError
from replica.mark import MarkFile
from tests.power import HEAVY, SCALES, Scale, Tally, Tape, cut_power, keep, kept, record
from tests.recorder import can_record
from tests.tape import Sync

pytestmark = pytest.mark.skipif(
    not can_record(), reason="strace is not installed, or may not look at processes: power cuts are not tested"
)
SHORT = Scale(0, 2, 6, 4, 60, HEAVY)


@pytest.fixture
def place():
    """A folder in memory, where there is such a thing: images are many."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder).resolve()


def images_of(tape: Tape, images: int, place: Path) -> Tally:
    tally = Tally()
    asyncio.run(cut_power(tape, images, place, tally))
    return tally


def test_nothing_acknowledged_is_lost_whatever_the_disk_holds(place):
    """Each image is opened, verified, written to, and meets a peer; no dot is used twice. A disk that says that it
    has synced and has not loses promises, and that is found; also in a tape that was kept."""
    tape = record(place / "tape", time.time_ns(), "full", SCALES["full"])
    tally = images_of(tape, 120, place)
    assert tally.images > 60
    assert tally.promised > 500
    lying = tape._replace(operations=[one for one in tape.operations if not isinstance(one, Sync)])
    images, again = kept(keep(lying, 60, place))
    assert again == lying
    assert [*map(type, again.operations)] == [*map(type, lying.operations)]
    with pytest.raises((AssertionError, StoreError)):
        images_of(again, images, place)


def test_with_normal_durability_what_is_lost_comes_back_from_peers_and_no_dot_is_used_twice(place, monkeypatch):
    """A file that was not closed goes on under a new id. Were it to go on under its own, that would be found."""
    tape = record(place / "tape", time.time_ns(), "normal", SHORT)
    tally = images_of(tape, 60, place)
    assert sum(tally.lost) > 0
    assert tally.renamed > 0
    monkeypatch.setattr(MarkFile, "vouches_for", lambda *_: True)
    with pytest.raises(AssertionError, match=r"a dot (was used twice|that was acknowledged names another event)"):
        images_of(tape, 60, place)
