"""The end of a `%%task` cell, told under that cell, however many ran since.

A cell with a value in its last line shows a placeholder at once, which that value replaces: so it
stands where the value of any cell stands, and a front end that only takes in updates of what it
knows shows it too. A failure is told in a line; the error itself is raised where an output is used.

The end is noticed in the engine's IO thread, which must not wait: it only takes what has arrived
and hands it to ipykernel.
"""

from __future__ import annotations

import uuid
from typing import Any

from raykernel import api, exceptions
from raykernel.cells import CellTracker
from raykernel.output import KernelPublisher, Publisher
from raykernel.task_cell import Submitted


def follow(task: Submitted, cell: str, publisher: Publisher, cells: CellTracker) -> None:
    """Show what becomes of a task under its cell."""
    display = _Display(publisher, cell, cells)
    if task.shows:
        display.begin(f"{task.name} is running")

    def ended() -> None:
        try:
            bundle = api.get(task.shown)
        except exceptions.TaskCancelledError:
            display.end({"text/plain": f"{task.name} was cancelled"})
        except exceptions.RaySystemError:
            display.end({"text/plain": f"{task.name}: the session ended before it did"})
        except Exception as error:
            display.end({"text/plain": f"{task.name} failed"})
            publisher.stream(cell, "stderr", _failure(task, error))
        else:
            display.end(bundle or {"text/plain": "None"})

    task.shown._when_ready(ended)


def _failure(task: Submitted, error: Exception) -> str:
    cause = error.cause if isinstance(error, exceptions.RayTaskError) else error
    text = f"{type(cause).__name__}: {cause}".partition("\n")[0]
    where = f" It is raised where {' or '.join(task.outputs)} is used." if task.outputs else ""
    return f"{task.name} failed with {text}.{where}\n"


class _Display:
    def __init__(self, publisher: Publisher, cell: str, cells: CellTracker) -> None:
        self._publisher = publisher
        self._cell = cell
        self._cells = cells
        self._id = ""

    def begin(self, text: str) -> None:
        self._id = uuid.uuid4().hex
        if isinstance(self._publisher, KernelPublisher):
            self._show("display_data", self._cell, {"text/plain": text})

    def end(self, bundle: dict[str, Any]) -> None:
        if not self._id:
            return
        if not isinstance(self._publisher, KernelPublisher):
            self._publisher.stream(self._cell, "stdout", bundle["text/plain"] + "\n")
            return
        self._show("update_display_data", self._cell, bundle)
        waited_for = self._cells.foreground()
        if waited_for is not None and waited_for.id != self._cell:
            self._show("update_display_data", waited_for.id, bundle)

    def _show(self, kind: str, under: str, bundle: dict[str, Any]) -> None:
        assert isinstance(self._publisher, KernelPublisher)
        content = {"data": bundle, "metadata": {}, "transient": {"display_id": self._id}}
        self._publisher.send(under, kind, content, b"display_data")
