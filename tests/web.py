"""The demo network as a user starts it, and a page of it without a browser: for the tests of both."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

ROOT = Path(__file__).parent.parent
LONGEST = 30.0
"""Seconds after which what has not come will not."""
URL = re.compile(r"http://127\.0\.0\.1:(\d+)/\?token=(\S+)")


class Demo:
    """`python -m demo web`, running; all its files are in `folder`."""

    def __init__(self, process: subprocess.Popen[str], folder: Path, said: str) -> None:
        self.process, self.folder, self.said = process, folder, said
        found = URL.search(said)
        assert found, said
        self.url, self.port, self.token = found[0], int(found[1]), found[2]

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it, and wait until it has; its exit code."""
        self.process.send_signal(how)
        return self.process.wait(LONGEST)


@contextmanager
def demo(folder: Path, *options: str) -> Iterator[Demo]:
    """The demo network, until it is left."""
    process = subprocess.Popen(
        [sys.executable, "-m", "demo", "web", *options],
        cwd=ROOT, env={**os.environ, "TMPDIR": str(folder)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        said = ""
        while "Ctrl-C" not in said:
            line = process.stdout.readline()
            assert line, f"it ended before it said where the page is: {said}"
            said += line
        yield Demo(process, folder, said)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(LONGEST)
        process.stdout.close()


class Failed(Exception):
    """The answer to a request was that it cannot be done."""


class Page:
    """What a page knows, and how it asks. Reports are checked as they come: no effect stands before its cause."""

    def __init__(self, url: str) -> None:
        found = URL.fullmatch(url)
        assert found
        here = f"127.0.0.1:{found[1]}"
        self._stack = ExitStack()
        feed = connect(f"ws://{here}/feed?token={found[2]}", origin=f"http://{here}", max_size=None)
        self._socket = self._stack.enter_context(feed)
        self._number = 0
        self._answers: dict[int, dict[str, Any]] = {}
        self.replicas: dict[str, dict[str, Any]] = {}
        self.logs: dict[str, list[dict[str, Any]]] = {}
        self.delivered: dict[str, dict[str, int]] = {}
        self.links: dict[tuple[str, str], str] = {}
        self.lessons: list[dict[str, Any]] = []
        self.lesson: dict[str, Any] | None = None
        self.verdict: dict[str, Any] = {}
        self.until(lambda page: page.verdict)

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # --- reports ---

    def _take(self, report: dict[str, Any]) -> None:
        match report["type"]:
            case "hello":
                self.replicas.clear()
                self.logs.clear()
                self.delivered.clear()
                self.replicas |= {one["name"]: one for one in report["replicas"]}
                self.links = {(one["a"], one["b"]): one["state"] for one in report["links"]}
                self.lessons, self.lesson, self.verdict = report["lessons"], report["lesson"], report["verdict"]
            case "replica":
                name = report["name"]
                self.replicas[name] = {**self.replicas.get(name, {}), **report}
            case "link":
                self.links[report["a"], report["b"]] = report["state"]
            case "events":
                for event in report["events"]:
                    self._event(event)
            case "delivered":
                to, author, held = report["to"], report["from"], self.delivered.setdefault(report["to"], {})
                assert report["first"] == held.get(author, 0) + 1, (to, report)
                assert len(self.logs[author]) >= report["last"], "delivered before it was there"
                held[author] = report["last"]
            case "verdict":
                self.verdict = report
            case "lesson":
                self.lesson = report["lesson"]
            case "answer":
                self._answers[report["id"]] = report

    def _event(self, event: dict[str, Any]) -> None:
        log, held = self.logs.setdefault(event["replica"], []), self.delivered.setdefault(event["replica"], {})
        assert event["seq"] == len(log) + 1
        assert all(held.get(author, 0) >= seq for author, seq in event["context"].items()), (
            "an effect before its cause"
        )
        log.append(event)
        held[event["replica"]] = event["seq"]

    def until(self, holds: Callable[[Page], Any], what: str = "") -> Page:
        """Take reports until something holds."""
        end = time.monotonic() + LONGEST
        while not holds(self):
            left = end - time.monotonic()
            try:
                self._take(json.loads(self._socket.recv(timeout=max(left, 0))))
            except TimeoutError:
                raise AssertionError(f"it did not come about: {what} {self.verdict} {self.links}") from None
        return self

    # --- requests ---

    def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """The answer to a request; Failed, with its words, where there is none."""
        self._number += 1
        number = self._number
        self._socket.send(json.dumps({"id": number, "do": do, **fields}))
        self.until(lambda page: number in page._answers, do)
        answer = self._answers.pop(number)
        if "error" in answer:
            raise Failed(answer["error"])
        found: dict[str, Any] = answer["answer"]
        return found

    def write(self, replica: str, command: str, stream: str = "", **fields: Any) -> list[str]:
        dots: list[str] = self.ask("write", replica=replica, command=command, fields=fields, stream=stream)["dots"]
        return self.told(dots)

    def told(self, dots: list[str]) -> list[str]:
        """Wait until some events were told of."""
        for dot in dots:
            author, _, seq = dot.rpartition(":")
            self.until(lambda page: len(page.logs.get(author, ())) >= int(seq), dot)
        return dots

    def converged(self) -> Page:
        """Wait until all who are up hold all that was ever told of, and read the same."""
        return self.until(lambda page: page.verdict["converged"] and page._alike(), "converged")

    def _alike(self) -> bool:
        up = [one for one in self.replicas.values() if one["up"]]
        all_of_it = {name: len(log) for name, log in self.logs.items()}
        return all((one["version"], one["presents"]) == (all_of_it, up[0]["presents"]) for one in up)

    def party(self, replica: str) -> dict[str, Any]:
        found: dict[str, Any] = self.replicas[replica]["presents"]["party"]
        return found
