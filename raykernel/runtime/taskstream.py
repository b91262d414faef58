"""A worker's sys.stdout and sys.stderr, and C's: what is printed goes to the log files at once."""

from __future__ import annotations

import contextlib
import ctypes
import io
import sys
from typing import Any

from .taskio import Outbox


def line_buffer_c() -> None:
    """Have C's stdout written line by line, as on a terminal: else a library's text would wait in
    its buffer until the process ends."""
    name = "__stdoutp" if sys.platform == "darwin" else "stdout"
    with contextlib.suppress(Exception):
        libc = ctypes.CDLL(None)
        libc.setvbuf(ctypes.c_void_p.in_dll(libc, name), None, 1, ctypes.c_size_t(0))


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
        return "backslashreplace"

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if text:
            self._outbox.write(self._fd, text)
        return len(text)

    def flush(self) -> None:
        self._outbox.flush(self._fd)

    def reconfigure(self, **_options: Any) -> None:
        """For programs that ask for another buffering: each line is written at once."""

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

    def flush(self) -> None:
        self._stream.flush()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._stream.fileno()
