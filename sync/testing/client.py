"""What clients do in a schedule: they write, read what they wrote, and decide on what they had read.

Each call is also an oracle, of what a client may rely on at any moment:

| oracle | holds |
|---|---|
| session | who has read something at a replica reads no less there later, and reads what was written there |
| meaning | a present is what the facts inside its version say by definition, now and at any cut |
| settled | what is settled of a diary stays as it is, among the members that are known |
| merge | two pasts, merged, are the past of all facts in either |
| expect | a command that expects a version is refused if, and only if, the stream has moved on since |

Source: Terry et al. 1994 (session guarantees).
"""

from __future__ import annotations

from collections.abc import Callable

from merge.kernel import Past
from merge.version import NOTHING, VersionVector
from replica.commit import Note
from replica.direct import DirectReplica
from replica.errors import Outdated
from replica.folding import fold_within
from sync.testing.ledger import Found
from sync.testing.workload import BOARDS, DRAWN, Ask, Fact, by_definition, facts, in_turn, reading
from sync.testing.world import Node, World


class Clients:
    """All clients of a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._large = 0.3 if world.random.random() < 0.1 else 0.0
        """Of some schedules the logs have several blocks."""
        self._number = 0
        self._asked: dict[str, str] = {}
        """Questions that were asked, and where; each is asked again until that is acknowledged."""

    # --- writing ---

    def write(self, one: Node) -> None:
        """Record facts, or give a command; what returns is acknowledged."""
        random = self.world.random
        self._number += 1
        if random.random() < 0.25:
            self._ask(one)
        else:
            stream, events = facts(random, self._number, one.release, self._large)
            self._record(one, lambda: one.replica.append(stream, events, self.world.clock(one)))

    def _ask(self, one: Node) -> None:
        """Ask something at a desk; or once more, where it is not known whether that was heard."""
        again = [what for what, where in self._asked.items() if where == one.name]
        what = self.world.random.choice(again) if again else f"q{self._number}"
        self._asked[what] = one.name
        note = Note(command=what)
        expect = one.seen if self.world.random.random() < 0.5 else None
        moved = expect is not None and not self._stands(one, "desk/1") <= expect
        known = one.replica.log.command(what) is not None

        def ask() -> None:
            try:
                one.replica.execute("desk/1", Ask(what), self.world.clock(one), note, expect)
            except Outdated:
                if not moved or known:
                    raise Found("expect", f"{what} was refused at {one.name}, which had not moved on") from None
                return
            if moved and not known:
                raise Found("expect", f"{what} was decided at {one.name} on something else than was expected")

        if self._record(one, ask):
            del self._asked[what]

    def _stands(self, one: Node, stream: str) -> VersionVector:
        """The version of the events of a stream."""
        stands = NOTHING
        for fact in self.world.ledger.facts_of(one.replica, stream, one.replica.core.memory.version):
            stands = stands.advance(*fact.dot)
        return stands

    def _record(self, one: Node, work: Callable[[], object]) -> bool:
        """Do something that records, and is acknowledged when it has returned."""

        def record() -> None:
            replica = one.replica
            replica.flush()
            try:
                work()
            finally:
                replica.flush()

        done = self.world.guard(one, record)
        replica = one.replica
        if done and replica.core.me in replica.core.memory.lineages:
            self.world.ledger.acknowledge(replica)
        return done

    # --- reading ---

    def read(self, one: Node) -> None:
        """Read a stream, at what is held now."""
        stream = in_turn(self.world.random.choice(DRAWN), self._number)
        if stream.split("/")[0] not in one.replica.core.aggregates:
            return
        self.world.guard(one, lambda: self._read(one, stream))

    def _read(self, one: Node, stream: str) -> None:
        replica = one.replica
        present = replica.present(stream)
        if not replica.core.memory.version <= present.version:
            raise Found("session", f"{one.name} holds {replica.core.memory.version}, and reads {present.version}")
        if not self.world.ledger.without_twins(one.seen) <= present.version:  # of two histories one is read
            raise Found("session", f"{one.name} has read {one.seen}, and now reads {present.version}")
        one.seen = present.version
        self._same(one, stream, present, one.seen, "")

    def look_back(self, one: Node) -> None:
        """Read a stream at an earlier cut; not at a number of an id that is in use twice, which may name none."""
        random, core = self.world.random, one.replica.core
        stream = in_turn(random.choice(DRAWN), self._number)
        cuts = [one.seen, core.stable, *core.members.observed.values()]
        sure = [cut for cut in cuts if cut <= core.memory.version and self.world.ledger.without_twins(cut) == cut]
        cut = random.choice(sure or [NOTHING])
        if stream.split("/")[0] not in core.aggregates:
            return
        fold = fold_within(core, stream, one.replica.reader().stream(stream), cut)
        present = core.aggregate_of(stream).present_of(fold, stream, cut)
        self._same(one, stream, present, cut, f" at {cut}")

    def look_at_settled(self, one: Node) -> None:
        """Read the settled diary: all members have observed it, and what it was before stays its beginning."""
        core, ledger = one.replica.core, self.world.ledger
        if "diary" not in core.aggregates:
            return
        members, stable = tuple(sorted(core.members.live)), core.stable
        if not members or ledger.twins or core.memory.retirements:  # whom nobody waits for may write on
            return
        settled = tuple(one.replica.settled("diary/1").state)
        final = ledger.is_final(stable, core.memory.version, members)  # else it was settled among fewer members
        before, one.settled = one.settled, (members, stable, settled if final else ())
        if before[0] != members:
            return
        if not stable <= before[1] | ledger.observed_by_all(members):
            raise Found("settled", f"{stable} is settled at {one.name}, and not all have observed that")
        if settled[: len(before[2])] != before[2]:
            raise Found("settled", f"{one.name} had settled on {before[2]}, and now on {settled}")

    def meet(self, one: Node, other: Node) -> None:
        """Merge the pasts of two replicas; nothing comes of it for them."""
        stream = in_turn(self.world.random.choice(BOARDS), self._number)
        if one.release is not other.release or self.world.ledger.twins:
            return
        pasts = [_past(side.replica, stream) for side in (one, other)]
        merged = pasts[0] | pasts[1]
        present = one.replica.core.aggregate_of(stream).present_of(merged.state, stream, merged.version)
        seqs = [past.version.seqs for past in pasts]
        both = VersionVector({r: max(seq.get(r, 0) for seq in seqs) for r in {*seqs[0], *seqs[1]}})
        if merged.version != both:
            raise Found("merge", f"{pasts[0].version} and {pasts[1].version} come to {merged.version}")
        wanted = by_definition(stream, self._known(one, stream, self.world.ledger.facts(stream, both)))
        if reading(present) != wanted:
            raise Found("merge", f"{stream} of {one.name} and {other.name}, merged, is not what their facts say")

    # --- what must be read ---

    def _same(self, one: Node, stream: str, present: object, version: VersionVector, where: str) -> None:
        wanted = by_definition(
            stream, self._known(one, stream, self.world.ledger.facts_of(one.replica, stream, version))
        )
        if reading(present) != wanted:
            raise Found("meaning", f"{stream} of {one.name}{where} is not what its facts say")

    @staticmethod
    def _known(one: Node, stream: str, facts: list[Fact]) -> list[Fact]:
        """Those of which the code of a replica knows the type."""
        kinds = one.release.knows[stream.split("/")[0]]
        return [fact for fact in facts if type(fact.event) in kinds]


def _past(replica: DirectReplica, stream: str) -> Past:  # type: ignore[type-arg]
    core = replica.core
    version = core.memory.version
    return Past(fold_within(core, stream, replica.reader().stream(stream), version), version)
