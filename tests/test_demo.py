"""The demo, as a user starts it: real processes, a real SIGKILL, and a verdict."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from demo.telling import Teller

ROOT = Path(__file__).parent.parent


def demo(*options: str, story: str = "partition") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "demo", story, *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_the_story_ends_with_converged():
    """Three replicas; plain text, since this is no terminal; exit 0."""
    done = demo()
    assert done.returncode == 0, done.stderr
    assert "CONVERGED" in done.stdout.splitlines()[-1]
    assert "\x1b" not in done.stdout
    assert "SIGKILL" in done.stdout
    assert done.stderr == ""


def test_two_runs_with_one_seed_end_in_the_same_presents():
    """One JSON object on standard output, nothing else; versions, digests and presents alike."""
    runs = [json.loads(demo("--json", "--seed", "7").stdout) for _ in range(2)]
    assert runs[0]["replicas"] == runs[1]["replicas"]
    assert runs[0]["digest"] == runs[1]["digest"]
    for run in runs:
        assert run["converged"] is True
        assert [replica["name"] for replica in run["replicas"]] == ["alice", "bob", "carol"]
        assert {replica["digest"] for replica in run["replicas"]} == {run["digest"]}
        assert run["events"] == sum(run["replicas"][0]["version"].values())
        assert run["heal_seconds"] > 0


def test_five_replicas_agree_as_three_do():
    """`--replicas N`: two of one side, three of the other."""
    done = demo("--replicas", "5", "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["replicas"]) == 5


def test_a_verdict_of_diverged_says_where():
    """Names the field, and who has what."""
    shown = io.StringIO()
    views = [
        {"name": name, "version": {"alice": 1}, "present": {"name": title, "purse": 3}}
        for name, title in (("alice", "Garden"), ("bob", "Pool"))
    ]
    alarm = {
        "replica": "bob",
        "stream": "party/summer",
        "event": "alice:7 MoneyAdded",
        "peer": "alice",
        "what": "Why.",
    }
    Teller(Console(file=shown, width=200)).verdict(False, None, 10.0, views, [alarm])
    assert shown.getvalue().split("\n")[1:3] == ["DIVERGED", "  name: alice has 'Garden', bob 'Pool'"]
    assert shown.getvalue().splitlines()[3:] == [
        "  bob    ALARM  party/summer reads differently at alice, from alice:7 MoneyAdded on",
        "In the words of bob: Why.",
    ]


def test_an_aggregate_that_does_not_converge_ends_with_an_alarm():
    """Real processes whose fold depends on the process: each names the stream, and the first event that differs."""
    done = demo("--broken", "--replicas", "2", "--json")
    assert done.returncode == 1
    verdict = json.loads(done.stdout)
    assert verdict["converged"] is False
    refund = next(alarm["event"] for alarm in verdict["alarms"])
    assert refund.startswith("alice:")
    assert refund.endswith(" MoneyAdded")
    assert [(alarm["replica"], alarm["peer"]) for alarm in verdict["alarms"]] == [
        ("alice", "bob"),
        ("bob", "alice"),
    ]
    for alarm in verdict["alarms"]:
        assert (alarm["stream"], alarm["event"]) == ("party/summer", refund)
        assert f"{alarm['replica']}: {alarm['what']}" in done.stderr


def test_an_unknown_number_of_replicas_is_refused_in_words():
    """From two to eight; nothing is started."""
    done = demo("--replicas", "1")
    assert done.returncode == 2
    assert "invalid choice" in done.stderr


def test_the_orders_end_with_one_lamp_sold_once():
    """One completed and one failed order for the last piece, alike everywhere; each side effect told once."""
    done = demo("--json", story="orders")
    assert done.returncode == 0, done.stderr
    verdict = json.loads(done.stdout)
    assert verdict["converged"] is True
    orders = {order["id"]: (order["outcome"], order["reason"]) for order in verdict["orders"]}
    assert [orders[order] for order in verdict["last_piece"]] == [
        ("completed", None), ("failed", "the last lamp had gone to order o4 before"),
    ]  # fmt: skip
    assert [outcome for outcome, _ in orders.values()].count("completed") == 3
    assert all(replica["orders"] == verdict["orders"] for replica in verdict["replicas"])
    assert len({replica["digest"] for replica in verdict["replicas"]}) == 1
    assert set(verdict["side_effects"].values()) == {1}


def test_the_order_story_tells_commands_events_side_effects_and_replays():
    """The crash is told by REPLAY lines, without a side effect in between; an effect comes after its event."""
    done = demo(story="orders")
    assert done.returncode == 0, done.stderr
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert "CONVERGED" in lines[-1]
    told = [tuple(line.split(None, 2)[:2]) for line in lines if line.startswith("carol")]
    replays = [index for index, (_, what) in enumerate(told) if what == "REPLAY"]
    assert len(replays) == 3
    assert replays == list(range(replays[0], replays[0] + 3))
    failed = [index for index, line in enumerate(lines) if "OrderFailed in order/o5" in line]
    mailed = [index for index, line in enumerate(lines) if "SIDE EFFECT" in line and "o5 failed" in line]
    assert len(failed) == len(mailed) == 1
    assert failed < mailed
