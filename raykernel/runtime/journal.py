"""What a worker has yet to send, kept where its death can't take it along.

What an actor's call came to must outlive the actor's process, for a call that is over is not made
again. Yet to send each answer by itself takes a system call of the worker and a turn of the head,
which for a burst of quick calls is more than all else. So those answers go into a file in memory
first, and to the socket a few at a time.

The file is a ring over the stream of bytes that the worker sends: byte n of the stream lies at n
modulo its size. When a worker has died, the head reads the socket to its end and then goes on in
the ring from where that ended. Nothing is missed and nothing comes twice, wherever it was struck:
`end` moves only after the bytes it covers, and only sent bytes are ever written over.
"""

from __future__ import annotations

import contextlib
import mmap
import os

SIZE = 1 << 16
_HEAD = 8  # bytes, for `end`


def path_of(folder: str, worker: bytes) -> str:
    return os.path.join(folder, f"unsent-{worker.hex()}")


class Journal:
    """The writer's side. Not thread-safe. Raises OSError when the file can't be made."""

    def __init__(self, folder: str, worker: bytes) -> None:
        fd = os.open(path_of(folder, worker), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(fd, bytes(_HEAD + SIZE))  # a full disk shows here, and not as a SIGBUS
            self._map = mmap.mmap(fd, _HEAD + SIZE)
        finally:
            os.close(fd)

    def write(self, position: int, data: bytes | bytearray) -> None:
        """Keep `data`, which goes to this position of the stream. With all else that is kept and
        unsent it fits into SIZE bytes."""
        ring, at = self._map, position % SIZE
        first = min(len(data), SIZE - at)
        ring[_HEAD + at : _HEAD + at + first] = data[:first]
        if first < len(data):
            ring[_HEAD : _HEAD + len(data) - first] = data[first:]
        ring[:_HEAD] = (position + len(data)).to_bytes(_HEAD, "little")


def rest(folder: str, worker: bytes, received: int) -> bytes:
    """What follows the `received` first bytes of a dead worker's stream; b"" if nothing was kept.
    The file is removed."""
    path = path_of(folder, worker)
    try:
        with open(path, "rb") as file:
            ring = file.read()
    except OSError:
        return b""
    with contextlib.suppress(OSError):
        os.unlink(path)
    end = int.from_bytes(ring[:_HEAD], "little")
    if not received < end <= received + SIZE:
        return b""
    body = memoryview(ring)[_HEAD:]
    at, size = received % SIZE, end - received
    first = min(size, SIZE - at)
    return bytes(body[at : at + first]) + bytes(body[: size - first])
