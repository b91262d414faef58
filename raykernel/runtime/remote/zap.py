"""Who is let in: zmq asks over ZAP (RFC 27) about each connection's key, here.

Only one key is right. To every other the answer is 300: zmq then closes the connection without a
word, where 400 would tell the peer that its key is wrong.
"""

from __future__ import annotations

import contextlib

import zmq


class Doorkeeper:
    """Answers when `answer` is called, whenever its `socket` can be read. One for a zmq context."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], public_key: str) -> None:
        from zmq.utils.z85 import decode

        self._right = decode(public_key)
        self.socket = context.socket(zmq.REP)
        self.socket.linger = 0
        self.socket.bind("inproc://zeromq.zap.01")

    def answer(self) -> None:
        with contextlib.suppress(zmq.Again):
            while True:
                version, request, *rest = self.socket.recv_multipart(zmq.NOBLOCK)
                # domain, address, identity, mechanism, and the mechanism's credentials
                fits = len(rest) == 5 and rest[3] == b"CURVE" and rest[4] == self._right
                status = (b"200", b"OK") if fits else (b"300", b"")
                self.socket.send_multipart([version, request, *status, b"driver", b""])
