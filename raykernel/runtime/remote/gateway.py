"""The relay beside a head: lets drivers in from other machines, and is each one's at the head.

One thread, one loop over the zmq socket, the doorkeeper's, and a Unix socket to the head for each
driver. To the head a remote driver is a driver like others. Before a message tells of a large
object, that travels (outbox.py). A driver that is silent is kept for a while, with all that it has
not confirmed, for it to come back; then its socket is closed, which is a driver's end to the head.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable

import msgspec
import zmq

from raykernel.runtime import messages as m
from raykernel.runtime.attach import Build
from raykernel.runtime.wire import WireError, encode

from . import packets, stream
from .packets import Ask, Block, Bytes, End, File, Sealed
from .places import Misplaced
from .stream import Timing
from .visitor import Driver
from .zap import Doorkeeper

_CHUNK = 1 << 18
_MOST = 32 << 20  # bytes of messages for a driver; then the head is not read on
_MOST_IN = 8 << 20  # bytes for the head; then the driver is told to wait
_TICK = 0.25
_LARGEST = 4 << 20  # no frame is near that


class Gateway:
    """See the head comment. `listen` as in "tcp://127.0.0.1:0". Raises OSError, zmq.ZMQError."""

    def __init__(
        self,
        folder: str,
        listen: str,
        keys: tuple[bytes, bytes],
        client_key: str,
        build: Build,
        timing: Timing = Timing(),  # noqa: B008
    ) -> None:
        self._folder = folder
        self._head = os.path.join(folder, "head.sock")
        self._build = build
        self._timing = timing
        self._drivers: dict[bytes, Driver] = {}
        self._sockets: dict[int, Driver] = {}
        self._inbox = memoryview(bytearray(_CHUNK))
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._door = Doorkeeper(self._context, client_key)
        self._router = self._context.socket(zmq.ROUTER)
        self._router.curve_server = True
        self._router.curve_publickey, self._router.curve_secretkey = keys
        self._router.linger = 500
        self._router.sndhwm = self._router.rcvhwm = 0  # streams bound what is on its way
        self._router.maxmsgsize = _LARGEST
        self._router.ipv6 = "[" in listen
        # the head's end is noticed although no driver is there: it closes this
        self._watch = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._router.bind(listen)
            self._watch.connect(self._head)
        except BaseException:
            self.close()
            raise
        self._watch.sendall(encode([m.Hello("control", os.urandom(16), os.getpid())]))
        self._watch.setblocking(False)
        self._poller = zmq.Poller()
        for each in (self._router, self._door.socket, self._watch.fileno()):
            self._poller.register(each, zmq.POLLIN)

    @property
    def endpoint(self) -> str:
        """As in "tcp://127.0.0.1:41234"."""
        return str(self._router.get_string(zmq.LAST_ENDPOINT))

    def run(self, stop: Callable[[], bool] = lambda: False) -> str:
        """Until the session ends, or `stop()`, asked several times a second. Why it ended."""
        why = ""
        ticked = 0.0
        while not why:
            for each, _ in self._poller.poll(int(_TICK * 1000)):
                if each is self._router:
                    self._hear()
                elif each is self._door.socket:
                    self._door.answer()
                elif each == self._watch.fileno():
                    if self._head_is_gone():
                        why = "the session has ended"
                elif each in self._sockets:
                    self._serve(self._sockets[each])
            now = time.monotonic()
            if now - ticked >= _TICK:
                ticked = now
                self._tick(now)
            if not why and stop():
                why = "the head was shut down"
        self._say_farewell(why)
        return why

    def close(self) -> None:
        for driver in list(self._drivers.values()):
            self._forget(driver)
        self._watch.close()
        self._door.socket.close(0)
        self._router.close()
        self._context.term()

    # -- drivers -------------------------------------------------------------------------------

    def _hear(self) -> None:
        heard: dict[bytes, Driver] = {}
        for _ in range(64):
            try:
                parts = self._router.recv_multipart(zmq.NOBLOCK, copy=True)
            except zmq.Again:
                break
            try:
                frame = stream.parse(parts[-1])
            except stream.StreamError:
                continue
            driver = self._drivers.get(frame.token)
            if frame.kind == stream.OPEN:
                self._open(parts[0], frame)
            elif driver is None:
                text = b"the head waited for it in vain, and has given it up"
                self._send(parts[0], stream.compose(stream.GONE, frame.token, text))
            else:
                driver.route = parts[0]
                came, out = driver.stream.receive(frame, time.monotonic())
                for each in out:
                    self._send(driver.route, each)
                for payload in came:
                    self._take(driver, payload)
                heard[frame.token] = driver
        for driver in heard.values():
            self._flush(driver)
            self._pump(driver)

    def _open(self, route: bytes, frame: stream.Frame) -> None:
        token = frame.token
        if token not in self._drivers:
            try:
                theirs = msgspec.msgpack.decode(frame.payload, type=Build)
                if (theirs.python, theirs.raykernel) != (self._build.python, self._build.raykernel):
                    raise OSError("its Python or raykernel has another version")
                driver = Driver(token, route, self._folder, time.monotonic(), self._timing)
            except (OSError, msgspec.DecodeError) as error:
                self._send(route, stream.compose(stream.GONE, token, str(error).encode()))
                return
            self._drivers[token] = driver
            self._sockets[driver.sock.fileno()] = driver
            self._poller.register(driver.sock.fileno(), zmq.POLLIN)
        self._send(route, stream.compose(stream.OPENED, token))

    def _take(self, driver: Driver, payload: memoryview) -> None:
        try:
            packet = packets.decode(payload)
            if isinstance(packet, Bytes):
                if not driver.ended:
                    driver.hear(packet.data)
            elif isinstance(packet, Block | File):
                if driver.places is not None:
                    driver.places.lay(packet)
            elif isinstance(packet, Sealed):
                if not driver.ended:
                    driver.seal(packet)
            elif isinstance(packet, Ask):
                driver.outbox.add(encode([driver.answer(packet)]))
            elif isinstance(packet, End):
                self._flush(driver)
                self._end(driver)
        except (msgspec.DecodeError, UnicodeDecodeError, WireError, Misplaced) as error:
            print(f"a driver is cut off: {error}", file=sys.stderr, flush=True)
            driver.outbox.drop()
            self._end(driver, f"it said what makes no sense to the head: {error}")

    def _tick(self, now: float) -> None:
        for driver in list(self._drivers.values()):
            bars = driver.progress.look(driver.outbox.transfers(), now)
            if bars:
                driver.outbox.add(encode([m.BarsMoved(bars)]))
            self._pump(driver)
            for frame in driver.stream.beat(now):
                self._send(driver.route, frame)
            if driver.stream.silent(now) > self._timing.keep:
                self._forget(driver)

    def _pump(self, driver: Driver) -> None:
        """Send what the stream has room for."""
        now = time.monotonic()
        # no more while a driver seems lost: it comes by another way then
        if driver.stream.silent(now) > self._timing.silence:
            return
        try:
            while driver.stream.has_room:
                packet = driver.outbox.next(driver.stream.has_room_for_large)
                if packet is None:
                    break
                self._send(driver.route, driver.stream.send(packet, now))
        except OSError as error:
            driver.outbox.drop()
            self._end(driver, f"an object can't be read on the head's machine: {error}")
        self._listen_to_head(driver)

    def _listen_to_head(self, driver: Driver) -> None:
        if driver.sock.fileno() >= 0:
            reads = zmq.POLLIN if driver.outbox.waiting < _MOST else 0
            self._poller.register(
                driver.sock.fileno(), reads | (zmq.POLLOUT if driver.to_head else 0)
            )

    def _send(self, route: bytes, frame: bytes) -> None:
        with contextlib.suppress(zmq.ZMQError):  # what is lost is sent again
            self._router.send_multipart([route, frame], zmq.NOBLOCK, copy=len(frame) < 1 << 16)

    # -- the head ------------------------------------------------------------------------------

    def _serve(self, driver: Driver) -> None:
        self._flush(driver)
        if driver.sock.fileno() >= 0 and driver.outbox.waiting < _MOST:
            try:
                size = driver.sock.recv_into(self._inbox)
            except BlockingIOError:
                size = -1
            except OSError:
                size = 0
            if size == 0:
                self._end(driver, "the session has ended")
            elif size > 0:
                try:
                    driver.forward(driver.framer.feed(self._inbox[:size]))
                except (Misplaced, WireError) as error:  # neither is for want of anything here
                    self._end(driver, f"the head said what makes no sense: {error}")
        self._pump(driver)

    def _flush(self, driver: Driver) -> None:
        while driver.to_head and driver.sock.fileno() >= 0:
            try:
                del driver.to_head[: driver.sock.send(driver.to_head)]
            except BlockingIOError:
                break
            except OSError:
                driver.to_head.clear()
        for frame in driver.stream.hold(len(driver.to_head) > _MOST_IN, time.monotonic()):
            self._send(driver.route, frame)
        self._listen_to_head(driver)

    def _head_is_gone(self) -> bool:
        try:
            return not self._watch.recv(_CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    # -- the end -------------------------------------------------------------------------------

    def _end(self, driver: Driver, reason: str = "") -> None:
        """This driver has left, or its session is over. It is kept until it has confirmed all."""
        if driver.ended:
            return
        driver.ended = True
        if driver.sock.fileno() >= 0:
            fd = driver.sock.fileno()
            with contextlib.suppress(KeyError):  # it was not read just now
                self._poller.unregister(fd)
            del self._sockets[fd]
            driver.sock.close()
        if not reason:
            driver.outbox.drop()
        driver.outbox.end(reason)

    def _forget(self, driver: Driver) -> None:
        self._end(driver)
        driver.outbox.drop()
        if driver.places is not None:
            driver.places.close()
        self._drivers.pop(driver.stream.token, None)

    def _say_farewell(self, why: str) -> None:
        """Tell those that are there; they have until then to confirm."""
        deadline = time.monotonic() + 2.0
        for driver in self._drivers.values():
            self._end(driver, why)
        while time.monotonic() < deadline:
            now = time.monotonic()
            self._tick(now)
            there = [d for d in self._drivers.values() if d.stream.silent(now) < 2.0]
            if all(driver.stream.settled and not driver.outbox for driver in there):
                break
            for each, _ in self._poller.poll(50):
                if each is self._router:
                    self._hear()
                elif each is self._door.socket:
                    self._door.answer()


def advertised(endpoint: str, name: str) -> str:
    """The address under which others reach `endpoint`: of any interface, by the machine's name."""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    if name:
        host = name
    elif host in ("0.0.0.0", "*", "[::]"):
        host = socket.getfqdn()
    return f"tcp://{host}:{port}"
