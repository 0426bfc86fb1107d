"""Memory: events, the log, aggregates, presents. One replica, and what it knows."""

from replica.aggregate import Aggregate
from replica.core import Committed
from replica.decider import Given, Happened
from replica.errors import (
    AnabranchError,
    Closed,
    DamagedLog,
    FileInUse,
    InvalidBatch,
    InvalidEvent,
    Outdated,
    PoisonEvent,
    Refused,
    StoreError,
    UnknownStream,
    WrongFormat,
    WrongStore,
)
from replica.event import Command, Event
from replica.ordered import Moment, Ordered
from replica.replica import Change, Replica
from replica.status import Status, Unfolded

__all__ = [
    "Aggregate",
    "AnabranchError",
    "Change",
    "Closed",
    "Command",
    "Committed",
    "DamagedLog",
    "Event",
    "FileInUse",
    "Given",
    "Happened",
    "InvalidBatch",
    "InvalidEvent",
    "Moment",
    "Ordered",
    "Outdated",
    "PoisonEvent",
    "Refused",
    "Replica",
    "Status",
    "StoreError",
    "Unfolded",
    "UnknownStream",
    "WrongFormat",
    "WrongStore",
]
