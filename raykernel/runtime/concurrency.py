"""Actors that run several calls at once: threads, or an event loop, by concurrency group.

The worker's main thread keeps reading the socket and hands each call to its group. A threaded
group has its own pool (threads persist, so thread-locals do too) of as many threads as it may run
calls; an async actor runs coroutines on one event loop per group, bounded by a semaphore, and its
plain methods on the default group's loop thread.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from . import context, execute
from . import messages as m
from .context import Running

if TYPE_CHECKING:
    from .worker import Worker

_DEFAULT = ""


class Concurrent:
    """How an actor's calls run beside each other. `start` and `cancel` come from the reader."""

    def __init__(self, worker: Worker, groups: dict[str, int]) -> None:
        self.worker = worker
        self.groups = {_DEFAULT, *groups}
        self.open = 0
        self._lock = threading.Lock()  # guards `open`

    def start(self, running: Running, values: list[m.Value]) -> None:
        raise NotImplementedError

    def cancel(self, task: bytes) -> bool:
        """Ask a call to end; False if it is not one of ours."""
        raise NotImplementedError

    def idle(self) -> bool:
        return self.open == 0

    def _opened(self) -> None:
        with self._lock:
            self.open += 1

    def _closed(self, outcome: m.TaskFinished, flush: bool = True, exiting: bool = False) -> None:
        worker = self.worker
        worker.outbox.end(outcome.task, outcome.ended - outcome.started)
        worker.outbox.check()
        worker.client.queue(outcome)
        with self._lock:
            self.open -= 1
        if exiting:
            worker.exit_actor()
        elif flush:
            worker.client.flush()

    def _call(self, running: Running, values: list[m.Value]) -> Any:
        """Load the arguments and call the method; raises what that raises."""
        extra = running.spec.extra
        if extra is not None and extra.concurrency_group not in self.groups:
            raise ValueError(
                f"{running.spec.name}: there is no concurrency group {extra.concurrency_group!r}; "
                f"there are {sorted(filter(None, self.groups))}"
            )
        args, kwargs = running.call = execute.arguments(self.worker.client, running.spec, values)
        if values:
            running.called = time.time()
        running.function = self.worker.function(running.spec)
        return running.function(*args, **kwargs)


class Threaded(Concurrent):
    """Calls on threads."""

    def __init__(self, worker: Worker, size: int, groups: dict[str, int]) -> None:
        super().__init__(worker, groups)
        self._pools = {
            name: ThreadPoolExecutor(n, f"actor-{name or 'default'}")
            for name, n in {**groups, _DEFAULT: size}.items()
        }
        self._calls: dict[bytes, tuple[Running, list[Any]]] = {}  # with its future, once there

    def start(self, running: Running, values: list[m.Value]) -> None:
        self._opened()
        group = running.spec.extra.concurrency_group if running.spec.extra is not None else ""
        pool = self._pools.get(group, self._pools[_DEFAULT])  # `_call` refuses an unknown one
        future: list[Any] = []
        self._calls[running.spec.id] = (running, future)
        future.append(pool.submit(self._run, running, values))

    def cancel(self, task: bytes) -> bool:
        call = self._calls.get(task)
        if call is None:
            return False
        running, future = call
        running.cancelled = True  # a thread can't be stopped: it may ask
        if future[0].cancel():
            self._calls.pop(task, None)
            self._closed(m.TaskFinished(task, [], "cancelled"))
        return True

    def _run(self, running: Running, values: list[m.Value]) -> None:
        spec = running.spec
        context.enter(running)
        self.worker.outbox.begin(running)
        started = time.time()
        client = self.worker.client
        try:
            value = self._call(running, values)
            if spec.returns == m.STREAMING:
                execute.check_stream(spec, value)
                outcome = self.worker.pacing.run(running, value)
            else:
                outcome = execute.success(client, running, value, started)
        except BaseException as error:
            outcome = execute.failure(running, error, started)
        context.enter(None)
        self._calls.pop(spec.id, None)
        self._closed(outcome, exiting=running.exiting)
        running.keep = running.function = None


class Async(Concurrent):
    """Calls as coroutines; each group has a loop in a thread of its own."""

    def __init__(self, worker: Worker, size: int, groups: dict[str, int]) -> None:
        super().__init__(worker, groups)
        self._groups = {
            name: _Loop(name or "default", n) for name, n in {**groups, _DEFAULT: size}.items()
        }
        self._tasks: dict[bytes, tuple[_Loop, Any]] = {}
        self.cancelled: set[bytes] = set()

    def start(self, running: Running, values: list[m.Value]) -> None:
        self._opened()
        group = running.spec.extra.concurrency_group if running.spec.extra is not None else ""
        loop = self._groups.get(group, self._groups[_DEFAULT])
        self._tasks[running.spec.id] = (loop, None)
        loop.add(self._begin, loop, running, values)

    def cancel(self, task: bytes) -> bool:
        entry = self._tasks.get(task)
        if entry is None:
            return False
        self.cancelled.add(task)
        loop = entry[0]
        loop.add(self._cancel_in_loop, task)
        return True

    def _cancel_in_loop(self, task: bytes) -> None:
        entry = self._tasks.get(task)
        if entry is not None and entry[1] is not None:
            entry[1].cancel()

    def _begin(self, loop: _Loop, running: Running, values: list[m.Value]) -> None:
        task = loop.loop.create_task(self._run(loop, running, values))
        self._tasks[running.spec.id] = (loop, task)

    async def _run(self, loop: _Loop, running: Running, values: list[m.Value]) -> None:
        spec = running.spec
        context.enter(running)
        self.worker.outbox.begin(running)
        started = time.time()
        client = self.worker.client
        try:
            async with loop.room:
                started = time.time()
                if spec.id in self.cancelled:
                    execute.let_go(client, values)
                    raise asyncio.CancelledError
                if spec.kind == m.CREATION:
                    self.worker.thread = threading.get_ident()
                    made = self._call(running, values)
                    self.worker.born(spec, await made if inspect.iscoroutine(made) else made)
                    value = None
                else:
                    value = self._call(running, values)
                if spec.returns == m.STREAMING:
                    try:
                        outcome = await self._stream(running, value)
                    finally:
                        self.worker.pacing.forget(spec.id)
                else:
                    if inspect.isawaitable(value):
                        value = await value
                    outcome = execute.success(client, running, value, started)
        except BaseException as error:
            cancelled = isinstance(error, asyncio.CancelledError)  # also one of its own making
            outcome = execute.failure(running, error, started, cancelled)
        self._tasks.pop(spec.id, None)
        self.cancelled.discard(spec.id)
        self._closed(outcome, flush=False, exiting=running.exiting)
        running.keep = running.function = None
        loop.flush_soon(client.flush)

    async def _stream(self, running: Running, generator: Any) -> m.TaskFinished:
        spec = running.spec
        client, pacing = self.worker.client, self.worker.pacing
        limit = spec.extra.backpressure if spec.extra is not None else 0
        started, position = time.time(), 0
        if not hasattr(generator, "__anext__"):
            execute.check_stream(spec, generator)
            generator = _as_async(generator)
        while True:
            end = pacing.end_of(spec.id)
            if end is not None:
                if time.monotonic() >= end:
                    await generator.aclose()
                    break
            elif limit and pacing.ahead(spec.id, position) >= limit:
                client.flush()
                await asyncio.sleep(0.005)
                continue
            try:
                item = await generator.__anext__()
            except StopAsyncIteration:
                break
            client.post(execute.yielded(client, spec, position, item))
            position += 1
        return execute.stream_end(spec, position, started)


async def _as_async(generator: Any) -> Any:
    for item in generator:
        yield item


class _Loop:
    """An event loop in its own thread."""

    def __init__(self, name: str, size: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.room = asyncio.Semaphore(size)
        self._flushing = False
        self._waiting: list[tuple[Any, tuple[Any, ...]]] = []
        threading.Thread(target=self._run, name=f"actor-loop-{name}", daemon=True).start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def add(self, function: Any, *args: Any) -> None:
        """Call in the loop, soon. Many calls in a burst wake the loop once."""
        self._waiting.append((function, args))
        if len(self._waiting) == 1:
            self.loop.call_soon_threadsafe(self._work)

    def _work(self) -> None:
        waiting, self._waiting = self._waiting, []
        for function, args in waiting:
            function(*args)

    def flush_soon(self, flush: Any) -> None:
        """Flush once when this turn of the loop is over. Called in the loop."""
        if not self._flushing:
            self._flushing = True
            self.loop.call_soon(self._flush, flush)

    def _flush(self, flush: Any) -> None:
        self._flushing = False
        flush()


def make_concurrent(options: m.ActorOptions, worker: Worker) -> Concurrent | None:
    """The way this actor runs its calls; None: one by one in the main thread."""
    if options.is_async:
        return Async(worker, options.max_concurrency, options.concurrency_groups)
    if options.max_concurrency > 1 or options.concurrency_groups:
        return Threaded(worker, options.max_concurrency, options.concurrency_groups)
    return None
