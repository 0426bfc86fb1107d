"""An app: the aggregates, projections and commands that a program defines, found by the modules they stand in.

`shop` names all that the module `shop` has, and `shop:Order` one of them. Commands need not be listed anywhere:
they are those in the modules of the aggregates.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable
from importlib import import_module

from replica.decider import Decider
from replica.event import Command, Event
from replica.projection import EventRows, Projection, StreamRows


class NoSuchApp(ValueError):
    """A name leads to no module, or to nothing in it that a replica could use."""


def load(specs: Iterable[str]) -> tuple[list[type[Decider]], list[type[Projection]]]:
    """The aggregates and projections that `module` defines, or `module:Class` is; NoSuchApp where there is none."""
    aggregates: dict[type[Decider], None] = {}
    projections: dict[type[Projection], None] = {}
    for spec in specs:
        name, _, attribute = spec.partition(":")
        try:
            module = import_module(name)
        except ImportError as error:
            raise NoSuchApp(f"{name} cannot be imported ({error}): run where it can, or set PYTHONPATH") from error
        if attribute and not hasattr(module, attribute):
            raise NoSuchApp(f"there is no {attribute} in {name}")
        found = [getattr(module, attribute)] if attribute else list(vars(module).values())
        for kind in found:
            if not inspect.isclass(kind) or inspect.isabstract(kind):
                continue
            if issubclass(kind, Decider) and hasattr(kind, "stream"):
                aggregates[kind] = None
            elif issubclass(kind, EventRows | StreamRows) and hasattr(kind, "table"):
                projections[kind] = None
        if not aggregates and not projections:
            raise NoSuchApp(f"{spec} names no aggregate and no projection")
    return list(aggregates), list(projections)


def spec_of(kind: type[Decider]) -> str | None:
    """The name under which `load` finds an aggregate; None for one in a function, or in the program that runs."""
    if kind.__module__ == "__main__" or "." in kind.__qualname__:
        return None
    return f"{kind.__module__}:{kind.__qualname__}"


def kinds_of(aggregates: Iterable[type[Decider]], *more: type[Event | Command]) -> dict[str, type[Event | Command]]:
    """The events of some aggregates and the commands in their modules, by name; and those that are given."""
    kinds: dict[str, type[Event | Command]] = {}
    for aggregate in aggregates:
        module = sys.modules.get(aggregate.__module__)
        here = [] if module is None else [one for one in vars(module).values() if _is_command(one)]
        kinds |= {one.__name__: one for one in (*here, *aggregate.events)}
    return kinds | {one.__name__: one for one in more}


def _is_command(thing: object) -> bool:
    return inspect.isclass(thing) and issubclass(thing, Command) and thing is not Command
