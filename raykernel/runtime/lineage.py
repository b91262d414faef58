"""How to make a lost object again. Sans-IO, a part of the scheduler.

Small values live in the head and can't be lost. A task whose result lies in the arena or on disk
leaves a *record* when it ends: its spec, and how many tries it has left. Should the only copy of
the result be lost, the task runs again, after the tasks that make those of its arguments which have
been freed or lost meanwhile; whoever wants the object just waits.

A record is kept while one of its results has a reference, or another record's task takes one of
them as an argument. It keeps that task's small arguments; large ones may be freed, since they can
be made again if a task made them. What was `put` can't be: its loss is an `ObjectLostError`.

Records take memory of the head: beyond `CAP` the oldest are forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from . import messages as m
from .ids import is_handle, item_id, return_id
from .records import Object, Task, TaskEvent, TaskState
from .store import error_value

if TYPE_CHECKING:
    from .scheduler import Scheduler

#: Bytes of specs and small arguments kept.
CAP = 256 * 2**20
_OVERHEAD = 600  # of a record, about


class Record:
    """A task that could run again."""

    __slots__ = ("alive", "children", "cost", "depth", "held", "owner", "parents", "retries",
                 "running", "spec")  # fmt: skip

    def __init__(self, task: Task) -> None:
        self.spec = task.spec
        self.owner = task.owner
        self.depth = task.depth
        self.retries = task.retries
        self.running = False
        self.alive = 0  # large results that are referenced
        self.children = 0  # records of tasks that take one of them
        self.held: list[bytes] = []  # small arguments
        self.parents: list[bytes] = []  # records of tasks that made large arguments
        self.cost = _OVERHEAD + len(task.spec.args)


class Lineage:
    """Called by the scheduler only."""

    def __init__(self, core: Scheduler, cap: int = CAP) -> None:
        self.records: dict[bytes, Record] = {}  # by task, the oldest first
        self.cost = 0
        self.losses = 0  # of objects, so far
        self.remade = 0  # tasks run again so far
        self._core = core
        self._cap = cap

    # -- keeping -------------------------------------------------------------------------------

    def ended(self, task: Task, values: list[m.Value]) -> None:
        """A task has ended that left large results, or that ran again to make them. Its arguments
        are still held."""
        record = self.records.get(task.spec.id)
        alive = self._alive(task, values)
        if record is None:
            if not alive or not _repeatable(task):
                return
            record = self._keep(task)
        elif record.running:
            record.running = False
            record.retries = task.retries
        record.alive = alive
        self._release_if_unused(task.spec.id, record)

    def _alive(self, task: Task, values: list[m.Value]) -> int:
        objects = self._core.store.objects
        ids = [v.id for v in values if v.offset != m.INLINE]
        if task.large:
            ids += [item_id(task.spec.id, i) for i in range(task.produced)]
        found = (objects.get(i) for i in ids)
        return sum(e is not None and e.value is not None and e.value.offset != m.INLINE
                   for e in found)  # fmt: skip

    def _keep(self, task: Task) -> Record:
        record = self.records[task.spec.id] = Record(task)
        store = self._core.store
        for dep in (*task.spec.deps, *task.spec.contained):
            entry = store.objects[dep]
            parent = self.records.get(dep[:24])
            if parent is not None:
                parent.children += 1
                record.parents.append(dep[:24])
            elif (
                entry.value is not None
                and entry.value.offset == m.INLINE
                and not entry.value.contained  # they would be kept too, however large
                and not is_handle(dep)
            ):
                store.incref(dep)
                record.held.append(dep)
                record.cost += len(entry.value.data)
        self.cost += record.cost
        while self.cost > self._cap and len(self.records) > 1:
            oldest = next(iter(self.records))
            if self.records[oldest].running:
                break
            self._forget(oldest)
        return record

    def large_gone(self, object_id: bytes) -> None:
        """An object that was not inline has no reference left."""
        record = self.records.get(object_id[:24])
        if record is not None:
            record.alive -= 1
            self._release_if_unused(object_id[:24], record)

    def _release_if_unused(self, task_id: bytes, record: Record) -> None:
        if record.alive <= 0 and not record.children and not record.running:
            self._forget(task_id)

    def _forget(self, task_id: bytes) -> None:
        """Drop a record and, without recursion, those that were kept for it alone."""
        stack = [task_id]
        while stack:
            task_id = stack.pop()
            record = self.records.pop(task_id)
            self.cost -= record.cost
            for dep in record.held:
                self._core.store.decref(dep)
            for parent in record.parents:
                above = self.records.get(parent)
                if above is None:  # forgotten for lack of memory
                    continue
                above.children -= 1
                if above.alive <= 0 and not above.children and not above.running:
                    stack.append(parent)

    # -- making again --------------------------------------------------------------------------

    def lost(self, object_id: bytes) -> None:
        """The only copy of an object is lost: it is made again, or its readers learn why not."""
        self.losses += 1
        entry = self._core.store.forget_value(object_id)
        ready = set()
        for task in self._core.tasks.values():
            if task.state is not TaskState.RUNNING and object_id in task.spec.deps:
                if task.state is TaskState.READY:
                    ready.add(task)
                _wait_for(task, object_id, entry)
        self._core.dispatcher.withdraw(ready)
        self._make(object_id)

    def holds_up(self, task: Task) -> bool:
        """Whether a task that is to be queued again lacks arguments, as they were lost meanwhile:
        then it waits for them, or is about to fail."""
        if not self.losses:
            return False
        held_up = False
        for dep in dict.fromkeys(task.spec.deps):
            entry = self._core.store.objects[dep]
            if entry.value is None:
                _wait_for(task, dep, entry)
                held_up = True
            elif entry.value.error:
                self._core.submission.settled(task, entry.value)
                held_up = True
        return held_up

    def _make(self, object_id: bytes) -> None:
        stack = [object_id]
        again: list[Task] = []
        while stack:
            object_id = stack.pop()
            record = self.records.get(object_id[:24])
            if record is not None and record.running:
                continue  # it is on its way
            if record is None or record.retries == 0:
                self._core.store.settle(object_id, self._why_not(object_id, record), None)
                continue
            record.retries -= record.retries > 0
            record.running = True
            self.remade += 1
            task = Task(_unhurried(record.spec), record.owner, self._core.clock())
            task.retries = record.retries
            task.again = True
            task.depth = record.depth
            again.append(task)
            for i in range(1, record.spec.returns + 1):
                entry = self._core.store.objects.get(return_id(record.spec.id, i))
                if entry is not None:
                    entry.task = task
            for dep in (*record.spec.deps, *record.spec.contained):
                if dep not in self._core.store.objects and not is_handle(dep):
                    self._core.store.create(dep, None, None)
                    stack.append(dep)
        # those on whose results others wait come last here and are submitted first
        for task in reversed(again):
            self._core.submission.admit(task)

    def _why_not(self, object_id: bytes, record: Record | None) -> m.Value:
        name = object_id.hex()
        if record is not None:
            text = (
                f"all copies of the object {name} are lost, and it can't be made again: the task "
                f"{record.spec.name} has no retries left (see its max_retries)"
            )
        elif object_id.endswith(b"\0\0\0\0"):
            text = (
                f"all copies of the object {name} are lost or freed, and it can't be made again: "
                "it was created by ray.put, or is a large argument, and not by a task"
            )
        else:
            text = (
                f"all copies of the object {name} are lost or freed, and it can't be made again: "
                "its task allows no retries (max_retries=0), was an actor's without "
                "max_task_retries, or is forgotten"
            )
        entry = self._core.store.objects[object_id]
        spec = entry.task.spec if entry.task is not None else None
        record_of = m.ErrorRecord(
            "lost", text,
            name=spec.name if spec is not None else "", cell=spec.cell if spec is not None else "",
            task=spec.id if spec is not None else b"",
        )  # fmt: skip
        return error_value(object_id, record_of)


def _unhurried(spec: m.TaskSpec) -> m.TaskSpec:
    """Without the backpressure of a stream: nobody takes its items a second time."""
    extra = spec.extra
    if extra is None or not extra.backpressure:
        return spec
    replace = msgspec.structs.replace
    return replace(spec, extra=replace(extra, backpressure=0))


def _repeatable(task: Task) -> bool:
    spec = task.spec
    return task.retries != 0 and spec.kind != m.CREATION and spec.returns != m.DYNAMIC


def _wait_for(task: Task, object_id: bytes, entry: Object) -> None:
    """`task`, which doesn't run, waits for an argument that it had already."""
    times = task.spec.deps.count(object_id)
    if not times:
        return
    if task.state is TaskState.READY:
        task.move(TaskEvent.ARGS_LOST)
    task.missing += times
    entry.dependents = [*(entry.dependents or ()), *[task] * times]
