"""The local variables of failed tasks, kept for a debugger: in files of the session's folder.

    failing worker ── keep ──▶ <session>/failed/<task> ── Remains ──▶ %debug, %ray debug

A file outlives its worker, and nobody who doesn't debug pays for sending or reading it. It holds,
for each of the failure's frames, each variable by itself: pickled, so that one which can't be does
not take the others along, and read only when asked for. What can't be pickled, holds references to
objects of the session (which it would keep alive), or would be too much is there as its repr.

One failure keeps up to `CAP` bytes, and so do all of a session together; the oldest go first. A
worker writes more than `BIG` at most every `REST` seconds, so that failing stays cheap.

    length of header: u64 | header (msgpack) | the values one after the other
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from . import traces
from .connection import ConnectionLost, RequestFailed
from .context import Running
from .serialize import Serialized, deserialize, serialize
from .shortrepr import short_repr

CAP = 64 << 20
BIG = 1 << 20
REST = 2.0
FILES = 2000
_LOOK = 64  # failures of this process between two looks at what all have kept
_SLOW = 0.5  # seconds after which the rest of a failure's variables is kept as text
_HEAD = struct.Struct("<Q")


#: Session folders that stand for one on another machine, and what brings a failed task's file (with
#: "" all of them) from there. It may block, and raises OSError or ConnectionLost.
far: dict[str, Callable[[str], None]] = {}


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

    def __init__(self, folder: str) -> None:
        self._folder = os.path.join(folder, "failed")
        self._kept = 0
        self._rested = 0.0

    def keep(self, running: Running, error: BaseException, trace: bytes) -> None:
        """Keep a failure's variables. Never raises: it is the failure that counts."""
        with contextlib.suppress(Exception):
            decoded = traces.decode(trace)
            assert decoded is not None
            self._write(running.spec.id.hex(), error, decoded)

    def _write(self, task: str, error: BaseException, trace: traces.Trace) -> None:
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
        head = msgspec.msgpack.encode(header)
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        new = os.path.join(self._folder, f".{task}")
        with open(new, "wb") as file:
            file.write(_HEAD.pack(len(head)))
            file.write(head)
            for made in values:
                for chunk in made.chunks():
                    file.write(chunk)
        os.replace(new, os.path.join(self._folder, task))
        self._kept += 1
        if at > BIG:
            self._rested = time.monotonic() + REST
        if at > BIG or self._kept % _LOOK == 1:
            self._prune()

    def _prune(self) -> None:
        with os.scandir(self._folder) as found:
            files = [(one.stat().st_mtime, one.stat().st_size, one.path) for one in found]
        files.sort(reverse=True)
        total = 0
        for n, (_, size, path) in enumerate(files):
            total += size
            if n and (total > CAP or n >= FILES):
                with contextlib.suppress(OSError):
                    os.unlink(path)


def _pickled(value: Any) -> Serialized | None:
    try:
        made = serialize(value)
    except Exception:
        return None
    return None if made.contained else made


class Remains:
    """One failure's variables, read when asked for. Raises LookupError if they are not there."""

    def __init__(self, folder: str, task: str) -> None:
        self._path = Path(folder, "failed", task)
        if not Path(folder).is_dir():
            raise LookupError("its session is over")
        if folder in far and not self._path.exists():
            _bring(folder, task)
        try:
            with self._path.open("rb") as file:
                (size,) = _HEAD.unpack(file.read(_HEAD.size))
                self.header = msgspec.msgpack.decode(file.read(size), type=Header)
        except FileNotFoundError:
            raise LookupError(
                "they were not kept, or have made room for those of later failures"
            ) from None
        self._start = _HEAD.size + size

    def value(self, frame: int, name: str) -> Any:
        """A variable's value; for want of it something with its repr. Raises KeyError."""
        variable = self.header.frames[frame][name]
        if not variable.size:
            return Unkept(variable.repr)
        try:
            with self._path.open("rb") as file:
                file.seek(self._start + variable.offset)
                return deserialize(file.read(variable.size))
        except Exception as error:
            return Unkept(f"<not readable here: {type(error).__name__}: {error}>")


def _bring(folder: str, task: str) -> None:
    try:
        far[folder](task)
    except (OSError, ConnectionLost, RequestFailed) as error:
        raise LookupError(f"they could not be brought here: {error}") from None


class Unkept:
    """Stands for a value of which only the repr was kept."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def find(folder: str, wanted: str) -> list[Header]:
    """The kept failures of a task's id (its beginning or end) or name, newest first."""
    found = []
    if folder in far:
        with contextlib.suppress(LookupError):
            _bring(folder, "")
    with contextlib.suppress(FileNotFoundError):
        for path in Path(folder, "failed").iterdir():
            with contextlib.suppress(LookupError, OSError, struct.error, msgspec.DecodeError):
                header = Remains(folder, path.name).header
                trace = header.trace
                names = (trace.name, trace.name.rpartition(".")[2])
                if trace.task.startswith(wanted) or trace.task.endswith(wanted) or wanted in names:
                    found.append(header)
    return sorted(found, key=lambda header: header.time, reverse=True)
