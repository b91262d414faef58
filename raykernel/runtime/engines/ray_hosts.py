"""The actors that Ray makes: each holds one instance of a class of the user's.

A class of the user's becomes a heir of one of these, under its own name and with its pickled code
in `code` (ray_submit.actor_class). Ray then runs calls as it runs any actor's: one by one, on
threads, or on an event loop, by concurrency group.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from raykernel.runtime.engines import ray_actors


class Host:
    """Calls run in the actor's main thread, or in its threads."""

    code: tuple[bytes, bytes, dict[bytes, Any]]

    def __init__(self, head: bytes, *deps: Any) -> None:
        self._hosted = ray_actors.create(self.code, head, deps)

    def call(self, head: bytes, *deps: Any) -> Any:
        return ray_actors.call(self._hosted, head, deps)

    def stream(self, head: bytes, *deps: Any) -> Iterator[Any]:
        yield from ray_actors.call_stream(self._hosted, head, deps)

    def __ray_shutdown__(self) -> None:
        ray_actors.farewell(self.__dict__)

    def __repr__(self) -> str:
        return repr(self.__dict__.get("_hosted", type(self).__name__))


class AsyncHost:
    """Calls run on the actor's event loop, and so does the constructor."""

    code: tuple[bytes, bytes, dict[bytes, Any]]

    async def __init__(self, head: bytes, *deps: Any) -> None:  # type: ignore[misc]  # Ray awaits it
        self._hosted = await ray_actors.create_async(self.code, head, deps)

    async def call(self, head: bytes, *deps: Any) -> Any:
        return await ray_actors.call_async(self._hosted, head, deps)

    async def stream(self, head: bytes, *deps: Any) -> AsyncIterator[Any]:
        async for item in ray_actors.stream_async(self._hosted, head, deps):
            yield item

    def __ray_shutdown__(self) -> None:
        ray_actors.farewell(self.__dict__)

    def __repr__(self) -> str:
        return repr(self.__dict__.get("_hosted", type(self).__name__))
