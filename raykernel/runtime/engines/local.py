"""The local engine: a session's processes on this machine, seen from a driver or a worker.

`LocalEngine` wraps a connection (launch.py makes it) in what the API and the notebook layer need.
In a worker the same class wraps the worker's own connection.

A driver that started its session, or came back to it, ends it with `shutdown`, unless another
driver uses it by then. `leave` never ends it: what becomes of it then is up to its time to live.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from raykernel.runtime import context, logfiles, session
from raykernel.runtime import messages as m
from raykernel.runtime.client import Client
from raykernel.runtime.connection import ConnectionLost, RequestFailed, Timeout
from raykernel.runtime.engines.base import BarSink, EventSink, LogSink
from raykernel.runtime.engines.sinks import Sinks, Submissions
from raykernel.runtime.events import BarInfo, EventBatch, LogLine, TaskInfo
from raykernel.runtime.remains import Shelf
from raykernel.runtime.remains_files import Files
from raykernel.runtime.session import SessionInfo

STOP_TIMEOUT = 5.0
Detail = tuple[bool, bool, bool]  # whether brief, with a sample, with stretches: as in `subscribe`
_ALL: Detail = (False, False, False)


class LocalEngine(Submissions):
    """See `Engine` in base.py; `client` is for the API's hot paths."""

    name = "local"

    def __init__(
        self,
        client: Client,
        process: subprocess.Popen[bytes] | None = None,
        info: SessionInfo | None = None,
        owner: bool = False,
    ) -> None:
        self.client = client
        self.owner = owner
        self.came_back = owner and info is not None
        self.lasting = info is not None and info.ttl > 0
        self.ended = False
        self.session = client.welcome.session
        self.folder = client.welcome.folder
        self.remains: Shelf = Files(self.folder)
        self.node = client.welcome.node
        self.job = client.welcome.job
        self.namespace = client.welcome.namespace
        head = f"unix:{self.folder}/head.sock"  # on one machine all that asks is answered there
        self.addresses = {
            "session_dir": self.folder, "address": head, "gcs_address": head,
            "node_ip_address": "127.0.0.1", "webui_url": "",
        }  # fmt: skip
        self.undo: list[Callable[[], None]] = []  # when the connection ends
        self._process = process
        self._sinks: dict[int, tuple[EventSink, str, Detail]] = {}
        self._wanted = _ALL  # what the head was last asked for
        self._logs: Sinks[LogSink] = Sinks()
        self._bars: Sinks[BarSink] = Sinks()
        self._warned: list[Callable[[str], None]] = []
        self._lock = threading.Lock()  # guards the sinks of events
        self._keys = 0

    # -- Engine --------------------------------------------------------------------------------

    def query(self, what: str, **filters: Any) -> Any:
        if what == "logs":  # they lie in files, which the head has no time to read
            return logfiles.find(self.folder, **filters)
        if what == "machine":
            from raykernel.runtime import host  # psutil takes a moment

            return host.facts(**filters)
        kind = list[TaskInfo] if what == "tasks" else Any
        return self.client.query(what, kind, **filters)

    def subscribe(
        self,
        sink: EventSink,
        cell: str = "",
        brief: bool = False,
        sample: bool = False,
        stretches: bool = False,
    ) -> Callable[[], None]:
        with self._lock:
            self._keys += 1
            key = self._keys
            sample &= brief
            self._sinks[key] = (sink, cell, (brief, sample, sample and stretches))
            self._wanted = wanted = self._detail()
        # asked for again by each subscriber: the first batch holds what is live now
        self.client.post(m.Subscribe(True, *wanted))

        def end() -> None:
            with self._lock:
                self._sinks.pop(key, None)
                left = bool(self._sinks)
                wanted = self._detail() if left else _ALL
                same, self._wanted = wanted == self._wanted, wanted
            if not self.client.closed and not (left and same):
                self.client.post(m.Subscribe(left, *wanted))

        return end

    def _detail(self) -> Detail:
        """How the head is to tell of tasks, so that each of the sinks knows what it wants."""
        wanted = [detail for *_, detail in self._sinks.values()]
        if not all(each[0] for each in wanted):
            return _ALL
        return True, any(each[1] for each in wanted), any(each[2] for each in wanted)

    def on_log(self, sink: LogSink) -> Callable[[], None]:
        return self._logs.add(sink)

    def on_bars(self, sink: BarSink) -> Callable[[], None]:
        return self._bars.add(sink)

    def reload(self, modules: list[str]) -> None:
        self.client.queue(m.ReloadModules(modules))
        self.client.flush()

    def move_bars(self, bars: list[BarInfo]) -> None:
        """Bars of this process moved: let all drivers know."""
        if not self.client.closed:
            self.client.post(m.Bars(bars))

    def on_warning(self, sink: Callable[[str], None]) -> None:
        """Hand what a person should read once to `sink`."""
        self._warned.append(sink)

    def cancel_cell(self, cell: str) -> int:
        return self._cancel(lambda number: m.CancelCell(number, cell))

    def interrupt_cell(self, cell: str) -> int:
        (by, ids), self.client.given_up = self.client.given_up, ("", [])
        waited_for = ids if by == cell else []
        return self._cancel(lambda number: m.CancelCell(number, cell, waited_for, spare=True))

    def cancel_all(self, everybodys: bool = False) -> int:
        return self._cancel(
            lambda number: m.CancelCell(number, "", everything=True, everybodys=everybodys)
        )

    def _cancel(self, make: Callable[[int], Any]) -> int:
        return msgspec.msgpack.decode(self.client.request(make), type=int)

    def background(self, cell: str) -> int:
        count: int = self.query("background", cell=cell)
        return count

    def settle_down(self, ttl: float, kernel: str, notebook: str) -> None:
        self.query("settle_down", ttl=ttl, kernel=kernel, notebook=notebook)
        self.lasting = ttl > 0

    def kill_actor(self, actor: str) -> None:
        self.client.queue(m.KillActor(bytes.fromhex(actor)))
        self.client.flush()

    def resize(self, cpus: int) -> None:
        try:
            self.client.request(lambda number: m.Resize(number, cpus))
        except RequestFailed as error:
            raise ValueError(str(error)) from None

    def shutdown(self) -> None:
        """End the session if it is this driver's and no other driver uses it, else only the
        connection. `ended` says which."""
        self.ended = self.owner and self._end()
        if not self.ended:
            self.leave()
            return
        self._close()
        process = self._process
        if process is None:
            session.await_end(Path(self.folder), STOP_TIMEOUT)
            return
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            session.remove(Path(self.folder), Path(self.client.welcome.arena))

    def _close(self) -> None:
        self.client.close()
        while self.undo:
            self.undo.pop()()

    def _end(self) -> bool:
        """Ask the head to end the session. Whether it does, or is gone, or doesn't answer."""
        if self.client.closed:
            return True
        try:
            data = self.client.request(lambda n: m.Query(n, "end"), STOP_TIMEOUT)
        except (ConnectionLost, Timeout):
            return True
        return msgspec.msgpack.decode(data, type=bool)

    def leave(self) -> None:
        """End the connection, and not the session."""
        self._close()
        process = self._process
        if process is not None and process.poll() is None:
            # our child all the same: somebody has to take note of its end
            threading.Thread(target=process.wait, name="raykernel-reaper", daemon=True).start()

    # -- what the head sends by itself ---------------------------------------------------------

    def hear(self, message: Any) -> None:
        """A message that is not for the client. Runs in the thread that reads."""
        if message is None and self._process is not None:
            # the session is gone; its zygote is our child and about to be
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1)
            return
        if isinstance(message, m.Events):
            self._tell(message.batch)
        elif isinstance(message, m.Logs):
            self._log(message.lines)
        elif isinstance(message, m.BarsMoved):
            for show in self._bars:
                show(message.bars)
        elif isinstance(message, m.Warn):
            for sink in self._warned:
                sink(message.text)

    def _tell(self, batch: EventBatch) -> None:
        with self._lock:
            sinks = list(self._sinks.values())
        for sink, cell, _ in sinks:
            if not cell:
                sink(batch)
                continue
            tasks = [t for t in batch.tasks if t.cell == cell]
            finished = [f for f in batch.finished if f.cell == cell]
            stretches = [s for s in batch.stretches if s.cell == cell]
            sink(EventBatch(tasks, batch.time, batch.dropped, finished, stretches))

    def _log(self, lines: list[LogLine]) -> None:
        for sink in self._logs:
            for line in lines:
                sink(line)


context.make_worker_engine = LocalEngine
