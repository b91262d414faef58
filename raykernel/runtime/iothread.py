"""The thread beside a connection: it sends what was left queued, and reads when nobody else does.

In a driver it always reads, so that logs, events and futures arrive while no one waits; it steps
aside for a while as soon as somebody else reads, since a waiting thread that has to share the
socket with another pays for it at each call. In a worker it reads only while somebody waits for a
callback. Two wake-ups: a queue's item while it sleeps, a byte through a socket pair while it polls.
(No event: `threading.Event` is written in Python, and an interruption of the main thread within
`set` would leave its lock taken for good.)
"""

from __future__ import annotations

import contextlib
import queue
import select
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .transport import Transport

FLUSH_DELAY = 0.001
_IDLE_POLL = 0.1  # how often it looks for refs that went while nothing else happened
_LONG_NAP = 1.6  # the same in a worker where nothing happens: there may be a thousand of them
_STEP_ASIDE = 0.05


class IoThread:
    """See the head comment. `reads`: always, as in a driver."""

    def __init__(self, client: Transport, reads: bool) -> None:
        self.flushing = False
        self._client = client
        self._reads = reads
        self._stop = False
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._polling = False
        self._socks = socket.socketpair()
        for sock in self._socks:
            sock.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="raykernel-io", daemon=True)
        self._thread.start()

    def flush_soon(self) -> None:
        self.flushing = True
        self._rouse()

    def attend(self) -> None:
        """Somebody waits for a callback: read at once. While callbacks are open, the thread
        doesn't step aside."""
        self._rouse()

    def _rouse(self) -> None:
        if self._polling:
            with contextlib.suppress(OSError):
                self._socks[1].send(b"!")
        else:
            self._wake.put(None)

    def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(queue.Empty):
            self._wake.get(timeout=seconds)
            while True:
                self._wake.get_nowait()

    def stop(self) -> None:
        self._stop = True
        self._wake.put(None)
        with contextlib.suppress(OSError):
            self._socks[1].send(b"!")
        if threading.current_thread() is not self._thread:
            self._thread.join()
        for sock in self._socks:
            sock.close()

    def _run(self) -> None:
        client = self._client
        poller = select.poll()
        poller.register(self._socks[0], select.POLLIN)
        poller.register(client._sock, select.POLLIN)
        turn = client._turn
        nap = _IDLE_POLL
        while not self._stop and not client.closed:
            if self.flushing:
                self._sleep(FLUSH_DELAY)
                self.flushing = False
                client.flush()
            others = client._turn != turn
            turn = client._turn
            if not client.awaited() and (others or not self._reads):
                # somebody else has been reading, or will: look again in a while
                self._sleep(_STEP_ASIDE if self._reads else nap)
                nap = _IDLE_POLL if client._out or self.flushing else min(2 * nap, _LONG_NAP)
                if not self.flushing:
                    client.flush()
                continue
            self._polling = True
            waiting = 0.0 if self.flushing or self._stop else _IDLE_POLL * 1000
            events = poller.poll(waiting)
            self._polling = False
            with contextlib.suppress(BlockingIOError):
                self._socks[0].recv(4096)
            if events:
                before = client._turn
                client.poll_now()
                if client._turn != before:
                    turn = client._turn
            if not self.flushing:
                client.flush()
