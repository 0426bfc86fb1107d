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
Rule 4. Beside it lies `alice.db.reached`: how far the own log has come, written after each COMMIT and before
        anybody hears of it. A file whose own log ends before that was set back: an online backup was put in its
        place. (It is not synced: it need not survive more than the process. After power loss the file is never
        behind it, for a commit is synced before it is written here.)
Rule 5. It says too when the mark was last changed, by the system's time of changes (ctime), which no copy keeps. So
        a backup that was put in place with all that belongs to it is noticed: its mark was changed since. Renaming,
        `chmod`, `chown` and links of the mark look the same, and so does a crash between the two writes. A false
        alarm costs a new id, and nothing else; a backup that is missed costs two histories under one id.
Rule 6. The mark is locked while the file is open for writing: one writing process a file. A process that is forked
        from that one does not keep the lock.

What no mark can tell (a whole disk that was set back, a cloned machine) shows at the first meeting with a peer.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import NamedTuple
from weakref import WeakSet

import msgspec

from replica.errors import FileInUse, StoreError
from replica.files import inode_of, told
from replica.log import Identity, LogRow, Transaction

OPENINGS = 4
"""Nonces that are kept: enough to see which of two files is the older."""


class Mark(msgspec.Struct, frozen=True):
    """What lies beside a file."""

    replica: str
    inode: tuple[int, int]
    openings: tuple[str, ...]
    process: int
    """Who holds the file, for the error that a second one gets."""
    reached: bool = False
    """There is a file beside it that says how far its log has come (marks of before had none)."""


REACHED = struct.Struct("<8sQQq")


class Reached(NamedTuple):
    """How far a log had come, under which opening and id, and when the mark was last changed (ns)."""

    nonce: bytes
    replica: int
    seq: int
    changed: int


def changed(file: FileIO) -> int:
    """When a file was last changed: its bytes, its name, its rights. A copy has a time of its own."""
    return os.fstat(file.fileno()).st_ctime_ns


class MarkFile:
    """A locked mark."""

    def __init__(self, path: Path, file: FileIO) -> None:
        self._path, self._file = path, file
        self._beside: FileIO | None = None
        self._reached = Reached(bytes(8), 0, 0, 0)

    def read(self) -> Mark | None:
        """The mark; None where there is none that can be read."""
        self._file.seek(0)
        try:
            return msgspec.json.decode(self._file.read(), type=Mark)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None

    def write(self, identity: Identity) -> None:
        """Name the file as it is now."""
        openings = tuple(nonce.hex() for nonce in identity.openings)
        with told(f"{self._path}.mark"):
            mark = Mark(f"{identity.replica:016x}", inode_of(self._path), openings, os.getpid(), True)
            if self._beside is None:
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
                self._beside = FileIO(os.open(f"{self._path}.reached", flags, 0o600), "r+")
            self._file.seek(0)
            self._file.truncate()
            self._file.write(msgspec.json.encode(mark) + b"\n")
            seq = self._reached.seq if identity.replica == self._reached.replica else 0
            self._reached = Reached(identity.openings[-1], identity.replica, seq, changed(self._file))
            self._write_reached(self._beside)
            os.fsync(self._file.fileno())
            os.fsync(self._beside.fileno())

    def _write_reached(self, beside: FileIO) -> None:
        os.pwrite(beside.fileno(), REACHED.pack(*self._reached), 0)

    def committed(self, transaction: Transaction) -> None:
        """A transaction has been committed: note how far the own log has come. Called on the thread of the log."""
        identity = transaction.identity
        if identity is not None and identity.replica != self._reached.replica:
            self._reached = self._reached._replace(replica=identity.replica, seq=0)
        self._note(transaction.logs)
        if self._beside is not None and transaction.own and identity is None:
            with suppress(OSError):  # it stays behind, and tells less
                self._write_reached(self._beside)

    def _note(self, rows: Iterable[LogRow]) -> None:
        own = [row.head.seq for row in rows if row.replica == self._reached.replica]
        if own and max(own) > self._reached.seq:
            self._reached = self._reached._replace(seq=max(own))

    def forget(self) -> None:
        """Vouch for nothing: another file takes the place of this one."""
        self._file.truncate(0)
        os.fsync(self._file.fileno())
        Path(f"{self._path}.reached").unlink(missing_ok=True)

    def close(self) -> None:
        self._file.close()
        if self._beside is not None:
            self._beside.close()

    def vouches_for(self, identity: Identity, rows: Iterable[LogRow]) -> bool:
        """The file, with these logs in it, may go on under its id."""
        self._reached = self._reached._replace(replica=identity.replica)
        self._note(rows)
        mark = self.read()
        if mark is None or not identity.clean or not self.is_of(identity):
            return False
        return not mark.reached or self._has_come_as_far(mark)

    def is_of(self, identity: Identity) -> bool:
        """The file is the one that the mark was made for: what is in it was recorded here."""
        mark = self.read()
        return (
            mark is not None
            and mark.replica == f"{identity.replica:016x}"
            and mark.inode == inode_of(self._path)
            and bool(mark.openings)
            and mark.openings[-1] in {nonce.hex() for nonce in identity.openings[-2:]}
        )

    def _has_come_as_far(self, mark: Mark) -> bool:
        """The own log ends where it was when it was last written to, or beyond; and the mark is that of then."""
        try:
            with FileIO(f"{self._path}.reached") as file:
                noted = Reached(*REACHED.unpack(file.read()))
        except (OSError, struct.error):
            return False
        here = Reached(bytes.fromhex(mark.openings[-1]), self._reached.replica, noted.seq, changed(self._file))
        return noted == here and noted.seq <= self._reached.seq


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
            if mark._beside is not None:
                mark._beside.close()
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
