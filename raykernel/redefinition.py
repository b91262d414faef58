"""In a notebook, what a remote function uses may be redefined after its first call.

A function is pickled once, with the globals it reads, and kept by the session under a key. In a
program that is for good, as in Ray. In a notebook each submission looks whether a name means
something else now; if so the function is pickled again, under another key. Within a cell it looks
only whether the names' objects are where they were, which costs a fraction of a microsecond.

    cell 1   def helper(x): ...                        epoch 1
             @ray.remote
             def f(x): return helper(x)
             f.remote(1)      pickled with helper, `Watch` made
    cell 2   def helper(x): ...  (another)             epoch 2
             f.remote(1)      epochs differ ─▶ Watch.changed() ─▶ pickled again
             helper = len
             f.remote("a")    Watch.moved() ─▶ Watch.changed() ─▶ pickled again

Only rebinding a name counts. An object that is changed in place stays, for the tasks, as it was
when the function was pickled.

The notebook layer sets `names` and counts `epoch` up; elsewhere it stays 0, which never differs.
"""

from __future__ import annotations

import hashlib
import inspect
import weakref
from types import CodeType, ModuleType
from typing import Any

from raykernel.captured import MISSING, walk

#: How many cells have been begun; 0 outside a notebook, and in workers.
epoch = 0

#: The notebook's namespace.
names: dict[str, Any] | None = None

_BY_VALUE = int | float | complex | str | bytes | bool | None | ModuleType


class Watch:
    """What the notebook's names meant to a function or class when it was pickled. Keeps none of
    that alive but modules and plain values."""

    def __init__(self, thing: Any) -> None:
        self._marks: dict[str, Any] = {}
        if names is not None:
            for captured in walk(thing):
                if captured.names is names:
                    self._marks[captured.name] = _mark(captured.value)
        self._places = self._look()

    @property
    def counts(self) -> bool:
        """Whether there is any name to watch."""
        return bool(self._marks)

    def _look(self) -> tuple[tuple[str, int], ...]:
        """Where the objects of the names lie."""
        return tuple((name, id((names or {}).get(name, MISSING))) for name in self._marks)

    def moved(self) -> bool:
        """Whether one of the names has another object than when it was last looked at."""
        if names is not None:
            for name, place in self._places:
                if id(names.get(name, MISSING)) != place:
                    return True
        return False

    def changed(self) -> bool:
        """Whether one of the names means something else by now."""
        if names is None:
            return False
        if any(not _is(mark, names.get(name, MISSING)) for name, mark in self._marks.items()):
            return True
        self._places = self._look()
        return False


def is_older(class_name: str, module: str, made: bytes) -> bool:
    """Whether the notebook's class of that name is defined otherwise than when `made`, its digest
    then."""
    if names is None or not made or module != names.get("__name__"):
        return False
    now = names.get(class_name)
    now = getattr(now, "__dict__", {}).get("_cls", now)  # the class behind an actor class
    return isinstance(now, type) and now.__module__ == module and digest(now) != made


def name_of(thing: Any) -> str:
    """The notebook's name for a thing, "" if it has none."""
    found = (n for n, v in (names or {}).items() if v is thing and not n.startswith("_"))
    return next(found, "")


def digest(cls: type) -> bytes:
    """Tells one definition of a class from another; the same for the same text run again."""
    parts: list[Any] = [cls.__qualname__, [base.__qualname__ for base in cls.__bases__]]
    for name, value in sorted(vars(cls).items()):
        value = getattr(value, "__func__", value)
        for part in (value.fget, value.fset) if isinstance(value, property) else (value,):
            code = getattr(inspect.unwrap(part), "__code__", None) if callable(part) else None
            if code is not None:
                parts.append((name, _text(code), repr(getattr(part, "__ray_method_options__", ""))))
            elif isinstance(part, _BY_VALUE | tuple) and not name.startswith("__"):
                parts.append((name, repr(part)))
    return hashlib.sha256(repr(parts).encode()).digest()[:16]


def _text(code: CodeType) -> tuple[Any, ...]:
    consts = [_text(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return code.co_code, code.co_names, code.co_varnames, consts


def _mark(value: Any) -> Any:
    if value is MISSING or isinstance(value, _BY_VALUE):
        return value
    try:
        return weakref.ref(value)
    except TypeError:
        return _Place(value)


def _is(mark: Any, value: Any) -> bool:
    if isinstance(mark, weakref.ref):
        return value is not None and mark() is value
    if isinstance(mark, _Place):
        return mark == _Place(value)
    return mark is value or (type(mark) is type(value) and isinstance(mark, _BY_VALUE)
                             and bool(mark == value))  # fmt: skip


class _Place:
    """Where an object without weak references lies. A list bound while the old one still is lies
    elsewhere, so that a name that is assigned to is always noticed."""

    __slots__ = ("_what",)

    def __init__(self, value: Any) -> None:
        self._what = id(value), type(value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Place) and self._what == other._what

    __hash__ = None  # type: ignore[assignment]  # compared, and nothing else
