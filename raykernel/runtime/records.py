"""What the head remembers: tasks, objects, actors, workers and the processes connected to it.

Plain data with slots; the rules live in store.py, dispatch.py, actors.py and endings.py. A
`Task` outlives its end as the record the views ask for, stripped of its arguments.
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum

from msgspec import structs

from .messages import CALL, ActorOptions, ErrorRecord, TaskSpec, Value
from .resources import Pool


class TaskState(IntEnum):
    WAITING = 0  # for arguments, or for its actor
    READY = 1  # for a worker
    RUNNING = 2  # sent to a worker
    FINISHED = 3
    FAILED = 4
    CANCELLED = 5


class TaskEvent(IntEnum):
    ARGS_READY = 0
    DISPATCHED = 1
    RETURNED = 2  # handed back unstarted
    RETRIED = 3
    SUCCEEDED = 4
    FAILED = 5
    CANCELLED = 6
    ARGS_LOST = 7  # and are being made again


_S, _E = TaskState, TaskEvent

#: Every change a task's state can make. What is not here is a bug in the head.
TRANSITIONS: dict[tuple[TaskState, TaskEvent], TaskState] = {
    (_S.WAITING, _E.ARGS_READY): _S.READY,
    (_S.WAITING, _E.FAILED): _S.FAILED,
    (_S.WAITING, _E.CANCELLED): _S.CANCELLED,
    (_S.READY, _E.DISPATCHED): _S.RUNNING,
    (_S.READY, _E.ARGS_LOST): _S.WAITING,
    (_S.READY, _E.FAILED): _S.FAILED,
    (_S.READY, _E.CANCELLED): _S.CANCELLED,
    (_S.RUNNING, _E.RETURNED): _S.READY,
    (_S.RUNNING, _E.RETRIED): _S.READY,
    (_S.RUNNING, _E.SUCCEEDED): _S.FINISHED,
    (_S.RUNNING, _E.FAILED): _S.FAILED,
    (_S.RUNNING, _E.CANCELLED): _S.CANCELLED,
}

LIVE_STATES = (TaskState.WAITING, TaskState.READY, TaskState.RUNNING)


class InvalidTransition(Exception):
    """A state change that the table forbids, with the task's story."""


class Task:
    """One task, actor creation or actor call, from its submission on."""

    __slots__ = (
        "again", "attempt", "called", "cancelled", "children", "consumed", "depth", "ended",
        "error", "kill_at", "large", "lined", "made", "missing", "owner", "produced", "ready",
        "retries", "returned", "sent", "solo", "spec", "started", "state", "stream_dropped",
        "submitted", "taken", "takes_along", "timed_out", "worker",
    )  # fmt: skip

    def __init__(self, spec: TaskSpec, owner: bytes, now: float) -> None:
        self.spec = spec
        self.owner = owner  # the client that submitted it
        self.state = TaskState.WAITING
        self.missing = 0  # dependencies without a value
        self.lined = False  # counted among its actor's queued calls
        self.retries = spec.retries
        self.attempt = 0
        self.worker: Worker | None = None
        self.solo = False  # never share a worker's queue: it was there when one crashed
        self.cancelled = False  # somebody asked for its end
        self.takes_along = False  # what it submitted is to end too, whenever that comes
        self.timed_out = False  # it ran longer than it may, and was asked to end for that
        self.kill_at = 0.0  # when its time is up, or a request to end turns into a kill; 0: never
        self.children: set[bytes] | None = None  # live tasks it submitted
        self.sent: tuple[int, ...] = ()  # blocks pinned for its worker with its arguments
        self.again = False  # it ended once, and runs again for a lost result or actor
        self.large = False  # items of its stream lie outside the head
        self.produced = 0  # items of a stream
        self.consumed = 0  # of them taken, as far as the consumer said
        self.stream_dropped = -1  # position from which nobody wants the stream
        self.depth = 0  # of nesting: 0 for what a driver submits
        # its moments and sizes, as in `events.TaskInfo`
        self.submitted = now
        self.ready = 0.0
        self.started = 0.0
        self.called = 0.0
        self.returned = 0.0
        self.ended = 0.0
        self.taken = 0
        self.made = 0
        self.error = ""

    def move(self, event: TaskEvent) -> None:
        new = TRANSITIONS.get((self.state, event))
        if new is None:
            raise InvalidTransition(
                f"task {self.spec.name} ({self.spec.id.hex()}) is {self.state.name} after "
                f"{self.attempt} attempts and can't take {event.name}"
            )
        self.state = new


def cancelled(task: Task) -> ErrorRecord:
    """The error of a task whose end somebody asked for, or whose time was up."""
    kind, text = "cancelled", f"the task {task.spec.name} was cancelled"
    if task.timed_out:
        kind, text = "timeout", time_is_up(task.spec)
    return ErrorRecord(
        kind,
        text,
        name=task.spec.name,
        task=task.spec.id,
        cell=task.spec.cell,
    )


def time_is_up(spec: TaskSpec) -> str:
    seconds = spec.extra.timeout if spec.extra is not None else 0
    what = f"the {'call' if spec.kind == CALL else 'task'} {spec.name}"
    return f"{what} ran longer than its time limit of {seconds:g} s and was cancelled"


class Object:
    """An object's place in the table.

    It lives while `count` > 0: references held by processes, by tasks that take it as an argument
    and by objects that contain it.
    """

    __slots__ = ("count", "dependents", "task", "value", "waiters")

    def __init__(self, task: Task | None) -> None:
        self.task = task
        self.count = 0
        self.value: Value | None = None
        self.waiters: list[Client] | None = None
        self.dependents: list[Task] | None = None


class Client:
    """A connected process: a driver, a worker, or a command-line visitor."""

    __slots__ = ("actors", "blocks", "connected", "files", "held", "id", "namespace", "outbox",
                 "pid", "pins", "role")  # fmt: skip

    def __init__(self, id: bytes, role: str, pid: int, namespace: str = "") -> None:
        self.id = id
        self.role = role
        self.pid = pid
        self.namespace = namespace
        self.connected = True
        self.held: dict[bytes, int] = {}  # references by object
        self.pins: dict[int, int] = {}  # deliveries of memory not yet let go, by block
        self.blocks: set[int] = set()  # allocated, not yet part of an object
        self.files: set[str] = set()  # the same of files, without their suffix
        self.actors = 0  # living ones it made: those that are not detached end with it
        self.outbox: list[Value] = []


class Worker(Client):
    """A process that runs tasks. Before its `Hello` it is only planned (`connected` False)."""

    __slots__ = ("actor", "blocked", "env", "gpus", "idle_since", "inflight", "known", "lease",
                 "logged", "progress", "recalled", "retire", "served")  # fmt: skip

    def __init__(self, id: bytes, env: str) -> None:
        super().__init__(id, "worker", 0)
        self.connected = False
        self.env = env
        self.inflight: dict[bytes, Task] = {}  # sent and not answered, the running one first
        self.lease: Lease | None = None
        self.blocked = False
        self.actor: Actor | None = None
        self.known: set[bytes] = set()  # functions it has the code of
        self.progress = 0.0  # when it last started something, as far as the head knows
        self.recalled = False
        self.retire = False  # leaves when its task ends (max_calls)
        self.served: dict[bytes, int] = {}
        self.gpus: tuple[int, ...] | None = None
        self.idle_since = 0.0
        self.logged = {"stdout": 0, "stderr": 0}  # how much of its log files it has told of

    @property
    def first(self) -> Task | None:
        """The task it runs now, unless it runs several at once."""
        return next(iter(self.inflight.values()), None)


class Lease:
    """A worker's claim on resources while it runs tasks of one shape."""

    __slots__ = ("held", "pool", "shape")

    def __init__(self, shape: str, pool: Pool, held: str) -> None:
        self.shape = shape
        self.pool = pool
        self.held = held  # canonical text of what it holds at the moment


class ActorState(IntEnum):
    PENDING = 0  # not created yet
    ALIVE = 1
    RESTARTING = 2
    DEAD = 3


class Actor:
    """An actor with its queue: one line per caller, so that each caller's order is kept."""

    __slots__ = ("creation", "death", "detached", "ending", "id", "lines", "options", "owner",
                 "pending", "restarts", "restarts_left", "state", "unready", "window",
                 "worker")  # fmt: skip

    def __init__(self, id: bytes, creation: Task, owner: bytes, options: ActorOptions) -> None:
        self.id = id
        self.creation = creation
        self.owner = owner
        self.state = ActorState.PENDING
        self.worker: Worker | None = None
        self.lines: dict[bytes, deque[Task]] = {}
        self.unready: dict[bytes, Task] = {}  # out of order: in no line before their turn
        self.pending = 0  # calls in lines or unready
        self.options = options
        self.detached = options.detached  # the session's own: no driver's end ends it
        self.window = 0  # calls on their way to it at once
        self.restarts_left = options.max_restarts
        self.restarts = 0
        self.ending = False  # nobody holds a handle: leaves when its calls are done
        self.death: ErrorRecord | None = None


def told_in_full(record: ErrorRecord) -> ErrorRecord:
    """The same error as that of the last task it came through, with the way in its text."""
    name, text = record.name, record.text.removeprefix("Traceback (most recent call last):\n")
    for step in record.via:
        text = (
            "  At least one of the input arguments for this task could not be computed:\n"
            f"ray.exceptions.RayTaskError: ray::{name}() (pid={record.pid}, ip=127.0.0.1)\n{text}"
        )
        name = f"{step}.__init__" if step is record.via[-1] else step
    return structs.replace(record, name=name, text=text if record.text else "", via=())
