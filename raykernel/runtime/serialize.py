"""Values to bytes and back: pickle protocol 5 with buffers out of band.

A serialized value is an Arrow IPC file if it is an Arrow table (arrowfile.py), else either a bare
pickle (its first byte is 0x80) or, when the pickle refers to buffers (NumPy arrays, Arrow tables in
something else, anything with pickle 5 support):

    "RKB1" | n: u32 | length of pickle: u64 | n lengths: u64 | pickle | buffers, each aligned to 64

The layout is the same inside a message and in the arena. Reading makes no copy: the buffers handed
to the unpickler are slices of the memory given, read-only, and keep it alive.

Arrays that lie in no order of their own, like `a[:, ::2]`, are brought into one: their pickle would
hold a copy in band, and each reader would make another.

Values of plain types take the C pickler; the rest goes through cloudpickle, which carries
functions and classes of `__main__` and of notebooks by value. While a value is pickled, refs in it
report their ids to the calling thread's collector: the object table must know what holds what.
"""

from __future__ import annotations

import functools
import io
import pickle
import struct
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import cloudpickle

from . import arrowfile

Buffer = bytes | bytearray | memoryview

_HEAD = struct.Struct("<4sIQ")
BUFFERS_MAGIC = b"RKB1"
ARROW_MAGIC = arrowfile.MAGIC
_ALIGN = 64
_PLAIN_LEAVES: frozenset[type] = frozenset({int, float, str, bytes, bool, type(None), complex})
_PLAIN_NODES = 64  # containers with more nodes than this aren't walked: the C pickler might fail


class _Collector(threading.local):
    ids: list[bytes] | None = None


_collector = _Collector()
_plain_types: set[type] = set(_PLAIN_LEAVES)
_custom: dict[type, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {}


def note_ref(object_id: bytes) -> bool:
    """Called by a ref while it is pickled. False: it is not by `serialize`."""
    if _collector.ids is None:
        return False
    _collector.ids.append(object_id)
    return True


def add_plain_type(kind: type) -> None:
    """Declare that instances of exactly this type pickle well without cloudpickle's help."""
    _plain_types.add(kind)


def register_custom(
    kind: type, serializer: Callable[[Any], Any], deserializer: Callable[[Any], Any]
) -> None:
    """Use these two functions for instances of `kind` in this process."""
    _custom[kind] = (serializer, deserializer)


def deregister_custom(kind: type) -> None:
    _custom.pop(kind, None)


class Serialized:
    """A value ready to be written: pickle, raw buffers, and the refs inside."""

    __slots__ = ("buffers", "contained", "pickle", "size")

    def __init__(
        self, data: bytes, buffers: list[memoryview] | None, contained: tuple[bytes, ...]
    ) -> None:
        self.pickle = data
        self.buffers = buffers
        self.contained = contained
        self.size = len(data) if not buffers else _layout(len(data), buffers)

    def to_bytes(self) -> bytes:
        """All of it in one piece."""
        return b"".join(self.chunks()) if self.buffers else self.pickle

    def chunks(self) -> list[Buffer]:
        """The pieces in order, padding included; together `size` bytes."""
        if not self.buffers:
            return [self.pickle]
        sizes = [b.nbytes for b in self.buffers]
        head = _HEAD.pack(BUFFERS_MAGIC, len(sizes), len(self.pickle))
        head += struct.pack(f"<{len(sizes)}Q", *sizes)
        out: list[Buffer] = [head, self.pickle]
        at = len(head) + len(self.pickle)
        for buffer in self.buffers:
            pad = -at % _ALIGN
            if pad:
                out.append(bytes(pad))
            out.append(buffer)
            at += pad + buffer.nbytes
        return out


class ArrowFile(Serialized):
    """A table in the form of an Arrow IPC file."""

    __slots__ = ("_pieces",)

    def __init__(self, pieces: list[bytes | memoryview]) -> None:
        super().__init__(b"", None, ())
        self._pieces = pieces
        self.size = sum(memoryview(piece).nbytes for piece in pieces)

    def to_bytes(self) -> bytes:
        return b"".join(self._pieces)

    def chunks(self) -> list[Buffer]:
        return list(self._pieces)


def _layout(pickled: int, buffers: Iterable[memoryview]) -> int:
    sizes = [b.nbytes for b in buffers]
    at = _HEAD.size + 8 * len(sizes) + pickled
    for size in sizes:
        at += -at % _ALIGN + size
    return at


def _is_plain(value: Any, budget: list[int]) -> bool:
    kind = type(value)
    if kind in _plain_types:
        return True
    if kind is tuple or kind is list:
        budget[0] -= len(value)
        return budget[0] >= 0 and all(_is_plain(v, budget) for v in value)
    if kind is dict:
        budget[0] -= 2 * len(value)
        return budget[0] >= 0 and all(
            _is_plain(k, budget) and _is_plain(v, budget) for k, v in value.items()
        )
    return False


def _is_plain_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and type(value) is numpy.ndarray and not value.dtype.hasobject


def _in_order(array: Any) -> Any:
    """The array itself if it lies in one piece, else a copy that does."""
    return array if array.flags.forc else array.copy()


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """cloudpickle, with the user's own serializers first."""

    def reducer_override(self, obj: Any) -> Any:
        custom = _custom.get(type(obj))
        if custom is not None:
            serializer, deserializer = custom
            return _apply, (deserializer, serializer(obj))
        if _is_plain_array(obj) and not obj.flags.forc:
            return _in_order(obj).__reduce_ex__(5)
        if (
            type(obj) is _CACHED
            and cloudpickle.cloudpickle._should_pickle_by_reference(obj.__wrapped__) is False
        ):  # else its name leads to it
            return _cached, (obj.__wrapped__, obj.cache_parameters())
        if type(obj) is functools.cached_property:  # which keeps a lock before Python 3.12
            return _property, (obj.func, obj.attrname)
        reduced = super().reducer_override(obj)
        if isinstance(obj, type) and type(reduced) is tuple and len(reduced) == 6:
            make, args, state, *_ = reduced  # cloudpickle's way for classes it carries by value
            return _class, (make, args), state, None, None, _set_class_state
        return reduced


#: What `functools.lru_cache` and `cache` make of a function.
_CACHED = functools._lru_cache_wrapper


def _cached(function: Any, parameters: dict[str, Any]) -> Any:
    """A function with a cache, which is empty here."""
    return functools.lru_cache(**parameters)(function)


def _property(function: Any, name: str) -> Any:
    made = functools.cached_property(function)
    made.__set_name__(object, name)
    return made


#: Classes that came by value: their homes are other processes.
_foreign: weakref.WeakSet[type] = weakref.WeakSet()


def _class(make: Callable[..., type], args: tuple[Any, ...]) -> type:
    """A class that came by value; the very one that is here, if this is its home or it came
    before."""
    tracker = args[-2]  # cloudpickle's id of this class, in whatever process
    known = cloudpickle.cloudpickle._DYNAMIC_CLASS_TRACKER_BY_ID.get(tracker)
    made = make(*args)
    if made is not known:
        _foreign.add(made)
    return made


def _set_class_state(cls: type, state: Any) -> None:
    """Fill a class that came by value. One at home keeps what it has: its methods are to see the
    globals there, and not the copies which another process was sent."""
    if cls in _foreign:
        cloudpickle.cloudpickle._class_setstate(cls, state)


class _HolePickler(_Pickler):
    """Leaves out the objects of these ids, and notes which."""

    def __init__(self, file: Any, apart: Mapping[int, int], **options: Any) -> None:
        super().__init__(file, **options)
        self._apart = apart

    def persistent_id(self, obj: Any) -> int | None:
        return self._apart.get(id(obj))


class _HoleUnpickler(pickle.Unpickler):
    def __init__(self, file: Any, apart: Sequence[Any], **options: Any) -> None:
        super().__init__(file, **options)
        self._apart = apart

    def persistent_load(self, pid: Any) -> Any:
        return self._apart[pid]


def _apply(deserializer: Callable[[Any], Any], state: Any) -> Any:
    return deserializer(state)


def serialize(value: Any, apart: Mapping[int, int] | None = None) -> Serialized:
    """Pickle `value`. Raises what its pickling raises; refs inside are in `contained`.

    `apart` tells by `id` which objects to leave out, and their places among what `deserialize` is
    to be given for them.
    """
    if type(value) in _PLAIN_LEAVES and apart is None:
        return Serialized(pickle.dumps(value, 5), None, ())
    if arrowfile.is_table(value) and type(value) not in _custom:
        pieces = arrowfile.pieces(value)
        if pieces is not None:
            return ArrowFile(pieces)
    outer = _collector.ids
    ids: list[bytes] = []
    _collector.ids = ids
    buffers: list[memoryview] = []

    def keep(buffer: pickle.PickleBuffer) -> bool:
        try:
            raw = buffer.raw()
        except BufferError:  # not contiguous: pickle it in band
            return True
        buffers.append(raw)
        return False

    try:
        if apart is not None:
            with io.BytesIO() as file:
                _HolePickler(file, apart, protocol=5, buffer_callback=keep).dump(value)
                data = file.getvalue()
        elif not _custom and _is_plain_array(value):
            data = pickle.dumps(_in_order(value), 5, buffer_callback=keep)
        elif not _custom and _is_plain(value, [_PLAIN_NODES]):
            data = pickle.dumps(value, 5, buffer_callback=keep)
        else:
            with io.BytesIO() as file:
                _Pickler(file, protocol=5, buffer_callback=keep).dump(value)
                data = file.getvalue()
    finally:
        _collector.ids = outer
    return Serialized(data, buffers or None, tuple(ids))


def deserialize(data: Buffer, apart: Sequence[Any] | None = None) -> Any:
    """The value of serialized bytes; its buffers are read-only slices of `data`. `apart` are the
    objects that `serialize` left out."""
    if data[0] == 0x80:
        return pickle.loads(data) if apart is None else _fill(data, apart)
    view = memoryview(data).toreadonly()
    if view[: len(ARROW_MAGIC)] == ARROW_MAGIC:
        return arrowfile.read(view)
    magic, count, pickled = _HEAD.unpack_from(view)
    if magic != BUFFERS_MAGIC:
        raise ValueError("not a serialized value")
    sizes = struct.unpack_from(f"<{count}Q", view, _HEAD.size)
    at = _HEAD.size + 8 * count
    body = view[at : at + pickled]
    at += pickled
    buffers = []
    for size in sizes:
        at += -at % _ALIGN
        buffers.append(view[at : at + size])
        at += size
    return pickle.loads(body, buffers=buffers) if apart is None else _fill(body, apart, buffers)


def _fill(data: Buffer, apart: Sequence[Any], buffers: list[memoryview] | None = None) -> Any:
    return _HoleUnpickler(io.BytesIO(data), apart, buffers=buffers).load()
