"""Ending tasks before they are done: by cancellation, or because their time is up. Sans-IO, a part
of the scheduler.

What does not run yet fails at once. A running task is asked: its worker interrupts it, and tells
how it ended. Whether it heeds that is its own affair; one with a deadline (`kill_at`) loses its
worker when that has passed. An actor is not ended for a call that takes too long: whoever waits for
the call is told, and the actor goes on with it for as long as it likes.

A signal that comes between a process's last look for signals and the system call it then blocks in
does nothing until that returns. So a worker that doesn't answer is signalled again, a few times;
its task is interrupted once all the same (see listening.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from . import departure
from . import messages as m
from .departure import PATIENCE
from .dispatch import POKE
from .instructions import Send, SignalWorker
from .records import Client, Task, TaskState, Worker, cancelled
from .wire import encode_one

if TYPE_CHECKING:
    from .scheduler import Scheduler


#: Seconds until a running task's worker is signalled again, doubled each time up to the second.
_AGAIN, _LAST = 0.1, 2.0


class Cancellation:
    """Called by the scheduler only."""

    def __init__(self, core: Scheduler) -> None:
        self._core = core
        self.told: dict[bytes, tuple[Task, float, float]] = {}  # when next, seconds after the last

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
            if core.tasks.get(task.spec.id) is not task:  # it ended with its parent, just now
                continue
            if recursive and task.children:
                stack.extend(t for t in map(core.tasks.get, task.children) if t is not None)
            if patience and not force and self._is_dying(task, patience):
                continue  # a second strike would hit it while it cleans up after the first
            task.cancelled = True
            task.takes_along |= recursive
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
            if interrupt:
                self.told[spec.id] = task, core.clock() + _AGAIN, _AGAIN
            if wait and task.spec.kind == m.TASK:
                task.kill_at = core.clock() + wait
                core.deadlines[task.spec.id] = task

    def next_due(self, now: float) -> float | None:
        """Seconds until `due` has something to do."""
        times = [task.kill_at for task in self._core.deadlines.values()]
        times += [when for _, when, _ in self.told.values()]
        return max(0.0, min(times) - now) if times else None

    def orphaned(self, parent: Task, children: Iterable[bytes]) -> None:
        """A task was cancelled with all it submitted, and some of that was still on its way then.
        Calls of actors are left alone: those are how it said farewell."""
        for task in [t for t in map(self._core.tasks.get, children) if t is not None]:
            if task.spec.kind == m.TASK and not task.cancelled:
                self.cancel(task, False, True, PATIENCE if parent.kill_at else 0.0)

    def _is_dying(self, task: Task, patience: float) -> bool:
        """Whether it was told to end, and is killed soon if it doesn't."""
        told = task.cancelled and task.spec.id in self._core.deadlines
        return told and task.kill_at <= self._core.clock() + patience

    def cancel_cell(self, client: Client, message: m.CancelCell) -> None:
        """Cancel what a cell caused, or all that a driver did, or all there is."""
        core = self._core
        if message.everybodys:
            tasks = list(core.tasks.values())
        elif message.everything:
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
        """See to the tasks whose time is up, and to those that don't seem to have heard."""
        core = self._core
        for task, _, wait in [x for x in self.told.values() if x[1] <= now]:
            del self.told[task.spec.id]
            if task.state is TaskState.RUNNING and task.worker is not None:
                core.out.append(SignalWorker(task.worker.id, POKE))
                if wait < _LAST:
                    self.told[task.spec.id] = task, now + 2 * wait, 2 * wait
        for task in [t for t in core.deadlines.values() if t.kill_at <= now]:
            if task.state is not TaskState.RUNNING or task.worker is None:
                del core.deadlines[task.spec.id]
            elif not task.cancelled:  # it has run for as long as it may
                task.timed_out = True
                self.cancel(task, force=False, recursive=True, patience=PATIENCE)
                if task.spec.kind == m.CALL:
                    task.kill_at = now + (0.0 if _on_thread(task.worker) else PATIENCE)
            elif task.spec.kind == m.CALL:
                core.endings.fail(task, cancelled(task))
                self.told.pop(task.spec.id, None)
            elif task.worker.first is task:
                del core.deadlines[task.spec.id]
                self.told.pop(task.spec.id, None)
                core.peers.kill(task.worker)
            else:  # another task's turn, which is not to blame
                task.kill_at = now + PATIENCE


def _on_thread(worker: Worker) -> bool:
    """Whether an actor's calls run on threads, which can't be interrupted."""
    options = worker.actor.options if worker.actor is not None else None
    if options is None or options.is_async:
        return False
    return options.max_concurrency > 1 or bool(options.concurrency_groups)
