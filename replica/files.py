"""Files: where a store may lie, how its file is made, and whether it is where it was.

Rule 1. A path is checked where it enters: it names a regular file, or none yet, in a folder that is there.
Rule 2. A file that is made is its owner's alone (0600), before a byte is in it; SQLite gives what lies beside it
        the same mode. The mode of a file that is there is for people to choose.
Rule 3. One file, one name. A second hard link has no -wal of its own: what is written through the one is half of
        what is read through the other. So a file with two names is not opened for writing.
Rule 4. What is acknowledged lies in a file. After each COMMIT the file and what belongs to it must be where they
        were when it was opened: nobody is told of success by a file that is gone.
Rule 5. A forked process inherits open files, and with them SQLite's own notes on locks, which are not true of it.
        It opens none of the files that were open when it was forked.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from replica.errors import AnabranchError, FileGone, StoreError, Unavailable
from replica.log import CommitInDoubt

MEMORY = ":memory:"
"""The path of a store that lies in no file."""
PASSING = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EMFILE,
    errno.ENFILE,
    errno.EAGAIN,
    errno.EBUSY,
    errno.ENOMEM,
    errno.EINTR,
}
"""Errors of the system that pass: no room, too many open files."""

BESIDE = ("-wal", "-shm", ".mark")
"""What belongs to a file, by how its name goes on: what SQLite keeps there, and the mark (see `replica.mark`)."""
TICK = 100_000_000
"""ns in which a file system gives two changes of a folder different times, for certain."""

Inode = tuple[int, int]
"""What a file is, whatever it is called: device and number."""


def file_at(path: str | bytes | os.PathLike[Any]) -> str:
    """The absolute path of the file that `path` names, through symbolic links; ":memory:" as it is.

    Raises TypeError, ValueError where it names no file; StoreError where no file can lie there.
    """
    name = os.fsdecode(path)
    if name == MEMORY:
        return name
    if not name:
        raise ValueError('an empty path names no file: say which, or ":memory:" for none at all')
    if "\0" in name:
        raise ValueError(f"the path {name!r} has a zero in it, which no file system takes")
    with told(name):
        path = os.path.realpath(name)
        folder = os.path.dirname(path)
        if not os.path.lexists(folder):
            raise StoreError(f"{path} cannot be made or read: there is no folder {folder}. Nothing was changed.")
        if not stat.S_ISDIR(os.stat(folder).st_mode):
            raise StoreError(f"{path} cannot be made or read: {folder} is no folder. Nothing was changed.")
        found = kind_of(path)
    if found is not None and not stat.S_ISREG(found.st_mode):
        what = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
        raise StoreError(f"{path} is {what}, and a store lies in a file. Nothing was changed: name another one.")
    if found is not None and inode(found) in _inherited:
        raise StoreError(
            f"{path} was open when this process was forked, and SQLite's locks are not inherited. Nothing was "
            "changed: begin the process another way (`spawn` or `forkserver` of multiprocessing), or fork before "
            "the file is opened."
        )
    return path


def kind_of(path: str) -> os.stat_result | None:
    """What lies at a path; None where nothing does. OSError where one cannot know."""
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def inode(found: os.stat_result) -> Inode:
    return found.st_dev, found.st_ino


def inode_of(path: str | os.PathLike[str]) -> Inode:
    """What lies at a path; OSError where nothing does."""
    return inode(os.stat(path))


def begin(path: str) -> None:
    """Make a file that only its owner can read, unless there is one; StoreError where it has two names."""
    with told(path):
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            if os.stat(path).st_nlink > 1:
                raise StoreError(
                    f"{path} has a second name (a hard link), and what is written by the one would be damaged by "
                    "the other. Nothing was changed: remove the other name, or copy the file."
                ) from None


@contextmanager
def told(path: str | os.PathLike[str]) -> Iterator[None]:
    """An error of the system becomes one of ours."""
    try:
        yield
    except OSError as error:
        raise system_error(path, error) from error


def system_error(path: str | os.PathLike[str], error: OSError) -> AnabranchError:
    """An error of the system about a file, as one of ours."""
    why = error.strerror or str(error)
    if error.errno in PASSING:
        return Unavailable(f"{path} cannot be used now: {why}. What was acknowledged is in it: try again.")
    if isinstance(error, FileNotFoundError):
        return StoreError(f"{path} cannot be made or read: {why}. Nothing was changed.")
    return StoreError(f"{path} cannot be used: {why}. What was acknowledged is in it.")


def sync(path: str | os.PathLike[str]) -> None:
    """Make a file, or what a folder lists, survive power loss."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class OpenFile:
    """A file that is open for writing, and what belongs to it: whether all are where they were.

    Nothing goes from a folder, and nothing comes, without a change of its time. So one look at the folder is enough
    for as long as that stands still, and is old enough to change.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._file = inode_of(path)
        self._folder = os.path.dirname(path)
        self._beside: dict[str, Inode] = {}
        self._quiet: tuple[int, int, int] | None = None
        _open[self._file] = _open.get(self._file, 0) + 1

    def end(self) -> None:
        """It is open no more."""
        _open[self._file] = _open.get(self._file, 1) - 1
        if _open[self._file] <= 0:
            del _open[self._file]

    def is_same(self) -> bool:
        """The file itself is where it was, for all that one can know."""
        return _there(self.path) in (self._file, UNKNOWN)

    def check(self) -> None:
        """After a COMMIT: raises FileGone where the file is elsewhere, CommitInDoubt where what is beside it is."""
        try:
            folder = os.stat(self._folder)
        except OSError:
            folder = None
        seen = None if folder is None else (*inode(folder), folder.st_mtime_ns)
        if seen is None or seen != self._quiet:
            self._check()
            old = folder is not None and time.time_ns() - folder.st_mtime_ns > TICK
            self._quiet = seen if old else None

    def _check(self) -> None:
        if not self.is_same():
            raise FileGone(
                f"{self.path} was removed, moved or replaced while it was open. What was acknowledged is in what "
                'was removed, and nothing was since. Save it now: `await replica.fork("elsewhere.db")`, '
                "before this one is left."
            )
        for end in BESIDE:
            found = _there(self.path + end)
            if found == UNKNOWN or (found is not None and self._beside.setdefault(end, found) == found):
                continue
            if end != ".mark":
                raise CommitInDoubt(f"{self.path}{end} was removed or replaced while it was in use")
            if end in self._beside:
                raise FileGone(
                    f"{self.path}.mark was removed, moved or replaced while the file was open: another process may "
                    "write to it. What was acknowledged is in the file: open it again."
                )


UNKNOWN = (0, 0)
"""What lies where the system cannot look now."""


def _there(path: str) -> Inode | None:
    """What lies at a path; None for nothing."""
    try:
        return inode_of(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return UNKNOWN


_open: dict[Inode, int] = {}
"""Files that this process has open."""
_inherited: set[Inode] = set()
"""Files that were open when this process was forked."""


def _forked() -> None:
    _inherited.update(_open)
    _open.clear()


os.register_at_fork(after_in_child=_forked)
