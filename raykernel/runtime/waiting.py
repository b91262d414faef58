"""What came from the head by request, and who waits for it: answers, values, callbacks.

A value is wanted from the moment it was asked for until it came; a submission's results are so by
themselves. A value that came stays until this process's last ref to it goes. What nobody wants any
more when it comes is given back at once.

To wait is to note the turn, look whether it is there, and pump: see transport.py. An interruption
strikes between turns, never in the middle of the engine's own work.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from . import context
from . import messages as m
from .connection import RequestFailed, Timeout
from .guard import Guard
from .transport import Transport


class Waiting(Transport):
    """See the head comment."""

    def __init__(
        self, path: str, guard: Guard | None, on_message: Callable[[Any], None] | None
    ) -> None:
        super().__init__(path, guard, on_message)
        #: What was waited for when the wait was given up, and the cell that did.
        self.given_up: tuple[str, list[bytes]] = ("", [])
        self.left_over: list[bytes] = []  # the API's: what the last `wait` left
        self._values: dict[bytes, m.Value] = {}  # let go of under the send lock
        self._wanted: set[bytes] = set()  # guarded by the send lock
        self._errors = 0
        self._replies: dict[int, m.Reply] = {}
        self._requests = 0
        self._callbacks: dict[bytes, list[Callable[[], None]]] = {}
        self._callback_lock = threading.Lock()  # guards _callbacks; taken under the guard

    # -- what comes ----------------------------------------------------------------------------

    def _arrive(self, value: m.Value) -> None:
        if value.id not in self._wanted:
            # nobody has a ref to it any more
            if value.offset >= 0:
                self._out.append((value.offset,))
            return
        self._values[value.id] = value  # first: that there is a ref can be seen by either
        self._wanted.remove(value.id)
        if value.error:
            self._errors += 1
        if self._callbacks:
            with self.guard, self._callback_lock:
                self._due.extend(self._callbacks.pop(value.id, ()))

    def _lost(self) -> None:
        with self.guard, self._callback_lock:
            callbacks, self._callbacks = self._callbacks, {}
        for each in callbacks.values():
            self._due.extend(each)

    def awaited(self) -> bool:
        return bool(self._callbacks)

    # -- requests ------------------------------------------------------------------------------

    def request(self, make: Callable[[int], Any], timeout: float | None = None) -> bytes:
        """Send a request and wait for its answer. Raises RequestFailed, ConnectionLost, Timeout."""
        deadline = None if timeout is None else time.perf_counter() + timeout
        with self.guard:
            with self._send_lock:
                self._requests += 1
                number = self._requests
            self._out.append(make(number))
            self.flush()
            while True:
                seen = self._turn
                reply = self._replies.pop(number, None)
                if reply is not None:
                    break
                left = None if deadline is None else deadline - time.perf_counter()
                if left is not None and left <= 0:
                    raise Timeout
                self.pump(seen, left)
        if reply.error:
            raise RequestFailed(reply.error, reply.kind)
        return reply.data

    def query(self, what: str, kind: Any = Any, **filters: Any) -> Any:
        """Ask the head a question (see queries.py); the answer as `kind`."""
        data = self.request(lambda number: m.Query(number, what, filters))
        return msgspec.msgpack.decode(data, type=kind)

    # -- values --------------------------------------------------------------------------------

    def want(self, ids: Sequence[bytes], look: bool = True) -> None:
        """Ask for objects, each once; `look`: they will be looked at as soon as they come."""
        with self.guard, self._send_lock:  # not while a fold forgets what had no ref just now
            if self._wanted.issuperset(ids):  # at C's speed
                return
            fresh = [i for i in ids if i not in self._wanted and i not in self._values]
            if fresh:
                self._wanted.update(fresh)
                self._out.append(m.Want(fresh, look))

    def peek(self, object_id: bytes) -> m.Value | None:
        """The value if it is here."""
        return self._values.get(object_id)

    def forget(self, object_id: bytes) -> None:
        """Drop an answer that is of no more use (a stream's item that never came)."""
        self._values.pop(object_id, None)
        self._wanted.discard(object_id)

    def ready(self, ids: Sequence[bytes], count: int) -> list[int]:
        """The positions of the first `count` of `ids` whose values are here."""
        values = self._values
        ready: list[int] = []
        if count == 1 and values.keys().isdisjoint(ids):  # at C's speed
            return ready
        for i, object_id in enumerate(ids):
            if object_id in values:
                ready.append(i)
                if len(ready) == count:
                    break
        return ready

    def get(self, ids: Sequence[bytes], timeout: float | None) -> list[m.Value]:
        """The values of `ids`, in order, as soon as all are there or one of them is an error.

        With an error the list ends with it. Raises Timeout, ConnectionLost, KeyboardInterrupt.
        """
        values = self._values
        missing = [i for i in ids if i not in values]
        if missing:
            self._await_all(ids, missing, timeout)
        out = []
        for object_id in ids:
            value = values.get(object_id)
            if value is None:  # a later one failed
                continue
            out.append(value)
            if value.error:
                return [value]
        return out

    def _await_all(self, ids: Sequence[bytes], missing: list[bytes], timeout: float | None) -> None:
        deadline = None if timeout is None else time.perf_counter() + timeout
        with self.guard:
            self.want(missing)
            self.flush()
            self.before_wait()
            values, errors = self._values, self._errors
            try:
                if any(i in values and values[i].error for i in ids):
                    return
                for object_id in missing:
                    while True:
                        seen = self._turn
                        if object_id in values:
                            break
                        if self._errors != errors:
                            errors = self._errors
                            if any(i in values and values[i].error for i in missing):
                                return
                        self._wait_turn(seen, deadline)
            except KeyboardInterrupt:
                self.give_up([i for i in missing if i not in values])
                raise
            finally:
                self.after_wait()

    def _wait_turn(self, seen: int, deadline: float | None) -> None:
        """One pump on the way to a deadline. Raises Timeout, KeyboardInterrupt."""
        if self.guard.noted:
            self.guard.deliver()
        left = None
        if deadline is not None:
            left = deadline - time.perf_counter()
            if left <= 0:
                self.poll_now()
                if self._turn == seen:
                    raise Timeout
                return
        self.pump(seen, left)

    def wait(self, ids: Sequence[bytes], count: int, timeout: float | None) -> list[int]:
        """The positions of the first `count` of `ids` that are ready, in order; of fewer when time
        is up first."""
        ready = self.ready(ids, count)
        if len(ready) >= count:
            return ready
        deadline = None if timeout is None else time.perf_counter() + timeout
        with self.guard:
            self.want(ids, look=False)
            self.flush()
            self.before_wait()
            try:
                while True:
                    seen = self._turn
                    ready = self.ready(ids, count)
                    if len(ready) >= count:
                        return ready
                    try:
                        self._wait_turn(seen, deadline)
                    except Timeout:
                        return self.ready(ids, count)
            except KeyboardInterrupt:
                self.give_up([i for i in ids if i not in self._values])
                raise
            finally:
                self.after_wait()

    def get_any(self, ids: Sequence[bytes], timeout: float | None) -> None:
        """Wait until one of `ids` is ready. Raises Timeout, ConnectionLost, KeyboardInterrupt."""
        if not self.wait(ids, 1, timeout):
            raise Timeout

    def give_up(self, ids: list[bytes]) -> None:
        """Note that this cell has stopped waiting for these objects, by an interruption."""
        cell = context.current_cell()
        before, others = self.given_up
        self.given_up = (cell, others + ids if cell == before else ids)

    def before_wait(self) -> None:
        """A hook for the worker: the calling thread is about to wait."""

    def after_wait(self) -> None:
        """A hook for the worker: the wait is over, however it ended."""

    # -- callbacks -----------------------------------------------------------------------------

    def when_ready(self, object_id: bytes, callback: Callable[[], None]) -> None:
        """Call `callback` once the value is here or the session is lost; perhaps at once, perhaps
        in the IO thread."""
        with self.guard, self._callback_lock:
            waits = object_id not in self._values and not self.closed
            if waits:
                self._callbacks.setdefault(object_id, []).append(callback)
        if waits:
            self.want([object_id])
            self.flush()
            self._io_thread().attend()
        else:
            callback()

    def no_longer_when_ready(self, object_id: bytes, callback: Callable[[], None]) -> None:
        """Take a callback back, so that nothing it holds waits for the value. It may be called all
        the same if that comes just now."""
        with self.guard, self._callback_lock:
            waiting = self._callbacks.get(object_id)
            if waiting is not None and callback in waiting:
                waiting.remove(callback)
                if not waiting:
                    del self._callbacks[object_id]
