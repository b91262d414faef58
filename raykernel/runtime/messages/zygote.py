"""What the head and the zygote say to each other."""

from __future__ import annotations

from .tasks import Message


class Fork(Message, frozen=True, tag=1):
    worker: bytes
    env: str = ""


class Signal(Message, frozen=True, tag=2):
    """Send a signal to a worker, unless it has ended: only its parent knows for sure."""

    worker: bytes
    number: int


ToZygote = Fork | Signal


class Died(Message, frozen=True, tag=1):
    worker: bytes
    status: int  # exit code, or minus the signal's number


FromZygote = Died
