"""Many events on the page of the demo network: `python -m tests.crowd` says what an interaction costs beside them.

A test may use `crowd`; it does not time. The figures are for people, on a quiet machine.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from tests.browser import Shown, launched, network, visit

NAMES = ("alice", "bob", "carol", "dave", "erin")
LONG = 60_000
"""Milliseconds that writing and telling all of it may take."""
WRITES = """([replicas, each, long]) => new Promise((done, fail) => {
  setTimeout(() => fail(new Error(`${left} of them have had no answer`)), long);
  const socket = new WebSocket(`ws://${location.host}/feed${location.search}`);
  let left = replicas.length * each, id = 0;
  socket.onopen = () => {
    for (let at = 0; at < each; at++) for (const replica of replicas)
      socket.send(JSON.stringify({ id: ++id, do: "write", replica, command: "AddMoney", fields: { amount: 1 } }));
  };
  socket.onmessage = ({ data }) => {
    const told = JSON.parse(data);
    if (told.type !== "answer") return;
    if (told.error) fail(new Error(told.error));
    if (!--left) done(socket.close());
  };
})"""
CLICKS = """([button, counter, wanted]) => new Promise((done) => {
  const named = (kind, name) => [...document.querySelectorAll(kind)].find((one) => one.ariaLabel === name);
  const shown = named("output", counter), begun = performance.now();
  named("button", button).click();
  const handled = performance.now() - begun;
  const look = () => {
    if (shown.textContent === wanted) done([handled, performance.now() - begun]);
    else requestAnimationFrame(look);
  };
  look();
})"""
SCROLLS = """() => new Promise((done) => {
  const diagram = document.querySelector("[role=application]"), frames = [];
  let last = performance.now();
  const go = () => {
    frames.push(performance.now() - last);
    last = performance.now();
    diagram.scrollLeft = diagram.scrollWidth * (1 - frames.length / 60);
    if (frames.length < 60) requestAnimationFrame(go);
    else done(frames.slice(1));
  };
  requestAnimationFrame(go);
})"""


def crowd(page: Page, each: int) -> Shown:
    """Each of five replicas counts up by one so often, and all of them read all of it."""
    shown = Shown(page)
    page.evaluate(WRITES, [list(NAMES), each, LONG])
    for name in NAMES:
        expect(shown.counter(name)).to_have_text(str(each * len(NAMES)), timeout=LONG)
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.crowd", description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=10_000)
    events = parser.parse_args().events // len(NAMES) * len(NAMES)
    faults: list[str] = []
    with (
        tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright, launched(playwright) as browser,
        network(len(NAMES)) as address, visit(browser, address, Path(folder), faults) as page,
    ):  # fmt: skip
        begun = time.perf_counter()
        shown = crowd(page, events // len(NAMES))
        print(f"{events} events of {len(NAMES)} replicas written and read: {time.perf_counter() - begun:.1f} s")
        clicks = []
        for turn in range(9):
            wanted = str(events + 10 * turn + 10)
            clicks.append(page.evaluate(CLICKS, ["+10 at bob", "Counter at bob", wanted]))
        handled, seen = (statistics.median(one) for one in zip(*clicks, strict=True))
        print(f"a click is handled in {handled:.1f} ms, and what it did is read in {seen:.0f} ms")
        frames = page.evaluate(SCROLLS)
        median, most = statistics.median(frames), max(frames)
        print(f"a frame of the diagram while it is scrolled: {median:.0f} ms, at most {most:.0f} ms")
        begun = time.perf_counter()
        page.reload()
        expect(shown.counter("erin")).to_have_text(str(events + 90))
        print(f"a reload: {1000 * (time.perf_counter() - begun):.0f} ms")
    print("\n".join(faults) or "nothing was asked of anybody else, and nothing was complained of")


if __name__ == "__main__":
    main()
