"""What drivers and workers say to the head."""

from __future__ import annotations

from typing import Any

from raykernel.runtime.events import BarInfo, LogLine

from .tasks import Message, TaskSpec
from .values import Value


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


class ForgetFunction(Message, frozen=True, tag=52):
    """The sender won't submit what it registered by this key; it said so once for each time."""

    key: bytes


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

    `spare` leaves out what is in the background. `everything`: all that this driver caused,
    and with `everybodys` all that any did.
    """

    request: int
    cell: str
    objects: list[bytes] = []
    spare: bool = False
    everything: bool = False
    everybodys: bool = False


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
    """Start (`on`) or end the event feed; `brief`: quick tasks as numbers only; `sample`: and
    where they are few all, else some of them one by one; `stretches`: and
    where and when the many ran."""

    on: bool
    brief: bool = False
    sample: bool = False
    stretches: bool = False


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
    Hello | RegisterFunction | ForgetFunction | TaskSpec | PutObject | Want | AddRef | Release
    | Unpin | Allocate | Abandon | Cancel | CancelCell | KillActor | Query | Subscribe
    | TaskFinished | Yielded | Blocked | Unblocked | TasksReturned | Wrote | Consumed | DropStream
    | Shutdown
    | ActorExited | CreateGroup | RemoveGroup | Bars | Resize | ReloadModules | Missing | LetGone
)  # fmt: skip
