"""Actors: their lives, their names, and the lines of calls in front of them. Sans-IO.

An actor is a worker with one more duty. Its creation is a task; once that has ended the worker
belongs to the actor, and calls are sent to it in each caller's order: a call whose arguments are
not ready holds up the later calls of its caller, and nobody else's. (Actors that run several calls
at once, or say so, take each call as soon as it is ready.)

    PENDING ── created ──▶ ALIVE ── worker lost, restarts left ──▶ RESTARTING ── created ──▶ ALIVE
       └── creation failed, killed, no handle left, worker lost for good ──▶ DEAD

The handles to an actor are references to its handle object (ids.py); when the table reports that
none is left, the actor ends after the calls already made.
"""

from __future__ import annotations

import signal
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from .ids import handle_id
from .instructions import Instruction, Send, SignalWorker
from .messages import ErrorRecord, Exit
from .records import (
    Actor,
    ActorState,
    Client,
    Task,
    TaskEvent,
    TaskState,
    Worker,
    cancelled,
    told_in_full,
)

if TYPE_CHECKING:
    from .scheduler import Scheduler

#: Calls on their way to an actor at once. More would only move the queue out of our sight.
WINDOW = 256
_DEAD_KEPT = 1000
_TURN = 64  # calls of one caller sent before the next caller's turn


def _starts_at_once(actor: Actor, worker: Worker, task: Task) -> bool:
    """Whether a call may be sent as far as its time limit goes: its time begins then, so that it
    must not stand in the worker's line. One without a limit may always."""
    extra = task.spec.extra
    if extra is None or not extra.timeout:
        return True
    group, options = extra.concurrency_group, actor.options
    busy = sum(_group(other) == group for other in worker.inflight.values())
    return busy < options.concurrency_groups.get(group, options.max_concurrency)


def _group(task: Task) -> str:
    return task.spec.extra.concurrency_group if task.spec.extra is not None else ""


class ActorTable:
    """Called by the scheduler only."""

    def __init__(self, core: Scheduler, out: list[Instruction]) -> None:
        self.actors: dict[bytes, Actor] = {}
        self.names: dict[tuple[str, str], bytes] = {}
        self._core = core
        self._out = out
        self._dead: deque[bytes] = deque()
        self._claims: dict[bytes, bytes] = {}  # who makes the actors that have but a name so far

    # -- creation ------------------------------------------------------------------------------

    def create(self, client: Client, task: Task) -> Actor:
        """Note an actor whose creation task was just submitted."""
        assert task.spec.extra is not None
        options = task.spec.extra.actor
        assert options is not None
        actor = Actor(task.spec.actor, task, client.id, options)
        actor.window = max(WINDOW, 2 * options.max_concurrency)
        self.actors[actor.id] = actor
        self._claims.pop(actor.id, None)
        client.actors += 1
        handle = self._core.store.create(handle_id(actor.id), None, client)
        if actor.detached:
            handle.count += 1  # the session's own reference: it is never out of scope
        return actor

    def claim(self, namespace: str, name: str, actor: bytes, maker: bytes) -> bytes:
        """Reserve a name for the actor that the client `maker` is about to make. Returns the id of
        the actor that has it: `actor`, or an older one."""
        owner = self.names.setdefault((namespace, name), actor)
        if owner == actor:
            self._claims[actor] = maker
        return owner

    def unclaim(self, actor: bytes) -> None:
        self._claims.pop(actor, None)
        for key in [k for k, v in self.names.items() if v == actor]:
            del self.names[key]

    def created(self, actor: Actor) -> None:
        """Its constructor has run."""
        worker = actor.worker
        assert worker is not None
        self._core.dispatcher.keep_only(worker, actor.options.keeps)
        actor.state = ActorState.ALIVE
        self.pump(actor)

    # -- calls ---------------------------------------------------------------------------------

    def call(self, task: Task) -> None:
        """A call was submitted; its arguments may still be missing."""
        actor = self.actors.get(task.spec.actor)
        if actor is None or actor.state is ActorState.DEAD:
            self._core.endings.fail(task, self.death_of(actor, task.spec.actor))
            return
        worker = actor.worker
        if not (task.missing or actor.lines or actor.state is not ActorState.ALIVE):
            assert worker is not None
            if len(worker.inflight) < actor.window and (
                task.spec.extra is None or _starts_at_once(actor, worker, task)
            ):  # nobody is before it: no need to queue
                task.move(TaskEvent.ARGS_READY)
                self._core.dispatcher.send(worker, task)
                return
        if actor.state is ActorState.RESTARTING and task.retries == 0:
            self._core.endings.fail(task, self._unavailable(actor))
            return
        actor.pending += 1
        task.lined = True
        if task.missing == 0:
            task.move(TaskEvent.ARGS_READY)
        elif actor.options.out_of_order:
            actor.unready[task.spec.id] = task
            return
        actor.lines.setdefault(task.owner, deque()).append(task)
        self.pump(actor)

    def arguments_ready(self, task: Task) -> None:
        task.move(TaskEvent.ARGS_READY)
        actor = self.actors[task.spec.actor]
        if actor.unready.pop(task.spec.id, None) is not None:
            actor.lines.setdefault(task.owner, deque()).append(task)
        self.pump(actor)

    def pump(self, actor: Actor) -> None:
        """Send the calls whose turn it is."""
        worker = actor.worker
        if actor.state is not ActorState.ALIVE or worker is None:
            return
        window = actor.window
        lines = actor.lines
        progress = True
        while progress and lines and len(worker.inflight) < window:
            progress = False
            for caller in list(lines):
                line = lines.pop(caller)
                turn = _TURN
                while line and turn and len(worker.inflight) < window:
                    task = line[0]
                    if task.state is TaskState.WAITING:
                        break
                    if task.spec.extra is not None and not _starts_at_once(actor, worker, task):
                        break
                    line.popleft()
                    if task.state is not TaskState.READY:  # cancelled meanwhile
                        continue
                    self._core.dispatcher.send(worker, task)
                    actor.pending -= 1
                    task.lined = False
                    turn -= 1
                    progress = True
                if line:
                    lines[caller] = line
        self._end_if_unused(actor)

    def call_done(self, actor: Actor) -> None:
        worker = actor.worker
        if actor.lines:
            # refill in bulk: a pump for each call that ends would cost more than the call
            if worker is None or 2 * len(worker.inflight) <= actor.window:
                self.pump(actor)
        elif actor.ending:
            self._end_if_unused(actor)

    def call_dropped(self, task: Task) -> None:
        """A call that was never sent has ended: its place in the line is void."""
        actor = self.actors.get(task.spec.actor)
        if task.lined and actor is not None and actor.state is not ActorState.DEAD:
            task.lined = False
            actor.unready.pop(task.spec.id, None)
            actor.pending -= 1
            self.pump(actor)

    # -- ends ----------------------------------------------------------------------------------

    def handles_gone(self, actor_id: bytes) -> None:
        actor = self.actors.get(actor_id)
        if actor is None:
            return
        if actor.state is ActorState.DEAD:
            self._forget(actor_id)
            return
        actor.ending = True
        self._end_if_unused(actor)

    def _end_if_unused(self, actor: Actor) -> None:
        if not actor.ending or actor.pending or actor.state is ActorState.DEAD:
            return
        if actor.state is not ActorState.ALIVE:
            return  # let the constructor finish: it was asked for
        if actor.worker is not None and not actor.worker.inflight:
            self._out.append(Send(actor.worker.id, Exit("no handle left")))
            self.bury(
                actor,
                "The actor is dead because all references to the actor were removed.",
                kill=False,
            )

    def kill(self, actor: Actor, no_restart: bool) -> None:
        if actor.state is ActorState.DEAD:
            return
        if no_restart:
            self.bury(actor, "The actor is dead because it was killed by `ray.kill`.")
        elif actor.worker is not None:
            self._out.append(SignalWorker(actor.worker.id, signal.SIGKILL))

    def exited(self, actor: Actor, reason: str = "") -> None:
        """It leaves of its own will (`exit_actor()`): never restarted, queued calls dropped. Those
        that run beside the one that said so may still end well."""
        if actor.state is not ActorState.DEAD:
            text = worker_died(reason or "exit_actor() is called.", intended=True)
            self.bury(actor, text, kill=False)

    def creation_failed(self, actor: Actor, record: ErrorRecord) -> None:
        if record.kind != "unschedulable":
            record = msgspec.structs.replace(
                told_in_full(record),
                kind="actor_died",
                message="The actor died because of an error raised in its creation task",
            )
        self.bury(actor, record.message, record)

    def bury(
        self, actor: Actor, reason: str, record: ErrorRecord | None = None, kill: bool = True
    ) -> None:
        """The actor is dead: free its name, fail its calls, end its process."""
        options = actor.options
        creation = actor.creation
        actor.death = record or self._record(actor, "actor_died", reason)
        for ref in actor.death.refs:  # calls yet to come raise it too
            self._core.store.incref(ref)
        actor.state = ActorState.DEAD
        if options.name:
            self.names.pop((options.namespace, options.name), None)
        worker, actor.worker = actor.worker, None
        calls = [t for line in actor.lines.values() for t in line]
        calls += actor.unready.values()
        actor.lines.clear()
        actor.unready.clear()
        actor.pending = 0
        if worker is not None and kill:
            calls = [t for t in worker.inflight.values() if t is not creation] + calls
            self._out.append(SignalWorker(worker.id, signal.SIGKILL))
            self.owner_gone(worker)  # no call of theirs may overtake the news
        for task in calls:
            if task.ended == 0.0:
                self._core.endings.fail(task, actor.death)
        if creation.ended == 0.0:
            self._core.endings.fail(creation, actor.death)
        self._core.endings.let_go(creation)
        self._remember_dead(actor)
        owner = self._core.clients.get(actor.owner)
        if owner is not None:
            owner.actors -= 1
        if actor.detached:
            self._core.store.decref(handle_id(actor.id))

    def _forget(self, actor_id: bytes) -> None:
        actor = self.actors.pop(actor_id, None)
        if actor is not None and actor.death is not None:
            for ref in actor.death.refs:
                self._core.store.decref(ref)

    def _remember_dead(self, actor: Actor) -> None:
        """Dead actors can be asked about for a while; those with a handle, as long as it is."""
        self._dead.append(actor.id)
        if len(self._dead) > _DEAD_KEPT:
            oldest = self._dead.popleft()
            if handle_id(oldest) in self._core.store.objects:
                self._dead.append(oldest)
            else:
                self._forget(oldest)

    def worker_lost(self, actor: Actor, tasks: list[Task], reason: str) -> None:
        """Its process died; `tasks` were with it, in order."""
        actor.worker = None
        if actor.state is ActorState.DEAD:
            for task in tasks:
                if task.ended == 0.0 and task is not actor.creation:
                    self._core.endings.fail(task, self.death_of(actor, actor.id))
            return
        again = any(t.retries for t in tasks if t is not actor.creation) or actor.pending
        if actor.restarts_left == 0 or (actor.ending and not again):
            record = self._record(actor, "actor_died", worker_died(f"The process {reason}."))
            for task in tasks:
                if task is not actor.creation:
                    self._core.endings.fail(task, record)
            self.bury(actor, record.message, record)
            return
        actor.restarts_left -= actor.restarts_left > 0
        actor.restarts += 1
        creation = actor.creation
        if creation.ended:  # the constructor had run: it is a task again
            self._core.submission.revive(creation)
        elif creation.state is TaskState.RUNNING:
            creation.move(TaskEvent.RETRIED)
        actor.state = ActorState.RESTARTING
        retried = []
        for task in tasks:
            if task is creation:
                continue
            if task.cancelled:
                self._core.endings.fail(task, cancelled(task))
            elif task.retries == 0:
                self._core.endings.fail(task, self._unavailable(actor, reason))
            else:
                self._core.endings.use_retry(task)
                retried.append(task)
        for task in reversed(retried):
            self._line_up_first(actor, task)
        if not self._core.lineage.holds_up(creation):
            self._core.dispatcher.push(creation)

    def retry_call(self, task: Task) -> None:
        """A call failed with an exception that is to be retried: it goes first in its line."""
        actor = self.actors.get(task.spec.actor)
        if actor is None or actor.state is ActorState.DEAD:  # it exits, this call ran on
            self._core.endings.fail(task, self.death_of(actor, task.spec.actor))
            return
        self._line_up_first(actor, task)
        self.pump(actor)

    def _line_up_first(self, actor: Actor, task: Task) -> None:
        self._core.lineage.holds_up(task)
        actor.lines.setdefault(task.owner, deque()).appendleft(task)
        actor.pending += 1
        task.lined = True

    def owner_gone(self, client: Client) -> None:
        """Actors end with the process that made them, unless detached; so do reserved names."""
        for actor_id in [a for a, maker in self._claims.items() if maker == client.id]:
            self.unclaim(actor_id)
        for actor in list(self.actors.values()):
            mortal = actor.owner == client.id and not actor.detached
            if mortal and actor.state is not ActorState.DEAD:
                owner = f"Owner Id: {actor.owner.hex()} Owner's worker process has ended."
                self.bury(actor, f"The actor is dead because its owner has died. {owner}")

    # -- errors --------------------------------------------------------------------------------

    def death_of(self, actor: Actor | None, actor_id: bytes) -> ErrorRecord:
        if actor is not None and actor.death is not None:
            return actor.death
        return ErrorRecord(
            "actor_died", "The actor is not known: its session is over.", actor=actor_id
        )

    def _unavailable(self, actor: Actor, reason: str = "died") -> ErrorRecord:
        return self._record(
            actor, "actor_unavailable", f"its process {reason}. The actor is being restarted."
        )

    def _record(self, actor: Actor, kind: str, message: str) -> ErrorRecord:
        worker: Worker | None = actor.worker
        return ErrorRecord(
            kind,
            message,
            name=actor.options.class_name,
            pid=worker.pid if worker is not None else 0,
            actor=actor.id,
            cell=actor.creation.spec.cell,
        )


def worker_died(detail: str, intended: bool = False) -> str:
    """What became of an actor whose process has ended, in Ray's words."""
    kind = "INTENDED_USER_EXIT" if intended else "SYSTEM_ERROR"
    return (
        "The actor is dead because its worker process has died. "
        f"Worker exit type: {kind} Worker exit detail: {detail}"
    )
