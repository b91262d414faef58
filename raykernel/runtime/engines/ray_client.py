"""A process's connection where Ray runs the tasks: see `Connection` in runtime/connection.py.

Each message is carried out by a call of Ray's. What the API refers to by our ids stands in `Refs`
beside Ray's references; what was got is kept as the bytes it came in, large values at Ray only.
Used in the driver and, by tasks that submit tasks, in every worker process.

Waiting is Ray's: its calls let go of a task's CPU while they wait, and hear an interruption.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from raykernel.raised import from_record
from raykernel.runtime import messages as m
from raykernel.runtime.connection import ConnectionLost, RequestFailed, Timeout
from raykernel.runtime.engines.ray_carry import Carrier
from raykernel.runtime.engines.ray_errors import buried, encoded
from raykernel.runtime.engines.ray_pickled import dumped, loaded
from raykernel.runtime.engines.ray_refs import Entry, Refs
from raykernel.runtime.engines.ray_streams import Stream
from raykernel.runtime.engines.ray_submit import Code
from raykernel.runtime.engines.ray_values import (
    KEPT,
    Blob,
    Fault,
    RayValue,
    to_bytes,
    value_of,
    wrap,
)
from raykernel.runtime.engines.ray_waiting import Waiting, left
from raykernel.runtime.ids import IdFactory, handle_id, is_handle, return_id, weak_id
from raykernel.runtime.serialize import Buffer, Serialized, deserialize, note_ref

Query = Callable[[str, dict[str, Any]], Any]


class RayClient(Waiting):
    """One per process that uses raykernel on Ray."""

    def __init__(self, ray: Any, welcome: m.Welcome, watch: Any) -> None:
        super().__init__()
        self.ray = ray
        self.id = os.urandom(16)
        self.ids = IdFactory()
        self.closed = ""
        self.welcome = welcome
        self.left_over: list[bytes] = []
        self.given_up: tuple[str, list[bytes]] = ("", [])
        self.refs = Refs(self._gone)
        self.codes: dict[bytes, Code] = {}
        self.streams: dict[bytes, Stream] = {}
        #: Told of each submission (see ray_notes.py).
        self.watch = watch
        #: Answers queries; set by the engine.
        self.answer: Query = lambda what, filters: None
        self._carrier = Carrier(self)

    # -- messages ------------------------------------------------------------------------------

    def submit(self, spec: m.TaskSpec, results: Sequence[bytes]) -> None:
        self._open()
        self.refs.settle()
        made = self._carrier.submit(spec)
        kind = "call" if spec.kind == m.CALL else "task"
        if spec.returns == m.STREAMING:
            self.streams[spec.id] = Stream(self, spec.id, made, spec.name, spec.kind)
            end = Entry(made.completed(), 1, spec.name, spec.actor, kind)
            self.refs.new(return_id(spec.id, 1), end)
        elif len(results) == 1:
            self.refs.new(results[0], Entry(made, 1, spec.name, spec.actor, kind))
        else:
            for object_id, ref in zip(results, made or (), strict=True):
                self.refs.new(object_id, Entry(ref, 1, spec.name, spec.actor, kind))
        self.watch.submitted(spec, made)

    def post(self, message: Any) -> None:
        if isinstance(message, m.TaskSpec):
            self._open()
            self.refs.settle()
            self._carrier.create(message)
            self.watch.submitted(message, None)
        else:
            self.queue(message)

    def queue(self, message: Any) -> None:
        if not self.closed:
            self._carrier.carry(message)

    def flush(self) -> None:
        self.refs.settle()

    def request(self, make: Callable[[int], Any], timeout: float | None = None) -> bytes:
        self._open()
        message = make(0)
        if isinstance(message, m.Query):
            return msgspec.msgpack.encode(self.answer(message.what, message.filters))
        return self._carrier.request(message)

    def query(self, what: str, kind: Any = Any, **filters: Any) -> Any:
        self._open()
        found = self.answer(what, filters)
        return found if kind is Any else msgspec.convert(found, kind)

    def register_function(
        self, key: bytes, name: str, payload: bytes, contained: tuple[bytes, ...]
    ) -> None:
        if key not in self.codes:
            self.codes[key] = Code(name, payload, self.refs.of(contained))

    def forget_function(self, key: bytes) -> None:
        """Nothing: a Ray job keeps its functions, and what they close over, to its end."""

    def _open(self) -> None:
        if self.closed:
            raise ConnectionLost(self.closed)

    # -- objects -------------------------------------------------------------------------------

    def put(self, value: Serialized, object_id: bytes = b"", result: bool = False) -> bytes:
        self._open()
        self.refs.settle()
        object_id = object_id or self.ids.put()
        stored = self.wrap(value)
        self.put_stored(object_id, stored)
        if type(stored) is bytes:
            self._values[object_id] = RayValue(object_id, stored)
        else:  # of which the size is kept
            self._values[object_id] = RayValue(object_id, offset=m.AWAY, size=stored.size)
        return object_id

    def put_stored(self, object_id: bytes, stored: Any) -> None:
        try:
            ref = self.ray.put(stored)
        except self.ray.exceptions.ObjectStoreFullError as error:
            raise RequestFailed(str(error)) from None
        except self.ray.exceptions.OutOfDiskError as error:
            raise RequestFailed(str(error), "disk") from None
        self.refs.new(object_id, Entry(ref, 1))

    def wrap(self, value: Serialized) -> Any:
        return wrap(value, self.refs.of(value.contained) if value.contained else {})

    def make_value(self, object_id: bytes, value: Serialized, result: bool = True) -> m.Value:
        return value_of(object_id, self.wrap(value))

    def peek(self, object_id: bytes) -> m.Value | None:
        value = self._values.get(object_id)
        if value is None and object_id in self._done:
            value = self.fetch_one(object_id)
        return value

    def get(self, ids: Sequence[bytes], timeout: float | None) -> list[m.Value]:
        self._open()
        self.refs.settle()
        values = self._values
        missing = [i for i in ids if i not in values]
        if not missing:
            found: dict[bytes, RayValue] = {}
        else:
            found = self._fetch(list(dict.fromkeys(missing)), timeout)
        out: list[m.Value] = []
        for object_id in ids:
            value = found.get(object_id) or values.get(object_id)
            if value is None:  # a later one failed
                continue
            out.append(value)
            if value.error:
                return [value]
        return out

    def _fetch(self, ids: list[bytes], timeout: float | None) -> dict[bytes, RayValue]:
        """Get these; all of them, or some and an error. Raises Timeout, KeyboardInterrupt."""
        deadline = None if timeout is None else time.monotonic() + timeout
        found = {}
        streamed = [i for i in ids if i[:24] in self.streams and i not in self.refs]
        ends = [i for i in ids if i[:24] in self.streams and i == self.streams[i[:24]].end_id]
        for object_id in dict.fromkeys((*streamed, *ends)):
            if not self.wait([object_id], 1, left(deadline)):
                raise Timeout
            found[object_id] = self._values[object_id]
        ids = [i for i in ids if i not in found]
        entries = [self.refs.get(i) for i in ids]
        for object_id, entry in zip(ids, entries, strict=True):
            if entry is None:
                return {object_id: self._void(object_id)}
        try:
            stored = self.ray.get([e.ref for e in entries if e is not None], timeout=left(deadline))
        except self.ray.exceptions.GetTimeoutError:
            raise Timeout from None
        except self.ray.exceptions.RayError:
            return self._fetch_apart(ids, deadline)
        except KeyboardInterrupt:
            self.give_up(ids)
            raise
        for object_id, one in zip(ids, stored, strict=True):
            found[object_id] = self._arrive(object_id, one)
        return found

    def _fetch_apart(self, ids: list[bytes], deadline: float | None) -> dict[bytes, RayValue]:
        """The same one by one, as they come: one of them is an error."""
        found: dict[bytes, RayValue] = {}
        rest = list(ids)
        while rest:
            ready = self.wait(rest, 1, left(deadline))
            if not ready:
                raise Timeout
            ready = self.ready(rest, len(rest))
            for place in ready:
                value = found[rest[place]] = self.fetch_one(rest[place])
                if value.error:
                    return found
            for place in reversed(ready):
                del rest[place]
        return found

    def fetch_one(self, object_id: bytes) -> RayValue:
        """Get what is ready, or its error."""
        value = self._values.get(object_id)
        if value is not None and (value.blob is not None or value.offset == m.INLINE):
            return value
        entry = self.refs.get(object_id)
        if entry is None:
            return self._void(object_id)
        try:
            stored = self.ray.get(entry.ref)
        except self.ray.exceptions.RayError as error:
            data = self.describe(error, object_id[:24], entry.name, entry.actor)
            return self.settle_value(RayValue(object_id, data, True))
        return self._arrive(object_id, stored)

    def _void(self, object_id: bytes) -> RayValue:
        record = m.ErrorRecord("lost", f"nothing is known of object {object_id.hex()} here")
        return RayValue(object_id, msgspec.msgpack.encode(record), True)

    def describe(self, error: BaseException, task: bytes, name: str, actor: bytes = b"") -> bytes:
        """An exception of Ray's as an encoded `ErrorRecord`."""
        if getattr(error, "_actor_init_failed", False) and actor:
            told: bytes = self.answer("obituary", {"actor": actor})
            if told:
                return buried(told)
        return encoded(error, task, name, actor)

    def _arrive(self, object_id: bytes, stored: Any) -> RayValue:
        value = value_of(object_id, stored)
        kept = value if value.size <= KEPT else msgspec.structs.replace(value, blob=None)
        self.settle_value(kept)
        return value

    def load(self, value: m.Value, timeout: float | None = None) -> Any:
        if value.offset == m.INLINE:
            return deserialize(value.data)
        stored = getattr(value, "blob", None)
        if stored is None:
            stored = self._stored(value.id, timeout)
        return self.unwrap(stored)

    def _stored(self, object_id: bytes, timeout: float | None) -> Any:
        entry = self.refs.get(object_id)
        if entry is None:
            raise from_record(self._void(object_id).data)
        try:
            return self.ray.get(entry.ref, timeout=timeout)
        except self.ray.exceptions.GetTimeoutError:
            raise Timeout from None
        except self.ray.exceptions.RayError as error:
            raise from_record(
                self.describe(error, object_id[:24], entry.name, entry.actor)
            ) from None

    def unwrap(self, stored: Any) -> Any:
        """What Ray stored as the user's value. Raises the error that it may stand for."""
        if type(stored) is bytes:
            return deserialize(stored)
        if isinstance(stored, Fault):
            raise from_record(stored.record)
        if not isinstance(stored, Blob):
            return stored  # put by somebody who uses Ray itself
        if not stored.refs:
            return stored.value()
        came = self.refs.adopt(stored.refs)
        try:
            return stored.value()
        finally:
            self.refs.shed(came)

    def load_argument(self, value: m.Value) -> Any:
        if value.error:
            raise from_record(value.data)
        return self.load(value)

    def raw(self, value: m.Value) -> Buffer:
        if value.offset == m.INLINE:
            return value.data
        stored = getattr(value, "blob", None) or self._stored(value.id, None)
        return to_bytes(stored) if isinstance(stored, Blob) else bytes(stored)

    def forget(self, object_id: bytes) -> None:
        self._values.pop(object_id, None)
        self._done.discard(object_id)

    # -- references ----------------------------------------------------------------------------

    def add_ref(self, object_id: bytes) -> None:
        self.refs.add(object_id)

    def drop_ref(self, object_id: bytes) -> None:
        self.refs.drop(object_id)

    def hand_out(self, object_id: bytes) -> bytes:
        entry = self.refs.get(object_id)
        if entry is None or not self.refs.add(object_id):
            return b""
        return dumped(self.ray, entry.ref)

    def take_in(self, object_id: bytes, found_by: bytes) -> None:
        if not self.refs.add(object_id) and found_by:
            self.refs.take(object_id, Entry(loaded(self.ray, found_by), 1))

    def lend(self, actor: bytes) -> bytes:
        entry = self.refs.get(weak_id(actor))
        if entry is None or note_ref(weak_id(actor)):
            return b""
        return dumped(self.ray, entry.ref)

    def borrow(self, actor: bytes, found_by: bytes) -> None:
        if found_by:
            self.take_in(weak_id(actor), found_by)
        else:
            self.refs.add(weak_id(actor))

    def actor(self, actor: bytes) -> Entry | None:
        """Ray's handle of an actor."""
        return self.refs.get(handle_id(actor)) or self.refs.get(weak_id(actor))

    def revive(self, object_id: bytes) -> bool:
        self.refs.settle()
        return self.refs.add(object_id)

    def _gone(self, object_id: bytes) -> None:
        self._values.pop(object_id, None)
        self._done.discard(object_id)
        stream = self.streams.get(object_id[:24])
        if stream is not None and object_id == stream.end_id:
            self.streams.pop(stream.task, None)
        if is_handle(object_id):
            self._carrier.forget_actor(object_id[:16])

    @property
    def known(self) -> int:
        """How many objects this process refers to."""
        return len(self.refs)

    def objects(self) -> list[tuple[bytes, int, bool, int]]:
        """Those, each with its size (0: unknown), whether it is known to be there, and how many
        references this process has."""
        out = []
        for object_id, count in self.refs.counts():
            value = self._values.get(object_id)
            size = 0 if value is None else value.size or len(value.data)
            out.append((object_id, size, value is not None or object_id in self._done, count))
        return out

    def placed(self) -> dict[int, bytes]:
        return {}

    def place_of(self, address: int) -> int | None:
        return None

    def cancel_ref(self, ref: Any, force: bool, recursive: bool) -> None:
        self._carrier.cancel(ref, force, recursive)

    def close(self, reason: str = "the session was shut down") -> None:
        """Leave. Refs that are still around are void."""
        self.closed = self.closed or reason
        with self._lock:
            callbacks, self._callbacks = self._callbacks, {}
        for waiting in callbacks.values():
            for callback in waiting:
                self._later(callback)
        self._bell.set()
        self.refs.clear()
        self.streams.clear()
        self._values.clear()
        self._done.clear()
