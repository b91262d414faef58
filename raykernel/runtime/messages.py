"""What head, drivers, workers and the zygote say to each other.

Frozen msgspec structs in tagged unions, encoded as msgpack arrays. Events are in the past tense,
requests and instructions are verbs. User values are opaque bytes: only the process that needs one
unpickles it, the head never does.

    driver, worker  ── ToHead ──▶  head  ── ToClient ──▶  driver, worker
    head  ── ToZygote ──▶  zygote  ── FromZygote ──▶  head
"""

from __future__ import annotations

from typing import Any

import msgspec

from .events import BarInfo, EventBatch, LogLine

#: Values up to this many bytes travel inside messages, larger ones through shared memory.
INLINE_LIMIT = 100 * 1024

# TaskSpec.kind
TASK, CREATION, CALL = 0, 1, 2

# TaskSpec.returns, below zero
STREAMING = -1
DYNAMIC = -2


#: Value.offset where the value lies in no block of the arena. Its bytes are in the message; they
#: are in a file of the spill folder, whose name is in `data`; they can be had for the asking.
INLINE, ON_DISK, AWAY = -1, -2, -3


class Value(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A value on its way: inline bytes, a place in the arena (`offset` >= 0), or a file.

    `error` says that `data` is an encoded `ErrorRecord` and not a value. `contained` lists the
    ids of the refs inside; the object keeps them alive.
    """

    id: bytes
    data: bytes = b""
    error: bool = False
    offset: int = INLINE
    size: int = 0
    contained: tuple[bytes, ...] = ()


class ErrorRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Why there is no value. The API turns `kind` into one of its exception classes.

    kind: task, crashed, cancelled, timeout, actor_died, actor_unavailable, lost, pending_calls,
    full, disk, setup, no_group, unschedulable. For kind "task", `cause` is the pickled user
    exception (empty if that failed) and `text` its traceback, user frames only; `refs` are the ids
    of the refs in `cause`, which whatever has the error as its value keeps.
    """

    kind: str
    message: str = ""
    name: str = ""
    pid: int = 0
    text: str = ""
    cause: bytes = b""
    cause_repr: str = ""
    task: bytes = b""
    actor: bytes = b""
    actor_repr: str = ""
    via: tuple[str, ...] = ()
    cell: str = ""
    trace: bytes = b""  # how it failed, see traces.py
    refs: tuple[bytes, ...] = ()


class ActorOptions(msgspec.Struct, frozen=True, array_like=True):
    """What an actor's creation carries beyond a task's."""

    class_name: str
    meta: bytes = b""  # pickled description of methods, for get_actor
    name: str = ""
    namespace: str = ""
    detached: bool = False
    max_restarts: int = 0  # -1: for ever
    max_concurrency: int = 1
    concurrency_groups: dict[str, int] = {}
    is_async: bool = False
    out_of_order: bool = False
    stream_cap: int = 0  # items of all its streams that nobody has taken; 0: any number
    keeps: str = ""  # resources held once it is placed, canonical text


class TaskExtra(msgspec.Struct, frozen=True, array_like=True):
    """The options few tasks use."""

    retry_exceptions: bytes = b""  # b"": none, b"*": all, else pickled tuple of classes
    env: str = ""  # canonical JSON of the runtime environment, "" for the session's
    group: bytes = b""  # placement group to run in
    bundle: int = -1  # -1: whichever has room
    capture: bool = False  # tasks it submits run in the group too
    max_calls: int = 0
    concurrency_group: str = ""
    backpressure: int = 0
    actor: ActorOptions | None = None
    node: str = ""  # the only node it may run on, "" for any
    timeout: float = 0.0  # seconds it may run, each time it is tried; 0: any number


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Base of all that travels alone in a frame."""


# -- driver or worker -> head ---------------------------------------------------------------------


class Hello(Message, frozen=True, tag=1):
    role: str  # "driver" | "worker" | "control"
    id: bytes
    pid: int
    namespace: str = ""
    trouble: str = ""  # why a worker can't serve its runtime environment, and leaves


class RegisterFunction(Message, frozen=True, tag=2):
    """The refs in it, `contained`, keep their objects for as long as the session knows it."""

    key: bytes
    name: str
    payload: bytes
    contained: tuple[bytes, ...] = ()


class TaskSpec(Message, frozen=True, tag=3):
    """Submit a task, an actor's creation or an actor's call.

    `args` is the serialized (args, kwargs), None standing for each ref at top level; `deps` are
    these refs' ids and `slots` where they go (a position or a keyword), `contained` the ids of refs
    nested deeper. Large arguments stand in the arena as the object `args_ref`, the last of `deps`.

    The results are sent to the submitter as soon as they are ready, without being asked for.
    """

    id: bytes
    function: bytes
    name: str
    args: bytes = b""
    deps: tuple[bytes, ...] = ()
    contained: tuple[bytes, ...] = ()
    returns: int = 1
    resources: str = ""
    cell: str = ""
    parent: bytes = b""
    retries: int = 0
    kind: int = TASK
    actor: bytes = b""
    method: str = ""
    slots: tuple[int | str, ...] = ()
    args_ref: bytes = b""
    extra: TaskExtra | None = None


class PutObject(Message, frozen=True, tag=4):
    value: Value


class Want(Message, frozen=True, tag=5):
    """Send these objects as soon as they are ready; with `look` false that they are is enough."""

    ids: list[bytes]
    look: bool = True


class AddRef(Message, frozen=True, tag=6):
    ids: list[bytes]


class Release(Message, frozen=True, tag=7):
    """One reference less, for each id each time it is listed."""

    ids: list[bytes]


class Unpin(Message, frozen=True, tag=8):
    """One delivery less that is looked at, for each block each time it is listed."""

    offsets: list[int]


class Allocate(Message, frozen=True, tag=9):
    """Ask for a place to write an object to. The answer is an offset in the arena, or the name of a
    file to be made in the spill folder.

    `result`: it is what a task has computed, which must not be lost. `broken`: the arena's file
    system is full, whatever the head thinks.
    """

    request: int
    size: int
    result: bool = False
    broken: bool = False


class Abandon(Message, frozen=True, tag=10):
    """Give a place back unused: writing there failed."""

    offset: int
    file: str = ""


class Cancel(Message, frozen=True, tag=11):
    object: bytes
    force: bool = False
    recursive: bool = True


class CancelCell(Message, frozen=True, tag=12):
    """Cancel a cell's work, and that which is to make `objects`.

    `spare` leaves out what is in the background. `everything`: all that this driver caused.
    """

    request: int
    cell: str
    objects: list[bytes] = []
    spare: bool = False
    everything: bool = False


class Resize(Message, frozen=True, tag=44):
    """From now on the session has this many CPUs. What runs on those that go runs to its end."""

    request: int
    cpus: int


class KillActor(Message, frozen=True, tag=13):
    actor: bytes
    no_restart: bool = True


class Query(Message, frozen=True, tag=14):
    request: int
    what: str
    filters: dict[str, Any] = {}


class Subscribe(Message, frozen=True, tag=15):
    """Start (`on`) or end the event feed; `brief`: quick tasks as numbers only."""

    on: bool
    brief: bool = False


class TaskFinished(Message, frozen=True, tag=16):
    """A worker's word on a task.

    status: "ok", "error" (values[0] is the error), "cancelled", "exit" (the actor ends on purpose).
    The times are the function's own: `called` is when its arguments were loaded, 0.0 if there was
    nothing to load.
    """

    task: bytes
    values: list[Value]
    status: str = "ok"
    retryable: bool = False
    error: str = ""
    started: float = 0.0
    ended: float = 0.0
    called: float = 0.0


class Yielded(Message, frozen=True, tag=17):
    task: bytes
    position: int
    value: Value


class Blocked(Message, frozen=True, tag=18):
    """The running task waits for objects; tasks queued behind it are handed back."""

    returned: list[bytes] = []


class Unblocked(Message, frozen=True, tag=19):
    pass


class TasksReturned(Message, frozen=True, tag=20):
    """Tasks handed back unstarted, after a `Recall` or because the worker is blocked."""

    tasks: list[bytes]


class Wrote(Message, frozen=True, tag=21):
    """Output of tasks on this worker, all of it up to these places in its log files (-1: as far as
    it was)."""

    lines: list[LogLine]
    out: int = -1
    err: int = -1


class Consumed(Message, frozen=True, tag=22):
    """The consumer of a stream took the items before `position`."""

    task: bytes
    position: int


class DropStream(Message, frozen=True, tag=23):
    """Nobody will take more items of this stream; `position` were taken."""

    task: bytes
    position: int


class Shutdown(Message, frozen=True, tag=24):
    pass


class ActorExited(Message, frozen=True, tag=25):
    """An actor's process leaves on purpose (`exit_actor`, `__ray_terminate__`)."""

    reason: str = ""


class CreateGroup(Message, frozen=True, tag=26):
    """Reserve a placement group; `bundles` are canonical resource texts."""

    request: int
    group: bytes
    bundles: list[str]
    strategy: str
    name: str = ""
    detached: bool = False


class RemoveGroup(Message, frozen=True, tag=27):
    group: bytes


class Bars(Message, frozen=True, tag=40):
    """Progress bars that moved in the sending process."""

    bars: list[BarInfo]


class ReloadModules(Message, frozen=True, tag=46):
    """These modules were edited: every worker but actors takes them anew, those to come too."""

    names: list[str]


class Missing(Message, frozen=True, tag=50):
    """An object's file can't be read: send the object when there is another copy."""

    id: bytes
    file: str


class LetGone(Message, frozen=True, tag=51):
    """The answer to `LetGo`: what could be let go is."""


ToHead = (
    Hello | RegisterFunction | TaskSpec | PutObject | Want | AddRef | Release | Unpin
    | Allocate | Abandon | Cancel | CancelCell | KillActor | Query | Subscribe | TaskFinished
    | Yielded | Blocked | Unblocked | TasksReturned | Wrote | Consumed | DropStream | Shutdown
    | ActorExited | CreateGroup | RemoveGroup | Bars | Resize | ReloadModules | Missing | LetGone
)  # fmt: skip


# -- head -> driver or worker ---------------------------------------------------------------------


class Welcome(Message, frozen=True, tag=1):
    session: str
    folder: str
    node: str
    arena: str  # path of the arena's file
    capacity: int  # its size in bytes
    job: str
    total: dict[str, float] = {}
    namespace: str = ""
    spill: str = ""  # the folder of what has no room in the arena, "" if there is none


class Objects(Message, frozen=True, tag=2):
    values: list[Value]


class Reply(Message, frozen=True, tag=3):
    """Answer to the request of that number; `error` is empty if it succeeded. `kind`: "disk" if
    what is missing is disk space."""

    request: int
    data: bytes = b""
    error: str = ""
    kind: str = ""


class RunTask(Message, frozen=True, tag=4):
    spec: TaskSpec
    values: list[Value] = []  # of the deps, in their order
    code: bytes = b""  # the function or class, the first time this worker needs it
    attempt: int = 0
    gpus: tuple[int, ...] | None = None  # None: the task asked for none


class CancelTask(Message, frozen=True, tag=5):
    """`interrupt`: with KeyboardInterrupt where it runs; else it may ask whether it was cancelled,
    as a plain actor's calls have to."""

    task: bytes
    interrupt: bool = True


class Recall(Message, frozen=True, tag=6):
    """Hand back what has not started, and send what is finished."""


class Exit(Message, frozen=True, tag=7):
    """Finish what is running and leave. `reason` is for the log."""

    reason: str = ""


class Events(Message, frozen=True, tag=8):
    batch: EventBatch


class Logs(Message, frozen=True, tag=9):
    lines: list[LogLine]


class Warn(Message, frozen=True, tag=10):
    """Something a person should read once."""

    text: str


class StreamConsumed(Message, frozen=True, tag=11):
    task: bytes
    position: int


class StopStream(Message, frozen=True, tag=12):
    task: bytes


class BarsMoved(Message, frozen=True, tag=40):
    bars: list[BarInfo]


class Reload(Message, frozen=True, tag=46):
    """Before the next task, take these modules anew if they are imported."""

    names: list[str]


class LetGo(Message, frozen=True, tag=50):
    """Memory is short: give up the copies of these objects that nobody looks at. `collect`: and
    look for garbage that does."""

    ids: list[bytes]
    collect: bool = False


ToClient = (
    Welcome | Objects | Reply | RunTask | CancelTask | Recall | Exit | Events | Logs | Warn
    | StreamConsumed | StopStream | BarsMoved | Reload | LetGo
)  # fmt: skip


# -- head <-> zygote ------------------------------------------------------------------------------


class Fork(Message, frozen=True, tag=1):
    worker: bytes
    env: str = ""


class Signal(Message, frozen=True, tag=2):
    """Send a signal to a worker, unless it has ended: only its parent knows for sure."""

    worker: bytes
    number: int


ToZygote = Fork | Signal


class Died(Message, frozen=True, tag=1):
    worker: bytes
    status: int  # exit code, or minus the signal's number


FromZygote = Died
