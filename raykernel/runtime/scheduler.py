"""The head's mind: every decision of a session, without a socket, a clock or a process. Sans-IO.

`handle(client, messages)` takes what one process said and returns what is to be done about it;
`worker_died`, `disconnected` and `tick` take what the shell noticed by itself. Time and ids are
handed in. Called from one thread.

The parts, to which the table of handlers leads:

    submission.py    from a task's submission to its worker
    endings.py       results, errors, retries, crashes
    cancellation.py  ending tasks before they are done
    dispatch.py      workers, leases, ready queues
    capping.py       how many tasks of one kind may be begun at once
    capacity.py      what there is to give; groups.py: placement groups
    actors.py        actors and their lines of calls
    streams.py       what generators yield
    store.py         objects: values, references, waiters; blocks.py: their memory
    spill.py         room for new objects, and what moves to disk for it
    lineage.py       how to make lost objects again
    named.py         named objects
    peers.py         processes that come and go
    departure.py     what a driver that leaves takes with it
    life.py          when the session ends by itself
    reports.py       questions, output, warnings
    feed.py          what the views are told; bars.py: progress bars that tasks move

A turn is one call from the shell: what it brings is handled, then `_settle_turn` passes failures
on, sends ready tasks and delivers what was waited for.

What always holds (invariants.py checks it in the tests): leases never hold more than there is,
except for CPUs of tasks that were blocked; each task ends exactly once; no count is negative; no
ready task waits while a worker that fits idles.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from . import messages as m
from . import resources
from .actors import ActorTable
from .allocator import Allocator
from .bars import BarTable
from .cancellation import Cancellation
from .capacity import Capacity
from .dispatch import Dispatcher
from .endings import Endings
from .feed import Feed
from .ids import IdFactory
from .instructions import Instruction, Send, Stop
from .life import Life
from .lineage import Lineage
from .named import NamedObjects
from .peers import Peers
from .records import Client, Task, Worker
from .reports import Reports
from .spill import Room
from .store import ObjectTable, file_of
from .streams import Streams
from .submission import Submission

_SOON = 0.02  # seconds; with a tick due by then anyway, nobody asks the feed in each turn


class Scheduler:
    """See the head comment. Its parts append to `out`; each turn's end empties it."""

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
        self.failing: deque[tuple[Task, m.ErrorRecord]] = deque()  # at the turn's end
        self.unheld: deque[bytes] = deque()  # actors whose last handle is gone: at the turn's end
        self.deadlines: dict[bytes, Task] = {}  # tasks to be ended when their time is up
        self.background: set[str] = set()  # cells whose work nobody's leaving ends
        self.life = Life(ttl)
        self.peers = Peers(self, prestart)
        self.cancellation = Cancellation(self)
        self.capacity = Capacity(self)
        self.reports = Reports(self)
        self.feed = Feed(clock)
        self.bars = BarTable(self.reports.tell_bars)
        self.lineage = Lineage(self)
        self.store = ObjectTable(
            Allocator(welcome.capacity, keep_warm), self.out, self.unheld.append,
            self.lineage.large_gone,
        )  # fmt: skip
        self.submission = Submission(self)
        self.store.settled = self.submission.settled
        self.room = Room(self, bool(welcome.spill))
        units = {name: resources.to_units(n) for name, n in total.items()}
        self.pool = resources.Pool(units)
        self.dispatcher = Dispatcher(
            self.pool, self.out, clock, ids.task, self.submission.arguments,
            self.submission.code, self.submission.dispatched,
        )  # fmt: skip
        self.dispatcher.spare = prestart > 0
        self.endings = Endings(self)
        self.actors = ActorTable(self, self.out)
        self.streams = Streams(self)
        self.named = NamedObjects(self.store)
        self._handlers: dict[type, Callable[[Any, Any], None]] = {
            m.TaskSpec: self.submission.submit,
            m.TaskFinished: self.endings.finished,
            m.Want: lambda c, msg: self.store.want(c, msg.ids, msg.look),
            m.Release: lambda c, msg: self.store.release(c, msg.ids),
            m.AddRef: lambda c, msg: self.store.hold(c, msg.ids),
            m.PutObject: self._put,
            m.Blocked: self.peers.blocked,
            m.Unblocked: lambda c, msg: self.dispatcher.blocked(c, False),
            m.TasksReturned: lambda c, msg: self.peers.returned(c, msg.tasks),
            m.RegisterFunction: self.submission.register,
            m.ForgetFunction: self.submission.forget,
            m.Unpin: self._unpin,
            m.Allocate: self.room.allocate,
            m.Abandon: lambda c, msg: self.store.abandon(c, msg.offset, msg.file),
            m.LetGone: self.room.let_gone,
            m.Missing: self._missing,
            m.Cancel: self.cancellation.asked,
            m.CancelCell: self.cancellation.cancel_cell,
            m.KillActor: self._kill_actor,
            m.Resize: self.capacity.resize,
            m.ActorExited: self._actor_exited,
            m.Query: self.reports.query,
            m.Subscribe: self.reports.subscribe,
            m.Yielded: self.streams.yielded,
            m.Consumed: self.streams.consumed,
            m.DropStream: self.streams.drop,
            m.Wrote: self.reports.wrote,
            m.Bars: self.reports.bars_moved,
            m.ReloadModules: self.reports.reload,
            m.CreateGroup: self.capacity.create_group,
            m.RemoveGroup: lambda c, msg: self.capacity.remove_group(msg.group),
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
        self.peers.hello(hello)
        return self._settle_turn()

    def disconnected(self, client_id: bytes) -> list[Instruction]:
        """A connection ended."""
        self.peers.disconnected(client_id)
        return self._settle_turn()

    def worker_died(self, worker_id: bytes, status: int) -> list[Instruction]:
        """A worker's process has ended, and all it had sent was handled."""
        self.peers.worker_died(worker_id, status)
        return self._settle_turn()

    def last_words(self, worker_id: bytes, texts: dict[str, str]) -> list[Instruction]:
        """What a worker had written and not told of when it died, by stream. Before `worker_died`,
        for it belongs to the task that ran."""
        self.reports.last_words(worker_id, texts)
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
        self.cancellation.due(now)
        self.submission.sweep(now)
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
        if self.feed.watchers and (soonest is None or soonest > _SOON):
            told = self.feed.next_due(self.clock())
            if told is not None and (soonest is None or told < soonest):
                soonest = told
        if (
            self.deadlines
            or self.cancellation.told
            or self.life.idle_since
            or self.room.waiting
            or self.submission.unclaimed
        ):
            now = self.clock()
            times = [soonest, self.life.left_to_live(now)]
            times += [self.room.next_due(now), self.submission.next_sweep(now)]
            times.append(self.cancellation.next_due(now))
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

    # -- a turn's end --------------------------------------------------------------------------

    def _settle_turn(self) -> list[Instruction]:
        """Pass failures on, send ready tasks and waited-for objects; the instructions so far."""
        while self.failing or self.unheld:
            while self.failing:
                task, record = self.failing.popleft()
                if task.ended == 0.0:
                    self.endings.fail(task, record)
            if self.unheld:
                self.actors.handles_gone(self.unheld.popleft())
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

    # -- what is nobody else's -----------------------------------------------------------------

    def _put(self, client: Client, message: m.PutObject) -> None:
        value = message.value
        self.store.create(value.id, None, client)
        self.store.settle(value.id, value, client)

    def _unpin(self, client: Client, message: m.Unpin) -> None:
        for offset in message.offsets:
            self.store.blocks.unpin(client, offset)

    def _missing(self, client: Client, message: m.Missing) -> None:
        """The file of an object can't be read. It may have moved since it was sent."""
        entry = self.store.objects.get(message.id)
        value = entry.value if entry is not None else None
        if value is not None and value.offset == m.ON_DISK and file_of(value) == message.file:
            self.lineage.lost(message.id)
        self.store.want(client, [message.id])

    def _kill_actor(self, client: Client, message: m.KillActor) -> None:
        actor = self.actors.actors.get(message.actor)
        if actor is not None:
            self.actors.kill(actor, message.no_restart)

    def _actor_exited(self, worker: Worker, message: m.ActorExited) -> None:
        if worker.actor is not None:
            self.actors.exited(worker.actor, message.reason)
