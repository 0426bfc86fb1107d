"""Fingerprints: a short name for what some code makes of a log.

What was derived with other code is derived again. So a fingerprint must move whenever what the code comes to may.

Rule 1. It covers whatever can be reached by name from a class, in the user's own modules: methods, properties,
        constants, defaults, closures, helpers, base classes, event classes with their fields and upcasters, enums,
        parameters of lattices. Nobody has to remember to raise a number.
Rule 2. It ends at what is not the user's: the standard library, installed packages, Anabranch. These are named, and
        not looked into, whatever their version; `fold_version` and `revision` are for a change there. (A package
        that a class of the user's lies in is the user's, also where it is installed.)
Rule 3. It is the same in every process with the same code and the same minor version of Python, which is what
        bytecode depends on. So it knows no address, no line number, no name of a module, no order of a set.
Rule 4. What has no plain form (a lock, a socket, an open file) is `unknown`, by name: nobody can tell whether it is
        what it was. What was derived by such code is made again at each opening.
"""

from __future__ import annotations

import builtins
import copyreg
import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Container, Iterable, Iterator
from enum import Enum
from functools import cache
from hashlib import blake2b
from importlib.util import resolve_name
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any, NamedTuple

import msgspec
from immutables import Map

from replica.bytecode import globals_in, imports_in, names_in

Without = Callable[[type], Container[str]]
"""The members of a class that are left out."""

_ANABRANCH = frozenset({"merge", "replica", "sync"})
_OURS = _ANABRANCH | {"builtins", "immutables", "msgspec"}
_STANDARD = inspect.__file__.replace("\\", "/").rpartition("/")[0] + "/"
_INSTALLED = ("/site-packages/", "/dist-packages/")
_PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented)})
_UNSAID = frozenset({
    "__abstractmethods__", "__annotate__", "__annotate_func__", "__annotations__", "__annotations_cache__",
    "__dict__", "__doc__", "__firstlineno__", "__module__", "__orig_bases__", "__parameters__", "__qualname__",
    "__slotnames__", "__slots__", "__static_attributes__", "__type_params__", "__weakref__", "_abc_impl",
})  # fmt: skip
"""Members of classes that say nothing of what their code does, or that Python adds when it likes."""
_ENUM = frozenset({
    "_hashable_values_", "_member_map_", "_member_names_", "_unhashable_values_", "_value2member_map_",
})  # fmt: skip
"""The same of enums, whose members are gone through by themselves."""
_NAMED = frozenset({
    ("_thread", "RLock"), ("_thread", "lock"), ("weakref", "ReferenceType"), ("weakref", "WeakKeyDictionary"),
    ("_weakrefset", "WeakSet"), ("weakref", "WeakValueDictionary"),
})  # fmt: skip
"""Kinds of objects that stand in for what nobody reads out of them: a lock, and caches."""
_WRAPPED = "fget", "fset", "fdel", "__func__", "func"
_GENERIC = "__origin__", "__args__", "__metadata__"
_FORWARD = ("__forward_arg__",)
_STRUCT = ("__struct_fields__", "__struct_encode_fields__", "__struct_defaults__", "__struct_config__")
_DESCRIPTORS = (MemberDescriptorType, GetSetDescriptorType)
_CACHED = type(cache(lambda: None))
_SLOT_TYPES = (type(object.__init__), type(str.join), type(dict.__dict__["fromkeys"]), type(object().__str__))


class Reached(NamedTuple):
    """What can be reached from a class."""

    name: str
    """Its fingerprint."""
    types: tuple[type, ...]
    """The classes of the user's in it, in an order that is the same wherever the name is."""
    unknown: tuple[str, ...]
    """What has no plain form, and where it was met."""


def fingerprint(*plain: Any) -> str:
    """32 hexadecimal digits for plain values."""
    return blake2b(repr(plain).encode("utf-8", "backslashreplace"), digest_size=16).hexdigest()


@cache
def reached(kind: Any, without: Without) -> Reached:
    """What can be reached from a class, but for the members that are left out of it, or of others."""
    walk = _Walk(without)
    walk.enter(kind)
    name = fingerprint(walk.of(kind), walk.rest())
    return Reached(name, tuple(walk.types), tuple(sorted({*walk.unknown})))


class _Walk:
    """Goes through everything that can be reached, each function, class and object once."""

    def __init__(self, without: Without, roots: Iterable[str] = ()) -> None:
        self._without, self._roots = without, {*roots}
        self._numbers: dict[int, int] = {}
        self._met: list[tuple[Any, str]] = []
        """What has a number, and where it was met."""
        self._held: list[Any] = []
        """What was made on the way: it stays, so that no address is used twice."""
        self._open: set[int] = set()
        """Containers that are being gone through."""
        self._where = ""
        self.types: list[type] = []
        self.unknown: list[str] = []

    def rest(self) -> list[Any]:
        """What has a number, in plain values. More gets one on the way."""
        return [self._look_into(value, where) for value, where in self._met]

    def _look_into(self, value: Any, where: str) -> Any:
        try:
            if isinstance(value, FunctionType):
                self._where = value.__qualname__
                return self._function(value)
            if isinstance(value, type):
                self._where = value.__qualname__
                return self._class(value)
            self._where = where
            return self._object(value)
        except Exception as error:
            return self._unknown(value, f" ({error})")

    def _unknown(self, value: Any, why: str = "") -> Any:
        kind = type(value)
        self.unknown.append(f"{self._where}: an object of {kind.__module__}.{kind.__qualname__}{why}")
        return "unknown", kind.__module__, kind.__qualname__

    def _number(self, value: Any) -> tuple[str, int]:
        number = self._numbers.setdefault(id(value), len(self._met))
        if number == len(self._met):
            self._met.append((value, self._where))
        return "see", number

    # --- whose something is ---

    def enter(self, kind: type) -> None:
        """The package of this class is the user's."""
        self._roots.add(kind.__module__.partition(".")[0])

    def _is_own(self, module: str | None) -> bool:
        root = (module or "").partition(".")[0]
        if root in _OURS:
            return False
        if root in self._roots:
            return True
        file = getattr(sys.modules.get(module or ""), "__file__", None)
        if root in sys.stdlib_module_names and (file is None or file.startswith(_STANDARD)):
            return False
        return file is None or not any(part in file.replace("\\", "/") for part in _INSTALLED)

    def _is_own_class(self, kind: type) -> bool:
        root = kind.__module__.partition(".")[0]
        if root not in _OURS and any(base.__module__.partition(".")[0] in _ANABRANCH for base in kind.__mro__):
            self.enter(kind)  # made for Anabranch
        return self._is_own(kind.__module__)

    # --- values ---

    def of(self, value: Any) -> Any:
        """A value in plain values; what is looked into later has a number."""
        kind = type(value)
        if kind in _PLAIN:
            return kind.__name__, repr(value)
        if kind in (tuple, list, dict, set, frozenset, MappingProxyType, Map):
            return self._container(value)
        if kind is FunctionType:
            return self._number(value)
        if isinstance(value, type):
            known = _library(value) if not self._is_own_class(value) else None
            return known or self._number(value)
        if isinstance(value, Enum):
            return "member", self.of(kind), repr(value.name), self.of(value.value)
        if isinstance(value, ModuleType):
            return "module", value.__name__ if not self._is_own(value.__name__) else ""
        if kind is CodeType:
            return self._code(value)
        if kind is MethodType:
            return "method", self.of(value.__func__), self.of(value.__self__)
        if kind is BuiltinFunctionType and isinstance(value.__self__, ModuleType | None):
            return "built in", value.__module__, value.__qualname__
        if kind in _SLOT_TYPES or kind in _DESCRIPTORS:
            return "slot", value.__name__
        if (kind.__module__, kind.__qualname__) in _NAMED:
            return _library(kind)
        return self._number(value)

    def _container(self, value: Any) -> Any:
        kind = type(value)
        if id(value) in self._open:
            return ("cycle",)
        self._open.add(id(value))
        try:
            if kind in (set, frozenset, Map):
                found = value.items() if kind is Map else value
                return kind.__name__, sorted(self._apart(one) for one in found)
            if kind in (tuple, list):
                return kind.__name__, repr(value) if _are_plain(value) else [self.of(one) for one in value]
            items = dict(value)
            if _are_plain(items) and _are_plain(items.values()):
                return kind.__name__, repr(items)
            return kind.__name__, [(self.of(key), self.of(one)) for key, one in items.items()]
        finally:
            self._open.discard(id(value))

    def _apart(self, value: Any) -> str:
        """A name for a value that has no place in any order."""
        if type(value) in _PLAIN:
            return repr(value)
        walk = _Walk(self._without, self._roots)
        walk._where, walk._open = self._where, self._open
        name = fingerprint(walk.of(value), walk.rest())
        self.unknown += walk.unknown
        return name

    # --- functions ---

    def _code(self, code: CodeType) -> Any:
        counts = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
        names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
        consts = [self.of(one) for one in code.co_consts]
        return code.co_code.hex(), code.co_exceptiontable.hex(), counts, names, consts

    def _function(self, function: FunctionType) -> Any:
        cells = [self._cell(cell) for cell in function.__closure__ or ()]
        if not self._is_own(function.__globals__.get("__name__")):
            wrapped = function.__dict__.get("__wrapped__")
            return "library", function.__module__, function.__qualname__, cells, self.of(wrapped)
        code, names = function.__code__, names_in(function.__code__)
        defaults = self.of(function.__defaults__), self.of(function.__kwdefaults__)
        used = [(name, self._global(function, name, names)) for name in globals_in(code)]
        imports = [(name, self._imported(function, name, level, names)) for name, level in imports_in(code)]
        return self._code(code), defaults, cells, self._members(vars(function)), used, imports

    def _cell(self, cell: Any) -> Any:
        try:
            return self.of(cell.cell_contents)
        except ValueError:
            return ("empty",)

    def _global(self, function: FunctionType, name: str, names: set[str]) -> Any:
        before, self._where = self._where, f"{function.__qualname__} uses {name}"
        try:
            if name in function.__globals__:
                return self._named(function.__globals__[name], names)
            return "built in", hasattr(builtins, name)
        finally:
            self._where = before

    def _named(self, value: Any, names: set[str]) -> Any:
        """A value; of a module of the user's, what these names may be in it."""
        if not isinstance(value, ModuleType) or not self._is_own(value.__name__):
            return self.of(value)
        if id(value) in self._open:
            return ("cycle",)
        self._open.add(id(value))
        found = [(name, self._named(vars(value)[name], names)) for name in sorted(names & vars(value).keys())]
        self._open.discard(id(value))
        return "module", found

    def _imported(self, function: FunctionType, name: str, level: int, names: set[str]) -> Any:
        """What a function imports when it is called."""
        if level:
            name = resolve_name("." * level + name, function.__globals__.get("__package__") or "")
        if not self._is_own(name):
            return ("library", name)
        return self._named(importlib.import_module(name), names)

    # --- classes ---

    def _class(self, kind: type) -> Any:
        self.types.append(kind)
        said: list[Any] = [kind.__name__, [self.of(base) for base in kind.__bases__], self.of(type(kind))]
        said.append(self._members(vars(kind), self._without(kind), in_enum=issubclass(kind, Enum)))
        try:
            hints = inspect.get_annotations(kind, eval_str=True)
        except Exception:  # a name that is not there at run time: nothing can depend on what it means
            hints = inspect.get_annotations(kind)
        said.append([(name, self.of(hint)) for name, hint in hints.items()])
        if issubclass(kind, Enum):
            members = kind.__members__.items()
            said.append([(name, repr(one.name), self.of(one.value), self._extra(one)) for name, one in members])
        if issubclass(kind, msgspec.Struct):
            said.append([self.of(getattr(kind, name)) for name in _STRUCT])
        return said

    def _extra(self, member: Enum) -> Any:
        """What a member of an enum carries beside its name and value."""
        return self._members({name: one for name, one in vars(member).items() if not name.startswith("_")})

    def _members(self, members: Any, without: Container[str] = (), *, in_enum: bool = False) -> Any:
        found, where = [], self._where
        for name, member in sorted(members.items()):
            if name in _UNSAID or name in without or (in_enum and (name in _ENUM or isinstance(member, Enum))):
                continue
            self._where = f"{where}.{name}"
            found.append((name, self.of(member)))
        self._where = where
        return found

    # --- objects ---

    def _object(self, value: Any) -> Any:
        kind = type(value)
        for applies, names in (
            (kind in (property, staticmethod, classmethod, functools.cached_property), _WRAPPED),
            (kind is _CACHED, ("__wrapped__",)),
            (kind.__module__ in ("typing", "types") and hasattr(value, "__args__"), _GENERIC),
            (kind.__module__ in ("typing", "annotationlib") and hasattr(value, "__forward_arg__"), _FORWARD),
            (kind.__module__ == "typing" and hasattr(value, "__supertype__"), ("__supertype__",)),
            (kind.__module__ == "typing" and hasattr(value, "__value__"), ("__value__",)),
            (kind.__module__.startswith("msgspec") and not isinstance(value, msgspec.Struct), _described(kind)),
        ):
            if applies:
                return kind.__name__, [self.of(getattr(value, name, None)) for name in names]
        if kind.__module__.partition(".")[0] in _OURS and hasattr(value, "__dict__"):
            return self.of(kind), self._members(vars(value))
        return self._reduced(value)

    def _reduced(self, value: Any) -> Any:
        """An object as what `copy` and `pickle` make of it."""
        kind = type(value)
        reduce = copyreg.dispatch_table.get(kind)
        try:
            parts = reduce(value) if reduce is not None else value.__reduce_ex__(2)
        except Exception:
            return self._unknown(value)
        if isinstance(parts, str):
            return kind.__module__, kind.__qualname__, parts
        made, *rest = (list(part) if isinstance(part, Iterator) else part for part in parts)
        self._held.append((parts, rest))
        return self.of(kind), self.of(made), [self.of(part) for part in rest]


def _library(kind: type) -> tuple[str, str, str]:
    return "library", kind.__module__, kind.__qualname__


def _described(kind: type) -> list[str]:
    """The fields of a type that is written in C."""
    return [name for name, one in sorted(vars(kind).items()) if isinstance(one, _DESCRIPTORS)]


def _are_plain(values: Iterable[Any]) -> bool:
    return _PLAIN.issuperset(map(type, values))
