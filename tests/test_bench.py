"""The benchmark: that it measures, says what it could not measure, and draws what it found. Never how fast."""

import asyncio
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

import pytest

from bench import keys
from bench.job import Job
from bench.peers.sinks import frame
from bench.picture import Bar, Panel, Slope, picture
from bench.report import Section, bars, page, panels
from bench.run import Bench
from bench.table import LIMIT, OURS, PEER, Contender, Found, Row, Table

ROOT = Path(__file__).parent.parent


def measured(less: bool, **values: float) -> Section:
    """A section with one figure, measured once by `ours`, `theirs` and `hand`."""
    kinds = {"ours": OURS, "theirs": PEER, "hand": LIMIT}
    row = Row("the work", "figure", "ahead", lambda found: found.ahead("theirs"), less=less)
    contenders = tuple(Contender(name, kinds[name], ("nowhere:never",), Job(), at=10) for name in values)
    table = Table("a table", ("figure",), contenders, (row,), less=less, axis="events" if less else "", line="work")
    return Section(
        "work", "Words.", "A note.", [(table, {n: Found([{"figure": v}]) for n, v in values.items()})], 1
    )


@pytest.mark.parametrize(
    ("less", "ours", "reached"), [(True, 5.0, "yes"), (True, 20.0, "no"), (False, 20.0, "yes")]
)
def test_a_ratio_below_one_is_ahead_whether_less_or_more_is_better(less: bool, ours: float, reached: str) -> None:
    """The summary and the picture would call a loss a win."""
    section = measured(less, ours=ours, theirs=10.0, hand=4.0)
    (bar,) = bars([section])
    assert bar.to_peer is not None
    assert (bar.to_peer < 1) == (reached == "yes")
    assert bar.to_peer == pytest.approx(ours / 10 if less else 10 / ours)
    assert bar.to_hand == pytest.approx(ours / 4 if less else 4 / ours)
    (line,) = (line for line in page("", "", [section]).splitlines() if line.startswith("| the work"))
    assert line.strip("| ").endswith({"yes": "yes", "no": "**no**"}[reached])


def test_what_was_not_measured_is_not_ahead_of_us_and_is_said() -> None:
    """A peer that is missing would make us win in silence."""
    section = measured(True, ours=5.0, theirs=10.0)
    table, found = section.tables[0]
    found = {**found, "theirs": Found(absent="there is no node")}
    text = page("", "", [Section("work", "", "", [(table, found)], 1)])
    assert "**no**" not in text
    assert "|  |  |  |  | ahead | **no**" not in text
    other = Table(table.title, table.figures, table.contenders, table.rows)
    assert "left out: there is no node" in page("", "", [Section("work", "", "", [(other, found)], 1)])


def test_the_picture_is_well_formed_and_shows_every_row_and_slope() -> None:
    """A page with a broken picture, or with one that leaves out a loss."""
    rows = [Bar("work <1> & more", "a peer", 0.5, 3.0), Bar("lost", "another", 1000.0, None)]
    panel = Panel("events", [Slope("catch-up", [(10, 1.0), (1000, 50.0)]), Slope("append", [(10, 2.0)])])
    root = ElementTree.fromstring(picture(rows, [panel, *panels([measured(True, ours=5.0)])], "words"))
    texts = {node.text for node in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"work <1> & more", "lost", "a peer", "another", "catch-up", "append", "events", "words"} <= texts
    assert len([*root.iter("{http://www.w3.org/2000/svg}polyline")]) == 3
    dots = [node for node in root.iter("{http://www.w3.org/2000/svg}circle") if node.get("class") == "peer"]
    assert len(dots) == len(rows) + 1, "one for each row, and one in the legend"


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536])
def test_a_frame_is_found_when_it_is_whole_and_not_before(size: int) -> None:
    """Subscribers would count too few events, or too many."""
    if size < 126:
        head = bytes((130, size))
    elif size < 1 << 16:
        head = bytes((130, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((130, 127)) + size.to_bytes(8, "big")
    data = b"before" + head + bytes(size)
    assert frame(data, 6) == (2, 6 + len(head), len(data))
    assert all(frame(data[:cut], 6) is None for cut in range(6, len(data), max(1, size // 50)))


def test_many_ids_are_made_as_replicas_would_have_made_them() -> None:
    """The large cells would measure other work than the small ones: all events, of all ids, in one present."""

    async def run() -> None:
        async with keys.opened(":memory:", "one") as made, keys.opened(":memory:", "other") as written:
            for batch in keys.logs(600, ids=4, apart=50):
                await made.ingest(batch)
            await keys.write_in_turns(written, 600, 4, 1)
            sets = keys.sets(600)
            for replica in (made, written):
                introductions = len(replica.version)
                assert introductions == 4
                assert sum(dot.seq for dot in replica.version) - introductions == len(sets)
                assert keys.values(await replica.present(keys.HOME)).keys() == {event.key for event in sets}

    asyncio.run(run())


def test_a_contender_that_fails_is_said_and_the_others_go_on() -> None:
    """A broken peer would end the run, or vanish from it."""
    broken = Contender("broken", PEER, ("bench.peers.byhand:no_such_thing",), Job())
    hand = Contender("by hand", LIMIT, ("bench.peers.byhand:disk",), Job(count=100), "bench.peers.byhand:prepare")
    table = Table("a table", ("bytes an event",), (broken, hand))
    said: list[str] = []
    with TemporaryDirectory() as folder:
        found = asyncio.run(Bench(folder, 2, said.append).measure(table))
    assert "no_such_thing" in found["broken"].failed
    assert any("FAILED" in words for words in said)
    assert len(found["by hand"].figures) == 2
    assert found["by hand"].figures[0]["MB"] > 1


def test_a_quick_run_writes_the_page_and_the_picture(tmp_path: Path) -> None:
    """`make bench` would not come to its end."""
    command = (sys.executable, "-m", "bench", "--quick", "--only", "append", "--out", str(tmp_path))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "results.md").read_text()
    for words in ("durable append, one writer", "**anabranch append**", "by hand", "commit ", "(results.svg)"):
        assert words in text
    ElementTree.parse(tmp_path / "results.svg")
