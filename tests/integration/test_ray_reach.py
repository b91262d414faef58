"""A Ray cluster that isn't there is told of in time, with its address and the cause: where nobody
listens, where somebody listens and never answers, and where something else does."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import raykernel
from raykernel.runtime.engines import ray_connect

BOTH = pytest.mark.parametrize("scheme", ["", "ray://"])


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        made.listen()
        yield made


def _address(scheme: str, listener: socket.socket) -> str:
    return f"{scheme}127.0.0.1:{listener.getsockname()[1]}"


def _refused(address: str, why: str) -> None:
    begin = time.monotonic()
    with pytest.raises(ConnectionError, match=why) as error:
        raykernel.init(address=address)
    assert address in str(error.value)
    assert time.monotonic() - begin < 10


@BOTH
def test_where_nobody_listens_is_said_with_the_address(scheme: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = _address(scheme, free)
    _refused(address, "refused")


@BOTH
def test_who_never_answers_is_left_in_time(
    scheme: str, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ray_connect.PATIENCE < 10
    monkeypatch.setattr(ray_connect, "PATIENCE", 0.5)
    _refused(_address(scheme, listener), r"no answer within 0\.5 s")


@BOTH
@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
def test_what_is_no_ray_is_told_as_such(
    scheme: str, answer: bytes, listener: socket.socket
) -> None:
    def serve() -> None:
        with listener.accept()[0] as connection:
            connection.recv(100)
            connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    _refused(_address(scheme, listener), "no server of Ray's" if answer else "hung up")
    thread.join()


def test_a_name_that_takes_for_ever_to_look_up_is_left_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    over = threading.Event()

    def swallowed(address: object, timeout: float) -> None:
        over.wait(30)
        raise OSError("at last")

    monkeypatch.setattr(socket, "create_connection", swallowed)
    with pytest.raises(ConnectionError, match=r"far\.away:6379.*no answer within 0\.3 s"):
        ray_connect.check_reachable("far.away:6379", patience=0.3)
    over.set()


def test_auto_where_no_cluster_runs_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray_connect, "_CURRENT", tmp_path / "none")
    with pytest.raises(ConnectionError, match=r"'auto'.*no Ray cluster on this machine"):
        raykernel.init(address="auto")


def test_auto_tells_of_the_cluster_that_has_died(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = _address("", free)
    (tmp_path / "current").write_text(address)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray_connect, "_CURRENT", tmp_path / "current")
    with pytest.raises(ConnectionError, match=f"{address}.*refused"):
        raykernel.init(address="auto")
