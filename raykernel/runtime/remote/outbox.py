"""What a relay sends next. Sans-IO: large objects are read through the function handed in.

A message that tells of a large object leaves after the object's last piece. Towards the driver
others pass meanwhile, piece by piece in turn, so that a small result comes quickly while gigabytes
travel: what the head says of different objects may come in any order. Towards the head the order
stays as it is, since a task must not arrive before its arguments.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from .packets import PIECE, Block, Bytes, End, File, encode

Read = Callable[[int, int], bytes]  # position, size


class Transfer:
    """A large object on its way. `place`: its offset in the arena, or its id and file's name.

    `done` is called once when it is read whole, or will not be.
    """

    def __init__(
        self,
        place: int | tuple[bytes, str],
        size: int,
        read: Read,
        done: Callable[[], None] = lambda: None,
    ) -> None:
        self.place = place
        self.size = size
        self.position = 0
        self.done = done
        self._read = read

    def piece(self) -> bytes:
        """The next packet."""
        at = self.position
        data = self._read(at, min(PIECE, self.size - at))
        self.position = at + len(data)
        if isinstance(self.place, int):
            packet = encode(Block(self.place, self.size, at, data))
        else:
            packet = encode(File(*self.place, self.size, at, data))
        if self.position >= self.size or not data:
            self.position = self.size
            self.done()
        return packet


class Outbox:
    """`ordered`: nothing passes a transfer."""

    def __init__(self, ordered: bool) -> None:
        self._ordered = ordered
        self._line: deque[bytes | Transfer] = deque()  # packets, and what makes more of them
        self._bulk: deque[bytes | Transfer] = deque()  # transfers, each with its message behind it
        self._bulk_next = False
        self.waiting = 0  # bytes of messages

    def __bool__(self) -> bool:
        return bool(self._line or self._bulk)

    def add(self, data: bytes | bytearray) -> None:
        """Bytes that end with a frame of the driver's or the head's."""
        view = memoryview(data)
        for at in range(0, len(view), PIECE):
            whole = at + PIECE >= len(view)
            self.add_packet(encode(Bytes(bytes(view[at : at + PIECE]), whole)))

    def add_packet(self, packet: bytes) -> None:
        self.waiting += len(packet)
        self._line.append(packet)

    def hurry(self, data: bytes | bytearray) -> bool:
        """Bytes as for `add` (less than a piece) that pass the large objects. False, and nothing is
        done, if none is in the way."""
        for n, each in enumerate(self._line):
            if isinstance(each, Transfer):  # what comes before it are whole frames
                packet = encode(Bytes(bytes(data)))
                self.waiting += len(packet)
                self._line.insert(n, packet)
                return True
        return False

    def add_large(self, transfer: Transfer, packet: bytes) -> None:
        """A large object, and the packet that tells of it (less than a piece)."""
        queue = self._line if self._ordered else self._bulk
        self.waiting += len(packet)
        queue += (transfer, packet)

    def next(self, large: bool = True) -> bytes | None:
        """The next packet, None if there is none; with `large` false, none of an object's pieces.
        Raises OSError if an object can't be read."""
        queue = self._line
        if self._bulk and (self._bulk_next or not queue) and _may_go(self._bulk[0], large):
            queue = self._bulk
        if not queue or not _may_go(queue[0], large):
            return None
        # a frame that is cut into pieces is not torn apart: what is between them is no message
        self._bulk_next = queue is self._line
        first = queue[0]
        if isinstance(first, Transfer):
            packet = first.piece()
            if first.position >= first.size:
                queue.popleft()
            return packet
        queue.popleft()
        self.waiting -= len(first)
        if queue is self._bulk:
            # the message that follows a transfer: it may not stand in the middle of a cut frame
            self._line.append(first)
            self.waiting += len(first)
            return self.next(large)
        return first

    def end(self, reason: str) -> None:
        """Nothing more will be added."""
        (self._line if self._ordered or not self._bulk else self._bulk).append(
            packet := encode(End(reason))
        )
        self.waiting += len(packet)

    def drop(self) -> None:
        """Nobody will ask for more."""
        for each in (*self._line, *self._bulk):
            if isinstance(each, Transfer):
                each.done()
        self._line.clear()
        self._bulk.clear()
        self.waiting = 0

    def transfers(self) -> list[Transfer]:
        """What is on its way, the first one being sent."""
        return [each for each in (*self._line, *self._bulk) if isinstance(each, Transfer)]


def _may_go(first: bytes | Transfer, large: bool) -> bool:
    return large or not isinstance(first, Transfer)
