"""Seeded bugs: what is broken, in one line each, and proof that the simulator finds it.

    python -m tests.mutants            all of them; prints the table of docs/testing.md
    python -m tests.mutants 3 17       some of them

Each is put into a copy of the sources, never into these, and played from seed 0 on until something is found.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
SEEDS = 1000
"""Schedules after which a bug counts as not found."""
PATIENCE = 600
"""Seconds after which nothing more is played: a schedule that does not end is given up much earlier."""


class Mutant(NamedTuple):
    """A bug: in which file, what stands there, and what takes its place."""

    says: str
    file: str
    old: str
    new: str


MUTANTS = [
    Mutant("a forget takes what it had not seen", "merge/growing.py", "if dot in seen]", "]"),
    Mutant("a value takes the place of a concurrent one", "merge/growing.py",
           "self._said[said.dot] = said", "self._said = {said.dot: said}"),
    Mutant("a total forgets what was before", "merge/growing.py", "before.value + said.value", "said.value"),
    Mutant("removing from a set does nothing", "merge/sets.py",
           "return forget((*self._path, check_key(element)))", "return forget((*self._path, '?'))"),
    Mutant("a veto leaves no mark", "merge/sets.py", "say((*place, OUT), True)", "forget((*place, OUT))"),
    Mutant("removing a key leaves what is below it", "merge/maps.py",
           "return forget((*self._path, check_key(key)))", "return forget((*self._path, check_key(key), '?'))"),
    Mutant("the first writer wins", "merge/register.py", "winner: Any = max(said", "winner: Any = min(said"),
    Mutant("stamps do not exceed what was observed", "merge/stamp.py",
           "if observed is None or wall > observed.wall:", "if True:"),
    Mutant("a version has not the last event that it names", "merge/version.py",
           "dot[1] <= self.seqs.get", "dot[1] < self.seqs.get"),
    Mutant("joining versions takes the smaller seq", "merge/version.py",
           "if seq > seqs.get(replica, 0):", "if seq < seqs.get(replica, 0):"),
    Mutant("a subtree that was emptied stays", "merge/growing.py",
           "if tree is not before and (tree or before is not None):", "if tree is not before and tree:"),
    Mutant("a late event is put at the end", "replica/ordered.py",
           "if stretches and news[0].order < stretches[-1].events[-1].order:", "if False:"),
    Mutant("going back begins at the wrong state", "replica/ordered.py",
           "state = stretches[at].before", "state = fold.state"),
    Mutant("a snapshot serves whatever comes", "replica/ordered.py",
           "return stamp < later and stands.inside(context)", "return True"),
    Mutant("commits are recorded without what was observed", "replica/recording.py",
           "if memory.unseen else ()", "if False else ()"),
    Mutant("a batch is folded as it came", "replica/run.py",
           "key=lambda told: told[0].stamp)", "key=lambda told: told[0].stamp, reverse=True)"),
    Mutant("nobody goes back for a late past", "replica/ingest.py", "    batch.rewind()\n", ""),
    Mutant("a batch with a gap is taken", "replica/ingest.py", "    if gap is not None:\n        return gap\n", ""),
    Mutant("a second history changes nothing that was folded", "replica/ingest.py",
           "            core.refold(stamp)\n        else:", "            pass\n        else:"),
    Mutant("of two histories the one that came first is folded", "replica/lineage.py",
           "if child.first_hash < child.rival_hash), None)", "if False), None)"),
    Mutant("a peer that goes by my id leaves me in peace", "sync/protocol.py",
           "        if hello.replica == self.hello.replica:", "        if False:"),
    Mutant("what lies in the middle of a block is cut one short", "replica/layout.py",
           "return index + 1 if index < len(self.lasts)", "return index if index < len(self.lasts)"),
    Mutant("the beginning of a second history is not found", "replica/outgoing.py",
           "self._open(row.after if base is None else base.seq)",
           "self._open(row.head.seq - 1 if base is None else base.seq)"),
    Mutant("two clones with equal stamps keep each other waiting", "replica/outgoing.py",
           "first.index += not first.ended and first.stamp < limit", "pass"),
    Mutant("a peer that is behind is not helped", "replica/meeting.py", "            if head in their:",
           "            if their:"),
    Mutant("digests are never compared", "sync/protocol.py",
           "            if not (self.in_sync or self._under_way or self._fetching or self._asked):",
           "            if False:"),
    Mutant("a lost batch is waited for, for ever", "sync/protocol.py",
           "if any(age > PATIENCE for age in self._under_way.values()):", "if False:"),
    Mutant("a gap is not answered", "sync/protocol.py",
           "        self._say_have(reply=True, without=gap.replica if gap.foreign else None)\n", ""),
    Mutant("what was pushed is taken for what has arrived", "sync/protocol.py",
           "                self._behind = True\n                self._pump()\n"
           "        return self._effects()\n\n    def grew",
           "                pass\n        return self._effects()\n\n    def grew"),
    Mutant("rows of a projection are written for the first stream alone", "replica/derive.py",
           "            put_stream(core, by_stream, stream, present, tables_of(draft, by_stream))",
           "            if stream == 'board/1':\n"
           "                put_stream(core, by_stream, stream, present, tables_of(draft, by_stream))"),
    Mutant("a projection is not built where it was not live", "replica/rows.py",
           "        else:\n            build(core, name)\n", "        else:\n            finish(core, name)\n"),
    Mutant("a replica that was set back goes on under its id", "replica/ingest.py",
           "            core.succeed(own)\n", "            pass\n"),
    Mutant("a snapshot is taken at an older version than it says", "replica/snapshot.py",
           "commits = commits_of(reader, {stream: aggregate}, types, after)[stream]", "commits = []"),
    Mutant("what is loaded stands at nothing", "replica/folding.py",
           "memory.stands = memory.stands.set(stream, loaded.stands)",
           "memory.stands = memory.stands.set(stream, START)"),
    Mutant("a corrupt head is believed", "replica/block.py",
           "        if hashes[piece.last] != piece.head:", "        if False:"),
    Mutant("a block that was read is taken for one that was not full", "replica/reading.py",
           "        if not opened.piece.is_full:", "        if key in self._held:"),
    Mutant("a context forgets its own earlier events", "replica/run.py",
           "yield commit, context.advance(replica, commit.first - 1)", "yield commit, context"),
    Mutant("stamps under one wall time are all alike", "merge/stamp.py",
           "return Stamp(observed.wall, observed.counter + 1, replica)",
           "return Stamp(observed.wall, observed.counter, replica)"),
    Mutant("a commit has the wall time of the one before it in its block", "replica/decoded.py",
           "list(accumulate(columns.walls(self.piece), initial=self._before[0]))[1:]",
           "[self._before[0] + step for step in columns.walls(self.piece)]"),
    Mutant("a name that a block has given has another number in the next slice", "replica/block.py",
           "self.streams = {name: number for number, name in enumerate(decoded.streams)}",
           "self.streams = {name: number for number, name in enumerate(sorted(decoded.streams))}"),
    Mutant("a block begins without what its log had observed", "replica/recording.py",
           "draft.starts.append(BlockStart(row.number, tail.first, tail.parent, end.stamp, named))",
           "draft.starts.append(BlockStart(row.number, tail.first, tail.parent, end.stamp, ()))"),
    Mutant("a stream that first appears late in a block is not entered in the index", "replica/recording.py",
           "for stream in list(streams)[known:]]", "for stream in list(streams)[known:] if tail.seq < 9]"),
    Mutant("relays do not forward", "sync/protocol.py",
           "            if (s.replica, s.last, s.head) not in arriving",
           "            if s.replica == self.hello.replica and (s.replica, s.last, s.head) not in arriving"),
    Mutant("what members know is said once", "sync/protocol.py", "self._told, self._differs = {}, 0", "pass"),
    Mutant("what has changed on its way is believed", "sync/message.py",
           "if isinstance(message, Checked) and message.check != _check(message):", "if False:"),
    Mutant("what one member has observed is settled", "replica/members.py",
           "version &= self.seen_by(member)", "version |= self.seen_by(member)"),
    Mutant("a retirement counts where it was heard first", "replica/draft.py",
           "for commit, context in (self.commits or self.news) if named",
           "for commit, context in self.news if named"),
    Mutant("what is due is carried out by everybody", "replica/owed.py",
           "if promise.owner != core.me or promise.done", "if promise.done"),
    Mutant("a command id is forgotten", "replica/core.py",
           "            draft.done.append(done)\n            self._remember_command(done)\n",
           "            pass\n"),
    Mutant("what was expected is not looked at", "replica/core.py",
           "not self.now.stands[stream].inside(expect)", "False"),
    Mutant("a second history leaves presents as they were", "replica/core.py",
           "memory.presents = memory.stands = memory.ends", "memory.stands = memory.ends"),
    Mutant("snapshots outlive a second history", "replica/core.py", "        draft.let_go(Span(SNAPSHOT))\n", ""),
    Mutant("a snapshot of older code serves newer code", "replica/snapshot.py",
           "if snapshot.fingerprint == aggregate.fingerprint():", "if True:"),
    Mutant("a fork looks for the beginning of a history that is not folded", "replica/adopt.py",
           "            if segment.after < upto:\n", "            if segment.after < cut[replica]:\n"),
    Mutant("a fork has one commit too few", "replica/adopt.py",
           "piece = layout.cut(0, index)", "piece = layout.cut(0, max(index - 1, 1))"),
    Mutant("a dropped draft leaves presents ahead", "replica/core.py",
           "self.memory, ends=NONE, recent=NONE, unseen=NONE, presents=NONE,",
           "self._draft.memory, ends=NONE, recent=NONE, unseen=NONE, presents=NONE,"),
    Mutant("of what comes together one commit alone has rows", "replica/derive.py",
           "        for commit, context in draft.news:\n            for entry in entries(core, commit, context):",
           "        for commit, context in [*draft.news][:1]:\n"
           "            for entry in entries(core, commit, context):"),
    Mutant("an event is concurrent with all that others wrote before it", "replica/folding.py",
           "return Happened(commit.stamp, dot, context.advance(commit.replica, dot.seq - 1), decoded)",
           "return Happened(commit.stamp, dot, NOTHING.advance(commit.replica, dot.seq - 1), decoded)"),
    Mutant("what waits to be folded outlives a second history", "replica/core.py",
           "        memory.backlog = NO_BACKLOG\n", ""),
    Mutant("a present from which rows follow waits until it is read", "replica/folding.py",
           "    if core.derives(stream):\n        return False\n", ""),
    Mutant("a fold by column leaves the version of its stream behind", "replica/folding.py",
           "set(stream, bulk.stands_after(memory.stands[stream]))", "set(stream, memory.stands[stream])"),
]  # fmt: skip


MASKED = {
    "test_exact.py::test_what_equals_is_not_yet_the_same_and_where_it_differs_is_said":
    Mutant("what equals is the same", "replica/identical.py",
           "    if one is other:", "    if one is other or one == other:"),
    "test_exact.py::test_what_is_read_from_a_snapshot_is_what_the_log_leads_to":
    Mutant("a member of an enum is kept as its value", "replica/exact.py",
           "return [MEMBER, number, self.pack(value.value)]", "return self.pack(value.value)"),
    "test_fingerprint.py::test_a_fingerprint_moves_with_whatever_the_fold_can_reach":
    Mutant("a fingerprint does not look into what a fold calls", "replica/fingerprint.py",
           "return self._named(function.__globals__[name], names)", "return name"),
    "test_verify.py::test_blocks_are_read_a_bounded_number_of_times_however_many_streams_lie_in_them":
    Mutant("streams are verified one by one", "replica/verify.py", "TOGETHER = 8192", "TOGETHER = 1"),
    "test_verify.py::test_a_long_stream_is_folded_a_portion_at_a_time":
    Mutant("blocks that were gone through are remembered", "replica/reading.py",
           "streams, START, upto, hold=False\n", "streams, START, upto, hold=True\n"),
    "test_verify.py::test_a_stream_whose_late_events_had_not_seen_what_was_let_go_is_folded_whole":
    Mutant("what was let go is not asked for", "replica/refold.py",
           "            one.again = True", "            pass"),
    "test_comparing.py::test_what_has_no_digest_is_left_out_and_counted_on_both_sides":
    Mutant("what has no digest is not said", "sync/comparing.py",
           "rows[stream] = Row(stream, UNDIGESTED, UNDIGESTED, UNDIGESTED)", "pass"),
    "test_aside.py::test_a_word_about_an_event_that_its_author_had_not_seen_does_not_count":
    Mutant("an event is set aside by who had not seen it", "replica/aside.py",
           "fact.seq > 0 and dot in context", "fact.seq > 0"),
    "test_aside.py::test_work_goes_on_where_a_poison_event_was_set_aside":
    Mutant("who hears that an event is set aside goes on as before", "replica/ingest.py",
           "    aside = batch.freed()\n", "    aside = {}\n"),
    "test_complaints.py::test_a_complaint_is_said_once_until_it_is_over":
    Mutant("a fault is logged each time that it is met", "replica/complaints.py",
           "if subject in said or len(said) > MOST:", "if len(said) > MOST:"),
    "test_json.py::test_each_kind_of_value_is_data":
    Mutant("large integers are numbers in JSON", "replica/data.py", "EXACT = 2**53", "EXACT = 2**64"),
    "test_wire.py::test_no_token_is_logged":
    Mutant("headers are logged as they are", "sync/discreet.py", "if hidden != words:", "if False:"),
    "test_intents.py::test_an_id_that_was_used_for_something_else_is_an_error_that_says_for_what":
    Mutant("a command id answers whatever it is used for", "replica/core.py",
           "if used is None or used.covers(intent):", "if True:"),
    "test_intents.py::test_each_of_two_that_were_apart_answers_with_its_own":
    Mutant("what others have carried out answers first", "replica/core.py", "return here or heard",
           "return heard or here"),
    "test_due.py::test_what_a_stranger_records_under_its_id_settles_no_promise":
    Mutant("anybody settles a promise", "replica/owed.py",
           "return not done.stream or done.stamp.replica in", "return True or done.stamp.replica in"),
    "test_once.py::test_a_feed_delivers_what_its_code_has_learnt_and_holds_back_nothing_else":
    Mutant("a feed passes for good what it cannot read", "replica/feed.py",
           "            unread.add(found, commit.replica, seq, event)\n            unread.complain",
           "            unread.complain"),
    "test_immutable.py::test_a_fold_that_changes_its_state_in_place_is_told_at_its_first_slip":
    Mutant("a fold may change a state that is kept", "replica/ordered.py",
           "return immutable(state), False", "return state, False"),
    "test_immutable.py::test_a_fold_that_changes_an_object_in_place_comes_to_what_a_pure_one_comes_to":
    Mutant("an object that can be changed is given out as it is kept", "replica/ordered.py",
           "state = deepcopy(before) if copied else before", "state = before"),
    "test_immutable.py::test_what_lies_in_events_registers_and_maps_cannot_be_changed":
    Mutant("what an event holds can be changed", "replica/event.py",
           "return tuple([field.name for field in fields if not _is_value(field.type)])", "return ()"),
    "test_slips.py::test_an_effect_that_is_none_is_told":
    Mutant("an effect may return nothing", "replica/aggregate.py",
           "        if not isinstance(one, Effect):", "        if not isinstance(one, Effect | None):"),
    "test_mark.py::test_an_online_backup_that_is_put_back_after_a_kill_goes_on_under_a_new_id":
    Mutant("a file may be behind what is noted", "replica/mark.py", " and noted.seq <= self._reached.seq", ""),
    "test_mark.py::test_a_backup_of_last_week_goes_on_under_a_new_id":
    Mutant("a mark that was put back is the mark", "replica/mark.py", "noted.seq, changed(self._file))",
           "noted.seq, noted.changed)"),
    "test_environment.py::test_what_is_acknowledged_lies_in_a_file_whatever_is_taken_away":
    Mutant("nobody looks where the file is", "replica/sqlite.py", "        self._file.check()\n", ""),
    "test_environment.py::test_a_forked_process_keeps_no_lock":
    Mutant("a forked process keeps the mark", "replica/mark.py", "os.register_at_fork(after_in_child=_forked)", ""),
    "test_forks.py::test_what_members_know_of_an_id_with_two_histories_is_the_same_everywhere":
    Mutant("what lies above a parting is known of members too", "replica/members.py",
           "seen = _below(self.seen_by(member), partings)", "seen = self.seen_by(member)"),
    "test_members.py::test_what_a_member_has_observed_counts_when_all_that_it_had_written_is_here":
    Mutant("what a member has observed counts at once", "replica/members.py",
           "        if version[member] > core.memory.version[member]:", "        if False:"),
    "test_protocol.py::test_compare_says_which_logs_to_send_from_where":
    Mutant("a lower history is not offered", "replica/meeting.py", "or len(own) > 1:",
           "or any(b in own for b in their):"),
    "test_wire.py::test_honest_loss_duplicates_and_delay_end_nothing":
    Mutant("a Have is heard and not answered", "sync/protocol.py",
           "        self._under_way.clear()\n        if have.reply:",
           "        self._under_way.clear()\n        if False:"),
    "test_protocol.py::test_a_gap_in_a_history_that_is_foreign_asks_for_all_of_it":
    Mutant("a foreign history is asked for from where it parts", "sync/protocol.py",
           "without=gap.replica if gap.foreign else None", "without=None"),
    "test_columns.py::test_what_arrives_is_folded_by_column_as_one_after_the_other":
    Mutant("what waits to be folded has no bound", "replica/folding.py",
           "        if memory.backlog.size > core.backlog or", "        if"),
    "test_place.py::test_every_reading_of_the_past_has_each_event_once":
    Mutant("the commit in which a place lies is handed out again", "replica/reading.py",
           "min(bisect_left(decoded.lasts, after) + 1, piece.commits)", "bisect_right(decoded.lasts, after)"),
    "test_ordered.py::test_what_is_concurrent_is_the_same_whatever_is_held":
    Mutant("an event is folded again without what was trimmed", "replica/ordered.py",
           "_fixed(kept, earlier))", "0)"),
    "test_why.py::test_every_place_of_every_lattice_is_explained_whoever_had_seen_what":
    Mutant("who removed what was not there yet is not known", "merge/why.py",
           "Touch(happening, True, (), told)", "Touch(happening, True)"),
    "test_waiting.py::test_what_waits_for_presents_is_bounded_by_bytes_and_costs_no_step":
    Mutant("large events count as small ones", "replica/backlog.py",
           "return sum(map(len, decoded.piece.columns)) + PER_EVENT", "return PER_EVENT"),
    "test_waiting.py::test_late_events_have_a_long_stream_folded_again_when_it_is_used_and_not_for_each":
    Mutant("each late event has its stream folded again", "replica/folding.py",
           "    if not by_column and not again:\n", "    if not by_column:\n"),
    "test_waiting.py::test_an_edit_waits_as_long_as_one_that_it_builds_on_is_missing":
    Mutant("what an edit takes out need not be there", "merge/update.py",
           "_number(took_out[2]) + _number(took_out[3])", "0"),
    "test_comparing.py::test_a_damaged_present_that_waits_for_what_has_come_is_mended_too":
    Mutant("a present that waits is not mended", "replica/draft.py",
           "            memory.backlog = memory.backlog.without(stream)", "            pass"),
    "test_values.py::test_no_stamp_is_made_of_what_is_no_whole_number":
    Mutant("a stamp is made of whatever a clock gives", "merge/stamp.py", "if type(now) is not int:", "if False:"),
    "test_values.py::test_what_is_nested_too_deep_is_refused_by_whoever_is_sent_it":
    Mutant("a payload that nobody can read is taken", "replica/block.py",
           "if any(too_deep(", "if False and any(too_deep("),
    "test_schemas.py::test_it_is_found_wherever_in_a_long_log_it_lies":
    Mutant("nobody looks for events that are older than their class", "replica/schemas.py",
           "    if not older:", "    if True:"),
    "test_projections.py::test_a_table_that_was_changed_while_the_replica_was_closed_is_built_again":
    Mutant("a table is live though it is not there", "replica/rows.py",
           "return projection is None or ", "return True or "),
    "test_beside.py::test_what_facts_say_is_read_from_them_again":
    Mutant("facts are lost with what was kept of them", "replica/beside.py",
           "_facts(log, names) if names else []", "[]"),
}  # fmt: skip
"""What other mechanisms make up for, so that no schedule in a thousand shows it; each by the test that is about the
mechanism alone, and finds it."""


JUDGED = [
    Mutant("a view goes on in the middle of a commit", "replica/reading.py",
           "min(bisect_left(decoded.lasts, after) + 1, piece.commits)", "bisect_right(decoded.lasts, after)"),
    Mutant("what was trimmed is concurrent with nothing", "replica/ordered.py",
           "_fixed(kept, earlier))", "0)"),
    Mutant("who removed what was not there yet is not told", "merge/why.py",
           "Touch(happening, True, (), told)", "Touch(happening, True)"),
    Mutant("a state comes back with its keys in another order", "replica/ordered.py",
           "        return Trail((), state, Base(stamp, stands), copied)\n\n"
           "    def unlike(self, one: Trail, other: Trail) -> str | None:\n"
           '        return unlike(one.state, other.state, "state")',
           "        state = dict(sorted(state.items())) if isinstance(state, dict) else state\n"
           "        return Trail((), state, Base(stamp, stands), copied)\n\n"
           "    def unlike(self, one: Trail, other: Trail) -> str | None:\n"
           "        return None"),
    Mutant("a constant of a class is not its code", "replica/fingerprint.py",
           "found.append((name, self.of(member)))",
           "found.append((name, self.of(member) if callable(member) else None))"),
    Mutant("a table that was dropped is live", "replica/rows.py", " and _is_made(core, name)", ""),
    Mutant("a retry is answered with what others did", "replica/core.py",
           "return here or heard", "return heard or here"),
]  # fmt: skip
"""What the independent judge finds: readings of whole replicas on files, for which no schedule asks."""


class Caught(NamedTuple):
    """How a bug was found."""

    oracle: str
    seed: int
    seconds: float


@contextmanager
def broken(mutant: Mutant) -> Iterator[Path]:
    """A copy of the sources with the bug in it."""
    with tempfile.TemporaryDirectory() as folder:
        for package in ("merge", "replica", "sync", "demo", "tests"):
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / package, Path(folder) / package, ignore=ignore)
        shutil.copy(ROOT / "pyproject.toml", folder)
        place = Path(folder) / mutant.file
        text = place.read_text()
        assert text.count(mutant.old) >= 1, f"{mutant.file} has no {mutant.old!r} any more: {mutant.says}"
        place.write_text(text.replace(mutant.old, mutant.new, 1))
        yield Path(folder)


def hunt(mutant: Mutant, seeds: int = SEEDS) -> Caught | None:
    """Play schedules with the bug in a copy of the sources, or have it judged; None where none finds it."""
    command = [sys.executable, "-m", "sync.testing", "--seeds", f"0-{seeds}", "--first"]
    if mutant in JUDGED:
        command = [sys.executable, "-m", "tests.differential", "--seeds", f"0-{seeds}", "--no-shrink"]
    begun = time.perf_counter()
    with broken(mutant) as folder:
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            return None
    took = time.perf_counter() - begun
    found = re.search(r"^seed (\d+): (\w+)", done.stdout, re.M)
    if found is not None:
        return Caught(found[2], int(found[1]), took)
    assert done.returncode == 0, f"this bug lets nothing start, which proves nothing: {done.stderr[-500:]}"
    return None


def fails(test: str, mutant: Mutant) -> bool:
    """Does a test fail with the bug in a copy of the sources?"""
    with broken(mutant) as folder:
        command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-x", f"tests/{test}"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode in (0, 1), f"{test} could not be run: {done.stdout[-500:]}"
    return done.returncode == 1


def main() -> int:
    chosen = [int(word) for word in sys.argv[1:]] or range(len(MUTANTS))
    missed = 0
    print("| bug | found by | in schedules | in s |\n|---|---|---|---|")
    for number in chosen:
        caught = hunt(MUTANTS[number])
        missed += caught is None
        schedules = "-" if caught is None else caught.seed + 1
        how = f"{caught.oracle} | {schedules} | {caught.seconds:.1f}" if caught else "**not found** | - | -"
        print(f"| {MUTANTS[number].says} | {how} |", flush=True)
    for mutant in JUDGED if len(chosen) == len(MUTANTS) else ():
        caught = hunt(mutant)
        missed += caught is None
        how = f"{caught.oracle} | {caught.seed + 1} | {caught.seconds:.1f}" if caught else "**not found** | - | -"
        print(f"| {mutant.says} | the judge: {how} |", flush=True)
    for test, mutant in MASKED.items() if len(chosen) == len(MUTANTS) else ():
        found = fails(test, mutant)
        missed += not found
        how = f"`{test.split('::')[1]}`" if found else "**not found**"
        print(f"| {mutant.says} | {how} | - | - |", flush=True)
    print(f"\n{missed} not found")
    return missed


if __name__ == "__main__":
    sys.exit(main())
