"""What the streams of the programs must read (`tests.subject` folds them), by `tests.reference` alone.

Nothing is imported from the product.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tests.reference import (
    Act,
    Code,
    Fact,
    Lattice,
    Reason,
    add_wins,
    at,
    concurrent,
    enable_wins,
    every_writer,
    last_writer,
    read,
    reason,
    remove_wins,
    total,
    typed,
)  # fmt: skip

ROW: Lattice = {
    "tags": add_wins, "barred": remove_wins, "name": last_writer, "names": every_writer, "done": enable_wins,
    "votes": total, "seen": total, "slots": (add_wins,),
}  # fmt: skip
BOARD: Mapping[str, Lattice] = {
    "items": add_wins, "allowed": remove_wins, "title": last_writer, "labels": every_writer, "mood": last_writer,
    "urgent": enable_wins, "total": total, "visits": total, "card": {"a": last_writer, "b": total},
    "table": (ROW,), "body": typed,
}  # fmt: skip
EXPLAINED = "title", "labels", "mood", "urgent", "items", "allowed"
"""Fields of a board of which it is said here why they read as they do."""


def acts_of(fact: Fact) -> Iterator[Act]:
    """What a fact does to a board."""
    say = fact.fields
    row = ("table", say.get("key"))
    match fact.type:
        case "Added":
            yield Act(fact, ("items",), "add", say["item"])
        case "Removed":
            yield Act(fact, ("items",), "remove", say["item"])
        case "Swapped":
            yield Act(fact, ("items",), "remove", say["old"])
            yield Act(fact, ("items",), "add", say["new"])
        case "Emptied":
            yield Act(fact, ("items",), "clear")
        case "Allowed":
            yield Act(fact, ("allowed",), "add", say["item"])
        case "Vetoed":
            yield Act(fact, ("allowed",), "remove", say["item"])
        case "Titled":
            yield Act(fact, ("title",), "write", say["title"])
        case "Untitled":
            yield Act(fact, ("title",), "clear")
        case "Labelled" | "Tagged":
            yield Act(fact, ("labels",), "write", say["label"] + ("!" if say.get("loud") else ""))
        case "Felt":
            yield Act(fact, ("mood",), "write", say["mood"])
        case "Raised":
            yield Act(fact, ("urgent",), "enable")
        case "Lowered":
            yield Act(fact, ("urgent",), "disable")
        case "Counted":
            yield Act(fact, ("total",), "count", say["by"])
        case "Visited":
            yield Act(fact, ("visits",), "count", say["by"])
        case "Carded":
            yield Act(fact, ("card", "a"), "write", say["a"])
            yield Act(fact, ("card", "b"), "count", say["by"])
        case "Typed":
            yield Act(fact, ("body",), "type", say["update"])
        case "RowTagged":
            yield Act(fact, (*row, "tags"), "add", say["tag"])
        case "RowUntagged":
            yield Act(fact, (*row, "tags"), "remove", say["tag"])
        case "RowBarred":
            yield Act(fact, (*row, "barred"), "remove", say["tag"])
        case "RowUnbarred":
            yield Act(fact, (*row, "barred"), "add", say["tag"])
        case "RowNamed":
            yield Act(fact, (*row, "name"), "write", say["name"])
            yield Act(fact, (*row, "names"), "write", say["name"])
        case "RowDone":
            yield Act(fact, (*row, "done"), "enable")
        case "RowUndone":
            yield Act(fact, (*row, "done"), "disable")
        case "RowVoted":
            yield Act(fact, (*row, "votes"), "count", say["by"])
            yield Act(fact, (*row, "seen"), "count", 1)
        case "RowNoted":
            yield Act(fact, (*row, "slots", say["slot"]), "add", say["note"])
        case "RowUnnoted":
            yield Act(fact, (*row, "slots", say["slot"]), "wipe")
        case "RowCleared":
            yield Act(fact, row, "wipe")
        case "TableCleared":
            yield Act(fact, ("table",), "wipe")


def board(facts: Iterable[Fact]) -> dict[str, Any]:
    """What a board reads."""
    found: dict[str, Any] = read(BOARD, [act for fact in facts for act in acts_of(fact)])
    return found


def reasons(facts: Iterable[Fact]) -> dict[tuple[Any, ...], Reason]:
    """Why the fields of a board that are explained here read as they do, by place."""
    acts = [act for fact in facts for act in acts_of(fact)]
    found = {}
    for name in EXPLAINED:
        mine = at(acts, 0, name)
        sets = BOARD[name] in (add_wins, remove_wins)
        elements = {act.value for act in mine if act.verb != "clear"} if sets else {None}
        for element in elements:
            why = reason(BOARD[name], mine, element)
            if why is not None and mine:
                found[(name, element) if sets else (name,)] = why
    return found


def conflicts(facts: Iterable[Fact]) -> set[tuple[Any, ...]]:
    """The explained places where acts met that had not seen each other, and that nobody has settled since."""
    return {
        place
        for place, why in reasons(facts).items()
        if why.differ and (why.lost or (BOARD[place[0]] is every_writer and len(why.read) > 1))
    }


def shares(facts: Iterable[Fact], field: str) -> dict[int, int]:
    """What each author has added to a counter at the root."""
    found: dict[int, int] = {}
    for fact in facts:
        for act in acts_of(fact):
            if act.place == (field,):
                found[fact.author] = found.get(fact.author, 0) + act.value
    return found


def journal(facts: Iterable[Fact], factor: int) -> dict[str, Any]:
    """What a journal reads: by line, in the order in which lines came, what it says and whom its author missed."""
    ordered = sorted(facts, key=lambda fact: fact.order)
    state: dict[str, Any] = {}
    for place, fact in enumerate(ordered):
        if fact.type == "Struck":
            state = {line: what for line, what in state.items() if line != fact.fields["line"]}
        else:
            missed = [one.dot for one in concurrent(ordered, place)]
            ends = missed[:1] + missed[-1:]
            told = tuple(number for dot in ends for number in dot)
            state = {**state, fact.fields["line"]: (fact.fields["n"] * factor, len(missed), *told)}
    return state


def desk(facts: Iterable[Fact]) -> dict[str, Any]:
    """What a desk reads: by question, in their order, the dot of the fact that asked, and the number of answers."""
    state: dict[str, Any] = {}
    for fact in sorted(facts, key=lambda fact: fact.order):
        asked, answers = state.get(fact.fields["what"], (fact.dot, 0))
        state = {**state, fact.fields["what"]: (asked, answers + (fact.type == "Answered"))}
    return state


def present(stream: str, facts: Iterable[Fact], code: Code) -> Any:
    """What a stream reads, as some code reads it."""
    known = code.reads(facts)
    match stream.split("/")[0]:
        case "journal":
            return journal(known, code.factor)
        case "desk":
            return desk(known)
        case _:
            return board(known)
