"""`ray.wait`: which of many refs, or generators of refs, are ready.

A program may wait for a hundred thousand results one by one: what is looked at for each ref is
looked at in C, and only once.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from raykernel import exceptions
from raykernel.generators import ObjectRefGenerator
from raykernel.lifetime import connected
from raykernel.refs import ObjectRef, counted
from raykernel.runtime import context
from raykernel.runtime.connection import Connection, ConnectionLost

_id_of = attrgetter("_id")
_client_of = attrgetter("_client")


def wait(
    ray_waitables: Sequence[Any],
    *,
    num_returns: int = 1,
    timeout: float | None = None,
    fetch_local: bool = True,
) -> tuple[list[Any], list[Any]]:
    """Wait until `num_returns` of the refs are ready, or `timeout` seconds.

    Returns (ready, rest), each in the order given; at most `num_returns` are in the first, even if
    more are ready. Doesn't raise the tasks' errors: a failed task is ready.
    """
    client: Connection = connected().client
    if isinstance(ray_waitables, (ObjectRef, ObjectRefGenerator)):
        raise TypeError(
            "wait() expected a list of ray.ObjectRef or ray.ObjectRefGenerator, got a single "
            f"ray.ObjectRef or ray.ObjectRefGenerator {ray_waitables!r}"
        )
    if not isinstance(ray_waitables, list):
        raise TypeError(
            "wait() expected a list of ray.ObjectRef or ray.ObjectRefGenerator, got "
            f"{type(ray_waitables)}"
        )
    if timeout is not None and timeout < 0:
        raise ValueError(f"The 'timeout' argument must be nonnegative. Received {timeout}")
    if isinstance(num_returns, bool) or not isinstance(num_returns, int):
        raise TypeError(f"num_returns must be an integer, not {num_returns!r}")
    refs = list(ray_waitables)
    ids = _left_over(client, refs)
    known = ids is not None
    held = []
    if ids is None:
        held = [counted(client, ref) for ref in refs if _uncounted(ref)]
        ids = _waitable_ids(client, refs)
    if not refs:
        return [], []
    if num_returns <= 0:
        raise ValueError(f"Invalid number of objects to return {num_returns}.")
    if not known and len(set(refs if ids is None else ids)) != len(refs):
        raise ValueError("Wait requires a list of unique ray_waitables.")
    if num_returns > len(refs):
        raise ValueError(
            "num_returns cannot be greater than the number of ray_waitables provided to ray.wait."
        )
    try:
        if ids is None:
            ready = _wait_any(client, refs, num_returns, timeout)
        else:
            ready = client.ready(ids, num_returns)
            if len(ready) < num_returns:
                ready = client.wait(ids, num_returns, timeout)
    except ConnectionLost as error:
        raise exceptions.RaySystemError(str(error)) from None
    except KeyboardInterrupt as interruption:
        if context.interrupted is not None:
            context.interrupted()
        raise interruption.with_traceback(None) from None
    del held
    done = [refs[i] for i in ready]
    for i in reversed(ready):
        del refs[i]
        if ids is not None:
            del ids[i]
    client.left_over = ids or []
    return done, refs


def _uncounted(ref: Any) -> bool:
    return type(ref) is ObjectRef and ref._client is None


def _left_over(client: Connection, refs: list[Any]) -> list[bytes] | None:
    """The ids of `refs` if these are what the last `wait` left, else None.

    A program that waits for its results one by one comes with the rest each time: that each is a
    ref, and once in the list, was looked at then.
    """
    rest = client.left_over
    if not refs or len(rest) != len(refs) or type(refs[0]) is not ObjectRef:
        return None
    try:
        ids = list(map(_id_of, refs))
        same = ids == rest and set(map(_client_of, refs)) == {client}
    except AttributeError:
        return None
    return ids if same else None


def _waitable_ids(client: Connection, refs: list[Any]) -> list[bytes] | None:
    """What to wait for; None if there are generators.

    Lists of plain refs, by far the most, are checked at C's speed.
    """
    if set(map(type, refs)) == {ObjectRef}:
        if not set(map(_client_of, refs)) <= {client, None}:
            for ref in refs:
                counted(client, ref)
        return list(map(_id_of, refs))
    for ref in refs:
        if type(ref) is ObjectRef:
            counted(client, ref)
        elif not isinstance(ref, ObjectRefGenerator):
            raise TypeError(
                "wait() expected a list of ray.ObjectRef or ray.ObjectRefGenerator, got list "
                f"containing {type(ref)}"
            )
    return None if refs else []


def _wait_any(client: Connection, refs: list[Any], count: int, timeout: float | None) -> list[int]:
    """`client.wait` where there are generators among the refs: a generator is ready with its next
    item, or with its end."""
    deadline = None if timeout is None else time.monotonic() + timeout
    ids: list[bytes] = []
    places: list[int] = []
    for place, ref in enumerate(refs):
        own = ref._wait_ids() if isinstance(ref, ObjectRefGenerator) else (ref._id,)
        ids += own
        places += [place] * len(own)
    wanted = count
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        found = client.wait(ids, wanted, left)
        ready = sorted({places[i] for i in found})
        if len(ready) >= count or len(found) < wanted:
            return ready[:count]
        wanted = len(found) + 1  # a generator's item and end both: one thing
