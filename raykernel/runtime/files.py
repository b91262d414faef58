"""The spill folder's files: objects that have no room in the arena.

A file holds exactly the bytes that the object has in the arena, so that moving one is a copy and
reading one is a mapping. Its suffix says what they are (serialize.py):

    .arrow     an Arrow table, as an Arrow IPC file: any Arrow reader opens it
    .pickle    a pickle: `pickle.load` reads it
    .pickle5   a pickle with its buffers beside it, as protocol 5 has them out of band
"""

from __future__ import annotations

import contextlib
import mmap
import os

from .serialize import ARROW_MAGIC, BUFFERS_MAGIC, Buffer

SUFFIXES = (".arrow", ".pickle", ".pickle5")
_IOV_MAX = 1024


def suffix(head: bytes) -> str:
    """The suffix of a file that begins like this."""
    if head.startswith(ARROW_MAGIC):
        return ".arrow"
    return ".pickle5" if head.startswith(BUFFERS_MAGIC) else ".pickle"


def write(folder: str, stem: str, chunks: list[Buffer]) -> str:
    """Write an object to a file of its own; its name. Raises OSError and leaves no file then."""
    name = stem + suffix(bytes(memoryview(chunks[0])[:8]))
    path = os.path.join(folder, name)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        for first in range(0, len(chunks), _IOV_MAX):
            batch = [memoryview(c).cast("B") for c in chunks[first : first + _IOV_MAX]]
            while batch:
                done = os.writev(fd, batch)
                while batch and done >= batch[0].nbytes:
                    done -= batch.pop(0).nbytes
                if done:
                    batch[0] = batch[0][done:]
    except BaseException:
        unlink(folder, stem)
        raise
    finally:
        os.close(fd)
    return name


def view(folder: str, name: str, size: int) -> memoryview:
    """A read-only view of a file, without a copy. It outlives the file's name.

    Raises OSError if the file is gone, or not as long as it should be.
    """
    fd = os.open(os.path.join(folder, name), os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = os.fstat(fd).st_size
        if found != size:
            raise OSError(f"{name} has {found:,} bytes instead of {size:,}")
        return memoryview(mmap.mmap(fd, size, prot=mmap.PROT_READ))
    finally:
        os.close(fd)


def unlink(folder: str, name: str) -> None:
    """Remove an object's file, whatever its suffix, if there is one."""
    stem = name.partition(".")[0]
    for ending in SUFFIXES:
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(folder, stem + ending))
