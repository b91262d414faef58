"""Waiting for what Ray makes: blocking, and by callbacks. A part of `RayClient`.

Ray is asked to wait for its own references and generators; what becomes ready with them by our ids
is worked out here. Callbacks run in a thread of ours, since Ray's own must not wait for anything.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from raykernel.runtime import context
from raykernel.runtime.connection import Timeout
from raykernel.runtime.engines.ray_refs import Refs
from raykernel.runtime.engines.ray_values import RayValue
from raykernel.runtime.ids import is_handle, item_id

if TYPE_CHECKING:
    from raykernel.runtime.engines.ray_streams import Stream


class Waiting:
    """What is here, and who waits for what isn't."""

    ray: Any
    refs: Refs
    streams: dict[bytes, Stream]
    closed: str
    given_up: tuple[str, list[bytes]]

    def __init__(self) -> None:
        self._values: dict[bytes, RayValue] = {}
        self._done: set[bytes] = set()  # known to be there, not looked at
        self._callbacks: dict[bytes, list[Callable[[], None]]] = {}
        self._lock = threading.Lock()  # guards _callbacks
        self._due: deque[Callable[[], None]] = deque()
        self._bell = threading.Event()
        self._caller: threading.Thread | None = None

    def _open(self) -> None:
        raise NotImplementedError

    def _void(self, object_id: bytes) -> RayValue:
        raise NotImplementedError

    def _arrive(self, object_id: bytes, stored: Any) -> RayValue:
        raise NotImplementedError

    def describe(self, error: BaseException, task: bytes, name: str, actor: bytes = b"") -> bytes:
        raise NotImplementedError

    def settle_value(self, value: RayValue) -> RayValue:
        """A value is here: keep it while there are refs, and tell who waits."""
        object_id = value.id
        self._values[object_id] = value
        self._done.discard(object_id)
        self._tell(object_id)
        return value

    def ready(self, ids: Sequence[bytes], count: int) -> list[int]:
        values, done = self._values, self._done
        found: list[int] = []
        for i, object_id in enumerate(ids):
            if object_id in values or object_id in done:
                found.append(i)
                if len(found) == count:
                    break
        return found

    def wait(self, ids: Sequence[bytes], count: int, timeout: float | None) -> list[int]:
        self._open()
        self.refs.settle()
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            ready = self.ready(ids, count)
            if len(ready) >= count:
                return ready
            pending = self._pending(ids)
            try:
                arrived, _ = self.ray.wait(
                    list(pending), num_returns=min(count - len(ready), len(pending)),
                    timeout=left(deadline),
                )  # fmt: skip
            except KeyboardInterrupt:
                self.give_up([i for i in ids if i not in self._values])
                raise
            for waited in arrived:
                self._waited(pending[waited])
            if not arrived:
                return self.ready(ids, count)

    def _pending(self, ids: Sequence[bytes]) -> dict[Any, list[bytes]]:
        """What Ray can wait for, and the ids that are ready with it."""
        pending: dict[Any, list[bytes]] = {}
        values, done, streams = self._values, self._done, self.streams
        asked = set(ids) if streams else ()
        for object_id in ids:
            if object_id in values or object_id in done:
                continue
            stream = streams.get(object_id[:24]) if streams else None
            if stream is not None and not stream.over:
                item = item_id(stream.task, stream.position)
                if object_id == item or (object_id == stream.end_id and item in asked):
                    pending.setdefault(stream.generator, []).append(item)
                    continue
            entry = self.refs.get(object_id)
            if entry is None or is_handle(object_id):
                self.settle_value(self._void(object_id))
                continue
            pending.setdefault(entry.ref, []).append(object_id)
        return pending

    def _waited(self, ids: list[bytes]) -> None:
        """Ray says these are there."""
        for object_id in dict.fromkeys(ids):
            stream = self.streams.get(object_id[:24])
            if stream is None or (object_id in self.refs and object_id != stream.end_id):
                self._done.add(object_id)
                self._tell(object_id)
            elif object_id == stream.end_id:
                stream.drain()
            elif item_id(stream.task, stream.position) == object_id:
                stream.advance()

    def get_any(self, ids: Sequence[bytes], timeout: float | None) -> None:
        if not self.wait(ids, 1, timeout):
            raise Timeout

    def give_up(self, ids: list[bytes]) -> None:
        cell = context.current_cell()
        before, others = self.given_up
        self.given_up = (cell, others + ids if cell == before else ids)

    # -- callbacks -----------------------------------------------------------------------------

    def when_ready(self, object_id: bytes, callback: Callable[[], None]) -> None:
        with self._lock:
            here = object_id in self._values or object_id in self._done or bool(self.closed)
            first = not here and object_id not in self._callbacks
            if not here:
                self._callbacks.setdefault(object_id, []).append(callback)
        if here:
            callback()
        elif first:
            self._attend(object_id)

    def _attend(self, object_id: bytes) -> None:
        """Have Ray tell when it is there."""
        stream = self.streams.get(object_id[:24])
        entry = self.refs.get(object_id)
        if stream is not None and not stream.over and (entry is None or object_id == stream.end_id):
            if object_id != stream.end_id:
                stream.when_next(lambda: self._later(stream.advance))
                return
            assert entry is not None
            entry.ref._on_completed(lambda _: self._later(lambda: self._ended(stream)))
        elif entry is None:
            self.settle_value(self._void(object_id))
        else:
            told = entry

            def completed(stored: Any) -> None:
                if isinstance(stored, BaseException):
                    data = self.describe(stored, object_id[:24], told.name, told.actor)
                    self._later(lambda: self.settle_value(RayValue(object_id, data, True)))
                else:
                    self._later(lambda: self._arrive(object_id, stored))

            entry.ref._on_completed(completed)

    def _ended(self, stream: Stream) -> None:
        """Its task is over. Who waits for the item gets it; the end comes with the last."""
        if item_id(stream.task, stream.position) in self._callbacks:
            return  # `advance` is on its way, and comes to the end some time
        stream.drain()

    def no_longer_when_ready(self, object_id: bytes, callback: Callable[[], None]) -> None:
        with self._lock:
            waiting = self._callbacks.get(object_id)
            if waiting is not None and callback in waiting:
                waiting.remove(callback)
                if not waiting:
                    del self._callbacks[object_id]

    def _tell(self, object_id: bytes) -> None:
        if self._callbacks:
            with self._lock:
                waiting = self._callbacks.pop(object_id, ())
            for callback in waiting:
                self._later(callback)

    def _later(self, call: Callable[[], Any]) -> None:
        """Call it in a thread of ours: Ray's own must not wait for anything."""
        self._due.append(call)
        self._bell.set()
        if self._caller is None:
            self._caller = threading.Thread(target=self._call, name="raykernel-ray", daemon=True)
            self._caller.start()

    def _call(self) -> None:
        while not self.closed or self._due:
            self._bell.wait()
            self._bell.clear()
            while self._due:
                try:
                    self._due.popleft()()
                except Exception:
                    if not self.closed:
                        raise


def left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())
