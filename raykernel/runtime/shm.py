"""The arena: one sparse file in shared memory that holds every large object of a session.

The head decides which bytes belong to whom (allocator.py); this module only moves them. Producers
write with `pwrite`, which fills fresh pages twice as fast as page faults through a mapping do and
reports a full file system as an error instead of a SIGBUS; into what they wrote before they copy
through a mapping (rewrite.py). Readers map the file once, read-only,
and hand out views; the views of one block share a `Block` object, whose end tells the head that
the memory is no longer looked at here. Nothing is unmapped while a view lives.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import weakref
from collections.abc import Callable

from .rewrite import Rewriter
from .serialize import Buffer

_IOV_MAX = 1024
_IN_MEMORY = "/dev/shm/"  # elsewhere a page that exists may still have to be written anew

#: What a full file system says.
FULL = (errno.ENOSPC, errno.EDQUOT)


class Arena:
    """One process's access to the session's arena file.

    Files and mapping are opened on first use: a process that never meets a large object pays
    nothing. Thread-safe for reading; each block is written by one thread.
    """

    def __init__(self, path: str, capacity: int) -> None:
        self.path = path
        self.capacity = capacity
        self._fd = -1
        self._rewriter: Rewriter | None = None
        self._base = 0
        self._live = 0
        self._closed = False

    def write(self, offset: int, chunks: list[Buffer]) -> None:
        """Copy `chunks` one after the other to `offset`.

        Raises OSError (ENOSPC when the memory file system is full).
        """
        if self._fd < 0:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            if self.path.startswith(_IN_MEMORY):
                self._rewriter = Rewriter(self._fd, self.capacity)
        parts = [memoryview(c).cast("B") for c in chunks]
        if self._rewriter is not None and self._rewriter.write(offset, parts):
            return
        for first in range(0, len(parts), _IOV_MAX):
            batch = parts[first : first + _IOV_MAX]
            while batch:
                done = os.pwritev(self._fd, batch, offset)
                if done == 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                offset += done
                while batch and done >= batch[0].nbytes:
                    done -= batch.pop(0).nbytes
                if done:
                    batch[0] = batch[0][done:]

    def view(self, offset: int, size: int, on_end: Callable[[], None]) -> memoryview:
        """A read-only view of a block, without a copy.

        `on_end` is called once, in whatever thread drops the last view derived from this one; it
        must not block.
        """
        if not self._base:
            self._map()
        block = (ctypes.c_char * size).from_address(self._base + offset)
        self._live += 1
        weakref.finalize(block, self._end, on_end).atexit = False
        return memoryview(block).cast("B").toreadonly()

    def place(self, address: int) -> int | None:
        """Where in the arena an address of this process lies; None if it doesn't."""
        offset = address - self._base
        return offset if self._base and 0 <= offset < self.capacity else None

    def _end(self, on_end: Callable[[], None]) -> None:
        self._live -= 1
        on_end()
        if self._closed:
            self._unmap()

    def _map(self) -> None:
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            libc.mmap.restype = ctypes.c_void_p
            libc.mmap.argtypes = [
                ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int,
                ctypes.c_long,
            ]  # fmt: skip
            base = libc.mmap(None, self.capacity, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
            if base is None or base == ctypes.c_void_p(-1).value:
                code = ctypes.get_errno()
                raise OSError(code, f"cannot map {self.path}: {os.strerror(code)}")
            self._base = base
        finally:
            os.close(fd)

    def _unmap(self) -> None:
        if self._base and self._live == 0:
            libc = ctypes.CDLL(None, use_errno=True)
            libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
            libc.munmap(self._base, self.capacity)
            self._base = 0

    def close(self) -> None:
        """Let go of file and mapping; with views alive, the mapping goes with the last of them."""
        self._closed = True
        if self._rewriter is not None:
            self._rewriter.close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._unmap()


def create(path: str, capacity: int) -> None:
    """Make an arena's file, sparse: memory is taken when pages are written. 0600."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(fd, capacity)
    finally:
        os.close(fd)


class Reclaimer:
    """The head's hand on the arena: gives the memory of freed blocks back to the machine."""

    def __init__(self, path: str, capacity: int) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            self._map = mmap.mmap(fd, capacity)
        finally:
            os.close(fd)

    def discard(self, offset: int, size: int) -> None:
        """Drop the pages of a range (page-aligned); they read as zeros afterwards."""
        if hasattr(mmap, "MADV_REMOVE"):
            self._map.madvise(mmap.MADV_REMOVE, offset, size)

    def close(self) -> None:
        self._map.close()
