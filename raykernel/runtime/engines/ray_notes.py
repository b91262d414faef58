"""What workers on the cluster tell the driver: which tasks began and ended, and what they wrote.

    worker ── Note, Note, ... ──▶ the session's feed actor ──▶ driver (ray_table.py)

Notes are collected for a moment and sent in one call that nobody waits for; while nothing runs
nothing is sent. A worker that dies takes its last moment's notes along: the driver finds out what
Ray can tell by itself. Encoded with msgspec, so that the feed actor needn't know what they say.

What a driver submitted it knows: of its tasks that begin and end within one moment, as most calls
of an actor do, only the times are told, in one note for all.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from raykernel.runtime import messages as m
from raykernel.runtime.context import Running
from raykernel.runtime.events import (
    ACTOR,
    CALL,
    FINISHED,
    READY,
    RUNNING,
    TASK,
    BarInfo,
    LogLine,
    TaskInfo,
)

INTERVAL = 0.1
#: Namespace of what raykernel itself keeps on a cluster.
NAMESPACE = "raykernel"
#: Characters of output of one moment that are sent; the rest is in Ray's log files only.
_MOST_TEXT = 1 << 20
_KINDS = {m.TASK: TASK, m.CREATION: ACTOR, m.CALL: CALL}


class Note(msgspec.Struct, frozen=True, array_like=True):
    """Base of all notes."""


class Submitted(Note, frozen=True, tag=1):
    """By a task. What it asks for is as in its spec."""

    task: TaskInfo
    resources: str
    retries: int


class Began(Note, frozen=True, tag=2):
    """A worker took the task up: `task` says all that is known of it there."""

    task: TaskInfo
    node: str
    attempt: int = 0


class Ended(Note, frozen=True, tag=3):
    task: str
    state: str
    ended: float
    error: str = ""
    called: float = 0.0
    returned: float = 0.0
    made: int = 0
    taken: int = 0


class Said(Note, frozen=True, tag=4):
    line: LogLine


class Moved(Note, frozen=True, tag=5):
    bars: list[BarInfo]


class Died(Note, frozen=True, tag=6):
    """An actor's constructor failed: the encoded `ErrorRecord`."""

    actor: bytes
    record: bytes


class Row(NamedTuple):
    """See `Ended`."""

    task: bytes
    attempt: int
    started: float
    ended: float
    called: float
    returned: float
    made: int
    taken: int


class Ran(Note, frozen=True, tag=7):
    """Tasks of the driver's own that began here and ended well."""

    node: str
    worker: str
    rows: list[Row]


Notes = Submitted | Began | Ended | Said | Moved | Died | Ran
decode = msgspec.msgpack.Decoder(list[Notes]).decode
encode = msgspec.msgpack.Encoder().encode


def info_of(spec: m.TaskSpec, state: str = READY) -> TaskInfo:
    """A task as its spec tells it."""
    deps: dict[str, None] = {d[:24].hex(): None for d in spec.deps}
    return TaskInfo(
        spec.id.hex(), spec.name, _KINDS[spec.kind], state, spec.cell, spec.parent.hex(),
        spec.actor.hex(), "", list(deps),
    )  # fmt: skip


class Notebook:
    """A worker's notes, and the thread that sends them. Thread-safe."""

    def __init__(self, send: Callable[[bytes], None], node: str) -> None:
        self._send = send
        self._node = node
        self._pid = str(os.getpid())
        self._notes: list[Note] = []
        self._begun: dict[bytes, tuple[Running, float]] = {}  # and not told of yet
        self._rows: list[Row] = []
        self._text = 0
        self._lock = threading.Lock()  # guards sending
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def _add(self, note: Note) -> None:
        self._notes.append(note)
        self._stir()

    def _stir(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="raykernel-notes", daemon=True)
            self._thread.start()
        if not self._wake.is_set():
            self._wake.set()

    def submitted(self, spec: m.TaskSpec, made: Any) -> None:
        info = info_of(spec)
        info.submitted = time.time()
        self._add(Submitted(info, spec.resources, spec.retries))

    def killed(self, actor: bytes, for_good: bool) -> None:
        pass

    def began(self, running: Running) -> None:
        spec, now = running.spec, time.time()
        if spec.parent or spec.kind == m.CREATION:
            self._notes.append(self._beginning(running, now))
        else:
            self._begun[spec.id] = running, now
        self._stir()

    def _beginning(self, running: Running, now: float) -> Began:
        info = info_of(running.spec, RUNNING)
        info.worker = self._pid
        info.started = now
        return Began(info, self._node, running.attempt)

    def ended(
        self, task: bytes, state: str, error: str = "", called: float = 0.0, returned: float = 0.0,
        made: int = 0, taken: int = 0,
    ) -> None:  # fmt: skip
        now = time.time()
        running, started = self._begun.pop(task, (None, 0.0))
        if running is not None and state == FINISHED:
            attempt = running.attempt
            self._rows.append(Row(task, attempt, started, now, called, returned, made, taken))
            return
        if running is not None:
            self._notes.append(self._beginning(running, started))
        self._add(Ended(task.hex(), state, now, error, called, returned, made, taken))

    def said(self, line: LogLine) -> None:
        self._text += len(line.text)
        if self._text > _MOST_TEXT:
            line = LogLine(line.cell, line.task, line.name, line.worker, line.stream, "", 1,
                           len(line.text))  # fmt: skip
        self._add(Said(line))

    def moved(self, bars: list[BarInfo]) -> None:
        self._add(Moved(bars))

    def died(self, actor: bytes, record: bytes) -> None:
        self._add(Died(actor, record))
        self.send()

    def send(self) -> None:
        """Send what there is."""
        with self._lock:
            begun, self._begun = self._begun, {}  # first: what ends from here on is a note
            notes, self._notes, self._text = self._notes, [], 0
            rows, self._rows = self._rows, []
            notes += [self._beginning(*one) for one in list(begun.values())]
            if rows:
                notes.append(Ran(self._node, self._pid, rows))
            if notes:
                with contextlib.suppress(Exception):  # the driver may be gone, and its feed with it
                    self._send(encode(notes))

    def _run(self) -> None:
        while True:
            self._wake.wait()
            time.sleep(INTERVAL)
            self._wake.clear()
            self.send()
