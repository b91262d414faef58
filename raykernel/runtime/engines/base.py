"""The seam between the API with its views and whatever runs the tasks.

`LocalEngine` (local.py) runs them on this machine, `FakeEngine` (fake.py) lets a test play them,
and a Ray engine can run them on a cluster. The notebook layer uses nothing but `Engine`; the API
needs an `ApiEngine`, whose `client` carries what it submits.

Callbacks handed to an engine run on the engine's IO thread: they must return quickly and never
call a blocking method of the engine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from raykernel.runtime.connection import Connection
from raykernel.runtime.events import BarInfo, EventBatch, LogLine
from raykernel.runtime.remains import Shelf

EventSink = Callable[[EventBatch], None]
LogSink = Callable[[LogLine], None]
BarSink = Callable[[list[BarInfo]], None]


class Engine(Protocol):
    """What a session offers to magics, cells and widgets."""

    name: str  # "local" | "ray" | "fake"
    session: str  # the session's name
    owner: bool  # whether the session is this driver's to end
    folder: str  # the session's, "" if it has none on this machine
    remains: Shelf  # the variables of failed tasks
    came_back: bool  # whether this driver found it again, after the driver before it had ended
    lasting: bool  # whether it outlives this driver
    ended: bool  # whether `shutdown` ended it, and not only the connection

    def query(self, what: str, **filters: Any) -> Any:
        """Ask the head once; blocks for a round trip.

        `what` is one of "tasks" (-> list[TaskInfo]; filters: cell=), "task" (-> all about one as a
        dict, None if it is not known; filters: task=), "actors", "workers", "objects", "nodes"
        (-> list[dict]), "resources" (-> {"total": {...}, "available": {...}}), "store"
        (-> {"capacity", "used", "objects"}, bytes), "memory" (-> list[dict]: what each object
        takes and who holds it, see `holdings.memory`; filters: limit=), "logs" (-> list[LogEntry],
        read from files by the calling thread; filters: see `logfiles.find`), "live_cells"
        (-> {cell: number of its unfinished tasks}). Of a session on one machine also "machine":
        how that fares (see `host.facts`; filters: pids=).
        """
        ...

    def subscribe(
        self,
        sink: EventSink,
        cell: str = "",
        brief: bool = False,
        sample: bool = False,
        stretches: bool = False,
    ) -> Callable[[], None]:
        """Send `sink` a first batch with the live tasks, then changes at most 10 times a second.

        `cell` limits it to one cell's tasks. With `brief` tasks quicker than a batch may come as
        numbers only (`EventBatch.finished`); with `sample` as well, few of them come one by one,
        and of many some do; with `stretches` as well, it is told where and when the many ran
        (`EventBatch.stretches`). Returns the function that ends the subscription.
        """
        ...

    def on_log(self, sink: LogSink) -> Callable[[], None]:
        """Hand every piece of task output to `sink`, until the returned function is called."""
        ...

    def on_bars(self, sink: BarSink) -> Callable[[], None]:
        """Hand the progress bars that tasks move to `sink`, until the returned function is called.

        Each comes in its newest state, a few times a second, and last of all as closed.
        """
        ...

    def on_submit(self, hook: Callable[[str], None] | None) -> None:
        """Call `hook(cell)` in the submitting thread when a cell submits its first task.

        Only called when the submitting cell differs from the previous submission's, so that it
        costs the hot path one comparison.
        """
        ...

    def cancel_cell(self, cell: str) -> int:
        """Cancel every unfinished task of a cell, actors' queued and running calls included.

        Returns how many were asked to end. Actors created by the cell stay alive.
        """
        ...

    def reload(self, modules: list[str]) -> None:
        """Have workers take these modules anew before their next task; actors keep theirs."""
        ...

    def kill_actor(self, actor: str) -> None:
        """End an actor (its hex id) at once and for good; harmless if it is dead."""
        ...

    def resize(self, cpus: int) -> None:
        """Give the session this many CPUs. What runs goes on. Raises ValueError if it can't."""
        ...

    def interrupt_cell(self, cell: str) -> int:
        """The same for a cell that was interrupted: also what it was waiting for, of whichever
        cell, and nothing that is in the background."""
        ...

    def cancel_all(self, everybodys: bool = False) -> int:
        """The same for all that this driver caused, or for all that the session's drivers did."""
        ...

    def background(self, cell: str) -> int:
        """Put a cell's work in the background: interruptions leave it alone, and it goes on when
        this driver ends. Returns how many unfinished tasks it has."""
        ...

    def settle_down(self, ttl: float, kernel: str, notebook: str) -> None:
        """Make the session outlive its drivers by `ttl` seconds, to be found again by its home."""
        ...

    def shutdown(self) -> None:
        """End the session and everything it started. Blocks until it is gone.

        One that another driver uses, or that isn't this driver's to end, goes on: then only the
        connection ends.
        """
        ...


class ApiEngine(Engine, Protocol):
    """What the API asks for besides, in a driver and inside tasks."""

    @property
    def client(self) -> Connection:
        """This process's connection. Another one is another session."""
        ...

    folder: str  # the session's, "" if it has none on this machine
    node: str  # the node this process is on, in hex
    job: str  # in hex
    namespace: str
    addresses: dict[str, Any]  # where the session is, under the names of Ray's context
    hooked_cell: str | None  # the cell that submitted last; None: call `submitting` the next time

    def submitting(self, cell: str) -> None:
        """The API is about to submit for `cell`, another one than `hooked_cell`."""
        ...

    def on_warning(self, sink: Callable[[str], None]) -> None:
        """Hand what a person should read once to `sink`."""
        ...

    def move_bars(self, bars: list[BarInfo]) -> None:
        """Bars of this process moved: let all drivers know."""
        ...

    def leave(self) -> None:
        """End the connection, and not the session."""
        ...
