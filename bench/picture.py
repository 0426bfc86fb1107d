"""The picture of a run, as SVG: ratios to the best peers and to what is written by hand, and how cost grows.

A pure function of what was found. It has its own background, light or dark as the reader's scheme is, so that it
can be read on any page. Both scales are logarithmic, so that equal distances are equal ratios. Nothing here needs
a font, a script or a network.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH = 960
LEFT, RIGHT = 372, 776
"""Where the scale of ratios begins and ends."""
STEP = 22
PANEL = 270
LEAST, MOST = 1 / 64, 64
STYLE = """
.page { fill: #ffffff }
text { font: 12px system-ui, sans-serif; fill: #24292f }
.small { font-size: 11px; fill: #57606a }
.head { font-size: 14px; font-weight: 600 }
.grid { stroke: #d0d7de; stroke-width: 1 }
.even { stroke: #57606a; stroke-width: 1.5 }
.ahead { fill: #2da44e; opacity: 0.10 }
.peer { fill: #0969da }
.hand { fill: none; stroke: #57606a; stroke-width: 1.5 }
.line { fill: none; stroke-width: 2 }
.c0 { stroke: #0969da; fill: #0969da } .c1 { stroke: #1a7f37; fill: #1a7f37 } .c2 { stroke: #bc4c00; fill: #bc4c00 }
.c3 { stroke: #8250df; fill: #8250df } .c4 { stroke: #bf3989; fill: #bf3989 }
.line { fill: none }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117 } text { fill: #e6edf3 } .small { fill: #9198a1 } .grid { stroke: #3d444d }
.even, .hand { stroke: #9198a1 }
.peer { fill: #58a6ff } .ahead { opacity: 0.18 }
.c0 { stroke: #58a6ff; fill: #58a6ff } .c1 { stroke: #3fb950; fill: #3fb950 } .c2 { stroke: #ffa657; fill: #ffa657 }
.c3 { stroke: #bc8cff; fill: #bc8cff } .c4 { stroke: #f778ba; fill: #f778ba }
.line { fill: none }
}
"""


@dataclass(frozen=True)
class Bar:
    """One row of the summary, as ratios: below 1 is ahead."""

    words: str
    peer: str
    to_peer: float | None
    to_hand: float | None


@dataclass(frozen=True)
class Slope:
    """How one cost grows."""

    words: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """Slopes over one axis."""

    axis: str
    slopes: Sequence[Slope]


def picture(bars: Sequence[Bar], panels: Sequence[Panel], words: str) -> str:
    """The whole picture; `words` stand below it."""
    parts: list[str] = []
    height = 16
    if bars:
        parts += _bars(bars, height)
        height += STEP * len(bars) + 90
    if panels:
        parts += _panels(panels, height)
        height += PANEL + 60 + 18 * -(-max(len(panel.slopes) for panel in panels) // 3)
    parts.append(_text(16, height, words, "small"))
    height += 16
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img">'
    title = "<title>Anabranch beside its peers, and how its cost grows</title>"
    page = f'<rect class="page" width="{WIDTH}" height="{height}" rx="6"/>'
    return "\n".join([head, title, f"<style>{STYLE}</style>", page, *parts, "</svg>"]) + "\n"


def _bars(bars: Sequence[Bar], top: int) -> Iterable[str]:
    yield _text(
        16, top + 6, "Cost beside the best peer, and beside what is written by hand (left of 1 is ahead)", "head"
    )
    begin, end = top + 30, top + 30 + STEP * len(bars)
    even = _across(1)
    yield f'<rect class="ahead" x="{LEFT}" y="{begin}" width="{even - LEFT:.1f}" height="{end - begin}"/>'
    for mark in (1 / 64, 1 / 16, 1 / 4, 1, 4, 16, 64):
        x = _across(mark)
        yield f'<line class="{"even" if mark == 1 else "grid"}" x1="{x:.1f}" y1="{begin}" x2="{x:.1f}" y2="{end}"/>'
        yield _text(x, begin - 6, f"{mark:g}" if mark >= 1 else f"1/{1 / mark:g}", "small", "middle")
    for number, bar in enumerate(bars):
        y = begin + STEP * number + STEP / 2
        yield _text(LEFT - 10, y + 4, bar.words, anchor="end")
        if bar.to_hand is not None:
            yield f'<circle class="hand" cx="{_across(bar.to_hand):.1f}" cy="{y}" r="5"/>'
        if bar.to_peer is not None:
            yield f'<circle class="peer" cx="{_across(bar.to_peer):.1f}" cy="{y}" r="5"/>'
        yield _text(RIGHT + 12, y + 4, bar.peer, "small")
    y = end + 20
    yield f'<circle class="peer" cx="{LEFT + 6}" cy="{y}" r="5"/>'
    yield _text(LEFT + 18, y + 4, "beside the best peer (named on the right)", "small")
    yield f'<circle class="hand" cx="{LEFT + 272}" cy="{y}" r="5"/>'
    yield _text(LEFT + 284, y + 4, "beside what is written by hand", "small")


def _across(value: float) -> float:
    share = math.log(min(max(value, LEAST), MOST) / LEAST) / math.log(MOST / LEAST)
    return LEFT + share * (RIGHT - LEFT)


def _panels(panels: Sequence[Panel], top: int) -> Iterable[str]:
    yield _text(
        16, top + 6, "How cost grows (both scales logarithmic; a line that is level costs the same)", "head"
    )
    ys = [y for panel in panels for slope in panel.slopes for _, y in slope.points]
    low, high = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))
    high += low == high
    width = (WIDTH - 16 - 40 * len(panels)) / len(panels)
    for number, panel in enumerate(panels):
        yield from _panel(panel, 48 + number * (width + 40), top + 30, width - 16, low, high)
    names = list(dict.fromkeys(slope.words for panel in panels for slope in panel.slopes))
    for number, name in enumerate(names):
        x, y = 48 + number % 3 * 305, top + PANEL + 40 + 18 * (number // 3)
        yield f'<line class="line c{number % 5}" x1="{x}" y1="{y}" x2="{x + 22}" y2="{y}"/>'
        yield _text(x + 28, y + 4, name, "small")


def _panel(panel: Panel, left: float, top: float, width: float, low: int, high: int) -> Iterable[str]:
    bottom = top + PANEL - 40
    xs = sorted({x for slope in panel.slopes for x, _ in slope.points})
    spread = math.log(max(xs) / min(xs)) or 1.0

    def across(x: float) -> float:
        return left + 8 + math.log(x / min(xs)) / spread * (width - 16)

    def up(y: float) -> float:
        return bottom - (math.log10(y) - low) / (high - low) * (bottom - top)

    for power in range(low, high + 1):
        y = up(10.0**power)
        yield f'<line class="grid" x1="{left:.1f}" y1="{y:.1f}" x2="{left + width:.1f}" y2="{y:.1f}"/>'
        yield _text(left - 4, y + 4, f"{10.0**power:g}", "small", "end")
    for x in xs:
        yield _text(across(x), bottom + 16, _short(x), "small", "middle")
    yield _text(left + width / 2, bottom + 32, panel.axis, anchor="middle")
    for number, slope in enumerate(panel.slopes):
        points = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in slope.points)
        yield f'<polyline class="line c{number % 5}" points="{points}"/>'
        for x, y in slope.points:
            yield f'<circle class="c{number % 5}" cx="{across(x):.1f}" cy="{up(y):.1f}" r="3"/>'


def _short(value: float) -> str:
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
