"""What becomes of a driver's work when the driver leaves a session that goes on. Sans-IO.

What nobody can ask for any more is cancelled: the driver's tasks, and theirs. What stays is what
somebody can come back to, and what that needs:

    named objects                    they, and the tasks that are to make them
    named actors (in a session       they become the session's own, with their calls
      that outlives its drivers)
    detached actors, actors of       they, with their calls
      others
    cells put in the background      their tasks

A placement group that any of these runs in stays too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .ids import handle_id
from .instructions import Send
from .messages import TASK, Exit
from .records import Actor, ActorState, Client, Task

if TYPE_CHECKING:
    from .scheduler import Scheduler

#: Seconds after which a task that ignores its cancellation is killed.
PATIENCE = 1.5


def settle_affairs(core: Scheduler, client: Client) -> set[bytes]:
    """Part what stays from what ends, before the driver's references go. Returns the placement
    groups that stay."""
    if core.life.ttl:
        _adopt(core, client)
    core.actors.owner_gone(client)
    staying = _staying(core)
    for task in caused_by(core, client):
        if task.ended == 0.0 and task.spec.kind == TASK and task.spec.id not in staying:
            core.cancellation.cancel(task, force=False, recursive=False, patience=PATIENCE)
    creations = [a.creation for a in core.actors.actors.values() if a.state is not ActorState.DEAD]
    specs = [t.spec for t in (*staying.values(), *creations)]
    return {spec.extra.group for spec in specs if spec.extra is not None and spec.extra.group}


def _adopt(core: Scheduler, client: Client) -> None:
    """The driver's named actors become the session's."""
    for actor in core.actors.actors.values():
        leaving = actor.owner == client.id and actor.options.name and not actor.detached
        if leaving and actor.state is not ActorState.DEAD and not actor.ending:
            actor.detached = True
            core.store.incref(handle_id(actor.id))  # the session's own


def _staying(core: Scheduler) -> dict[bytes, Task]:
    """The unfinished tasks that go on whoever leaves, with all that they wait for."""
    staying: dict[bytes, Task] = {}
    pending = core.named.unfinished()
    pending += [t for t in core.tasks.values() if t.spec.cell in core.background]
    pending += [t for t in core.tasks.values() if t.spec.kind != TASK and _lives(core, t)]
    while pending:
        task = pending.pop()
        if task.spec.id in staying or task.ended:
            continue
        staying[task.spec.id] = task
        for object_id in (*task.spec.deps, *task.spec.contained):
            entry = core.store.objects.get(object_id)
            if entry is not None and entry.value is None and entry.task is not None:
                pending.append(entry.task)
    return staying


def _lives(core: Scheduler, task: Task) -> bool:
    actor: Actor | None = core.actors.actors.get(task.spec.actor)
    return actor is not None and actor.state is not ActorState.DEAD


def caused_by(core: Scheduler, client: Client) -> list[Task]:
    """The unfinished tasks that the driver submitted, or a task it submitted, and so on; but not
    what an actor that lives submitted."""
    known = {t.spec.id: t for t in (*core.feed.ended, *core.tasks.values())}

    def origin(task: Task) -> bytes:
        while True:
            above = known.get(task.spec.parent) if task.spec.parent else None
            if above is None:
                return task.owner
            if above.spec.kind != TASK and _lives(core, above):
                return b""
            task = above

    return [t for t in list(core.tasks.values()) if origin(t) == client.id]


def renew_workers(core: Scheduler) -> None:
    """Let go of the workers that idle: who comes next may have edited a module they imported."""
    dispatcher = core.dispatcher
    for idle in list(dispatcher.idle.values()):
        for worker in list(idle):
            if not worker.actors:  # which would end with it
                dispatcher.retire(worker)
                core.out.append(Send(worker.id, Exit("its driver has left")))


def forget_functions(core: Scheduler) -> None:
    """Drop the code, and what it closes over, that nobody who is left can run."""
    submission = core.submission
    claimed = {k for k, makers in submission.registrants.items() if makers.keys() & core.clients}
    submission.drop(submission.functions.keys() - claimed - submission.needed())
