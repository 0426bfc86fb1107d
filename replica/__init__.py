"""Memory: events, the log, aggregates, presents. One replica, and what it knows."""

from replica.aggregate import Aggregate
from replica.core import Committed
from replica.decider import Addressed, Given, Happened
from replica.due import Due, OwnerChanged
from replica.entry import Entry
from replica.errors import (
    AnabranchError,
    Closed,
    DamagedLog,
    FileInUse,
    InvalidBatch,
    InvalidEvent,
    Outdated,
    PoisonEvent,
    ProjectionStopped,
    Refused,
    StoreError,
    UnknownStream,
    WrongFormat,
    WrongStore,
)
from replica.event import Command, Event
from replica.feed import Feed
from replica.ordered import Moment, Ordered
from replica.projection import EventRows, StreamRows
from replica.reaction import Reaction, reaction
from replica.replica import Change, Replica
from replica.status import Member, Status, Unfolded
from replica.target import POSTGRES, SQLITE, Database, Export
from replica.verify import Verified

__all__ = [
    "POSTGRES",
    "SQLITE",
    "Addressed",
    "Aggregate",
    "AnabranchError",
    "Change",
    "Closed",
    "Command",
    "Committed",
    "DamagedLog",
    "Database",
    "Due",
    "Entry",
    "Event",
    "EventRows",
    "Export",
    "Feed",
    "FileInUse",
    "Given",
    "Happened",
    "InvalidBatch",
    "InvalidEvent",
    "Member",
    "Moment",
    "Ordered",
    "Outdated",
    "OwnerChanged",
    "PoisonEvent",
    "ProjectionStopped",
    "Reaction",
    "Refused",
    "Replica",
    "Status",
    "StoreError",
    "StreamRows",
    "Unfolded",
    "UnknownStream",
    "Verified",
    "WrongFormat",
    "WrongStore",
    "reaction",
]
