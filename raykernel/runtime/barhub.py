"""Progress bars on their way out of the process that moves them.

A bar that moved says so once, and a thread sends all that moved every `INTERVAL`: moving one costs
a comparison, however often, and the last state is sent also when the code that moves it rests. The
thread ends when nothing has moved for a while, so that a driver has none left over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from .events import BarInfo

INTERVAL = 0.1
_PATIENCE = 5  # intervals without a move before the thread ends


class Bar(Protocol):
    moved: bool  # since it was last sent; set by whoever moves it, before it tells the hub
    interval: float  # seconds between two of its states, at least
    sent: float  # when it was last sent, monotonic

    def info(self) -> BarInfo: ...


class BarHub:
    """`send` takes the states of bars, in any thread."""

    def __init__(self, send: Callable[[list[BarInfo]], None]) -> None:
        self._send = send
        self._lock = threading.Lock()  # guards _moved and _running
        self._moved: list[Bar] = []
        self._running = False

    def note(self, bar: Bar) -> None:
        """A bar moved that had not moved since it was last sent."""
        with self._lock:
            self._moved.append(bar)
            if self._running:
                return
            self._running = True
        threading.Thread(target=self._run, name="raykernel-bars", daemon=True).start()

    def flush(self) -> None:
        """Send what moved, all of it."""
        with self._lock:
            bars, self._moved = self._moved, []
        self._tell(bars)

    def last(self, info: BarInfo) -> None:
        """Send the last state of a bar at once."""
        self._send([info])

    def _tell(self, bars: list[Bar]) -> None:
        states = []
        for bar in bars:
            bar.moved = False  # first: a move from here on counts again
            bar.sent = time.monotonic()
            state = bar.info()
            if not state.closed:  # which was told at once
                states.append(state)
        if states:
            self._send(states)

    def _run(self) -> None:
        idle = 0
        while True:
            now = time.monotonic()
            with self._lock:
                due = [bar for bar in self._moved if now - bar.sent >= bar.interval]
                self._moved = [bar for bar in self._moved if now - bar.sent < bar.interval]
                idle = 0 if due or self._moved else idle + 1
                if idle > _PATIENCE:
                    self._running = False
                    return
            try:
                self._tell(due)
            except Exception:  # the session is over
                with self._lock:
                    self._running = False
                return
            time.sleep(INTERVAL)
