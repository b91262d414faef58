"""Refs in an event loop: as futures that can be awaited, and as what `asyncio.wait` waits for.

The value comes in whatever thread reads from the head, and is unpickled in the loop's. Whoever
stops waiting takes its callback back, so that giving up leaves nothing behind: not a reference to
the value, and nobody to be told when it comes.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any

from raykernel import api
from raykernel.raised import from_record
from raykernel.refs import ObjectRef
from raykernel.runtime import context


def as_future(ref: ObjectRef[Any]) -> asyncio.Future[Any]:
    """See `ObjectRef.as_future`."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        loop = _idle_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def resolve() -> None:
        if future.done():
            return
        try:
            future.set_result(api.get(ref))
        except BaseException as error:
            future.set_exception(error)

    if ref.done():
        resolve()
        return future

    def ready() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(resolve)

    def ended(_: object) -> None:
        if future.cancelled():
            ref._no_longer_when_ready(ready)
            if ref._client is not None:
                ref._client.give_up([ref._id])

    future.add_done_callback(ended)
    ref._when_ready(ready)
    return future


def wait_for(ref: ObjectRef[Any]) -> Generator[Any, None, Any]:
    """`await ref`. In a notebook's cell that Stop interrupts it raises KeyboardInterrupt."""
    __tracebackhide__ = True
    try:
        return (yield from ref.as_future().__await__())
    except asyncio.CancelledError:
        if context.struck is None or not context.struck():
            raise
        if context.interrupted is not None:
            context.interrupted()
        raise KeyboardInterrupt from None


def exception(ref: ObjectRef[Any]) -> BaseException | None:
    """See `ObjectRef.exception`."""
    if not ref.done():
        raise asyncio.InvalidStateError(f"the value of {ref!r} is not here yet")
    value = ref._client.peek(ref._id) if ref._client is not None else None
    if value is not None:
        return from_record(value.data) if value.error else None
    try:
        api.get(ref)
    except Exception as error:  # the session is over
        return error
    return None


class _Call:
    """A callback on its way into a loop; equal to another of the same function."""

    def __init__(
        self, ref: ObjectRef[Any], function: Callable[[Any], Any], context: Context | None = None
    ) -> None:
        self.ref = ref
        self.function = function
        self.context = context
        self.loop = asyncio.get_running_loop()

    def __call__(self) -> None:
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.function, self.ref, context=self.context)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Call) and other.function == self.function

    def __hash__(self) -> int:
        return hash(self.function)


def add_done_callback(
    ref: ObjectRef[Any], function: Callable[[Any], Any], context: Context | None
) -> None:
    ref._when_ready(_Call(ref, function, context))


def remove_done_callback(ref: ObjectRef[Any], function: Callable[[Any], Any]) -> None:
    ref._no_longer_when_ready(_Call(ref, function))


def _idle_loop() -> asyncio.AbstractEventLoop:
    """This thread's event loop while it doesn't run; made if there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return asyncio.get_event_loop()
    except RuntimeError:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        return loop
