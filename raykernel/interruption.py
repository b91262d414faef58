"""Stop, as a cell meets it: KeyboardInterrupt where it waits, and its work is cancelled.

A cell that runs plain code gets KeyboardInterrupt from Python. One that awaits is a task of the
kernel's event loop, which ipykernel cancels instead; so a handler put around ipykernel's notes that
it was a person who did that. An `await ref` in the cell's own task then raises KeyboardInterrupt.
Elsewhere, in an asyncio task that the cell awaits, CancelledError is what has to come, for a
KeyboardInterrupt would end the kernel's loop; shown_errors.py gives it its name at the end.

    SIGINT ──▶ noted ──▶ ipykernel cancels the cell's task ──▶ `await ref`: KeyboardInterrupt
    SIGINT ──▶ KeyboardInterrupt in `get` or `wait`  ─────────▶ the cell's work is cancelled

What the cell makes of the exception doesn't matter to its tasks: they are cancelled before.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import weakref
from collections.abc import Callable
from typing import Any

from raykernel.cells import Cell, CellTracker
from raykernel.runtime import context


class Interruption:
    """For one shell. All is called in the main thread, where signals strike and cells run."""

    def __init__(self, cells: CellTracker, cancel: Callable[[str], object]) -> None:
        """`cancel(cell)` ends what this cell has submitted and what it was waiting for."""
        self._cells = cells
        self._cancel = cancel
        self._task: weakref.ref[asyncio.Task[Any]] | None = None  # a cell that awaits
        self._struck = False

    def install(self) -> Callable[[], None]:
        """Returns the way back."""
        self._cells.on_start(self._started)
        self._cells.struck = self.struck
        context.struck = self._strikes_here
        context.interrupted = self._interrupted

        def remove() -> None:
            if context.struck == self._strikes_here:
                context.struck = context.interrupted = None

        return remove

    def struck(self) -> bool:
        """Whether the cell that awaits, or was the last to do so, has been interrupted."""
        return self._struck

    def _started(self, _cell: Cell) -> None:
        self._task, self._struck = None, False
        if threading.current_thread() is not threading.main_thread():
            return
        try:
            task = asyncio.current_task()
        except RuntimeError:
            return
        handler = signal.getsignal(signal.SIGINT)
        if task is None or not callable(handler) or handler is signal.default_int_handler:
            return
        self._task = weakref.ref(task)

        def note(number: int, frame: Any) -> None:
            self._struck = True
            handler(number, frame)

        signal.signal(signal.SIGINT, note)  # ipykernel puts back what was there before its own

    def _strikes_here(self) -> bool:
        """Whether the asyncio task that runs is the cell's, and is being interrupted."""
        task = self._task() if self._struck and self._task is not None else None
        return task is not None and asyncio.current_task() is task

    def _interrupted(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._cancel(context.current_cell())
