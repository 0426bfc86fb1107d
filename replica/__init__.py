"""Memory: events, the log, aggregates, presents. One replica, and what it knows."""

from replica.aggregate import Aggregate
from replica.aside import EventSetAside
from replica.backup import Backup, backup, restore_backup
from replica.core import Committed
from replica.decider import Addressed, Given, Happened
from replica.difference import ABSENT, Changed
from replica.due import Due, OwnerChanged
from replica.entry import Entry
from replica.errors import (
    AnabranchError,
    ChangedInPlace,
    Closed,
    CommandIdUsed,
    DamagedLog,
    FileExists,
    FileGone,
    FileInUse,
    InvalidBatch,
    InvalidEvent,
    NoSuchPlace,
    NotObserved,
    NoUpcaster,
    Outdated,
    PoisonEvent,
    ProjectionStopped,
    Refused,
    StoreError,
    Unavailable,
    UnknownStream,
    WrongFormat,
    WrongLoop,
    WrongStore,
)
from replica.event import Command, Event
from replica.explain import Act, Explanation, Share
from replica.feed import Feed
from replica.fork import Forked
from replica.history import Record
from replica.join import Joined
from replica.ordered import Moment, Ordered
from replica.projection import EventRows, StreamRows
from replica.reaction import Reaction, reaction
from replica.readonly import ReadOnly
from replica.replica import Change, Replica
from replica.status import Divergence, LeftOut, Member, Status, Unfolded
from replica.target import POSTGRES, SQLITE, Database, Export
from replica.verify import Verified
from replica.view import Difference, View

__all__ = [
    "ABSENT",
    "POSTGRES",
    "SQLITE",
    "Act",
    "Addressed",
    "Aggregate",
    "AnabranchError",
    "Backup",
    "Change",
    "Changed",
    "ChangedInPlace",
    "Closed",
    "Command",
    "CommandIdUsed",
    "Committed",
    "DamagedLog",
    "Database",
    "Difference",
    "Divergence",
    "Due",
    "Entry",
    "Event",
    "EventRows",
    "EventSetAside",
    "Explanation",
    "Export",
    "Feed",
    "FileExists",
    "FileGone",
    "FileInUse",
    "Forked",
    "Given",
    "Happened",
    "InvalidBatch",
    "InvalidEvent",
    "Joined",
    "LeftOut",
    "Member",
    "Moment",
    "NoSuchPlace",
    "NoUpcaster",
    "NotObserved",
    "Ordered",
    "Outdated",
    "OwnerChanged",
    "PoisonEvent",
    "ProjectionStopped",
    "Reaction",
    "ReadOnly",
    "Record",
    "Refused",
    "Replica",
    "Share",
    "Status",
    "StoreError",
    "StreamRows",
    "Unavailable",
    "Unfolded",
    "UnknownStream",
    "Verified",
    "View",
    "WrongFormat",
    "WrongLoop",
    "WrongStore",
    "backup",
    "reaction",
    "restore_backup",
]
