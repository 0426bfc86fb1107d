"""The state as one flat map, (dot, path) -> what was said: the kernel's rules, word for word.

Slow, and kept on purpose: it is the oracle which `merge.tree` is tested against.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from merge.effect import Path, Verb
from merge.kernel import Happening, Said
from merge.version import Dot, VersionVector

Entries = dict[tuple[Dot, Path], tuple[Verb, Said]]


@dataclass(frozen=True, slots=True)
class Flat:
    """(dot, path) -> what was said there, and by which verb."""

    entries: Entries = field(default_factory=dict)

    def happen(self, event: Happening) -> Flat:
        forgotten = [path for verb, path, _ in event.effect if verb is Verb.FORGET]
        kept = {
            (dot, path): entry
            for (dot, path), entry in self.entries.items()
            if not (dot in event.context and any(path[: len(f)] == f for f in forgotten))
        }
        for verb, path, value in event.effect:
            if verb is not Verb.FORGET:
                kept[event.dot, path] = verb, Said(event.dot, event.stamp, value)
        return Flat(kept)

    def join(self, mine: VersionVector, other: Flat, theirs: VersionVector) -> Flat:
        return Flat(
            {k: e for k, e in self.entries.items() if k in other.entries or k[0] not in theirs}
            | {k: e for k, e in other.entries.items() if k in self.entries or k[0] not in mine}
        )
