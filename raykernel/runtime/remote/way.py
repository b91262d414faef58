"""A tunnel's way to the head: a zmq socket with the connection file's keys, over ssh if need be.

It is given up and made anew whenever the other side has been silent for too long.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import zmq

from .address import Address
from .ssh import Forward, Place

_AT_ONCE = 64


class Way:
    """Owned by one thread. `dealer` is the socket, registered with `poller`."""

    def __init__(self, address: Address, ssh: Place | None, poller: zmq.Poller) -> None:
        self.dealer: zmq.Socket[bytes] | None = None
        self.dialled = 0.0  # when it was made last
        self._address = address
        self._forward = Forward(ssh) if ssh is not None else None
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._poller = poller

    def dial(self) -> None:
        """Make the connection, or make it anew."""
        self._hang_up()
        address = self._address
        target = address.address
        if self._forward is not None:
            target = self._forward.ensure(target)
        dealer = self._context.socket(zmq.DEALER)
        dealer.curve_serverkey = address.server_key.encode()
        dealer.curve_publickey = address.public_key.encode()
        dealer.curve_secretkey = address.secret_key.encode()
        dealer.linger = 0
        dealer.immediate = 1  # nothing waits for a connection that is not there
        dealer.sndhwm = dealer.rcvhwm = 0  # streams bound what is on its way
        dealer.reconnect_ivl, dealer.reconnect_ivl_max = 100, 1000
        dealer.ipv6 = "[" in target
        dealer.connect(target)
        self.dealer = dealer
        self.dialled = time.monotonic()
        self._poller.register(dealer, zmq.POLLIN)

    def _hang_up(self) -> None:
        if self.dealer is not None:
            self._poller.unregister(self.dealer)
            self.dealer.close(0)
            self.dealer = None

    def send(self, frame: bytes) -> None:
        assert self.dealer is not None
        with contextlib.suppress(zmq.ZMQError):  # what is lost is sent again
            self.dealer.send(frame, zmq.NOBLOCK, copy=len(frame) < 1 << 16)

    def heard(self) -> Iterator[bytes]:
        """Some of the frames that came."""
        assert self.dealer is not None
        with contextlib.suppress(zmq.Again):
            for _ in range(_AT_ONCE):
                yield self.dealer.recv(zmq.NOBLOCK)

    def close(self) -> None:
        self._hang_up()
        self._context.destroy(0)
        if self._forward is not None:
            self._forward.close()
