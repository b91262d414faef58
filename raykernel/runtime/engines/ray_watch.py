"""The driver's thread that follows a session on Ray: takes the workers' notes, looks for what ended
without a word, and tells the views.

Once a second it asks Ray which nodes are alive and whether results are there that no note told of.
Where no node that is alive could ever run what is ready, the task waits for a node, which an
autoscaler may be bringing up: that is said once, and shown for as long as it is so.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from raykernel.runtime import resources
from raykernel.runtime.engines import ray_queries
from raykernel.runtime.engines.base import BarSink, EventSink, LogSink
from raykernel.runtime.engines.ray_errors import record_of
from raykernel.runtime.engines.ray_notes import decode
from raykernel.runtime.engines.sinks import Sinks
from raykernel.runtime.events import (
    CANCELLED,
    FAILED,
    FINISHED,
    READY,
    Awaited,
    BarInfo,
    EventBatch,
    LogLine,
    TaskInfo,
)

if TYPE_CHECKING:
    from raykernel.runtime.engines.ray import RayEngine

_POLL = 0.2
_LOOK = 1.0
_SILENT = 1.5  # seconds after which a result without a note is looked for
_UNPLACED = 3.0  # seconds that a task may be ready before somebody asks why
_AT_ONCE = 1000


class Watcher:
    """One thread; the methods below may be called from any."""

    def __init__(self, engine: RayEngine, ray: Any, feed: Any) -> None:
        self._engine = engine
        self._ray = ray
        self._feed = feed
        self._lock = threading.Lock()  # guards the sinks of events
        self._events: dict[int, tuple[EventSink, str]] = {}
        self._fresh: list[int] = []  # subscribers without their first batch
        self._logs: Sinks[LogSink] = Sinks()
        self._bars: Sinks[BarSink] = Sinks()
        self._keys = 0
        self._stopping = False
        self._looked = 0.0
        self._dead: set[str] = set()
        #: What waits for a node, and what of it each subscriber was told.
        self.awaited: list[Awaited] = []
        self._told: dict[int, list[Awaited]] = {}
        self._warned: set[str] = set()  # of these needs, for as long as something has them
        self._thread = threading.Thread(target=self._run, name="raykernel-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        with contextlib.suppress(Exception):
            self._feed.note.remote(b"\x90")  # no notes: it wakes the thread
        self._thread.join(3)

    # -- who listens -----------------------------------------------------------------------------

    def subscribe(self, sink: EventSink, cell: str) -> Callable[[], None]:
        with self._lock:
            self._keys += 1
            key = self._keys
            self._events[key] = (sink, cell)
            self._fresh.append(key)

        def end() -> None:
            with self._lock:
                self._events.pop(key, None)

        return end

    def on_log(self, sink: LogSink) -> Callable[[], None]:
        return self._logs.add(sink)

    def on_bars(self, sink: BarSink) -> Callable[[], None]:
        return self._bars.add(sink)

    def show_bars(self, bars: list[BarInfo]) -> None:
        for sink in self._bars:
            sink(bars)

    # -- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping:
            began = time.monotonic()
            try:
                batches, _ = self._ray.get(self._feed.take.remote(_POLL), timeout=10)
            except Exception:
                if self._stopping or self._engine.client.closed or not self._ray.is_initialized():
                    return
                batches = []
                time.sleep(_POLL)  # the feed is being restarted, or the cluster is gone
            if self._stopping:
                return
            self._hear(batches)
            if began - self._looked >= _LOOK:
                self._looked = began
                with contextlib.suppress(Exception):  # a cluster in trouble is asked again
                    self._look()
            self._engine.client.flush()
            self._tell()
            time.sleep(max(0.0, 0.1 - (time.monotonic() - began)))

    def _hear(self, batches: list[bytes]) -> None:
        lines: list[LogLine] = []
        bars: list[BarInfo] = []
        for batch in batches:
            with self._engine.lock:
                said, moved = self._engine.noted.hear(decode(batch), time.time())
            lines += said
            bars += moved
        with self._engine.lock:
            bars += self._engine.noted.take_bars()  # closed by the end of who moved them
        sinks = list(self._logs)
        for line in lines:
            for sink in sinks:
                sink(line)
        if bars:
            self.show_bars(bars)

    def _tell(self) -> None:
        if not self._events:  # then nobody pays for records
            with self._engine.lock:
                self._engine.noted.changed.clear()
            return
        with self._lock:  # first: who comes after this gets a first batch of their own
            fresh, self._fresh = self._fresh, []
            sinks = dict(self._events)
        with self._engine.lock:
            changed = self._engine.table.take_changes()
            live = list(self._engine.table.live.values()) if fresh else []
        now = time.time()
        for key, (sink, cell) in sinks.items():
            tasks: list[TaskInfo] = live + changed if key in fresh else changed
            tasks = [t for t in tasks if not cell or t.cell == cell]
            awaited = [one for one in self.awaited if not cell or one.cell == cell]
            news = None if awaited == self._told.get(key, []) else awaited
            if tasks or key in fresh or news is not None:
                self._told[key] = awaited
                sink(EventBatch(tasks, now, awaited=news))
        for key in self._told.keys() - sinks:
            del self._told[key]

    def _look(self) -> None:
        engine, now = self._engine, time.time()
        engine.strike_tasks()
        nodes = self._ray.nodes()
        for node in nodes:
            if not node["Alive"] and node["NodeID"] not in self._dead:
                self._dead.add(node["NodeID"])
                with engine.lock:
                    engine.table.node_died(node["NodeID"], now)
        with engine.lock:
            table = engine.noted.settle(now - _LOOK)
            silent = table.silent(now, _SILENT)[:_AT_ONCE]
            waiting = [
                (task.cell, table.specs[task.id][0])
                for task in table.live.values()
                if task.state == READY and task.id in table.specs
                and now - task.submitted > _UNPLACED
            ]  # fmt: skip
        self._find_ended(silent)
        self._find_dead()
        alive = [node["Resources"] for node in nodes if node["Alive"]]
        self.awaited = awaited(waiting, alive)
        self._warn(len(alive))

    def _find_ended(self, silent: list[tuple[str, Any]]) -> None:
        """Of tasks that no note ended: those whose results are there by now."""
        refs = {ref: task for task, ref in silent if type(ref).__name__.endswith("ObjectRef")}
        if not refs:
            return
        ready, _ = self._ray.wait(list(refs), num_returns=len(refs), timeout=0, fetch_local=False)
        for ref in ready:
            state, error = FINISHED, ""
            try:
                self._ray.get(ref, timeout=1)
            except self._ray.exceptions.GetTimeoutError:
                pass  # a large one, on its way
            except Exception as why:
                state, error = ended_by(why)
            with self._engine.lock:
                self._engine.table.end(refs[ref], state, time.time(), error)

    def _find_dead(self) -> None:
        """Processes of actors that have ended and can't say so, where one has a bar open."""
        engine = self._engine
        if not engine.noted.bars.open:
            return
        dead: set[str] = set()
        others: set[str] = set()
        for one in ray_queries.actor_states(engine).values():
            (dead if one["State"] in ("DEAD", "RESTARTING") else others).add(str(one["Pid"]))
        with engine.lock:
            engine.noted.workers_died(dead - others - {"0"})

    def _warn(self, nodes: int) -> None:
        """Say once what waits for a node."""
        counts: dict[str, int] = {}
        for one in self.awaited:
            counts[one.needs] = counts.get(one.needs, 0) + one.tasks
        for needs in counts.keys() - self._warned:
            what = "1 task waits" if counts[needs] == 1 else f"{counts[needs]:,} tasks wait"
            self._engine.warn(
                f"{what} for a node: none of the {nodes} that are there has {needs}. "
                "An autoscaler may bring one up; %ray cancel gives up."
            )
        self._warned = set(counts)


def ended_by(error: Exception) -> tuple[str, str]:
    """A task's last state, and in one line why, by what Ray raises for its result."""
    record = record_of(error, b"", "")
    why = record.message.partition("\n")[0]
    if record.kind == "cancelled":
        return CANCELLED, why or "cancelled"
    last = record.text.strip().rpartition("\n")[2]
    return FAILED, (why or last or record.cause_repr)[:300]


def awaited(waiting: Iterable[tuple[str, str]], nodes: list[dict[str, float]]) -> list[Awaited]:
    """Of waiting tasks, each with its cell and its encoded demand: those that none of the nodes
    could run if it had nothing else to do."""
    counts: dict[tuple[str, str], int] = {}
    for one in waiting:
        counts[one] = counts.get(one, 0) + 1
    lacking: dict[str, bool] = {}
    found = []
    for (cell, text), count in counts.items():
        if text not in lacking:
            wanted = {k: n / resources.UNIT for k, n in resources.decode(text).items()}
            lacking[text] = not any(
                all(node.get(k, 0) >= n for k, n in wanted.items()) for node in nodes
            )
        if lacking[text]:
            found.append(Awaited(cell, resources.describe(text), count))
    return found
