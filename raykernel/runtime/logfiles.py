"""A session's log files: whole and labelled, for those who ask later. `%ray logs` reads them.

    logs/worker-PID.out, .err    what a worker, its C libraries and its children wrote
    logs/worker-PID.idx          one JSON line for each stretch of these: whose it is, and when

The worker alone writes its index; readers are any process of the session's user. The files are
bounded: of each stream the last `KEPT` bytes or more stay, what lies before is given back to the
disk by a hole in the file, so that places in it keep their numbers. Where the file system knows no
holes the files grow.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from .context import Running
    from .messages import TaskSpec

STREAMS = {1: "stdout", 2: "stderr"}
_ENDINGS = {1: "out", 2: "err", "stdout": "out", "stderr": "err"}
KEPT = 16 << 20
_INDEX_KEPT = 2 << 20
_AT_ONCE = 4 << 20  # bytes of one stretch that a question looks at, the last ones
_LAST_WORDS = 1 << 16
_CLOCK_TICK = 2.0  # seconds by which a file's time may be behind the clock
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
#: A frame of ours in what Python's faulthandler writes when a process crashes.
_OUR_FRAME = re.compile(rf'^  File "{re.escape(_PACKAGE)}.*\n', re.MULTILINE)
_PUNCH_HOLE = 3  # FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE


class Entry(msgspec.Struct, array_like=True, frozen=True):
    """A stretch of a log file: bytes `start` to `end`, written by one task until `time`."""

    time: float
    stream: str
    start: int
    end: int
    task: str = ""
    name: str = ""
    cell: str = ""
    actor: str = ""


class LogEntry(msgspec.Struct, frozen=True):
    """A line that a task wrote, with its labels; ids are hex, empty for what there is none of."""

    text: str
    time: float
    stream: str
    pid: int
    task: str
    name: str
    cell: str
    actor: str


def path(folder: str, pid: int, stream: int | str) -> str:
    return os.path.join(folder, "logs", f"worker-{pid}.{_ENDINGS[stream]}")


def open_for_writing(folder: str, pid: int, stream: int) -> int:
    """A file descriptor for what a worker writes to fd `stream`."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    return os.open(path(folder, pid, stream), flags, 0o600)


def entry(spec: TaskSpec | None, stream: str, start: int, end: int) -> Entry:
    if spec is None:
        return Entry(time.time(), stream, start, end)
    return Entry(
        time.time(), stream, start, end, spec.id.hex(), spec.name, spec.cell, spec.actor.hex()
    )


class WorkerFiles:
    """A worker's hand on its own files, whose ends are its fds 1 and 2."""

    def __init__(self, folder: str, pid: int) -> None:
        self._index = _index(folder, pid)
        self._fds = {fd: os.open(path(folder, pid, fd), os.O_RDWR | os.O_CLOEXEC) for fd in STREAMS}
        self._holes = dict.fromkeys(STREAMS, 0)

    def read(self, fd: int, start: int, end: int) -> bytes:
        return os.pread(self._fds[fd], end - start, start)

    def enter(self, stretches: Iterable[tuple[int, Running | None, int, int]]) -> None:
        """Label what was written, and let go of what is too old."""
        lines = []
        for fd, running, start, end in stretches:
            spec = running.spec if running is not None else None
            lines.append(entry(spec, STREAMS[fd], start, end))
            if end - self._holes[fd] > 2 * KEPT:
                self._holes[fd] = end - KEPT
                _punch(self._fds[fd], end - KEPT)
        append(self._index, lines)

    def close(self) -> None:
        for fd in self._fds.values():
            os.close(fd)


def append(index: str, entries: Iterable[Entry]) -> None:
    """Add to an index, and halve one that has grown too long. A full disk takes nothing."""
    data = b"".join(msgspec.json.encode(one) + b"\n" for one in entries)
    with contextlib.suppress(OSError):
        with open(index, "ab") as file:
            file.write(data)
            size = file.tell()
        if size > 2 * _INDEX_KEPT:
            with open(index, "rb") as file:
                file.seek(size - _INDEX_KEPT)
                file.readline()
                rest = file.read()
            Path(f"{index}.new").write_bytes(rest)
            os.replace(f"{index}.new", index)


def last_words(
    folder: str, pid: int, seen: dict[str, int], spec: TaskSpec | None
) -> dict[str, str]:
    """What a worker that is gone had written and not told of, by stream; entered in its index."""
    found = {}
    for stream in STREAMS.values():
        with contextlib.suppress(OSError), open(path(folder, pid, stream), "rb") as file:
            start = max(0, seen.get(stream, 0))
            end = file.seek(0, os.SEEK_END)
            if end <= start:
                continue
            file.seek(max(start, end - _LAST_WORDS))
            text = file.read(_LAST_WORDS).decode("utf-8", "replace")
            found[stream] = _OUR_FRAME.sub("", text)
            append(_index(folder, pid), [entry(spec, stream, start, end)])
    return found


def find(
    folder: str,
    *,
    task: str = "",
    name: str = "",
    actors: Iterable[str] | None = None,
    cell: str = "",
    grep: str = "",
    tail: int = 100,
    since: float = 0.0,
) -> list[LogEntry]:
    """The last `tail` lines that fit, oldest first: of the task with an id that begins or ends
    with `task`, of tasks of this `name`, of actors with these ids, of a cell, found by `grep`,
    written after `since` (seconds since the epoch).

    Raises re.error. Reads backwards and no more than it needs, in pieces of bounded size.
    """
    wanted = re.compile(grep) if grep else None
    of = None if actors is None else set(actors)
    entries = [
        (one, pid)
        for one, pid in _entries(folder, since)
        if one.time > since
        and (one.task.startswith(task) or one.task.endswith(task))
        and (not name or name in (one.name, one.name.rpartition(".")[0]))
        and (of is None or one.actor in of)
        and (not cell or one.cell == cell)
    ]
    entries.sort(key=lambda pair: pair[0].time, reverse=True)
    lines: list[LogEntry] = []
    for one, pid in entries:
        for text in reversed(_lines(folder, one, pid)):
            if wanted is None or wanted.search(text):
                lines.append(
                    LogEntry(
                        text, one.time, one.stream, pid, one.task, one.name, one.cell, one.actor
                    )
                )
                if len(lines) >= tail:
                    return lines[::-1]
    return lines[::-1]


def _entries(folder: str, since: float) -> Iterator[tuple[Entry, int]]:
    decode = msgspec.json.Decoder(Entry).decode
    for index in Path(folder, "logs").glob("worker-*.idx"):
        pid = int(index.stem.partition("-")[2])
        with contextlib.suppress(OSError):
            if since and index.stat().st_mtime < since - _CLOCK_TICK:
                continue
            for line in index.read_bytes().splitlines():
                with contextlib.suppress(msgspec.DecodeError):  # the last one is being written
                    yield decode(line), pid


def _lines(folder: str, one: Entry, pid: int) -> list[str]:
    try:
        with open(path(folder, pid, one.stream), "rb") as file:
            start = max(one.start, one.end - _AT_ONCE)
            file.seek(start)
            data = file.read(one.end - start).lstrip(b"\0")  # a hole reads as zeros
    except OSError:
        return []
    text = data.decode("utf-8", "replace").replace("\r\n", "\n")
    if start > one.start:
        text = text.partition("\n")[2]
    return text.removesuffix("\n").split("\n") if text else []


def _index(folder: str, pid: int) -> str:
    return os.path.join(folder, "logs", f"worker-{pid}.idx")


def _punch(fd: int, end: int) -> None:
    """Give the disk space of a file's beginning back."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(Exception):
        call: Any = ctypes.CDLL(None).fallocate
        call.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
        call(fd, _PUNCH_HOLE, 0, end)
