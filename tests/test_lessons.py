"""The lessons: six scenarios with real processes, in lines, and in a terminal that is led by its keys alone."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import io
import json
import os
import pty
import re
import select
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from demo.lessons import LESSONS, Player, lesson, places, standings
from demo.lessons_view import hues, look_of, menu, picture, presents, starting, verdict
from replica.app import load
from replica.scenario import Scenario, ScenarioError
from sync.testing import Report, View, Ways, play
from sync.testing.alone import Alone
from sync.testing.stage import Way

ROOT = Path(__file__).parent.parent
LONGEST = 60
"""Seconds in which whatever is waited for has come."""


def demo(folder, *words, **options):
    """The command as a user gives it, with its temporary files in a folder of the test."""
    env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    env |= {"TMPDIR": str(folder), "PYTHONUTF8": "1"}
    return [sys.executable, "-m", "demo", *words], {"cwd": ROOT, "env": env, **options}


def run(folder, *words):
    command, options = demo(folder, *words, capture_output=True, text=True, timeout=LONGEST)
    return subprocess.run(command, **options)


def test_all_lessons_come_to_their_verdicts_and_to_the_same_as_in_one_process(tmp_path):
    """One after the other, without a terminal: step by step and in the end equal; nothing is left behind."""
    done = run(tmp_path, "lessons", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert (found["held"], found["converged"]) == (True, True)
    assert [one["lesson"] for one in found["lessons"]] == [one.name for one in LESSONS]
    for one, told in zip(LESSONS, found["lessons"], strict=True):
        report = msgspec.convert({field: told[field] for field in Report.__struct_fields__}, Report)
        assert report == play(one.scenario)
        assert (told["rule"], told["held"], told["converged"]) == (one.rule, True, True)
    assert [*tmp_path.iterdir()] == []


def test_the_page_of_the_demo_shows_a_lesson_as_it_is_told(tmp_path):
    """Each command with an answer on docs/demo.md is run, and its answer is what the page says."""
    page = (ROOT / "docs/demo.md").read_text()
    sessions = re.findall(r"```console\n\$ python -m demo (.*?)\n(.*?)```", page, re.S)
    assert sessions
    for words, answer in sessions:
        done = run(tmp_path, *shlex.split(words))
        assert (done.stdout, done.stderr, done.returncode) == (answer, "", 0)


def test_the_page_of_the_demo_has_every_lesson_with_its_rule_and_every_command_exists():
    """In the words of the scenario files; and what is to be typed is a story and a lesson that there is."""
    page = (ROOT / "docs/demo.md").read_text()
    words = " ".join(page.split())
    for one in LESSONS:
        assert f"### {one.key}. {one.title}" in page
        assert f"**The rule.** {one.rule}" in words
    for name in re.findall(r"python -m demo lessons +([\w-]+)(?=\s|`)", page):
        if not name.startswith("-"):
            assert lesson(name) in LESSONS


def test_a_lesson_says_a_sentence_at_each_step_and_a_rule_at_its_end():
    """And what it teaches; so that nobody is shown a step without being told what it is for."""
    for one in LESSONS:
        assert all([one.title, one.teaches, one.rule, places(one.scenario)])
        assert all(step.say for step in one.steps)


def test_a_lesson_has_a_name_a_number_or_a_file(tmp_path):
    """What is none of them is said in words, and ends with 2."""
    assert lesson("2") is lesson("concurrent-rename") is LESSONS[1]
    (tmp_path / "ours.json").write_text(LESSONS[0].scenario.to_json())
    ours = lesson(str(tmp_path / "ours.json"))
    assert (ours.key, ours.name, ours.scenario) == ("", "ours", LESSONS[0].scenario)
    with pytest.raises(ScenarioError, match="no-such cannot be read"):
        lesson("no-such")
    done = run(tmp_path, "lessons", "no-such")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "no-such cannot be read: No such file or directory\n"


def test_an_expectation_that_is_not_met_is_told_in_words_and_ends_with_1(tmp_path):
    """With its step and what was found instead; the steps after it are played all the same."""
    steps = [
        {"do": "write", "replica": "a", "stream": "party/1", "command": {"AddMoney": {"amount": 3}}},
        {"do": "expect", "stream": "party/1", "at": "/purse", "equals": 4, "say": "Is it four?"},
        {"do": "expect converged"},
    ]
    plain = {"version": 2, "app": ["demo.party:Party"], "replicas": ["a"], "rule": "Count.", "steps": steps}
    (tmp_path / "wrong.json").write_text(json.dumps(plain))
    done = run(tmp_path, "lessons", str(tmp_path / "wrong.json"))
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert lines[1] == "wrong"
    at = lines.index("Is it four?")
    assert lines[at + 1] == "  2 ✗ party/1/purse of all is 4   a reads 3"
    assert "  3 ✓ all have converged" in lines
    assert lines[-3:] == [
        "CONVERGED  and not as it should: step 2, party/1/purse of all is 4, but a reads",
        "3",
        "The rule  Count.",
    ]


# --- in a terminal ---


class Terminal:
    """A terminal of its own in which the demo runs: what it has shown, and keys."""

    def __init__(self, folder, *words, rows=24, columns=80):
        self._here, there = pty.openpty()
        fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        command, options = demo(folder, *words, stdin=there, stdout=there, stderr=there, start_new_session=True)
        options["env"] |= {"TERM": "xterm-256color"}
        self.before = termios.tcgetattr(there)
        self._there = there
        self.process = subprocess.Popen(command, **options)
        self.shown = ""

    def press(self, keys):
        os.write(self._here, keys.encode())

    def wait(self, words):
        """Read until some words have been shown since the last wait."""
        end = time.monotonic() + LONGEST
        while words not in self.shown:
            ready, _, _ = select.select([self._here], [], [], max(0, end - time.monotonic()))
            assert ready, f"{words!r} is not shown, but {self.shown[-2000:]}"
            self.shown += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", os.read(self._here, 65536).decode(errors="replace"))
        self.shown = self.shown.partition(words)[2]

    def ended(self):
        """Its exit code, once it is gone; the terminal is then as it was."""
        with contextlib.ExitStack() as stack:
            stack.callback(os.close, self._here)
            stack.callback(os.close, self._there)
            end = time.monotonic() + LONGEST
            while self.process.poll() is None and time.monotonic() < end:
                if select.select([self._here], [], [], 0.05)[0]:
                    os.read(self._here, 65536)
            assert termios.tcgetattr(self._there) == self.before
            return self.process.wait(timeout=1)


def children_of(process):
    """Ids of the replicas' processes."""
    return [int(one) for one in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def gone(pid):
    """Is a process gone? One that was ended and not waited for yet is."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_keys_alone_lead_from_the_menu_through_a_lesson_to_its_verdict(tmp_path):
    """Each step waits for its key; then the verdict with its rule, the menu where it is ticked off, and the end."""
    terminal = Terminal(tmp_path, "lessons")
    terminal.wait("Six lessons")
    terminal.press("3")
    terminal.wait("space next")
    replicas = children_of(terminal.process)
    assert len(replicas) == 3
    for number, step in enumerate(lesson("3").steps, 1):
        terminal.press(" " if number % 2 else "n")
        terminal.wait(f"step {number} of 13")
        terminal.wait(step.say.split(".")[0][:70])
    terminal.wait("CONVERGED  all 13 steps went as they should")
    terminal.wait("The rule  Adding wins")
    terminal.press("m")
    terminal.wait("✓")
    assert all(map(gone, replicas))
    terminal.press("q")
    assert terminal.ended() == 0
    assert [*tmp_path.iterdir()] == []


def test_a_lesson_that_runs_by_itself_is_quit_in_the_middle(tmp_path):
    """By Ctrl-C, which is a key there: the terminal is as it was, and no process and no file is left."""
    terminal = Terminal(tmp_path, "lessons", "2", rows=40, columns=120)
    terminal.wait("space next")
    terminal.press("r")
    terminal.wait("step 2 of 11")
    terminal.wait("✗ cut")
    replicas = children_of(terminal.process)
    assert len(replicas) == 3
    terminal.press("\x03")
    assert terminal.ended() == 0
    assert all(map(gone, replicas))
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGHUP], ids=lambda how: how.name)
def test_whoever_interrupts_a_lesson_leaves_nothing_behind(how, tmp_path):
    """Ctrl-C in a pipe, or a terminal that is closed: no traceback of anybody, no process, no file; 130."""
    command, options = demo(tmp_path, "lessons", "1", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process = subprocess.Popen(command, start_new_session=True, **options)
    assert any(line.startswith("  1   alice") for line in process.stdout), "it has begun"
    replicas = children_of(process)
    os.killpg(process.pid, how)
    _, said = process.communicate(timeout=LONGEST)
    assert (process.returncode, said) == (130, "")
    assert len(replicas) == 3
    assert all(map(gone, replicas))
    assert [*tmp_path.iterdir()] == []


# --- pictures ---


async def moments(one):
    """All moments of a lesson, played in this process, and the report."""
    player = Player(one.scenario, Alone(load(one.scenario.app)[0]))
    found = [await player.begin()]
    while not found[-1].over:
        found.append(await player.step())
    return found, await player.report()


def drawn(what, width, height, **options):
    file = io.StringIO()
    console = Console(file=file, width=width, height=height, **options)
    console.print(what, height=height)
    return file.getvalue()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (50, 18)])
def test_every_picture_fits_its_terminal(width, height):
    """Header and keys are in sight in all of them, and at 80 columns every replica to the last line of its card."""
    for one in LESSONS:
        played, report = asyncio.run(moments(one))
        for before, moment in zip([None, *played], played, strict=False):
            end = report if moment.over else None
            lines = drawn(picture(one, moment, before, [], end, width), width, height).split("\n")
            assert len(lines) <= height + 1
            assert max(map(len, lines)) <= width
            assert f"step {moment.number} of {moment.total}" in lines[0]
            assert lines[height - 1].startswith(" space next")
            if width >= 80:
                assert any(line.count("╰") == sum(one.up for one in moment.replicas) for line in lines)
                assert not moment.over or any("CONVERGED" in line for line in lines)
    for other in (menu({"last-piece": False}, width, height), starting(LESSONS[0], width)):
        lines = drawn(other, width, height).split("\n")
        assert len(lines) <= height + 1
        assert "q quit" in lines[height - 1]


def test_without_colour_the_same_is_said():
    """NO_COLOR: no colour is in it, and every sign and word is."""
    one = lesson("crash-during-sync")
    played, _ = asyncio.run(moments(one))
    what = picture(one, played[8], played[7], [], None, 80)
    plain = drawn(what, 80, 24)
    coloured = drawn(what, 80, 24, force_terminal=True, color_system="standard", _environ={"NO_COLOR": "1"})
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", coloured)
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain
    assert "killed" in plain


def test_a_link_is_drawn_as_it_is():
    """Whole, cut, open in one direction (as seen from the left), slow, lossy; nothing where an end is down."""
    shut = Way(open=False)
    assert look_of(Ways(), True, alive=True)[:2] == ("━", "")
    assert look_of(Ways(shut, shut), True, alive=True)[1] == "✗ cut"
    assert look_of(Ways(shut, Way()), True, alive=True)[1] == "◀ one way"
    assert look_of(Ways(shut, Way()), False, alive=True)[1] == "▶ one way"
    assert look_of(Ways(Way(delay=30), shut), True, alive=True)[1] == "▶ one way 30 ms"
    assert look_of(Ways(Way(loss=0.5), Way(reorder=0.1)), True, alive=True)[1] == "loses 50% unruly"
    assert look_of(Ways(), True, alive=False)[:2] == (" ", "")


def test_behind_and_ahead_are_counted_in_events():
    """By what all have said last, whoever was killed since; those that hold the same have one colour."""
    views = {"a": View({"a": 3}, 0), "b": View({"a": 1, "b": 2}, 0), "c": View({"a": 1, "b": 2}, 0)}
    found = standings(views, {"b": views["b"], "c": views["c"]})
    assert [(one.name, one.up, one.behind, one.ahead) for one in found] == [
        ("a", False, 2, 2), ("b", True, 2, 2), ("c", True, 2, 2),
    ]  # fmt: skip
    colours = hues(found)
    assert colours["b"] == colours["c"] != colours["a"]
    assert set(hues(found[1:]).values()) == {"green"}


def test_a_moment_shows_who_reads_what_and_what_comes_next():
    """A rename on both sides of a cut: two groups; then the heal, and one."""
    one = lesson("concurrent-rename")
    played, report = asyncio.run(moments(one))
    assert presents(one, played[4]) == [
        "alice (2 behind, 1 ahead)  name Garden party", "bob carol (1 behind, 2 ahead)  name Pool party",
    ]  # fmt: skip
    assert played[0].number == 0
    assert played[6].coming is one.steps[6]
    assert presents(one, played[7]) == ["alice bob carol (up to date)  name Pool party"]
    assert all(link.ways.whole for link in played[7].links)
    assert report == play(one.scenario)
    wrong = Report("", (msgspec.structs.replace(report.steps[4], held=False, came="alice reads 'x'"),), {})
    assert "but alice reads 'x'" in verdict(one, wrong).plain


def test_a_scenario_without_a_rule_is_read_and_written_as_before():
    """The field is optional: files that were written before it was there are the same files."""
    text = '{"version": 2,\n "replicas": ["a"],\n "steps": []}\n'
    assert Scenario.from_json(text).rule == ""
    assert Scenario.from_json(text).to_json() == text
    ruled = msgspec.structs.replace(Scenario.from_json(text), title="T", rule="R")
    assert Scenario.from_json(ruled.to_json()) == ruled
    assert ruled.to_json().index('"title"') < ruled.to_json().index('"rule"') < ruled.to_json().index('"replicas"')
