"""The recorder: a real process under `strace`, and what it did to the files of a folder as a tape (`tests.tape`).

Rule 1. All system calls that touch the folder are read, in the order in which they ended. One that the recorder
        does not know is an error: a tape leaves nothing out.
Rule 2. What is written to the file `said` is not on the disk: it is what was said to the world, in its place.
Rule 3. The call in which a process was killed may have been made, all of it or a part, and `strace` does not say
        so: what is in the folder afterwards does. But for that the tape, played to its end, gives what is there.
Rule 4. SQLite's shared memory (`-shm`) is no file: it is rebuilt when a file is opened by the first.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tests.tape import (
    Create,
    Disk,
    Image,
    Operation,
    Rename,
    Restart,
    Say,
    Sync,
    SyncNames,
    Truncate,
    Unlink,
    Write,
)

SAID = "said"
NAMES = ("a.db", "a.db-wal", "a.db-journal", "a.db.mark", "a.db.reached", SAID)
"""Files that are recorded."""
LAST = 1 << 16
"""Bytes that one call writes at most: a page, or a mark."""
_LOOKING = {
    "access", "close", "faccessat", "faccessat2", "fadvise64", "fchmod", "fchown", "fcntl", "flock", "fstat",
    "ioctl", "lstat", "newfstatat", "pread64", "readlink", "stat", "statx",
}  # fmt: skip
"""System calls that change nothing which a power cut could take back."""
_LINE = re.compile(r"^(\d+) +(.*)$")
_BEGUN = re.compile(r"^(.*) <unfinished \.\.\.>$", re.S)
_ENDED = re.compile(r"^<\.\.\. (\w+) resumed>(.*)$", re.S)
_CALL = re.compile(r"^(\w+)\((.*)\) += (-?\d+|\?)")


@cache
def can_record() -> bool:
    """Is `strace` installed, and may it look at a process?"""
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True).returncode == 0


class Recorder:
    """What was done to a folder by the processes that are run."""

    def __init__(self, folder: Path) -> None:
        self.operations: list[Operation] = []
        self._folder = folder
        self._files: dict[str, int] = {}
        """Which file has a name."""
        self._last = 0
        self._open: dict[int, list[int]] = {}
        """What a descriptor stands for: a file, and the place in it."""
        self._begun: dict[str, str] = {}

    def run(self, command: Sequence[str], cwd: Path) -> int:
        """Run a process to its end, and record it; what it returned."""
        paths = [str(self._folder), *(str(self._folder / name) for name in NAMES)]
        trace = self._folder.with_suffix(".strace")
        tracing = ["strace", "-f", "-o", str(trace), "-xx", "-s", "100000000"]
        tracing += [word for path in paths for word in ("-P", path)]
        done = subprocess.run([*tracing, *command], cwd=cwd)
        with trace.open() as lines:
            for line in lines:
                self._line(line.rstrip("\n"))
        trace.unlink()
        self._open.clear()
        self._begun.clear()
        self._finish(killed=done.returncode == -signal.SIGKILL)
        return done.returncode

    def disk(self) -> Disk:
        """As it is now."""
        disk = Disk()
        for operation in self.operations:
            disk.do(operation)
        return disk

    def _finish(self, killed: bool) -> None:
        """See that the tape ends as the folder is, but for the last call of a process that was killed."""
        disk = self.disk().everything()
        there = {file.name: file.read_bytes() for file in self._folder.iterdir() if file.name in NAMES[:-1]}
        assert disk == there or (killed and disk.keys() == there.keys()), "the tape misses what is in the folder"
        for name, content in there.items():
            before = disk[name]
            if before != content:
                self.operations.append(Truncate(self._files[name], len(content)))
                same = next(at for at in range(len(content) + 1) if before[at : at + 1] != content[at : at + 1])
                self.operations.append(Write(self._files[name], same, content[same : same + LAST]))
        assert self.disk().everything() == there, "the tape misses more than one call"

    def restart(self, image: Image) -> None:
        """The power is cut, and this is what the disk holds afterwards: it is in the folder by now."""
        self._files = {SAID: self._files[SAID]}
        for name in image:
            self._last += 1
            self._files[name] = self._last
        self.operations.append(Restart(tuple((self._files[name], name, image[name]) for name in image)))

    def _line(self, line: str) -> None:
        found = _LINE.match(line)
        assert found is not None, f"strace wrote {line[:200]!r}"
        thread, rest = found.groups()
        if rest.startswith(("+++", "---")):
            return
        if begun := _BEGUN.match(rest):
            self._begun[thread] = begun[1]
            return
        if ended := _ENDED.match(rest):
            rest = self._begun.pop(thread) + ended[2]
        call = _CALL.match(rest)
        assert call is not None, f"strace wrote {rest[:200]!r}"
        name, arguments, result = call.groups()
        if result not in ("?", "-1"):
            self._call(name, arguments.split(", "), int(result))

    def _call(self, name: str, arguments: list[str], result: int) -> None:
        match name:
            case "openat":
                self._opened(self._name(arguments[1]), arguments[2], result)
            case "lseek":
                self._open[int(arguments[0])][1] = result
            case "read":
                self._open[int(arguments[0])][1] += result
            case "write":
                data = _bytes(arguments[1])[:result]
                place = self._open[int(arguments[0])]
                self._written(place[0], place[1], data)
                place[1] += len(data)
            case "pwrite64":
                data = _bytes(arguments[1])[:result]
                self._written(self._open[int(arguments[0])][0], int(arguments[3]), data)
            case "ftruncate":
                self.operations.append(Truncate(self._open[int(arguments[0])][0], int(arguments[1])))
            case "fsync" | "fdatasync":
                file = self._open[int(arguments[0])][0]
                self.operations.append(Sync(file) if file else SyncNames())
            case "unlink":
                gone = self._name(arguments[0])
                del self._files[gone]
                self.operations.append(Unlink(gone))
            case "rename":
                old, new = map(self._name, arguments)
                self._files[new] = self._files.pop(old)
                self.operations.append(Rename(old, new))
            case _:
                assert name in _LOOKING, f"the recorder does not know what {name} does"

    def _opened(self, name: str, flags: str, descriptor: int) -> None:
        if name == "":
            self._open[descriptor] = [0, 0]
            return
        if name not in self._files:
            assert "O_CREAT" in flags, f"{name} was there before"
            self._last += 1
            self._files[name] = self._last
            if name != SAID:
                self.operations.append(Create(self._last, name))
        elif "O_TRUNC" in flags:
            self.operations.append(Truncate(self._files[name], 0))
        self._open[descriptor] = [self._files[name], 0]

    def _written(self, file: int, at: int, data: bytes) -> None:
        if file == self._files.get(SAID):
            self.operations.append(Say(data))
        else:
            self.operations.append(Write(file, at, data))

    def _name(self, quoted: str) -> str:
        path = Path(_bytes(quoted).decode())
        return "" if path == self._folder else str(path.relative_to(self._folder))


def _bytes(quoted: str) -> bytes:
    assert quoted[0] == quoted[-1] == '"', f"strace cut {quoted[-40:]} short"
    return bytes.fromhex(quoted[1:-1].replace("\\x", ""))
