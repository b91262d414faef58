"""A driver's way to a head on another machine: it starts a tunnel, and is told how that fares.

    <tmp>/raykernel-<uid>-far/<pid>-<random>/   0700: the tunnel's socket, and what came as files
    /dev/shm/raykernel-<uid>-far-...            its mirror

What tunnels left behind that were killed together with their drivers is swept by the next one.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import msgspec

from raykernel.runtime import session
from raykernel.runtime.attach import Build

from . import address as addresses
from . import ssh
from .address import Address, AddressError
from .ssh import Place
from .stream import Timing
from .tunnel import TunnelSettings

#: Seconds a head started over ssh goes on without a driver.
SSH_TTL = 600.0
_STARTUP = 20.0  # seconds for the tunnel's process to start, beside what the head has to answer
_BOOT = (
    "import sys, json; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "from raykernel.runtime.remote.tunnel import main; main()"
)


class Line:
    """A driver's tunnel."""

    def __init__(
        self, folder: Path, process: subprocess.Popen[bytes], address: Address, started: bool
    ) -> None:
        self.folder = folder
        self.address = address
        self.started = started  # whether the head is there because of it
        self._process = process

    @property
    def socket(self) -> str:
        return str(self.folder / "head.sock")

    def why_lost(self) -> str:
        """What the tunnel said when it lost the head; "" if it said nothing. Doesn't block for
        long."""
        word, _, text = self._said(1.0).partition(" ")
        if word == "lost":
            return text
        return "its tunnel, the process that speaks with the head, has ended"

    def await_ready(self, seconds: float) -> None:
        """Raises AddressError."""
        word, _, text = self._said(seconds).partition(" ")
        if word != "ready":
            raise AddressError(text or "the tunnel to the head did not start")

    def close(self, seconds: float) -> None:
        """Let the tunnel bring the driver's last words to the head. It ends by itself if that
        takes longer."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
            self._clean()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # and the `ssh` that it started
        self._process.wait()
        self.close(0)

    def _said(self, seconds: float) -> str:
        out = self._process.stdout
        assert out is not None
        if out.closed or not select.select([out], [], [], seconds)[0]:
            return ""
        return out.readline().decode().strip()

    def _clean(self) -> None:
        """After a tunnel that was killed."""
        _remove(self.folder)


def attach(place: str, mine: Build, timing: Timing = Timing()) -> Line:  # noqa: B008
    """A tunnel to the head that a connection file or an ssh:// address names. Blocks until the
    head answers, 10 s at most beside what ssh takes. Raises AddressError."""
    if not place.startswith(ssh.PREFIX):
        return _attach(addresses.read(place), None, mine, timing)
    where = ssh.place(place)
    address = ssh.start(where, SSH_TTL)
    try:
        return _attach(address, where, mine, timing)
    except BaseException:
        ssh.stop(where, address.session)
        raise


def _attach(address: Address, where: Place | None, mine: Build, timing: Timing) -> Line:
    why = addresses.why_not(address, mine)
    if why:
        raise AddressError(why)
    folder = _folder()
    settings = TunnelSettings(str(folder), _arena_name(folder), address, mine, where, tuple(timing))
    path = msgspec.json.encode(sys.path).decode()
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", _BOOT, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            start_new_session=True, cwd="/",
        )  # fmt: skip
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise AddressError(f"the tunnel to the head did not start: {error}") from None
    line = Line(folder, process, address, where is not None)
    try:
        assert process.stdin is not None
        with process.stdin as stdin:
            stdin.write(msgspec.json.encode(settings))
        line.await_ready(timing.answer + _STARTUP)
    except BrokenPipeError:
        line.kill()
        raise AddressError("the tunnel to the head did not start") from None
    except BaseException:
        line.kill()
        raise
    return line


def _folder() -> Path:
    """A folder for this driver's next tunnel. Sweeps what dead ones left."""
    far = session.root("-far")
    for old in far.iterdir():
        pid = old.name.partition("-")[0]
        if pid.isdigit() and not session.pid_alive(int(pid)) and _is_stale(old):
            _remove(old)
    folder = far / f"{os.getpid()}-{os.urandom(4).hex()}"
    folder.mkdir(mode=0o700)
    return folder


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    session.arena_in_memory(_arena_name(folder)).unlink(missing_ok=True)


def _is_stale(folder: Path) -> bool:
    """Whether its tunnel, which may still bring a dead driver's last words, is dead as well."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(folder / "head.sock"))
        except OSError:
            return True
    return False


def _arena_name(folder: Path) -> str:
    return f"far-{folder.name}"
