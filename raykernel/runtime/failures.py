"""What an exception in a worker becomes for other processes: text for people, the exception itself
for `except`, and whether the task's options ask for another try.

The text shows the user's frames only, in the exception and in those it came from.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any

from . import messages as m
from . import traces
from .connection import RequestFailed
from .context import Running
from .remains import Keeper
from .serialize import deserialize, serialize

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
#: What stands between our frames and a coroutine's.
_LOOP = tuple(
    os.path.join(os.path.dirname(os.__file__), *path)
    for path in (("asyncio", "runners.py"), ("asyncio", "base_events.py"), ("selectors.py",))
)

#: Set by the worker where variables of failed tasks are to be kept.
keeper: Keeper | None = None

#: Set by the worker: returns the instance of the actor that lives here.
actor_instance: Callable[[], Any] | None = None


def describe(running: Running, error: BaseException, kept: bool = False) -> m.ErrorRecord:
    """What went wrong, for another process. `kept`: `keep` is to follow."""
    spec = running.spec
    if isinstance(error, RequestFailed):  # its result found no room
        kind = error.kind or "full"
        return m.ErrorRecord(kind, str(error), spec.name, task=spec.id, cell=spec.cell)
    kind = "task"
    refs: tuple[bytes, ...] = ()
    try:
        written = serialize(error)
        cause, refs = written.to_bytes(), written.contained
    except BaseException:
        cause = b""
    else:
        try:
            copy = deserialize(cause)
            if refs:
                running.keep = copy  # its refs must not go before the outcome is on its way
        except BaseException:  # some pickle well and can't be made again
            kind, cause, refs = "unreadable", b"", ()
    return m.ErrorRecord(
        kind,
        name=f"{spec.name}.__init__" if spec.kind == m.CREATION else spec.name,
        pid=os.getpid(),
        text=text_of(error),
        cause=cause,
        refs=refs,
        cause_repr=summary(error),
        task=spec.id,
        actor=spec.actor,
        actor_repr=_actor_repr(spec, error),
        cell=spec.cell,
        trace=traces.make(running, error, kept and keeper is not None),
    )


def keep(running: Running, error: BaseException, record: m.ErrorRecord) -> None:
    """Keep the failure's variables for a debugger, where that is wanted."""
    if keeper is not None and record.trace:
        keeper.keep(running, error, record.trace)


def interrupted(running: Running, error: BaseException) -> m.ErrorRecord:
    """The error of a call that was cancelled while it ran: with the place where that struck."""
    spec = running.spec
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not _ours(f.filename)]
    place = "".join(traceback.format_list(frames))
    return m.ErrorRecord(
        "cancelled",
        f"the task {spec.name} was cancelled",
        name=spec.name,
        pid=os.getpid(),
        text=f"{place}ray.exceptions.TaskCancelledError: the task {spec.name} was cancelled",
        task=spec.id,
        actor=spec.actor,
        actor_repr=_actor_repr(spec, error),
        cell=spec.cell,
        trace=traces.make(running, error),
    )


def _ours(filename: str) -> bool:
    return filename.startswith(_PACKAGE) or filename in _LOOP


def text_of(error: BaseException) -> str:
    """The traceback as Python prints it, without this package's frames."""
    whole = traceback.TracebackException.from_exception(error)
    seen: set[int] = set()
    stack: list[traceback.TracebackException | None] = [whole]
    while stack:
        part = stack.pop()
        if part is None or id(part) in seen:
            continue
        seen.add(id(part))
        kept = [f for f in part.stack if not _ours(f.filename)]
        part.stack = traceback.StackSummary.from_list(kept)
        stack += [part.__cause__, part.__context__, *(getattr(part, "exceptions", None) or ())]
    return "".join(whole.format())


def _actor_repr(spec: m.TaskSpec, error: BaseException) -> str:
    try:
        if spec.kind == m.CREATION:
            # there is no instance yet that anybody could ask for its own repr
            return object.__repr__(_in_construction(error.__traceback__))
        if spec.kind == m.CALL and actor_instance is not None:
            return repr(actor_instance())
    except Exception:
        return ""  # the user's own repr failed: that must not hide the error told here
    return ""


def _in_construction(tb: TracebackType | None) -> Any:
    """The `self` of the `__init__` that failed. Raises LookupError."""
    while tb is not None:
        code = tb.tb_frame.f_code
        if code.co_name == "__init__" and code.co_argcount:
            return tb.tb_frame.f_locals[code.co_varnames[0]]
        tb = tb.tb_next
    raise LookupError("no __init__ in this traceback")


def retryable(spec: m.TaskSpec, error: BaseException) -> bool:
    """Whether the task's options ask for another try after this exception."""
    which = spec.extra.retry_exceptions if spec.extra is not None else b""
    if not which or not isinstance(error, Exception):
        return False
    if which == b"*":
        return True
    try:
        return isinstance(error, tuple(deserialize(which)))
    except Exception:
        return False


def summary(error: BaseException) -> str:
    """The exception in one line."""
    try:
        text = str(error).partition("\n")[0]
    except Exception:
        text = "(its text can't be made)"
    name = type(error).__name__
    return f"{name}: {text}"[:300] if text else name
