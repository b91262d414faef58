"""Letting a cell go that waits, while its work goes on: the view's "To the background" button.

The cell can't be told to stop waiting but by an interruption. This one is no error: the cell ends
quietly, the cells behind it run, and nothing that it submitted is cancelled.

    button ──▶ let_go ──▶ SIGINT ──▶ KeyboardInterrupt in the cell ──▶ a line instead of its
    traceback ──▶ post_run_cell: the result is no failure, everything is as it was
"""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import Any

from raykernel.cells import Cell, CellTracker

_SAID = "This cell's tasks go on in the background. Its progress stays here, with its Stop."


class Release:
    """For one shell. `let_go` may come from any thread; the rest is the cell's own."""

    def __init__(self, shell: Any, cells: CellTracker) -> None:
        self._shell = shell
        self._cells = cells
        self._before: tuple[Any, Any] | None = None  # the shell's own handler of exceptions
        cells.on_end(self._ended)

    def let_go(self, cell: str) -> None:
        """End the cell if it runs; it is not interrupted, as far as anybody can tell."""
        if self._before is not None or not self._cells.is_running(cell):
            return
        self._before = self._shell.custom_exceptions, self._shell.CustomTB
        self._cells.pardon(cell)
        self._shell.set_custom_exc((KeyboardInterrupt, asyncio.CancelledError), _say)
        # to the main thread, or it is not roused from its wait
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def _ended(self, cell: Cell, interrupted: bool) -> None:
        if self._before is not None:
            self._shell.custom_exceptions, self._shell.CustomTB = self._before
            self._before = None


def _say(shell: Any, kind: type, error: BaseException, trace: Any, tb_offset: Any = None) -> None:
    print(_SAID)
