"""The local variables of failed tasks, kept for a debugger: on a shelf that outlives the worker.

    failing worker ── Keeper ──▶ shelf ──▶ Remains ──▶ %debug, %ray debug

A shelf is files of the session's folder (remains_files.py), or on a Ray cluster the memory of an
actor (engines/ray_remains.py). It holds, for each of the failure's frames, each variable by itself:
pickled, so that one which can't be does not take the others along, and read only when asked for.
What can't be pickled, holds references to objects of the session (which it would keep alive), or
would be too much is there as its repr.

One failure keeps up to `CAP` bytes, and so do all of a session together, `COUNT` of them at most;
the oldest go first. A worker keeps more than `BIG` at most every `REST` seconds, so that failing
stays cheap.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

from . import traces
from .context import Running
from .serialize import Serialized, deserialize, serialize
from .shortrepr import short_repr

CAP = 64 << 20
COUNT = 2000
BIG = 1 << 20
REST = 2.0
_SLOW = 0.5  # seconds after which the rest of a failure's variables is kept as text

#: Why variables are not there that no other reason is known for.
GONE = "they were not kept, or have made room for those of later failures"


class Shelf:
    """Where a driver finds what its session's workers kept; this one is of no session.

    `task` is a task's id in hex. All methods may block.
    """

    def header(self, task: str, awaited: bool = False) -> bytes:
        """A failure's encoded `Header`; `awaited` if it was kept for sure and may be on its way.
        Raises LookupError, with the reason, if it isn't there."""
        raise LookupError("there is no session")

    def part(self, task: str, offset: int, size: int) -> bytes:
        """Bytes of a failure's values. Raises LookupError."""
        raise LookupError("there is no session")

    def headers(self, settled: bool) -> Iterable[bytes]:
        """All that are there; with `settled` also those that are on their way."""
        return ()


class Store(Protocol):
    """A shelf's end in a worker."""

    def add(self, task: str, header: bytes, values: list[Serialized]) -> None: ...


class Variable(msgspec.Struct, array_like=True):
    """`size` 0: only the repr is there."""

    offset: int
    size: int
    repr: str = ""


class Header(msgspec.Struct, array_like=True):
    """`frames` are those of the trace's own chain, one exception after the other, in its order."""

    time: float
    trace: traces.Trace
    frames: list[dict[str, Variable]]


class Keeper:
    """What a worker keeps of its failures."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rested = 0.0

    def keep(self, running: Running, error: BaseException, trace: bytes) -> None:
        """Keep a failure's variables. Never raises: it is the failure that counts."""
        with contextlib.suppress(Exception):
            decoded = traces.decode(trace)
            assert decoded is not None
            self._put(running.spec.id.hex(), error, decoded)

    def _put(self, task: str, error: BaseException, trace: traces.Trace) -> None:
        now = time.monotonic()
        budget = CAP if now >= self._rested else BIG
        slow = now + _SLOW
        stack = [f for one, _ in traces.chain(error) for f, _ in traces.frames(one.__traceback__)]
        header = Header(time.time(), trace, [{} for _ in stack])
        values: list[Serialized] = []
        at = 0
        for n in reversed(range(len(stack))):  # the innermost first: it matters most
            for name, value in list(stack[n].f_locals.items()):
                made = _pickled(value) if time.monotonic() < slow else None
                if made is None or at + made.size > budget:
                    header.frames[n][name] = Variable(0, 0, short_repr(value))
                else:
                    header.frames[n][name] = Variable(at, made.size)
                    values.append(made)
                    at += made.size
        self._store.add(task, msgspec.msgpack.encode(header), values)
        if at > BIG:
            self._rested = time.monotonic() + REST


def _pickled(value: Any) -> Serialized | None:
    try:
        made = serialize(value)
    except Exception:
        return None
    return None if made.contained else made


class Remains:
    """One failure's variables, read when asked for. Raises LookupError if they are not there."""

    def __init__(self, shelf: Shelf, task: str, awaited: bool = False) -> None:
        self._shelf = shelf
        self._task = task
        self.header = msgspec.msgpack.decode(shelf.header(task, awaited), type=Header)

    def value(self, frame: int, name: str) -> Any:
        """A variable's value; for want of it something with its repr. Raises KeyError."""
        variable = self.header.frames[frame][name]
        if not variable.size:
            return Unkept(variable.repr)
        try:
            data = self._shelf.part(self._task, variable.offset, variable.size)
        except LookupError as error:
            return Unkept(f"<not there: {error}>")
        try:
            return deserialize(data)
        except Exception as error:
            return Unkept(f"<not readable here: {type(error).__name__}: {error}>")


class Unkept:
    """Stands for a value of which only the repr was kept."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def find(shelf: Shelf, wanted: str, settled: bool = True) -> list[Header]:
    """The kept failures of a task's id (its beginning or end) or name, newest first."""
    found = []
    for data in shelf.headers(settled):
        with contextlib.suppress(msgspec.DecodeError):
            header = msgspec.msgpack.decode(data, type=Header)
            trace = header.trace
            names = (trace.name, trace.name.rpartition(".")[2])
            if trace.task.startswith(wanted) or trace.task.endswith(wanted) or wanted in names:
                found.append(header)
    return sorted(found, key=lambda header: header.time, reverse=True)
