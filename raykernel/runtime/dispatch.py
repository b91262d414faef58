"""Which ready task goes to which worker. Sans-IO.

Ready tasks wait in one queue per *shape* (resources and runtime environment). A worker that runs
tasks of a shape holds a *lease*: the shape's resources, from its first task until its queue is
empty, so that the accounts move once per burst and not once per task.

Tasks whose function has been quick so far are sent several deep, about `BURST` seconds of work, so
that the worker never waits for a round trip. Nothing is queued behind a task of a function not
known to be quick; and should one take longer than it used to, `due` recalls what is queued behind
it, so that no task waits for another that it need not wait for.

An actor keeps its worker. Whenever one takes one of the last idle workers, the next is forked at
once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from . import resources
from .groups import Group, GroupSpace, GroupTable, Space
from .instructions import Instruction, Send, SignalWorker, StartWorker
from .messages import CREATION, Exit, Recall, RunTask, Value
from .records import Lease, Task, TaskEvent, TaskState, Worker
from .shapes import Shape

POKE = 23  # SIGURG on Linux: ignored by default, so that it can't hurt a bystander

BURST = 0.002
DEPTH = 64
STALL = 0.02
IDLE_LIMIT = 2.0
SPARE = 2  # workers to be had at once while actors are made; forking is the work of two cores


class Dispatcher:
    """Owns workers, leases and ready queues. Called by the scheduler only."""

    def __init__(
        self,
        pool: resources.Pool,
        out: list[Instruction],
        clock: Callable[[], float],
        new_worker_id: Callable[[], bytes],
        arguments: Callable[[Task, Worker], list[Value]],
        code: Callable[[bytes], bytes],
        dispatched: Callable[[Task, Worker], None],
    ) -> None:
        self.pool = pool
        self.workers: dict[bytes, Worker] = {}
        self.shapes: dict[str, Shape] = {}
        self.idle: dict[str, dict[Worker, None]] = {}
        self.starting: dict[str, int] = {}
        self.mean: dict[bytes, float] = {}  # seconds a function takes, by its key
        self.ready: dict[str, Shape] = {}  # shapes with a queue
        self.pipelined: dict[Worker, None] = {}  # with more than one task
        self.groups = GroupTable(pool, clock)
        self._out = out
        self._clock = clock
        self._new_worker_id = new_worker_id
        self._arguments = arguments
        self._code = code
        self._dispatched = dispatched
        cpus = pool.total.get("CPU", 0) // resources.UNIT
        self.keep_idle = max(1, cpus)
        self.spare = False  # whether to have a worker ready for the next actor
        self._start_limit = max(8, 4 * cpus)

    def resize(self, cpus: int) -> None:
        """The node has this many CPUs from now on. Leases go on: with fewer CPUs none is free until
        enough of them have ended."""
        units = cpus * resources.UNIT
        pool = self.pool
        pool.free["CPU"] = pool.free.get("CPU", 0) + units - pool.total.get("CPU", 0)
        pool.total["CPU"] = units
        self.keep_idle = max(1, cpus)
        self._start_limit = max(8, 4 * cpus)
        for shape in self.shapes.values():
            cpu = shape.amounts.get("CPU", 0)
            shape.cap.limit = max(1, units // cpu) if cpu else None
            if shape.queue:
                self.ready[shape.key] = shape

    # -- queues --------------------------------------------------------------------------------

    def push(self, task: Task, front: bool = False) -> None:
        spec = task.spec
        extra = spec.extra
        key = spec.resources
        if extra is not None and (extra.env or extra.group):
            key = f"{key}|{extra.group.hex()}|{extra.bundle}|{extra.env}"
        shape = self.shapes.get(key)
        if shape is None:
            env = extra.env if extra is not None else ""
            cpus = self.pool.total.get("CPU", 0)
            shape = Shape(key, spec.resources, env, self.space_of(task), cpus)
            self.shapes[key] = shape
        if front:
            shape.queue.appendleft(task)
        else:
            shape.queue.append(task)
        self.ready[key] = shape

    def withdraw(self, tasks: set[Task]) -> None:
        """These are not ready any more."""
        for shape in self.shapes.values():
            parked = shape.cap.parked.values()
            for queue in (shape.queue, *(p.tasks for p in parked)):
                if not tasks.isdisjoint(queue):
                    left = [t for t in queue if t not in tasks]
                    queue.clear()
                    queue.extend(left)

    def space_of(self, task: Task) -> Space:
        """Where a task's resources come from."""
        extra = task.spec.extra
        if extra is None or not extra.group:
            return self.pool
        return GroupSpace(self.groups.groups[extra.group], extra.bundle)

    def drop_group(self, group: Group) -> tuple[list[Task], list[Worker]]:
        """A group is gone: the ready tasks that wait for it, the workers that hold parts of it."""
        tasks: list[Task] = []
        workers: list[Worker] = []
        mark = f"|{group.id.hex()}|"
        for key in [k for k in self.shapes if mark in k]:
            shape = self.shapes[key]
            tasks += shape.tasks()
            workers += shape.leases
            shape.queue.clear()
            shape.cap.parked.clear()
            self.ready.pop(key, None)
        return tasks, workers

    def run(self) -> None:
        """Send what can be sent."""
        for shape in list(self.ready.values()):
            if shape.cap.counts:
                self._feed_capped(shape)
            else:
                while self._has_ready(shape.queue) and self._begin(shape, shape.queue[0]):
                    shape.queue.popleft()
            if shape.queue and shape.leases:
                self._deepen(shape)
            if not (shape.queue or shape.cap.parked):
                del self.ready[shape.key]

    def _feed_capped(self, shape: Shape) -> None:
        for task in shape.cap.candidates(shape.leases, shape.queue, self._clock()):
            if not self._begin(shape, task):
                return

    def _begin(self, shape: Shape, task: Task) -> bool:
        """Give a ready task to an idle worker, if there is one and there is room."""
        pool = self.pool_for(shape)
        if pool is None:
            return False
        idle = self.idle.get(shape.env)
        if not idle:
            self._start_for(shape)
            return False
        worker, _ = idle.popitem()
        self._lease(worker, shape, pool)
        self.send(worker, task)
        if self.spare and task.spec.kind == CREATION and len(idle) < SPARE and not shape.env:
            self._start_spare(len(idle))
        return True

    def pool_for(self, shape: Shape) -> resources.Pool | None:
        """Where a task of this shape could start now, if there were a worker."""
        return shape.space.choose(shape.amounts)

    def _has_ready(self, queue: deque[Task]) -> bool:
        """Whether a ready task is first in the queue, after what was cancelled is dropped."""
        while queue:
            if queue[0].state is TaskState.READY:
                return True
            queue.popleft()
        return False

    def _deepen(self, shape: Shape) -> None:
        """Queue quick tasks behind running ones."""
        queue, leases = shape.queue, shape.leases
        share = -(-len(queue) // len(leases))
        for worker in leases:
            if worker.blocked or worker.recalled or worker.retire:
                continue
            running = worker.first
            if running is None or not self._quick(running):
                continue
            sent = 0
            while sent < share and self._has_ready(queue) and self._quick(queue[0]):
                mean = self.mean[queue[0].spec.function]
                depth = DEPTH if mean * DEPTH <= BURST else int(BURST / mean)
                if len(worker.inflight) >= depth:
                    break
                self.send(worker, queue.popleft())
                sent += 1
            if not queue:
                return

    def _quick(self, task: Task) -> bool:
        spec = task.spec
        if task.solo or task.retries == 0 or spec.kind == CREATION:
            return False
        if spec.extra is not None and (spec.extra.max_calls or spec.extra.timeout):
            return False
        return self.mean.get(spec.function, 1.0) <= BURST / 2

    def send(self, worker: Worker, task: Task) -> None:
        spec = task.spec
        task.move(TaskEvent.DISPATCHED)
        task.worker = worker
        task.attempt += 1
        code = b""
        if spec.function and spec.function not in worker.known:
            worker.known.add(spec.function)
            code = self._code(spec.function)
        inflight = worker.inflight
        if not inflight:
            worker.progress = task.started = self._clock()
        elif worker.actor is None:
            self.pipelined[worker] = None
        inflight[spec.id] = task
        values = self._arguments(task, worker) if spec.deps else []
        self._out.append(Send(worker.id, RunTask(spec, values, code, task.attempt, worker.gpus)))
        self._dispatched(task, worker)

    # -- leases --------------------------------------------------------------------------------

    def _lease(self, worker: Worker, shape: Shape, pool: resources.Pool) -> None:
        pool.take(shape.amounts)
        worker.lease = Lease(shape.key, pool, shape.resources)
        shape.leases[worker] = None
        worker.gpus = pool.take_cards(shape.gpus)

    def finished(self, worker: Worker, task: Task) -> None:
        """A task left the worker's queue: the next one runs, or the lease ends."""
        inflight = worker.inflight
        inflight.pop(task.spec.id, None)
        if inflight:
            worker.progress = self._clock()
            if len(inflight) == 1:
                self.pipelined.pop(worker, None)
                worker.recalled = False
        elif worker.actor is None:
            self.end_lease(worker)

    def end_lease(self, worker: Worker) -> None:
        """Give back what the worker holds; it is idle, or dedicated to an actor, or gone."""
        lease = worker.lease
        self.pipelined.pop(worker, None)
        worker.recalled = False
        if lease is not None:
            lease.pool.give(resources.decode(lease.held))
            worker.lease = None
            shape = self.shapes[lease.shape]
            shape.leases.pop(worker, None)
            lease.pool.give_cards(worker.gpus, shape.gpus)
            worker.gpus = None
        if worker.actor is None and worker.connected and not worker.retire:
            worker.idle_since = self._clock()
            self.idle.setdefault(worker.env, {})[worker] = None

    def keep_only(self, worker: Worker, keeps: str) -> None:
        """An actor is placed: from now on it holds `keeps`."""
        lease = worker.lease
        if lease is not None and lease.held != keeps:
            lease.pool.give(resources.decode(lease.held))
            lease.pool.take(resources.decode(keeps))
            lease.held = keeps

    def blocked(self, worker: Worker, blocked: bool) -> None:
        """A task waits in `get`: its CPU is free meanwhile, its GPU and the rest are not."""
        if worker.blocked == blocked:
            return
        worker.blocked = blocked
        lease = worker.lease
        if lease is None:
            return
        held = resources.decode(lease.held)
        cpus = {"CPU": held["CPU"]} if "CPU" in held else {}
        cap = self.shapes[lease.shape].cap
        if blocked:
            if worker.first is not None:
                cap.waits(worker, worker.first)
            lease.pool.give(cpus)
        else:
            cap.goes_on(worker)
            lease.pool.take(cpus)
            worker.progress = self._clock()

    # -- workers -------------------------------------------------------------------------------

    def _start_for(self, shape: Shape) -> None:
        """Start as many workers as could work on this queue at once, less those on their way."""
        most = 1 if shape.cap.counts else len(shape.queue)
        room = shape.space.count(shape.amounts, most)
        for _ in range(room - self.starting.get(shape.env, 0)):
            if self.starting.get(shape.env, 0) >= self._start_limit:
                return
            self.start(shape.env)

    def _start_spare(self, idle: int) -> None:
        """An actor took an idle worker for good: have some for the next before they are asked for,
        since forking one takes longer than all else that making an actor does."""
        for _ in range(SPARE - idle - self.starting.get("", 0)):
            self.start()

    def start(self, env: str = "") -> Worker:
        worker = Worker(self._new_worker_id(), env)
        self.workers[worker.id] = worker
        self.starting[env] = self.starting.get(env, 0) + 1
        self._out.append(StartWorker(worker.id, env))
        return worker

    def connected(self, worker: Worker, pid: int) -> None:
        worker.connected = True
        worker.pid = pid
        worker.idle_since = self._clock()
        self.starting[worker.env] -= 1
        self.idle.setdefault(worker.env, {})[worker] = None

    def retire(self, worker: Worker) -> None:
        """It is about to end: no more tasks for it."""
        worker.retire = True
        self.idle.get(worker.env, {}).pop(worker, None)

    def gone(self, worker: Worker) -> list[Task]:
        """Forget a dead worker; returns the tasks it had, the running one first."""
        self.workers.pop(worker.id, None)
        if not worker.connected:
            self.starting[worker.env] -= 1
        worker.connected = False
        if worker.blocked:
            self.blocked(worker, False)
        self.idle.get(worker.env, {}).pop(worker, None)
        self.end_lease(worker)
        tasks = list(worker.inflight.values())
        worker.inflight.clear()
        return tasks

    def took(self, task: Task, seconds: float) -> None:
        """Learn how long a function takes: an average that forgets, quick to rise."""
        key = task.spec.function
        old = self.mean.get(key)
        if old is None or seconds > 4 * old:
            self.mean[key] = seconds
        else:
            self.mean[key] = old + 0.1 * (seconds - old)

    # -- time ----------------------------------------------------------------------------------

    def due(self, now: float) -> None:
        """Recall what is stuck behind a task that takes longer than it used to; let go of
        workers that nobody needs."""
        for worker in list(self.pipelined):
            if not worker.recalled and now - worker.progress > STALL:
                worker.recalled = True
                running = worker.first
                assert running is not None
                self.mean[running.spec.function] = now - worker.progress
                self._out.append(Send(worker.id, Recall()))
                self._out.append(SignalWorker(worker.id, POKE))
        for worker in self._surplus(now):
            self.retire(worker)
            self._out.append(Send(worker.id, Exit("idle")))

    def _surplus(self, now: float) -> Iterator[Worker]:
        for env, idle in self.idle.items():
            keep = 0 if env else self.keep_idle
            extra = len(idle) - keep
            for worker in list(idle):
                if extra <= 0:
                    break
                if now - worker.idle_since > IDLE_LIMIT and not worker.held and not worker.actors:
                    extra -= 1
                    yield worker

    def next_due(self) -> float | None:
        """Seconds until `due` has something to look at, None if there is nothing."""
        for worker in self.pipelined:
            if not worker.recalled:
                return STALL / 2
        soonest = float("inf")
        if self.ready:
            now = self._clock()
            soonest = min(s.cap.next_due(now) for s in self.ready.values()) - now
        for env, idle in self.idle.items():
            if len(idle) > (0 if env else self.keep_idle):
                soonest = min(soonest, IDLE_LIMIT / 2)
        return soonest if soonest != float("inf") else None
