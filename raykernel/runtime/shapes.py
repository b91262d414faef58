"""Shapes: ready tasks that need the same, and the workers that hold what these need. Sans-IO."""

from __future__ import annotations

from collections import deque

from . import resources
from .capping import Cap
from .groups import Space
from .records import Task, TaskState, Worker


class Shape:
    """The queue of the ready tasks that need the same."""

    __slots__ = ("amounts", "cap", "env", "gpus", "key", "leases", "queue", "resources", "space")

    def __init__(self, key: str, needs: str, env: str, space: Space, cpus: int) -> None:
        self.key = key
        self.resources = needs
        self.amounts = resources.decode(needs)
        self.gpus = self.amounts.get("GPU", 0)
        self.env = env
        self.space = space
        self.queue: deque[Task] = deque()
        self.leases: dict[Worker, None] = {}
        cpu = self.amounts.get("CPU", 0)
        self.cap = Cap(max(1, cpus // cpu) if cpu else None)

    def tasks(self) -> list[Task]:
        """The ready ones, in no order."""
        return [t for t in (*self.queue, *self.cap.tasks()) if t.state is TaskState.READY]
