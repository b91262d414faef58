"""Who is told what happens in a session: the part that all engines have alike."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

S = TypeVar("S")


class Sinks(Generic[S]):
    """Sinks of one kind. They may come and go in any thread, also while they are called."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the sinks
        self._kept: dict[int, S] = {}
        self._keys = itertools.count()

    def add(self, sink: S) -> Callable[[], None]:
        """One more. Returns the function that takes it away."""
        with self._lock:
            key = next(self._keys)
            self._kept[key] = sink

        def end() -> None:
            with self._lock:
                self._kept.pop(key, None)

        return end

    def __iter__(self) -> Iterator[S]:
        """Those there are now."""
        with self._lock:
            return iter(list(self._kept.values()))


class Submissions:
    """An engine's word of which cell submits; see `Engine.on_submit`."""

    hooked_cell: str | None = ""
    _hook: Callable[[str], None] | None = None

    def on_submit(self, hook: Callable[[str], None] | None) -> None:
        self._hook = hook
        self.hooked_cell = None if hook is not None else ""

    def submitting(self, cell: str) -> None:
        """The API is about to submit for `cell`, another one than `hooked_cell`."""
        self.hooked_cell = cell
        if self._hook is not None:
            self._hook(cell)
