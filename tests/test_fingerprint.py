"""Fingerprints: they move with whatever a fold can reach by name, and with nothing else."""

from __future__ import annotations

import linecache
import subprocess
import sys
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from merge import LWWRegister
from replica import Aggregate, Event, StreamRows
from replica.log import Span
from tests.histories import direct

ROOT = Path(__file__).parent.parent

RATES = """
FACTOR = 3
TABLE = {"a": 1, "b": 2}
def rate(n, k=4): return n * k
"""

PROGRAM = """
import functools, operator, re
from collections import OrderedDict
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, Flag
from typing import Annotated, Any, Literal, NamedTuple
import msgspec
from merge import AWSet, LWWRegister, MVRegister, ORMap
from merge.lattice import Lattice
from merge.effect import replace
from replica import Aggregate, Event, Ordered
import rates
from rates import TABLE

LIMIT = 10
PAIR = (1, 2)
ODD = {"x", "y", "z"}
WORD = re.compile("a+")
PRICE = Decimal("1.50")
second = operator.itemgetter(1)
twice = functools.partial(max, 2)

class Colour(Enum):
    RED = "red"
    BLUE = "blue"
    def warm(self): return self is Colour.RED

class Right(Flag):
    READ = 1

class Size(msgspec.Struct, frozen=True):
    width: int = 5

@dataclass(frozen=True)
class Place:
    x: int
    tags: tuple = ("old",)

class Point(NamedTuple):
    x: int
    y: int = 6

class Settings:
    step = 7
    def __init__(self, most): self.most = most
    def __call__(self, n): return min(n, self.most)

settings = Settings(8)

def logged(call):
    @functools.wraps(call)
    def around(*args): return (call(*args), "logged")
    return around

@logged
def inner(n): return n + 1

@functools.cache
def slow(n): return n + 2

@functools.singledispatch
def shown(n): return "any"
@shown.register
def _(n: int): return "int"

def helper(n, *, k=9):
    def deep(m): return m + LIMIT
    return deep(inner(n)) + k + slow(n)

def maker(start):
    def made(n): return n + start
    return made

made = maker(11)

def upcast(d):
    return {**d, "n": d.get("m", PAIR[0])}

class Happened(Event):
    n: int
    colour: Colour = Colour.RED
    right: Right | None = None
    size: Size = Size()
    place: Place | None = None
    point: Point | None = None
    more: list[int] = msgspec.field(default_factory=list)
    kind: Literal["one", "two"] = "one"
    small: Annotated[int, msgspec.Meta(ge=0)] = 0
    schema = 2
    upcasters = {1: upcast}
    former_names = ("Was",)
    @property
    def half(self): return self.n / 2
    def least(self): return min(self.n, 12)

class Top(Lattice):
    rule = "the last one"
    def __init__(self, most): self.most = most
    def write(self, n): return replace(self._path, min(n, self.most))
    @property
    def value(self): return None

class Mixin:
    BASE = 13
    def based(self, n): return n + self.BASE

class Seen(Mixin, Aggregate):
    stream = "seen"
    events = (Happened,)
    colour = LWWRegister()
    tags = ORMap(AWSet())
    top = Top(14)
    NUMBER = 15
    RULES = {"a": lambda n: n + 16}
    ORDER = OrderedDict(a=1, b=2)
    @staticmethod
    def still(n): return n + 17
    @classmethod
    def classy(cls, n): return n + 18
    @property
    def readable(self): return 19
    def decide(self, command, given): return command.refused
    def due(self): return ()
    def effect(self, event, default=20):
        import rates as late
        if WORD.match("a") and event.n in ODD: return ()
        found = helper(event.n) + settings(event.n) + made(event.n) + twice(second(PAIR)) + len(shown(event.n))
        try: found += rates.rate(event.n) + late.FACTOR + TABLE["a"] + PRICE
        except ZeroDivisionError: found = 21
        return self.top.write(found)

def unused(n): return n + 22
"""

CHANGES = {
    "a constant of the class": ("NUMBER = 15", "NUMBER = 16"),
    "the type of a constant": ("NUMBER = 15", "NUMBER = 15.0"),
    "a constant of a parent class": ("BASE = 13", "BASE = 14"),
    "a method of a parent class": ("return n + self.BASE", "return n - self.BASE"),
    "the order of parent classes": ("class Seen(Mixin, Aggregate)", "class Seen(Aggregate, Mixin)"),
    "a constant of the module": ("LIMIT = 10", "LIMIT = 11"),
    "a list for a tuple": ("PAIR = (1, 2)", "PAIR = [1, 2]"),
    "True for 1": ("PAIR = (1, 2)", "PAIR = (True, 2)"),
    "an element of a set": ('"y", "z"}', '"y", "w"}'),
    "a pattern": ('re.compile("a+")', 're.compile("a*")'),
    "digits of a decimal": ('Decimal("1.50")', 'Decimal("1.5")'),
    "an argument of a getter": ("itemgetter(1)", "itemgetter(0)"),
    "an argument of a partial": ("partial(max, 2)", "partial(max, 3)"),
    "a value of an enum": ('BLUE = "blue"', 'BLUE = "azure"'),
    "the order of an enum": ('RED = "red"\n    BLUE = "blue"', 'BLUE = "blue"\n    RED = "red"'),
    "a method of an enum": ("self is Colour.RED", "self is not Colour.RED"),
    "a bit of a flag": ("READ = 1", "READ = 2"),
    "a default inside a field": ("width: int = 5", "width: int = 6"),
    "a default of a dataclass": ('("old",)', '("new",)'),
    "a default of a tuple with names": ("y: int = 6", "y: int = 7"),
    "a constant of a helper class": ("step = 7", "step = 8"),
    "the state of an object": ("Settings(8)", "Settings(9)"),
    "a method of an object": ("return min(n, self.most)\n\nsettings", "return max(n, self.most)\n\nsettings"),
    "a wrapper of a function": ('"logged")', '"noted")'),
    "a function that is wrapped": ("def inner(n): return n + 1", "def inner(n): return n + 3"),
    "a function that is cached": ("def slow(n): return n + 2", "def slow(n): return n + 4"),
    "a function for a type": ('return "int"', 'return "integer"'),
    "a default of a helper": ("*, k=9", "*, k=10"),
    "how a helper is called": ("def helper(n, *, k=9)", "def helper(n, k=9)"),
    "a function in a function": ("return m + LIMIT", "return m - LIMIT"),
    "a closure": ("maker(11)", "maker(12)"),
    "an upcaster": ('d.get("m"', 'd.get("o"'),
    "the schema of an event": ("schema = 2", "schema = 3"),
    "a former name of an event": ('"Was"', '"Were"'),
    "a type of a field": ("    n: int\n    colour", "    n: float\n    colour"),
    "an option of a type": ('Literal["one", "two"]', 'Literal["one", "three"]'),
    "a bound of a field": ("Meta(ge=0)", "Meta(ge=-1)"),
    "a default of a field": ("small: Annotated[int, msgspec.Meta(ge=0)] = 0",
                             "small: Annotated[int, msgspec.Meta(ge=0)] = 1"),
    "a default that is made": ("default_factory=list", "default_factory=lambda: [1]"),
    "how an event is encoded": ("class Happened(Event)", 'class Happened(Event, array_like=True)'),
    "a property of an event": ("self.n / 2", "self.n / 3"),
    "a method of an event": ("min(self.n, 12)", "max(self.n, 12)"),
    "a parameter of a lattice": ("top = Top(14)", "top = Top(15)"),
    "a method of a lattice": ("min(n, self.most))", "max(n, self.most))"),
    "what a map is of": ("ORMap(AWSet())", "ORMap(MVRegister())"),
    "a function in a constant": ("lambda n: n + 16", "lambda n: n + 17"),
    "the order of a dict": ("OrderedDict(a=1, b=2)", "OrderedDict(b=2, a=1)"),
    "a static method": ("return n + 17", "return n + 18"),
    "a class method": ("def classy(cls, n): return n + 18", "def classy(cls, n): return n + 19"),
    "a property": ("return 19", "return 20"),
    "a default of the fold": ("default=20", "default=21"),
    "what is caught": ("except ZeroDivisionError", "except OverflowError"),
    "the fold": ("found = 21", "found = 22"),
    "the version of the fold": ('stream = "seen"', 'stream = "seen"\n    fold_version = 2'),
}  # fmt: skip
"""One reachable place each."""

ELSEWHERE = {
    "a constant of another module": ("FACTOR = 3", "FACTOR = 4"),
    "an entry of a dict of another module": ('"a": 1', '"a": 2'),
    "the order of a dict of another module": ('{"a": 1, "b": 2}', '{"b": 2, "a": 1}'),
    "a default in another module": ("k=4", "k=5"),
    "a function of another module": ("n * k", "n + k"),
}

SAME = {
    "a comment": ("LIMIT = 10", "LIMIT = 10  # at most"),
    "lines": ("LIMIT = 10", "\n\n\nLIMIT = 10\n\n"),
    "the order of functions": (
        "    def due(self): return ()\n    def effect", "    def effect"
    ),
    "what decides": ("return command.refused", "return [command.refused, 1]"),
    "what nobody calls": ("return n + 22", "return n + 23"),
    "what the class says of itself": ('stream = "seen"', '"""What was seen."""\n    stream = "seen"'),
}  # fmt: skip
"""What no fold depends on."""


def changed(text: str, changes: dict[str, tuple[str, str]], names: Any) -> str:
    for name in names:
        if name in changes:
            before, after = changes[name]
            assert text.count(before) == 1, f"{name}: {before!r} stands there {text.count(before)} times"
            text = text.replace(before, after)
    return text


def program(*names: str) -> Any:
    """The aggregate of the program, with some changes."""
    for name, text in (("rates", changed(RATES, ELSEWHERE, names)),
                       ("program", changed(changed(PROGRAM, CHANGES, names), SAME, names))):  # fmt: skip
        module = sys.modules[name] = ModuleType(name)
        exec(compile(text, f"{name}.py", "exec"), module.__dict__)
    found = sys.modules["program"].Seen
    found.reached()
    del sys.modules["program"], sys.modules["rates"]
    linecache.clearcache()
    return found


PLAIN = program()


@pytest.mark.parametrize("name", [*CHANGES, *ELSEWHERE])
def test_a_fingerprint_moves_with_whatever_the_fold_can_reach(name):
    """Otherwise a snapshot of older code goes on under newer code: a present that no code comes to."""
    assert program(name).fingerprint() != PLAIN.fingerprint()


@pytest.mark.parametrize("name", SAME)
def test_a_fingerprint_stays_where_nothing_changes_that_a_fold_could_reach(name):
    """Otherwise all is folded again, and no presents are compared, after every edit of a comment."""
    assert program(name).fingerprint() == PLAIN.fingerprint()


@settings(max_examples=25, deadline=None)
@given(
    st.sets(
        st.sampled_from([*ELSEWHERE, "a constant of the class", "a closure", "a value of an enum", "an upcaster"])
    ),
    st.sets(st.sampled_from([*SAME])),
    st.sets(
        st.sampled_from([*ELSEWHERE, "a constant of the class", "a closure", "a value of an enum", "an upcaster"])
    ),
)
def test_two_programs_have_one_fingerprint_if_and_only_if_they_fold_alike(one, layout, other):
    """Whatever is changed together, and however the text is laid out."""
    layout -= {"lines"} if "a comment" in layout else set()
    clash = {"an entry of a dict of another module", "the order of a dict of another module"}
    one, other = ({*found} - (clash if clash <= found else set()) for found in (one, other))
    same = program(*one, *layout).fingerprint() == program(*other).fingerprint()
    assert same == (one == other)


def test_everything_in_the_program_can_be_told():
    """Nothing in it is unknown, and its classes are known by number for what is kept."""
    assert PLAIN.reached().unknown == ()
    names = [kind.__name__ for kind in PLAIN.reached().types]
    assert {"Colour", "Right", "Size", "Place", "Point", "Top", "Settings", "Happened"} <= {*names}


class Locked(Event):
    word: str


class Counter:
    def __init__(self) -> None:
        self.made = (n for n in range(3))


counter = Counter()
lock = Lock()


class Vague(Aggregate):
    """Its fold depends on what no fingerprint can tell."""

    stream = "vague"
    events = (Locked,)
    word = LWWRegister()

    def effect(self, event):
        with lock:
            return self.word.write(event.word + str(counter.made))


class VagueRows(StreamRows):
    table = "vague"
    columns = {"word": str}
    of = Vague

    def rows(self, present):
        return [(present.word.value,)]


def test_what_cannot_be_told_is_named_once_and_nothing_of_it_is_kept():
    """Silence would be a snapshot or a table of other code. A lock is nothing that anybody reads."""
    assert [words.split(" ")[0] for words in Vague.reached().unknown] == ["Vague.effect"]
    assert "generator" in Vague.reached().unknown[0]
    replica = direct("alice", aggregates=(Vague,), every=5)
    for number in range(30):
        replica.append("vague/1", [Locked(str(number))], number + 1)
        replica.snapshot()
    assert not replica.log.kept(Span("snapshot"))
    (complaint,) = replica.core.complaints.take()
    assert "vague/1" in complaint.words
    assert "counter" in complaint.words
    assert VagueRows.reached().unknown == Vague.reached().unknown


def test_a_fingerprint_is_the_same_in_every_process():
    """Whatever the hash seed: a set in the code has no order. Otherwise all would be made again each time."""
    text = "from tests.test_fingerprint import PLAIN, Vague; print(PLAIN.fingerprint(), Vague.fingerprint())"
    found = {
        subprocess.run(
            [sys.executable, "-c", text], cwd=ROOT, env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("0", "1")
    }
    assert found == {f"{PLAIN.fingerprint()} {Vague.fingerprint()}\n".encode()}
