"""One remote driver, as the gateway keeps it: its stream, and its place at the head."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Any

import msgspec

from raykernel.runtime import host, logfiles
from raykernel.runtime import messages as m
from raykernel.runtime.wire import Framer, encode

from . import packets
from .outbox import Outbox
from .packets import Ask, Greeting, Sealed
from .places import Misplaced, Places, unwritten
from .progress import Progress
from .stream import Stream, Timing

_PIDS = 500  # of as many processes something is told at once

#: What workers say to the head.
_WORKERS = {
    m.TaskFinished, m.Yielded, m.Blocked, m.Unblocked, m.TasksReturned, m.Wrote, m.ActorExited,
}  # fmt: skip


class Driver:
    """A remote driver: its stream, and its socket to the head."""

    def __init__(self, token: bytes, route: bytes, folder: str, now: float, timing: Timing) -> None:
        self.stream = Stream(token, now, timing)
        self.route = route  # where its last frame came from
        self.outbox = Outbox(ordered=False)
        self.progress = Progress("from the head")
        self.framer: Framer[Any] = Framer(m.ToClient)
        self.to_head = bytearray()
        self._said: Framer[Any] = Framer(m.ToHead)
        self._greeted = False
        self.places: Places | None = None
        self.ended = False
        self._folder = folder
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.connect(os.path.join(folder, "head.sock"))
        except OSError:
            self.sock.close()
            raise
        self.sock.setblocking(False)

    def forward(self, messages: list[Any]) -> None:
        """What the head says goes on its way, with the objects it tells of. Raises Misplaced."""
        outbox = self.outbox
        plain: list[Any] = []
        for message in messages:
            if isinstance(message, m.Objects):
                small = []
                for value in message.values:
                    if value.offset == m.INLINE or value.offset == m.AWAY:
                        small.append(value)
                    else:
                        self._forward_large(value)
                if small:
                    plain.append(message if len(small) == len(message.values) else m.Objects(small))
            elif isinstance(message, m.Welcome):
                self.places = Places(message.arena, message.capacity, message.spill)
                outbox.add_packet(packets.encode(Greeting(msgspec.msgpack.encode(message))))
            else:
                plain.append(message)
        if plain:
            outbox.add(encode(plain))

    def _forward_large(self, value: m.Value) -> None:
        assert self.places is not None  # the head's first word is its welcome
        if value.offset >= 0:
            transfer = self.places.block(value.offset, value.size)
        else:
            transfer = self.places.file(value.id, value.data.decode(), value.size)
        self.outbox.add_large(transfer, packets.sealed(value))

    def hear(self, data: bytes) -> None:
        """What the driver says goes on to the head, if it is what a driver may say. Raises
        WireError, Misplaced."""
        for message in self._said.feed(data):
            if type(message) in _WORKERS or (type(message) is m.Hello) == self._greeted:
                raise Misplaced(f"{type(message).__name__} is not for a driver to say")
            if type(message) is m.Hello:
                self._greeted = True
                if message.role == "worker":
                    raise Misplaced("a worker's greeting")
            elif type(message) is m.PutObject and message.value.offset != m.INLINE:
                raise Misplaced("an object without its bytes")
        self.to_head += data

    def seal(self, packet: Sealed) -> None:
        """Tell the head of an object that came; if it could not be written, of that: whoever wants
        it is to know. Raises msgspec.DecodeError, Misplaced."""
        value = msgspec.msgpack.decode(packet.data, type=m.Value)
        messages: list[Any] = [m.PutObject(value)]
        if self.places is None:
            raise Misplaced("an object before the head has greeted")
        self.places.check(value)
        error = self.places.trouble(value)
        if error is not None:
            file = value.data.decode() if value.offset < 0 else ""
            failed = m.PutObject(unwritten(value, "the head's", error))
            messages = [m.Abandon(value.offset, file), failed]
        self.to_head += encode(messages)

    def answer(self, ask: Ask) -> m.Reply:
        """What a driver on this machine would read from the session's files."""
        try:
            if ask.what == "logs":
                found: Any = logfiles.find(self._folder, **ask.filters)
            elif ask.what == "failed":
                found = failed(self._folder, str(ask.filters.get("task", "")))
            elif ask.what == "machine":
                found = host.facts([int(pid) for pid in ask.filters.get("pids", ())][:_PIDS])
            else:
                raise ValueError(f"no question: {ask.what}")
            return m.Reply(ask.request, msgspec.msgpack.encode(found))
        except Exception as error:  # whatever was asked: it is the driver that must know
            return m.Reply(ask.request, error=str(error) or type(error).__name__)


def failed(folder: str, wanted: str) -> dict[str, bytes]:
    """The files of failures whose task has this id; of all with ""."""
    if wanted and not wanted.isalnum():
        raise ValueError(f"no task: {wanted}")
    found: dict[str, bytes] = {}
    with contextlib.suppress(FileNotFoundError):
        for path in Path(folder, "failed").glob(wanted or "[!.]*"):
            with contextlib.suppress(OSError):
                found[path.name] = path.read_bytes()
    return found
