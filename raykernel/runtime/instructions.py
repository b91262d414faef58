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


class Stop(msgspec.Struct, frozen=True, gc=False):
    """End the session."""

    reason: str


Instruction = Send | StartWorker | SignalWorker | Discard | Stop
