"""What tasks print on the cluster: into Ray's log files as ever, and line by line to the driver.

Python's own output is told by the task whose code prints it. What C libraries and child processes
write goes past this, into Ray's log files alone.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from typing import Any

from raykernel.runtime import context
from raykernel.runtime.context import Running
from raykernel.runtime.engines.ray_notes import Notebook
from raykernel.runtime.events import LogLine

#: Ray's own remarks to those who follow its log files.
_REMARKS = (":task_name:", "::task_name:", ":actor_name:", "::actor_name:", ":job_id:", "::job_id:")
_PARTIAL = 1 << 16

_tees: list[Tee] = []


class Tee(io.TextIOBase):
    """A worker's sys.stdout or sys.stderr."""

    def __init__(self, inner: Any, name: str, notes: Notebook) -> None:
        super().__init__()
        self._inner = inner
        self._name = name
        self._notes = notes
        self._partial: dict[Running | None, str] = {}
        self._lock = threading.RLock()  # guards _partial; a finalizer may print in here

    def write(self, text: str) -> int:
        self._inner.write(text)
        if text and not text.startswith(_REMARKS):
            running = context.running()
            with self._lock:
                whole = self._partial.pop(running, "") + text
                lines, newline, rest = whole.rpartition("\n")
                if len(rest) > _PARTIAL:
                    lines, rest = lines + newline + rest, ""
                    newline = ""
                if rest:
                    self._partial[running] = rest
            if lines or newline:
                self._say(running, lines + newline)
        return len(text)

    def end(self, running: Running | None) -> None:
        """The task is over, or wants its words out: what stands without a newline goes too."""
        if running not in self._partial:  # as a rule
            return
        with self._lock:
            rest = self._partial.pop(running, "")
        if rest:
            self._say(running, rest)

    def _say(self, running: Running | None, text: str) -> None:
        pid = str(os.getpid())
        if running is None:
            line = LogLine("", "", "", pid, self._name, text)
        else:
            spec = running.spec
            line = LogLine(spec.cell, spec.id.hex(), spec.name, pid, self._name, text)
        self._notes.said(line)

    def flush(self) -> None:
        self._inner.flush()
        self.end(context.running())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @property
    def name(self) -> str:
        return f"<{self._name}>"

    @property
    def encoding(self) -> str:  # type: ignore[override]  # read-only here
        return str(self._inner.encoding)

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        found: str | None = self._inner.errors
        return found

    @property
    def buffer(self) -> Any:
        return self._inner.buffer

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return int(self._inner.fileno())

    def isatty(self) -> bool:
        return False


def install(notes: Notebook) -> None:
    sys.stdout = Tee(sys.stdout, "stdout", notes)
    sys.stderr = Tee(sys.stderr, "stderr", notes)
    _tees.extend((sys.stdout, sys.stderr))


def end(running: Running) -> None:
    """A task is over: its last words go before its end is told."""
    for tee in _tees:
        tee.end(running)
