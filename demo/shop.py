"""A shop that sells from several places at once: orders, stock and payments, each an aggregate of its own.

    CreateOrder -> OrderCreated ..due..> ReserveProduct -> ProductReserved ..due..> SubmitPayment
        -> PaymentAuthorized ..due..> ShipProduct -> ProductShipped ..due..> CompleteOrder -> OrderCompleted

An `Order` is a process manager: what it owes next is read off its state (`due`), so a crash between two steps
forgets nothing. A decision of the stock or the bank that concerns an order puts its fact into the order as well, in
the same commit. What goes wrong (nothing in stock, no money) is a fact too, and is answered by OrderFailed.

While they cannot hear each other two places may sell the last piece twice. Once they meet, the stock is what all
reservations come to in the order of their stamps: those beyond what is in stock are owed a FailOrder, by the place
that recorded them. So the order that lost fails once, with its reason, gives the money back, and everybody sees it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from replica import Addressed, Command, Due, Event, Given, Moment, Ordered, Refused

CREDIT = 100
"""What the bank lets a customer spend."""
THINK = 250
"""ms between a reservation and its payment: the time in which the story's process is killed."""

# --- facts ---


class OrderCreated(Event, frozen=True):
    order: str
    product: str
    price: int
    customer: str


class ProductReserved(Event, frozen=True):
    order: str


class ProductOutOfStock(Event, frozen=True):
    order: str


class PaymentAuthorized(Event, frozen=True):
    order: str
    amount: int


class PaymentDeclined(Event, frozen=True):
    order: str
    reason: str


class PaymentRefunded(Event, frozen=True):
    order: str
    amount: int


class ProductShipped(Event, frozen=True):
    order: str


class ReservationReleased(Event, frozen=True):
    order: str


class StockReceived(Event, frozen=True):
    pieces: int


class OrderFailed(Event, frozen=True):
    order: str
    reason: str


class OrderCompleted(Event, frozen=True):
    order: str


# --- intents ---


class CreateOrder(Command, frozen=True):
    product: str
    price: int
    customer: str


class ReserveProduct(Command, frozen=True):
    order: str


class SubmitPayment(Command, frozen=True):
    order: str
    amount: int


class ShipProduct(Command, frozen=True):
    order: str


class CompleteOrder(Command, frozen=True):
    pass


class FailOrder(Command, frozen=True):
    reason: str


class ReceiveStock(Command, frozen=True):
    pieces: int


# --- what decides ---

DotPair = tuple[int, int]


class OrderState(msgspec.Struct, frozen=True):
    """Where an order stands; `at` is the dot of the fact that brought it there, `when` its wall time."""

    stage: str = "none"
    """none, created, reserved, out of stock, paid, declined, shipped, completed or failed."""
    at: DotPair = (0, 0)
    when: int = 0
    product: str = ""
    price: int = 0
    customer: str = ""
    held: bool = False
    """A piece is reserved for it."""
    paid: int = 0
    reason: str = ""


class Order(Ordered):
    """One order, and what it owes next."""

    stream = "order"
    events = (
        OrderCreated, ProductReserved, ProductOutOfStock, PaymentAuthorized, PaymentDeclined, PaymentRefunded,
        ProductShipped, OrderFailed, OrderCompleted,
    )  # fmt: skip

    state: OrderState

    @property
    def id(self) -> str:
        return self.address.partition("/")[2]

    def initial(self) -> OrderState:
        return OrderState()

    def decide(self, command: Command, given: Given) -> Iterable[Event | Addressed] | None:
        state = self.state
        match command:
            case CreateOrder(product, price, customer):
                if state.stage != "none":
                    raise Refused(f"there is an order {self.id} already")
                return [OrderCreated(self.id, product, price, customer)]
            case CompleteOrder():
                return [OrderCompleted(self.id)] if state.stage == "shipped" else None
            case FailOrder(reason):
                return self._fail(reason) if state.stage != "failed" else None
        raise Refused(f"an order knows nothing of {type(command).__name__}")

    def _fail(self, reason: str) -> list[Event | Addressed]:
        """It fails, gives back what was reserved, and has the money paid back."""
        facts: list[Event | Addressed] = [OrderFailed(self.id, reason)]
        if self.state.held:
            facts.append(Addressed(f"stock/{self.state.product}", ReservationReleased(self.id)))
        if self.state.paid:
            refund = PaymentRefunded(self.id, self.state.paid)
            facts += [refund, Addressed(f"payment/{self.state.customer}", refund)]
        return facts

    def evolve(self, state: OrderState, event: Any, moment: Moment) -> OrderState:
        changed = {"at": (int(moment.dot.replica), moment.dot.seq), "when": moment.stamp.wall}
        match event:
            case OrderCreated(_, product, price, customer):
                changed |= {"stage": "created", "product": product, "price": price, "customer": customer}
            case ProductReserved():
                changed |= {"stage": "reserved", "held": True}
            case ProductOutOfStock():
                changed |= {"stage": "out of stock"}
            case PaymentAuthorized(_, amount):
                changed |= {"stage": "paid", "paid": amount}
            case PaymentDeclined(_, reason):
                changed |= {"stage": "declined", "reason": reason}
            case PaymentRefunded():
                changed = {"paid": 0}
            case ProductShipped():
                changed |= {"stage": "shipped"}
            case OrderCompleted():
                changed |= {"stage": "completed"}
            case OrderFailed(_, reason):
                changed |= {"stage": "failed", "reason": reason, "held": False}
        return msgspec.structs.replace(state, **changed)

    def due(self) -> Iterable[Due]:
        state, stock = self.state, f"stock/{self.state.product}"
        match state.stage:
            case "created":
                yield Due(ReserveProduct(self.id), state.at, to=stock)
            case "reserved":
                payment = SubmitPayment(self.id, state.price)
                yield Due(payment, state.at, to=f"payment/{state.customer}", at=state.when + THINK)
            case "paid":
                yield Due(ShipProduct(self.id), state.at, to=stock)
            case "shipped":
                yield Due(CompleteOrder(), state.at)
            case "out of stock":
                yield Due(FailOrder(f"no {state.product} is in stock"), state.at)
            case "declined":
                yield Due(FailOrder(state.reason), state.at)


class Reservation(msgspec.Struct, frozen=True):
    """A piece that is kept for an order, or would be if there were one; and the fact that says so."""

    order: str
    at: DotPair


class StockState(msgspec.Struct, frozen=True):
    pieces: int = 0
    reservations: tuple[Reservation, ...] = ()
    """In the order of their stamps: the first `pieces` of them have one."""


class Stock(Ordered):
    """How many pieces of one product there are, and for whom they are kept."""

    stream = "stock"
    events = (StockReceived, ProductReserved, ReservationReleased, ProductShipped)

    state: StockState

    @property
    def product(self) -> str:
        return self.address.partition("/")[2]

    def initial(self) -> StockState:
        return StockState()

    def decide(self, command: Command, given: Given) -> Iterable[Event | Addressed] | Addressed:
        match command:
            case ReceiveStock(pieces):
                return [StockReceived(pieces)]
            case ReserveProduct(order):
                if len(self.state.reservations) >= self.state.pieces:
                    return Addressed(f"order/{order}", ProductOutOfStock(order))
                return _both(f"order/{order}", ProductReserved(order))
            case ShipProduct(order):
                return _both(f"order/{order}", ProductShipped(order))
        raise Refused(f"a stock knows nothing of {type(command).__name__}")

    def evolve(self, state: StockState, event: Any, moment: Moment) -> StockState:
        kept = state.reservations
        match event:
            case StockReceived(pieces):
                return StockState(state.pieces + pieces, kept)
            case ProductReserved(order):
                return StockState(
                    state.pieces, (*kept, Reservation(order, (int(moment.dot.replica), moment.dot.seq)))
                )
            case ReservationReleased(order):
                return StockState(state.pieces, tuple(one for one in kept if one.order != order))
        return state

    def due(self) -> Iterable[Due]:
        """More are promised than there are: those that came last in the order of stamps go without."""
        pieces, kept = self.state.pieces, self.state.reservations
        winner = kept[pieces - 1].order if 0 < pieces <= len(kept) else "nobody"
        for late in kept[pieces:]:
            reason = f"the last {self.product} had gone to order {winner} before"
            yield Due(FailOrder(reason), late.at, to=f"order/{late.order}", correlation=late.order)


class Payment(Ordered):
    """What one customer has paid, within the credit that the bank gives."""

    stream = "payment"
    events = (PaymentAuthorized, PaymentDeclined, PaymentRefunded)

    state: int

    def initial(self) -> int:
        return 0

    def decide(self, command: Command, given: Given) -> Iterable[Event | Addressed]:
        match command:
            case SubmitPayment(order, amount) if self.state + amount > CREDIT:
                who = self.address.partition("/")[2]
                why = f"the bank declined {amount} for {who}, who has {CREDIT - self.state} left"
                return _both(f"order/{order}", PaymentDeclined(order, why))
            case SubmitPayment(order, amount):
                return _both(f"order/{order}", PaymentAuthorized(order, amount))
        raise Refused(f"a payment knows nothing of {type(command).__name__}")

    def evolve(self, state: int, event: Any, moment: Moment) -> int:
        match event:
            case PaymentAuthorized(_, amount):
                return state + amount
            case PaymentRefunded(_, amount):
                return state - amount
        return state


def _both(stream: str, event: Event) -> list[Event | Addressed]:
    """A fact for the stream that decides and for another one, in one commit."""
    return [event, Addressed(stream, event)]


AGGREGATES = (Order, Stock, Payment)
