"""A task's way from its submission to its worker. Sans-IO, a part of the scheduler.

    submitted ──▶ its arguments are held, its results exist ──▶ all arguments have values ──▶ queued
                                             └── one of them is an error: it fails with that error

A task that fails while others are looked at is put on the list `failing`; the turn's end sees to
it. Functions are known by their key: who is about to submit makes them known first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from . import messages as m
from .capacity import no_group, unschedulable
from .ids import FIRST_RETURN, return_id
from .instructions import Send
from .records import ActorState, Client, Task, TaskEvent, TaskState, Worker

if TYPE_CHECKING:
    from .scheduler import Scheduler

#: Seconds between two looks for functions to forget, while there are few tasks.
SWEEP = 0.5
_VIA = 16  # tasks named on an error's way; all of a long chain's would grow with its square


class Submission:
    """Called by the scheduler only."""

    def __init__(self, core: Scheduler) -> None:
        self.functions: dict[bytes, m.RegisterFunction] = {}
        #: Who made which of them known, how often without taking it back.
        self.registrants: dict[bytes, dict[bytes, int]] = {}
        self.unclaimed: set[bytes] = set()  # that all have taken back; tasks may still need them
        self._swept = 0.0
        self._core = core
        # what every submission touches, without a detour
        self._clock = core.clock
        self._tasks = core.tasks
        self._store = core.store
        self._feed = core.feed
        self._looked_at = core.capacity.looked_at

    def submit(self, client: Client, spec: m.TaskSpec) -> None:
        """A process submitted a task: it holds the results from here on."""
        task = Task(spec, client.id, self._clock())
        store = self._store
        if spec.kind == m.CREATION:
            self._core.actors.create(client, task)
        elif spec.returns == 1:
            store.create(spec.id + FIRST_RETURN, task, client).waiters = [client]
        else:
            for i in range(1, (spec.returns if spec.returns >= 0 else 1) + 1):
                store.create(return_id(spec.id, i), task, client).waiters = [client]
        self.admit(task)

    def admit(self, task: Task) -> None:
        """Hold a task's arguments, and queue it if they are all there."""
        spec, store = task.spec, self._store
        self._tasks[spec.id] = task
        failed: m.Value | None = None
        for dep in spec.deps:
            entry = store.incref(dep)
            if entry.value is None:
                task.missing += 1
                if entry.dependents is None:
                    entry.dependents = [task]
                else:
                    entry.dependents.append(task)
            elif entry.value.error:
                failed = entry.value
        for inner in spec.contained:
            store.incref(inner)
        if spec.parent:
            parent = self._tasks.get(spec.parent)
            if parent is not None:
                task.depth = parent.depth + 1
                if parent.children is None:
                    parent.children = set()
                parent.children.add(spec.id)
        if self._feed.watchers:
            self._feed.submitted(task)
        if failed is not None:
            self._core.failing.append((task, self._inherited(task, failed)))
        elif spec.kind == m.CALL:
            self._core.actors.call(task)
        elif task.missing == 0:
            self._queue(task)

    def _queue(self, task: Task) -> None:
        core = self._core
        task.move(TaskEvent.ARGS_READY)
        spec = task.spec
        if spec.extra is not None and spec.extra.group:
            if core.capacity.group_gone(spec):
                core.failing.append((task, no_group(task)))
                return
        elif spec.extra is not None and spec.extra.node and not core.capacity.fits_node(spec):
            core.failing.append((task, unschedulable(task)))
            return
        elif spec.resources not in self._looked_at:
            core.capacity.check_feasible(spec)
        core.dispatcher.push(task)

    def settled(self, task: Task, value: m.Value) -> None:
        """An argument of `task` has its value."""
        if task.ended:
            return
        if value.error:  # it stays short of this argument, whatever else comes in this turn
            self._core.failing.append((task, self._inherited(task, value)))
            return
        task.missing -= 1
        if task.missing == 0 and task.state is TaskState.WAITING:
            task.ready = self._clock()
            if self._feed.watchers:
                self._feed.moved(task)
            if task.spec.kind == m.CALL:
                self._core.actors.arguments_ready(task)
            else:
                self._queue(task)

    def _inherited(self, task: Task, value: m.Value) -> m.ErrorRecord:
        """The first cause, and through whom it came, the first few of them."""
        record = msgspec.msgpack.decode(value.data, type=m.ErrorRecord)
        steps = len(record.via)
        if steps > _VIA:
            return record
        via = (*record.via, task.spec.name if steps < _VIA else "...")
        return msgspec.structs.replace(record, via=via)

    def arguments(self, task: Task, worker: Worker) -> list[m.Value]:
        """What a worker is sent with a task; memory among it is pinned for that worker."""
        store = self._store
        values = []
        task.taken = 0
        pinned = []
        for dep in task.spec.deps:
            value = store.objects[dep].value
            assert value is not None
            task.taken += value.size or len(value.data)
            if value.offset != m.INLINE:
                store.use(worker, value)
                if value.offset >= 0:
                    pinned.append(value.offset)
            values.append(value)
        task.sent = tuple(pinned)
        return values

    def unpin_arguments(self, task: Task, worker: Worker) -> None:
        """The worker never looked at what it was sent with this task."""
        for offset in task.sent:
            self._store.blocks.unpin(worker, offset)
        task.sent = ()

    def register(self, client: Client, message: m.RegisterFunction) -> None:
        """A process is about to submit tasks of this function."""
        makers = self.registrants.setdefault(message.key, {})
        makers[client.id] = makers.get(client.id, 0) + 1
        self.unclaimed.discard(message.key)
        if message.key not in self.functions:
            self.functions[message.key] = message
            for inner in message.contained:
                self._store.incref(inner)

    def forget(self, client: Client, message: m.ForgetFunction) -> None:
        """A process has let go of a function."""
        makers = self.registrants.get(message.key)
        if makers is None or client.id not in makers:
            return
        makers[client.id] -= 1
        if not makers[client.id]:
            del makers[client.id]
        if not makers.keys() & self._core.clients:
            if not self.unclaimed:
                self._swept = self._clock()
            self.unclaimed.add(message.key)

    def sweep(self, now: float) -> None:
        """Drop what nobody claims and nothing needs: it is looked for now and then, since what
        needs a function ends in many ways."""
        if self.unclaimed and now >= self._swept + self._pause():
            self._swept = now
            self.drop(self.unclaimed - self.needed())

    def next_sweep(self, now: float) -> float | None:
        """Seconds until `sweep` has something to do."""
        return max(0.0, self._swept + self._pause() - now) if self.unclaimed else None

    def _pause(self) -> float:
        """Seconds between two looks: each goes through all tasks, and is to cost little."""
        return SWEEP * (1 + (len(self._tasks) + len(self._core.lineage.records)) / 10_000)

    def needed(self) -> set[bytes]:
        """The functions that tasks, lost results or actors may yet call for."""
        core = self._core
        needed = {t.spec.function for t in self._tasks.values()}
        needed |= {record.spec.function for record in core.lineage.records.values()}
        living = core.actors.actors.values()
        return needed | {a.creation.spec.function for a in living if a.state is not ActorState.DEAD}

    def drop(self, keys: Iterable[bytes]) -> None:
        """Forget functions, here and in the workers, with what they close over."""
        workers = self._core.dispatcher.workers.values()
        for key in keys:
            self.registrants.pop(key, None)
            self.unclaimed.discard(key)
            for inner in self.functions.pop(key).contained:
                self._store.decref(inner)
            for worker in workers:
                if key in worker.known:
                    worker.known.discard(key)
                    self._core.out.append(Send(worker.id, m.DropFunction(key)))

    def code(self, key: bytes) -> bytes:
        """A function's bytes, for a worker that has not seen them."""
        return self.functions[key].payload

    def dispatched(self, task: Task, worker: Worker) -> None:
        """A task is on its way to a worker."""
        if task.spec.kind == m.CREATION:
            actor = self._core.actors.actors[task.spec.actor]
            actor.worker = worker
            worker.actor = actor
        if task.consumed:  # by somebody who waits for what comes after the first try's items
            note = m.StreamConsumed(task.spec.id, task.consumed)
            self._core.out.append(Send(worker.id, note))
        extra = task.spec.extra
        if extra is not None and extra.timeout:
            task.kill_at = self._clock() + extra.timeout
            self._core.deadlines[task.spec.id] = task
        if self._feed.watchers:
            self._feed.moved(task)

    def revive(self, task: Task) -> None:
        """Run an actor's creation again."""
        task.state = TaskState.READY
        task.ended = 0.0
        task.worker = None
        task.again = True
        self._tasks[task.spec.id] = task
        if self._feed.watchers:
            self._feed.submitted(task)
