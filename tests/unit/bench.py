"""The head's shell for a scheduler under test: a session without processes.

Carries out instructions among the processes of world.py, checks after each turn that the scheduler
is sane and nothing is given out twice, and at the end that nothing waits or is left for ever.
"""

from __future__ import annotations

import signal
from collections import Counter
from typing import Any

import msgspec

from raykernel.runtime import messages as m
from raykernel.runtime import resources
from raykernel.runtime.allocator import PAGE
from raykernel.runtime.ids import IdFactory, handle_id, return_id
from raykernel.runtime.instructions import (
    Discard,
    Instruction,
    Send,
    SignalWorker,
    Spill,
    StartWorker,
    Unlink,
)
from raykernel.runtime.invariants import validate
from raykernel.runtime.records import ActorState, Task
from raykernel.runtime.scheduler import Scheduler
from raykernel.runtime.store import file_of

from .world import CLASS, QUICK, SLOW, Arena, Log, Proc, Run, WorkerProc

TOTAL = {"CPU": 2.0, "GPU": 2.0, "x": 1.0}
CAPACITY = 12 * 4096  # room for four large objects
INFEASIBLE = resources.encode({"CPU": 3})


class Bench:
    """See the module's comment."""

    def set_up(self, quick: bool, spills: bool) -> None:
        self.now = 1000.0
        welcome = m.Welcome("name", "/", "node", "/arena", CAPACITY, "job", TOTAL, "ns")
        if spills:
            welcome = msgspec.structs.replace(welcome, spill="/spill")
        self.scheduler = Scheduler(
            clock=lambda: self.now,
            ids=IdFactory(b"head............"),
            total=TOTAL,
            welcome=welcome,
            keep_warm=4 * 4096,
        )
        self.arena = Arena()
        self.log = Log()
        self.spills: dict[str, Spill] = {}  # not carried out yet
        self.drivers: list[Proc] = []
        self.planned: dict[bytes, WorkerProc] = {}
        self.workers: dict[bytes, WorkerProc] = {}
        self.doomed: dict[bytes, int] = {}  # workers on whom a SIGKILL is on its way, or has struck
        self.sent: dict[bytes, dict[bytes, m.TaskSpec]] = {}  # by worker, as far as the head knows
        self.overdrawn: set[bytes] = set()  # workers whose task was blocked
        self.specs: dict[bytes, m.TaskSpec] = {}
        self.actors: list[m.TaskSpec] = []
        self.ended: Counter[bytes] = Counter()
        self.names = 0
        self._note_end = self.scheduler.feed.end
        self.scheduler.feed.end = self._ended  # type: ignore[method-assign]
        self.connect()
        if quick:
            self.scheduler.dispatcher.mean[QUICK] = 0.0001
        self.obey(self.scheduler.start_workers(2))

    def connect(self) -> None:
        self.names += 1
        driver = Proc(self.arena, b"driver%04d" % self.names)
        self.drivers.append(driver)
        self.obey(self.scheduler.hello(m.Hello("driver", driver.id, 1)))
        driver.say(*(m.RegisterFunction(k, k.decode(), b"code") for k in (QUICK, SLOW, CLASS)))
        self.deliver(driver, 99)

    # -- the shell's part ----------------------------------------------------------------------

    def obey(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            if isinstance(instruction, Send):
                self._send(instruction.to, instruction.message)
            elif isinstance(instruction, StartWorker):
                worker = WorkerProc(self.arena, instruction.worker, self.log)
                self.planned[worker.id] = worker
            elif isinstance(instruction, SignalWorker):
                if instruction.number == signal.SIGKILL:
                    self.doomed.setdefault(instruction.worker, -9)
                elif instruction.worker in self.workers:
                    self.workers[instruction.worker].signal(instruction.number)
            elif isinstance(instruction, Discard):
                self.arena.discard(instruction.offset, instruction.size)
            elif isinstance(instruction, Spill):
                self.spills[instruction.file] = instruction
            elif isinstance(instruction, Unlink):
                assert instruction.file not in self.spills, "a file is removed, then written"
                self.arena.unlink(instruction.file)
            else:
                raise AssertionError(f"{instruction}: there is a driver")
        validate(self.scheduler)
        self.nothing_is_over_committed()

    def _ended(self, task: Task) -> None:
        self.ended[task.spec.id] += 1
        again = task.spec.kind == m.CREATION or task.again
        assert again or self.ended[task.spec.id] == 1, "a task ended twice"
        self._note_end(task)

    def _send(self, to: bytes, message: Any) -> None:
        proc = next((p for p in self.procs() if p.id == to), None)
        if isinstance(message, m.RunTask):
            assert to in self.workers, "a task is sent to nobody"
            tasks = self.sent.setdefault(to, {})
            if not tasks:
                self.overdrawn.discard(to)
            tasks[message.spec.id] = message.spec
        if proc is not None and proc.alive:
            proc.told(message)

    def procs(self) -> list[Proc]:
        return [*self.drivers, *self.workers.values()]

    def living(self) -> list[WorkerProc]:
        return [w for w in self.workers.values() if w.alive]

    def deliver(self, proc: Proc, count: int) -> bool:
        """The head hears what a process said."""
        messages = [proc.outbox.popleft() for _ in range(min(count, len(proc.outbox)))]
        if not messages:
            return False
        tasks = self.sent.get(proc.id, {})
        for message in messages:
            if isinstance(message, m.TaskFinished):
                tasks.pop(message.task, None)
            elif isinstance(message, m.TasksReturned):
                for task in message.tasks:
                    tasks.pop(task, None)
            elif isinstance(message, m.Blocked):
                for task in message.returned:
                    tasks.pop(task, None)
                self.overdrawn.add(proc.id)
            elif isinstance(message, m.TaskSpec):
                self.specs[message.id] = message
        self.obey(self.scheduler.handle(proc.id, messages))
        return True

    def write_file(self, file: str, fails: bool) -> None:
        """The spilling thread has done something."""
        spill = self.spills.pop(file)
        if fails:
            self.obey(self.scheduler.spill_failed(file, "No space left on device", True))
        else:
            name = self.arena.copy(spill.offset, spill.size, file)
            self.obey(self.scheduler.spilled(file, name))

    def lose_file(self, name: str) -> None:
        """Somebody removes a file of the spill folder."""
        object_id = self.arena.disk.pop(name)
        entry = self.scheduler.store.objects.get(object_id)
        if entry is None or entry.task is None or entry.task.retries == 0:
            return
        spec = entry.task.spec
        simple = spec.kind == m.TASK and spec.returns == 1
        if simple and not spec.deps and not spec.contained:
            self.arena.repeatable.add(object_id)

    def bury(self, worker: WorkerProc, status: int, heard: int, eof: bool) -> None:
        """A worker's process ended: its last words, the end of its connection, its death."""
        worker.die()
        self.deliver(worker, heard)
        worker.outbox.clear()
        if eof:
            self.obey(self.scheduler.disconnected(worker.id))
        self.doomed.pop(worker.id, None)
        self.workers.pop(worker.id, None)
        self.sent.pop(worker.id, None)
        self.obey(self.scheduler.worker_died(worker.id, status))

    def arrive(self, worker_id: bytes) -> None:
        """A planned worker connects."""
        worker = self.workers[worker_id] = self.planned.pop(worker_id)
        self.obey(self.scheduler.hello(m.Hello("worker", worker.id, 1)))

    def _strike(self, worker_id: bytes, heard: int, eof: bool) -> None:
        self.doomed.pop(worker_id)
        if worker_id in self.planned:
            del self.planned[worker_id]
            self.obey(self.scheduler.worker_died(worker_id, -9))
        elif worker_id in self.workers:
            self.bury(self.workers[worker_id], -9, heard, eof)

    def _read(self, proc: Proc) -> None:
        if not isinstance(proc, WorkerProc) or proc.attentive:
            proc.read()
            if isinstance(proc, WorkerProc):
                proc.resume()

    def busy(self) -> list[WorkerProc]:
        """Workers that run something and don't wait."""
        return [w for w in self.living() if w.running and w.blocked is None]

    def waiting(self) -> list[WorkerProc]:
        return [w for w in self.living() if w.blocked is not None]

    def able_to_block(self) -> list[WorkerProc]:
        return [w for w in self.busy() if not w.writing and not w.concurrent]

    def going(self) -> list[WorkerProc]:
        return [w for w in self.living() if w.leaving and not w.running and not w.writing]

    def yielding(self) -> list[tuple[WorkerProc, Run]]:
        runs = [(w, r) for w in self.busy() for r in w.running.values() if not r.finishing]
        return [(w, r) for w, r in runs if r.spec.returns == m.STREAMING and not r.cancelled]

    # -- what must hold ------------------------------------------------------------------------

    def nothing_is_over_committed(self) -> None:
        held: Counter[str] = Counter()
        for worker_id, tasks in self.sent.items():
            needs: Counter[str] = Counter()
            for spec in tasks.values():
                if spec.kind != m.CALL:
                    needs |= Counter(resources.decode(spec.resources))
            if worker_id in self.overdrawn:
                needs.pop("CPU", None)
            held += needs
        for name, units in held.items():
            assert units <= resources.to_units(TOTAL[name]), f"too much {name} is given out"

    # -- the end -------------------------------------------------------------------------------

    def finish(self) -> None:
        """All end what they have; then nothing may be waiting, and nothing left."""
        self.drivers[0].say(m.Resize(0, int(TOTAL["CPU"])))
        self.drain()
        while self.scheduler.tasks and self.help_out():
            self.drain()
        assert not self.scheduler.tasks, "not all tasks have ended"
        assert set(self.specs) == set(self.ended), "a task was lost"
        for proc in self.procs():
            streams = {s.task for s in proc.streams.values()}
            missing = {i for i in proc.wanted if i[:24] not in streams}
            known = {i: self.scheduler.store.objects.get(i) for i in missing}
            assert not missing, f"what somebody waits for has not come: {known}"
        for proc in [*self.drivers, *self.living()]:
            proc.drop_all()
        self.drain()
        for actor_id in self.scheduler.actors.actors:  # the detached, and who hold each other
            if handle_id(actor_id) in self.scheduler.store.objects:
                self.drivers[0].say(m.KillActor(actor_id))
        self.drain()
        self.nothing_is_left()

    def help_out(self) -> bool:
        """Somebody takes back what can never be, or ends the actors that keep it from being."""
        driver = self.drivers[0]
        hopeless = [t for t in self.scheduler.tasks.values() if t.spec.resources == INFEASIBLE]
        for task in hopeless:
            if task.spec.kind == m.CREATION:
                driver.say(m.KillActor(task.spec.actor))
            else:
                driver.say(m.Cancel(return_id(task.spec.id, 1)))
        actors = [a for a in self.scheduler.actors.actors.values() if a.state == ActorState.ALIVE]
        if not hopeless:
            driver.say(*(m.KillActor(actor.id) for actor in actors))
        return bool(hopeless or actors)

    def drain(self) -> None:
        """Let everybody finish what they have."""
        for _ in range(1000):
            self.now += 0.05
            self.obey(self.scheduler.tick(self.now))
            busy = False
            for worker_id in list(self.planned):
                self.arrive(worker_id)
                busy = True
            for worker_id in list(self.doomed):
                self._strike(worker_id, 99, True)
                busy = True
            for file in list(self.spills):
                self.write_file(file, fails=False)
                busy = True
            busy |= bool(self.scheduler.room.waiting)
            for proc in [*self.drivers, *self.living()]:
                busy |= bool(proc.inbox)
                self._read(proc)
                busy |= self.deliver(proc, 1000)
            for worker in self.living():
                busy |= self._finish_all(worker)
            if not busy:
                return
        raise AssertionError("it goes on for ever")

    def _finish_all(self, worker: WorkerProc) -> bool:
        busy = worker.begin()
        worker.resume()
        if worker.blocked is not None:
            if not any(p.inbox or p.outbox for p in self.procs()):
                worker.resume(give_up=True)  # it waits for itself, perhaps
            return True
        for run in list(worker.running.values()):
            if not run.finishing:
                worker.finish(run, "ok", False, ())
                busy = True
        if worker.leaving and not worker.running and not worker.writing:
            self.bury(worker, 0, len(worker.outbox), True)
            busy = True
        return busy

    def nothing_is_left(self) -> None:
        scheduler = self.scheduler
        for worker in self.living():
            assert worker.actor is None, "an actor outlives its handles"
            assert not worker.queue
        store = scheduler.store
        rings = self.rings()
        memory = sum(-(-v.size // PAGE) * PAGE for v in rings if v.offset >= 0)
        assert store.blocks.allocator.used == memory, "memory outlives its objects"
        assert not any(b.pins for b in store.blocks.blocks.values())
        files = {file_of(v) for v in rings if v.offset == m.ON_DISK}
        assert set(store.disk) == files, "files outlive their objects"
        assert set(self.arena.disk) <= files, "files outlive their objects on disk"
        assert not self.arena.views
        assert not scheduler.actors.names
        for name, total in scheduler.pool.total.items():
            assert scheduler.pool.free[name] == total, f"{name} is not all free"
        assert scheduler.pool.cards == {0: resources.UNIT, 1: resources.UNIT}
        for client in scheduler.clients.values():
            assert not client.held
            assert not client.pins
            assert not client.blocks
            assert not client.files
            assert client.actors == 0

    def rings(self) -> list[m.Value]:
        """What is left of objects: those that contain each other in a ring, and what hangs on them.
        Counting references can't free them; nothing else may keep an object."""
        objects = self.scheduler.store.objects
        values = [e.value for e in objects.values() if e.value is not None]
        counted = Counter(inner for v in values for inner in v.contained)
        for record in self.scheduler.lineage.records.values():
            counted.update(record.held)
        for object_id, entry in objects.items():
            assert entry.count == counted[object_id], "objects outlive their references"
        return values
