"""Where large objects lie on one side: the arena's file, and the spill folder.

The head's side has both already. The driver's side is a *mirror*: a file as large as the head's
arena in which an object that came has the offset it has there, and a folder of its own. What the
driver no longer looks at is punched out of the mirror again.

Names and offsets come from the other machine, and are checked before they become paths and places.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import re
from collections.abc import Callable, Iterable

from msgspec.structs import replace

from raykernel.runtime import files
from raykernel.runtime.messages import ON_DISK, ErrorRecord, Value
from raykernel.runtime.shm import FULL
from raykernel.runtime.wire import encode_one

from .outbox import Transfer
from .packets import Block, File

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9]+)?")


class Misplaced(Exception):
    """The other side named a place that can't be."""


class Places:
    """Owned by one thread."""

    def __init__(self, arena: str, capacity: int, spill: str) -> None:
        self.capacity = capacity
        self.spill = spill
        self._fd = os.open(arena, os.O_RDWR | os.O_CLOEXEC)
        self._unwritten: dict[int | str, OSError] = {}  # by place: what has no room

    def lay(self, packet: Block | File) -> None:
        """Write a piece. If that fails, `trouble` says so once the object is whole. Raises
        Misplaced."""
        place = packet.start if isinstance(packet, Block) else packet.name
        try:
            if place not in self._unwritten or packet.position == 0:
                self._unwritten.pop(place, None)
                self.write(packet)
        except OSError as error:
            self._unwritten[place] = error

    def trouble(self, value: Value) -> OSError | None:
        """Why the object of this value, whose pieces came, could not be written."""
        return self._unwritten.pop(value.offset if value.offset >= 0 else value.data.decode(), None)

    def write(self, packet: Block | File) -> None:
        """Lay a piece where it belongs. Raises OSError, Misplaced."""
        if isinstance(packet, Block):
            self._check(packet.start, packet.size)
            if not 0 <= packet.position <= packet.size - len(packet.data):
                raise Misplaced(f"{packet.position} of {packet.size}")
            write_all(self._fd, packet.data, packet.start + packet.position)
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(self.path(packet.name), flags | (0 if packet.position else os.O_TRUNC), 0o600)
        try:
            write_all(fd, packet.data, packet.position)
        finally:
            os.close(fd)

    def block(self, start: int, size: int, done: Callable[[], None] = lambda: None) -> Transfer:
        """The object at `start`, to be sent."""
        self._check(start, size)
        return Transfer(start, size, lambda at, n: os.pread(self._fd, n, start + at), done)

    def file(
        self, object_id: bytes, name: str, size: int, done: Callable[[], None] = lambda: None
    ) -> Transfer:
        """An object in a file, to be sent. It is opened when its turn comes: many may wait. One
        that is gone by then arrives empty, and whoever reads it finds out."""
        path = self.path(name)
        opened: list[int] = []

        def read(at: int, n: int) -> bytes:
            try:
                if not opened:
                    opened.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW))
                return os.pread(opened[0], n, at)
            except OSError:
                return b""

        def finish() -> None:
            for fd in opened:
                os.close(fd)
            done()

        return Transfer((object_id, name), size, read, finish)

    def path(self, name: str) -> str:
        if not self.spill or not _NAME.fullmatch(name):
            raise Misplaced(repr(name))
        return os.path.join(self.spill, name)

    def check(self, value: Value) -> None:
        """Raises Misplaced if a value's place is none."""
        if value.offset >= 0:
            self._check(value.offset, value.size)
        elif value.offset != ON_DISK or not _NAME.fullmatch(value.data.decode(errors="replace")):
            raise Misplaced(f"{value.size} bytes at {value.offset}")

    def close(self) -> None:
        os.close(self._fd)

    def _check(self, start: int, size: int) -> None:
        if not (start >= 0 and size >= 0 and start + size <= self.capacity):
            raise Misplaced(f"{size} bytes at {start} of {self.capacity}")


class Mirror(Places):
    """The driver's side. A delivery counts from its first piece to the driver's `Unpin`.

    What has no room in memory here goes to a file: `landed` says where an object is.
    """

    def __init__(self, arena: str, capacity: int, spill: str) -> None:
        super().__init__(arena, capacity, spill)
        self._pins: dict[int, list[int]] = {}  # offset: deliveries, size
        self._files: dict[bytes, str] = {}  # what came as a file, by the object's id
        self._dropped: set[bytes] = set()
        self._elsewhere: dict[int, str] = {}  # blocks that are being written to a file
        self._made = 0
        self._map = mmap.mmap(self._fd, capacity)

    def write(self, packet: Block | File) -> None:
        if isinstance(packet, Block) and packet.start in self._elsewhere:
            self._write_to_file(packet)
        else:
            try:
                super().write(packet)
            except OSError as error:
                if not isinstance(packet, Block) or error.errno not in FULL:
                    raise
                self._move_to_file(packet)
        if packet.position:
            return
        if isinstance(packet, File):
            self._files[packet.id] = packet.name
            self._dropped.discard(packet.id)
        else:
            self._pins.setdefault(packet.start, [0, packet.size])[0] += 1

    def _move_to_file(self, packet: Block) -> None:
        self._check(packet.start, packet.size)
        self._made += 1
        self._elsewhere[packet.start] = f"far-{self._made:06d}.pickle"
        at = 0
        while at < packet.position:
            here = os.pread(self._fd, min(1 << 20, packet.position - at), packet.start + at)
            self._write_to_file(Block(packet.start, packet.size, at, here))
            at += len(here)
        self._write_to_file(packet)
        if self._pins.get(packet.start, [0])[0] <= 1:
            self.punch(packet.start, packet.size)

    def _write_to_file(self, packet: Block) -> None:
        name = self._elsewhere[packet.start]
        super().write(File(b"", name, packet.size, packet.position, packet.data))

    def landed(self, value: Value) -> Value:
        """Where the object of this value is, which came whole."""
        name = self._elsewhere.pop(value.offset, None)
        if name is None:
            return value
        self._files[value.id] = name
        return replace(value, data=name.encode(), offset=ON_DISK)

    def unpin(self, offsets: Iterable[int]) -> None:
        """The driver gives deliveries back."""
        for start in offsets:
            pin = self._pins.get(start)
            if pin is None:
                continue
            pin[0] -= 1
            if not pin[0]:
                del self._pins[start]
                self.punch(start, pin[1])

    def sent(self, start: int, size: int) -> None:
        """What the driver wrote there has been read."""
        if start not in self._pins:
            self.punch(start, size)

    def punch(self, start: int, size: int) -> None:
        """Give memory back. What the driver sees there is undefined from here on."""
        page = mmap.PAGESIZE
        size = min(-(-size // page) * page, self.capacity - start)
        if hasattr(mmap, "MADV_REMOVE") and start % page == 0 and size > 0:
            with contextlib.suppress(OSError):  # not every file system can
                self._map.madvise(mmap.MADV_REMOVE, start, size)

    def released(self, ids: Iterable[bytes]) -> None:
        """The driver gave references up: if they were its last, nobody reads the files again. (If
        not, `was_dropped` has the object sent once more.)"""
        for object_id in ids:
            name = self._files.pop(object_id, None)
            if name is not None:
                self.remove(name)
                self._dropped.add(object_id)

    def was_dropped(self, object_id: bytes) -> bool:
        """Whether a file that the driver misses was removed here."""
        if object_id not in self._dropped:
            return False
        self._dropped.discard(object_id)
        return True

    def remove(self, name: str) -> None:
        files.unlink(self.spill, os.path.basename(self.path(name)))

    def close(self) -> None:
        self._map.close()
        super().close()


def unwritten(value: Value, whose: str, error: OSError) -> Value:
    """What stands for an object that could not be written. `whose`: as in "the head's"."""
    text = f"an object of {value.size:,} bytes could not be written on {whose} machine: "
    kind = "disk" if value.offset == ON_DISK else "full"
    record = ErrorRecord(kind, text + (error.strerror or str(error)))
    return Value(value.id, encode_one(record), error=True)


def write_all(fd: int, data: bytes, at: int) -> None:
    """`pwrite` until all is written. Raises OSError, also when nothing more fits."""
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, at)
        if not done:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        view, at = view[done:], at + done
