"""How the story is told: coloured on a terminal, plain elsewhere, not at all where only the end is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

SAID = {
    "NameParty": 'calls it "{name}"',
    "AddItem": "adds {item}",
    "RemoveItem": "removes {item}",
    "AddMoney": "{amount:+d} to the purse",
    "WriteNote": 'writes "{text}"',
    "EditNote": 'writes "{insert}" in the place of {delete} characters',
}
STYLES = {"COMMAND": "bold", "EVENT": "green", "SIDE EFFECT": "yellow", "REPLAY": "dim"}
COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "red")


class Teller:
    """Says what happens, line by line, as it happens."""

    def __init__(self, console: Console | None) -> None:
        self._console = console
        self._colours: dict[str, str] = {}

    def line(self, text: str | Text = "", style: str = "") -> None:
        if self._console is not None:
            self._console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)

    def _name(self, name: str) -> Text:
        colour = self._colours.setdefault(name, COLOURS[len(self._colours) % len(COLOURS)])
        return Text(f"{name:<6}", style=f"bold {colour}")

    def chapter(self, title: str, what: str) -> None:
        self.line()
        self.line(title, style="bold underline")
        self.line(what)

    def wrote(self, name: str, dot: str, command: str, fields: dict[str, Any]) -> None:
        self.line(Text.assemble("  ", self._name(name), f" {SAID[command].format(**fields):<32}", (dot, "dim")))

    def happened(self, name: str, what: str, text: str) -> None:
        """Something that a place tells of its log."""
        self.line(Text.assemble("  ", self._name(name), (f" {what:<12}", STYLES[what]), text))

    def outcome(self, outcome: dict[str, Any]) -> None:
        """What a client that awaits its order is told."""
        reason = f": {outcome['reason']}" if outcome["reason"] else ""
        told = f"order {outcome['id']} {outcome['outcome']}{reason}"
        self.line(Text.assemble("  ", f"{'client':<6}", (f" {'OUTCOME':<12}", "bold"), told))

    def orders(self, orders: list[dict[str, Any]]) -> None:
        """What has become of all orders."""
        self.line()
        self.line("What every replica says of the orders:")
        for order in orders:
            self.line(f"  {order['id']}  {order['outcome']:<10} {order['reason'] or ''}".rstrip())

    def views(self, heading: str, views: list[dict[str, Any]]) -> None:
        """Each replica's version and present."""
        self.line(heading)
        for view in views:
            version = " ".join(f"{name}:{seq}" for name, seq in sorted(view["version"].items()))
            present = view["present"]
            items = " ".join(present["items"])
            self.line(Text.assemble("  ", self._name(view["name"]), f" at {version}"))
            self.line(f'         "{present["name"]}"   list: {items}   purse: {present["purse"]}')
            self.line(f"         note: {present['note']}")

    def why(self, present: dict[str, Any]) -> None:
        """What became of each conflict, and by which rule."""
        bread = "is on" if "bread" in present["items"] else "is off"
        self.line()
        self.line("What became of the conflicts:")
        self.line(f'  name   "{present["name"]}": of two names given at once, the later one stands.')
        self.line(f"  bread  {bread} the list: who removed it had not seen it being added again. Adding wins.")
        self.line(f"  purse  {present['purse']}: all payments count, on both sides.")
        self.line("  note   what both wrote is there, in the same order everywhere.")

    def verdict(
        self,
        converged: bool,
        digest: str | None,
        seconds: float,
        views: list[dict[str, Any]],
        alarms: Sequence[dict[str, Any]] = (),
    ) -> None:
        self.line()
        if converged:
            self.line(f"CONVERGED  {digest}  {seconds:.2f} s after the heal", style="bold green")
            return
        self.line("DIVERGED", style="bold red")
        first = views[0]
        for view in views[1:]:
            mine, theirs = _held(first), _held(view)
            for field, value in mine.items():
                if theirs[field] != value:
                    self.line(f"  {field}: {first['name']} has {value!r}, {view['name']} {theirs[field]!r}")
        for alarm in alarms:
            told = f"{alarm['stream']} reads differently at {alarm['peer']}, from {alarm['event']} on"
            self.line(Text.assemble("  ", self._name(alarm["replica"]), (" ALARM  ", "bold red"), told))
        for alarm in alarms[:1]:
            self.line(f"In the words of {alarm['replica']}: {alarm['what']}")


def _held(view: dict[str, Any]) -> dict[str, Any]:
    """What a replica says that it holds, by field."""
    return {**view.get("present", {"orders": view.get("orders")}), "version": view["version"]}
