"""A real browser at the page of the demo network, which a real `python -m demo web` serves.

Rule 1. Whatever would leave this machine, whatever the console calls an error or a warning, and whatever the page
        throws is a fault; a test that uses `visit` fails for it.
Rule 2. Things on the page are found as people find them: by their roles and names.

`python -m tests.browser docs/web.png` makes the picture of the page anew.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Playwright, expect, sync_playwright

ROOT = Path(__file__).parent.parent
CHROMIUM = Path("/usr/bin/chromium")
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip
"""It says nothing to anybody of its own accord, and finds no address but ours."""
PATIENCE = 15
"""Seconds in which something has to come about on a busy machine."""
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


def launched(playwright: Playwright) -> Browser:
    expect.set_options(timeout=PATIENCE * 1000)
    return playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET, timeout=PATIENCE * 1000)


@contextmanager
def network(replicas: int = 3) -> Iterator[str]:
    """The address of a page with its replicas. In the end they have ended well, and have complained of nothing."""
    command = [sys.executable, "-m", "demo", "web", "--port", "0", "--replicas", str(replicas)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    patience = threading.Timer(30, process.kill)
    patience.start()
    try:
        assert process.stdout is not None
        address = next((found[0] for line in process.stdout if (found := re.search(r"http://\S+", line))), None)
        patience.cancel()
        assert address is not None, process.communicate()[1]
        yield address
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=PATIENCE)
        assert (process.returncode, complaints) == (0, "")
    finally:
        patience.cancel()
        process.kill()
        process.communicate()


@contextmanager
def visit(browser: Browser, address: str, pictures: Path, faults: list[str]) -> Iterator[Page]:
    """The page, when it has been told how things stand. What it does wrong comes into `faults`."""
    origin = urlsplit(address).netloc
    with browser.new_context(viewport=WIDE, reduced_motion="reduce") as context:
        context.set_default_timeout(PATIENCE * 1000)

        def asked(url: str) -> None:
            if urlsplit(url).netloc != origin and urlsplit(url).scheme not in ("data", "blob"):
                faults.append(f"asked {url}")

        def said(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                faults.append(f"{message.type}: {message.text}")

        context.on("request", lambda request: asked(request.url))
        context.on("console", said)
        context.on("weberror", lambda thrown: faults.append(f"thrown: {thrown.error}"))
        page = context.new_page()
        page.on("websocket", lambda socket: asked(socket.url))
        page.goto(address)
        expect(page.get_by_role("status", name="Verdict", exact=True)).not_to_contain_text("CONNECTING")
        try:
            yield page
        finally:
            page.screenshot(path=pictures / "last.png", full_page=True)


class Shown:
    """What is on the page, by the names that people read."""

    def __init__(self, page: Page) -> None:
        self.page = page

    # --- what is read ---

    def verdict(self, word: str) -> Locator:
        """The verdict, when it has come to this word."""
        verdict = self.page.get_by_role("status", name="Verdict", exact=True)
        expect(verdict).to_contain_text(word)
        return verdict

    def pane(self, name: str) -> Locator:
        return self.page.get_by_role("article", name=f"Replica {name}", exact=True)

    def node(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=re.compile(f"^Replica {name}:"))

    def link(self, a: str, b: str) -> Locator:
        return self.page.get_by_role("button", name=re.compile(f"^Link {a} – {b}:"))

    def title(self, name: str) -> Locator:
        return self.page.get_by_role("textbox", name=f"Title at {name}", exact=True)

    def note(self, name: str) -> Locator:
        return self.page.get_by_role("textbox", name=f"Note at {name}", exact=True)

    def counter(self, name: str) -> Locator:
        return self.page.get_by_role("status", name=f"Counter at {name}", exact=True)

    def items(self, name: str) -> Locator:
        """The buttons of the items: each has the item as its text, and explains it."""
        lists = self.page.get_by_role("list", name=f"Shopping list at {name}", exact=True)
        return lists.get_by_role("button", name=re.compile("^Why"))

    def unshared(self, name: str) -> Locator:
        """The marks of a pane that say that somebody lacks what is read there."""
        return self.pane(name).get_by_text("unshared", exact=True).filter(visible=True)

    # --- what is done ---

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def cut(self, a: str, b: str) -> None:
        """Click a link, and see that the server says that it is down."""
        self.link(a, b).click()
        expect(self.link(a, b)).to_have_accessible_name(f"Link {a} – {b}: down")

    def name(self, replica: str, title: str) -> None:
        """Write a title, and wait until its replica reads it."""
        self.title(replica).fill(title)
        self.press(f"Set the title at {replica}")
        expect(self.title(replica)).to_have_value(title)

    def add(self, replica: str, item: str) -> None:
        """Add an item, and wait until its replica reads it."""
        self.page.get_by_role("textbox", name=f"New item at {replica}", exact=True).fill(item)
        self.press(f"Add the item at {replica}")
        expect(self.items(replica).filter(has_text=item)).to_have_count(1)

    def write(self, replica: str, text: str) -> None:
        """Write a note, and leave the field, which sends it."""
        self.note(replica).fill(text)
        self.note(replica).blur()

    def choose(self, replica: str) -> None:
        """Click a replica; what can happen to it is offered."""
        self.node(replica).click()
        expect(self.page.get_by_role("group", name=f"What can happen to {replica}")).to_be_visible()


def picture(page: Page, path: Path) -> None:
    """Alice is cut off while everybody writes on: two colours, and who lacks what."""
    shown = Shown(page)
    shown.name("carol", "Summer party")
    shown.add("bob", "lemons")
    for name in ("alice", "carol"):
        expect(shown.items(name)).to_have_text(["lemons"])
    shown.cut("alice", "bob")
    shown.cut("alice", "carol")
    shown.name("alice", "Garden party")
    shown.add("alice", "chairs")
    shown.press("+10 at alice")
    shown.name("carol", "Pool party")
    shown.add("bob", "towels")
    expect(shown.items("carol")).to_have_text(["lemons", "towels"])
    expect(shown.counter("alice")).to_have_text("10")
    shown.verdict("APART")
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur(), scrollTo(0, 0)")
    page.screenshot(path=path, full_page=True, clip={"x": 0, "y": 0, "width": 1280, "height": 1070})


def main() -> None:
    faults: list[str] = []
    with (
        tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright, launched(playwright) as browser,
        network() as address, visit(browser, address, Path(folder), faults) as page,
    ):  # fmt: skip
        picture(page, Path(sys.argv[1]))
    assert faults == []


if __name__ == "__main__":
    main()
