"""The driver's thread that follows a session on Ray: takes the workers' notes, looks for what ended
without a word, and tells the views.

Once a second it asks Ray which nodes are alive and whether results are there that no note told of.
Where no node that is alive could ever run what is ready, that is said once: the task waits for a
node, which an autoscaler may be bringing up.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from raykernel.runtime import resources
from raykernel.runtime.engines import ray_queries
from raykernel.runtime.engines.base import BarSink, EventSink, LogSink
from raykernel.runtime.engines.ray_notes import decode
from raykernel.runtime.events import (
    CANCELLED,
    FAILED,
    FINISHED,
    READY,
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
        self._lock = threading.Lock()  # guards the sinks
        self._events: dict[int, tuple[EventSink, str]] = {}
        self._fresh: list[int] = []  # subscribers without their first batch
        self._logs: dict[int, LogSink] = {}
        self._bars: dict[int, BarSink] = {}
        self._keys = 0
        self._stopping = False
        self._looked = 0.0
        self._dead: set[str] = set()
        #: Demands that no node can meet, with how many tasks wait for one that can.
        self.awaited: dict[str, int] = {}
        self._thread = threading.Thread(target=self._run, name="raykernel-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        with contextlib.suppress(Exception):
            self._feed.note.remote(b"\x90")  # no notes: it wakes the thread
        self._thread.join(3)

    # -- who listens -----------------------------------------------------------------------------

    def _enter(self, sinks: dict[int, Any], sink: Any) -> tuple[int, Callable[[], None]]:
        with self._lock:
            self._keys += 1
            key = self._keys
            sinks[key] = sink

        def end() -> None:
            with self._lock:
                sinks.pop(key, None)

        return key, end

    def subscribe(self, sink: EventSink, cell: str) -> Callable[[], None]:
        key, end = self._enter(self._events, (sink, cell))
        self._fresh.append(key)
        return end

    def on_log(self, sink: LogSink) -> Callable[[], None]:
        return self._enter(self._logs, sink)[1]

    def on_bars(self, sink: BarSink) -> Callable[[], None]:
        return self._enter(self._bars, sink)[1]

    def show_bars(self, bars: list[BarInfo]) -> None:
        with self._lock:
            sinks = list(self._bars.values())
        for sink in sinks:
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
        with self._lock:
            sinks = list(self._logs.values())
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
        with self._engine.lock:
            changed = self._engine.table.take_changes()
            live = list(self._engine.table.live.values()) if self._fresh else []
        now = time.time()
        with self._lock:
            fresh, self._fresh = self._fresh, []
            sinks = dict(self._events)
        for key, (sink, cell) in sinks.items():
            tasks: list[TaskInfo] = live + changed if key in fresh else changed
            tasks = [t for t in tasks if not cell or t.cell == cell]
            if tasks or key in fresh:
                sink(EventBatch(tasks, now))

    def _look(self) -> None:
        engine, now = self._engine, time.time()
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
                (task.id, table.specs[task.id][0])
                for task in table.live.values()
                if task.state == READY and task.id in table.specs
                and now - task.submitted > _UNPLACED
            ]  # fmt: skip
        self._find_ended(silent)
        self._find_dead()
        self._find_unplaced(waiting, [n["Resources"] for n in nodes if n["Alive"]])

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
            except self._ray.exceptions.TaskCancelledError as why:
                state, error = CANCELLED, str(why).partition("\n")[0]
            except self._ray.exceptions.GetTimeoutError:
                pass  # a large one, on its way
            except Exception as why:
                state = FAILED
                error = f"{type(why).__name__}: {str(why).partition(chr(10))[0]}"[:300]
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

    def _find_unplaced(self, waiting: list[tuple[str, str]], nodes: list[dict[str, float]]) -> None:
        demands: dict[str, int] = {}
        awaited: dict[str, int] = {}
        for _, text in waiting:
            demands[text] = demands.get(text, 0) + 1
        for text, count in demands.items():
            wanted = {k: n / resources.UNIT for k, n in resources.decode(text).items()}
            fits = any(all(node.get(k, 0) >= n for k, n in wanted.items()) for node in nodes)
            if fits:
                continue
            awaited[text] = count
            if text not in self.awaited:
                what = "1 task waits" if count == 1 else f"{count:,} tasks wait"
                self._engine.warn(
                    f"{what} for a node: none of the {len(nodes)} that are there has "
                    f"{resources.describe(text)}. An autoscaler may bring one up; "
                    "%ray cancel gives up."
                )
        self.awaited = awaited
