"""Which cell, task and actor the current line of code runs for, and which engine serves it.

A driver learns its cell from the notebook layer, which sets `cell_source`; a worker sets `running`
around each task, so that nested submissions inherit the cell. Context variables follow async code
by themselves. Threads and callbacks keep the task and cell of the code that made them (`bind`, and
inherit.py); a worker's thread of which nobody knows who made it sees the task its main thread runs.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .messages import TaskSpec
    from .session import Home

#: Set by the notebook layer in a driver: returns the id of the cell that the calling code runs
#: for, or "". Called once per submission, in the submitting thread: keep it quick.
cell_source: Callable[[], str] | None = None

#: Set by the notebook layer: the id of the newest cell that ran as In[number], "" if none did.
cell_numbered: Callable[[int], str] | None = None

#: Set by the notebook layer: whether the asyncio task that runs is a cell's that is interrupted.
struck: Callable[[], bool] | None = None

#: Set by the notebook layer: called where an interruption ends a cell's waiting for tasks.
interrupted: Callable[[], None] | None = None

#: Set in a worker: the task that the calling thread was started for.
thread_origin: Callable[[], Running | None] | None = None

#: In a driver: the cell that this context's code runs for, "" if it doesn't say.
cell: ContextVar[str] = ContextVar("raykernel_cell", default="")

#: Set by the notebook layer in a driver: where this driver's session belongs and how many seconds
#: it outlives its drivers, None if this driver is nobody's notebook. Asked when a session starts.
home: Callable[[], tuple[Home, float] | None] | None = None

#: This process's engine: set by `init` in a driver and at start in a worker.
engine: Any = None

#: Set by the local engine's module: wraps a worker's connection in an engine.
make_worker_engine: Callable[[Any], Any]

#: What tasks submitted here inherit of this process's runtime environment: canonical JSON.
environment = ""

#: The placement group that tasks submitted here run in, unless they say otherwise: that of a task
#: or actor which captures its children.
captured = b""

#: The environment variables of every worker of the session.
job_variables: dict[str, str] = {}

#: In an actor's process, from its constructor on: the task that made it.
creation: TaskSpec | None = None


#: Where not this worker's own loop is told: whether the running task is asked to end.
asked_to_end: Callable[[], bool] | None = None


class Running:
    """The task that code runs for, in a worker."""

    __slots__ = ("attempt", "call", "called", "cancelled", "exiting", "function", "gpus", "keep",
                 "spec")  # fmt: skip

    def __init__(self, spec: TaskSpec, attempt: int, gpus: tuple[int, ...] | None) -> None:
        self.spec = spec
        self.attempt = attempt
        self.gpus = gpus
        #: refs that must outlive the sending of the result they are in
        self.keep: Any = None
        #: what runs, as soon as it is loaded
        self.function: Any = None
        #: its arguments, until it has returned: what is said of them if it fails
        self.call: tuple[list[Any], dict[str, Any]] | None = None
        #: when its arguments were loaded, 0.0 if there was nothing to load
        self.called = 0.0
        #: whether somebody asked for its end
        self.cancelled = False
        #: whether it asked for its actor's end
        self.exiting = False

    @property
    def group(self) -> bytes:
        """The placement group it runs in, b"" for none."""
        made = creation if self.spec.actor and creation is not None else self.spec
        return made.extra.group if made.extra is not None else b""

    def function_name(self) -> str:
        """The module and name of what runs. As in Ray, where it was defined is told of a
        coroutine's alone."""
        import inspect  # dear, and seldom needed

        function = self.function
        if function is None:  # asked by a thread that outlived its task
            return self.spec.name
        module = getattr(function, "__module__", "")
        if inspect.iscoroutinefunction(function):
            return f"{module}.{function.__qualname__}"
        if self.spec.method:
            owner = type(getattr(function, "__self__", None))
            return f"{owner.__module__}.{owner.__qualname__}.{self.spec.method}"
        return f"{module}.{getattr(function, '__name__', self.spec.name)}"


#: The names of the cards this worker's session has, by number; without one, the number is it.
cards: dict[int, str] = {}

_running: ContextVar[Running | None] = ContextVar("raykernel_running", default=None)
_main: Running | None = None

enter = _running.set


def set_main(running: Running | None) -> None:
    """What bare threads are taken to run for."""
    global _main
    _main = running


def running() -> Running | None:
    """The task this code runs for; None in a driver."""
    return _running.get() or _of_thread() or _main


def _of_thread() -> Running | None:
    return None if thread_origin is None else thread_origin()


def current_cell() -> str:
    """The id of the cell this code runs for, "" outside a notebook."""
    if cell_source is not None:
        return cell_source()
    task = running()
    return task.spec.cell if task is not None else ""


def current_task() -> bytes:
    """The id of the task this code runs for, b"" in a driver."""
    task = running()
    return task.spec.id if task is not None else b""


def bind(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` for the task and cell that the calling code runs for, whoever calls it when."""
    task, owner = running(), cell_source() if cell_source is not None else ""
    if task is None and not owner:
        return function

    def call(*args: Any, **kwargs: Any) -> Any:
        was_task, was_cell = _running.set(task), cell.set(owner)
        try:
            return function(*args, **kwargs)
        finally:
            _running.reset(was_task)
            cell.reset(was_cell)

    return call
