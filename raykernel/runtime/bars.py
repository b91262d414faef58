"""The head's side of progress bars: which are open, and who is told when one moves or must go.

A bar belongs to whoever can close it: a task's bar ends with its task at the latest, an actor's
or a driver's with the process, since an actor may move one bar in many calls. Whoever shows bars
hears of each end exactly once, however the task went.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from .events import BarInfo


class BarTable:
    """Owned by the scheduler. `tell` hands bars to the drivers."""

    def __init__(self, tell: Callable[[list[BarInfo]], None]) -> None:
        self._tell = tell
        #: Open bars, with the client that moves them.
        self.open: dict[str, tuple[bytes, BarInfo]] = {}

    def moved(
        self, client: bytes, bars: list[BarInfo], may_stay: Callable[[BarInfo], bool]
    ) -> None:
        """Word of bars from a process. `may_stay(bar)`: somebody will close it, in the end."""
        told = []
        for bar in bars:
            if bar.closed:
                self.open.pop(bar.id, None)
            elif may_stay(bar):
                self.open[bar.id] = (client, bar)
            else:
                continue
            told.append(bar)
        if told:
            self._tell(told)

    def task_ended(self, task: str) -> None:
        self._close([bar for _, bar in self.open.values() if bar.task == task])

    def client_gone(self, client: bytes) -> None:
        self._close([bar for owner, bar in self.open.values() if owner == client])

    def _close(self, bars: list[BarInfo]) -> None:
        for bar in bars:
            del self.open[bar.id]
        if bars:
            self._tell([msgspec.structs.replace(bar, closed=True) for bar in bars])
