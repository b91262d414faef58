"""What tasks print: caught in the worker, labelled with the task, sent in batches.

`sys.stdout` and `sys.stderr` of a worker are `TaskStream`s. A write is appended to a buffer under
the name of the task that made it; the buffer leaves when its task ends, when it is full, or after
`DELAY`, so that a task that prints a million lines costs a few messages a second. What C libraries
write to the file descriptors goes to the worker's log file.
"""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from . import context
from .events import LogLine
from .livetext import Screens
from .messages import Bars, Wrote

DELAY = 0.05
_FULL = 1 << 16


class Outbox:
    """Collects what this process's tasks wrote. Thread-safe."""

    def __init__(self, post: Callable[[Any], None]) -> None:
        self._post = post
        self._lock = threading.Lock()  # guards _parts and _size
        self._parts: list[tuple[context.Running | None, str, str]] = []
        self._size = 0
        self._last = 0.0
        self._pid = str(os.getpid())
        self._wake: threading.Event | None = None
        self._screens = Screens()  # guarded by _sending
        self._sending = threading.Lock()  # keeps what is sent in the order it was written

    def write(self, stream: str, text: str) -> None:
        with self._lock:
            self._parts.append((context.running(), stream, text))
            self._size += len(text)
            full = self._size >= _FULL
            if self._wake is None:
                self._wake = threading.Event()
                threading.Thread(target=self._run, name="raykernel-output", daemon=True).start()
        if full:
            self.send()
        else:
            self._wake.set()

    def send(self, ended: bytes = b"") -> None:
        """Send what is there. Called at each task's end, so that output comes before results;
        `ended` is that task."""
        if not self._parts and not self._screens:
            return
        with self._sending:
            self._send(ended)

    def _send(self, ended: bytes) -> None:
        with self._lock:
            parts, self._parts = self._parts, []
            self._size = 0
        lines: list[LogLine] = []
        last: tuple[context.Running | None, str] | None = None
        for running, stream, text in parts:
            if lines and last == (running, stream):
                lines[-1].text += text
                continue
            last = (running, stream)
            if running is None:
                lines.append(LogLine("", "", "", self._pid, stream, text))
            else:
                spec = running.spec
                lines.append(LogLine(spec.cell, spec.id.hex(), spec.name, self._pid, stream, text))
        lines, bars = self._screens.sift(lines, time.monotonic())
        if ended and self._screens:
            self._screens.end(ended.hex(), lines, bars)
        if lines:
            self._post(Wrote(lines))
        if bars:
            self._post(Bars(bars))

    def _run(self) -> None:
        assert self._wake is not None
        while True:
            self._wake.wait()
            self._wake.clear()
            time.sleep(DELAY)
            self.send()
            if self._screens.pending:
                self._wake.set()


class TaskStream(io.TextIOBase):
    """A worker's sys.stdout or sys.stderr."""

    def __init__(self, outbox: Outbox, name: str, fd: int) -> None:
        super().__init__()
        self._outbox = outbox
        self._name = name
        self._fd = fd
        self.buffer = _Bytes(self)

    @property
    def name(self) -> str:
        return f"<{self._name}>"

    @property
    def encoding(self) -> str:  # type: ignore[override]  # read-only here
        return "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        return "replace"

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if text:
            self._outbox.write(self._name, text)
        return len(text)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return False


class _Bytes(io.RawIOBase):
    """`sys.stdout.buffer`, for programs that write bytes."""

    def __init__(self, stream: TaskStream) -> None:
        super().__init__()
        self._stream = stream

    def write(self, data: Any) -> int:
        self._stream.write(bytes(data).decode("utf-8", "replace"))
        return len(data)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._stream.fileno()
