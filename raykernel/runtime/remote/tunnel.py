"""The relay beside a driver: a process of its own, in which the driver's `Client` finds its head.

A process and not a thread, so that the line stays alive while the driver's code holds the
interpreter, and what the driver put last still arrives when it has ended. It ends with the driver's
connection, or when the head's side is lost for good, and takes its folder and mirror along.

Its word to the driver goes through its stdout: "ready", or "failed" and why; later "lost" and why.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import zmq

from raykernel.runtime import messages as m
from raykernel.runtime import session, shm
from raykernel.runtime.attach import Build
from raykernel.runtime.wire import Framer, WireError, encode

from . import packets, stream
from .address import Address
from .outbox import Outbox
from .packets import Ask, Block, Bytes, End, File, Greeting, Sealed
from .places import Mirror, Misplaced, unwritten
from .progress import Progress
from .ssh import Place
from .stream import Stream, Timing
from .way import Way

_CHUNK = 1 << 18
_MOST = 64 << 20  # bytes of messages for the head; then the driver is not read on
_MOST_IN = 8 << 20  # bytes for the driver; then the head is told to wait
_TICK = 0.25
_RETRY = 2.0  # seconds after which a connection that doesn't answer is made anew

#: What `Query` asks of the head's machine: files of the session's folder, and how it fares.
FAR_LOGS, FAR_FAILED, FAR_MACHINE = "remote:logs", "remote:failed", "remote:machine"
#: Questions of how things stand there, which wait for nothing that is still on its way there: a
#: notebook asks them at the end of each cell.
_NOW = {"tasks", "actors", "workers", "memory", "nodes", "resources", "store"}
_NOBODYS = -1  # the request whose answer nobody waits for
_FAR = {FAR_LOGS: "logs", FAR_FAILED: "failed", FAR_MACHINE: "machine"}


class TunnelSettings(msgspec.Struct):
    """Handed over through stdin, since there are keys in it."""

    folder: str
    name: str
    address: Address
    build: Build
    ssh: Place | None = None  # the head's port is reached through it
    timing: tuple[float, ...] = tuple(Timing())


class Lost(Exception):
    """The head can't be reached (any more); the text says why."""


class Tunnel:
    """Owned by the process's only thread."""

    def __init__(self, settings: TunnelSettings) -> None:
        self._settings = settings
        self._timing = Timing(*settings.timing)
        self._folder = Path(settings.folder)
        self._stream = Stream(os.urandom(stream.TOKEN_BYTES), time.monotonic(), self._timing)
        self._outbox = Outbox(ordered=True)
        self._progress = Progress("to the head")
        self._framer: Framer[Any] = Framer(m.ToHead)
        self._inbox = memoryview(bytearray(_CHUNK))
        self._to_driver = bytearray()
        self._bars: list[bytearray] = []  # wait for a frame's end
        self._whole = True  # whether the driver got whole frames only
        self._mirror: Mirror | None = None
        self._mirror_path = ""
        self._open = False  # whether the head's side knows us
        self.ending = ""  # why it is over, once the driver has read all
        self._driver: socket.socket | None = None
        self._poller = zmq.Poller()
        self._way = Way(settings.address, settings.ssh, self._poller)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self._folder / "head.sock"))
        self._listener.listen(1)

    # -- the line ------------------------------------------------------------------------------

    def meet(self) -> None:
        """Become known to the head's side. Raises Lost."""
        settings, begun = self._settings, time.monotonic()
        hello = msgspec.msgpack.encode(settings.build)
        self._way.dial()
        while not self._open:
            if time.monotonic() - begun > self._timing.answer:
                raise Lost(
                    f"the head at {settings.address.address} did not answer within "
                    f"{self._timing.answer:g} s. Is `raykernel head` running there, can this "
                    "machine reach that address (a firewall?), and is the connection file the one "
                    "that it wrote last?"
                )
            self._way.send(stream.compose(stream.OPEN, self._stream.token, hello))
            if self._poller.poll(200):
                self._hear()

    # -- the loop ------------------------------------------------------------------------------

    def run(self) -> None:
        """Carry, until the driver has left and all it said has arrived. Raises Lost."""
        self._listener.settimeout(self._timing.answer)
        try:
            driver, _ = self._listener.accept()
        except TimeoutError:
            return
        if session.peer_uid(driver) != os.getuid():
            raise Lost("somebody else came")
        driver.setblocking(False)
        self._driver = driver
        ticked = 0.0
        while not self._done():
            self._watch()
            for each, mask in self._poller.poll(int(_TICK * 1000)):
                if each is self._way.dealer:
                    self._hear()
                elif self._driver is not None and each == self._driver.fileno():
                    if mask & zmq.POLLOUT:
                        self._write()
                    if mask & ~zmq.POLLOUT and self._driver is not None:
                        self._read()
            self._pump()
            now = time.monotonic()
            if now - ticked >= _TICK:
                ticked = now
                self._tick(now)

    def _done(self) -> bool:
        if self._driver is None:
            return not self._outbox and self._stream.settled
        return bool(self.ending) and not self._to_driver

    def _watch(self) -> None:
        if self._driver is not None:
            reads = zmq.POLLIN if self._outbox.waiting < _MOST else 0
            writes = zmq.POLLOUT if self._to_driver else 0
            self._poller.register(self._driver.fileno(), reads | writes)

    def _tick(self, now: float) -> None:
        for frame in self._stream.beat(now):
            self._way.send(frame)
        silent = self._stream.silent(now)
        # what a driver left behind is not worth as much patience as the driver
        patience = self._timing.comeback if self._driver is not None else self._timing.silence
        if silent > patience:
            address = self._settings.address.address
            raise Lost(
                f"the connection to the head at {address} was lost and did not come back within "
                f"{self._timing.comeback:g} s: this driver's tasks there are cancelled"
            )
        if silent > self._timing.silence and now - self._way.dialled > _RETRY:
            self._way.dial()
            self._way.send(self._stream.resume(now))
        bars = self._progress.look(self._outbox.transfers(), now)
        if bars:
            self._bars.append(encode([m.BarsMoved(bars)]))
            self._insert()

    def _pump(self) -> None:
        now = time.monotonic()
        if self._stream.silent(now) > self._timing.silence:
            return
        while self._stream.has_room:
            packet = self._outbox.next(self._stream.has_room_for_large)
            if packet is None:
                return
            self._way.send(self._stream.send(packet, now))

    # -- from the head -------------------------------------------------------------------------

    def _hear(self) -> None:
        for data in self._way.heard():
            try:
                frame = stream.parse(data)
            except stream.StreamError:
                continue
            if frame.token != self._stream.token:
                continue
            if frame.kind == stream.OPENED:
                self._open = True
                self._stream.heard = time.monotonic()
            elif frame.kind == stream.GONE:
                address = self._settings.address.address
                why = bytes(frame.payload).decode(errors="replace")
                raise Lost(f"the head at {address} refuses: {why}")
            elif self._open:
                came, out = self._stream.receive(frame, time.monotonic())
                for each in out:
                    self._way.send(each)
                for payload in came:
                    self._take(packets.decode(payload))
        self._write()

    def _take(self, packet: Any) -> None:
        if isinstance(packet, Bytes):
            self._to_driver += packet.data
            self._whole = packet.whole
            self._insert()
        elif isinstance(packet, Block | File):
            if self._mirror is not None and self._driver is not None:
                self._mirror.lay(packet)
        elif isinstance(packet, Sealed):
            self._land(msgspec.msgpack.decode(packet.data, type=m.Value))
        elif isinstance(packet, Greeting):
            self._greet(msgspec.msgpack.decode(packet.data, type=m.Welcome))
        elif isinstance(packet, End):
            self.ending = packet.reason or "the head has ended the connection"

    def _land(self, value: m.Value) -> None:
        """An object came whole: tell the driver where it is, or that it has no room here."""
        if self._mirror is None:
            return
        here = self._mirror.landed(value)
        error = self._mirror.trouble(value)
        if error is not None:
            here = unwritten(here, "this", error)
        if here.offset != value.offset and value.offset >= 0:  # the driver looks at no block
            self._mirror.unpin([value.offset])
            self._outbox.add(encode([m.Unpin([value.offset])]))
        self._to_driver += encode([m.Objects([here])])

    def _greet(self, welcome: m.Welcome) -> None:
        """Make a mirror, and let the driver find it where the head's places are."""
        folder = self._folder
        arena = session.arena_path(self._settings.name, folder, welcome.capacity)
        shm.create(str(arena), welcome.capacity)
        self._mirror_path = str(arena)
        spill = str(folder / "spill")
        os.mkdir(spill, 0o700)
        self._mirror = Mirror(str(arena), welcome.capacity, spill)
        here = msgspec.structs.replace(welcome, folder=str(folder), arena=str(arena), spill=spill)
        self._to_driver += encode([here])

    def _insert(self) -> None:
        """Our own words come between two frames of the head's."""
        if self._whole:
            for frame in self._bars:
                self._to_driver += frame
            self._bars.clear()

    # -- the driver ----------------------------------------------------------------------------

    def _write(self) -> None:
        while self._to_driver and self._driver is not None:
            try:
                del self._to_driver[: self._driver.send(self._to_driver)]
            except BlockingIOError:
                break
            except OSError:
                self._left()
        for frame in self._stream.hold(len(self._to_driver) > _MOST_IN, time.monotonic()):
            self._way.send(frame)

    def _read(self) -> None:
        driver = self._driver
        assert driver is not None
        try:
            size = driver.recv_into(self._inbox)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if not size:
            self._left()
            return
        plain: list[Any] = []
        for message in self._framer.feed(self._inbox[:size]):
            kept = self._look(message, plain)
            if kept is not None:
                plain.append(kept)
        if plain:
            self._outbox.add(encode(plain))

    def _look(self, message: Any, before: list[Any]) -> Any:
        """What goes on to the head, after `before`: None if it went already, or is not for it."""
        mirror = self._mirror
        if mirror is None:
            return message
        if isinstance(message, m.PutObject) and message.value.offset not in (m.INLINE, m.AWAY):
            if before:
                self._outbox.add(encode(before))
                before.clear()
            self._put(mirror, message)
            return None
        if isinstance(message, m.Query) and message.what in _FAR:
            if before:
                self._outbox.add(encode(before))
                before.clear()
            ask = Ask(message.request, _FAR[message.what], message.filters)
            self._outbox.add_packet(packets.encode(ask))
            return None
        if isinstance(message, m.CancelCell) and self._outbox.hurry(encode([message])):
            # what is known there ends at once; what is still on its way there, when it comes
            return msgspec.structs.replace(message, request=_NOBODYS)
        if isinstance(message, m.Query) and message.what in _NOW:
            if self._outbox.hurry(encode([message])):
                return None
        elif isinstance(message, m.Unpin):
            mirror.unpin(message.offsets)
        elif isinstance(message, m.Release):
            mirror.released(message.ids)
        elif isinstance(message, m.Missing) and mirror.was_dropped(message.id):
            return m.Want([message.id])  # nothing is missing there: send it once more
        return message

    def _put(self, mirror: Mirror, message: m.PutObject) -> None:
        value = message.value
        if value.offset >= 0:
            start, size = value.offset, value.size
            transfer = mirror.block(start, size, lambda: mirror.sent(start, size))
        else:
            name = value.data.decode()
            transfer = mirror.file(value.id, name, value.size, lambda: mirror.remove(name))
        self._outbox.add_large(transfer, packets.sealed(value))

    def _left(self) -> None:
        """The driver is gone: bring what it said to the head, and end."""
        assert self._driver is not None
        with contextlib.suppress(KeyError):
            self._poller.unregister(self._driver.fileno())
        self._driver.close()
        self._driver = None
        self._to_driver.clear()
        self._outbox.end("")

    def close(self) -> None:
        if self._driver is not None:
            self._driver.close()
        self._way.close()
        self._listener.close()
        self._outbox.drop()
        if self._mirror is not None:
            self._mirror.close()
        if self._mirror_path:
            Path(self._mirror_path).unlink(missing_ok=True)
        shutil.rmtree(self._folder, ignore_errors=True)


def say(word: str, text: str = "") -> None:
    with contextlib.suppress(OSError):  # nobody is there to hear it
        os.write(1, f"{word} {text}".strip().encode() + b"\n")


def main() -> None:
    """Entry of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    settings = msgspec.json.decode(sys.stdin.buffer.read(), type=TunnelSettings)
    tunnel = Tunnel(settings)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        try:
            tunnel.meet()
        except Lost as error:
            say("failed", str(error))
            return
        say("ready")
        try:
            tunnel.run()
            if tunnel.ending:
                say("lost", tunnel.ending)
        except (Lost, Misplaced, WireError, msgspec.DecodeError) as error:
            say("lost", str(error))
    finally:
        tunnel.close()


if __name__ == "__main__":
    main()
