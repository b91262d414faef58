"""The head's shell: sockets and processes around the scheduler.

One thread, one loop: wait for whatever speaks, hand it to the scheduler, carry out its
instructions, then send each peer all it is to get in one frame. Nothing here blocks, and nothing
decides; what would block, the files of spilled objects, has a thread of its own (spiller.py). The
zygote is at the other end of a socket pair; it forks workers, reports their ends, and cleans up
when this process is gone, however it went.
"""

from __future__ import annotations

import contextlib
import gc
import math
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from . import journal, logfiles, session, shm
from . import messages as m
from .attach import Build
from .ids import NODE_BYTES, IdFactory
from .instructions import (
    Discard,
    Instruction,
    Send,
    SignalWorker,
    Spill,
    StartWorker,
    Stop,
    Unlink,
)
from .poller import READ, WRITE, Poller
from .scheduler import Scheduler
from .settings import Settings
from .spiller import Spiller
from .wire import Framer, WireError, encode

_CHUNK = 1 << 18
#: Nearly all that the head keeps is freed by its counts; the usual thresholds would have the
#: collector walk over all waiting tasks again and again, for 40 % of the time of a million.
_COLLECT = (50_000, 20, 20)
_BACKLOG = 4 << 20  # bytes; a driver that is so far behind gets no task output until it has read


class Connection:
    """One peer: its socket, the bytes on their way, and who it is."""

    __slots__ = ("client", "framer", "out", "received", "sock", "writing")

    def __init__(self, sock: socket.socket, kind: Any) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.framer: Framer[Any] = Framer(kind)
        self.received = 0  # bytes
        self.out = bytearray()
        self.writing = False
        self.client = b""


class Head:
    """Runs until the scheduler says stop. Owned by the head process's only thread."""

    def __init__(self, settings: Settings, zygote: socket.socket, ready: int) -> None:
        self.folder = Path(settings.folder)
        arena = Path(settings.arena)
        shm.create(str(arena), settings.capacity)
        self._reclaimer: shm.Reclaimer | None = None
        self._spiller: Spiller | None = None
        self._arena = (str(arena), settings.capacity)
        welcome = m.Welcome(
            settings.name, settings.folder, os.urandom(NODE_BYTES).hex(), str(arena),
            settings.capacity, settings.job, settings.total, settings.namespace, settings.spill,
        )  # fmt: skip
        self.scheduler = Scheduler(
            clock=time.time, ids=IdFactory(), total=settings.total, welcome=welcome,
            ttl=settings.ttl, prestart=settings.prestart,
        )  # fmt: skip
        self.scheduler.life.begin(time.time())
        self._inbox = memoryview(bytearray(_CHUNK))
        self._poller = Poller()
        self._connections: dict[int, Connection] = {}
        self._clients: dict[bytes, Connection] = {}
        self._pending: dict[Connection, list[Any]] = {}
        self._stopped = False
        self._orphaned = False
        self._zygote = Connection(zygote, m.FromZygote)
        self._watch(self._zygote)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.folder / "head.sock"))
        self._listener.listen(1024)
        self._listener.setblocking(False)
        self._poller.add(self._listener.fileno())
        build = Build.mine(settings.version)
        self._info = session.SessionInfo(
            settings.name, os.getpid(), settings.driver, time.time(), settings.folder, str(arena),
            ttl=settings.ttl, home=settings.home, python=build.python, raykernel=build.raykernel,
            prefix=build.prefix, cpus=settings.total.get("CPU", 0.0),
        )  # fmt: skip
        session.write(self.folder, self._info)
        self._do(self.scheduler.start_workers(settings.prestart))
        self._flush()
        os.write(ready, b"ready\n")
        os.close(ready)

    def run(self) -> None:
        scheduler, connections = self.scheduler, self._connections
        wait, listener = self._poller.wait, self._listener.fileno()
        now = time.time()
        due = math.inf  # the soonest that a turn since the last tick asked for
        while not self._stopped:
            timeout = scheduler.next_tick()
            if timeout is not None and now + timeout < due:
                due = now + timeout
            for fd, mask in wait(timeout):
                connection = connections.get(fd)
                if connection is None:  # closed in this very turn, or somebody new
                    if fd == listener:
                        self._accept()
                    elif self._spiller is not None and fd == self._spiller.fileno():
                        self._spiller.results(self._spilled, self._spill_failed)
                elif mask & WRITE and not self._write(connection):
                    continue
                elif mask & READ:
                    self._read(connection)
            if timeout is not None:
                now = time.time()
                if now >= due:
                    due = math.inf
                    self._do(scheduler.tick(now))
                self._describe()
            self._flush()
        self._close()

    # -- in ------------------------------------------------------------------------------------

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # nobody more, or no file descriptor for them
            while True:
                sock, _ = self._listener.accept()
                if session.peer_uid(sock) != os.getuid():
                    sock.close()
                    continue
                self._watch(Connection(sock, m.ToHead))

    def _watch(self, connection: Connection) -> None:
        fd = connection.sock.fileno()
        self._connections[fd] = connection
        self._poller.add(fd)

    def _read(self, connection: Connection) -> bool:
        """Handle what can be read at once; False when there is nothing (more) to come."""
        try:
            size = connection.sock.recv_into(self._inbox)
        except BlockingIOError:
            return False
        except OSError:
            size = 0
        if not size:
            self._lost(connection)
            return False
        connection.received += size
        return self._take(connection, self._inbox[:size])

    def _take(self, connection: Connection, data: bytes | memoryview) -> bool:
        try:
            messages = connection.framer.feed(data)
            if messages:
                self._hear(connection, messages)
        except WireError as error:
            print(f"a peer sent nonsense and is cut off: {error}", file=sys.stderr, flush=True)
            self._lost(connection)
            return False
        return True

    def _hear(self, connection: Connection, messages: list[Any]) -> None:
        if connection is self._zygote:
            self._hear_zygote(messages)
            return
        if not connection.client:
            hello = messages.pop(0)
            if not isinstance(hello, m.Hello) or hello.id in self._clients:
                raise WireError("no greeting")
            connection.client = hello.id
            self._clients[hello.id] = connection
            self._do(self.scheduler.hello(hello))
            self._describe()
        if messages:
            self._do(self.scheduler.handle(connection.client, messages))

    def _hear_zygote(self, messages: list[Any]) -> None:
        for message in messages:
            if isinstance(message, m.Died):
                connection = self._clients.get(message.worker)
                if connection is not None:
                    while self._read(connection):  # its last words come first
                        pass
                    self._read_unsent(connection)
                    self._forget(connection)
                self._last_words(message.worker)
                self._do(self.scheduler.worker_died(message.worker, message.status))

    def _last_words(self, worker_id: bytes) -> None:
        """Bring what a worker wrote and could not tell of any more: it lies in its log files."""
        worker = self.scheduler.dispatcher.workers.get(worker_id)
        if worker is None or not worker.pid:
            return
        spec = worker.first.spec if worker.first is not None else None
        texts = logfiles.last_words(str(self.folder), worker.pid, worker.logged, spec)
        if texts:
            self._do(self.scheduler.last_words(worker_id, texts))

    def _lost(self, connection: Connection) -> None:
        client = connection.client
        if connection is self._zygote:
            self._stopped = self._orphaned = True  # nobody can fork or reap any more
            return
        self._read_unsent(connection)
        self._forget(connection)
        if client:
            self._do(self.scheduler.disconnected(client))
            self._describe()

    def _read_unsent(self, connection: Connection) -> None:
        """Handle what a worker kept for us, and can't send any more (journal.py)."""
        unsent = journal.rest(str(self.folder), connection.client, connection.received)
        if unsent:
            connection.received += len(unsent)
            self._take(connection, unsent)

    def _forget(self, connection: Connection) -> None:
        if connection.sock.fileno() < 0:
            return
        fd = connection.sock.fileno()
        self._poller.remove(fd)
        del self._connections[fd]
        connection.sock.close()
        self._pending.pop(connection, None)
        if connection.client:
            self._clients.pop(connection.client, None)

    def _describe(self) -> None:
        """Keep what `raykernel sessions` says of the session true."""
        life, info = self.scheduler.life, self._info
        home = session.Home(*life.home) if life.home is not None else info.home
        said = (info.ttl, info.drivers, info.idle_since, info.home)
        now = (life.ttl, life.drivers, life.idle_since, home)
        if life.born and said != now and not self._stopped:
            info.ttl, info.drivers, info.idle_since, info.home = now
            with contextlib.suppress(OSError):
                session.write(self.folder, info)

    # -- out -----------------------------------------------------------------------------------

    def _do(self, instructions: Iterable[Instruction]) -> None:
        pending, clients = self._pending, self._clients
        for instruction in instructions:
            kind = type(instruction)
            if kind is Send:
                connection = clients.get(instruction.to)  # type: ignore[union-attr]
                if connection is not None:
                    queue = pending.get(connection)
                    if queue is None:
                        pending[connection] = [instruction.message]  # type: ignore[union-attr]
                    else:
                        queue.append(instruction.message)  # type: ignore[union-attr]
            else:
                self._do_rarely(instruction)

    def _do_rarely(self, instruction: Instruction) -> None:
        match instruction:
            case StartWorker(worker, env):
                self._pending.setdefault(self._zygote, []).append(m.Fork(worker, env))
            case SignalWorker(worker, number):
                # what was said before the signal must be there when it is felt
                connection = self._clients.get(worker)
                if connection is not None and number != signal.SIGKILL:
                    self._flush_one(connection)
                self._pending.setdefault(self._zygote, []).append(m.Signal(worker, number))
            case Discard(offset, size):
                if self._reclaimer is None:
                    self._reclaimer = shm.Reclaimer(*self._arena)
                self._reclaimer.discard(offset, size)
            case Spill() | Unlink():
                if self._spiller is None:
                    self._spiller = Spiller(self._arena[0], self.scheduler.welcome.spill)
                    self._poller.add(self._spiller.fileno())
                self._spiller.do(instruction)
            case Stop(reason):
                print(f"the session ends: {reason}", file=sys.stderr, flush=True)
                self._stopped = True

    def _spilled(self, file: str, name: str) -> None:
        self._do(self.scheduler.spilled(file, name))

    def _spill_failed(self, file: str, why: str, full: bool) -> None:
        print(f"an object could not be moved to disk: {why}", file=sys.stderr, flush=True)
        self._do(self.scheduler.spill_failed(file, why, full))

    def _flush(self) -> None:
        if not self._pending:
            return
        pending, self._pending = self._pending, {}
        for connection, messages in pending.items():
            self._send(connection, messages)

    def _flush_one(self, connection: Connection) -> None:
        messages = self._pending.pop(connection, None)
        if messages:
            self._send(connection, messages)

    def _send(self, connection: Connection, messages: list[Any]) -> None:
        """Send a frame, at once if the socket takes it whole, as it nearly always does."""
        frame = encode(messages)
        if not connection.out:
            try:
                sent = connection.sock.send(frame)
            except OSError:  # full, or gone: the long way finds out
                sent = 0
            if sent == len(frame):
                return
            del frame[:sent]
        elif len(connection.out) > _BACKLOG:
            frame = encode([each for each in messages if type(each) is not m.Logs])
        connection.out += frame
        if not connection.writing:
            self._write(connection)

    def _write(self, connection: Connection) -> bool:
        """Send what fits; the rest when the peer has read. False if the peer is gone."""
        out = connection.out
        try:
            while out:
                sent = connection.sock.send(out)
                if sent == len(out):
                    out.clear()
                else:
                    del out[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self._lost(connection)
            return False
        if bool(out) != connection.writing:
            connection.writing = bool(out)
            self._poller.watch_writing(connection.sock.fileno(), bool(out))
        return True

    def _close(self) -> None:
        """Leave. The zygote sees it, ends the workers and removes the session's files."""
        self._flush()
        self._listener.close()
        with contextlib.suppress(OSError):
            (self.folder / "head.sock").unlink()
        self._zygote.sock.close()
        self._poller.close()
        if self._orphaned:
            session.remove(self.folder, Path(self._arena[0]))
            os.killpg(0, signal.SIGKILL)


def main(settings: Settings, zygote: socket.socket, ready: int) -> None:
    """Entry of the head process, forked from the zygote."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    # a connection per worker, and a worker per actor: the usual limit of 1,024 files is too low
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    gc.set_threshold(*_COLLECT)
    Head(settings, zygote, ready).run()
