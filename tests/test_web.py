"""The demo network and its server, without a browser: real processes, a real socket, real signals."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from demo.web.contract import Apart, Delivered, Event
from demo.web.ledger import Ledger
from demo.web.story import PORT
from tests.web import LONGEST, ROOT, Demo, Failed, Page, demo

THREE = ("alice", "bob", "carol")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with demo(tmp_path_factory.mktemp("web"), "--port", "0") as started:
        with Page(started.url) as page:
            for name in THREE:
                page.write(name, "AddMoney", amount=10)  # each has introduced itself
        yield started


@pytest.fixture
def page(running: Demo) -> Iterator[Page]:
    """A page of three replicas that are up, linked and of one mind."""
    with Page(running.url) as page:
        page.ask("stop") if page.lesson else None
        page.ask("heal")
        for name, one in [*page.replicas.items()]:
            if not one["up"]:
                page.ask("restart", replica=name)
        yield page.converged()


def gone(pid: int) -> bool:
    """No process of that number, or one that has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def eventually(holds) -> bool:
    """Does something come to hold?"""
    end = time.monotonic() + LONGEST
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


# --- who may ask ---


def asked(running: Demo, path: str, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=LONGEST)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.putrequest("GET", path, skip_host="Host" in given)
    for name, value in given.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    answer.body = answer.read()
    connection.close()
    return answer


UPGRADE = {
    "Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13",
    "Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}  # fmt: skip


def test_the_page_is_for_who_has_the_token(running):
    """The printed address works; without the token, or with another one, nothing is told."""
    assert asked(running, f"/?token={running.token}").status == 200
    for path in ("/", "/?token=", f"/?token={running.token}x", f"/?token={running.token}&token=x", "/feed"):
        refused = asked(running, path)
        assert refused.status == 403
        assert b"token" in refused.body
    assert asked(running, "/static/../server.py").status == 404
    assert asked(running, "/server.py").status == 404


def test_the_page_answers_to_its_own_name_alone(running):
    """A name that somebody bent to this machine (DNS rebinding) gets nothing, even with the token."""
    for host in ("evil.example", f"evil.example:{running.port}", "127.0.0.1", f"127.0.0.1:{running.port + 1}", ""):
        assert asked(running, f"/?token={running.token}", Host=host).status == 421
    assert asked(running, f"/?token={running.token}", Host=f"localhost:{running.port}").status == 200


def test_the_feed_is_for_its_own_page_alone(running):
    """A page of another origin, or no page, opens no feed; with the right origin and token one does."""
    path, own = f"/feed?token={running.token}", f"http://127.0.0.1:{running.port}"
    for origin in ("http://evil.example", "null", f"https://127.0.0.1:{running.port}", "http://127.0.0.1:1"):
        assert asked(running, path, Origin=origin, **UPGRADE).status == 403
        assert asked(running, "/static/main.js", Origin=origin).status == 403
    assert asked(running, path, **UPGRADE).status == 403
    assert asked(running, "/feed?token=x", Origin=own, **UPGRADE).status == 403
    assert asked(running, path, Origin=own, **UPGRADE).status == 101


def test_the_page_may_load_nothing_from_elsewhere(running):
    """A strict policy on every answer, nothing kept, nothing guessed; the page itself has no script inline."""
    for path in (f"/?token={running.token}", "/static/main.js", "/static/style.css", "/nothing"):
        answer = asked(running, path)
        policy = answer.headers["Content-Security-Policy"].split("; ")
        assert {"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"} < {*policy}
        assert not any(word in one for one in policy for word in ("unsafe", "*", "https:"))
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert asked(running, "/static/main.js").headers["Content-Type"].startswith("text/javascript")


def test_the_server_listens_on_loopback_alone(running):
    """No other address of this machine leads to the page."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    listening = [line.split()[1] for line in lines if line.split()[3] == "0A"]
    assert [one for one in listening if one.endswith(f":{running.port:04X}")] == [f"0100007F:{running.port:04X}"]


def test_what_is_no_request_is_refused_in_words(page):
    """Another kind, a missing field, a wrong type, no such replica: an answer each, and the feed goes on."""
    for do, fields, words in (
        ("dance", {}, "dance"),
        ("kill", {}, "replica"),
        ("at", {"replica": "alice", "index": "x"}, "index"),
        ("kill", {"replica": "zoe"}, "there is no replica 'zoe'"),
        ("link", {"a": "alice", "b": "bob", "state": "mended"}, "mended"),
        ("link", {"a": "alice", "b": "alice", "state": "up"}, "no link"),
        ("restart", {"replica": "alice"}, "alice is up"),
        ("write", {"replica": "alice", "command": "Dance"}, "Dance"),
        (
            "write",
            {"replica": "alice", "command": "RemoveItem", "fields": {"item": "pearls"}},
            "there is no pearls",
        ),
        ("next", {}, "no lesson"),
        ("lesson", {"name": "none"}, "no lesson"),
        ("lesson", {"scenario": "{}"}, "version"),
    ):
        with pytest.raises(Failed, match=words):
            page.ask(do, **fields)
    assert page.write("alice", "AddMoney", amount=1)


def test_events_are_told_as_they_were_recorded(page):
    """Type, stream, payload and context; an id of 64 bits comes as text, since a browser would round it."""
    page.write("bob", "AddMoney", amount=2)
    page.converged()
    [dot] = page.write("alice", "AddItem", item="pears")
    first, last = page.logs["alice"][0], page.logs["alice"][-1]
    assert (first["event"], first["payload"]["name"]) == ("ReplicaIntroduced", "alice")
    assert int(first["payload"]["replica"]) == int(first["stream"].partition("/")[2], 16)
    assert isinstance(first["payload"]["replica"], str)
    assert (f"alice:{last['seq']}", last["event"], last["payload"]) == (dot, "ItemAdded", {"item": "pears"})
    assert last["stream"] == "party/summer"
    assert last["context"]["bob"] == len(page.logs["bob"])
    assert "alice" not in last["context"]


# --- what is made of reports ---


def event(dot: str, wall: int, seen: dict[str, int] | None = None, counter: int = 0) -> Event:
    """An event as its process tells of it: an item is added."""
    name, _, seq = dot.partition(":")
    payload = {"item": f"{name} {seq}"}
    return Event(name, int(seq), "party/1", "ItemAdded", payload, (wall, counter, ord(name[0])), seen or {}, None)


def test_an_event_that_somebody_else_tells_of_stands_behind_its_causes():
    """Bob tells of alice's event before she does. She had seen carol's, it says: so that was delivered before."""
    ledger = Ledger()
    for name in THREE:
        ledger.begins(name)
    carols, alices = event("carol:1", 1), event("alice:1", 2, {"carol": 1})
    ledger.tells("bob", [carols, alices], time=9)
    assert ledger.moments == [
        carols, Delivered("alice", "carol", 1, 1, 9), alices, Delivered("bob", "carol", 1, 1, 9),
        Delivered("bob", "alice", 1, 1, 9),
    ]  # fmt: skip
    before = [*ledger.moments]
    ledger.tells("alice", [carols, alices], time=10)
    ledger.tells("bob", [carols, alices], time=11)
    assert ledger.moments == before, "told again, nothing is new"


def test_versions_say_who_lacks_what_and_where_it_shows():
    """Behind, ahead, the places that are not shared, and each two that are apart; also as it goes on, and heals."""
    ledger = Ledger()
    ledger.tells("alice", [event("alice:1", 1), event("alice:2", 2)], 0)
    ledger.tells("bob", [event("alice:1", 1), event("bob:1", 3)], 0)
    assert (ledger.lacks("bob", ["alice"]), ledger.leads("bob", ["alice"])) == (1, 1)
    assert ledger.unshared("alice", ["bob"]) == ["items/alice 2"]
    assert ledger.apart(["alice", "bob"]) == [Apart("alice", "bob", 1, 1)]
    ledger.tells("alice", [event("alice:3", 4)], 0)
    assert ledger.unshared("alice", ["bob"]) == ["items/alice 2", "items/alice 3"]
    ledger.tells("bob", [event("alice:2", 2)], 0)
    assert ledger.unshared("alice", ["bob"]) == ["items/alice 3"]
    ledger.tells("bob", [event("alice:3", 4)], 0)
    ledger.tells("alice", [event("bob:1", 3)], 0)
    assert ledger.unshared("alice", ["bob"]) == []
    assert ledger.apart(["alice", "bob"]) == []


def test_a_place_of_the_slider_has_whole_decisions():
    """The first events by stamp, of those that the replica holds; a decision with two events is not cut in two."""
    ledger = Ledger()
    ledger.tells("alice", [event("alice:1", 1), event("alice:2", 5), event("alice:3", 5)], 0)
    ledger.tells("bob", [event("alice:1", 1), event("bob:1", 3)], 0)
    assert ledger.past("alice", 1) == ({"alice": 1}, 1, 3)
    assert ledger.past("alice", 2) == ({"alice": 3}, 3, 3)
    assert ledger.past("bob", 99) == ({"alice": 1, "bob": 1}, 2, 2)
    assert ledger.past("bob", -1) == ({}, 0, 2)


# --- parting and meeting ---


def test_two_halves_write_on_and_meet(page):
    """Split, written on both sides: apart by so many events, marked as unshared; healed: one digest everywhere."""
    page.ask("split")
    assert {pair: state for pair, state in page.links.items() if state == "down"} == {
        ("alice", "bob"): "down", ("alice", "carol"): "down",
    }  # fmt: skip
    page.write("alice", "AddItem", item="figs")
    page.write("bob", "AddItem", item="dates")
    page.write("bob", "NameParty", name="Picnic")
    apart = [{"a": "alice", "b": b, "only_a": 1, "only_b": 2} for b in ("bob", "carol")]
    page.until(lambda page: page.verdict["differences"] == apart, "apart")
    page.until(lambda page: "figs" in page.party("alice")["items"] and page.party("carol")["name"] == "Picnic")
    assert page.verdict["converged"] is False
    assert (page.replicas["alice"]["behind"], page.replicas["alice"]["ahead"]) == (2, 1)
    assert page.replicas["alice"]["unshared"] == ["items/figs"]
    assert page.replicas["carol"]["unshared"] == ["items/dates", "name"]
    assert "dates" not in page.party("alice")["items"]
    before = page.verdict["fault"]
    page.ask("heal")
    page.converged()
    assert {one["digest"] for one in page.replicas.values()} == {page.verdict["digest"]}
    assert all(one["unshared"] == [] and one["behind"] == one["ahead"] == 0 for one in page.replicas.values())
    assert {"figs", "dates"} <= {*page.party("alice")["items"]}
    assert page.party("alice")["name"] == "Picnic"
    assert page.verdict["fault"] == before, "a heal is no fault"


def test_a_link_that_works_one_way_carries_one_way(page):
    """Of two who hear nobody else: what alice writes reaches bob; what bob writes does not reach alice."""
    page.ask("isolate", replica="carol")
    page.ask("link", a="bob", b="alice", state="b-to-a")
    assert page.links["alice", "bob"] == "a-to-b"
    page.write("bob", "AddItem", item="kiwis")
    page.write("alice", "AddItem", item="limes")
    page.until(lambda page: "limes" in page.party("bob")["items"], "limes at bob")
    assert "kiwis" not in page.party("alice")["items"]
    page.ask("heal")
    assert "kiwis" in page.converged().party("alice")["items"]


def test_slow_and_lossy_links_get_there(page):
    """Over links that are late, and links that lose frames, all hear of everything in the end."""
    for pair, state in {("alice", "bob"): "slow", ("alice", "carol"): "lossy", ("bob", "carol"): "lossy"}.items():
        page.ask("link", a=pair[0], b=pair[1], state=state)
        assert page.links[pair] == state
    for amount in range(1, 6):
        page.write("alice", "AddMoney", amount=amount)
        page.write("carol", "AddMoney", amount=-amount)
    page.converged()


def test_a_killed_replica_is_down_and_begins_again(page):
    """SIGKILL, by anybody: it is shown as down and refuses; others go on; begun again over its file it has all."""
    page.write("bob", "AddItem", item="nuts")
    page.converged()
    pid, version = page.replicas["bob"]["pid"], page.replicas["bob"]["version"]
    os.kill(pid, signal.SIGKILL)
    page.until(lambda page: not page.replicas["bob"]["up"], "bob is down")
    assert page.replicas["bob"]["version"] == version
    assert page.verdict["fault"] is not None
    with pytest.raises(Failed, match="bob is down: restart it first"):
        page.write("bob", "AddItem", item="more nuts")
    page.write("alice", "AddItem", item="oranges")
    page.until(lambda page: "oranges" in page.party("carol")["items"] and page.verdict["converged"], "they go on")
    page.ask("restart", replica="bob")
    assert page.replicas["bob"]["up"]
    assert page.replicas["bob"]["pid"] != pid
    page.converged()
    assert {"nuts", "oranges"} <= {*page.party("bob")["items"]}
    page.ask("kill", replica="bob")
    assert not page.replicas["bob"]["up"]
    with pytest.raises(Failed, match="down"):
        page.ask("kill", replica="bob")


def test_a_page_that_comes_in_the_middle_knows_the_same(page, running):
    """A second page, opened while the network is split, is told all that the first was told, and what comes."""
    page.ask("split")
    page.write("alice", "NameParty", name="Here")
    page.write("carol", "NameParty", name="There")
    page.until(lambda page: page.party("alice")["name"] == "Here" and page.party("bob")["name"] == "There")
    with Page(running.url) as second:
        second.until(lambda second: second.logs == page.logs and second.delivered == page.delivered, "the same")
        assert second.links == page.links
        for one in (page, second):
            one.ask("at", replica="alice", index=1)  # its answer comes after all that there was to tell
        for name, report in page.replicas.items():
            same = ("up", "pid", "version", "behind", "ahead", "unshared", "presents")
            assert [second.replicas[name][field] for field in same] == [report[field] for field in same]
        second.ask("heal")
        second.converged()
    assert page.converged().party("alice")["name"] == page.party("bob")["name"]


def test_a_newcomer_is_told_everything(tmp_path):
    """*Add a replica*: a process of its own, linked to all; there is room for eight."""
    with demo(tmp_path, "--port", "0", "--replicas", "2") as started, Page(started.url) as page:
        page.write("alice", "AddItem", item="plums")
        assert page.ask("add") == {"replica": "carol"}
        page.converged()
        assert page.party("carol")["items"] == ["plums"]
        assert page.links == {("alice", "bob"): "up", ("alice", "carol"): "up", ("bob", "carol"): "up"}


# --- asking why, and the past ---


def test_why_has_both_writes_the_rule_and_what_was_lost(page):
    """Two titles at once: who wrote what not having seen what, which is read by which rule; restoring the loser."""
    page.ask("split")
    [first] = page.write("alice", "NameParty", name="First")
    [second] = page.write("bob", "NameParty", name="Second")
    page.ask("heal")
    page.converged()
    why = page.ask("explain", replica="carol", stream="party/summer", path="name")
    assert (why["value"], why["kind"], why["path"]) == ("Second", "LWWRegister", "name")
    assert "last writer wins" in why["rule"]
    [read], [lost] = why["read"], why["lost"]
    assert (read["dot"], read["author"], read["did"], read["unseen"]) == (second, "bob", "wrote 'Second'", [first])
    assert (lost["dot"], lost["author"], lost["did"], lost["unseen"]) == (first, "alice", "wrote 'First'", [second])
    [dot] = page.told(page.ask("restore", replica="carol", dot=first)["dots"])
    assert dot.startswith("carol:")
    assert page.until(lambda page: page.party("bob")["name"] == "First", "restored").converged()
    with pytest.raises(Failed, match="lost nothing"):
        page.ask("restore", replica="carol", dot=first)


def test_a_note_is_written_by_two_at_once(page):
    """Edits are of what the replica reads: both stay; a counter has shares, an item its adder."""
    note = page.party("alice")["note"] or ""
    page.write("alice", "EditNote", at=0, delete=len(note), insert="ab")
    page.converged()
    page.ask("split")
    page.write("alice", "EditNote", at=2, delete=0, insert=" alice")
    page.write("bob", "EditNote", at=0, delete=1, insert="B")
    page.ask("heal")
    page.converged()
    page.until(lambda page: page.party("carol")["note"] == "Bb alice", "both edits")
    with pytest.raises(Failed, match="characters"):
        page.write("alice", "EditNote", at=100, delete=1, insert="")


def test_the_past_is_read_where_the_slider_stands(page):
    """The first events in the order of stamps, on any replica; nothing of them at the very beginning."""
    page.write("alice", "NameParty", name="Then")
    page.converged()
    index = sum(page.replicas["bob"]["version"].values())
    page.write("alice", "NameParty", name="Now")
    page.converged()
    then = page.ask("at", replica="bob", index=index)
    assert (then["index"], then["of"], then["presents"]["party"]["name"]) == (index, index + 1, "Then")
    assert sum(then["version"].values()) == index
    assert page.ask("at", replica="bob", index=10_000)["presents"]["party"]["name"] == "Now"
    begin = page.ask("at", replica="bob", index=0)
    assert (begin["index"], begin["version"], begin["presents"]["party"]["name"]) == (0, {}, None)


def test_a_fork_goes_its_own_way_and_is_joined(tmp_path):
    """A process that begins at a place of the past, apart from all; what it writes comes back by a join."""
    with demo(tmp_path, "--port", "0", "--replicas", "2") as started, Page(started.url) as page:
        page.write("alice", "AddItem", item="tea")
        page.converged()
        index = sum(page.replicas["alice"]["version"].values())
        page.write("alice", "AddItem", item="rum")
        page.converged()
        name = page.ask("fork", replica="alice", index=index)["replica"]
        page.until(lambda page: page.replicas.get(name, {}).get("presents", {}).get("party"), "the fork")
        assert page.party(name)["items"] == ["tea"]
        assert page.replicas[name]["fork"] == "alice"
        assert {state for pair, state in page.links.items() if name in pair} == {"down"}
        page.write(name, "AddItem", item="cake")
        page.until(lambda page: page.party(name)["items"] == ["cake", "tea"], "cake at the fork")
        assert page.replicas["alice"]["behind"] == page.replicas["alice"]["ahead"] == 0, "a fork is a past apart"
        assert page.replicas[name]["ahead"] == 2  # its introduction, and the cake
        assert page.ask("join", replica=name, into="alice") == {"events": 2}
        page.until(lambda page: page.party("bob")["items"] == ["cake", "rum", "tea"], "cake at bob")
        assert page.ask("join", replica=name, into="alice") == {"events": 0}
        page.ask("heal")
        assert page.converged().party(name)["items"] == ["cake", "rum", "tea"]


def test_orders_run_and_the_last_lamp_is_sold_once(page):
    """The shop: two orders for one lamp, given on both sides of a cut, end as completed and failed everywhere."""
    page.write("alice", "ReceiveStock", stream="stock/lamp", pieces=1)
    page.converged()
    page.ask("split")
    page.write("alice", "CreateOrder", product="lamp", price=50, customer="ann")
    page.write("bob", "CreateOrder", product="lamp", price=50, customer="ben")

    def done(name):
        return [one["stage"] for one in page.replicas[name]["presents"]["orders"][-2:]]

    page.until(lambda page: "completed" in done("alice") and "completed" in done("bob"), "sold twice")
    page.ask("heal")
    page.until(
        lambda page: page.verdict["converged"] and sorted(done("carol")) == ["completed", "failed"], "repaired"
    )
    failed = next(one for one in page.replicas["carol"]["presents"]["orders"] if one["stage"] == "failed")
    assert "had gone to order" in failed["reason"]
    why = page.ask("explain", replica="carol", stream=f"order/{failed['id']}", path="")
    assert why["kind"] == "Ordered"
    assert why["value"]["stage"] == "failed"


# --- lessons ---


def test_a_lesson_is_played_to_its_end(page):
    """Step by step, on processes of its own, through a crash; the network that was there comes back as it was."""
    before = {name: one["pid"] for name, one in page.replicas.items()}
    page.ask("lesson", name="crash-during-sync")
    assert page.lesson is not None
    steps = len(page.lesson["steps"])
    assert (page.lesson["step"], page.lesson["done"]) == (0, False)
    pids = {one["pid"] for one in page.replicas.values()}
    assert not pids & {*before.values()}
    with pytest.raises(Failed, match="leave it first"):
        page.ask("heal")
    down = False
    for step in range(1, steps + 1):
        page.ask("next")
        assert page.lesson["step"] == step
        down = down or not all(one["up"] for one in page.replicas.values())
    assert down, "somebody was killed, and shown as such"
    assert page.lesson["done"]
    assert page.lesson["held"], page.lesson["came"]
    assert page.lesson["rule"]
    assert page.converged().verdict["fault"] is not None
    with pytest.raises(Failed, match="last step"):
        page.ask("next")
    page.ask("stop")
    assert page.lesson is None
    assert {name: one["pid"] for name, one in page.replicas.items()} == before
    assert all(gone(pid) for pid in pids)


def test_a_scenario_of_ones_own_says_what_did_not_hold(page):
    """Any scenario file; an expectation that is not met is told with its step, and in what way."""
    steps = [
        {"do": "write", "replica": "a", "command": {"AddMoney": {"amount": 2}}, "stream": "party/1"},
        {"do": "expect", "stream": "party/1", "at": "/purse", "equals": 3},
    ]
    scenario = {"version": 2, "title": "Mine", "app": ["demo.party"], "replicas": ["a", "b"], "steps": steps}
    page.ask("lesson", scenario=json.dumps(scenario))
    page.ask("next")
    page.ask("next")
    assert page.lesson is not None
    assert (page.lesson["title"], page.lesson["done"], page.lesson["held"]) == ("Mine", True, False)
    assert [one["held"] for one in page.lesson["came"]] == [True, False]
    assert "2" in page.lesson["came"][1]["came"]
    with pytest.raises(Failed, match="no aggregate folds"):
        steps[0]["stream"] = "house/1"
        page.ask("lesson", scenario=json.dumps(scenario))
    assert page.lesson is not None, "what makes no sense is refused before anything is played"
    assert page.lesson["title"] == "Mine"


def test_ten_thousand_events_of_five_replicas_are_told(page):
    """Each writes two thousand while all are apart; all meet; the page is told each event once, causes first."""
    names = ["a", "b", "c", "d", "e"]
    events = [{"ItemAdded": {"item": f"item {number % 100}"}} for number in range(2000)]
    cuts = [{"do": "cut", "between": [[name], [other for other in names if other != name]]} for name in names]
    writes = [{"do": "write", "replica": name, "stream": "party/1", "events": events} for name in names]
    steps = [*cuts, *writes, {"do": "heal"}, {"do": "expect converged"}]
    scenario = {"version": 2, "title": "Many", "app": ["demo.party"], "replicas": names, "steps": steps}
    page.ask("lesson", scenario=json.dumps(scenario))
    for _ in steps:
        page.ask("next")
    assert page.lesson is not None
    assert page.lesson["held"], page.lesson["came"]
    page.converged()
    assert sum(map(len, page.logs.values())) == 5 * 2001
    assert len(page.party("e")["items"]) == 100
    assert page.ask("at", replica="e", index=5000)["of"] == 5 * 2001
    page.ask("stop")


# --- leaving nothing behind ---


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGHUP, signal.SIGKILL], ids=lambda how: how.name)
def test_nothing_is_left_behind(tmp_path, how):
    """Interrupted, its terminal closed, or killed: no process, no port, no file; a killed replica's neither."""
    with demo(tmp_path, "--port", "0", "--replicas", "2") as started:
        with Page(started.url) as page:
            page.ask("add")
            page.ask("kill", replica="bob")
            pids = [one["pid"] for one in page.replicas.values()]
            ports = [started.port, *(one["port"] for one in page.replicas.values())]
            assert any(tmp_path.rglob("bob.db"))
        code = started.end(how)
    assert code == (-how if how == signal.SIGKILL else 0)
    assert eventually(lambda: all(gone(pid) for pid in pids))
    assert eventually(lambda: not [*tmp_path.iterdir()])
    for port in ports:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_it_is_ended_while_it_begins(tmp_path):
    """Terminated before any replica is ready: nothing is left behind either."""
    command = [sys.executable, "-m", "demo", "web", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path)}) as process:
        assert eventually(lambda: any(tmp_path.rglob("1")))
        process.terminate()
        assert process.wait(LONGEST) == 0
    assert not [*tmp_path.iterdir()]


def test_a_port_in_use_gets_a_clear_message(tmp_path):
    """Where that port was asked for: exit 1, in words, with nothing left behind."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "demo", "web", "--port", str(port)]
        env = {**os.environ, "TMPDIR": str(tmp_path)}
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=LONGEST)
    assert done.returncode == 1
    assert f"port {port} of 127.0.0.1 is in use" in done.stderr
    assert "Traceback" not in done.stderr
    assert not [*tmp_path.iterdir()]


def test_a_page_without_a_port_takes_any_that_is_free(tmp_path):
    """Where the usual one is in use another one is taken, and the address says which."""
    with socket.socket() as taken:
        with suppress(OSError):  # somebody has it: as good
            taken.bind(("127.0.0.1", PORT))
            taken.listen()
        with demo(tmp_path, "--replicas", "2") as started:
            assert started.port != PORT
            assert asked(started, f"/?token={started.token}").status == 200
