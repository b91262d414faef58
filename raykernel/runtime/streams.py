"""Streams: what a generator task yields, item by item. Sans-IO, a part of the scheduler.

Each item is an object of its own (`ids.item_id`), held by the consumer from the moment it is made
until the consumer takes it or drops the stream; the task's first return is the stream's *end*,
whose value is the number of items. A consumer that waits for the next item wants both: whichever
is there first tells it how to go on. A retried generator starts over; what it made before is not
made twice.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

from . import messages as m
from .dispatch import POKE
from .ids import item_id, return_id
from .instructions import Send, SignalWorker
from .records import Client, Task, TaskState, Worker, cancelled
from .store import error_value

if TYPE_CHECKING:
    from .scheduler import Scheduler


class Streams:
    """Called by the scheduler only."""

    def __init__(self, core: Scheduler) -> None:
        self._core = core

    def new_item(self, task: Task, position: int) -> None:
        """An item is held for the stream's consumer until it takes it or drops the stream. Nobody
        takes the items of a second run but who holds them already."""
        if task.again:
            return
        owner = self._core.clients.get(task.owner)
        object_id = item_id(task.spec.id, position)
        if (
            owner is not None
            and task.stream_dropped < 0
            and object_id not in self._core.store.objects
        ):
            self._core.store.create(object_id, task, owner)

    def yielded(self, worker: Worker, message: m.Yielded) -> None:
        task = self._core.tasks.get(message.task)
        if task is None or task.worker is not worker or message.position < task.produced:
            # a retry repeats what was there already
            self._core.endings.abandon(worker, [message.value])
            return
        task.produced = message.position + 1
        if task.stream_dropped >= 0:
            self._core.endings.abandon(worker, [message.value])
            return
        task.large = task.large or message.value.offset != m.INLINE
        self.new_item(task, message.position)
        self._core.store.settle(message.value.id, message.value, worker)

    def end_value(self, task: Task) -> m.Value:
        return m.Value(return_id(task.spec.id, 1), pickle.dumps(task.produced, 5))

    def close(self, task: Task) -> None:
        """The item after the last was perhaps waited for already: it will never be."""
        if task.again:
            self._not_made_again(task)
            return
        object_id = item_id(task.spec.id, task.produced)
        entry = self._core.store.objects.get(object_id)
        owner = self._core.clients.get(task.owner)
        if entry is not None and entry.value is None and owner is not None:
            self._core.store.release(owner, [object_id])

    def _not_made_again(self, task: Task) -> None:
        """Lost items that the second run did not come to."""
        store = self._core.store
        record = m.ErrorRecord(
            "lost", "the object is lost, and its generator did not yield it again", task.spec.name,
            task=task.spec.id, cell=task.spec.cell,
        )  # fmt: skip
        left = [i for i, e in store.objects.items() if i[:24] == task.spec.id and e.value is None]
        for object_id in left:
            store.settle(object_id, error_value(object_id, record), None)

    def consumed(self, client: Client, message: m.Consumed) -> None:
        task = self._core.tasks.get(message.task)
        if task is None or task.again:
            return
        if message.position == task.produced:
            self.new_item(task, message.position)  # the next one is about to be wanted
        task.consumed = message.position
        extra = task.spec.extra
        if extra is not None and extra.backpressure and task.worker is not None:
            note = m.StreamConsumed(message.task, message.position)
            self._core.out.append(Send(task.worker.id, note))

    def drop(self, client: Client, message: m.DropStream) -> None:
        task = self._core.tasks.get(message.task)
        position = message.position
        while True:
            object_id = item_id(message.task, position)
            if object_id not in client.held:
                break
            self._core.store.release(client, [object_id])
            position += 1
        if task is not None and task.stream_dropped < 0 and not task.again:
            self.stop(task, message.position)

    def stop(self, task: Task, position: int) -> None:
        task.cancelled = True  # never again, should it come back
        task.stream_dropped = position
        if task.state is TaskState.RUNNING and task.worker is not None:
            self._core.out.append(Send(task.worker.id, m.StopStream(task.spec.id)))
            self._core.out.append(SignalWorker(task.worker.id, POKE))
        else:
            self._core.endings.fail(task, cancelled(task))
