"""The processes at the other ends: drivers, workers, and who only looks. Sans-IO, a part of the
scheduler.

A connection is expected from each worker that was started, and taken from any driver. A worker's
end is known when its process was reaped, for only then is all it had sent handled; its connection
may end before that. With a process goes what it held, and what nobody else can use.
"""

from __future__ import annotations

import signal
from collections.abc import Container
from typing import TYPE_CHECKING

from . import departure
from . import messages as m
from .departure import PATIENCE
from .instructions import Send, SignalWorker, Stop
from .records import Client, TaskEvent, Worker

if TYPE_CHECKING:
    from .scheduler import Scheduler


class Peers:
    """Called by the scheduler only. `prestart` workers are started with the first driver."""

    def __init__(self, core: Scheduler, prestart: int) -> None:
        self._core = core
        self._prestart = prestart

    def hello(self, hello: m.Hello) -> None:
        """A process connected. A worker nobody planned, or a second one, is told to leave."""
        core = self._core
        if hello.role == "worker":
            worker = core.dispatcher.workers.get(hello.id)
            if worker is None or worker.connected:
                core.out.append(Send(hello.id, m.Exit("not expected")))
                return
            if hello.trouble:
                self._setup_failed(worker.env, f"its runtime environment failed: {hello.trouble}")
                core.out.append(Send(hello.id, m.Exit("understood")))
                return
            core.clients[hello.id] = worker
            core.dispatcher.connected(worker, hello.pid)
        else:
            core.clients[hello.id] = Client(hello.id, hello.role, hello.pid, hello.namespace)
            if hello.role == "driver" and core.life.joined():
                departure.renew_workers(core)
                for _ in range(self._prestart):
                    core.dispatcher.start()
        core.out.append(Send(hello.id, core.welcome))
        if hello.role == "worker" and core.reports.reloaded:
            core.out.append(Send(hello.id, m.Reload(list(core.reports.reloaded))))

    def disconnected(self, client_id: bytes) -> None:
        """A connection ended."""
        client = self._core.clients.get(client_id)
        if client is None:
            return
        if isinstance(client, Worker):
            self.kill(client)  # it is going or has lost its mind; `worker_died` does the rest
        elif client.role == "driver":
            self._driver_left(client)
        else:
            self._forget(client)

    def _driver_left(self, client: Client) -> None:
        core = self._core
        last = core.life.left(core.clock())
        client.connected = False
        if last and not core.life.ttl:
            self._forget(client)
            core.out.append(Stop("the last driver left"))
            return
        self._forget(client, departure.settle_affairs(core, client))
        if last:
            departure.renew_workers(core)
            departure.forget_functions(core)

    def worker_died(self, worker_id: bytes, status: int) -> None:
        """A worker's process has ended, and all it had sent was handled."""
        core = self._core
        worker = core.dispatcher.workers.get(worker_id)
        if worker is None:
            return
        reason = _death(status)
        never_ran = not worker.connected
        actor = worker.actor
        tasks = core.dispatcher.gone(worker)
        self._forget(worker)
        if actor is not None:
            core.actors.worker_lost(actor, tasks, reason)
        elif tasks:
            core.endings.crashed(worker, tasks, reason)
        elif never_ran and status not in (0, -signal.SIGKILL):
            self._setup_failed(worker.env, f"it {reason}")

    def _setup_failed(self, env: str, why: str) -> None:
        """A worker died before it could serve: don't fork for ever, fail what waits for it."""
        core = self._core
        shapes = [s for s in core.dispatcher.shapes.values() if s.env == env]
        for task in [t for s in shapes for t in s.tasks()]:
            spec = task.spec
            text = f"a worker for {spec.name} could not be started: {why}"
            record = m.ErrorRecord(
                "setup", text, name=spec.name, task=spec.id, actor=spec.actor, cell=spec.cell
            )
            if spec.kind == m.CREATION:  # the actor's calls fail for this very reason
                core.actors.bury(core.actors.actors[spec.actor], text, record)
            else:
                core.failing.append((task, record))

    def _forget(self, client: Client, staying: Container[bytes] = ()) -> None:
        """A process is gone, and what ends with it; but not these placement groups."""
        core = self._core
        client.connected = False
        core.clients.pop(client.id, None)
        core.feed.unwatch(client.id)
        core.bars.client_gone(client.id)
        core.actors.owner_gone(client)
        if client.role == "driver":
            for group in core.dispatcher.groups.of_owner(client.id):
                if group.id not in staying:
                    core.capacity.remove_group(group.id)
        for task in list(core.tasks.values()):
            endless = task.spec.returns == m.STREAMING and task.owner == client.id
            if endless and task.ended == 0.0 and task.stream_dropped < 0 and not task.again:
                if task.spec.kind == m.TASK:  # nobody else can take its items
                    task.stream_dropped = task.consumed
                    core.cancellation.cancel(task, force=False, recursive=True, patience=PATIENCE)
                else:
                    core.streams.stop(task, task.consumed)
        core.store.drop_client(client)
        core.room.drop_client(client)

    def kill(self, worker: Worker) -> None:
        """End a worker's process. It gets no more tasks, whatever it still says."""
        core = self._core
        core.dispatcher.retire(worker)
        core.out.append(SignalWorker(worker.id, signal.SIGKILL))

    def blocked(self, worker: Worker, message: m.Blocked) -> None:
        """Its task waits: its CPU is free, and what it has not started comes back."""
        self.returned(worker, message.returned)
        self._core.dispatcher.blocked(worker, True)

    def returned(self, worker: Worker, tasks: list[bytes]) -> None:
        """Tasks come back unstarted."""
        core = self._core
        for task_id in reversed(tasks):
            task = worker.inflight.pop(task_id, None)
            if task is None:
                continue
            core.submission.unpin_arguments(task, worker)
            task.move(TaskEvent.RETURNED)
            task.worker = None
            task.attempt -= 1
            if core.feed.watchers:
                core.feed.moved(task)
            core.endings.requeue(task)
        if len(worker.inflight) < 2:
            core.dispatcher.pipelined.pop(worker, None)
            worker.recalled = False
        if not worker.inflight and worker.actor is None:
            core.dispatcher.end_lease(worker)


def _death(status: int) -> str:
    """How a process ended, for the end of a sentence."""
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = str(-status)
        hint = " (perhaps the machine ran out of memory)" if -status == signal.SIGKILL else ""
        return f"was killed by {name}{hint}"
    return f"ended with exit code {status}"
