"""A Ray cluster that isn't there is told of in time, with its address and the cause."""

from __future__ import annotations

import socket
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


def test_who_does_not_answer_is_left_in_time() -> None:
    begin = time.monotonic()
    with pytest.raises(ConnectionError, match=r"10\.255\.255\.1:6379.*"):
        ray_connect.check_reachable("10.255.255.1:6379", patience=0.3)
    assert time.monotonic() - begin < 5
