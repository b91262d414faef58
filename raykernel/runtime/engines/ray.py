"""The Ray engine: a cluster of Ray's runs the tasks, seen from a driver or from a task there.

    driver    API ─▶ RayClient ─▶ Ray ─▶ worker: ray_worker.run ─▶ the user's function
              views ◀─ Table ◀─ thread ◀─ feed actor ◀─ notes ◀─┘

The API, the cells and the views are the same as with the local engine; each message the API sends
is carried out by Ray (ray_carry.py). A driver's engine comes from ray_driver.py, a worker's from
`in_worker`. Nothing here is imported before somebody asks for a cluster, and none but these two
modules import Ray.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from raykernel.runtime import context
from raykernel.runtime import messages as m
from raykernel.runtime.engines import ray_queries
from raykernel.runtime.engines.base import BarSink, EventSink, LogSink
from raykernel.runtime.engines.ray_client import RayClient
from raykernel.runtime.engines.ray_notes import NAMESPACE, Notebook
from raykernel.runtime.engines.ray_remains import Parcels
from raykernel.runtime.engines.ray_strikes import Calls
from raykernel.runtime.engines.ray_table import Table
from raykernel.runtime.engines.ray_watch import Watcher
from raykernel.runtime.engines.sinks import Submissions
from raykernel.runtime.events import CALL, RUNNING, TASK, BarInfo
from raykernel.runtime.remains import Shelf


def module() -> Any:
    """Ray itself. Raises ConnectionError where it isn't installed."""
    # Ray looks this often for an interruption while it waits; errors nobody asks for are ours to
    # tell
    os.environ.setdefault("RAY_get_check_signal_interval_milliseconds", "100")
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
    # a word said to Ray after its end must not start a cluster
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
    try:
        import ray
        import ray.util.placement_group
        import ray.util.scheduling_strategies
    except ImportError as error:
        raise ConnectionError(
            f"a Ray cluster needs Ray here as well, and it can't be imported ({error}): "
            "pip install 'raykernel[ray]'"
        ) from None
    return ray


_STOPPING = 20.0  # seconds for which tasks of a stopped cell are looked for


class RayEngine(Submissions):
    """See `ApiEngine` in base.py."""

    name = "ray"
    came_back = False
    lasting = False

    def __init__(
        self, ray: Any, client: RayClient, session: str, namespace: str, address: str, driver: bool
    ) -> None:
        self.client = client
        self.session = session
        self.namespace = namespace
        self.address = address
        self.owner = driver
        self.ended = False
        self.folder = client.welcome.folder
        self.remains: Shelf = Shelf()
        self.node = client.welcome.node
        self.job = client.welcome.job
        self.addresses = _addresses(ray, address)
        self.noted = Table()
        self.lock = threading.RLock()  # guards the table and the stopped cells
        self.dead_actors: dict[str, str] = {}
        self.feed: Any = None
        self.watcher: Watcher | None = None
        self.calls: Calls | None = None  # where an actor lives
        self.parcels: Parcels | None = None  # where failed tasks' variables are kept
        self._ray = ray
        self._warned: list[Callable[[str], None]] = []
        self._warnings: list[str] = []
        self._background: set[str] = set()
        self._stopped: dict[str, float] = {}  # cells, and when
        client.answer = lambda what, filters: ray_queries.answer(self, what, filters)

    @property
    def table(self) -> Table:
        """To be asked for with the lock."""
        return self.noted.settle()

    # -- what is told ----------------------------------------------------------------------------

    def query(self, what: str, **filters: Any) -> Any:
        return ray_queries.answer(self, what, filters)

    def subscribe(
        self,
        sink: EventSink,
        cell: str = "",
        brief: bool = False,
        sample: bool = False,
        stretches: bool = False,
    ) -> Callable[[], None]:
        assert self.watcher is not None
        return self.watcher.subscribe(sink, cell)

    def on_log(self, sink: LogSink) -> Callable[[], None]:
        return self.watcher.on_log(sink) if self.watcher is not None else lambda: None

    def on_bars(self, sink: BarSink) -> Callable[[], None]:
        return self.watcher.on_bars(sink) if self.watcher is not None else lambda: None

    def on_warning(self, sink: Callable[[str], None]) -> None:
        self._warned.append(sink)
        for text in self._warnings:
            sink(text)
        self._warnings.clear()

    def warn(self, text: str) -> None:
        """Something a person should read once."""
        if not self._warned:
            self._warnings.append(text)
        for sink in self._warned:
            sink(text)

    def move_bars(self, bars: list[BarInfo]) -> None:
        if self.watcher is not None:
            self.watcher.show_bars(bars)
        else:
            self.client.watch.moved(bars)

    # -- what is asked for -----------------------------------------------------------------------

    def cancel_cell(self, cell: str) -> int:
        return self._cancel(lambda info_cell: info_cell == cell)

    def interrupt_cell(self, cell: str) -> int:
        (by, ids), self.client.given_up = self.client.given_up, ("", [])
        if by == cell:
            for object_id in ids:
                self.client.queue(m.Cancel(object_id))
        if cell in self._background:
            return 0
        return self._cancel(lambda info_cell: info_cell == cell)

    def cancel_all(self, everybodys: bool = False) -> int:  # a Ray job has one driver
        return self._cancel(lambda info_cell: True)

    def _cancel(self, wanted: Callable[[str], bool]) -> int:
        """Ask Ray to end this driver's tasks of these cells, each with what it submitted."""
        with self.lock:
            live = [t for t in self.table.live.values() if wanted(t.cell) and t.kind != "actor"]
            refs = [self.table.own[t.id] for t in live if t.id in self.table.own]
        for ref in refs:
            self.client.cancel_ref(ref, force=False, recursive=True)
        self._strike([bytes.fromhex(t.id) for t in live if t.kind == CALL])
        with self.lock:
            self._stopped.update(dict.fromkeys((t.cell for t in live), time.monotonic()))
        self.strike_tasks()
        return len(live)

    def strike_tasks(self) -> None:
        """Wake the tasks that run of the cells that were stopped; what has not begun Ray takes from
        its queues. Once more and again for a while: the word that a task has begun may come late.
        """
        if not self._stopped:
            return
        late = time.monotonic() - _STOPPING
        with self.lock:
            self._stopped = {cell: at for cell, at in self._stopped.items() if at > late}
            live = [t for t in self.table.live.values() if t.cell in self._stopped]
            running = [t.id for t in live if t.kind == TASK and t.state == RUNNING]
        self._strike([bytes.fromhex(task) for task in running])

    def _strike(self, tasks: list[bytes]) -> None:
        if tasks and self.feed is not None:
            self.feed.strike.remote(tasks)

    def background(self, cell: str) -> int:
        self._background.add(cell)
        with self.lock:
            return self.table.live_cells().get(cell, 0)

    def settle_down(self, ttl: float, kernel: str, notebook: str) -> None:
        """A Ray cluster ends a driver's work with its driver: nothing to keep for later."""

    def kill_actor(self, actor: str) -> None:
        self.client.queue(m.KillActor(bytes.fromhex(actor)))

    def reload(self, modules: list[str]) -> None:
        self.client.queue(m.ReloadModules(modules))

    def resize(self, cpus: int) -> None:
        """Ask the cluster's autoscaler for so many CPUs."""
        try:
            from ray.autoscaler import sdk

            sdk.request_resources(num_cpus=cpus)
        except Exception as error:
            raise ValueError(f"the cluster's autoscaler can't be asked: {error}") from None

    def bury(self, actor: bytes, record: bytes) -> None:
        """Keep why an actor's constructor failed, for whoever calls it. Blocks."""
        feed = _feed(self._ray, self.session)
        if feed is not None:
            with contextlib.suppress(Exception):
                self._ray.get(feed.bury.remote(actor, record), timeout=5)

    def obituary(self, actor: bytes) -> bytes:
        with self.lock:
            told = self.table.obituaries.get(actor, b"")
        feed = None if told else self.feed or _feed(self._ray, self.session)
        if feed is not None:
            with contextlib.suppress(Exception):
                told = self._ray.get(feed.obituary.remote(actor), timeout=5)
        return told

    # -- the end ---------------------------------------------------------------------------------

    def shutdown(self) -> None:
        """Leave the cluster: this driver's tasks and actors end, detached ones and the cluster go
        on."""
        self.leave()

    def leave(self) -> None:
        atexit.unregister(self.leave)
        if self.client.closed:
            return
        if self.watcher is not None:
            self.watcher.stop()
        self.client.close()
        if self.owner:
            with contextlib.suppress(Exception):
                self._ray.shutdown()


def welcome(ray: Any, session: str, namespace: str) -> m.Welcome:
    told = ray.get_runtime_context()
    node, job = "", ""
    with contextlib.suppress(Exception):  # Ray's client knows not all of it
        job = str(told.get_job_id())
    with contextlib.suppress(Exception):
        node = str(told.get_node_id())
    return m.Welcome(session, "", node, "", 0, job, namespace=namespace)


def _addresses(ray: Any, address: str) -> dict[str, Any]:
    """What this process's Ray tells of where the cluster is; over Ray's client it is little."""
    gcs, found = address, None
    with contextlib.suppress(Exception):  # a Ray that doesn't tell
        gcs = ray.get_runtime_context().gcs_address
    with contextlib.suppress(Exception):
        found = ray._private.worker._global_node.address_info
    plain = {"session_dir": "", "address": gcs, "gcs_address": gcs, "webui_url": ""}
    return plain | {"node_ip_address": gcs.rpartition(":")[0]} | (found or {})


def _feed(ray: Any, session: str) -> Any:
    try:
        return ray.get_actor(session, namespace=NAMESPACE)
    except Exception:
        return None


def in_worker() -> RayEngine:
    """The engine of a worker process on the cluster."""
    ray = module()
    session, namespace, context.job_variables, keeps = json.loads(os.environ["RAYKERNEL_ON_RAY"])
    greeting = welcome(ray, session, namespace)
    feed: list[Any] = []

    def send(batch: bytes) -> None:
        if not feed:
            feed.append(_feed(ray, session))
        if feed[0] is None:
            feed.clear()
            return
        feed[0].note.remote(batch)

    client = RayClient(ray, greeting, Notebook(send, greeting.node))
    engine = RayEngine(ray, client, session, namespace, "", driver=False)

    def ask(calls: list[bytes], then: Callable[[list[bytes], float], None]) -> None:
        engine.feed = engine.feed or _feed(ray, session)
        if engine.feed is not None:  # else the driver is gone
            told = engine.feed.struck.remote(calls)
            told._on_completed(lambda found: then(*found) if isinstance(found, tuple) else None)

    engine.calls = Calls(ask)
    if keeps:
        engine.parcels = Parcels(lambda: _feed(ray, session))
    return engine
