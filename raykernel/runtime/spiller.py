"""The thread of the head that copies objects from the arena to files, and removes files.

The head's loop hands it work and goes on; what is done comes back through a queue and one byte in a
socket pair, which the loop polls. Work is done in order, so that a file is never removed before it
is written. The copying itself happens in the kernel (`sendfile`), without Python's lock and without
mapping the arena here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import socket
import threading
from collections import deque
from collections.abc import Callable

from . import files
from .instructions import Spill, Unlink
from .shm import FULL

_PIECE = 64 * 2**20


class Spiller:
    """Owned by the head's loop; `fileno` is for its poller."""

    def __init__(self, arena: str, folder: str) -> None:
        self._arena = arena
        self._folder = folder
        self._todo: queue.SimpleQueue[Spill | Unlink | None] = queue.SimpleQueue()
        self._done: deque[tuple[str, str, OSError | None]] = deque()
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="raykernel-spill", daemon=True)
        self._thread.start()

    def fileno(self) -> int:
        """Readable when there are results."""
        return self._ours.fileno()

    def do(self, work: Spill | Unlink) -> None:
        self._todo.put(work)

    def results(
        self, spilled: Callable[[str, str], None], failed: Callable[[str, str, bool], None]
    ) -> None:
        """Report what was done since the last call: as the scheduler's methods of that name."""
        with contextlib.suppress(BlockingIOError):
            self._ours.recv(4096)
        while self._done:
            file, name, error = self._done.popleft()
            if error is None:
                spilled(file, name)
            else:
                failed(file, error.strerror or str(error), error.errno in FULL)

    def close(self) -> None:
        self._todo.put(None)
        self._thread.join()
        self._ours.close()
        self._theirs.close()

    # -- the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        while (work := self._todo.get()) is not None:
            if isinstance(work, Unlink):
                files.unlink(self._folder, work.file)
                continue
            name, error = "", None
            try:
                name = copy(self._arena, work.offset, work.size, self._folder, work.file)
            except OSError as e:
                files.unlink(self._folder, work.file)
                error = e
            self._done.append((work.file, name, error))
            with contextlib.suppress(OSError):
                self._theirs.send(b"!")


def copy(arena: str, offset: int, size: int, folder: str, stem: str) -> str:
    """Copy a block to a file; its name. Raises OSError, and may leave a part of it then."""
    source = os.open(arena, os.O_RDONLY | os.O_CLOEXEC)
    try:
        name = stem + files.suffix(os.pread(source, 8, offset))
        path = os.path.join(folder, name)
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            end = offset + size
            while offset < end:
                offset += _piece(source, target, offset, min(_PIECE, end - offset))
        finally:
            os.close(target)
    finally:
        os.close(source)
    return name


def _piece(source: int, target: int, offset: int, size: int) -> int:
    """Copy some of `size` bytes; how many."""
    if hasattr(os, "sendfile"):
        try:
            done = os.sendfile(target, source, offset, size)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSOCK):
                raise
        else:
            if done:
                return done
            raise OSError(errno.EIO, "the arena ends too early")
    data = os.pread(source, min(size, 1 << 20), offset)
    if not data:
        raise OSError(errno.EIO, "the arena ends too early")
    return os.write(target, data)
