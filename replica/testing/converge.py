"""Does my aggregate converge? One line says.

    assert_converges(ShoppingList)

Replicas write events (or decide on commands) and hear of each other in any order; at the end all have heard of all.
Whatever the way by which somebody came to the same events, the present must be the same:

| way                   | finds                                                                       |
|-----------------------|-----------------------------------------------------------------------------|
| as written and heard  | a handler in which the order of arrival shows                                 |
| in other legal orders | the same, each commit heard twice                                             |
| at once               | what is kept between one event and the next (in the aggregate, in a global)   |
| through snapshots     | a state that is changed in place, or comes out of its bytes as something else |
| learnt late           | older code that kept and forwarded what it could not fold                     |
| merged from pasts     | a lattice whose join is no join                                               |
| at another time       | a handler that reads a clock                                                  |
| in another process    | the order of a set of strings                                                 |

A failure is shrunk by Hypothesis, and shown as the causal graph of its events with both presents side by side; the
scenario is printed too, and `replay` plays it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis.strategies as st
import msgspec
from hypothesis import HealthCheck, Phase, given, settings

from merge.kernel import Past
from merge.version import NOTHING, Dot
from replica.aggregate import Aggregate
from replica.app import spec_of
from replica.commit import Commit
from replica.decider import Decider
from replica.digest import digest
from replica.direct import DirectReplica
from replica.errors import PoisonEvent
from replica.event import Command, Event
from replica.folding import fold_apart, fold_within
from replica.graph import Graph
from replica.history import decision
from replica.introduction import CATEGORY
from replica.place import START
from replica.scenario import Scenario
from replica.snapshot import Loaded
from replica.testing.elsewhere import Elsewhere, later, rows_of
from replica.testing.scenario import Played, hear, newcomer
from replica.testing.strategies import events_of, scenarios
from replica.words import counted

WIDTH = 44
"""Columns of each of two presents side by side."""


class Diverged(AssertionError):
    """Two replicas that hold the same events have different presents."""


class Outcome(NamedTuple):
    """What somebody came to, and how."""

    how: str
    digest: str
    rows: dict[str, str]
    """What is read, in words, by field."""


def assert_converges(
    kind: type[Decider],
    *,
    events: st.SearchStrategy[Event] | None = None,
    commands: st.SearchStrategy[Command] | None = None,
    examples: int = 200,
    replicas: int = 3,
    steps: int = 8,
    save: str | Path | None = None,
) -> None:
    """Play random histories of an aggregate; Diverged where two ways to the same events give different presents.

    `events` is a strategy for what is written (all types of the aggregate, with values from small pools, unless
    given); `commands` is one for what is decided on instead, which an aggregate with a `Text` needs. `save` names a
    file for the scenario that fails.
    """
    what: Any = commands if commands is not None else events if events is not None else events_of(kind)
    written = 0
    drawn: dict[str, type[Event | Command]] = {}

    def note(one: Event | Command) -> Event | Command:
        drawn[type(one).__name__] = type(one)
        return one

    with Elsewhere(kind) as elsewhere:

        @settings(
            max_examples=examples, deadline=None, database=None, print_blob=False,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )  # fmt: skip
        @given(scenarios(what.map(note), replicas, steps))
        def every_way_leads_to_the_same(scenario: Scenario) -> None:
            nonlocal written
            played = Played(kind, scenario, *drawn.values())
            written += len(_told(played))
            check(played, scenario, elsewhere, save)

        every_way_leads_to_the_same()
    if not written:
        raise ValueError(
            f"no event of {kind.__name__} could be recorded, so nothing was checked: pass `events=` or "
            "`commands=`, a strategy for some that can be"
        )


def replay(kind: type[Decider], scenario: str | Path, *commands: type[Command]) -> None:
    """Play a scenario again: the text that a failure has printed, or the file that it has saved."""
    text = scenario.read_text() if isinstance(scenario, Path) else scenario
    again = Scenario.from_json(text)
    with Elsewhere(kind) as elsewhere:
        check(Played(kind, again, *commands), again, elsewhere)


def check(played: Played, scenario: Scenario, elsewhere: Elsewhere, save: str | Path | None = None) -> None:
    """Go all ways; Diverged where one leads to something else."""
    reference = _outcome(played.hub, played, "folded in the order of stamps")
    for outcome in _ways(played, scenario, elsewhere):
        if outcome.digest != reference.digest:
            spec = spec_of(played.kind)
            text = msgspec.structs.replace(scenario, app=() if spec is None else (spec,)).to_json()
            if save is not None:
                Path(save).write_text(text)
            raise Diverged(_told_apart(played, reference, outcome, text))


def _ways(played: Played, scenario: Scenario, elsewhere: Elsewhere) -> Iterator[Outcome]:
    kind, stream, everything = played.kind, played.stream, list(played.hub.all_slices())
    pasts = [_past(replica, stream) for replica in played.replicas] if issubclass(kind, Aggregate) else []
    if pasts:
        fold = reduce(lambda one, other: one | other, pasts).state
        yield _reading(played, fold, "merged from what each replica had folded")
    for replica in played.replicas:
        how = f"as {replica.core.identity.name} wrote and heard it"
        replica.flush()
        _try_present(replica, stream)
        hear(replica, everything)
        yield _outcome(replica, played, how)
    for seed in scenario.seeds:
        order = played.order(seed)
        yield _one_by_one(played, order, f"heard in the order {_dots(played, order)}")
    yield _frozen(played, played.order(scenario.seeds[0] if scenario.seeds else 0))
    late = newcomer(kind, "late", knows=False)
    hear(late, everything)
    yield _outcome(newcomer(kind, "late", late.log), played, "learnt when all had been heard")
    at_once = newcomer(kind, "once")
    hear(at_once, everything)
    yield _outcome(at_once, played, "heard at once")
    with later(kind):
        yield _again(played, "folded again, some years later")
    for found, rows in elsewhere.read(stream, everything):
        yield Outcome("folded in another process, with another hash seed", found, rows)


def _past(replica: DirectReplica, stream: str) -> Past[Any]:
    """What a replica has folded, at the version it holds."""
    core = replica.core
    version = core.memory.version
    commits = replica.reader().stream(stream)
    return Past(fold_within(core, stream, commits, version), version)


def _one_by_one(played: Played, order: list[Commit], how: str) -> Outcome:
    """Commit by commit, each twice, with the present read in between."""
    replica = newcomer(played.kind, "one")
    for commit in order:
        for _ in range(2):
            hear(replica, [played.piece(commit)])
        _try_present(replica, played.stream)
    return _outcome(replica, played, how)


def _frozen(played: Played, order: list[Commit]) -> Outcome:
    """A snapshot after each commit, and the process ends."""
    log = None
    replica = newcomer(played.kind, "froze")
    for commit in order:
        replica = newcomer(played.kind, "froze", log)
        replica.core.every = 1
        hear(replica, [played.piece(commit)])
        _try_present(replica, played.stream)
        replica.snapshot()
        log = replica.log
    how = f"heard in the order {_dots(played, order)}, with a snapshot after each, closed and opened"
    return _outcome(newcomer(played.kind, "froze", replica.log), played, how)


def _again(played: Played, how: str) -> Outcome:
    """The fold of the log, apart from all that is kept."""
    loaded = Loaded(None, START, 0, played.hub.reader().stream(played.stream))
    return _reading(played, lambda: fold_apart(played.hub.core, played.stream, loaded), how)


def _try_present(replica: DirectReplica, stream: str) -> None:
    try:
        replica.present(stream)
    except PoisonEvent:
        return


def _outcome(replica: DirectReplica, played: Played, how: str) -> Outcome:
    try:
        present = replica.present(played.stream)
        return Outcome(how, digest(present.canonical(present.state)), rows_of(present.plain()))
    except Exception as error:
        words = f"raised {type(error).__name__}: {error}"
        return Outcome(how, words, {"": words})


def _reading(played: Played, fold: Any, how: str) -> Outcome:
    try:
        state = fold() if callable(fold) and not isinstance(fold, Past) else fold
        present = played.hub.core.aggregate_of(played.stream).present_of(state, played.stream, NOTHING)
        return Outcome(how, digest(present.canonical(present.state)), rows_of(present.plain()))
    except Exception as error:
        words = f"raised {type(error).__name__}: {error}"
        return Outcome(how, words, {"": words})


# --- telling ---


def _told(played: Played) -> list[tuple[Commit, Any]]:
    """The commits that are no introductions."""
    return [item for item in played.commits if not item[0].events[0].stream.startswith(f"{CATEGORY}/")]


def _dots(played: Played, order: list[Commit]) -> str:
    label = played.hub.core.label
    told = [commit for commit in order if not commit.events[0].stream.startswith(f"{CATEGORY}/")]
    return ", ".join(str(Dot(label(commit.replica), commit.first)) for commit in told)


def _told_apart(played: Played, one: Outcome, other: Outcome, text: str) -> str:
    told, core = _told(played), played.hub.core
    events = sum(len(commit.events) for commit, _ in told)
    lines = [
        f"{played.kind.__name__} does not converge: two that hold the same {counted(events, 'event')} read "
        "differently.",
        "",
    ]
    graph = Graph({commit.replica: commit.last for commit, _ in told})
    width = Graph.width(len({commit.replica for commit, _ in told}))
    for commit, context in told:
        records = decision(core, commit, context)
        for record, (lanes, seen) in zip(records, graph.draw(records), strict=True):
            beside = f"  (seen {' '.join(map(str, seen))})" if seen else ""
            lines.append(f"    {lanes:<{width}}  {record}{beside}")
    lines += ["", *_side_by_side(one, other), "", f"    one    {one.how}", f"    other  {other.how}", ""]
    return "\n".join([*lines, f"scenario (play it again with `replay`):\n{text}"])


def _side_by_side(one: Outcome, other: Outcome) -> list[str]:
    names = list(dict.fromkeys([*one.rows, *other.rows]))
    width = max(len(name) for name in names)
    lines = [f"    {'':<{width}}  {'one':<{WIDTH}}  other"]
    return lines + [
        f"    {name:<{width}}  {one.rows.get(name, ''):<{WIDTH}}  {other.rows.get(name, '')}" for name in names
    ]
