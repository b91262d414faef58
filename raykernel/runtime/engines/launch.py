"""Starting sessions on this machine, connecting to them, and ending them by name.

`start` brings up zygote and head and connects; `join` connects to a session that runs, as one more
driver of it, `watch` only to look.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from raykernel.runtime import messages as m
from raykernel.runtime import session
from raykernel.runtime import settings as settings_module
from raykernel.runtime.client import Client
from raykernel.runtime.connection import ConnectionLost
from raykernel.runtime.engines.local import STOP_TIMEOUT, LocalEngine
from raykernel.runtime.session import Home, SessionError, SessionInfo
from raykernel.runtime.settings import Settings
from raykernel.runtime.swallowed import strike_again

_START_TIMEOUT = 30.0
_PRELOAD = ("numpy",)
_BOOT = (
    "import sys, json; a = sys.argv[:]; sys.path[:] = json.loads(a[2]); del sys.argv[1:]; "
    "import raykernel; from raykernel.runtime.zygote import main; main(a[1], int(a[3]))"
)


class StartFailed(Exception):
    """The session could not be started; the text says why."""


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
            client.pump(client.turn(), STOP_TIMEOUT)
            if client.closed:
                break
    client.close()
    return True
