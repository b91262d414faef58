"""Values and errors on their way, as messages carry them."""

from __future__ import annotations

import msgspec

#: Values up to this many bytes travel inside messages, larger ones through shared memory.
INLINE_LIMIT = 100 * 1024

#: Value.offset where the value lies in no block of the arena. Its bytes are in the message; they
#: are in a file of the spill folder, whose name is in `data`; they can be had for the asking.
INLINE, ON_DISK, AWAY = -1, -2, -3


class Value(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A value on its way: inline bytes, a place in the arena (`offset` >= 0), or a file.

    `error` says that `data` is an encoded `ErrorRecord` and not a value. `contained` lists the
    ids of the refs inside; the object keeps them alive.
    """

    id: bytes
    data: bytes = b""
    error: bool = False
    offset: int = INLINE
    size: int = 0
    contained: tuple[bytes, ...] = ()


class ErrorRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Why there is no value. The API turns `kind` into one of its exception classes.

    kind: task, crashed, cancelled, timeout, actor_died, actor_unavailable, lost, pending_calls,
    full, disk, setup, no_group, unschedulable; oom, owner_died, freed, system. For kind "task",
    `cause` is the pickled user exception (empty if that failed) and `text` its traceback, user
    frames only; `refs` are the ids of the refs in `cause`, which whatever has the error as its
    value keeps.
    """

    kind: str
    message: str = ""
    name: str = ""
    pid: int = 0
    text: str = ""
    cause: bytes = b""
    cause_repr: str = ""
    task: bytes = b""
    actor: bytes = b""
    actor_repr: str = ""
    via: tuple[str, ...] = ()
    cell: str = ""
    trace: bytes = b""  # how it failed, see traces.py
    refs: tuple[bytes, ...] = ()
