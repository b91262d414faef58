"""The local engine: a session's processes on this machine, seen from a driver or a worker.

`start` brings up zygote and head and connects, `join` connects to a session there is; `LocalEngine`
wraps the connection in what the API and the notebook layer need. In a worker the same class wraps
the worker's own connection.

A driver that started its session, or came back to it, ends it with `shutdown`, unless another
driver uses it by then. `leave` never ends it: what becomes of it then is up to its time to live.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from raykernel.runtime import context, logfiles, session
from raykernel.runtime import messages as m
from raykernel.runtime import settings as settings_module
from raykernel.runtime.client import Client
from raykernel.runtime.connection import ConnectionLost, RequestFailed, Timeout
from raykernel.runtime.engines.base import BarSink, EventSink, LogSink
from raykernel.runtime.events import BarInfo, EventBatch, LogLine, TaskInfo
from raykernel.runtime.session import Home, SessionError, SessionInfo
from raykernel.runtime.settings import Settings
from raykernel.runtime.swallowed import strike_again

_START_TIMEOUT = 30.0
_STOP_TIMEOUT = 5.0
_PRELOAD = ("numpy",)
_BOOT = (
    "import sys, json; a = sys.argv[:]; sys.path[:] = json.loads(a[2]); del sys.argv[1:]; "
    "import raykernel; from raykernel.runtime.zygote import main; main(a[1], int(a[3]))"
)


class StartFailed(Exception):
    """The session could not be started; the text says why."""


class LocalEngine:
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
        self.node = client.welcome.node
        self.job = client.welcome.job
        self.namespace = client.welcome.namespace
        self.undo: list[Callable[[], None]] = []  # when the connection ends
        self._process = process
        self._sinks: dict[int, tuple[EventSink, str, bool]] = {}
        self._brief = False  # what the head was last asked for
        self._logs: dict[int, LogSink] = {}
        self._bars: dict[int, BarSink] = {}
        self._warned: list[Callable[[str], None]] = []
        self._hook: Callable[[str], None] | None = None
        self.hooked_cell: str | None = ""
        self._lock = threading.Lock()  # guards the sinks
        self._keys = 0

    # -- Engine --------------------------------------------------------------------------------

    def query(self, what: str, **filters: Any) -> Any:
        if what == "logs":  # they lie in files, which the head has no time to read
            return logfiles.find(self.folder, **filters)
        kind = list[TaskInfo] if what == "tasks" else Any
        return self.client.query(what, kind, **filters)

    def subscribe(self, sink: EventSink, cell: str = "", brief: bool = False) -> Callable[[], None]:
        with self._lock:
            self._keys += 1
            key = self._keys
            self._sinks[key] = (sink, cell, brief)
            self._brief = all(each[2] for each in self._sinks.values())
            wanted = self._brief
        # asked for again by each subscriber: the first batch holds what is live now
        self.client.post(m.Subscribe(True, wanted))

        def end() -> None:
            with self._lock:
                self._sinks.pop(key, None)
                left = bool(self._sinks)
                wanted = left and all(each[2] for each in self._sinks.values())
                same, self._brief = wanted == self._brief, wanted
            if not self.client.closed and not (left and same):
                self.client.post(m.Subscribe(left, wanted))

        return end

    def on_log(self, sink: LogSink) -> Callable[[], None]:
        with self._lock:
            self._keys += 1
            key = self._keys
            self._logs[key] = sink

        def end() -> None:
            with self._lock:
                self._logs.pop(key, None)

        return end

    def on_bars(self, sink: BarSink) -> Callable[[], None]:
        with self._lock:
            self._keys += 1
            key = self._keys
            self._bars[key] = sink

        def end() -> None:
            with self._lock:
                self._bars.pop(key, None)

        return end

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

    def on_submit(self, hook: Callable[[str], None] | None) -> None:
        self._hook = hook
        self.hooked_cell = None if hook is not None else ""

    def submitting(self, cell: str) -> None:
        """The API is about to submit for `cell`, another one than `hooked_cell`."""
        self.hooked_cell = cell
        if self._hook is not None:
            self._hook(cell)

    def cancel_cell(self, cell: str) -> int:
        return self._cancel(lambda number: m.CancelCell(number, cell))

    def interrupt_cell(self, cell: str) -> int:
        (by, ids), self.client.given_up = self.client.given_up, ("", [])
        waited_for = ids if by == cell else []
        return self._cancel(lambda number: m.CancelCell(number, cell, waited_for, spare=True))

    def cancel_all(self) -> int:
        return self._cancel(lambda number: m.CancelCell(number, "", everything=True))

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
            session.await_end(Path(self.folder), _STOP_TIMEOUT)
            return
        try:
            process.wait(_STOP_TIMEOUT)
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
            data = self.client.request(lambda n: m.Query(n, "end"), _STOP_TIMEOUT)
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
            with self._lock:
                shown = list(self._bars.values())
            for show in shown:
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
            sink(EventBatch(tasks, batch.time, batch.dropped, finished))

    def _log(self, lines: list[LogLine]) -> None:
        with self._lock:
            sinks = list(self._logs.values())
        for sink in sinks:
            for line in lines:
                sink(line)


def start(
    total: dict[str, float],
    capacity: int,
    *,
    name: str = "",
    namespace: str = "",
    env: dict[str, str] | None = None,
    ttl: float = 0.0,
    home: Home | None = None,
    version: str = "",
    spills: bool = True,
    spill_directory: str | None = None,
) -> LocalEngine:
    """Start a session and connect to it. Blocks until its head answers.

    The session outlives its last driver by `ttl` seconds; `home` is where it is found again.
    `spills`: objects that have no room in memory go to files, in the session's folder or in one of
    their own in `spill_directory`. Raises StartFailed, session.SessionError, OSError.
    """
    if sys.platform == "win32":
        raise StartFailed(
            "the local engine doesn't run on Windows itself: use it inside WSL, or a Ray cluster"
        )
    session.sweep()
    name = session.check_name(name) if name else session.new_name()
    folder = session.create(name)
    arena = session.arena_path(name, folder, capacity)
    try:
        spill = session.make_spill(name, folder, spill_directory) if spills else ""
    except OSError:
        session.remove(folder, arena)
        raise
    settings = Settings(
        name=name,
        folder=str(folder),
        arena=str(arena),
        capacity=capacity,
        job=os.urandom(4).hex(),
        driver=os.getpid(),
        total=total,
        prestart=max(1, int(total.get("CPU", 1))),
        namespace=namespace,
        cwd=os.getcwd(),
        path=sys.path,
        preload=[module for module in _PRELOAD if module in sys.modules],
        spill=spill,
        size_threads="OMP_NUM_THREADS" not in os.environ,
        env=env or {},
        ttl=ttl,
        home=home or Home(),
        version=version,
        options=settings_module.options(),
    )
    try:
        process = _launch(settings)
    except BaseException:
        session.remove(folder, arena)
        raise
    engine = connect(settings.folder, settings.namespace, process)
    engine.lasting = ttl > 0
    return engine


def join(info: SessionInfo, namespace: str, owner: bool) -> LocalEngine:
    """Connect to a session that runs, as one more driver of it.

    `namespace` "" is the session's own. Raises session.SessionError if it has ended meanwhile.
    """
    try:
        engine = connect(info.path, namespace, None, info, owner)
    except (OSError, ConnectionLost):
        raise SessionError(f"session {info.name} has just ended") from None
    return engine


def watch(info: SessionInfo) -> LocalEngine:
    """Connect to a session to look at it: it neither lives on for it nor sends it task output.

    Raises session.SessionError if it has ended.
    """
    if not info.alive:
        raise SessionError(f"session {info.name} has ended")
    try:
        return connect(info.path, "", None, info, False, "control")
    except (OSError, ConnectionLost):
        raise SessionError(f"session {info.name} has just ended") from None


def _launch(settings: Settings) -> subprocess.Popen[bytes]:
    ready_r, ready_w = os.pipe()
    log = Path(settings.folder) / "logs" / "head.log"
    environment = dict(os.environ)
    # one thread per worker is what keeps parallel workers from fighting for the cores
    environment.setdefault("OMP_NUM_THREADS", "1")
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(
                [
                    sys.executable, "-c", _BOOT, msgspec.json.encode(settings).decode(),
                    msgspec.json.encode(settings.path).decode(), str(ready_w),
                ],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=[ready_w],
                start_new_session=True, env=environment, cwd=settings.cwd,
            )  # fmt: skip
    finally:
        os.close(ready_w)
    try:
        readable, _, _ = select.select([ready_r], [], [], _START_TIMEOUT)
        if readable and os.read(ready_r, 16):
            return process
    finally:
        os.close(ready_r)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    last = log.read_text(errors="replace").strip().splitlines()[-5:]
    raise StartFailed(
        "the session's head did not come up. Its last words:\n  " + "\n  ".join(last or ["(none)"])
    )


def connect(
    folder: str,
    namespace: str,
    process: subprocess.Popen[bytes] | None,
    info: SessionInfo | None = None,
    owner: bool = True,
    role: str = "driver",
) -> LocalEngine:
    engine: LocalEngine | None = None

    def hear(message: Any) -> None:
        if engine is not None:
            engine.hear(message)

    client = Client(
        os.path.join(folder, "head.sock"), role, os.urandom(16), os.getpid(), namespace,
        on_message=hear,
    )  # fmt: skip
    engine = LocalEngine(client, process, info, owner)
    engine.namespace = namespace or engine.namespace
    client.start_io()
    engine.undo.append(strike_again(signal.SIGINT))
    return engine


def stop_session(name: str) -> bool:
    """End a session by name; False if it was not running. Raises session.SessionError."""
    info = session.read(name)
    if not info.alive:
        session.remove(Path(info.path), Path(info.arena))
        return False
    client = Client(os.path.join(info.path, "head.sock"), "control", os.urandom(16), os.getpid())
    client.post(m.Shutdown())
    with contextlib.suppress(Exception):
        while True:
            client.pump(client.turn(), _STOP_TIMEOUT)
            if client.closed:
                break
    client.close()
    return True


context.make_worker_engine = LocalEngine
