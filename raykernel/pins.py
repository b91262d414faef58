"""What a value keeps alive: the refs in it, and the views of the object store's memory.

Looks into containers, objects and closures to some depth, without calling any code of theirs. A
NumPy array shows its memory by its base, an Arrow buffer by its address; what no one can look into
is taken to hold nothing. Called for what a cell displays and for `%ray memory`.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import sys
from collections import deque
from dataclasses import dataclass, field
from types import BuiltinFunctionType, CellType, CodeType, FrameType, FunctionType, ModuleType
from typing import Any

from raykernel.actor import ActorHandle
from raykernel.generators import ObjectRefGenerator
from raykernel.refs import ObjectRef
from raykernel.runtime.connection import Connection

#: Values looked at in one go.
BUDGET = 20_000

_PLAIN = (int, float, complex, str, bytes, bool, type(None))
_NOT_INTO = (type, ModuleType, CodeType, FrameType, BuiltinFunctionType)
_ENGINE_ROOM = ("raykernel", "IPython", "ipykernel", "traitlets", "zmq", "asyncio", "threading")


@dataclass(slots=True)
class Pins:
    """`blocks` are sizes by place in the arena; `streams` and `actors` are ids too."""

    refs: set[bytes] = field(default_factory=set)
    blocks: dict[int, int] = field(default_factory=dict)
    actors: set[bytes] = field(default_factory=set)
    streams: set[bytes] = field(default_factory=set)
    looked: int = 0  # how many values were looked at

    def __bool__(self) -> bool:
        return bool(self.refs or self.blocks or self.actors or self.streams)


def pins_of(value: Any, client: Connection, budget: int = BUDGET) -> Pins:
    """What `value` keeps alive in the session of `client`."""
    found = Pins()
    seen: set[int] = set()
    left: deque[Any] = deque([value])
    while left and budget:
        item = left.popleft()
        # by the type itself: what was displayed claims to be what it stands for, and holds nothing
        if issubclass(type(item), _PLAIN) or id(item) in seen:
            continue
        budget -= 1
        found.looked += 1
        seen.add(id(item))
        left.extend(_look(item, client, found))
    return found


def _look(item: Any, client: Connection, found: Pins) -> Any:
    """Note what the item itself pins; the values to look at next."""
    kind = type(item)
    if kind is ObjectRef:
        if item._client is client:
            found.refs.add(item._id)
    elif kind is ActorHandle:
        if item._ref is not None and item._client is client:
            found.actors.add(item._id)
    elif kind is ObjectRefGenerator:
        if item._end._client is client:
            found.streams.add(item._end._id)
    elif kind is dict:
        return (*item.keys(), *item.values())
    elif kind in (list, tuple, set, frozenset, deque):
        return item
    elif kind is memoryview:
        _note_view(item, client, found)
    elif kind is FunctionType:
        return (*(item.__closure__ or ()), *(item.__defaults__ or ()), item.__dict__)
    elif kind is CellType or kind is functools.partial:
        return gc.get_referents(item)
    elif _in_engine_room(kind):
        return ()
    elif _is_array(item):
        return _note_array(item, client, found)
    elif _note_arrow(item, client, found):
        pass
    elif not isinstance(item, _NOT_INTO):
        return gc.get_referents(item)
    return ()


def _in_engine_room(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in _ENGINE_ROOM


def _is_array(item: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(item, numpy.ndarray)


def _note_array(array: Any, client: Connection, found: Pins) -> Any:
    if array.dtype.hasobject:
        return list(array.flat)
    base = array
    while _is_array(base):
        base = base.base
    if isinstance(base, memoryview):
        _note_view(base, client, found)
        return ()
    return (base,)


def _note_view(view: memoryview, client: Connection, found: Pins) -> None:
    try:
        owner = view.obj
    except ValueError:  # released
        return
    if isinstance(owner, ctypes.Array):
        offset = client.place_of(ctypes.addressof(owner))
        if offset is not None:
            found.blocks[offset] = ctypes.sizeof(owner)


def _note_arrow(item: Any, client: Connection, found: Pins) -> bool:
    """Whether it was something of Arrow's."""
    if not type(item).__module__.startswith("pyarrow"):
        return False
    for buffer in _buffers(item):
        offset = client.place_of(buffer.address) if buffer is not None else None
        if offset is not None:
            found.blocks[offset] = max(buffer.size, found.blocks.get(offset, 0))
    return True


def _buffers(item: Any) -> list[Any]:
    if hasattr(item, "address"):
        return [item]
    if hasattr(item, "itercolumns"):  # a table, a record batch
        return [buffer for column in item.itercolumns() for buffer in _buffers(column)]
    if hasattr(item, "chunks"):
        return [buffer for chunk in item.chunks for buffer in _buffers(chunk)]
    return item.buffers() if hasattr(item, "buffers") else []
