"""ActorPool: hand work to whichever of a fixed set of actors is free.

Work is a function of (actor, value) that returns the ref (or list of refs) of a call on that
actor. An actor does one piece at a time; what comes while all are busy waits in the pool, in this
process, until a result is taken. Not for use from several threads at once.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import raykernel as ray
from raykernel.refs import ObjectRef

Work = Callable[[Any, Any], Any]


class ActorPool:
    """A pool of actor handles."""

    def __init__(self, actors: Iterable[Any]) -> None:
        self._idle_actors = list(actors)
        #: index of submission -> (its ref or refs, the actor that works on it); oldest first
        self._running: OrderedDict[int, tuple[Any, Any]] = OrderedDict()
        self._waiting: deque[tuple[Work, Any]] = deque()
        self._next_index = 0

    def map(self, fn: Work, values: Iterable[Any]) -> Iterator[Any]:
        """The results of `fn(actor, value)` in the order of `values`, each as soon as it and those
        before it are there.

        Everything is submitted at once; results of earlier submissions not taken yet are dropped.
        """
        self._submit_all(fn, values)
        return self._drain(self.get_next)

    def map_unordered(self, fn: Work, values: Iterable[Any]) -> Iterator[Any]:
        """Like `map`, but the results come as they are ready."""
        self._submit_all(fn, values)
        return self._drain(self.get_next_unordered)

    def submit(self, fn: Work, value: Any) -> None:
        """Call `fn(actor, value)` on a free actor now, or as soon as a result of a busy one is
        taken."""
        if not self._idle_actors:
            self._waiting.append((fn, value))
            return
        actor = self._idle_actors[-1]
        self._running[self._next_index] = (fn(actor, value), actor)
        self._next_index += 1
        self._idle_actors.pop()

    def has_next(self) -> bool:
        """Whether there are results to take, ready or not."""
        return bool(self._running)

    def get_next(self, timeout: float | None = None, ignore_if_timedout: bool = False) -> Any:
        """The result of the oldest submission whose result was not taken. Blocks.

        Raises StopIteration if there is none, TimeoutError after `timeout` seconds; with
        `ignore_if_timedout` that submission is then given up, and its actor gets other work.
        """
        self._expect_some()
        index, (refs, _) = next(iter(self._running.items()))
        parts = _parts(refs)
        ready, _ = ray.wait(parts, num_returns=len(parts), timeout=timeout)
        if len(ready) == len(parts):
            return ray.get(self._take(index))
        if not ignore_if_timedout:
            raise TimeoutError("Timed out waiting for result")
        refs = self._take(index)
        raise TimeoutError(f"Timed out waiting for result. The task {refs} has been ignored.")

    def get_next_unordered(
        self, timeout: float | None = None, ignore_if_timedout: bool = False
    ) -> Any:
        """The result of whichever submission is ready first. Blocks.

        Raises StopIteration if there is none, TimeoutError after `timeout` seconds; with
        `ignore_if_timedout` the oldest submission is then given up, and its actor gets other work.
        """
        self._expect_some()
        index = self._first_ready(timeout)
        if index is not None:
            return ray.get(self._take(index))
        if not ignore_if_timedout:
            raise TimeoutError("Timed out waiting for result")
        refs = self._take(next(iter(self._running)))
        raise TimeoutError(f"Timed out waiting for result. The task {refs} has been ignored.")

    def has_free(self) -> bool:
        """Whether an actor is idle and nothing waits for one."""
        return bool(self._idle_actors) and not self._waiting

    def pop_idle(self) -> Any:
        """Take an idle actor out of the pool; None if there is none to spare."""
        return self._idle_actors.pop() if self.has_free() else None

    def push(self, actor: Any) -> None:
        """Add an actor. Raises ValueError if it is in the pool."""
        busy = [worker for _, worker in self._running.values()]
        if actor in self._idle_actors or actor in busy:
            raise ValueError("Actor already belongs to current ActorPool")
        self._free(actor)

    def _submit_all(self, fn: Work, values: Iterable[Any]) -> None:
        self._waiting.clear()
        for _, actor in self._running.values():
            self._idle_actors.append(actor)
        self._running.clear()
        for value in values:
            self.submit(fn, value)

    def _drain(self, take: Callable[[], Any]) -> Iterator[Any]:
        while self.has_next():
            yield take()

    def _expect_some(self) -> None:
        if not self._running:
            raise StopIteration("No more results to get")

    def _first_ready(self, timeout: float | None) -> int | None:
        """The oldest submission of those that are ready; None once `timeout` is over."""
        deadline = None if timeout is None else time.monotonic() + timeout
        owner = {part: index for index, (refs, _) in self._running.items() for part in _parts(refs)}
        missing = {index: len(_parts(refs)) for index, (refs, _) in self._running.items()}
        pending = list(owner)
        while pending:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready, pending = ray.wait(pending, timeout=left)
            if not ready:
                return None
            for part in ready:
                missing[owner[part]] -= 1
                if not missing[owner[part]]:
                    return owner[part]
        return None

    def _take(self, index: int) -> Any:
        """Forget a submission and give its actor other work. Returns its ref or refs."""
        refs, actor = self._running.pop(index)
        self._free(actor)
        return refs

    def _free(self, actor: Any) -> None:
        self._idle_actors.append(actor)
        if self._waiting:
            self.submit(*self._waiting.popleft())


def _parts(refs: Any) -> list[ObjectRef[Any]]:
    return list(refs) if isinstance(refs, (list, tuple)) else [refs]


__all__ = ["ActorPool"]
