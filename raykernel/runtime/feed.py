"""The head's side of the event feed: what happened to which task, for those who ask.

Live tasks are looked up where they are; ended ones stay in a bounded ring. While somebody
watches, the tasks that changed since the last batch are collected; while nobody does, a change
costs one comparison.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from .events import ACTOR, CALL, TASK, EventBatch, TaskInfo
from .messages import Events
from .records import Task

KEPT = 10_000
INTERVAL = 0.1
_KINDS = (TASK, ACTOR, CALL)


class Feed:
    """Owned by the scheduler."""

    def __init__(self, clock: Callable[[], float], kept: int = KEPT) -> None:
        self.watchers: set[bytes] = set()
        self.ended: deque[Task] = deque(maxlen=kept)
        self._changed: dict[bytes, Task] = {}
        self._clock = clock
        self._last = 0.0

    def note(self, task: Task) -> None:
        if self.watchers:
            self._changed[task.spec.id] = task

    def end(self, task: Task) -> None:
        self.ended.append(task)
        if self.watchers:
            self._changed[task.spec.id] = task

    def watch(self, client: bytes, live: Iterable[Task]) -> Events:
        """Add a watcher; its first batch holds the live tasks."""
        self.watchers.add(client)
        return Events(EventBatch([info(t) for t in live], self._clock()))

    def unwatch(self, client: bytes) -> None:
        self.watchers.discard(client)
        if not self.watchers:
            self._changed.clear()

    def due(self, now: float) -> Events | None:
        """The next batch, if there is something in it and it is time."""
        if not self._changed or now - self._last < INTERVAL:
            return None
        self._last = now
        changed, self._changed = self._changed, {}
        return Events(EventBatch([info(t) for t in changed.values()], now))

    def next_due(self, now: float) -> float | None:
        return max(0.0, self._last + INTERVAL - now) if self._changed else None


def info(task: Task) -> TaskInfo:
    """A task as the views see it."""
    spec = task.spec
    worker = task.worker
    seen: dict[str, None] = {d[:24].hex(): None for d in spec.deps}
    return TaskInfo(
        spec.id.hex(),
        spec.name,
        _KINDS[spec.kind],
        task.state.name,
        spec.cell,
        spec.parent.hex(),
        spec.actor.hex(),
        str(worker.pid) if worker is not None else "",
        list(seen),
        task.submitted,
        task.started,
        task.ended,
        task.error,
        task.ready,
        task.called,
        task.returned,
        task.taken,
        task.made,
    )
