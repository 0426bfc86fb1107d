"""What the command line prints for programs: JSON that is data, of the shapes that `anabranch schema` says."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import enum
import fractions
import io
import json
import os
import re
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings

from merge import LWWRegister, ORMap
from merge.version import Dot, ReplicaId, VersionVector
from replica import Aggregate, Command, Event, Replica
from replica.data import as_data, to_json
from replica.scenario import Scenario, typed
from replica.step import Write, said
from sync.cli import main
from sync.output import PRINTED, schema

UTC = datetime.UTC


class Colour(enum.Enum):
    RED = "red"


class Met(Event, frozen=True):
    at: datetime.datetime
    price: decimal.Decimal
    ratio: float
    large: int
    who: uuid.UUID
    raw: bytes
    colour: Colour
    tags: frozenset[str]
    counts: dict[str, int]
    text: str = "K\u00e4se \u2028\x85 \U0001f600"


class Meet(Command, frozen=True):
    ratio: float
    counts: dict[int, float]


class Meeting(Aggregate):
    stream = "meeting"
    events = (Met,)
    last = LWWRegister[decimal.Decimal]()
    by_number = ORMap[int, LWWRegister[str]](LWWRegister[str]())

    def effect(self, event):
        return [self.last.write(event.price), self.by_number[event.large % 7].write(event.text)]


MET = Met(
    datetime.datetime(2026, 1, 1, 12, tzinfo=UTC), decimal.Decimal("1.10"), float("inf"), 2**60 + 1,
    uuid.UUID(int=7), b"\x00\xff", Colour.RED, frozenset("ba"), {"1": 2},
)  # fmt: skip


@dataclass
class Pair:
    left: int
    right: object


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (datetime.datetime(2026, 1, 1, 12, tzinfo=UTC), "2026-01-01T12:00:00Z"),
        (datetime.datetime(2026, 1, 1, 12), "2026-01-01T12:00:00"),
        (datetime.date(2026, 1, 1), "2026-01-01"),
        (datetime.time(12, 30), "12:30:00"),
        (datetime.timedelta(hours=1), "PT3600S"),
        (decimal.Decimal("1.10"), "1.10"),
        (fractions.Fraction(1, 3), "1/3"),
        (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
        (float("nan"), "NaN"),
        (2**53, 2**53),
        (2**53 + 1, "9007199254740993"),
        (-(2**63), "-9223372036854775808"),
        (b"\x00\xff", "AP8="),
        (Colour.RED, "red"),
        (frozenset({"b", "a"}), ["a", "b"]),
        ((1, (2,)), [1, [2]]),
        ({1: "x", True and "t": 2}, {"1": "x", "t": 2}),
        ({(1, "a"): None}, {'[1,"a"]': None}),
        ({1: "x", "1": "y"}, [[1, "x"], ["1", "y"]]),
        (ReplicaId(10, "alice"), "000000000000000a"),
        (Dot(ReplicaId(10, "alice"), 3), "alice:3"),
        (VersionVector({10: 3}), {"000000000000000a": 3}),
        (Pair(1, {2.5}), {"left": 1, "right": [2.5]}),
        (msgspec.msgpack.Ext(5, b"x"), {"code": 5, "data": "eA=="}),
    ],
)
def test_each_kind_of_value_is_data(value, data):
    """No reader of JSON has to know Python, and none reads another value than was recorded."""
    assert as_data(value) == data
    assert json.loads(to_json(value)) == data


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes()
    | st.decimals() | st.sampled_from(Colour),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.booleans(), inner),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=40)
@given(VALUES)
def test_json_is_strict_ascii_and_exact(value):
    """In any locale, in one line, and without numbers that others round or cannot read."""
    text = to_json(value)
    assert text.isascii()
    assert text.isprintable()

    def number(words):
        assert abs(int(words)) <= 2**53
        return int(words)

    json.loads(text, parse_int=number, parse_constant=lambda words: pytest.fail(words))


# --- the commands, and their schema ---


def fits(value, shape, shapes):
    """Does a value keep a JSON Schema? Of that only what the shapes here use."""
    if "$ref" in shape:
        return fits(value, shapes[shape["$ref"].rpartition("/")[2]], shapes)
    if "anyOf" in shape:
        return any(fits(value, one, shapes) for one in shape["anyOf"])
    kinds = {
        "object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool,
        "null": type(None),
    }  # fmt: skip
    if "type" in shape and not isinstance(value, kinds[shape["type"]]):
        return False
    if isinstance(value, dict):
        known, names = shape.get("properties", {}), shape.get("propertyNames", {})
        rest = shape.get("additionalProperties", True)
        return (
            set(shape.get("required", ())) <= value.keys()
            and all(fits(name, names, shapes) for name in value)
            and all(fits(item, known[name], shapes) for name, item in value.items() if name in known)
            and (
                not isinstance(rest, dict)
                or all(fits(item, rest, shapes) for name, item in value.items() if name not in known)
            )
            and (not known or value.keys() <= known.keys())
        )
    if isinstance(value, list) and isinstance(shape.get("items"), dict):
        return all(fits(item, shape["items"], shapes) for item in value)
    return "pattern" not in shape or bool(re.search(shape["pattern"], value))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("json")

    async def write():
        async with Replica.open(made / "alice.db", store="s", name="alice", aggregates=[Meeting]) as alice:
            first = await alice.append("meeting/1", MET)
            await alice.fork(made / "bob.db", name="bob")
            await alice.append("meeting/1", msgspec.structs.replace(MET, text="a"), cause=first.dots[0])
        async with Replica.open(made / "bob.db", store="s", name="bob", aggregates=[Meeting]) as bob:
            await bob.append("meeting/1", msgspec.structs.replace(MET, text="b"), correlation="why")
            await bob.join(made / "alice.db")
            await bob.retire("alice")

    asyncio.run(write())
    return made


COMMANDS = [
    ("log", "bob.db"), ("show", "bob.db"), ("show", "bob.db", "meeting/1"), ("show", "bob.db", "alice:2"),
    ("at", "bob.db", "now"), ("at", "bob.db", "alice:2", "meeting/1"), ("history", "bob.db", "meeting/1"),
    ("diff", "bob.db", "meeting/1", "alice:2"), ("explain", "bob.db", "meeting/1"), ("conflicts", "bob.db"),
    ("verify", "bob.db"), ("status", "bob.db"), ("export", "bob.db", "--format", "jsonl"),
    ("fork", "bob.db", "carol.db"), ("join", "alice.db", "bob.db"), ("backup", "bob.db", "copy.db"),
    ("restore", "bob.db", "place.db"),
]  # fmt: skip


def printed(folder, words, capsys):
    """What a command prints with --json, line by line."""
    command, *files = words
    paths = [str(folder / word) if word.endswith(".db") else word for word in files]
    code = main([command, *paths, *([] if command == "export" else ["--json"]), "--app", "tests.test_json"])
    out = capsys.readouterr().out
    assert code == 0, out
    return [json.loads(line, parse_constant=pytest.fail) for line in out.splitlines()]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_what_a_command_prints_is_what_the_schema_says(folder, words, capsys):
    """A program that was written by the schema reads what is printed."""
    said = schema()
    lines = printed(folder, words, capsys)
    for line in lines:
        assert fits(line, said["properties"][words[0]], said["$defs"]), line
    text = json.dumps(lines)
    assert "datetime." not in text
    assert "Decimal(" not in text
    assert not re.search(r"[: ]-?\d{17,}", text), "a number that others round"


def test_every_command_that_prints_json_has_a_shape(capsys):
    """And `anabranch schema` prints them all."""
    assert main(["schema"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == json.loads(json.dumps(schema()))
    assert said["properties"].keys() == PRINTED.keys()
    tested = {words[0] for words in COMMANDS}
    assert said["properties"].keys() - tested <= {"serve", "sync", "set-aside"}, "no test compares what this prints"


def test_a_recorded_value_comes_out_as_it_went_in(folder, capsys):
    """Infinity is told from nothing, a decimal keeps its digits, and an id is the same wherever it stands."""
    lines = printed(folder, ("log", "bob.db"), capsys)
    met = next(line for line in lines if line["type"] == "Met")
    assert met["fields"] == {
        "at": "2026-01-01T12:00:00Z", "price": "1.10", "ratio": "Infinity", "large": str(2**60 + 1),
        "who": str(uuid.UUID(int=7)), "raw": "AP8=", "colour": "red", "tags": ["a", "b"], "counts": {"1": 2},
        "text": MET.text,
    }  # fmt: skip
    caused = next(line for line in lines if "cause" in line)
    assert caused["cause"] == {name: met[name] for name in ("dot", "replica", "seq")}
    introduced = next(line for line in lines if line["type"] == "ReplicaIntroduced")
    assert introduced["fields"]["replica"] == introduced["replica"]
    retired = next(line for line in lines if line["type"] == "ReplicaRetired")
    assert retired["fields"]["replica"] in {line["replica"] for line in lines}


@pytest.mark.parametrize("words", [("log", "--graph"), ("log", "--json"), ("explain", "meeting/1"), ("status",)])
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_every_locale_shows_it_to_the_end(folder, words, encoding, monkeypatch):
    """A container has an ASCII locale, Windows code pages: whatever they lack is shown in other signs."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding, errors="strict"))
    command, *more = words
    assert main([command, str(folder / "bob.db"), *more, "--app", "tests.test_json"]) == 0
    text = written.getvalue().decode(encoding)
    assert "alice" in text
    if "--json" in words:
        assert [json.loads(line)["fields"] for line in text.splitlines()]
    if "--graph" in words:
        assert ("\u25cf" in text) is (encoding == "utf-8")
        assert "\\u25cf" not in text


def test_an_export_is_utf_8_in_any_locale(folder, monkeypatch):
    """A file for another tool does not depend on where it was written."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert main(["export", str(folder / "bob.db"), "--format", "mermaid"]) == 0
    assert "K\u00e4se" in written.getvalue().decode("utf-8")


def test_nothing_is_imported_from_the_working_directory_unless_an_app_is_named(folder, tmp_path):
    """Else looking into a file in a folder of downloads runs what was downloaded."""
    for name in ("stringprep", "shop", "sync", "argparse"):
        (tmp_path / f"{name}.py").write_text(f"open('ran-{name}', 'w').close()\nraise ImportError('no')\n")
    script = Path(sys.executable).with_name("anabranch")
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "ANABRANCH_APP")}

    def run(*words):
        subprocess.run([script, *words], cwd=tmp_path, env=env, capture_output=True, timeout=30)
        return {path.name for path in tmp_path.glob("ran-*")}

    new = "--store", "s", "--name", "zoe", "--timeout", "0.1"
    assert run("sync", tmp_path / "new.db", "ws://localhost:1", *new) == set()
    assert run("log", folder / "bob.db", "--app", "shop") == {"ran-shop"}


def test_a_scenario_file_holds_infinity_and_numbered_keys():
    """Else a run that failed is written to a file that cannot be played."""
    meet = Meet(float("-inf"), {1: float("inf"), 2: 0.5})
    scenario = Scenario(
        replicas=("alice",), steps=(Write(replica="alice", stream="meeting/1", command=said(meet)),)
    )
    again = Scenario.from_json(scenario.to_json())
    assert typed(again.steps[0].command, {"Meet": Meet}) == meet
