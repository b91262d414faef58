"""Generators of refs: what streaming and "dynamic" tasks give their callers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from raykernel.refs import ObjectRef
from raykernel.runtime import context, execute
from raykernel.runtime import messages as m
from raykernel.runtime.connection import Connection, Timeout
from raykernel.runtime.ids import item_id


class ObjectRefGenerator:
    """The refs of a task's values, as the task yields them.

    Iterating blocks until the next value exists. An exception in the task is one last ref that
    raises it. Dropping the generator ends the task at its next `yield`.
    """

    def __init__(self, end: ObjectRef[Any], watched: bool) -> None:
        self._end = end
        self._task = end.binary()[:24]
        self._position = 0
        self._watched = watched  # the producer waits for word of what was taken
        self._over = False

    @property
    def _generator_ref(self) -> ObjectRef[Any]:
        return self._end

    @property
    def _client(self) -> Connection:
        client = self._end._client
        assert client is not None
        return client

    def __iter__(self) -> ObjectRefGenerator:
        return self

    def __next__(self) -> ObjectRef[Any]:
        return self._next_sync(None)

    def _next_sync(self, timeout_s: float | None = None) -> ObjectRef[Any]:
        """The next ref; a nil ref if `timeout_s` passes first. Raises StopIteration."""
        item = self._ask()
        try:
            self._client.get_any([item, self._end.binary()], timeout_s)
            unseen = self._unseen(item)
            if unseen:
                self._client.wait([unseen], 1, timeout_s)
        except Timeout:
            return ObjectRef.nil()
        ref = self._take(item)
        if ref is None:
            raise StopIteration
        return ref

    def _ask(self) -> bytes:
        if self._over:
            raise StopIteration
        client = self._client
        item = item_id(self._task, self._position)
        if client.peek(item) is None and client.peek(self._end.binary()) is None:
            client.queue(m.Consumed(self._task, self._position))
        return item

    def _unseen(self, item: bytes) -> bytes:
        """Of an error at the end what is not here yet, but must be on its way: only item and end
        together tell a task's failure from an item that will never be."""
        client = self._client
        value, end = client.peek(item), client.peek(self._end.binary())
        if end is None:
            return self._end.binary() if value is not None and value.error else b""
        return item if end.error and value is None else b""

    def _take(self, item: bytes) -> ObjectRef[Any] | None:
        """The ref of an item that is ready; None at the end."""
        client = self._client
        end = client.peek(self._end.binary())
        if end is not None and end.error:
            value = client.peek(item)
            self._over = value is None or value.error  # the last one: it says why there is no more
        elif end is not None and client.load(end) <= self._position:
            self._over = True
            client.forget(item)
            return None
        self._position += 1
        if self._watched:
            client.post(m.Consumed(self._task, self._position))
        return ObjectRef(item, client)

    def __aiter__(self) -> ObjectRefGenerator:
        return self

    async def __anext__(self) -> ObjectRef[Any]:
        try:
            item = self._ask()
        except StopIteration:
            raise StopAsyncIteration from None
        client, end = self._client, self._end.binary()
        if client.peek(item) is None and client.peek(end) is None:
            await _ready(client, item, end)
        unseen = self._unseen(item)
        if unseen:
            await _ready(client, unseen)
        ref = self._take(item)
        if ref is None:
            raise StopAsyncIteration
        return ref

    def completed(self) -> ObjectRef[Any]:
        """A ref that is ready when the task has ended. Its value is the number of items; it raises
        what kept the task from running to its end, but not the task's own exception."""
        return self._end

    def task_id(self) -> str:
        return self._task.hex()

    def is_finished(self) -> bool:
        """Whether every item was taken."""
        return self._over

    def _wait_ids(self) -> tuple[bytes, ...]:
        """As soon as one of these is ready `next` doesn't block."""
        client, end = self._client, self._end.binary()
        item = item_id(self._task, self._position)
        if self._over or client.peek(end) is not None:
            return (end,)
        if client.peek(item) is None:
            client.queue(m.Consumed(self._task, self._position))
        return item, end

    def next_ready(self) -> bool:
        """Whether `next` would return, or stop, at once. False once it has stopped."""
        return not self._over and bool(self._client.wait(self._wait_ids(), 1, 0))

    def close(self) -> None:
        """Take no more: the task is told to stop."""
        if not self._over:
            self._over = True
            self._client.queue(m.DropStream(self._task, self._position))

    def send(self, value: Any) -> Any:
        raise NotImplementedError("a task's generator takes no values: pass it a queue or an actor")

    def throw(self, *error: Any) -> Any:
        raise NotImplementedError("a task's generator takes no exceptions: `ray.cancel` it")

    async def asend(self, value: Any) -> Any:
        self.send(value)

    async def athrow(self, *error: Any) -> Any:
        self.throw(*error)

    async def aclose(self) -> None:
        self.close()

    def __del__(self) -> None:
        end = getattr(self, "_end", None)
        if end is not None and end._client is not None and not self._over:
            self.close()

    def __reduce__(self) -> Any:
        raise TypeError(
            "an ObjectRefGenerator can't be passed on or pickled: only its caller can consume it. "
            "Pass the refs it yields."
        )

    def __repr__(self) -> str:
        return f"ObjectRefGenerator({self._end.hex()})"


async def _ready(client: Connection, *ids: bytes) -> None:
    """Wait, in an event loop, until one of the objects is here."""
    import asyncio

    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def resolve() -> None:
        if not done.done():
            done.set_result(None)

    def ready() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(resolve)

    for object_id in ids:
        client.when_ready(object_id, ready)
    try:
        await done
    finally:
        for object_id in ids:
            client.no_longer_when_ready(object_id, ready)


class DynamicObjectRefGenerator:
    """The refs a task with num_returns="dynamic" made; the value of the task's one ref."""

    def __init__(self, refs: list[ObjectRef[Any]]) -> None:
        self._refs = refs

    def __iter__(self) -> Iterator[ObjectRef[Any]]:
        return self

    def __next__(self) -> ObjectRef[Any]:
        if not self._refs:
            raise StopIteration
        return self._refs.pop(0)

    def __len__(self) -> int:
        return len(self._refs)


def _make_dynamic(ids: list[bytes]) -> DynamicObjectRefGenerator:
    client = context.engine.client
    return DynamicObjectRefGenerator([ObjectRef(i, client) for i in ids])


execute.make_dynamic = _make_dynamic

__all__ = ["DynamicObjectRefGenerator", "ObjectRefGenerator"]
