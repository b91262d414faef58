"""A streaming task's items, taken from Ray's generator in order, as the API waits for them.

Ray hands out the reference of the next item once it is there, or says that the stream has ended; a
task's error is one item more, which raises it. The API waits for either of two objects: the item at
its position (`ids.item_id`) or the end, whose value is the number of items or the error. So each
item taken is looked at: whether it is the error.
"""

from __future__ import annotations

import contextlib
import pickle
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from raykernel.runtime import messages as m
from raykernel.runtime.engines.ray_refs import Entry
from raykernel.runtime.engines.ray_values import RayValue
from raykernel.runtime.ids import item_id, return_id

if TYPE_CHECKING:
    from raykernel.runtime.engines.ray_client import RayClient


class Stream:
    """One of this process's streams."""

    def __init__(
        self, client: RayClient, task: bytes, generator: Any, name: str, kind: int
    ) -> None:
        self.client = client
        self.task = task
        self.generator = generator
        self.name = name
        self.kind = kind
        self.position = 0  # of the next item to be taken
        self.over = False
        self._lock = threading.RLock()  # one item after the other

    @property
    def end_id(self) -> bytes:
        return return_id(self.task, 1)

    def when_next(self, call: Callable[[], None]) -> None:
        """Have a thread of its own call once the next item or the end is there: Ray tells of that
        nobody but who waits."""
        ray, client, generator = self.client.ray, self.client, self.generator

        def attend() -> None:
            ready: list[Any] = []
            with contextlib.suppress(Exception):  # which `call` meets as well
                while not ready and not client.closed:
                    ready, _ = ray.wait([generator], timeout=1, fetch_local=False)
            if not client.closed:
                call()

        threading.Thread(target=attend, name="raykernel-stream", daemon=True).start()

    def advance(self) -> None:
        """Take the next item, which is there, or the end."""
        with self._lock:
            if self.over:
                return
            item = item_id(self.task, self.position)
            try:
                ref = next(self.generator)
            except StopIteration:
                self._end(pickle.dumps(self.position, 5))
                return
            except Exception as error:  # the stream itself broke
                self._fail(item, error)
                return
            self.position += 1
            self.client.refs.new(item, Entry(ref, 1, self.name))
            value = self.client.fetch_one(item)
            if value.error:
                self._end(value.data, error=True)

    def drain(self) -> None:
        """The task has ended: take all there is."""
        while not self.over:
            self.advance()

    def _fail(self, item: bytes, error: Exception) -> None:
        data = self.client.describe(error, self.task, self.name)
        self.client.settle_value(RayValue(item, data, True))
        self._end(data, error=True)

    def _end(self, data: bytes, error: bool = False) -> None:
        self.over = True
        self.client.settle_value(RayValue(self.end_id, data, error))

    def drop(self, position: int) -> None:
        """Nobody will take more. Ray lets the task run on: it is asked to end."""
        with self._lock:
            for left in range(position, self.position):
                self.client.refs.drop(item_id(self.task, left))
            if not self.over and self.kind == m.TASK:
                self.client.cancel_ref(self.generator, force=False, recursive=True)
            self.over = True
            self.generator = None
