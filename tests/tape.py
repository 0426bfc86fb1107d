"""A tape: what processes did to the files of a folder, and what a disk may hold of it after the power was cut.

The disk.

Rule 1. What was synced is there: the bytes and the length of a file as they were at its last fsync or fdatasync,
        and the names in the folder as they were at the last fsync of the folder.
Rule 2. Of what was done to a file since then any part may be there. A write is cut where sectors (512 bytes) begin;
        of the pieces any subset may have arrived, in any order. To truncate is to write zeros, and to set a length.
Rule 3. A piece may be torn: its first bytes or its last arrived, and the others did not. What lies beside the bytes
        of a write keeps its value (SQLite calls that "powersafe overwrite", and relies on it too).
Rule 4. A file has any of the lengths that it had since its last sync. What lies within and never arrived is zeros.
Rule 5. Of the creations, removals and renamings since the last sync of the folder any subset may have been made, in
        their order. Each is whole: a renamed file has the one name or the other. That a file was synced does not
        make its name durable.

It is harsher than most disks: file systems order more than this. What it leaves out: a disk that says that it has
synced and has not, and bytes that change long after they were written.

Where a sync and a write of two threads overlap, they count in the order in which they ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from random import Random
from typing import NamedTuple

SECTOR = 512


class Create(NamedTuple):
    """A file begins, empty, under a name. Files are numbered: a name may be given again."""

    file: int
    name: str


class Rename(NamedTuple):
    old: str
    new: str


class Unlink(NamedTuple):
    name: str


class Write(NamedTuple):
    file: int
    at: int
    data: bytes


class Truncate(NamedTuple):
    file: int
    size: int


class Sync(NamedTuple):
    """A file is durable, as far as it has got."""

    file: int


class SyncNames(NamedTuple):
    """So are the names in the folder."""


class Say(NamedTuple):
    """Something was said to the world outside, which no power cut takes back."""

    words: bytes


class Restart(NamedTuple):
    """The power was cut, and is back: this is what the disk holds; all else is gone."""

    files: tuple[tuple[int, str, bytes], ...]
    """Number, name and content of each."""


Naming = Create | Rename | Unlink
Operation = Naming | Write | Truncate | Sync | SyncNames | Say | Restart
Image = dict[str, bytes]


class Piece(NamedTuple):
    """Bytes that lie in one sector: of which operation, and where they go."""

    operation: int
    file: int
    at: int
    data: bytes


class Named(NamedTuple):
    """A change of names that may not have been made."""

    operation: int
    naming: Naming


class _File:
    def __init__(self, content: bytes = b"") -> None:
        self.durable = bytearray(content)
        self.sizes = [(0, len(content))]
        """The length at the last sync, and those since then, each with the operation that set it."""

    @property
    def size(self) -> int:
        return self.sizes[-1][1]


class Disk:
    """The files of a folder while operations are done to them, one after the other."""

    def __init__(self) -> None:
        self._files: dict[int, _File] = {}
        self._names: dict[str, int] = {}
        self._pending: list[Piece | Named] = []
        self._operation = 0

    def do(self, operation: Operation) -> None:
        self._operation += 1
        match operation:
            case Create(file):
                self._files[file] = _File()
                self._pending.append(Named(self._operation, operation))
            case Rename() | Unlink():
                self._pending.append(Named(self._operation, operation))
            case Write(file, at, data):
                self._write(file, at, data)
                self._resize(file, max(self._files[file].size, at + len(data)))
            case Truncate(file, size):
                self._write(file, size, bytes(max(self._files[file].size - size, 0)))
                self._resize(file, size)
            case Sync(number):
                file, size = self._files[number], self._files[number].size
                pieces = [one for one in self._pending if isinstance(one, Piece) and one.file == number]
                file.durable = _patched(file.durable, pieces, size)
                file.sizes = [(self._operation, size)]
                self._pending = [one for one in self._pending if isinstance(one, Named) or one.file != number]
            case SyncNames():
                self._names = _renamed(self._names, self._pending)
                named = set(self._names.values())
                self._files = {number: file for number, file in self._files.items() if number in named}
                self._pending = [one for one in self._pending if isinstance(one, Piece) and one.file in named]
            case Restart(files):
                self._files = {number: _File(content) for number, _, content in files}
                self._names = {name: number for number, name, _ in files}
                self._pending.clear()
            case Say():
                pass

    def _write(self, file: int, at: int, data: bytes) -> None:
        end = at + len(data)
        while at < end:
            upto = min(at // SECTOR * SECTOR + SECTOR, end)
            self._pending.append(Piece(self._operation, file, at, data[at - end : len(data) + upto - end]))
            at = upto

    def _resize(self, number: int, size: int) -> None:
        file = self._files[number]
        if size != file.size:
            file.sizes.append((self._operation, size))

    def nothing(self) -> Image:
        """What was synced, and no more."""
        return self._image([], 0)

    def everything(self) -> Image:
        return self._image(self._pending, self._operation)

    def images(self, most: int, random: Random) -> Iterator[Image]:
        """What may be there if the power is cut now: all possibilities if there are so few, else some of them.

        Always those in which nothing arrived, everything, and all up to some write or from it on.
        """
        sizes = {number: [size for _, size in file.sizes] for number, file in self._files.items()}
        ways = 1 << min(len(self._pending), 32)
        for several in sizes.values():
            ways *= len(several)
        if ways <= most:
            for kept in product((False, True), repeat=len(self._pending)):
                changes = [one for one, keep in zip(self._pending, kept, strict=True) if keep]
                for chosen in product(*sizes.values()):
                    yield self._image(changes, dict(zip(sizes, chosen, strict=True)))
            return
        yield self.nothing()
        yield self.everything()
        at = random.choice(self._pending).operation
        yield self._image([one for one in self._pending if one.operation <= at], at)
        yield self._image([one for one in self._pending if one.operation > at], self._operation)
        for _ in range(most - 4):
            yield self._some(random, sizes)

    def _some(self, random: Random, sizes: Mapping[int, list[int]]) -> Image:
        """Some of what is pending, by writes or by sectors, perhaps torn, perhaps in another order."""
        pending = self._pending
        match random.randrange(5):
            case 0:
                lost = random.choice(pending)
                kept = [one for one in pending if one is not lost]
            case 1:
                kept = [random.choice(pending)]
            case 2:
                share = random.choice((0.1, 0.5, 0.9))
                arrived = {one.operation for one in pending if random.random() < share}
                kept = [one for one in pending if one.operation in arrived]
            case _:
                share = random.choice((0.02, 0.1, 0.5, 0.9, 0.98))
                kept = [one for one in pending if random.random() < share]
        if kept and random.random() < 0.3:
            torn = random.randrange(len(kept))
            kept[torn] = _torn(kept[torn], random)
        if random.random() < 0.3:
            names = [one for one in kept if isinstance(one, Named)]
            kept = [one for one in kept if isinstance(one, Piece)]
            random.shuffle(kept)
            kept += names
        if random.random() < 0.5:
            return self._image(kept, self._operation)
        return self._image(kept, {number: random.choice(several) for number, several in sizes.items()})

    def _image(self, kept: Iterable[Piece | Named], length: int | dict[int, int]) -> Image:
        """The folder with some of what is pending, and with lengths: as chosen, or as after an operation."""
        kept = list(kept)
        pieces: dict[int, list[Piece]] = {}
        for one in kept:
            if isinstance(one, Piece):
                pieces.setdefault(one.file, []).append(one)
        image = {}
        for name, number in _renamed(self._names, kept).items():
            file = self._files[number]
            if isinstance(length, dict):
                size = length[number]
            else:
                since = [size for operation, size in file.sizes[1:] if operation <= length]
                size = since[-1] if since else file.sizes[0][1]
            image[name] = bytes(_patched(file.durable, pieces.get(number, ()), size))
        return image


def _patched(durable: bytearray, pieces: Iterable[Piece], size: int) -> bytearray:
    patched = bytearray(durable)
    for piece in pieces:
        end = piece.at + len(piece.data)
        if len(patched) < end:
            patched.extend(bytes(end - len(patched)))
        patched[piece.at : end] = piece.data
    del patched[size:]
    patched.extend(bytes(size - len(patched)))
    return patched


def _renamed(names: Mapping[str, int], changes: Iterable[Piece | Named]) -> dict[str, int]:
    renamed = dict(names)
    for change in changes:
        match change:
            case Named(naming=Create(file, name)):
                renamed[name] = file
            case Named(naming=Unlink(name)):
                renamed.pop(name, None)
            case Named(naming=Rename(old, new)) if old in renamed:
                renamed[new] = renamed.pop(old)
    return renamed


def _torn(one: Piece | Named, random: Random) -> Piece | Named:
    """A part of a piece."""
    if isinstance(one, Named) or len(one.data) < 2:
        return one
    cut = random.randrange(1, len(one.data))
    if random.random() < 0.5:
        return one._replace(data=one.data[:cut])
    return one._replace(at=one.at + cut, data=one.data[cut:])
