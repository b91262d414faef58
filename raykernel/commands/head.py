"""`raykernel head`: a session on this machine for notebooks on others.

It starts the session (or takes one that runs), lets drivers in through a gateway, and ends with
Ctrl-C, or when the session does. With `--detach` a copy of this command goes on by itself: the one
that was called prints the connection file and returns, as over ssh.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import zmq

import raykernel
from raykernel import api, lifetime
from raykernel.commands import CommandError
from raykernel.config import RayKernelConfig
from raykernel.runtime import session, settings
from raykernel.runtime.attach import Build
from raykernel.runtime.remote import address as addresses
from raykernel.runtime.remote.address import Address
from raykernel.runtime.remote.gateway import Gateway, advertised
from raykernel.runtime.session import SessionError, SessionInfo

_START = 50.0
_TTL = 600.0  # seconds the session goes on should this command be killed
_DETACHED = "RAYKERNEL_HEAD_DETACHED"  # the descriptor that waits for the connection file


def run(options: Any) -> int:
    """Until the session ends. Raises CommandError."""
    if not options.listen.startswith("tcp://") or ":" not in options.listen[6:]:
        raise CommandError(
            f"--listen {options.listen}: write tcp://IP:PORT, as in tcp://0.0.0.0:6400, with port "
            "0 for any free one"
        )
    told = int(os.environ.pop(_DETACHED, -1))
    if options.detach and told < 0:
        return _detach(sys.argv[1:])
    build = Build.mine(raykernel.__version__)
    info, ours = _session(options)
    try:
        return _serve(options, info, ours, build, told)
    finally:
        if ours:
            api.shutdown()
            _end(info)


def _session(options: Any) -> tuple[SessionInfo, bool]:
    """The session to serve, and whether it ends with this command."""
    if options.session is not None:
        try:
            info = session.read(options.session)
        except SessionError as error:
            raise CommandError(str(error)) from None
        if not info.alive:
            raise CommandError(f"session {info.name} has ended")
        return info, False
    sys.path.insert(0, os.getcwd())  # as a notebook here would have it
    wishes = RayKernelConfig()  # it is notebooks that come, and these are their defaults
    wishes.read_environment(os.environ)
    settings.options = lambda: settings.Options(wishes.log_lines_per_cell, wishes.keep_locals)
    try:
        api.init(
            address="local", num_cpus=options.num_cpus, num_gpus=options.num_gpus,
            name=options.name, session_ttl=options.ttl or _TTL, log_to_driver=False,
            object_store_memory=options.object_store_memory,
        )  # fmt: skip
    except (RuntimeError, ValueError) as error:
        raise CommandError(str(error)) from None
    engine = api.engine()
    assert engine is not None
    return session.read(engine.session), True


def _serve(options: Any, info: SessionInfo, ours: bool, build: Build, told: int) -> int:
    theirs, mine = zmq.curve_keypair(), zmq.curve_keypair()
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: stopped.append(number))
    try:
        gateway = Gateway(info.path, options.listen, mine, theirs[0].decode(), build)
    except (zmq.ZMQError, OSError) as error:
        raise CommandError(f"can't listen on {options.listen}: {error}") from None
    if ours and options.ttl:  # from here on it is up to those who come
        lifetime.part(end=False)
    file = Path(options.connection_file or Path(info.path) / "connection.json").absolute()
    try:
        where = Address(
            advertised(gateway.endpoint, options.advertise or ""), mine[0].decode(),
            theirs[0].decode(), theirs[1].decode(), info.name, build.python, build.raykernel,
        )  # fmt: skip
        try:
            addresses.write(file, where)
        except OSError as error:
            raise CommandError(f"can't write {file}: {error.strerror}") from None
        _tell(where, file, told, ours)
        why = gateway.run(lambda: bool(stopped))
        print(f"The head ends: {why}.", flush=True)
    finally:
        gateway.close()
        file.unlink(missing_ok=True)
    return 0


def _tell(where: Address, file: Path, told: int, ours: bool) -> None:
    if told >= 0:
        with os.fdopen(told, "wb") as pipe:
            pipe.write(msgspec.json.encode(where))
        return
    print(
        f"Session {where.session} is open to other machines at {where.address}.\n"
        f"The connection file lets whoever has it run code here as you: {file}\n"
        "Copy it to where your notebook is (`scp`), and there:\n"
        '    %ray start --address FILE     or     ray.init(address="FILE")\n'
        + ("Ctrl-C ends the head and the session." if ours else "Ctrl-C ends the head alone."),
        flush=True,
    )


def _end(info: SessionInfo) -> None:
    from raykernel.runtime.engines import launch

    try:
        launch.stop_session(info.name)
        session.await_end(Path(info.path), 10)
    except (SessionError, OSError):
        pass  # it has ended already


def _detach(arguments: list[str]) -> int:
    read, write = os.pipe()
    environment = {**os.environ, _DETACHED: str(write)}
    with tempfile.TemporaryFile() as log, os.fdopen(read, "rb") as pipe:
        process = subprocess.Popen(
            [sys.executable, "-m", "raykernel", *arguments], env=environment, pass_fds=[write],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
            start_new_session=True,
        )  # fmt: skip
        os.close(write)
        if not select.select([pipe], [], [], _START)[0]:
            process.terminate()
        text = pipe.read()
        if not text:
            process.wait()
            log.seek(0)
            said = log.read().decode(errors="replace").strip()
            raise CommandError(said.removeprefix("raykernel head: ") or "the head did not come up")
    process.returncode = 0  # it goes on, and is not ours to wait for
    sys.stdout.buffer.write(text + b"\n")
    sys.stdout.flush()
    return 0
