"""Queue: a first-in, first-out queue that tasks, actors and drivers share.

It lives in an async actor, around an `asyncio.Queue`, so that any number of callers can wait in it
at once. A `Queue` can be passed to tasks and actors; it lives as long as one of its handles does.
"""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Iterable
from typing import Any

import raykernel as ray
from raykernel.exceptions import ActorDiedError, RayTaskError
from raykernel.refs import ObjectRef


class Empty(queue.Empty):
    """There is nothing in the queue."""


class Full(queue.Full):
    """There is no room in the queue."""


class Queue:
    """At most `maxsize` items, any number for 0 or less.

    `actor_options` are options of the actor that holds the items, such as `{"num_cpus": 1}`.
    """

    def __init__(self, maxsize: int = 0, actor_options: dict[str, Any] | None = None) -> None:
        self.maxsize = maxsize
        self.actor: Any = ray.remote(_QueueActor).options(**(actor_options or {})).remote(maxsize)

    def __len__(self) -> int:
        return self.size()

    def size(self) -> int:
        """How many items are in it."""
        return int(ray.get(self._alive().qsize.remote()))

    def qsize(self) -> int:
        """How many items are in it."""
        return self.size()

    def empty(self) -> bool:
        return bool(ray.get(self._alive().empty.remote()))

    def full(self) -> bool:
        return bool(ray.get(self._alive().full.remote()))

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Add an item. Waits for room, at most `timeout` seconds; not at all if not `block`.

        Raises Full, ValueError for a negative timeout.
        """
        _translate(self._put(item, block, timeout))

    async def put_async(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """`put`, to be awaited."""
        await _translate_async(self._put(item, block, timeout))

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take the oldest item. Waits for one, at most `timeout` seconds; not at all if not
        `block`.

        Raises Empty, ValueError for a negative timeout.
        """
        return _translate(self._get(block, timeout))

    async def get_async(self, block: bool = True, timeout: float | None = None) -> Any:
        """`get`, to be awaited."""
        return await _translate_async(self._get(block, timeout))

    def put_nowait(self, item: Any) -> None:
        """`put` without waiting. Raises Full."""
        self.put(item, block=False)

    def put_nowait_batch(self, items: Iterable[Any]) -> None:
        """Add all items, or none and raise Full."""
        if not isinstance(items, Iterable):
            raise TypeError("Argument 'items' must be an Iterable")
        _translate(self._alive().put_nowait_batch.remote(list(items)))

    def get_nowait(self) -> Any:
        """`get` without waiting. Raises Empty."""
        return self.get(block=False)

    def get_nowait_batch(self, num_items: int) -> list[Any]:
        """The oldest `num_items` items, or none and raise Empty if there are fewer."""
        if not isinstance(num_items, int):
            raise TypeError("Argument 'num_items' must be an int")
        if num_items < 0:
            raise ValueError("'num_items' must be nonnegative")
        taken: list[Any] = _translate(self._alive().get_nowait_batch.remote(num_items))
        return taken

    def shutdown(self, force: bool = False, grace_period_s: float = 5) -> None:
        """End the actor, and with it the queue; unless `force`, after the calls made before, for
        which it has `grace_period_s` seconds."""
        if self.actor is None:
            return
        if not force:
            ray.wait([self.actor.__ray_terminate__.remote()], timeout=grace_period_s)
        ray.kill(self.actor)
        self.actor = None

    def _alive(self) -> Any:
        if self.actor is None:
            raise ActorDiedError("The queue was shut down.")
        return self.actor

    def _put(self, item: Any, block: bool, timeout: float | None) -> ObjectRef[Any]:
        _check(timeout)
        if not block:
            ref: ObjectRef[Any] = self._alive().put_nowait.remote(item)
        else:
            ref = self._alive().put.remote(item, timeout)
        return ref

    def _get(self, block: bool, timeout: float | None) -> ObjectRef[Any]:
        _check(timeout)
        if not block:
            ref: ObjectRef[Any] = self._alive().get_nowait.remote()
        else:
            ref = self._alive().get.remote(timeout)
        return ref


def _check(timeout: float | None) -> None:
    if timeout is not None and timeout < 0:
        raise ValueError("'timeout' must be a non-negative number")


def _translate(ref: ObjectRef[Any]) -> Any:
    """The value; the actor's Full and Empty as themselves, without its traceback."""
    try:
        return ray.get(ref)
    except RayTaskError as error:
        raise _own(error) from None


async def _translate_async(ref: ObjectRef[Any]) -> Any:
    try:
        return await ref
    except RayTaskError as error:
        raise _own(error) from None


def _own(error: RayTaskError) -> BaseException:
    return error.cause if isinstance(error.cause, (Full, Empty)) else error


class _QueueActor:
    """Every method is async: a full or empty queue never blocks the others."""

    def __init__(self, maxsize: int) -> None:
        self.maxsize = maxsize
        self.queue: asyncio.Queue[Any] = asyncio.Queue(maxsize)

    async def qsize(self) -> int:
        return self.queue.qsize()

    async def empty(self) -> bool:
        return self.queue.empty()

    async def full(self) -> bool:
        return self.queue.full()

    async def put(self, item: Any, timeout: float | None = None) -> None:
        if not self.queue.full():  # wait_for with a timeout of 0 wouldn't even look
            self.queue.put_nowait(item)
            return
        try:
            await asyncio.wait_for(self.queue.put(item), timeout)
        except asyncio.TimeoutError:
            raise Full from None

    async def get(self, timeout: float | None = None) -> Any:
        if not self.queue.empty():
            return self.queue.get_nowait()
        try:
            return await asyncio.wait_for(self.queue.get(), timeout)
        except asyncio.TimeoutError:
            raise Empty from None

    async def put_nowait(self, item: Any) -> None:
        await self.put_nowait_batch([item])

    async def put_nowait_batch(self, items: list[Any]) -> None:
        if self.maxsize > 0 and self.queue.qsize() + len(items) > self.maxsize:
            raise Full(
                f"Cannot add {len(items)} items to queue of size {self.queue.qsize()} and maxsize "
                f"{self.maxsize}."
            )
        for item in items:
            self.queue.put_nowait(item)

    async def get_nowait(self) -> Any:
        return (await self.get_nowait_batch(1))[0]

    async def get_nowait_batch(self, num_items: int) -> list[Any]:
        if num_items > self.queue.qsize():
            raise Empty(f"Cannot get {num_items} items from queue of size {self.queue.qsize()}.")
        return [self.queue.get_nowait() for _ in range(num_items)]


__all__ = ["Empty", "Full", "Queue"]
