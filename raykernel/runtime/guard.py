"""Where a signal may not strike: deferring interruptions while bytes are on the move.

A `KeyboardInterrupt` raised between `recv` and the line that keeps what it returned would lose a
piece of the stream, and the session with it. So the client does such things under a guard. In a
driver's main thread the guard puts a handler in SIGINT's place that only takes note (and wakes the
poll that may be waiting); when the last guard is left, the handler that was there before gets its
signal. In a worker the control signal is the engine's own: its handler asks `deferring` first.

Other threads never receive Python-level signals: for them a guard costs a comparison.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

# The functions behind those of `signal`, which turn numbers into enums and back for 10 us a call: a
# `get` in a driver comes through here twice.
_signal = importlib.import_module("_signal")
getsignal, set_handler = _signal.getsignal, _signal.signal
SIGINT, SIG_IGN = int(signal.SIGINT), int(signal.SIG_IGN)

_main = threading.main_thread().ident


class Guard:
    """One per process; use as a context manager, nested as needed."""

    def __init__(self, swap_sigint: bool) -> None:
        self.depth = 0
        self.noted = False
        self.on_strike: Callable[[], None] | None = None  # the worker's way to strike
        self._swap = swap_sigint
        self._previous: Any = None
        self._pipe: tuple[int, int] | None = None

    @property
    def deferring(self) -> bool:
        return self.depth > 0

    def wake_fd(self) -> int:
        """Becomes readable when an interruption was noted. For the main thread's poll."""
        if self._pipe is None:
            self._pipe = os.pipe()
            os.set_blocking(self._pipe[0], False)
            os.set_blocking(self._pipe[1], False)
        return self._pipe[0]

    def __enter__(self) -> None:
        if threading.get_ident() != _main:
            return
        # An interruption may strike until the handler is set: whoever is out of here by one must
        # leave no depth behind, for nothing would take it back and no guard would guard again.
        if self.depth == 0 and self._swap:
            if self.noted:  # of two that came at a guard's end, the other one has struck
                self._clear()
            previous = getsignal(SIGINT)
            if previous is not None and previous != SIG_IGN:
                self._previous = previous
                set_handler(SIGINT, self._note)
        self.depth += 1

    def __exit__(self, *exc: object) -> None:
        if threading.get_ident() != _main:
            return
        if self.depth == 1 and self._swap and self._previous is not None:
            previous, self._previous = self._previous, None
            self.depth = 0
            set_handler(SIGINT, previous)  # from here on one may strike
            if self.noted:
                self._strike(previous)
            return
        self.depth -= 1
        if self.depth == 0 and self.noted:
            self._strike(None)

    def deliver(self) -> None:
        """Let a noted interruption strike now, from a point where it does no harm."""
        self._strike(self._previous)

    def _clear(self) -> None:
        self.noted = False
        if self._pipe is not None:
            with contextlib.suppress(BlockingIOError):
                os.read(self._pipe[0], 64)

    def _strike(self, handler: Any) -> None:
        self._clear()
        if self.on_strike is not None:
            self.on_strike()
        elif callable(handler):
            handler(signal.SIGINT, None)
        else:
            raise KeyboardInterrupt

    def note(self) -> None:
        """Take note of an interruption and wake the main thread's poll."""
        self._note(0, None)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.noted = True
        if self._pipe is not None:
            with contextlib.suppress(BlockingIOError):
                os.write(self._pipe[1], b"!")

    def close(self) -> None:
        if self._pipe is not None:
            for fd in self._pipe:
                os.close(fd)
            self._pipe = None


def is_main_thread() -> bool:
    return threading.get_ident() == _main


def after_fork() -> None:
    """In a forked child: this thread is the main one now."""
    global _main
    _main = threading.get_ident()
