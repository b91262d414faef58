"""Which cell the calling code runs for, and where that cell's output goes.

A cell's id is the `msg_id` of the request that runs it (so a front end finds the cell by it),
or `In[3]` where there is no kernel. It is set in a context variable when the cell starts:
asyncio tasks keep the cell that created them for as long as they live, whatever runs meanwhile.
Threads keep the cell that started them, work in thread pools the cell that handed it in
(inherit.py). What comes from nowhere gets the cell that started last.

    pre_run_cell ──▶ current cell set ──▶ user code, its asyncio tasks ──▶ post_run_cell

`CellTracker.current` is called once per submission in any thread; the events come in the thread
that runs the cell. The last `MEMORY` cells are remembered, with the header their output is
published under; in a kernel the header of a forgotten one can be made from its id.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from typing import Any

from raykernel.runtime import context, inherit

MEMORY = 2000


@dataclass(frozen=True, slots=True)
class Cell:
    """`number` is what the prompt shows (0 for code run outside the history); `header` is the
    execute request's, empty in a terminal. A `headless` one was asked for by a program that runs a
    notebook (nbclient): nobody can answer it, and nobody listens to it once it has ended."""

    id: str
    number: int = 0
    header: dict[str, Any] = field(default_factory=dict)
    headless: bool = False


EndHook = Callable[[Cell, bool], None]

#: The ids of all cells that this process has run, also of those no longer remembered.
_ran: set[str] = set()


class CellTracker:
    """Follows one shell's cells from `install` to `remove`."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._cells: OrderedDict[str, Cell] = OrderedDict()
        self._latest = ""
        self._running: list[str] = []
        self._pardoned: set[str] = set()
        self._ending = ""
        self._unnumbered = 0
        self._start_hooks: list[Callable[[Cell], None]] = []
        self._end_hooks: list[EndHook] = []
        self._give_up_threads: Callable[[], None] = lambda: None
        #: Whether the cell that awaits was interrupted (interruption.py).
        self.struck: Callable[[], bool] = lambda: True

    def install(self) -> None:
        """Follow the shell, beginning with the cell that runs now (`%load_ext` sits in one)."""
        self._shell.events.register("pre_run_cell", self._started)
        self._shell.events.register("post_run_cell", self._ended)
        context.cell_source = self.current
        context.cell_numbered = self._id_of
        self._give_up_threads = inherit.install()
        inputs = len(self._shell.user_ns.get("In", ()))
        if self._request_header() or inputs > 1:
            self._enter(inputs - 1)

    def remove(self) -> None:
        self._shell.events.unregister("pre_run_cell", self._started)
        self._shell.events.unregister("post_run_cell", self._ended)
        if context.cell_source == self.current:
            context.cell_source = None
            context.cell_numbered = None
            self._give_up_threads()

    def on_start(self, hook: Callable[[Cell], None]) -> None:
        """Call `hook(cell)` where a cell begins, in its event loop if it has one."""
        self._start_hooks.append(hook)

    def on_end(self, hook: EndHook) -> None:
        """Call `hook(cell, interrupted)` in the cell's thread when a cell has ended."""
        self._end_hooks.append(hook)

    # -- questions -----------------------------------------------------------------------------

    def current(self) -> str:
        return context.cell.get() or inherit.cell() or self._latest

    def running(self) -> Cell | None:
        """The cell being executed now, the innermost if they nest."""
        return self.get(self._running[-1]) if self._running else None

    def foreground(self) -> Cell | None:
        """The cell that the front end waits for: it runs, or its end hooks are being called."""
        return self.get(self._ending) if self._ending else self.running()

    def pardon(self, cell: str) -> None:
        """Take the interruption that this cell is about to end with for its proper end."""
        self._pardoned.add(cell)

    def is_pardoned(self, cell: str) -> bool:
        return cell in self._pardoned

    def listens(self, cell: str) -> bool:
        """Whether the front end waits for this cell."""
        return cell in self._running or cell == self._ending

    def is_running(self, cell: str) -> bool:
        return cell in self._running

    def get(self, cell: str) -> Cell:
        """A cell by id; one no longer remembered still has a header with its id."""
        known = self._cells.get(cell)
        if known is not None:
            return known
        in_kernel = self._kernel() is not None and bool(cell)
        return Cell(cell, 0, {"msg_id": cell, "msg_type": "execute_request"} if in_kernel else {})

    def ran(self, cell: str) -> bool:
        """Whether it is a cell of this process's."""
        return cell in _ran

    def numbered(self, number: int) -> Cell | None:
        """The newest cell that ran as `In[number]`."""
        return next((c for c in reversed(list(self._cells.values())) if c.number == number), None)

    def newest(self, ids: Container[str]) -> Cell | None:
        """The newest of these cells that is remembered."""
        return next((c for c in reversed(list(self._cells.values())) if c.id in ids), None)

    def _id_of(self, number: int) -> str:
        found = self.numbered(number) if number > 0 else None
        return found.id if found is not None else ""

    # -- IPython's events ----------------------------------------------------------------------

    def _started(self, info: Any) -> None:
        # `In` gets this cell's text right after this event, at the index of its number.
        self._enter(len(self._shell.user_ns.get("In", ())) if info.store_history else 0)
        for hook in list(self._start_hooks):
            hook(self.get(self._latest))

    def _enter(self, number: int) -> None:
        header = self._request_header()
        if header:
            cell = header["msg_id"]
        elif number:
            cell = f"In[{number}]"
        else:
            self._unnumbered += 1
            cell = f"unnumbered-{self._unnumbered}"
        if cell not in self._cells:  # a cell that runs code through the shell stays itself
            self._cells[cell] = Cell(cell, number, header, self._is_headless())
            while len(self._cells) > MEMORY:
                self._cells.popitem(last=False)
        _ran.add(cell)
        self._running.append(cell)
        self._latest = cell
        context.cell.set(cell)

    def _ended(self, result: Any) -> None:
        # An async cell set its variable in a context of its own, so ask the request again.
        header = self._request_header()
        ended = header["msg_id"] if header else self._running[-1] if self._running else ""
        if ended not in self._running:
            return
        self._running.reverse()
        self._running.remove(ended)
        self._running.reverse()
        if self._running and not header:
            context.cell.set(self._running[-1])  # back in the code that ran this code
        if ended in self._running:
            return  # code that the cell ran through the shell; the cell itself goes on
        # IPython hands over None when the interrupt ended an async cell.
        error = None if result is None else result.error_in_exec
        struck = isinstance(error, asyncio.CancelledError) and self.struck()
        interrupted = result is None or struck or isinstance(error, KeyboardInterrupt)
        if struck:  # as it was shown
            result.error_in_exec = KeyboardInterrupt()
        if ended in self._pardoned:
            self._pardoned.discard(ended)
            if interrupted and result is not None:
                result.error_in_exec = None  # or the cells that wait for their turn are dropped
            interrupted = False
        self._ending = ended
        try:
            for hook in list(self._end_hooks):
                hook(self.get(ended), interrupted)
        finally:
            self._ending = ""

    def _kernel(self) -> Any:
        return getattr(self._shell, "kernel", None)

    def _request_header(self) -> dict[str, Any]:
        kernel = self._kernel()
        if kernel is None:
            return {}
        parent = kernel.get_parent("shell") or {}
        return dict(parent.get("header") or {})

    def _is_headless(self) -> bool:
        kernel = self._kernel()
        request = (kernel.get_parent("shell") or {}) if kernel is not None else {}
        return not (request.get("content") or {}).get("allow_stdin", True)
