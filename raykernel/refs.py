"""ObjectRef: a value that is somewhere, or will be."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from raykernel.exceptions import ObjectLostError
from raykernel.ids import JobID, TaskID, current_job
from raykernel.runtime import context
from raykernel.runtime.connection import Connection
from raykernel.runtime.ids import OBJECT_BYTES
from raykernel.runtime.serialize import add_plain_type, note_ref

if TYPE_CHECKING:
    import asyncio
    import concurrent.futures

T = TypeVar("T")


class ObjectRef(Generic[T]):
    """Stands for a value that a task computes or that was `put`.

    Each instance counts as one reference: the object lives as long as there is one in any process
    or inside a stored value. Equal and hashable by id. Can be awaited.
    """

    __slots__ = ("__weakref__", "_client", "_id")

    def __init__(self, object_id: bytes, client: Connection | None = None) -> None:
        self._client = None  # for `__del__`, should this raise
        if not isinstance(object_id, bytes) or len(object_id) != OBJECT_BYTES:
            raise ValueError(
                f"ID string needs to have length {OBJECT_BYTES}, got {len(object_id)}"
                if isinstance(object_id, bytes)
                else f"an ObjectRef is made of {OBJECT_BYTES} bytes, not {object_id!r}"
            )
        self._id = object_id
        self._client = client

    def __del__(self) -> None:
        client = self._client
        if client is not None:
            client.drop_ref(self._id)

    def binary(self) -> bytes:
        return self._id

    def hex(self) -> str:
        return self._id.hex()

    def is_nil(self) -> bool:
        return self._id == b"\xff" * OBJECT_BYTES

    @classmethod
    def nil(cls) -> ObjectRef[Any]:
        return cls(b"\xff" * OBJECT_BYTES)

    @classmethod
    def from_binary(cls, value: bytes) -> ObjectRef[Any]:
        return cls(value)

    @classmethod
    def from_hex(cls, text: str) -> ObjectRef[Any]:
        return cls(bytes.fromhex(text))

    @classmethod
    def from_random(cls) -> ObjectRef[Any]:
        """A ref that stands for nothing."""
        return cls(os.urandom(OBJECT_BYTES))

    @classmethod
    def size(cls) -> int:
        return OBJECT_BYTES

    def task_id(self) -> TaskID:
        """The task that makes the value."""
        return TaskID(self._id[:24])

    def job_id(self) -> JobID:
        return current_job()

    def call_site(self) -> str:
        """ "": where refs are made isn't recorded, as in Ray unless told to."""
        return ""

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._id == other._id

    def __hash__(self) -> int:
        return hash(self._id)

    def __repr__(self) -> str:
        return f"ObjectRef({self._id.hex()})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """IPython's text: with the state where it stands alone, not in a list of thousands."""
        from raykernel.reprs import ref_text

        printer.text(ref_text(self) if len(printer.stack) == 1 else repr(self))

    def _repr_html_(self) -> str:
        from raykernel.reprs import ref_html

        return ref_html(self)

    def __reduce__(self) -> Any:
        if not note_ref(self._id) and self._client is not None:
            found_by = self._client.hand_out(self._id)
            if found_by:
                return _load, (self._id, found_by)
        return _load, (self._id,)

    def __copy__(self) -> ObjectRef[T]:
        return self

    def __deepcopy__(self, memo: Any) -> ObjectRef[T]:
        return self

    def _counted(self) -> ObjectRef[T]:
        """This ref, or one that keeps the object alive, where this one doesn't. Raises ValueError,
        ObjectLostError."""
        if self._client is not None:
            return self
        from raykernel import api

        return counted(api.connected().client, self)

    def _when_ready(self, callback: Any) -> None:
        if self._client is None:
            raise ValueError(f"{self!r} belongs to no session")
        self._client.when_ready(self._id, callback)

    def _no_longer_when_ready(self, callback: Any) -> None:
        if self._client is not None:
            self._client.no_longer_when_ready(self._id, callback)

    def _on_completed(self, callback: Callable[[Any], Any]) -> None:
        """Call `callback` with the value, or with the error, once it is there. In any thread, but
        for the cell or task of the calling code; what it raises is lost."""
        from raykernel import api

        callback = _for_caller(callback)

        def ready() -> None:
            try:
                result = api.get(self)
            except BaseException as error:
                result = error
            with contextlib.suppress(Exception):
                callback(result)

        self._when_ready(ready)

    def future(self) -> concurrent.futures.Future[T]:
        """A `concurrent.futures.Future` of the value. Its callbacks run in the IO thread, for the
        cell or task that added them."""
        from raykernel import api
        from raykernel.futures import RefFuture

        ref = self._counted()
        future: RefFuture[T] = RefFuture()

        def ready() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(api.get(ref))
            except BaseException as error:
                future.set_exception(error)

        future.on_cancel = lambda: ref._no_longer_when_ready(ready)
        ref._when_ready(ready)
        return future

    def as_future(self, _internal: bool = False) -> asyncio.Future[T]:
        """An asyncio future of the value, for the running loop, or for the one that this thread
        will run."""
        from raykernel import awaiting  # with asyncio: a quarter of the import time, for few

        return awaiting.as_future(self._counted())

    def __await__(self) -> Generator[Any, None, T]:
        from raykernel import awaiting

        return awaiting.wait_for(self)

    # What `asyncio.wait` asks of a future, so that it takes refs and gives the same refs back.

    def done(self) -> bool:
        """Whether the value, or the error, is here."""
        client = self._counted()._client
        return client is None or client.peek(self._id) is not None or bool(client.closed)

    def cancelled(self) -> bool:
        """False: a cancelled task's `exception()` is a TaskCancelledError."""
        return False

    def exception(self) -> BaseException | None:
        """The error, None for a value. Raises asyncio.InvalidStateError before it is here."""
        from raykernel import awaiting

        return awaiting.exception(self)

    def result(self) -> T:
        """The value; raises the error. Raises asyncio.InvalidStateError before it is here."""
        error = self.exception()
        if error is not None:
            raise error
        from raykernel import api

        value: T = api.get(self)
        return value

    def add_done_callback(self, function: Callable[[Any], Any], *, context: Any = None) -> None:
        """Call `function(ref)` in the running event loop once the value is here."""
        from raykernel import awaiting

        awaiting.add_done_callback(self._counted(), function, context)

    def remove_done_callback(self, function: Callable[[Any], Any]) -> None:
        from raykernel import awaiting

        awaiting.remove_done_callback(self, function)

    def __iter__(self) -> Any:
        raise TypeError("an ObjectRef is not iterable: `ray.get` it first")


def counted(client: Connection, ref: ObjectRef[Any]) -> ObjectRef[Any]:
    """The ref itself if it counts in this session; of one that doesn't, as it stands in `Out`, one
    that does. Raises ValueError for another session's, ObjectLostError if the object was freed."""
    __tracebackhide__ = True
    if ref._client is client:
        return ref
    if ref._client is not None or ref.is_nil():
        raise ValueError(
            f"{ref!r} is from a different cluster: it belongs to a session that is over or that "
            "this process is not connected to"
        )
    if not client.revive(ref._id):
        raise ObjectLostError(
            f"{ref!r} was freed: nothing else referred to it. Out, _ and the like keep no object "
            "alive: assign the ref to a name for that."
        )
    return ObjectRef(ref._id, client)


def _for_caller(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` in a copy of the calling code's context, for its cell or task."""
    return partial(copy_context().run, context.bind(function))


add_plain_type(ObjectRef)


def _load(object_id: bytes, found_by: bytes = b"") -> ObjectRef[Any]:
    """Unpickle a ref: one instance more in this process. `found_by`: see `Connection.hand_out`."""
    engine = context.engine
    if engine is None:
        return ObjectRef(object_id)
    if found_by:
        engine.client.take_in(object_id, found_by)
    else:
        engine.client.add_ref(object_id)
    return ObjectRef(object_id, engine.client)
