"""How tasks end: results, errors, retries, crashes. Sans-IO, a part of the scheduler.

Each task ends exactly once, in `_end`: its values settle, its arguments are let go, its worker
moves on. Before that it may come back any number of times, by a retry, or unstarted; and whoever
was asked to cancel it may still be overtaken by its result. An error takes the place of all that
the task was to return.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from . import messages as m
from .capacity import no_group
from .ids import item_id, return_id
from .instructions import Send
from .records import Client, Task, TaskEvent, TaskState, Worker, cancelled
from .store import error_value, file_of

if TYPE_CHECKING:
    from .scheduler import Scheduler

_STRIP = 256  # arguments longer than this are forgotten with the task's end


class Endings:
    """Called by the scheduler only."""

    def __init__(self, core: Scheduler) -> None:
        self._core = core
        # what every end touches, without a detour
        self._clock = core.clock
        self._tasks = core.tasks
        self._store = core.store
        self._dispatcher = core.dispatcher
        self._feed = core.feed

    def finished(self, worker: Worker, message: m.TaskFinished) -> None:
        """A worker tells how a task ended."""
        core = self._core
        task = self._tasks.get(message.task)
        if task is None or task.worker is not worker or message.task not in worker.inflight:
            self.abandon(worker, message.values)
            return
        if message.started:
            task.started = message.started
            task.called = message.called
            task.returned = message.ended
            if task.spec.kind == m.TASK:
                self._dispatcher.took(task, message.ended - message.started)
        status = message.status
        if status == "error" and message.retryable and task.retries and not task.cancelled:
            self.abandon(worker, message.values[1:])
            self._dispatcher.finished(worker, task)
            self.use_retry(task)
            if task.spec.kind == m.CALL:
                core.actors.retry_call(task)
            else:
                self.requeue(task)
            return
        if task.cancelled and self._overruled(task, status):
            self.abandon(worker, message.values)
            record = cancelled(task)
            if worker.actor is not None and worker.actor.options.is_async:  # as if it was struck
                kind = "GetTimeoutError" if task.timed_out else "TaskCancelledError"
                text = f"ray.exceptions.{kind}: {record.message}"
                record = msgspec.structs.replace(record, text=text, pid=worker.pid)
            self._end(task, self._stopped(task, record), self._spread(task, record), worker)
        elif status == "ok":
            values = message.values
            if task.spec.returns == m.STREAMING:  # a retry may have made fewer than there are
                values = [core.streams.end_value(task)]
            self._end(task, TaskEvent.SUCCEEDED, values, worker)
        elif status == "cancelled":
            if not message.started:  # it never looked at its arguments
                core.submission.unpin_arguments(task, worker)
            record = cancelled(task)
            if message.values:  # it says where that struck
                told = msgspec.msgpack.decode(message.values[0].data, type=m.ErrorRecord)
                record = _interrupted(record, told)
            self._end(task, self._stopped(task, record), self._spread(task, record), worker)
            if task.spec.kind == m.CREATION:  # it interrupted itself
                core.actors.creation_failed(core.actors.actors[task.spec.actor], record)
        elif status == "exit" and worker.actor is not None:
            self.abandon(worker, message.values)
            actor = worker.actor
            core.actors.exited(actor)
            assert actor.death is not None
            if task.ended == 0.0:  # a constructor's ended with its actor
                self.fail(task, actor.death)
        else:
            task.error = message.error
            value, *made = message.values  # and what it made before it failed
            values = made + self._copies(task, value)[len(made) :]
            self._end(task, TaskEvent.FAILED, values, worker)
            if task.spec.kind == m.CREATION:
                record = msgspec.msgpack.decode(value.data, type=m.ErrorRecord)
                core.actors.creation_failed(core.actors.actors[task.spec.actor], record)

    @staticmethod
    def _stopped(task: Task, record: m.ErrorRecord) -> TaskEvent:
        """How a task is said to have ended that was asked to end."""
        if not task.timed_out:
            return TaskEvent.CANCELLED
        task.error = record.message
        return TaskEvent.FAILED

    def _overruled(self, task: Task, status: str) -> bool:
        """Whether an actor's call that was to end is held to be cancelled, whatever it made of
        that. One that isn't interrupted, but may ask, can still fail in its own way."""
        spec = task.spec
        if spec.kind != m.CALL or spec.returns == m.STREAMING:
            return False
        return status == "ok" or (
            status == "error" and self._core.actors.actors[spec.actor].options.is_async
        )

    def fail(self, task: Task, record: m.ErrorRecord) -> None:
        """End a task that will not (any more) run."""
        core = self._core
        worker = task.worker
        if not task.error:
            task.error = record.cause_repr or record.message
        event = TaskEvent.CANCELLED if record.kind == "cancelled" else TaskEvent.FAILED
        unsent = task.state is not TaskState.RUNNING
        self._end(task, event, self._spread(task, record), worker)
        if task.spec.kind == m.CALL and unsent:
            core.actors.call_dropped(task)
        elif task.spec.kind == m.CREATION:
            actor = core.actors.actors[task.spec.actor]
            if actor.death is None:
                core.actors.creation_failed(actor, record)

    def _spread(self, task: Task, record: m.ErrorRecord) -> list[m.Value]:
        return self._copies(task, error_value(b"", record))

    def _copies(self, task: Task, error: m.Value) -> list[m.Value]:
        """The same error for each thing the task was to return."""
        core = self._core
        spec = task.spec
        if spec.kind == m.CREATION:
            return []
        replace = msgspec.structs.replace
        if spec.returns == m.STREAMING:
            at = task.produced
            core.streams.new_item(task, at)
            task.produced = at + 1
            end = core.streams.end_value(task)
            record = msgspec.msgpack.decode(error.data, type=m.ErrorRecord)
            if record.kind not in ("task", "unreadable"):  # it was not allowed to run to its end
                end = replace(error, id=end.id)
            return [replace(error, id=item_id(spec.id, at)), end]
        count = spec.returns if spec.returns >= 0 else 1
        return [replace(error, id=return_id(spec.id, i + 1)) for i in range(count)]

    def _end(
        self, task: Task, event: TaskEvent, values: list[m.Value], writer: Client | None
    ) -> None:
        """A task's last act: values settle, arguments are let go, the worker moves on."""
        core = self._core
        spec, store, tasks = task.spec, self._store, self._tasks
        task.move(event)
        task.ended = self._clock()
        del tasks[spec.id]
        if core.deadlines:
            core.deadlines.pop(spec.id, None)
        if spec.kind == m.CREATION and event is TaskEvent.SUCCEEDED:
            # its arguments stay: a restart needs them
            assert task.worker is not None
            actor = core.actors.actors[spec.actor]
            core.actors.created(actor)
        large = task.large or task.again
        for value in values:
            task.made += value.size or len(value.data)
            store.settle(value.id, value, writer)
            if value.offset != m.INLINE:
                large = True
        if spec.returns == m.STREAMING:
            core.streams.close(task)
        if spec.kind != m.CREATION:
            if large:
                core.lineage.ended(task, values)
            self.let_go(task)
        if spec.parent:
            parent = tasks.get(spec.parent)
            if parent is not None and parent.children is not None:
                parent.children.discard(spec.id)
        worker = task.worker
        if worker is not None and spec.id in worker.inflight:
            self._leave_worker(task, worker)
            if spec.extra is not None and spec.extra.max_calls:
                self._count_calls(worker, spec)
        children, task.children = task.children, None
        if core.bars.open and spec.kind == m.TASK:  # an actor may go on with its bars
            core.bars.task_ended(spec.id.hex())
        self._feed.end(task)
        if children and task.takes_along and event is not TaskEvent.SUCCEEDED:
            core.cancellation.orphaned(task, children)

    def _leave_worker(self, task: Task, worker: Worker) -> None:
        self._dispatcher.finished(worker, task)
        actor = worker.actor
        if actor is not None and (actor.lines or actor.ending):
            self._core.actors.call_done(actor)

    def let_go(self, task: Task) -> None:
        """Drop the references a task held through its arguments."""
        spec, store = task.spec, self._store
        for dep in spec.deps:
            store.decref(dep)
        for inner in spec.contained:
            store.decref(inner)
        if len(spec.args) > _STRIP:
            task.spec = msgspec.structs.replace(spec, args=b"")

    def use_retry(self, task: Task) -> None:
        """Count a retry and make the task ready. The caller queues it."""
        if task.retries > 0:
            task.retries -= 1
        task.move(TaskEvent.RETRIED)
        task.worker = None
        self._feed.moved(task)

    def requeue(self, task: Task) -> None:
        """A task came back, unstarted or for another try: it is first in its queue, unless
        somebody has asked for its end meanwhile, or its placement group is gone."""
        core = self._core
        if task.cancelled:
            self.fail(task, cancelled(task))
        elif core.capacity.group_gone(task.spec):
            self.fail(task, no_group(task))
        elif not core.lineage.holds_up(task):
            self._dispatcher.push(task, front=True)

    def abandon(self, client: Client, values: list[m.Value]) -> None:
        """Nobody gets these values: give their memory back."""
        for value in values:
            if value.offset >= 0:
                self._store.abandon(client, value.offset, "")
            elif value.offset == m.ON_DISK:
                self._store.abandon(client, m.ON_DISK, file_of(value))

    def _count_calls(self, worker: Worker, spec: m.TaskSpec) -> None:
        """`max_calls`: the worker leaves after so many calls of one function."""
        core = self._core
        assert spec.extra is not None
        served = worker.served.get(spec.function, 0) + 1
        worker.served[spec.function] = served
        if served >= spec.extra.max_calls and worker.actor is None:
            self._dispatcher.retire(worker)
            core.out.append(Send(worker.id, m.Exit("max_calls")))

    def crashed(self, worker: Worker, tasks: list[Task], reason: str) -> None:
        """A worker died with these tasks. The first was running; the others may have been."""
        for position, task in reversed(list(enumerate(tasks))):
            task.solo = True  # next time nobody shares its fate, nor its blame
            if task.cancelled:
                self.fail(task, cancelled(task))
            elif task.retries:
                if position == 0:
                    self.use_retry(task)
                else:
                    task.move(TaskEvent.RETRIED)
                    task.worker = None
                self.requeue(task)
            else:
                self.fail(
                    task,
                    m.ErrorRecord(
                        "crashed",
                        f"the worker that ran the task {task.spec.name} {reason}",
                        name=task.spec.name,
                        pid=worker.pid,
                        task=task.spec.id,
                        cell=task.spec.cell,
                    ),
                )


def _interrupted(record: m.ErrorRecord, told: m.ErrorRecord) -> m.ErrorRecord:
    """Why a task was ended, with the place where that struck, as its worker tells."""
    text = told.text
    if record.kind == "timeout":
        place = text.rpartition("ray.exceptions.")[0]
        text = f"{place}ray.exceptions.GetTimeoutError: {record.message}"
    return msgspec.structs.replace(told, kind=record.kind, message=record.message, text=text)
