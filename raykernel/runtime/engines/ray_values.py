"""Values on their way through Ray: what Ray stores, and what the API is handed of it.

Ray sees one of three things. `bytes`: the pickle of a small value that holds no refs, for which Ray
has a short way. `Blob`: buffers, which stay out of band and are read where they lie, and the Ray
refs of what the value refers to, so that Ray counts them. `Fault`: the error that one of several
results is. An error of a whole task is raised instead, as a `Failure`: Ray then knows that the task
failed, and passes it on to what depends on it.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any

from raykernel.runtime import messages as m
from raykernel.runtime.serialize import ARROW_MAGIC, ArrowFile, Serialized, deserialize

#: A pickle up to this many bytes travels as bytes, a larger one out of band as a buffer.
_SMALL = 64 * 1024
#: A value up to this many bytes is kept here once it was got.
KEPT = m.INLINE_LIMIT


class Blob:
    """A serialized value; `refs` are Ray's references of what is in it, by our ids."""

    __slots__ = ("buffers", "pickle", "refs")

    def __init__(self, data: Any, buffers: list[Any] | None, refs: Mapping[bytes, Any]) -> None:
        self.pickle = data
        self.buffers = buffers
        self.refs = refs

    @property
    def size(self) -> int:
        return len(self.pickle) + sum(memoryview(b).nbytes for b in self.buffers or ())

    def __reduce__(self) -> Any:
        data = self.pickle if len(self.pickle) <= _SMALL else pickle.PickleBuffer(self.pickle)
        buffers = [pickle.PickleBuffer(b) for b in self.buffers or ()] or None
        return Blob, (data, buffers, self.refs)

    def value(self) -> Any:
        """The value itself. Its arrays are read-only views of where Ray keeps them."""
        if self.buffers is None:
            return deserialize(memoryview(self.pickle))
        buffers = [memoryview(b).toreadonly() for b in self.buffers]
        return pickle.loads(self.pickle, buffers=buffers)


class Fault:
    """An encoded `ErrorRecord` in the place of a value."""

    __slots__ = ("record",)

    def __init__(self, record: bytes) -> None:
        self.record = record

    def __reduce__(self) -> Any:
        return Fault, (self.record,)


class Failure(Exception):
    """What a task raises for Ray: its text is for people who look there, `record` for us."""

    @property
    def record(self) -> bytes:
        data: bytes = self.args[1]
        return data

    def __str__(self) -> str:
        return str(self.args[0])


class Retry(Failure):
    """A failure after which the task's options ask for another try."""


class RayValue(m.Value, frozen=True, array_like=True):
    """As `messages.Value`. `blob` is what Ray has of it; None: Ray has to be asked."""

    blob: Any = None


def wrap(serialized: Serialized, refs: Mapping[bytes, Any]) -> Any:
    """A serialized value as Ray is to store it."""
    if isinstance(serialized, ArrowFile):
        return Blob(serialized.to_bytes(), None, refs)
    if not refs and not serialized.buffers and len(serialized.pickle) <= _SMALL:
        return serialized.pickle
    return Blob(serialized.pickle, serialized.buffers, refs)


def value_of(object_id: bytes, stored: Any) -> RayValue:
    """What Ray had, as the API knows values."""
    if type(stored) is bytes:
        return RayValue(object_id, stored)
    if type(stored) is Fault:
        return RayValue(object_id, stored.record, True)
    return RayValue(object_id, offset=m.AWAY, size=_size(stored), blob=stored)


def _size(stored: Any) -> int:
    return stored.size if isinstance(stored, Blob) else 0


def to_bytes(blob: Blob) -> bytes:
    """A blob in the one piece in which other engines store it."""
    data = bytes(blob.pickle)
    if data.startswith(ARROW_MAGIC):
        return data
    views = [memoryview(b) for b in blob.buffers or ()]
    return Serialized(data, views or None, ()).to_bytes()
