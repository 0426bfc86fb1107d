"""What can go wrong, as one tree. Every message says what happened, what it means for the data, what to do.

AnabranchError
├── Refused             a decision said no: nothing was recorded
│   └── Outdated        the stream has events that the caller had not seen
├── CommandIdUsed       the command id belongs to another command: nothing was recorded
├── InvalidEvent        an event that replicas could not agree on, or too large: nothing was recorded
│   └── ChangedInPlace  a fold changed what is kept, where it should have made another value (also a TypeError)
├── UnknownStream       no aggregate of this replica folds that stream
├── PoisonEvent         folding an event raised: that one stream has no present, the log is whole
├── NoUpcaster          events in the log are older than their class, and no upcaster reads them: nothing was opened
├── NotObserved         a past, an event or a replica that this replica has not observed: it cannot go there
├── NoSuchPlace         a path leads to nothing in a stream
├── ProjectionStopped   the rows of a projection could not be made: its table stays as it is
├── InvalidBatch        what a peer sent breaks a rule of the log: nothing of it was taken
├── Closed              the replica was closed before it could answer
├── WrongLoop           called from another event loop, thread or process than the one that opened it
└── StoreError          the file cannot be used as asked
    ├── FileInUse       another process writes to it
    ├── FileExists      a file is there already where a new one is to be made
    ├── FileGone        it was removed, moved or replaced while it was open
    ├── Unavailable     its disk is full, or another program holds it: this passes, try again
    ├── WrongStore      it belongs to another store
    ├── WrongFormat     it was written by another version
    └── DamagedLog      its bytes are not what was written
"""

from __future__ import annotations

from typing import NoReturn


class AnabranchError(Exception):
    """Base of all errors that Anabranch raises on purpose."""


class Refused(AnabranchError):
    """Raised by `decide` to refuse a command. Nothing was recorded."""


class Outdated(Refused):
    """The stream has events that are not in the version which the caller expected. Nothing was recorded."""


class CommandIdUsed(AnabranchError):
    """The command id was used here before, for another command or in another stream. Nothing was recorded."""


class InvalidEvent(AnabranchError):
    """An event that cannot be recorded as it is. Nothing was recorded."""


class ChangedInPlace(InvalidEvent, TypeError):
    """A fold changed in place what is kept, where it should have made another value. Nothing was recorded."""


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


class WrongLoop(AnabranchError, RuntimeError):
    """A call from another event loop, thread or process than the one that opened the replica. Nothing was done."""


class StoreError(AnabranchError):
    """The file cannot be used as asked."""


class FileInUse(StoreError):
    """Another process has the file open for writing."""


class FileExists(StoreError):
    """There is a file already where a new one is to be made. It was left as it is."""


class FileGone(StoreError):
    """The file was removed, moved or replaced while it was open. Nothing was acknowledged since."""


class Unavailable(StoreError):
    """The file, or what it lies on, cannot serve now (no room, a lock of another program). It passes: try again."""


class WrongStore(StoreError):
    """The file belongs to another store."""


class WrongFormat(StoreError):
    """The file was written in another format."""


class DamagedLog(StoreError):
    """The bytes in the file are not those that were written."""


def as_exception(raised: BaseException) -> BaseException:
    """What a user's code raised, as something that can be told to its caller.

    Ctrl-C and exits stay what they are. What Python or a library uses for its own ends (a panic of compiled code,
    cancellation, the end of an iterator) would end a task without a word; it becomes a RuntimeError that names it.
    """
    plain = isinstance(raised, Exception) and not isinstance(raised, StopIteration | StopAsyncIteration)
    if plain or isinstance(raised, KeyboardInterrupt | SystemExit):
        return raised
    hint = "`next` found nothing" if isinstance(raised, StopIteration) else str(raised)
    told = RuntimeError(f"the code raised {type(raised).__name__}{f': {hint}' if hint else ''}")
    told.__cause__ = raised
    return told


def exception(raised: BaseException) -> Exception:
    """The same as an Exception. Raises what is an interrupt."""
    told = as_exception(raised)
    if not isinstance(told, Exception):
        raise told
    return told


def reraise(raised: BaseException) -> NoReturn:
    """Raise what a user's code raised in a fold, a promise or a row: an Exception, unless it is an interrupt."""
    raise as_exception(raised)
