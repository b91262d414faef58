"""What a pool gives its callers: results to wait for, and iterators over results.

A chunk's ref holds a list, one entry for each of its calls (see worker.py). Callbacks run in a
thread of the pool's own, one after the other, so they may block.
"""

from __future__ import annotations

import multiprocessing
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import raykernel as ray
from raykernel.refs import ObjectRef
from raykernel.runtime import context

from .worker import Call, PoolTaskError

Chunk = ObjectRef[list[Any]]
Callback = Callable[[Any], Any]
Submit = Callable[[list[Call]], Chunk]


class CallbackThread:
    """Runs callbacks in the order in which their chunks end. Begins when first used."""

    def __init__(self) -> None:
        self._todo: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def watch(self, chunks: list[Chunk], ended: Callable[[Chunk], None]) -> None:
        """Call `ended` in the thread for each chunk as it ends."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=_run_all, args=(self._todo,), name="raykernel-pool", daemon=True
            )
            self._thread.start()
        ended = context.bind(ended)  # it may run the user's callback
        for chunk in chunks:
            chunk._when_ready(lambda chunk=chunk: self._todo.put(lambda: ended(chunk)))

    def stop(self, wait: bool) -> None:
        """End after what was handed in before."""
        self._todo.put(None)
        if wait and self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()


def _run_all(todo: queue.SimpleQueue[Callable[[], None] | None]) -> None:
    while (step := todo.get()) is not None:
        try:
            step()
        except Exception as error:
            threading.excepthook(
                threading.ExceptHookArgs((type(error), error, error.__traceback__, None))
            )


class AsyncResult:
    """The result of `apply_async` (`single`) or `map_async`."""

    def __init__(
        self,
        chunks: list[Chunk],
        single: bool,
        callback: Callback | None = None,
        error_callback: Callback | None = None,
        thread: CallbackThread | None = None,
    ) -> None:
        self._chunks = chunks
        self._single = single
        self._callback = callback
        self._error_callback = error_callback
        self._left = len(chunks)
        if thread is not None and (callback is not None or error_callback is not None):
            if chunks:
                thread.watch(chunks, self._ended)
            elif callback is not None:
                callback([])

    def wait(self, timeout: float | None = None) -> None:
        """Block until the result is there, at most `timeout` seconds."""
        if self._chunks:
            ray.wait(self._chunks, num_returns=len(self._chunks), timeout=timeout)

    def ready(self) -> bool:
        """Whether `get` would return or raise at once."""
        if not self._chunks:
            return True
        return not ray.wait(self._chunks, num_returns=len(self._chunks), timeout=0)[1]

    def successful(self) -> bool:
        """Whether no call failed. Raises ValueError if the result isn't there."""
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        try:
            self.get()
        except Exception:
            return False
        return True

    def get(self, timeout: float | None = None) -> Any:
        """The value or the list of values. Blocks at most `timeout` seconds.

        Raises the first failed call's exception, multiprocessing.TimeoutError.
        """
        self.wait(timeout)
        if timeout is not None and not self.ready():
            raise multiprocessing.TimeoutError
        values = [value for chunk in self._chunks for value in _values(chunk)]
        return values[0] if self._single else values

    def _ended(self, chunk: Chunk) -> None:
        """In the callback thread: the first failure, or the whole once it is there."""
        if self._left < 0:  # the failure was told
            return
        self._left -= 1
        try:
            _values(chunk)
            value = None if self._left else self.get()
        except Exception as error:
            self._left = -1
            if self._error_callback is not None:
                self._error_callback(error)
            return
        if not self._left and self._callback is not None:
            self._callback(value)


def _values(chunk: Chunk) -> list[Any]:
    values: list[Any] = ray.get(chunk)
    for value in values:
        if isinstance(value, PoolTaskError):
            raise value.underlying
    return values


class IMapIterator:
    """Results of calls that are submitted as earlier ones end, while the caller iterates.

    `width` chunks are under way at a time, so the calls may be endless. Where the standard library
    raises what a call raised, this returns a `PoolTaskError` with it instead, as Ray does: look for
    them.
    """

    def __init__(self, submit: Submit, chunks: Iterator[list[Call]], width: int) -> None:
        self._submit = submit
        self._coming = chunks
        self._running: deque[Chunk] = deque()
        self._values: deque[Any] = deque()
        for _ in range(width):
            self._submit_next()

    def __iter__(self) -> IMapIterator:
        return self

    def __next__(self) -> Any:
        return self.next()

    def next(self, timeout: float | None = None) -> Any:
        """The next result. Blocks at most `timeout` seconds.

        Raises multiprocessing.TimeoutError, StopIteration.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._values:
            if not self._running:
                raise StopIteration
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            self._values.extend(ray.get(self._next_chunk(left)))
        return self._values.popleft()

    def _submit_next(self) -> None:
        calls = next(self._coming, None)
        if calls is not None:
            self._running.append(self._submit(calls))

    def _next_chunk(self, timeout: float | None) -> Chunk:
        raise NotImplementedError


class OrderedIMapIterator(IMapIterator):
    """The results in the order of the calls."""

    def __init__(self, submit: Submit, chunks: Iterator[list[Call]], width: int) -> None:
        self._ended: set[Chunk] = set()
        super().__init__(submit, chunks, width)

    def _next_chunk(self, timeout: float | None) -> Chunk:
        first = self._running[0]
        deadline = None if timeout is None else time.monotonic() + timeout
        while first not in self._ended:
            pending = [chunk for chunk in self._running if chunk not in self._ended]
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready, _ = ray.wait(pending, timeout=left)
            if not ready:
                raise multiprocessing.TimeoutError
            for chunk in ready:
                self._ended.add(chunk)
                self._submit_next()
        self._ended.discard(first)
        return self._running.popleft()


class UnorderedIMapIterator(IMapIterator):
    """The results as they end."""

    def _next_chunk(self, timeout: float | None) -> Chunk:
        ready, _ = ray.wait(list(self._running), timeout=timeout)
        if not ready:
            raise multiprocessing.TimeoutError
        chunk: Chunk = ready[0]
        self._running.remove(chunk)
        self._submit_next()
        return chunk


__all__ = ["AsyncResult", "CallbackThread", "OrderedIMapIterator", "UnorderedIMapIterator"]
