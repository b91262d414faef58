"""An actor on the cluster: its creation and its calls, inside what ray_hosts.py gives Ray.

As tasks (ray_worker.py), on the actor's main thread, on its threads, or on its event loop.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

from raykernel.runtime import context, execute
from raykernel.runtime import messages as m
from raykernel.runtime.engines.ray_refs import Entry
from raykernel.runtime.engines.ray_worker import Job, here, items, stored
from raykernel.runtime.ids import weak_id
from raykernel.runtime.worker import actor_method, construct


class _Birth:
    """An actor's creation: `with` it around what makes the instance."""

    def __init__(self, code: tuple[bytes, bytes, dict[bytes, Any]], head: bytes, deps: Any) -> None:
        self._code = code
        self._job = Job(head, deps)
        context.creation = self._job.spec
        self.made: Any = None

    def __enter__(self) -> tuple[Any, list[Any], dict[str, Any]]:
        """The class, and what it is called with."""
        job = self._job
        try:
            args, kwargs = job.arguments()
            cls = job.here.load(*self._code, f"The actor with name {job.spec.name}")
        except BaseException as error:
            job.failed(error)
            raise
        job.running.function = cls
        return cls, args, kwargs

    def born(self, made: Any) -> Any:
        job, client = self._job, self._job.here.client
        job.here.instance = made
        job.here.calls.listen()
        oneself = job.here.ray.get_runtime_context().current_actor
        client.refs.new(weak_id(job.spec.actor), Entry(oneself, 1, "", job.spec.actor, "actor"))
        job.succeeded(made)
        return made

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is not None:
            self._job.failed(error)


def create(code: tuple[bytes, bytes, dict[bytes, Any]], head: bytes, deps: Any) -> Any:
    """An actor's instance."""
    birth = _Birth(code, head, deps)
    with birth as (cls, args, kwargs):
        made = cls(*args, **kwargs)
    return birth.born(made)


async def create_async(code: tuple[bytes, bytes, dict[bytes, Any]], head: bytes, deps: Any) -> Any:
    """The same on the actor's event loop."""
    birth = _Birth(code, head, deps)
    with birth as (cls, args, kwargs):
        if inspect.iscoroutinefunction(cls.__init__):
            made = await construct(cls, *args, **kwargs)
        else:
            made = cls(*args, **kwargs)
    return birth.born(made)


def call(instance: Any, head: bytes, deps: Any) -> Any:
    """A call of an actor whose calls run in threads."""
    job = Job(head, deps)
    calls, task = job.here.calls, job.spec.id
    try:
        args, kwargs = job.arguments()
        method = _method(job, instance)
        calls.enter(task)
        try:
            value = method(*args, **kwargs)
            if inspect.iscoroutine(value):
                value = asyncio.run(value)
        finally:
            calls.leave(task)
        del args, kwargs
    except BaseException as error:
        calls.leave(task)
        return job.failed(error)
    return job.succeeded(value)


def call_stream(instance: Any, head: bytes, deps: Any) -> Iterator[Any]:
    job = Job(head, deps)
    calls, task = job.here.calls, job.spec.id
    try:
        yield from items(job, lambda: _method(job, instance), partial(calls.steps, task))
    finally:
        calls.leave(task)


async def call_async(instance: Any, head: bytes, deps: Any) -> Any:
    """A call of an actor whose calls run on an event loop."""
    job = Job(head, deps)
    try:
        args, kwargs = job.arguments()
        value = _method(job, instance)(*args, **kwargs)
        if inspect.isawaitable(value):
            value = await value
        del args, kwargs
    except BaseException as error:
        return job.failed(error, isinstance(error, asyncio.CancelledError))
    return job.succeeded(value)


async def stream_async(instance: Any, head: bytes, deps: Any) -> AsyncIterator[Any]:
    job = Job(head, deps)
    client, made = job.here.client, 0
    try:
        args, kwargs = job.arguments()
        generator = _method(job, instance)(*args, **kwargs)
        if not hasattr(generator, "__anext__"):
            execute.check_stream(job.spec, generator)
            generator = _as_async(generator)
        async for item in generator:
            yield stored(execute.yielded(client, job.spec, made, item).value)
            made += 1
    except BaseException as error:
        if isinstance(error, GeneratorExit):
            raise
        job.broken(error, asyncio.CancelledError)
    job.close(m.TaskFinished(job.spec.id, [], "stream", started=job.started, ended=time.time()))


async def _as_async(generator: Any) -> AsyncIterator[Any]:
    for item in generator:
        yield item


def _method(job: Job, instance: Any) -> Any:
    job.running.function = method = actor_method(instance, job.spec.method)
    return method


def farewell(host: dict[str, Any]) -> None:
    """The actor is about to end: the instance among its host's attributes says so, and goes."""
    instance = host.pop("_hosted")
    say = getattr(instance, "__ray_shutdown__", None)
    if say is not None:
        try:
            say()
        except Exception:
            traceback.print_exc()
    del say
    here().instance = None
    del instance
    gc.collect()  # it may refer to itself
    here().last_words()
