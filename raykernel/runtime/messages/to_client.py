"""What the head says to drivers and workers."""

from __future__ import annotations

from raykernel.runtime.events import BarInfo, EventBatch, LogLine

from .tasks import Message, TaskSpec
from .values import Value


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


class DropFunction(Message, frozen=True, tag=53):
    """Nobody can call it any more: let go of it, and of what it closes over."""

    key: bytes


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
    | StreamConsumed | StopStream | DropFunction | BarsMoved | Reload | LetGo
)  # fmt: skip
