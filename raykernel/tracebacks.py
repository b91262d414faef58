"""Errors of tasks as a notebook shows them: the user's frames, here and there, in one traceback.

    ZeroDivisionError                 Traceback (most recent call last)
    Cell In[4], line 1                    the frames of this process
    ----> 1 ray.get(report.remote(...))
    In the task mean(values=[], n=0) of In[4], pid 4711:
    Cell In[3], line 2, in mean()         those of the worker, rebuilt (frames.py)
    ----> 2     return sum(values) / n
    ZeroDivisionError: division by zero
    Tasks that needed its result did not run: report

IPython asks an error for its `_render_traceback_`, and gets what its own formatter makes of the
rebuilt frames, in the user's mode and colours. The rebuilt traceback is left where `%debug` looks.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any

import ipykernel
import IPython

from raykernel import error_words, exceptions, frames
from raykernel.cells import CellTracker
from raykernel.frames import Place, Remote
from raykernel.runtime import context, traces
from raykernel.runtime.remains import Remains, Shelf
from raykernel.runtime.traces import Raised, Trace

_BETWEEN = {
    "cause": "The above exception was the direct cause of the following exception:",
    "context": "During handling of the above exception, another exception occurred:",
}
_NEEDED = 8  # tasks named that did not run
_MACHINERY = tuple(
    os.path.dirname(os.path.abspath(str(module.__file__))) + os.sep
    for module in (IPython, ipykernel)
)


def install(shell: Any, cells: CellTracker) -> Callable[[], None]:
    """Show errors in this shell from now on. Returns the way back."""
    shown = Tracebacks(shell, cells)
    exceptions.renderer, error_words.cell_file = shown.render, shown.cell_file

    def remove() -> None:
        exceptions.renderer = error_words.cell_file = None

    return remove


class Tracebacks:
    def __init__(self, shell: Any, cells: CellTracker) -> None:
        self._shell = shell
        self._cells = cells

    def cell_file(self, file: str) -> str | None:
        """The prompt of the cell whose code IPython knows under this file name."""
        named = self._shell.compile.format_code_name(file)
        return None if named is None else str(named[1])

    def render(self, error: BaseException) -> list[str]:
        """The lines to show for an error. `%debug` then finds its innermost frame."""
        here = [p for p in frames.places(error.__traceback__) if not _foreign(p)]
        trace = traces.decode(trace_of(error))
        if trace is None or not trace.chain:
            error.__traceback__ = tb = frames.link(here)
            return self._format(type(error), error, tb)
        _name_its_end(trace, error)
        sections: list[tuple[Trace | None, list[Place]]] = [(None, here)]
        lines: list[str] = []
        shelf = _shelf()
        for one in traces.each(trace):
            for n in range(len(one.chain) - 1):
                lines += self._earlier(shelf, one, n)
        sections += self._sections(shelf, trace)
        tb = frames.link(place for _, places in sections for place in places)
        last = innermost(trace)
        lines += self._with_titles(proxy(last.chain[-1], tb), sections)
        lines += self._afterwards(error, shelf, last)
        error.__traceback__ = tb
        self.leave_for_debugger(error, tb)
        return lines

    def leave_for_debugger(self, error: BaseException, tb: TracebackType | None) -> None:
        """Put an error where `%debug` looks."""
        sys.last_type, sys.last_value, sys.last_traceback = type(error), error, tb
        if sys.version_info >= (3, 12):
            sys.last_exc = error
        self._shell.InteractiveTB.tb = tb

    def title(self, trace: Trace) -> str:
        """Which task it was, of which cell."""
        number = self._cells.get(trace.cell).number if trace.cell else 0
        of = f" of In[{number}]" if number else ""
        return f"In the task {trace.name}({trace.arguments}){of}, pid {trace.pid}:"

    # -- parts ---------------------------------------------------------------------------------

    def _sections(self, shelf: Shelf, trace: Trace) -> list[tuple[Trace | None, list[Place]]]:
        """The frames of the last error of a trace, and of what it came out of, task by task."""
        last = len(trace.chain) - 1
        own = frames.rebuild(shelf, trace, last, self._shell.user_ns)
        found: list[tuple[Trace | None, list[Place]]] = [(trace, own)]
        if trace.inner is not None and trace.at == last:
            found += self._sections(shelf, trace.inner)
        return found

    def _earlier(self, shelf: Shelf, trace: Trace, number: int) -> list[str]:
        """An error that the one which counts came of."""
        raised = trace.chain[number]
        found: list[tuple[Trace | None, list[Place]]] = [
            (trace, frames.rebuild(shelf, trace, number, self._shell.user_ns))
        ]
        if trace.inner is not None and trace.at == number:
            found += self._sections(shelf, trace.inner)
        tb = frames.link(place for _, places in found for place in places)
        lines = self._with_titles(proxy(raised, tb), found)
        return [*lines, f"\n{_BETWEEN.get(raised.link, _BETWEEN['context'])}\n"]

    def _with_titles(
        self, error: BaseException, sections: list[tuple[Trace | None, list[Place]]]
    ) -> list[str]:
        """The formatted error, each task's frames under its title.

        Where a section begins is found by formatting what is before it alone: as far as both agree.
        """
        lines = self._format(type(error), error, error.__traceback__)
        titled: list[tuple[int, str]] = []
        before: list[Place] = []
        for trace, places in sections:
            if trace is not None:
                at = len(before) and _agree(self._format_places(error, before), lines)
                at = min(at or 2, len(lines) - 1)  # the last one is the error itself
                titled.append((at, self._emphasised(self.title(trace), lines)))
            before += places
        for at, title in reversed(titled):
            lines.insert(at, title)
        return lines

    def _afterwards(self, error: BaseException, shelf: Shelf, trace: Trace) -> list[str]:
        lines = []
        via = getattr(error, "via", ())
        if via:
            names = ", ".join(dict.fromkeys(via[:_NEEDED])) + (", …" if len(via) > _NEEDED else "")
            lines.append(f"Tasks that needed its result did not run: {names}")
        others = getattr(error, "_others", "")
        if others:
            lines.append(others)
        if not trace.kept:
            return lines
        try:
            Remains(shelf, trace.task, awaited=True)
        except (LookupError, OSError):
            return lines
        return [*lines, "%debug opens the frame where it failed, with its variables."]

    def _format_places(self, error: BaseException, places: list[Place]) -> list[str]:
        return self._format(type(error), error, frames.link(places))

    def _format(self, kind: type, error: BaseException, tb: TracebackType | None) -> list[str]:
        made: list[str] = self._shell.InteractiveTB.structured_traceback(
            kind, error, tb, tb_offset=0
        )
        return list(made)

    @staticmethod
    def _emphasised(text: str, lines: list[str]) -> str:
        coloured = any("\x1b[" in line for line in lines)
        return f"\x1b[1m{text}\x1b[0m" if coloured else text


def _agree(part: list[str], whole: list[str]) -> int:
    """How many lines both begin with."""
    return next((n for n, (a, b) in enumerate(zip(part, whole, strict=False)) if a != b), len(part))


def trace_of(error: BaseException) -> bytes:
    """How the task failed that an error is of; b"" if it is of none."""
    found = error.__dict__.get("_trace") or b""
    if not found:  # an actor that died of its constructor's error
        cause = error.__dict__.get("cause")
        found = cause.__dict__.get("_trace") or b"" if isinstance(cause, BaseException) else b""
    return bytes(found)


def _name_its_end(trace: Trace, error: BaseException) -> None:
    """A task that was ended while it ran knows only of an interruption: say what it came of."""
    struck = trace.chain[-1]
    cause = error.__dict__.get("cause")
    if struck.kind in ("KeyboardInterrupt", "CancelledError") and isinstance(
        cause, exceptions.TaskCancelledError | exceptions.GetTimeoutError
    ):
        struck.kind, struck.text = type(cause).__name__, str(cause)
        trace.chain, trace.inner, trace.at = [struck], None, -1


def innermost(trace: Trace) -> Trace:
    """The task in which the error that counts was raised."""
    while trace.inner is not None and trace.at == len(trace.chain) - 1:
        trace = trace.inner
    return trace


def proxy(raised: Raised, tb: TracebackType | None) -> BaseException:
    """An exception that looks like the one that was raised; its own class may not be here."""
    error: BaseException = type(raised.kind, (Exception,), {})(error_words.named_cells(raised.text))
    if sys.version_info >= (3, 11):
        for note in raised.notes:
            error.add_note(note)
    return error.with_traceback(tb)


def foreign_file(file: str) -> bool:
    """Whether code is none of the user's: raykernel's, IPython's, or the library's that waits."""
    return traces.ours(file) or traces.waits(file) or file.startswith(_MACHINERY)


def _foreign(place: Place) -> bool:
    """Whether a frame is none of the user's in this process: machinery, or rebuilt already."""
    file = place[0].f_code.co_filename
    rebuilt = isinstance(place[0].f_locals, Remote)
    return rebuilt or foreign_file(file)


def _shelf() -> Shelf:
    return getattr(context.engine, "remains", None) or Shelf()
