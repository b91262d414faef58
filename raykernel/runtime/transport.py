"""A process's socket to the head: what leaves in which frame, and who reads.

Sending: messages are appended to a list (one atomic step, from any thread, even from a finalizer)
and leave in one frame at the next flush. The first message after a quiet moment leaves at once;
those that follow on its heels wait for company: a full batch, a blocking call, or `FLUSH_DELAY`.
What must not be lost with the process waits in a journal (journal.py).

Receiving: there is no thread between the socket and who waits. Whoever waits takes the reader's
role, reads for all, and wakes the others. When nobody waits, a driver's IO thread reads, so that
logs, events and futures arrive; it steps aside for a while as soon as somebody else reads.

Thread-safe where not said otherwise. What the messages mean is up to the classes above (waiting.py,
looking.py, client.py), which say how to fold what leaves and process what came.
"""

from __future__ import annotations

import contextlib
import mmap
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from . import messages as m
from .connection import ConnectionLost
from .guard import Guard, is_main_thread
from .iothread import IoThread
from .journal import SIZE, Journal
from .spinning import Spinner
from .wire import Framer, encode

_CHUNK = 1 << 18
BATCH = 128
QUIET = 0.00005


class Transport:
    """One connected socket. `on_message` gets what is not for the classes above, and None when the
    session is lost."""

    def __init__(
        self, path: str, guard: Guard | None, on_message: Callable[[Any], None] | None
    ) -> None:
        self.guard = guard or Guard(swap_sigint=True)
        self.closed = ""
        self.on_message = on_message
        self._out: list[Any] = []
        self._sent = 0  # bytes so far
        self._staged = bytearray()  # frames that lie in the journal, to be sent
        # guards flushing (the fold, the bytes' order), and what the fold looks at
        self._send_lock = threading.Lock()
        self._again = False  # the last fold may have made more to send
        self._answered = False  # something was queued in reply to the head
        self._reader = threading.Lock()  # held by who reads the socket
        self._arrived = threading.Condition()  # those who wait while another reads
        self._sleepers = 0
        self._turn = 0  # batches processed so far
        self._last_post = 0.0
        self._due: deque[Callable[[], None]] = deque()
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sock.connect(path)
        self._sock.setblocking(False)
        self._framer: Framer[Any] = Framer(m.ToClient)
        # kept: a fresh buffer for each `recv` costs three system calls and a page fault. Mapped: a
        # bytearray is filled with zeros first, for one in twenty of a young worker's page faults
        self._inbox = memoryview(mmap.mmap(-1, _CHUNK, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        self._poller = select.poll()
        self._poller.register(self._sock, select.POLLIN)
        self._spinner = Spinner(self._poller.poll)
        self._main_poller: select.poll | None = None
        self._io: IoThread | None = None

    # -- for the classes above -----------------------------------------------------------------

    def _fold(self, out: list[Any]) -> list[Any]:
        """What was queued, as messages in the order they are to leave. Under the send lock."""
        return out

    def _process(self, messages: list[Any]) -> None:
        """What came. Called by who reads."""
        raise NotImplementedError

    def _lost(self) -> None:
        """The session is gone, and `closed` says why."""

    def _let_all_go(self) -> None:
        """The connection is about to end: give up what came by it."""

    def awaited(self) -> bool:
        """Whether somebody waits for a callback: then the IO thread doesn't step aside."""
        return False

    # -- out -----------------------------------------------------------------------------------

    def post(self, message: Any) -> None:
        """Queue a message; it leaves at once if nothing left just before, else soon."""
        self._out.append(message)
        now = time.perf_counter()
        before, self._last_post = self._last_post, now
        if now - before > QUIET or len(self._out) >= BATCH:
            self.flush()
        elif self._io is None or not self._io.flushing:
            self._io_thread().flush_soon()

    def queue(self, message: Any) -> None:
        """Queue a message for the next flush, whenever that is."""
        self._out.append(message)

    def flush(self) -> None:
        """Send all that is queued. Blocks while the socket is full."""
        if not self._out and not self._staged:
            return
        with self.guard, self._send_lock:
            while True:
                out, self._out = self._out, []
                if not (out or self._staged) or self.closed:
                    return
                self._again = False
                frame = encode(self._fold(out)) if out else bytearray()
                if self._staged:
                    frame, self._staged = self._staged + frame, bytearray()
                if not self._send(frame) or not self._again:
                    return

    def _send(self, frame: bytearray) -> bool:
        self._sent += len(frame)
        data = memoryview(frame)
        while data:
            try:
                data = data[self._sock.send(data) :]
            except BlockingIOError:
                select.select([], [self._sock], [])
            except OSError:
                self._lose("the connection to the session's head broke")
                return False
        return True

    def stage(self, journal: Journal) -> None:
        """Bring what is queued where it outlives this process, and send it soon."""
        with self.guard, self._send_lock:
            out, self._out = self._out, []
            if not out or self.closed:
                return
            frame = encode(self._fold(out))
            if len(self._staged) + len(frame) > SIZE:
                frame, self._staged = self._staged + frame, bytearray()
                self._send(frame)
                return
            journal.write(self._sent + len(self._staged), frame)
            self._staged += frame
        if self._io is None or not self._io.flushing:
            self._io_thread().flush_soon()

    # -- in ------------------------------------------------------------------------------------

    def turn(self) -> int:
        """Note this before looking for what you wait for, and give it to `pump`."""
        return self._turn

    def pump(self, seen: int, timeout: float | None, spin: bool = False) -> None:
        """Wait until a batch after turn `seen` was processed, or `timeout` seconds. `spin`: see
        spinning.py; for one thread only.

        Raises ConnectionLost. In the main thread returns early when an interruption was noted.
        """
        if self.closed:
            raise ConnectionLost(self.closed)
        self._pump(seen, timeout, spin)

    def _pump(self, seen: int, timeout: float | None, spin: bool = False) -> None:
        if not self._reader.acquire(blocking=False):
            with self._arrived:
                # who holds the role gives it up before it looks for sleepers: either it sees this
                # one, or the role is free now
                self._sleepers += 1
                try:
                    if self._turn != seen or self.closed:
                        return
                    if not self._reader.acquire(blocking=False):
                        self._arrived.wait(timeout)
                        return
                finally:
                    self._sleepers -= 1
        try:
            if self._turn == seen and not self.closed:
                self._read(timeout, spin)
        finally:
            self._hand_over()

    def _hand_over(self) -> None:
        self._reader.release()
        if self._answered:
            self._answered = False
            self.flush()
        if self._sleepers:
            with self._arrived:
                self._arrived.notify_all()
        # callbacks may run user code: not while holding the reader's role
        while self._due:
            try:
                callback = self._due.popleft()
            except IndexError:
                return
            callback()

    def _read(self, timeout: float | None, spin: bool) -> None:
        """Wait for data and process it. The caller has the reader's role."""
        milliseconds = None if timeout is None else max(0, int(timeout * 1000 + 0.999))
        if is_main_thread() and self.guard.deferring:
            if self._main_poller is None:
                self._main_poller = select.poll()
                self._main_poller.register(self._sock, select.POLLIN)
                self._main_poller.register(self.guard.wake_fd(), select.POLLIN)
            events = self._main_poller.poll(milliseconds)
        elif spin:
            events = self._spinner.wait(milliseconds)
        else:
            events = self._poller.poll(milliseconds)
        if events:
            self._receive()

    def _receive(self) -> None:
        try:
            size = self._sock.recv_into(self._inbox)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            size = 0
        if not size:
            self._lose("the session's head is gone")
            return
        messages = self._framer.feed(self._inbox[:size])
        if messages:
            self._process(messages)
            self._turn += 1

    def poll_now(self) -> bool:
        """Process what has arrived, without waiting. False, and nothing is done, while another
        thread reads, or this one in what it was doing when a signal came."""
        if not self._reader.acquire(blocking=False):
            return False
        try:
            while self._poller.poll(0) and not self.closed:
                self._receive()
        finally:
            self._hand_over()
        return True

    def _lose(self, reason: str) -> None:
        self.closed = self.closed or reason
        self._lost()
        if self.on_message is not None:
            self.on_message(None)

    # -- the end -------------------------------------------------------------------------------

    def _io_thread(self) -> IoThread:
        if self._io is None:
            self._io = IoThread(self, reads=False)
        return self._io

    def start_io(self) -> None:
        """Read in the background whenever nobody waits. For drivers."""
        self._io = IoThread(self, reads=True)

    def close(self) -> None:
        """Send what is left, and end the connection. What is queued from here on is dropped."""
        self.flush()
        self.closed = self.closed or "the session was shut down"
        if self._io is not None:
            self._io.stop()
        with self._arrived:
            self._arrived.notify_all()
        self._let_all_go()
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
        self.guard.close()
        self._lose(self.closed)
        while self._due:
            self._due.popleft()()
        self._out = _Sink()  # type: ignore[assignment]


class _Sink:
    """Takes the last words of refs that outlive their session."""

    def append(self, item: object) -> None:
        pass

    def __len__(self) -> int:
        return 0
