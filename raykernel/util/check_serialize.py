"""Which part of a value it is that can't be pickled.

A function is searched in what it closes over and the globals it uses, anything else in its
attributes; the search goes into what fails, `depth` levels down, and names the innermost culprits.
"""

from __future__ import annotations

import contextlib
import dis
import inspect
from collections.abc import Mapping
from types import CodeType, FunctionType
from typing import Any

from raykernel.runtime.serialize import serialize

_WIDTH = 80
_READS_GLOBAL = ("LOAD_GLOBAL", "LOAD_NAME")


class FailureTuple:
    """A part that can't be pickled: `obj`, the names that lead to it, and what holds it."""

    def __init__(self, obj: Any, path: tuple[str, ...], parent: Any) -> None:
        self.obj = obj
        self.path = path
        self.parent = parent

    @property
    def name(self) -> str:
        return self.path[-1] if self.path else "unknown"

    def __repr__(self) -> str:
        where = " -> ".join(self.path)
        return f"FailTuple({self.name} [path={where}, obj={self.obj!r}, parent={self.parent!r}])"


def inspect_serializability(
    base_obj: Any, name: str | None = None, depth: int = 3, print_file: Any | None = None
) -> tuple[bool, set[FailureTuple]]:
    """Whether `base_obj` can be sent to another process, and if not, which parts of it are at
    fault. Prints the search to `print_file` (default: standard output)."""
    search = _Search(print_file)
    search.line("=" * _WIDTH)
    search.line(f"Checking Serializability of {base_obj!r}")
    search.line("=" * _WIDTH)
    path = () if name is None else (name,)
    fits = search.look(base_obj, path, None, depth, 0)
    if search.failures:
        search.line("=" * _WIDTH)
        for failure in search.failures:
            search.line(f"    {failure!r}")
        search.line(
            "can't be serialized; there may be others that were not found. Make such things "
            "inside the function or class that uses them, or give it something that can be "
            "pickled to make them from."
        )
        search.line("=" * _WIDTH)
    return fits, set(search.failures)


class _Search:
    def __init__(self, file: Any) -> None:
        self._file = file
        self.failures: list[FailureTuple] = []
        #: by id: the object, kept so that its id stays its own, and whether it fits
        self._seen: dict[int, tuple[Any, bool]] = {}

    def line(self, text: str, level: int = 0) -> None:
        print("    " * level + text, file=self._file)

    def look(self, obj: Any, path: tuple[str, ...], parent: Any, depth: int, level: int) -> bool:
        """Whether `obj` can be pickled; notes what in it can't."""
        try:
            serialize(obj)
        except Exception as error:
            self.line(f"!!! FAIL serialization: {error}", level)
        else:
            return True
        blamed = False  # on something within
        for part, value in _parts(obj) if depth > 0 else ():
            seen = self._seen.get(id(value))
            if seen is None:
                self.line(f"Serializing {part!r} {value!r}...", level + 1)
                self._seen[id(value)] = value, True  # a part of itself, until it is known
                fits = self.look(value, (*path, part), obj, depth - 1, level + 1)
                seen = self._seen[id(value)] = value, fits
            blamed = blamed or not seen[1]
        if not blamed:
            self.failures.append(FailureTuple(obj, path, parent))
        return False


def _parts(obj: Any) -> list[tuple[str, Any]]:
    """What an object consists of, as far as pickling cares: (name, value)."""
    from raykernel.remote import RemoteFunction

    if inspect.isfunction(obj):
        return [*_closure(obj), *_globals(obj)]
    if inspect.ismethod(obj):
        return [("__self__", obj.__self__), (obj.__name__, obj.__func__)]
    if isinstance(obj, RemoteFunction):
        return [("_function", obj._function)]
    if isinstance(obj, Mapping):
        return [(str(key), value) for key, value in obj.items()]
    if isinstance(obj, (list, tuple, set, frozenset)):
        return [(str(index), value) for index, value in enumerate(obj)]
    if inspect.isclass(obj):
        return [(n, v) for n, v in vars(obj).items() if inspect.isfunction(v)]
    return list(getattr(obj, "__dict__", {}).items())


def _closure(function: FunctionType) -> list[tuple[str, Any]]:
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    found = []
    for name, cell in cells:
        with contextlib.suppress(ValueError):  # an empty cell: not assigned yet
            found.append((name, cell.cell_contents))
    return found


def _globals(function: FunctionType) -> list[tuple[str, Any]]:
    """The globals that the function or one within it reads, without names of attributes."""
    names: dict[str, None] = {}
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
        names.update(dict.fromkeys(_globals_of(code)))
    known = function.__globals__
    return [(name, known[name]) for name in names if name in known]


def _globals_of(code: CodeType) -> list[str]:
    return [step.argval for step in dis.get_instructions(code) if step.opname in _READS_GLOBAL]


__all__ = ["FailureTuple", "inspect_serializability"]
