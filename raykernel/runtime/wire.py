"""Framing: many messages to a frame, a frame to a send.

    frame = length (4 bytes, little endian, of what follows) + msgpack array of messages

Sans-IO: `encode` gives bytes to send, a `Framer` takes received bytes and gives the messages that
are complete. A frame that doesn't decode raises `WireError`; the connection is then of no use.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Generic, TypeVar

import msgspec

_LENGTH = 4
#: No frame is larger: values above INLINE_LIMIT go through the arena. A length beyond it means
#: that the peer speaks something else.
MAX_FRAME = 1 << 30

_encoder = msgspec.msgpack.Encoder()
M = TypeVar("M")


class WireError(Exception):
    """Bytes that are no frame of ours."""


def encode(messages: list[Any]) -> bytearray:
    """One frame that holds `messages`."""
    frame = bytearray(_LENGTH)
    _encoder.encode_into(messages, frame, _LENGTH)
    frame[:_LENGTH] = (len(frame) - _LENGTH).to_bytes(_LENGTH, "little")
    return frame


@cache
def decoder(kind: Any) -> Callable[[Any], list[Any]]:
    """What decodes lists of `kind`. Made once, since that takes 2 ms for a large union: the zygote
    does it for all workers to come."""
    return msgspec.msgpack.Decoder(list[kind]).decode


class Framer(Generic[M]):
    """Cuts a byte stream into messages of the union `kind`."""

    def __init__(self, kind: Any) -> None:
        self._decode = decoder(kind)
        self._buffer = bytearray()

    def feed(self, data: bytes | bytearray | memoryview) -> list[M]:
        """Messages completed by `data`, in order. Owned by the caller; thread-unsafe.

        `data` may be a view of a buffer that is used again: nothing of it is kept.
        """
        buffer = self._buffer
        if not buffer and int.from_bytes(data[:_LENGTH], "little") + _LENGTH == len(data):
            return self._cut(data[_LENGTH:])  # one whole frame, as nearly always
        if buffer:
            buffer += data
            view = memoryview(buffer)
        else:
            view = memoryview(data)
        end, start = len(view), 0
        out: list[M] = []
        try:
            while end - start >= _LENGTH:
                size = int.from_bytes(view[start : start + _LENGTH], "little")
                if size > MAX_FRAME:
                    raise WireError(f"frame of {size} bytes")
                stop = start + _LENGTH + size
                if stop > end:
                    break
                messages = self._cut(view[start + _LENGTH : stop])
                if out:
                    out += messages
                else:
                    out = messages
                start = stop
        finally:
            view.release()
        if not buffer:
            buffer += data[start:] if start else data
        elif start:
            del buffer[:start]  # moves what is left; a frame still growing stays where it is
        return out

    def _cut(self, body: bytes | bytearray | memoryview) -> list[M]:
        try:
            return self._decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise WireError(str(error)) from error


def encode_one(value: Any) -> bytes:
    """A single struct, for values that travel as opaque bytes inside messages."""
    return _encoder.encode(value)
