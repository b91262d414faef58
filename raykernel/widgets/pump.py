"""A background thread that lets a view act: when there is something to show, and when time is up.

An engine's callbacks must return at once, and a notebook's main thread is busy for as long as a
cell runs. So a view's work (folding in, sending, drawing the static form) happens in a `step` on
this thread, at most `RATE` times a second, however often it is woken.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Protocol

RATE = 10.0

#: Gets a monotonic time in seconds, returns in how many seconds to come again, None for never.
Step = Callable[[float], "float | None"]


class Pump(Protocol):
    def wake(self) -> None:
        """Have a step soon. From any thread, returns at once."""

    def stop(self) -> None:
        """No step runs after this returned, unless called from within one."""


class ThreadPump:
    """Runs steps on a daemon thread, in the context of the code that made the pump.

    The context matters: ipykernel keeps in it which request an output or a comm message belongs
    to, and 7.0 raises LookupError where it is missing.
    """

    def __init__(self, step: Step) -> None:
        self._step = step
        self._woken = threading.Event()
        self._stopped = False
        context = copy_context()
        self._thread = threading.Thread(
            target=self._run, args=(context,), name="raykernel-view", daemon=True
        )
        self._thread.start()

    def wake(self) -> None:
        self._woken.set()

    def stop(self) -> None:
        self._stopped = True
        self._woken.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self, context: Context) -> None:
        pause = threading.Event()  # never set: keeps the rate while wake-ups gather
        wanted: float | None = None
        while True:
            self._woken.wait(wanted)
            if self._stopped:
                return
            self._woken.clear()
            wanted = context.run(self._step, time.monotonic())
            pause.wait(1 / RATE)
