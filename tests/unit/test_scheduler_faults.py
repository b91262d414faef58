"""Faults planted in the scheduler, each of which the state machine of machine.py must find.

As many examples as test_scheduler_machine.py runs, from fixed seeds, so that this can't pass or
fail by luck.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from raykernel.runtime import dispatch, resources
from raykernel.runtime.blocks import Blocks
from raykernel.runtime.dispatch import Dispatcher
from raykernel.runtime.endings import Endings
from raykernel.runtime.lineage import Lineage
from raykernel.runtime.records import Task, TaskEvent, Worker
from raykernel.runtime.spill import Room

from .machine import SchedulerMachine
from .test_scheduler_machine import SETTINGS
from .world import LARGE

Method = Callable[..., Any]


def lose_a_free(free_block: Method) -> Method:
    """Some blocks stay taken when their objects go."""

    def faulty(self: Blocks, offset: int) -> None:
        if offset // LARGE % 2 == 0:
            free_block(self, offset)

    return faulty


def move_what_is_seen(moved: Method) -> Method:
    """A block is free as soon as its object is in a file, whoever looks at it."""

    def faulty(self: Blocks, offset: int) -> None:
        block = self.blocks[offset]
        if block.pins and not block.owner:
            block.moving = ""
            self._free(offset)
        else:
            moved(self, offset)

    return faulty


def forget_to_move(pump: Method) -> Method:
    """Who waits for memory is forgotten when something is being moved already."""

    def faulty(self: Room) -> None:
        if self.moving and len(self.waiting) > 1:
            self.waiting.pop()
        pump(self)

    return faulty


def forget_how(ended: Method) -> Method:
    """How an object was made is not kept if its task had no arguments."""

    def faulty(self: Lineage, task: Task, values: list[Any]) -> None:
        if task.spec.deps or len(values) != 1:
            ended(self, task, values)

    return faulty


def lose_a_reference(let_go: Method) -> Method:
    """The arguments of a task that never ran stay counted."""

    def faulty(self: Endings, task: Task) -> None:
        if task.attempt:
            let_go(self, task)

    return faulty


def dispatch_twice(due: Method) -> Method:
    """What is called back from a worker is queued again before the worker has handed it back."""

    def faulty(self: Dispatcher, now: float) -> None:
        stuck = [w for w in self.pipelined if not w.recalled and now - w.progress > dispatch.STALL]
        due(self, now)
        for worker in stuck:
            for task in list(worker.inflight.values())[1:]:
                del worker.inflight[task.spec.id]
                task.move(TaskEvent.RETURNED)
                task.worker = None
                self.push(task, front=True)

    return faulty


def return_too_much(blocked: Method) -> Method:
    """A task that waits gives back its GPU too."""

    def faulty(self: Dispatcher, worker: Worker, now: bool) -> None:
        lease = worker.lease
        if now and not worker.blocked and lease is not None:
            gpus = resources.decode(lease.held).get("GPU", 0)
            lease.pool.give({"GPU": gpus})
        blocked(self, worker, now)

    return faulty


def return_too_little(gone: Method) -> Method:
    """A worker that dies while it waits is taken for one that had its CPU."""

    def faulty(self: Dispatcher, worker: Worker) -> Any:
        worker.blocked = False
        return gone(self, worker)

    return faulty


@pytest.mark.parametrize(
    ("owner", "method", "fault"),
    [
        (Blocks, "_free", lose_a_free),
        (Blocks, "moved", move_what_is_seen),
        (Room, "pump", forget_to_move),
        (Lineage, "ended", forget_how),
        (Endings, "let_go", lose_a_reference),
        (Dispatcher, "due", dispatch_twice),
        (Dispatcher, "blocked", return_too_much),
        (Dispatcher, "gone", return_too_little),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_planted_fault_is_found(
    owner: type, method: str, fault: Callable[[Method], Method], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, method, fault(getattr(owner, method)))
    once = settings(SETTINGS, derandomize=True, database=None, phases=[Phase.generate])
    with pytest.raises(AssertionError):
        run_state_machine_as_test(SchedulerMachine, settings=once)
