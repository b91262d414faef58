"""One view on one page: a subject with its follower, stepped by a pump of its own.

The notebook's counterpart is `LiveView`; here there is no output to settle, only messages.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from raykernel.runtime.engines.base import Engine
from raykernel.widgets.follower import Follower
from raykernel.widgets.pump import ThreadPump
from raykernel.widgets.subject import Subject

#: Takes {"snapshot": ...} or {"message": ...}, from any thread.
Emit = Callable[[dict[str, Any]], object]


class Channel:
    def __init__(self, subject: Subject, engine: Engine, emit: Emit) -> None:
        self._turn = threading.RLock()  # guards the follower
        self._closed = False
        self._pump: ThreadPump | None = None
        self._follower = Follower(
            subject,
            engine,
            "",
            send=lambda message: emit({"message": message}),
            snap=lambda snapshot: emit({"snapshot": snapshot}),
            wake=self._wake,
            everybodys=True,
        )

    def open(self) -> None:
        """Blocks for round trips. Raises what the engine raises."""
        with self._turn:
            self._follower.join()
            self._follower.looked_at(time.monotonic())
            self._follower.tell_all(time.monotonic())
        self._pump = ThreadPump(self._step)
        self._wake()

    def hear(self, content: Any) -> None:
        """What the page says: that it looks, or a question."""
        if not isinstance(content, dict):
            return
        with self._turn:
            if self._closed:
                return
            self._follower.looked_at(time.monotonic())
            if content.get("ask"):
                self._follower.answer(content)
        self._wake()

    def close(self) -> None:
        with self._turn:
            self._closed = True
            self._follower.leave()
        if self._pump is not None:
            self._pump.stop()

    def _wake(self) -> None:
        if self._pump is not None:
            self._pump.wake()

    def _step(self, now: float) -> float | None:
        with self._turn:
            return None if self._closed else self._follower.turn(now)
