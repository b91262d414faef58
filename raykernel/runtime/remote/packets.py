"""What the relays carry in their stream: the two sides' frames, and large objects in pieces."""

from __future__ import annotations

from typing import Any

import msgspec

#: Bytes of a piece: small enough for others to pass between two, and for a slow line not to seem
#: dead while one travels.
PIECE = 256 << 10


class Packet(msgspec.Struct, frozen=True, array_like=True, gc=False):
    pass


class Bytes(Packet, frozen=True, tag=1):
    """The next bytes between driver and head. `whole`: a frame of theirs ends here."""

    data: bytes
    whole: bool = True


class Greeting(Packet, frozen=True, tag=2):
    """The head's `Welcome`, whose paths are on the other machine."""

    data: bytes


class Block(Packet, frozen=True, tag=3):
    """Bytes of the object at `start` in the arena, from `position` in it."""

    start: int
    size: int
    position: int
    data: bytes


class File(Packet, frozen=True, tag=4):
    """Bytes of an object in the spill folder."""

    id: bytes
    name: str
    size: int
    position: int
    data: bytes


class Ask(Packet, frozen=True, tag=5):
    """A driver's question of what the head's machine has: files of the session, and itself."""

    request: int
    what: str
    filters: dict[str, Any]


class End(Packet, frozen=True, tag=6):
    """Nothing more comes. `reason`: why the session is over, "" if the driver leaves."""

    reason: str = ""


class Sealed(Packet, frozen=True, tag=7):
    """The object whose pieces came is whole. `data`: its value, as the head's side knows it."""

    data: bytes


AnyPacket = Bytes | Greeting | Block | File | Ask | End | Sealed

encode = msgspec.msgpack.Encoder().encode
_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(AnyPacket)


def sealed(value: Any) -> bytes:
    """The packet that says so."""
    return encode(Sealed(encode(value)))


def decode(data: memoryview) -> Any:
    """Raises msgspec.DecodeError."""
    return _decoder.decode(data)
