"""Scenario files: one format, and whoever plays one comes to the same."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from demo.lessons import SCENARIOS
from demo.playing import with_processes
from demo.telling import Teller
from replica import Command
from replica.app import NoSuchApp
from replica.scenario import Scenario, ScenarioError
from replica.step import AnyStep
from replica.testing import Diverged, assert_converges
from replica.testing.scenario import Played
from sync.testing import play
from sync.testing.stage import reading
from tests import kit

ROOT = Path(__file__).parent.parent
OURS = sorted(SCENARIOS.glob("*.json"))


def with_real_ones(scenario):
    """Played with processes, files and websockets."""
    return asyncio.run(with_processes(scenario, (), Teller(None)))


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_a_scenario_of_the_demo_holds(path):
    """All that it expects is so, and all converge. (tests/test_lessons.py plays them with real processes.)"""
    report = play(Scenario.read(path))
    assert report.held, report.failed
    assert report.converged


def test_the_demo_brings_the_six_scenarios_written_as_the_format_writes_them():
    """Each has a title, a text, a rule and expectations; its file is what `to_json` makes of it."""
    assert [path.stem for path in OURS] == [
        "concurrent-rename", "crash-during-sync", "delete-against-edit", "last-piece", "offline-edits",
        "split-brain-counter",
    ]  # fmt: skip
    for path in OURS:
        scenario = Scenario.read(path)
        assert path.read_text() == scenario.to_json()
        assert all([scenario.title, scenario.text, scenario.rule, scenario.app])
        assert sum(step.do.startswith("expect") for step in scenario.steps) >= 3


EVERYTHING = """\
{"version": 2,
 "title": "A bit of everything",
 "app": ["demo.party"],
 "replicas": ["alice", "bob", "carol"],
 "links": [["alice", "bob"], ["carol", "bob"]],
 "clock": {"start": 5000000, "step": 10},
 "steps": [
  {"do": "write", "replica": "alice", "stream": "party/1", "command": {"NameParty": {"name": "Summer"}}},
  {"do": "expect", "replica": "carol", "stream": "party/1", "equals": "Summer", "at": "/name"},
  {"do": "clock", "replica": "bob", "by": -4000000},
  {"do": "write", "replica": "bob", "stream": "party/1", "command": {"NameParty": {"name": "Autumn"}}},
  {"do": "expect", "stream": "party/1", "equals": "Autumn", "at": "/name"},
  {"do": "disturb", "between": [["bob"], ["carol"]], "delay": 5, "loss": 0.1, "duplicate": 0.3, "reorder": 0.3},
  {"do": "write", "replica": "carol", "stream": "party/1", "events": [{"ItemAdded": {"item": "tea"}}]},
  {"do": "write", "replica": "alice", "stream": "party/1", "command": {"AddItem": {"item": "milk"}}},
  {"do": "settle"},
  {"do": "expect converged"},
  {"do": "heal", "between": [["carol"], ["bob"]]},
  {"do": "cut", "between": [["alice"], ["bob"]], "one_way": true},
  {"do": "write", "replica": "alice", "stream": "party/1", "command": {"AddMoney": {"amount": 1}}},
  {"do": "expect", "replica": "carol", "stream": "party/1", "equals": 0, "at": "/purse"},
  {"do": "cut", "between": [["alice"], ["bob"]]},
  {"do": "write", "replica": "bob", "stream": "party/1", "command": {"AddMoney": {"amount": 2}}, "wall": 7000000},
  {"do": "expect different", "replicas": ["alice", "bob"]},
  {"do": "expect converged", "replicas": ["bob", "carol"]},
  {"do": "heal"},
  {"do": "expect", "stream": "party/1", "equals": 3, "at": "/purse"},
  {"do": "add", "name": "dave", "links": ["carol"]},
  {"do": "fork", "replica": "bob", "name": "whatif", "at": "alice:2"},
  {"do": "write", "replica": "whatif", "stream": "party/1", "command": {"AddMoney": {"amount": 100}}},
  {"do": "expect", "replica": "whatif", "stream": "party/1",
   "equals": {"name": "Summer", "items": [], "purse": 100, "note": ""}},
  {"do": "hear", "replica": "bob", "other": "whatif"},
  {"do": "expect", "replica": "dave", "stream": "party/1", "equals": 103, "at": "/purse"},
  {"do": "retire", "replica": "alice", "member": "whatif"},
  {"do": "crash", "replica": "carol"},
  {"do": "wait", "ms": 50},
  {"do": "write", "replica": "dave", "stream": "party/1", "command": {"RemoveItem": {"item": "tea"}}},
  {"do": "write", "replica": "dave", "stream": "party/1", "command": {"RemoveItem": {"item": "tea"}}},
  {"do": "expect refused", "because": "there is no tea"},
  {"do": "expect", "replica": "bob", "stream": "party/1", "equals": "tea", "at": "/items/1"},
  {"do": "restart", "replica": "carol"},
  {"do": "expect owed", "replica": "carol", "commands": []},
  {"do": "expect converged", "replicas": ["alice", "bob", "carol", "dave"]}
 ]}
"""


def test_every_step_of_the_format_comes_to_the_same_in_one_process_and_with_real_ones():
    """Relays, slow and lossy links, one way, clocks, newcomers, forks, crashes; no kind of step is left out."""
    scenario = Scenario.from_json(EVERYTHING)
    report = play(scenario)
    assert report.held, report.failed
    assert not report.converged, "the fork has not heard of what came after it"
    assert with_real_ones(scenario) == report
    assert {type(step) for step in scenario.steps} == set(get_args(AnyStep))


def test_what_assert_converges_has_found_is_played_by_everybody(tmp_path):
    """The file that it saves: in one process and with real ones each replica reads what it read when it failed."""
    with pytest.raises(Diverged) as found:
        assert_converges(kit.NoJoin, replicas=2, save=tmp_path / "failed.json")
    text = (tmp_path / "failed.json").read_text()
    assert str(found.value).endswith(text)
    scenario = Scenario.read(tmp_path / "failed.json")
    report = play(tmp_path / "failed.json")
    assert with_real_ones(scenario) == report
    played = Played(kit.NoJoin, scenario)
    for name, replica in zip(scenario.replicas, played.replicas, strict=True):
        core, view = replica.core, report.replicas[name]
        assert view.version == {str(core.label(one)): seq for one, seq in core.memory.version.seqs.items()}
        if core.memory.version:
            assert view.digests == {played.stream: replica.digest(played.stream)}
            assert view.readings == {played.stream: reading(replica.present(played.stream))}


def played(path, *options):
    command = [sys.executable, "-m", "demo", "play", str(path), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_what_does_not_hold_is_told_with_its_step_and_ends_with_1(tmp_path):
    """The rest is played all the same; the JSON has what was found."""
    scenario = Scenario.read(SCENARIOS / "concurrent-rename.json")
    text = scenario.to_json().replace('"equals": "Pool party"', '"equals": "Beach party"')
    (tmp_path / "wrong.json").write_text(text)
    done = played(tmp_path / "wrong.json", "--in-process")
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert lines[-1] == "CONVERGED  and not as it should: step 6, 9 of 11"
    assert "  6 ✗ party/summer/name of bob is 'Beach party'   bob reads 'Pool party'" in lines
    found = json.loads(played(tmp_path / "wrong.json", "--in-process", "--json").stdout)
    assert found["held"] is False
    assert [one["number"] for one in found["steps"] if not one["held"]] == [6, 9]


def test_a_scenario_is_told_as_it_is_played():
    """By its name where it comes with the demo: title, words, steps, what all read, and a verdict; exit 0."""
    done = played("last-piece", "--in-process")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[1] == "The last product, sold twice"
    assert "Before ben has paid, alice is killed." in lines
    assert "  6   alice is killed" in lines
    assert any(line.startswith("    order/o2  {") and '"stage":"failed"' in line for line in lines)
    assert lines[-1] == "CONVERGED  all 20 steps went as they should"


def test_what_is_no_scenario_ends_with_2_and_says_why(tmp_path):
    """One line, no traceback, and nothing was started."""
    (tmp_path / "typo.json").write_text(EVERYTHING.replace('"do": "settle"', '"do": "setle"'))
    done = played(tmp_path / "typo.json")
    assert done.returncode == 2
    assert done.stderr.startswith(f"{tmp_path / 'typo.json'}: step 9 (setle): Invalid value 'setle'")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def changed(**fields):
    plain = {"version": 2, "replicas": ["a", "b"], "app": ["tests.kit:NoJoin"], "steps": []} | fields
    return json.dumps(plain)


PUT = {"do": "write", "replica": "a", "events": [{"Put": {"item": "x"}}]}
SENSELESS = [
    ({"version": 1}, "a scenario of version 1, and this reads version 2"),
    ({"replicas": []}, "`replicas` needs at least one name"),
    ({"replicas": ["a", "a"]}, "and each once"),
    ({"replicas": ["../a"]}, "'../a' cannot name a replica"),
    ({"links": [["a", "c"]]}, r"`links` has \['a', 'c'\]: a link needs two of `replicas`"),
    ({"links": [["a", "b"], ["b", "a"]]}, "needs two of `replicas`, and once"),
    ({"clock": {"start": -1}}, r"Expected `int` >= 0 \(at clock.start\)"),
    ({"stesp": []}, "unknown field `stesp`; docs/scenarios.md has the format"),
    (
        {"steps": [PUT, {"do": "crash"}]},
        r"step 2 \(crash\): Object missing required field `replica`; docs",
    ),
    ({"steps": [{"do": "wait", "ms": "9"}]}, r"step 1 \(wait\): Expected `int`, got `str` \(at ms\)"),
    (
        {"steps": [{"do": "crash", "replica": "c"}]},
        "there is no replica 'c' here \\(there are: a, b\\)",
    ),
    ({"steps": [{"do": "crash", "replica": "a"}, PUT]}, r"step 2 \(write\): a was killed: restart it before"),
    ({"steps": [{"do": "restart", "replica": "a"}]}, r"step 1 \(restart\): a is not down"),
    ({"steps": [{"do": "cut", "between": [["a"], ["z"]]}]}, r"step 1 \(cut\): there is no replica 'z'"),
    ({"steps": [{"do": "retire", "replica": "a", "member": "z"}]}, r"step 1 \(retire\): there is no replica 'z'"),
    ({"steps": [{"do": "add", "name": "c", "links": ["a", "a"]}]}, r"step 1 \(add\): `links` names somebody twice"),
    ({"steps": [{"do": "fork", "replica": "a", "name": "c", "at": "a:9"}]}, r"step 1 \(fork\): .*a:9"),
    ({"steps": [{"do": "add", "name": "b"}]}, r"step 1 \(add\): 'b' is taken"),
    ({"steps": [{"do": "expect refused"}]}, r"step 1 \(expect refused\): there is no write before it"),
    ({"steps": [{"do": "write", "replica": "a"}]}, r"step 1 \(write\): a write needs one `command`"),
    (
        {"steps": [{"do": "disturb", "between": [["a"], ["b"]], "loss": 2}]},
        "Expected `float` <= 1.0",
    ),
    (
        {"steps": [PUT | {"events": [{"Pot": {}}]}]},
        "there is no event or command Pot \\(there are: .*Put",
    ),
    ({"steps": [PUT | {"events": [{"Put": {"item": 1}}]}]}, "Put: Expected `str`, got `int`"),
    (
        {"steps": [{"do": "write", "replica": "a", "command": {"Put": {"item": "x"}}}]},
        "Put is an event: say it as one",
    ),
    ({"steps": [PUT | {"stream": "other/1"}]}, "step 1 .* no aggregate folds the stream 'other/1'"),
    ({"app": []}, "the scenario names no `app`"),
]


@pytest.mark.parametrize(("fields", "words"), SENSELESS, ids=[words for _, words in SENSELESS])
def test_what_makes_no_sense_is_refused_with_its_step_before_anything_is_played(fields, words):
    """The number of the step, what is wrong, and what would be right."""
    with pytest.raises(ScenarioError, match=words):
        play(changed(**fields))


def test_an_app_that_is_not_there_is_named():
    """Whether the module is missing or what should be in it."""
    for app, words in (("no.such", "no.such cannot be imported"), ("tests.kit:Nothing", "no Nothing in tests.kit")):
        with pytest.raises(NoSuchApp, match=words):
            play(changed(app=[app]))


def test_who_is_linked_and_does_not_come_to_hold_the_same_has_failed():
    """A link that loses everything never settles: the step says who differs, and the rest is played."""
    steps = [
        {"do": "disturb", "between": [["a"], ["b"]], "loss": 1.0},
        PUT,
        {"do": "settle"},
        {"do": "heal"},
        {"do": "expect converged"},
    ]
    report = play(changed(steps=steps))
    assert [one.number for one in report.failed] == [3]
    assert report.failed[0].came == "a, b are linked, and do not come to hold the same: a is at a:2, b at nothing"
    assert report.converged


class Divide(Command):
    """Nothing can."""


PARTY = "party/1"
APART = {"do": "cut", "between": [["a"], ["b"]]}


def say(replica, what, **more):
    return {"do": "write", "replica": replica, "stream": PARTY, "command": what, **more}


def in_party(*steps):
    return play(changed(app=["demo.party:Party"], steps=steps))


@pytest.mark.parametrize(
    ("clock", "first", "wins"),
    [
        ([], {}, "second"),
        ([{"do": "clock", "replica": "a", "by": 1001}], {}, "first"),
        ([{"do": "clock", "replica": "b", "by": -1001}], {}, "first"),
        ([], {"wall": 1_767_225_600_000 + 2001}, "first"),
        ([{"do": "wait", "ms": 5000}], {"wall": 1_767_225_600_000 + 2001}, "second"),
    ],
)
def test_clocks_decide_between_writes_that_had_not_seen_each_other(clock, first, wins):
    """The scenario's own, one that was set, and one that a write names."""
    report = in_party(
        APART,
        *clock,
        say("a", {"NameParty": {"name": "first"}}, **first),
        say("b", {"NameParty": {"name": "second"}}),
        {"do": "heal"},
        {"do": "expect", "stream": PARTY, "at": "/name", "equals": wins},
    )
    assert report.held, report.failed


def test_hearing_takes_in_what_joining_would():
    """Not what is stamped more than a day ahead, until that day has come."""
    hear = {"do": "hear", "replica": "b", "other": "a"}
    name = {"do": "expect", "replica": "b", "stream": PARTY, "at": "/name"}
    report = in_party(
        APART,
        say("a", {"NameParty": {"name": "now"}}),
        {"do": "clock", "replica": "a", "by": 2 * 86_400_000},
        say("a", {"NameParty": {"name": "later"}}),
        hear,
        name | {"equals": "now"},
        {"do": "wait", "ms": 86_400_000},
        hear,
        name | {"equals": "later"},
    )
    assert report.held, report.failed


def test_a_link_that_is_cut_one_way_carries_the_other_way():
    """Whoever dials it."""
    for mute, heard in ("ab", "ba"):
        report = in_party(
            say("a", {"AddMoney": {"amount": 1}}),
            {"do": "cut", "between": [[mute], [heard]], "one_way": True},
            say(mute, {"AddMoney": {"amount": 10}}),
            say(heard, {"AddMoney": {"amount": 100}}),
            {"do": "expect", "replica": heard, "stream": PARTY, "at": "/purse", "equals": 101},
            {"do": "expect", "replica": mute, "stream": PARTY, "at": "/purse", "equals": 111},
            {"do": "heal"},
            {"do": "expect", "stream": PARTY, "at": "/purse", "equals": 111},
        )
        assert report.held, report.failed


@pytest.mark.parametrize(
    ("expected", "came"),
    [
        ({"do": "expect", "stream": PARTY, "at": "/items", "equals": ["tea"]}, "a reads []; b reads []"),
        ({"do": "expect", "stream": "party/2", "equals": {}}, "a reads None; b reads None"),
        (
            {"do": "expect", "stream": PARTY, "at": "/itmes", "equals": None},
            "a reads nothing there; b reads nothing there",
        ),
        ({"do": "expect converged"}, "a is at a:2, b at b:2"),
        ({"do": "expect different", "replicas": ["a"]}, "all read the same"),
        ({"do": "expect owed", "replica": "a", "commands": ["Pay"]}, "due: nothing"),
        ({"do": "expect refused"}, "it was recorded"),
    ],
)
def test_every_expectation_can_fail_and_says_what_was_found(expected, came):
    """Two that were cut off, and have written."""
    two = [say(name, {"AddMoney": {"amount": 1}}) for name in "ab"]
    report = in_party(APART, *two, expected)
    assert [(one.number, one.came) for one in report.failed] == [(4, came)]


def test_a_refusal_is_expected_for_its_reason():
    """Another reason is another refusal; a decision that raises has refused in its own words."""
    remove = say("a", {"RemoveItem": {"item": "tea"}})
    report = in_party(
        remove,
        {"do": "expect refused", "because": "no tea"},
        remove,
        {"do": "expect refused", "because": "no milk"},
    )
    assert [(one.number, one.came) for one in report.failed] == [(4, "refused: there is no tea on the list")]

    class Broken(kit.NoJoin):
        stream, events = "nojoin", kit.NoJoin.events

        def decide(self, command, given):
            return 1 // 0

    steps = [{"do": "write", "replica": "a", "command": {"Divide": {}}}, {"do": "expect refused"}]
    assert [one.came for one in play(changed(steps=steps), Broken).steps] == [
        "refused: ZeroDivisionError: integer division or modulo by zero", ""
    ]  # fmt: skip


def test_what_is_on_a_slow_link_arrives_when_its_time_has_come():
    """Not before, and no matter how often somebody looks; a crash of the sender takes it away."""

    def at_b(*between):
        slow = {"do": "disturb", "between": [["a"], ["b"]], "delay": 100}
        report = play(changed(steps=[slow, PUT, *between]))
        return bool(report.replicas["b"].digests)

    assert not at_b({"do": "wait", "ms": 99})
    assert at_b(*[{"do": "wait", "ms": 100}] * 4)
    assert at_b({"do": "wait", "ms": 400})
    assert not at_b({"do": "wait", "ms": 99}, {"do": "crash", "replica": "a"}, {"do": "wait", "ms": 1000})


def test_aggregates_from_outside_take_the_place_of_those_that_a_scenario_names():
    """As for a class that is made in a test; the report is a plain value."""

    class Here(kit.NoJoin):
        stream, events = "nojoin", kit.NoJoin.events

    report = play(changed(app=["no.such"], steps=[PUT]), Here)
    assert report.replicas["b"].readings == {"nojoin/1": {"last": "x"}}
    assert msgspec.convert(msgspec.to_builtins(report), type(report)) == report
