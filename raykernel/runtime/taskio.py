"""What tasks print: written to the worker's log files, and shown from there.

    print, logging ──▶ TaskStream ──┐
    C libraries, child processes ───┴─▶ fd 1, 2 ──▶ worker-PID.out, .err ──▶ Outbox ──▶ head

The file descriptors *are* the log files, so a write never waits for anybody, keeps its order, and
is there after a `kill -9`; only who prints more than `BURST` lines between two looks at the files
has them written by the page. The outbox only notes where in the files one task's text ends and the
next one's begins: exactly for what Python prints, which knows its task; by the time for all else,
which belongs to the task that ran. It reads the new text when a task ends and every `DELAY` while
one runs, sends it, and enters it in the index (logfiles.py). Without output a task costs a look at
the size of two files, and quick ones of a function together cost one such look.

Past `limit` lines of one cell nothing more is read, only entered: a task that prints a million
lines costs others no more than its own writes. Thread-safe. In a forked child of a task the streams
write to the same files, and the parent takes notice. What Python and C write through is in
taskstream.py.
"""

from __future__ import annotations

import _thread
import codecs
import contextlib
import os
import threading
import time
from collections.abc import Callable
from itertools import groupby
from typing import Any

from . import context, logfiles
from .context import Running
from .events import LogLine
from .livetext import Screens
from .messages import Bars, Wrote

#: Seconds between two looks at the files while a task runs, and at most while nothing happens.
DELAY = 0.1
NAP = 0.4
#: Bytes of one stretch that are read at once; what is beyond stays in the file.
PIECE = 1 << 18
BURST = 500
_PAGE = 1 << 13
_PARTIAL = 1 << 16  # characters of an unfinished line kept back
_FOLD = 16  # lines from which on it is worth looking for repetition
_CELLS = 1000  # cells whose budget is remembered, and names of quick functions
_QUICK = 0.00005  # seconds; the files are looked at once for many such tasks
_SHORT = 0.001  # seconds; while such a task runs nobody looks at the files

_Stretch = tuple[int, "Running | None", int, int]  # fd, whose, from, to


class Outbox:
    """Where this process's output goes. `limit` is in lines of one cell, 0 for no limit."""

    def __init__(
        self, post: Callable[[Any], None], folder: str, pid: int = 0, limit: int = 0
    ) -> None:
        self._post = post
        self._limit = limit
        self._pid = pid or os.getpid()
        self._files = logfiles.WorkerFiles(folder, self._pid)
        # re-entrant: a finalizer that prints may run in here
        self._lock = threading.RLock()  # guards all below that no other lock guards
        self._sending = threading.RLock()  # keeps what is read and sent in order
        self._partial: dict[tuple[int, Running | None], str] = {}
        self._stretches: list[_Stretch] = []
        self._noted = {fd: os.lseek(fd, 0, os.SEEK_END) for fd in (1, 2)}
        self._owner: list[Running | None] = [None, None, None]  # by fd
        self._last_fd = 1
        self._writes = 0  # since the last look at the files
        self._page: list[bytes] = []  # for `_last_fd`
        self._page_size = 0
        self._decoders = {fd: codecs.getincrementaldecoder("utf-8")("replace") for fd in (1, 2)}
        self._left: dict[str, int] = {}
        self._screens = Screens()  # guarded by _sending
        self._child = False
        self._busy = 0  # tasks that run
        self._quick: set[str] = set()  # names of tasks that end before anybody would look
        self._unchecked = False  # quick tasks have run since the last look
        self._live = False  # whether there is something on `_screens`
        self._wake = threading.Event()
        self._dozing = True
        self._helped = False  # there is a thread
        if any(self._noted.values()):  # what an earlier process of this id left is not news
            post(Wrote([], self._noted[1], self._noted[2]))
        os.register_at_fork(after_in_child=self._forked)

    # -- what the worker calls -----------------------------------------------------------------

    def begin(self, running: Running) -> None:
        """A task begins: from here on, what comes without a name is its."""
        spec = running.spec
        self._busy += 1
        if self._busy > 1:
            self._note_both()
        elif self._unchecked:
            before = self._owner[1]
            if before is None or before.spec.cell != spec.cell or before.spec.name != spec.name:
                self._note_both()
        self._owner[1] = self._owner[2] = running
        if self._dozing and spec.name not in self._quick:
            self._rouse()

    def end(self, task: bytes, took: float) -> None:
        """A task ends, after so many seconds: send what it wrote, before its result goes."""
        if self._busy:  # a call cancelled before its turn never began
            self._busy -= 1
        if self._partial or self._page or self._stretches or self._live:
            self.send(task)
        elif took < _QUICK:
            self._unchecked = True
        elif self._grown():
            self.send(task)
        quick = self._quick
        if took >= _SHORT:
            if quick and (running := self._owner[1]) is not None:
                quick.discard(running.spec.name)
        elif (running := self._owner[1]) is not None and running.spec.name not in quick:
            quick.add(running.spec.name)
            if len(quick) > _CELLS:
                quick.clear()

    def check(self) -> None:
        """Results are about to leave: send what quick tasks wrote without a name."""
        if self._unchecked:
            self._unchecked = False
            if self._grown():
                self.send()

    def _grown(self) -> bool:
        noted = self._noted
        return os.lseek(1, 0, os.SEEK_END) != noted[1] or os.lseek(2, 0, os.SEEK_END) != noted[2]

    def _note_both(self) -> None:
        self._unchecked = False
        with self._lock:
            self._note(1)
            self._note(2)

    def write(self, fd: int, text: str) -> None:
        running = context.running()
        with self._lock:
            key = (fd, running)
            if self._partial:
                text = self._partial.pop(key, "") + text
            if text[-1:] != "\n":
                text, newline, rest = text.rpartition("\n")
                text += newline
                if len(rest) > _PARTIAL:
                    text += rest
                else:
                    self._partial[key] = rest
            if text:
                self._put(fd, running, text)
        if self._dozing:
            self._rouse()

    def flush(self, fd: int) -> None:
        """Bring out what stands without a newline."""
        key = (fd, context.running())
        with self._lock:
            text = self._partial.pop(key, "")
            if text:
                self._put(*key, text)
            self._write_page()

    def send(self, ended: bytes = b"") -> bool:
        """Send what is there; whether there was anything. `ended` is a task that is over."""
        with self._sending:
            with self._lock:
                self._writes = 0
                for (fd, running), text in list(self._partial.items()):
                    del self._partial[fd, running]
                    self._put(fd, running, text)
                self._note(1)
                self._note(2)
                stretches, self._stretches = self._stretches, []
            self._unchecked = False
            if stretches or self._screens:
                self._send(stretches, ended)
        return bool(stretches)

    def _send(self, stretches: list[_Stretch], ended: bytes) -> None:
        read = [line for stretch in stretches for line in self._read(*stretch)]
        lines, bars = self._screens.sift([line for line in read if line.text], time.monotonic())
        if ended and self._screens:
            self._screens.end(ended.hex(), lines, bars)
        lines += [line for line in read if line.skipped]
        if stretches:
            self._files.enter(stretches)
            self._post(Wrote(lines, _end(stretches, 1), _end(stretches, 2)))
        elif lines:
            self._post(Wrote(lines))
        if bars:
            self._post(Bars(bars))
        self._live = bool(self._screens)

    # -- the files -----------------------------------------------------------------------------

    def _put(self, fd: int, running: Running | None, text: str) -> None:
        """Write, noting whose it is. The caller has the lock."""
        if not self._child and (self._last_fd != fd or self._owner[fd] is not running):
            self._note(self._last_fd)
            self._note(fd)
            self._last_fd = fd
            self._owner[fd] = running
        data = text.encode("utf-8", "backslashreplace")
        self._writes += 1
        if self._writes <= BURST or self._child:
            _write(fd, data)
            return
        self._page.append(data)
        self._page_size += len(data)
        if self._page_size >= _PAGE:
            self._write_page()

    def _write_page(self) -> None:
        if self._page:
            page, self._page, self._page_size = b"".join(self._page), [], 0
            _write(self._last_fd, page)

    def _note(self, fd: int) -> None:
        """What stands in the file since the last note is its present owner's."""
        self._write_page()
        start, end = self._noted[fd], os.lseek(fd, 0, os.SEEK_END)
        if end == start:
            return
        self._noted[fd] = end
        running = self._owner[fd]
        if self._stretches:
            last_fd, last_running, first, last = self._stretches[-1]
            if last_fd == fd and last_running is running and last == start:
                self._stretches[-1] = (fd, running, first, end)
                return
        self._stretches.append((fd, running, start, end))

    def _read(self, fd: int, running: Running | None, start: int, end: int) -> list[LogLine]:
        """A stretch's text as far as its cell's budget goes."""
        cell = running.spec.cell if running is not None else ""
        left = self._left.get(cell, self._limit) if self._limit else 1
        decoder = self._decoders[fd]
        if not left:
            decoder.reset()
            return []
        text = decoder.decode(self._files.read(fd, start, min(end, start + PIECE)))
        skipped = max(0, end - start - PIECE)
        if skipped:
            decoder.reset()
        pieces = self._pieces(text)
        if self._limit:
            count = sum(piece.count("\n") for piece, _ in pieces)
            if count > left:
                if len(pieces) == 1:
                    pieces = [(line, 1) for line in text.splitlines(keepends=True)]
                del pieces[left:]
                skipped = max(skipped, 1)
            self._left[cell] = max(0, left - count)
            while len(self._left) > _CELLS:
                del self._left[next(iter(self._left))]
        lines = [self._line(fd, running, piece, times) for piece, times in pieces]
        if skipped:
            lines.append(self._line(fd, running, "", 1, skipped))
        return lines

    def _pieces(self, text: str) -> list[tuple[str, int]]:
        """The text in pieces, with how often each comes; repeated lines once if that saves much."""
        if self._limit and text.count("\n") >= _FOLD:
            lines = text.splitlines(keepends=True) if "\r" not in text else []
            folded = [(line, sum(1 for _ in same)) for line, same in groupby(lines)]
            if folded and (len(folded) <= len(lines) // 2 or len(lines) > self._limit):
                return folded
        return [(text, 1)] if text else []

    def _line(
        self, fd: int, running: Running | None, text: str, times: int, skipped: int = 0
    ) -> LogLine:
        stream = "stdout" if fd == 1 else "stderr"
        pid = str(self._pid)
        if running is None:
            return LogLine("", "", "", pid, stream, text, times, skipped)
        spec = running.spec
        return LogLine(spec.cell, spec.id.hex(), spec.name, pid, stream, text, times, skipped)

    # -- the thread ----------------------------------------------------------------------------

    def _rouse(self) -> None:
        """Have somebody look at the files while a task runs. A process that has but quick tasks and
        no output stays without a thread, which makes all else in it slower. `threading` is not told
        of the thread: user code that counts threads before it forks counts its own."""
        with self._lock:
            self._dozing = False
            if not self._helped and not self._child:
                self._helped = True
                with contextlib.suppress(RuntimeError):  # the interpreter ends: `end` sends
                    _thread.start_new_thread(self._run, ())
            self._wake.set()

    def _run(self) -> None:
        nap = DELAY
        before: Running | None = None
        while True:
            self._dozing = True
            roused = self._wake.wait(nap)
            with self._lock:
                self._wake.clear()
                self._dozing = False
            if roused:
                time.sleep(DELAY / 2)
            running = self._owner[1] if self._busy else None
            lasts = running is not None and running is before
            before = running
            nap = DELAY if self.send() or lasts or self._screens.pending or roused else 2 * nap
            with self._lock:
                if nap > NAP and not self._wake.is_set():
                    self._helped, self._dozing = False, True
                    return

    def _forked(self) -> None:
        self._child = True
        self._lock = threading.RLock()
        self._sending = threading.RLock()
        self._partial.clear()
        self._page.clear()


def _write(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    with contextlib.suppress(OSError):  # no room on the disk: a print is not to fail for that
        while rest:
            rest = rest[os.write(fd, rest) :]


def _end(stretches: list[_Stretch], fd: int) -> int:
    """How far the stretches go in one file; -1 if they don't touch it."""
    return max((end for each, _, _, end in stretches if each == fd), default=-1)
