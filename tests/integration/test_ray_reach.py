"""A Ray cluster that isn't there is told of in time, with its address and the cause."""

from __future__ import annotations

import socket
import threading
import time

import pytest

import raykernel
from raykernel.runtime.engines import ray_connect


def test_where_nobody_listens_is_said_with_the_address() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    begin = time.monotonic()
    with pytest.raises(ConnectionError, match=address):
        raykernel.init(address=address)
    assert time.monotonic() - begin < 10


def test_who_does_not_answer_is_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def swallowed(address: object, timeout: float) -> None:
        over.wait(30)

    monkeypatch.setattr(socket, "create_connection", swallowed)
    begin = time.monotonic()
    with pytest.raises(ConnectionError, match=r"far\.away:6379.*no answer within 0\.3 s"):
        ray_connect.check_reachable("far.away:6379", patience=0.3)
    assert time.monotonic() - begin < 10
    over.set()
