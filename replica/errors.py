"""What can go wrong, as one tree. Every message says what happened, what it means for the data, what to do.

AnabranchError
├── Refused             a decision said no: nothing was recorded
│   └── Outdated        the stream has events that the caller had not seen
├── InvalidEvent        an event that replicas could not agree on, or too large: nothing was recorded
├── UnknownStream       no aggregate of this replica folds that stream
├── PoisonEvent         folding an event raised: that one stream has no present, the log is whole
├── NoUpcaster          events in the log are older than their class, and no upcaster reads them: nothing was opened
├── NotObserved         a past, an event or a replica that this replica has not observed: it cannot go there
├── NoSuchPlace         a path leads to nothing in a stream
├── ProjectionStopped   the rows of a projection could not be made: its table stays as it is
├── InvalidBatch        what a peer sent breaks a rule of the log: nothing of it was taken
├── Closed              the replica was closed before it could answer
└── StoreError          the file cannot be used as asked
    ├── FileInUse       another process writes to it
    ├── FileExists      a file is there already where a new one is to be made
    ├── WrongStore      it belongs to another store
    ├── WrongFormat     it was written by another version
    └── DamagedLog      its bytes are not what was written
"""

from __future__ import annotations


class AnabranchError(Exception):
    """Base of all errors that Anabranch raises on purpose."""


class Refused(AnabranchError):
    """Raised by `decide` to refuse a command. Nothing was recorded."""


class Outdated(Refused):
    """The stream has events that are not in the version which the caller expected. Nothing was recorded."""


class InvalidEvent(AnabranchError):
    """An event that cannot be recorded as it is. Nothing was recorded."""


class UnknownStream(AnabranchError):
    """No aggregate of this replica has the category of that stream."""


class PoisonEvent(AnabranchError):
    """Folding an event raised. The log, sync and every other stream go on."""


class NoUpcaster(AnabranchError):
    """The log holds events that are older than their class, and no upcaster reads them. Nothing was opened."""


class NotObserved(AnabranchError):
    """A past, an event or a replica that this replica has not observed. Nothing was changed."""


class NoSuchPlace(AnabranchError):
    """A path that leads to nothing in a stream."""


class ProjectionStopped(AnabranchError):
    """A projection raised, or its table cannot be written. The log and everything else go on."""


class InvalidBatch(AnabranchError):
    """Commits from elsewhere that break a rule of the log. Nothing of the batch was taken."""


class Closed(AnabranchError):
    """The replica was closed, or its file failed, before it could answer."""


class StoreError(AnabranchError):
    """The file cannot be used as asked."""


class FileInUse(StoreError):
    """Another process has the file open for writing."""


class FileExists(StoreError):
    """There is a file already where a new one is to be made. It was left as it is."""


class WrongStore(StoreError):
    """The file belongs to another store."""


class WrongFormat(StoreError):
    """The file was written in another format."""


class DamagedLog(StoreError):
    """The bytes in the file are not those that were written."""
