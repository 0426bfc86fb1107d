"""The page of the demo network, in a real Chromium, with real replica processes behind it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

playwright_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is missing: nobody looks at the page"
)

from playwright.sync_api import Browser, expect  # noqa: E402

from tests.browser import CHROMIUM, NARROW, WIDE, Shown, launched, network, picture, visit  # noqa: E402
from tests.crowd import NAMES, crowd  # noqa: E402

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
EVERYBODY = ("alice", "bob", "carol")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for all tests of this file."""
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}: the page is not looked at (apt-get install chromium)")
    with playwright_api.sync_playwright() as playwright, launched(playwright) as browser:
        yield browser


@pytest.fixture
def faults() -> list[str]:
    return []


@pytest.fixture
def shown(chromium: Browser, tmp_path: Path, faults: list[str]) -> Iterator[Shown]:
    """The page of three new replicas. A test fails if the page has done anything wrong meanwhile."""
    with network() as address, visit(chromium, address, tmp_path, faults) as page:
        yield Shown(page)
        assert faults == []


def parted(shown: Shown) -> None:
    """Alice is cut off from the two others by two clicks."""
    shown.cut("alice", "bob")
    shown.cut("alice", "carol")


def test_cut_by_click_edit_both_sides_heal_and_all_read_the_same(shown: Shown):
    """What a side wrote is marked as unshared, the verdict says who lacks it, and healing brings all together."""
    parted(shown)
    shown.name("alice", "Garden")
    shown.add("alice", "milk")
    shown.press("+10 at alice")
    shown.write("alice", "Bring a chair. ")
    shown.name("bob", "Pool")
    shown.add("carol", "bread")
    shown.press("−1 at carol")
    shown.write("bob", "Bring a towel. ")
    verdict = shown.verdict("APART")
    expect(verdict).to_contain_text("of alice")
    expect(shown.title("carol")).to_have_value("Pool")
    expect(shown.title("alice")).to_have_value("Garden")
    expect(shown.items("bob")).to_have_text(["bread"])
    expect(shown.unshared("alice")).to_have_count(4)
    expect(shown.counter("alice")).to_have_text("10")
    expect(shown.note("carol")).to_have_value("Bring a towel. ")
    shown.press("Heal all")
    shown.verdict("CONVERGED")
    notes = {shown.note(name).input_value() for name in EVERYBODY}
    assert notes <= {"Bring a chair. Bring a towel. ", "Bring a towel. Bring a chair. "}
    assert len(notes) == 1
    for name in EVERYBODY:
        expect(shown.title(name)).to_have_value("Pool")
        expect(shown.items(name)).to_have_text(["bread", "milk"])
        expect(shown.counter(name)).to_have_text("9")
        expect(shown.unshared(name)).to_have_count(0)
        expect(shown.link("alice", "bob")).to_have_accessible_name("Link alice – bob: up")


def test_a_reload_in_the_middle_of_a_partition_shows_the_same(shown: Shown):
    """The page keeps nothing of its own: the links, the panes and the events are there again, and it goes on."""
    parted(shown)
    shown.name("alice", "Garden")
    shown.name("bob", "Pool")
    shown.add("bob", "bread")
    expect(shown.items("carol")).to_have_text(["bread"])
    shown.verdict("APART")

    def everything() -> list[str]:
        page = shown.page
        page.get_by_text("The latest events as a list").click()
        expect(page.get_by_role("region", name="Latest events").get_by_role("row")).to_have_count(1 + 2 + 3)
        ring = page.get_by_role("group", name="Replicas and links").get_by_role("button")
        names = [one.get_attribute("aria-label") or "" for one in ring.all()]
        rows = page.get_by_role("region", name="Latest events").aria_snapshot()
        return [*names, rows, *(shown.pane(name).aria_snapshot() for name in EVERYBODY)]

    before = everything()
    shown.page.reload()
    shown.verdict("APART")
    expect(shown.title("alice")).to_have_value("Garden")
    assert everything() == before
    shown.press("Heal all")
    shown.verdict("CONVERGED")


def test_a_killed_replica_is_said_to_be_down_and_comes_back_with_what_it_held(shown: Shown):
    """What bob alone had heard of survives SIGKILL, is seen while he is down, and reaches the others after all."""
    shown.choose("bob")
    shown.press("Isolate bob")
    expect(shown.link("alice", "bob")).to_have_accessible_name("Link alice – bob: down")
    shown.add("bob", "salt")
    shown.press("Kill -9 bob")
    expect(shown.node("bob")).to_have_accessible_name(re.compile("is down"))
    expect(shown.pane("bob")).to_contain_text("is down")
    expect(shown.title("bob")).to_be_disabled()
    expect(shown.items("bob")).to_have_text(["salt"])
    shown.add("alice", "milk")
    expect(shown.verdict("CONVERGED")).to_contain_text("bob is down")
    shown.press("Restart bob")
    shown.verdict("APART")
    expect(shown.title("bob")).to_be_enabled()
    shown.add("bob", "sugar")
    expect(shown.items("bob")).to_have_text(["salt", "sugar"])
    shown.press("Heal all")
    shown.verdict("CONVERGED")
    for name in EVERYBODY:
        expect(shown.items(name)).to_have_text(["milk", "salt", "sugar"])


def test_a_lesson_from_start_to_end_by_keyboard_alone(shown: Shown):
    """Tab and Enter begin it, Enter goes on, `q` leaves; the verdict says that all of it went as it should."""
    keys, page = shown.page.keyboard, shown.page
    shown.name("alice", "Before")
    lesson = page.get_by_role("button", name="Concurrent rename")
    page.get_by_role("link", name="Skip to the network").focus()
    for _ in range(10):
        if lesson.evaluate("one => one === document.activeElement"):
            break
        keys.press("Tab")
    keys.press("Enter")
    count = page.get_by_text(re.compile(r"^Step \d+ of \d+$"))
    expect(count).to_have_text("Step 0 of 11")
    expect(page.get_by_role("button", name=re.compile("^Next step"))).to_be_focused()
    for step in range(1, 12):
        keys.press("Enter" if step % 2 else "n")
        expect(count).to_have_text(f"Step {step} of 11")
        if step == 4:
            expect(shown.title("alice")).to_have_value("Garden party")
            expect(shown.title("carol")).to_have_value("Pool party")
            shown.verdict("APART")
    verdict = page.get_by_role("status", name="Verdict of the lesson")
    expect(verdict).to_contain_text("All 11 steps went as they should.")
    expect(verdict).to_contain_text("Last writer wins")
    expect(page.get_by_role("list", name="Steps of the lesson").get_by_role("listitem")).to_have_count(11)
    for name in EVERYBODY:
        expect(shown.title(name)).to_have_value("Garden party")
    keys.press("q")
    expect(count).to_be_hidden()
    expect(shown.title("alice")).to_have_value("Before")


def test_links_are_turned_by_keys_and_the_network_is_split_and_grows(shown: Shown):
    """Each state of a link is what the server reports; who is added to one half reads what that half knows."""
    link = shown.link("alice", "bob")
    link.focus()
    for state in ("down", "only alice to bob", "only bob to alice", "slow", "lossy", "up"):
        link.press("ArrowRight")
        expect(link).to_have_accessible_name(f"Link alice – bob: {state}")
    states = shown.page.get_by_role("group", name="State of the link alice – bob")
    states.get_by_role("button", name="Slow").click()
    expect(link).to_have_accessible_name("Link alice – bob: slow")
    shown.press("Split in two")
    expect(link).to_have_accessible_name("Link alice – bob: down")
    expect(shown.link("alice", "carol")).to_have_accessible_name("Link alice – carol: down")
    expect(shown.link("bob", "carol")).to_have_accessible_name("Link bob – carol: up")
    shown.add("alice", "milk")
    shown.press("Add a replica")
    shown.cut("alice", "dave")
    shown.add("bob", "bread")
    expect(shown.items("dave").filter(has_text="bread")).to_have_count(1)
    shown.verdict("APART")
    shown.press("Heal all")
    shown.verdict("CONVERGED")
    expect(shown.items("dave")).to_have_text(["bread", "milk"])


def test_what_lost_is_explained_and_restored(shown: Shown):
    """The panel tells both writes, what they had not seen, and the rule; the loser is written once more."""
    shown.name("carol", "Party")
    expect(shown.title("alice")).to_have_value("Party")
    parted(shown)
    shown.name("alice", "Garden")
    shown.name("bob", "Pool")
    shown.press("Heal all")
    shown.verdict("CONVERGED")
    expect(shown.title("carol")).to_have_value("Pool")
    shown.press("Why title at carol")
    why = shown.page.get_by_role("complementary", name=re.compile("^Why name, at carol"))
    expect(why).to_contain_text("The rule:")
    expect(why.get_by_role("listitem").filter(has_text="Garden")).to_contain_text("not having seen bob:")
    expect(why.get_by_role("listitem").filter(has_text="Pool")).to_contain_text("not having seen alice:")
    restore = why.get_by_role("button", name=re.compile(r"^Restore alice:\d+$"))
    expect(restore).to_have_count(1)
    restore.click()
    expect(why).to_be_hidden()
    for name in EVERYBODY:
        expect(shown.title(name)).to_have_value("Garden")
    shown.verdict("CONVERGED")


def test_a_fork_from_the_past_lives_and_joins(shown: Shown):
    """The slider shows the past; the fork begins there, writes on, and alice takes in what it holds."""
    shown.add("alice", "milk")
    shown.add("alice", "bread")
    shown.verdict("CONVERGED")
    slider = shown.page.get_by_role("slider", name="Time at alice", exact=True)
    slider.focus()
    slider.press("ArrowLeft")
    expect(shown.pane("alice")).to_contain_text("the past")
    expect(shown.items("alice")).to_have_text(["milk"])
    expect(shown.title("alice")).to_be_disabled()
    shown.press("Fork here at alice")
    expect(shown.pane("alice-2")).to_be_visible()
    expect(shown.items("alice-2")).to_have_text(["milk"])
    shown.press("Now at alice")
    expect(shown.items("alice")).to_have_text(["bread", "milk"])
    shown.add("alice-2", "salt")
    expect(shown.items("alice")).to_have_text(["bread", "milk"])
    shown.press("Join alice at alice-2")
    expect(shown.items("alice")).to_have_text(["bread", "milk", "salt"])
    expect(shown.items("carol")).to_have_text(["bread", "milk", "salt"])


def test_a_scenario_that_makes_no_sense_is_refused_and_one_that_does_is_played(shown: Shown):
    """A file of one's own is a lesson too; a step that does not hold says so, and so does the verdict."""
    page = shown.page

    def opened(scenario: dict[str, Any]) -> None:
        text = json.dumps(scenario).encode()
        file = {"name": "mine.json", "mimeType": "application/json", "buffer": text}
        page.get_by_label("Open a scenario…").set_input_files(file)

    steps = [
        {"do": "write", "replica": "ann", "command": {"NameParty": {"name": "Mine"}}, "stream": "party/summer"},
        {"do": "expect", "stream": "party/summer", "equals": "Yours", "at": "/name", "replica": "ann"},
    ]
    mine = {"version": 2, "title": "Mine", "app": ["demo.party:Party"], "replicas": ["ann", "ben"], "steps": steps}
    opened({**mine, "replicas": ["ann"], "steps": [{"do": "dance"}]})
    expect(page.get_by_role("status", name="Message")).to_contain_text("dance")
    opened(mine)
    expect(shown.pane("ann")).to_be_visible()
    expect(shown.pane("alice")).to_have_count(0)
    page.get_by_role("button", name=re.compile("^Play all")).click()
    expect(page.get_by_role("status", name="Verdict of the lesson")).to_have_text("Not as it should be: step 2.")


def test_nothing_serious_stands_between_people_and_the_page(shown: Shown, tmp_path: Path):
    """axe finds nothing serious, wide and narrow, light and dark, and nothing has to be scrolled sideways."""
    page = shown.page
    page.evaluate(f"{AXE.read_text()}; 0")

    def looked_at(what: str) -> None:
        for viewport in (WIDE, NARROW):
            page.set_viewport_size(viewport)
            page.evaluate("scrollTo(0, 0)")
            page.screenshot(path=tmp_path / f"{what}-{viewport['width']}.png", full_page=True)
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= viewport["width"], f"{what}: {wide} px have to be scrolled"
            told = [
                f"{what}: {one['id']}: {one['help']} {[node['target'] for node in one['nodes']]}"
                for one in page.evaluate("axe.run()")["violations"]
                if one["impact"] in ("serious", "critical")
            ]
            assert told == []

    picture(page, tmp_path / "web.png")
    looked_at("parted")
    page.emulate_media(color_scheme="dark")
    looked_at("dark")
    page.emulate_media(color_scheme="light")
    shown.press("Heal all")
    shown.verdict("CONVERGED")
    shown.press("Why title at alice")
    expect(page.get_by_role("complementary", name=re.compile("^Why"))).to_be_visible()
    looked_at("why")
    page.keyboard.press("Escape")
    page.keyboard.press("6")
    expect(page.get_by_role("list", name="Steps of the lesson")).to_be_visible()
    page.keyboard.press("n")
    looked_at("lesson")


def test_the_page_goes_on_with_ten_thousand_events(chromium: Browser, tmp_path: Path, faults: list[str]):
    """Five replicas and all of their events: a click still counts, keys walk the diagram, and a cut is a cut."""
    with network(len(NAMES)) as address, visit(chromium, address, tmp_path, faults) as page:
        shown = crowd(page, 2_000)
        shown.press("+10 at bob")
        for name in NAMES:
            expect(shown.counter(name)).to_have_text("10010")
        page.get_by_role("application", name="Space-time diagram").press("End")
        words = page.get_by_role("status", name="Event", exact=True)
        expect(words).to_contain_text("MoneyAdded")
        last = words.inner_text()
        page.keyboard.press("ArrowLeft")
        expect(words).not_to_have_text(last)
        shown.cut("alice", "bob")
        page.reload()
        expect(shown.counter("erin")).to_have_text("10010")
        expect(shown.link("alice", "bob")).to_have_accessible_name("Link alice – bob: down")
    assert faults == []


def test_the_page_cannot_call_anybody_else(shown: Shown, faults: list[str]):
    """What would leave the machine is stopped by the policy of the page, and seen by these tests."""
    for url in ("http://127.0.0.1:9/", "https://elsewhere.invalid/picture.png"):
        assert shown.page.evaluate("url => fetch(url).then(() => 'came', () => 'refused')", url) == "refused"
        assert any("Content Security Policy" in fault for fault in faults)
        faults.clear()


def test_a_page_without_its_server_says_so(chromium: Browser, tmp_path: Path):
    """What is shown may be old: it is said, nothing is written, and nothing freezes."""
    faults: list[str] = []
    with ExitStack() as visiting:
        with network() as address:
            page = visiting.enter_context(visit(chromium, address, tmp_path, faults))
        shown = Shown(page)
        expect(page.get_by_role("alert")).to_contain_text("The server of this page is gone")
        shown.verdict("GONE")
        expect(shown.title("alice")).to_be_disabled()
        shown.press("Heal all")
        expect(page.get_by_role("status", name="Message")).to_contain_text("nothing was done")
        assert all("WebSocket connection" in fault for fault in faults)
