"""Writing large blocks into memory that was written before.

Three ways to bring bytes into shared memory, by the GiB a second on one machine: page faults of a
mapping in fresh memory 0.3 to 1.3, `pwrite` 2 in fresh and 6 in old memory (it looks each page up
and copies it by itself), `memcpy` through a mapping 16 in old memory: as much as the memory takes.
But a process pays once for each page of a mapping it touches, 30 ms for 100 MiB, five times what
the copy takes. So the first time a process writes somewhere it does so by `pwrite`, and from the
second time on, as in a loop that puts or returns arrays of the same size, through its mapping.

`mincore` says whether the pages are there, in 35 us for 100 MiB that are mapped already. A page
that isn't (the head has given it back to the machine) would have to be found by the fault, which
is SIGBUS where the file system is full: such blocks go the other way, which reports an error.

The copy goes by pieces that fit in a core's cache, which spares reading what will be overwritten;
of very large blocks a second thread copies half, for machines where one core can't use all of the
memory's bandwidth. Needs NumPy for copies without the GIL; where nobody has imported it there are
no arrays to copy, and pieces are small enough that other threads get their turn.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import sys
import threading
from typing import Any

#: Smaller blocks are written in the time that it takes to look whether they could be copied.
LEAST = 1 << 19
_PIECE = 1 << 18
_SHARED = 1 << 25  # from here on two threads
_REMEMBERED = 4096
_PAGE = mmap.PAGESIZE


class Rewriter:
    """A process's writable mapping of an arena. Thread-safe: each block has one writer."""

    def __init__(self, fd: int, capacity: int) -> None:
        self._fd = fd
        self._capacity = capacity
        self._known: dict[int, int] = {}  # bytes written by this process, by offset
        self._map: mmap.mmap | None = None
        self._base = 0
        self._mincore: Any = None

    def write(self, offset: int, parts: list[memoryview]) -> bool:
        """Copy `parts` one after the other to `offset`; False if that is not the best way."""
        size = sum(part.nbytes for part in parts)
        if size < LEAST:
            return False
        if self._known.get(offset, 0) < size:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[offset] = size
            return False
        if self._map is None and not self._open():
            return False
        if not self._resident(offset, size):
            return False
        assert self._map is not None
        with memoryview(self._map) as target:
            for part in parts:
                end = offset + part.nbytes
                _copy(target[offset:end], part)
                offset = end
        return True

    def _open(self) -> bool:
        """Map the arena. False where pages can't be looked up."""
        try:
            self._mincore = ctypes.CDLL(None).mincore
        except AttributeError:
            return False
        self._mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
        self._map = mmap.mmap(self._fd, self._capacity)
        self._base = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        return True

    def _resident(self, offset: int, size: int) -> bool:
        """Whether all pages of a block exist."""
        start = offset - offset % _PAGE
        count = -(-(offset + size - start) // _PAGE)
        pages = (ctypes.c_ubyte * count)()
        if self._mincore(self._base + start, count * _PAGE, ctypes.addressof(pages)):
            return False
        return bytes(pages).translate(_LOWEST).count(1) == count

    def close(self) -> None:
        if self._map is not None:
            with contextlib.suppress(BufferError):  # a thread still writes: goes with the process
                self._map.close()
            self._map = None


_LOWEST = bytes(i & 1 for i in range(256))  # the other bits are reserved


def _copy(target: memoryview, source: memoryview) -> None:
    """Both of the same size."""
    size = source.nbytes
    numpy = sys.modules.get("numpy")
    if numpy is None or size < LEAST:
        for at in range(0, size, _PIECE):
            target[at : at + _PIECE] = source[at : at + _PIECE]
        return
    to, what = numpy.frombuffer(target, numpy.uint8), numpy.frombuffer(source, numpy.uint8)
    half = size // 2 // _PAGE * _PAGE if size >= _SHARED and _several_cores() else size
    helper: threading.Thread | None = None
    if half < size:
        helper = threading.Thread(target=_pieces, args=(numpy.copyto, to[half:], what[half:]))
        try:
            helper.start()
        except RuntimeError:  # no more threads
            helper, half = None, size
    try:
        _pieces(numpy.copyto, to[:half], what[:half])
    finally:
        if helper is not None:
            _end(helper)


def _end(helper: threading.Thread) -> None:
    """Wait for it whatever strikes: it must not write into a block that was given up."""
    try:
        helper.join()
    except BaseException:
        helper.join()
        raise


def _pieces(copy: Any, to: Any, what: Any) -> None:
    for at in range(0, len(to), _PIECE):
        copy(to[at : at + _PIECE], what[at : at + _PIECE])


def _several_cores() -> bool:
    return (os.cpu_count() or 1) > 1
