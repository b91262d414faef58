"""Ending tasks before they are done: by cancellation, or because their time is up. Sans-IO, a part
of the scheduler.

What does not run yet fails at once. A running task is asked: its worker interrupts it, and tells
how it ended. Whether it heeds that is its own affair; one with a deadline (`kill_at`) loses its
worker when that has passed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import departure
from . import messages as m
from .departure import PATIENCE
from .dispatch import POKE
from .instructions import Send, SignalWorker
from .records import Client, Task, TaskState, cancelled
from .wire import encode_one

if TYPE_CHECKING:
    from .scheduler import Scheduler


class Cancellation:
    """Called by the scheduler only."""

    def __init__(self, core: Scheduler) -> None:
        self._core = core

    def asked(self, client: Client, message: m.Cancel) -> None:
        """`ray.cancel` of the task that makes an object."""
        task = self._core.tasks.get(message.object[:24])
        if task is not None:
            self.cancel(task, message.force, message.recursive)

    def cancel(self, task: Task, force: bool, recursive: bool, patience: float = 0.0) -> None:
        """Ask a task to end. `patience` > 0: seconds until a running one is killed."""
        core = self._core
        stack = [task]
        while stack:
            task = stack.pop()
            if recursive and task.children:
                stack.extend(t for t in map(core.tasks.get, task.children) if t is not None)
            if patience and not force and self._is_dying(task, patience):
                continue  # a second strike would hit it while it cleans up after the first
            task.cancelled = True
            if task.state is not TaskState.RUNNING:
                if task.spec.kind != m.CREATION:
                    core.endings.fail(task, cancelled(task))
                continue
            worker = task.worker
            assert worker is not None
            if task.spec.kind == m.CREATION:
                continue
            wait = patience
            if force and task.spec.kind == m.TASK:
                if worker.first is task:
                    core.peers.kill(worker)
                    continue
                wait = PATIENCE  # what runs before it is not to be killed
            spec = task.spec
            interrupt = spec.kind == m.TASK or spec.returns == m.STREAMING or patience > 0
            core.out.append(Send(worker.id, m.CancelTask(spec.id, interrupt)))
            core.out.append(SignalWorker(worker.id, POKE))
            if wait and task.spec.kind == m.TASK:
                task.kill_at = core.clock() + wait
                core.deadlines[task.spec.id] = task

    def _is_dying(self, task: Task, patience: float) -> bool:
        """Whether it was told to end, and is killed soon if it doesn't."""
        told = task.cancelled and task.spec.id in self._core.deadlines
        return told and task.kill_at <= self._core.clock() + patience

    def cancel_cell(self, client: Client, message: m.CancelCell) -> None:
        """Cancel what a cell caused, or all that a driver did."""
        core = self._core
        if message.everything:
            tasks = departure.caused_by(core, client)
        else:
            tasks = [t for t in core.tasks.values() if t.spec.cell == message.cell]
            made_by = [core.tasks.get(object_id[:24]) for object_id in message.objects]
            tasks += [t for t in made_by if t is not None and t.spec.cell != message.cell]
        tasks = [t for t in tasks if t.spec.kind != m.CREATION]
        if message.spare:
            tasks = [t for t in tasks if t.spec.cell not in core.background]
        for task in tasks:
            if task.ended == 0.0:
                self.cancel(task, force=False, recursive=True, patience=PATIENCE)
        core.out.append(Send(client.id, m.Reply(message.request, encode_one(len(tasks)))))

    def due(self, now: float) -> None:
        """See to the tasks whose time is up."""
        core = self._core
        for task in [t for t in core.deadlines.values() if t.kill_at <= now]:
            if task.state is not TaskState.RUNNING or task.worker is None:
                del core.deadlines[task.spec.id]
            elif not task.cancelled:  # it has run for as long as it may
                task.timed_out = True
                self.cancel(task, force=False, recursive=True, patience=PATIENCE)
            elif task.worker.first is task:
                del core.deadlines[task.spec.id]
                core.peers.kill(task.worker)
            else:  # another task's turn, which is not to blame
                task.kill_at = now + PATIENCE
