"""A reliable stream over a channel that may lose, repeat and reorder frames, and break. Sans-IO.

Each side numbers what it sends and keeps it until the other has confirmed it. Frames that come out
of order are dropped; who sees a gap asks once for all from there (go back N: with tcp underneath, a
gap means that a connection broke, and then all that was on the way is gone).

    frame = kind (1) | token (16) | number (8) | confirmed (8) | payload

    DATA     number is the payload's
    BEAT     number is the last that was sent, so that a loss at the end is noticed too
    RESEND   the same, and: send again what comes after `confirmed`
    OPEN     a driver's first word, with its build; the answer is OPENED, or
    GONE     there is no such driver any more; the payload says why

`token` names the driver, from whichever connection the frame comes. The owner tells the time with
every call, sends the frames it is given, and asks for `beat` now and then.

What is on its way is bounded by `WINDOW`. An owner that can't pass on what comes `hold`s: nothing
is confirmed then, and the other side stops when its window is full. Large pieces have a window of
their own, for a small payload waits behind all that is on its way: it shrinks when pieces take
longer than the line does, and grows when they don't (as in TCP Vegas and LEDBAT, RFC 6817).
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

DATA, BEAT, RESEND, OPEN, OPENED, GONE = range(1, 7)

TOKEN_BYTES = 16
_HEADER = struct.Struct("<B16sQQ")

#: What may be on its way unconfirmed, in bytes.
WINDOW = 8 << 20
#: After how much that came the other side is told so without being asked.
_CONFIRM_BYTES, _CONFIRM_FRAMES = 1 << 17, 64

#: Bytes on their way at which a large piece waits: between these two, by what the line is worth.
_LEAST = 1 << 18
#: A payload of this size is confirmed at once: how long that takes tells what the line is worth.
_TELLING = _CONFIRM_BYTES
#: Seconds that a piece may wait on its way for others.
_QUEUE = 0.1
_LATE = 3  # pieces one after the other


class Timing(NamedTuple):
    """In seconds. The head's side waits longer than the driver's tries, so that a driver which
    comes back at the last moment is still known."""

    beat: float = 1.0  # between two signs of life
    silence: float = 6.0  # without one: the connection is lost
    comeback: float = 30.0  # a driver tries to come back
    keep: float = 40.0  # a head keeps a driver that is silent
    answer: float = 10.0  # a head has, to answer for the first time


class StreamError(Exception):
    """Bytes that are no frame of ours."""


class Frame(NamedTuple):
    kind: int
    token: bytes
    number: int
    confirmed: int
    payload: memoryview


def parse(data: bytes | memoryview) -> Frame:
    """A received frame. Raises StreamError."""
    view = memoryview(data)
    if len(view) < _HEADER.size:
        raise StreamError(f"a frame of {len(view)} bytes")
    kind, token, number, confirmed = _HEADER.unpack_from(view)
    if not DATA <= kind <= GONE:
        raise StreamError(f"a frame of kind {kind}")
    return Frame(kind, token, number, confirmed, view[_HEADER.size :])


def compose(kind: int, token: bytes, payload: bytes = b"") -> bytes:
    """A frame that belongs to no stream: OPEN, OPENED, GONE."""
    return _HEADER.pack(kind, token, 0, 0) + payload


class Stream:
    """One side. `heard` is when a frame came last."""

    def __init__(self, token: bytes, now: float, timing: Timing = Timing()) -> None:  # noqa: B008
        self.token = token
        self.timing = timing
        self.heard = now
        self.unconfirmed = 0  # bytes
        self._sent = 0  # the last payload's number
        self._received = 0
        self._told = 0  # up to which number that is confirmed
        self._holds = False
        self._kept: deque[tuple[int, bytes, float]] = deque()  # number, frame, when: oldest first
        self._large = _LEAST * 2  # the large pieces' window
        self._quickest = float("inf")  # in which a piece was confirmed
        self._shrunk = now
        self._late = 0
        self._steep = True  # it has not shrunk yet
        self._spoke = now
        self._asked = (-1, 0.0)  # from where a repetition was asked for, and when
        self._quiet_bytes = self._quiet_frames = 0  # came since we last confirmed

    @property
    def has_room(self) -> bool:
        return self.unconfirmed < WINDOW

    @property
    def has_room_for_large(self) -> bool:
        return self.unconfirmed < self._large

    @property
    def settled(self) -> bool:
        """Whether the other side has confirmed all."""
        return not self._kept

    def silent(self, now: float) -> float:
        """Seconds since the other side was heard."""
        return now - self.heard

    def send(self, payload: bytes, now: float) -> bytes:
        """The frame that carries `payload`. Ask `has_room` first."""
        self._sent += 1
        frame = self._frame(DATA, self._sent, payload)
        self._kept.append((self._sent, frame, now))
        self.unconfirmed += len(frame)
        self._spoke = now
        return frame

    def receive(self, frame: Frame, now: float) -> tuple[list[memoryview], list[bytes]]:
        """Take a frame that came: the payloads that are next (one or none), frames to be sent."""
        self.heard = now
        self._confirm(frame.confirmed, now)
        out: list[bytes] = []
        came: list[memoryview] = []
        if frame.kind == DATA and frame.number == self._received + 1:
            self._received += 1
            came.append(frame.payload)
            self._quiet_bytes += len(frame.payload)
            self._quiet_frames += 1
            if self._quiet_bytes >= _CONFIRM_BYTES or self._quiet_frames >= _CONFIRM_FRAMES:
                out.append(self._say(BEAT, now))
        elif frame.number > self._received:
            out += self._ask(now)
        if frame.kind == RESEND:
            # what is kept confirms what had come when it was sent: that is still so
            out += [kept for number, kept, _ in self._kept if number > frame.confirmed]
        return came, out

    def hold(self, on: bool, now: float) -> list[bytes]:
        """Whether the owner can't pass on what came, and more would have to wait here. Returns what
        is to be sent."""
        if on == self._holds:
            return []
        self._holds = on
        return [] if on else [self._say(BEAT, now)]

    def beat(self, now: float) -> list[bytes]:
        """What is to be sent now although nothing happened."""
        if now - self._spoke >= self.timing.beat or self._quiet_frames:
            return [self._say(BEAT, now)]
        return []

    def resume(self, now: float) -> bytes:
        """The first frame over a connection made anew."""
        self._asked = (self._received, now)
        self._quickest = float("inf")  # it may lead another way
        return self._say(RESEND, now)

    def _ask(self, now: float) -> Iterable[bytes]:
        """Ask for what is missing, unless that is on its way already."""
        at, when = self._asked
        if at == self._received and now - when < self.timing.beat:
            return []
        return [self.resume(now)]

    def _confirm(self, number: int, now: float) -> None:
        before = self.unconfirmed
        told = -1.0
        while self._kept and self._kept[0][0] <= number:
            _, frame, sent = self._kept.popleft()
            self.unconfirmed -= len(frame)
            if len(frame) > _TELLING:
                told = sent
        if told >= 0.0:
            self._judge(now - told, told, before, now)

    def _judge(self, took: float, sent: float, before: int, now: float) -> None:
        """A piece, sent when `before` bytes at most were on their way, took so long."""
        self._quickest = min(self._quickest, took)
        self._late = self._late + 1 if took > self._quickest + _QUEUE else 0
        if self._late >= _LATE:  # one alone was a packet lost
            if sent >= self._shrunk:  # what was sent before that is no news
                self._shrunk = now
                self._large = max(_LEAST, self._large * 3 // 4)
                self._steep = False
        elif before >= self._large:
            more = before - self.unconfirmed  # doubles it with each round trip
            if not self._steep:
                more //= 4
            self._large = min(WINDOW, self._large + more)

    def _say(self, kind: int, now: float) -> bytes:
        self._spoke = now
        return self._frame(kind, self._sent, b"")

    def _frame(self, kind: int, number: int, payload: bytes) -> bytes:
        self._quiet_bytes = self._quiet_frames = 0
        if not self._holds:
            self._told = self._received
        return _HEADER.pack(kind, self.token, number, self._told) + payload
