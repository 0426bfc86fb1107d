"""Damaged frames and blocks, by the million: nothing that nobody wrote is ever folded.

    python -m tests.flips --times 10000000 --seed 1      the whole run; `--one 1/4711` plays one trial of it again

What is damaged is real (`tests.material`), and it is put where it would be processed: a frame into a session that
stands where that frame arrived, of a whole node over its log; a block into the SQLite tables that it is read from.
`tests.judges` says what may become of it. A run ends with the first trial of which something else became.

Half of what is put into sessions are Batches, and half of these are damaged within a column or a claim of a slice,
so that all that holds the frame together is whole. `tests.tables` damages what else there is in a file.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

import msgspec

from sync.message import Batch, encode
from tests.damage import damaged
from tests.judges import Blocks, Found, Honest, Wire
from tests.material import Scene, world

MEMORY = 256 << 20
"""Bytes that the whole process may take, its material included."""
SCENES = 6
"""Scenes of each kind that are kept."""
STORED = 0.25
"""How much of what is damaged is stored, and not on its way."""
FULL, FULL_STORED = 0.05, 0.4
"""How much of each is of a world with blocks that are full, which takes longer."""


def inside(random: Random, batch: Batch) -> tuple[str, bytes]:
    """A Batch in which one column, or one claim of one slice, is damaged, and all that holds it together is not."""
    slices = [*batch.slices]
    at = random.randrange(len(slices))
    piece = slices[at]
    if random.random() < 0.6:
        columns = [*piece.columns]
        full = [n for n, column in enumerate(columns) if column]
        n = random.choice(full)
        way, columns[n] = damaged(random, columns[n], [other.columns[n] or b"x" for other in slices])
        slices[at] = msgspec.structs.replace(piece, columns=tuple(columns))
        return f"{way} in a column", encode(Batch(batch.number, batch.answers, slices))
    name = random.choice(("replica", "first", "after", "last", "commits", "base", "head"))
    value = getattr(piece, name)
    if isinstance(value, bytes):
        changed: Any = _flipped(random, value)
    else:
        changed = random.choice((value + 1, value - 1, value * 2 + 3, value ^ 1 << random.randrange(64), 2**64 - 1))
    slices[at] = msgspec.structs.replace(
        piece, **{name: changed % 2**64 if name not in ("base", "head") else changed}
    )
    return "another claim", encode(Batch(batch.number, batch.answers, slices))


def _flipped(random: Random, value: bytes) -> bytes:
    changed = bytearray(value)
    changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


class Trial(NamedTuple):
    """One damaged piece, and where it is put."""

    kind: str
    way: str
    data: bytes
    put: Callable[[], str]
    """Puts it there, and says what it led to."""


class Flips:
    """A run: trial `number` of a seed is the same trial always."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._worlds = [world(seed), world(seed, full=True)]
        self._wires: list[dict[str, list[Wire]]] = []
        for each in self._worlds:
            honest = Honest.of(each.replicas)
            by_name: dict[str, list[Scene]] = {}
            for scene in each.scenes:
                by_name.setdefault(scene.name, []).append(scene)
            random = Random(seed)
            kept = {
                name: random.sample(scenes, min(SCENES, len(scenes))) for name, scenes in sorted(by_name.items())
            }
            self._wires.append({name: [Wire(scene, honest) for scene in scenes] for name, scenes in kept.items()})
        self._blocks = [Blocks(each) for each in self._worlds]

    def trial(self, number: int) -> Trial:
        random = Random((self.seed << 64) + number)
        return self._block(random) if random.random() < STORED else self._frame(random)

    def _frame(self, random: Random) -> Trial:
        wires = self._wires[random.random() < FULL]
        name = "Batch, talking" if random.random() < 0.5 else random.choice([*wires])
        wire = random.choice(wires[name])
        if isinstance(wire.message, Batch) and random.random() < 0.5:
            way, data = inside(random, wire.message)
        else:
            way, data = damaged(random, wire.whole, [other.whole for other in wires[name]])
        return Trial(name, way, data, lambda: wire.judge(data))

    def _block(self, random: Random) -> Trial:
        blocks = self._blocks[random.random() < FULL_STORED]
        name = random.choice([*blocks.by_name])
        row = random.choice(blocks.by_name[name])
        way, data = damaged(random, row.plain, [other.plain for other in blocks.by_name[name]])
        return Trial(name, way, data, lambda: blocks.judge(row, data))

    def play(self, number: int) -> tuple[str, str]:
        """The kind and the outcome of a trial; Found, with all that is known of it, where it must not be."""
        trial = self.trial(number)
        try:
            return trial.kind, trial.put()
        except Exception as error:
            raise Found(
                f"--one {self.seed}/{number}: a {trial.kind}, damaged by {trial.way}: {type(error).__name__}: "
                f"{error}\n{trial.data.hex()}"
            ) from error


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.flips")
    parser.add_argument("--times", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--one", metavar="SEED/NUMBER", help="play one trial again")
    chosen = parser.parse_args()
    if chosen.one:
        seed, number = map(int, chosen.one.split("/"))
        print(*Flips(seed).play(number), sep=": ")
        return 0
    flips, counts, begun = Flips(chosen.seed), Counter[tuple[str, str]](), time.process_time()
    for number in range(chosen.times):
        counts[flips.play(number)] += 1
    took = time.process_time() - begun
    print("| damaged | outcome | times |\n|---|---|---|")
    for (kind, outcome), times in sorted(counts.items()):
        print(f"| {kind} | {outcome} | {times:,} |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"\nseed {chosen.seed}: {counts.total():,} in {took:.0f} s of CPU, {peak >> 20} MiB at most; ", end="")
    if peak > MEMORY:
        print(f"more than the {MEMORY >> 20} MiB that it may take")
        return 1
    print("nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
