"""What a failed cell's traceback leaves out: raykernel's own frames, and how Stop reached the cell.

Errors of tasks render themselves (tracebacks.py). Any other that raykernel raises on purpose, such
as a TypeError for a missing argument, was made by the user's line: the traceback ends there. One
that comes out of another library which raykernel called is nobody's purpose, and is shown whole.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any

from raykernel.runtime import traces
from raykernel.tracebacks import foreign_file

Shown = tuple[type[BaseException], BaseException, TracebackType | None]


def install(shell: Any, struck: Callable[[], bool]) -> Callable[[], None]:
    """Show errors so in this shell from now on; `struck()` says whether its cell that awaits was
    interrupted. Returns the way back."""
    show = shell.showtraceback

    def showtraceback(exc_tuple: Any = None, *args: Any, **kwargs: Any) -> Any:
        given: Any = exc_tuple or sys.exc_info()
        if given[1] is not None:
            exc_tuple = to_show(given, struck())
            if _rendered(shell, exc_tuple):
                return None
        return show(exc_tuple, *args, **kwargs)

    shell.showtraceback = showtraceback

    def remove() -> None:
        if shell.__dict__.get("showtraceback") is showtraceback:
            del shell.showtraceback

    return remove


def _rendered(shell: Any, given: Shown) -> bool:
    """Show an error that renders itself, where IPython would not ask it to: a syntax error, an
    exception group or what has one as its context."""
    kind, error, _ = given
    render = getattr(error, "_render_traceback_", None)
    if render is None:
        return False
    shell._showtraceback(kind, error, render())
    if shell.call_pdb:
        shell.debugger(force=True)
    return True


def to_show(given: Shown, struck: bool) -> Shown:
    """The exception as it is to be shown, its traceback cut in place."""
    kind, error, tb = given
    if struck and isinstance(error, asyncio.CancelledError):
        kind, error = KeyboardInterrupt, KeyboardInterrupt()
        _cut(tb)
        return kind, error.with_traceback(tb), tb
    if hasattr(error, "_render_traceback_"):
        return kind, error, tb
    if _innermost(tb, lambda file: True) is _innermost(tb, traces.ours):
        _cut(tb)
        if error.__cause__ is not None and not isinstance(error, KeyboardInterrupt):
            error.__suppress_context__, error.__cause__ = True, None  # the text says it
    return kind, error, tb


def _cut(tb: TracebackType | None) -> None:
    """Let a traceback end with the innermost frame that is the user's, if there is any."""
    last = _innermost(tb, lambda file: not foreign_file(file))
    if last is not None:
        last.tb_next = None


def _innermost(tb: TracebackType | None, wanted: Callable[[str], bool]) -> TracebackType | None:
    found = None
    while tb is not None:
        if wanted(tb.tb_frame.f_code.co_filename):
            found = tb
        tb = tb.tb_next
    return found
