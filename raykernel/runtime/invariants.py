"""What always holds between two events of the scheduler. For tests: `validate` after each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import resources
from .groups import GroupState
from .records import LIVE_STATES, TaskState

if TYPE_CHECKING:
    from .scheduler import Scheduler


def validate(core: Scheduler) -> None:
    """Raises AssertionError, saying what is wrong."""
    pool = core.pool
    held: dict[str, int] = dict.fromkeys(pool.total, 0)
    for worker in core.dispatcher.workers.values():
        if worker.lease is None or worker.lease.pool is not pool:
            continue
        for name, n in resources.decode(worker.lease.held).items():
            if not (worker.blocked and name == "CPU"):
                held[name] = held.get(name, 0) + n
    for group in core.dispatcher.groups.groups.values():
        if group.state is GroupState.CREATED:
            for name, n in group.needs.items():
                held[name] = held.get(name, 0) + n
    for name, n in pool.total.items():
        assert pool.free[name] == n - held[name], f"{name}: accounts don't add up"
        assert name == "CPU" or pool.free[name] >= 0, f"{name}: over-committed"
    for task in core.tasks.values():
        assert task.state in LIVE_STATES, f"{task.spec.name} is over, but listed as live"
        if task.state is TaskState.RUNNING:
            assert task.worker is not None
            assert task.spec.id in task.worker.inflight
    for object_id, entry in core.store.objects.items():
        assert entry.count > 0, f"object {object_id.hex()} is kept by nobody"
    for shape in core.dispatcher.shapes.values():
        if (
            any(t.state is TaskState.READY for t in shape.queue)
            and core.dispatcher.pool_for(shape) is not None
        ):
            assert not core.dispatcher.idle.get(shape.env), "a fitting worker idles"
