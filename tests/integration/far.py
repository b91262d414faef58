"""Heads on other machines, for the tests: what runs one, and the line that leads to it.

A `Line` is a relay of bytes in this process, between a real `raykernel head` and a real tunnel. A
`Network` is a machine of its own as far as addresses go: a network namespace behind a virtual cable
that is slow and loses packets, which root can make on Linux. Both can be cut and mended.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import msgspec
import psutil
import pytest

import raykernel
from raykernel.runtime import context
from raykernel.runtime.engines import remote
from raykernel.runtime.remote import address as addresses
from raykernel.runtime.remote.stream import Timing

#: For the driver's side. The heads here have what heads have.
QUICK = Timing(beat=0.2, silence=1.0, comeback=4.0, answer=1.5)


class Way(Protocol):
    """How a driver gets to a head."""

    def cut(self) -> None:
        """Nothing gets through any more, and nothing can be made anew."""

    def mend(self) -> None: ...


class Line:
    """Relays tcp connections to `port`; what passes takes `delay` seconds."""

    def __init__(self, port: int, delay: float = 0.0) -> None:
        self.delay = delay
        self.passed = 0
        self._to = port
        self._stalled = threading.Event()
        self._ended = False
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._refuses = False
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._ended:
            if not select.select([self._listener], [], [], 0.05)[0]:
                continue
            near, _ = self._listener.accept()
            if self._refuses or self._ended:
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self._to))
            self._pairs.append((near, far))
            self._start(self._carry, near, far)
            self._start(self._carry, far, near)

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        late: deque[tuple[float, bytes]] = deque()
        try:
            while True:
                wait = max(0.0, late[0][0] - time.monotonic()) if late else None
                sources = [source] if len(late) < 8 else []  # what a line holds: 20 MiB/s
                if select.select(sources, [], [], wait)[0]:
                    data = source.recv(1 << 16)
                    if not data:
                        break
                    late.append((time.monotonic() + self.delay, data))
                while late and late[0][0] <= time.monotonic():
                    while self._stalled.is_set() and not self._ended:
                        time.sleep(0.02)
                    data = late.popleft()[1]
                    sink.sendall(data)
                    self.passed += len(data)
        except (OSError, ValueError):
            pass  # cut
        for each in (source, sink):
            with suppress(OSError):  # the other direction may wait for it
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def snap(self) -> None:
        """Break all connections there are."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for each in pair:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        self._refuses = True
        self.snap()

    def stall(self) -> None:
        """Nothing passes any more over the connections there are, and nothing breaks."""
        self._stalled.set()

    def mend(self) -> None:
        self._stalled.clear()
        self._refuses = False

    def close(self) -> None:
        self._ended = True
        self.cut()
        for thread in self._threads:
            thread.join(5)
        self._listener.close()


class NoNetwork(Exception):
    """This machine doesn't let us make one; the text says why."""


class Network:
    """A network namespace at the end of a cable that takes `delay` seconds each way and loses that
    share of the packets each way. `host` is its address. Raises NoNetwork."""

    def __init__(self, delay: float, loss: float) -> None:
        self.name = f"rk{os.getpid()}"
        self._near, self._far = f"rk{os.getpid()}n", f"rk{os.getpid()}f"
        net = f"10.77.{os.getpid() // 64 % 256}"
        last = os.getpid() % 64 * 4  # four addresses for each run of tests
        near, self.host = f"{net}.{last + 1}", f"{net}.{last + 2}"
        self._cable: subprocess.Popen[str] | None = None
        try:
            _run("ip", "netns", "add", self.name)
            try:
                self._lay_cable(delay, loss)
            except NoNetwork:  # this kernel has no netem
                self._lay_our_own(delay, loss)
            point = ("peer", f"{self.host}/32"), ("peer", f"{near}/32")
            _run("ip", "addr", "add", near, *point[0], "dev", self._near)
            _run(*self.enter, "ip", "addr", "add", self.host, *point[1], "dev", self._far)
            _run("ip", "link", "set", self._near, "up")
            _run(*self.enter, "ip", "link", "set", self._far, "up")
            _run(*self.enter, "ip", "link", "set", "lo", "up")
        except BaseException:
            self.close()
            raise

    def _lay_cable(self, delay: float, loss: float) -> None:
        _run("ip", "link", "add", self._near, "type", "veth", "peer", "name", self._far)
        slow = ("root", "netem", "delay", f"{delay * 1000}ms", "loss", f"{loss * 100}%")
        try:
            _run("tc", "qdisc", "add", "dev", self._near, *slow)
        except NoNetwork:
            _run("ip", "link", "del", self._near)
            raise
        _run("ip", "link", "set", self._far, "netns", self.name)
        _run(*self.enter, "tc", "qdisc", "add", "dev", self._far, *slow)

    def _lay_our_own(self, delay: float, loss: float) -> None:
        command = [sys.executable, "-m", "tests.integration.cable", self._near, self._far]
        self._cable = subprocess.Popen(
            [*command, str(delay), str(loss)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert self._cable.stdout is not None
        assert self._cable.stderr is not None
        if not self._cable.stdout.readline():
            raise NoNetwork(self._cable.stderr.read())
        _run("ip", "link", "set", self._far, "netns", self.name)

    @property
    def enter(self) -> tuple[str, ...]:
        """What to put before a command that is to run there."""
        return ("ip", "netns", "exec", self.name)

    def cut(self) -> None:
        """At the far end: were it the near one, packets would look for another way."""
        _run(*self.enter, "ip", "link", "set", self._far, "down")

    def mend(self) -> None:
        _run(*self.enter, "ip", "link", "set", self._far, "up")

    def close(self) -> None:
        """Also what was made in part."""
        if self._cable is not None:
            self._cable.kill()
            self._cable.communicate()
        for command in (("link", "del", self._near), ("netns", "del", self.name)):
            with suppress(NoNetwork):
                _run("ip", *command)


def _run(*command: str) -> None:
    if os.geteuid() != 0 or shutil.which(command[0]) is None:
        raise NoNetwork("only root can, with ip and tc")
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    if done.returncode:
        raise NoNetwork(f"{' '.join(command)}: {done.stderr.strip()}")


@contextmanager
def running_head(
    folder: Path, *options: str, enter: Sequence[str] = ()
) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A head of 2 CPUs, and its connection file. `enter`: what goes before its command."""
    file = folder / "head.json"
    command = [*enter, sys.executable, "-m", "raykernel", "head", "-n", "2"]
    command += ["--connection-file", str(file), "--object-store-memory", str(1 << 29), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert "is open to other machines" in process.stdout.readline()
            yield process, file
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)
    assert not file.exists() or process.returncode == -signal.SIGKILL


@contextmanager
def through(file: Path, delay: float = 0.0) -> Iterator[tuple[Line, Path]]:
    """A line to a head, and a connection file that leads over it."""
    address = addresses.read(str(file))
    line = Line(int(address.address.rpartition(":")[2]), delay)
    other = file.with_name(f"line-{line.port}.json")
    addresses.write(other, msgspec.structs.replace(address, address=f"tcp://127.0.0.1:{line.port}"))
    try:
        yield line, other
    finally:
        line.close()
        other.unlink()


@contextmanager
def far_head(folder: Path, delay: float = 0.025, loss: float = 0.01) -> Iterator[tuple[Way, Path]]:
    """A head `delay` seconds away, and a connection file that leads there: across a network
    namespace that loses packets, or where this machine has none, over a slow line."""
    try:
        network = Network(delay, loss)
    except NoNetwork:
        with running_head(folder) as (_, file), through(file, delay) as (line, other):
            yield line, other
        return
    try:
        where = ("--listen", f"tcp://{network.host}:0")
        with running_head(folder, *where, enter=network.enter) as (_, file):
            yield network, file
    finally:
        network.close()


@contextmanager
def driver(
    file: Path, monkeypatch: pytest.MonkeyPatch, timing: Timing = QUICK
) -> Iterator[ModuleType]:
    plain = remote.connect
    monkeypatch.setattr(remote, "connect", lambda *args: plain(*args, timing))
    try:
        raykernel.init(address=str(file))
        yield raykernel
    finally:
        raykernel.shutdown()
        monkeypatch.setattr(remote, "connect", plain)


def tunnel() -> int:
    """The process id of this driver's tunnel."""
    engine = context.engine
    assert isinstance(engine, remote.RemoteEngine)
    return engine._line._process.pid


def until_it_dials() -> None:
    """Wait until the tunnel has taken its connection for lost: it has none, or tries another."""
    process = psutil.Process(tunnel())
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if not any(c.status == psutil.CONN_ESTABLISHED for c in process.net_connections("tcp")):
            return
        time.sleep(0.02)
    raise AssertionError("the tunnel holds on to its connection")
