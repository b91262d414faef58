"""`ray.get`: values of refs, or the errors that took their place.

What is here already costs no message. A traceback that leaves from here is kept for long, by
notebooks above all: no frame of it may hold on to a ref.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from typing import Any

from raykernel import exceptions
from raykernel.generators import ObjectRefGenerator
from raykernel.lifetime import connected
from raykernel.raised import from_record, tell_of_others
from raykernel.refs import ObjectRef, counted
from raykernel.runtime import context
from raykernel.runtime import messages as m
from raykernel.runtime.connection import Connection, ConnectionLost, Timeout
from raykernel.runtime.serialize import deserialize

_COUNTED = 10_000  # of refs asked for together
_MOMENT = 0.1  # seconds


def get(object_refs: Any, *, timeout: float | None = None) -> Any:
    """The value of a ref, or the list of values of a list of refs, in order. Blocks.

    `timeout` in seconds; 0 polls. Raises the task's error (a RayTaskError that is also an instance
    of what the task raised), GetTimeoutError, ObjectLostError, and so on. Arrays are read-only
    views into shared memory.
    """
    __tracebackhide__ = True  # IPython shows the line that called this, and not these
    current = connected()
    client: Connection = current.client
    if type(object_refs) is ObjectRef:
        value = client.peek(object_refs._id)
        if value is None:
            object_refs = counted(client, object_refs)
            value = _fetch(client, [object_refs._id], timeout)[0]
        if value.error:
            del object_refs
            raise from_record(value.data) from None
        return _load(client, value, timeout)
    if isinstance(object_refs, ObjectRefGenerator):
        raise ValueError(
            "Invalid type of object refs: an ObjectRefGenerator. Iterate over it, and get the refs "
            "it yields."
        )
    if not isinstance(object_refs, list):
        raise ValueError(
            "Invalid type of object refs, "
            f"{type(object_refs)}, is given. 'object_refs' must either be an ObjectRef or a list "
            "of ObjectRefs."
        )
    all_count, ref = True, None
    for ref in object_refs:
        if type(ref) is not ObjectRef:
            raise TypeError(
                f"Attempting to call `get` on the value {ref!r}, which is not an ray.ObjectRef."
            )
        all_count = all_count and ref._client is client
    if not all_count:
        object_refs = [counted(client, ref) for ref in object_refs]
    ids = [ref._id for ref in object_refs]
    try:
        values = _fetch(client, ids, timeout)
    except BaseException:
        del object_refs, ref  # a traceback is kept for long, and is to keep no object alive
        raise
    if values and values[-1].error:
        error = from_record(values[-1].data)
        _tell_of_others(client, object_refs, error)
        del object_refs, ref
        raise error from None
    return [_load(client, value, timeout) for value in values]


def _load(client: Connection, value: m.Value, timeout: float | None) -> Any:
    if value.offset == m.INLINE:
        return deserialize(value.data)
    __tracebackhide__ = True
    try:
        return client.load(value, timeout)
    except Timeout:
        raise _timed_out(timeout) from None
    except ConnectionLost as error:
        raise exceptions.RaySystemError(str(error)) from None


def _tell_of_others(client: Connection, refs: list[Any], error: BaseException) -> None:
    """Add how many more of these have failed by now, where somebody is to read it: tasks that fail
    alike do so at nearly the same time, so a moment is given to the others."""
    if len(refs) < 2:
        return
    if exceptions.renderer is not None:
        with contextlib.suppress(ConnectionLost):
            client.wait([ref._id for ref in refs[:_COUNTED]], len(refs[:_COUNTED]), _MOMENT)
    tasks = {ref._id[:24]: client.peek(ref._id) for ref in refs[:_COUNTED]}
    failed = [value.data for value in tasks.values() if value is not None and value.error]
    tell_of_others(error, failed, len(tasks))


def _fetch(client: Connection, ids: list[bytes], timeout: float | None) -> list[m.Value]:
    __tracebackhide__ = True
    if timeout is not None and timeout < 0:
        raise ValueError("The 'timeout' argument must be nonnegative or None.")
    _warn_if_in_loop()
    try:
        return client.get(ids, timeout)
    except Timeout:
        raise _timed_out(timeout) from None
    except ConnectionLost as error:
        raise exceptions.RaySystemError(str(error)) from None
    except KeyboardInterrupt as interruption:
        if context.interrupted is not None:
            context.interrupted()
        raise interruption.with_traceback(None) from None  # where in here it struck says nothing


def _timed_out(timeout: float | None) -> exceptions.GetTimeoutError:
    return exceptions.GetTimeoutError(f"Get timed out: some object(s) not ready after {timeout} s.")


def _warn_if_in_loop() -> None:
    running = context.running()
    if running is None or not running.spec.actor or "asyncio" not in sys.modules:
        return
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    warnings.warn(
        "Using blocking ray.get inside async actor. This blocks the event loop. Please use `await` "
        "on object ref with asyncio.gather if you want to yield execution to the event loop "
        "instead.",
        stacklevel=4,
    )
