"""The mark beside a file: whether this file is still the one that its replica id was given to.

A dot must never be used twice. A copied file, or one restored from a backup, would go on counting where the
other one (or its own lost future) has counted already. So:

Rule 1. Beside `alice.db` lies `alice.db.mark`: the replica id, the file's own inode, and the nonces of its
        latest openings and closings, which are in the file too. Each adds a nonce, to the file first. (A closing
        too: else a copy that was made of the open file, put back after it was closed, would pass for it.)
Rule 2. The file may go on under its id if the mark names the same id and inode, and its last nonce is the
        file's last (or the one before: a crash between the two writes). Else the file is a copy, or older
        than the mark, and goes on under a new id: its old log stays as history.
Rule 3. A file written with `durability="normal"` and not closed has a tail in doubt: also a new id.
Rule 4. The mark is locked while the file is open for writing: one writing process a file. A process that is forked
        from that one does not keep the lock.

What no mark can tell (a whole disk that was set back) shows at the first meeting with a peer.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from weakref import WeakSet

import msgspec

from replica.errors import FileInUse, StoreError
from replica.files import inode_of, told
from replica.log import Identity

OPENINGS = 4
"""Nonces that are kept: enough to see which of two files is the older."""


class Mark(msgspec.Struct, frozen=True):
    """What lies beside a file."""

    replica: str
    inode: tuple[int, int]
    openings: tuple[str, ...]
    process: int
    """Who holds the file, for the error that a second one gets."""


class MarkFile:
    """A locked mark."""

    def __init__(self, path: Path, file: FileIO) -> None:
        self._path, self._file = path, file

    def read(self) -> Mark | None:
        """The mark; None where there is none that can be read."""
        self._file.seek(0)
        try:
            return msgspec.json.decode(self._file.read(), type=Mark)
        except msgspec.DecodeError:
            return None

    def write(self, identity: Identity) -> None:
        """Name the file as it is now."""
        openings = tuple(nonce.hex() for nonce in identity.openings)
        with told(f"{self._path}.mark"):
            mark = Mark(f"{identity.replica:016x}", inode_of(self._path), openings, os.getpid())
            self._file.seek(0)
            self._file.truncate()
            self._file.write(msgspec.json.encode(mark) + b"\n")
            os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def vouches_for(self, identity: Identity) -> bool:
        """The file may go on under its id."""
        mark = self.read()
        return (
            mark is not None
            and identity.clean
            and mark.replica == f"{identity.replica:016x}"
            and mark.inode == inode_of(self._path)
            and bool(mark.openings)
            and mark.openings[-1] in {nonce.hex() for nonce in identity.openings[-2:]}
        )


def holder(path: str) -> int | None:
    """The process that has a file open for writing; None where none has. (0: one that has not said which.)"""
    try:
        file = FileIO(f"{path}.mark")
    except OSError:  # there is none, or nobody here may know
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            found = MarkFile(Path(path), file).read()
            return found.process if found else 0
        return None


_held: WeakSet[MarkFile] = WeakSet()
"""Marks that this process has locked."""


def _forked() -> None:
    """In a forked process: give back what it has inherited. The lock stays with the process that took it."""
    for mark in _held:
        mark.close()


os.register_at_fork(after_in_child=_forked)


@contextmanager
def locked(path: str) -> Iterator[MarkFile]:
    """Hold the only right to write to a file; FileInUse where another process has it, StoreError where none can."""
    beside = f"{path}.mark"
    with told(beside):
        file = FileIO(os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")
    with file:
        mark = MarkFile(Path(path), file)
        _lock(file, mark, path)
        _held.add(mark)
        try:
            yield mark
        finally:
            _held.discard(mark)
            if not file.closed:  # it is in a process that was forked meanwhile
                fcntl.flock(file, fcntl.LOCK_UN)  # for those that were forked without a word, too


def _lock(file: FileIO, mark: MarkFile, path: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        found = mark.read()
        who = f"process {found.process}" if found else "another process"
        raise FileInUse(
            f"{path} is open for writing in {who}. Nothing was changed: a file has one writing process. "
            "End that one, or open a file of your own and connect the two."
        ) from None
    except OSError as error:
        raise StoreError(
            f"{path} cannot be locked ({error.strerror}): the file system under it knows no locks. Nothing was "
            "changed: keep the file on a local disk, and let replicas meet over the network."
        ) from error
