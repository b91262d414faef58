"""RayExecutor: `concurrent.futures.Executor` on tasks.

Calls wait here, in this process, until one of `max_workers` places is free; until then they can be
cancelled. A thread of the executor's own takes the results in and completes the futures, so that
callbacks may block: they hold up this executor and nothing else. It ends when there has been
nothing to do for a while, and with it the last that keeps a forgotten executor alive.

The thread alone submits tasks and completes futures; `_lock` guards what callers share with it.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import Any, NamedTuple

import raykernel as ray
from raykernel import api
from raykernel.exceptions import RayError, RayTaskError
from raykernel.refs import ObjectRef
from raykernel.runtime import context

#: Tasks under way for each CPU of the session if no `max_workers` is given: enough to hide the way
#: to the workers and back.
DEPTH = 32

#: Seconds without work after which the thread ends, until there is some again.
LINGER_S = 1.0


class _Call(NamedTuple):
    future: Future[Any]
    start: Callable[..., ObjectRef[Any]]  # for the cell or task that handed it in
    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class RayExecutor(Executor):
    """Runs calls as tasks. `max_workers` calls run at once at most (default: as many as the
    session's resources allow); `ray_remote_args` are options of the tasks.

    Refs among a call's arguments arrive as their values. An exception comes back as what was
    raised, with the worker's traceback as its cause.
    """

    def __init__(
        self, max_workers: int | None = None, *, ray_remote_args: dict[str, Any] | None = None
    ) -> None:
        if max_workers is not None and max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        api.auto_init()
        self._places = max_workers or DEPTH * max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._options = dict(ray_remote_args or {})
        self._task: Any = ray.remote(**self._options)(_call) if self._options else ray.remote(_call)
        self._named: dict[str, Any] = {}
        self._waiting: deque[_Call] = deque()
        self._running: dict[ObjectRef[Any], Future[Any]] = {}
        self._events: queue.SimpleQueue[ObjectRef[Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._over = False
        self._thread: threading.Thread | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """See `concurrent.futures.Executor.submit`. What can't be pickled fails the future."""
        call = _Call(Future(), context.bind(self._start), fn, args, kwargs)
        with self._lock:
            if self._over:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._waiting.append(call)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._serve, name="raykernel-executor", daemon=True
                )
                self._thread.start()
        self._events.put(None)
        return call.future

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        **others: Any,
    ) -> Iterator[Any]:
        """See `concurrent.futures.Executor.map`; `chunksize` calls share a task."""
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if chunksize == 1:
            return super().map(fn, *iterables, timeout=timeout, **others)
        chunks = _chunks(zip(*iterables, strict=False), chunksize)
        results = super().map(functools.partial(_run_chunk, fn), chunks, timeout=timeout, **others)
        return itertools.chain.from_iterable(results)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; with `cancel_futures` drop those that wait. Blocks until the rest is
        done, unless not `wait`."""
        with self._lock:
            self._over = True
            thread = self._thread
            dropped = list(self._waiting) if cancel_futures else []
            if cancel_futures:
                self._waiting.clear()
        for call in dropped:
            call.future.cancel()
        self._events.put(None)
        if wait and thread is not None and thread is not threading.current_thread():
            thread.join()

    def abandon(self) -> None:
        """`shutdown` without waiting that cancels also what runs."""
        self.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            running = list(self._running)
        for ref in running:
            ray.cancel(ref)

    def _serve(self) -> None:
        """The thread: submit what has a place, complete what is done, until there is no more.

        Both by the batch: what is submitted or asked for together shares messages.
        """
        while True:
            self._fill()
            done = self._await_events()
            for ref in done:
                with self._lock:
                    future = self._running.pop(ref)
                _complete(ref, future)
            if not done and self._may_end():
                return

    def _await_events(self) -> list[ObjectRef[Any]]:
        """What is done. Blocks until something is, or there is something else to do."""
        found = []
        idle = 0 if self._over else LINGER_S
        with contextlib.suppress(queue.Empty):
            found.append(self._events.get(timeout=None if self._running else idle))
            while len(found) < self._places:
                found.append(self._events.get_nowait())
        return [ref for ref in found if ref is not None]

    def _may_end(self) -> bool:
        with self._lock:
            if self._waiting or self._running or not (self._over or self._events.empty()):
                return False
            self._thread = None
            return True

    def _fill(self) -> None:
        submitted = []
        while len(self._running) < self._places:
            with self._lock:
                if not self._waiting:
                    break
                call = self._waiting.popleft()
            if not call.future.set_running_or_notify_cancel():
                continue
            try:
                ref = call.start(call.fn, call.args, call.kwargs)
            except Exception as error:
                call.future.set_exception(error)
                continue
            with self._lock:
                self._running[ref] = call.future
            submitted.append(ref)
        for ref in submitted:
            ref._when_ready(functools.partial(self._events.put, ref))

    def _start(self, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ObjectRef[Any]:
        ref: ObjectRef[Any] = self._named_task(fn).remote(fn, *args, **kwargs)
        return ref

    def _named_task(self, fn: Callable[..., Any]) -> Any:
        """The task under the function's own name, for people who watch."""
        name = getattr(fn, "__name__", type(fn).__name__)
        task = self._named.get(name)
        if task is None:
            named = {"name": name, **self._options}
            task = self._named[name] = self._task.options(**named)
        return task


def _complete(ref: ObjectRef[Any], future: Future[Any]) -> None:
    try:
        value = ray.get(ref)
    except RayTaskError as error:
        cause = error.cause
        if type(cause) is RayError:  # a stand-in for what can't be pickled
            future.set_exception(error)
        else:
            cause.__cause__ = error
            future.set_exception(cause)
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(value)


def _call(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    return fn(*args, **kwargs)


def _chunks(calls: Iterable[tuple[Any, ...]], size: int) -> Iterator[list[tuple[Any, ...]]]:
    calls = iter(calls)
    while chunk := list(itertools.islice(calls, size)):
        yield chunk


def _run_chunk(fn: Callable[..., Any], chunk: list[tuple[Any, ...]]) -> list[Any]:
    return [fn(*args) for args in chunk]


__all__ = ["RayExecutor"]
