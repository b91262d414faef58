"""Pool: the standard library's interface, with an actor for each process.

`map` and its kin spread their chunks over the processes in turn, all at once; `apply` takes the
process with the least to do; `imap` gives each process one chunk at a time. Calls may use the
whole API of raykernel themselves, also wait for other tasks.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import raykernel as ray
from raykernel import api

from .results import (
    AsyncResult,
    Callback,
    CallbackThread,
    Chunk,
    OrderedIMapIterator,
    UnorderedIMapIterator,
)
from .worker import Call, PoolActor, PoolTaskError

logger = logging.getLogger("raykernel")


class _Process:
    """A place in the pool: its actor, and what that has done and has to do.

    The lock guards all three: calls come from any thread, their ends from the IO thread.
    """

    def __init__(self, start: Callable[[], Any]) -> None:
        self._start = start
        self._served = 0
        self._lock = threading.Lock()
        self.actor = start()
        self.queued = 0

    def next_actor(self, limit: int | None) -> Any:
        """The actor for one more chunk: a fresh one if this one has served `limit`, which then
        ends after its calls, for want of a handle."""
        with self._lock:
            if limit is not None and self._served >= limit:
                self.actor = self._start()
                self._served = 0
            self._served += 1
            self.queued += 1
            return self.actor

    def done(self) -> None:
        with self._lock:
            self.queued -= 1


class Pool:
    """See `multiprocessing.pool.Pool`; `ray_remote_args` are options of the actors.

    Without a session it starts one with `processes` CPUs. Raises ValueError for more processes
    than the session has CPUs. What `initializer` raises, the constructor raises.
    """

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., Any] | None = None,
        initargs: Iterable[Any] | None = None,
        maxtasksperchild: int | None = None,
        context: Any = None,
        ray_address: str | None = None,
        ray_remote_args: dict[str, Any] | None = None,
    ) -> None:
        self._state = "CLOSED"
        if context is not None:
            logger.warning("The 'context' argument is not supported using ray.")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if maxtasksperchild is not None and maxtasksperchild < 1:
            raise ValueError("maxtasksperchild must be a positive int or None")
        count = _processes(processes, ray_address)
        options = {"num_cpus": 0, **(ray_remote_args or {})}
        actor_class = ray.remote(**options)(PoolActor)
        arguments = tuple(initargs or ())

        def start() -> Any:
            return actor_class.remote(initializer, arguments)

        self._limit = maxtasksperchild
        self._actor_pool = [_Process(start) for _ in range(count)]
        self._turn = itertools.cycle(self._actor_pool)
        self._unfinished: set[Chunk] = set()
        self._callbacks = CallbackThread()
        ray.get([process.actor.ping.remote() for process in self._actor_pool])
        self._state = "RUNNING"

    def apply(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """`func(*args, **kwargs)` in a process. Blocks."""
        return self.apply_async(func, args, kwargs).get()

    def apply_async(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        callback: Callback | None = None,
        error_callback: Callback | None = None,
    ) -> AsyncResult:
        """`apply` without blocking. `callback` gets the value, or `error_callback` the exception,
        in a thread of the pool's."""
        self._check_running()
        call = (tuple(args or ()), dict(kwargs or {}))
        chunk = self._run(self._least_busy(), func, [call])
        return AsyncResult([chunk], True, callback, error_callback, self._callbacks)

    def map(
        self, func: Callable[..., Any], iterable: Iterable[Any], chunksize: int | None = None
    ) -> list[Any]:
        """`[func(x) for x in iterable]` in the processes. Blocks."""
        values: list[Any] = self._map_async(func, _singles(iterable), chunksize).get()
        return values

    def map_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        callback: Callback | None = None,
        error_callback: Callback | None = None,
    ) -> AsyncResult:
        """`map` without blocking. `callback` gets the list, or `error_callback` the first
        exception, in a thread of the pool's."""
        return self._map_async(func, _singles(iterable), chunksize, callback, error_callback)

    def starmap(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
    ) -> list[Any]:
        """`[func(*args) for args in iterable]` in the processes. Blocks."""
        values: list[Any] = self._map_async(func, _tuples(iterable), chunksize).get()
        return values

    def starmap_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callback | None = None,
        error_callback: Callback | None = None,
    ) -> AsyncResult:
        """`starmap` without blocking."""
        return self._map_async(func, _tuples(iterable), chunksize, callback, error_callback)

    def imap(
        self, func: Callable[..., Any], iterable: Iterable[Any], chunksize: int | None = 1
    ) -> OrderedIMapIterator:
        """An iterator over `func(x)` in the order of `iterable`, which is read as results are
        taken: it may be endless. A failed call gives a `PoolTaskError`."""
        submit, chunks = self._imap(func, iterable, chunksize)
        return OrderedIMapIterator(submit, chunks, len(self._actor_pool))

    def imap_unordered(
        self, func: Callable[..., Any], iterable: Iterable[Any], chunksize: int | None = 1
    ) -> UnorderedIMapIterator:
        """Like `imap`, but results come as they end."""
        submit, chunks = self._imap(func, iterable, chunksize)
        return UnorderedIMapIterator(submit, chunks, len(self._actor_pool))

    def close(self) -> None:
        """Take no more work; what was submitted goes on."""
        if self._state == "RUNNING":
            self._state = "CLOSED"

    def terminate(self) -> None:
        """End the processes at once, with what they do."""
        if self._state == "TERMINATED":
            return
        self._state = "TERMINATED"
        for process in self._actor_pool:
            if api.is_initialized():
                ray.kill(process.actor)
        self._callbacks.stop(wait=False)

    def join(self) -> None:
        """Block until the processes of a closed pool have done their work and ended.

        Raises ValueError if it was not closed.
        """
        if self._state == "RUNNING":
            raise ValueError("Pool is still running")
        if self._state == "CLOSED":
            unfinished = list(self._unfinished)
            if unfinished:
                ray.wait(unfinished, num_returns=len(unfinished))
            self._callbacks.stop(wait=True)
            self.terminate()
        self._callbacks.stop(wait=True)

    def __enter__(self) -> Pool:
        self._check_running()
        return self

    def __exit__(self, *exc: object) -> None:
        self.terminate()

    def __del__(self) -> None:
        callbacks = getattr(self, "_callbacks", None)
        if callbacks is not None:
            callbacks.stop(wait=False)

    def __reduce__(self) -> Any:
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")

    def _check_running(self) -> None:
        if self._state != "RUNNING":
            raise ValueError("Pool not running")

    def _map_async(
        self,
        func: Callable[..., Any],
        calls: list[Call],
        chunksize: int | None,
        callback: Callback | None = None,
        error_callback: Callback | None = None,
    ) -> AsyncResult:
        self._check_running()
        if chunksize is None:
            chunksize = -(-len(calls) // (4 * len(self._actor_pool))) or 1
        code = ray.put(func)
        chunks = [
            self._run(next(self._turn), code, part) for part in _chunks(iter(calls), chunksize)
        ]
        return AsyncResult(chunks, False, callback, error_callback, self._callbacks)

    def _imap(
        self, func: Callable[..., Any], iterable: Iterable[Any], chunksize: int | None
    ) -> tuple[Callable[[list[Call]], Chunk], Iterator[list[Call]]]:
        self._check_running()
        code = ray.put(func)

        def submit(calls: list[Call]) -> Chunk:
            return self._run(self._least_busy(), code, calls)

        return submit, _chunks((((item,), {}) for item in iterable), chunksize or 1)

    def _run(self, process: _Process, func: Any, calls: list[Call]) -> Chunk:
        actor = process.next_actor(self._limit)
        try:
            chunk: Chunk = actor.run.remote(func, calls)
        except BaseException:
            process.done()
            raise
        unfinished = self._unfinished
        unfinished.add(chunk)

        def done() -> None:
            process.done()
            unfinished.discard(chunk)

        chunk._when_ready(done)
        return chunk

    def _least_busy(self) -> _Process:
        return min(self._actor_pool, key=lambda process: process.queued)


def _processes(asked: int | None, address: str | None) -> int:
    """How many processes the pool has; starts a session if there is none."""
    if asked is not None and asked <= 0:
        raise ValueError("Processes in the pool must be >0.")
    if not api.is_initialized():
        ray.init(address, num_cpus=asked)
    cpus = int(ray.cluster_resources().get("CPU", 0))
    if asked is None:
        return max(1, cpus)
    if cpus < asked:
        raise ValueError(
            f"Tried to start a pool with {asked} processes on an existing ray cluster, but there "
            f"are only {cpus} CPUs in the ray cluster."
        )
    return asked


def _singles(iterable: Iterable[Any]) -> list[Call]:
    return [((item,), {}) for item in iterable]


def _tuples(iterable: Iterable[Iterable[Any]]) -> list[Call]:
    return [(tuple(args), {}) for args in iterable]


def _chunks(calls: Iterator[Call], size: int) -> Iterator[list[Call]]:
    if size < 1:
        raise ValueError(f"Chunksize must be 1+, not {size}")
    return iter(lambda: list(itertools.islice(calls, size)), [])


__all__ = ["Pool", "PoolTaskError"]
