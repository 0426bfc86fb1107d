"""The command line, through a real terminal: what people see, what programs read, and how it ends."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from replica import Replica
from replica.graph import ASCII, Graph
from sync import connect
from sync.cli import main, parser
from sync.formats import SHIVIZ
from tests.crooked import crooked
from tests.loop import in_loop, until
from tests.scenario import files
from tests.shop import HOME, AddItem, Journal, ShoppingList

ROOT = Path(__file__).parent.parent
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
COMMAND = [sys.executable, "-m", "sync.cli"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The scenario's files; nothing in here changes them."""
    made = tmp_path_factory.mktemp("scenario")
    asyncio.run(files(made))
    return made


class Terminal:
    """A process whose output goes to a terminal of so many columns."""

    def __init__(self, *words, columns=200, app="tests.shop", program=None, **env):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.process = subprocess.Popen(
            program or [*COMMAND, *map(str, words)], cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs,
            env={**ENVIRONMENT, "ANABRANCH_APP": app, "PYTHONUTF8": "1", "TERM": "xterm", **env},
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(theirs)
        self._ours, self.text = ours, ""

    def read_until(self, found, seconds=20):
        end = time.monotonic() + seconds
        while not re.search(found, self.text):
            assert time.monotonic() < end, self.text
            self._read()
        return self.text

    def _read(self):
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # the other end is closed
            data = b""
        self.text += data.decode().replace("\r\n", "\n")
        return bool(data)

    def type(self, keys):
        os.write(self._ours, keys)

    def end(self):
        """The exit code, and all that was shown."""
        while self._read():
            pass
        os.close(self._ours)
        return self.process.wait(20), self.text


def shown(*words, **options):
    """What a command leaves in a terminal; it must end well. A bar that is shown for a while leaves nothing."""
    code, text = Terminal(*words, **options).end()
    assert code == 0, text
    return re.sub("\r[^\r\n]*\x1b\\[K", "", text)


def piped(*words, code=0, app="tests.shop"):
    """What a command writes where there is no terminal."""
    env = {**os.environ, "ANABRANCH_APP": app}
    done = subprocess.run(
        [*COMMAND, *map(str, words)], cwd=ROOT, capture_output=True, text=True, timeout=60, env=env
    )
    assert done.returncode == code, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    return done.stderr if code else done.stdout


GRAPH = """\
●        alice:1  2026-01-01T00:00:01.000Z  introduces itself
●        alice:2  2026-01-01T00:00:01.000Z  list/home  ItemAdded(item='milk')
●        alice:3  2026-01-01T00:00:02.000Z  list/home  TitleGiven(title='Food')
●        alice:4  2026-01-01T00:00:03.000Z  list/home  NoteEdited(update=<25 bytes>)
●        alice:5  2026-01-01T00:00:04.000Z  list/home  TitleGiven(title='Thursday')
├──●     bob:1  2026-01-01T00:00:05.000Z  introduces itself  (seen alice:4)
│  ●     bob:2  2026-01-01T00:00:05.000Z  list/home  TitleGiven(title='Friday')
│  ●     bob:3  2026-01-01T00:00:06.000Z  list/home  ItemRemoved(item='milk')
●  │     alice:6  2026-01-01T00:00:07.000Z  list/home  ItemAdded(item='milk')
│  ●     bob:4  2026-01-01T00:00:08.000Z  list/home  Counted(amount=3)
●  │     alice:7  2026-01-01T00:00:09.000Z  list/home  Counted(amount=2)
│  ●     bob:5  2026-01-01T00:00:10.000Z  list/home  NoteEdited(update=<29 bytes>)
├──┼──●  carol:1  2026-01-01T00:00:11.000Z  introduces itself
●──┤  │  alice:8  2026-01-01T00:00:11.000Z  list/home  TitleGiven(title='Sunday')
│     ●  carol:2  2026-01-01T00:00:11.000Z  list/home  ItemAdded(item='tea')
│     │  carol:3  2026-01-01T00:00:11.000Z  list/home  ItemAdded(item="tea'")
│     ●  carol:4  2026-01-01T00:00:12.000Z  list/home  TitleGiven(title='Monday')
●─────┤  alice:9  2026-01-01T00:00:13.000Z  journal/day  Noted(line='all have met')
"""


def test_the_graph_of_the_log(folder):
    """Word for word: one lane a replica, parting and meeting."""
    assert shown("log", folder / "alice.db", "--graph") == GRAPH


def test_the_graph_fits_its_terminal(folder):
    """Lines end where a narrow terminal does; without its signs there is ASCII; a pipe gets whole lines."""
    narrow = shown("log", folder / "alice.db", "--graph", columns=40).splitlines()
    assert [line[:40] for line in GRAPH.splitlines()] == narrow
    ascii_only = shown("log", folder / "alice.db", "--graph", PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    table = str.maketrans("●│─┼├┤", "*|-+++")
    assert ascii_only == GRAPH.translate(table)
    assert piped("log", folder / "alice.db", "--graph") == GRAPH


def test_log_is_filtered(folder):
    """By stream, category, type, replica, and between two pasts; the last few."""
    dots = lambda *words: [line.split()[0] for line in piped("log", folder / "alice.db", *words).splitlines()]  # noqa: E731
    everything = dots()
    assert dots("--stream", "journal") == dots("--stream", "journal/day") == ["alice:9"]
    assert dots("--type", "TitleGiven", "--replica", "alice") == ["alice:3", "alice:5", "alice:8"]
    assert dots("--after", "alice:4", "--at", "bob:2^") == ["bob:1"]
    assert dots("--after", "bob:2^", "--at", "bob:2") == ["bob:2"]
    assert dots("-n", "3") == everything[-3:]


def test_show_has_three_uses(folder):
    """The streams, a present, an event."""
    alice = folder / "alice.db"
    assert shown("show", alice) == "journal/day\nlist/home\n"
    assert shown("show", alice, HOME, "--at", "bob:2") == (
        "list/home at alice:4 bob:2\n  items  {'milk'}\n  title  'Friday'\n  count  0\n  note   'hello'\n"
    )
    assert shown("show", alice, "carol:4") == (
        "event        carol:4 TitleGiven(title='Monday')\nstream       list/home\n"
        "recorded     2026-01-01T00:00:12.000Z\nobserved     alice:7 bob:5 carol:3\n"
        "command      rename\ncorrelation  plan\n"
    )
    assert json.loads(piped("show", alice, HOME, "--json"))["present"]["items"] == ["milk", "tea", "tea'"]


def test_at_names_a_past(folder):
    """In the words that everything prints, at a wall time, before an event."""
    alice = folder / "alice.db"
    assert shown("at", alice, "bob:3^") == "alice:4 bob:2\n"
    assert shown("at", alice, "2026-01-01T00:00:03Z") == "alice:4\n"
    assert "title  'Friday'" in shown("at", alice, "bob:2", HOME)
    words = json.loads(piped("at", alice, "bob:2", "--json"))
    assert words["cut"] == "alice:4 bob:2"
    assert sorted(words["version"].values()) == [2, 4]


def test_history_says_what_was_not_seen(folder):
    """Causes first; of two that had not seen each other the second says so."""
    lines = shown("history", folder / "alice.db", HOME, "--type", "TitleGiven").splitlines()
    assert (
        lines[2]
        == "bob:2  2026-01-01T00:00:05.000Z  list/home  TitleGiven(title='Friday')  (not having seen alice:5)"
    )
    found = [json.loads(line) for line in piped("history", folder / "alice.db", HOME, "--json").splitlines()]
    assert found[0]["fields"] == {"item": "milk"}
    assert [one["concurrent"] for one in found if one["dot"] == "bob:2"] == [["alice:5"]]


def test_diff_names_places_and_events(folder):
    """Between two pasts; now unless a second one is named."""
    assert shown("diff", folder / "alice.db", HOME, "bob:2", "bob:3") == (
        "list/home: alice:4 bob:2 -> alice:4 bob:3\n- items/milk\n  bob:3 ItemRemoved(item='milk')\n"
    )
    found = json.loads(piped("diff", folder / "alice.db", HOME, "alice:8", "--json"))
    assert {"path": ["items", "tea"], "after": True} in found["changes"]


MILK = """\
list/home  items/milk = True
  rule     add wins: an element stays in unless every adding of it was seen by a removal
  read     alice:6  2026-01-01T00:00:07.000Z  added, not having seen bob:3
  lost     bob:3  2026-01-01T00:00:06.000Z  removed, not having seen alice:6
  earlier  alice:2  2026-01-01T00:00:01.000Z  added
"""
TITLE = """\
list/home  title = 'Monday'
  rule     last writer wins: of writes that had not seen each other, the one with the greatest stamp is read
  read     carol:4  2026-01-01T00:00:12.000Z  wrote 'Monday', not having seen alice:8
  lost     alice:8  2026-01-01T00:00:11.000Z  wrote 'Sunday', not having seen carol:4
  earlier  alice:3  2026-01-01T00:00:02.000Z  wrote 'Food'
  earlier  alice:5  2026-01-01T00:00:04.000Z  wrote 'Thursday'
  earlier  bob:2  2026-01-01T00:00:05.000Z  wrote 'Friday'
"""


def test_explain_and_conflicts(folder):
    """Word for word, and as JSON."""
    alice = folder / "alice.db"
    assert shown("explain", alice, HOME, "title") == TITLE
    assert shown("conflicts", alice) == MILK + "\n" + TITLE
    found = json.loads(piped("explain", alice, HOME, "title", "--json"))
    assert [one["dot"] for one in found["lost"]] == ["alice:8"]
    assert shown("conflicts", alice, "--at", "alice:4") == "no conflict stands open\n"
    assert "list/home  items/milk = True" in shown("conflicts", alice, HOME, "--at", "alice:7 bob:5")


def test_fork_and_join(folder, tmp_path):
    """A fork at a cut is a replica's file like any other; what is joined is told, once."""
    new = tmp_path / "what-if.db"
    assert shown("fork", folder / "alice.db", new, "--at", "alice:5") == f"{new} begins at alice:5 (5 events)\n"
    assert "replica  what-if (" in shown("status", new)
    told = shown("join", new, folder / "bob.db")
    assert told.startswith("joined bob: 7 events in 1 stream came in\nnow at alice:7 bob:5\n")
    assert shown("join", new, folder / "bob.db") == "joined bob: 0 events in 0 streams came in\n"
    found = json.loads(piped("join", new, folder / "carol.db", "--json"))
    assert (found["other"], found["events"], found["streams"][HOME]) == ("carol", 4, 3)


def test_backup_and_restore(folder, tmp_path):
    """A file that is copied right, and put in place; what lay there is kept."""
    copy, place = tmp_path / "copy.db", tmp_path / "place.db"
    made = shown("backup", folder / "alice.db", copy)
    assert made.startswith(f"{copy} holds alice:")
    assert shown("restore", copy, place) == made.replace(str(copy), str(place))
    assert f"what was there is {place}.replaced" in shown("restore", copy, place, "--replace")


def test_a_file_of_another_store_is_joined_by_an_explicit_word(folder, tmp_path):
    """Refused in words that say how; then the two are one."""

    async def garden():
        async with Replica.open(
            tmp_path / "rose.db", store="garden", name="rose", aggregates=[ShoppingList]
        ) as rose:
            await rose.execute(HOME, AddItem("spade"))

    asyncio.run(garden())
    copy = tmp_path / "copy.db"
    shown("fork", folder / "alice.db", copy)
    assert "`become_one=True` makes one of the two" in piped("join", copy, tmp_path / "rose.db", code=5)
    told = shown("join", copy, tmp_path / "rose.db", "--become-one")
    assert told.startswith("joined rose: 2 events in 1 stream came in\n")
    assert "one store from now on with garden" in told
    assert "'spade'" in shown("show", copy, HOME)


def test_verify_finds_what_was_changed(folder, tmp_path):
    """A file that is well; then one byte of an event, and one of a snapshot's like, changed on disk."""
    assert shown("verify", folder / "alice.db") == "well: 3 blocks, 2 streams, 0 snapshots, 0 tables\n"
    assert "name the aggregates with --app" in shown("verify", folder / "alice.db", app="")
    copy = tmp_path / "copy.db"
    data = (folder / "alice.db").read_bytes()
    assert data.count(b"Thursday") == 1
    copy.write_bytes(data.replace(b"Thursday", b"Saturday"))
    code, text = Terminal("verify", copy).end()
    assert code == 1
    assert text.startswith("the log of alice is damaged after alice:0: ")
    assert text.endswith("differs: 2 blocks, 0 streams, 0 snapshots, 0 tables\n")
    assert len(json.loads(subprocess.run(
        [*COMMAND, "verify", str(copy), "--json"], cwd=ROOT, capture_output=True, text=True, timeout=60
    ).stdout)["differences"]) == 1  # fmt: skip


def test_status_says_who_takes_part(folder):
    """Store, version, members, and who has the file open."""
    text = shown("status", folder / "alice.db")
    assert re.search(r"version  alice:9 bob:5 carol:4\n", text)
    assert "open in  no process" in text
    assert "member   alice, here" in text
    found = json.loads(piped("status", folder / "alice.db", "--json"))
    assert (found["store"], found["name"], found["open_in"]) == ("shop", "alice", None)


@contextmanager
def serving(*words, **options):
    """A replica that is served in a terminal; ended by Ctrl-C."""
    terminal = Terminal("serve", *words, **options)
    try:
        url = re.search(r"ws://\S+?(?=,)", terminal.read_until("Ctrl-C ends it"))[0]
        yield terminal, url
        terminal.type(b"\x03")
        code, text = terminal.end()
        assert code == 0, text
        assert re.search(r"ended at .*\n$", text)
    finally:
        if terminal.process.poll() is None:
            terminal.process.kill()


def test_a_served_replica_is_read_beside_and_met(folder, tmp_path):
    """Reading commands work beside it; writing ones say who holds the file; a new file meets it and is like it."""
    other = tmp_path / "dora.db"
    copy = tmp_path / "alice.db"
    assert shown("fork", folder / "alice.db", copy, "--name", "alice2")
    with serving(copy) as (terminal, url):
        pid = terminal.process.pid
        assert f"open in  process {pid}" in shown("status", copy)
        assert "title  'Monday'" in shown("show", copy, HOME)
        assert shown("verify", copy).startswith("well: ")
        assert f"is open for writing in process {pid}" in piped("join", copy, folder / "bob.db", code=4)
        text = shown("sync", other, url, "--store", "shop", "--name", "dora")
        assert text == "in step with alice2: 18 events came in, now at alice:9 bob:5 carol:4\n"
        assert json.loads(piped("sync", other, url, "--json"))["events"] == 0
        terminal.read_until("dora in sync")
    assert shown("show", other, HOME) == shown("show", copy, HOME)


@in_loop
async def test_who_serves_is_told_of_a_peer_that_reads_differently(folder, tmp_path):
    """Two processes, one link, and the same code, which does not do the same: told once, with stream and event."""
    path = tmp_path / "alice.db"
    assert await asyncio.to_thread(shown, "fork", folder / "alice.db", path)
    app = "tests.crooked:HearingList,tests.crooked:HearingJournal"
    with serving(path, app=app, columns=999) as (terminal, url):
        async with Replica.open(store="shop", name="zoe", aggregates=crooked("Monday")) as zoe, connect(zoe, url):
            words = r"ALARM list/home reads differently here and at zoe, from (\S+) TitleGiven on"
            await asyncio.to_thread(terminal.read_until, words)
            (event,) = re.findall(words, terminal.text)
            await until(lambda: zoe.status().divergences)
            (alarm,) = zoe.status().divergences
            assert (alarm.stream, str(alarm.event)) == (HOME, event)
            record = await zoe.record(alarm.event)
            assert record.event.title == "Monday"
    assert f"from {event} TitleGiven on" in await asyncio.to_thread(shown, "status", path, columns=9999, app=app)


def test_export_to_other_tools(folder):
    """JSON lines; ShiViz by its documented format; Mermaid as a sequence diagram."""
    alice = folder / "alice.db"
    lines = [json.loads(line) for line in shown("export", alice, "--format", "jsonl", columns=9999).splitlines()]
    assert len(lines) == 18
    assert piped("export", alice, "--format", "mermaid").startswith(
        "sequenceDiagram\n    participant r0 as alice\n"
    )
    text = piped("export", alice, "--format", "shiviz")
    expression, delimiter, rest = text.split("\n", 2)
    assert (expression, delimiter) == (SHIVIZ, "")
    python = re.compile(expression.replace("(?<", "(?P<"))
    found = [*python.finditer(rest)]
    assert len(found) == 18
    assert python.sub("", rest).strip() == ""
    last = {}
    for one in found:
        host, clock = one["host"], json.loads(one["clock"])
        assert clock[host] == last.get(host, 0) + 1, "the clock of a host begins with 1 and goes up by 1"
        assert all(clock[other] <= last[other] for other in clock if other != host), "causes come first"
        last[host] = clock[host]


ERRORS = [
    (["log", "none.db"], 5, "there is no file"),
    (["log", "README.md"], 5, "cannot be opened as a store"),
    (["show", "alice.db", "list/hmoe"], 3, "is it list/home?"),
    (["log", "alice.db", "--replica", "zoe"], 3, "has not heard of a replica 'zoe'"),
    (["show", "alice.db", "zoe:1"], 3, "has not heard of a replica 'zoe'"),
    (["show", "alice.db", "milk"], 3, "no event of milk is in this file"),
    (["show", "alice.db", "alice:x"], 3, "no event of alice:x is in this file"),
    (["explain", "alice.db", HOME, "titel"], 3, "has no titel (there is: items"),
    (["at", "alice.db", "alice:99"], 3, "has not observed alice:99"),
    (["at", "alice.db", "yesterday"], 2, "does not name a past"),
    (["show", "alice.db", HOME, "--app", "nowhere"], 2, "nowhere cannot be imported"),
    (["show", "alice.db", HOME, "--app", "json"], 2, "names no aggregate"),
    (["fork", "alice.db", "bob.db"], 5, "is there already"),
    (["join", "alice.db", "none.db"], 5, "there is no file"),
    (["serve", "none.db"], 2, "(--store, --name)"),
    (["sync", "carol.db", "http://x"], 2, "is no address of a peer"),
    (["sync", "carol.db", "ws://127.0.0.1:1", "--timeout", "0.2"], 6, "are not in step after 0.2 s"),
]


@pytest.mark.parametrize(
    ("words", "code", "says"), ERRORS, ids=lambda one: " ".join(one) if isinstance(one, list) else ""
)
def test_what_cannot_be_done_is_said_in_a_sentence(folder, capsys, monkeypatch, words, code, says):
    """One line on standard error, a code of its own, no traceback."""
    monkeypatch.delenv("ANABRANCH_APP", raising=False)
    words = [
        str(folder / word) if word.endswith(".db") else str(ROOT / word) if word == "README.md" else word
        for word in words
    ]
    if "--app" not in words:
        words += ["--app", "tests.shop"]
    assert main(words) == code
    said = capsys.readouterr()
    assert says in said.err
    assert said.err.startswith("anabranch: ")
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_presents_want_the_code_that_folds_them(folder):
    """Without it the error says how to name it; history does without."""
    said = piped("show", folder / "alice.db", HOME, code=3, app="")
    assert said.startswith("anabranch: no aggregate folds the stream 'list/home' here")
    assert said.endswith("Here that is: --app MODULE[:CLASS].\n")
    assert len(shown("history", folder / "alice.db", HOME, app="").splitlines()) == 14


def test_what_others_wrote_does_nothing_to_a_terminal(tmp_path):
    """Names of streams, types and replicas that would move the cursor or change colours are shown without that."""

    async def write():
        async with Replica.open(
            tmp_path / "odd.db", store="shop", name="o\x1b[31mdd", aggregates=[ShoppingList]
        ) as odd:
            await odd.execute("list/\x1b[2Jgone:1", AddItem("\x1b[1m"))

    asyncio.run(write())
    for words in (["log", "--graph"], ["show"], ["status"], ["conflicts"], ["show", "list/\x1b[2Jgone:1"]):
        text = shown(words[0], tmp_path / "odd.db", *words[1:])
        assert "\x1b" not in text
    assert "items  {'\\x1b[1m'}" in text


def test_every_command_is_tested_and_explained():
    """Each has a line of help, and is run in here by a terminal of its own."""
    help_text = shown("--help")
    source = Path(__file__).read_text()
    commands = next(action for action in parser()._actions if action.dest == "command").choices
    for name in commands:
        assert re.search(rf"^    {name}\s+\S", help_text, re.M)
        assert re.search(rf'(shown|Terminal)\("{name}"', source), f"no test runs {name} in a terminal"


def test_the_shape_of_json_is_printed():
    """For programs that read what the commands print; see tests/test_json.py."""
    assert json.loads(shown("schema"))["$defs"]


def test_what_stops_nothing_is_not_set_aside(folder, tmp_path):
    """Else a slip of the hand hides an event. (What it does is in tests/test_aside.py.)"""
    shutil.copy(folder / "alice.db", tmp_path / "alice.db")
    code, text = Terminal("set-aside", tmp_path / "alice.db", "bob:2").end()
    assert (code, text.count("\n")) == (1, 1)
    assert "no event stops list/home here" in text


def test_a_token_may_stand_in_a_file(tmp_path):
    """The command line can be read by others on the machine, so it has no token."""
    (tmp_path / "token").write_text("secret\n")
    (tmp_path / "other").write_text("another\n")
    words = "--store", "shop", "--name", "zoe", "--timeout", "5"
    hub = "--token-file", tmp_path / "token", "--store", "shop", "--name", "hub"
    with serving(tmp_path / "hub.db", *hub) as (_, url):
        piped("sync", tmp_path / "zoe.db", url, *words, "--token-file", tmp_path / "token")
        wrong = piped("sync", tmp_path / "zoe.db", url, *words, "--token-file", tmp_path / "other", code=6)
    assert "asks for another token" in wrong


def test_a_long_work_shows_how_far_it_has_come():
    """A bar where standard error is a terminal, gone when the work is done; nothing where it is none."""
    work = "with Bar('copying') as bar:\n    time.sleep(0.11)\n    bar(512, 2048)"
    program = f"import time\nfrom sync.terminal import Bar\n{work}\nprint('done')"
    code, text = Terminal(program=[sys.executable, "-c", program]).end()
    assert (code, text) == (0, "\rcopying [#######-----------------------] 512 of 2,048\x1b[K\r\x1b[Kdone\n")
    quiet = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert (quiet.stdout, quiet.stderr) == ("done\n", "")


def test_whoever_reads_may_stop_reading(folder):
    """`anabranch log ... | head -1` ends without a complaint."""
    reading = subprocess.Popen(
        [*COMMAND, "export", str(folder / "alice.db"), "--format", "jsonl"], cwd=ROOT, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    reading.stdout.close()
    assert reading.stderr.read() == b""
    reading.stderr.close()
    assert reading.wait(20) == 0


@in_loop
async def test_lanes_end_and_their_place_is_taken(tmp_path):
    """Ten replicas that come and go one after the other need two lanes, not ten."""
    async with Replica.open(store="shop", name="hub", aggregates=[ShoppingList, Journal]) as hub:
        await hub.execute(HOME, AddItem("0"))
        for number in range(9):
            async with Replica.open(store="shop", name=f"guest{number}", aggregates=[ShoppingList]) as guest:
                await guest.join(hub)
                await guest.execute(HOME, AddItem(f"{number}"))
                await hub.join(guest)
                await hub.execute(HOME, AddItem(f"{number}+"))
        graph = Graph({int(dot.replica): dot.seq for dot in hub.version}, ASCII)
        lines = [line async for decision in hub.commits() for line, _ in graph.draw(decision)]
    assert lines == ["*", "*", *["+--*", "|  *", "*--+"] * 9]
