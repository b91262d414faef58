"""How many tasks are in which state, from batches and lists that may tell the same thing twice.

Memory is bounded by the live tasks and the `kept` last ended ones. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from raykernel.runtime.events import FINISHED, LIVE, STATES, Finished, TaskInfo

from .picture import STATE_NUMBER


class Counts:
    def __init__(self, kept: int = 20_000) -> None:
        self.by_state = [0] * len(STATES)
        self.total = 0
        self.partial = False  # whether numbers were taken in
        self._kept = kept
        self._live: dict[str, int] = {}
        self._over: dict[str, int] = {}

    @property
    def live(self) -> int:
        return len(self._live)

    def take(self, tasks: Iterable[TaskInfo], listed: bool = False) -> bool:
        """Count tasks in their newest state; `listed` ones were asked for, and batches may have
        overtaken them. False if nothing changed."""
        changed = False
        for task in tasks:
            state = STATE_NUMBER[task.state]
            before = self._live.get(task.id, self._over.get(task.id))
            if before == state or (listed and before is not None and state < min(before, 3)):
                continue
            if before is None and listed and self.partial and task.state not in LIVE:
                continue  # it is in the numbers, or was forgotten
            changed = True
            if before is None:
                self.total += 1
            else:
                self.by_state[before] -= 1
            self.by_state[state] += 1
            if task.state in LIVE:
                self._over.pop(task.id, None)
                self._live[task.id] = state
            else:
                self._live.pop(task.id, None)
                self._over[task.id] = state
        while len(self._over) > self._kept:
            del self._over[next(iter(self._over))]
        return changed

    def tally(self, finished: Iterable[Finished]) -> bool:
        """Take in tasks of which there is only a number."""
        count = sum(done.count for done in finished)
        self.by_state[STATE_NUMBER[FINISHED]] += count
        self.total += count
        self.partial |= bool(count)
        return bool(count)
