"""A scheduler on the bench: a clock that the test owns, and processes that say what they are told.

    session = Session(cpus=1)
    worker = session.worker()
    task = session.spec()
    assert session.driver(task) == [Send(worker.id, RunTask(task, code=CODE, attempt=1))]

Every event is followed by `invariants.validate`, so each test checks the invariants on its way.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

from raykernel.runtime import messages as m
from raykernel.runtime import resources
from raykernel.runtime.ids import IdFactory, item_id, return_id
from raykernel.runtime.instructions import Instruction, Send, SignalWorker, StartWorker
from raykernel.runtime.invariants import validate
from raykernel.runtime.scheduler import Scheduler

FUNCTION = b"function"
OTHER = b"other function"
CODE = b"code of the function"
CLASS = b"class"
CLASS_CODE = b"code of the class"
ONE_CPU = resources.encode({"CPU": 1})
MIB = 2**20
LARGE = MIB  # a value of this size lies in the arena

M = TypeVar("M")


class Process:
    """A connected client. Calling it sends messages; the scheduler's instructions come back."""

    def __init__(self, session: Session, client_id: bytes) -> None:
        self.session = session
        self.id = client_id

    def __call__(self, *messages: Any) -> list[Instruction]:
        return self.session.handle(self.id, *messages)

    def __repr__(self) -> str:
        return f"Process({self.id!r})"


class Session:
    """A scheduler, its clock, a driver that has registered a function and a class."""

    def __init__(
        self,
        cpus: float = 2,
        capacity: int = 64 * MIB,
        keep_warm: int = 256 * MIB,
        workers: int = 0,
        ttl: float = 0.0,
        prestart: int = 0,
        **others: float,
    ) -> None:
        self.now = 1000.0
        self.ids = IdFactory(b"driver's prefix.")
        total = {"CPU": cpus, **others}
        self.welcome = m.Welcome("name", "/folder", "node", "/arena", capacity, "job", total, "ns")
        self.scheduler = Scheduler(
            clock=lambda: self.now,
            ids=IdFactory(b"workers' prefix."),
            total=total,
            welcome=self.welcome,
            keep_warm=keep_warm,
            ttl=ttl,
            prestart=prestart,
        )
        self.driver = self.connect(b"driver")
        self.driver(
            m.RegisterFunction(FUNCTION, "f", CODE),
            m.RegisterFunction(OTHER, "g", CODE),
            m.RegisterFunction(CLASS, "A", CLASS_CODE),
        )
        self.workers = [self.worker() for _ in range(workers)]

    # -- processes -----------------------------------------------------------------------------

    def connect(self, name: bytes, role: str = "driver") -> Process:
        assert self.scheduler.hello(m.Hello(role, name, 1)) == [Send(name, self.welcome)]
        return Process(self, name)

    def start(self) -> bytes:
        """Have the scheduler plan a worker; its id."""
        (instruction,) = self.scheduler.start_workers(1)
        assert isinstance(instruction, StartWorker)
        return instruction.worker

    def arrive(self, worker_id: bytes, pid: int = 4711) -> list[Instruction]:
        """A planned worker connects. What follows its welcome."""
        out = self.scheduler.hello(m.Hello("worker", worker_id, pid))
        validate(self.scheduler)
        assert out[0] == Send(worker_id, self.welcome)
        return out[1:]

    def worker(self) -> Process:
        """A connected, idle worker."""
        worker_id = self.start()
        assert self.arrive(worker_id) == []
        return Process(self, worker_id)

    def handle(self, client_id: bytes, *messages: Any) -> list[Instruction]:
        out = self.scheduler.handle(client_id, list(messages))
        validate(self.scheduler)
        return out

    def die(self, worker: Process, status: int = -9) -> list[Instruction]:
        out = self.scheduler.worker_died(worker.id, status)
        validate(self.scheduler)
        return out

    def leave(self, client: Process) -> list[Instruction]:
        out = self.scheduler.disconnected(client.id)
        validate(self.scheduler)
        return out

    def tick(self, seconds: float = 0.0) -> list[Instruction]:
        """Let time pass."""
        self.now += seconds
        out = self.scheduler.tick(self.now)
        validate(self.scheduler)
        return out

    # -- things to say -------------------------------------------------------------------------

    def spec(self, **fields: Any) -> m.TaskSpec:
        """A task that needs one CPU."""
        fields = {
            "id": self.ids.task(), "function": FUNCTION, "name": "f", "resources": ONE_CPU,
            **fields,
        }  # fmt: skip
        return m.TaskSpec(**fields)

    def actor(self, needs: dict[str, float] | None = None, **fields: Any) -> m.TaskSpec:
        """An actor's creation; fields of ActorOptions and of TaskSpec. Placed for free."""
        names = {f.name for f in msgspec.structs.fields(m.ActorOptions)}
        options = {k: fields.pop(k) for k in list(fields) if k in names}
        extra = m.TaskExtra(actor=m.ActorOptions(class_name="A", **options))
        return self.spec(
            function=CLASS, name="A", returns=0, kind=m.CREATION, actor=self.ids.actor(),
            resources=resources.encode(needs or {}), extra=extra, **fields,
        )  # fmt: skip

    def call(self, creation: m.TaskSpec, **fields: Any) -> m.TaskSpec:
        """A call of an actor's method."""
        return self.spec(
            **{
                "function": b"", "name": "A.m", "resources": "", "kind": m.CALL,
                "actor": creation.actor, "method": "m", **fields,
            }
        )  # fmt: skip

    def live_actor(self, worker: Process, **fields: Any) -> m.TaskSpec:
        """An actor whose constructor has run on `worker`."""
        creation = self.actor(**fields)
        assert sent(self.driver(creation), worker) == [run(creation, CLASS_CODE)]
        assert worker(done(creation)) == []
        return creation

    # -- looking -------------------------------------------------------------------------------

    @property
    def free(self) -> dict[str, float]:
        """What of the resources is free."""
        return {k: resources.to_float(n) for k, n in self.scheduler.pool.free.items()}

    @property
    def objects(self) -> int:
        return len(self.scheduler.store.objects)

    @property
    def used(self) -> int:
        """Bytes of the arena in use."""
        return self.scheduler.store.blocks.allocator.used


def ref(task: m.TaskSpec, index: int = 1) -> bytes:
    """The id of a task's return value."""
    return return_id(task.id, index)


def item(task: m.TaskSpec, position: int) -> bytes:
    return item_id(task.id, position)


def value(object_id: bytes, **fields: Any) -> m.Value:
    return m.Value(object_id, **{"data": b"value", **fields})


def result(task: m.TaskSpec, index: int = 1, **fields: Any) -> m.Value:
    return value(ref(task, index), **fields)


def done(task: m.TaskSpec, *values: m.Value, took: float = 1.0) -> m.TaskFinished:
    """A worker's word that a task went well; with a value for each of its returns."""
    if not values and task.returns > 0 and task.kind != m.CREATION:
        values = tuple(result(task, i + 1) for i in range(task.returns))
    if task.returns == m.STREAMING:
        values = values or (m.Value(ref(task), pickle.dumps(0, 5)),)
    return m.TaskFinished(task.id, list(values), started=10.0, ended=10.0 + took)


def raised(
    task: m.TaskSpec, text: str = "ValueError: no", retryable: bool = False
) -> m.TaskFinished:
    record = m.ErrorRecord("task", name=task.name, cause_repr=text, task=task.id)
    data = msgspec.msgpack.encode(record)
    return m.TaskFinished(
        task.id, [m.Value(b"", data, error=True)], "error", retryable, text, 10.0, 11.0
    )


def run(task: m.TaskSpec, code: bytes = b"", *values: m.Value, **fields: Any) -> m.RunTask:
    return m.RunTask(task, list(values), code, **{"attempt": 1, **fields})


def sent(out: Iterable[Instruction], to: Process) -> list[Any]:
    """The messages among the instructions for one process."""
    return [i.message for i in out if isinstance(i, Send) and i.to == to.id]


def started(out: Iterable[Instruction]) -> list[bytes]:
    """The workers to be started."""
    return [i.worker for i in out if isinstance(i, StartWorker)]


def signals(out: Iterable[Instruction]) -> list[tuple[bytes, int]]:
    return [(i.worker, i.number) for i in out if isinstance(i, SignalWorker)]


def runs(out: Iterable[Instruction], to: Process | None = None) -> list[m.TaskSpec]:
    """The tasks sent to workers."""
    return [
        i.message.spec
        for i in out
        if isinstance(i, Send)
        and isinstance(i.message, m.RunTask)
        and (to is None or i.to == to.id)
    ]


def values(out: Iterable[Instruction], to: Process) -> list[m.Value]:
    """The objects delivered to one process."""
    return [v for x in sent(out, to) if isinstance(x, m.Objects) for v in x.values]


def error(value: m.Value) -> m.ErrorRecord:
    """What a value that is an error says."""
    assert value.error
    return msgspec.msgpack.decode(value.data, type=m.ErrorRecord)


def errors(out: Iterable[Instruction], to: Process) -> list[m.ErrorRecord]:
    return [error(v) for v in values(out, to)]
