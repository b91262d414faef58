"""Ids: who is unique, and how far.

The lengths are Ray's, so that a hex id looks the way its users know it. A task id is a random
prefix of its maker (16 bytes, drawn from the operating system, never from the user's seeds) and a
counter; an object id is the id of the task that makes it and an index; so ids never repeat, across
processes and sessions, and nobody has to be asked for one.

    task id    24 bytes   prefix(16) counter(8)
    object id  28 bytes   task id(24) index(4)     index 0: put, 1..: returns, 2..: yielded items
    actor id   16 bytes   prefix(8) counter(8)
    handle id  28 bytes   actor id(16) zeros(8) ff ff ff ff: stands for "somebody holds a handle"
    weak id    28 bytes   actor id(16) zeros(8) fe ff ff ff: a handle that doesn't count
"""

from __future__ import annotations

import itertools
import os

TASK_BYTES = 24
OBJECT_BYTES = 28
ACTOR_BYTES = 16
NODE_BYTES = 28

_HANDLE_TAIL = b"\0" * 8 + b"\xff" * 4
_WEAK_TAIL = b"\0" * 8 + b"\xfe\xff\xff\xff"
PUT_INDEX = b"\0\0\0\0"
FIRST_RETURN = b"\1\0\0\0"
INDEX = [i.to_bytes(4, "little") for i in range(256)]


class IdFactory:
    """Makes ids for one process. Thread-safe: the counter's step is atomic."""

    def __init__(self, prefix: bytes | None = None) -> None:
        self.prefix = os.urandom(16) if prefix is None else prefix
        self._next = itertools.count(1).__next__

    def task(self) -> bytes:
        return self.prefix + self._next().to_bytes(8, "big")

    def put(self) -> bytes:
        return self.prefix + self._next().to_bytes(8, "big") + PUT_INDEX

    def actor(self) -> bytes:
        return self.prefix[:8] + self._next().to_bytes(8, "big")


def return_id(task: bytes, index: int) -> bytes:
    """The object id of a task's `index`-th return value, counted from 1."""
    return task + (INDEX[index] if index < 256 else index.to_bytes(4, "little"))


def item_id(task: bytes, position: int) -> bytes:
    """The object id of the `position`-th value a streaming task yields, counted from 0.

    Index 1 is the stream's end: an object that holds the number of items.
    """
    return task + (position + 2).to_bytes(4, "little")


def handle_id(actor: bytes) -> bytes:
    """The object whose reference count is the number of handles to an actor."""
    return actor + _HANDLE_TAIL


def weak_id(actor: bytes) -> bytes:
    """The actor as those know it who don't keep it alive."""
    return actor + _WEAK_TAIL


def is_handle(object_id: bytes) -> bool:
    return object_id.endswith(_HANDLE_TAIL)
