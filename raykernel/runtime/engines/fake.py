"""An engine without processes: a test says what its tasks do, the views see it happen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from raykernel.runtime.engines.base import BarSink, EventSink, LogSink
from raykernel.runtime.engines.sinks import Sinks
from raykernel.runtime.events import CANCELLED, LIVE, BarInfo, EventBatch, LogLine, TaskInfo
from raykernel.runtime.remains import Shelf


class FakeEngine:
    """Fake sibling of `LocalEngine`.

    `put_task` records a task's state and `flush` sends what changed, as the real one does ten
    times a second. `time` is the clock the batches carry; the test moves it.
    """

    name = "fake"
    came_back = False
    folder = ""
    remains: Shelf = Shelf()

    def __init__(self, session: str = "fake") -> None:
        self.session = session
        self.time = 1_000_000.0
        self.tasks: dict[str, TaskInfo] = {}
        self.cancelled_cells: list[str] = []
        self.reloaded: list[str] = []
        self.answers: dict[str, Any] = {
            "nodes": [],
            "actors": [],
            "workers": [],
            "objects": [],
            "memory": [],
            "resources": {"total": {"CPU": 2.0}, "available": {"CPU": 2.0}},
            "store": {"capacity": 0, "used": 0, "objects": 0},
        }
        self.alive = True
        self.owner = True
        self.lasting = False
        self.ended = True
        self.ttl = 0.0
        self.in_background: set[str] = set()
        self._changed: dict[str, TaskInfo] = {}
        self._sinks: dict[int, tuple[EventSink, str]] = {}
        self._logs: Sinks[LogSink] = Sinks()
        self._bars: Sinks[BarSink] = Sinks()
        self._hook: Callable[[str], None] | None = None
        self._last_cell: str | None = None

    # -- what a test plays ---------------------------------------------------------------------

    def put_task(self, task: TaskInfo) -> None:
        if task.id not in self.tasks and self._hook is not None and task.cell != self._last_cell:
            self._last_cell = task.cell
            self._hook(task.cell)
        self.tasks[task.id] = task
        self._changed[task.id] = task

    def flush(self) -> None:
        changed, self._changed = list(self._changed.values()), {}
        for sink, cell in list(self._sinks.values()):
            sink(EventBatch([t for t in changed if not cell or t.cell == cell], self.time))

    def write(self, line: LogLine) -> None:
        for sink in self._logs:
            sink(line)

    def move(self, *bars: BarInfo) -> None:
        for sink in self._bars:
            sink(list(bars))

    # -- Engine --------------------------------------------------------------------------------

    def query(self, what: str, **filters: Any) -> Any:
        if what == "tasks":
            cell = filters.get("cell")
            return [t for t in self.tasks.values() if not cell or t.cell == cell]
        if what == "task":
            task = self.tasks.get(filters["task"])
            return None if task is None else {**msgspec.structs.asdict(task), "attempt": 1}
        if what == "live_cells":
            return Counter(t.cell for t in self.tasks.values() if t.state in LIVE)
        return self.answers[what]

    def subscribe(
        self,
        sink: EventSink,
        cell: str = "",
        brief: bool = False,
        sample: bool = False,
        stretches: bool = False,
    ) -> Callable[[], None]:
        key = max(self._sinks, default=0) + 1
        self._sinks[key] = (sink, cell)
        live = [t for t in self.tasks.values() if t.state in LIVE and (not cell or t.cell == cell)]
        sink(EventBatch(live, self.time))
        return lambda: self._sinks.pop(key, None) and None

    def on_log(self, sink: LogSink) -> Callable[[], None]:
        return self._logs.add(sink)

    def on_bars(self, sink: BarSink) -> Callable[[], None]:
        return self._bars.add(sink)

    def on_submit(self, hook: Callable[[str], None] | None) -> None:
        self._hook = hook

    def reload(self, modules: list[str]) -> None:
        self.reloaded += modules

    def cancel_cell(self, cell: str) -> int:
        self.cancelled_cells.append(cell)
        live = [t for t in self.tasks.values() if t.cell == cell and t.state in LIVE]
        for task in live:
            task.state, task.ended = CANCELLED, self.time
            self._changed[task.id] = task
        return len(live)

    def interrupt_cell(self, cell: str) -> int:
        known = any(t.cell == cell for t in self.tasks.values())
        return self.cancel_cell(cell) if known and cell not in self.in_background else 0

    def cancel_all(self, everybodys: bool = False) -> int:
        cells = {t.cell for t in self.tasks.values() if t.state in LIVE}
        return sum(self.cancel_cell(cell) for cell in cells)

    def background(self, cell: str) -> int:
        self.in_background.add(cell)
        live: dict[str, int] = self.query("live_cells")
        return live.get(cell, 0)

    def settle_down(self, ttl: float, kernel: str, notebook: str) -> None:
        self.ttl = ttl
        self.lasting = ttl > 0

    def kill_actor(self, actor: str) -> None:
        for one in self.answers["actors"]:
            if one["actor_id"] == actor:
                one["state"] = "DEAD"

    def resize(self, cpus: int) -> None:
        if cpus < 1:
            raise ValueError(f"a session has at least 1 CPU, not {cpus}")
        for amounts in self.answers["resources"].values():
            amounts["CPU"] = float(cpus)

    def shutdown(self) -> None:
        self.alive = False
