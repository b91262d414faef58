"""What the scheduler tells the head's shell to do."""

from __future__ import annotations

from typing import Any

import msgspec


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send a message to a connected client."""

    to: bytes
    message: Any


class StartWorker(msgspec.Struct, frozen=True, gc=False):
    worker: bytes
    env: str = ""


class SignalWorker(msgspec.Struct, frozen=True, gc=False):
    """Signal a worker's process, unless it has ended."""

    worker: bytes
    number: int


class Discard(msgspec.Struct, frozen=True, gc=False):
    """Give the pages of this range of the arena back to the machine."""

    offset: int
    size: int


class Spill(msgspec.Struct, frozen=True, gc=False):
    """Copy a block of the arena to a file, then tell the scheduler (`spilled`, `spill_failed`)."""

    file: str
    offset: int
    size: int


class Unlink(msgspec.Struct, frozen=True, gc=False):
    """Remove a file of the spill folder, if it is there, once it is written."""

    file: str


class Stop(msgspec.Struct, frozen=True, gc=False):
    """End the session."""

    reason: str


Instruction = Send | StartWorker | SignalWorker | Discard | Spill | Unlink | Stop
