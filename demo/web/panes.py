"""What a pane shows of a present, and at which place of a pane an event shows.

A pane has places: `name`, `items/milk`, `purse` and `note` of the party, `order/o1` and `stock/lamp` of the shop.
What is folded by other aggregates has none: the page shows its events.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from demo.party import STREAM, Party
from demo.shop import Order, Stock
from replica.decider import Decider

ORDERS = 40
"""Orders that a pane shows: the latest ones."""
_PARTY = {"PartyNamed": "name", "MoneyAdded": "purse", "NoteEdited": "note"}


def part(present: Decider) -> dict[str, Any] | None:
    """What is shown of one present; None where nothing is."""
    match present:
        case Party():
            value = present.value
            return {**value, "items": sorted(value["items"])}
        case Order(id=name, state=state):
            told = {"id": name, "product": state.product, "customer": state.customer, "price": state.price}
            return {**told, "stage": state.stage, "reason": state.reason}
        case Stock(state=state):
            return {"pieces": state.pieces, "reserved": len(state.reservations)}
    return None


def panes(parts: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """All of a pane, from the parts of its streams. Of several parties it shows one."""
    parties = sorted(
        (stream for stream in parts if stream.startswith("party/")), key=lambda one: (one != STREAM, one)
    )
    orders = [parts[stream] for stream in shown(parts) if stream.startswith("order/")]
    stock = {stream.partition("/")[2]: one for stream, one in sorted(parts.items()) if stream.startswith("stock/")}
    return {"party": parts[parties[0]] if parties else {}, "orders": orders, "stock": stock}


def shown(streams: Mapping[str, Any] | list[str]) -> list[str]:
    """The streams of which something is shown: of the orders the latest ones, in the order of their numbers."""
    orders = sorted((one for one in streams if one.startswith("order/")), key=lambda one: (len(one), one))
    return [one for one in streams if one.startswith(("party/", "stock/"))] + orders[-ORDERS:]


def place(stream: str, event: str, payload: Any) -> str | None:
    """Where an event shows; None where it does not."""
    match stream.partition("/")[0], payload:
        case "party", {"item": item}:
            return f"items/{item}"
        case "party", _:
            return _PARTY.get(event)
        case "order" | "stock", _:
            return stream
    return None
