"""The head's mind: every decision of a session, without a socket, a clock or a process. Sans-IO.

`handle(client, messages)` takes what one process said and returns what is to be done about it;
`worker_died`, `disconnected` and `tick` take what the shell noticed by itself. Time and ids are
handed in. Called from one thread.

The parts:

    scheduler.py   tasks: submission, results, retries, cancellation, who asked for what
    store.py       objects: values, references, waiters; blocks.py: their memory
    spill.py       room for new objects, and what moves to disk for it
    lineage.py     how to make lost objects again
    dispatch.py    workers, leases, ready queues
    capping.py     how many tasks of one kind may be begun at once
    actors.py      actors and their lines of calls
    streams.py     what generators yield
    groups.py      placement groups
    named.py       named objects
    life.py        when the session ends by itself
    departure.py   what a driver that leaves takes with it
    feed.py        what the views are told
    bars.py        progress bars that tasks move

What always holds (invariants.py checks it in the tests): leases never hold more than there is,
except for CPUs of tasks that were blocked; each task ends exactly once; no count is negative; no
ready task waits while a worker that fits idles.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Container
from typing import Any

import msgspec

from . import departure, queries, resources
from . import messages as m
from .actors import ActorTable
from .allocator import Allocator
from .bars import BarTable
from .departure import PATIENCE
from .dispatch import POKE, Dispatcher
from .events import BarInfo, LogLine
from .feed import Feed
from .groups import GroupState
from .ids import IdFactory, item_id, return_id
from .instructions import Instruction, Send, SignalWorker, Stop
from .life import Life
from .lineage import Lineage
from .named import NamedObjects
from .records import Actor, Client, Task, TaskEvent, TaskState, Worker, cancelled
from .spill import Room
from .store import ObjectTable, error_value, file_of
from .streams import Streams
from .wire import encode_one

MOST_CPUS = 4096
_VIA = 16  # tasks named on an error's way; all of a long chain's would grow with its square
_STRIP = 256  # arguments longer than this are forgotten with the task's end


class Scheduler:
    """See the head comment. All methods append to `out`; `take` empties it."""

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        ids: IdFactory,
        total: dict[str, float],
        welcome: m.Welcome,
        keep_warm: int = 256 * 2**20,
        ttl: float = 0.0,
        prestart: int = 0,
    ) -> None:
        self.clock = clock
        self.out: list[Instruction] = []
        self.welcome = welcome
        self.tasks: dict[bytes, Task] = {}  # live ones
        self.clients: dict[bytes, Client] = {}
        self.functions: dict[bytes, m.RegisterFunction] = {}
        self.registrants: dict[bytes, set[bytes]] = {}  # who made which of them known
        self.life = Life(ttl)
        self.background: set[str] = set()  # cells whose work nobody's leaving ends
        self._prestart = prestart
        self.feed = Feed(clock)
        self.bars = BarTable(self._tell_bars)
        self.store = ObjectTable(
            Allocator(welcome.capacity, keep_warm), self.out, self.settled, self._handles_gone,
            self._large_gone,
        )  # fmt: skip
        self.room = Room(self, bool(welcome.spill))
        self.lineage = Lineage(self)
        units = {name: resources.to_units(n) for name, n in total.items()}
        self.pool = resources.Pool(units)
        self.dispatcher = Dispatcher(
            self.pool, self.out, clock, ids.task, self._arguments,
            self._code, self._dispatched,
        )  # fmt: skip
        self.dispatcher.spare = prestart > 0
        self.actors = ActorTable(self, self.out)
        self.streams = Streams(self)
        self.named = NamedObjects(self.store)
        self._failing: deque[tuple[Task, m.ErrorRecord]] = deque()
        self._unheld: deque[bytes] = deque()  # actors whose last handle is gone
        self._deadlines: dict[bytes, Task] = {}  # tasks to be ended when their time is up
        self._reloaded: dict[str, None] = {}  # modules edited since the session began
        self._feasible: set[str] = set()  # requests that were looked at
        self._handlers: dict[type, Callable[[Any, Any], None]] = {
            m.TaskSpec: self._submit,
            m.TaskFinished: self._finished,
            m.Want: lambda c, msg: self.store.want(c, msg.ids, msg.look),
            m.Release: lambda c, msg: self.store.release(c, msg.ids),
            m.AddRef: lambda c, msg: self.store.hold(c, msg.ids),
            m.PutObject: self._put,
            m.Blocked: self._blocked,
            m.Unblocked: lambda c, msg: self.dispatcher.blocked(c, False),
            m.TasksReturned: lambda c, msg: self._returned(c, msg.tasks),
            m.RegisterFunction: self._register,
            m.Unpin: self._unpin,
            m.Allocate: self.room.allocate,
            m.Abandon: lambda c, msg: self.store.abandon(c, msg.offset, msg.file),
            m.LetGone: self.room.let_gone,
            m.Missing: self._missing,
            m.Cancel: self._cancel,
            m.CancelCell: self._cancel_cell,
            m.KillActor: self._kill_actor,
            m.Resize: self._resize,
            m.ActorExited: self._actor_exited,
            m.Query: self._query,
            m.Subscribe: self._subscribe,
            m.Yielded: self.streams.yielded,
            m.Consumed: self.streams.consumed,
            m.DropStream: self.streams.drop,
            m.Wrote: self._wrote,
            m.Bars: self._bars_moved,
            m.ReloadModules: self._reload,
            m.CreateGroup: self._create_group,
            m.RemoveGroup: self._remove_group,
            m.Shutdown: lambda c, msg: self.out.append(Stop("shutdown was asked for")),
        }

    # -- what the shell calls ------------------------------------------------------------------

    def handle(self, client_id: bytes, messages: list[Any]) -> list[Instruction]:
        """What one connected process said, in order."""
        client = self.clients.get(client_id)
        if client is None:
            return []
        handlers = self._handlers
        for message in messages:
            handlers[type(message)](client, message)
        return self._settle_turn()

    def hello(self, hello: m.Hello) -> list[Instruction]:
        """A process connected. A worker nobody planned, or a second one, is told to leave."""
        if hello.role == "worker":
            worker = self.dispatcher.workers.get(hello.id)
            if worker is None or worker.connected:
                return [Send(hello.id, m.Exit("not expected"))]
            if hello.trouble:
                self._setup_failed(worker.env, f"its runtime environment failed: {hello.trouble}")
                self.out.append(Send(hello.id, m.Exit("understood")))
                return self._settle_turn()
            self.clients[hello.id] = worker
            self.dispatcher.connected(worker, hello.pid)
        else:
            self.clients[hello.id] = Client(hello.id, hello.role, hello.pid, hello.namespace)
            if hello.role == "driver" and self.life.joined():
                departure.renew_workers(self)
                for _ in range(self._prestart):
                    self.dispatcher.start()
        self.out.append(Send(hello.id, self.welcome))
        if hello.role == "worker" and self._reloaded:
            self.out.append(Send(hello.id, m.Reload(list(self._reloaded))))
        return self._settle_turn()

    def disconnected(self, client_id: bytes) -> list[Instruction]:
        """A connection ended."""
        client = self.clients.get(client_id)
        if client is None:
            return []
        if isinstance(client, Worker):
            self.kill(client)  # it is going or has lost its mind; `worker_died` does the rest
            return self._settle_turn()
        if client.role == "driver":
            self._driver_left(client)
        else:
            self._forget(client)
        return self._settle_turn()

    def _driver_left(self, client: Client) -> None:
        last = self.life.left(self.clock())
        client.connected = False
        if last and not self.life.ttl:
            self._forget(client)
            self.out.append(Stop("the last driver left"))
            return
        self._forget(client, departure.settle_affairs(self, client))
        if last:
            departure.renew_workers(self)
            departure.forget_functions(self)

    def worker_died(self, worker_id: bytes, status: int) -> list[Instruction]:
        """A worker's process has ended, and all it had sent was handled."""
        worker = self.dispatcher.workers.get(worker_id)
        if worker is None:
            return []
        reason = _death(status)
        never_ran = not worker.connected
        actor = worker.actor
        tasks = self.dispatcher.gone(worker)
        self._forget(worker)
        if actor is not None:
            self.actors.worker_lost(actor, tasks, reason)
        elif tasks:
            self._crashed(worker, tasks, reason)
        elif never_ran and status not in (0, -signal.SIGKILL):
            self._setup_failed(worker.env, f"it {reason}")
        return self._settle_turn()

    def spilled(self, file: str, name: str) -> list[Instruction]:
        """A `Spill` was carried out; `name` is the file's, with its suffix."""
        self.room.spilled(file, name)
        return self._settle_turn()

    def spill_failed(self, file: str, why: str, full: bool) -> list[Instruction]:
        """A `Spill` failed and left no file; `full`: for lack of disk space."""
        self.room.spill_failed(file, why, full)
        return self._settle_turn()

    def tick(self, now: float) -> list[Instruction]:
        """Time has passed: see `next_tick`."""
        self.dispatcher.due(now)
        for task in [t for t in self._deadlines.values() if t.kill_at <= now]:
            if task.state is not TaskState.RUNNING or task.worker is None:
                del self._deadlines[task.spec.id]
            elif not task.cancelled:  # it has run for as long as it may
                task.timed_out = True
                self.cancel(task, force=False, recursive=True, patience=PATIENCE)
            elif task.worker.first is task:
                del self._deadlines[task.spec.id]
                self.kill(task.worker)
            else:  # another task's turn, which is not to blame
                task.kill_at = now + PATIENCE
        self.out.extend(Send(client, batch) for client, batch in self.feed.due(now))
        if self.life.left_to_live(now) == 0.0:
            if any(t.spec.cell in self.background for t in self.tasks.values()):
                self.life.prolong(now)
            else:
                self.out.append(Stop(f"nobody used it for {self.life.ttl:g} s"))
        return self._settle_turn()

    def next_tick(self) -> float | None:
        """Seconds until `tick` should be called, None if only an event can change anything."""
        soonest = self.dispatcher.next_due()
        if self.feed.watchers or self._deadlines or self.life.idle_since or self.room.waiting:
            now = self.clock()
            times = [soonest, self.feed.next_due(now), self.life.left_to_live(now)]
            times.append(self.room.next_due(now))
            times += [max(0.0, t.kill_at - now) for t in self._deadlines.values()]
            soonest = min((t for t in times if t is not None), default=None)
        return soonest

    def end_unless_used(self) -> bool:
        """End the session if it has no driver but one. Whether it ends."""
        if self.life.drivers > 1:
            return False
        self.out.append(Stop("its driver ended it"))
        return True

    def start_workers(self, n: int) -> list[Instruction]:
        for _ in range(n):
            self.dispatcher.start()
        return self._settle_turn()

    def kill(self, worker: Worker) -> None:
        """End a worker's process. It gets no more tasks, whatever it still says."""
        self.dispatcher.retire(worker)
        self.out.append(SignalWorker(worker.id, signal.SIGKILL))

    def _settle_turn(self) -> list[Instruction]:
        """Pass failures on, send ready tasks and waited-for objects; the instructions so far."""
        while self._failing or self._unheld:
            while self._failing:
                task, record = self._failing.popleft()
                if task.ended == 0.0:
                    self.fail(task, record)
            if self._unheld:
                self.actors.handles_gone(self._unheld.popleft())
        if self.room.waiting:
            self.room.pump()
        if self.dispatcher.groups.pending:
            self.dispatcher.groups.place()
        if self.dispatcher.ready:
            self.dispatcher.run()
        if self.store.full_outboxes:
            for client in self.store.full_outboxes:
                values, client.outbox = client.outbox, []
                if client.connected:
                    self.out.append(Send(client.id, m.Objects(values)))
            self.store.full_outboxes.clear()
        out = self.out[:]
        self.out.clear()
        return out

    # -- submission ----------------------------------------------------------------------------

    def _submit(self, client: Client, spec: m.TaskSpec) -> None:
        task = Task(spec, client.id, self.clock())
        store = self.store
        if spec.kind == m.CREATION:
            self.actors.create(client, task)
        elif spec.returns == 1:
            store.create(spec.id + b"\1\0\0\0", task, client).waiters = [client]
        else:
            for i in range(1, (spec.returns if spec.returns >= 0 else 1) + 1):
                store.create(return_id(spec.id, i), task, client).waiters = [client]
        self.admit(task)

    def admit(self, task: Task) -> None:
        """Hold a task's arguments, and queue it if they are all there."""
        spec, store = task.spec, self.store
        self.tasks[spec.id] = task
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
            parent = self.tasks.get(spec.parent)
            if parent is not None:
                task.depth = parent.depth + 1
                if parent.children is None:
                    parent.children = set()
                parent.children.add(spec.id)
        if self.feed.watchers:
            self.feed.note(task)
        if failed is not None:
            self._failing.append((task, self._inherited(task, failed)))
        elif spec.kind == m.CALL:
            self.actors.call(task)
        elif task.missing == 0:
            self._queue(task)

    def _queue(self, task: Task) -> None:
        task.move(TaskEvent.ARGS_READY)
        spec = task.spec
        if spec.extra is not None and spec.extra.group:
            if self._group_gone(spec):
                self._failing.append((task, _no_group(task)))
                return
        elif spec.extra is not None and spec.extra.node and not self._fits_node(spec):
            self._failing.append((task, _unschedulable(task)))
            return
        elif spec.resources not in self._feasible:
            self._check_feasible(spec)
        self.dispatcher.push(task)

    def _group_gone(self, spec: m.TaskSpec) -> bool:
        if spec.extra is None or not spec.extra.group:
            return False
        group = self.dispatcher.groups.groups.get(spec.extra.group)
        return group is None or group.state is GroupState.REMOVED

    def _fits_node(self, spec: m.TaskSpec) -> bool:
        """Whether the one node it may run on is there, and could ever have room for it."""
        assert spec.extra is not None
        here = spec.extra.node == self.welcome.node
        return here and self.pool.could_ever_fit(resources.decode(spec.resources))

    def _check_feasible(self, spec: m.TaskSpec) -> None:
        """Warn, once for each shape, of a request that can never be met."""
        self._feasible.add(spec.resources)
        if self.pool.could_ever_fit(resources.decode(spec.resources)):
            return
        have = ", ".join(f"{resources.to_float(n):g} {k}" for k, n in self.pool.total.items())
        kind = "The actor" if spec.kind == m.CREATION else "The task"
        text = (
            f"{kind} {spec.name} asks for {resources.describe(spec.resources)}, which this "
            f"session can never give (it has {have}). It waits until it is cancelled."
        )
        self._warn(text)

    def _warn(self, text: str) -> None:
        for client in self.clients.values():
            if client.role == "driver":
                self.out.append(Send(client.id, m.Warn(text)))

    def settled(self, task: Task, value: m.Value) -> None:
        """An argument of `task` has its value."""
        if task.ended:
            return
        if value.error:  # it stays short of this argument, whatever else comes in this turn
            self._failing.append((task, self._inherited(task, value)))
            return
        task.missing -= 1
        if task.missing == 0 and task.state is TaskState.WAITING:
            task.ready = self.clock()
            if task.spec.kind == m.CALL:
                self.actors.arguments_ready(task)
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

    def _arguments(self, task: Task, worker: Worker) -> list[m.Value]:
        values = []
        task.taken = 0
        pinned = []
        for dep in task.spec.deps:
            value = self.store.objects[dep].value
            assert value is not None
            task.taken += value.size or len(value.data)
            if value.offset != m.INLINE:
                self.store.use(worker, value)
                if value.offset >= 0:
                    pinned.append(value.offset)
            values.append(value)
        task.sent = tuple(pinned)
        return values

    def _register(self, client: Client, message: m.RegisterFunction) -> None:
        self.registrants.setdefault(message.key, set()).add(client.id)
        if message.key not in self.functions:
            self.functions[message.key] = message
            for inner in message.contained:
                self.store.incref(inner)

    def _code(self, key: bytes) -> bytes:
        return self.functions[key].payload

    def _dispatched(self, task: Task, worker: Worker) -> None:
        if task.spec.kind == m.CREATION:
            actor = self.actors.actors[task.spec.actor]
            actor.worker = worker
            worker.actor = actor
        if task.consumed:  # by somebody who waits for what comes after the first try's items
            note = m.StreamConsumed(task.spec.id, task.consumed)
            self.out.append(Send(worker.id, note))
        extra = task.spec.extra
        if extra is not None and extra.timeout:
            task.kill_at = self.clock() + extra.timeout
            self._deadlines[task.spec.id] = task
        if self.feed.watchers:
            self.feed.note(task)

    # -- ends ----------------------------------------------------------------------------------

    def _finished(self, worker: Worker, message: m.TaskFinished) -> None:
        task = self.tasks.get(message.task)
        if task is None or task.worker is not worker or message.task not in worker.inflight:
            self.abandon(worker, message.values)
            return
        if message.started:
            task.started = message.started
            task.called = message.called
            task.returned = message.ended
            if task.spec.kind == m.TASK:
                self.dispatcher.took(task, message.ended - message.started)
        status = message.status
        if status == "error" and message.retryable and task.retries and not task.cancelled:
            self.abandon(worker, message.values[1:])
            self.dispatcher.finished(worker, task)
            self.use_retry(task)
            if task.spec.kind == m.CALL:
                self.actors.retry_call(task)
            else:
                self._requeue(task)
            return
        if task.cancelled and self._overruled(task, status):
            self.abandon(worker, message.values)
            record = cancelled(task)
            if worker.actor is not None and worker.actor.options.is_async:  # as if it was struck
                text = f"ray.exceptions.TaskCancelledError: {record.message}"
                record = msgspec.structs.replace(record, text=text, pid=worker.pid)
            self._end(task, TaskEvent.CANCELLED, self._spread(task, record), worker)
        elif status == "ok":
            values = message.values
            if task.spec.returns == m.STREAMING:  # a retry may have made fewer than there are
                values = [self.streams.end_value(task)]
            self._end(task, TaskEvent.SUCCEEDED, values, worker)
        elif status == "cancelled":
            if not message.started:  # it never looked at its arguments
                self._unpin_arguments(task, worker)
            record = cancelled(task)
            if message.values:  # it says where that struck
                told = msgspec.msgpack.decode(message.values[0].data, type=m.ErrorRecord)
                record = _interrupted(record, told)
            event = TaskEvent.CANCELLED
            if task.timed_out:
                event, task.error = TaskEvent.FAILED, record.message
            self._end(task, event, self._spread(task, record), worker)
        elif status == "exit" and worker.actor is not None:
            self.abandon(worker, message.values)
            actor = worker.actor
            self.actors.exited(actor)
            assert actor.death is not None
            if task.ended == 0.0:  # a constructor's ended with its actor
                self.fail(task, actor.death)
        else:
            task.error = message.error
            value, *made = message.values  # and what it made before it failed
            values = made + self._copies(task, value)[len(made) :]
            self._end(task, TaskEvent.FAILED, values, worker)
            if task.spec.kind == m.CREATION:
                record = msgspec.msgpack.decode(value.data, type=m.ErrorRecord)
                self.actors.creation_failed(self.actors.actors[task.spec.actor], record)

    def _overruled(self, task: Task, status: str) -> bool:
        """Whether an actor's call that was to end is held to be cancelled, whatever it made of
        that. One that isn't interrupted, but may ask, can still fail in its own way."""
        spec = task.spec
        if spec.kind != m.CALL or spec.returns == m.STREAMING:
            return False
        return status == "ok" or (
            status == "error" and self.actors.actors[spec.actor].options.is_async
        )

    def fail(self, task: Task, record: m.ErrorRecord) -> None:
        """End a task that will not (any more) run."""
        worker = task.worker
        if not task.error:
            task.error = record.cause_repr or record.message
        event = TaskEvent.CANCELLED if record.kind == "cancelled" else TaskEvent.FAILED
        unsent = task.state is not TaskState.RUNNING
        self._end(task, event, self._spread(task, record), worker)
        if task.spec.kind == m.CALL and unsent:
            self.actors.call_dropped(task)
        elif task.spec.kind == m.CREATION:
            actor = self.actors.actors[task.spec.actor]
            if actor.death is None:
                self.actors.creation_failed(actor, record)

    def _spread(self, task: Task, record: m.ErrorRecord) -> list[m.Value]:
        return self._copies(task, error_value(b"", record))

    def _copies(self, task: Task, error: m.Value) -> list[m.Value]:
        """The same error for each thing the task was to return."""
        spec = task.spec
        if spec.kind == m.CREATION:
            return []
        replace = msgspec.structs.replace
        if spec.returns == m.STREAMING:
            at = task.produced
            self.streams.new_item(task, at)
            task.produced = at + 1
            end = self.streams.end_value(task)
            record = msgspec.msgpack.decode(error.data, type=m.ErrorRecord)
            if record.kind not in ("task", "unreadable"):  # it was not allowed to run to its end
                end = replace(error, id=end.id)
            return [replace(error, id=item_id(spec.id, at)), end]
        count = spec.returns if spec.returns >= 0 else 1
        return [replace(error, id=return_id(spec.id, i + 1)) for i in range(count)]

    def _end(
        self, task: Task, event: TaskEvent, values: list[m.Value], writer: Client | None
    ) -> None:
        """A task's last act: values settle, arguments are let go, the worker moves on."""
        spec = task.spec
        task.move(event)
        task.ended = self.clock()
        del self.tasks[spec.id]
        if self._deadlines:
            self._deadlines.pop(spec.id, None)
        if spec.kind == m.CREATION and event is TaskEvent.SUCCEEDED:
            # its arguments stay: a restart needs them
            assert task.worker is not None
            actor = self.actors.actors[spec.actor]
            self.actors.created(actor)
        large = task.large or task.again
        for value in values:
            task.made += value.size or len(value.data)
            self.store.settle(value.id, value, writer)
            if value.offset != m.INLINE:
                large = True
        if spec.returns == m.STREAMING:
            self.streams.close(task)
        if spec.kind != m.CREATION:
            if large:
                self.lineage.ended(task, values)
            self._let_go(task)
        if spec.parent:
            parent = self.tasks.get(spec.parent)
            if parent is not None and parent.children is not None:
                parent.children.discard(spec.id)
        worker = task.worker
        if worker is not None and spec.id in worker.inflight:
            self._leave_worker(task, worker)
            if spec.extra is not None and spec.extra.max_calls:
                self._count_calls(worker, spec)
        task.children = None
        if self.bars.open and spec.kind == m.TASK:  # an actor may go on with its bars
            self.bars.task_ended(spec.id.hex())
        self.feed.end(task)

    def _leave_worker(self, task: Task, worker: Worker) -> None:
        self.dispatcher.finished(worker, task)
        actor = worker.actor
        if actor is not None and (actor.lines or actor.ending):
            self.actors.call_done(actor)

    def _let_go(self, task: Task) -> None:
        """Drop the references a task held through its arguments."""
        spec = task.spec
        for dep in spec.deps:
            self.store.decref(dep)
        for inner in spec.contained:
            self.store.decref(inner)
        if len(spec.args) > _STRIP:
            task.spec = msgspec.structs.replace(spec, args=b"")

    def forget_creation(self, task: Task) -> None:
        """An actor is dead for good: its constructor's arguments are not needed any more."""
        self._let_go(task)

    def revive(self, task: Task) -> None:
        """Run an actor's creation again."""
        task.state = TaskState.READY
        task.ended = 0.0
        task.worker = None
        self.tasks[task.spec.id] = task

    def use_retry(self, task: Task) -> None:
        """Count a retry and make the task ready. The caller queues it."""
        if task.retries > 0:
            task.retries -= 1
        task.move(TaskEvent.RETRIED)
        task.worker = None
        self.feed.note(task)

    def _requeue(self, task: Task) -> None:
        """A task came back, unstarted or for another try: it is first in its queue, unless
        somebody has asked for its end meanwhile, or its placement group is gone."""
        if task.cancelled:
            self.fail(task, cancelled(task))
        elif self._group_gone(task.spec):
            self.fail(task, _no_group(task))
        elif not self.lineage.holds_up(task):
            self.dispatcher.push(task, front=True)

    def abandon(self, client: Client, values: list[m.Value]) -> None:
        for value in values:
            if value.offset >= 0:
                self.store.abandon(client, value.offset, "")
            elif value.offset == m.ON_DISK:
                self.store.abandon(client, m.ON_DISK, file_of(value))

    def _count_calls(self, worker: Worker, spec: m.TaskSpec) -> None:
        """`max_calls`: the worker leaves after so many calls of one function."""
        assert spec.extra is not None
        served = worker.served.get(spec.function, 0) + 1
        worker.served[spec.function] = served
        if served >= spec.extra.max_calls and worker.actor is None:
            self.dispatcher.retire(worker)
            self.out.append(Send(worker.id, m.Exit("max_calls")))

    def _crashed(self, worker: Worker, tasks: list[Task], reason: str) -> None:
        """A worker died with these tasks. The first was running; the others may have been."""
        for position, task in reversed(list(enumerate(tasks))):
            task.solo = True  # next time nobody shares its fate, nor its blame
            if task.cancelled:
                self.fail(task, cancelled(task))
            elif task.retries:
                if position == 0:
                    self.use_retry(task)
                else:
                    task.move(TaskEvent.RETRIED)
                    task.worker = None
                self._requeue(task)
            else:
                self.fail(
                    task,
                    m.ErrorRecord(
                        "crashed",
                        f"the worker that ran the task {task.spec.name} {reason}",
                        name=task.spec.name,
                        pid=worker.pid,
                        task=task.spec.id,
                        cell=task.spec.cell,
                    ),
                )

    def _setup_failed(self, env: str, why: str) -> None:
        """A worker died before it could serve: don't fork for ever, fail what waits for it."""
        shapes = [s for s in self.dispatcher.shapes.values() if s.env == env]
        for task in [t for s in shapes for t in s.tasks()]:
            spec = task.spec
            text = f"a worker for {spec.name} could not be started: {why}"
            record = m.ErrorRecord(
                "setup", text, name=spec.name, task=spec.id, actor=spec.actor, cell=spec.cell
            )
            if spec.kind == m.CREATION:  # the actor's calls fail for this very reason
                self.actors.bury(self.actors.actors[spec.actor], text, record)
            else:
                self._failing.append((task, record))

    def _forget(self, client: Client, staying: Container[bytes] = ()) -> None:
        """A process is gone, and what ends with it; but not these placement groups."""
        client.connected = False
        self.clients.pop(client.id, None)
        self.feed.unwatch(client.id)
        self.bars.client_gone(client.id)
        self.actors.owner_gone(client)
        if client.role == "driver":
            for group in self.dispatcher.groups.of_owner(client.id):
                if group.id not in staying:
                    self.remove_group(group.id)
        for task in list(self.tasks.values()):
            endless = task.spec.returns == m.STREAMING and task.owner == client.id
            if endless and task.ended == 0.0 and task.stream_dropped < 0 and not task.again:
                if task.spec.kind == m.TASK:  # nobody else can take its items
                    task.stream_dropped = task.consumed
                    self.cancel(task, force=False, recursive=True, patience=PATIENCE)
                else:
                    self.streams.stop(task, task.consumed)
        self.store.drop_client(client)
        self.room.drop_client(client)

    # -- objects -------------------------------------------------------------------------------

    def _put(self, client: Client, message: m.PutObject) -> None:
        value = message.value
        self.store.create(value.id, None, client)
        self.store.settle(value.id, value, client)

    def _unpin(self, client: Client, message: m.Unpin) -> None:
        for offset in message.offsets:
            self.store.blocks.unpin(client, offset)

    def _unpin_arguments(self, task: Task, worker: Worker) -> None:
        """The worker never looked at what it was sent with this task."""
        for offset in task.sent:
            self.store.blocks.unpin(worker, offset)
        task.sent = ()

    def _missing(self, client: Client, message: m.Missing) -> None:
        """The file of an object can't be read. It may have moved since it was sent."""
        entry = self.store.objects.get(message.id)
        value = entry.value if entry is not None else None
        if value is not None and value.offset == m.ON_DISK and file_of(value) == message.file:
            self.lineage.lost(message.id)
        self.store.want(client, [message.id])

    def _large_gone(self, object_id: bytes) -> None:
        self.lineage.large_gone(object_id)

    def _handles_gone(self, actor_id: bytes) -> None:
        """Later: an actor's end drops references, perhaps other actors' last handles."""
        self._unheld.append(actor_id)

    # -- cancellation --------------------------------------------------------------------------

    def _cancel(self, client: Client, message: m.Cancel) -> None:
        task = self.tasks.get(message.object[:24])
        if task is not None:
            self.cancel(task, message.force, message.recursive)

    def cancel(self, task: Task, force: bool, recursive: bool, patience: float = 0.0) -> None:
        """Ask a task to end. `patience` > 0: seconds until a running one is killed."""
        stack = [task]
        while stack:
            task = stack.pop()
            if recursive and task.children:
                stack.extend(t for t in map(self.tasks.get, task.children) if t is not None)
            task.cancelled = True
            if task.state is not TaskState.RUNNING:
                if task.spec.kind != m.CREATION:
                    self.fail(task, cancelled(task))
                continue
            worker = task.worker
            assert worker is not None
            if task.spec.kind == m.CREATION:
                continue
            wait = patience
            if force and task.spec.kind == m.TASK:
                if worker.first is task:
                    self.kill(worker)
                    continue
                wait = PATIENCE  # what runs before it is not to be killed
            spec = task.spec
            interrupt = spec.kind == m.TASK or spec.returns == m.STREAMING or patience > 0
            self.out.append(Send(worker.id, m.CancelTask(spec.id, interrupt)))
            self.out.append(SignalWorker(worker.id, POKE))
            if wait and task.spec.kind == m.TASK:
                task.kill_at = self.clock() + wait
                self._deadlines[task.spec.id] = task

    def _cancel_cell(self, client: Client, message: m.CancelCell) -> None:
        if message.everything:
            tasks = departure.caused_by(self, client)
        else:
            tasks = [t for t in self.tasks.values() if t.spec.cell == message.cell]
            made_by = [self.tasks.get(object_id[:24]) for object_id in message.objects]
            tasks += [t for t in made_by if t is not None and t.spec.cell != message.cell]
        tasks = [t for t in tasks if t.spec.kind != m.CREATION]
        if message.spare:
            tasks = [t for t in tasks if t.spec.cell not in self.background]
        for task in tasks:
            if task.ended == 0.0:
                self.cancel(task, force=False, recursive=True, patience=PATIENCE)
        self.out.append(Send(client.id, m.Reply(message.request, encode_one(len(tasks)))))

    def _resize(self, client: Client, message: m.Resize) -> None:
        """Change how many CPUs there are. What can never fit any more is warned of once more."""
        if not 1 <= message.cpus <= MOST_CPUS:
            error = f"a session has from 1 to {MOST_CPUS:,} CPUs, not {message.cpus}"
            self.out.append(Send(client.id, m.Reply(message.request, error=error)))
            return
        self.dispatcher.resize(message.cpus)
        self._feasible.clear()
        for task in [t for t in self.tasks.values() if t.state is TaskState.READY]:
            if task.spec.resources not in self._feasible and task.spec.kind != m.CALL:
                self._check_feasible(task.spec)
        self.out.append(Send(client.id, m.Reply(message.request, encode_one(message.cpus))))

    # -- workers' words ------------------------------------------------------------------------

    def _blocked(self, worker: Worker, message: m.Blocked) -> None:
        self._returned(worker, message.returned)
        self.dispatcher.blocked(worker, True)

    def _returned(self, worker: Worker, tasks: list[bytes]) -> None:
        """Tasks come back unstarted."""
        for task_id in reversed(tasks):
            task = worker.inflight.pop(task_id, None)
            if task is None:
                continue
            self._unpin_arguments(task, worker)
            task.move(TaskEvent.RETURNED)
            task.worker = None
            task.attempt -= 1
            self._requeue(task)
        if len(worker.inflight) < 2:
            self.dispatcher.pipelined.pop(worker, None)
            worker.recalled = False
        if not worker.inflight and worker.actor is None:
            self.dispatcher.end_lease(worker)

    def _kill_actor(self, client: Client, message: m.KillActor) -> None:
        actor = self.actors.actors.get(message.actor)
        if actor is not None:
            self.actors.kill(actor, message.no_restart)

    def _actor_exited(self, worker: Worker, message: m.ActorExited) -> None:
        if worker.actor is not None:
            self.actors.exited(worker.actor, message.reason)

    def _wrote(self, worker: Worker, message: m.Wrote) -> None:
        logged = worker.logged
        logged["stdout"] = max(logged["stdout"], message.out)
        logged["stderr"] = max(logged["stderr"], message.err)
        if not message.lines:
            return
        for client in self.clients.values():
            if client.role == "driver":
                self.out.append(Send(client.id, m.Logs(message.lines)))

    def _bars_moved(self, client: Client, message: m.Bars) -> None:
        lives_on = not isinstance(client, Worker) or client.actor is not None
        self.bars.moved(
            client.id,
            message.bars,
            lambda bar: lives_on or not bar.task or bytes.fromhex(bar.task) in self.tasks,
        )

    def _tell_bars(self, bars: list[BarInfo]) -> None:
        for client in self.clients.values():
            if client.role == "driver":
                self.out.append(Send(client.id, m.BarsMoved(bars)))

    def last_words(self, worker_id: bytes, texts: dict[str, str]) -> list[Instruction]:
        """What a worker had written and not told of when it died, by stream. Before `worker_died`,
        for it belongs to the task that ran."""
        worker = self.dispatcher.workers[worker_id]
        spec = worker.first.spec if worker.first is not None else None
        whose = ("", "", "") if spec is None else (spec.cell, spec.id.hex(), spec.name)
        lines = [LogLine(*whose, str(worker.pid), stream, text) for stream, text in texts.items()]
        self._wrote(worker, m.Wrote(lines))
        return self._settle_turn()

    def _reload(self, client: Client, message: m.ReloadModules) -> None:
        self._reloaded.update(dict.fromkeys(message.names))
        for worker in self.dispatcher.workers.values():
            if worker.connected and worker.actor is None:
                self.out.append(Send(worker.id, m.Reload(message.names)))

    # -- questions -----------------------------------------------------------------------------

    def _query(self, client: Client, message: m.Query) -> None:
        if message.what == "tasks" and client.id in self.feed.brief:
            # nothing that the answer holds may come again as a number
            self.out.extend(Send(each, batch) for each, batch in self.feed.flush())
        try:
            data = encode_one(queries.answer(self, client, message.what, message.filters))
            reply = m.Reply(message.request, data)
        except queries.BadQuery as error:
            reply = m.Reply(message.request, error=str(error))
        self.out.append(Send(client.id, reply))

    def _subscribe(self, client: Client, message: m.Subscribe) -> None:
        if message.on:
            told = self.feed.watch(client.id, self.tasks.values(), message.brief)
            self.out.extend(Send(each, batch) for each, batch in told)
        else:
            self.feed.unwatch(client.id)

    # -- placement groups ----------------------------------------------------------------------

    def _create_group(self, client: Client, message: m.CreateGroup) -> None:
        groups = self.dispatcher.groups
        error = ""
        if message.name and groups.named(message.name) is not None:
            error = f"there is a placement group of the name {message.name!r} already"
        else:
            never = groups.create(message, client.id)
            if never:
                self._warn(f"{never}. It stays pending until it is removed.")
        self.out.append(Send(client.id, m.Reply(message.request, error=error)))

    def _remove_group(self, client: Client, message: m.RemoveGroup) -> None:
        self.remove_group(message.group)

    def remove_group(self, group_id: bytes) -> None:
        """Free what a group reserved, and end what runs in it."""
        group = self.dispatcher.groups.remove(group_id)
        if group is None:
            return
        reason = "the actor died because its placement group was removed"
        tasks, workers = self.dispatcher.drop_group(group)
        for task in tasks:
            self.fail(task, _no_group(task))
        for worker in workers:
            if worker.actor is not None:
                self.actors.bury(worker.actor, reason)
            for task in worker.inflight.values():
                task.retries = 0
            self.kill(worker)

    def actor_of(self, actor_id: bytes) -> Actor | None:
        return self.actors.actors.get(actor_id)


def _interrupted(record: m.ErrorRecord, told: m.ErrorRecord) -> m.ErrorRecord:
    """Why a task was ended, with the place where that struck, as its worker tells."""
    text = told.text
    if record.kind == "timeout":
        place = text.rpartition("ray.exceptions.")[0]
        text = f"{place}ray.exceptions.GetTimeoutError: {record.message}"
    return msgspec.structs.replace(told, kind=record.kind, message=record.message, text=text)


def _no_group(task: Task) -> m.ErrorRecord:
    return m.ErrorRecord(
        "no_group",
        f"the placement group of {task.spec.name} was removed",
        name=task.spec.name,
        task=task.spec.id,
        cell=task.spec.cell,
    )


def _unschedulable(task: Task) -> m.ErrorRecord:
    return m.ErrorRecord(
        "unschedulable",
        "the node specified via NodeAffinitySchedulingStrategy doesn't exist or can never have "
        "room for it, and soft=False was specified",
        name=task.spec.name,
        task=task.spec.id,
        actor=task.spec.actor,
        cell=task.spec.cell,
    )


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
