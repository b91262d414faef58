"""Which cell, task and actor the current line of code runs for.

A driver learns its cell from the notebook layer, which sets `cell_source`; a worker sets the
context variables around each task, so that nested submissions inherit them. Context variables
follow async code by themselves; bare threads see the defaults.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

#: Set by the notebook layer in a driver: returns the id of the cell that the calling code runs
#: for, or "". Called once per submission, in the submitting thread: keep it quick.
cell_source: Callable[[], str] | None = None

#: In a worker: the cell inherited from the running task's spec.
task_cell: ContextVar[str] = ContextVar("raykernel_cell", default="")


def current_cell() -> str:
    """The id of the cell this code runs for, "" outside a notebook."""
    return cell_source() if cell_source is not None else task_cell.get()
