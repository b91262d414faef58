"""What a function or class drags along when it is pickled: globals, closures, defaults.

cloudpickle carries a function of a notebook by value, with every global name its code reads and,
through these, whatever other functions and classes read in turn. `walk` finds the same things with
the names under which the user knows them.
"""

from __future__ import annotations

import builtins
import functools
import inspect
from collections.abc import Iterator
from types import CodeType, FunctionType, MethodType
from typing import Any, NamedTuple

from cloudpickle import cloudpickle

MISSING: Any = object()


class Captured(NamedTuple):
    """One name that is read, and what it stood for. `names` is the namespace where it was looked
    up, None for a closure's variable, a default or a class's attribute."""

    name: str
    value: Any
    names: dict[str, Any] | None


def walk(thing: Any) -> Iterator[Captured]:
    """Everything captured by a function or class, each name once.

    A global name that is nowhere defined comes with the value MISSING.
    """
    pending, seen = [thing], {id(thing)}
    while pending:
        for captured in _directly(pending.pop()):
            yield captured
            inner = _code_of(captured.value)
            if inner is not None and id(inner) not in seen:
                seen.add(id(inner))
                pending.append(inner)


def global_names(code: CodeType) -> list[str]:
    """The global names that a piece of code reads or sets, functions within included."""
    return list(cloudpickle._extract_code_globals(code))


def _code_of(value: Any) -> Any:
    """The function or class to look into, if it travels by value; else None."""
    if isinstance(value, functools.partial):
        value = value.func
    if isinstance(value, MethodType):
        value = value.__func__
    if type(value).__module__.startswith("raykernel."):  # what is remote already
        for attribute in ("_remote_function", "_actor_class", "_function", "_cls"):
            value = getattr(value, "__dict__", {}).get(attribute, value)
    if isinstance(value, FunctionType | type) and not cloudpickle._should_pickle_by_reference(
        value
    ):
        return value
    return None


def _directly(thing: Any) -> Iterator[Captured]:
    if isinstance(thing, type):
        yield from _of_class(thing)
        return
    if not hasattr(thing, "__code__"):  # written in C: `len`, `numpy.add`
        return
    for name in global_names(thing.__code__):
        if name in thing.__globals__:
            yield Captured(name, thing.__globals__[name], thing.__globals__)
        elif not hasattr(builtins, name):
            yield Captured(name, MISSING, thing.__globals__)
    for name, cell in zip(thing.__code__.co_freevars, thing.__closure__ or (), strict=False):
        try:
            yield Captured(name, cell.cell_contents, None)
        except ValueError:  # empty as yet
            continue
    defaults = thing.__defaults__ or ()
    positional = thing.__code__.co_varnames[: thing.__code__.co_argcount]
    for name, value in zip(reversed(positional), reversed(defaults), strict=False):
        yield Captured(name, value, None)
    for name, value in (thing.__kwdefaults__ or {}).items():
        yield Captured(name, value, None)


def _of_class(cls: type) -> Iterator[Captured]:
    for base in cls.__bases__:
        yield Captured(base.__name__, base, None)
    for name, value in vars(cls).items():
        if isinstance(value, staticmethod | classmethod):
            value = value.__func__
        for part in (value.fget, value.fset, value.fdel) if isinstance(value, property) else ():
            if part is not None:
                yield Captured(name, inspect.unwrap(part), None)
        if not name.startswith("__") or isinstance(value, FunctionType):
            yield Captured(f"{cls.__name__}.{name}", value, None)
