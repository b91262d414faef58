"""What a session has to give, and what becomes of requests for more. Sans-IO, a part of the
scheduler.

CPUs may become more or fewer while tasks run. Placement groups (groups.py) reserve some of it for
theirs. A request that can never be met waits all the same, and drivers are warned of it once for
each shape; only one for a certain node, or of a group that is gone, fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import messages as m
from . import resources
from .groups import GroupState
from .instructions import Send
from .records import Client, Task, TaskState
from .wire import encode_one

if TYPE_CHECKING:
    from .scheduler import Scheduler

MOST_CPUS = 4096


class Capacity:
    """Called by the scheduler only."""

    def __init__(self, core: Scheduler) -> None:
        self.looked_at: set[str] = set()  # requests of which it is known whether they can be met
        self._core = core

    def resize(self, client: Client, message: m.Resize) -> None:
        """Change how many CPUs there are. What can never fit any more is warned of once more."""
        core = self._core
        if not 1 <= message.cpus <= MOST_CPUS:
            error = f"a session has from 1 to {MOST_CPUS:,} CPUs, not {message.cpus}"
            core.out.append(Send(client.id, m.Reply(message.request, error=error)))
            return
        core.dispatcher.resize(message.cpus)
        self.looked_at.clear()
        for task in [t for t in core.tasks.values() if t.state is TaskState.READY]:
            if task.spec.resources not in self.looked_at and task.spec.kind != m.CALL:
                self.check_feasible(task.spec)
        core.out.append(Send(client.id, m.Reply(message.request, encode_one(message.cpus))))

    def group_gone(self, spec: m.TaskSpec) -> bool:
        """Whether the placement group it is to run in was removed."""
        if spec.extra is None or not spec.extra.group:
            return False
        group = self._core.dispatcher.groups.groups.get(spec.extra.group)
        return group is None or group.state is GroupState.REMOVED

    def fits_node(self, spec: m.TaskSpec) -> bool:
        """Whether the one node it may run on is there, and could ever have room for it."""
        core = self._core
        assert spec.extra is not None
        here = spec.extra.node == core.welcome.node
        return here and core.pool.could_ever_fit(resources.decode(spec.resources))

    def check_feasible(self, spec: m.TaskSpec) -> None:
        """Warn, once for each shape, of a request that can never be met."""
        core = self._core
        self.looked_at.add(spec.resources)
        if core.pool.could_ever_fit(resources.decode(spec.resources)):
            return
        have = resources.describe_node(core.pool.total)
        kind = "The actor" if spec.kind == m.CREATION else "The task"
        text = (
            f"{kind} {spec.name} asks for {resources.describe(spec.resources)}, which this "
            f"session can never give (it has {have}). It waits until it is cancelled."
        )
        core.reports.warn(text)

    def create_group(self, client: Client, message: m.CreateGroup) -> None:
        """Reserve what a placement group asks for, as soon as it is there."""
        core = self._core
        groups = core.dispatcher.groups
        error = ""
        if message.name and groups.named(message.name) is not None:
            error = f"there is a placement group of the name {message.name!r} already"
        else:
            never = groups.create(message, client.id)
            if never:
                core.reports.warn(f"{never}. It stays pending until it is removed.")
        core.out.append(Send(client.id, m.Reply(message.request, error=error)))

    def remove_group(self, group_id: bytes) -> None:
        """Free what a group reserved, and end what runs in it."""
        core = self._core
        group = core.dispatcher.groups.remove(group_id)
        if group is None:
            return
        reason = "the actor died because its placement group was removed"
        tasks, workers = core.dispatcher.drop_group(group)
        for task in tasks:
            core.endings.fail(task, no_group(task))
        for worker in workers:
            if worker.actor is not None:
                core.actors.bury(worker.actor, reason)
            for task in worker.inflight.values():
                task.retries = 0
            core.peers.kill(worker)


def no_group(task: Task) -> m.ErrorRecord:
    return m.ErrorRecord(
        "no_group",
        f"the placement group of {task.spec.name} was removed",
        name=task.spec.name,
        task=task.spec.id,
        cell=task.spec.cell,
    )


def unschedulable(task: Task) -> m.ErrorRecord:
    return m.ErrorRecord(
        "unschedulable",
        "the node specified via NodeAffinitySchedulingStrategy doesn't exist or can never have "
        "room for it, and soft=False was specified",
        name=task.spec.name,
        task=task.spec.id,
        actor=task.spec.actor,
        cell=task.spec.cell,
    )
