"""How a lesson looks: pictures of its moments for a terminal of any size, and lines for where there is none.

Rule 1. Colour is knowledge: replicas that hold the same events have the same colour. It says nothing that signs and
        words do not say too.
Rule 2. A replica shows what its lesson is about: the places that the scenario expects something of (`places`).
Rule 3. Header and keys are always in sight; what does not fit between them is cut off at the bottom.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import msgspec
from rich.box import ROUNDED, SIMPLE
from rich.console import Console, Group, RenderableType
from rich.layout import Layout
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from demo.lessons import LESSONS, Lesson, Line, Moment, Standing, places
from demo.playing import Told
from demo.telling import COLOURS
from replica.step import Expectation
from sync.testing import Report, Ways
from sync.testing.director import pointed

GAP = 1
"""Columns between two replicas, and at both sides of everything."""
NARRATION = 5
"""Lines for what is told of a step: two of words, two of the step and what came of it, one of what comes next."""
KEYS = "space next   r to the end   1-6 lesson   m menu   q quit"
KEYS_RUNNING = "running: space stops   1-6 lesson   m menu   q quit"
KEYS_OVER = "space next lesson   1-6 lesson   m menu   q quit"


def menu(done: Mapping[str, bool], width: int, height: int) -> RenderableType:
    """All lessons, and which of them were played; True: to a good end."""
    lines = Table.grid(padding=(0, 2))
    lines.add_column(justify="right", style="bold cyan")
    lines.add_column()
    roomy = height >= 4 + len(LESSONS) * 4
    for one in LESSONS:
        mark = {True: ("  ✓", "green"), False: ("  ✗", "red"), None: ("", "")}[done.get(one.name)]
        lines.add_row(one.key, Text.assemble((one.title, "bold"), mark))
        lines.add_row("", Text(one.teaches + ("\n" if roomy else ""), "dim"))
    head = Text("Six lessons about replicas that part and meet", "bold reverse")
    head.pad_right(max(0, width - len(head)))
    keys = "1-6 lesson   space the next one   q quit"
    return _framed(head, Padding(lines, (1, 1, 0, 1)), keys)


def starting(lesson: Lesson, width: int) -> RenderableType:
    """While its replicas begin."""
    names = ", ".join(lesson.scenario.replicas)
    words = Text.assemble((lesson.teaches, "bold"), f"\n\nStarting {names}: a process each ...")
    return _framed(_head(lesson, 0, width), Padding(words, (1, 1)), "q quit")


def picture(
    lesson: Lesson,
    moment: Moment,
    before: Moment | None,
    events: Sequence[Told],
    report: Report | None,
    width: int,
    *,
    running: bool = False,
) -> RenderableType:
    """One moment; `before` is the one before the last step, `report` is there at the end."""
    inner = max(1, _card_width(moment, width) - 4)
    texts = _texts(lesson, moment, before, inner)
    tall = 2 + max(_lines(text, inner) for text in texts)
    drawn = links([one.name for one in moment.replicas], moment, width)
    told, lines = _narration(lesson, moment), NARRATION
    if report is not None:
        told = [*told, Text(), verdict(lesson, report), Text()]
        lines = sum(_lines(text, width - 2 * GAP) for text in told)
    parts = Layout()
    parts.split_column(
        Layout(Padding(Group(*told), (0, GAP)), size=lines),
        Layout(_cards(texts, moment, width, tall), size=tall),
        Layout(Group(*drawn), size=len(drawn)),
        Layout(Padding(_events(events, moment), (0, GAP))),
    )
    keys = KEYS_OVER if report is not None else KEYS_RUNNING if running else KEYS
    return _framed(_head(lesson, moment.number, width), parts, keys)


def _framed(head: Text, body: RenderableType, keys: str) -> Layout:
    whole = Layout()
    whole.split_column(Layout(head, size=1), Layout(body), Layout(Text(f" {keys}", "dim"), size=1))
    return whole


def _head(lesson: Lesson, number: int, width: int) -> Text:
    """Title, how far it has come, and where this is; in a narrow terminal less of it."""
    total = len(lesson.steps)
    left, right = f" {lesson.title} ", f" step {number} of {total} "
    where = f"lesson {lesson.key} of {len(LESSONS)}  " if lesson.key else ""
    if len(left) + len(where) + len(right) <= width:
        right = where + right
    long = min(total, width - len(left) - len(right) - 2)
    full = long * number // max(total, 1)
    bar = f"{'━' * full}{'─' * (long - full)}  " if long >= 10 else ""
    room = width - len(bar) - len(right)
    return Text(f"{left[:room]:<{room}}{bar}{right}", "bold reverse", no_wrap=True)


def _narration(lesson: Lesson, moment: Moment) -> list[Text]:
    """What the last step was for, the step, what came of it, and what comes next."""
    if moment.happened is None or moment.step is None:
        lines = [Text(lesson.teaches, "bold")]
    else:
        lines = [Text(moment.step.say or str(moment.step), "bold"), step_line(moment)]
    if moment.coming is not None:
        lines.append(Text(f"next: {moment.coming}", "dim", no_wrap=True, overflow="ellipsis"))
    return lines


def step_line(moment: Moment) -> Text:
    """The last step as it stands in the file, and what came of it."""
    happened = moment.happened
    assert happened is not None
    mark = "✗" if not happened.held else "✓" if isinstance(moment.step, Expectation) else " "
    came = f"   {happened.came}" if happened.came else ""
    style = "bold red" if not happened.held else "green" if mark == "✓" else ""
    return Text(f"{happened.number:>3} {mark} {happened.step}{came}", style)


# --- replicas ---


def readings(lesson: Lesson, one: Standing) -> dict[str, str]:
    """What a replica reads at the places of its lesson, by short names for them."""
    about = places(lesson.scenario) or tuple((stream, "") for stream in sorted(one.view.readings))
    several = len({stream for stream, _ in about}) > 1
    found: dict[str, str] = {}
    for stream, at in about:
        value = pointed(one.view.readings.get(stream), at)
        prefix = stream.partition("/")[2] or stream if several else ""
        inside = value.items() if isinstance(value, dict) and not at else [(at.rpartition("/")[2], value)]
        for name, part in inside:
            found[" ".join(filter(None, [prefix, str(name)]))] = _value(part)
    return found


def _value(value: Any) -> str:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        return ", ".join(value)
    return msgspec.json.encode(value).decode() if isinstance(value, int | float | dict) or value == 0 else "-"


def hues(replicas: Iterable[Standing]) -> dict[str, str]:
    """A colour for each: the same for those that hold the same; green for all."""
    replicas = [*replicas]
    first: dict[tuple[tuple[str, int], ...], str] = {}
    colours: dict[str, str] = {}
    for number, one in enumerate(replicas):
        known = tuple(sorted(one.view.version.items()))
        colours[one.name] = first.setdefault(known, COLOURS[number % len(COLOURS)])
    return dict.fromkeys(colours, "green") if len(first) == 1 else colours


def _standing(one: Standing) -> str:
    if not one.up:
        return "killed"
    away = [f"{number} {word}" for number, word in ((one.behind, "behind"), (one.ahead, "ahead")) if number]
    return ", ".join(away) or "up to date"


def _card_width(moment: Moment, width: int) -> int:
    return max(8, (width - GAP) // len(moment.replicas) - GAP)


def _inside(lesson: Lesson, one: Standing, before: Standing | None, inner: int, version: str) -> Text:
    """What stands in a card; what the last step has changed is marked."""
    standing = _standing(one)
    if len(standing) > inner:
        standing = standing.replace(", ", "\n")
    text = Text.assemble(version or "nothing yet", "\n", (standing, "" if one.up else "bold red"))
    old = readings(lesson, before) if before is not None else {}
    for label, value in readings(lesson, one).items():
        changed = before is not None and old.get(label) != value
        text.append(f"\n{label} " if label else "\n", "dim")
        text.append(value, "bold reverse" if changed else "bold")
    return text


def _versions(replicas: Sequence[Standing], inner: int) -> list[str]:
    """What each has observed: `alice:3 bob:2`, or `a3 b2` where that does not fit and tells who is who."""
    seqs = [sorted(one.view.version.items()) for one in replicas]
    full = [" ".join(f"{name}:{seq}" for name, seq in one) for one in seqs]
    writers = {name for one in seqs for name, _ in one}
    if max(map(len, full)) <= inner or len({name[0] for name in writers}) < len(writers):
        return full
    return [" ".join(f"{name[0]}{seq}" for name, seq in one) for one in seqs]


def _texts(lesson: Lesson, moment: Moment, before: Moment | None, inner: int) -> list[Text]:
    old = {one.name: one for one in before.replicas} if before is not None else {}
    versions = _versions(moment.replicas, inner)
    return [
        _inside(lesson, one, old.get(one.name), inner, version)
        for one, version in zip(moment.replicas, versions, strict=True)
    ]


def _lines(text: Text, width: int) -> int:
    return len(text.wrap(Console(width=width), width)) or 1


def _cards(texts: Sequence[Text], moment: Moment, width: int, tall: int) -> RenderableType:
    wide = _card_width(moment, width)
    colours = hues(moment.replicas)
    row = Table.grid()
    cells: list[RenderableType] = []
    for one, text in zip(moment.replicas, texts, strict=True):
        row.add_column(width=GAP)
        row.add_column(width=wide)
        style, box = (colours[one.name], ROUNDED) if one.up else ("dim red", SIMPLE)
        cells += "", Panel(text, title=Text(one.name, "bold"), box=box, border_style=style, height=tall)
    row.add_row(*cells)
    return row


# --- links ---


def links(names: Sequence[str], moment: Moment, width: int) -> list[Text]:
    """The links, drawn below their replicas; as many lines as it takes for none to cross another."""
    wide = _card_width(moment, width)
    middle = {name: GAP + (wide + GAP) * at + wide // 2 for at, name in enumerate(names)}
    up = {one.name for one in moment.replicas if one.up}
    ends = {(link.here, link.there): sorted((middle[link.here], middle[link.there])) for link in moment.links}
    rows: list[list[tuple[int, int, Line]]] = []
    for link in sorted(moment.links, key=lambda link: _span(*ends[link.here, link.there])):
        start, end = ends[link.here, link.there]
        free = next((row for row in rows if all(end <= left or right <= start for left, right, _ in row)), None)
        if free is None:
            free = []
            rows.append(free)
        free.append((start, end, link))
    return [_row(sorted(row, key=lambda span: span[0]), middle, up) for row in rows]


def _span(start: int, end: int) -> tuple[int, int]:
    """Short ones first, from the left to the right."""
    return end - start, start


def _row(row: Sequence[tuple[int, int, Line]], middle: Mapping[str, int], up: set[str]) -> Text:
    text = Text(no_wrap=True)
    for start, end, link in row:
        text.append(" " * (start - len(text)))
        if len(text) == start:
            text.append("●")
        rightwards = middle[link.here] < middle[link.there]
        sign, label, style = look_of(link.ways, rightwards, alive={link.here, link.there} <= up)
        label = f" {label} " if label else ""
        label = label if len(label) < end - start - 1 else ""
        text.append(f"{label:{sign}^{end - start - 1}}", style)
        text.append("●")
    return text


def look_of(ways: Ways, rightwards: bool, *, alive: bool) -> tuple[str, str, str]:
    """How a link is drawn: the sign that its line is made of, the words on it, and their style."""
    there, back = (ways.there, ways.back) if rightwards else (ways.back, ways.there)
    if not alive:
        return " ", "", "dim"
    if not there.open and not back.open:
        return "╌", "✗ cut", "red"
    words = [] if there.open and back.open else ["▶ one way" if there.open else "◀ one way"]
    if delay := max(there.delay, back.delay):
        words.append(f"{delay} ms")
    if loss := max(there.loss, back.loss):
        words.append(f"loses {loss:.0%}")
    if there.duplicate or back.duplicate or there.reorder or back.reorder:
        words.append("unruly")
    return ("━", "", "green") if not words else ("╍", " ".join(words), "yellow")


# --- events ---


def _events(events: Sequence[Told], moment: Moment) -> Table:
    """The last events, the newest first: who holds each."""
    lines = Table.grid(padding=(0, 2))
    lines.add_column(no_wrap=True, style="bold")
    lines.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    lines.add_column(no_wrap=True, justify="right")
    lines.expand = True
    lines.add_row("", "", "")
    if events:
        lines.add_row(
            *[Text(words, "dim not bold") for words in ("event", "what it says, the newest first", "held by")]
        )
    for told in reversed(events):
        writer, _, seq = told.dot.rpartition(":")
        holders = [one.name for one in moment.replicas if one.view.version.get(writer, 0) >= int(seq)]
        everybody = len(holders) == len(moment.replicas)
        known = Text("all", "green") if everybody else Text(" ".join(holders), "yellow")
        lines.add_row(told.dot, f"{told.said} in {told.stream}", known)
    return lines


# --- the end ---


def verdict(lesson: Lesson, report: Report) -> Text:
    """Whether everything was as it should be, and the rule in words."""
    together = "CONVERGED" if report.converged else "APART"
    if report.held:
        text = Text(f"{together}  all {len(report.steps)} steps went as they should", "bold green")
    else:
        text = Text(f"{together}  and not as it should: ", "bold red")
        text.append("; ".join(f"step {one.number}, {one.step}, but {one.came}" for one in report.failed))
    if lesson.rule:
        text.append_text(Text.assemble(("\nThe rule  ", "bold yellow"), (lesson.rule, "not bold default")))
    return text


def presents(lesson: Lesson, moment: Moment) -> list[str]:
    """What is read, in lines: those that hold and read the same in one of them."""
    said = [
        (one.name, _standing(one), ", ".join(f"{label} {value}" for label, value in readings(lesson, one).items()))
        for one in moment.replicas
    ]
    groups = groupby(sorted(said, key=lambda one: one[1:]), key=lambda one: one[1:])
    found = sorted((" ".join(name for name, _, _ in group), how, what) for (how, what), group in groups)
    return [f"{names} ({how})  {what}" for names, how, what in found]
