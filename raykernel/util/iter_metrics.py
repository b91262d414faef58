"""What the operators of a local iterator know together: counters, timers, and who made the item."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any


class Timer:
    """Adds up how long something took: `with timer: ...`. Times are in seconds."""

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self._began = 0.0

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0

    def __enter__(self) -> Timer:
        self._began = time.perf_counter()
        return self

    def __exit__(self, *exc: object) -> None:
        self.total += time.perf_counter() - self._began
        self.count += 1


class MetricsContext:
    """`current_actor` is the actor that the current item came from, for `gather_async` alone."""

    def __init__(self) -> None:
        self.counters: defaultdict[Any, int] = defaultdict(int)
        self.timers: defaultdict[Any, Timer] = defaultdict(Timer)
        self.info: dict[Any, Any] = {}
        self.current_actor: Any = None

    def save(self) -> dict[str, Any]:
        """Counters and info as plain data."""
        return {"counters": dict(self.counters), "info": dict(self.info)}

    def restore(self, values: dict[str, Any]) -> None:
        """Replace counters and info by what `save` returned."""
        self.counters.clear()
        self.counters.update(values["counters"])
        self.info = dict(values["info"])


class SharedMetrics:
    """A place for a context, so that a union can give all its branches one: `set` also reaches
    `parents`, the places this one was made from."""

    def __init__(
        self, metrics: MetricsContext | None = None, parents: list[SharedMetrics] | None = None
    ) -> None:
        self.metrics = metrics or MetricsContext()
        self.parents = parents or []
        self.set(self.metrics)

    def set(self, metrics: MetricsContext) -> None:
        self.metrics = metrics
        for parent in self.parents:
            parent.set(metrics)

    def get(self) -> MetricsContext:
        return self.metrics


_current: ContextVar[MetricsContext | None] = ContextVar("raykernel_iter_metrics", default=None)


def current() -> MetricsContext:
    """The context of the iterator whose operator runs. Raises ValueError outside one."""
    found = _current.get()
    if found is None:
        raise ValueError(
            "There is no metrics context here: get_metrics() is for functions that a "
            "LocalIterator calls."
        )
    return found


@contextlib.contextmanager
def using(metrics: MetricsContext) -> Iterator[None]:
    """Make `metrics` the current context of this thread (or asyncio task)."""
    token = _current.set(metrics)
    try:
        yield
    finally:
        _current.reset(token)


__all__ = ["MetricsContext", "SharedMetrics", "Timer"]
