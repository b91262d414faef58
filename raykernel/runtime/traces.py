"""Where a task failed, as data: what a driver needs to show its frames as if they were its own.

Made in the worker when a task fails, from what is there anyway: no value of the user's travels, and
of the source only a few lines, for code that lies in no file (a notebook's cells know theirs; but a
kernel may have been restarted since). An error that came out of a `get` in the task brings the
trace of the task it came from.
"""

from __future__ import annotations

import builtins
import inspect
import linecache
import os
import traceback
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

import msgspec

from .context import Running
from .shortrepr import short_repr

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_LIBRARY = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
_WAITING = tuple(
    _LIBRARY + part for part in (f"asyncio{os.sep}", f"concurrent{os.sep}", "threading.py")
)
_FRAMES = 30  # of one exception: a recursion's first and last
_CHAIN = 8
_AROUND = 3  # lines of source before and after
_TEXT = 4000
_ARGUMENTS = 200
_GROUP: Any = getattr(builtins, "BaseExceptionGroup", ())  # from Python 3.11 on

#: Types of arguments that mean nothing to the user.
unsaid: set[type] = set()


class Frame(msgspec.Struct, array_like=True):
    file: str
    line: int
    first: int  # line of its function
    name: str
    module: str = ""
    source: list[str] = []  # of code that lies in no file; `line` is at `offset` in it
    offset: int = 0


class Raised(msgspec.Struct, array_like=True):
    """An exception with its user's frames, the outermost first. `link` says how the one raised
    after it came of it: "cause" (`raise ... from`), "context", or "" for the last one."""

    kind: str
    text: str
    frames: list[Frame]
    link: str = ""
    notes: list[str] = []


class Trace(msgspec.Struct, array_like=True):
    """How a task failed. `chain` is oldest first; the error number `at` of it came out of a `get`,
    from the task whose trace `inner` is. `kept`: its variables are kept, as far as that can be."""

    task: str
    name: str
    cell: str
    pid: int
    arguments: str
    chain: list[Raised]
    inner: Trace | None = None
    at: int = -1
    kept: bool = False


def make(running: Running, error: BaseException, kept: bool = False) -> bytes:
    """The encoded trace of a failure."""
    spec = running.spec
    raised = chain(error)
    inner, at = None, -1
    for n, (one, _) in enumerate(raised):
        if is_remote(one):
            inner, at = decode(one._trace), n  # type: ignore[attr-defined]  # is_remote saw it
    trace = Trace(
        spec.id.hex(), spec.name, spec.cell, os.getpid(), arguments(running),
        [_raised(one, link) for one, link in raised], inner, at, kept,
    )  # fmt: skip
    return msgspec.msgpack.encode(trace)


def is_remote(error: BaseException) -> bool:
    """Whether an error came out of a task."""
    return isinstance(error.__dict__.get("_trace"), bytes)


def decode(data: bytes) -> Trace | None:
    try:
        return msgspec.msgpack.decode(data, type=Trace) if data else None
    except msgspec.DecodeError:
        return None


def chain(error: BaseException) -> list[tuple[BaseException, str]]:
    """An exception and what it came of, oldest first, each with the next one's link to it."""
    found: list[tuple[BaseException, str]] = []
    link = ""
    one: BaseException | None = error
    seen: set[int] = set()
    while one is not None and id(one) not in seen and len(found) < _CHAIN:
        seen.add(id(one))
        found.append((one, link))
        if one.__cause__ is not None:
            one, link = one.__cause__, "cause"
        else:
            one, link = (None if one.__suppress_context__ else one.__context__), "context"
    return found[::-1]


def frames(tb: TracebackType | None) -> list[tuple[FrameType, int]]:
    """The user's frames of a traceback with the lines they are at, the outermost first."""
    found = [pair for pair in traceback.walk_tb(tb) if not ours(pair[0].f_code.co_filename)]
    if len(found) > _FRAMES:
        found = found[: _FRAMES // 2] + found[-_FRAMES // 2 :]
    return found


def ours(filename: str) -> bool:
    return filename.startswith(_PACKAGE)


def waits(filename: str) -> bool:
    """Whether the code is of the standard library's that waits for others: events, futures."""
    return filename.startswith(_WAITING)


def _raised(error: BaseException, link: str) -> Raised:
    cause = error.__dict__.get("cause") if is_remote(error) else None
    tb = error.__traceback__
    if isinstance(cause, BaseException):
        error = cause
    notes = [str(note) for note in getattr(error, "__notes__", ()) or ()]
    made = [_frame(*pair) for pair in frames(tb)]
    return Raised(type(error).__name__, _text(error)[:_TEXT], made, link, notes)


def _text(error: BaseException) -> str:
    """What an exception says; of a syntax error also where, of a group what is in it."""
    try:
        text = str(error)
    except Exception:
        text = "(its text can't be made)"
    if isinstance(error, SyntaxError) and error.text:
        _, *source, _ = traceback.format_exception_only(type(error), error)
        text += "\n" + "".join(source).rstrip()
    elif isinstance(error, _GROUP):
        lines = [f"{number}. {_in_group(one)}" for number, one in enumerate(error.exceptions, 1)]
        text += "".join(f"\n  {line}" for line in "\n".join(lines).splitlines())
    return text


def _in_group(error: BaseException) -> str:
    where = [
        f' (File "{frame.f_code.co_filename}", line {line}, in {frame.f_code.co_name})'
        for frame, line in frames(error.__traceback__)[-1:]
    ]
    first, *more = _text(error).splitlines() or [""]
    return "\n".join([f"{type(error).__name__}: {first}{''.join(where)}", *more])


def _frame(frame: FrameType, line: int) -> Frame:
    code = frame.f_code
    module = str(frame.f_globals.get("__name__", ""))
    made = Frame(code.co_filename, line, code.co_firstlineno, code.co_name, module)
    if not os.path.exists(code.co_filename):
        first = max(1, line - _AROUND)
        lines = linecache.getlines(code.co_filename)[first - 1 : line + _AROUND]
        made.source, made.offset = [text.rstrip("\n") for text in lines], line - first
    return made


def arguments(running: Running) -> str:
    """The call's arguments in short: `values=[1, 2, 3], n=0`."""
    if running.call is None:
        return ""
    args, kwargs = running.call
    names = _parameters(running)
    parts = []
    for i, value in enumerate(args):
        if type(value) in unsaid:
            continue
        name = f"{names[i]}=" if i < len(names) else ""
        parts.append(name + short_repr(value))
    parts += [f"{name}={short_repr(value)}" for name, value in kwargs.items()]
    text = ", ".join(parts)
    return text if len(text) <= _ARGUMENTS else text[:_ARGUMENTS] + "…"


def _parameters(running: Running) -> list[str]:
    function: Any = running.function
    if inspect.isclass(function):
        function = function.__init__
    code = getattr(inspect.unwrap(function) if callable(function) else None, "__code__", None)
    if code is None:
        return []
    names = list(code.co_varnames[: code.co_argcount])
    return names[1:] if names[:1] == ["self"] else names


def each(trace: Trace | None) -> Iterator[Trace]:
    """A trace and those within, the outermost first."""
    while trace is not None:
        yield trace
        trace = trace.inner
