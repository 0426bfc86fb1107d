"""The core of a replica: commands, batches and time go in; transactions, answers and changes come out.

Rule 1. There is one draft. Each command decides on it, is numbered and stamped on it, takes its version as
        context, and evolves it, with nothing in between. Batches from peers enter the same way.
Rule 2. `transaction()` is what must become durable; after that `settle()` makes the draft the memory, and
        only then may anybody be told. `drop()` forgets the draft: it was never promised to anyone.
Rule 3. What is not in memory is not waited for: the step raises Missing, which says what to read from the
        log, leaves no trace, and is taken again when that has been supplied (the draft settled first, so that
        what is read and what is remembered are the same moment).
Rule 4. No clock, no disk, no network, no tasks, and no randomness but what it is given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any, NamedTuple

import msgspec
from immutables import Map

from merge.immutable import Unchangeable
from merge.stamp import Stamp, next_stamp
from merge.version import Dot, Named, ReplicaId, VersionVector
from replica import owed, slips
from replica.arrange import Gap, Placed
from replica.aside import EventSetAside
from replica.backlog import BACKLOG, NO_BACKLOG
from replica.beside import NOTHING_BESIDE, Beside, let_go
from replica.block import Slice
from replica.commit import MAX_EVENTS, MAX_PAYLOAD, Commit, Note, Observed, Recorded, check_name
from replica.comparisons import Comparisons
from replica.complaints import Complaints
from replica.cursor import succeeded
from replica.decider import Decider, Facts, FoldFailed, Given, Happened
from replica.derive import derive, present_of
from replica.draft import RECENT, Draft, Memory
from replica.due import KIND as DUE
from replica.due import OwnerChanged
from replica.errors import (
    ChangedInPlace,
    CommandIdUsed,
    InvalidEvent,
    Outdated,
    PoisonEvent,
    Refused,
    UnknownStream,
)
from replica.event import Command, Event, EventTypes
from replica.folding import BULK, catch_up, complain_of_unknown, fold_afresh, say_what_waits
from replica.ingest import Ingested, ingest
from replica.intent import Intent, decode, encode, intent_of
from replica.introduction import CATEGORY, OWN_TYPES
from replica.layout import join
from replica.lineage import lineages_of
from replica.log import Contents, Done, Identity, Kept, LogRow, Span, Transaction
from replica.meeting import Frontier, frontier_of
from replica.members import Members, retirement, retirements
from replica.missing import Missing
from replica.projection import Projection
from replica.reading import Blocks, Boundary, End
from replica.recording import addressed, introduce, record, write_down
from replica.rows import Derived, begin, stop_table
from replica.run import NO_NEWS, News
from replica.snapshot import EVERY, Folded, Loaded, Unfrozen, pause_after, superfluous, take
from replica.snapshot import KIND as SNAPSHOT
from replica.stores import adopt_stores, fact, joined

NONE: Map[Any, Any] = Map()
NEVER = Folded(0, 0)
OWN = (OwnerChanged, EventSetAside)
"""Facts of Anabranch's own that stand in the streams of aggregates."""


class Committed(msgspec.Struct, frozen=True):
    """What a command led to: the dots of its events, and their stamp. Neither, if it led to no event."""

    dots: tuple[Dot, ...]
    stamp: Stamp | None


class Settled(NamedTuple):
    """What has become durable: for watchers (streams, commits) and for links (slices)."""

    version: VersionVector
    changed: tuple[str, ...]
    brought: News
    slices: list[Slice]
    began: int = 0
    """Blocks that have begun: those before them may be sealed."""
    news: News = NO_NEWS
    """The commits that are folded, with their contexts, in an order in which causes come first."""
    refolded: bool = False
    """A second history turned up: what was folded before may be so no more."""

    @property
    def commits(self) -> list[Commit]:
        """All that is new, folded or not."""
        return [commit for commit, _ in self.brought]


PRESENTS = 10_000
"""Streams whose present is kept in memory. Of more, those that were used least lately are read again when they are
needed."""


class Core:
    """One replica, as a plain state machine."""

    keep = PRESENTS
    every = EVERY
    bulk = BULK
    backlog = BACKLOG

    def __init__(
        self,
        store: str,
        aggregates: Iterable[type[Decider]],
        contents: Contents,
        identity: Identity,
        random: Random,
        *,
        projections: Iterable[type[Projection]] = (),
        beside: Beside = NOTHING_BESIDE,
    ) -> None:
        self.store = store
        self.random = random
        self.aggregates: dict[str, Decider] = {}
        for kind in slips.classes(aggregates, Decider, "aggregates"):  # type: ignore[type-abstract]
            if not hasattr(kind, "stream"):
                raise TypeError(f"{kind.__name__} is a base of aggregates, and folds no streams: inherit from it")
            if kind.stream == CATEGORY:
                raise TypeError(f'streams "{CATEGORY}/..." are Anabranch\'s own; give {kind.__name__} another name')
            if self.aggregates.setdefault(kind.stream, kind()) and type(self.aggregates[kind.stream]) is not kind:
                raise TypeError(f'two aggregates fold the streams "{kind.stream}/..."')
        classes = {event for aggregate in self.aggregates.values() for event in aggregate.events}
        for event in classes:
            if event.__name__ in OWN_TYPES:
                raise TypeError(f"events called {event.__name__} are Anabranch's own; choose another name")
        self.types = EventTypes([*sorted(classes, key=lambda kind: (kind.__name__, kind.__module__)), *OWN])
        self.derived = Derived(slips.classes(projections, Projection, "projections"), self.aggregates)
        self.tables = contents.tables
        """What the file held of tables when it was opened."""
        lineages = lineages_of(contents.logs)
        self.memory = Memory(
            version=VersionVector({r: lineage.tip.head.seq for r, lineage in lineages.items()}),
            stamp=max((row.stamp for row in contents.logs), default=None),
            lineages=Map(lineages),
            types=Map(contents.types),
            identity=identity,
        )
        self.me = identity.replica
        """The bits of the own id. Inside the core ids are plain integers; labels are for people."""
        self.folded: dict[str, Folded] = {}
        """Of the streams that are loaded; a draft that is dropped leaves it a little ahead, which harms nothing."""
        self.ripe: dict[str, None] = {}
        """Streams of which a snapshot should be taken."""
        self.complaints = Complaints()
        self.waits: set[str] = set()
        """Streams in whose texts an edit waits for another one, of those that were folded here."""
        """What the shell should log: nothing is lost by it, and somebody should know."""
        self.comparisons = Comparisons(beside.kept, self.aggregates)
        """How presents compare with those of peers."""
        self.unfrozen: set[str] = set()
        """Categories of which none can be taken."""
        self._used: dict[str, None] = {}
        """Streams in the order in which they were used last."""
        self._labels: dict[int, ReplicaId] = {}
        self._named = (-1, self.me)
        """How many replicas have labels, and who this one was then."""
        self._draft: Draft | None = None
        self.context_known = False
        self._doubted = False
        self.next_number = max((row.number for row in contents.logs), default=0) + 1
        self.blocks = Blocks()
        """For readers of the log."""
        self._frontier = self.memory.lineages, frontier_of(self.memory.lineages)
        self.sought: frozenset[Observed] = frozenset()
        """Boundaries that were looked for in the log as it is now, and are not there."""
        self.read_without: dict[str, frozenset[Dot]] = {}
        """Streams that were read without events which a batch on its way sets aside: once is enough."""
        self.found_all = False
        """Those that were looked for last were all there."""
        self.identity_is_new = identity != contents.identity
        self.memory.stores = joined(beside.kept) | {store} | {row.store or store for row in contents.logs}
        owed.recall(self, beside.kept)
        self.memory.retirements = retirements(beside.kept, self.memory.version)
        self.members = Members(self, beside.kept)
        self._beside = beside

    # --- what is known ---

    @property
    def identity(self) -> Identity:
        identity = self.now.identity
        assert identity is not None
        return identity

    def label(self, replica: int) -> ReplicaId:
        """An id with the name that its replica introduced itself by; name~digits where several go by that name."""
        if self._named != (len(self.now.lineages), self.me):
            self._name_all()
        return self._labels.get(replica) or ReplicaId(replica)

    def _name_all(self) -> None:
        lineages = self.now.lineages
        names = {self.me: self.identity.name} | {r: lineage.rows[0].name for r, lineage in lineages.items()}
        taken = Counter(names.values())
        self._labels = {
            replica: ReplicaId(replica, name if taken[name] == 1 or not name else f"{name}~{replica >> 48:04x}")
            for replica, name in names.items()
        }
        self._named = len(lineages), self.me

    def dot(self, dot: tuple[int, int]) -> Dot:
        """The name of an event as people read it, wherever it comes from: `alice:3`."""
        return Dot(self.label(dot[0]), dot[1])

    def named(self, version: VersionVector) -> Named:
        """The same with labels where it is printed, for those of whom few are."""
        self.label(self.me)
        return Named(version, self._labels)

    def noted(self, note: Note | None) -> Note | None:
        """What a commit says of itself, with the event that it answers to as `dot` names it."""
        if note is None or note.cause is None:
            return note
        return msgspec.structs.replace(note, cause=self.dot(note.cause))

    def labelled(self, version: VersionVector) -> VersionVector:
        return VersionVector([(self.label(replica), seq) for replica, seq in version.seqs.items()])

    @property
    def now(self) -> Memory:
        """The draft where there is one, else the memory."""
        return self.memory if self._draft is None else self._draft.memory

    @property
    def draft(self) -> Draft:
        if self._draft is None:
            self._draft = Draft(self.memory.copy())
            if self.identity_is_new:
                self._draft.identity_changed = True
        return self._draft

    def aggregate_of(self, stream: str) -> Decider:
        aggregate = self.aggregates.get(stream.split("/", 1)[0])
        if aggregate is None:
            known = ", ".join(f'"{name}/..."' for name in sorted(self.aggregates)) or "none"
            raise UnknownStream(
                f"no aggregate folds the stream {stream!r} here (there are: {known}). Its events, if there are "
                "any, are kept and forwarded; list its aggregate when opening the replica."
            )
        return aggregate

    def state(self, stream: str) -> Any:
        """The state of a stream in the draft; Missing where it is not loaded."""
        return self._loaded(stream)[1]

    def _loaded(self, stream: str) -> tuple[Decider, Any]:
        """The aggregate of a stream and its state in the draft; Missing where it is not loaded."""
        check_name(stream)
        aggregate = self.aggregate_of(stream)
        memory = self.now
        if stream in memory.poison:
            raise PoisonEvent(memory.poison[stream].why)
        if stream not in memory.presents:
            if stream not in memory.backlog.presents:
                raise Missing(streams=(stream,))
            catch_up(self, stream)
            return self._loaded(stream)
        state = memory.presents[stream]
        self.touch(stream)
        return aggregate, state

    def derives(self, stream: str) -> bool:
        """Do rows or promises follow from the present of that stream?"""
        return stream.split("/", 1)[0] in self.derived.categories

    def lacks(self, stream: str) -> bool:
        """Would a decision in that stream have to wait for its present?"""
        memory = self.now
        known = stream.split("/", 1)[0] in self.aggregates
        return known and not any(
            stream in here for here in (memory.presents, memory.backlog.presents, memory.poison)
        )

    def touch(self, stream: str) -> None:
        """A stream is used: its present is not the next to leave memory."""
        self._used.pop(stream, None)
        self._used[stream] = None

    def present(self, stream: str) -> Decider:
        """The present of a stream in the draft, at the version of its own events; Missing where not loaded."""
        self.state(stream)
        present = present_of(self, stream)
        assert present is not None
        return present

    # --- steps ---

    def begin(self) -> None:
        """The first step: see which projections must be built, and what a person should be told."""
        beside, self._beside = self._beside, NOTHING_BESIDE
        let_go(self, beside)
        begin(self, beside.kept, due_again=DUE in beside.lost)
        complain_of_unknown(self)
        owed.complain(self)
        for one in self.comparisons.divergences:
            self.complaints.say("divergence", f"{int(one.peer):016x} {one.stream}", str(one), grave=True)

    def execute(
        self,
        stream: str,
        command: Command,
        now: int,
        note: Note | None = None,
        expect: VersionVector | None = None,
    ) -> Committed:
        """Decide on a command, and record the facts it leads to. Refused leaves no trace.

        A command that was carried out already, under its id, leads to what it led to then, and to nothing more.
        """
        intent = None
        if note is not None and note.command is not None:
            check_name(stream)
            intent = intent_of(stream, command)
            done = self.known(note.command, intent)
            if done is not None:
                return self._committed(done.stamp, done.first, done.last)
        return self.decide(stream, command, now, note, expect, intent)

    def decide(
        self,
        stream: str,
        command: Command,
        now: int,
        note: Note | None,
        expect: VersionVector | None = None,
        intent: Intent | None = None,
    ) -> Committed:
        """Decide on a command that was not carried out yet."""
        if isinstance(command, Event | type):
            kind = "an event: `append` records facts" if isinstance(command, Event) else "a class: call it"
            raise InvalidEvent(f"nothing was recorded: {command!r} is no command, but {kind}")
        expect = None if expect is None else slips.version(expect, "`expect`")
        aggregate, state = self._loaded(stream)
        if expect is not None and not self.now.stands[stream].inside(expect):
            news = self.now.stands[stream].named(self.label)
            raise Outdated(
                f"nothing was recorded: {stream} has events that were not expected (it stands at {news}). Read it "
                "again, and decide on what it is now."
            )
        if aggregate.refuse_unknown:
            self._know_all(stream)
        present = aggregate.present_of(state, stream, self.now.version)
        facts = present.decide(command, Given(now, self.label(self.me), self.random))
        return self._append(stream, facts, now, note, (aggregate, state), intent)

    def _know_all(self, stream: str) -> None:
        """Refused where a stream holds events that this code does not know. Missing where nobody has looked."""
        unknown = self.now.unknown
        if stream not in unknown:
            raise Missing(unknown=(stream,))
        if unknown[stream]:
            names = ", ".join(f"{name} (schema {schema})" for name, schema in unknown[stream])
            raise Refused(
                f"nothing was recorded: {stream} holds events that this code does not know ({names}), and its "
                "aggregate refuses to decide without them. Upgrade this code."
            )

    def append(self, stream: str, events: Sequence[Event], now: int, note: Note | None = None) -> Committed:
        """Record facts that were decided elsewhere, as one commit."""
        return self._append(stream, events, now, note)

    def _append(
        self,
        stream: str,
        facts: Facts,
        now: int,
        note: Note | None,
        loaded: tuple[Decider, Any] | None = None,
        intent: Intent | None = None,
    ) -> Committed:
        """Number, stamp, evolve and record the facts of one decision; `loaded` is the stream that took it."""
        found = addressed(stream, facts)
        if not found:
            return Committed((), None)
        asked, folds = stream, {} if loaded is None else {stream: loaded}
        told: dict[str, tuple[int, int]] = {}
        admitted, made, size = [], [], 0
        for stream, event in found:
            if stream not in folds:
                folds[stream] = self._loaded(stream)
            aggregate, kind = folds[stream][0], type(event)
            if kind not in aggregate.events and kind not in OWN:
                raise InvalidEvent(
                    f"{kind.__name__} was not recorded: {type(aggregate).__name__}, which folds "
                    f"{stream}, does not list it in its `events`"
                )
            payload, event = self.types.admit(event)
            admitted.append((stream, event))
            made.append(Recorded(stream, kind.__name__, event.schema, payload))
            size += len(payload)
        recorded = tuple(made)
        if len(recorded) > MAX_EVENTS or size > MAX_PAYLOAD:
            raise InvalidEvent(
                f"one decision led to {len(recorded)} events of {size} bytes; a commit holds at most "
                f"{MAX_EVENTS} events and {MAX_PAYLOAD} bytes. Nothing was recorded: make several commands of it, "
                "or keep large content elsewhere and record its name."
            )
        introduce(self, now)
        draft, me = self.draft, self.me
        memory = draft.memory
        before = memory.version
        stamp = next_stamp(now, memory.stamp, me)
        first = before[me] + 1
        try:
            for seq, (stream, event) in enumerate(admitted, first):
                aggregate, state = folds[stream]
                context = before if seq == first else before.advance(me, seq - 1)
                if type(event) not in OWN:
                    state = aggregate.observe(state, Happened(stamp, Dot(me, seq), context, event))
                folds[stream] = aggregate, state
                told[stream] = seq, told[stream][1] + 1 if stream in told else 1
        except Exception as raised:
            error = raised.why if isinstance(raised, FoldFailed) else raised
            told_as = ChangedInPlace if isinstance(error, Unchangeable) else InvalidEvent
            raise told_as(
                f"{type(event).__name__} was not recorded: folding it into {stream} raised "
                f"{type(error).__name__}: {error}"
            ) from error
        for stream in told:
            aggregate, state = folds[stream]
            if aggregate.waits(state, memory.presents[stream]):
                raise InvalidEvent(
                    f"an edit of a text in {stream} was not recorded: it builds on an earlier edit that is not "
                    "here, so that it would not show. Nothing is lost: record the edits in the order in which they "
                    "were made, and none left out."
                )
        record(self, recorded, stamp, note)
        last = first + len(recorded) - 1
        for stream, (seq, events) in told.items():
            memory.presents = memory.presents.set(stream, folds[stream][1])
            memory.stands = memory.stands.set(stream, memory.stands[stream].advance(me, seq))
            draft.changed[stream] = None
            self.count(stream, events)
            if stream in self.waits:
                say_what_waits(self, stream, folds[stream][1])
        if note is not None and note.command is not None:
            done = Done(note.command, first, last, stamp, intent=encode(intent or Intent(asked)))
            draft.done.append(done)
            self._remember_command(done)
        return self._committed(stamp, first, last)

    def _committed(self, stamp: Stamp, first: int, last: int) -> Committed:
        label = self.label(stamp.replica)
        return Committed(tuple([Dot(label, seq) for seq in range(first, last + 1)]), stamp)

    def known(self, command: str, intent: Intent) -> Done | None:
        """What a command id has led to already, if it was used for that; Missing where it has not been looked up.

        CommandIdUsed where it was used here for something else.
        """
        asked = (command, ""), (command, intent.stream)
        commands = self.now.commands
        unknown = tuple([one for one in asked if one not in commands])
        if unknown:
            raise Missing(commands=unknown)
        here, heard = commands[asked[0]], commands[asked[1]]
        used = None if here is None else decode(here.intent)
        if used is None or used.covers(intent):
            return here or heard
        assert here is not None
        if not used.kind and here.stamp.replica != self.me:  # a file of before did not say who had carried it out
            return heard
        other = "another " if (used.stream, used.kind) == (intent.stream, intent.kind) else ""
        raise CommandIdUsed(
            f"nothing was recorded: the command id {command!r} was used here for {used} "
            f"({self.dot((here.stamp.replica, here.first))}), and now for {other}{intent}. An id belongs to one "
            "command in one stream: give this one its own. (A retry sends the same command to the same stream.)"
        )

    def heard_of(self, done: Done) -> None:
        """A command was carried out elsewhere."""
        self.draft.done.append(done)
        if self.now.commands.get((done.command, done.stream), done) is None:
            self._remember_command(done)

    def _remember_command(self, done: Done) -> None:
        self.supply_commands({(done.command, done.stream): done})

    def ingest(
        self, pieces: Sequence[Slice], horizon: int | None = None, placed: list[Placed] | Gap | None = None
    ) -> Ingested | Gap:
        """Take commits of other replicas (or earlier ones of this one); all of them, or none.

        A Gap says what is missing before them. InvalidBatch says which rule they break. `horizon` is the
        greatest wall time (ms) that was promised to be accepted.
        """
        write_down(self)
        return ingest(self, pieces, horizon, placed)

    # --- what was missing ---

    def supply_presents(
        self, streams: Mapping[str, Loaded], aside: Mapping[str, frozenset[Dot]] = NONE
    ) -> Iterator[None]:
        """Fold streams from the log: of each the commits that hold its events, by stamp, from a snapshot on.

        A portion a turn. Nothing else may be done with the draft before the last one.
        """
        assert self._draft is None, "a stream is loaded between drafts"
        for stream, loaded in streams.items():
            for words in loaded.damaged:
                self.complaints.say("snapshot", stream, words)
            if stream in aside:
                self.read_without[stream] = aside[stream]
                memory = self.draft.memory
                memory.poison = memory.poison.delete(stream)
            try:
                yield from fold_afresh(self, stream, loaded, aside.get(stream, frozenset()))
            except BaseException:
                self.draft.forget_present(stream)
                raise

    def supply_commands(self, commands: Mapping[tuple[str, str], Done | None]) -> None:
        memory = self.draft.memory
        known: Map[tuple[str, str], Done | None] = NONE if len(memory.commands) > RECENT else memory.commands
        memory.commands = known.update(commands)

    def supply_unknown(self, unknown: Mapping[str, tuple[tuple[str, int], ...]]) -> None:
        memory = self.draft.memory
        memory.unknown = (NONE if len(memory.unknown) > RECENT else memory.unknown).update(unknown)

    def supply_ends(self, ends: dict[int, End]) -> None:
        memory = self.draft.memory
        memory.ends = memory.ends.update(ends)

    def supply_boundaries(self, sought: Iterable[Observed], found: Iterable[tuple[int, Boundary]]) -> None:
        found = list(found)
        self.sought = frozenset(sought) - {boundary.named(replica) for replica, boundary in found}
        self.found_all = not self.sought
        memory = self.draft.memory
        memory.recent = memory.recent.update({boundary.named(replica): boundary for replica, boundary in found})

    # --- members ---

    @property
    def stable(self) -> VersionVector:
        """The past that every live member is known to have observed."""
        return self.members.stable

    def retire(self, member: int, now: int) -> Committed:
        """Record that a member takes part no more. Refused where that cannot be."""
        return self._say(retirement(self, member), now)

    def become_one(self, stores: Iterable[str], now: int) -> Committed:
        """Record that other stores are one with this."""
        return self._say(fact(self, stores), now)

    def adopt_stores(self, stores: Iterable[str]) -> None:
        """A peer knows that other stores are one with this."""
        adopt_stores(self, stores)

    def _say(self, recorded: Recorded, now: int) -> Committed:
        """Record a fact of Anabranch's own."""
        introduce(self, now)
        stamp = next_stamp(now, self.now.stamp, self.me)
        commit = record(self, (recorded,), stamp, None)
        return self._committed(stamp, commit.first, commit.last)

    # --- snapshots ---

    def count(self, stream: str, events: int) -> None:
        """So many more events of a stream were folded."""
        self.folded[stream] = folded = self.folded.get(stream, NEVER).more(events)
        if folded.events - folded.held >= folded.pause and stream.split("/", 1)[0] not in self.unfrozen:
            self.ripe[stream] = None

    def snapshot(self, stream: str, held: Sequence[Kept]) -> None:
        """Take a snapshot of a stream as it is in the draft; `held` are those that stand beside the log."""
        self.ripe.pop(stream, None)
        memory = self.now
        state, stamp, folded = memory.presents.get(stream), memory.stamp, self.folded.get(stream, NEVER)
        if state is None or stamp is None or folded.events <= folded.held:
            return
        aggregate = self.aggregate_of(stream)
        try:
            kept = take(aggregate, stream, state, memory.stands[stream], folded.events, memory.version, stamp)
        except Unfrozen as error:
            self.unfrozen.add(aggregate.stream)
            self.complaints.say("snapshot", aggregate.stream, str(error))
            return
        for gone in superfluous(held, folded.events):
            self.draft.let_go(Span.one(*gone[:2]))
        self.draft.keep(*kept)
        pause = pause_after(len(kept.value), self.every)
        self.folded[stream] = Folded(folded.events, folded.events, pause)
        memory = self.draft.memory
        memory.presents = memory.presents.set(stream, aggregate.trim(state))

    # --- lineages and identity ---

    def take_number(self) -> int:
        """A number for a log that is new here."""
        number = self.next_number
        self.next_number += 1
        return number

    def refold(self, stamp: Stamp) -> None:
        """A second history turned up: what was folded is folded again from the log, when asked for."""
        draft = self.draft
        draft.refolded = True
        draft.let_go(Span(SNAPSHOT))
        self.ripe.clear()
        self.blocks = Blocks()
        held = *draft.memory.presents, *draft.memory.backlog.presents
        draft.changed.update((stream, None) for stream in sorted(held))
        version = {r: lineage.tip.head.seq for r, lineage in draft.memory.lineages.items()}
        memory = draft.memory
        memory.version, memory.stamp = VersionVector(version), stamp
        memory.presents = memory.stands = memory.ends = memory.recent = memory.unseen = memory.poison = (
            memory.unknown
        ) = NONE
        memory.backlog = NO_BACKLOG
        self.context_known = False

    def own_log(self) -> LogRow | None:
        """What this replica has written under its id; None while that is nothing."""
        write_down(self)
        lineage = self.now.lineages.get(self.me)
        return None if lineage is None else lineage.tip

    def succeed(self, own: LogRow | None) -> None:
        """Go on under a new id: the log of the old one stays as history, and is never continued.

        `own` is that log as this replica has written it: more of it may just have been heard of.
        """
        draft = self.draft
        old = self.identity
        replica = self.random.getrandbits(64)
        draft.memory.identity = old._replace(replica=replica, succeeds=old.replica)
        draft.memory.unseen = NONE
        self.me = replica
        draft.identity_changed = True
        self.context_known = False
        succeeded(self, old.replica, own)

    def doubt(self) -> None:
        """A peer says that it goes by this id. Go on under a new one; once, since a claim costs a peer nothing."""
        if not self._doubted:
            self._doubted = True
            self.succeed(self.own_log())

    # --- the end of a draft ---

    def transaction(self) -> Transaction | None:
        """What must become durable before the draft may settle; None where nothing must."""
        if self._draft is None:
            return None
        write_down(self)
        derive(self)
        return self._draft.transaction() if self._draft.dirty else None

    def table_failed(self, table: str, why: str) -> None:
        """The table of a projection cannot be written: that projection stops, the draft goes on without it."""
        stop_table(self, table, why)

    @property
    def frontier(self) -> Frontier:
        """The heads of all logs that are durable here."""
        lineages, frontier = self._frontier
        if lineages is not self.memory.lineages:
            frontier = frontier_of(self.memory.lineages)
            self._frontier = self.memory.lineages, frontier
        return frontier

    def settle(self) -> Settled:
        """The draft is durable: it becomes the memory."""
        draft, self._draft = self._draft, None
        if draft is not None and draft.dirty:
            self.sought, self.found_all = frozenset(), False
            self.read_without.clear()
        if draft is None:
            return Settled(self.memory.version, (), NO_NEWS, [])
        slices = [join(run) for _, run in draft.runs]
        frontier = self.frontier.moved(draft.memory.lineages, {piece.replica for piece in slices})
        self.memory = draft.settled()
        self._frontier = self.memory.lineages, frontier
        self.comparisons.changed(draft.changed)
        self._forget_presents()
        self.members.learn_latest(draft.news.latest)
        if draft.identity_changed:
            self.identity_is_new = False
        return Settled(
            self.memory.version, tuple(draft.changed), draft.commits, slices, len(draft.starts),
            draft.news, draft.refolded,
        )  # fmt: skip

    def _forget_presents(self) -> None:
        """Where there are too many presents let a tenth go, so that it is not done for each that comes."""
        memory = self.memory
        if len(memory.presents) <= self.keep:
            return
        most = self.keep - self.keep // 10
        kept = [stream for stream in self._used if stream in memory.presents][-most:]
        self._used = dict.fromkeys(kept)
        memory.presents = Map({stream: memory.presents[stream] for stream in kept})
        memory.stands = Map({stream: memory.stands[stream] for stream in kept})

    def drop(self) -> None:
        """The draft did not become durable. Loaded ends and presents go with it; the log has them."""
        self._draft = None
        self.context_known = self._doubted = self.found_all = False
        self.read_without.clear()
        self._named = (-1, self.me)
        self._used.clear()
        self.me = self.identity.replica
        self.memory = replace(
            self.memory, ends=NONE, recent=NONE, unseen=NONE, presents=NONE, stands=NONE, backlog=NO_BACKLOG,
            commands=NONE, poison=NONE, unknown=NONE,
        )  # fmt: skip
