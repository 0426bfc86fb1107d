"""Power cuts: whatever a disk may hold after one, nothing acknowledged is lost, and no dot is used twice.

    python -m tests.power --images 100000 --seed 1
    python -m tests.power --images 5000 --seed 1 --durability normal
    python -m tests.power --tape power-1.tape              what was found, once more

Rule 1. A tape (`tests.tape`) is recorded from the product (`tests.recorder`): some lives over one file
        (`tests.victim`), which end in good order, by SIGKILL, or (with "full") by an earlier power cut.
Rule 2. At each operation of the tape the power is cut, and images of the disk are made. The product opens each; it
        is checked (`tests.promises`), written to, and meets a peer that has heard all that was sent before the cut.
Rule 3. With `durability="full"` every promise made before the cut is kept. With "normal" promises may be broken,
        and how many is counted. In both no dot that anybody has heard of ever names another event.
Rule 4. The mark beside a file names its inode, and when the mark was changed, which a power cut does not change. An
        image is another file: its mark is made to name that one, unless those bytes did not arrive.
Rule 5. Lives are real processes: a seed does not give the same tape again. One in which something was found is kept
        where the run was started.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple, get_args

import msgspec

from replica.arrange import Gap
from replica.backend import MemoryBackend
from replica.direct import DirectReplica
from replica.files import inode_of
from replica.mark import REACHED, Reached
from replica.memory import MemoryLog
from replica.sqlite import SqliteLog
from tests.material import copied
from tests.promises import agree, at_rest, broken, facts_of, nothing_else, reused, well
from tests.recorder import NAMES, Recorder, can_record
from tests.shop import ItemAdded
from tests.tape import Disk, Image, Operation, Say
from tests.victim import AGGREGATES, PAST, PROJECTIONS, STORE, Life, Promise, Sent, bob, decode, opened

ROOT = Path(__file__).parent.parent
LONGEST = 60.0
"""Seconds after which an image that is looked at hangs."""


FEWEST = 8
"""Images of one power cut. For a few in all, some moments are left out."""


class Scale(NamedTuple):
    """How much a tape holds."""

    images: int
    """Of one tape."""
    lives: int
    writers: int
    turns: int
    checkpoint: int
    """Pages after which the write-ahead log is moved into the file."""
    chances: dict[str, int]
    """What its lives do, and how often."""


HEAVY = {"add": 44, "ask": 18, "twice": 20, "burst": 3, "long": 15}
"""One tape in four fills blocks, which costs."""
FACTS = {"add": 70, "twice": 26, "burst": 1, "long": 3}
LIGHT = {"add": 55, "ask": 20, "twice": 23, "burst": 1, "long": 1}
SCALES = {
    "full": Scale(10_000, 3, 6, 4, 60, LIGHT),
    "normal": Scale(500, 2, 24, 40, SqliteLog.checkpoint, FACTS),
}
"""With "full" all that happens happens often in a short tape. With "normal" it is measured what is lost, so there
the write-ahead log is as long as it is for users."""


class Tape(NamedTuple):
    """What some lives did to the disk, and said; and the inode that their file had."""

    seed: int
    durability: str
    operations: list[Operation]
    inode: tuple[int, int]


class Cut(NamedTuple):
    """The power is cut: what was promised by then, what peers have heard, and what the disk may hold."""

    operation: int
    promises: list[Promise]
    peer: MemoryLog
    disk: Disk


class Tally:
    """What some images came to."""

    def __init__(self) -> None:
        self.tapes = self.cuts = self.images = self.promised = self.renamed = 0
        self.lost: list[int] = []
        """How many events each image has lost."""
        self.lost_at_worst: list[int] = []
        """The same where nothing that was not synced has arrived."""

    def words(self, seconds: float) -> str:
        """Two lines for people."""
        losing = [lost for lost in self.lost if lost]
        return (
            f"{self.images} images of {self.cuts} power cuts in {self.tapes} tapes: {self.promised} times an "
            f"acknowledged event was looked for, {sum(self.lost)} times it was lost; {self.renamed} images went on "
            f"under a new id; {seconds:.0f} s\n"
            f"  lost events in {len(losing)} images, {_spread(losing)}; where nothing arrived that was not synced: "
            f"{_spread(self.lost_at_worst)}"
        )


def _spread(counts: list[int]) -> str:
    if not counts:
        return "none"
    inorder = sorted(counts)
    half, tenth = (inorder[len(inorder) * share // 10] for share in (5, 9))
    return f"median {half}, one in ten from {tenth} on, at most {inorder[-1]}"


def record(folder: Path, seed: int, durability: str, scale: Scale) -> Tape:
    """Let some replicas live over one file in a new folder."""
    folder.mkdir()
    random = Random(f"power/{seed}")
    recorder = Recorder(folder)
    path = folder / "a.db"
    for number in range(scale.lives):
        life = Life(str(path), number, seed, durability, scale.writers, scale.turns, chances=scale.chances)
        if random.random() < 0.5:
            life = life._replace(promises=random.randrange(1, scale.writers * scale.turns))
        words = msgspec.json.encode(life).decode()
        command = [sys.executable, "-m", "tests.victim", str(folder), words, str(scale.checkpoint)]
        assert recorder.run(command, ROOT) in (0, -9), f"a life ended with an error: {life}"
        image = random.choice(list(recorder.disk().images(16, random)))
        if durability == "full" and random.random() < 0.5 and "a.db" in image:
            lay(image, folder, inode_of(path))
            recorder.restart(image)
    return Tape(seed, durability, recorder.operations, inode_of(path))


def cuts(operations: list[Operation]) -> Iterator[Cut]:
    """A power cut after each operation, and what had been said by then."""
    disk, promises = Disk(), list[Promise]()
    peer = DirectReplica(
        copied(bob(PAST)[0].log), STORE, "bob", AGGREGATES, random=Random("peer"), projections=PROJECTIONS
    )
    for number, operation in enumerate(operations):
        disk.do(operation)
        if not isinstance(operation, Say):
            yield Cut(number, promises, peer.log, disk)
            continue
        match decode(operation.words):
            case Promise(kind="past"):
                pass  # a peer's events are synced later: the peer has them
            case Promise() as promise:
                promises.append(promise)
            case Sent(slices):
                assert not isinstance(peer.ingest(slices), Gap)
                peer.flush()
    yield Cut(len(operations), promises, peer.log, disk)


def lay(image: Image, folder: Path, recorded: tuple[int, int]) -> None:
    """Put an image into a folder, in place of what is there."""
    for name in (*NAMES[:-1], "a.db-shm"):
        if name not in image:
            (folder / name).unlink(missing_ok=True)
    for name, content in image.items():
        if name not in ("a.db.mark", "a.db.reached"):
            (folder / name).write_bytes(content)
    if "a.db.mark" in image:
        content = image["a.db.mark"]
        if "a.db" in image:
            old, new = map(msgspec.json.encode, (recorded, inode_of(folder / "a.db")))
            content = content.replace(old, new)
        (folder / "a.db.mark").write_bytes(content)
    if "a.db.reached" in image:
        content = image["a.db.reached"]
        if "a.db.mark" in image and len(content) == REACHED.size:
            reached = Reached(*REACHED.unpack(content))
            content = REACHED.pack(*reached._replace(changed=(folder / "a.db.mark").stat().st_ctime_ns))
        (folder / "a.db.reached").write_bytes(content)


async def look(cut: Cut, path: str, durability: str, tally: Tally) -> int:
    """Open what a power cut has left, check it, write to it, let it meet a peer; how many events it has lost."""
    backend = MemoryBackend(copied(cut.peer))
    async with opened(path, durability=durability) as replica, opened(":memory:", "bob", backend=backend) as peer:
        await at_rest(replica)
        facts = await facts_of(replica)
        lost = sum(len(promise.texts) for promise in broken(cut.promises, facts))
        nothing_else(cut.promises, facts)
        await well(replica, facts)
        await replica.append("list/after", ItemAdded("after"))
        heard = await facts_of(peer)
        await agree(replica, peer)
        after = await facts_of(replica)
        assert not reused(cut.promises, after), "a dot that was acknowledged names another event"
        assert facts.items() <= after.items(), "the peer undid something"
        assert heard.items() <= after.items(), "what the peer had heard is not there"
        assert not broken(cut.promises, after), "what was sent and acknowledged did not come back"
        tally.renamed += replica.status().succeeds is not None
    return lost


async def cut_power(tape: Tape, upto: int, place: Path, tally: Tally) -> None:
    """Cut the power at each operation of a tape, and look at images, up to so many in all."""
    random = Random(f"images/{tape.seed}")
    operations, path = tape.operations, str(place / "a.db")
    seen: set[int] = set()
    moments = sum(not isinstance(operation, Say) for operation in operations) + 1
    tally.tapes += 1
    for cut in cuts(operations):
        most = (upto - tally.images) / moments
        moments -= 1
        if random.random() * FEWEST > most:
            continue
        most = max(FEWEST, round(most))
        tally.cuts += 1
        worst = cut.disk.nothing()
        for image in cut.disk.images(most, random):
            name = hash((len(cut.promises), *sorted(image.items())))
            if name in seen:
                continue
            seen.add(name)
            lay(image, place, tape.inode)
            try:
                lost = await asyncio.wait_for(look(cut, path, tape.durability, tally), LONGEST)
                assert not lost or tape.durability == "normal", f"{lost} acknowledged events are lost"
            except BaseException as error:
                error.add_note(f"seed {tape.seed}, operation {cut.operation} of its tape, image {tally.images}")
                raise
            tally.images += 1
            tally.promised += sum(len(promise.texts) for promise in cut.promises)
            tally.lost.append(lost)
            if image == worst:
                tally.lost_at_worst.append(lost)


def keep(tape: Tape, images: int, folder: Path) -> Path:
    """Keep a tape, and how many images of it were to be looked at; the file."""
    operations = [(type(operation).__name__, operation) for operation in tape.operations]
    path = folder / f"power-{tape.seed}.tape"
    path.write_bytes(msgspec.msgpack.encode((images, tape._replace(operations=operations))))
    return path


def kept(path: Path) -> tuple[int, Tape]:
    """A tape that was kept. Its images are those that were made of it then."""
    kinds = {kind.__name__: kind for kind in get_args(Operation)}
    images, (seed, durability, operations, inode) = msgspec.msgpack.decode(path.read_bytes())
    played = [msgspec.convert(fields, kinds[name]) for name, fields in operations]
    return images, Tape(seed, durability, played, tuple(inode))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.power", description="Cut the power, and look.")
    parser.add_argument("--images", type=int, default=1000, help="how many; 1000 unless given")
    parser.add_argument("--seed", type=int, default=0, help="of the first tape; 0 unless given")
    parser.add_argument("--durability", choices=SCALES, default="full", help='"full" unless given')
    parser.add_argument("--tape", type=Path, help="a tape that was kept: its images alone")
    args = parser.parse_args()
    if not args.tape and not can_record():
        print("strace is not here, or may not look at processes: nothing can be recorded", file=sys.stderr)
        return 2
    gc.freeze()
    tally, begun = Tally(), time.perf_counter()
    shared_memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared_memory if shared_memory.is_dir() else None) as folder:
        place = Path(folder).resolve()
        if args.tape:
            images, tape = kept(args.tape)
            asyncio.run(cut_power(tape, images, place, tally))
        while not args.tape and tally.images < args.images:
            scale, seed = SCALES[args.durability], args.seed + tally.tapes
            if args.durability == "full" and seed % 4 == 0:
                scale = scale._replace(chances=HEAVY)
            tape = record(place / f"tape{seed}", seed, args.durability, scale)
            images = min(scale.images, args.images - tally.images)
            try:
                asyncio.run(cut_power(tape, tally.images + images, place, tally))
            except Exception as error:
                error.add_note(f"play it again: --tape {keep(tape, images, Path.cwd())}")
                raise
    print(tally.words(time.perf_counter() - begun))
    return 0


if __name__ == "__main__":
    sys.exit(main())
